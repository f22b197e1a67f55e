//! Many connections driven by one thread, every request encoded before the run.
//!
//! The client does as little as it can for each answer: it counts, looks at the error code, and throws fetched records away in the kernel
//! (`MSG_TRUNC`, tcp(7)). So the broker's processor is the one that is full.
//!
//! Invariant: `in_flight <= pipeline` on every connection.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::frames;

/// What to ask, how often and of whom.
#[derive(Clone, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests under way on each connection.
    pub pipeline: usize,
    /// Answers that end the run.
    pub requests: u64,
    pub work: Work,
    /// Look for answers without sleeping: the wake-up of the client is not in the latency then.
    pub is_spinning: bool,
}

#[derive(Clone, Debug)]
pub enum Work {
    /// This frame for each connection, again and again.
    Produce { frames: Vec<Vec<u8>>, topic_bytes: usize },
    /// Ranges one behind the other, from the start again at `end_offset`; each reader begins at another place.
    Fetch { topic: String, range_bytes: i32, batch_bytes: u64, records_per_batch: i64, end_offset: i64 },
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub requests: u64,
    /// Batches sent, or records received.
    pub bytes: u64,
    pub elapsed: Duration,
    /// From the send of a request to its whole answer, nanoseconds.
    pub latency_ns: Histogram<u64>,
}

struct Connection {
    stream: TcpStream,
    /// As many requests as may be under way, one behind the other.
    requests: Vec<u8>,
    request_bytes: usize,
    /// Bytes of the requests that were begun and are not sent.
    unsent: usize,
    in_flight: usize,
    sent_at: std::collections::VecDeque<Instant>,
    offset: i64,
    answer: Answer,
}

/// The answer that is being received.
#[derive(Default)]
struct Answer {
    head: Vec<u8>,
    /// Records that are still to be thrown away.
    records_left: usize,
    records: usize,
}

/// Runs a load to its end.
///
/// # Errors
/// An error code in an answer, a connection that ended, the host's.
pub fn run(load: &Load) -> io::Result<Outcome> {
    let ready = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for number in 0..load.connections {
        let connection = Connection::open(load, number)?;
        epoll::add(&ready, &connection.stream, EventData::new_u64(number as u64), EventFlags::IN)?;
        connections.push(connection);
    }
    let mut outcome = Outcome {
        requests: 0,
        bytes: 0,
        elapsed: Duration::ZERO,
        latency_ns: Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that the histogram takes"),
    };
    let mut begun = 0;
    let started = Instant::now();
    for connection in &mut connections {
        begun += connection.begin(load, load.requests - begun)?;
    }
    let mut events: Vec<Event> = Vec::with_capacity(256);
    let wait = load.is_spinning.then(rustix::event::Timespec::default);
    while outcome.requests < load.requests {
        events.clear();
        match epoll::wait(&ready, spare_capacity(&mut events), wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let connection = &mut connections[event.data.u64() as usize];
            connection.receive(load, &mut outcome)?;
            begun += connection.begin(load, load.requests - begun)?;
            // A socket that takes no more says so while requests are under way: answers bring us back here.
            connection.push()?;
        }
    }
    outcome.elapsed = started.elapsed();
    Ok(outcome)
}

