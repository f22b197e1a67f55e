//! What becomes of an outcome: a table, JSON, histogram files and a page.
//!
//! | file | what it is |
//! |---|---|
//! | `summary` | the outcome as numbers: the JSON, and the source of every table |
//! | `latency` | a distribution as percentiles and as a curve |
//! | `text` | the table for a terminal |
//! | `charts`, `page` | the plots, and the page that holds everything |
//! | `files` | `.hgrm` files and interval logs |
//!
//! Lives on the main thread. Invariant: numbers are worked out once, in `summary`; everybody else only shows them.

pub mod charts;
pub mod files;
pub mod latency;
pub mod page;
#[cfg(test)]
pub mod sample;
pub mod summary;
pub mod text;

use std::path::Path;

use super::outcome::{FORMAT_VERSION, RunOutcome};
use crate::io::directory::{self, replace_atomically};
use summary::Summary;

/// Everything that came out, in files: `outcome.json` holds the rest, and `report.html` shows it.
///
/// # Errors
/// A sentence: the directory or a file cannot be written, or the outcome is from a file and damaged.
pub fn write(folder: &Path, outcome: &RunOutcome, summary: &Summary) -> Result<(), String> {
    let told = |error: std::io::Error| format!("--output {}: {error}", folder.display());
    directory::create_all(folder).map_err(told)?;
    let page = page::html(outcome, summary).map_err(|error| error.to_string())?;
    let json = |value: Result<String, serde_json::Error>| value.map(|text| text + "\n").map_err(|error| error.to_string());
    let texts = [
        ("outcome.json", json(serde_json::to_string(outcome))?),
        ("summary.json", json(serde_json::to_string_pretty(summary))?),
        ("report.html", page),
    ];
    for (name, text) in texts {
        replace_atomically(&folder.join(name), text.as_bytes(), false).map_err(told)?;
    }
    files::write_all(&folder.join("histograms"), outcome).map_err(told)
}

/// An outcome that an earlier run wrote.
///
/// # Errors
/// A sentence: it cannot be read, or is of another version.
pub fn read(path: &Path) -> Result<RunOutcome, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = directory::read_to_string(path).map_err(|error| told(&error))?;
    let outcome: RunOutcome = serde_json::from_str(&text).map_err(|error| told(&error))?;
    match outcome.format_version {
        FORMAT_VERSION => Ok(outcome),
        other => Err(told(&format!("format version {other}; this program reads {FORMAT_VERSION}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sample::Shape;

    #[test]
    fn a_report_made_anew_is_the_report() {
        let folder = tempfile::tempdir().expect("a directory");
        let outcome = sample::outcome(Shape { repetitions: 2, steps: 1 });
        write(folder.path(), &outcome, &Summary::of(&outcome).expect("histograms")).expect("written");
        let page = std::fs::read_to_string(folder.path().join("report.html")).expect("written");
        let again = read(&folder.path().join("outcome.json")).expect("ours");
        assert_eq!(page::html(&again, &Summary::of(&again).expect("histograms")).expect("histograms"), page);
        assert!(folder.path().join("histograms/producer-from_intended.hlog").exists());
    }

    #[test]
    fn what_is_no_outcome_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("outcome.json");
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 1 });
        outcome.format_version = 99;
        std::fs::write(&path, serde_json::to_string(&outcome).expect("serializes")).expect("written");
        let error = read(&path).expect_err("another version");
        assert!(error.contains("outcome.json") && error.contains("99"), "{error}");
        std::fs::write(&path, "{}").expect("written");
        assert!(read(&path).is_err());
    }
}
