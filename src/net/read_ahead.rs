//! Brings what is to be sent into memory, a window ahead of what is being sent.
//!
//! On a core's thread. Where nothing was missing lately nothing is read ahead, not even looked for: a core that serves from memory pays one question for each answer.

use std::io;

use super::traffic::{Traffic, add};
use crate::base::limits::PAGES_QUANTUM_BYTES;
use crate::io::FileRange;
use crate::io::file::{is_wary, misses_lately};
use crate::io::glommio::{READ_AHEAD_BYTES, begin_read_ahead, read_ahead};

/// How often a reader of cold data has what lies ahead of it looked at, however small its pieces are: with half a window still ahead.
const LOOK_EVERY_BYTES: u64 = READ_AHEAD_BYTES as u64 / 2;

const _: () = assert!(PAGES_QUANTUM_BYTES <= READ_AHEAD_BYTES, "a piece is ensured in one go");

/// The sending of one range.
pub(super) struct ReadAhead<'a> {
    range: &'a FileRange,
    /// Up to here, counted from the start of the range, everything was brought or found. Not asked again: under pressure that might never end.
    ready: usize,
}

impl<'a> ReadAhead<'a> {
    pub(super) fn new(range: &'a FileRange) -> ReadAhead<'a> {
        ReadAhead { range, ready: 0 }
    }

    /// Sees to it that `len` bytes from `done` on are in memory.
    ///
    /// # Errors
    /// The host's, and `UnexpectedEof` where the file ends before the range does.
    pub(super) async fn ensure(&mut self, traffic: &Traffic, done: usize, len: usize) -> io::Result<()> {
        while !self.is_ready(traffic, done, len)? {
            self.bring(traffic, self.ready.max(done)).await?;
        }
        Ok(())
    }

    /// Whether `len` bytes from `done` on are in memory.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn is_ready(&mut self, traffic: &Traffic, done: usize, len: usize) -> io::Result<bool> {
        if self.ready >= done + len {
            return Ok(true);
        }
        let from = self.ready.max(done);
        // As long as nothing is missing it is cheaper to ask for all of it at once.
        let end = if is_wary() { done + len } else { self.range.len.min(done + READ_AHEAD_BYTES) };
        let is_there = self.range.file.resident(self.range.position + from as u64, end - from)?;
        if is_there {
            self.got_ready(traffic, end, false);
        }
        Ok(is_there)
    }

    /// Reads the window that starts at `from`.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub(super) async fn bring(&mut self, traffic: &Traffic, from: usize) -> io::Result<()> {
        add(&traffic.cold_reads, 1);
        let part = self.range.part(from, READ_AHEAD_BYTES);
        let read = self.range.some_of(read_ahead(&part, READ_AHEAD_BYTES).await?)?;
        add(&traffic.cold_read_bytes, read);
        part.file.was_brought(part.position, read);
        self.got_ready(traffic, from + read, true);
        Ok(())
    }

    /// Everything up to `ready` is in memory. Whoever reads cold data goes on reading, also behind this range: has that read where nobody has seen to it yet.
    fn got_ready(&mut self, traffic: &Traffic, ready: usize, was_missing: bool) {
        let (from, to) = (self.range.position + self.ready as u64, self.range.position + ready as u64);
        self.ready = ready;
        let is_time_to_look = from / LOOK_EVERY_BYTES != to / LOOK_EVERY_BYTES;
        if !(was_missing || misses_lately() && is_time_to_look) {
            return;
        }
        let file = &self.range.file;
        // Whoever reads on is told what is wrong with the file.
        let len = file.size().unwrap_or(0).saturating_sub(to).min(READ_AHEAD_BYTES as u64) as usize;
        if len > 0
            && file.is_there_or_coming(to, len) == Some(false)
            && begin_read_ahead(&FileRange { file: file.clone(), position: to, len })
        {
            add(&traffic.read_aheads, 1);
        }
    }
}
