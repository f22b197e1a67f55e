//! Every kind of plot with made-up numbers, on one page: to look at while changing how they are drawn.
//!
//! `cargo run -p pagewire-plot --example gallery > gallery.html`; with the argument `invalid`, as an invalid run looks.

use pagewire_plot::bars::{Bar, BarChart, Group};
use pagewire_plot::dots::{DotChart, Row};
use pagewire_plot::drawing::Chart;
use pagewire_plot::lines::{Line, LineChart, Mark};
use pagewire_plot::page::{self, Page};
use pagewire_plot::palette::NEUTRAL;
use pagewire_plot::scale::{Axis, Scale};
use pagewire_plot::spread::Spread;
use pagewire_plot::table::{Cell, Table};
use pagewire_plot::unit::Unit;

fn percentiles() -> LineChart {
    let curve = |name: &str, colour, base: f64, tail: f64| {
        let points: Vec<(f64, f64)> = (0..=100)
            .map(|step| f64::from(step) / 20.0)
            .map(|nines| (1.0 - 10f64.powf(-nines), base * (1.0 + 0.3 * nines) + tail * (nines - 2.2).max(0.0).powi(3)))
            .collect();
        let band = points.iter().map(|point| (point.0, point.1 * 0.85, point.1 * 1.2)).collect();
        Line { name: name.into(), colour, points, band }
    };
    LineChart {
        title: "Latency by percentile".into(),
        x: Axis::new("percentile", Unit::Fraction, Scale::Percentile),
        y: Axis::new("latency", Unit::Seconds, Scale::Logarithmic),
        lines: vec![
            curve("from the intended send time", 0, 2.5e-4, 2e-3),
            curve("from the actual send time", 1, 2.0e-4, 6e-4),
            curve("end to end", 2, 4.1e-4, 3e-3),
        ],
        marks: vec![],
    }
}

fn over_time(seconds: u32) -> LineChart {
    let wave = |second: u32, size: f64| {
        2e-4 * size * (1.0 + 0.4 * (f64::from(second) / 7.0).sin() + 0.3 * (f64::from(second * second % 97) / 97.0))
    };
    let line = |name: &str, colour, size: f64| Line {
        name: name.into(),
        colour,
        points: (0..seconds).map(|second| (f64::from(second), if second % 41 == 17 { f64::NAN } else { wave(second, size) })).collect(),
        band: vec![],
    };
    LineChart {
        title: "Latency over time".into(),
        x: Axis::new("time since the start", Unit::Seconds, Scale::Linear),
        y: Axis::new("latency", Unit::Seconds, Scale::Logarithmic),
        lines: vec![line("p50", 0, 1.0), line("p99", 1, 9.0), line("max", 2, 60.0)],
        marks: vec![Mark { x: f64::from(seconds) * 0.1, label: "measured from here".into() }],
    }
}

fn by_throughput() -> LineChart {
    let line = |name: &str, colour, size: f64| Line {
        name: name.into(),
        colour,
        points: (1..=9).map(|step| (f64::from(step) * 20_000.0, size * 2e-4 / (1.0 - f64::from(step) / 9.6))).collect(),
        band: vec![],
    };
    LineChart {
        title: "Latency by throughput".into(),
        x: Axis::new("messages per second", Unit::Of(""), Scale::Linear),
        y: Axis::new("latency", Unit::Seconds, Scale::Logarithmic),
        lines: vec![line("p50", 0, 1.0), line("p99", 1, 4.0), line("p99.9", 2, 9.0)],
        marks: vec![],
    }
}

fn bars(unit: &'static str, size: f64) -> BarChart {
    let bar = |name: &str, colour, median: f64, limits: &[f64]| Bar {
        name: name.into(),
        colour,
        spread: Spread { median, least: median * 0.93, most: median * 1.08 }.times(size),
        limits: limits.iter().map(|limit| limit * size).collect(),
    };
    let group = |name: &str, factor: f64| Group {
        name: name.into(),
        bars: vec![
            bar("floor", NEUTRAL, 0.8 * factor, &[]),
            bar("pagewire", 0, 0.93 * factor, &[factor]),
            bar("apache-kafka", 1, 4.2 * factor, &[]),
        ],
    };
    BarChart {
        title: "Processor time of the server for the same work".into(),
        axis: Axis::new("processor time", Unit::Of(unit), Scale::Linear),
        groups: vec![group("ingest, 16 KiB batches, 64 connections pipelining 5", 1.0), group("serve sealed data", 0.4)],
    }
}

fn verdicts() -> DotChart {
    let row = |name: &str, median: f64| Row {
        name: name.into(),
        colour: usize::from(median > 1.0),
        spread: Spread { median, least: median * 0.9, most: median * 1.2 },
        runs: vec![median * 0.9, median * 0.97, median, median * 1.2],
        note: format!("{median:.2}×"),
        is_missed: median > 1.0,
    };
    DotChart {
        title: "How far from each bar".into(),
        axis: Axis::new("measured over allowed", Unit::Times, Scale::Logarithmic),
        limit: Some((1.0, "the bar".into())),
        rows: vec![
            row("ingest-1k, CPU µs/request beside floor", 0.62),
            row("serve-64k, CPU s/GB beside apache-kafka", 1.3),
            row("echo, p99.9 µs beside floor", 0.95),
        ],
    }
}

fn main() {
    let is_invalid = std::env::args().nth(1).is_some_and(|argument| argument == "invalid");
    let small = [bars("s/GB", 1.0), bars("MB", 1000.0)];
    let small: Vec<&dyn Chart> = small.iter().map(|chart| chart as &dyn Chart).collect();
    let table = Table {
        head: vec![Cell::words("who"), Cell::number("p50"), Cell::number("p99"), Cell::words("verdict")],
        rows: vec![
            vec![Cell::words("pagewire").class("ours"), Cell::number("210 µs"), Cell::number("1.2 ms"), Cell::words("met").class("met")],
            vec![Cell::words("apache-kafka"), Cell::number("480 µs"), Cell::number("9.2 ms"), Cell::words("MISSED").class("missed")],
        ],
    };
    let reasons = match is_invalid {
        true => vec!["the generator was late: p99.9 of 3.2 ms behind its own schedule, at most 1 ms allowed".to_owned()],
        false => vec![],
    };
    let empty = LineChart { lines: vec![], ..over_time(0) };
    let body = vec![
        page::verdict(!is_invalid, if is_invalid { "INVALID" } else { "Valid" }, &reasons),
        page::tiles(&[
            ("messages per second", "200k".into(), "of 200k asked".into()),
            ("p50", "210 µs".into(), String::new()),
            ("p99.9", "4.10 ms".into(), "3.9 – 4.6 ms".into()),
        ]),
        page::section("Lines", [page::figure(&percentiles()), page::figure(&over_time(60)), page::figure(&over_time(5000))]),
        page::section("Steps", [page::figure(&by_throughput()), page::figure(&empty)]),
        page::section("Bars", [page::figure(&bars("s/GB", 1.0)), page::figures(&small), page::figure(&verdicts())]),
        page::section("Words", [table.html(), page::facts(&[("kernel", "6.18".into()), ("processor", "AMD EPYC".into())])]),
        page::section("Again", [page::verbatim("pagewire-load --rate 200000 --duration 60s")]),
    ];
    print!("{}", Page { title: "Gallery".into(), subtitle: "made-up numbers".into(), is_invalid, body }.html());
}
