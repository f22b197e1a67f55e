//! What a run counts while it goes: per broker, first on each worker thread alone, added up at the end.
//!
//! Invariant: histograms hold nanoseconds up to an hour with three digits; what is longer counts as an hour.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::base::BrokerId;

const LATENCY_NS_MIN: u64 = 1;
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Latencies in ns.
#[derive(Clone, Debug)]
pub struct Latencies(pub Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, 3).expect("constant bounds that fit each other"))
    }
}

impl Latencies {
    pub fn record(&mut self, latency_ns: u64, messages: u64) {
        self.0.saturating_record_n(latency_ns, messages);
    }

    pub fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("the same bounds");
    }
}

/// One side of the traffic with one broker.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub messages: u64,
    /// Values only, before compression.
    pub message_bytes: u64,
    /// Record batches as they travel.
    pub wire_bytes: u64,
    pub requests: u64,
    /// From the intended send time: to the acknowledgement when producing, to the arrival when consuming.
    pub latencies: Latencies,
    /// When the last message of the measured part came, ns of CLOCK_MONOTONIC; 0 if none did.
    pub last_ns: u64,
}

impl Traffic {
    pub fn add(&mut self, other: &Traffic) {
        self.messages += other.messages;
        self.message_bytes += other.message_bytes;
        self.wire_bytes += other.wire_bytes;
        self.requests += other.requests;
        self.latencies.add(&other.latencies);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// Everything counted.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    pub produced: BTreeMap<BrokerId, Traffic>,
    pub consumed: BTreeMap<BrokerId, Traffic>,
    /// Connections that broke or could not be made while the run went.
    pub disconnects: u64,
    /// Batches sent again.
    pub retries: u64,
    /// Messages that were given up: refused for good or not acknowledged in time.
    pub given_up: u64,
    /// Messages that were due but never sent, because the run ended first.
    pub unsent: u64,
    /// How often each error code came, whether retried or not.
    pub error_codes: BTreeMap<i16, u64>,
    /// What ended a lane or damaged a batch: a sentence each, the first few.
    pub remarks: Vec<String>,
}

const REMARKS_MAX: usize = 20;

impl Statistics {
    pub fn add(&mut self, other: Statistics) {
        for (broker, traffic) in &other.produced {
            self.produced.entry(*broker).or_default().add(traffic);
        }
        for (broker, traffic) in &other.consumed {
            self.consumed.entry(*broker).or_default().add(traffic);
        }
        self.disconnects += other.disconnects;
        self.retries += other.retries;
        self.given_up += other.given_up;
        self.unsent += other.unsent;
        for (code, count) in other.error_codes {
            *self.error_codes.entry(code).or_default() += count;
        }
        for remark in other.remarks {
            self.remark(remark);
        }
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
    fn sums_are_by_broker() {
        let one = |broker: i32, latency_ns: u64| {
            let mut statistics = Statistics::default();
            let traffic = statistics.produced.entry(BrokerId(broker)).or_default();
            traffic.messages = 3;
            traffic.latencies.record(latency_ns, 3);
            statistics
        };
        let mut sum = one(1, 5_000);
        sum.add(one(1, 2 * LATENCY_NS_MAX));
        sum.add(one(2, 5_000));
        assert_eq!(sum.produced[&BrokerId(1)].messages, 6);
        assert_eq!(sum.produced[&BrokerId(1)].latencies.0.len(), 6);
        assert!(sum.produced[&BrokerId(1)].latencies.0.max() >= LATENCY_NS_MAX);
        assert_eq!(sum.produced[&BrokerId(2)].messages, 3);
    }
}
