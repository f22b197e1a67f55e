//! From the start of a broker's process to the first produce that it accepts, on a directory that it left cleanly.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pagewire_floor::batches::Batch;
use pagewire_floor::{frames, process_time};

use super::{KIB, Run, TOPIC};
use crate::sample::Sample;
use crate::server::{Host, START_MAX, Server, Topic};

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
    server.wait_until(|server| Ok(is_accepted(server, &request).unwrap_or(false)))?;
    Ok(started.elapsed())
}

fn is_accepted(server: &Server, request: &[u8]) -> io::Result<bool> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(START_MAX))?;
    stream.write_all(request)?;
    let mut answer = vec![0; 4];
    stream.read_exact(&mut answer)?;
    answer.resize(4 + frames::i32_at(&answer, 0).max(0) as usize, 0);
    stream.read_exact(&mut answer[4..])?;
    Ok(frames::produce_error(&answer, TOPIC.len()) == Some(0))
}
