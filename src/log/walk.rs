//! Walking a segment's file from batch to batch, for recovery, index rebuilding, timestamp lookups, inspection and compaction.
//!
//! Blocking; helper threads and the cleaner's. Nothing is allocated by a number from the disk before that many bytes are known to be in the file.
//!
//! Invariant: a walk yields whole batches without a gap between them, or says where and why it cannot go on.

use std::io;

use crate::base::limits::BACKGROUND_CALL_BYTES_MAX;
use crate::io::File;
use crate::wire::batch::{BATCH_HEADER_BYTES, BatchHeader, MAGIC, check_stored};

/// Read ahead where every byte is needed.
const WHOLE_CHUNK_BYTES: usize = 1 << 20;
/// Read ahead where only headers are needed.
const HEADER_CHUNK_BYTES: usize = 4096;

/// One step of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walked {
    Batch {
        position: u32,
        bytes: u32,
        header: BatchHeader,
    },
    /// There is no batch at `position`. The walk ends here.
    Damaged {
        position: u32,
        what: String,
    },
}

/// A walk over the first `end` bytes of a segment.
pub struct Walk<'a> {
    file: &'a File,
    end: u32,
    position: u32,
    buffer: Vec<u8>,
    buffer_start: u32,
    ended: bool,
    bytes_read: u64,
}

impl<'a> Walk<'a> {
    /// `position` must be where a batch begins.
    pub fn new(file: &'a File, position: u32, end: u32) -> Walk<'a> {
        Walk { file, end, position, buffer: Vec::new(), buffer_start: 0, ended: false, bytes_read: 0 }
    }

    /// Bytes read from the file so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Goes on from `position`, where a batch begins that this walk has answered already.
    pub fn step_back_to(&mut self, position: u32) {
        (self.position, self.ended) = (position, false);
    }

    /// The next batch, its CRC checked. `None` at the end.
    ///
    /// # Errors
    /// The host's.
    pub fn next_checked(&mut self) -> io::Result<Option<Walked>> {
        self.next(true)
    }

    /// The next batch by its header only: magic and length. `None` at the end.
    ///
    /// # Errors
    /// The host's.
    pub fn next_header(&mut self) -> io::Result<Option<Walked>> {
        self.next(false)
    }

    /// The bytes of the batch that `next_checked` or `next_header` answered last.
    ///
    /// # Errors
    /// The host's.
    pub fn batch_bytes(&mut self, position: u32, bytes: u32) -> io::Result<&[u8]> {
        self.fill(position, bytes as usize, bytes as usize)
    }

    fn next(&mut self, whole: bool) -> io::Result<Option<Walked>> {
        if self.ended || self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let step = match self.batch_at(position, whole)? {
            Ok((bytes, header)) => {
                self.position += bytes;
                Walked::Batch { position, bytes, header }
            }
            Err(what) => {
                self.ended = true;
                Walked::Damaged { position, what }
            }
        };
        Ok(Some(step))
    }

    fn batch_at(&mut self, position: u32, whole: bool) -> io::Result<Result<(u32, BatchHeader), String>> {
        let room = (self.end - position) as usize;
        let chunk = if whole { WHOLE_CHUNK_BYTES } else { HEADER_CHUNK_BYTES };
        if room < BATCH_HEADER_BYTES {
            return Ok(Err(format!("expected a batch header of {BATCH_HEADER_BYTES} bytes, {room} are left")));
        }
        let Some(header) = BatchHeader::parse(self.fill(position, BATCH_HEADER_BYTES, chunk)?) else {
            return Ok(Err("a header that cannot be read".to_owned()));
        };
        let Some(bytes) = header.total_bytes() else {
            return Ok(Err(format!("expected a batch length of 49 or more, came {}", header.batch_length)));
        };
        if bytes > room {
            return Ok(Err(format!("expected a batch of {bytes} bytes, {room} are left")));
        }
        if whole {
            let checked = check_stored(self.fill(position, bytes, chunk)?);
            return Ok(checked.map(|header| (bytes as u32, header)).map_err(|error| error.to_string()));
        }
        if header.magic != MAGIC || header.last_offset_delta < 0 {
            return Ok(Err(format!("expected a batch of format {MAGIC}, came format {} (or its header is damaged)", header.magic)));
        }
        Ok(Ok((bytes as u32, header)))
    }

    /// `len` bytes from `position`, which are known to be in the file; reads up to `chunk` of them at once.
    fn fill(&mut self, position: u32, len: usize, chunk: usize) -> io::Result<&[u8]> {
        let have = self.buffer_start as u64 + self.buffer.len() as u64;
        if position < self.buffer_start || u64::from(position) + len as u64 > have {
            let wanted = len.max(chunk).min((self.end - position) as usize);
            self.buffer.resize(wanted, 0);
            for (piece, at) in
                self.buffer.chunks_mut(BACKGROUND_CALL_BYTES_MAX).zip((u64::from(position)..).step_by(BACKGROUND_CALL_BYTES_MAX))
            {
                self.file.read_exact_at(piece, at)?;
            }
            self.bytes_read += wanted as u64;
            self.buffer_start = position;
        }
        let start = (position - self.buffer_start) as usize;
        Ok(&self.buffer[start..start + len])
    }
}

/// Whether only zeros are left from `position` to `end`: what a preallocated file has behind its last batch.
///
/// # Errors
/// The host's.
pub fn is_zero_from(file: &File, position: u32, end: u32) -> io::Result<bool> {
    let mut buffer = vec![0; WHOLE_CHUNK_BYTES];
    let mut at = position;
    while at < end {
        let len = buffer.len().min((end - at) as usize);
        file.read_exact_at(&mut buffer[..len], u64::from(at))?;
        if buffer[..len].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += len as u32;
    }
    Ok(true)
}
