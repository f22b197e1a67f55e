//! The makers' own measuring tools as a second witness: Apache Kafka's against whoever speaks its protocol, Apache Iggy's against Iggy.
//!
//! They are whole clients on the load's processor: much of what they measure is themselves, and what the server's processor spent is the figure to look at.

mod iggy;
mod kafka;

use std::io;
use std::time::Duration;

use pagewire_floor::batches::Batch;

use super::counted::{Counted, Done};
use super::ingest::Producers;
use super::{KIB, Run};
use crate::contestant::Contestant;
use crate::sample::Sample;
use crate::server::{Server, Topic};

#[derive(Clone, Copy)]
pub enum Tool {
    /// Its producer, after a warm-up by another run of it.
    Produce { records: u64, warm_up: u64, records_per_second: Option<u64> },
    /// Its consumer; the second reading of the same records counts.
    Consume { records: u64 },
}

const RECORD_BYTES: usize = KIB;
/// The default of Apache Kafka's producer; what consumers read was sent in such batches, too.
const BATCH_BYTES: usize = 16 * KIB;

/// What a tool says of its run.
#[derive(Debug, Default, PartialEq)]
struct Said {
    records: u64,
    seconds: f64,
    /// Of batches, from their send to their acknowledgement; `None` where it does not tell.
    latency: Option<Latency>,
}

#[derive(Debug, PartialEq)]
struct Latency {
    mean_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
}

impl Tool {
    pub fn measure(self, run: &Run<'_>) -> io::Result<Sample> {
        let server = Server::start(run.contestant, run.host, &Topic::PLAIN)?;
        let (counted, said) = match self {
            Tool::Produce { records, warm_up, records_per_second } => {
                produce(run, &server, run.scaled(warm_up), None)?;
                (Counted::begin(&server)?, produce(run, &server, run.scaled(records), records_per_second)?)
            }
            Tool::Consume { records } => {
                let records = store(run, &server, run.scaled(records))?;
                consume(run, &server, records)?;
                (Counted::begin(&server)?, consume(run, &server, records)?)
            }
        };
        let bytes = said.records * RECORD_BYTES as u64;
        let done = Done { requests: 0, records: said.records, bytes, elapsed: Duration::from_secs_f64(said.seconds) };
        let sample = counted.end(&server, &done)?;
        let us = |ms: f64| Some(ms * 1e3);
        Ok(match said.latency {
            None => sample,
            Some(Latency { mean_ms, p50_ms, p99_ms, p999_ms }) => {
                Sample { mean_us: us(mean_ms), p50_us: us(p50_ms), p99_us: us(p99_ms), p999_us: us(p999_ms), ..sample }
            }
        })
    }
}

fn produce(run: &Run<'_>, server: &Server, records: u64, records_per_second: Option<u64>) -> io::Result<Said> {
    match run.contestant {
        Contestant::Iggy => iggy::produce(run, server, records, records_per_second),
        _ => kafka::produce(run, server, records, records_per_second),
    }
}

/// Puts records there for consumers. Answers how many.
fn store(run: &Run<'_>, server: &Server, records: u64) -> io::Result<u64> {
    if run.contestant == Contestant::Iggy {
        return Ok(iggy::produce(run, server, records, None)?.records);
    }
    let batch = Batch::of(BATCH_BYTES, RECORD_BYTES);
    let batches = records.div_ceil(batch.records as u64);
    Producers::ONE.produce(server, &batch, batches)?;
    Ok(batches * batch.records as u64)
}

fn consume(run: &Run<'_>, server: &Server, records: u64) -> io::Result<Said> {
    match run.contestant {
        Contestant::Iggy => iggy::consume(run, server, records),
        _ => kafka::consume(run, server, records),
    }
}
