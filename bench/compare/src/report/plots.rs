//! The charts of a comparison, and which of them are files of their own.

use pagewire_plot::bars::{Bar, BarChart, Group};
use pagewire_plot::dots::{DotChart, Row};
use pagewire_plot::drawing::{Chart, WIDE};
use pagewire_plot::palette::NEUTRAL;
use pagewire_plot::scale::{Axis, Scale};
use pagewire_plot::unit::Unit;

use super::comparison::{Comparison, OURS};
use crate::sample::Spread;

/// Other ways of the same contestant: they stand in the charts of their rows, not in those that show all rows together.
const VARIANTS: [&str; 3] = ["floor-splice", "floor-copy", "pagewire-copy"];

/// Everyone keeps a colour, on all charts.
fn colour(contestant: &str) -> usize {
    match contestant {
        "pagewire" => 0,
        "apache-kafka" => 1,
        "pagewire-copy" => 5,
        floor if floor.starts_with("floor") => NEUTRAL,
        // Whoever is measured besides.
        other => 2 + other.bytes().map(usize::from).sum::<usize>() % 3,
    }
}

/// The axis of a figure, and what its values are multiplied by: times are shown in whatever unit fits them.
fn axis(figure: &str, scale: Scale) -> (Axis, f64) {
    let is_time = |unit: &str| figure.strip_suffix(unit).filter(|title| !title.starts_with("CPU"));
    match (is_time(" µs"), is_time(" ms")) {
        (Some(title), _) => (Axis::new(title, Unit::Seconds, scale), 1e-6),
        (_, Some(title)) => (Axis::new(title, Unit::Seconds, scale), 1e-3),
        _ => (Axis::new(figure, Unit::Of(""), scale), 1.0),
    }
}

fn bar(contestant: &str, spread: Spread, factor: f64) -> Bar {
    Bar { name: contestant.into(), colour: colour(contestant), spread: spread.times(factor), limits: Vec::new() }
}

fn mains<'a>(comparison: &'a Comparison, row: &'a str) -> impl Iterator<Item = &'a str> {
    comparison.runs_of(row).map(|runs| runs.contestant.as_str()).filter(|contestant| !VARIANTS.contains(contestant))
}

/// One figure of one row, everybody who was measured, and what Pagewire had to stay below.
pub fn of_figure(comparison: &Comparison, row: &str, figure: &str) -> BarChart {
    let (axis, factor) = axis(figure, Scale::Linear);
    let limits: Vec<f64> = comparison
        .verdicts
        .iter()
        .filter(|verdict| verdict.row == row && verdict.figure == figure)
        .filter_map(|verdict| Some(comparison.limit(verdict)? * factor))
        .collect();
    let bars = comparison.runs_of(row).filter_map(|runs| {
        let spread = comparison.figure(row, &runs.contestant, figure)?;
        let limits = if runs.contestant == OURS { limits.clone() } else { Vec::new() };
        Some(Bar { limits, ..bar(&runs.contestant, spread, factor) })
    });
    BarChart { title: axis.title.clone(), axis, groups: vec![Group { name: String::new(), bars: bars.collect() }] }
}

/// The figures of a row that have a chart: those with a bar, and the latencies. All of them stand in the table.
pub fn figures(comparison: &Comparison, row: &str) -> Vec<String> {
    let has_bar = |title: &str| comparison.verdicts.iter().any(|verdict| verdict.row == row && verdict.figure == title);
    let is_latency = |title: &str| title.starts_with('p') && title.ends_with(" µs");
    let all = comparison.figures_of(row);
    let chosen: Vec<String> = all.iter().filter(|title| has_bar(title) || is_latency(title)).map(|title| title.to_string()).collect();
    if chosen.is_empty() { all.into_iter().map(str::to_owned).collect() } else { chosen }
}

