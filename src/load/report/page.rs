//! The report as one page: whether the figures hold, the figures, the plots, the machine.
//!
//! Pure. Tables and tiles come from the summary, which is the JSON; plots from the distributions behind it.

use pagewire_plot::calendar;
use pagewire_plot::drawing::Chart;
use pagewire_plot::markup::Element;
use pagewire_plot::page::{Page, facts, figure, figures, section, tiles, verbatim, verdict};
use pagewire_plot::spread::Spread;
use pagewire_plot::table::{Cell, Table};
use pagewire_plot::unit::{Unit, compact, duration};

use super::charts;
use super::latency::LatencySummary;
use super::summary::{RoleSpread, StepSummary, Summary, Traffic};
use super::text::{role_name, schedule};
use crate::load::distribution::NotAHistogram;
use crate::load::outcome::{RunOutcome, Severity};

/// A page for each of very many repetitions is no page any more.
const REPETITIONS_OVER_TIME_MAX: usize = 5;
/// Above the figures; all of them stand with their steps.
const REASONS_MAX: usize = 6;

/// # Errors
/// The outcome was read from a file and a distribution in it is no histogram.
pub fn html(outcome: &RunOutcome, summary: &Summary) -> Result<String, NotAHistogram> {
    let started = calendar::utc(summary.program.started_wall_ms);
    let subtitle = format!("{} {}, {started}", summary.program.name, summary.program.version);
    let mut body = vec![headline(summary)];
    let leading = charts::leading_role(outcome);
    if let Some(step) = summary.representative() {
        if let Some(role) = step.roles.iter().find(|one| Some(one.role) == leading) {
            body.push(key_figures(role, &schedule(&step.schedule), summary.repetitions.len()));
        }
        if summary.over_repetitions.len() > 1
            && let Some(role) = leading
        {
            body.push(section("Latency by throughput", [figure(&charts::by_throughput(summary, role))]));
        }
        body.push(percentile_section(outcome, summary)?);
        if summary.repetitions.len() > 1
            && let Some(role) = leading
        {
            body.push(section("Repetitions", [figure(&charts::repetitions(summary, step, role))]));
        }
    }
    if let Some(role) = leading {
        let mut plots = Vec::new();
        for repetition in outcome.repetitions.iter().take(REPETITIONS_OVER_TIME_MAX) {
            if repetition.steps.iter().any(|step| !step.intervals.is_empty()) {
                let place = if outcome.repetitions.len() > 1 { format!(", repetition {}", repetition.number) } else { String::new() };
                let (mut latency, mut throughput) = (charts::over_time(repetition, role)?, charts::throughput_over_time(repetition));
                latency.title.push_str(&place);
                throughput.title.push_str(&place);
                plots.extend([figure(&latency), figure(&throughput)]);
            }
        }
        body.push(section("Over time", plots));
    }
    body.push(section("Figures", summary.steps().map(|(place, step)| step_tables(&place, step))));
    body.push(section("Conditions", [environment(summary), workload(summary), brokers(summary)]));
    body.push(section("How to repeat it", [verbatim(summary.program.arguments.join(" "))]));
    let title = format!("Load on {}", summary.workload.bootstrap.first().map_or("a broker", String::as_str));
    Ok(Page { title, subtitle, is_invalid: !summary.is_valid, body }.html())
}

fn headline(summary: &Summary) -> Element {
    let (invalid, faults, warnings) = (summary.findings(Severity::Invalid), summary.faults(), summary.findings(Severity::Warning));
    let mut reasons = [faults, invalid, warnings.into_iter().map(|warning| format!("warning: {warning}")).collect()].concat();
    if reasons.len() > REASONS_MAX {
        let more = reasons.len() - REASONS_MAX;
        reasons.truncate(REASONS_MAX);
        reasons.push(format!("and {more} more: they stand with the figures of their steps"));
    }
    let said = match (summary.is_valid, summary.is_clean) {
        (false, true) => "INVALID: these figures tell about the load generator, not about the broker",
        (false, false) => "INVALID, and FAILED: the broker did not keep its word, and the figures tell about the load generator",
        (true, false) => "FAILED: not every message was delivered as it was promised",
        (true, true) => "Valid: the load generator was on time, and nothing was lost, duplicated, reordered or corrupt",
    };
    verdict(summary.is_valid && summary.is_clean, said, &reasons)
}

fn key_figures(role: &RoleSpread, schedule: &str, repetitions: usize) -> Element {
    let note = |spread: Spread, show: &dyn Fn(f64) -> String| {
        if repetitions > 1 { format!("{} – {}", show(spread.least), show(spread.most)) } else { String::new() }
    };
    let rate = role.messages_per_s;
    let mut shown = vec![
        ("messages per second", compact(rate.median), if repetitions > 1 { note(rate, &compact) } else { schedule.to_owned() }),
        ("MB/s", compact(role.megabytes_per_s.median), note(role.megabytes_per_s, &compact)),
    ];
    for name in ["p50", "p99", "p99.9", "max"] {
        if let Some(spread) = role.from_intended_us.get(name).map(|spread| spread.times(1e-6)) {
            shown.push((name, duration(spread.median), note(spread, &duration)));
        }
    }
    tiles(&shown)
}

