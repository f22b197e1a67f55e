//! iggy-bench, Apache Iggy's own: eight producers or consumers, each with a stream of its own and one batch under way.

use std::io;
use std::process::Command;

use super::{BATCH_BYTES, Latency, RECORD_BYTES, Said};
use crate::server::{Server, run as run_command};
use crate::work::{MIB, Run};

const ACTORS: u64 = 8;
const PRODUCED_PER_BATCH: u64 = (BATCH_BYTES / RECORD_BYTES) as u64;
/// As much as a consumer of Apache Kafka's fetches of one partition at once.
const CONSUMED_PER_BATCH: u64 = (MIB / RECORD_BYTES) as u64;

pub(super) fn produce(run: &Run<'_>, server: &Server, records: u64, records_per_second: Option<u64>) -> io::Result<Said> {
    // Consumers find nothing but whole batches of theirs.
    let records = records.div_ceil(ACTORS * CONSUMED_PER_BATCH) * ACTORS * CONSUMED_PER_BATCH;
    let mut command = bench(run, records, PRODUCED_PER_BATCH);
    if let Some(rate) = records_per_second {
        command.args(["--rate-limit", &format!("{}B", rate * RECORD_BYTES as u64)]);
    }
    measure(command, "pinned-producer", "--producers", server)
}

pub(super) fn consume(run: &Run<'_>, server: &Server, records: u64) -> io::Result<Said> {
    measure(bench(run, records, CONSUMED_PER_BATCH), "pinned-consumer", "--consumers", server)
}

/// `records` in all, `per_batch` of them in each request. Without that word it would first delete what an earlier run of it has left.
fn bench(run: &Run<'_>, records: u64, per_batch: u64) -> Command {
    let mut command = Command::new(run.host.iggy("iggy-bench"));
    command.args(["--message-size", &RECORD_BYTES.to_string(), "--messages-per-batch", &per_batch.to_string()]);
    command.arg("--reuse-streams");
    command.args(["--message-batches", &(records / per_batch / ACTORS).to_string()]);
    command
}

fn measure(mut command: Command, kind: &str, actors: &str, server: &Server) -> io::Result<Said> {
    let output = server.directory.join("iggy-bench");
    command.args([kind, actors, &ACTORS.to_string(), "tcp", "--nodelay", "--server-address", &server.address.to_string()]);
    command.args(["output", "--output-dir"]).arg(&output);
    run_command(&mut command)?;
    // It makes a folder for each run, of a name of its own.
    let folder = std::fs::read_dir(&output)?.next().ok_or_else(|| io::Error::other("iggy-bench left no report"))??;
    let report = std::fs::read(folder.path().join("report.json"))?;
    std::fs::remove_dir_all(&output)?;
    said(&report).ok_or_else(|| io::Error::other("iggy-bench left a report that says nothing that we know"))
}

/// Its percentiles are averages of those of its producers or consumers, as it prints them itself.
fn said(report: &[u8]) -> Option<Said> {
    let report: serde_json::Value = serde_json::from_slice(report).ok()?;
    let actors = report["individual_metrics"].as_array()?;
    let records = actors.iter().map(|actor| actor["summary"]["total_messages"].as_u64()).sum::<Option<u64>>()?;
    let seconds = actors.iter().filter_map(|actor| actor["summary"]["total_time_secs"].as_f64()).fold(0.0, f64::max);
    let all = &report["group_metrics"][0]["summary"];
    let latency = Latency {
        mean_ms: all["average_latency_ms"].as_f64()?,
        p50_ms: all["average_p50_latency_ms"].as_f64()?,
        p99_ms: all["average_p99_latency_ms"].as_f64()?,
        p999_ms: all["average_p999_latency_ms"].as_f64()?,
    };
    (seconds > 0.0).then_some(Said { records, seconds, latency: Some(latency) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_numbers() {
        let report = br#"{"group_metrics": [{"summary": {"average_latency_ms": 0.5, "average_p50_latency_ms": 0.4,
            "average_p99_latency_ms": 2.0, "average_p999_latency_ms": 3.0}}], "individual_metrics": [
            {"summary": {"total_messages": 100, "total_time_secs": 1.5}}, {"summary": {"total_messages": 60, "total_time_secs": 2.0}}]}"#;
        let latency = Some(Latency { mean_ms: 0.5, p50_ms: 0.4, p99_ms: 2.0, p999_ms: 3.0 });
        assert_eq!(said(report), Some(Said { records: 160, seconds: 2.0, latency }));
        assert_eq!(said(b"{}"), None);
    }
}
