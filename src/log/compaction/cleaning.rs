//! One cleaning of one log: the map of its dirty part, then group after group of old segments into a new one.
//!
//! Blocking; the cleaner's thread. Works on segments below the high watermark, whose bytes never change, and on files that nobody else writes; the core that owns the
//! log goes on meanwhile. What it makes is on the disk before it is handed over.
//!
//! Invariants: groups come oldest first, and the next one is begun only when the one before is in its place, so a tombstone never goes before
//! what it has deleted; the latest record of each key below `map_end` is never dropped, but for a tombstone past its horizon.

mod segments;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::choice::{self, Cleanable, SegmentSizes};
use super::filter::{Filter, Verdict, unpack};
use super::offset_map::OffsetMap;
use super::swap;
use super::throttle::{Abort, Throttle};
use super::transactions::{AbortedTransaction, Marker, TransactionsSeen};
use crate::base::{Offset, ProducerId, Timestamp};
use crate::io::{File, directory};
use crate::log::config::LogConfig;
use crate::log::format::{FileKind, Marking, SegmentFileName};
use crate::log::producer_state::{FrozenProducers, LastRecords};
use crate::wire::batch::{Batch, BatchHeader};
use crate::wire::records::Records;
use segments::{Output, Source};

/// A sealed segment of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedSegment {
    pub base_offset: Offset,
    pub end_offset: Offset,
    pub size: u32,
    /// When its file was last written.
    pub modified: Timestamp,
}

/// What is to be cleaned, as the log stood when the plan was made.
#[derive(Clone, Debug)]
pub struct CleaningPlan {
    pub(crate) directory: Arc<Path>,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) cleanable: Cleanable,
    /// All below `cleanable.first_uncleanable_offset`, oldest first.
    pub(crate) segments: Vec<PlannedSegment>,
    pub(crate) producers: FrozenProducers,
    pub(crate) abort: Abort,
}

impl CleaningPlan {
    /// The order to stop, which is also this cleaning's name.
    pub fn abort(&self) -> Abort {
        self.abort.clone()
    }
}

/// What one cleaning may take.
#[derive(Clone, Copy, Debug)]
pub struct CleanerLimits {
    /// Memory for the map of keys (`log.cleaner.dedupe.buffer.size`).
    pub map_bytes_max: usize,
    /// How full that may get (`log.cleaner.io.buffer.load.factor`).
    pub map_load_factor: f64,
    /// Bytes read and written (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second: f64,
}

/// What comes next in a cleaning.
#[derive(Debug)]
pub enum Step {
    /// A new segment waits as `.cleaned`: have the log take it, then go on.
    Swap(Cleaned),
    /// There is nothing left to do.
    Done(CleaningReport),
}

/// A segment that is to take the place of others.
#[derive(Debug)]
pub struct Cleaned {
    pub(crate) abort: Abort,
    /// Base offset and size of those it was made from; its own base offset is the first.
    pub(crate) old: Vec<(Offset, u32)>,
    pub(crate) size: u32,
    pub(crate) largest_timestamp: Timestamp,
    pub(crate) modified: Timestamp,
    /// With this one in its place everything below is clean. `None`: it lies in what was clean before, or something before it was left as it is.
    pub(crate) clean_below: Option<Offset>,
}

/// What a cleaning came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleaningReport {
    pub first_dirty_offset_before: Offset,
    /// From here on the log is dirty.
    pub first_dirty_offset: Offset,
    pub keys: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub segments_before: usize,
    pub segments_after: usize,
    /// Segments that were gone before the cleaner came to them: retention was faster. What stood beside them was left as it is, and is dirty still.
    pub segments_gone: usize,
}

/// Why a cleaning ended early. What was swapped before stays, and is right.
#[derive(Debug, thiserror::Error)]
pub enum CleaningError {
    #[error("it was told to stop")]
    Aborted,
    #[error("segment {segment} is damaged at byte {position}: {what}")]
    Damaged { segment: Offset, position: u32, what: String },
    #[error("{path}: {error}")]
    Host { path: PathBuf, error: io::Error },
}

type Result<T> = std::result::Result<T, CleaningError>;

