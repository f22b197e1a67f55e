//! What a run found, as a table for a reader; a program reads the outcome itself.
//!
//! Pure. Invariant: the last line is `OK` exactly when the outcome is clean and valid.

use std::fmt::Write;

use super::checker::Verdict;
use super::distribution::Distribution;
use super::outcome::{Flow, Repetition, Role, RunOutcome, Severity, Step};

/// The whole outcome as text.
pub fn to_text(outcome: &RunOutcome) -> String {
    let mut text = String::new();
    for repetition in &outcome.repetitions {
        repetition_text(&mut text, outcome, repetition).expect("writing into a string");
    }
    text
}

fn repetition_text(text: &mut String, outcome: &RunOutcome, repetition: &Repetition) -> std::fmt::Result {
    for step in &repetition.steps {
        if outcome.repetitions.len() > 1 || repetition.steps.len() > 1 {
            let rate = step.schedule.messages_per_s().map_or("as fast as possible".into(), |rate| format!("{rate:.0} messages/s"));
            writeln!(text, "repetition {}, step {}: {rate}", repetition.number, step.number)?;
        }
        step_text(text, step)?;
    }
    if repetition.is_undrained {
        writeln!(text, "reading ended before the end of the logs: what counts as lost may only be unread; raise --drain-timeout")?;
    }
    if let Some(verdict) = &repetition.verdict {
        verdict_text(text, verdict)?;
    }
    let is_valid = repetition.steps.iter().all(Step::is_valid);
    writeln!(
        text,
        "{}",
        if !repetition.is_clean() {
            "FAILED"
        } else if is_valid {
            "OK"
        } else {
            "INVALID"
        }
    )
}

fn step_text(text: &mut String, step: &Step) -> std::fmt::Result {
    writeln!(
        text,
        "{:<16}{:>12}{:>12}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}  µs from the intended send",
        "", "messages", "per s", "MB/s", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    )?;
    for role in Role::ALL {
        let flows: Vec<&Flow> = step.flows.iter().filter(|flow| flow.role == role).collect();
        if !flows.is_empty() {
            flow_text(text, step, role, &flows)?;
        }
    }
    let troubles = &step.troubles;
    if troubles.disconnects + troubles.retries > 0 {
        writeln!(text, "{} broken or refused connections, {} batches sent again", troubles.disconnects, troubles.retries)?;
    }
    for (name, count) in &troubles.errors {
        writeln!(text, "{count} × {name}")?;
    }
    if troubles.wrong_answers > 0 {
        writeln!(text, "{} answers that no broker may give", troubles.wrong_answers)?;
    }
    if troubles.churned > 0 {
        let connects = step.connects.unpack().unwrap_or_default();
        let at = |quantile| connects.0.value_at_quantile(quantile) as f64 / 1000.0;
        writeln!(text, "{} connections closed and opened again: p50 {:.0} µs, p99 {:.0} µs", troubles.churned, at(0.5), at(0.99))?;
    }
    if troubles.unsent > 0 {
        writeln!(text, "{} messages were due and not sent in time: the rate was too high for this broker and window", troubles.unsent)?;
    }
    if troubles.given_up > 0 {
        writeln!(text, "{} messages were given up: refused, or not acknowledged in time", troubles.given_up)?;
    }
    troubles.remarks.iter().try_for_each(|remark| writeln!(text, "  {remark}"))?;
    if let Some(saturation) = &step.saturation {
        writeln!(text, "SATURATED: {}", saturation.sentence)?;
    }
    for finding in &step.findings {
        let severity = if finding.severity == Severity::Invalid { "INVALID" } else { "warning" };
        writeln!(text, "{severity}: {}", finding.sentence)?;
    }
    Ok(())
}

fn flow_text(text: &mut String, step: &Step, role: Role, flows: &[&Flow]) -> std::fmt::Result {
    let sum = |of: fn(&Flow) -> u64| flows.iter().map(|flow| of(flow)).sum::<u64>();
    let seconds = step.span.measured_s();
    let megabytes = if seconds > 0.0 { sum(|flow| flow.message_bytes) as f64 / 1e6 / seconds } else { 0.0 };
    write!(text, "{:<16}{:>12}{:>12.0}{:>10.2}", role.name(), sum(|flow| flow.messages), step.messages_per_s(role), megabytes)?;
    let latencies = Distribution::merged(flows.iter().map(|flow| &flow.from_intended)).unwrap_or_default();
    if !latencies.0.is_empty() {
        for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            write!(text, "{:>11.0}", latencies.0.value_at_quantile(quantile) as f64 / 1000.0)?;
        }
    }
    writeln!(text)?;
    let missed = sum(|flow| flow.missed_offsets);
    if missed > 0 {
        writeln!(
            text,
            "{:<16}retention was faster {} times: {missed} offsets were gone before they were read",
            "",
            sum(|flow| flow.overtaken)
        )?;
    }
    Ok(())
}

fn verdict_text(text: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let (streams, partitions) = (&verdict.streams, &verdict.partitions);
    writeln!(text, "{} messages received, {} acknowledged", streams.received, streams.acknowledged)?;
    let faults: Vec<String> = verdict.faults().iter().map(|(what, count)| format!("{count} {what}")).collect();
    match faults.is_empty() {
        true => writeln!(text, "nothing lost, duplicated, reordered or corrupt")?,
        false => writeln!(text, "FAULTS: {}", faults.join(", "))?,
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
