//! What a log wants done in the background: files made, named, written, synced and removed, by a helper thread.
//!
//! `Job::perform` blocks and runs on a helper thread; the log makes jobs and takes their results on its core. The steps of a job are performed in order,
//! and a log gives out its next job only after the one before is done: so steps of one log never overtake each other.
//!
//! Which failures matter: a segment that cannot be named, synced or trimmed takes the log offline; an index or a producer
//! snapshot that cannot be written is written again at the next seal or made anew by the next start; writeback and preallocation are only there for speed.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::compaction::swap;
use super::format::{self, FileKind, Marking, PREPARED_FILE, SegmentFileName};
use super::leader_epochs::{self, LeaderEpochs};
use super::offset_index::OffsetIndex;
use super::partition_log::PreparedFile;
use super::producer_log;
use super::producer_state::FrozenProducers;
use super::time_index::TimeIndex;
use crate::base::Offset;
use crate::io::{File, directory};

/// One log is given no more than this part of what the disk has left.
const PREALLOCATED_PART_OF_SPACE: u64 = 16;

/// One round of background work of one log.
#[derive(Debug)]
pub struct Job {
    pub(super) directory: Arc<Path>,
    pub(super) steps: Vec<Step>,
}

/// What came of a [`Job`]; for `Log::job_done`.
#[derive(Debug)]
pub struct JobDone {
    pub(super) results: Vec<StepDone>,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Make the next segment's file.
    Prepare {
        preallocate_bytes: u32,
    },
    /// Give the prepared file, in use since the roll, its name.
    NamePrepared {
        base_offset: Offset,
    },
    /// Finish a segment that has become inactive: cut what was preallocated, sync, write its indexes.
    Seal {
        base_offset: Offset,
        next_base_offset: Offset,
        log: Arc<File>,
        size: u32,
        offset_index: Arc<OffsetIndex>,
        time_index: TimeIndex,
    },
    /// Append new entries of the active segment to its index files.
    WriteIndexTail {
        base_offset: Offset,
        offset_entries: Vec<u8>,
        offset_position: u64,
        time_entries: Vec<u8>,
        time_position: u64,
    },
    StartWriteback {
        log: Arc<File>,
        position: u64,
        len: u64,
    },
    Preallocate {
        log: Arc<File>,
        position: u64,
        len: u64,
    },
    /// Rename the files of removed segments to `.deleted`.
    Retire {
        base_offsets: Vec<Offset>,
        next_base_offset: Offset,
    },
    /// Put a cleaned segment in the place of these, the first of which it is named after.
    SwapCleaned {
        base_offsets: Vec<Offset>,
    },
    /// Remove what was renamed before. `held` keeps the last reference off the core: closing an unlinked file frees its blocks.
    Delete {
        base_offsets: Vec<Offset>,
        held: Vec<Arc<File>>,
    },
    WriteLeaderEpochs(LeaderEpochs),
    /// Write down the producers as they were at this offset.
    WriteProducerSnapshot {
        offset: Offset,
        producers: FrozenProducers,
    },
}

#[derive(Debug)]
pub(super) enum StepDone {
    Prepared(io::Result<PreparedFile>),
    NamedPrepared(io::Result<()>),
    Sealed {
        base_offset: Offset,
        next_base_offset: Offset,
        synced: io::Result<()>,
        index: io::Result<(Arc<File>, usize)>,
    },
    IndexTailWritten(io::Result<()>),
    Preallocated(io::Result<()>),
    LeaderEpochsWritten(io::Result<()>),
    ProducerSnapshotWritten {
        offset: Offset,
        result: io::Result<()>,
    },
    Retired {
        next_base_offset: Offset,
        result: io::Result<()>,
    },
    SwappedCleaned(io::Result<()>),
    /// Nothing hangs on it.
    Other,
}

impl Job {
    /// The partition's directory, for messages.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Does the work. Blocking: for a helper thread.
    pub fn perform(self) -> JobDone {
        let Job { directory, steps } = self;
        JobDone { results: steps.into_iter().map(|step| step.perform(&directory)).collect() }
    }
}

