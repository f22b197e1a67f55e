//! The files of a cleaning: old segments, read from front to back, and the new one that is written of them.
//!
//! Blocking; the cleaner's thread. Invariants: every byte of a log read or written is spent from the cleaning's rate; a batch that is read has the right
//! CRC; what `finish` has written is on the disk, under names ending in `.cleaned`.

use std::io::{self, IoSlice};
use std::path::PathBuf;

use super::{Cleaning, CleaningError, PlannedSegment, Result};
use crate::base::limits::{BACKGROUND_CALL_BYTES_MAX, WRITEBACK_CALL_BYTES_MAX};
use crate::base::{Offset, Timestamp};
use crate::io::File;
use crate::log::compaction::transactions::AbortedTransaction;
use crate::log::format::{FileKind, Marking};
use crate::log::index_builder::IndexBuilder;
use crate::log::walk::{Walk, Walked};
use crate::wire::batch::BatchHeader;

/// An old segment, read from front to back.
pub(super) struct Source<'a> {
    walk: Walk<'a>,
    segment: PlannedSegment,
    /// Behind the last batch that was read.
    pub(super) position: u32,
}

impl Source<'_> {
    pub(super) fn new(file: &File, segment: PlannedSegment) -> Source<'_> {
        Source { walk: Walk::new(file, 0, segment.size), segment, position: 0 }
    }

    /// Reads the next batch into `batch`, checked; `None` at the segment's end.
    pub(super) fn next(&mut self, cleaning: &mut Cleaning, batch: &mut Vec<u8>) -> Result<Option<BatchHeader>> {
        let path = cleaning.path(self.segment.base_offset, FileKind::Log, Marking::Live);
        let (position, bytes, header) = match cleaning.host(&path, self.walk.next_checked())? {
            None => return Ok(None),
            Some(Walked::Damaged { what, .. }) => return Err(self.damaged(&what)),
            Some(Walked::Batch { position, bytes, header }) => (position, bytes, header),
        };
        batch.clear();
        batch.extend_from_slice(cleaning.host(&path, self.walk.batch_bytes(position, bytes))?);
        self.position = position + bytes;
        cleaning.spend(batch.len())?;
        Ok(Some(header))
    }

    pub(super) fn damaged(&self, what: &str) -> CleaningError {
        CleaningError::Damaged { segment: self.segment.base_offset, position: self.position, what: what.to_owned() }
    }
}

/// A new segment, written from front to back.
pub(super) struct Output {
    base_offset: Offset,
    file: File,
    path: PathBuf,
    pub(super) size: u32,
    pub(super) indexes: IndexBuilder,
    /// Not yet in the file.
    pending: Vec<u8>,
}

impl Output {
    pub(super) fn create(cleaning: &Cleaning, base_offset: Offset) -> Result<Output> {
        let path = cleaning.path(base_offset, FileKind::Log, Marking::Cleaned);
        let file = cleaning.host(&path, File::create_new(&path))?;
        Ok(Output { base_offset, file, path, size: 0, indexes: IndexBuilder::new(), pending: Vec::new() })
    }

    pub(super) fn append(&mut self, cleaning: &mut Cleaning, header: &BatchHeader, batch: &[u8]) -> Result<()> {
        let relative_offset = header.last_offset().0 - self.base_offset.0;
        let end = self.size as usize + batch.len();
        // Records packed anew may need more room than before; the group was cut so that this takes a codec which fails to pack.
        let (Ok(relative_offset), Ok(end)) = (u32::try_from(relative_offset), i32::try_from(end)) else {
            let what = format!("a cleaned segment would grow to {end} bytes and {relative_offset} offsets");
            return Err(CleaningError::Damaged { segment: self.base_offset, position: self.size, what });
        };
        let interval = cleaning.plan.config.index_interval_bytes;
        self.indexes.add(relative_offset, self.size, batch.len() as u32, header.max_timestamp, interval);
        self.pending.extend_from_slice(batch);
        self.size = end as u32;
        if self.pending.len() >= WRITEBACK_CALL_BYTES_MAX { self.write(cleaning) } else { Ok(()) }
    }

    fn write(&mut self, cleaning: &mut Cleaning) -> Result<()> {
        let position = u64::from(self.size) - self.pending.len() as u64;
        cleaning.host(&self.path, write_in_pieces(&self.file, &self.pending, position))?;
        // A hint: the sync at the end shall not find all of it at once.
        let _ = self.file.start_writeback(position, self.pending.len() as u64);
        cleaning.spend(self.pending.len())?;
        self.pending.clear();
        Ok(())
    }

    /// Everything on the disk, under the names that the swap begins with.
    pub(super) fn finish(mut self, cleaning: &mut Cleaning, aborted: &[AbortedTransaction], modified: Timestamp) -> Result<()> {
        self.write(cleaning)?;
        self.indexes.finish();
        let write = |kind, bytes: &[u8]| {
            let path = cleaning.path(self.base_offset, kind, Marking::Cleaned);
            let written = File::create_new(&path).and_then(|file| {
                write_in_pieces(&file, bytes, 0)?;
                file.data_sync()
            });
            cleaning.host(&path, written)
        };
        write(FileKind::OffsetIndex, self.indexes.offset_index.as_bytes())?;
        write(FileKind::TimeIndex, self.indexes.time_index.as_bytes())?;
        if !aborted.is_empty() {
            write(FileKind::TransactionIndex, &aborted.iter().flat_map(|entry| entry.to_bytes()).collect::<Vec<u8>>())?;
        }
        // Retention by time goes by it where no record has a timestamp.
        cleaning.host(&self.path, self.file.data_sync().and_then(|()| self.file.set_modified_ms(modified.0)))
    }
}

/// Writes `bytes` at `position`, no more of them in one call than a core may wait for.
fn write_in_pieces(file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    for (piece, at) in bytes.chunks(BACKGROUND_CALL_BYTES_MAX).zip((position..).step_by(BACKGROUND_CALL_BYTES_MAX)) {
        file.write_all_at(&mut [IoSlice::new(piece)], at)?;
    }
    Ok(())
}
