//! A steady stream of small messages to a reader at the end of the log: latency from the time that a message was due to its arrival.
//!
//! The warm-up is long for the sake of a JVM: hundreds of thousands of produces and fetches as fast as they go (no fetches in front of
//! cold data), then the stream itself for a while. What the first part leaves is taken out of memory in between: kernels that give page cache back
//! early would do so in the middle of the counted part, and stop a processor meanwhile.

use std::io;
use std::process::{Child, Command, Stdio};

use pagewire_floor::batches::Batch;
use pagewire_floor::disk;
use pagewire_floor::paced_client::{self, Outcome, Pace};

use super::counted::{Counted, Done};
use super::ingest::Producers;
use super::serve::Serve;
use super::{KIB, MIB, Run, TOPIC};
use crate::awake::Awake;
use crate::sample::Sample;
use crate::server::{Server, Topic};

pub struct Stream {
    /// Lies in front of the stream, and is far more than memory holds: what is read once is gone when the next reader comes there.
    pub cold_bytes: u64,
    /// Somebody reads that meanwhile, as fast as it comes.
    pub is_backfilled: bool,
}

const MESSAGE_BYTES: usize = KIB;
const COLD_BATCH_BYTES: usize = 256 * KIB;
const PRODUCERS: usize = 8;
const SECONDS: f64 = 30.0;
const WARM_UP_SECONDS: f64 = 10.0;
const WARM_UP_PRODUCES: u64 = 300_000;
const WARM_UP_FETCHES: u64 = 100_000;
/// Small segments: all cold data but the last bit of it is in closed ones.
const SEGMENT_BYTES: &str = "268435456";
const BACKFILL_READERS: &str = "4";

impl Stream {
    pub fn measure(&self, run: &Run<'_>) -> io::Result<Sample> {
        let server = Server::start(run.contestant, run.host, &Topic { partitions: 1, settings: &[("segment.bytes", SEGMENT_BYTES)] })?;
        let cold_batch = Batch::of(COLD_BATCH_BYTES, 0);
        let cold_batches = if self.cold_bytes > 0 { run.scaled(self.cold_bytes / COLD_BATCH_BYTES as u64) } else { 0 };
        if cold_batches > 0 {
            Producers::ONE.produce(&server, &cold_batch, cold_batches)?;
        }
        let message = Batch::of(MESSAGE_BYTES, 0);
        let mut end_offset = cold_batches + warm_up(run, &server, &message, cold_batches)?;
        disk::forget_below(&server.directory)?;
        run.host.fill_memory()?;
        let is_shared = self.cold_bytes > 0;
        let awake = is_shared.then(|| Awake::keep(&run.host.load_processors)).transpose()?;
        let backfill = self.is_backfilled.then(|| Backfill::start(run, &server, cold_batches)).transpose()?;
        let rate = run.rate.ok_or_else(|| io::Error::other("a stream has a rate"))?;
        let mut stream = |seconds: f64| {
            let requests = run.scaled((seconds * rate) as u64);
            let pace = Pace {
                address: server.address,
                topic: TOPIC.into(),
                partitions: 1,
                producers: PRODUCERS,
                batch: message.bytes.clone(),
                requests,
                requests_per_second: rate,
                tail_from: Some(end_offset as i64),
                // A client that spins would leave the backfill's reader no processor.
                is_spinning: !is_shared,
            };
            end_offset += requests;
            paced_client::run(&pace)
        };
        stream(WARM_UP_SECONDS)?;
        let counted = Counted::begin(&server)?;
        let outcome: Outcome = stream(SECONDS)?;
        let done = Done { requests: outcome.requests, records: outcome.requests, bytes: outcome.bytes, elapsed: outcome.elapsed };
        let sample = counted.end(&server, &done)?.with_latency(&outcome.end_to_end_ns);
        backfill.map(Backfill::end).transpose()?;
        awake.map(Awake::end).transpose()?;
        Ok(sample)
    }
}

/// Produces and fetches messages as fast as it goes. Answers how many records it left.
fn warm_up(run: &Run<'_>, server: &Server, message: &Batch, from: u64) -> io::Result<u64> {
    let produces = run.scaled(WARM_UP_PRODUCES);
    Producers { connections: PRODUCERS, pipeline: 5, partitions: 1 }.produce(server, message, produces)?;
    // Readers take all batches to be of one size; before cold data there is nothing of this one.
    if from == 0 {
        let readers = Serve { readers: PRODUCERS, range_bytes: MESSAGE_BYTES as i32, gigabytes: 0 };
        readers.fetch(server, message, produces, run.scaled(WARM_UP_FETCHES))?;
    }
    Ok(produces)
}

/// Readers of the cold data in a process of their own, of low priority: the stream's client comes first on their processor.
struct Backfill {
    process: Child,
}

impl Backfill {
    fn start(run: &Run<'_>, server: &Server, batches: u64) -> io::Result<Backfill> {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(run.host.programs.join("pagewire-drive"));
        command.args(["--address", &server.address.to_string(), "--topic", TOPIC, "--pid", &server.pid().to_string()]);
        command.args(["--connections", BACKFILL_READERS, "--batch-bytes", &COLD_BATCH_BYTES.to_string()]);
        command.args(["--requests", &u32::MAX.to_string()]);
        command.args(["serve", "--range-bytes", &MIB.to_string(), "--batches", &batches.to_string()]);
        Ok(Backfill { process: command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()? })
    }

    /// # Errors
    /// It has ended before: what was measured was not measured beside it.
    fn end(mut self) -> io::Result<()> {
        match self.process.try_wait()? {
            Some(status) => Err(io::Error::other(format!("the backfill's reader has ended: {status}"))),
            None => Ok(()),
        }
    }
}

impl Drop for Backfill {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
