//! The file that the floor appends to and serves from.
//!
//! Invariant: every batch has the size and the record count of the first one, so an offset names a position by a division, until the file is written over: from
//! then on nothing is read of it.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::pwritev;

/// Batch header fields, from the batch's first byte on (the table stands in `pagewire::wire::batch`).
const CRC_AT: usize = 17;
const CRC_START: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;

pub struct AppendFile {
    file: File,
    /// The next batch goes here.
    position: u64,
    /// It goes to the start of the file instead, if it would end behind this.
    size_max: u64,
    is_written_over: bool,
    batch_bytes: u64,
    records_per_batch: i64,
    /// The offset of the next record.
    pub end_offset: i64,
}

impl AppendFile {
    /// An empty file, which is written over from its start once it is `size_max` bytes long.
    ///
    /// # Errors
    /// The host's.
    pub fn create(path: &Path, size_max: u64) -> io::Result<AppendFile> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(AppendFile { file, position: 0, size_max, is_written_over: false, batch_bytes: 0, records_per_batch: 0, end_offset: 0 })
    }

    /// Checks each batch's CRC and writes all of them at the end, in one call. Answers the first one's offset.
    ///
    /// # Errors
    /// A batch is damaged or of another shape than the first one; the host's.
    pub fn append(&mut self, batches: &[IoSlice<'_>]) -> io::Result<i64> {
        let base_offset = self.end_offset;
        let mut bytes = 0;
        for batch in batches {
            let crc = u32::from_be_bytes(batch[CRC_AT..CRC_START].try_into().expect("four bytes"));
            if crc32c::crc32c(&batch[CRC_START..]) != crc {
                return Err(io::Error::other("a batch does not match its CRC"));
            }
            let last_delta = i32::from_be_bytes(batch[LAST_OFFSET_DELTA_AT..LAST_OFFSET_DELTA_AT + 4].try_into().expect("four bytes"));
            if self.batch_bytes == 0 {
                (self.batch_bytes, self.records_per_batch) = (batch.len() as u64, i64::from(last_delta) + 1);
            }
            if batch.len() as u64 != self.batch_bytes || i64::from(last_delta) + 1 != self.records_per_batch {
                return Err(io::Error::other("the floor takes batches of one size only"));
            }
            bytes += batch.len() as u64;
            self.end_offset += self.records_per_batch;
        }
        if self.position + bytes > self.size_max {
            (self.position, self.is_written_over) = (0, true);
        }
        if pwritev(&self.file, batches, self.position)? as u64 != bytes {
            return Err(io::Error::other("the disk took part of a write"));
        }
        self.position += bytes;
        Ok(base_offset)
    }

    /// Where the whole batches from `offset` on lie that fit into `bytes_max`: position and length. One batch at least, if there is one.
    ///
    /// # Errors
    /// The file was written over.
    pub fn find(&self, offset: i64, bytes_max: u64) -> io::Result<(u64, usize)> {
        if self.is_written_over {
            return Err(io::Error::other("a file that was written over serves nothing"));
        }
        if self.batch_bytes == 0 || offset >= self.end_offset {
            return Ok((self.position, 0));
        }
        let position = (offset / self.records_per_batch) as u64 * self.batch_bytes;
        let whole = (bytes_max / self.batch_bytes).max(1) * self.batch_bytes;
        Ok((position, whole.min(self.position - position) as usize))
    }

    pub fn file(&self) -> impl AsFd + '_ {
        &self.file
    }
}
