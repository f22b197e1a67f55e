//! What came out: `results.json` with every run, and from that the same figures as a table, as a page and as pictures.
//!
//! | file | what it is |
//! |---|---|
//! | `measured` | all turns that one page tells of |
//! | `comparison` | everything that is written down, as plain data |
//! | `gather` | from the turns to that data and back: the one place here that knows rows, contestants and bars |
//! | `machine` | where it was measured |
//! | `markdown` | `results.md` |
//! | `plots` | the charts, and which of them are files |
//! | `page` | `results.html` |

mod comparison;
mod gather;
mod machine;
mod markdown;
mod measured;
mod page;
mod plots;

use std::io;
use std::path::{Path, PathBuf};

use comparison::Comparison;
pub use measured::Measured;

/// The tables that are printed at the end.
pub fn table(measured: &Measured) -> String {
    markdown::text(&gather::comparison(measured))
}

/// Where all that is measured into `directory` is written down.
pub fn results_json(directory: &Path) -> PathBuf {
    directory.join("results.json")
}

/// Writes `results.md`, `results.json`, `results.html` and the pictures below `plots` into `directory`.
///
/// # Errors
/// The host's.
pub fn write(directory: &Path, measured: &Measured) -> io::Result<()> {
    let comparison = gather::comparison(measured);
    let whole = directory.join("results.json.new");
    std::fs::write(&whole, serde_json::to_string_pretty(&comparison)?)?;
    // What hours have measured is never half overwritten.
    std::fs::rename(whole, results_json(directory))?;
    std::fs::write(directory.join("results.md"), markdown::text(&comparison))?;
    write_page(directory, &comparison)
}

/// What a `results.json` tells of.
///
/// # Errors
/// The host's; it is no such file. Names the file.
pub fn read(results_json: &Path) -> io::Result<Measured> {
    let blame = |error: io::Error| io::Error::other(format!("{}: {error}", results_json.display()));
    let text = std::fs::read_to_string(results_json).map_err(blame)?;
    let comparison: Comparison = serde_json::from_str(&text).map_err(|error| blame(error.into()))?;
    gather::measured(comparison).map_err(blame)
}

/// What several `results.json` tell of, their turns one after the other.
///
/// # Errors
/// As [`read`]; they do not go together.
pub fn read_all(results_json: &[PathBuf]) -> io::Result<Measured> {
    let mut measured = results_json.iter().map(|path| read(path));
    let first = measured.next().unwrap_or_else(|| Err(io::Error::other("expected at least one results.json")))?;
    measured.try_fold(first, |joined, measured| joined.join(measured?).map_err(io::Error::other))
}

fn write_page(directory: &Path, comparison: &Comparison) -> io::Result<()> {
    std::fs::write(directory.join("results.html"), page::html(comparison))?;
    let plots = directory.join("plots");
    // Pictures of rows that are no longer measured would be taken for results.
    if plots.exists() {
        std::fs::remove_dir_all(&plots)?;
    }
    std::fs::create_dir_all(&plots)?;
    for (name, picture) in plots::files(comparison) {
        std::fs::write(plots.join(name), picture)?;
    }
    Ok(())
}
