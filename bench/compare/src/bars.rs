//! What each row must reach: a figure of Pagewire's over the same figure of somebody else's, at most so much.
//!
//! "At least 0.8 of the floor's bytes per CPU-second" is a ratio of CPU seconds per byte of at most 1 / 0.8.

use crate::sample::{Figure, Results, Spread};
use crate::server::Contestant;
use crate::work::Row;

pub struct Bar {
    pub row: Row,
    pub figure: Figure,
    /// The best of these counts.
    pub beside: &'static [Contestant],
    pub ratio_max: f64,
}

const fn bar(row: Row, figure: Figure, beside: &'static [Contestant], ratio_max: f64) -> Bar {
    Bar { row, figure, beside, ratio_max }
}

pub const BARS: &[Bar] = {
    use Contestant::*;
    use Figure::*;
    use Row::*;
    &[
        bar(IngestSmall, CpuMicrosPerRequest, &[Floor], 1.0 / 0.6),
        bar(IngestSmall, CpuMicrosPerRequest, &[Kafka], 1.0 / 6.0),
        bar(Ingest16K, CpuSecondsPerGb, &[Floor], 1.0 / 0.8),
        bar(Ingest16K, CpuSecondsPerGb, &[Kafka], 1.0 / 4.0),
        bar(Ingest256K, CpuSecondsPerGb, &[Floor], 1.0 / 0.8),
        bar(Ingest256K, CpuSecondsPerGb, &[Kafka], 1.0 / 1.7),
        bar(IngestMessages, CpuNanosPerRecord, &[Floor], 1.0 / 0.8),
        bar(IngestMessages, CpuNanosPerRecord, &[Kafka], 1.0 / 1.6),
        bar(Serve1M, CpuSecondsPerGb, &[Floor, FloorSplice], 1.1),
        bar(Serve1M, CpuSecondsPerGb, &[PagewireCopy], 0.5),
        bar(Serve64K, CpuSecondsPerGb, &[Floor, FloorSplice, FloorCopy], 1.15),
        bar(Serve64K, CpuSecondsPerGb, &[Kafka], 0.85),
        bar(Echo, P50Micros, &[Floor], 1.3),
        bar(Echo, P999Micros, &[Floor], 2.0),
        bar(IngestSmall, ResidentMegabytes, &[Kafka], 0.05),
        bar(Ingest16K, ResidentMegabytes, &[Kafka], 0.05),
        bar(Ingest256K, ResidentMegabytes, &[Kafka], 0.05),
        bar(IngestMessages, ResidentMegabytes, &[Kafka], 0.05),
        bar(Serve64K, ResidentMegabytes, &[Kafka], 0.05),
        bar(Serve1M, ResidentMegabytes, &[Kafka], 0.05),
        bar(Echo, ResidentMegabytes, &[Kafka], 0.05),
    ]
};

/// A bar held against what was measured.
pub struct Verdict<'a> {
    pub bar: &'a Bar,
    /// The contestant of `beside` that was best.
    pub beside: Contestant,
    pub ratio: Spread,
}

impl Verdict<'_> {
    pub fn is_met(&self) -> bool {
        self.ratio.median <= self.bar.ratio_max
    }
}

/// The bars for which there are runs of both sides.
pub fn verdicts(results: &Results) -> Vec<Verdict<'static>> {
    let judge = |bar: &'static Bar| {
        let measured = bar.beside.iter().filter_map(|beside| Some((*beside, results.figure(bar.row, *beside, bar.figure)?.median)));
        let (beside, _) = measured.min_by(|left, right| left.1.total_cmp(&right.1))?;
        let ratio = results.ratio(bar.row, bar.figure, Contestant::Pagewire, beside)?;
        Some(Verdict { bar, beside, ratio })
    };
    BARS.iter().filter_map(judge).collect()
}
