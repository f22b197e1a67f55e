//! What one run came to; the turns in which runs were side by side; what several of them say together.

use std::collections::BTreeMap;
use std::fmt;

pub use pagewire_plot::spread::Spread;
use serde::{Deserialize, Serialize};

use crate::contestant::Contestant;
use crate::work::Row;

/// One run of one contestant: what it did in its counted part. What a row does not measure is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

/// What one contestant came to in one row: a sample for each of its turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turns {
    /// Which program it was, such that another build is another.
    pub program: String,
    pub samples: BTreeMap<usize, Sample>,
}

impl Turns {
    fn last(&self) -> Option<usize> {
        self.samples.keys().last().copied()
    }
}

/// Every run, by row and contestant. Runs of one row, and of rows that take turns, with the same number, counted from 1, were side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    runs: BTreeMap<Row, BTreeMap<Contestant, Turns>>,
}

/// Another program measured these runs, so they do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "row {}: {} was another program there ({programs}): only turns of the same programs go together, so measure the row anew",
    .row.name(), .contestant.name()
)]
pub struct OtherProgram {
    row: Row,
    contestant: Contestant,
    programs: String,
}

impl Results {
    /// Adds a run that is not there yet. `turn` counts from 1.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn add(&mut self, row: Row, contestant: Contestant, turn: usize, program: &str, sample: Sample) -> Result<(), OtherProgram> {
        self.check(row, contestant, program)?;
        let turns = self.runs.entry(row).or_default().entry(contestant).or_default();
        program.clone_into(&mut turns.program);
        let previous = turns.samples.insert(turn, sample);
        assert!(previous.is_none() && turn > 0, "turn {turn} of {} in row {} was there", contestant.name(), row.name());
        Ok(())
    }

    /// Whether turns of this program may be added.
    ///
    /// # Errors
    /// The contestant's turns in this row are another program's.
    pub fn check(&self, row: Row, contestant: Contestant, program: &str) -> Result<(), OtherProgram> {
        match self.turns(row, contestant) {
            Some(turns) if turns.program != program => {
                Err(OtherProgram { row, contestant, programs: format!("{:?} and {program:?}", turns.program) })
            }
            _ => Ok(()),
        }
    }

    pub fn has(&self, row: Row, contestant: Contestant, turn: usize) -> bool {
        self.turns(row, contestant).is_some_and(|turns| turns.samples.contains_key(&turn))
    }

    /// The turns of both; in a row that both have, or that takes turns with one, those of `later` follow.
    ///
    /// # Errors
    /// A contestant is not the same program in both.
    pub fn join(mut self, later: Results) -> Result<Results, OtherProgram> {
        let last_turns: BTreeMap<Row, usize> = later.runs.keys().map(|row| (row.turns_with(), self.last_turn(*row))).collect();
        for (row, contestants) in later.runs {
            let before = last_turns[&row.turns_with()];
            for (contestant, turns) in contestants {
                for (turn, sample) in turns.samples {
                    self.add(row, contestant, before + turn, &turns.program, sample)?;
                }
            }
        }
        Ok(self)
    }

    /// The number of the last turn of this row and those that take turns with it; 0 if there is none.
    pub fn last_turn(&self, row: Row) -> usize {
        let together = self.runs.iter().filter(|(other, _)| other.turns_with() == row.turns_with());
        together.flat_map(|(_, contestants)| contestants.values()).filter_map(Turns::last).max().unwrap_or(0)
    }

    /// How many turns a contestant has had in a row.
    pub fn count(&self, row: Row, contestant: Contestant) -> usize {
        self.turns(row, contestant).map_or(0, |turns| turns.samples.len())
    }

    fn turns(&self, row: Row, contestant: Contestant) -> Option<&Turns> {
        self.runs.get(&row)?.get(&contestant)
    }

    pub fn rows(&self) -> impl Iterator<Item = (Row, &BTreeMap<Contestant, Turns>)> {
        self.runs.iter().map(|(row, runs)| (*row, runs))
    }

    /// The figures that this row's runs have.
    pub fn figures(&self, row: Row) -> Vec<Figure> {
        let samples = || self.runs.get(&row).into_iter().flat_map(BTreeMap::values).flat_map(|turns| turns.samples.values());
        Figure::ALL.into_iter().filter(|figure| samples().any(|sample| sample.figure(*figure).is_some())).collect()
    }

    pub fn figure(&self, row: Row, contestant: Contestant, figure: Figure) -> Option<Spread> {
        Spread::of(self.turns(row, contestant)?.samples.values().filter_map(|sample| sample.figure(figure)))
    }

    /// `ours` over `theirs`, turn by turn, so that what changes on the machine from one turn to the next counts for both.
    pub fn ratio(&self, figure: Figure, ours: (Row, Contestant), theirs: (Row, Contestant)) -> Option<Spread> {
        let (ours, theirs) = (&self.turns(ours.0, ours.1)?.samples, &self.turns(theirs.0, theirs.1)?.samples);
        let ratio = |(turn, ours): (&usize, &Sample)| Some(ours.figure(figure)? / theirs.get(turn)?.figure(figure)?);
        Spread::of(ours.iter().filter_map(ratio))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of `echo` with these p50s; `None`: the contestant had no part in that turn.
    fn echo(contestant: Contestant, program: &str, p50s: &[Option<f64>]) -> Results {
        let mut results = Results::default();
        for (turn, p50_us) in p50s.iter().enumerate().filter(|(_, p50_us)| p50_us.is_some()) {
            results.add(Row::Echo, contestant, turn + 1, program, Sample { p50_us: *p50_us, ..Sample::default() }).unwrap();
        }
        results
    }

    #[test]
    fn turns_of_several_runs_follow_each_other_and_stay_side_by_side() {
        let ours = |p50s: &[Option<f64>]| echo(Contestant::Pagewire, "1", p50s);
        let mut first = ours(&[Some(20.0)]);
        for (turn, p50_us) in [(1, 10.0), (2, 50.0)] {
            first.add(Row::Echo, Contestant::Floor, turn, "2", Sample { p50_us: Some(p50_us), ..Sample::default() }).unwrap();
        }
        // Their second turns are not ours: ours was not there in the second turn of the first run.
        let joined = first.join(ours(&[Some(30.0), Some(40.0)])).unwrap();
        assert_eq!(joined.last_turn(Row::Echo), 4);
        let ratio = joined.ratio(Figure::P50Micros, (Row::Echo, Contestant::Pagewire), (Row::Echo, Contestant::Floor)).unwrap();
        assert_eq!(ratio, Spread { median: 2.0, least: 2.0, most: 2.0 });
        assert_eq!(joined.figure(Row::Echo, Contestant::Pagewire, Figure::P50Micros).unwrap().median, 30.0);
    }

    #[test]
    fn a_row_is_held_against_the_turn_of_the_other_row_that_was_beside_it() {
        let scale = |row, p99_us| {
            let mut results = Results::default();
            results.add(row, Contestant::Pagewire, 1, "1", Sample { p99_us: Some(p99_us), ..Sample::default() }).unwrap();
            results
        };
        let mut both = scale(Row::ScaleSegments, 200.0);
        both.runs.extend(scale(Row::ScaleBase, 100.0).runs);
        // The first run measured the base alone.
        let joined = scale(Row::ScaleBase, 7.0).join(both).unwrap();
        let ours = |row| (row, Contestant::Pagewire);
        let ratio = joined.ratio(Figure::P99Micros, ours(Row::ScaleSegments), ours(Row::ScaleBase)).unwrap();
        assert_eq!(ratio, Spread { median: 2.0, least: 2.0, most: 2.0 });
    }

    #[test]
    fn turns_of_another_program_are_not_taken_for_the_same() {
        let error = echo(Contestant::Pagewire, "1", &[Some(1.0)]).join(echo(Contestant::Pagewire, "2", &[Some(1.0)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "row echo: pagewire was another program there (\"1\" and \"2\"): only turns of the same programs go together, so measure the row anew"
        );
    }
}