/// A cleaning under way.
pub struct Cleaning {
    plan: CleaningPlan,
    limits: CleanerLimits,
    throttle: Throttle,
    now: Timestamp,
    work: Option<Work>,
    report: CleaningReport,
}

/// What is known once the dirty part was read.
struct Work {
    map: OffsetMap,
    map_end: Offset,
    transactions: TransactionsSeen,
    last_records: LastRecords,
    /// Of the plan's segments, those that are still to be cleaned.
    groups: std::vec::IntoIter<Range<usize>>,
    /// How many segments of the plan are cleaned.
    segments: usize,
    has_aborted_transactions: bool,
}

impl Cleaning {
    /// `now` is the wall clock, which tombstones go by.
    pub fn new(plan: CleaningPlan, limits: CleanerLimits, now: Timestamp) -> Cleaning {
        let throttle = Throttle::new(limits.bytes_per_second);
        let first_dirty_offset = plan.cleanable.first_dirty_offset;
        let report = CleaningReport { first_dirty_offset_before: first_dirty_offset, first_dirty_offset, ..CleaningReport::default() };
        Cleaning { plan, limits, throttle, now, work: None, report }
    }

    /// Goes on to the next swap, or to the end.
    ///
    /// # Errors
    /// It was aborted, the log is damaged, or the host's. Nothing is left behind.
    pub fn advance(&mut self) -> Result<Step> {
        let result = self.go_on();
        if result.is_err() {
            // What cannot be removed now is removed before the next cleaning, or by the next start.
            let _ = swap::remove_cleaned(&self.plan.directory);
        }
        result
    }

    fn go_on(&mut self) -> Result<Step> {
        if self.plan.abort.is_ordered() {
            return Err(CleaningError::Aborted);
        }
        // A start takes a `.cleaned` for the sign that a swap behind it was not finished: one that the log refused must be gone before the next swap.
        self.host(&self.plan.directory, swap::remove_cleaned(&self.plan.directory))?;
        let mut work = match self.work.take() {
            Some(work) => work,
            None => self.begin()?,
        };
        while let Some(group) = work.groups.next() {
            match self.clean(&mut work, group)? {
                Group::Cleaned(cleaned) => {
                    self.work = Some(work);
                    return Ok(Step::Swap(cleaned));
                }
                Group::Unchanged => {}
                Group::Gone => {
                    self.report.segments_gone += 1;
                    // Without its batches nobody knows any more which markers still have something to abort.
                    if work.has_aborted_transactions {
                        break;
                    }
                }
            }
        }
        self.report.first_dirty_offset = work.map_end;
        self.report.keys = work.map.entries();
        Ok(Step::Done(self.report))
    }

    fn begin(&mut self) -> Result<Work> {
        let aborted = self.read_aborted()?;
        let Cleanable { first_dirty_offset, mut first_uncleanable_offset, .. } = self.plan.cleanable;
        let (map, map_end) = loop {
            let mapped = self.build_map(first_uncleanable_offset, &aborted)?;
            match mapped.open_transaction {
                // Nobody knows yet whether its records count.
                Some(open) => first_uncleanable_offset = open.max(first_dirty_offset),
                None => break (mapped.map, mapped.end),
            }
        };
        let is_touched = |segment: &&PlannedSegment| segment.base_offset < map_end && map_end > first_dirty_offset;
        let segments: Vec<_> = self.plan.segments.iter().take_while(is_touched).copied().collect();
        let sizes = segments.iter().map(|segment| self.sizes_of(segment)).collect::<Result<Vec<_>>>()?;
        let groups = choice::groups(&sizes, self.plan.config.segment_bytes, self.plan.config.segment_index_bytes);
        let start = segments.first().map_or(Offset::ZERO, |segment| segment.base_offset);
        let has_aborted_transactions = !aborted.is_empty();
        let transactions = TransactionsSeen::new(aborted, start);
        let last_records = self.plan.producers.last_records();
        let (groups, segments) = (groups.into_iter(), segments.len());
        Ok(Work { map, map_end, transactions, last_records, groups, segments, has_aborted_transactions })
    }

