//! Readers of one log that was filled before and is kept in memory.

use std::io;

use pagewire_floor::batches::Batch;
use pagewire_floor::light_client::{Load, Outcome, Work, run};

use super::counted::Counted;
use super::ingest::{Producers, done};
use super::{GIB, KIB, Run, TOPIC};
use crate::memory::Locked;
use crate::sample::Sample;
use crate::server::{Server, Topic};

/// What readers fetch.
pub struct Serve {
    pub readers: usize,
    pub range_bytes: i32,
    pub gigabytes: u64,
}

pub const STORED_BATCH_BYTES: usize = 16 * KIB;
const STORED_BYTES: u64 = GIB;

impl Serve {
    pub fn measure(&self, run: &Run<'_>) -> io::Result<Sample> {
        let server = Server::start(run.contestant, run.host, &Topic::PLAIN)?;
        let batch = Batch::of(STORED_BATCH_BYTES, 0);
        let batches = run.scaled(STORED_BYTES / STORED_BATCH_BYTES as u64);
        Producers::ONE.produce(&server, &batch, batches)?;
        let _served = Locked::below(&server.directory)?;
        let requests = run.scaled(self.gigabytes * 1_000_000_000 / self.range_bytes as u64);
        self.fetch(&server, &batch, batches, requests / 4)?;
        let counted = Counted::begin(&server)?;
        let outcome = self.fetch(&server, &batch, batches, requests)?;
        let sample = counted.end(&server, &done(&outcome, &batch))?;
        Ok(sample.with_latency(&outcome.latency_ns))
    }

    /// Fetches ranges of the first `batches` of partition 0, again and again.
    pub fn fetch(&self, server: &Server, batch: &Batch, batches: u64, requests: u64) -> io::Result<Outcome> {
        let work = Work::Fetch {
            topic: TOPIC.into(),
            range_bytes: self.range_bytes,
            batch_bytes: batch.bytes.len() as u64,
            records_per_batch: batch.records,
            end_offset: batches as i64 * batch.records,
        };
        let requests = requests.max(1);
        // A reader that sleeps has to be woken, and on a virtual machine that costs the server as much as the answer.
        run(&Load { address: server.address, connections: self.readers, pipeline: 1, requests, work, is_spinning: true })
    }
}
