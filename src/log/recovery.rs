//! Opening a partition's directory: what may be trusted is, the rest is checked batch by batch, and what is missing beside the log is made anew from it.
//!
//! Blocking; helper threads. Rules:
//! - After a clean stop the recovery point is the log's end: no log data is read.
//! - After an unclean one, batches from the recovery point on are checked: length, magic, CRC, ascending offsets. Inside a segment the check begins at the last
//!   index entry below the point, if the indexes up to there are sound and the batch there is what the entry says. At the first bad batch everything before stays;
//!   the rest of that segment and all later segments are moved aside (`cut`), never deleted. Zeros behind the last batch, which preallocation leaves, are just cut.
//! - Damaged or missing indexes, leader epochs, producer snapshots, checkpoints: made anew or done without. Only the host can keep a log from opening.
//!
//! Invariant: after `open` the segments hold whole batches only, as far as they were checked, and the report says what was read, rebuilt and cut.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compaction::of_log::CleanerState;
use super::config::LogConfig;
use super::cut::Cuttings;
use super::error::{Doing, LogError};
use super::format::{self, FileKind};
use super::header_check::HeadersSeen;
use super::index_builder::IndexBuilder;
use super::jobs::write_index;
use super::leader_epochs::{self, LeaderEpochs};
use super::offset_index::OffsetIndex;
use super::partition_log::{Log, LogCounters, Prepared};
use super::producer_recovery::ProducerSources;
use super::read_starts::ReadStarts;
use super::rebuild;
use super::segment::{ActiveSegment, FirstBatch, SealedSegment};
use super::startup_files::{self, StartupFiles};
use super::time_index::TimeIndex;
use super::walk::{self, Walk, Walked};
use crate::base::{Offset, Timestamp};
use crate::io::{File, directory};

/// What the broker knows about a log before it opens it.
#[derive(Clone, Debug, Default)]
pub struct OpenContext {
    /// From the recovery-point checkpoint.
    pub recovery_point: Option<Offset>,
    /// From the log-start-offset checkpoint.
    pub log_start_offset: Option<Offset>,
    /// From the cleaner-offset checkpoint.
    pub first_dirty_offset: Option<Offset>,
    /// The data directory had the clean-shutdown marker.
    pub clean: bool,
    /// The wall clock.
    pub now: Timestamp,
    /// Counts bytes of log as they are checked, for whoever shows progress.
    pub progress: Option<Arc<AtomicU64>>,
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub directory: PathBuf,
    pub segments: usize,
    pub segments_checked: usize,
    pub batches_checked: u64,
    /// Bytes read from `.log` files. 0 after a clean stop.
    pub log_bytes_read: u64,
    /// Zeros cut that preallocation had left.
    pub zero_bytes_cut: u64,
    pub cut: Vec<Cut>,
    /// Base offsets of segments whose indexes were missing or wrong. Segments that were checked get new ones anyway and do not count.
    pub indexes_rebuilt: Vec<Offset>,
    pub leader_epochs_rebuilt: bool,
    /// There was no segment: the first one was made.
    pub is_new: bool,
    /// The directory holds names that may not be durable. Before the log is written to, the caller syncs it.
    pub is_unsynced: bool,
    /// Everything else that an operator may want to know.
    pub notes: Vec<String>,
}

/// A piece that recovery took out of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub segment: Offset,
    pub position: u32,
    /// The first offset that is gone.
    pub offset: Offset,
    pub bytes: u64,
    pub why: String,
    pub moved_to: PathBuf,
}

