//! The reader at the end of the log: one fetch always waits at the broker, and each record's arrival is stamped.

use std::io;
use std::net::TcpStream;

use hdrhistogram::Histogram;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::{Pace, Schedule};
use crate::light_client::check;
use crate::{frames, stamp};

const RANGE_BYTES: i32 = 1 << 20;
const WAIT_MS_MAX: i32 = 500;
/// How much is asked of the socket at once.
const RECEIVE_BYTES: usize = 256 << 10;

pub(super) struct Tail {
    pub stream: TcpStream,
    /// Records that came.
    pub records: u64,
    offset: i64,
    request: Vec<u8>,
    topic_bytes: usize,
    batch_bytes: usize,
    answer: Vec<u8>,
    buffer: Vec<u8>,
}

impl Tail {
    pub fn open(pace: &Pace, offset: i64) -> io::Result<Tail> {
        let stream = TcpStream::connect(pace.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut tail = Tail {
            stream,
            records: 0,
            offset,
            request: frames::fetch_request(&pace.topic, 0, offset, RANGE_BYTES, WAIT_MS_MAX),
            topic_bytes: pace.topic.len(),
            batch_bytes: pace.batch.len(),
            answer: Vec::new(),
            buffer: vec![0; RECEIVE_BYTES],
        };
        tail.ask()?;
        Ok(tail)
    }

    fn ask(&mut self) -> io::Result<()> {
        let at = frames::fetch_offset_at(self.topic_bytes);
        self.request[at..at + 8].copy_from_slice(&self.offset.to_be_bytes());
        // A hundred bytes on a connection on which nothing else is under way: the socket takes them whole.
        io::Write::write_all(&mut self.stream, &self.request)
    }

    /// Reads what is there; a whole answer stamps its records and is followed by the next request.
    pub fn receive(&mut self, schedule: &Schedule, latencies: &mut Histogram<u64>) -> io::Result<()> {
        loop {
            match recv(&self.stream, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((count, _)) => self.answer.extend(&self.buffer[..count]),
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if let Some(answer) = frames::whole(&self.answer) {
                let (error, records_bytes) =
                    frames::fetch_outcome(answer, self.topic_bytes).ok_or_else(|| io::Error::other("a short answer"))?;
                check(Some(error))?;
                let records = &answer[answer.len() - records_bytes..];
                for batch in records.chunks_exact(self.batch_bytes) {
                    schedule.record(latencies, stamp::read(batch));
                    self.records += 1;
                    self.offset += 1;
                }
                self.answer.clear();
                self.ask()?;
            }
        }
    }
}
