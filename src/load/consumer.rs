//! One consumer: its partitions, one connection to each broker that leads one of them, and when it has read enough.
//!
//! Lives on one worker thread. Invariants: one fetch at a time is under way at each broker, as with stock clients; every partition of
//! the run belongs to exactly one consumer of each copy of the readers. A backfill reader goes from the start of the log to where the
//! end was when it began, and then begins again. A slow reader waits after each answer for as long as its rate allows that many.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::acknowledged_offsets::AcknowledgedOffsets;
use super::batch_reader::{BatchReader, Entry};
use super::checker::{PartitionChecker, Verdict};
use super::churn::Reconnect;
use super::cluster::{self, LogEnd};
use super::connection::{CLIENT_ID, Connection};
use super::fetch_request::{self, FetchFrom, FetchSizes, PartitionRecords};
use super::live_cluster::LiveCluster;
use super::message::Message;
use super::outcome::Role;
use super::peer_error::{self, PeerError};
use super::phase::{Counters, Event, Phase, Targets};
use super::statistics::{Statistics, Traffic};
use crate::base::BrokerId;
use crate::io::clock::monotonic_ns;

/// How often a consumer looks whether it has reached its targets; without any it waits to be told.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOK_SELDOM: Duration = Duration::from_millis(200);
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// What an answer may take beyond the time that the broker may wait.
const FETCH_GRACE: Duration = Duration::from_secs(30);
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// One partition being read.
#[derive(Debug)]
pub struct Reading {
    /// Its place among the run's partitions.
    pub index: usize,
    /// The offset to fetch next.
    pub position: i64,
    /// Where a backfill reader's pass ends: the high watermark of its first answer.
    pub pass_end: Option<i64>,
    pub checker: PartitionChecker,
}

/// What kind of reader it is.
#[derive(Clone, Copy, Debug)]
pub struct ReaderRules {
    pub role: Role,
    /// Which of those that read everything for themselves, from 0.
    pub copy: usize,
    pub sizes: FetchSizes,
    /// It reads no faster than this.
    pub messages_per_s_max: Option<f64>,
}

/// What a consumer saw.
#[derive(Debug)]
pub struct ReadAccount {
    pub role: Role,
    pub copy: usize,
    pub partitions: Vec<PartitionChecker>,
    /// Of passes that were over before the end.
    pub passed: Verdict,
}

/// See the module.
pub struct Consumer {
    rules: ReaderRules,
    readings: RefCell<Vec<Reading>>,
    cluster: Rc<LiveCluster>,
    statistics: Rc<RefCell<Statistics>>,
    counters: Arc<Counters>,
    acknowledged: Option<Arc<AcknowledgedOffsets>>,
    reader: RefCell<BatchReader>,
    /// The account of a backfill reader's passes that are over.
    passed: RefCell<Verdict>,
    connection_generation: Cell<u64>,
    measure_from_ns: Cell<u64>,
    stopping: Cell<bool>,
    woken: Notify,
    connections_tried: Cell<usize>,
}

impl Consumer {
    pub fn new(
        rules: ReaderRules,
        readings: Vec<Reading>,
        cluster: Rc<LiveCluster>,
        statistics: Rc<RefCell<Statistics>>,
        counters: Arc<Counters>,
        acknowledged: Option<Arc<AcknowledgedOffsets>>,
    ) -> Consumer {
        Consumer {
            rules,
            readings: RefCell::new(readings),
            cluster,
            statistics,
            counters,
            acknowledged,
            reader: RefCell::new(BatchReader::default()),
            passed: RefCell::new(Verdict::default()),
            connection_generation: Cell::new(0),
            measure_from_ns: Cell::new(u64::MAX),
            stopping: Cell::new(false),
            woken: Notify::new(),
            connections_tried: Cell::new(0),
        }
    }

