//! One consumer: its partitions, one connection to each broker that leads one of them, and when it has read enough.
//!
//! Lives on one worker thread. Invariants: one fetch at a time is under way at each broker, as with stock clients; every partition of
//! the run belongs to exactly one consumer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::acknowledged_offsets::AcknowledgedOffsets;
use super::batch_reader::{BatchReader, Entry};
use super::checker::PartitionChecker;
use super::cluster::{self, LogEnd};
use super::connection::{CLIENT_ID, Connection};
use super::fetch_request::{self, FetchFrom, FetchSizes, PartitionRecords};
use super::live_cluster::LiveCluster;
use super::message::Message;
use super::peer_error::{self, PeerError};
use super::phase::{Counters, Event, Phase};
use super::statistics::{Statistics, Traffic};
use crate::base::BrokerId;
use crate::io::clock::monotonic_ns;

const LOOK_EVERY: Duration = Duration::from_millis(5);
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
    pub checker: PartitionChecker,
}

/// See the module.
pub struct Consumer {
    pub sizes: FetchSizes,
    readings: RefCell<Vec<Reading>>,
    cluster: Rc<LiveCluster>,
    statistics: Rc<RefCell<Statistics>>,
    counters: Arc<Counters>,
    acknowledged: Option<Arc<AcknowledgedOffsets>>,
    reader: RefCell<BatchReader>,
    measure_from_ns: Cell<u64>,
    stopping: Cell<bool>,
    woken: Notify,
    connections_tried: Cell<usize>,
}

impl Consumer {
    pub fn new(
        sizes: FetchSizes,
        readings: Vec<Reading>,
        cluster: Rc<LiveCluster>,
        statistics: Rc<RefCell<Statistics>>,
        counters: Arc<Counters>,
        acknowledged: Option<Arc<AcknowledgedOffsets>>,
    ) -> Consumer {
        Consumer {
            sizes,
            readings: RefCell::new(readings),
            cluster,
            statistics,
            counters,
            acknowledged,
            reader: RefCell::new(BatchReader::default()),
            measure_from_ns: Cell::new(u64::MAX),
            stopping: Cell::new(false),
            woken: Notify::new(),
            connections_tried: Cell::new(0),
        }
    }

