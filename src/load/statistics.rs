//! What a run counts while it goes: by role and broker, on each worker thread alone; taken away slice by slice and added up.
//!
//! Invariant: histograms hold nanoseconds up to an hour with three digits; what is longer counts as an hour.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::distribution::Distribution;
use super::outcome::{Flow, Role, Troubles};
use super::peer_error::{self, PeerError};
use crate::base::BrokerId;

const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Latencies in ns. It grows with the largest value: most stay far below a second, and many are made and thrown away.
#[derive(Clone, Debug)]
pub struct Latencies(pub Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(Histogram::new(3).expect("three digits"))
    }
}

impl Latencies {
    pub fn record(&mut self, latency_ns: u64, messages: u64) {
        self.0.record_n(latency_ns.min(LATENCY_NS_MAX), messages).expect("it grows as far as an hour");
    }

    /// Of something that is looked at every `expected_ns` and was kept from looking: the looks that were missed count too, each with its
    /// share of the wait.
    pub fn record_corrected(&mut self, latency_ns: u64, expected_ns: u64) {
        self.0.record_correct(latency_ns.min(LATENCY_NS_MAX), expected_ns).expect("it grows as far as an hour");
    }

    pub fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("it grows as far as an hour");
    }
}

/// What one role did with one broker.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub messages: u64,
    /// Values only, before compression.
    pub message_bytes: u64,
    /// Record batches as they travel.
    pub wire_bytes: u64,
    pub requests: u64,
    /// See [`Flow`] for these three.
    pub from_intended: Latencies,
    pub from_sent: Latencies,
    pub round_trips: Latencies,
    pub overtaken: u64,
    pub missed_offsets: u64,
    /// When the last message came, ns of CLOCK_MONOTONIC; 0 if none did.
    pub last_ns: u64,
}

impl Traffic {
    pub fn add(&mut self, other: &Traffic) {
        self.messages += other.messages;
        self.message_bytes += other.message_bytes;
        self.wire_bytes += other.wire_bytes;
        self.requests += other.requests;
        self.from_intended.add(&other.from_intended);
        self.from_sent.add(&other.from_sent);
        self.round_trips.add(&other.round_trips);
        self.overtaken += other.overtaken;
        self.missed_offsets += other.missed_offsets;
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    pub fn to_flow(&self, role: Role, broker: BrokerId) -> Flow {
        Flow {
            role,
            broker: broker.0,
            messages: self.messages,
            message_bytes: self.message_bytes,
            wire_bytes: self.wire_bytes,
            requests: self.requests,
            from_intended: Distribution::of(&self.from_intended),
            from_sent: Distribution::of(&self.from_sent),
            round_trips: Distribution::of(&self.round_trips),
            overtaken: self.overtaken,
            missed_offsets: self.missed_offsets,
        }
    }
}

/// By role and broker.
pub type Flows = BTreeMap<(Role, BrokerId), Traffic>;

/// Everything counted.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    pub measured: Flows,
    /// What belongs to the warm-up.
    pub warmup: Flows,
    pub connects: Latencies,
    pub lateness: Latencies,
    pub hiccups: Latencies,
    pub troubles: Troubles,
}

const REMARKS_MAX: usize = 20;

impl Statistics {
    /// Where traffic belongs that is decided to be measured or not.
    pub fn traffic(&mut self, is_measured: bool, role: Role, broker: BrokerId) -> &mut Traffic {
        let flows = if is_measured { &mut self.measured } else { &mut self.warmup };
        flows.entry((role, broker)).or_default()
    }

    pub fn add(&mut self, other: &Statistics) {
        for (sum, flows) in [(&mut self.measured, &other.measured), (&mut self.warmup, &other.warmup)] {
            flows.iter().for_each(|(key, traffic)| sum.entry(*key).or_default().add(traffic));
        }
        self.connects.add(&other.connects);
        self.lateness.add(&other.lateness);
        self.hiccups.add(&other.hiccups);
        self.troubles.add(&other.troubles);
    }

    pub fn remark(&mut self, remark: String) {
        self.troubles.remark(remark);
    }

    /// An error code came in an answer.
    pub fn error(&mut self, code: i16) {
        *self.troubles.errors.entry(peer_error::name(code)).or_default() += 1;
    }

    /// A connection broke or could not be made.
    pub fn disconnected(&mut self, why: &PeerError) {
        self.troubles.disconnects += 1;
        self.troubles.wrong_answers += u64::from(why.is_wrong_answer());
        self.remark(why.to_string());
    }
}

/// The flows as they are written down.
pub fn flows(flows: &Flows) -> Vec<Flow> {
    flows.iter().map(|((role, broker), traffic)| traffic.to_flow(*role, *broker)).collect()
}

impl Troubles {
    pub fn add(&mut self, other: &Troubles) {
        self.disconnects += other.disconnects;
        self.wrong_answers += other.wrong_answers;
        self.churned += other.churned;
        self.retries += other.retries;
        self.given_up += other.given_up;
        self.unsent += other.unsent;
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
        other.remarks.iter().for_each(|remark| self.remark(remark.clone()));
    }

    pub fn remark(&mut self, remark: String) {
        if self.remarks.len() < REMARKS_MAX && !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_by_role_and_broker() {
        let one = |broker: i32, latency_ns: u64| {
            let mut statistics = Statistics::default();
            let traffic = statistics.traffic(true, Role::Producer, BrokerId(broker));
            traffic.messages = 3;
            traffic.from_intended.record(latency_ns, 3);
            statistics.error(6);
            statistics
        };
        let mut sum = one(1, 5_000);
        sum.add(&one(1, 2 * LATENCY_NS_MAX));
        sum.add(&one(2, 5_000));
        let of = |broker: i32| &sum.measured[&(Role::Producer, BrokerId(broker))];
        assert_eq!((of(1).messages, of(1).from_intended.0.len(), of(2).messages), (6, 6, 3));
        assert!(of(1).from_intended.0.max() >= LATENCY_NS_MAX);
        assert_eq!(sum.troubles.errors.values().sum::<u64>(), 3);
        assert!(sum.warmup.is_empty());
    }
}
