//! One connection of the floor: receive, cut into frames, answer.
//!
//! Invariants: one `recv` for each turn; all batches of a turn go down in one `pwritev`; all answers of a turn that are bytes leave in one
//! `send`; what the socket does not take waits in `out`, in order.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::TcpStream;

use rustix::fs::sendfile;
use rustix::io::{Errno, pread};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use crate::append_file::AppendFile;
use crate::frames::{self, FETCH, PRODUCE};

/// How stored bytes go to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// sendfile(2)
    Sendfile,
    /// splice(2) through a pipe of the connection
    Splice,
    /// pread(2) and send(2)
    Copy,
}

/// The first size of a receive buffer; it grows to two of the largest frames.
const RECEIVE_BYTES: usize = 256 << 10;
/// The most that one call of sendfile or splice moves, and the size of a copying buffer.
const QUANTUM_BYTES: usize = 1 << 20;

pub struct Connection {
    pub stream: TcpStream,
    topic: String,
    received: Vec<u8>,
    filled: usize,
    /// A fetch for which there is nothing yet.
    waiting_fetch: Option<Vec<u8>>,
    out: VecDeque<Out>,
    pipe: Option<Pipe>,
}

enum Out {
    Bytes { bytes: Vec<u8>, sent: usize },
    Range { position: u64, left: usize },
}

struct Pipe {
    read: std::os::fd::OwnedFd,
    write: std::os::fd::OwnedFd,
    held: usize,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Everything is sent.
    Done,
    /// The socket is full: call `send` when it takes more.
    Blocked,
    /// The peer has gone.
    Closed,
}

