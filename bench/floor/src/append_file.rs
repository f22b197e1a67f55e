//! The file that the floor appends to and serves from.
//!
//! Invariant: every batch has the size and the record count of the first one, so an offset names a position by a division, as long as there is one file. Behind
//! that nothing is read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use rustix::io::pwritev;

/// Batch header fields, from the batch's first byte on (the table stands in `pagewire::wire::batch`).
const CRC_AT: usize = 17;
const CRC_START: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;

/// When a file is full, and how many full ones stay.
#[derive(Clone, Copy)]
pub struct Roll {
    pub file_bytes_max: u64,
    pub full_files_max: usize,
}

pub struct AppendFile {
    file: File,
    /// The next batch goes here.
    position: u64,
    path: PathBuf,
    roll: Roll,
    full: VecDeque<PathBuf>,
    rolled: u64,
    /// To the one thread that removes files. It lives as long as this: what it takes of a processor counts.
    remover: mpsc::Sender<PathBuf>,
    batch_bytes: u64,
    records_per_batch: i64,
    /// The offset of the next record.
    pub end_offset: i64,
}

impl AppendFile {
    /// An empty file; those behind it have a number as their extension.
    ///
    /// # Errors
    /// The host's.
    pub fn create(path: &Path, roll: Roll) -> io::Result<AppendFile> {
        let (file, path) = (create_empty(path)?, path.to_owned());
        let (remover, removed) = mpsc::channel();
        std::thread::spawn(move || removed.iter().try_for_each(std::fs::remove_file));
        let full = VecDeque::new();
        Ok(AppendFile { file, position: 0, path, roll, full, rolled: 0, remover, batch_bytes: 0, records_per_batch: 0, end_offset: 0 })
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
        if self.position + bytes > self.roll.file_bytes_max {
            self.go_on_in_another()?;
        }
        if pwritev(&self.file, batches, self.position)? as u64 != bytes {
            return Err(io::Error::other("the disk took part of a write"));
        }
        self.position += bytes;
        Ok(base_offset)
    }

    fn go_on_in_another(&mut self) -> io::Result<()> {
        self.rolled += 1;
        let next = self.path.with_extension(self.rolled.to_string());
        (self.file, self.position) = (create_empty(&next)?, 0);
        self.full.push_back(std::mem::replace(&mut self.path, next));
        if self.full.len() > self.roll.full_files_max
            && let Some(oldest) = self.full.pop_front()
        {
            // What giving its blocks back takes is not waited for.
            self.remover.send(oldest).map_err(|_| io::Error::other("an earlier file could not be removed"))?;
        }
        Ok(())
    }

    /// Where the whole batches from `offset` on lie that fit into `bytes_max`: position and length. One batch at least, if there is one.
    ///
    /// # Errors
    /// There is more than one file.
    pub fn find(&self, offset: i64, bytes_max: u64) -> io::Result<(u64, usize)> {
        if self.rolled > 0 {
            return Err(io::Error::other("the floor serves what lies in one file only"));
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

fn create_empty(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}
