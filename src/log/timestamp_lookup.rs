//! From a timestamp to an offset: ListOffsets by time, and the record with the largest timestamp (KIP-734).
//!
//! `Log::timestamp_lookup` runs on the core and notes where to look; `TimestampLookup::find` opens files, unpacks batches and blocks: for a helper thread.
//!
//! Kafka's rule: the first segment whose largest timestamp is at or above the asked one; in it the first record from the log's start on
//! whose timestamp is at or above. Timestamps need not ascend, so that is the first such record of the log. (If compaction has emptied the batch that had that
//! segment's largest timestamp, there is no answer, though a later segment may hold one: so in Kafka, and so here.) If that record is not readable yet, none is.
//!
//! The largest timestamp is that of the records that may be read. Kafka takes the largest of all, and has no answer while its record is above the high watermark; with one
//! replica that never lasts there, because an append is synced before the lock goes. Here a partition under load with `flush.messages` would have no answer
//! most of the time, and a client takes that for an empty partition.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::error::{Doing, LogError};
use super::format::{self, FileKind, Marking, SegmentFileName};
use super::offset_index::OffsetIndex;
use super::partition_log::Log;
use super::read::Corruption;
use super::segment::{IndexSource, OffsetAndPosition, SealedSegment};
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
    /// The first record that has the largest timestamp of those that may be read.
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
    /// Nobody reads from here on.
    high_watermark: Offset,
    least: Timestamp,
    /// Where to look; `None`: nowhere, no timestamp is that late.
    place: Option<Place>,
    /// The segment of the high watermark, if the largest timestamp is asked for: what there is to read in it may have one above `least`.
    beginning: Option<Place>,
}

/// A segment to look into.
#[derive(Debug)]
struct Place {
    base_offset: Offset,
    /// Bytes of it that count.
    size: u32,
    wanted: Wanted,
    source: Source,
}

/// What is wanted of a segment: tells how much of it may be left out, going by its time index.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    AtOrAfter(Timestamp),
    /// The latest of the records below this relative offset.
    LargestBelow(u32),
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
    /// Prepares a lookup among the records below `high_watermark`. Does not wait for the disk.
    ///
    /// # Errors
    /// The log is offline.
    pub fn timestamp_lookup(&self, query: TimestampQuery, high_watermark: OffsetAndPosition) -> Result<TimestampLookup, LogError> {
        self.check_online()?;
        let (least, beginning) = match query {
            TimestampQuery::AtOrAfter(timestamp) => (timestamp, None),
            TimestampQuery::Largest => self.largest_timestamp_below(high_watermark),
        };
        // Kafka finds the largest timestamp wherever it still is, and others only from the log's start on.
        let log_start_offset = match query {
            TimestampQuery::AtOrAfter(_) => self.log_start_offset,
            TimestampQuery::Largest => self.first_base_offset(),
        };
        let has_answer = query != TimestampQuery::Largest || least.0 >= 0;
        let place = if has_answer { self.place_of(least, log_start_offset) } else { None };
        let (directory, high_watermark) = (self.directory.clone(), high_watermark.offset);
        Ok(TimestampLookup { directory, log_start_offset, high_watermark, least, place, beginning })
    }

    /// The largest timestamp of the segments that lie wholly below the high watermark, and the beginning of the one that does not.
    fn largest_timestamp_below(&self, high_watermark: OffsetAndPosition) -> (Timestamp, Option<Place>) {
        if high_watermark.offset == self.log_end_offset {
            return (self.largest_timestamp(), None);
        }
        let ends = self.sealed.iter().skip(1).map(|segment| segment.base_offset).chain([self.active.base_offset]);
        let whole = self.sealed.iter().zip(ends).take_while(|(_, end)| *end <= high_watermark.offset).count();
        let least = self.sealed[..whole].iter().map(|segment| segment.largest_timestamp).fold(Timestamp::NONE, Timestamp::max);
        let Some(relative_offset) = high_watermark.offset.0.checked_sub(high_watermark.segment.0).filter(|relative| *relative > 0) else {
            return (least, None);
        };
        let wanted = Wanted::LargestBelow(u32::try_from(relative_offset).unwrap_or(u32::MAX));
        let (base_offset, size) = (high_watermark.segment, high_watermark.position);
        let source = match self.sealed.get(whole) {
            Some(segment) if segment.base_offset == base_offset => source_of(segment),
            None if self.active.base_offset == base_offset => self.source_in_active(wanted, Offset::ZERO),
            // The high watermark stands at the end of a segment that is one of those.
            _ => return (least, None),
        };
        (least, Some(Place { base_offset, size, wanted, source }))
    }

    /// The first segment whose largest timestamp is at or above `least`.
    fn place_of(&self, least: Timestamp, log_start_offset: Offset) -> Option<Place> {
        let wanted = Wanted::AtOrAfter(least);
        if let Some(segment) = self.sealed.iter().find(|segment| segment.size > 0 && segment.largest_timestamp >= least) {
            return Some(Place { base_offset: segment.base_offset, size: segment.size, wanted, source: source_of(segment) });
        }
        let active = &self.active;
        if active.size == 0 || active.indexes.largest_timestamp < least {
            return None;
        }
        let source = self.source_in_active(wanted, log_start_offset);
        Some(Place { base_offset: active.base_offset, size: active.size, wanted, source })
    }

    fn source_in_active(&self, wanted: Wanted, log_start_offset: Offset) -> Source {
        let active = &self.active;
        let from = wanted.start(&active.indexes.time_index, active.base_offset, log_start_offset);
        let position = active.indexes.offset_index.lookup(from).map_or(0, |entry| entry.position);
        Source::Open { log: active.file.clone(), position }
    }
}

