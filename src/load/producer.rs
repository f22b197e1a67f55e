//! One producer: its lanes, one connection to each broker that leads one of them, and when it is done.
//!
//! Lives on one worker thread. Invariant: a lane is driven by the connection to its partition's leader and by no other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::InitProducerIdRequest;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::batch_writer::BatchWriter;
use super::checker::Produced;
use super::churn::Reconnect;
use super::cluster;
use super::identity::StreamKey;
use super::journal::JournalEntry;
use super::lane::{Intended, Lane, LaneRules, SealedBatch};
use super::live_cluster::LiveCluster;
use super::outcome::Role;
use super::peer_error::PeerError;
use super::phase::{Counters, Event, Phase, StepPlan};
use super::producer_connection;
use super::statistics::Statistics;
use crate::base::{BrokerId, Offset, ProducerId};
use crate::io::clock::monotonic_ns;

/// How often a producer looks whether it is done, once it may be soon.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// And before that, at least.
const LOOK_SELDOM: Duration = Duration::from_millis(100);
/// How long connections may take for their last word.
const LAST_SIGN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a producer id is asked for again.
const INIT_PAUSE: Duration = Duration::from_millis(100);

/// What all producers of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct ProducerSettings {
    /// −1 (all), 0 or 1, as in the request.
    pub acks: i16,
    pub request_timeout_ms: i32,
    pub in_flight_max: usize,
    /// A batch is about this large at most; see `BatchWriter::messages_per_batch`.
    pub batch_bytes: usize,
    /// A request takes batches of several partitions up to here.
    pub request_bytes_max: usize,
    pub message_bytes: usize,
    pub idempotent: bool,
    pub rules: LaneRules,
    /// How long after the end of the schedule the rest may take.
    pub drain_timeout_ns: u64,
}

/// See the module.
pub struct Producer {
    pub settings: ProducerSettings,
    pub lanes: RefCell<Vec<Lane>>,
    /// By lane: the place of its partition among the run's.
    pub partition_of_lane: Vec<usize>,
    pub cluster: Rc<LiveCluster>,
    pub writer: RefCell<BatchWriter>,
    /// Buffers of batches that were acknowledged.
    pub buffers: RefCell<Vec<Vec<u8>>>,
    pub statistics: Rc<RefCell<Statistics>>,
    pub counters: Arc<Counters>,
    pub journal: Option<std::sync::mpsc::Sender<JournalEntry>>,
    pub stopping: Cell<bool>,
    /// `lanes_version` rose, connections are to be opened again, or the producer is stopping.
    pub woken: Notify,
    /// Rises when connections are to be closed and opened again.
    pub connection_generation: Cell<u64>,
    /// Rises when a connection may find more to send than it knows of: every one looks at its lanes anew.
    lanes_version: Cell<u64>,
    measure_from_ns: Cell<u64>,
    connections_tried: Cell<usize>,
}

impl Reconnect for Producer {
    fn reconnect(&self) {
        self.connection_generation.set(self.connection_generation.get() + 1);
        self.woken.notify_waiters();
    }
}

/// Reused buffers, per producer.
const BUFFERS_MAX: usize = 256;

impl Producer {
    #[expect(clippy::too_many_arguments, reason = "made in one place, and every part is different")]
    pub fn new(
        settings: ProducerSettings,
        lanes: Vec<Lane>,
        partition_of_lane: Vec<usize>,
        cluster: Rc<LiveCluster>,
        writer: BatchWriter,
        statistics: Rc<RefCell<Statistics>>,
        counters: Arc<Counters>,
        journal: Option<std::sync::mpsc::Sender<JournalEntry>>,
    ) -> Producer {
        Producer {
            settings,
            lanes: RefCell::new(lanes),
            partition_of_lane,
            cluster,
            writer: RefCell::new(writer),
            buffers: RefCell::new(Vec::new()),
            statistics,
            counters,
            journal,
            stopping: Cell::new(false),
            woken: Notify::new(),
            connection_generation: Cell::new(0),
            lanes_version: Cell::new(0),
            measure_from_ns: Cell::new(u64::MAX),
            connections_tried: Cell::new(0),
        }
    }

