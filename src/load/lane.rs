//! One producer's way into one partition: what is due, what is under way, what must be sent again, in order.
//!
//! A pure state machine on a worker thread; the clock is handed in. A batch goes
//! due → in flight → acknowledged, or → failed → waiting → in flight again, or → given up.
//! Invariants: the sequence ranges of `in_flight`, `failed`, `waiting` and what is still due follow one another in this order (`failed`
//! before `in_flight` once an answer failed); nothing is sent while `failed` holds a batch; all of `in_flight` is at one broker.

use std::collections::VecDeque;
use std::rc::Rc;

use super::batch_writer::{BatchWriter, ProducerStamp};
use super::checker::Produced;
use super::identity::StreamKey;
use super::keys::key_bytes;
use super::message::Message;
use super::outcome::Troubles;
use super::schedule::Schedule;
use crate::base::{BrokerId, Offset, ProducerId, Timestamp};

#[cfg(test)]
mod tests;

/// "Not before something else happens."
pub const NEVER_NS: u64 = u64::MAX;

/// What all lanes of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct LaneRules {
    pub messages_per_batch: u64,
    pub linger_ns: u64,
    /// A batch that is not acknowledged this long after it was first sent is given up.
    pub delivery_timeout_ns: u64,
    /// Pause before a failed batch is sent again.
    pub retry_backoff_ns: u64,
}

/// The due times of the messages of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intended {
    Same(u64),
    Each(Vec<u64>),
}

impl Intended {
    /// How many of `count` were due before `at_ns`; they come first.
    pub fn due_before(&self, at_ns: u64, count: u64) -> u64 {
        match self {
            Intended::Same(all_ns) => {
                if *all_ns < at_ns {
                    count
                } else {
                    0
                }
            }
            Intended::Each(times) => times.partition_point(|due_ns| *due_ns < at_ns) as u64,
        }
    }

    /// The earliest.
    pub fn first_ns(&self) -> u64 {
        match self {
            Intended::Same(at) => *at,
            Intended::Each(times) => times[0],
        }
    }
}

/// A batch as it was built: sent again, it is the same bytes.
#[derive(Clone, Debug)]
pub struct SealedBatch {
    pub first: u64,
    pub count: u64,
    pub intended: Intended,
    pub bytes: Rc<Vec<u8>>,
    pub sealed_ns: u64,
    pub attempts: u32,
}

/// How an answer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// May succeed later.
    Retriable,
    /// Will never succeed.
    Fatal,
}

/// See the module.
#[derive(Debug)]
pub struct Lane {
    pub stream: StreamKey,
    pub topic: Rc<str>,
    /// That belong to its partition; records have none if this is empty.
    pub keys: Rc<[u64]>,
    pub schedule: Schedule,
    pub produced: Produced,
    /// Given up, in messages.
    pub given_up: u64,
    pub retries: u64,
    /// Set by InitProducerId: the lane is idempotent (KIP-98).
    pub idempotent: Option<(ProducerId, i16)>,
    waiting: VecDeque<SealedBatch>,
    in_flight: VecDeque<SealedBatch>,
    in_flight_at: Option<BrokerId>,
    failed: VecDeque<SealedBatch>,
    retry_at_ns: u64,
    /// Until here the lane was not free to send, and not by its sender's doing: an answer failed, or the leader moved.
    held_until_ns: u64,
    stopped: bool,
}

impl Lane {
    pub fn new(stream: StreamKey, topic: Rc<str>, keys: Rc<[u64]>, schedule: Schedule) -> Lane {
        Lane {
            stream,
            topic,
            keys,
            schedule,
            produced: Produced::default(),
            given_up: 0,
            retries: 0,
            idempotent: None,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            in_flight_at: None,
            failed: VecDeque::new(),
            retry_at_ns: 0,
            held_until_ns: 0,
            stopped: false,
        }
    }