    /// Runs from connecting until told to stop; says when it has reached targets. Returns the checkers.
    pub async fn run(self: Rc<Self>, mut phase: watch::Receiver<Phase>, events: mpsc::UnboundedSender<Event>) -> ReadAccount {
        let mut tasks = JoinSet::new();
        let mut connected = BTreeSet::new();
        self.connect_to_leaders(&mut connected, &mut tasks);
        while self.connections_tried.get() < connected.len() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let _ = events.send(Event::Ready);
        let mut targets: Option<Targets> = None;
        let mut cluster_version = self.cluster.version();
        loop {
            if phase.has_changed().unwrap_or(false) {
                let now = phase.borrow_and_update().clone();
                match now {
                    Phase::Prepare | Phase::Collect => {}
                    Phase::Run { step, targets: wanted } => {
                        self.measure_from_ns.set(step.measure_from_ns);
                        targets = wanted;
                    }
                    Phase::Finish { targets: wanted } => targets = wanted,
                    Phase::Stop => break,
                }
                self.woken.notify_waiters();
            }
            if self.cluster.version() != cluster_version {
                cluster_version = self.cluster.version();
                self.connect_to_leaders(&mut connected, &mut tasks);
            }
            let reached =
                |targets: &mut Targets| self.readings.borrow().iter().all(|reading| reading.position >= targets.offsets[reading.index]);
            // Slow readers and backfills never catch up, and nobody waits for them.
            if self.rules.role == Role::TailReader
                && let Some(reached) = targets.take_if(reached)
            {
                let _ = events.send(Event::Reached(reached.number));
            }
            let pause = if targets.is_some() { LOOK_EVERY } else { LOOK_SELDOM };
            tokio::select! {
                _ = phase.changed() => phase.mark_changed(),
                () = self.cluster.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.stopping.set(true);
        self.woken.notify_waiters();
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let partitions = self.readings.borrow_mut().drain(..).map(|reading| reading.checker).collect();
        ReadAccount { role: self.rules.role, copy: self.rules.copy, partitions, passed: self.passed.take() }
    }

    fn connect_to_leaders(self: &Rc<Self>, connected: &mut BTreeSet<BrokerId>, tasks: &mut JoinSet<()>) {
        for reading in self.readings.borrow().iter() {
            if let Some(leader) = self.cluster.leader(reading.index)
                && connected.insert(leader)
            {
                tasks.spawn_local(self.clone().serve(leader));
            }
        }
    }

    async fn serve(self: Rc<Self>, broker: BrokerId) {
        let mut tried = false;
        while !self.stopping.get() {
            let generation = self.connection_generation.get();
            let address = self.cluster.image().brokers.get(&broker).cloned();
            let begun_ns = monotonic_ns();
            let opened = match &address {
                Some(address) => Connection::open(address).await.map(Some),
                None => Ok(None),
            };
            if !std::mem::replace(&mut tried, true) {
                self.connections_tried.set(self.connections_tried.get() + 1);
            }
            let ended = match opened {
                Ok(Some(connection)) => {
                    if self.is_measured(begun_ns) {
                        self.statistics.borrow_mut().connects.record(monotonic_ns() - begun_ns, 1);
                    }
                    self.fetch_all(broker, connection, generation).await.map(Some)
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match ended {
                Ok(Some(())) if !self.stopping.get() => {
                    self.statistics.borrow_mut().troubles.churned += 1;
                    continue;
                }
                Ok(_) => {}
                Err(error) => self.statistics.borrow_mut().disconnected(&error),
            }
            self.cluster.refresh();
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    fn is_measured(&self, at_ns: u64) -> bool {
        at_ns >= self.measure_from_ns.get()
    }

    /// Fetch after fetch, until the connection breaks or is to be closed, or the consumer stops.
    async fn fetch_all(&self, broker: BrokerId, mut connection: Connection, generation: u64) -> Result<(), PeerError> {
        let mut request = Vec::new();
        let timeout = Duration::from_millis(self.rules.sizes.wait_ms_max.max(0) as u64) + FETCH_GRACE;
        let mut turn = 0usize;
        let mut may_read_ns = 0;
        while !self.stopping.get() && self.connection_generation.get() == generation {
            let mut mine: Vec<usize> = {
                let readings = self.readings.borrow();
                (0..readings.len()).filter(|at| self.cluster.leader(readings[*at].index) == Some(broker)).collect()
            };
            // Before the start there is nothing to measure, and nothing is read.
            if mine.is_empty() || self.measure_from_ns.get() == u64::MAX {
                tokio::select! {
                    () = self.cluster.changed() => {}
                    () = self.woken.notified() => {}
                }
                continue;
            }
            // An answer may be full before the last partition: another one comes first each time.
            let partitions = mine.len();
            mine.rotate_left(turn % partitions);
            turn = turn.wrapping_add(1);
            let correlation_id = connection.next_correlation_id();
            {
                let readings = self.readings.borrow();
                let from = |at: &usize| {
                    let reading = &readings[*at];
                    let key = self.cluster.keys[reading.index];
                    FetchFrom { topic: &self.cluster.topics[key.topic.0 as usize].name, partition: key.partition, offset: reading.position }
                };
                let from: Vec<FetchFrom<'_>> = mine.iter().map(from).collect();
                fetch_request::encode(correlation_id, CLIENT_ID, self.rules.sizes, &from, &mut request);
            }
            let sent_ns = monotonic_ns();
            connection.write_all(&request).await?;
            let frame = connection.await_frame("the answer to Fetch", timeout).await?;
            let now_ns = monotonic_ns();
            let outcome = self.take_answer(broker, &connection, frame, correlation_id, &mine, now_ns)?;
            {
                let mut statistics = self.statistics.borrow_mut();
                let traffic = statistics.traffic(self.is_measured(sent_ns), self.rules.role, broker);
                traffic.requests += 1;
                traffic.round_trips.record(now_ns - sent_ns, 1);
            }
            for at in outcome.out_of_range {
                self.reposition(&mut connection, broker, at).await?;
            }
            if self.rules.role == Role::BackfillReader {
                for at in mine {
                    self.begin_again_if_passed(&mut connection, at).await?;
                }
            }
            if outcome.retry {
                self.cluster.refresh();
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            if let Some(messages_per_s) = self.rules.messages_per_s_max {
                may_read_ns = now_ns.max(may_read_ns) + (outcome.arrived as f64 * 1e9 / messages_per_s) as u64;
                tokio::time::sleep(Duration::from_nanos(may_read_ns - now_ns)).await;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn take_answer(
        &self,
        broker: BrokerId,
        connection: &Connection,
        frame: std::ops::Range<usize>,
        correlation_id: i32,
        mine: &[usize],
        now_ns: u64,
    ) -> Result<Outcome, PeerError> {
        let body = connection.body(frame, correlation_id)?;
        let mut outcome = Outcome::default();
        let mut fatal = None;
        let mut readings = self.readings.borrow_mut();
        let mut statistics = self.statistics.borrow_mut();
        let mut expected = 0;
        let answer_code = fetch_request::decode(body, |records| {
            let is = |at: &usize| {
                let key = self.cluster.keys[readings[*at].index];
                key.partition == records.partition && self.cluster.topics[key.topic.0 as usize].name.as_bytes() == records.topic
            };
            // Brokers answer in the order of the request, as a rule.
            let place = if mine.get(expected).is_some_and(is) { Some(expected) } else { mine.iter().position(is) };
            let Some(place) = place else { return };
            expected = place + 1;
            match records.error_code {
                0 => outcome.arrived += self.take_records(broker, &mut readings[mine[place]], records, &mut statistics, now_ns),
                OFFSET_OUT_OF_RANGE => outcome.out_of_range.push(mine[place]),
                code => {
                    statistics.error(code);
                    outcome.retry = true;
                    if !peer_error::is_retriable(code) {
                        let topic = String::from_utf8_lossy(records.topic);
                        fatal = Some(connection.refused(&format!("Fetch of {topic}-{}", records.partition), code, None));
                    }
                }
            }
        });
        let answer_code = answer_code.map_err(|error| PeerError::garbled(&connection.address, "Fetch", error))?;
        if answer_code != 0 {
            return Err(connection.refused("Fetch", answer_code, None));
        }
        fatal.map_or(Ok(outcome), Err)
    }

    fn take_records(
        &self,
        broker: BrokerId,
        reading: &mut Reading,
        records: PartitionRecords<'_>,
        statistics: &mut Statistics,
        now_ns: u64,
    ) -> u64 {
        let role = self.rules.role;
        // The age of what a backfill reads is no latency.
        let due_from_ns = if role == Role::BackfillReader { u64::MAX } else { self.measure_from_ns.get() };
        let mut arrived = 0;
        let traffic = statistics.traffic(self.is_measured(now_ns), role, broker);
        let fault = self.reader.borrow_mut().read(records.records, |entry| match entry {
            // A compressed batch is sent whole, also the part before the offset that was asked for.
            Entry::Record { offset, .. } if offset < reading.position => {}
            Entry::Record { offset, value } => {
                if let Some((message, _)) = reading.checker.observe(offset, value) {
                    arrived += 1;
                    measure(traffic, &message, value, due_from_ns, now_ns);
                    if let Some(acknowledged) = &self.acknowledged
                        && acknowledged.confirms(message.stream, message.sequence, offset)
                    {
                        reading.checker.stream_mut(message.stream).confirm_offset(message.sequence);
                    }
                }
                reading.position = offset + 1;
            }
            Entry::Control { first, last } => {
                reading.checker.skip(first.max(reading.position), last);
                reading.position = reading.position.max(last.saturating_add(1));
            }
            Entry::Corrupt { first, last } => {
                reading.checker.faults.corrupt += 1;
                // Go on behind it, or the same batch would come for ever.
                let next = last.max(first).max(reading.position).saturating_add(1);
                reading.checker.skip(reading.position, next - 1);
                reading.position = next;
            }
        });
        traffic.wire_bytes += records.records.len() as u64;
        self.counters.receive(arrived);
        if role == Role::BackfillReader {
            reading.pass_end.get_or_insert(records.high_watermark);
        }
        if let Some(fault) = fault {
            let topic = String::from_utf8_lossy(records.topic);
            statistics.remark(format!("{topic}-{}: {fault}", records.partition));
        }
        arrived
    }

    /// A backfill reader that is through begins again at the start of the log.
    async fn begin_again_if_passed(&self, connection: &mut Connection, at: usize) -> Result<(), PeerError> {
        let (index, position) = {
            let reading = &self.readings.borrow()[at];
            match reading.pass_end {
                Some(end) if reading.position >= end => (reading.index, reading.position),
                _ => return Ok(()),
            }
        };
        let (topics, keys) = (&self.cluster.topics, &self.cluster.keys);
        let mut earliest = vec![0; keys.len()];
        cluster::list_offsets_at(connection, topics, keys, &[index], LogEnd::Earliest, &mut earliest).await?;
        let start = earliest[index];
        let reading = &mut self.readings.borrow_mut()[at];
        reading.pass_end = None;
        if start < position {
            let fresh = PartitionChecker::new(keys[index], Some(start));
            let passed = std::mem::replace(&mut reading.checker, fresh);
            self.passed.borrow_mut().add(Verdict::of_part(topics, &[passed]));
            reading.position = start;
        }
        Ok(())
    }

    /// The log does not reach to where we read, or no longer begins there: goes on where it does.
    async fn reposition(&self, connection: &mut Connection, broker: BrokerId, at: usize) -> Result<(), PeerError> {
        let (index, position) = {
            let readings = self.readings.borrow();
            (readings[at].index, readings[at].position)
        };
        let (topics, keys) = (&self.cluster.topics, &self.cluster.keys);
        let (mut earliest, mut latest) = (vec![0; keys.len()], vec![0; keys.len()]);
        cluster::list_offsets_at(connection, topics, keys, &[index], LogEnd::Earliest, &mut earliest).await?;
        cluster::list_offsets_at(connection, topics, keys, &[index], LogEnd::Latest, &mut latest).await?;
        let reading = &mut self.readings.borrow_mut()[at];
        if position > latest[index] {
            reading.checker.truncated_to(latest[index]);
            reading.position = latest[index];
        } else if position < earliest[index] {
            // Retention overtook us.
            reading.checker.overtaken(earliest[index]);
            reading.position = earliest[index];
            let mut statistics = self.statistics.borrow_mut();
            let traffic = statistics.traffic(self.is_measured(monotonic_ns()), self.rules.role, broker);
            traffic.overtaken += 1;
            traffic.missed_offsets += (earliest[index] - position) as u64;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Outcome {
    arrived: u64,
    out_of_range: Vec<usize>,
    retry: bool,
}

/// Books one message that arrived. Throughput counts what arrives in the measured part; latency only what was due in it, so that
/// what was produced long ago, or on another machine, adds none.
fn measure(traffic: &mut Traffic, message: &Message, value: Option<&[u8]>, due_from_ns: u64, now_ns: u64) {
    traffic.messages += 1;
    traffic.message_bytes += value.map_or(0, <[u8]>::len) as u64;
    traffic.last_ns = now_ns;
    if (due_from_ns..=now_ns).contains(&message.intended_ns) {
        traffic.from_intended.record(now_ns - message.intended_ns, 1);
        traffic.from_sent.record(now_ns.saturating_sub(message.sent_ns), 1);
    }
}

impl Reconnect for Consumer {
    /// After the answer that it waits for.
    fn reconnect(&self) {
        self.connection_generation.set(self.connection_generation.get() + 1);
    }
}
