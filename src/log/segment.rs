//! The segments of a log: the active one at its end, and the sealed ones before it.
//!
//! Owned by the core that owns the log. A sealed segment is a few numbers until somebody reads it: its files are opened off the core
//! (`SegmentOpening`) and closed again after idling.
//!
//! Invariants: `base_offset` of a segment is at or below its first batch's; the bytes below `size` are whole batches; a sealed segment's `size`
//! never changes.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::adjacent_entries::AdjacentEntries;
use super::format::{self, FileKind};
use super::header_check::HeadersSeen;
use super::index_builder::IndexBuilder;
use super::index_file::{IndexFile, IndexReadError};
use super::offset_index::{OffsetIndex, OffsetIndexEntry};
use super::rebuild;
use crate::base::{Offset, Timestamp};
use crate::io::File;

/// A place between two batches: the offset of the next record, and the segment and position where its batch begins or will begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndPosition {
    pub offset: Offset,
    pub segment: Offset,
    pub position: u32,
}

/// The segment that takes the appends.
#[derive(Debug)]
pub(super) struct ActiveSegment {
    pub base_offset: Offset,
    pub size: u32,
    pub file: Arc<File>,
    pub indexes: IndexBuilder,
    /// Bytes of the two indexes that their files have already.
    pub offset_index_written: usize,
    pub time_index_written: usize,
    pub first_batch: FirstBatch,
    pub headers_seen: HeadersSeen,
    /// When the first append of this life of the segment came; what the idle roll counts from.
    pub appended_since: Option<Timestamp>,
    /// Blocks are there, or asked for, up to here.
    pub preallocated_to: u32,
    /// Writing to the disk was begun up to here.
    pub writeback_to: u32,
}

/// What rolling by record time counts from: the first batch's largest timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstBatch {
    /// There is no batch yet.
    None,
    /// The segment was opened, and its first batch not looked at.
    Unread,
    Timestamp(Timestamp),
}

impl FirstBatch {
    /// `NONE` if there is no batch, its timestamp is not known, or it has none.
    pub fn timestamp(self) -> Timestamp {
        match self {
            FirstBatch::Timestamp(timestamp) => timestamp,
            FirstBatch::None | FirstBatch::Unread => Timestamp::NONE,
        }
    }
}

impl ActiveSegment {
    pub fn new(base_offset: Offset, file: Arc<File>) -> ActiveSegment {
        file.do_not_read_ahead();
        ActiveSegment {
            base_offset,
            size: 0,
            file,
            indexes: IndexBuilder::new(),
            offset_index_written: 0,
            time_index_written: 0,
            first_batch: FirstBatch::None,
            headers_seen: HeadersSeen::all(),
            appended_since: None,
            preallocated_to: 0,
            writeback_to: 0,
        }
    }
}

/// A segment that takes no appends any more.
#[derive(Debug)]
pub(super) struct SealedSegment {
    pub base_offset: Offset,
    pub size: u32,
    /// `NONE` if no record has a timestamp.
    pub largest_timestamp: Timestamp,
    /// When the file was last written; what retention by time counts from when no record has a timestamp, as in Kafka.
    pub modified: Timestamp,
    /// The index was made anew since the log was opened: if it still contradicts the log, the log is damaged.
    pub index_rebuilt: bool,
    pub open: Option<Box<OpenSegment>>,
}

impl SealedSegment {
    /// What retention by time counts from.
    pub fn age_from(&self) -> Timestamp {
        if self.largest_timestamp.0 >= 0 { self.largest_timestamp } else { self.modified }
    }
}

/// The files of a sealed segment while they are open.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub log: Arc<File>,
    pub index: IndexSource,
    pub adjacent: AdjacentEntries,
    pub headers_seen: HeadersSeen,
    /// The tick in which it was last read.
    pub used_at: Cell<Timestamp>,
}

#[derive(Debug)]
pub(super) enum IndexSource {
    /// Sealed a moment ago, the file is being written.
    Memory(Arc<OffsetIndex>),
    File(IndexFile),
}

/// Any segment, as a reader needs it.
pub(super) struct ReadableSegment<'a> {
    pub base_offset: Offset,
    pub size: u32,
    pub log: &'a Arc<File>,
    pub index: ReadableIndex<'a>,
    pub adjacent: &'a AdjacentEntries,
    pub headers_seen: &'a HeadersSeen,
}

