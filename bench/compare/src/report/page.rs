//! `results.html`: one page with every figure, what each bar says, where it was measured and how to repeat it.

use pagewire_plot::calendar;
use pagewire_plot::drawing::Chart;
use pagewire_plot::markup::Element;
use pagewire_plot::page::{Page, facts, figure, figures, paragraph, section, verbatim, verdict};
use pagewire_plot::table::{Cell, Table};

use super::comparison::{Comparison, OURS};
use super::markdown::{said, spread};
use super::plots;

pub fn html(comparison: &Comparison) -> String {
    let subtitle = format!("{}; {}", calendar::utc(comparison.finished_wall_ms), comparison.environment.in_words());
    let mut body = vec![headline(comparison), about()];
    if !comparison.verdicts.is_empty() {
        body.push(section("Bars", [figure(&plots::verdicts(comparison)), verdict_table(comparison)]));
    }
    let overview: Vec<Element> = [plots::processor(comparison), plots::latency(comparison), plots::memory(comparison)]
        .iter()
        .filter(|chart| !chart.groups.is_empty())
        .map(|chart| figure(chart))
        .collect();
    body.push(section("All work at a glance", overview));
    body.extend(comparison.rows().into_iter().map(|row| row_section(comparison, row)));
    body.push(section("Where", [machine(comparison)]));
    body.push(section("How to repeat it", [verbatim(comparison.arguments.join(" ")), conditions()]));
    let title = "Pagewire beside the floor and Apache Kafka".into();
    Page { title, subtitle, is_invalid: comparison.is_reduced(), body }.html()
}

fn headline(comparison: &Comparison) -> Element {
    if comparison.is_reduced() {
        let why = "rows were cut to a part of their size: this run shows that everything works, and nothing about speed";
        return verdict(false, "INVALID: a reduced run", &[why.into()]);
    }
    let missed: Vec<String> = comparison
        .verdicts
        .iter()
        .filter(|verdict| !verdict.is_met)
        .map(|verdict| {
            let measured = spread(verdict.ratio);
            format!("{}: {} beside {}: {measured}, at most {:.3} allowed", verdict.row, verdict.figure, verdict.beside, verdict.ratio_max)
        })
        .collect();
    let (all, met) = (comparison.verdicts.len(), comparison.verdicts.len() - missed.len());
    match all {
        0 => verdict(true, "No bar for what was measured", &[]),
        _ => verdict(missed.is_empty(), &format!("{met} of {all} bars met"), &missed),
    }
}

fn about() -> Element {
    paragraph(
        "The floor is a bare loop that makes the system calls which the same work cannot do without, and no more: no protocol, no checks, \
         no indexes. Who comes near it wastes little. Everybody has one processor to himself, the load comes from another one, and \
         contestants take turns. Figures are medians; least and most of all runs stand in brackets and as whiskers. A dashed \
         line on Pagewire's bar is what it had to stay below. Ratios are taken within each turn.",
    )
}

fn verdict_table(comparison: &Comparison) -> Element {
    let head = vec![
        Cell::words("work"),
        Cell::words("figure"),
        Cell::words("beside"),
        Cell::number("allowed"),
        Cell::number("measured"),
        Cell::words("verdict"),
    ];
    let row = |verdict: &super::comparison::Verdict| {
        vec![
            Cell::words(&verdict.row),
            Cell::words(&verdict.figure),
            Cell::words(&verdict.beside),
            Cell::number(format!("≤ {:.3}", verdict.ratio_max)),
            Cell::number(spread(verdict.ratio)),
            Cell::words(said(verdict.is_met)).class(if verdict.is_met { "met" } else { "missed" }),
        ]
    };
    Table { head, rows: comparison.verdicts.iter().map(row).collect() }.html()
}

fn row_section(comparison: &Comparison, row: &str) -> Element {
    let charts: Vec<_> = plots::figures(comparison, row).iter().map(|title| plots::of_figure(comparison, row, title)).collect();
    let charts: Vec<&dyn Chart> = charts.iter().map(|chart| chart as &dyn Chart).collect();
    section(comparison.title(row), [figures(&charts), row_table(comparison, row)])
}

fn row_table(comparison: &Comparison, row: &str) -> Element {
    let titles = comparison.figures_of(row);
    let head = std::iter::once(Cell::words(row)).chain(titles.iter().map(|title| Cell::number(*title))).chain([Cell::number("runs")]);
    let line = |runs: &super::comparison::Runs| {
        let name = Cell::words(&runs.contestant).class(if runs.contestant == OURS { "ours" } else { "" });
        let figures = titles.iter().map(|title| comparison.figure(row, &runs.contestant, title).map_or("–".into(), spread));
        std::iter::once(name).chain(figures.map(Cell::number)).chain([Cell::number(runs.runs.len().to_string())]).collect()
    };
    Table { head: head.collect(), rows: comparison.runs_of(row).map(line).collect() }.html()
}