impl RecoveryReport {
    /// Whether there is anything that an operator should read.
    pub fn is_noteworthy(&self) -> bool {
        !self.cut.is_empty() || !self.indexes_rebuilt.is_empty() || self.leader_epochs_rebuilt || !self.notes.is_empty()
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked = self.segments_checked;
        write!(formatter, "{}: {} segment(s), {checked} checked", self.directory.display(), self.segments)?;
        if checked > 0 {
            write!(formatter, " ({} batches, {} bytes read)", self.batches_checked, self.log_bytes_read)?;
        }
        if self.zero_bytes_cut > 0 {
            write!(formatter, "; cut {} zero bytes that preallocation had left", self.zero_bytes_cut)?;
        }
        for cut in &self.cut {
            let Cut { segment, position, offset, bytes, why, moved_to } = cut;
            let to = moved_to.display();
            write!(formatter, "; cut {bytes} bytes from offset {offset} on (segment {segment}, byte {position}): {why}. They are in {to}")?;
        }
        if !self.indexes_rebuilt.is_empty() {
            write!(formatter, "; made the indexes of {} segment(s) anew", self.indexes_rebuilt.len())?;
        }
        if self.leader_epochs_rebuilt {
            write!(formatter, "; took the leader epochs from the batches")?;
        }
        self.notes.iter().try_for_each(|note| write!(formatter, "; {note}"))
    }
}

impl Log {
    /// Opens a partition's directory, or makes it. Blocking: for a helper thread. The names in it may not be durable yet (`RecoveryReport::is_unsynced`): who
    /// opens many logs syncs their directories together.
    ///
    /// # Errors
    /// The host refuses to list, read, write or rename. Damage is not an error.
    pub fn open(partition: &Path, config: Arc<LogConfig>, context: OpenContext) -> Result<(Log, RecoveryReport), LogError> {
        if !directory::exists(partition).doing(partition, "look for the directory")? {
            directory::create_all(partition).doing(partition, "create the directory")?;
        }
        let report = RecoveryReport { directory: partition.to_owned(), ..RecoveryReport::default() };
        let cuttings = Cuttings { partition, now: context.now };
        let mut opening = Opening {
            partition,
            config: &config,
            context: &context,
            cuttings,
            report,
            epochs_seen: LeaderEpochs::default(),
            checked_from: None,
            first_producer: None,
        };
        let log = opening.open(config.clone())?;
        let mut report = opening.report;
        report.segments = log.segments();
        Ok((log, report))
    }
}

/// One opening in progress.
struct Opening<'a> {
    partition: &'a Path,
    config: &'a LogConfig,
    context: &'a OpenContext,
    cuttings: Cuttings<'a>,
    report: RecoveryReport,
    /// Epochs met in the segments that were checked.
    epochs_seen: LeaderEpochs,
    /// The first offset that was checked; everything behind it was too.
    checked_from: Option<Offset>,
    /// Of the first batch with a producer id among those checked.
    first_producer: Option<Offset>,
}

/// What is known of a segment after looking at it.
struct Examined {
    base_offset: Offset,
    size: u32,
    end_offset: Offset,
    indexes: SegmentIndexes,
    first_batch: FirstBatch,
}

enum SegmentIndexes {
    /// In the files.
    Trusted {
        largest_timestamp: Timestamp,
    },
    Built(IndexBuilder),
}

