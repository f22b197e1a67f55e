//! Latency distributions as files: `.hgrm` text that HdrHistogram's plotters read, and `.hlog` interval logs that HistogramLogAnalyzer reads.
//!
//! Lives on the main thread. Names are `ROLE-KIND.hgrm`, with the repetition and the step behind where there are several
//! (`producer-from_intended-r2-s1.hgrm`), and `ROLE-KIND.hlog` for all measured intervals of the run. Interval logs hold nanoseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::base::hgrm::percentile_distribution;
use crate::io::directory;
use crate::load::distribution::{Distribution, NotAHistogram};
use crate::load::outcome::{Flow, Role, RunOutcome, Step};

/// One of a flow's distributions.
type Kind = fn(&Flow) -> &Distribution;

/// The distributions of a flow, by the name in the JSON.
const KINDS: [(&str, Kind); 3] =
    [("from_intended", |flow| &flow.from_intended), ("from_sent", |flow| &flow.from_sent), ("round_trips", |flow| &flow.round_trips)];

/// Nanoseconds of a millisecond: the largest values stand in milliseconds in an interval log, for people who look into it.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// Writes everything.
///
/// # Errors
/// The directory or a file cannot be written, or the outcome is from a file and holds what is no histogram.
pub fn write_all(folder: &Path, outcome: &RunOutcome) -> std::io::Result<()> {
    directory::create_all(folder)?;
    for (name, text) in distributions(outcome).map_err(std::io::Error::other)?.into_iter().chain(interval_logs(outcome)?) {
        directory::replace_atomically(&folder.join(name), text.as_bytes(), false)?;
    }
    Ok(())
}

/// Text by file name. Those of single brokers stand beside those of all where there are several.
fn distributions(outcome: &RunOutcome) -> Result<BTreeMap<String, String>, NotAHistogram> {
    let mut files = BTreeMap::new();
    for repetition in &outcome.repetitions {
        for step in &repetition.steps {
            let mut place = String::new();
            if outcome.repetitions.len() > 1 {
                place.push_str(&format!("-r{}", repetition.number));
            }
            if repetition.steps.len() > 1 {
                place.push_str(&format!("-s{}", step.number));
            }
            for (role, kind, distribution) in Role::ALL.into_iter().flat_map(|role| KINDS.map(|(kind, of)| (role, kind, of))) {
                let brokers = brokers(step, role);
                let choices = std::iter::once(None).chain(brokers.iter().copied().filter(|_| brokers.len() > 1).map(Some));
                for broker in choices {
                    let flows = step.flows.iter().filter(|flow| flow.role == role && broker.is_none_or(|broker| flow.broker == broker));
                    let latencies = Distribution::merged(flows.map(distribution))?;
                    if !latencies.0.is_empty() {
                        let of_broker = broker.map_or(String::new(), |broker| format!("-broker{broker}"));
                        files.insert(format!("{}-{kind}{of_broker}{place}.hgrm", role.name()), percentile_distribution(&latencies.0));
                    }
                }
            }
        }
    }
    Ok(files)
}

fn brokers(step: &Step, role: Role) -> BTreeSet<i32> {
    step.flows.iter().filter(|flow| flow.role == role).map(|flow| flow.broker).collect()
}

/// Text by file name, of all measured intervals in their order.
fn interval_logs(outcome: &RunOutcome) -> std::io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for (role, kind, distribution) in Role::ALL.into_iter().flat_map(|role| KINDS.map(|(kind, of)| (role, kind, of))) {
        if let Some(log) = interval_log(outcome, role, kind, distribution)? {
            files.insert(format!("{}-{kind}.hlog", role.name()), log);
        }
    }
    Ok(files)
}

