//! kafka-producer-perf-test and kafka-consumer-perf-test, Java programs of Apache Kafka's `tools` module.

use std::io;

use super::{Latency, RECORD_BYTES, Said};
use crate::contestant::java;
use crate::server::{Server, run as run_command};
use crate::work::{Run, TOPIC};

pub(super) fn produce(run: &Run<'_>, server: &Server, records: u64, records_per_second: Option<u64>) -> io::Result<Said> {
    let throughput = records_per_second.map_or("-1".to_owned(), |rate| rate.to_string());
    let mut command = java(run.host);
    command.args(["org.apache.kafka.tools.ProducerPerformance", "--topic", TOPIC, "--num-records", &records.to_string()]);
    command.args(["--record-size", &RECORD_BYTES.to_string(), "--throughput", &throughput]);
    command.args(["--bootstrap-server", &server.address.to_string(), "--command-property", "acks=1"]);
    let output = String::from_utf8_lossy(&run_command(&mut command)?.stdout).into_owned();
    produced(&output).ok_or_else(|| io::Error::other(format!("the producer's tool said nothing that we know: {output}")))
}

/// The last line: "… records sent, … records/sec (… MB/sec), … ms avg latency, … ms max latency, … ms 50th, …".
fn produced(output: &str) -> Option<Said> {
    let line = output.lines().rev().find(|line| line.contains("99.9th"))?;
    let before = |what: &str| -> Option<f64> {
        let part = line.split(", ").find(|part| part.contains(what))?;
        part.split_whitespace().next()?.parse().ok()
    };
    let records = before("records sent")?;
    let latency = Latency {
        mean_ms: before("ms avg latency")?,
        p50_ms: before("ms 50th")?,
        p99_ms: before("ms 99th")?,
        p999_ms: before("ms 99.9th")?,
    };
    Some(Said { records: records as u64, seconds: records / before("records/sec")?, latency: Some(latency) })
}

pub(super) fn consume(run: &Run<'_>, server: &Server, records: u64) -> io::Result<Said> {
    let mut command = java(run.host);
    command.args(["org.apache.kafka.tools.ConsumerPerformance", "--topic", TOPIC, "--num-records", &records.to_string()]);
    command.args(["--bootstrap-server", &server.address.to_string(), "--timeout", "60000"]);
    let output = String::from_utf8_lossy(&run_command(&mut command)?.stdout).into_owned();
    consumed(&output).ok_or_else(|| io::Error::other(format!("the consumer's tool said nothing that we know: {output}")))
}

/// Two lines: the names of the columns, and their values.
fn consumed(output: &str) -> Option<Said> {
    let mut lines = output.lines().skip_while(|line| !line.starts_with("start.time"));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = |wanted: &str| -> Option<f64> {
        let at = names.split(", ").position(|name| name == wanted)?;
        values.split(", ").nth(at)?.parse().ok()
    };
    Some(Said { records: column("data.consumed.in.nMsg")? as u64, seconds: column("fetch.time.ms")? / 1e3, latency: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_words_become_numbers() {
        let said = "100 records sent, 20 records/sec\n4000 records sent, 2000.0 records/sec (1.95 MB/sec), 0.61 ms avg latency, \
                    180.00 ms max latency, 1 ms 50th, 2 ms 95th, 3 ms 99th, 12 ms 99.9th.\n";
        let latency = Some(Latency { mean_ms: 0.61, p50_ms: 1.0, p99_ms: 3.0, p999_ms: 12.0 });
        assert_eq!(produced(said), Some(Said { records: 4000, seconds: 2.0, latency }));
        assert_eq!(produced("refused"), None);
        let said = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms\n\
                    2026-01-01 00:00:00:000, 2026-01-01 00:00:04:000, 3.9, 1.0, 4000, 1000.0, 3000, 1000\n";
        assert_eq!(consumed(said), Some(Said { records: 4000, seconds: 1.0, latency: None }));
        assert_eq!(consumed("refused"), None);
    }
}
