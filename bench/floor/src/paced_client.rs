//! An open loop: requests leave on a schedule, whatever the answers do, and latency counts from the time that the schedule names.
//!
//! One thread sends and, if asked to, reads the same partition's tail; both look at one monotonic clock. A broker that
//! stalls is charged for every request that was due meanwhile.
//!
//! Invariant: request `n` is due at `start + n / rate`, and never sent before.

mod producer;
mod tail;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use producer::Producer;
use tail::Tail;

/// What to send, how often and to whom.
#[derive(Clone, Debug)]
pub struct Pace {
    pub address: SocketAddr,
    pub topic: String,
    /// Requests go to these in turn.
    pub partitions: i32,
    /// Connections; requests go to them in turn.
    pub producers: usize,
    pub batch: Vec<u8>,
    pub requests: u64,
    pub requests_per_second: f64,
    /// Reads partition 0 from this offset on, where nothing lies yet; batches have one record then.
    pub tail_from: Option<i64>,
    /// Look at clock and sockets without sleeping: the wake-up of the client is not in the latency then.
    pub is_spinning: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub requests: u64,
    /// Batches sent.
    pub bytes: u64,
    pub elapsed: Duration,
    /// From the time a request was due to its whole answer, nanoseconds.
    pub produce_ns: Histogram<u64>,
    /// From the time a record was due to its arrival at the tail's reader, nanoseconds; empty without one.
    pub end_to_end_ns: Histogram<u64>,
}

/// A broker that answers nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// The event of the tail's reader; producers count from 0.
const TAIL: u64 = u64::MAX;
const EVENTS_PER_WAIT: usize = 256;

/// When each request is due, and what time it is.
struct Schedule {
    start: Instant,
    ns_per_request: f64,
}

impl Schedule {
    fn due_ns(&self, number: u64) -> u64 {
        (number as f64 * self.ns_per_request) as u64
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn record(&self, latencies: &mut Histogram<u64>, number: u64) {
        latencies.saturating_record(self.now_ns().saturating_sub(self.due_ns(number)));
    }
}

/// Sends everything on time and waits for the last answer and the last record.
///
/// # Errors
/// An error code in an answer, a connection that ended, a broker that is silent for two minutes, the host's.
pub fn run(pace: &Pace) -> io::Result<Outcome> {
    // The kernel may otherwise be 50 µs late on purpose (prctl(2), PR_SET_TIMERSLACK).
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let ready = epoll::create(CreateFlags::CLOEXEC)?;
    let edges = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
    let mut producers = Vec::new();
    for number in 0..pace.producers {
        let producer = Producer::open(pace)?;
        epoll::add(&ready, &producer.stream, EventData::new_u64(number as u64), edges)?;
        producers.push(producer);
    }
    let mut tail = pace.tail_from.map(|offset| Tail::open(pace, offset)).transpose()?;
    if let Some(tail) = &tail {
        epoll::add(&ready, &tail.stream, EventData::new_u64(TAIL), edges)?;
    }
    let mut outcome = Outcome { requests: 0, bytes: 0, elapsed: Duration::ZERO, produce_ns: histogram(), end_to_end_ns: histogram() };
    let schedule = Schedule { start: Instant::now(), ns_per_request: 1e9 / pace.requests_per_second };
    let mut due = 0;
    let mut heard_at_ns = 0;
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS_PER_WAIT);
    while outcome.requests < pace.requests || tail.as_ref().is_some_and(|tail| tail.records < pace.requests) {
        let now_ns = schedule.now_ns();
        while due < pace.requests && schedule.due_ns(due) <= now_ns {
            let count = producers.len() as u64;
            producers[(due % count) as usize].send(due, pace)?;
            due += 1;
        }
        events.clear();
        let wait = Duration::from_nanos(match due < pace.requests {
            _ if pace.is_spinning => 0,
            true => schedule.due_ns(due).saturating_sub(schedule.now_ns()),
            false => SILENCE_MAX.as_nanos() as u64,
        });
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        match epoll::wait(&ready, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            heard_at_ns = schedule.now_ns();
            match (event.data.u64(), &mut tail) {
                (TAIL, Some(tail)) => tail.receive(&schedule, &mut outcome.end_to_end_ns)?,
                (number, _) => producers[number as usize].turn(pace, &schedule, &mut outcome)?,
            }
        }
        if schedule.now_ns() - heard_at_ns > SILENCE_MAX.as_nanos() as u64 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("the broker answered nothing for {SILENCE_MAX:?}")));
        }
    }
    outcome.elapsed = schedule.start.elapsed();
    Ok(outcome)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("bounds that the histogram takes")
}
