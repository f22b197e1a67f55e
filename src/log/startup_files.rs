//! What a start makes of the files in a partition's directory, before any segment is opened.
//!
//! Blocking; helper threads. Kafka's rules (LogLoader, KAFKA-6264):
//! - `.deleted` and `.cleaned` files are removed; so is `.swap` above the smallest `.cleaned`: that was a split that did not finish.
//! - a finished `.swap` replaces the segments it covers, from its base offset up to the last offset in it.
//! - an index without a log is removed.
//!
//! Ours: a producer snapshot that is not whole is removed; `next.log.prepared` is removed if empty; if it was in use and the process died before it was named, it gets the name of its first batch's offset.

use std::io;
use std::path::Path;

use super::cut::Cuttings;
use super::format::{FileKind, Marking, PREPARED_FILE, SegmentFileName};
use super::producer_log::UNFINISHED_SNAPSHOT;
use super::walk::{Walk, Walked};
use crate::base::Offset;
use crate::io::{File, directory};

/// What is left: base offsets and sizes of the segments, ascending; and what was done, in words.
#[derive(Debug, Default)]
pub(super) struct StartupFiles {
    pub segments: Vec<(Offset, u64)>,
    /// Offsets of the producer snapshots.
    pub snapshots: Vec<Offset>,
    pub notes: Vec<String>,
}

/// # Errors
/// The host's.
pub(super) fn settle(partition: &Path, cuttings: &Cuttings<'_>) -> io::Result<StartupFiles> {
    let mut notes = Vec::new();
    let entries = directory::list_names(partition)?;
    let mut names = segment_files_among(&entries);
    // As a rule there is nothing to settle, and what was listed stands: a start does this for every partition.
    if settle_unfinished(partition, &entries, &names, cuttings, &mut notes)? {
        names = segment_files(partition)?;
    }
    let mut logs = Vec::new();
    for name in names.iter().filter(|name| name.kind == FileKind::Log) {
        logs.push((name.offset, directory::file_bytes(&partition.join(name.name()))?));
    }
    for name in &names {
        let belongs_to_log = matches!(name.kind, FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TransactionIndex);
        if belongs_to_log && logs.binary_search_by_key(&name.offset, |(offset, _)| *offset).is_err() {
            directory::remove_file(&partition.join(name.name()))?;
            notes.push(format!("removed {}: there is no log it belongs to", name.name()));
        }
    }
    let snapshots = names.iter().filter(|name| name.kind == FileKind::ProducerSnapshot).map(|name| name.offset).collect();
    Ok(StartupFiles { segments: logs, snapshots, notes })
}

/// Deals with what a process left in the middle of something. Returns whether there was any of it.
fn settle_unfinished(
    partition: &Path,
    entries: &[directory::Name],
    names: &[SegmentFileName],
    cuttings: &Cuttings<'_>,
    notes: &mut Vec<String>,
) -> io::Result<bool> {
    let mut unfinished: Vec<String> =
        entries.iter().filter(|entry| entry.name.ends_with(UNFINISHED_SNAPSHOT)).map(|entry| entry.name.clone()).collect();
    let smallest_cleaned = names.iter().filter(|name| name.marking == Marking::Cleaned).map(|name| name.offset).min();
    for name in names {
        let unfinished_swap = name.marking == Marking::Swap && smallest_cleaned.is_some_and(|cleaned| name.offset >= cleaned);
        if matches!(name.marking, Marking::Deleted | Marking::Cleaned) || unfinished_swap {
            unfinished.push(name.name());
        }
    }
    unfinished.iter().try_for_each(|name| directory::remove_file(&partition.join(name)))?;
    let has_swaps = names.iter().any(|name| name.marking == Marking::Swap);
    if has_swaps {
        finish_swaps(partition, notes)?;
    }
    let has_prepared = entries.iter().any(|entry| entry.name == PREPARED_FILE);
    if has_prepared {
        settle_prepared(partition, cuttings, notes)?;
    }
    Ok(!unfinished.is_empty() || has_swaps || has_prepared)
}

/// All segment files, ascending by offset.
fn segment_files(partition: &Path) -> io::Result<Vec<SegmentFileName>> {
    Ok(segment_files_among(&directory::list_names(partition)?))
}

fn segment_files_among(entries: &[directory::Name]) -> Vec<SegmentFileName> {
    let files = entries.iter().filter(|entry| !entry.is_directory);
    let mut names: Vec<_> = files.filter_map(|entry| SegmentFileName::parse(&entry.name)).collect();
    names.sort();
    names
}

fn finish_swaps(partition: &Path, notes: &mut Vec<String>) -> io::Result<()> {
    let names = segment_files(partition)?;
    let swaps: Vec<SegmentFileName> = names.iter().copied().filter(|name| name.marking == Marking::Swap).collect();
    for log in swaps.iter().filter(|name| name.kind == FileKind::Log) {
        let end = end_offset_of(&partition.join(log.name()), log.offset)?;
        for covered in &names {
            if covered.marking == Marking::Live
                && covered.kind != FileKind::ProducerSnapshot
                && (covered.offset == log.offset || covered.offset > log.offset && covered.offset < end)
            {
                directory::remove_file(&partition.join(covered.name()))?;
            }
        }
        notes.push(format!("put {} in the place of the segments from {} to {end}", log.name(), log.offset));
    }
    for swap in swaps {
        directory::rename(&partition.join(swap.name()), &partition.join(swap.with_marking(Marking::Live).name()))?;
    }
    Ok(())
}

/// The offset after the last whole batch, by headers.
fn end_offset_of(path: &Path, base_offset: Offset) -> io::Result<Offset> {
    let file = File::open_read(path)?;
    let size = u32::try_from(file.size()?).unwrap_or(u32::MAX);
    let mut walk = Walk::new(&file, 0, size);
    let mut end = base_offset;
    while let Some(Walked::Batch { header, .. }) = walk.next_header()? {
        end = header.next_offset();
    }
    Ok(end)
}

fn settle_prepared(partition: &Path, cuttings: &Cuttings<'_>, notes: &mut Vec<String>) -> io::Result<()> {
    let path = partition.join(PREPARED_FILE);
    let file = File::open_read(&path)?;
    let size = u32::try_from(file.size()?).unwrap_or(u32::MAX);
    if size == 0 {
        return directory::remove_file(&path);
    }
    if let Some(Walked::Batch { header, .. }) = Walk::new(&file, 0, size).next_checked()?
        && header.base_offset >= Offset::ZERO
    {
        let name = SegmentFileName { offset: header.base_offset, kind: FileKind::Log, marking: Marking::Live }.name();
        let taken = File::open_read(&partition.join(&name)).and_then(|log| log.size()).is_ok_and(|bytes| bytes > 0);
        if !taken {
            notes.push(format!("named {PREPARED_FILE} {name}: the process ended between a roll and its naming"));
            return directory::rename(&path, &partition.join(name));
        }
    }
    let moved_to = cuttings.move_file(&path, "prepared", "log")?;
    notes.push(format!("moved {PREPARED_FILE} ({size} bytes without a whole batch at their start) to {}", moved_to.display()));
    Ok(())
}