fn percentile_section(outcome: &RunOutcome, summary: &Summary) -> Result<Element, NotAHistogram> {
    let charts: Vec<_> = summary.over_repetitions.iter().map(|step| charts::percentiles(outcome, step)).collect::<Result<_, _>>()?;
    let drawn = match charts.as_slice() {
        [chart] => figure(chart),
        several => figures(&several.iter().map(|chart| chart as &dyn Chart).collect::<Vec<_>>()),
    };
    Ok(section("Latency by percentile", [drawn]))
}

/// What was measured from where, in the order of the columns.
fn latency_cells(latency: Option<LatencySummary>) -> Vec<Cell> {
    let columns = latency.map(|latency| latency.columns().map(|(_, value_us)| Cell::number(microseconds(value_us))).to_vec());
    columns.unwrap_or_else(|| vec![Cell::number("–"); 6])
}

/// As in the JSON, to the microsecond.
fn microseconds(value_us: f64) -> String {
    format!("{value_us:.0}")
}

fn step_tables(place: &str, step: &StepSummary) -> Element {
    let title = [place, &schedule(&step.schedule)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    let mut rows = Vec::new();
    for role in &step.roles {
        let mut lines: Vec<(String, &Traffic)> = vec![(role_name(role.role), &role.all)];
        if role.by_broker.len() > 1 {
            lines.extend(role.by_broker.iter().map(|(broker, traffic)| (format!("… broker {broker}"), traffic)));
        }
        for (name, traffic) in lines {
            let rate = [traffic.messages.to_string(), format!("{:.0}", traffic.messages_per_s), format!("{:.2}", traffic.megabytes_per_s)];
            let kinds = [
                ("from the intended send", traffic.from_intended_us),
                ("from the actual send", traffic.from_sent_us),
                ("request to answer", traffic.round_trips_us),
            ];
            for (number, (kind, latency)) in kinds.into_iter().enumerate().filter(|(_, (_, latency))| latency.is_some()) {
                let mut row = vec![Cell::words(if number == 0 { name.clone() } else { String::new() })];
                row.extend(rate.iter().map(|text| Cell::number(if number == 0 { text.clone() } else { String::new() })));
                row.push(Cell::words(kind));
                row.extend(latency_cells(latency));
                rows.push(row);
            }
        }
    }
    let head = [Cell::words(""), Cell::number("messages"), Cell::number("per s"), Cell::number("MB/s"), Cell::words("latency, µs")];
    let percentiles = ["p50", "p90", "p99", "p99.9", "p99.99", "max"].map(Cell::number);
    let table = Table { head: head.into_iter().chain(percentiles).collect(), rows };
    let heading = Element::new("h3").text(title);
    let mut element = Element::new("div").child(heading).child(table.html());
    let troubles = &step.troubles;
    let lateness = step.generator_lateness_us.map_or(String::new(), |late| format!("p99 {}", duration(late.p99 * 1e-6)));
    let errors: Vec<String> = troubles.errors.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    let findings: Vec<String> = step.findings.iter().map(|finding| finding.sentence.clone()).collect();
    let counted = |count: u64| if count > 0 { count.to_string() } else { String::new() };
    element = element.child(facts(&[
        ("measured", format!("{:.2} s", step.measured_s)),
        ("saturated", step.saturation.as_ref().map_or(String::new(), |saturation| saturation.sentence.clone())),
        ("self-check", if step.is_valid { "valid".into() } else { "INVALID".into() }),
        ("found", findings.join(" ")),
        ("the generator's own delay", lateness),
        ("processor time of the generator", format!("{:.2} s", step.generator_cpu_s)),
        ("broken or refused connections", counted(troubles.disconnects)),
        ("batches sent again", counted(troubles.retries)),
        ("given up", counted(troubles.given_up)),
        ("due and never sent", counted(troubles.unsent)),
        ("errors", errors.join(", ")),
        ("remarks", troubles.remarks.join("; ")),
    ]));
    element
}

fn environment(summary: &Summary) -> Element {
    let machine = &summary.environment;
    let list = |processors: &[usize]| processors.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let load = machine.load_average.map_or(String::new(), |load| load.map(|value| format!("{value:.2}")).join(", "));
    facts(&[
        ("load generator", format!("{} {}", summary.program.name, summary.program.version)),
        ("kernel", machine.kernel.clone()),
        ("processor", machine.processor_model.clone().unwrap_or_default()),
        ("processors", machine.processors.to_string()),
        ("of which for the load generator", list(&machine.processors_allowed)),
        ("frequency governor", machine.governor.clone().unwrap_or_default()),
        ("clock", machine.clock_source.clone().unwrap_or_default()),
        ("memory", format!("{:.1} GB", machine.memory_bytes as f64 / 1e9)),
        ("load average at the start", load),
    ])
}

fn workload(summary: &Summary) -> Element {
    let work = &summary.workload;
    let acks = if work.acks == -1 { "all".to_owned() } else { work.acks.to_string() };
    let time = |time_ns: u64| Unit::Seconds.show(time_ns as f64 / 1e9);
    let readers: Vec<String> =
        work.readers.iter().map(|class| format!("{} × {}", class.copies * class.consumers, class.role.name().replace('_', " "))).collect();
    facts(&[
        ("mode", work.mode.clone()),
        ("brokers asked first", work.bootstrap.join(", ")),
        ("topics and partitions", format!("{}, {}", work.topics, work.partitions)),
        ("threads", work.threads.to_string()),
        ("producers", format!("{}, {} requests under way each, acks {acks}", work.producers, work.in_flight)),
        ("idempotent", if work.idempotent { "yes".into() } else { String::new() }),
        ("messages", format!("{} bytes, batches of up to {} bytes, {}", work.message_bytes, work.batch_bytes, work.codec)),
        ("linger", time(work.linger_ns)),
        ("keys", if work.keys > 0 { work.keys.to_string() } else { String::new() }),
        ("readers", readers.join(", ")),
        ("connections closed and opened", if work.churn_per_s > 0.0 { format!("{} per second", work.churn_per_s) } else { String::new() }),
        ("warm-up", time(work.warmup_ns)),
        ("duration", work.duration_ns.map_or(String::new(), time)),
    ])
}

fn brokers(summary: &Summary) -> Element {
    let list = |processors: &[usize]| processors.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let row = |broker: &crate::load::outcome::BrokerFacts| {
        let features: Vec<String> = broker.features.iter().map(|(name, level)| format!("{name} {level}")).collect();
        let process = broker.process.as_ref();
        vec![
            Cell::words(broker.broker.to_string()),
            Cell::words(&broker.address),
            Cell::number(broker.apis.len().to_string()),
            Cell::words(features.join(", ")),
            Cell::words(process.map_or("elsewhere".into(), |process| process.command.clone())),
            Cell::words(process.map_or(String::new(), |process| list(&process.processors))),
        ]
    };
    let head = ["broker", "address", "APIs", "features", "process", "on processors"].map(Cell::words);
    Table { head: head.to_vec(), rows: summary.brokers.iter().map(row).collect() }.html()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample::{self, Shape};

    fn page(outcome: &RunOutcome) -> String {
        html(outcome, &Summary::of(outcome).expect("histograms")).expect("histograms")
    }

    fn parsed(html: &str) -> roxmltree::Document<'_> {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        roxmltree::Document::parse_with_options(html, options).expect("well-formed")
    }

    #[test]
    fn the_numbers_of_the_page_are_those_of_the_json() {
        let outcome = sample::outcome(Shape { repetitions: 2, steps: 2 });
        let json = serde_json::to_value(Summary::of(&outcome).expect("histograms")).expect("serializes");
        let html = page(&outcome);
        let document = parsed(&html);
        let cells: Vec<&str> = document.descendants().filter(|node| node.has_tag_name("td")).filter_map(|node| node.text()).collect();
        let mut checked = 0;
        for repetition in json["repetitions"].as_array().expect("a list") {
            for role in repetition["steps"].as_array().expect("a list").iter().flat_map(|step| step["roles"].as_array().expect("a list")) {
                let all = &role["all"];
                assert!(cells.contains(&all["messages"].to_string().as_str()));
                for kind in ["from_intended_us", "from_sent_us", "round_trips_us"] {
                    for name in ["p50", "p99", "p99_9", "max"] {
                        let value = all[kind][name].as_f64().expect("a number");
                        assert!(cells.contains(&microseconds(value).as_str()), "{kind} {name} {value}");
                        checked += 1;
                    }
                }
            }
        }
        assert_eq!(checked, 2 * 2 * 2 * 3 * 4);
    }

    #[test]
    fn an_invalid_run_looks_invalid() {
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 1 });
        assert!(page(&outcome).contains("<body class=\"valid\">"));
        outcome.repetitions[0].steps[0].findings.push(sample::finding(Severity::Invalid));
        let html = page(&outcome);
        assert!(html.contains("<body class=\"invalid\">") && html.contains("batches left &lt;late&gt; &amp; not by the broker's fault"));
        parsed(&html);
    }

    #[test]
    fn a_fault_is_no_success() {
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 1 });
        outcome.repetitions[0].verdict.as_mut().expect("read").streams.acknowledged_lost = 7;
        let html = page(&outcome);
        assert!(html.contains("FAILED: not every message") && html.contains("7 acknowledged but lost"));
        let shape = Shape { repetitions: 1, steps: 1 };
        assert!(page(&sample::outcome(shape)).contains("verdict good"));
    }

    #[test]
    fn odd_runs_have_a_page() {
        let mut empty = sample::outcome(Shape { repetitions: 1, steps: 2 });
        empty.repetitions[0].steps.iter_mut().for_each(|step| {
            step.flows.clear();
            step.intervals.clear();
        });
        parsed(&page(&empty));
        parsed(&page(&sample::outcome(Shape { repetitions: 1, steps: 0 })));
        parsed(&page(&sample::outcome(Shape { repetitions: 0, steps: 0 })));
        parsed(&page(&sample::outcome(Shape { repetitions: 8, steps: 3 })));
    }
}