/// How far each bar is: what was measured over what is allowed.
pub fn verdicts(comparison: &Comparison) -> DotChart {
    let rows = comparison.verdicts.iter().map(|verdict| Row {
        name: match verdict.beside.as_str() {
            "nothing" => format!("{}, {}", verdict.row, verdict.figure),
            beside => format!("{}, {} beside {beside}", verdict.row, verdict.figure),
        },
        colour: usize::from(!verdict.is_met),
        spread: verdict.ratio.times(1.0 / verdict.ratio_max),
        runs: Vec::new(),
        note: super::markdown::said(verdict.is_met).into(),
        is_missed: !verdict.is_met,
    });
    let axis = Axis::new("measured / allowed, median and spread; less is better", Unit::Times, Scale::Logarithmic);
    let limit = Some((1.0, "the bar: met to the left".into()));
    DotChart { title: "Each bar and how far from it".into(), axis, limit, rows: rows.collect() }
}

/// Processor time of the same work in each row, Pagewire's being 1.
pub fn processor(comparison: &Comparison) -> BarChart {
    let group = |row: &str| {
        let figure = comparison.figures_of(row).into_iter().find(|title| title.starts_with("CPU"))?.to_owned();
        let ours = comparison.figure(row, OURS, &figure)?.median;
        let measured = |contestant: &str| Some(bar(contestant, comparison.figure(row, contestant, &figure)?, 1.0 / ours));
        let bars: Vec<Bar> = mains(comparison, row).filter_map(measured).collect();
        (bars.len() > 1).then(|| Group { name: comparison.title(row).into(), bars })
    };
    let axis = Axis::new("processor time of the server, Pagewire = 1; less is better", Unit::Times, Scale::Linear);
    let groups = comparison.rows().into_iter().filter_map(group).collect();
    BarChart { title: "Processor time for the same work".into(), axis, groups }
}

/// A figure over all rows in which Pagewire and somebody else have it and `is_shown` holds.
fn over_rows(comparison: &Comparison, title: &str, figure: &str, is_shown: impl Fn(&str) -> bool) -> BarChart {
    let (axis, factor) = axis(figure, Scale::Linear);
    let axis = Axis { title: format!("{}; less is better", axis.title), ..axis };
    let group = |row: &str| {
        let measured = |contestant: &str| Some(bar(contestant, comparison.figure(row, contestant, figure)?, factor));
        let bars: Vec<Bar> = mains(comparison, row).filter_map(measured).collect();
        (bars.len() > 1).then(|| Group { name: comparison.title(row).into(), bars })
    };
    let groups = comparison.rows().into_iter().filter(|row| is_shown(row)).filter_map(group).collect();
    BarChart { title: title.into(), axis, groups }
}

/// Latencies where a latency has a bar. Where everybody sends as fast as they can, latency is only how long the queue is.
pub fn latency(comparison: &Comparison) -> BarChart {
    let has_bar = |row: &str| comparison.verdicts.iter().any(|verdict| verdict.row == row && verdict.figure.ends_with(" µs"));
    over_rows(comparison, "Latency, 99.9th percentile", "p99.9 µs", has_bar)
}

pub fn memory(comparison: &Comparison) -> BarChart {
    over_rows(comparison, "Memory of the server's process", "resident MB", |_| true)
}

/// Every picture by the name of its file.
pub fn files(comparison: &Comparison) -> Vec<(String, String)> {
    let mut files = vec![
        ("verdicts.svg".to_owned(), verdicts(comparison).draw(WIDE).file()),
        ("processor.svg".to_owned(), processor(comparison).draw(WIDE).file()),
        ("latency.svg".to_owned(), latency(comparison).draw(WIDE).file()),
        ("memory.svg".to_owned(), memory(comparison).draw(WIDE).file()),
    ];
    for row in comparison.rows() {
        for figure in figures(comparison, row) {
            let mut chart = of_figure(comparison, row, &figure);
            chart.title = format!("{}: {}", comparison.title(row), chart.title);
            files.push((format!("{row}-{}.svg", file_name(&figure)), chart.draw(WIDE).file()));
        }
    }
    files
}

/// `CPU s/GB` as `cpu-s-per-gb`.
fn file_name(figure: &str) -> String {
    let plain = figure.replace('/', " per ").replace('µ', "u").to_lowercase();
    plain.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}
