//! Brings what is to be sent into memory, a window ahead of what is being sent.
//!
//! On a core's thread. Where nothing was missing lately nothing is read ahead, not even looked for: a core that serves from memory pays one question for each piece that
//! it sends.

use std::io;

use super::traffic::{Traffic, add};
use crate::io::FileRange;
use crate::io::file::misses_lately;
use crate::io::glommio::{READ_AHEAD_BYTES, begin_read_ahead, read_ahead};

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
        while self.ready < done + len {
            let from = self.ready.max(done);
            if self.range.file.resident(self.range.position + from as u64, done + len - from)? {
                self.ready = done + len;
                self.look_ahead()?;
            } else {
                self.bring(traffic, from).await?;
            }
        }
        Ok(())
    }

    /// Reads the window that starts at `from`.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub(super) async fn bring(&mut self, traffic: &Traffic, from: usize) -> io::Result<()> {
        add(&traffic.cold_reads, 1);
        let read = self.range.some_of(read_ahead(&self.range.part(from, READ_AHEAD_BYTES)).await?)?;
        add(&traffic.cold_read_bytes, read);
        self.ready = from + read;
        self.look_ahead()
    }

    /// Begins to read the window behind what is ready if it is not there. It may lie behind the range: whoever reads cold data goes on reading.
    fn look_ahead(&self) -> io::Result<()> {
        if !misses_lately() {
            return Ok(());
        }
        let file = &self.range.file;
        let position = self.range.position + self.ready as u64;
        let len = file.size()?.saturating_sub(position).min(READ_AHEAD_BYTES as u64) as usize;
        // Half of it: so that each read is of about a window, and not of what the last piece has used up.
        if !file.resident(position, len.div_ceil(2))? {
            begin_read_ahead(&FileRange { file: file.clone(), position, len });
        }
        Ok(())
    }
}
