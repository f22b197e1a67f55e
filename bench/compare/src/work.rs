//! What is measured, row by row.
//!
//! Sizes are fixed per row, so every contestant moves the same bytes. The counted part follows a warm-up on the same connections' kind and of
//! the same work: a JVM compiles its code meanwhile.

use std::io;

use pagewire_floor::batches::Batch;
use pagewire_floor::light_client::{Load, Outcome, Work, run};
use pagewire_floor::{frames, process_time};
use serde::Serialize;

use crate::sample::Sample;
use crate::server::{Contestant, Host, Server};

pub const TOPIC: &str = "bench";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Row {
    IngestSmall,
    Ingest16K,
    Ingest256K,
    IngestMessages,
    Serve64K,
    Serve1M,
    ServeOnce,
    ServeTwentieth,
    Echo,
}

/// What producers send.
struct Ingest {
    connections: usize,
    pipeline: usize,
    batch_bytes: usize,
    /// 0: one record fills the batch.
    value_bytes: usize,
    requests: u64,
    warm_up: u64,
}

/// What readers fetch, of one log that was filled before.
struct Serve {
    readers: usize,
    range_bytes: i32,
    gigabytes: u64,
}

enum Kind {
    Ingest(Ingest),
    Serve(Serve),
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// The log that readers read: it stays in memory.
const STORED_BYTES: u64 = 1 << 30;
const STORED_BATCH_BYTES: usize = 16 * KIB;

impl Row {
    pub const ALL: [Row; 9] = [
        Row::IngestSmall,
        Row::Ingest16K,
        Row::Ingest256K,
        Row::IngestMessages,
        Row::Serve64K,
        Row::Serve1M,
        Row::ServeOnce,
        Row::ServeTwentieth,
        Row::Echo,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Row::IngestSmall => "ingest-1k",
            Row::Ingest16K => "ingest-16k",
            Row::Ingest256K => "ingest-256k",
            Row::IngestMessages => "ingest-messages",
            Row::Serve64K => "serve-64k",
            Row::Serve1M => "serve-1m",
            Row::ServeOnce => "serve-1-reader",
            Row::ServeTwentieth => "serve-20-readers",
            Row::Echo => "echo",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Row::IngestSmall => "ingest, 1 KiB batches, 64 connections pipelining 5, acks=1",
            Row::Ingest16K => "ingest, 16 KiB batches, 64 connections pipelining 5, acks=1",
            Row::Ingest256K => "ingest, 256 KiB batches, 64 connections pipelining 2, acks=1",
            Row::IngestMessages => "ingest, 100-byte messages in 256 KiB batches, 16 connections pipelining 2, acks=1",
            Row::Serve64K => "serve sealed data, 64 KiB ranges, 8 readers",
            Row::Serve1M => "serve sealed data, 1 MiB ranges, 8 readers",
            Row::ServeOnce => "serve sealed data, 1 MiB ranges, 1 reader",
            Row::ServeTwentieth => "serve the same data to 20 readers, 1 MiB ranges",
            Row::Echo => "echo: produce 1 KiB, acks=1, one client, one request at a time",
        }
    }