    /// When this lane next has something to send to `broker`; now or earlier means that it has.
    pub fn wake_ns(&mut self, broker: BrokerId, now_ns: u64, rules: &LaneRules) -> u64 {
        if self.stopped || !self.failed.is_empty() || self.in_flight_at.is_some_and(|at| at != broker) {
            return NEVER_NS;
        }
        if !self.waiting.is_empty() {
            return self.retry_at_ns;
        }
        if self.schedule.is_over(now_ns) {
            return NEVER_NS;
        }
        let Some(first_ns) = self.schedule.upcoming_ns(0) else { return NEVER_NS };
        if !self.schedule.is_paced() {
            return first_ns.max(now_ns);
        }
        // A batch goes when it is full or its first message has lingered long enough. At the end of the schedule it lingers no more.
        let lingered_ns = first_ns.saturating_add(rules.linger_ns);
        if rules.linger_ns == 0 {
            return lingered_ns;
        }
        self.schedule.upcoming_ns(rules.messages_per_batch - 1).map_or(lingered_ns, |full_ns| full_ns.min(lingered_ns))
    }

    /// Takes the next batch to send to `broker`, if there is one at `now_ns`: one that waits to be sent again, or else all that is due.
    pub fn take(&mut self, broker: BrokerId, now_ns: u64, rules: &LaneRules, builder: &mut Builder<'_>) -> Option<Rc<Vec<u8>>> {
        if self.wake_ns(broker, now_ns, rules) > now_ns {
            return None;
        }
        let mut batch = match self.waiting.pop_front() {
            Some(again) => {
                self.retries += 1;
                self.produced.retried.insert(again.first..again.first + again.count);
                again
            }
            None => self.build(now_ns, rules, builder)?,
        };
        batch.attempts += 1;
        let bytes = batch.bytes.clone();
        self.in_flight.push_back(batch);
        self.in_flight_at = Some(broker);
        Some(bytes)
    }

    fn build(&mut self, now_ns: u64, rules: &LaneRules, builder: &mut Builder<'_>) -> Option<SealedBatch> {
        let first = self.produced.sent;
        let mut bytes = builder.buffers.pop().unwrap_or_default();
        bytes.clear();
        let mut times = Vec::new();
        let mut count = 0;
        let mut first_ns = 0;
        while count < rules.messages_per_batch
            && let Some(intended_ns) = self.schedule.take(now_ns)
        {
            let message = Message { stream: self.stream, sequence: first + count, intended_ns, sent_ns: now_ns };
            let key = self.key_of(message.sequence).map(key_bytes);
            builder.writer.push(&message, key.as_ref(), &mut bytes);
            if self.schedule.is_paced() {
                times.push(intended_ns);
            } else {
                first_ns = intended_ns;
            }
            count += 1;
        }
        if count == 0 {
            return None;
        }
        let stamp = match self.idempotent {
            // KIP-98: sequence numbers of records wrap at 2^31.
            Some((producer_id, producer_epoch)) => {
                ProducerStamp { producer_id, producer_epoch, base_sequence: (first & 0x7fff_ffff) as i32 }
            }
            None => ProducerStamp::NONE,
        };
        builder.writer.seal(builder.timestamp, stamp, &mut bytes);
        self.produced.sent += count;
        let intended = if self.schedule.is_paced() { Intended::Each(times) } else { Intended::Same(first_ns) };
        Some(SealedBatch { first, count, intended, bytes: Rc::new(bytes), sealed_ns: now_ns, attempts: 0 })
    }

    /// Keys come in an order that looks random and repeats.
    fn key_of(&self, sequence: u64) -> Option<u64> {
        let spread = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (!self.keys.is_empty()).then(|| self.keys[spread as usize % self.keys.len()])
    }

    /// The oldest batch under way was accepted; `base_offset`: where, if the broker said so. Returns it.
    pub fn acknowledged(&mut self, base_offset: Option<Offset>) -> SealedBatch {
        let batch = self.pop_in_flight();
        self.produced.acknowledged.insert(batch.first..batch.first + batch.count);
        if base_offset.is_some() {
            self.produced.acknowledged_with_offset.insert(batch.first..batch.first + batch.count);
        }
        batch
    }

    /// The oldest batch under way has left, and nobody will ever say what became of it (acks 0). Returns it.
    pub fn sent_blindly(&mut self) -> SealedBatch {
        self.pop_in_flight()
    }

    /// The oldest batch under way was refused.
    pub fn refused(&mut self, failure: Failure, now_ns: u64, rules: &LaneRules) {
        let batch = self.pop_in_flight_keeping_order();
        match failure {
            Failure::Retriable => self.failed.push_back(batch),
            Failure::Fatal => {
                self.given_up += batch.count;
                self.stop();
            }
        }
        self.settle_failed(now_ns, rules);
    }