fn source_of(segment: &SealedSegment) -> Source {
    let is_finished = segment.open.as_ref().is_none_or(|open| matches!(open.index, IndexSource::File(_)));
    if is_finished { Source::Files } else { Source::UnfinishedFiles }
}

impl Wanted {
    /// The relative offset to start from: what lies below is too early, or below the log's start.
    fn start(self, time_index: &TimeIndex, base_offset: Offset, log_start_offset: Offset) -> u32 {
        let below_start = u32::try_from(log_start_offset.0 - base_offset.0).unwrap_or(0);
        // The entry *at* a timestamp names the last offset of a batch that has it: strictly below is what can be skipped.
        let before = match self {
            Wanted::AtOrAfter(least) => time_index.lookup(Timestamp(least.0.saturating_sub(1))),
            Wanted::LargestBelow(relative_offset) => time_index.last_below(relative_offset),
        };
        before.map_or(0, |entry| entry.relative_offset).max(below_start)
    }
}

impl TimestampLookup {
    /// The record, or `None`. Blocking: for a helper thread.
    ///
    /// # Errors
    /// The host's, a batch that cannot be read, and `Replaced`: the cleaner was faster, so prepare another lookup.
    pub fn find(self) -> Result<Option<FoundTimestamp>, LogError> {
        let late = match &self.beginning {
            Some(beginning) => self.search_beginning(beginning)?,
            None => None,
        };
        let found = match (late, &self.place) {
            (None, Some(place)) => {
                let (log, position) = self.open(place)?;
                self.search(place, &log, position, self.least)?
            }
            (late, _) => late,
        };
        Ok(found.filter(|found| found.offset < self.high_watermark))
    }

    /// The first record of a segment's beginning that has its largest timestamp, if that is above `least`.
    fn search_beginning(&self, beginning: &Place) -> Result<Option<FoundTimestamp>, LogError> {
        let (log, position) = self.open(beginning)?;
        let mut walk = Walk::new(&log, position, beginning.size);
        let mut latest: Option<(u32, Timestamp)> = None;
        while let Some((position, _, header)) = self.next(beginning, &mut walk)? {
            if header.max_timestamp > latest.map_or(self.least, |(_, timestamp)| timestamp) {
                latest = Some((position, header.max_timestamp));
            }
        }
        match latest {
            Some((position, timestamp)) => self.search(beginning, &log, position, timestamp),
            None => Ok(None),
        }
    }

    /// The segment's log and where to begin in it.
    fn open(&self, place: &Place) -> Result<(Arc<File>, u32), LogError> {
        match &place.source {
            Source::Open { log, position } => Ok((log.clone(), *position)),
            Source::Files | Source::UnfinishedFiles => match self.open_files(place).doing(&self.directory, "open a segment of")? {
                Some((log, position)) => Ok((Arc::new(log), position)),
                None => Err(LogError::Replaced { directory: self.directory.clone(), segment: place.base_offset }),
            },
        }
    }

    /// `None`: another segment has its name, or it is gone.
    fn open_files(&self, place: &Place) -> io::Result<Option<(File, u32)>> {
        let read_index = |kind| directory::read_to_vec(&format::path(&self.directory, place.base_offset, kind)).unwrap_or_default();
        // A missing or damaged index only makes the search longer.
        let time_index = TimeIndex::from_bytes(read_index(FileKind::TimeIndex));
        let offset_index = OffsetIndex::from_bytes(read_index(FileKind::OffsetIndex));
        let is_sound = time_index.is_sound(i32::MAX as u32) && offset_index.is_sound(place.size);
        let from = place.wanted.start(&time_index, place.base_offset, self.log_start_offset);
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
        // One of which only the beginning counts lies at the high watermark, where nothing is replaced.
        let has_its_size = matches!((&place.source, place.wanted), (Source::Files, Wanted::AtOrAfter(_)));
        let is_it = !has_its_size || log.size()? == u64::from(place.size);
        Ok(is_it.then_some((log, position)))
    }

    /// The first record from `position` on that is at or after `least`.
    fn search(&self, place: &Place, log: &File, position: u32, least: Timestamp) -> Result<Option<FoundTimestamp>, LogError> {
        let mut walk = Walk::new(log, position, place.size);
        while let Some((position, bytes, header)) = self.next(place, &mut walk)? {
            if header.max_timestamp < least || header.last_offset() < self.log_start_offset {
                continue;
            }
            let batch = walk.batch_bytes(position, bytes).doing(&self.directory, "read")?;
            let found = self.search_batch(&header, &batch[BATCH_HEADER_BYTES..], least);
            if let Some(found) = found.map_err(|what| self.corrupt(place, position, what))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Position, size and header of the next batch of a walk.
    fn next(&self, place: &Place, walk: &mut Walk<'_>) -> Result<Option<(u32, u32, BatchHeader)>, LogError> {
        match walk.next_header().doing(&self.directory, "read")? {
            None => Ok(None),
            Some(Walked::Batch { position, bytes, header }) => Ok(Some((position, bytes, header))),
            Some(Walked::Damaged { position, what }) => Err(self.corrupt(place, position, what)),
        }
    }

    fn search_batch(&self, header: &BatchHeader, records: &[u8], least: Timestamp) -> Result<Option<FoundTimestamp>, String> {
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
            if timestamp >= least && offset >= self.log_start_offset {
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
