//! What a run found, as numbers for a program (JSON) and for a reader (table).
//!
//! Pure. Invariant: `clean` holds exactly when nothing was lost, duplicated by the broker, reordered, damaged or given up.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::checker::Verdict;
use super::peer_error;
use super::statistics::{Latencies, Statistics, Traffic};
use crate::base::BrokerId;

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencySummary {
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

impl LatencySummary {
    /// `None` if nothing was recorded.
    pub fn of(latencies: &Latencies) -> Option<LatencySummary> {
        let histogram = &latencies.0;
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Some(LatencySummary {
            min: histogram.min() as f64 / 1000.0,
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max() as f64 / 1000.0,
        })
    }
}

/// One side of the traffic with one broker or all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficSummary {
    /// In the measured part of the run, as the rates and latencies are.
    pub messages: u64,
    pub messages_per_s: f64,
    /// 10⁶ bytes of message values.
    pub megabytes_per_s: f64,
    pub message_bytes: u64,
    /// Record batches as they travelled.
    pub wire_bytes: u64,
    pub requests: u64,
    pub latency_us: Option<LatencySummary>,
}

/// One side of the traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideSummary {
    /// From the end of the warm-up to the last message, seconds.
    pub measured_s: f64,
    pub all: TrafficSummary,
    pub by_broker: BTreeMap<i32, TrafficSummary>,
}

impl SideSummary {
    /// `None` if there was no traffic.
    pub fn of(by_broker: &BTreeMap<BrokerId, Traffic>, measure_from_ns: u64) -> Option<SideSummary> {
        let mut all = Traffic::default();
        by_broker.values().for_each(|traffic| all.add(traffic));
        if by_broker.is_empty() {
            return None;
        }
        let measured_s = all.last_ns.saturating_sub(measure_from_ns) as f64 / 1e9;
        let summary = |traffic: &Traffic| TrafficSummary {
            messages: traffic.messages,
            messages_per_s: rate(traffic.messages as f64, measured_s),
            megabytes_per_s: rate(traffic.message_bytes as f64 / 1e6, measured_s),
            message_bytes: traffic.message_bytes,
            wire_bytes: traffic.wire_bytes,
            requests: traffic.requests,
            latency_us: LatencySummary::of(&traffic.latencies),
        };
        let by_broker = by_broker.iter().map(|(broker, traffic)| (broker.0, summary(traffic))).collect();
        Some(SideSummary { measured_s, all: summary(&all), by_broker })
    }
}

fn rate(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub program: &'static str,
    pub version: &'static str,
    /// The command line.
    pub arguments: Vec<String>,
    pub clean: bool,
    pub elapsed_s: f64,
    /// Of this process, all threads.
    pub cpu_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produced: Option<SideSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed: Option<SideSummary>,
    pub disconnects: u64,
    pub retries: u64,
    pub given_up: u64,
    pub unsent: u64,
    /// How often each error code came, by Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// `None` if nothing was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Reading ended before the end of the logs.
    pub undrained: bool,
    pub remarks: Vec<String>,
}

/// The parts of a run that make up a report.
#[derive(Debug)]
pub struct Outcome {
    pub arguments: Vec<String>,
    pub measure_from_ns: u64,
    pub elapsed_s: f64,
    pub cpu_s: f64,
    pub statistics: Statistics,
    pub verdict: Option<Verdict>,
    pub undrained: bool,
}

impl Report {
    pub fn new(outcome: Outcome) -> Report {
        let statistics = outcome.statistics;
        let clean = outcome.verdict.as_ref().is_none_or(Verdict::is_clean) && statistics.given_up == 0 && !outcome.undrained;
        Report {
            program: "pagewire-load",
            version: env!("CARGO_PKG_VERSION"),
            arguments: outcome.arguments,
            clean,
            elapsed_s: outcome.elapsed_s,
            cpu_s: outcome.cpu_s,
            produced: SideSummary::of(&statistics.produced, outcome.measure_from_ns),
            consumed: SideSummary::of(&statistics.consumed, outcome.measure_from_ns),
            disconnects: statistics.disconnects,
            retries: statistics.retries,
            given_up: statistics.given_up,
            unsent: statistics.unsent,
            errors: statistics.error_codes.iter().map(|(code, count)| (peer_error::name(*code), *count)).collect(),
            verdict: outcome.verdict,
            undrained: outcome.undrained,
            remarks: statistics.remarks,
        }
    }