    /// The connection to the broker is gone, and with it every answer.
    pub fn connection_lost(&mut self, now_ns: u64, rules: &LaneRules) {
        self.failed.append(&mut self.in_flight);
        self.in_flight_at = None;
        self.settle_failed(now_ns, rules);
    }

    /// A refused batch that comes after a failed one: it failed for that reason alone (KIP-98: its sequence is ahead).
    pub fn is_rewinding(&self) -> bool {
        !self.failed.is_empty()
    }

    fn pop_in_flight(&mut self) -> SealedBatch {
        let batch = self.pop_in_flight_keeping_order();
        // The answers that were awaited before a rewind may be complete now.
        if self.in_flight.is_empty() && !self.failed.is_empty() {
            self.rewind();
        }
        batch
    }

    fn pop_in_flight_keeping_order(&mut self) -> SealedBatch {
        let batch = self.in_flight.pop_front().expect("an answer belongs to a batch that is under way");
        if self.in_flight.is_empty() {
            self.in_flight_at = None;
        }
        batch
    }

    fn settle_failed(&mut self, now_ns: u64, rules: &LaneRules) {
        self.retry_at_ns = now_ns + rules.retry_backoff_ns;
        self.held_until_ns = self.retry_at_ns;
        if self.in_flight.is_empty() && !self.failed.is_empty() {
            self.rewind();
        }
        while let Some(oldest) = self.waiting.front()
            && now_ns.saturating_sub(oldest.sealed_ns) > rules.delivery_timeout_ns
        {
            self.given_up += oldest.count;
            self.waiting.pop_front();
            // KIP-98: a hole in the sequence is refused for ever after.
            if self.idempotent.is_some() {
                self.stop();
            }
        }
    }

    /// All that failed goes back to the front, in order.
    fn rewind(&mut self) {
        while let Some(batch) = self.failed.pop_back() {
            self.waiting.push_front(batch);
        }
    }

    /// Sends nothing more. What waits is given up.
    fn stop(&mut self) {
        self.stopped = true;
        self.given_up += self.waiting.drain(..).chain(self.failed.drain(..)).map(|batch| batch.count).sum::<u64>();
    }

    /// Whether an answer is awaited: no other broker gets anything before it has come.
    pub fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// When the sender was free to send what was due, as far as this lane is concerned.
    pub fn held_until_ns(&self) -> u64 {
        self.held_until_ns
    }

    /// Hands over what went wrong since the last time.
    pub fn book(&mut self, troubles: &mut Troubles) {
        troubles.given_up += std::mem::take(&mut self.given_up);
        troubles.retries += std::mem::take(&mut self.retries);
    }

    /// Ends a step: what is due and was not taken never will be. Returns how many messages. What is under way goes on.
    pub fn cut_off(&mut self, now_ns: u64) -> u64 {
        if self.stopped { 0 } else { self.schedule.abandon(now_ns) }
    }

    /// Ends the lane, whatever is left. Returns how many messages were due and never sent.
    pub fn abandon(&mut self, now_ns: u64) -> u64 {
        let unsent = self.cut_off(now_ns);
        self.stop();
        self.given_up += self.in_flight.drain(..).map(|batch| batch.count).sum::<u64>();
        self.in_flight_at = None;
        unsent
    }

    /// Nothing left to send or to hear about.
    pub fn is_done(&self, now_ns: u64) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty() && self.failed.is_empty() && (self.stopped || self.schedule.is_over(now_ns))
    }

    /// How many messages the batch holds that was sent last.
    pub fn last_sent_messages(&self) -> u64 {
        self.in_flight.back().map_or(0, |batch| batch.count)
    }

    /// The batch that was sent last, if it had been sent before.
    pub fn sent_again(&self) -> Option<&SealedBatch> {
        self.in_flight.back().filter(|batch| batch.attempts > 1)
    }
}

/// What a lane needs to build a batch: the writer, buffers to reuse, and the wall clock for the records.
pub struct Builder<'a> {
    pub writer: &'a mut BatchWriter,
    pub buffers: &'a mut Vec<Vec<u8>>,
    pub timestamp: Timestamp,
}