impl Connection {
    fn open(load: &Load, number: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect(load.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let (request, offset) = match &load.work {
            Work::Produce { frames, .. } => (frames[number % frames.len()].clone(), 0),
            Work::Fetch { topic, range_bytes, end_offset, records_per_batch, .. } => {
                let batches = end_offset / records_per_batch;
                let offset = batches * number as i64 / load.connections as i64 * records_per_batch;
                (frames::fetch_request(topic, 0, offset, *range_bytes, 500), offset)
            }
        };
        Ok(Connection {
            stream,
            request_bytes: request.len(),
            requests: request.repeat(load.pipeline),
            unsent: 0,
            in_flight: 0,
            sent_at: std::collections::VecDeque::with_capacity(load.pipeline),
            offset,
            answer: Answer::default(),
        })
    }

    /// Begins as many requests as the pipeline has room for. Returns how many.
    fn begin(&mut self, load: &Load, allowed: u64) -> io::Result<u64> {
        let count = (load.pipeline - self.in_flight).min(allowed as usize);
        if count == 0 {
            return Ok(0);
        }
        if let Work::Fetch { topic, .. } = &load.work {
            // One request at a time: the next one's place is known from the answer.
            let at = frames::fetch_offset_at(topic.len());
            self.requests[at..at + 8].copy_from_slice(&self.offset.to_be_bytes());
        }
        self.in_flight += count;
        self.unsent += count * self.request_bytes;
        let now = Instant::now();
        self.sent_at.extend(std::iter::repeat_n(now, count));
        self.push()?;
        Ok(count as u64)
    }

    /// Sends what was begun as far as the socket takes it.
    fn push(&mut self) -> io::Result<()> {
        while self.unsent > 0 {
            // All requests of a connection are alike, so only the place within one matters.
            let within = (self.request_bytes - self.unsent % self.request_bytes) % self.request_bytes;
            let end = (within + self.unsent).min(self.requests.len());
            match send(&self.stream, &self.requests[within..end], SendFlags::NOSIGNAL) {
                Ok(count) => self.unsent -= count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self, load: &Load, outcome: &mut Outcome) -> io::Result<()> {
        match &load.work {
            Work::Produce { topic_bytes, .. } => self.receive_acknowledgements(*topic_bytes, outcome),
            Work::Fetch { topic, .. } => self.receive_records(load, topic.len(), outcome),
        }
    }

    fn receive_acknowledgements(&mut self, topic_bytes: usize, outcome: &mut Outcome) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let count = received(recv(&self.stream, &mut buffer[..], RecvFlags::empty()))?;
        self.answer.head.extend(&buffer[..count]);
        let mut used = 0;
        while let Some(answer) = frames::whole(&self.answer.head[used..]) {
            used += answer.len();
            check(frames::produce_error(answer, topic_bytes))?;
            outcome.bytes += (self.request_bytes - frames::records_at(topic_bytes)) as u64;
            self.finished(outcome);
        }
        self.answer.head.drain(..used);
        Ok(())
    }

    fn receive_records(&mut self, load: &Load, topic_bytes: usize, outcome: &mut Outcome) -> io::Result<()> {
        let Work::Fetch { batch_bytes, records_per_batch, end_offset, .. } = &load.work else { unreachable!("only readers read") };
        let head_bytes = frames::answered_records_at(topic_bytes);
        if self.answer.records_left == 0 {
            let mut buffer = [0; 256];
            let missing = head_bytes - self.answer.head.len();
            let count = received(recv(&self.stream, &mut buffer[..missing], RecvFlags::empty()))?;
            self.answer.head.extend(&buffer[..count]);
            if self.answer.head.len() < head_bytes {
                return Ok(());
            }
            let (error, records) = frames::fetch_outcome(&self.answer.head, topic_bytes).expect("the head is whole");
            check(Some(error))?;
            (self.answer.records_left, self.answer.records) = (records, records);
        }
        while self.answer.records_left > 0 {
            // With MSG_TRUNC the kernel counts the bytes and copies none.
            let mut unread: Vec<u8> = Vec::with_capacity(self.answer.records_left);
            let count = match recv(&self.stream, spare_capacity(&mut unread), RecvFlags::TRUNC) {
                Ok((_, count)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.answer.records_left -= count;
        }
        outcome.bytes += self.answer.records as u64;
        self.offset += self.answer.records as i64 / *batch_bytes as i64 * records_per_batch;
        if self.offset >= *end_offset {
            self.offset = 0;
        }
        self.answer = Answer::default();
        self.finished(outcome);
        Ok(())
    }

    fn finished(&mut self, outcome: &mut Outcome) {
        self.in_flight -= 1;
        outcome.requests += 1;
        let sent_at = self.sent_at.pop_front().expect("an answer has a request");
        outcome.latency_ns.saturating_record(sent_at.elapsed().as_nanos() as u64);
    }
}

fn received(result: Result<(usize, usize), Errno>) -> io::Result<usize> {
    match result {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok((count, _)) => Ok(count),
        Err(Errno::AGAIN) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// An answer's error code as an error.
pub(crate) fn check(error: Option<i16>) -> io::Result<()> {
    match error {
        Some(0) => Ok(()),
        Some(code) => {
            Err(io::Error::other(format!("the broker answered error {code}; see the table of error codes in Kafka's protocol guide")))
        }
        None => Err(io::Error::other("the answer is too short for one partition")),
    }
}
