//! What came out: figures, verdicts, and every run as JSON.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::bars::verdicts;
use crate::sample::{Results, Spread, digits};

/// Markdown: one table of figures for each row, and one of verdicts.
pub fn table(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (row, runs) in results.rows() {
        let _ = writeln!(text, "\n### {}\n", row.title());
        let shown = results.figures(row);
        let titles: Vec<&str> = shown.iter().map(|figure| figure.title()).collect();
        let _ = writeln!(text, "| | {} | runs |\n|---|{}---|", titles.join(" | "), "---|".repeat(titles.len()));
        for (contestant, samples) in runs {
            let figures = shown.iter().map(|figure| results.figure(row, *contestant, *figure).map_or("–".to_owned(), spread));
            let _ = writeln!(text, "| {} | {} | {} |", contestant.name(), figures.collect::<Vec<_>>().join(" | "), samples.len());
        }
    }
    let _ = writeln!(text, "\n### Verdicts\n\n| work | figure | beside | bar | measured | verdict |\n|---|---|---|---|---|---|");
    for verdict in verdicts(results) {
        let said = if verdict.is_met() { "met" } else { "MISSED" };
        let (bar, beside) = (&verdict.bar, verdict.beside.name());
        let measured = spread(verdict.ratio);
        let _ =
            writeln!(text, "| {} | {} | {beside} | <= {:.3} | {measured} | {said} |", bar.row.name(), bar.figure.title(), bar.ratio_max);
    }
    text
}

fn spread(spread: Spread) -> String {
    let digits = digits(spread.median);
    format!("{:.digits$} ({:.digits$}–{:.digits$})", spread.median, spread.least, spread.most)
}

/// Writes `results.md` and `results.json` into `directory`.
///
/// # Errors
/// The host's.
pub fn write(directory: &Path, results: &Results, text: &str) -> io::Result<()> {
    let runs: Vec<_> = results
        .rows()
        .flat_map(|(row, runs)| {
            runs.iter().map(
                move |(contestant, samples)| serde_json::json!({ "row": row.name(), "contestant": contestant.name(), "runs": samples }),
            )
        })
        .collect();
    let verdicts: Vec<_> = verdicts(results)
        .iter()
        .map(|verdict| {
            serde_json::json!({
                "row": verdict.bar.row.name(), "figure": verdict.bar.figure.title(), "beside": verdict.beside.name(),
                "ratio_max": verdict.bar.ratio_max, "ratio": verdict.ratio, "is_met": verdict.is_met(),
            })
        })
        .collect();
    let json = serde_json::json!({ "environment": environment(), "runs": runs, "verdicts": verdicts });
    std::fs::write(directory.join("results.json"), serde_json::to_string_pretty(&json)?)?;
    std::fs::write(directory.join("results.md"), text)
}

/// The machine, as far as it explains figures.
fn environment() -> serde_json::Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| -> String {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    serde_json::json!({
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
    })
}
