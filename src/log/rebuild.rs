//! Whether index files can be right, and making them anew from the log.
//!
//! Blocking; helper threads. Rebuilt indexes are byte for byte what appending would have made.

use std::io;
use std::path::Path;

use super::format::FileKind;
use super::index_builder::IndexBuilder;
use super::jobs::write_index;
use super::offset_index::{self, OffsetIndexEntry};
use super::time_index::{self, TimeIndexEntry};
use super::walk::{Walk, Walked};
use crate::base::Offset;
use crate::io::File;

/// How many entries a sealed segment's offset index has, if by its size and its last entry it can belong to a log of `log_bytes` whose last
/// offset is `last_relative_offset` at most.
///
/// # Errors
/// The host's.
pub(super) fn usable_offset_entries(index: &File, log_bytes: u32, last_relative_offset: u32) -> io::Result<Option<usize>> {
    let size = index.size()? as usize;
    if !size.is_multiple_of(offset_index::ENTRY_BYTES) {
        return Ok(None);
    }
    let entries = size / offset_index::ENTRY_BYTES;
    if entries == 0 {
        return Ok(Some(0));
    }
    let mut bytes = [0; offset_index::ENTRY_BYTES];
    index.read_exact_at(&mut bytes, (size - offset_index::ENTRY_BYTES) as u64)?;
    let last = OffsetIndexEntry::parse(bytes);
    let can_be = !last.is_unused() && last.position < log_bytes && last.relative_offset <= last_relative_offset;
    Ok(can_be.then_some(entries))
}

/// The last entry of a sealed segment's time index, if by its size and that entry the index can belong to a segment whose last offset is
/// `last_relative_offset` at most. A segment with records has an entry.
///
/// # Errors
/// The host's.
pub(super) fn usable_last_time_entry(index: &File, last_relative_offset: u32) -> io::Result<Option<TimeIndexEntry>> {
    let size = index.size()? as usize;
    if size == 0 || !size.is_multiple_of(time_index::ENTRY_BYTES) {
        return Ok(None);
    }
    let mut bytes = [0; time_index::ENTRY_BYTES];
    index.read_exact_at(&mut bytes, (size - time_index::ENTRY_BYTES) as u64)?;
    let last = TimeIndexEntry::parse(bytes);
    let can_be = !last.is_unused() && last.timestamp.0 >= 0 && last.relative_offset <= last_relative_offset;
    Ok(can_be.then_some(last))
}

/// Builds the indexes of a sealed segment from its headers, as far as it can be walked.
///
/// # Errors
/// The host's.
pub(super) fn indexes(log: &File, base_offset: Offset, log_bytes: u32, index_interval_bytes: u32) -> io::Result<IndexBuilder> {
    let mut builder = IndexBuilder::new();
    let mut walk = Walk::new(log, 0, log_bytes);
    let mut expected = base_offset;
    while let Some(Walked::Batch { position, bytes, header }) = walk.next_header()? {
        let relative_offset = header.last_offset().0.saturating_sub(base_offset.0);
        if header.base_offset < expected || relative_offset > i64::from(i32::MAX) {
            break;
        }
        builder.add(relative_offset as u32, position, bytes, header.max_timestamp, index_interval_bytes);
        expected = header.next_offset();
    }
    builder.finish();
    Ok(builder)
}

/// Replaces both index files.
///
/// # Errors
/// The host's.
pub(super) fn write(directory: &Path, base_offset: Offset, indexes: &IndexBuilder) -> io::Result<()> {
    write_index(directory, base_offset, FileKind::TimeIndex, indexes.time_index.as_bytes(), true)?;
    write_index(directory, base_offset, FileKind::OffsetIndex, indexes.offset_index.as_bytes(), true)?;
    Ok(())
}