    /// Runs from connecting until told to stop, or to drain and drained. Returns the checkers.
    pub async fn run(self: Rc<Self>, mut phase: watch::Receiver<Phase>, events: mpsc::UnboundedSender<Event>) -> Vec<PartitionChecker> {
        let mut tasks = JoinSet::new();
        let mut connected = BTreeSet::new();
        self.connect_to_leaders(&mut connected, &mut tasks);
        while self.connections_tried.get() < connected.len() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let _ = events.send(Event::Ready);
        let mut targets: Option<Arc<Vec<i64>>> = None;
        let mut cluster_version = self.cluster.version();
        loop {
            if phase.has_changed().unwrap_or(false) {
                match &*phase.borrow_and_update() {
                    Phase::Prepare => {}
                    Phase::Run { measure_from_ns, .. } => self.measure_from_ns.set(*measure_from_ns),
                    Phase::Drain { targets: wanted, measure_from_ns } => {
                        self.measure_from_ns.set(*measure_from_ns);
                        targets = Some(wanted.clone());
                    }
                    Phase::Stop => break,
                }
                self.woken.notify_waiters();
            }
            if self.cluster.version() != cluster_version {
                cluster_version = self.cluster.version();
                self.connect_to_leaders(&mut connected, &mut tasks);
            }
            let reached = |targets: &Arc<Vec<i64>>| self.readings.borrow().iter().all(|reading| reading.position >= targets[reading.index]);
            if targets.as_ref().is_some_and(reached) {
                break;
            }
            tokio::select! {
                _ = phase.changed() => phase.mark_changed(),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        self.stopping.set(true);
        self.woken.notify_waiters();
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let _ = events.send(Event::ConsumerDone);
        self.readings.borrow_mut().drain(..).map(|reading| reading.checker).collect()
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
            let address = self.cluster.image().brokers.get(&broker).cloned();
            let opened = match &address {
                Some(address) => Connection::open(address).await.map(Some),
                None => Ok(None),
            };
            if !std::mem::replace(&mut tried, true) {
                self.connections_tried.set(self.connections_tried.get() + 1);
            }
            let error = match opened {
                Ok(Some(connection)) => self.fetch_all(broker, connection).await.err(),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                let mut statistics = self.statistics.borrow_mut();
                statistics.disconnects += 1;
                statistics.remark(error.to_string());
            }
            self.cluster.refresh();
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Fetch after fetch, until the connection breaks or the consumer stops.
    async fn fetch_all(&self, broker: BrokerId, mut connection: Connection) -> Result<(), PeerError> {
        let mut request = Vec::new();
        let timeout = Duration::from_millis(self.sizes.wait_ms_max.max(0) as u64) + FETCH_GRACE;
        let mut turn = 0usize;
        while !self.stopping.get() {
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
                fetch_request::encode(correlation_id, CLIENT_ID, self.sizes, &from, &mut request);
            }
            connection.write_all(&request).await?;
            let frame = connection.await_frame("the answer to Fetch", timeout).await?;
            let now_ns = monotonic_ns();
            let outcome = self.take_answer(broker, &connection, frame, correlation_id, &mine, now_ns)?;
            for at in outcome.out_of_range {
                self.reposition(&mut connection, at).await?;
            }
            if outcome.retry {
                self.cluster.refresh();
                tokio::time::sleep(RECONNECT_PAUSE).await;
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
                0 => self.take_records(broker, &mut readings[mine[place]], records, &mut statistics, now_ns),
                OFFSET_OUT_OF_RANGE => outcome.out_of_range.push(mine[place]),
                code => {
                    *statistics.error_codes.entry(code).or_default() += 1;
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
        statistics.consumed.entry(broker).or_default().requests += 1;
        fatal.map_or(Ok(outcome), Err)
    }

    fn take_records(
        &self,
        broker: BrokerId,
        reading: &mut Reading,
        records: PartitionRecords<'_>,
        statistics: &mut Statistics,
        now_ns: u64,
    ) {
        let measure_from_ns = self.measure_from_ns.get();
        let mut arrived = 0;
        let traffic = statistics.consumed.entry(broker).or_default();
        let fault = self.reader.borrow_mut().read(records.records, |entry| match entry {
            // A compressed batch is sent whole, also the part before the offset that was asked for.
            Entry::Record { offset, .. } if offset < reading.position => {}
            Entry::Record { offset, value } => {
                if let Some((message, _)) = reading.checker.observe(offset, value) {
                    arrived += 1;
                    measure(traffic, &message, value, measure_from_ns, now_ns);
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
        if let Some(fault) = fault {
            let topic = String::from_utf8_lossy(records.topic);
            statistics.remark(format!("{topic}-{}: {fault}", records.partition));
        }
    }

    /// The log does not reach to where we read, or no longer begins there: goes on where it does.
    async fn reposition(&self, connection: &mut Connection, at: usize) -> Result<(), PeerError> {
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
            // Retention overtook us; the checker sees the offsets that are gone as a gap.
            reading.position = earliest[index];
        }
        Ok(())
    }
}

#[derive(Default)]
struct Outcome {
    out_of_range: Vec<usize>,
    retry: bool,
}

/// Books one message that arrived. Throughput counts what arrives in the measured part; latency only what was due in it, so that
/// what was produced long ago, or on another machine, adds none.
fn measure(traffic: &mut Traffic, message: &Message, value: Option<&[u8]>, measure_from_ns: u64, now_ns: u64) {
    if now_ns < measure_from_ns {
        return;
    }
    traffic.messages += 1;
    traffic.message_bytes += value.map_or(0, <[u8]>::len) as u64;
    traffic.last_ns = now_ns;
    if (measure_from_ns..=now_ns).contains(&message.intended_ns) {
        traffic.latencies.record(now_ns - message.intended_ns, 1);
    }
}
