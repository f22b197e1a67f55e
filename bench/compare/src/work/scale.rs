//! The same requests beside many partitions, segments or idle connections: what they cost, and how late their answers are.
//!
//! Cost is counted over requests to the first ten partitions and fetches of the first one, which are the same in every row; latency is that of
//! produces to all partitions in turn.

use std::io;
use std::net::TcpStream;

use pagewire_floor::batches::Batch;
use pagewire_floor::paced_client::{self, Pace};

use super::counted::{Counted, Done};
use super::ingest::Producers;
use super::serve::{STORED_BATCH_BYTES, Serve};
use super::{GIB, KIB, Run, TOPIC, start};
use crate::sample::Sample;
use crate::server::{Server, Topic};

pub struct Scale {
    pub partitions: usize,
    /// While partition 0 is filled with a gigabyte; afterwards all rows have the same.
    pub segment_bytes: u64,
    pub idle_connections: usize,
}

const BUSY_PARTITIONS: i32 = 10;
const PRODUCERS: Producers = Producers { connections: 60, pipeline: 5, partitions: BUSY_PARTITIONS };
const READERS: Serve = Serve { readers: 8, range_bytes: STORED_BATCH_BYTES as i32, gigabytes: 0 };
const PRODUCES: u64 = 300_000;
const FETCHES: u64 = 300_000;
const PACED_PER_SECOND: f64 = 2_000.0;
const PACED_SECONDS: f64 = 20.0;
/// Each partition is filled with one message.
const FILLS_PER_SECOND: f64 = 5_000.0;
const SEGMENT_BYTES_AFTERWARDS: u64 = GIB;

impl Scale {
    pub fn measure(&self, run: &Run<'_>) -> io::Result<Sample> {
        let partitions = if self.partitions > 10 { (self.partitions as u64 * run.size / 1000).max(20) as usize } else { self.partitions };
        let segment_bytes = self.segment_bytes.to_string();
        let settings = [("segment.bytes", segment_bytes.as_str())];
        let mut server = Server::start(run.contestant, run.host, &Topic { partitions, settings: &settings })?;
        let (stored, message) = (Batch::of(STORED_BATCH_BYTES, 0), Batch::of(KIB, 0));
        let batches = run.scaled(GIB / STORED_BATCH_BYTES as u64);
        Producers::ONE.produce(&server, &stored, batches)?;
        server.set(run.host, &format!("segment.bytes={SEGMENT_BYTES_AFTERWARDS}"))?;
        self.pace(&server, &message, partitions, partitions as u64, FILLS_PER_SECOND)?;

        let start_ms = start::start_again(&mut server, run.host)?.as_secs_f64() * 1e3;
        // What a start leaves for later is no request's cost.
        server.wait_until_idle()?;
        let idle = (0..self.idle_connections as u64 * run.size / 1000).map(|_| TcpStream::connect(server.address));
        let _idle = idle.collect::<io::Result<Vec<TcpStream>>>()?;
        let requests = |share: u64| -> io::Result<Done> {
            let produced = PRODUCERS.produce(&server, &message, run.scaled(PRODUCES) / share)?;
            let fetched = READERS.fetch(&server, &stored, batches, run.scaled(FETCHES) / share)?;
            Ok(Done {
                requests: produced.requests + fetched.requests,
                records: produced.requests + fetched.requests,
                bytes: produced.bytes + fetched.bytes,
                elapsed: produced.elapsed + fetched.elapsed,
            })
        };
        requests(3)?;
        let counted = Counted::begin(&server)?;
        let done = requests(1)?;
        let sample = counted.end(&server, &done)?;
        let paced = run.scaled((PACED_SECONDS * PACED_PER_SECOND) as u64);
        let latency_ns = self.pace(&server, &message, partitions, paced, PACED_PER_SECOND)?;
        Ok(Sample { start_ms: Some(start_ms), partitions: Some(partitions as u64), ..sample.with_latency(&latency_ns) })
    }

    /// Produces to all partitions in turn.
    fn pace(
        &self,
        server: &Server,
        message: &Batch,
        partitions: usize,
        requests: u64,
        requests_per_second: f64,
    ) -> io::Result<hdrhistogram::Histogram<u64>> {
        let pace = Pace {
            address: server.address,
            topic: TOPIC.into(),
            partitions: partitions as i32,
            producers: BUSY_PARTITIONS as usize,
            batch: message.bytes.clone(),
            requests,
            requests_per_second,
            tail_from: None,
            is_spinning: true,
        };
        Ok(paced_client::run(&pace)?.produce_ns)
    }
}