impl Connection {
    pub fn new(stream: TcpStream, topic: &str) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let topic = topic.to_owned();
        let received = vec![0; RECEIVE_BYTES];
        Ok(Connection { stream, topic, received, filled: 0, waiting_fetch: None, out: VecDeque::new(), pipe: None })
    }

    /// Receives once and answers every frame that is whole by now.
    ///
    /// # Errors
    /// A request that the floor does not know; the host's.
    pub fn receive(&mut self, log: &mut AppendFile, way: Way) -> io::Result<Turn> {
        match recv(&self.stream, &mut self.received[self.filled..], RecvFlags::empty()) {
            Ok((0, _)) => return Ok(Turn::Closed),
            Ok((count, _)) => self.filled += count,
            Err(Errno::AGAIN) => return Ok(Turn::Done),
            Err(Errno::CONNRESET) => return Ok(Turn::Closed),
            Err(error) => return Err(error.into()),
        }
        let used = self.answer(log)?;
        self.received.copy_within(used..self.filled, 0);
        self.filled -= used;
        self.make_room();
        self.send(log, way)
    }

    /// Answers the whole frames. Returns how many bytes they are.
    fn answer(&mut self, log: &mut AppendFile) -> io::Result<usize> {
        let Connection { topic, received, filled, waiting_fetch, out, .. } = self;
        let mut used = 0;
        let mut batches: Vec<IoSlice<'_>> = Vec::new();
        let mut waiting: Vec<&[u8]> = Vec::new();
        let mut answers = Vec::new();
        while *filled - used >= 4 {
            let end = used + 4 + frames::i32_at(received, used) as usize;
            if end > *filled {
                break;
            }
            let frame = &received[used..end];
            used = end;
            match i16::from_be_bytes(frames::bytes_at(frame, 4)) {
                PRODUCE => {
                    batches.push(IoSlice::new(&frame[frames::records_at(topic.len())..]));
                    waiting.push(frame);
                }
                FETCH => {
                    let is_answered = answer_fetch(frame, topic, log, out)?;
                    if !is_answered && waiting_fetch.replace(frame.to_vec()).is_some() {
                        return Err(io::Error::other("the floor lets one fetch of a connection wait, and a second one came"));
                    }
                }
                key => return Err(io::Error::other(format!("the floor serves Produce and Fetch only, and api key {key} came"))),
            }
        }
        if !batches.is_empty() {
            let mut offset = log.append(&batches)?;
            let records = (log.end_offset - offset) / batches.len() as i64;
            for frame in waiting {
                let partition_at = frames::records_at(topic.len()) - 8;
                let correlation_id = frames::bytes_at(frame, frames::CORRELATION_ID_AT);
                frames::produce_answer(&mut answers, correlation_id, topic, frames::bytes_at(frame, partition_at), offset);
                offset += records;
            }
            out.push_back(Out::Bytes { bytes: answers, sent: 0 });
        }
        Ok(used)
    }

    pub fn waits(&self) -> bool {
        self.waiting_fetch.is_some()
    }

    /// Answers the fetch that waits; something was appended.
    ///
    /// # Errors
    /// The host's.
    pub fn wake(&mut self, log: &AppendFile, way: Way) -> io::Result<Turn> {
        if let Some(frame) = self.waiting_fetch.take()
            && !answer_fetch(&frame, &self.topic, log, &mut self.out)?
        {
            self.waiting_fetch = Some(frame);
        }
        self.send(log, way)
    }

    /// A frame larger than the buffer must fit, and the next one beside it.
    fn make_room(&mut self) {
        if self.filled >= 4 {
            let wanted = 2 * (4 + frames::i32_at(&self.received, 0).max(0) as usize);
            if wanted > self.received.len() {
                self.received.resize(wanted, 0);
            }
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The host's.
    pub fn send(&mut self, log: &AppendFile, way: Way) -> io::Result<Turn> {
        while let [next, rest @ ..] = self.out.make_contiguous() {
            let moved = match next {
                Out::Bytes { bytes, sent } => send(&self.stream, &bytes[*sent..], flags(rest)).map(|count| {
                    *sent += count;
                    *sent == bytes.len()
                }),
                Out::Range { left: 0, .. } => Ok(true),
                Out::Range { position, left } => {
                    let count = send_range(&self.stream, log, &mut self.pipe, *position, *left, way);
                    if count == Ok(0) {
                        return Err(io::Error::other("a range ends behind its file"));
                    }
                    count.map(|count| {
                        (*position, *left) = (*position + count as u64, *left - count);
                        *left == 0
                    })
                }
            };
            match moved {
                Ok(true) => drop(self.out.pop_front()),
                Ok(false) => {}
                Err(Errno::AGAIN) => return Ok(Turn::Blocked),
                Err(Errno::PIPE | Errno::CONNRESET) => return Ok(Turn::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Turn::Done)
    }
}

/// A head goes into one packet with what follows it at once.
fn flags(behind: &[Out]) -> SendFlags {
    let more = if behind.is_empty() { SendFlags::empty() } else { SendFlags::MORE };
    SendFlags::NOSIGNAL | more
}

/// Puts the answer into `out`, unless there is nothing yet and the client waits for it. Answers whether it did.
fn answer_fetch(frame: &[u8], topic: &str, log: &AppendFile, out: &mut VecDeque<Out>) -> io::Result<bool> {
    let at = frames::fetch_offset_at(topic.len());
    let bytes_max = frames::i32_at(frame, frames::fetch_bytes_at(topic.len())).max(0) as u64;
    let (position, len) = log.find(frames::i64_at(frame, at), bytes_max)?;
    if len == 0 && frames::i32_at(frame, frames::FETCH_WAIT_AT) > 0 {
        return Ok(false);
    }
    let correlation_id = frames::bytes_at(frame, frames::CORRELATION_ID_AT);
    let mut head = Vec::new();
    frames::fetch_answer(&mut head, correlation_id, topic, frames::bytes_at(frame, at - 8), log.end_offset, len);
    out.push_back(Out::Bytes { bytes: head, sent: 0 });
    out.push_back(Out::Range { position, left: len });
    Ok(true)
}

/// Moves up to a quantum of a range to the socket.
fn send_range(stream: &TcpStream, log: &AppendFile, pipe: &mut Option<Pipe>, position: u64, left: usize, way: Way) -> Result<usize, Errno> {
    match way {
        Way::Sendfile => sendfile(stream, log.file(), Some(&mut position.clone()), left.min(QUANTUM_BYTES)),
        Way::Copy => {
            let mut buffer = vec![0; left.min(QUANTUM_BYTES)];
            let count = pread(log.file(), &mut buffer, position)?;
            send(stream, &buffer[..count], SendFlags::NOSIGNAL)
        }
        Way::Splice => {
            let pipe = match pipe {
                Some(pipe) => pipe,
                None => {
                    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                    rustix::pipe::fcntl_setpipe_size(&write, QUANTUM_BYTES)?;
                    pipe.insert(Pipe { read, write, held: 0 })
                }
            };
            if pipe.held == 0 {
                let wanted = left.min(QUANTUM_BYTES);
                pipe.held = splice(log.file(), Some(&mut position.clone()), &pipe.write, None, wanted, SpliceFlags::NONBLOCK)?;
            }
            // The end of a range is not held back for more: nothing comes behind it, and TCP would wait 200 ms for it.
            let more = if pipe.held < left { SpliceFlags::MORE } else { SpliceFlags::empty() };
            let count = splice(&pipe.read, None, stream, None, pipe.held, SpliceFlags::NONBLOCK | more)?;
            pipe.held -= count;
            Ok(count)
        }
    }
}
