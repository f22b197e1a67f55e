//! Reading: an offset becomes ranges of files, never bytes.
//!
//! Runs inline on the core and never waits for the disk: what is not in memory or not open is an outcome, the caller sees to it and asks again.
//! Only headers and index entries are looked at, and beside a hole whole batches, with reads that refuse to wait.
//!
//! Invariants: no byte at or behind `up_to` is handed out; every range starts at a batch and ends behind one; the first range holds the batch with
//! the asked offset, or, where compaction left a hole, the next one. A hole is only believed if the batches on both sides have the right CRC, or if this process appended
//! them: base offset and length are outside the CRC, and a damaged length must not make good records vanish. For the same reason batches that this process neither wrote nor checked
//! are handed out only after a look at their headers (`header_check`).

use std::io::ErrorKind;

use super::adjacent_entries::AdjacentEntries;
use super::error::LogError;
use super::header_check::{HeadersSeen, READ_AHEAD_BYTES, Sequence, UNSEEN_BYTES_MAX};
use super::index_file::{IndexFile, IndexReadError};
use super::partition_log::Log;
use super::read_starts::Start;
use super::segment::{IndexSource, OffsetAndPosition, OpenSegment, ReadableIndex, ReadableSegment, SegmentOpened, SegmentOpening};
use crate::base::Offset;
use crate::io::{File, FileRange};
use crate::wire::batch::{BATCH_HEADER_BYTES, BatchHeader, MAGIC, check_stored};

/// One read of headers: many small batches in one call, or one header of a large one.
const SCAN_BYTES: usize = 4096;
/// What is read ahead around a piece of an index that is not in memory: the search goes on near it.
const INDEX_READ_AHEAD_BYTES: usize = 64 * 1024;

/// So many headers are looked at behind an index entry before the index is suspected.
const HOPS_MAX: usize = 4096;

/// What became of a read.
#[derive(Debug)]
pub enum ReadOutcome {
    /// Whole batches, in order. Empty if not even one batch fits `max_bytes` and `at_least_one` was not asked for. Whether the bytes are in memory is
    /// not known: ask `FileRange::file.resident` before sending.
    Ranges(Vec<FileRange>),
    /// This must come into memory first: read it ahead and ask again.
    NotResident(FileRange),
    /// Perform `SegmentOpening::open` off the core, hand the result to `Log::segment_opened` and ask again.
    NotOpen(SegmentOpening),
    /// Nothing below `up_to` yet.
    AtEnd,
    /// Below the log's start or above its end.
    OutOfRange { log_start_offset: Offset, log_end_offset: Offset },
    /// The bytes on the disk cannot be what was written.
    Corrupt(Corruption),
}

/// Where a log is damaged and how that shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{directory}: segment {segment} is damaged at byte {position}: {what}. Records from offset {offset} on cannot be read from here; restore the \
     segment from a backup, or seek past offset {offset} if they may be lost"
)]
pub struct Corruption {
    pub directory: String,
    pub segment: Offset,
    pub position: u32,
    /// The offset that was asked for.
    pub offset: Offset,
    pub what: String,
}

/// Why a read stops early; each becomes the outcome of the same name.
enum Stop {
    NotResident(FileRange),
    NotOpen(SegmentOpening),
    Corrupt(Corruption),
    Host(std::io::Error),
}

/// Where a batch lies in its segment.
#[derive(Clone, Copy)]
struct BatchPlace {
    position: u32,
    bytes: u32,
}

/// A header with its place.
#[derive(Clone, Copy)]
struct Found {
    position: u32,
    bytes: u32,
    header: BatchHeader,
}

impl Log {
    /// The batches from `offset` on, at most `max_bytes` of them (but one batch at least, if `at_least_one`), none at or behind `up_to`.
    ///
    /// `up_to` is the high watermark with its position: `Appended::end` or `Log::end` made it.
    ///
    /// # Errors
    /// The log is offline, or the host refuses to read.
    pub fn read(&self, offset: Offset, max_bytes: usize, up_to: OffsetAndPosition, at_least_one: bool) -> Result<ReadOutcome, LogError> {
        self.check_online()?;
        if offset < self.log_start_offset || offset > self.log_end_offset {
            let (log_start_offset, log_end_offset) = (self.log_start_offset, self.log_end_offset);
            return Ok(ReadOutcome::OutOfRange { log_start_offset, log_end_offset });
        }
        if offset >= up_to.offset {
            return Ok(ReadOutcome::AtEnd);
        }
        match self.read_below(offset, max_bytes, up_to, at_least_one) {
            Ok(Some(ranges)) => Ok(ReadOutcome::Ranges(ranges)),
            Ok(None) => Ok(ReadOutcome::AtEnd),
            Err(stop) => self.stopped(stop),
        }
    }

