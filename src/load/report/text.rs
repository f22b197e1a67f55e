//! The summary for a reader at a terminal.
//!
//! Pure. The last line is `OK` exactly when the run is clean and valid, else `FAILED` or `INVALID`; why stands right above it.

use std::fmt::Write;

use pagewire_plot::spread::Spread;

use super::latency::LatencySummary;
use super::summary::{RoleSummary, StepSpread, StepSummary, Summary, Traffic};
use crate::load::checker::Verdict;
use crate::load::outcome::{Role, ScheduleFacts, Severity, Troubles};

pub fn text(summary: &Summary) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, summary);
    text
}

fn write(text: &mut String, summary: &Summary) -> std::fmt::Result {
    for (place, step) in summary.steps() {
        if !place.is_empty() {
            writeln!(text, "{place}: {}", schedule(&step.schedule))?;
        }
        step.roles.iter().try_for_each(|role| role_table(text, role))?;
        step_notes(text, step)?;
        if !place.is_empty() {
            writeln!(text)?;
        }
    }
    if summary.repetitions.len() > 1 {
        over_repetitions(text, &summary.over_repetitions)?;
    }
    for repetition in &summary.repetitions {
        if let Some(verdict) = &repetition.verdict {
            if summary.repetitions.len() > 1 {
                writeln!(text, "repetition {}:", repetition.number)?;
            }
            verdict_text(text, verdict)?;
        }
    }
    for warning in summary.findings(Severity::Warning) {
        writeln!(text, "warning: {warning}")?;
    }
    for fault in summary.faults() {
        writeln!(text, "FAULT: {fault}")?;
    }
    for reason in summary.findings(Severity::Invalid) {
        writeln!(text, "INVALID: {reason}")?;
    }
    if !summary.is_valid {
        writeln!(text, "INVALID: these figures tell about the load generator or its machine, not about the broker")?;
    }
    let said = match (summary.is_clean, summary.is_valid) {
        (true, true) => "OK",
        (true, false) => "INVALID",
        (false, _) => "FAILED",
    };
    writeln!(text, "{said}")
}

/// What a role is called in tables.
pub fn role_name(role: Role) -> String {
    match role {
        Role::Producer => "produced".into(),
        Role::TailReader => "consumed".into(),
        other => other.name().replace('_', " "),
    }
}

/// When messages were due, in words.
pub fn schedule(schedule: &ScheduleFacts) -> String {
    match *schedule {
        ScheduleFacts::AsFastAsPossible => "as fast as possible".into(),
        ScheduleFacts::Constant { messages_per_s } => format!("{messages_per_s} messages/s"),
        ScheduleFacts::Poisson { messages_per_s, seed } => format!("{messages_per_s} messages/s at random (Poisson, seed {seed})"),
        ScheduleFacts::Bursts { messages_per_s, burst_messages, period_ns } => {
            let period_ms = period_ns as f64 / 1e6;
            format!("{messages_per_s} messages/s, {burst_messages} at once every {period_ms} ms")
        }
    }
}

const NAME_WIDTH: usize = 16;

fn role_table(text: &mut String, role: &RoleSummary) -> std::fmt::Result {
    let name = role_name(role.role);
    let columns = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    write!(text, "{name:<NAME_WIDTH$}{:>12}{:>12}{:>10}", "messages", "per s", "MB/s")?;
    columns.iter().try_for_each(|column| write!(text, "{column:>11}"))?;
    writeln!(text, "  µs")?;
    let mut line = |name: &str, traffic: &Traffic| {
        write!(text, "{name:<NAME_WIDTH$}{:>12}{:>12.0}{:>10.2}", traffic.messages, traffic.messages_per_s, traffic.megabytes_per_s)?;
        latency_cells(text, traffic.from_intended_us)?;
        writeln!(text)
    };
    if role.by_broker.len() > 1 {
        role.by_broker.iter().try_for_each(|(broker, traffic)| line(&format!("  broker {broker}"), traffic))?;
    }
    line("  all", &role.all)?;
    if role.role == Role::Producer && role.all.from_sent_us.is_some() {
        write!(text, "{:<NAME_WIDTH$}{:>34}", "  since sent", "")?;
        latency_cells(text, role.all.from_sent_us)?;
        writeln!(text)?;
    }
    if role.all.overtaken > 0 {
        let (times, offsets) = (role.all.overtaken, role.all.missed_offsets);
        writeln!(text, "  retention overtook the reader {times} times; it could not read {offsets} offsets (no fault)")?;
    }
    Ok(())
}

