//! Everything that a comparison writes down, as plain data: what `results.json` holds and what tables, plots and page are made from.
//!
//! Invariant: a page made anew from the JSON is the page that was made from the runs.

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::sample::{Sample, Spread};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// Milliseconds since 1970-01-01 UTC at the end.
    pub finished_wall_ms: i64,
    /// The command line, the program's own name first.
    pub arguments: Vec<String>,
    pub environment: Machine,
    /// Thousandths of each row's size.
    pub size: u64,
    /// In the order of the rows, and in each row of the contestants.
    pub runs: Vec<Runs>,
    pub verdicts: Vec<Verdict>,
}

/// All runs of one contestant in one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    pub row: String,
    /// The row in words.
    #[serde(default)]
    pub title: String,
    pub contestant: String,
    /// Which program it was, such that another build is another.
    pub program: String,
    /// As they were measured.
    pub runs: Vec<Run>,
    /// What they say together; a figure that the row does not measure is not there.
    #[serde(default)]
    pub figures: Vec<Figure>,
}

/// One run, and the turn in which it was: those of one row with the same number were side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub turn: usize,
    #[serde(flatten)]
    pub sample: Sample,
}

/// One number over all runs of a contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// With its unit, such as `p50 µs`.
    pub title: String,
    #[serde(flatten)]
    pub spread: Spread,
}

/// A bar held against what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub row: String,
    /// Title of the figure.
    pub figure: String,
    /// A contestant of the same row, or another row of Pagewire's own, or `nothing`: then the bar is the figure itself.
    pub beside: String,
    pub ratio_max: f64,
    pub ratio: Spread,
    pub is_met: bool,
}

/// The contestant whose bars these are.
pub const OURS: &str = "pagewire";

impl Comparison {
    /// Names of the rows, each once, in their order.
    pub fn rows(&self) -> Vec<&str> {
        let mut rows: Vec<&str> = Vec::new();
        for runs in &self.runs {
            if rows.last() != Some(&runs.row.as_str()) {
                rows.push(&runs.row);
            }
        }
        rows
    }

    pub fn runs_of<'a>(&'a self, row: &'a str) -> impl Iterator<Item = &'a Runs> {
        self.runs.iter().filter(move |runs| runs.row == row)
    }

    pub fn title<'a>(&'a self, row: &'a str) -> &'a str {
        self.runs_of(row).map(|runs| runs.title.as_str()).find(|title| !title.is_empty()).unwrap_or(row)
    }

    pub fn figure(&self, row: &str, contestant: &str, title: &str) -> Option<Spread> {
        let runs = self.runs.iter().find(|runs| runs.row == row && runs.contestant == contestant)?;
        runs.figures.iter().find(|figure| figure.title == title).map(|figure| figure.spread)
    }

    /// Titles of the figures that somebody has in this row, in their order.
    pub fn figures_of(&self, row: &str) -> Vec<&str> {
        let mut titles: Vec<&str> = Vec::new();
        for figure in self.runs.iter().filter(|runs| runs.row == row).flat_map(|runs| &runs.figures) {
            if !titles.contains(&figure.title.as_str()) {
                titles.push(&figure.title);
            }
        }
        titles
    }

    /// The value that Pagewire's figure may have at most by this verdict, from what the other side came to.
    pub fn limit(&self, verdict: &Verdict) -> Option<f64> {
        let other = match verdict.beside.as_str() {
            "nothing" => return Some(verdict.ratio_max),
            beside => self.figure(&verdict.row, beside, &verdict.figure).or_else(|| self.figure(beside, OURS, &verdict.figure))?,
        };
        Some(other.median * verdict.ratio_max)
    }

    /// Not the full size: such a run shows that everything works, and nothing about speed.
    pub fn is_reduced(&self) -> bool {
        self.size < 1000
    }
}