    /// The aborted transactions of the whole log: a marker may lie behind what is cleaned.
    fn read_aborted(&self) -> Result<Vec<AbortedTransaction>> {
        let directory = &self.plan.directory;
        let mut aborted = Vec::new();
        for entry in self.host(directory, directory::list(directory))? {
            let name = SegmentFileName::parse(&entry.name);
            if name.is_some_and(|name| name.kind == FileKind::TransactionIndex && name.marking == Marking::Live) {
                let path = directory.join(&entry.name);
                aborted.extend(AbortedTransaction::parse_all(&self.host(&path, directory::read_to_vec(&path))?));
            }
        }
        Ok(aborted)
    }

    /// Reads the dirty part up to `end`, or as far as the map has room.
    fn build_map(&mut self, end: Offset, aborted: &[AbortedTransaction]) -> Result<Mapped> {
        let start = self.plan.cleanable.first_dirty_offset;
        let map = OffsetMap::new(end.0.abs_diff(start.0), self.limits.map_bytes_max, self.limits.map_load_factor);
        let mut mapped = Mapped { map, end, open_transaction: None };
        let mut transactions = TransactionsSeen::new(aborted.to_vec(), start);
        let mut open: HashMap<ProducerId, Offset> = HashMap::new();
        let mut is_full = false;
        let is_dirty = |segment: &&PlannedSegment| segment.end_offset > start && segment.base_offset < end;
        let dirty: Vec<PlannedSegment> = self.plan.segments.iter().filter(is_dirty).copied().collect();
        let mut bytes = Vec::new();
        for segment in dirty {
            // What is gone has no last records.
            let Some(file) = self.open(&segment)? else { continue };
            let mut source = Source::new(&file, segment);
            while let Some(header) = source.next(self, &mut bytes)? {
                if header.last_offset() < start || header.base_offset >= end {
                    continue;
                }
                // From the first record without room on only the ends of transactions are looked for.
                if is_full && open.is_empty() {
                    return Ok(mapped);
                }
                if header.attributes.is_control() {
                    open.remove(&header.producer_id);
                    transactions.on_control_batch(&header, control_marker(&bytes));
                } else if !is_full {
                    if header.attributes.is_transactional() {
                        open.entry(header.producer_id).or_insert(header.base_offset);
                    }
                    let is_aborted = transactions.on_batch(&header);
                    let full_at = if is_aborted { Ok(None) } else { map_batch(&mut mapped.map, &header, &bytes, start) };
                    if let Some(offset) = full_at.map_err(|what| source.damaged(&what))? {
                        (mapped.end, is_full) = (offset, true);
                    }
                }
            }
        }
        mapped.open_transaction = open.into_values().min().filter(|first| *first < mapped.end);
        Ok(mapped)
    }

    fn sizes_of(&self, segment: &PlannedSegment) -> Result<SegmentSizes> {
        let bytes_of = |kind| {
            let path = self.path(segment.base_offset, kind, Marking::Live);
            match File::open_read(&path).and_then(|file| file.size()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
                result => self.host(&path, result),
            }
        };
        Ok(SegmentSizes {
            base_offset: segment.base_offset,
            end_offset: segment.end_offset,
            size: segment.size,
            offset_index_bytes: bytes_of(FileKind::OffsetIndex)?,
            time_index_bytes: bytes_of(FileKind::TimeIndex)?,
        })
    }