    /// Runs from connecting to the last acknowledgement. Returns what it knows of each of its streams.
    pub async fn run(
        self: Rc<Self>,
        mut phase: watch::Receiver<Phase>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Vec<(StreamKey, Produced)> {
        if self.settings.idempotent {
            self.init_producer_id().await;
        }
        let mut tasks = JoinSet::new();
        let mut connected = BTreeSet::new();
        self.connect_to_leaders(&mut connected, &mut tasks);
        while self.connections_tried.get() < connected.len() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // The receiver is gone only when the main thread is.
        let _ = events.send(Event::Ready);
        let mut step: Option<StepPlan> = None;
        let mut steps_done = 0;
        let mut cluster_version = self.cluster.version();
        loop {
            if phase.has_changed().unwrap_or(false) {
                let now = phase.borrow_and_update().clone();
                match now {
                    Phase::Prepare | Phase::Collect => {}
                    Phase::Run { step: plan, .. } => {
                        self.take_plan(&plan, step.is_none_or(|step| step.number != plan.number));
                        step = Some(plan);
                    }
                    Phase::Finish { .. } | Phase::Stop => break,
                }
                self.look_again();
            }
            if self.cluster.version() != cluster_version {
                cluster_version = self.cluster.version();
                self.connect_to_leaders(&mut connected, &mut tasks);
            }
            let now_ns = monotonic_ns();
            let mut pause = LOOK_SELDOM;
            if let Some(plan) = step.filter(|plan| plan.number > steps_done) {
                let deadline_ns = plan.end_ns.saturating_add(self.settings.drain_timeout_ns);
                if now_ns >= deadline_ns || self.lanes.borrow().iter().all(|lane| lane.is_done(now_ns)) {
                    steps_done = plan.number;
                    self.end_step(now_ns);
                    let _ = events.send(Event::StepDone(plan.number));
                } else {
                    // Without an end in time, the quota may be used up at any moment.
                    let rest_ns = if plan.end_ns == u64::MAX { 0 } else { plan.end_ns.saturating_sub(now_ns) };
                    pause = Duration::from_nanos(rest_ns).clamp(LOOK_EVERY, LOOK_SELDOM);
                }
            }
            tokio::select! {
                _ = phase.changed() => phase.mark_changed(),
                () = self.cluster.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.finish(tasks).await;
        let _ = events.send(Event::ProducerDone);
        let produced = |lane: &Lane| (lane.stream, lane.produced.clone());
        self.lanes.borrow().iter().map(produced).collect()
    }

    fn connect_to_leaders(self: &Rc<Self>, connected: &mut BTreeSet<BrokerId>, tasks: &mut JoinSet<()>) {
        for index in &self.partition_of_lane {
            if let Some(leader) = self.cluster.leader(*index)
                && connected.insert(leader)
            {
                tasks.spawn_local(producer_connection::serve(self.clone(), leader));
            }
        }
    }

    fn take_plan(&self, plan: &StepPlan, is_new: bool) {
        for lane in self.lanes.borrow_mut().iter_mut() {
            match is_new {
                true => lane.schedule.start(plan.pace, plan.start_ns, plan.end_ns),
                false => lane.schedule.end_at(plan.end_ns),
            }
        }
        self.measure_from_ns.set(plan.measure_from_ns);
    }

    /// What is still under way goes on, and counts for no step.
    fn end_step(&self, now_ns: u64) {
        let mut statistics = self.statistics.borrow_mut();
        for lane in self.lanes.borrow_mut().iter_mut() {
            statistics.troubles.unsent += lane.cut_off(now_ns);
            lane.book(&mut statistics.troubles);
        }
    }

    async fn finish(&self, mut tasks: JoinSet<()>) {
        let now_ns = monotonic_ns();
        self.stopping.set(true);
        {
            let mut statistics = self.statistics.borrow_mut();
            for lane in self.lanes.borrow_mut().iter_mut() {
                statistics.troubles.unsent += lane.abandon(now_ns);
                lane.book(&mut statistics.troubles);
                if let Some(journal) = &self.journal {
                    let _ = journal.send(JournalEntry::Sent { stream: lane.stream, up_to: lane.produced.sent });
                }
            }
        }
        self.woken.notify_waiters();
        if self.settings.acks != 0 {
            tasks.abort_all();
        }
        let joined = async { while tasks.join_next().await.is_some() {} };
        // With acks 0 they still wait for a sign that everything arrived, see `producer_connection`.
        let _ = tokio::time::timeout(LAST_SIGN_TIMEOUT, joined).await;
    }

    pub fn lanes_version(&self) -> u64 {
        self.lanes_version.get()
    }

    /// The phase changed, or a lane that has moved has nothing left at the broker that led it before: its connection now may send for it.
    pub fn look_again(&self) {
        self.lanes_version.set(self.lanes_version.get() + 1);
        self.woken.notify_waiters();
    }

    /// A connection task has tried to connect for the first time.
    pub fn connection_tried(&self) {
        self.connections_tried.set(self.connections_tried.get() + 1);
    }

    /// Takes an acknowledgement of a lane's oldest batch into all the books.
    pub fn acknowledged(&self, broker: BrokerId, lane: usize, base_offset: Option<Offset>, now_ns: u64) {
        let (batch, stream) = {
            let lane = &mut self.lanes.borrow_mut()[lane];
            (lane.acknowledged(base_offset), lane.stream)
        };
        if let Some(journal) = &self.journal {
            let offset = base_offset.map(|offset| offset.0);
            let _ = journal.send(JournalEntry::Acknowledged { stream, first: batch.first, count: batch.count, offset });
        }
        self.settle(broker, batch, now_ns);
    }

    /// The same for a batch that nobody acknowledges (acks 0): it has left.
    pub fn sent_blindly(&self, broker: BrokerId, lane: usize, now_ns: u64) {
        let batch = self.lanes.borrow_mut()[lane].sent_blindly();
        self.settle(broker, batch, now_ns);
    }

    fn settle(&self, broker: BrokerId, batch: SealedBatch, now_ns: u64) {
        self.counters.acknowledge(batch.count);
        {
            let statistics = &mut *self.statistics.borrow_mut();
            let warm = batch.intended.due_before(self.measure_from_ns.get(), batch.count);
            for (is_measured, range) in [(false, 0..warm), (true, warm..batch.count)] {
                let messages = range.end - range.start;
                if messages == 0 {
                    continue;
                }
                let traffic = statistics.traffic(is_measured, Role::Producer, broker);
                match &batch.intended {
                    Intended::Same(at_ns) => traffic.from_intended.record(now_ns.saturating_sub(*at_ns), messages),
                    Intended::Each(times) => times[range.start as usize..range.end as usize]
                        .iter()
                        .for_each(|at_ns| traffic.from_intended.record(now_ns.saturating_sub(*at_ns), 1)),
                }
                traffic.from_sent.record(now_ns.saturating_sub(batch.sealed_ns), messages);
                traffic.messages += messages;
                traffic.message_bytes += messages * self.settings.message_bytes as u64;
                // A batch on the edge counts with its last message.
                traffic.wire_bytes += if range.end == batch.count { batch.bytes.len() as u64 } else { 0 };
                traffic.last_ns = now_ns;
            }
        }
        let mut buffers = self.buffers.borrow_mut();
        if let Ok(buffer) = Rc::try_unwrap(batch.bytes)
            && buffers.len() < BUFFERS_MAX
        {
            buffers.push(buffer);
        }
    }

    /// Whether what was due or sent at this time is measured.
    pub fn is_measured(&self, at_ns: u64) -> bool {
        at_ns >= self.measure_from_ns.get()
    }

    /// Asks for a producer id until a broker gives one (KIP-98: any broker does).
    async fn init_producer_id(&self) {
        loop {
            match self.try_init_producer_id().await {
                Ok((producer_id, producer_epoch)) => {
                    let mut lanes = self.lanes.borrow_mut();
                    lanes.iter_mut().for_each(|lane| lane.idempotent = Some((producer_id, producer_epoch)));
                    return;
                }
                Err(error) => self.statistics.borrow_mut().remark(error.to_string()),
            }
            tokio::time::sleep(INIT_PAUSE).await;
        }
    }

    async fn try_init_producer_id(&self) -> Result<(ProducerId, i16), PeerError> {
        let addresses: Vec<String> = self.cluster.image().brokers.values().cloned().collect();
        let mut connection = cluster::connect_any(&addresses).await?;
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        let answer = connection.call(&request, 4, "InitProducerId").await?;
        match answer.error_code {
            0 => Ok((ProducerId(answer.producer_id.0), answer.producer_epoch)),
            code => Err(connection.refused("InitProducerId", code, None)),
        }
    }
}
