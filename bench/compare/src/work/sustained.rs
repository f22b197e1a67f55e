//! Minutes of writes at half of what the disk takes: far more than the kernel lets lie unwritten.
//!
//! Old segments are deleted meanwhile, so that the disk holds it.

use std::io;

use pagewire_floor::batches::Batch;
use pagewire_floor::disk;
use pagewire_floor::paced_client::{self, Pace};

use super::counted::{Counted, Done};
use super::ingest::Producers;
use super::{GIB, KIB, MIB, Run, TOPIC};
use crate::sample::Sample;
use crate::server::{Host, Server, Topic};

const BATCH_BYTES: usize = 256 * KIB;
const PRODUCERS: usize = 16;
const SECONDS: f64 = 600.0;
const WARM_UP_REQUESTS: u64 = 8_000;
/// Written to learn what the disk takes.
const PROBE_BYTES: u64 = 8 * GIB;
const SETTINGS: &[(&str, &str)] = &[("retention.bytes", "8589934592"), ("segment.bytes", "536870912"), ("file.delete.delay.ms", "1000")];

/// Requests per second that are half of what the disk takes.
pub fn rate(host: &Host, size: u64) -> io::Result<f64> {
    let bytes = (PROBE_BYTES * size / 1000).max(MIB as u64);
    Ok(disk::bytes_per_second(&host.directory, bytes)? / 2.0 / BATCH_BYTES as f64)
}

pub fn measure(run: &Run<'_>) -> io::Result<Sample> {
    let server = Server::start(run.contestant, run.host, &Topic { partitions: 1, settings: SETTINGS })?;
    let batch = Batch::of(BATCH_BYTES, 0);
    Producers { connections: PRODUCERS, pipeline: 2, partitions: 1 }.produce(&server, &batch, run.scaled(WARM_UP_REQUESTS))?;
    let rate = run.rate.ok_or_else(|| io::Error::other("sustained writes have a rate"))?;
    let counted = Counted::begin(&server)?;
    let outcome = paced_client::run(&Pace {
        address: server.address,
        topic: TOPIC.into(),
        partitions: 1,
        producers: PRODUCERS,
        batch: batch.bytes,
        requests: run.scaled((SECONDS * rate) as u64),
        requests_per_second: rate,
        tail_from: None,
        is_spinning: false,
    })?;
    let done = Done { requests: outcome.requests, records: outcome.requests, bytes: outcome.bytes, elapsed: outcome.elapsed };
    Ok(counted.end(&server, &done)?.with_latency(&outcome.produce_ns))
}
