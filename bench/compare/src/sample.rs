//! What one run came to, and what several of them say together.

use std::collections::BTreeMap;
use std::fmt;

pub use pagewire_plot::spread::Spread;
use serde::Serialize;

use crate::contestant::Contestant;
use crate::work::Row;

/// One run of one contestant: what it did in its counted part. What a row does not measure is `None`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sample {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// The server's processor time.
    pub cpu_seconds: f64,
    pub mean_us: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub p9999_us: Option<f64>,
    pub resident_bytes: u64,
    /// What the server had the disk read.
    pub disk_read_bytes: Option<u64>,
    pub partitions: Option<u64>,
    /// From the start of the server's process to the first produce that it accepted.
    pub start_ms: Option<f64>,
}

impl fmt::Display for Sample {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for figure in Figure::ALL {
            if let Some(value) = self.figure(figure) {
                write!(to, " {} {value:.*},", figure.title(), digits(value))?;
            }
        }
        write!(to, " processor {:.0} %", 100.0 * self.cpu_seconds / self.seconds.max(f64::MIN_POSITIVE))
    }
}

/// How many digits behind the point say something.
pub fn digits(value: f64) -> usize {
    if value < 10.0 { 3 } else { 1 }
}

/// One number of a sample; smaller is better for all but the throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Figure {
    CpuMicrosPerRequest,
    CpuSecondsPerGb,
    CpuNanosPerRecord,
    MegabytesPerSecond,
    MeanMicros,
    P50Micros,
    P99Micros,
    P999Micros,
    P9999Micros,
    ResidentMegabytes,
    ResidentKilobytesPerPartition,
    DiskReadMegabytes,
    StartMillis,
}

impl Figure {
    pub const ALL: [Figure; 13] = [
        Figure::CpuMicrosPerRequest,
        Figure::CpuSecondsPerGb,
        Figure::CpuNanosPerRecord,
        Figure::MegabytesPerSecond,
        Figure::MeanMicros,
        Figure::P50Micros,
        Figure::P99Micros,
        Figure::P999Micros,
        Figure::P9999Micros,
        Figure::ResidentMegabytes,
        Figure::ResidentKilobytesPerPartition,
        Figure::DiskReadMegabytes,
        Figure::StartMillis,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Figure::CpuMicrosPerRequest => "CPU µs/request",
            Figure::CpuSecondsPerGb => "CPU s/GB",
            Figure::CpuNanosPerRecord => "CPU ns/message",
            Figure::MegabytesPerSecond => "MB/s",
            Figure::MeanMicros => "mean µs",
            Figure::P50Micros => "p50 µs",
            Figure::P99Micros => "p99 µs",
            Figure::P999Micros => "p99.9 µs",
            Figure::P9999Micros => "p99.99 µs",
            Figure::ResidentMegabytes => "resident MB",
            Figure::ResidentKilobytesPerPartition => "resident KB/partition",
            Figure::DiskReadMegabytes => "read from disk MB",
            Figure::StartMillis => "start ms",
        }
    }
}

impl Sample {
    /// `None`: this run says nothing about it.
    pub fn figure(&self, figure: Figure) -> Option<f64> {
        let per = |count: u64, unit: f64| (count > 0 && self.cpu_seconds > 0.0).then(|| self.cpu_seconds * unit / count as f64);
        match figure {
            Figure::CpuMicrosPerRequest => per(self.requests, 1e6),
            Figure::CpuSecondsPerGb => per(self.bytes, 1e9),
            Figure::CpuNanosPerRecord => per(self.records, 1e9),
            Figure::MegabytesPerSecond => (self.bytes > 0 && self.seconds > 0.0).then(|| self.bytes as f64 / 1e6 / self.seconds),
            Figure::MeanMicros => self.mean_us,
            Figure::P50Micros => self.p50_us,
            Figure::P99Micros => self.p99_us,
            Figure::P999Micros => self.p999_us,
            Figure::P9999Micros => self.p9999_us,
            Figure::ResidentMegabytes => Some(self.resident_bytes as f64 / 1e6),
            Figure::ResidentKilobytesPerPartition => self.partitions.map(|count| self.resident_bytes as f64 / 1e3 / count as f64),
            Figure::DiskReadMegabytes => self.disk_read_bytes.map(|bytes| bytes as f64 / 1e6),
            Figure::StartMillis => self.start_ms,
        }
    }
}

/// Every run, by row and contestant, in the order in which they were made.
#[derive(Default)]
pub struct Results {
    runs: BTreeMap<Row, BTreeMap<Contestant, Vec<Sample>>>,
}

impl Results {
    pub fn add(&mut self, row: Row, contestant: Contestant, sample: Sample) {
        self.runs.entry(row).or_default().entry(contestant).or_default().push(sample);
    }

    pub fn rows(&self) -> impl Iterator<Item = (Row, &BTreeMap<Contestant, Vec<Sample>>)> {
        self.runs.iter().map(|(row, runs)| (*row, runs))
    }

    /// The figures that this row's runs have.
    pub fn figures(&self, row: Row) -> Vec<Figure> {
        let samples = || self.runs.get(&row).into_iter().flat_map(BTreeMap::values).flatten();
        Figure::ALL.into_iter().filter(|figure| samples().any(|sample| sample.figure(*figure).is_some())).collect()
    }

    pub fn figure(&self, row: Row, contestant: Contestant, figure: Figure) -> Option<Spread> {
        Spread::of(self.runs.get(&row)?.get(&contestant)?.iter().filter_map(|sample| sample.figure(figure)))
    }

    /// `ours` over `theirs`, run by run, so that what changes on the machine from one turn to the next counts for both.
    pub fn ratio(&self, figure: Figure, ours: (Row, Contestant), theirs: (Row, Contestant)) -> Option<Spread> {
        let runs = |(row, contestant): (Row, Contestant)| Some(self.runs.get(&row)?.get(&contestant)?.iter());
        let pairs = runs(ours)?.zip(runs(theirs)?);
        Spread::of(pairs.filter_map(|(ours, theirs)| Some(ours.figure(figure)? / theirs.figure(figure)?)))
    }
}
