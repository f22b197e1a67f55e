//! Produce: checks every batch, hands it to the core that owns its partition, answers once the ack rule holds.
//!
//! Runs on the core of the connection. All Produce requests that one read brought are one [`ProduceTurn`]: batches for the same
//! partition of this core go down in one write. Batches for another core's partition travel there, and those for one on its way
//! between two cores wait; the order of one connection's batches in one partition is always that of the requests.

mod answer;
mod check;
mod elsewhere;

use std::rc::Rc;

use crate::api::message::RequestInfo;
use crate::base::ErrorCode;
use crate::io::clock;
use crate::net::service::Reply;
use crate::shard::histograms::Stage;
use crate::shard::partition::{Partition, PartitionKey, owner};
use crate::shard::{Shard, counters};
use crate::wire::batch::Batch;
use crate::wire::frame::TopicReference;
use crate::wire::owned_batches::OwnedBatches;
use crate::wire::produce::{self, ProducePartition};
use answer::{Answer, PartitionAnswer, SharedWait, Waiting};
use check::{Checked, TopicRules};
use elsewhere::Elsewhere;

/// Once the batches of a turn have taken this long, compressed ones are left to helper threads: many small bombs make a large one.
const CHECK_ON_CORE_NS_MAX: u64 = 2_000_000;
/// acks: all in-sync replicas.
const ACKS_ALL: i16 = -1;

/// The Produce requests of one turn.
pub struct ProduceTurn<'a> {
    shard: Rc<Shard>,
    started_ns: u64,
    requests: Vec<(usize, Answer)>,
    writes: Vec<LocalWrite<'a>>,
}

/// What goes down in one write.
struct LocalWrite<'a> {
    partition: Rc<Partition>,
    acks_all: bool,
    batches: Vec<Batch<'a>>,
    /// Request, partition answer, and how many of the records are its.
    shares: Vec<(usize, usize, i64)>,
}

/// Whether the requests behind a Produce may start before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    MayStart,
    MustWait,
}

