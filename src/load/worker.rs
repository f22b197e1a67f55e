//! One worker thread: a tokio current-thread runtime with some of the run's producers and consumers on it.
//!
//! Invariant: nothing is shared between workers but the phase, the events and the live counters.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet};

use super::acknowledged_offsets::AcknowledgedOffsets;
use super::batch_writer::BatchWriter;
use super::checker::{PartitionChecker, Produced};
use super::churn::{self, Reconnect};
use super::cluster::{Image, Topic};
use super::consumer::{Consumer, ReadAccount, ReaderRules, Reading};
use super::filler::{Filler, FillerKind};
use super::identity::{PartitionKey, ProducerNumber, RunId, StreamKey};
use super::journal::JournalEntry;
use super::keys;
use super::lane::Lane;
use super::live_cluster::LiveCluster;
use super::message::MESSAGE_BYTES_MIN;
use super::phase::{Counters, Event, Phase, Slice};
use super::producer::{Producer, ProducerSettings};
use super::recorder::Recorder;
use super::schedule::Schedule;
use super::statistics::Statistics;
use crate::wire::Codec;

/// One lane to be made: the place of its partition among the run's, and its due times.
#[derive(Clone, Debug)]
pub struct LanePlan {
    pub index: usize,
    pub schedule: Schedule,
}

/// Where a consumer starts in one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadingPlan {
    pub index: usize,
    pub position: i64,
}

/// One consumer to be made.
#[derive(Clone, Debug)]
pub struct ConsumerPlan {
    pub rules: ReaderRules,
    pub readings: Vec<ReadingPlan>,
}

/// What a worker is to do.
#[derive(Clone, Debug, Default)]
pub struct Share {
    pub producers: Vec<(ProducerNumber, Vec<LanePlan>)>,
    pub consumers: Vec<ConsumerPlan>,
    /// Connections to close and open again, per second.
    pub churn_per_s: f64,
}

/// How the traffic of a run looks.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub producer: ProducerSettings,
    pub codec: Codec,
    pub filler: FillerKind,
    /// Different record keys; 0: none.
    pub keys: u64,
    pub interval_ns: u64,
}

/// What all workers need to know.
#[derive(Clone)]
pub struct Assignment {
    pub run: RunId,
    pub settings: Settings,
    pub topics: Arc<Vec<Topic>>,
    pub image: Image,
    pub bootstrap: Vec<String>,
    pub acknowledged: Option<Arc<AcknowledgedOffsets>>,
    pub journal: Option<std::sync::mpsc::Sender<JournalEntry>>,
    pub counters: Arc<Counters>,
    pub phase: watch::Receiver<Phase>,
    pub events: mpsc::UnboundedSender<Event>,
    pub slices: mpsc::UnboundedSender<Slice>,
}

/// What a worker brings home.
#[derive(Debug, Default)]
pub struct Harvest {
    pub produced: Vec<(StreamKey, Produced)>,
    pub read: Vec<ReadAccount>,
    /// What was counted behind the last slice.
    pub statistics: Statistics,
}

/// Runs a share to its end. Blocks the thread.
///
/// # Errors
/// The runtime cannot be made: out of file descriptors, most likely.
pub fn work(number: usize, assignment: Assignment, share: Share) -> std::io::Result<Harvest> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(number, assignment, share))
}

async fn run(number: usize, assignment: Assignment, share: Share) -> std::io::Result<Harvest> {
    let settings = assignment.settings;
    let cluster = Rc::new(LiveCluster::new(assignment.topics.clone(), assignment.image.clone(), assignment.bootstrap.clone()));
    let statistics = Rc::new(RefCell::new(Statistics::default()));
    let refresher = tokio::task::spawn_local({
        let cluster = cluster.clone();
        async move { cluster.keep_fresh().await }
    });
    // A listener does not see a last phase on a channel that is closed: this end stays open until all have ended.
    let (phases, phase) = watch::channel(Phase::Prepare);
    let recorder = Recorder {
        worker: number,
        interval_ns: settings.interval_ns,
        statistics: statistics.clone(),
        slices: assignment.slices.clone(),
        phases: phases.clone(),
    };
    let recorder = tokio::task::spawn_local(recorder.run(assignment.phase.clone()));
    let mut clients: Vec<Rc<dyn Reconnect>> = Vec::new();
    let keys = keys_of_topics(settings.keys, &assignment.topics);
    let filler = Filler::new(settings.filler, settings.producer.message_bytes - MESSAGE_BYTES_MIN);
    let names: Vec<Rc<str>> = assignment.topics.iter().map(|topic| topic.name.as_str().into()).collect();
    let mut producers: Vec<JoinHandle<Vec<(StreamKey, Produced)>>> = Vec::new();
    for (number, plans) in share.producers {
        let lane = |plan: &LanePlan| {
            let partition = cluster.keys[plan.index];
            let stream = StreamKey { run: assignment.run, producer: number, partition };
            let keys = keys[partition.topic.0 as usize].get(partition.partition as usize).cloned().unwrap_or_default();
            Lane::new(stream, names[partition.topic.0 as usize].clone(), keys, plan.schedule.clone())
        };
        let producer = Rc::new(Producer::new(
            settings.producer,
            plans.iter().map(lane).collect(),
            plans.iter().map(|plan| plan.index).collect(),
            cluster.clone(),
            BatchWriter::new(settings.codec, filler.clone()),
            statistics.clone(),
            assignment.counters.clone(),
            assignment.journal.clone(),
        ));
        clients.push(producer.clone());
        producers.push(tokio::task::spawn_local(producer.run(phase.clone(), assignment.events.clone())));
    }
    let mut consumers: Vec<JoinHandle<ReadAccount>> = Vec::new();
    for plan in share.consumers {
        let reading = |plan: &ReadingPlan| {
            let key: PartitionKey = cluster.keys[plan.index];
            Reading { index: plan.index, position: plan.position, pass_end: None, checker: PartitionChecker::new(key, Some(plan.position)) }
        };
        let consumer = Rc::new(Consumer::new(
            plan.rules,
            plan.readings.iter().map(reading).collect(),
            cluster.clone(),
            statistics.clone(),
            assignment.counters.clone(),
            assignment.acknowledged.clone(),
        ));
        clients.push(consumer.clone());
        consumers.push(tokio::task::spawn_local(consumer.run(phase.clone(), assignment.events.clone())));
    }
    let churning = (share.churn_per_s > 0.0 && !clients.is_empty())
        .then(|| tokio::task::spawn_local(churn::churn(clients, share.churn_per_s, phase.clone())));
    let mut harvest = Harvest::default();
    for producer in producers {
        harvest.produced.extend(producer.await.expect("a producer does not panic"));
    }
    for consumer in consumers {
        harvest.read.push(consumer.await.expect("a consumer does not panic"));
    }
    refresher.abort();
    if let Some(churning) = churning {
        churning.abort();
    }
    recorder.await.expect("a recorder does not panic")?;
    harvest.statistics = statistics.take();
    Ok(harvest)
}

/// By topic and partition.
fn keys_of_topics(keys: u64, topics: &[Topic]) -> Vec<Vec<Rc<[u64]>>> {
    let mut of_counts: BTreeMap<i32, Vec<Rc<[u64]>>> = BTreeMap::new();
    let of_topic = |topic: &Topic| match keys {
        0 => Vec::new(),
        _ => of_counts.entry(topic.partitions).or_insert_with(|| keys::by_partition(keys, topic.partitions)).clone(),
    };
    topics.iter().map(of_topic).collect()
}
