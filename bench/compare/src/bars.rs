//! What each row must reach: a figure of Pagewire's over the same figure of somebody else's, at most so much.
//!
//! "At least 0.8 of the floor's bytes per CPU-second" is a ratio of CPU seconds per byte of at most 1 / 0.8.

use crate::contestant::Contestant::{self, Floor, FloorCopy, FloorSplice, Kafka, Pagewire, PagewireCopy};
use crate::sample::{Figure, Results, Spread};
use crate::work::Row;

pub struct Bar {
    pub row: Row,
    pub figure: Figure,
    pub beside: Beside,
    /// What the ratio may be at most; beside nothing, what the figure may be.
    pub ratio_max: f64,
}

/// Whom Pagewire is held against.
#[derive(Clone, Copy)]
pub enum Beside {
    /// The best of these, in the same row.
    BestOf(&'static [Contestant]),
    /// Itself in another row.
    Row(Row),
    /// The bar is the figure itself.
    Nothing,
}

/// A twentieth of Apache Kafka's.
const MEMORY_RATIO_MAX: f64 = 0.05;
/// "Does not grow": what two runs of the same thing differ by is no growth.
const GROWTH_MAX: f64 = 1.1;
/// "No disk read" of sixteen gigabytes: not one segment file's worth of small change.
const DISK_READ_MEGABYTES_MAX: f64 = 1.0;

/// All bars, row by row.
pub fn bars() -> Vec<Bar> {
    Row::ALL.into_iter().flat_map(|row| work_bars(row).into_iter().chain(memory_bar(row))).collect()
}

fn work_bars(row: Row) -> Vec<Bar> {
    use Figure::*;
    let bar = |figure, beside, ratio_max| Bar { row, figure, beside, ratio_max };
    let floor = |figure, ratio_max| bar(figure, Beside::BestOf(&[Floor]), ratio_max);
    let kafka = |figure, ratio_max| bar(figure, Beside::BestOf(&[Kafka]), ratio_max);
    let other = |figure, row, ratio_max| bar(figure, Beside::Row(row), ratio_max);
    match row {
        Row::IngestSmall => vec![floor(CpuMicrosPerRequest, 1.0 / 0.6), kafka(CpuMicrosPerRequest, 1.0 / 6.0)],
        Row::Ingest16K => vec![floor(CpuSecondsPerGb, 1.0 / 0.8), kafka(CpuSecondsPerGb, 1.0 / 4.0)],
        Row::Ingest256K => vec![floor(CpuSecondsPerGb, 1.0 / 0.8), kafka(CpuSecondsPerGb, 1.0 / 1.7)],
        Row::IngestMessages => vec![floor(CpuNanosPerRecord, 1.0 / 0.8), kafka(CpuNanosPerRecord, 1.0 / 1.6)],
        Row::Serve1M => vec![
            bar(CpuSecondsPerGb, Beside::BestOf(&[Floor, FloorSplice]), 1.1),
            bar(CpuSecondsPerGb, Beside::BestOf(&[PagewireCopy]), 0.5),
        ],
        Row::Serve64K => {
            vec![bar(CpuSecondsPerGb, Beside::BestOf(&[Floor, FloorSplice, FloorCopy]), 1.15), kafka(CpuSecondsPerGb, 0.85)]
        }
        Row::ServeTwentieth => {
            vec![other(CpuSecondsPerGb, Row::ServeOnce, 1.0), bar(DiskReadMegabytes, Beside::Nothing, DISK_READ_MEGABYTES_MAX)]
        }
        Row::Echo => vec![floor(P50Micros, 1.3), floor(P999Micros, 2.0)],
        Row::EndToEnd | Row::EndToEndTenth => vec![kafka(P999Micros, 0.2)],
        Row::TailBesideBackfill => vec![other(P99Micros, Row::TailAlone, 1.5)],
        Row::Sustained => vec![kafka(P9999Micros, 0.2)],
        Row::Start => vec![kafka(StartMillis, 1.0 / 30.0)],
        Row::ScalePartitions => vec![
            other(StartMillis, Row::ScaleBase, 2.0),
            other(ResidentKilobytesPerPartition, Row::ScaleBase, 2.0),
            other(P99Micros, Row::ScaleBase, 2.0),
            other(CpuMicrosPerRequest, Row::ScaleBase, GROWTH_MAX),
        ],
        Row::ScaleSegments | Row::ScaleConnections => vec![other(CpuMicrosPerRequest, Row::ScaleBase, GROWTH_MAX)],
        Row::ServeOnce | Row::TailAlone | Row::ScaleBase => Vec::new(),
        Row::ToolsProduce | Row::ToolsPaced | Row::ToolsConsume => Vec::new(),
    }
}

/// Wherever Apache Kafka did the same work, for long enough to need its memory.
fn memory_bar(row: Row) -> Option<Bar> {
    let is_held = row.contestants().contains(&Kafka) && row != Row::Start;
    is_held.then_some(Bar { row, figure: Figure::ResidentMegabytes, beside: Beside::BestOf(&[Kafka]), ratio_max: MEMORY_RATIO_MAX })
}

/// A bar held against what was measured.
pub struct Verdict {
    pub bar: Bar,
    pub beside: Other,
    /// Turn by turn; beside nothing, the figure itself.
    pub ratio: Spread,
}

/// The other side of a verdict.
#[derive(Clone, Copy)]
pub enum Other {
    /// The best of those who were asked.
    Contestant(Contestant),
    Row(Row),
    Nothing,
}

impl Other {
    pub fn name(self) -> &'static str {
        match self {
            Other::Contestant(contestant) => contestant.name(),
            Other::Row(row) => row.name(),
            Other::Nothing => "nothing",
        }
    }
}

impl Verdict {
    pub fn is_met(&self) -> bool {
        self.ratio.median <= self.bar.ratio_max
    }
}

/// The bars for which there are runs of both sides.
pub fn verdicts(results: &Results) -> Vec<Verdict> {
    bars().into_iter().filter_map(|bar| judge(bar, results)).collect()
}

fn judge(bar: Bar, results: &Results) -> Option<Verdict> {
    let ours = (bar.row, Pagewire);
    let (beside, ratio) = match bar.beside {
        Beside::BestOf(contestants) => {
            let measured = contestants.iter().filter_map(|other| Some((*other, results.figure(bar.row, *other, bar.figure)?.median)));
            let (best, _) = measured.min_by(|left, right| left.1.total_cmp(&right.1))?;
            (Other::Contestant(best), results.ratio(bar.figure, ours, (bar.row, best))?)
        }
        Beside::Row(row) => (Other::Row(row), results.ratio(bar.figure, ours, (row, Pagewire))?),
        Beside::Nothing => (Other::Nothing, results.figure(bar.row, Pagewire, bar.figure)?),
    };
    Some(Verdict { bar, beside, ratio })
}