fn latency_cells(text: &mut String, latency: Option<LatencySummary>) -> std::fmt::Result {
    let columns = latency.map(|latency| latency.columns());
    columns.iter().flatten().try_for_each(|(_, value)| write!(text, "{value:>11.0}"))
}

fn step_notes(text: &mut String, step: &StepSummary) -> std::fmt::Result {
    writeln!(text, "{:.2} s, {:.2} s of CPU here", step.measured_s, step.generator_cpu_s)?;
    let Troubles { disconnects, retries, unsent, errors, remarks, .. } = &step.troubles;
    if disconnects + retries > 0 {
        writeln!(text, "{disconnects} broken or refused connections, {retries} batches sent again")?;
    }
    for (name, count) in errors {
        writeln!(text, "{count} × {name}")?;
    }
    if *unsent > 0 {
        writeln!(text, "{unsent} messages were due and not sent in time: the rate was too high for this broker and window")?;
    }
    if let Some(saturation) = &step.saturation {
        writeln!(text, "SATURATED: {}", saturation.sentence)?;
    }
    remarks.iter().try_for_each(|remark| writeln!(text, "  {remark}"))
}

fn over_repetitions(text: &mut String, steps: &[StepSpread]) -> std::fmt::Result {
    writeln!(text, "over all repetitions: median (least – most)")?;
    for step in steps {
        for role in &step.roles {
            let place = if steps.len() > 1 { format!("step {}, ", step.number) } else { String::new() };
            let latencies = ["p50", "p99", "p99.9", "max"]
                .iter()
                .filter_map(|name| Some(format!("{name} {} µs", spread(*role.from_intended_us.get(*name)?))))
                .collect::<Vec<_>>();
            writeln!(text, "  {place}{}: {} per s, {}", role_name(role.role), spread(role.messages_per_s), latencies.join(", "))?;
        }
    }
    writeln!(text)
}

fn spread(spread: Spread) -> String {
    format!("{:.0} ({:.0} – {:.0})", spread.median, spread.least, spread.most)
}

fn verdict_text(text: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let (streams, partitions) = (&verdict.streams, &verdict.partitions);
    writeln!(text, "{} messages received, {} acknowledged", streams.received, streams.acknowledged)?;
    if verdict.is_clean() {
        writeln!(text, "nothing lost, duplicated, reordered or corrupt")?;
    }
    let notes = [
        ("never acknowledged and not there", streams.never_acknowledged_missing),
        ("twice by our own retries", streams.duplicates_own_retry),
        ("late by our own retries", streams.reordered_own_retry),
        ("records of others", partitions.foreign),
    ];
    let notes: Vec<String> = notes.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    if !notes.is_empty() {
        writeln!(text, "no fault: {}", notes.join(", "))?;
    }
    verdict.remarks.iter().try_for_each(|remark| writeln!(text, "  {remark}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample::{self, Shape};

    fn said(outcome: &crate::load::outcome::RunOutcome) -> String {
        text(&Summary::of(outcome).expect("histograms"))
    }

    #[test]
    fn one_step_is_a_table_and_a_verdict() {
        let said = said(&sample::outcome(Shape { repetitions: 1, steps: 1 }));
        assert!(said.contains("broker 1001") && said.contains("3 × NotLeaderOrFollower (6)"), "{said}");
        assert!(said.contains("nothing lost, duplicated, reordered or corrupt") && said.ends_with("OK\n"), "{said}");
        assert!(!said.contains("repetition"), "{said}");
    }

    #[test]
    fn what_is_invalid_stands_at_the_end() {
        let mut outcome = sample::outcome(Shape { repetitions: 2, steps: 2 });
        outcome.repetitions[1].steps[0].findings.push(sample::finding(Severity::Invalid));
        outcome.repetitions[0].steps[1].saturation = Some(sample::saturation());
        outcome.repetitions[0].steps[0].troubles.given_up = 1;
        let said = said(&outcome);
        assert!(said.contains("INVALID: repetition 2, step 1: batches left <late>"), "{said}");
        assert!(said.contains("SATURATED: 1,700") && said.contains("step 2, consumed: "), "{said}");
        let last: Vec<&str> = said.lines().rev().take(2).collect();
        assert!(last[0] == "FAILED" && last[1].starts_with("INVALID"), "{said}");
    }

    #[test]
    fn nothing_measured_is_no_table() {
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 1 });
        outcome.repetitions[0].steps[0].flows.clear();
        assert!(!said(&outcome).contains("p99"));
        outcome.repetitions.clear();
        assert_eq!(said(&outcome), "OK\n");
    }
}