/// `None` if there is nothing to log.
fn interval_log(outcome: &RunOutcome, role: Role, kind: &str, of: fn(&Flow) -> &Distribution) -> std::io::Result<Option<String>> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let started = UNIX_EPOCH + Duration::from_millis(outcome.program.started_wall_ms.max(0) as u64);
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("{} {}: {} {kind}, nanoseconds", outcome.program.name, outcome.program.version, role.name()))
        .with_start_time(started)
        .with_max_value_divisor(MAX_VALUE_DIVISOR)
        .begin_log_with(&mut log, &mut serializer)?;
    let mut is_empty = true;
    let intervals = outcome.repetitions.iter().flat_map(|repetition| &repetition.steps).flat_map(|step| &step.intervals);
    for interval in intervals.filter(|interval| !interval.is_warmup) {
        let flows = interval.flows.iter().filter(|flow| flow.role == role).map(of);
        let latencies = Distribution::merged(flows).map_err(std::io::Error::other)?;
        is_empty &= latencies.0.is_empty();
        let start = Duration::from_millis(interval.start_wall_ms.max(0) as u64);
        let length = Duration::from_nanos(interval.end_ns.saturating_sub(interval.start_ns));
        writer.write_histogram(&latencies.0, start, length, None).map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    }
    drop(writer);
    Ok((!is_empty).then(|| String::from_utf8_lossy(&log).into_owned()))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::load::report::sample::{self, Shape};
    use crate::load::statistics::Latencies;

    fn intervals(log: &str) -> Vec<(Duration, Duration, Histogram<u64>)> {
        let entries = IntervalLogIterator::new(log.as_bytes()).map(|entry| entry.expect("a sound log"));
        let histogram = |entry| match entry {
            LogEntry::Interval(interval) => {
                let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, interval.encoded_histogram());
                let histogram = Deserializer::new().deserialize(&mut bytes.expect("base64").as_slice()).expect("a histogram");
                Some((interval.start_timestamp(), interval.duration(), histogram))
            }
            _ => None,
        };
        entries.filter_map(histogram).collect()
    }

    #[test]
    fn interval_logs_are_read_back_value_by_value() {
        let outcome = sample::outcome(Shape { repetitions: 2, steps: 1 });
        let logs = interval_logs(&outcome).expect("histograms");
        let log = &logs["producer-from_intended.hlog"];
        assert!(log.starts_with("#[Histogram log format version 1.3]\n"), "{log:.80}");
        let read = intervals(log);
        assert_eq!(read.len(), 2 * 7, "eight seconds each, one of them warm-up");
        let written = outcome.repetitions.iter().flat_map(|repetition| &repetition.steps[0].intervals).filter(|one| !one.is_warmup);
        for ((start, length, histogram), interval) in read.iter().zip(written) {
            let flows = interval.flows.iter().filter(|flow| flow.role == Role::Producer).map(|flow| &flow.from_intended);
            assert_eq!(*histogram, Distribution::merged(flows).expect("ours").0);
            assert_eq!((start.as_millis() as i64, length.as_secs()), (interval.start_wall_ms, 1));
        }
    }

    #[test]
    fn distributions_stand_by_place_and_broker() {
        let files = distributions(&sample::outcome(Shape { repetitions: 2, steps: 2 })).expect("histograms");
        assert!(files.contains_key("tail_reader-from_intended-broker1001-r2-s1.hgrm"), "{:?}", files.keys());
        // All and two brokers, two roles, three kinds, four steps.
        assert_eq!(files.len(), 3 * 2 * 3 * 4);
        let single = distributions(&sample::outcome(Shape { repetitions: 1, steps: 1 })).expect("histograms");
        let last = single["producer-from_sent.hgrm"].lines().rfind(|line| !line.starts_with('#')).expect("a line");
        let columns: Vec<&str> = last.split_whitespace().collect();
        assert_eq!((columns[1].parse::<f64>().expect("a fraction"), columns[2]), (1.0, "4000"), "{last}");
    }

    #[test]
    fn extremes_are_written_and_nothing_is_no_file() {
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 1 });
        let step = &mut outcome.repetitions[0].steps[0];
        step.flows.clear();
        step.intervals.iter_mut().for_each(|interval| interval.flows.clear());
        assert!(distributions(&outcome).expect("none").is_empty() && interval_logs(&outcome).expect("none").is_empty());
        let mut huge = Latencies::default();
        huge.record(u64::MAX, 1);
        let mut flow = sample::outcome(Shape { repetitions: 1, steps: 1 }).repetitions[0].steps[0].flows[0].clone();
        flow.from_intended = Distribution::of(&huge);
        outcome.repetitions[0].steps[0].intervals[3].flows.push(flow);
        let logs = interval_logs(&outcome).expect("one");
        let read = intervals(&logs["producer-from_intended.hlog"]);
        assert_eq!(read.iter().map(|one| one.2.len()).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 0, 0]);
    }
}
