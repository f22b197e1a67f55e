//! A look into a partition's directory or one segment, Kafka's or ours, dead or live: what is in it, and what is wrong with it.
//!
//! Blocking, read-only; for the admin command and tests. Reads every byte of the logs it is asked about.
//!
//! Invariant: nothing is changed, and no damage ends the look: a segment is walked as far as its lengths lead.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cut::CUT_DIRECTORY;
use super::format::{self, FileKind, Marking, SegmentFileName};
use super::offset_index::OffsetIndex;
use super::time_index::TimeIndex;
use super::walk::{Walk, Walked, is_zero_from};
use super::{leader_epochs, partition_metadata};
use crate::base::{Offset, Timestamp};
use crate::io::{File, directory};
use crate::wire::batch::{BatchHeader, check_stored};

/// What was found. Serialises to JSON as it stands; `Display` is for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InspectReport {
    pub path: PathBuf,
    /// From `partition.metadata`.
    pub topic_id: Option<String>,
    /// Epoch and first offset.
    pub leader_epochs: Vec<(i32, i64)>,
    pub segments: Vec<SegmentInspection>,
    /// Files that belong to no live segment: deleted, cleaned, cut aside, or nobody's.
    pub other_files: Vec<String>,
    /// What is wrong, in words, in the order of the offsets. Empty is good.
    pub damage: Vec<String>,
}

/// One segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SegmentInspection {
    pub base_offset: i64,
    pub bytes: u64,
    pub batches: u64,
    pub records: u64,
    /// Offsets of the first and the last batch; `None` in an empty segment.
    pub first_offset: Option<i64>,
    pub last_offset: Option<i64>,
    /// −1: no record has a timestamp.
    pub largest_timestamp: i64,
    pub offset_index_entries: usize,
    pub time_index_entries: usize,
    /// Bytes behind the last batch: a torn tail, or what preallocation left.
    pub bytes_behind_last_batch: u64,
    /// Every batch, if they were asked for.
    pub batch_list: Vec<BatchInspection>,
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchInspection {
    pub position: u32,
    pub bytes: u32,
    pub base_offset: i64,
    pub last_offset: i64,
    pub records: i32,
    pub codec: String,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub is_log_append_time: bool,
    pub is_transactional: bool,
    pub is_control: bool,
    pub has_delete_horizon: bool,
    pub leader_epoch: i32,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// `None`: magic and CRC are right.
    pub damage: Option<String>,
}

/// Looks into a partition's directory, or at one segment if `path` is a `.log`. `list_batches`: name each batch, not only the sums.
///
/// # Errors
/// The path cannot be read, or is neither a partition's directory nor a segment.
pub fn inspect(path: &Path, list_batches: bool) -> io::Result<InspectReport> {
    let mut report = InspectReport { path: path.to_owned(), ..InspectReport::default() };
    let name = path.file_name().and_then(|name| name.to_str()).and_then(SegmentFileName::parse);
    if let Some(name) = name.filter(|name| name.kind == FileKind::Log) {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut look = Look { folder, report: &mut report, list_batches };
        look.segment(path, name, true)?;
        return Ok(report);
    }
    let entries = directory::list(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => io::Error::other("it is neither a partition's directory nor a .log file"),
        _ => error,
    })?;
    // A data directory, or one of something else: no damage would be found there, because nothing was looked at.
    let is_partitions = |name: &str| [format::LEADER_EPOCH_CHECKPOINT_FILE, format::PARTITION_METADATA_FILE].contains(&name);
    if !entries.iter().any(|entry| is_partitions(&entry.name) || SegmentFileName::parse(&entry.name).is_some()) {
        return Err(io::Error::other("no partition is kept in it; name a directory such as data/orders-0, or a .log file"));
    }
    let mut segments = Vec::new();
    for entry in &entries {
        match SegmentFileName::parse(&entry.name) {
            Some(name) if name.kind == FileKind::Log && name.marking == Marking::Live => segments.push(name),
            Some(name) if name.marking == Marking::Live => {}
            _ if entry.name == format::LEADER_EPOCH_CHECKPOINT_FILE || entry.name == format::PARTITION_METADATA_FILE => {}
            _ if entry.is_directory && entry.name == CUT_DIRECTORY => {
                let pieces = directory::list(&path.join(CUT_DIRECTORY))?;
                report.other_files.extend(pieces.into_iter().map(|piece| format!("{CUT_DIRECTORY}/{}", piece.name)));
            }
            _ => report.other_files.push(entry.name.clone()),
        }
    }
    look_at_small_files(path, &mut report);
    let mut look = Look { folder: path, report: &mut report, list_batches };
    let mut expected: Option<i64> = None;
    for (at, name) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        look.segment(&path.join(name.name()), *name, is_last)?;
        let Some(segment) = look.report.segments.last() else { continue };
        if let (Some(before), Some(first)) = (expected, segment.first_offset)
            && first <= before
        {
            let what = format!("segment {}: starts at offset {first}, but the one before ends at {before}", segment.base_offset);
            look.report.damage.push(what);
        }
        expected = segment.last_offset.or(expected);
    }
    Ok(report)
}