impl<'a> ProduceTurn<'a> {
    pub fn new(shard: &Rc<Shard>) -> ProduceTurn<'a> {
        ProduceTurn { shard: shard.clone(), started_ns: clock::monotonic_ns(), requests: Vec::new(), writes: Vec::new() }
    }

    /// Takes one request in, whose client is to be silent for `throttle_ms`. Its reply goes to the place that is free in `replies` now.
    pub fn add(&mut self, info: RequestInfo, body: &'a [u8], throttle_ms: i32, replies: &mut Vec<Reply>) -> Next {
        let started_ns = clock::monotonic_ns();
        let request = match produce::decode(info.version, body) {
            Ok(request) => request,
            Err(error) => {
                replies.push(Reply::Close(format!("Produce version {}: {error}", info.version)));
                return Next::MayStart;
            }
        };
        let mut answer = Answer::new(info, request.acks, throttle_ms);
        let mut next = Next::MayStart;
        let mut elsewhere = Elsewhere::default();
        for topic in request.topics() {
            answer.start_topic(topic.topic);
            for partition in topic.partitions {
                let place = answer.partitions.len();
                let outcome = match refuse_whole_request(info.version, request.acks) {
                    Some(refusal) => refusal,
                    None => self.take(info.version, request.acks, topic.topic, partition, place, &mut elsewhere),
                };
                if let PartitionAnswer::Waiting(Waiting::Beside(_)) = outcome {
                    next = Next::MustWait;
                }
                if let PartitionAnswer::Waiting(Waiting::Beside(_) | Waiting::Owner(_)) = outcome {
                    answer.bytes_held += partition.records.map_or(0, <[u8]>::len);
                }
                answer.push(partition.index, outcome);
            }
        }
        elsewhere.send(&self.shard, request.acks == ACKS_ALL);
        self.shard.histograms.record(Stage::Decode, clock::monotonic_ns() - started_ns);
        self.requests.push((replies.len(), answer));
        replies.push(Reply::Silent);
        next
    }

    fn take(
        &mut self,
        version: i16,
        acks: i16,
        topic: TopicReference<'_>,
        partition: ProducePartition<'a>,
        place: usize,
        elsewhere: &mut Elsewhere,
    ) -> PartitionAnswer {
        let image = self.shard.image();
        let found = match topic {
            TopicReference::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
            TopicReference::Id(id) => image.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId),
        };
        let found =
            found.and_then(|topic| owner(topic, partition.index).ok_or(ErrorCode::UnknownTopicOrPartition).map(|place| (topic, place)));
        let (topic, (key, core)) = match found {
            // What a client wrote there would turn up as groups and offsets at the next load.
            Ok((topic, _)) if topic.is_internal() => return PartitionAnswer::refused(ErrorCode::InvalidTopicException),
            Ok(found) => found,
            Err(error) => return PartitionAnswer::refused(error),
        };
        let is_moving = self.shard.is_moving(key);
        let here = match core == self.shard.core && !is_moving {
            true => match self.shard.partition(key) {
                Some(here) => Some(here),
                None => return PartitionAnswer::refused(self.shard.why_missing(key)),
            },
            false => None,
        };
        let is_busy = clock::monotonic_ns() - self.started_ns > CHECK_ON_CORE_NS_MAX;
        let rules = TopicRules::new(version, &self.shard.topic_config(topic), clock::wall_ms(), is_busy);
        match rules.check(partition.records.unwrap_or_default()) {
            Ok(Checked::Batch(batch)) if is_moving => {
                let (shard, batches) = (self.shard.clone(), OwnedBatches::copy(&[batch]));
                PartitionAnswer::Waiting(Waiting::Beside(Box::pin(append_where_it_is(shard, key, batches, acks == ACKS_ALL))))
            }
            Ok(Checked::Batch(batch)) => match here {
                Some(here) => self.write_here(here, acks == ACKS_ALL, batch, place),
                None => PartitionAnswer::Waiting(Waiting::Owner(elsewhere.add(core, key, OwnedBatches::copy(&[batch])))),
            },
            Ok(Checked::NeedsMoreWork) => {
                let records = partition.records.unwrap_or_default().to_vec();
                let shard = self.shard.clone();
                PartitionAnswer::Waiting(Waiting::Beside(Box::pin(check_beside(shard, key, records, rules, acks == ACKS_ALL))))
            }
            Err(error) => {
                counters::add(&self.shard.counters.batches_refused, 1);
                tracing::debug!("produce to {}-{}: {error}", topic.name, partition.index);
                PartitionAnswer::Refused { error: error.error_code(), message: Some(error.to_string()), record_index: error.record_index() }
            }
        }
    }

    fn write_here(&mut self, partition: Rc<Partition>, acks_all: bool, batch: Batch<'a>, place: usize) -> PartitionAnswer {
        let records = i64::from(batch.header.last_offset_delta) + 1;
        let share = (self.requests.len(), place, records);
        // Only the last write of a partition takes more: one with other acks in between must not be overtaken.
        match self.writes.iter_mut().rfind(|write| Rc::ptr_eq(&write.partition, &partition)) {
            Some(write) if write.acks_all == acks_all => {
                write.batches.push(batch);
                write.shares.push(share);
            }
            _ => self.writes.push(LocalWrite { partition, acks_all, batches: vec![batch], shares: vec![share] }),
        }
        PartitionAnswer::Refused { error: ErrorCode::UnknownServerError, message: None, record_index: None }
    }

    /// Writes what was taken in and fills the places of the replies.
    pub fn finish(self, replies: &mut [Reply]) {
        let ProduceTurn { shard, mut requests, writes, .. } = self;
        for write in writes {
            let mut written = write.partition.append(&shard, &write.batches, write.acks_all);
            let wait = written.as_mut().ok().and_then(|written| written.durable.take()).map(SharedWait::new);
            let records = write.shares.iter().map(|(_, _, records)| *records);
            for ((request, place, _), stored) in write.shares.iter().zip(answer::stored(&written, records)) {
                requests[*request].1.partitions[*place].1 = match (stored, &wait) {
                    (Ok(stored), Some(wait)) => PartitionAnswer::Waiting(Waiting::Flush(stored, wait.clone())),
                    (Ok(stored), None) => PartitionAnswer::Stored(stored),
                    (Err(error), _) => PartitionAnswer::refused(error),
                };
            }
        }
        for (place, answer) in requests {
            replies[place] = answer.into_reply();
        }
    }
}

/// What is wrong with every partition of a request, if anything.
fn refuse_whole_request(version: i16, acks: i16) -> Option<PartitionAnswer> {
    if version < super::versions::PRODUCE_MIN {
        return Some(PartitionAnswer::refused(ErrorCode::UnsupportedVersion));
    }
    (!matches!(acks, -1..=1)).then(|| PartitionAnswer::refused(ErrorCode::InvalidRequiredAcks))
}

/// Unpacks on a helper thread what would hold up the core, then appends.
async fn check_beside(shard: Rc<Shard>, key: PartitionKey, records: Vec<u8>, rules: TopicRules, acks_all: bool) -> PartitionAnswer {
    let rules = rules.with_all_the_time();
    let checked = shard
        .offload(key.order(), move || match rules.check(&records) {
            Ok(Checked::Batch(batch)) => Ok(OwnedBatches::copy(&[batch])),
            Ok(Checked::NeedsMoreWork) => unreachable!("with all the time there is, nothing is left to do"),
            Err(error) => Err(error),
        })
        .await;
    match checked {
        Ok(batches) => append_where_it_is(shard, key, batches, acks_all).await,
        Err(error) => {
            counters::add(&shard.counters.batches_refused, 1);
            PartitionAnswer::Refused { error: error.error_code(), message: Some(error.to_string()), record_index: error.record_index() }
        }
    }
}

/// Appends at the partition's core, once it is not on its way to another.
async fn append_where_it_is(shard: Rc<Shard>, key: PartitionKey, batches: OwnedBatches, acks_all: bool) -> PartitionAnswer {
    let Some(core) = shard.place(key).await else { return PartitionAnswer::refused(ErrorCode::UnknownTopicOrPartition) };
    let mut elsewhere = Elsewhere::default();
    let answer = elsewhere.add(core, key, batches);
    elsewhere.send(&shard, acks_all);
    answer::from_owner(answer.wait().await)
}
