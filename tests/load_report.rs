//! What `pagewire-load --output` writes after a real run: whole, sound, and the same when it is made anew.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::path::Path;
use std::process::{Command, Output};

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use broker::{Broker, fresh_dir, pagewire_load};

fn load(arguments: &[&str]) -> Output {
    let output = Command::new(pagewire_load()).args(arguments).arg("--quiet").output().expect("the load generator was built");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_run_leaves_a_page_data_and_histograms() {
    let broker = Broker::start(&[]);
    let (directory, other_directory) = (fresh_dir(), fresh_dir());
    let (folder, again) = (directory.path(), other_directory.path());
    let address = broker.address(0).to_string();
    let told = load(&[
        "--bootstrap",
        &address,
        "--topic",
        "reported",
        "--steps",
        "300,600",
        "--repetitions",
        "2",
        "--duration",
        "1s",
        "--interval",
        "100ms",
        "--saturation-share",
        "1",
        "--self-check",
        "warn",
        "--output",
        folder.to_str().expect("a name that is text"),
    ]);
    let page = text(folder, "report.html");
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).expect("well-formed");
    let headings: Vec<&str> = document.descendants().filter(|node| node.has_tag_name("h2")).filter_map(|node| node.text()).collect();
    assert_eq!(
        headings,
        ["Latency by throughput", "Latency by percentile", "Repetitions", "Over time", "Figures", "Conditions", "How to repeat it"]
    );

    let summary: serde_json::Value = serde_json::from_str(&text(folder, "summary.json")).expect("JSON");
    let cells: Vec<&str> = document.descendants().filter(|node| node.has_tag_name("td")).filter_map(|node| node.text()).collect();
    for step in summary["repetitions"].as_array().expect("a list").iter().flat_map(|one| one["steps"].as_array().expect("a list")) {
        let produced = &step["roles"][0]["all"];
        let p99 = produced["from_intended_us"]["p99"].as_f64().expect("a number");
        assert!(cells.contains(&produced["messages"].to_string().as_str()) && cells.contains(&format!("{p99:.0}").as_str()), "{produced}");
    }

    let log = text(folder, "histograms/producer-from_intended.hlog");
    let entries = IntervalLogIterator::new(log.as_bytes()).map(|entry| entry.expect("a sound log"));
    let intervals = entries.filter(|entry| matches!(entry, LogEntry::Interval(_))).count();
    assert!(intervals >= 2 * 2 * 10, "a second in tenths, four times: {intervals}");
    assert!(text(folder, "histograms/tail_reader-from_intended-r2-s2.hgrm").contains("1/(1-Percentile)"));

    let outcome = folder.join("outcome.json");
    let told_again = load(&["report", outcome.to_str().expect("text"), "--output", again.to_str().expect("text")]);
    assert_eq!(text(again, "report.html"), page);
    assert_eq!(String::from_utf8_lossy(&told_again.stdout), String::from_utf8_lossy(&told.stdout));
}
