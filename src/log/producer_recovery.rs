//! A log's producers after opening or truncating it: from the newest snapshot that can be used, and the batches behind it.
//!
//! Blocking; helper threads. Kafka's rules (ProducerStateManager, UnifiedLog.rebuildProducerState):
//! - a snapshot above the log's end, or below its start, is removed; so is one at no segment's base, but for the newest, which a clean stop left;
//! - a damaged one is removed, and the one before it is taken;
//! - what was appended behind it is taken from the headers of the batches;
//! - without any snapshot after a clean stop nothing is read: the directory is from a time when none were written.
//!
//! Ours: a snapshot at the log's start itself is used, so that producers outlive the retention of their last record and a restart.
//!
//! Invariant: after a clean stop the snapshot stands at the log's end, and not a byte of the log is read.

use std::ops::Range;
use std::path::Path;

use super::error::{Doing, LogError};
use super::format::{self, FileKind};
use super::offset_index::OffsetIndex;
use super::producer_log::{marker_of, write_snapshot};
use super::producer_state::{ProducerState, snapshot};
use super::walk::{Walk, Walked};
use crate::base::{Offset, Timestamp};
use crate::io::{File, directory};
use crate::wire::batch::Batch;

/// Where the producers of a log can be learnt from.
pub(super) struct ProducerSources<'a> {
    pub partition: &'a Path,
    /// Offsets of the snapshots in the directory, ascending.
    pub snapshots: &'a [Offset],
    /// Base offsets and sizes, ascending. Their index files are right.
    pub segments: &'a [(Offset, u32)],
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    /// The process before this one closed the log.
    pub clean: bool,
    /// Offsets in which somebody saw that there is no batch of a producer.
    pub without_producers: Range<Offset>,
}

/// What was learnt.
pub(super) struct Producers {
    pub state: ProducerState,
    pub snapshot_offset: Offset,
    pub log_bytes_read: u64,
    pub notes: Vec<String>,
}

