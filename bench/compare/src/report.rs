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
use std::path::Path;

use crate::sample::Results;

/// The tables that are printed at the end.
pub fn table(results: &Results) -> String {
    markdown::text(&gather::comparison(results))
}

/// Writes `results.md`, `results.json`, `results.html` and the pictures below `plots` into `directory`. `text`: see [`table`].
///
/// # Errors
/// The host's.
pub fn write(directory: &Path, results: &Results, text: &str) -> io::Result<()> {
    let comparison = gather::comparison(results);
    std::fs::write(directory.join("results.json"), serde_json::to_string_pretty(&comparison)?)?;
    std::fs::write(directory.join("results.md"), text)?;
    write_page(directory, &comparison)
}

/// Makes the page and the pictures anew from a `results.json` and puts them beside it.
///
/// # Errors
/// The host's, or it is no such file.
pub fn page_from(results_json: &Path) -> io::Result<()> {
    let comparison: comparison::Comparison = serde_json::from_str(&std::fs::read_to_string(results_json)?)?;
    write_page(results_json.parent().unwrap_or(Path::new(".")), &comparison)
}

fn write_page(directory: &Path, comparison: &comparison::Comparison) -> io::Result<()> {
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
