//! A producer's connection to one broker: fills the window with requests, reads the answers, reconnects when it breaks.
//!
//! Lives on a worker thread. Invariants: at most `in_flight_max` requests are under way; answers come in request order; a lane that is
//! due stands in `queue` at `scheduled[lane]`, and an entry with another time is stale.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use super::connection::{CLIENT_ID, Connection};
use super::journal::JournalEntry;
use super::lane::{Builder, Failure, NEVER_NS};
use super::outcome::Role;
use super::peer_error::{self, PeerError};
use super::precise_timer::PreciseTimer;
use super::produce_request::{self, PartitionBatch, Piece};
use super::producer::Producer;
use super::stall::Stall;
use crate::base::{BrokerId, Offset};
use crate::io::clock::{monotonic_ns, wall_ms};

const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Pieces handed to one write; IOV_MAX is 1024.
const PIECES_PER_WRITE: usize = 64;
/// Kafka's OUT_OF_ORDER_SEQUENCE_NUMBER and DUPLICATE_SEQUENCE_NUMBER (KIP-98).
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const DUPLICATE_SEQUENCE: i16 = 46;

/// Keeps a connection to `broker` for as long as the producer runs.
pub async fn serve(producer: Rc<Producer>, broker: BrokerId) {
    let mut tried = false;
    while !producer.stopping.get() {
        let generation = producer.connection_generation.get();
        let address = producer.cluster.image().brokers.get(&broker).cloned();
        let begun_ns = monotonic_ns();
        let opened = match &address {
            Some(address) => Some(Connection::open(address).await),
            None => None,
        };
        if !std::mem::replace(&mut tried, true) {
            producer.connection_tried();
        }
        let ended = match opened {
            Some(Ok(connection)) => {
                if producer.is_measured(begun_ns) {
                    producer.statistics.borrow_mut().connects.record(monotonic_ns() - begun_ns, 1);
                }
                Driver::new(&producer, broker, connection, generation).drive().await.map(Some)
            }
            Some(Err(error)) => Err(error),
            None => Ok(None),
        };
        if producer.stopping.get() {
            return;
        }
        match ended {
            Ok(Some(())) => {
                producer.statistics.borrow_mut().troubles.churned += 1;
                continue;
            }
            Ok(None) => {}
            Err(error) => producer.statistics.borrow_mut().disconnected(&error),
        }
        producer.cluster.refresh();
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

struct RequestInFlight {
    correlation_id: i32,
    sent_ns: u64,
    lanes: Vec<usize>,
}

struct Driver<'a> {
    producer: &'a Producer,
    broker: BrokerId,
    connection: Connection,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    scheduled: Vec<u64>,
    in_flight: VecDeque<RequestInFlight>,
    out: VecDeque<Piece>,
    /// Bytes of the first piece that are already written.
    written: usize,
    cluster_version: u64,
    lanes_version: u64,
    /// Of the producer's connections when this one was opened.
    generation: u64,
    /// Since when the window and the socket have had room for a request. `u64::MAX`: they have none.
    room_since_ns: u64,
    stall: Stall,
}

impl Drop for Driver<'_> {
    /// However the connection ends, its lanes learn that no answer will come.
    fn drop(&mut self) {
        let now_ns = monotonic_ns();
        let mut lanes = self.producer.lanes.borrow_mut();
        let mut lost: Vec<usize> = self.in_flight.drain(..).flat_map(|request| request.lanes).collect();
        lost.sort_unstable();
        lost.dedup();
        for lane in lost {
            lanes[lane].connection_lost(now_ns, &self.producer.settings.rules);
        }
        // Those that have moved meanwhile are another connection's now.
        self.producer.look_again();
    }
}