impl Opening<'_> {
    fn open(&mut self, config: Arc<LogConfig>) -> Result<Log, LogError> {
        let StartupFiles { segments, snapshots, notes } =
            startup_files::settle(self.partition, &self.cuttings).doing(self.partition, "settle the files in")?;
        self.report.notes = notes;
        let mut examined = self.examine_all(&segments)?;
        let last = match examined.pop() {
            Some(last) => last,
            None => self.examine_new()?,
        };
        let log_end_offset = last.end_offset;
        if let Some(point) = self.context.recovery_point.filter(|point| *point > log_end_offset) {
            self.report.notes.push(format!(
                "the checkpoint says that everything below offset {point} was on the disk, but the log ends at {log_end_offset}"
            ));
        }
        let first_base_offset = examined.first().map_or(last.base_offset, |segment| segment.base_offset);
        let log_start_offset = self.settle_log_start_offset(first_base_offset, log_end_offset);
        let leader_epochs = self.settle_leader_epochs(&examined, &last, log_start_offset)?;
        let mut sealed: Vec<SealedSegment> = Vec::with_capacity(examined.len());
        for segment in examined {
            sealed.push(self.seal(segment)?);
        }
        let active = self.activate(last)?;
        let segments: Vec<(Offset, u32)> =
            sealed.iter().map(|segment| (segment.base_offset, segment.size)).chain([(active.base_offset, active.size)]).collect();
        let checked_from = self.checked_from.unwrap_or(log_end_offset);
        let producers = ProducerSources {
            partition: self.partition,
            snapshots: &snapshots,
            segments: &segments,
            log_start_offset,
            log_end_offset,
            clean: self.context.clean,
            without_producers: checked_from..self.first_producer.unwrap_or(log_end_offset),
        };
        let producers = producers.load()?;
        self.report.log_bytes_read += producers.log_bytes_read;
        self.report.notes.extend(producers.notes);
        self.report.is_unsynced = self.report.is_new || self.report.segments_checked > 0;
        Ok(Log {
            directory: self.partition.into(),
            config,
            log_start_offset,
            log_end_offset,
            // Trusted segments were on the disk, checked ones were synced.
            recovery_point: log_end_offset,
            unflushed_since: None,
            first_base_on_disk: first_base_offset,
            sealed_bytes: sealed.iter().map(|segment| u64::from(segment.size)).sum(),
            sealed,
            active,
            prepared: Prepared::None,
            leader_epochs,
            producers: producers.state,
            producer_snapshot_offset: producers.snapshot_offset,
            offline: None,
            steps: Vec::new(),
            job_in_flight: false,
            retired: Vec::new(),
            read_starts: ReadStarts::default(),
            appended_bytes: 0,
            // One that lies behind the end is from before something was cut: what came in its place was never cleaned.
            cleaner: CleanerState::from_checkpoint(self.context.first_dirty_offset.filter(|offset| *offset <= log_end_offset)),
            last_tick: self.context.now,
            counters: LogCounters::default(),
        })
    }

    /// Looks at the segments, oldest first, until one is damaged: that one ends the log.
    fn examine_all(&mut self, segments: &[(Offset, u64)]) -> Result<Vec<Examined>, LogError> {
        let mut examined: Vec<Examined> = Vec::with_capacity(segments.len());
        for (at, (base_offset, bytes)) in segments.iter().enumerate() {
            let next_base_offset = segments.get(at + 1).map(|(offset, _)| *offset);
            // A segment of 2 GiB or more is not Kafka's; what cannot be addressed is cut like any damage.
            let size = u32::try_from(*bytes).unwrap_or(u32::MAX).min(i32::MAX as u32);
            let expected = examined.last().map_or(*base_offset, |before| before.end_offset.max(*base_offset));
            let (segment, cut) = match self.trusted(*base_offset, size, next_base_offset)? {
                Some(segment) => (segment, false),
                None => self.check(*base_offset, size, *bytes, expected)?,
            };
            let end_offset = segment.end_offset;
            examined.push(segment);
            if cut {
                self.move_later_segments(&segments[at + 1..], end_offset)?;
                break;
            }
        }
        Ok(examined)
    }

    /// The segment as its files say, if that may be trusted; reads nothing of the log.
    fn trusted(&mut self, base_offset: Offset, size: u32, next_base_offset: Option<Offset>) -> Result<Option<Examined>, LogError> {
        let recovery_point = self.context.recovery_point;
        let end_offset = match next_base_offset {
            Some(next) if self.context.clean || recovery_point.is_some_and(|point| next <= point) => next,
            None if self.context.clean => match recovery_point {
                // The end is only known from the recovery point; an empty segment must end where it begins, and one with data behind.
                Some(point) if (size == 0) == (point == base_offset) && point >= base_offset => point,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let last_relative_offset = u32::try_from(end_offset.0 - 1 - base_offset.0).unwrap_or(0);
        if size == 0 {
            let indexes = SegmentIndexes::Trusted { largest_timestamp: Timestamp::NONE };
            return Ok(Some(Examined { base_offset, size, end_offset, indexes, first_batch: FirstBatch::None }));
        }
        let open = |kind| File::open_read(&format::path(self.partition, base_offset, kind));
        let time_entry = match open(FileKind::TimeIndex) {
            Ok(file) => rebuild::usable_last_time_entry(&file, last_relative_offset).doing(self.partition, "read a time index of")?,
            Err(_) => None,
        };
        let offset_entries = match open(FileKind::OffsetIndex) {
            Ok(file) => {
                rebuild::usable_offset_entries(&file, size, last_relative_offset).doing(self.partition, "read an offset index of")?
            }
            Err(_) => None,
        };
        let indexes = match (time_entry, offset_entries) {
            (Some(last), Some(_)) => SegmentIndexes::Trusted { largest_timestamp: last.timestamp },
            // Perhaps it is the recovery point that is wrong, and with it the log's end.
            _ if next_base_offset.is_none() => {
                self.report
                    .notes
                    .push("checked its last segment: an index was missing, damaged, or contradicted the recovery point".to_owned());
                return Ok(None);
            }
            _ => SegmentIndexes::Built(self.rebuild_indexes(base_offset, size)?),
        };
        Ok(Some(Examined { base_offset, size, end_offset, indexes, first_batch: FirstBatch::Unread }))
    }

    fn rebuild_indexes(&mut self, base_offset: Offset, size: u32) -> Result<IndexBuilder, LogError> {
        let path = format::path(self.partition, base_offset, FileKind::Log);
        let log = File::open_read(&path).doing(&path, "open")?;
        let indexes = rebuild::indexes(&log, base_offset, size, self.config.index_interval_bytes).doing(&path, "read")?;
        self.report.indexes_rebuilt.push(base_offset);
        self.report.log_bytes_read += u64::from(size);
        Ok(indexes)
    }

    /// Checks every batch of the segment. Answers what is left of it, and whether anything was cut.
    fn check(&mut self, base_offset: Offset, size: u32, file_bytes: u64, first_expected: Offset) -> Result<(Examined, bool), LogError> {
        let path = format::path(self.partition, base_offset, FileKind::Log);
        let log = File::open_write(&path).doing(&path, "open")?;
        let (mut walk, mut indexes, mut first_batch) = match self.resume_at_recovery_point(&log, base_offset, size).doing(&path, "read")? {
            Some((walk, indexes)) => (walk, indexes, FirstBatch::Unread),
            None => (Walk::new(&log, 0, size), IndexBuilder::new(), FirstBatch::None),
        };
        let mut expected = first_expected;
        let mut end = 0;
        let mut damage = None;
        let mut read_before = 0;
        let mut before: Option<(u32, Offset)> = None;
        while let Some(walked) = walk.next_checked().doing(&path, "read")? {
            let (position, bytes, header) = match walked {
                Walked::Batch { position, bytes, header } => (position, bytes, header),
                Walked::Damaged { what, .. } => {
                    damage = Some(what);
                    break;
                }
            };
            let relative_offset = header.last_offset().0.saturating_sub(base_offset.0);
            if header.base_offset < expected || relative_offset > i64::from(i32::MAX) {
                damage = Some(format!("a batch starts at offset {}, expected {expected} or above", header.base_offset));
                // The base offset is outside the CRC. If this batch fits behind the one before last, the last one's was wrong.
                if let Some((position_before, expected_before)) =
                    before.filter(|(_, least)| (*least..expected).contains(&header.base_offset))
                {
                    (end, expected) = (position_before, expected_before);
                    indexes = rebuild::indexes(&log, base_offset, end, self.config.index_interval_bytes).doing(&path, "read")?;
                }
                break;
            }
            if first_batch == FirstBatch::None {
                first_batch = FirstBatch::Timestamp(header.max_timestamp);
            }
            self.epochs_seen.assign(header.partition_leader_epoch, header.base_offset);
            self.checked_from.get_or_insert(header.base_offset);
            if header.has_producer_id() {
                self.first_producer.get_or_insert(header.base_offset);
            }
            indexes.add(relative_offset as u32, position, bytes, header.max_timestamp, self.config.index_interval_bytes);
            before = Some((position, expected));
            expected = header.next_offset();
            end = position + bytes;
            self.report.batches_checked += 1;
            if let Some(progress) = &self.context.progress {
                progress.fetch_add(walk.bytes_read() - read_before, Ordering::Relaxed);
            }
            read_before = walk.bytes_read();
        }
        self.report.log_bytes_read += walk.bytes_read();
        self.report.segments_checked += 1;
        let left = file_bytes - u64::from(end);
        let mut cut = false;
        if left > 0 {
            if file_bytes <= u64::from(u32::MAX) && walk::is_zero_from(&log, end, file_bytes as u32).doing(&path, "read")? {
                log.truncate(u64::from(end)).doing(&path, "truncate")?;
                self.report.zero_bytes_cut += left;
            } else {
                let moved_to = self.cuttings.move_tail(&log, u64::from(end), file_bytes, expected).doing(&path, "cut")?;
                let why = damage.unwrap_or_else(|| "the segment is longer than a segment can be".to_owned());
                self.report.cut.push(Cut { segment: base_offset, position: end, offset: expected, bytes: left, why, moved_to });
                cut = true;
            }
        }
        // What was checked came from the page cache. The next start must be able to trust it without looking again.
        if file_bytes > 0 {
            log.data_sync().doing(&path, "sync")?;
        }
        let indexes = SegmentIndexes::Built(indexes);
        Ok((Examined { base_offset, size: end, end_offset: expected, indexes, first_batch }, cut))
    }

    /// Where the check of a segment may begin that holds the recovery point: at the last batch below it that both indexes know. What lies before was on the disk.
    fn resume_at_recovery_point<'b>(&self, log: &'b File, base_offset: Offset, size: u32) -> io::Result<Option<(Walk<'b>, IndexBuilder)>> {
        let read = |kind| directory::read_to_vec(&format::path(self.partition, base_offset, kind)).unwrap_or_default();
        // A clean stop whose recovery point contradicts the segment: nothing is known for certain.
        let point = self.context.recovery_point.filter(|point| *point > base_offset && !self.context.clean);
        let Some(last_on_disk) = point.and_then(|point| u32::try_from(point.0 - 1 - base_offset.0).ok()) else { return Ok(None) };
        let mut time_index = TimeIndex::from_bytes(read(FileKind::TimeIndex));
        time_index.truncate_to_offset(Some(last_on_disk));
        let mut offset_index = OffsetIndex::from_bytes(read(FileKind::OffsetIndex));
        // Behind its last entry the time index does not know the largest timestamp.
        let Some(entry) = time_index.last().and_then(|last| offset_index.lookup(last.relative_offset.min(last_on_disk))) else {
            return Ok(None);
        };
        offset_index.truncate_to_log(entry.position.saturating_add(1));
        time_index.truncate_to_offset(Some(entry.relative_offset));
        if !offset_index.is_sound(size) || !time_index.is_sound(entry.relative_offset) {
            return Ok(None);
        }
        let mut walk = Walk::new(log, entry.position, size);
        let expected_last = base_offset.plus(i64::from(entry.relative_offset));
        match walk.next_checked()? {
            Some(Walked::Batch { header, .. }) if header.last_offset() == expected_last && header.base_offset >= base_offset => {
                walk.step_back_to(entry.position);
                Ok(Some((walk, IndexBuilder::resume(offset_index, time_index))))
            }
            _ => Ok(None),
        }
    }

    /// What lies behind a cut has lost its connection: kept aside, log and aborted transactions.
    fn move_later_segments(&mut self, later: &[(Offset, u64)], end_offset: Offset) -> Result<(), LogError> {
        for (base_offset, bytes) in later {
            let path = format::path(self.partition, *base_offset, FileKind::Log);
            let moved_to = self.cuttings.move_file(&path, &base_offset.to_string(), "log").doing(&path, "move aside")?;
            let why = format!("the log before it ends at offset {end_offset}");
            self.report.cut.push(Cut { segment: *base_offset, position: 0, offset: *base_offset, bytes: *bytes, why, moved_to });
            let transactions = format::path(self.partition, *base_offset, FileKind::TransactionIndex);
            if directory::exists(&transactions).doing(&transactions, "look for")? {
                self.cuttings.move_file(&transactions, &base_offset.to_string(), "txnindex").doing(&transactions, "move aside")?;
            }
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
                // Derived from the log; an index without a log is removed at the next start anyway.
                let _ = directory::remove_file(&format::path(self.partition, *base_offset, kind));
            }
        }
        Ok(())
    }

    /// A directory without a segment gets one where the log is known to start.
    fn examine_new(&mut self) -> Result<Examined, LogError> {
        let base_offset = self.context.log_start_offset.unwrap_or(Offset::ZERO);
        let path = format::path(self.partition, base_offset, FileKind::Log);
        File::create(&path).doing(&path, "create")?;
        self.report.is_new = true;
        let indexes = SegmentIndexes::Built(IndexBuilder::new());
        Ok(Examined { base_offset, size: 0, end_offset: base_offset, indexes, first_batch: FirstBatch::None })
    }

    fn settle_log_start_offset(&mut self, first_base_offset: Offset, log_end_offset: Offset) -> Offset {
        let Some(asked) = self.context.log_start_offset else { return first_base_offset };
        if asked > log_end_offset {
            self.report.notes.push(format!("the checkpoint says that the log starts at {asked}, but it ends at {log_end_offset}"));
        }
        asked.clamp(first_base_offset, log_end_offset)
    }

    fn settle_leader_epochs(&mut self, sealed: &[Examined], last: &Examined, log_start_offset: Offset) -> Result<LeaderEpochs, LogError> {
        let has_data = last.end_offset > log_start_offset;
        let stored = match leader_epochs::read(self.partition) {
            Ok(Some(stored)) if !(stored.entries().is_empty() && has_data) => Some(stored),
            Ok(None) if !has_data => Some(LeaderEpochs::default()),
            Ok(_) => None,
            Err(error) => {
                self.report.notes.push(error.to_string());
                None
            }
        };
        let before = stored.clone();
        let mut epochs = match stored {
            Some(mut stored) => {
                // The file may lag behind what a crash left in the log.
                self.epochs_seen.entries().iter().for_each(|entry| _ = stored.assign(entry.epoch, entry.start_offset));
                stored
            }
            None => {
                self.report.leader_epochs_rebuilt = true;
                self.epochs_from_headers(sealed.iter().chain([last]))?
            }
        };
        // An epoch may start at the end itself: a leader that has not written yet.
        epochs.truncate_from_end(last.end_offset.plus(1));
        epochs.truncate_from_start(log_start_offset);
        if before.as_ref() != Some(&epochs) || self.report.leader_epochs_rebuilt {
            leader_epochs::write(self.partition, &epochs).doing(self.partition, "write the leader epochs of")?;
        }
        Ok(epochs)
    }

    fn epochs_from_headers<'b>(&mut self, segments: impl Iterator<Item = &'b Examined>) -> Result<LeaderEpochs, LogError> {
        let mut epochs = LeaderEpochs::default();
        for segment in segments {
            let path = format::path(self.partition, segment.base_offset, FileKind::Log);
            let log = File::open_read(&path).doing(&path, "open")?;
            let mut walk = Walk::new(&log, 0, segment.size);
            while let Some(Walked::Batch { header, .. }) = walk.next_header().doing(&path, "read")? {
                epochs.assign(header.partition_leader_epoch, header.base_offset);
            }
            self.report.log_bytes_read += walk.bytes_read();
        }
        Ok(epochs)
    }

    fn seal(&self, segment: Examined) -> Result<SealedSegment, LogError> {
        let Examined { base_offset, size, .. } = segment;
        let largest_timestamp = match segment.indexes {
            SegmentIndexes::Trusted { largest_timestamp } => largest_timestamp,
            SegmentIndexes::Built(mut indexes) => {
                indexes.finish();
                rebuild::write(self.partition, base_offset, &indexes).doing(self.partition, "write the indexes of")?;
                indexes.largest_timestamp
            }
        };
        let path = format::path(self.partition, base_offset, FileKind::Log);
        let modified = match largest_timestamp.0 < 0 {
            true => Timestamp(File::open_read(&path).and_then(|log| log.modified_ms()).doing(&path, "look at")?),
            false => largest_timestamp,
        };
        Ok(SealedSegment { base_offset, size, largest_timestamp, modified, index_rebuilt: false, open: None })
    }

    fn activate(&mut self, segment: Examined) -> Result<ActiveSegment, LogError> {
        let Examined { base_offset, size, end_offset, .. } = segment;
        let path = format::path(self.partition, base_offset, FileKind::Log);
        let file = Arc::new(File::open_write(&path).doing(&path, "open")?);
        let indexes = match segment.indexes {
            SegmentIndexes::Built(indexes) => indexes,
            SegmentIndexes::Trusted { .. } => {
                let read = |kind| directory::read_to_vec(&format::path(self.partition, base_offset, kind)).unwrap_or_default();
                let offset_index = OffsetIndex::from_bytes(read(FileKind::OffsetIndex));
                let time_index = TimeIndex::from_bytes(read(FileKind::TimeIndex));
                let last_relative_offset = u32::try_from(end_offset.0 - 1 - base_offset.0).unwrap_or(0);
                let is_sound = size == 0 && offset_index.entries() == 0 && time_index.entries() == 0
                    || size > 0 && offset_index.is_sound(size) && time_index.is_sound(last_relative_offset);
                match is_sound {
                    true => IndexBuilder::resume(offset_index, time_index),
                    false if size == 0 => IndexBuilder::new(),
                    false => self.rebuild_indexes(base_offset, size)?,
                }
            }
        };
        for (kind, bytes) in
            [(FileKind::OffsetIndex, indexes.offset_index.as_bytes()), (FileKind::TimeIndex, indexes.time_index.as_bytes())]
        {
            write_if_different(self.partition, base_offset, kind, bytes).doing(self.partition, "write an index of")?;
        }
        Ok(ActiveSegment {
            size,
            offset_index_written: indexes.offset_index.as_bytes().len(),
            time_index_written: indexes.time_index.as_bytes().len(),
            indexes,
            first_batch: segment.first_batch,
            headers_seen: if segment.first_batch == FirstBatch::Unread { HeadersSeen::none_below(size) } else { HeadersSeen::all() },
            // What the clock said at its first append is not known any more.
            appended_since: (size > 0).then_some(self.context.now),
            preallocated_to: 0,
            writeback_to: size,
            ..ActiveSegment::new(base_offset, file)
        })
    }
}

/// Most index files of active segments are already what they should be, above all after a clean stop. After an unclean one they are made anew: no need to sync.
fn write_if_different(partition: &Path, base_offset: Offset, kind: FileKind, bytes: &[u8]) -> io::Result<()> {
    let path = format::path(partition, base_offset, kind);
    match directory::read_to_vec(&path) {
        Ok(stored) if stored == bytes => Ok(()),
        _ => write_index(partition, base_offset, kind, bytes, false).map(|_| ()),
    }
}