    /// The table and the summary, for a reader.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (title, side) in [("produced", &self.produced), ("consumed", &self.consumed)] {
            if let Some(side) = side {
                side_text(&mut text, title, side);
            }
        }
        self.summary_text(&mut text).expect("writing into a string");
        text
    }

    fn summary_text(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{:.2} s, {:.2} s of CPU here", self.elapsed_s, self.cpu_s)?;
        if self.disconnects + self.retries > 0 {
            writeln!(text, "{} broken or refused connections, {} batches sent again", self.disconnects, self.retries)?;
        }
        for (name, count) in &self.errors {
            writeln!(text, "{count} × {name}")?;
        }
        if self.unsent > 0 {
            writeln!(text, "{} messages were due and not sent in time: the rate was too high for this broker and window", self.unsent)?;
        }
        if self.given_up > 0 {
            writeln!(text, "{} messages were given up: refused, or not acknowledged in time", self.given_up)?;
        }
        for remark in &self.remarks {
            writeln!(text, "  {remark}")?;
        }
        if self.undrained {
            writeln!(
                text,
                "reading ended before the end of the logs: what counts as lost below may only be unread; raise --drain-timeout"
            )?;
        }
        if let Some(verdict) = &self.verdict {
            verdict_text(text, verdict)?;
        }
        writeln!(text, "{}", if self.clean { "OK" } else { "FAILED" })
    }
}

fn side_text(text: &mut String, title: &str, side: &SideSummary) {
    let header = format!(
        "{title:<10}{:>12}{:>12}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}  µs\n",
        "messages", "per s", "MB/s", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    );
    text.push_str(&header);
    let mut line = |name: String, traffic: &TrafficSummary| {
        let counts = format!("{name:<10}{:>12}{:>12.0}{:>10.2}", traffic.messages, traffic.messages_per_s, traffic.megabytes_per_s);
        text.push_str(&counts);
        if let Some(l) = traffic.latency_us {
            for value in [l.p50, l.p90, l.p99, l.p99_9, l.p99_99, l.max] {
                text.push_str(&format!("{value:>11.0}"));
            }
        }
        text.push('\n');
    };
    if side.by_broker.len() > 1 {
        side.by_broker.iter().for_each(|(broker, traffic)| line(format!("broker {broker}"), traffic));
    }
    line("all".into(), &side.all);
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
    for remark in &verdict.remarks {
        writeln!(text, "  {remark}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::checker::StreamVerdict;

    fn outcome() -> Outcome {
        let mut statistics = Statistics::default();
        for (broker, latency_ns) in [(1000, 100_000), (1001, 300_000)] {
            let mut traffic = Traffic { messages: 500, message_bytes: 500_000, last_ns: 2_000_000_000, ..Traffic::default() };
            traffic.latencies.record(latency_ns, 500);
            statistics.produced.insert(BrokerId(broker), traffic);
        }
        statistics.error_codes.insert(6, 3);
        let verdict = Some(Verdict::default());
        Outcome { arguments: vec![], measure_from_ns: 1_000_000_000, elapsed_s: 1.5, cpu_s: 0.5, statistics, verdict, undrained: false }
    }

    #[test]
    fn rates_go_by_the_measured_time_and_brokers_stand_apart() {
        let report = Report::new(outcome());
        let side = report.produced.as_ref().expect("traffic");
        assert_eq!((side.measured_s, side.all.messages, side.all.messages_per_s, side.all.megabytes_per_s), (1.0, 1000, 1000.0, 1.0));
        let latency = |broker: i32| side.by_broker[&broker].latency_us.expect("latencies").p50;
        assert!((latency(1000) - 100.0).abs() < 1.0 && (latency(1001) - 300.0).abs() < 1.0);
        assert!(report.clean && report.consumed.is_none());
        let text = report.to_text();
        assert!(text.contains("broker 1001") && text.contains("3 × NotLeaderOrFollower (6)") && text.ends_with("OK\n"), "{text}");
    }

    #[test]
    fn each_fault_fails_the_run_and_is_named() {
        let lost = Verdict { streams: StreamVerdict { acknowledged_lost: 7, ..StreamVerdict::default() }, ..Verdict::default() };
        let report = Report::new(Outcome { verdict: Some(lost), ..outcome() });
        assert!(!report.clean && report.to_text().contains("7 acknowledged but lost"));
        let mut given_up = outcome();
        given_up.statistics.given_up = 1;
        assert!(!Report::new(given_up).clean);
        assert!(!Report::new(Outcome { undrained: true, ..outcome() }).clean);
    }

    #[test]
    fn the_json_is_json() {
        let json = serde_json::to_value(Report::new(outcome())).expect("serializes");
        assert_eq!(json["produced"]["by_broker"]["1001"]["messages"], 500);
        assert_eq!(json["verdict"]["streams"]["acknowledged_lost"], 0);
    }
}