pub(super) enum ReadableIndex<'a> {
    Memory(&'a OffsetIndex),
    File(&'a IndexFile),
}

impl ReadableIndex<'_> {
    /// The last entry at or below the offset. Does not wait for the disk.
    ///
    /// # Errors
    /// A piece of the index file is not in memory, or the host's.
    pub fn lookup(&self, relative_offset: u32) -> Result<Option<OffsetIndexEntry>, IndexReadError> {
        match self {
            ReadableIndex::Memory(index) => Ok(index.lookup(relative_offset)),
            ReadableIndex::File(index) => index.lookup(relative_offset),
        }
    }

    /// The number of the last entry whose batch begins at or below the position, in a segment of `segment_bytes`. Does not wait for the disk.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn number_at(&self, position: u32, segment_bytes: u32) -> Result<Option<usize>, IndexReadError> {
        match self {
            ReadableIndex::Memory(index) => Ok(index.number_at(position)),
            ReadableIndex::File(index) => index.number_at(position, segment_bytes),
        }
    }

    /// The entry of a number that `number_at` has named, or of its neighbours. Does not wait for the disk.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn entry(&self, i: usize) -> Result<OffsetIndexEntry, IndexReadError> {
        match self {
            ReadableIndex::Memory(index) => Ok(index.entry(i)),
            ReadableIndex::File(index) => index.entry(i),
        }
    }
}

/// A sealed segment that must be opened before it can be read: perform `open` off the core, hand the result to `Log::segment_opened`, read again.
#[derive(Debug)]
pub struct SegmentOpening {
    pub(super) directory: Arc<Path>,
    pub(super) base_offset: Offset,
    pub(super) size: u32,
    pub(super) index_interval_bytes: u32,
    /// The index contradicts the log: make it anew.
    pub(super) rebuild_index: bool,
}

/// What came of a `SegmentOpening`.
#[derive(Debug)]
pub struct SegmentOpened {
    pub(super) base_offset: Offset,
    /// Of the segment that was to be opened.
    pub(super) size: u32,
    pub(super) index_rebuilt: bool,
    /// The log, its index and the index's entries.
    pub(super) result: io::Result<(Arc<File>, Arc<File>, usize)>,
}

impl SegmentOpening {
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub fn log_path(&self) -> PathBuf {
        format::path(&self.directory, self.base_offset, FileKind::Log)
    }

    /// Opens the files, and makes the index anew from the log if it is missing or cannot be right. Blocking: for a helper thread.
    pub fn open(self) -> SegmentOpened {
        let mut index_rebuilt = false;
        let result = self.open_files(&mut index_rebuilt);
        if let Ok((log, index, _)) = &result {
            // What a core reads is read ahead beside it, and not in its own calls.
            [log, index].into_iter().for_each(|file| file.do_not_read_ahead());
        }
        SegmentOpened { base_offset: self.base_offset, size: self.size, index_rebuilt, result }
    }

    fn open_files(&self, index_rebuilt: &mut bool) -> io::Result<(Arc<File>, Arc<File>, usize)> {
        let log = File::open_read(&self.log_path())?;
        let came = log.size()?;
        if came != u64::from(self.size) {
            // Perhaps the cleaner has put another segment in its place since the core looked; the core knows by now.
            let what = format!("expected {} bytes, came {came}: the file was cut or written to by somebody else", self.size);
            return Err(io::Error::new(ErrorKind::UnexpectedEof, what));
        }
        let index_path = format::path(&self.directory, self.base_offset, FileKind::OffsetIndex);
        if !self.rebuild_index
            && let Ok(index) = File::open_read(&index_path)
            && let Some(entries) = rebuild::usable_offset_entries(&index, self.size, i32::MAX as u32)?
        {
            return Ok((Arc::new(log), Arc::new(index), entries));
        }
        *index_rebuilt = true;
        let indexes = rebuild::indexes(&log, self.base_offset, self.size, self.index_interval_bytes)?;
        rebuild::write(&self.directory, self.base_offset, &indexes)?;
        Ok((Arc::new(log), Arc::new(File::open_read(&index_path)?), indexes.offset_index.entries()))
    }
}
