//! The figures as tables of Markdown: for a terminal, and for the documentation.

use std::fmt::Write;

use super::comparison::Comparison;
use crate::sample::{Spread, digits};

/// One table of figures for each row, and one of verdicts.
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for row in comparison.rows() {
        let _ = writeln!(text, "\n### {}\n", comparison.title(row));
        let titles = comparison.figures_of(row);
        let _ = writeln!(text, "| | {} | runs |\n|---|{}---|", titles.join(" | "), "---|".repeat(titles.len()));
        for runs in comparison.runs_of(row) {
            let figures = titles.iter().map(|title| comparison.figure(row, &runs.contestant, title).map_or("–".into(), spread));
            let _ = writeln!(text, "| {} | {} | {} |", runs.contestant, figures.collect::<Vec<_>>().join(" | "), runs.runs.len());
        }
    }
    let _ = writeln!(text, "\n### Verdicts\n\n| work | figure | beside | bar | measured | verdict |\n|---|---|---|---|---|---|");
    for verdict in &comparison.verdicts {
        let _ = writeln!(
            text,
            "| {} | {} | {} | <= {:.3} | {} | {} |",
            verdict.row,
            verdict.figure,
            verdict.beside,
            verdict.ratio_max,
            spread(verdict.ratio),
            said(verdict.is_met)
        );
    }
    text
}

pub fn said(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// Median, and in brackets the least and the most.
pub fn spread(spread: Spread) -> String {
    let digits = digits(spread.median);
    format!("{:.digits$} ({:.digits$}–{:.digits$})", spread.median, spread.least, spread.most)
}
