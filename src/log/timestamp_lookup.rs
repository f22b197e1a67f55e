//! From a timestamp to an offset: ListOffsets by time, and the record with the largest timestamp (KIP-734).
//!
//! `Log::timestamp_lookup` runs on the core and notes where to look; `TimestampLookup::find` opens files, unpacks batches and blocks: for a helper thread.
//!
//! Kafka's rule: the first segment whose largest timestamp is at or above the asked one; in it the first record from the log's start on
//! whose timestamp is at or above. Timestamps need not ascend, so that is the first such record of the log. (If compaction has emptied the batch that had that
//! segment's largest timestamp, there is no answer, though a later segment may hold one: so in Kafka, and so here.)

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::error::{Doing, LogError};
use super::format::{self, FileKind, Marking, SegmentFileName};
use super::offset_index::OffsetIndex;
use super::partition_log::Log;
use super::read::Corruption;
use super::segment::IndexSource;
use super::time_index::TimeIndex;
use super::walk::{Walk, Walked};
use crate::base::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::{File, directory};
use crate::wire::batch::{BATCH_HEADER_BYTES, BatchHeader};
use crate::wire::compression::{Codec, decompress};
use crate::wire::records::Records;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first record at or after this time.
    AtOrAfter(Timestamp),
    /// The first record that has the log's largest timestamp.
    Largest,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundTimestamp {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub leader_epoch: LeaderEpoch,
}

/// A lookup that knows all it needs of the log: it may run while the log goes on.
#[derive(Debug)]
pub struct TimestampLookup {
    directory: Arc<Path>,
    log_start_offset: Offset,
    least: Timestamp,
    /// Where to look; `None`: nowhere, no timestamp is that late.
    place: Option<Place>,
}

/// A segment to look into.
#[derive(Debug)]
struct Place {
    base_offset: Offset,
    size: u32,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The indexes have been asked: start here.
    Open { log: Arc<File>, position: u32 },
    /// The files are to be opened; the log's length is what `size` says.
    Files,
    /// The same, and the file may still be longer: it was sealed a moment ago.
    UnfinishedFiles,
}

impl Log {
    /// Prepares a lookup. Does not wait for the disk.
    ///
    /// # Errors
    /// The log is offline.
    pub fn timestamp_lookup(&self, query: TimestampQuery) -> Result<TimestampLookup, LogError> {
        self.check_online()?;
        let least = match query {
            TimestampQuery::AtOrAfter(timestamp) => timestamp,
            TimestampQuery::Largest => self.largest_timestamp(),
        };
        // Kafka finds the largest timestamp wherever it still is, and others only from the log's start on.
        let log_start_offset = match query {
            TimestampQuery::AtOrAfter(_) => self.log_start_offset,
            TimestampQuery::Largest => self.first_base_offset(),
        };
        let has_answer = query != TimestampQuery::Largest || least.0 >= 0;
        let place = if has_answer { self.place_of(least, log_start_offset) } else { None };
        Ok(TimestampLookup { directory: self.directory.clone(), log_start_offset, least, place })
    }

    /// The first segment whose largest timestamp is at or above `least`.
    fn place_of(&self, least: Timestamp, log_start_offset: Offset) -> Option<Place> {
        if let Some(segment) = self.sealed.iter().find(|segment| segment.size > 0 && segment.largest_timestamp >= least) {
            let is_finished = segment.open.as_ref().is_none_or(|open| matches!(open.index, IndexSource::File { .. }));
            let source = if is_finished { Source::Files } else { Source::UnfinishedFiles };
            return Some(Place { base_offset: segment.base_offset, size: segment.size, source });
        }
        let active = &self.active;
        if active.size == 0 || active.indexes.largest_timestamp < least {
            return None;
        }
        let from = start_of_search(&active.indexes.time_index, least, active.base_offset, log_start_offset);
        let position = active.indexes.offset_index.lookup(from).map_or(0, |entry| entry.position);
        let source = Source::Open { log: active.file.clone(), position };
        Some(Place { base_offset: active.base_offset, size: active.size, source })
    }
}

/// The relative offset to start from: nothing at or below the time index's entry before `least` is late enough.
fn start_of_search(time_index: &TimeIndex, least: Timestamp, base_offset: Offset, log_start_offset: Offset) -> u32 {
    // The entry *at* `least` names the last offset of a batch that has it: strictly below is what can be skipped.
    let before = time_index.lookup(Timestamp(least.0.saturating_sub(1))).map_or(0, |entry| entry.relative_offset);
    before.max(u32::try_from(log_start_offset.0 - base_offset.0).unwrap_or(0))
}

