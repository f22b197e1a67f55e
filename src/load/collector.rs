//! Puts the slices of all workers together: intervals while a step goes, and the whole of it at its end.
//!
//! Pure; lives on the main thread. Invariants: an interval is complete when every worker has handed over all of it; the total is the sum
//! of all slices, so no percentile is ever made from percentiles.

use std::collections::BTreeMap;

use super::distribution::Distribution;
use super::outcome::{Interval, ThreadUse};
use super::phase::{Slice, StepPlan};
use super::statistics::{Flows, Statistics, flows};

/// See the module. For one step.
#[derive(Debug)]
pub struct Collector {
    plan: StepPlan,
    start_wall_ms: i64,
    /// By worker: how far its slices reach.
    reached_ns: Vec<u64>,
    /// By their start: end and sum of what is there.
    pending: BTreeMap<u64, (u64, Statistics)>,
    /// Measured messages that were answered in the warm-up's last slice, on a thread that was late to cut it.
    carried: Flows,
    pub total: Statistics,
    pub intervals: Vec<Interval>,
    pub threads: Vec<ThreadUse>,
}

impl Collector {
    pub fn new(plan: StepPlan, start_wall_ms: i64, workers: usize) -> Collector {
        Collector {
            plan,
            start_wall_ms,
            reached_ns: vec![0; workers],
            pending: BTreeMap::new(),
            carried: Flows::new(),
            total: Statistics::default(),
            intervals: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Takes a slice, and writes down the intervals that are complete with it.
    pub fn take(&mut self, slice: Slice) {
        self.total.add(&slice.statistics);
        let (end_ns, sum) = self.pending.entry(slice.start_ns).or_insert((slice.end_ns, Statistics::default()));
        *end_ns = slice.end_ns.max(*end_ns);
        sum.add(&slice.statistics);
        self.reached_ns[slice.worker] = slice.end_ns;
        self.threads.extend(slice.last);
        let is_complete = self.is_complete();
        let all_have_ns = self.reached_ns.iter().copied().min().unwrap_or(0);
        while let Some(first) = self.pending.first_entry()
            && (first.get().0 <= all_have_ns || is_complete)
        {
            let (start_ns, (end_ns, statistics)) = first.remove_entry();
            self.write_down(start_ns, end_ns, statistics);
        }
    }

    /// Whether every worker has handed over its last slice.
    pub fn is_complete(&self) -> bool {
        self.threads.len() == self.reached_ns.len()
    }

    fn write_down(&mut self, start_ns: u64, end_ns: u64, mut statistics: Statistics) {
        let is_warmup = end_ns <= self.plan.measure_from_ns;
        let (from, to) = match is_warmup {
            true => (std::mem::take(&mut statistics.measured), &mut self.carried),
            false => (std::mem::take(&mut self.carried), &mut statistics.measured),
        };
        from.iter().for_each(|(key, traffic)| to.entry(*key).or_default().add(traffic));
        let seen = if is_warmup { &statistics.warmup } else { &statistics.measured };
        // Behind the end of a step there is as a rule nothing but the wait for its last answers.
        if start_ns >= self.plan.end_ns && seen.is_empty() {
            return;
        }
        let interval = Interval {
            start_ns,
            end_ns,
            start_wall_ms: self.start_wall_ms + (start_ns.saturating_sub(self.plan.start_ns) / 1_000_000) as i64,
            is_warmup,
            flows: flows(seen),
            connects: Distribution::of(&statistics.connects),
            lateness: Distribution::of(&statistics.lateness),
            troubles: statistics.troubles.clone(),
        };
        self.intervals.push(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BrokerId;
    use crate::load::outcome::Role;
    use crate::load::schedule::Pace;

    fn slice(worker: usize, start_ns: u64, end_ns: u64, latencies: &[u64]) -> Slice {
        let mut statistics = Statistics::default();
        let traffic = statistics.traffic(true, Role::Producer, BrokerId(1));
        for latency in latencies {
            traffic.messages += 1;
            traffic.from_intended.record(*latency, 1);
        }
        Slice { worker, start_ns, end_ns, statistics, last: None }
    }

    /// Hands a slice over, and counts the intervals that it makes complete.
    fn completes(collector: &mut Collector, slice: Slice) -> usize {
        let before = collector.intervals.len();
        collector.take(slice);
        collector.intervals.len() - before
    }

    #[test]
    fn intervals_wait_for_all_workers_and_totals_are_merged() {
        let plan = StepPlan { number: 1, pace: Pace::AsFastAsPossible, start_ns: 0, measure_from_ns: 100, end_ns: 300 };
        let mut collector = Collector::new(plan, 5_000, 2);
        // Of the warm-up, but the thread cut late: one message of the measured part is in it.
        assert_eq!(completes(&mut collector, slice(0, 0, 100, &[7])), 0);
        assert_eq!(completes(&mut collector, slice(0, 100, 200, &[1, 1, 1])), 0, "the other worker is still in its warm-up");
        assert_eq!(completes(&mut collector, slice(1, 0, 100, &[])), 1);
        assert!(collector.intervals[0].is_warmup && collector.intervals[0].flows.iter().all(|flow| flow.messages == 0));
        assert_eq!(completes(&mut collector, slice(1, 100, 200, &[1_000_000])), 1);
        let interval = &collector.intervals[1];
        let merged = interval.flows[0].from_intended.unpack().expect("ours");
        assert_eq!((merged.0.len(), merged.0.min()), (5, 1), "four of its own and the one that was carried");
        assert!(merged.0.max() >= 1_000_000 && !interval.is_warmup);
        for worker in 0..2 {
            let last = Slice { last: Some(ThreadUse::default()), ..slice(worker, 200, 310 + worker as u64, &[2]) };
            assert_eq!(completes(&mut collector, last), worker);
        }
        assert!(collector.is_complete() && collector.intervals.len() == 3);
        let total = &collector.total.measured[&(Role::Producer, BrokerId(1))];
        let in_intervals: u64 = collector.intervals.iter().flat_map(|interval| &interval.flows).map(|flow| flow.messages).sum();
        assert_eq!((total.messages, in_intervals), (7, 7));
    }
}
