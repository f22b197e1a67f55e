//! Where the time of each request went: one histogram per stage, per core.
//!
//! Lives on the core that records into it; a snapshot is a clone that travels to whoever asked.
//! Invariant: values are nanoseconds, at most [`VALUE_NS_MAX`] (longer ones are counted as that).

use std::cell::RefCell;
use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::base::CoreId;

/// One hour: nothing that a broker does between two looks at the clock takes longer.
pub const VALUE_NS_MAX: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// A stretch of a request's way through the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the end of the `recv` that brought the request to the moment it is looked at. 0 where that was at once.
    RequestQueue,
    /// Parsing the request and checking its batches.
    Decode,
    /// From the check of a request's batches to the append that takes them down, with those that other connections brought meanwhile.
    AppendQueue,
    /// `pwritev` into the active segment, indexes included.
    Append,
    /// Waiting for the `fdatasync` that a produce answer needs.
    Flush,
    /// A request's time at another core, both ways included.
    Forward,
    /// A fetch that waited for `min_bytes`.
    FetchWait,
    /// From the answer's completion to its last byte handed to the socket.
    Send,
    /// How late the executor ran a timer: what everything else on this core may have waited.
    ExecutorStall,
}

impl Stage {
    pub const ALL: [Stage; 9] = [
        Stage::RequestQueue,
        Stage::Decode,
        Stage::AppendQueue,
        Stage::Append,
        Stage::Flush,
        Stage::Forward,
        Stage::FetchWait,
        Stage::Send,
        Stage::ExecutorStall,
    ];

    /// The name in tables and file names.
    pub fn name(self) -> &'static str {
        match self {
            Stage::RequestQueue => "request-queue",
            Stage::Decode => "decode",
            Stage::AppendQueue => "append-queue",
            Stage::Append => "append",
            Stage::Flush => "flush",
            Stage::Forward => "forward",
            Stage::FetchWait => "fetch-wait",
            Stage::Send => "send",
            Stage::ExecutorStall => "executor-stall",
        }
    }
}

/// The histograms of one core.
pub struct StageHistograms {
    stages: RefCell<Vec<Histogram<u64>>>,
}

/// A copy of one core's histograms, in the order of [`Stage::ALL`]; may travel between threads.
pub struct StageSnapshot {
    pub core: CoreId,
    pub stages: Vec<Histogram<u64>>,
}

impl Default for StageHistograms {
    fn default() -> StageHistograms {
        let empty = || Histogram::new_with_bounds(1, VALUE_NS_MAX, SIGNIFICANT_DIGITS).expect("the bounds are legal constants");
        StageHistograms { stages: RefCell::new(Stage::ALL.iter().map(|_| empty()).collect()) }
    }
}

impl StageHistograms {
    /// Counts one passage through `stage` that took `duration_ns`.
    pub fn record(&self, stage: Stage, duration_ns: u64) {
        self.record_n(stage, duration_ns, 1);
    }

    /// Counts `count` passages that took the same time.
    pub fn record_n(&self, stage: Stage, duration_ns: u64, count: u64) {
        self.stages.borrow_mut()[stage as usize].saturating_record_n(duration_ns, count);
    }

    pub fn snapshot(&self, core: CoreId) -> StageSnapshot {
        StageSnapshot { core, stages: self.stages.borrow().clone() }
    }
}

/// The table printed on SIGUSR1 and at shutdown: a row per core and stage that saw anything, in microseconds.
pub fn table(snapshots: &[StageSnapshot]) -> String {
    let mut text = format!(
        "{:<8} {:<15} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12}\n",
        "core", "stage (µs)", "count", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    );
    for snapshot in snapshots {
        for (stage, histogram) in Stage::ALL.iter().zip(&snapshot.stages).filter(|(_, histogram)| !histogram.is_empty()) {
            let micros = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<8} {:<15} {:>12} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>12.1}",
                format!("core-{}", snapshot.core),
                stage.name(),
                histogram.len(),
                micros(0.5),
                micros(0.9),
                micros(0.99),
                micros(0.999),
                micros(0.9999),
                histogram.max() as f64 / 1000.0,
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_found_where_it_was_recorded() {
        let histograms = StageHistograms::default();
        for stage in Stage::ALL {
            histograms.record(stage, 1000 * (1 + stage as u64));
        }
        let snapshot = histograms.snapshot(CoreId(3));
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index, "{stage:?} stands at its place in ALL");
            assert_eq!(snapshot.stages[index].len(), 1);
            let value = 1000 * (1 + index as u64);
            assert!(snapshot.stages[index].max().abs_diff(value) <= value / 500, "{stage:?}");
        }
        assert_eq!(table(&[snapshot]).lines().count(), 1 + Stage::ALL.len());
    }

    #[test]
    fn a_value_beyond_the_range_is_counted_as_the_largest() {
        let histograms = StageHistograms::default();
        histograms.record(Stage::Send, u64::MAX);
        let snapshot = histograms.snapshot(CoreId(0));
        assert_eq!(snapshot.stages[Stage::Send as usize].len(), 1);
    }
}