impl TimestampLookup {
    /// The record, or `None`. Blocking: for a helper thread. The caller bounds the answer by the high watermark.
    ///
    /// # Errors
    /// The host's, a batch that cannot be read, and `Replaced`: the cleaner was faster, so prepare another lookup.
    pub fn find(self) -> Result<Option<FoundTimestamp>, LogError> {
        let Some(place) = &self.place else { return Ok(None) };
        match &place.source {
            Source::Open { log, position } => self.search(place, log, *position),
            Source::Files | Source::UnfinishedFiles => match self.open(place).doing(&self.directory, "open a segment of")? {
                Some((log, position)) => self.search(place, &log, position),
                None => Err(LogError::Replaced { directory: self.directory.clone(), segment: place.base_offset }),
            },
        }
    }

    /// The segment's log and where to begin in it. `None`: another one has its name, or it is gone.
    fn open(&self, place: &Place) -> io::Result<Option<(File, u32)>> {
        let read_index = |kind| directory::read_to_vec(&format::path(&self.directory, place.base_offset, kind)).unwrap_or_default();
        // A missing or damaged index only makes the search longer.
        let time_index = TimeIndex::from_bytes(read_index(FileKind::TimeIndex));
        let offset_index = OffsetIndex::from_bytes(read_index(FileKind::OffsetIndex));
        let is_sound = time_index.is_sound(i32::MAX as u32) && offset_index.is_sound(place.size);
        let from = start_of_search(&time_index, self.least, place.base_offset, self.log_start_offset);
        let position = offset_index.lookup(from).filter(|_| is_sound).map_or(0, |entry| entry.position);
        let path = format::path(&self.directory, place.base_offset, FileKind::Log);
        let log = match File::open_read(&path) {
            // Retention was faster: until the file goes, its records can still be found.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let name = SegmentFileName { offset: place.base_offset, kind: FileKind::Log, marking: Marking::Deleted };
                match File::open_read(&self.directory.join(name.name())) {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                    log => log?,
                }
            }
            log => log?,
        };
        let is_it = !matches!(place.source, Source::Files) || log.size()? == u64::from(place.size);
        Ok(is_it.then_some((log, position)))
    }

    fn search(&self, place: &Place, log: &File, position: u32) -> Result<Option<FoundTimestamp>, LogError> {
        let mut walk = Walk::new(log, position, place.size);
        loop {
            let (position, bytes, header) = match walk.next_header().doing(&self.directory, "read")? {
                None => return Ok(None),
                Some(Walked::Damaged { position, what }) => return Err(self.corrupt(place, position, what)),
                Some(Walked::Batch { position, bytes, header }) => (position, bytes, header),
            };
            if header.max_timestamp < self.least || header.last_offset() < self.log_start_offset {
                continue;
            }
            let batch = walk.batch_bytes(position, bytes).doing(&self.directory, "read")?;
            let found = self.search_batch(&header, &batch[BATCH_HEADER_BYTES..]);
            if let Some(found) = found.map_err(|what| self.corrupt(place, position, what))? {
                return Ok(Some(found));
            }
        }
    }

    fn search_batch(&self, header: &BatchHeader, records: &[u8]) -> Result<Option<FoundTimestamp>, String> {
        if header.records_count == 0 {
            return Ok(None); // emptied by compaction, kept for its producer's sake
        }
        let codec = header.attributes.codec().map_err(|id| format!("expected a codec of 0 to 4, came {id}"))?;
        let unpacked;
        let records = match codec {
            Codec::None => records,
            codec => {
                unpacked = decompress(codec, records, DECOMPRESSED_BATCH_BYTES_MAX).map_err(|error| error.to_string())?;
                &unpacked
            }
        };
        for record in Records::new(records, header.records_count) {
            let record = record.map_err(|error| error.to_string())?;
            let offset = header.base_offset.plus(i64::from(record.offset_delta));
            let timestamp = match header.attributes.is_log_append_time() {
                true => header.max_timestamp,
                false => Timestamp(header.base_timestamp.0.saturating_add(record.timestamp_delta)),
            };
            if timestamp >= self.least && offset >= self.log_start_offset {
                return Ok(Some(FoundTimestamp { offset, timestamp, leader_epoch: header.partition_leader_epoch }));
            }
        }
        Ok(None)
    }

    fn corrupt(&self, place: &Place, position: u32, what: String) -> LogError {
        let directory = self.directory.display().to_string();
        LogError::Corrupt(Corruption { directory, segment: place.base_offset, position, offset: place.base_offset, what })
    }
}
