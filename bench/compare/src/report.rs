//! What came out: `results.json` with every run, and from that the same figures as a table, as a page and as pictures.
//!
//! | file | what it is |
//! |---|---|
//! | `comparison` | everything that is written down, as plain data |
//! | `gather` | from the runs to that data: the one place here that knows rows, contestants and bars |
//! | `machine` | where it was measured |
//! | `markdown` | `results.md` |
//! | `plots` | the charts, and which of them are files |
//! | `page` | `results.html` |

mod comparison;
mod gather;
mod machine;
mod markdown;
mod page;
mod plots;

use std::io;
use std::path::{Path, PathBuf};

use comparison::Comparison;

use crate::sample::Results;

/// The tables that are printed at the end.
pub fn table(results: &Results) -> String {
    markdown::text(&gather::comparison(results))
}

/// Writes `results.md`, `results.json`, `results.html` and the pictures below `plots` into `directory`.
///
/// # Errors
/// The host's.
pub fn write(directory: &Path, results: &Results) -> io::Result<()> {
    write_all(directory, &gather::comparison(results))
}

/// Makes all that [`write()`] makes anew, from the rows of several `results.json`.
///
/// # Errors
/// The host's; one is no such file; they do not go together.
pub fn write_from(results_json: &[PathBuf], directory: &Path) -> io::Result<()> {
    let read = |path: &PathBuf| -> io::Result<Comparison> {
        let blame = |error: String| io::Error::other(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| blame(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| blame(error.to_string()))
    };
    let mut comparisons = results_json.iter().map(read).collect::<io::Result<Vec<_>>>()?.into_iter();
    let first = comparisons.next().ok_or_else(|| io::Error::other("expected at least one results.json"))?;
    let joined = comparisons.try_fold(first, Comparison::join).map_err(io::Error::other)?;
    write_all(directory, &joined)
}

fn write_all(directory: &Path, comparison: &Comparison) -> io::Result<()> {
    std::fs::write(directory.join("results.json"), serde_json::to_string_pretty(comparison)?)?;
    std::fs::write(directory.join("results.md"), markdown::text(comparison))?;
    write_page(directory, comparison)
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