fn look_at_small_files(folder: &Path, report: &mut InspectReport) {
    match leader_epochs::read(folder) {
        Ok(epochs) => {
            let entries = epochs.iter().flat_map(|epochs| epochs.entries());
            report.leader_epochs = entries.map(|entry| (entry.epoch.0, entry.start_offset.0)).collect();
        }
        Err(error) => report.damage.push(error.to_string()),
    }
    match partition_metadata::read(folder) {
        Ok(topic_id) => report.topic_id = topic_id.map(|id| id.to_string()),
        Err(error) => report.damage.push(error.to_string()),
    }
}

struct Look<'a> {
    folder: &'a Path,
    report: &'a mut InspectReport,
    list_batches: bool,
}

/// What checking the indexes needs of a batch.
struct Seen {
    position: u32,
    last_offset: Offset,
    /// The largest timestamp up to and with this batch.
    largest_timestamp: Timestamp,
}

impl Look<'_> {
    fn segment(&mut self, path: &Path, name: SegmentFileName, is_last: bool) -> io::Result<()> {
        let log = File::open_read(path)?;
        let bytes = log.size()?;
        let end = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut segment = SegmentInspection { base_offset: name.offset.0, bytes, largest_timestamp: -1, ..SegmentInspection::default() };
        let mut seen: Vec<Seen> = Vec::new();
        let mut walk = Walk::new(&log, 0, end);
        let mut behind = 0;
        while let Some(walked) = walk.next_header()? {
            match walked {
                Walked::Damaged { position, what } => {
                    segment.bytes_behind_last_batch = bytes - u64::from(position);
                    if !is_zero_from(&log, position, end)? {
                        let live = if is_last { " (a broker that is running may be writing just here)" } else { "" };
                        self.damage(name, position, &format!("{what}{live}; {} bytes follow", bytes - u64::from(position)));
                    }
                    behind = position;
                    break;
                }
                Walked::Batch { position, bytes, header } => {
                    let damage = check_stored(walk.batch_bytes(position, bytes)?).err().map(|error| error.to_string());
                    if let Some(what) = &damage {
                        self.damage(name, position, what);
                    }
                    let least = seen.last().map_or(name.offset, |before| before.last_offset.plus(1));
                    if header.base_offset < least {
                        self.damage(name, position, &format!("a batch starts at offset {}, expected {least} or above", header.base_offset));
                    }
                    self.add(&mut segment, &mut seen, position, bytes, &header, damage);
                    behind = position + bytes;
                }
            }
        }
        self.check_offset_index(name, &mut segment, &seen, behind, is_last);
        self.check_time_index(name, &mut segment, &seen, is_last);
        self.report.segments.push(segment);
        Ok(())
    }

    fn add(
        &self,
        segment: &mut SegmentInspection,
        seen: &mut Vec<Seen>,
        position: u32,
        bytes: u32,
        header: &BatchHeader,
        damage: Option<String>,
    ) {
        segment.batches += 1;
        segment.records += u64::try_from(header.records_count).unwrap_or(0);
        segment.first_offset.get_or_insert(header.base_offset.0);
        segment.last_offset = Some(header.last_offset().0);
        segment.largest_timestamp = segment.largest_timestamp.max(header.max_timestamp.0);
        let largest_timestamp = Timestamp(segment.largest_timestamp);
        seen.push(Seen { position, last_offset: header.last_offset(), largest_timestamp });
        if self.list_batches {
            segment.batch_list.push(BatchInspection {
                position,
                bytes,
                base_offset: header.base_offset.0,
                last_offset: header.last_offset().0,
                records: header.records_count,
                codec: header.attributes.codec().map_or_else(|id| format!("unknown ({id})"), |codec| codec.name().to_owned()),
                base_timestamp: header.base_timestamp.0,
                max_timestamp: header.max_timestamp.0,
                is_log_append_time: header.attributes.is_log_append_time(),
                is_transactional: header.attributes.is_transactional(),
                is_control: header.attributes.is_control(),
                has_delete_horizon: header.attributes.has_delete_horizon(),
                leader_epoch: header.partition_leader_epoch.0,
                producer_id: header.producer_id.0,
                producer_epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
                damage,
            });
        }
    }

    /// Every entry names a batch that begins at its position and ends at its offset.
    fn check_offset_index(&mut self, name: SegmentFileName, segment: &mut SegmentInspection, seen: &[Seen], end: u32, is_last: bool) {
        let Some(bytes) = self.index_bytes(name, FileKind::OffsetIndex, is_last) else { return };
        let index = OffsetIndex::from_bytes(bytes);
        segment.offset_index_entries = index.entries();
        for entry in index.iter() {
            let last_offset = name.offset.plus(i64::from(entry.relative_offset));
            let names_batch =
                seen.binary_search_by_key(&entry.position, |batch| batch.position).is_ok_and(|at| seen[at].last_offset == last_offset);
            if !names_batch && entry.position < end {
                let what = format!("the offset index says that a batch begins here and ends at offset {last_offset}; there is none");
                self.damage(name, entry.position, &what);
            } else if !names_batch {
                self.damage(name, entry.position, "the offset index points behind the last batch");
            }
        }
    }

    /// No batch up to an entry's offset is later than the entry's timestamp; the last entry of a sealed segment is its largest timestamp.
    fn check_time_index(&mut self, name: SegmentFileName, segment: &mut SegmentInspection, seen: &[Seen], is_last: bool) {
        let Some(bytes) = self.index_bytes(name, FileKind::TimeIndex, is_last) else { return };
        let index = TimeIndex::from_bytes(bytes);
        segment.time_index_entries = index.entries();
        for entry in index.iter() {
            let offset = name.offset.plus(i64::from(entry.relative_offset));
            let upto = seen.partition_point(|batch| batch.last_offset <= offset);
            let largest = upto.checked_sub(1).map_or(Timestamp::NONE, |at| seen[at].largest_timestamp);
            if largest > entry.timestamp {
                let what = format!("up to offset {offset} the time index says {}, but a batch has {largest}", entry.timestamp);
                self.damage(name, 0, &what);
            }
        }
        let last = index.last().map_or(-1, |entry| entry.timestamp.0);
        if !is_last && last < segment.largest_timestamp {
            let what = format!("the time index ends with timestamp {last}, but the segment has {}", segment.largest_timestamp);
            self.damage(name, 0, &what);
        }
    }

    /// The index's bytes. One that is missing is damage, but not in the active segment: it is written later.
    fn index_bytes(&mut self, name: SegmentFileName, kind: FileKind, is_last: bool) -> Option<Vec<u8>> {
        let path = self.folder.join(SegmentFileName { kind, ..name }.name());
        match directory::read_to_vec(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_last => None,
            Err(error) => {
                self.damage(name, 0, &format!("{} cannot be read: {error}", path.display()));
                None
            }
        }
    }

    fn damage(&mut self, name: SegmentFileName, position: u32, what: &str) {
        self.report.damage.push(format!("segment {}, byte {position}: {what}", name.offset));
    }
}