impl ProducerSources<'_> {
    /// Loads the producers and, if batches had to be looked at, writes a snapshot at the log's end, so that nobody has to again.
    ///
    /// # Errors
    /// The host's.
    pub fn load(self) -> Result<Producers, LogError> {
        let mut producers =
            Producers { state: ProducerState::default(), snapshot_offset: self.log_start_offset, log_bytes_read: 0, notes: Vec::new() };
        let usable = self.remove_strays(&mut producers.notes);
        let damaged = self.take_newest(&usable, &mut producers);
        if self.clean && self.snapshots.is_empty() && !damaged {
            return Ok(producers);
        }
        if producers.snapshot_offset < self.log_end_offset {
            self.replay(&mut producers)?;
            write_snapshot(self.partition, self.log_end_offset, &producers.state.freeze())
                .doing(self.partition, "write the producers of")?;
            producers.snapshot_offset = self.log_end_offset;
        }
        Ok(producers)
    }

    /// Removes the snapshots that are of no use; answers the others.
    fn remove_strays(&self, notes: &mut Vec<String>) -> Vec<Offset> {
        let is_base = |offset: Offset| self.segments.binary_search_by_key(&offset, |(base, _)| *base).is_ok();
        let newest = self.snapshots.iter().rfind(|offset| **offset <= self.log_end_offset);
        let mut usable = Vec::new();
        for offset in self.snapshots {
            let is_above = *offset > self.log_end_offset;
            if !is_above && *offset >= self.log_start_offset && (is_base(*offset) || Some(offset) == newest) {
                usable.push(*offset);
            } else if self.remove(*offset) && is_above {
                notes.push(format!("removed the producer snapshot at {offset}: the log ends at {}", self.log_end_offset));
            }
        }
        usable
    }

    /// Answers whether a damaged one was met.
    fn take_newest(&self, usable: &[Offset], producers: &mut Producers) -> bool {
        let mut damaged = false;
        for offset in usable.iter().rev() {
            let path = format::path(self.partition, *offset, FileKind::ProducerSnapshot);
            let why = match directory::read_to_vec(&path).map(|bytes| snapshot::decode(&bytes)) {
                Ok(Ok(state)) => {
                    (producers.state, producers.snapshot_offset) = (state, *offset);
                    return damaged;
                }
                Ok(Err(damage)) => damage.to_string(),
                Err(error) => error.to_string(),
            };
            damaged = true;
            self.remove(*offset);
            producers.notes.push(format!("removed the producer snapshot at {offset}, and took the producers from the log: {why}"));
        }
        damaged
    }

    fn remove(&self, offset: Offset) -> bool {
        directory::remove_file(&format::path(self.partition, offset, FileKind::ProducerSnapshot)).is_ok()
    }

    fn replay(&self, producers: &mut Producers) -> Result<(), LogError> {
        let (from, to) = (producers.snapshot_offset, self.log_end_offset);
        let unseen = &self.without_producers;
        let ranges = match unseen.is_empty() {
            true => [from..to, to..to],
            false => [from..unseen.start.min(to), from.max(unseen.end)..to],
        };
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            let ends = self.segments.iter().skip(1).map(|(base, _)| *base).chain([to]);
            for ((base_offset, size), end_offset) in self.segments.iter().zip(ends) {
                if end_offset > range.start && *base_offset < range.end {
                    self.replay_segment(*base_offset, *size, range.clone(), producers)?;
                }
            }
        }
        Ok(())
    }

    fn replay_segment(&self, base_offset: Offset, size: u32, range: Range<Offset>, producers: &mut Producers) -> Result<(), LogError> {
        let path = format::path(self.partition, base_offset, FileKind::Log);
        let log = File::open_read(&path).doing(&path, "open")?;
        let mut walk = self.walk_from(&log, base_offset, size, range.start).doing(&path, "read")?;
        while let Some(walked) = walk.next_header().doing(&path, "read")? {
            let (position, bytes, header) = match walked {
                Walked::Batch { position, bytes, header } => (position, bytes, header),
                Walked::Damaged { position, what } => {
                    let note = format!("producers behind byte {position} of segment {base_offset} are not known: {what}");
                    producers.notes.push(note);
                    break;
                }
            };
            if header.base_offset >= range.end {
                break;
            }
            if header.last_offset() < range.start || !header.has_producer_id() {
                continue;
            }
            let marker = match header.attributes.is_control() {
                true => {
                    let batch = walk.batch_bytes(position, bytes).doing(&path, "read")?;
                    Batch::stored(batch).ok().and_then(|batch| marker_of(&batch))
                }
                false => None,
            };
            producers.state.replay(&header, marker, Timestamp::NONE);
        }
        producers.log_bytes_read += walk.bytes_read();
        Ok(())
    }

    /// A walk that begins at the last batch below `from` that the index knows.
    fn walk_from<'b>(&self, log: &'b File, base_offset: Offset, size: u32, from: Offset) -> std::io::Result<Walk<'b>> {
        let start = Walk::new(log, 0, size);
        let Some(below) = from.0.checked_sub(base_offset.0 + 1).and_then(|below| u32::try_from(below).ok()) else { return Ok(start) };
        let index = directory::read_to_vec(&format::path(self.partition, base_offset, FileKind::OffsetIndex)).unwrap_or_default();
        let index = OffsetIndex::from_bytes(index);
        let Some(entry) = index.lookup(below).filter(|entry| entry.position < size && index.is_sound(size)) else { return Ok(start) };
        let mut walk = Walk::new(log, entry.position, size);
        match walk.next_header()? {
            Some(Walked::Batch { header, .. }) if header.last_offset() == base_offset.plus(i64::from(entry.relative_offset)) => {
                walk.step_back_to(entry.position);
                Ok(walk)
            }
            _ => Ok(start),
        }
    }
}