    /// Cleans one group into `.cleaned` files.
    fn clean(&mut self, work: &mut Work, group: Range<usize>) -> Result<Group> {
        let segments = self.plan.segments[group.clone()].to_vec();
        let files = segments.iter().map(|segment| self.open(segment)).collect::<Result<Option<Vec<File>>>>()?;
        let Some(files) = files else { return Ok(Group::Gone) };
        let is_last_group = group.end == work.segments;
        let config = self.plan.config.clone();
        let filter = Filter {
            map: &work.map,
            map_end: work.map_end,
            now: self.now,
            delete_retention_ms: config.delete_retention_ms,
            last_records: &work.last_records,
        };
        let mut output = Output::create(self, segments[0].base_offset)?;
        let mut is_changed = segments.len() > 1;
        let mut bytes = Vec::new();
        for (at, (segment, file)) in segments.iter().zip(&files).enumerate() {
            let mut source = Source::new(file, *segment);
            while let Some(header) = source.next(self, &mut bytes)? {
                let is_last = is_last_group && at + 1 == segments.len() && source.position == segment.size;
                let batch = Batch::stored(&bytes);
                let verdict = batch.and_then(|batch| filter.judge(&batch, is_last, &mut work.transactions));
                let verdict = verdict.map_err(|error| source.damaged(&error.to_string()))?;
                is_changed |= verdict != Verdict::Keep;
                match verdict {
                    Verdict::Drop => {}
                    Verdict::Keep => output.append(self, &header, &bytes)?,
                    Verdict::Replace(bytes) => {
                        let header = BatchHeader::parse(&bytes).expect("it was built with a header");
                        output.append(self, &header, &bytes)?;
                    }
                }
            }
        }
        let aborted = work.transactions.take_kept();
        let last = segments[segments.len() - 1];
        let bytes_before = segments.iter().map(|segment| u64::from(segment.size)).sum::<u64>();
        self.report.bytes_before += bytes_before;
        self.report.segments_before += segments.len();
        self.report.segments_after += 1;
        if !is_changed {
            self.report.bytes_after += bytes_before;
            self.host(&self.plan.directory, swap::remove_cleaned(&self.plan.directory))?;
            return Ok(Group::Unchanged);
        }
        let cleaned = Cleaned {
            abort: self.plan.abort.clone(),
            old: segments.iter().map(|segment| (segment.base_offset, segment.size)).collect(),
            size: output.size,
            largest_timestamp: output.indexes.largest_timestamp,
            modified: last.modified,
            // The map has the last record of every key below its end: what stays of a group is nowhere else below the group's end.
            clean_below: Some(last.end_offset.min(work.map_end))
                .filter(|end| *end > self.plan.cleanable.first_dirty_offset && self.report.segments_gone == 0),
        };
        output.finish(self, &aborted, last.modified)?;
        self.report.bytes_after += u64::from(cleaned.size);
        Ok(Group::Cleaned(cleaned))
    }

    /// `None`: retention was faster.
    fn open(&self, segment: &PlannedSegment) -> Result<Option<File>> {
        let path = self.path(segment.base_offset, FileKind::Log, Marking::Live);
        match File::open_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => self.host(&path, result.map(Some)),
        }
    }

    fn path(&self, base_offset: Offset, kind: FileKind, marking: Marking) -> PathBuf {
        self.plan.directory.join(SegmentFileName { offset: base_offset, kind, marking }.name())
    }

    fn host<T>(&self, path: &Path, result: io::Result<T>) -> Result<T> {
        result.map_err(|error| CleaningError::Host { path: path.to_owned(), error })
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        if self.throttle.spend(bytes, &self.plan.abort) { Ok(()) } else { Err(CleaningError::Aborted) }
    }
}

/// What became of a group.
enum Group {
    Cleaned(Cleaned),
    /// Nothing in it has to go.
    Unchanged,
    /// One of its segments is not there any more.
    Gone,
}

/// What reading the dirty part came to.
struct Mapped {
    map: OffsetMap,
    /// The map knows every record below.
    end: Offset,
    /// Where a transaction begins whose records are below and whose end is not within the part.
    open_transaction: Option<Offset>,
}

/// Puts the keys of a batch into the map. Answers the first offset for which there was no room.
fn map_batch(map: &mut OffsetMap, header: &BatchHeader, bytes: &[u8], start: Offset) -> std::result::Result<Option<Offset>, String> {
    let batch = Batch::stored(bytes).map_err(|error| error.to_string())?;
    let Some(unpacked) = unpack(&batch).map_err(|error| error.to_string())? else { return Ok(None) };
    for record in Records::new(&unpacked, header.records_count) {
        let record = record.map_err(|error| error.to_string())?;
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        if let Some(key) = record.key.filter(|_| offset >= start)
            && !map.put(key, offset)
        {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}

fn control_marker(bytes: &[u8]) -> Option<Marker> {
    let batch = Batch::stored(bytes).ok()?;
    let record = Records::new(batch.records(), batch.header.records_count).next()?.ok()?;
    Some(Marker::parse(record.key))
}