    /// Where the batch with `offset` begins (or the next one, in a hole; or the log's end): an offset as a limit for `read`.
    ///
    /// # Errors
    /// As `read`.
    pub fn locate(&self, offset: Offset) -> Result<Result<OffsetAndPosition, ReadOutcome>, LogError> {
        self.check_online()?;
        if offset < self.log_start_offset || offset > self.log_end_offset {
            let (log_start_offset, log_end_offset) = (self.log_start_offset, self.log_end_offset);
            return Ok(Err(ReadOutcome::OutOfRange { log_start_offset, log_end_offset }));
        }
        if offset == self.log_end_offset {
            return Ok(Ok(self.end()));
        }
        match self.find_batch(offset) {
            Ok(Some((segment, found))) => {
                Ok(Ok(OffsetAndPosition { offset, segment: self.segment_base(segment), position: found.position }))
            }
            Ok(None) => Ok(Ok(self.end())),
            Err(stop) => self.stopped(stop).map(Err),
        }
    }

    /// Takes the files that a `SegmentOpening` opened. One that failed because retention was faster is no error: the next read says `OutOfRange`. Neither is one of a segment
    /// whose place the cleaner gives to another: the next read opens that one.
    ///
    /// # Errors
    /// The files of a segment that should be there could not be opened.
    pub fn segment_opened(&mut self, opened: SegmentOpened) -> Result<(), LogError> {
        let Ok(at) = self.sealed.binary_search_by_key(&opened.base_offset, |segment| segment.base_offset) else { return Ok(()) };
        if self.is_swapping_out(opened.base_offset) || self.sealed[at].size != opened.size {
            return Ok(());
        }
        match opened.result {
            Ok((log, file, entries)) => {
                let headers_seen = HeadersSeen::none_below(self.sealed[at].size);
                let open = OpenSegment {
                    log,
                    index: IndexSource::File(IndexFile::new(file, entries)),
                    adjacent: AdjacentEntries::default(),
                    headers_seen,
                    used_at: self.last_tick.into(),
                };
                self.sealed[at].open = Some(Box::new(open));
                self.sealed[at].index_rebuilt |= opened.index_rebuilt;
                Ok(())
            }
            Err(error) => {
                let path = super::format::path(&self.directory, opened.base_offset, super::format::FileKind::Log);
                Err(LogError::host(&path, "open a segment", error))
            }
        }
    }

    fn stopped(&self, stop: Stop) -> Result<ReadOutcome, LogError> {
        match stop {
            Stop::NotResident(range) => Ok(ReadOutcome::NotResident(range)),
            Stop::NotOpen(opening) => Ok(ReadOutcome::NotOpen(opening)),
            Stop::Corrupt(corruption) => Ok(ReadOutcome::Corrupt(corruption)),
            Stop::Host(error) => Err(LogError::host(&self.directory, "read", error)),
        }
    }

    fn read_below(
        &self,
        offset: Offset,
        max_bytes: usize,
        up_to: OffsetAndPosition,
        at_least_one: bool,
    ) -> Result<Option<Vec<FileRange>>, Stop> {
        let Some((mut at, first)) = self.find_batch(offset)? else { return Ok(None) };
        let mut position = first.position;
        let mut first_bytes = if at_least_one { first.bytes } else { 0 };
        let mut bytes_left = max_bytes;
        let mut ranges = Vec::new();
        loop {
            let segment = self.readable(at)?;
            let limit = if segment.base_offset == up_to.segment { up_to.position.min(segment.size) } else { segment.size };
            if segment.base_offset > up_to.segment || position >= limit {
                break;
            }
            let end = self.end_of_range(&segment, position, limit, first_bytes, bytes_left)?;
            let end = self.end_of_sequence(at, &segment, position, end, offset)?;
            let len = (end - position) as usize;
            if len == 0 {
                break;
            }
            ranges.push(FileRange { file: segment.log.clone(), position: u64::from(position), len });
            bytes_left = bytes_left.saturating_sub(len);
            first_bytes = 0;
            if end == up_to.position && segment.base_offset == up_to.segment {
                self.read_starts.note(Start { place: up_to, batch_bytes: None });
                break;
            }
            // The rest of the answer comes from the next segment, if it is at hand.
            if end < segment.size || bytes_left == 0 || at == self.sealed.len() || !self.is_open(at + 1) {
                break;
            }
            at += 1;
            position = 0;
        }
        // Only the first batch can lie behind the limit: then there is nothing yet.
        if ranges.is_empty() && !self.is_below(at, position, up_to) { Ok(None) } else { Ok(Some(ranges)) }
    }

