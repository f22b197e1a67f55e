//! Apache Kafka's own measuring tools as a second witness: what they print, they print of each broker alike.
//!
//! They are whole Java clients on the load's processor: much of what they measure is themselves.

use std::io;
use std::time::Duration;

use pagewire_floor::batches::Batch;

use super::counted::{Counted, Done};
use super::ingest::Producers;
use super::{KIB, Run, TOPIC};
use crate::contestant::java;
use crate::sample::Sample;
use crate::server::{Server, Topic, run as run_command};

#[derive(Clone, Copy)]
pub enum Tool {
    /// kafka-producer-perf-test, after a warm-up by another run of it.
    Produce { records: u64, warm_up: u64, records_per_second: Option<u64> },
    /// kafka-consumer-perf-test; the second reading of the same records counts.
    Consume { records: u64 },
}

const RECORD_BYTES: usize = KIB;
/// What the consumer reads was sent in batches of the producer's default size.
const STORED_BATCH_BYTES: usize = 16 * KIB;

impl Tool {
    pub fn measure(self, run: &Run<'_>) -> io::Result<Sample> {
        let server = Server::start(run.contestant, run.host, &Topic::PLAIN)?;
        match self {
            Tool::Produce { records, warm_up, records_per_second } => {
                produce(run, &server, run.scaled(warm_up), None)?;
                let counted = Counted::begin(&server)?;
                let said = produce(run, &server, run.scaled(records), records_per_second)?;
                let done = done(said.records, said.records as f64 / said.records_per_second);
                let sample = counted.end(&server, &done)?;
                let us = |ms: f64| Some(ms * 1e3);
                Ok(Sample {
                    mean_us: us(said.mean_ms),
                    p50_us: us(said.p50_ms),
                    p99_us: us(said.p99_ms),
                    p999_us: us(said.p999_ms),
                    ..sample
                })
            }
            Tool::Consume { records } => {
                let batch = Batch::of(STORED_BATCH_BYTES, RECORD_BYTES);
                let batches = run.scaled(records).div_ceil(batch.records as u64);
                Producers::ONE.produce(&server, &batch, batches)?;
                consume(run, &server, batches * batch.records as u64)?;
                let counted = Counted::begin(&server)?;
                let said = consume(run, &server, batches * batch.records as u64)?;
                counted.end(&server, &done(said.records, said.fetch_ms / 1e3))
            }
        }
    }
}

fn done(records: u64, seconds: f64) -> Done {
    Done { requests: 0, records, bytes: records * RECORD_BYTES as u64, elapsed: Duration::from_secs_f64(seconds) }
}

/// The last line of the producer's tool: "… records sent, … records/sec (… MB/sec), … ms avg latency, … ms max latency, … ms 50th, …".
#[derive(Debug, PartialEq)]
struct Produced {
    records: u64,
    records_per_second: f64,
    mean_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
}

fn produce(run: &Run<'_>, server: &Server, records: u64, records_per_second: Option<u64>) -> io::Result<Produced> {
    let throughput = records_per_second.map_or("-1".to_owned(), |rate| rate.to_string());
    let mut command = java(run.host);
    command.args(["org.apache.kafka.tools.ProducerPerformance", "--topic", TOPIC, "--num-records", &records.to_string()]);
    command.args(["--record-size", &RECORD_BYTES.to_string(), "--throughput", &throughput]);
    command.args(["--bootstrap-server", &server.address.to_string(), "--command-property", "acks=1"]);
    let output = String::from_utf8_lossy(&run_command(&mut command)?.stdout).into_owned();
    produced(&output).ok_or_else(|| io::Error::other(format!("the producer's tool said nothing that we know: {output}")))
}

fn produced(output: &str) -> Option<Produced> {
    let line = output.lines().rev().find(|line| line.contains("99.9th"))?;
    let before = |what: &str| -> Option<f64> {
        let part = line.split(", ").find(|part| part.contains(what))?;
        part.split_whitespace().next()?.parse().ok()
    };
    Some(Produced {
        records: before("records sent")? as u64,
        records_per_second: before("records/sec")?,
        mean_ms: before("ms avg latency")?,
        p50_ms: before("ms 50th")?,
        p99_ms: before("ms 99th")?,
        p999_ms: before("ms 99.9th")?,
    })
}

/// A line of the consumer's tool; its columns are named in the line above.
#[derive(Debug, PartialEq)]
struct Consumed {
    records: u64,
    fetch_ms: f64,
}

fn consume(run: &Run<'_>, server: &Server, records: u64) -> io::Result<Consumed> {
    let mut command = java(run.host);
    command.args(["org.apache.kafka.tools.ConsumerPerformance", "--topic", TOPIC, "--num-records", &records.to_string()]);
    command.args(["--bootstrap-server", &server.address.to_string(), "--timeout", "60000"]);
    let output = String::from_utf8_lossy(&run_command(&mut command)?.stdout).into_owned();
    consumed(&output).ok_or_else(|| io::Error::other(format!("the consumer's tool said nothing that we know: {output}")))
}

fn consumed(output: &str) -> Option<Consumed> {
    let mut lines = output.lines().skip_while(|line| !line.starts_with("start.time"));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = |wanted: &str| -> Option<f64> {
        let at = names.split(", ").position(|name| name == wanted)?;
        values.split(", ").nth(at)?.parse().ok()
    };
    Some(Consumed { records: column("data.consumed.in.nMsg")? as u64, fetch_ms: column("fetch.time.ms")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_words_become_numbers() {
        let said = "100 records sent, 20 records/sec\n4000 records sent, 1999.5 records/sec (1.95 MB/sec), 0.61 ms avg latency, \
                    180.00 ms max latency, 1 ms 50th, 2 ms 95th, 3 ms 99th, 12 ms 99.9th.\n";
        let wanted = Produced { records: 4000, records_per_second: 1999.5, mean_ms: 0.61, p50_ms: 1.0, p99_ms: 3.0, p999_ms: 12.0 };
        assert_eq!(produced(said), Some(wanted));
        assert_eq!(produced("refused"), None);
        let said = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms\n\
                    2026-01-01 00:00:00:000, 2026-01-01 00:00:04:000, 3.9, 1.0, 4000, 1000.0, 3000, 1000\n";
        assert_eq!(consumed(said), Some(Consumed { records: 4000, fetch_ms: 1000.0 }));
    }
}
