//! What one run came to, and what several of them say together.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::server::Contestant;
use crate::work::Row;

/// One run of one contestant.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// The server's processor time.
    pub cpu_seconds: f64,
    pub p50_us: f64,
    pub p999_us: f64,
    pub resident_bytes: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{:8.3} us/request {:7.4} s/GB {:8.0} MB/s  p50 {:8.1} us  p99.9 {:8.1} us  processor {:3.0} %  {:5.0} MB",
            self.figure(Figure::CpuMicrosPerRequest),
            self.figure(Figure::CpuSecondsPerGb),
            self.bytes as f64 / 1e6 / self.seconds,
            self.p50_us,
            self.p999_us,
            100.0 * self.cpu_seconds / self.seconds,
            self.resident_bytes as f64 / 1e6,
        )
    }
}

/// One number of a sample; smaller is better for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Figure {
    CpuMicrosPerRequest,
    CpuSecondsPerGb,
    CpuNanosPerRecord,
    P50Micros,
    P999Micros,
    ResidentMegabytes,
}

impl Figure {
    pub const ALL: [Figure; 6] = [
        Figure::CpuMicrosPerRequest,
        Figure::CpuSecondsPerGb,
        Figure::CpuNanosPerRecord,
        Figure::P50Micros,
        Figure::P999Micros,
        Figure::ResidentMegabytes,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Figure::CpuMicrosPerRequest => "CPU µs/request",
            Figure::CpuSecondsPerGb => "CPU s/GB",
            Figure::CpuNanosPerRecord => "CPU ns/message",
            Figure::P50Micros => "p50 µs",
            Figure::P999Micros => "p99.9 µs",
            Figure::ResidentMegabytes => "resident MB",
        }
    }
}

impl Sample {
    pub fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::CpuMicrosPerRequest => self.cpu_seconds * 1e6 / self.requests as f64,
            Figure::CpuSecondsPerGb => self.cpu_seconds * 1e9 / self.bytes as f64,
            Figure::CpuNanosPerRecord => self.cpu_seconds * 1e9 / self.records as f64,
            Figure::P50Micros => self.p50_us,
            Figure::P999Micros => self.p999_us,
            Figure::ResidentMegabytes => self.resident_bytes as f64 / 1e6,
        }
    }
}

/// The middle of several runs and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, least, most })
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

    pub fn figure(&self, row: Row, contestant: Contestant, figure: Figure) -> Option<Spread> {
        Spread::of(self.runs.get(&row)?.get(&contestant)?.iter().map(|sample| sample.figure(figure)))
    }

    /// `ours` over `theirs`, run by run, so that what changes on the machine from one turn to the next counts for both.
    pub fn ratio(&self, row: Row, figure: Figure, ours: Contestant, theirs: Contestant) -> Option<Spread> {
        let runs = self.runs.get(&row)?;
        let pairs = runs.get(&ours)?.iter().zip(runs.get(&theirs)?);
        Spread::of(pairs.map(|(ours, theirs)| ours.figure(figure) / theirs.figure(figure)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
    }
}