impl<'a> Driver<'a> {
    fn new(producer: &'a Producer, broker: BrokerId, connection: Connection, generation: u64) -> Driver<'a> {
        let mut driver = Driver {
            producer,
            broker,
            connection,
            queue: BinaryHeap::new(),
            scheduled: Vec::new(),
            in_flight: VecDeque::new(),
            out: VecDeque::new(),
            written: 0,
            cluster_version: 0,
            lanes_version: 0,
            generation,
            room_since_ns: monotonic_ns(),
            stall: Stall::default(),
        };
        driver.schedule_all();
        driver
    }

    /// Sends and receives until the connection breaks, is to be closed, or the producer stops.
    async fn drive(&mut self) -> Result<(), PeerError> {
        let mut timer = PreciseTimer::new().map_err(|source| self.connection.broken(source))?;
        while !self.producer.stopping.get() {
            let is_closing = self.producer.connection_generation.get() != self.generation;
            if is_closing && self.in_flight.is_empty() && self.out.is_empty() {
                break;
            }
            if self.producer.cluster.version() != self.cluster_version || self.producer.lanes_version() != self.lanes_version {
                self.schedule_all();
            }
            let mut progress = !is_closing && self.fill();
            progress |= self.write()?;
            progress |= self.read()?;
            if progress {
                // Other connections of this thread get their turn.
                tokio::task::yield_now().await;
                continue;
            }
            let wake_ns = self.next_wake_ns(is_closing)?;
            let write = !self.out.is_empty();
            let stream = &self.connection.stream;
            tokio::select! {
                ready = stream.readable() => ready.map_err(|source| self.connection.broken(source))?,
                ready = stream.writable(), if write => ready.map_err(|source| self.connection.broken(source))?,
                () = timer.wait(wake_ns) => {}
                () = self.producer.cluster.changed() => {}
                () = self.producer.woken.notified() => {}
            }
        }
        // What was sent with acks 0 must have arrived before anyone asks where the logs end.
        if self.producer.settings.acks == 0 && self.out.is_empty() {
            self.connection.ask_versions().await?;
        }
        Ok(())
    }

    /// Puts every lane that this broker leads into the queue anew.
    fn schedule_all(&mut self) {
        let now_ns = monotonic_ns();
        if self.cluster_version != self.producer.cluster.version() {
            // What another broker led until now could not be sent here.
            self.room_since_ns = self.room_since_ns.max(now_ns);
        }
        self.cluster_version = self.producer.cluster.version();
        self.lanes_version = self.producer.lanes_version();
        self.queue.clear();
        self.scheduled.clear();
        self.scheduled.resize(self.producer.partition_of_lane.len(), NEVER_NS);
        for lane in 0..self.scheduled.len() {
            if self.producer.cluster.leader(self.producer.partition_of_lane[lane]) == Some(self.broker) {
                self.schedule(lane, now_ns);
            }
        }
    }

    fn schedule(&mut self, lane: usize, now_ns: u64) {
        if self.producer.cluster.leader(self.producer.partition_of_lane[lane]) != Some(self.broker) {
            // It moved while answers were under way here, and until now its leader's connection could not send for it.
            if !self.producer.lanes.borrow()[lane].has_in_flight() {
                self.producer.look_again();
            }
            return;
        }
        let wake_ns = self.producer.lanes.borrow_mut()[lane].wake_ns(self.broker, now_ns, &self.producer.settings.rules);
        if wake_ns != self.scheduled[lane] {
            self.scheduled[lane] = wake_ns;
            if wake_ns != NEVER_NS {
                self.queue.push(Reverse((wake_ns, lane)));
            }
        }
    }

    /// Whether a request may begin: the window is not full, and what was begun before has left.
    fn has_room(&self) -> bool {
        self.in_flight.len() < self.producer.settings.in_flight_max && self.out.is_empty()
    }

    /// Builds requests of what is due until the window is full. Returns whether there was any.
    fn fill(&mut self) -> bool {
        if !self.has_room() {
            return false;
        }
        let mut any = false;
        while self.in_flight.len() < self.producer.settings.in_flight_max {
            let now_ns = monotonic_ns();
            let batches = self.collect(now_ns);
            if batches.is_empty() {
                break;
            }
            any = true;
            let settings = &self.producer.settings;
            let correlation_id = self.connection.next_correlation_id();
            let lanes = batches.iter().map(|(lane, _)| *lane).collect::<Vec<_>>();
            let batches: Vec<PartitionBatch> = batches.into_iter().map(|(_, batch)| batch).collect();
            produce_request::encode(correlation_id, CLIENT_ID, settings.acks, settings.request_timeout_ms, &batches, &mut self.out);
            lanes.iter().for_each(|lane| self.schedule(*lane, now_ns));
            self.in_flight.push_back(RequestInFlight { correlation_id, sent_ns: now_ns, lanes });
        }
        any
    }

    /// The batches of one request: at most one per lane, those first that are due longest; in the order of the lanes.
    fn collect(&mut self, now_ns: u64) -> Vec<(usize, PartitionBatch)> {
        let settings = &self.producer.settings;
        let mut batches: Vec<(usize, PartitionBatch)> = Vec::new();
        let mut bytes = 0;
        let timestamp = wall_ms();
        while bytes == 0 || bytes + settings.batch_bytes <= settings.request_bytes_max {
            let Some(Reverse((wake_ns, lane))) = self.queue.peek().copied().filter(|Reverse((wake_ns, _))| *wake_ns <= now_ns) else {
                break;
            };
            self.queue.pop();
            if self.scheduled[lane] != wake_ns {
                continue;
            }
            self.scheduled[lane] = NEVER_NS;
            let mut lanes = self.producer.lanes.borrow_mut();
            let mut writer = self.producer.writer.borrow_mut();
            let mut buffers = self.producer.buffers.borrow_mut();
            let mut builder = Builder { writer: &mut writer, buffers: &mut buffers, timestamp };
            let taken = &mut lanes[lane];
            if let Some(batch) = taken.take(self.broker, now_ns, &settings.rules, &mut builder) {
                bytes += batch.len();
                if taken.schedule.is_paced() {
                    let could_leave_ns = wake_ns.max(self.room_since_ns).max(taken.held_until_ns());
                    let late_ns = self.stall.late_ns(wake_ns, could_leave_ns, now_ns);
                    if self.producer.is_measured(wake_ns) {
                        self.producer.statistics.borrow_mut().lateness.record(late_ns, taken.last_sent_messages());
                    }
                }
                if let (Some(journal), Some(again)) = (&self.producer.journal, taken.sent_again()) {
                    let _ = journal.send(JournalEntry::Retried { stream: taken.stream, first: again.first, count: again.count });
                }
                batches.push((lane, PartitionBatch { topic: taken.topic.clone(), partition: taken.stream.partition.partition, batch }));
            } else {
                drop((lanes, writer, buffers));
                self.schedule(lane, now_ns);
            }
        }
        batches.sort_unstable_by_key(|(lane, _)| *lane);
        batches
    }

    /// Writes what the socket takes. Returns whether it took anything.
    fn write(&mut self) -> Result<bool, PeerError> {
        let mut any = false;
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
            let mut count = 0;
            for (slot, piece) in slices.iter_mut().zip(&self.out) {
                *slot = IoSlice::new(if count == 0 { &piece.bytes()[self.written..] } else { piece.bytes() });
                count += 1;
            }
            match self.connection.stream.try_write_vectored(&slices[..count]) {
                Ok(bytes) => {
                    self.advance(bytes);
                    any = true;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.room_since_ns = u64::MAX;
                    break;
                }
                Err(source) => return Err(self.connection.broken(source)),
            }
        }
        if self.in_flight.len() >= self.producer.settings.in_flight_max {
            self.room_since_ns = u64::MAX;
        } else if self.out.is_empty() && self.room_since_ns == u64::MAX {
            self.room_since_ns = monotonic_ns();
        }
        // Acks 0 has no answers: a request that has left is over.
        if self.producer.settings.acks == 0 && self.out.is_empty() && !self.in_flight.is_empty() {
            let now_ns = monotonic_ns();
            while let Some(request) = self.in_flight.pop_front() {
                self.book_request(&request, now_ns);
                for lane in request.lanes {
                    self.producer.sent_blindly(self.broker, lane, now_ns);
                    self.schedule(lane, now_ns);
                }
            }
            self.room_since_ns = now_ns;
        }
        Ok(any)
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(piece) = self.out.front() {
            let rest = piece.bytes().len() - self.written;
            if bytes < rest {
                self.written += bytes;
                return;
            }
            bytes -= rest;
            self.written = 0;
            self.out.pop_front();
        }
    }