fn machine(comparison: &Comparison) -> Element {
    let machine = &comparison.environment;
    let processors = format!("{}{}", machine.processors, if machine.is_virtual { ", virtual" } else { "" });
    facts(&[
        ("processor", machine.processor.clone()),
        ("processors", processors),
        ("memory", machine.memory_in_words()),
        ("kernel", format!("Linux {}", machine.kernel)),
        ("frequency governor", machine.governor.clone()),
        ("clock", machine.clock_source.clone()),
        ("finished", calendar::utc(comparison.finished_wall_ms)),
    ])
}

fn conditions() -> Element {
    paragraph(
        "A machine with nothing else to do, two processors at least, and Apache Kafka's jars for --kafka-jars. Absolute figures are this \
         machine's; ratios between contestants travel better. results.json beside this page holds every run.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::comparison::{Figure, Run, Runs, Verdict};
    use crate::report::machine::Machine;
    use crate::sample::Spread;

    fn comparison(sizes: &[(&str, f64)]) -> Comparison {
        let spread = |median: f64| Spread { median, least: median * 0.9, most: median * 1.1 };
        let runs = sizes.iter().map(|(contestant, median)| Runs {
            row: "ingest".into(),
            title: "ingest <1 KiB> & more".into(),
            contestant: contestant.to_string(),
            runs: vec![Run::default()],
            program: String::new(),
            figures: vec![
                Figure { title: "CPU s/GB".into(), spread: spread(*median) },
                Figure { title: "p99.9 µs".into(), spread: spread(*median * 1000.0) },
            ],
        });
        let verdict = |beside: &str, is_met| Verdict {
            row: "ingest".into(),
            figure: "CPU s/GB".into(),
            beside: beside.into(),
            ratio_max: 1.25,
            ratio: spread(if is_met { 1.1 } else { 1.4 }),
            is_met,
        };
        Comparison {
            finished_wall_ms: 1_700_000_000_000,
            arguments: vec!["pagewire-compare".into(), "<x>".into()],
            size: 1000,
            environment: Machine { processor: "A & B".into(), processors: 2, memory: "24000000 kB".into(), ..Machine::default() },
            runs: runs.collect(),
            verdicts: vec![verdict("floor", true), verdict("apache-kafka", false)],
        }
    }

    fn parsed(html: &str) -> roxmltree::Document<'_> {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        roxmltree::Document::parse_with_options(html, options).expect("well-formed")
    }

    #[test]
    fn the_numbers_of_the_page_are_those_of_the_json() {
        let before = comparison(&[("floor", 0.8), ("pagewire", 0.9), ("apache-kafka", 4.123)]);
        let json = serde_json::to_string(&before).expect("serializes");
        let read: Comparison = serde_json::from_str(&json).expect("reads");
        let html = html(&read);
        assert_eq!(html, super::html(&before), "a page made anew is the page");
        let document = parsed(&html);
        let cells: Vec<&str> = document.descendants().filter(|node| node.has_tag_name("td")).filter_map(|node| node.text()).collect();
        for runs in &before.runs {
            for figure in &runs.figures {
                assert!(cells.contains(&spread(figure.spread).as_str()), "{} {}", runs.contestant, figure.title);
            }
        }
        assert!(cells.contains(&"MISSED") && cells.contains(&"met"));
        assert!(html.contains("1 of 2 bars met"));
    }

    #[test]
    fn odd_results_give_a_page() {
        for sizes in [vec![], vec![("a <b> & \"c\"", 0.0)], vec![("pagewire", f64::MAX)], vec![("pagewire", f64::NAN), ("floor", 1e-300)]] {
            let comparison = comparison(&sizes);
            parsed(&html(&comparison));
            for (name, picture) in plots::files(&comparison) {
                roxmltree::Document::parse(&picture).expect("well-formed");
                assert!(name.bytes().all(|c| c.is_ascii_alphanumeric() || b".-".contains(&c)), "{name}");
            }
        }
        parsed(&html(&Comparison::default()));
    }

    #[test]
    fn a_reduced_run_looks_invalid() {
        let mut reduced = comparison(&[("pagewire", 1.0)]);
        assert!(!html(&reduced).contains("INVALID:"));
        reduced.size = 50;
        let html = html(&reduced);
        assert!(html.contains("INVALID: a reduced run") && html.contains("<body class=\"invalid\">"));
    }
}