    fn is_below(&self, at: usize, position: u32, up_to: OffsetAndPosition) -> bool {
        let base = self.segment_base(at);
        base < up_to.segment || base == up_to.segment && position < up_to.position
    }

    /// The end of the last whole batch within the bytes left, but not before `position + first_bytes`.
    fn end_of_range(
        &self,
        segment: &ReadableSegment<'_>,
        position: u32,
        limit: u32,
        first_bytes: u32,
        bytes_left: usize,
    ) -> Result<u32, Stop> {
        let wanted = position as usize + bytes_left;
        if wanted >= limit as usize {
            return Ok(limit);
        }
        let (wanted, least) = (wanted as u32, (position + first_bytes).min(limit));
        if wanted <= least {
            return Ok(least);
        }
        let number = segment.index.number_at(wanted, segment.size).map_err(|error| self.index_stop(error))?;
        let entry = |i| segment.index.entry(i).map_err(|error| self.index_stop(error));
        if let Some(i) = number.filter(|&i| segment.adjacent.are_around(i)) {
            let (before, last, next) = (entry(i - 1)?, entry(i)?, entry(i + 1)?);
            // They come from a file, which may be damaged.
            let ascend = before.relative_offset < last.relative_offset && before.position < last.position && last.position < next.position;
            if ascend && next.position <= segment.size && last.position >= least {
                // What the reader will ask for next; in a hole the batch behind it holds that place.
                let offset = segment.base_offset.plus(i64::from(before.relative_offset) + 1);
                let place = OffsetAndPosition { offset, segment: segment.base_offset, position: last.position };
                self.read_starts.note(Start { place, batch_bytes: Some(next.position - last.position) });
                return Ok(last.position);
            }
        }
        let mut at = number.map(entry).transpose()?.map_or(position, |entry| entry.position).max(least);
        let mut scan = Scan::new(segment.log, segment.size);
        // Behind an index entry it is usually the first batch that does not fit: nothing more is read for that.
        let mut header = scan.small_header(at);
        loop {
            let Some(found) = header.map_err(|unreadable| self.scan_stop(unreadable, segment))? else { return Ok(at) };
            // What cannot be a batch ends the range: the next read starts there and says what is wrong.
            let Ok(bytes) = plausible(&found, at, segment.size) else { return Ok(at) };
            if at + bytes > wanted {
                let place = OffsetAndPosition { offset: found.base_offset, segment: segment.base_offset, position: at };
                self.read_starts.note(Start { place, batch_bytes: Some(bytes) });
                return Ok(at);
            }
            at += bytes;
            header = scan.header(at);
        }
    }