    /// Reads what is there and takes the answers. Returns whether there was any.
    fn read(&mut self) -> Result<bool, PeerError> {
        if !self.connection.try_fill("the answer to Produce")? {
            return Ok(false);
        }
        let now_ns = monotonic_ns();
        while let Some(frame) = self.connection.next_frame()? {
            let unasked = || PeerError::Order { address: self.connection.address.clone(), expected: 0, came: -1 };
            let request = self.in_flight.pop_front().ok_or_else(unasked)?;
            let settled = self.take_answer(frame, &request.lanes, request.correlation_id, now_ns);
            if let Err((error, settled)) = settled {
                // The lanes that got no answer lose it with the connection.
                let lanes = request.lanes.into_iter().skip(settled).collect();
                self.in_flight.push_front(RequestInFlight { lanes, ..request });
                return Err(error);
            }
            self.book_request(&request, now_ns);
            request.lanes.iter().for_each(|lane| self.schedule(*lane, now_ns));
        }
        if self.has_room() && self.room_since_ns == u64::MAX {
            self.room_since_ns = now_ns;
        }
        Ok(true)
    }

    fn book_request(&self, request: &RequestInFlight, now_ns: u64) {
        let is_measured = self.producer.is_measured(request.sent_ns);
        let mut statistics = self.producer.statistics.borrow_mut();
        let traffic = statistics.traffic(is_measured, Role::Producer, self.broker);
        traffic.requests += 1;
        traffic.round_trips.record(now_ns - request.sent_ns, 1);
    }