impl Step {
    fn perform(self, directory: &Path) -> StepDone {
        match self {
            Step::Prepare { preallocate_bytes } => StepDone::Prepared(prepare(directory, preallocate_bytes)),
            Step::NamePrepared { base_offset } => StepDone::NamedPrepared(name_prepared(directory, base_offset)),
            Step::Seal { base_offset, next_base_offset, log, size, offset_index, time_index } => {
                let synced = log.truncate(u64::from(size)).and_then(|()| log.data_sync());
                let index = write_index(directory, base_offset, FileKind::TimeIndex, time_index.as_bytes(), true)
                    .and_then(|_| write_index(directory, base_offset, FileKind::OffsetIndex, offset_index.as_bytes(), true))
                    .inspect(File::do_not_read_ahead)
                    .map(|file| (Arc::new(file), offset_index.entries()));
                StepDone::Sealed { base_offset, next_base_offset, synced, index }
            }
            Step::WriteIndexTail { base_offset, offset_entries, offset_position, time_entries, time_position } => {
                let result = append_index(directory, base_offset, FileKind::OffsetIndex, &offset_entries, offset_position)
                    .and_then(|()| append_index(directory, base_offset, FileKind::TimeIndex, &time_entries, time_position));
                StepDone::IndexTailWritten(result)
            }
            Step::StartWriteback { log, position, len } => {
                // A hint: what it fails to write, the sync writes and reports.
                let _ = log.start_writeback(position, len);
                StepDone::Other
            }
            Step::Preallocate { log, position, len } => StepDone::Preallocated(preallocate(directory, &log, position, len)),
            Step::Retire { base_offsets, next_base_offset } => {
                let result = base_offsets.iter().try_for_each(|base_offset| retire_segment(directory, *base_offset));
                StepDone::Retired { next_base_offset, result }
            }
            Step::SwapCleaned { base_offsets } => StepDone::SwappedCleaned(swap::swap(directory, &base_offsets)),
            Step::Delete { base_offsets, held } => {
                for base_offset in &base_offsets {
                    delete_segment(directory, *base_offset);
                }
                drop(held);
                StepDone::Other
            }
            Step::WriteLeaderEpochs(epochs) => StepDone::LeaderEpochsWritten(leader_epochs::write(directory, &epochs)),
            Step::WriteProducerSnapshot { offset, producers } => {
                StepDone::ProducerSnapshotWritten { offset, result: producer_log::write_snapshot(directory, offset, &producers) }
            }
        }
    }
}

fn prepare(directory: &Path, preallocate_bytes: u32) -> io::Result<PreparedFile> {
    let file = File::create(&directory.join(PREPARED_FILE))?;
    let preallocated_bytes = match preallocate(directory, &file, 0, u64::from(preallocate_bytes)) {
        Ok(()) => preallocate_bytes,
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            // What it got before the disk was full.
            file.truncate(0)?;
            0
        }
        Err(error) => return Err(error),
    };
    Ok(PreparedFile { file: Arc::new(file), preallocated_bytes })
}

/// Blocks ahead of the data, unless they were too large a part of what the disk has left: that is for records.
///
/// # Errors
/// `StorageFull` then, and the host's.
fn preallocate(directory: &Path, file: &File, position: u64, len: u64) -> io::Result<()> {
    if len > crate::io::directory::space(directory)?.available_bytes / PREALLOCATED_PART_OF_SPACE {
        return Err(ErrorKind::StorageFull.into());
    }
    file.preallocate(position, len)
}

fn name_prepared(directory: &Path, base_offset: Offset) -> io::Result<()> {
    directory::rename(&directory.join(PREPARED_FILE), &format::path(directory, base_offset, FileKind::Log))?;
    directory::sync(directory)
}

/// Replaces an index file's bytes. Those of a sealed segment must be `durable`: below the recovery point nobody checks them entry by entry.
pub(super) fn write_index(directory: &Path, base_offset: Offset, kind: FileKind, bytes: &[u8], durable: bool) -> io::Result<File> {
    let file = File::create(&format::path(directory, base_offset, kind))?;
    file.write_all_at(&mut [IoSlice::new(bytes)], 0)?;
    file.truncate(bytes.len() as u64)?;
    if durable {
        file.data_sync()?;
    }
    Ok(file)
}

fn append_index(directory: &Path, base_offset: Offset, kind: FileKind, entries: &[u8], position: u64) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let file = File::create(&format::path(directory, base_offset, kind))?;
    file.write_all_at(&mut [IoSlice::new(entries)], position)
}

/// The order is Kafka's: log, indexes, then the snapshot at the segment's base.
fn retire_segment(directory: &Path, base_offset: Offset) -> io::Result<()> {
    for kind in FileKind::ALL {
        let live = SegmentFileName { offset: base_offset, kind, marking: Marking::Live };
        let deleted = live.with_marking(Marking::Deleted);
        match directory::rename(&directory.join(live.name()), &directory.join(deleted.name())) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What cannot be removed now is removed at the next start.
fn delete_segment(directory: &Path, base_offset: Offset) {
    for kind in FileKind::ALL {
        let deleted = SegmentFileName { offset: base_offset, kind, marking: Marking::Deleted };
        let _ = directory::remove_file(&directory.join(deleted.name()));
    }
}
