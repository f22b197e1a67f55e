//! From the start of a broker's process to the first produce that it accepts, on a directory that it left cleanly.

use std::io;
use std::time::Duration;

use pagewire_floor::batches::Batch;
use pagewire_floor::{frames, process_time};

use super::{KIB, Run, TOPIC};
use crate::sample::Sample;
use crate::server::{Host, Server, Topic};

pub fn measure(run: &Run<'_>) -> io::Result<Sample> {
    let mut server = Server::start(run.contestant, run.host, &Topic::PLAIN)?;
    let started_in = start_again(&mut server, run.host)?;
    Ok(Sample {
        cpu_seconds: process_time::of_process_ns(server.pid())? as f64 / 1e9,
        seconds: started_in.as_secs_f64(),
        resident_bytes: process_time::resident_bytes(server.pid())?,
        start_ms: Some(started_in.as_secs_f64() * 1e3),
        ..Sample::default()
    })
}

/// Stops a broker cleanly and starts it; the time until it accepts a produce.
pub fn start_again(server: &mut Server, host: &Host) -> io::Result<Duration> {
    let request = frames::produce_request(TOPIC, 0, 1, &Batch::of(KIB, 0).bytes);
    let started = server.start_again(host)?;
    // A broker that listens may still refuse: no leader yet, or a connection that ends.
    server.wait_until(|server| {
        let answer = server.ask(&request).unwrap_or_default();
        Ok(frames::produce_error(&answer, TOPIC.len()) == Some(0))
    })?;
    Ok(started.elapsed())
}