    /// Who is measured, in the order of a turn.
    pub fn contestants(self) -> &'static [Contestant] {
        use Contestant::*;
        match self.kind() {
            Kind::Ingest(_) => &[Floor, Pagewire, Kafka],
            Kind::Serve(_) => &[Floor, FloorSplice, FloorCopy, Pagewire, PagewireCopy, Kafka],
        }
    }

    fn kind(self) -> Kind {
        let ingest = |connections, pipeline, batch_bytes, value_bytes, requests, warm_up| {
            Kind::Ingest(Ingest { connections, pipeline, batch_bytes, value_bytes, requests, warm_up })
        };
        match self {
            Row::IngestSmall => ingest(64, 5, KIB, 0, 1_000_000, 500_000),
            Row::Ingest16K => ingest(64, 5, 16 * KIB, 0, 250_000, 100_000),
            Row::Ingest256K => ingest(64, 2, 256 * KIB, 0, 16_000, 8_000),
            Row::IngestMessages => ingest(16, 2, 256 * KIB, 100, 16_000, 8_000),
            Row::Echo => ingest(1, 1, KIB, 0, 100_000, 50_000),
            Row::Serve64K => Kind::Serve(Serve { readers: 8, range_bytes: 64 * KIB as i32, gigabytes: 8 }),
            Row::Serve1M => Kind::Serve(Serve { readers: 8, range_bytes: MIB as i32, gigabytes: 16 }),
            Row::ServeOnce => Kind::Serve(Serve { readers: 1, range_bytes: MIB as i32, gigabytes: 8 }),
            Row::ServeTwentieth => Kind::Serve(Serve { readers: 20, range_bytes: MIB as i32, gigabytes: 16 }),
        }
    }

    /// One run: starts the contestant, warms it up, measures, ends it. `size`: thousandths of the full one.
    ///
    /// # Errors
    /// The contestant did not start, refused something, or ended.
    pub fn measure(self, contestant: Contestant, host: &Host, size: u64) -> io::Result<Sample> {
        let server = Server::start(contestant, host, 1)?;
        let scaled = |count: u64| (count * size / 1000).max(64);
        match self.kind() {
            Kind::Ingest(ingest) => {
                let batch = Batch::of(ingest.batch_bytes, ingest.value_bytes);
                produce(&server, &batch, ingest.connections, ingest.pipeline, scaled(ingest.warm_up))?;
                let used_ns = process_time::of_process_ns(server.pid())?;
                let outcome = produce(&server, &batch, ingest.connections, ingest.pipeline, scaled(ingest.requests))?;
                sample(&server, &outcome, used_ns, outcome.requests * batch.records as u64)
            }
            Kind::Serve(serve) => {
                let batch = Batch::of(STORED_BATCH_BYTES, 0);
                let batches = scaled(STORED_BYTES / batch.bytes.len() as u64);
                // One producer, one request at a time: exactly so many batches lie there afterwards.
                produce(&server, &batch, 1, 1, batches)?;
                let requests = scaled(serve.gigabytes * 1_000_000_000 / serve.range_bytes as u64);
                fetch(&server, &batch, &serve, batches, requests / 4)?;
                let used_ns = process_time::of_process_ns(server.pid())?;
                let outcome = fetch(&server, &batch, &serve, batches, requests)?;
                let records = outcome.bytes / batch.bytes.len() as u64 * batch.records as u64;
                sample(&server, &outcome, used_ns, records)
            }
        }
    }
}

fn produce(server: &Server, batch: &Batch, connections: usize, pipeline: usize, requests: u64) -> io::Result<Outcome> {
    let frames = vec![frames::produce_request(TOPIC, 0, 1, &batch.bytes)];
    let work = Work::Produce { frames, topic_bytes: TOPIC.len() };
    run(&Load { address: server.address, connections, pipeline, requests, work, is_spinning: false })
}

fn fetch(server: &Server, batch: &Batch, serve: &Serve, batches: u64, requests: u64) -> io::Result<Outcome> {
    let work = Work::Fetch {
        topic: TOPIC.into(),
        range_bytes: serve.range_bytes,
        batch_bytes: batch.bytes.len() as u64,
        records_per_batch: batch.records,
        end_offset: batches as i64 * batch.records,
    };
    run(&Load { address: server.address, connections: serve.readers, pipeline: 1, requests: requests.max(1), work, is_spinning: false })
}

fn sample(server: &Server, outcome: &Outcome, used_before_ns: u64, records: u64) -> io::Result<Sample> {
    let used_ns = process_time::of_process_ns(server.pid())? - used_before_ns;
    let quantile_us = |quantile| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Sample {
        requests: outcome.requests,
        records,
        bytes: outcome.bytes,
        seconds: outcome.elapsed.as_secs_f64(),
        cpu_seconds: used_ns as f64 / 1e9,
        p50_us: quantile_us(0.5),
        p999_us: quantile_us(0.999),
        resident_bytes: process_time::resident_bytes(server.pid())?,
    })
}
