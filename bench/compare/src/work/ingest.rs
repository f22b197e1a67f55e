//! Producers, as fast as the server takes it.

use std::io;

use pagewire_floor::batches::Batch;
use pagewire_floor::frames;
use pagewire_floor::light_client::{Load, Outcome, Work, run};

use super::counted::{Counted, Done};
use super::{Run, TOPIC};
use crate::sample::Sample;
use crate::server::{Server, Topic};

/// What producers send.
pub struct Ingest {
    pub connections: usize,
    pub pipeline: usize,
    pub batch_bytes: usize,
    /// 0: one record fills the batch.
    pub value_bytes: usize,
    pub requests: u64,
    pub warm_up: u64,
}

impl Ingest {
    pub fn measure(&self, run: &Run<'_>) -> io::Result<Sample> {
        let server = Server::start(run.contestant, run.host, &Topic::PLAIN)?;
        let batch = Batch::of(self.batch_bytes, self.value_bytes);
        let to = Producers { connections: self.connections, pipeline: self.pipeline, partitions: 1 };
        to.produce(&server, &batch, run.scaled(self.warm_up))?;
        let counted = Counted::begin(&server)?;
        let outcome = to.produce(&server, &batch, run.scaled(self.requests))?;
        let sample = counted.end(&server, &done(&outcome, &batch))?;
        Ok(sample.with_latency(&outcome.latency_ns))
    }
}

/// Connections that produce, each to one partition, these in turn.
pub struct Producers {
    pub connections: usize,
    pub pipeline: usize,
    pub partitions: i32,
}

impl Producers {
    /// For filling a log: one connection, so all batches come in order.
    pub const ONE: Producers = Producers { connections: 1, pipeline: 5, partitions: 1 };

    /// Exactly so many requests are sent, and all are answered.
    pub fn produce(&self, server: &Server, batch: &Batch, requests: u64) -> io::Result<Outcome> {
        let frames = (0..self.partitions).map(|partition| frames::produce_request(TOPIC, partition, 1, &batch.bytes)).collect();
        let work = Work::Produce { frames, topic_bytes: TOPIC.len() };
        let (connections, pipeline) = (self.connections, self.pipeline);
        run(&Load { address: server.address, connections, pipeline, requests, work, is_spinning: false })
    }
}

/// An outcome in records of this batch.
pub fn done(outcome: &Outcome, batch: &Batch) -> Done {
    let records = outcome.bytes / batch.bytes.len() as u64 * batch.records as u64;
    Done { requests: outcome.requests, records, bytes: outcome.bytes, elapsed: outcome.elapsed }
}