    /// How far the batches of `position..end` follow one another; at least over the first one. Batches that were seen are believed.
    fn end_of_sequence(&self, at: usize, segment: &ReadableSegment<'_>, position: u32, end: u32, offset: Offset) -> Result<u32, Stop> {
        let Some((start, expected)) = segment.headers_seen.first_unseen(position, end) else { return Ok(end) };
        let limit = end.min(start.saturating_add(UNSEEN_BYTES_MAX));
        let mut scan = Scan::new(segment.log, segment.size);
        let mut sequence = Sequence::new(expected);
        let mut next = start;
        let mut checked = Ok(());
        while next < limit && checked.is_ok() {
            let header = match scan.header(next) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(Unreadable::NotResident { position, .. }) => {
                    let len = READ_AHEAD_BYTES.min(end - position);
                    return Err(self.scan_stop(Unreadable::NotResident { position, len: len as usize }, segment));
                }
                Err(unreadable) => return Err(self.scan_stop(unreadable, segment)),
            };
            // What cannot be a batch ends the range: the next read starts there and says what is wrong.
            let Ok(bytes) = plausible(&header, next, segment.size) else { break };
            // So does a length that leads over the end, which is where a batch ends.
            if next > position && next + bytes > end {
                break;
            }
            checked = sequence.take(next, &header);
            if checked.is_ok() {
                next += bytes;
            }
        }
        let next = next.min(end);
        if checked.is_ok() && next == segment.size && at < self.sealed.len() {
            checked = sequence.meet(next, self.segment_base(at + 1));
        }
        let Err(cut) = checked else {
            segment.headers_seen.note(start, next, sequence.next_offset().unwrap_or(offset));
            return Ok(next);
        };
        if cut > position {
            return Ok(cut);
        }
        let what = "it and the batch behind it claim the same offsets, so the place of one of them is wrong".to_owned();
        Err(Stop::Corrupt(self.corruption(segment, position, offset, what)))
    }

    /// The batch that holds `offset`, or the first one above it, and its segment's number. `None`: there is no such batch.
    fn find_batch(&self, offset: Offset) -> Result<Option<(usize, BatchPlace)>, Stop> {
        let mut at = self.sealed.partition_point(|segment| segment.base_offset <= offset);
        // `at` counts the sealed segments at or below the offset; the active one takes what is at or above its base.
        if at == self.sealed.len() && self.active.base_offset <= offset {
            at += 1;
        }
        let mut at = at.saturating_sub(1);
        loop {
            // Compaction leaves empty segments, perhaps many in a row: nobody has to open those.
            if self.sealed.get(at).is_none_or(|segment| segment.size > 0) {
                let segment = self.readable(at)?;
                if let Some(found) = self.find_in_segment(at, &segment, offset)? {
                    return Ok(Some((at, found)));
                }
            }
            if at == self.sealed.len() {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn find_in_segment(&self, at: usize, segment: &ReadableSegment<'_>, offset: Offset) -> Result<Option<BatchPlace>, Stop> {
        let cached = self.read_starts.find(offset);
        let cached = cached.filter(|Start { place, .. }| place.segment == segment.base_offset && place.position < segment.size);
        if let Some(Start { place, batch_bytes }) = cached {
            if let Some(bytes) = batch_bytes {
                return Ok(Some(BatchPlace { position: place.position, bytes }));
            }
            let mut scan = Scan::new(segment.log, segment.size);
            let header = scan.small_header(place.position).map_err(|unreadable| self.scan_stop(unreadable, segment))?;
            // A batch that does not hold the offset is looked at with the suspicion below.
            if let Some(header) = header
                && let Ok(bytes) = plausible(&header, place.position, segment.size)
                && header.base_offset <= offset
                && header.last_offset() >= offset
            {
                return Ok(Some(BatchPlace { position: place.position, bytes }));
            }
        }
        let relative_offset =
            u32::try_from(offset.0 - segment.base_offset.0).unwrap_or(if offset < segment.base_offset { 0 } else { u32::MAX });
        let entry = segment.index.lookup(relative_offset).map_err(|error| self.index_stop(error))?;
        let mut scan = Scan::new(segment.log, segment.size);
        let mut before: Option<Found> = None;
        let mut hops = 0;
        let mut position = entry.map_or(0, |entry| entry.position);
        loop {
            let header = scan.header(position).map_err(|unreadable| self.scan_stop(unreadable, segment))?;
            let Some(header) = header else {
                // The offset lies behind this segment's last batch: a hole, or a length that is wrong.
                if let Some(before) = before {
                    self.believe(segment, before, offset)?;
                }
                return Ok(None);
            };
            hops += 1;
            if hops > HOPS_MAX && self.can_rebuild_index(at, segment) {
                // An index this sparse is a damaged one: the core must not walk a segment.
                return Err(Stop::NotOpen(self.opening(at, true)));
            }
            let expected = before.map_or(segment.base_offset, |before| before.header.next_offset());
            let checked = plausible(&header, position, segment.size).and_then(|bytes| match header.base_offset < expected {
                true => Err(format!("a batch starts at offset {}, expected {expected} or above", header.base_offset)),
                false => Ok(bytes),
            });
            let expected_by_index =
                entry.filter(|_| before.is_none()).map(|entry| segment.base_offset.plus(i64::from(entry.relative_offset)));
            if expected_by_index.is_some_and(|last| last != header.last_offset()) && self.can_rebuild_index(at, segment) {
                // The index points into the middle of something: make it anew before the log itself is suspected.
                return Err(Stop::NotOpen(self.opening(at, true)));
            }
            let bytes = checked.map_err(|what| Stop::Corrupt(self.corruption(segment, position, offset, what)))?;
            let found = Found { position, bytes, header };
            if header.last_offset() >= offset {
                if header.base_offset > offset {
                    self.believe_hole(segment, &mut scan, before, found, offset)?;
                }
                return Ok(Some(BatchPlace { position, bytes }));
            }
            before = Some(found);
            position += bytes;
        }
    }

    /// A batch above the asked offset is only the right one if nothing in between was lost to damage: it and its neighbours are whole.
    fn believe_hole(
        &self,
        segment: &ReadableSegment<'_>,
        scan: &mut Scan<'_>,
        before: Option<Found>,
        found: Found,
        offset: Offset,
    ) -> Result<(), Stop> {
        if let Some(before) = before {
            self.believe(segment, before, offset)?;
        }
        self.believe(segment, found, offset)?;
        // The base offset is outside the CRC: one that was moved up collides with the next batch's.
        let next = found.position + found.bytes;
        if let Some(after) = scan.header(next).map_err(|unreadable| self.scan_stop(unreadable, segment))?
            && after.base_offset <= found.header.last_offset()
        {
            let what = format!("a batch ends at offset {} and the next one starts at {}", found.header.last_offset(), after.base_offset);
            return Err(Stop::Corrupt(self.corruption(segment, found.position, offset, what)));
        }
        Ok(())
    }

    /// Reads a batch whole and checks its CRC.
    fn believe(&self, segment: &ReadableSegment<'_>, found: Found, offset: Offset) -> Result<(), Stop> {
        let mut bytes = vec![0; found.bytes as usize];
        try_fill(segment.log, &mut bytes, found.position).map_err(|unreadable| self.scan_stop(unreadable, segment))?;
        match check_stored(&bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(Stop::Corrupt(self.corruption(segment, found.position, offset, error.to_string()))),
        }
    }

    fn corruption(&self, segment: &ReadableSegment<'_>, position: u32, offset: Offset, what: String) -> Corruption {
        Corruption { directory: self.directory.display().to_string(), segment: segment.base_offset, position, offset, what }
    }

    fn segment_base(&self, at: usize) -> Offset {
        self.sealed.get(at).map_or(self.active.base_offset, |segment| segment.base_offset)
    }

    fn is_open(&self, at: usize) -> bool {
        self.sealed.get(at).is_none_or(|segment| segment.open.is_some())
    }

    /// The segment of this number, the active one behind the sealed ones.
    fn readable(&self, at: usize) -> Result<ReadableSegment<'_>, Stop> {
        let Some(sealed) = self.sealed.get(at) else {
            let index = ReadableIndex::Memory(&self.active.indexes.offset_index);
            return Ok(ReadableSegment {
                base_offset: self.active.base_offset,
                size: self.active.size,
                log: &self.active.file,
                index,
                adjacent: &self.active.indexes.adjacent,
                headers_seen: &self.active.headers_seen,
            });
        };
        let Some(open) = &sealed.open else { return Err(Stop::NotOpen(self.opening(at, false))) };
        open.used_at.set(self.last_tick);
        let index = match &open.index {
            IndexSource::Memory(index) => ReadableIndex::Memory(index),
            IndexSource::File(index) => ReadableIndex::File(index),
        };
        Ok(ReadableSegment {
            base_offset: sealed.base_offset,
            size: sealed.size,
            log: &open.log,
            index,
            adjacent: &open.adjacent,
            headers_seen: &open.headers_seen,
        })
    }

    fn opening(&self, at: usize, rebuild_index: bool) -> SegmentOpening {
        let sealed = &self.sealed[at];
        SegmentOpening {
            directory: self.directory.clone(),
            base_offset: sealed.base_offset,
            size: sealed.size,
            index_interval_bytes: self.config.index_interval_bytes,
            rebuild_index,
        }
    }

    /// An index in memory was made from the log itself; one in a file may have been damaged, and is made anew once.
    fn can_rebuild_index(&self, at: usize, segment: &ReadableSegment<'_>) -> bool {
        at < self.sealed.len() && matches!(segment.index, ReadableIndex::File(_)) && !self.sealed[at].index_rebuilt
    }

    fn index_stop(&self, error: IndexReadError) -> Stop {
        match error {
            IndexReadError::Host(error) => Stop::Host(error),
            IndexReadError::NotResident { file, position } => {
                // As much in front of it as behind it: a search goes to both sides.
                let position = position.saturating_sub(INDEX_READ_AHEAD_BYTES as u64 / 2);
                Stop::NotResident(FileRange { file, position, len: INDEX_READ_AHEAD_BYTES })
            }
        }
    }

    fn scan_stop(&self, unreadable: Unreadable, segment: &ReadableSegment<'_>) -> Stop {
        match unreadable {
            Unreadable::Host(error) => Stop::Host(error),
            Unreadable::NotResident { position, len } => {
                let len = len.min((segment.size - position) as usize);
                Stop::NotResident(FileRange { file: segment.log.clone(), position: u64::from(position), len })
            }
        }
    }
}

/// Bytes of a batch, if its header can be one: format 2, and a length that ends inside the segment.
fn plausible(header: &BatchHeader, position: u32, segment_size: u32) -> Result<u32, String> {
    if header.magic != MAGIC {
        return Err(format!("expected a batch of format {MAGIC}, came {}", header.magic));
    }
    if header.last_offset_delta < 0 {
        return Err(format!("expected a last offset delta of 0 or more, came {}", header.last_offset_delta));
    }
    let bytes = header.total_bytes().ok_or_else(|| format!("expected a batch length of 49 or more, came {}", header.batch_length))?;
    let room = (segment_size - position) as usize;
    if bytes > room {
        return Err(format!("a batch says it has {bytes} bytes, but the segment ends after {room}"));
    }
    Ok(bytes as u32)
}

enum Unreadable {
    NotResident { position: u32, len: usize },
    Host(std::io::Error),
}

/// Headers of a segment, a few KiB at a time.
struct Scan<'a> {
    file: &'a File,
    size: u32,
    bytes: [u8; SCAN_BYTES],
    /// Where `bytes` begins in the file, and how many are filled.
    start: u32,
    filled: u32,
}

