//! One producing connection of the open loop.
//!
//! Invariant: `unanswered` holds the numbers of the requests that were begun, in order; the request in `frame` is the last of them
//! until `sent == frame.len()`.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{Outcome, Pace, Schedule};
use crate::light_client::check;
use crate::{frames, stamp};

pub(super) struct Producer {
    pub stream: TcpStream,
    /// The request that is being sent; number and partition are written into it.
    frame: Vec<u8>,
    sent: usize,
    /// Requests that were due while the socket was full.
    waiting: VecDeque<u64>,
    unanswered: VecDeque<u64>,
    answers: Vec<u8>,
}

impl Producer {
    pub fn open(pace: &Pace) -> io::Result<Producer> {
        let stream = TcpStream::connect(pace.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let frame = frames::produce_request(&pace.topic, 0, 1, &pace.batch);
        Ok(Producer { stream, sent: frame.len(), frame, waiting: VecDeque::new(), unanswered: VecDeque::new(), answers: Vec::new() })
    }

    /// Sends request `number` now, or as soon as the socket takes it.
    pub fn send(&mut self, number: u64, pace: &Pace) -> io::Result<()> {
        self.waiting.push_back(number);
        self.push(pace)
    }

    /// What the socket is ready for: answers are read, requests that wait go on.
    pub fn turn(&mut self, pace: &Pace, schedule: &Schedule, outcome: &mut Outcome) -> io::Result<()> {
        self.receive(pace, schedule, outcome)?;
        self.push(pace)
    }

    fn push(&mut self, pace: &Pace) -> io::Result<()> {
        loop {
            if self.sent == self.frame.len() {
                let Some(number) = self.waiting.pop_front() else { return Ok(()) };
                self.write(number, pace);
            }
            match send(&self.stream, &self.frame[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write(&mut self, number: u64, pace: &Pace) {
        let records_at = frames::records_at(pace.topic.len());
        let partition = (number % pace.partitions as u64) as i32;
        self.frame[records_at - 8..records_at - 4].copy_from_slice(&partition.to_be_bytes());
        if pace.tail_from.is_some() {
            stamp::write(&mut self.frame[records_at..], number);
        }
        self.unanswered.push_back(number);
        self.sent = 0;
    }

    fn receive(&mut self, pace: &Pace, schedule: &Schedule, outcome: &mut Outcome) -> io::Result<()> {
        loop {
            let mut buffer = [0; 16 << 10];
            match recv(&self.stream, &mut buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((count, _)) => self.answers.extend(&buffer[..count]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let mut used = 0;
            while let Some(answer) = frames::whole(&self.answers[used..]) {
                used += answer.len();
                check(frames::produce_error(answer, pace.topic.len()))?;
                let number = self.unanswered.pop_front().ok_or_else(|| io::Error::other("an answer without a request"))?;
                schedule.record(&mut outcome.produce_ns, number);
                outcome.requests += 1;
                outcome.bytes += pace.batch.len() as u64;
            }
            self.answers.drain(..used);
        }
    }
}