    /// Settles one request. An error comes with the number of lanes that were settled before it.
    fn take_answer(
        &self,
        frame: std::ops::Range<usize>,
        lanes: &[usize],
        correlation_id: i32,
        now_ns: u64,
    ) -> Result<(), (PeerError, usize)> {
        let body = self.connection.body(frame, correlation_id).map_err(|error| (error, 0))?;
        let garbled = |why: String| PeerError::Garbled { address: self.connection.address.clone(), what: "Produce", why };
        let mut answers = Vec::with_capacity(lanes.len());
        produce_request::decode(body, |answer| answers.push(answer))
            .map_err(|error| (PeerError::garbled(&self.connection.address, "Produce", error), 0))?;
        let mut left = answers;
        for (settled, lane) in lanes.iter().enumerate() {
            let (topic, key) = {
                let lane = &self.producer.lanes.borrow()[*lane];
                (lane.topic.clone(), lane.stream.partition)
            };
            // Brokers answer in the order of the request, as a rule.
            let matches =
                |answer: &produce_request::PartitionAnswer<'_>| answer.partition == key.partition && answer.topic == topic.as_bytes();
            let place = if left.get(settled).is_some_and(matches) { Some(settled) } else { left.iter().position(matches) };
            let Some(place) = place else {
                return Err((garbled(format!("it says nothing about {topic}-{}", key.partition)), settled));
            };
            let answer = left[place];
            left.swap(settled, place);
            self.settle(*lane, &topic, answer, now_ns);
        }
        Ok(())
    }

    fn settle(&self, lane: usize, topic: &str, answer: produce_request::PartitionAnswer<'_>, now_ns: u64) {
        let code = answer.error_code;
        if code == 0 || code == DUPLICATE_SEQUENCE {
            let base_offset = (code == 0 && answer.base_offset >= 0).then_some(Offset(answer.base_offset));
            return self.producer.acknowledged(self.broker, lane, base_offset, now_ns);
        }
        let taken = &mut self.producer.lanes.borrow_mut()[lane];
        let follows_a_failure = code == OUT_OF_ORDER_SEQUENCE && taken.is_rewinding();
        let failure = if peer_error::is_retriable(code) || follows_a_failure { Failure::Retriable } else { Failure::Fatal };
        taken.refused(failure, now_ns, &self.producer.settings.rules);
        let mut statistics = self.producer.statistics.borrow_mut();
        statistics.error(code);
        if failure == Failure::Fatal {
            let message = String::from_utf8_lossy(answer.error_message.unwrap_or_default());
            let (name, partition) = (peer_error::name(code), answer.partition);
            statistics.remark(format!("{topic}-{partition} takes no more messages: {name} {message}"));
        } else {
            self.producer.cluster.refresh();
        }
    }

    /// When there is something to do without an event.
    ///
    /// # Errors
    /// The oldest request has been waiting for too long.
    fn next_wake_ns(&mut self, is_closing: bool) -> Result<u64, PeerError> {
        let mut wake_ns = NEVER_NS;
        if let Some(oldest) = self.in_flight.front() {
            // The broker may use up the request's own timeout; give the answer as long again to arrive.
            let after_ms = 2 * self.producer.settings.request_timeout_ms as u64;
            wake_ns = oldest.sent_ns + after_ms * 1_000_000;
            if monotonic_ns() >= wake_ns {
                return Err(PeerError::Silent { address: self.connection.address.clone(), what: "the answer to Produce", after_ms });
            }
        }
        if self.has_room()
            && !is_closing
            && let Some(Reverse((due_ns, _))) = self.queue.peek()
        {
            wake_ns = wake_ns.min(*due_ns);
        }
        Ok(wake_ns)
    }
}