impl<'a> Scan<'a> {
    fn new(file: &'a File, size: u32) -> Scan<'a> {
        Scan { file, size, bytes: [0; SCAN_BYTES], start: 0, filled: 0 }
    }

    /// The header at `position`; `None` at the segment's end. A rest that is too short for one is `Some` garbage, which `plausible` refuses.
    fn header(&mut self, position: u32) -> Result<Option<BatchHeader>, Unreadable> {
        self.header_within(position, SCAN_BYTES)
    }

    /// The header at `position`, without what follows it.
    fn small_header(&mut self, position: u32) -> Result<Option<BatchHeader>, Unreadable> {
        self.header_within(position, BATCH_HEADER_BYTES)
    }

    fn header_within(&mut self, position: u32, read_bytes: usize) -> Result<Option<BatchHeader>, Unreadable> {
        if position >= self.size {
            return Ok(None);
        }
        let header_bytes = BATCH_HEADER_BYTES as u32;
        if position < self.start || position + header_bytes > self.start + self.filled {
            let len = read_bytes.min((self.size - position) as usize);
            let needed = len.min(BATCH_HEADER_BYTES);
            let read = try_read(self.file, &mut self.bytes[..len], position)?;
            if read < needed {
                return Err(Unreadable::NotResident { position, len: SCAN_BYTES });
            }
            (self.start, self.filled) = (position, read as u32);
            if read < BATCH_HEADER_BYTES {
                self.bytes[read..BATCH_HEADER_BYTES].fill(0);
            }
        }
        Ok(BatchHeader::parse(&self.bytes[(position - self.start) as usize..]))
    }
}

/// Fills the buffer, or says what is not in memory.
fn try_fill(file: &File, bytes: &mut [u8], position: u32) -> Result<(), Unreadable> {
    match try_read(file, bytes, position)? {
        read if read == bytes.len() => Ok(()),
        read => Err(Unreadable::NotResident { position: position + read as u32, len: bytes.len() - read }),
    }
}

fn try_read(file: &File, bytes: &mut [u8], position: u32) -> Result<usize, Unreadable> {
    match file.try_read_at(bytes, u64::from(position)) {
        Ok(0) if !bytes.is_empty() => Err(Unreadable::Host(ErrorKind::UnexpectedEof.into())),
        Ok(read) => Ok(read),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Unreadable::NotResident { position, len: bytes.len() }),
        Err(error) => Err(Unreadable::Host(error)),
    }
}

impl SegmentOpened {
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }
}
