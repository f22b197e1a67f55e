//! The time index (`.timeindex`): the largest timestamp so far in a segment and who had it, written along with the offset index.
//!
//! Pure; any thread. An entry, big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | i64 largest timestamp of the segment so far, in milliseconds since 1970 |
//! | 8..12 | i32 last offset of the batch that had it − base offset of the segment |
//!
//! Invariants: timestamps ascend strictly, offsets do too. Every sealed segment that holds a record with a timestamp has at least one entry: its last one is
//! the largest timestamp of the segment.

use std::convert::Infallible;

use super::index_search::last_where;
use crate::base::Timestamp;

pub const ENTRY_BYTES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeIndexEntry {
    pub timestamp: Timestamp,
    /// Last offset of the batch, counted from the segment's base offset.
    pub relative_offset: u32,
}

impl TimeIndexEntry {
    pub fn parse(bytes: [u8; ENTRY_BYTES]) -> TimeIndexEntry {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        TimeIndexEntry {
            timestamp: Timestamp(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
            relative_offset: u32::from_be_bytes([i, j, k, l]),
        }
    }

    pub fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.relative_offset.to_be_bytes());
        bytes
    }

    /// The zeros behind the last entry of a preallocated index. An entry for a record of 1970-01-01 00:00:00.000 at the base offset looks the
    /// same; taking it for unused costs a longer scan and nothing else.
    pub fn is_unused(self) -> bool {
        self.timestamp.0 == 0 && self.relative_offset == 0
    }
}

/// The entries of one segment, held in the very bytes of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeIndex {
    bytes: Vec<u8>,
}

impl TimeIndex {
    /// Takes a file's bytes: whole entries up to the first unused one.
    pub fn from_bytes(mut bytes: Vec<u8>) -> TimeIndex {
        let whole = bytes.len() / ENTRY_BYTES;
        let used = count_used(whole, |i| Ok::<_, Infallible>(entry_at(&bytes, i))).unwrap_or_else(|never| match never {});
        bytes.truncate(used * ENTRY_BYTES);
        bytes.shrink_to_fit();
        TimeIndex { bytes }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn entries(&self) -> usize {
        self.bytes.len() / ENTRY_BYTES
    }

    pub fn entry(&self, i: usize) -> TimeIndexEntry {
        entry_at(&self.bytes, i)
    }

    pub fn last(&self) -> Option<TimeIndexEntry> {
        self.entries().checked_sub(1).map(|i| self.entry(i))
    }

    pub fn iter(&self) -> impl Iterator<Item = TimeIndexEntry> + '_ {
        (0..self.entries()).map(|i| self.entry(i))
    }

    /// Adds the entry if its timestamp is above the last one's; a timestamp below 0 ("none") never is.
    pub fn push_if_later(&mut self, entry: TimeIndexEntry) {
        if entry.timestamp > self.last().map_or(Timestamp::NONE, |last| last.timestamp) {
            self.bytes.extend_from_slice(&entry.to_bytes());
        }
    }

    /// The last entry at or below `timestamp`: no batch up to its offset is later than `timestamp`.
    pub fn lookup(&self, timestamp: Timestamp) -> Option<TimeIndexEntry> {
        lookup(self.entries(), timestamp, |i| Ok::<_, Infallible>(self.entry(i))).unwrap_or_else(|never| match never {})
    }

    /// The last entry below `relative_offset`: no batch up to the one that it names is later than it.
    pub fn last_below(&self, relative_offset: u32) -> Option<TimeIndexEntry> {
        self.position_of_last(|offset| offset < relative_offset).map(|i| self.entry(i))
    }

    /// Drops every entry above `last_relative_offset`; `None` drops all.
    pub fn truncate_to_offset(&mut self, last_relative_offset: Option<u32>) {
        let kept = last_relative_offset.and_then(|last| self.position_of_last(|offset| offset <= last));
        self.bytes.truncate(kept.map_or(0, |i| (i + 1) * ENTRY_BYTES));
    }

    fn position_of_last(&self, holds: impl Fn(u32) -> bool) -> Option<usize> {
        let found = last_where(self.entries(), |i| Ok::<_, Infallible>(holds(self.entry(i).relative_offset)));
        found.unwrap_or_else(|never| match never {})
    }

    /// Whether timestamps and offsets ascend and no offset is above the segment's last one.
    pub fn is_sound(&self, last_relative_offset: u32) -> bool {
        let mut before: Option<TimeIndexEntry> = None;
        self.iter().all(|entry| {
            let ascends = before.is_none_or(|b| b.timestamp < entry.timestamp && b.relative_offset < entry.relative_offset);
            before = Some(entry);
            ascends && entry.timestamp.0 >= 0 && entry.relative_offset <= last_relative_offset
        })
    }
}

/// As `TimeIndex::lookup`, over entries that `read` fetches (from a file, say).
pub fn lookup<E>(
    entries: usize,
    timestamp: Timestamp,
    mut read: impl FnMut(usize) -> Result<TimeIndexEntry, E>,
) -> Result<Option<TimeIndexEntry>, E> {
    match last_where(entries, |i| Ok(read(i)?.timestamp <= timestamp))? {
        Some(i) => read(i).map(Some),
        None => Ok(None),
    }
}

/// How many of `whole` entries are in use, as for the offset index.
pub fn count_used<E>(whole: usize, mut read: impl FnMut(usize) -> Result<TimeIndexEntry, E>) -> Result<usize, E> {
    if whole == 0 || !read(whole - 1)?.is_unused() {
        return Ok(whole);
    }
    Ok(last_where(whole, |i| Ok(!read(i)?.is_unused()))?.map_or(0, |i| i + 1))
}

fn entry_at(bytes: &[u8], i: usize) -> TimeIndexEntry {
    let mut entry = [0; ENTRY_BYTES];
    entry.copy_from_slice(&bytes[i * ENTRY_BYTES..][..ENTRY_BYTES]);
    TimeIndexEntry::parse(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first three entries of `log-append.time-0/00000000000000000000.timeindex` as Kafka 4.3.0 wrote them.
    const GOLDEN: [u8; 36] = [
        0x00, 0x00, 0x01, 0xa1, 0xfb, 0x42, 0x37, 0x2e, 0x00, 0x00, 0x00, 0x29, 0x00, 0x00, 0x01, 0xa1, 0xfb, 0x42, 0x37, 0x38, 0x00, 0x00,
        0x00, 0x43, 0x00, 0x00, 0x01, 0xa1, 0xfb, 0x42, 0x37, 0x5e, 0x00, 0x00, 0x00, 0xb0,
    ];

    fn entry(timestamp: i64, relative_offset: u32) -> TimeIndexEntry {
        TimeIndexEntry { timestamp: Timestamp(timestamp), relative_offset }
    }

    #[test]
    fn golden_bytes() {
        let expected = [entry(1_795_216_783_150, 41), entry(1_795_216_783_160, 67), entry(1_795_216_783_198, 176)];
        let mut built = TimeIndex::default();
        expected.iter().for_each(|e| built.push_if_later(*e));
        assert_eq!(built.as_bytes(), GOLDEN);
        assert!(TimeIndex::from_bytes(GOLDEN.to_vec()).iter().eq(expected));
    }

    #[test]
    fn only_later_timestamps_get_an_entry() {
        let mut index = TimeIndex::default();
        index.push_if_later(entry(-1, 3));
        assert_eq!(index.entries(), 0);
        index.push_if_later(entry(10, 5));
        index.push_if_later(entry(10, 9));
        index.push_if_later(entry(9, 10));
        index.push_if_later(entry(11, 12));
        assert!(index.iter().eq([entry(10, 5), entry(11, 12)]));
        assert_eq!(index.lookup(Timestamp(9)), None);
        assert_eq!(index.lookup(Timestamp(10)), Some(entry(10, 5)));
        assert_eq!(index.lookup(Timestamp(i64::MAX)), Some(entry(11, 12)));
    }

    #[test]
    fn zeros_behind_the_last_entry_are_no_entries() {
        let mut bytes = GOLDEN.to_vec();
        bytes.resize(10_485_756, 0);
        assert_eq!(TimeIndex::from_bytes(bytes).as_bytes(), GOLDEN);
        assert_eq!(TimeIndex::from_bytes(vec![0; 1200]).entries(), 0);
    }

    #[test]
    fn the_last_entry_below_an_offset() {
        let index = TimeIndex::from_bytes(GOLDEN.to_vec());
        let below = [0, 41, 42, 67, 68, u32::MAX].map(|offset| index.last_below(offset).map(|entry| entry.relative_offset));
        assert_eq!(below, [None, None, Some(41), Some(41), Some(67), Some(176)]);
    }

    #[test]
    fn truncation_drops_the_entries_behind_an_offset() {
        let mut index = TimeIndex::from_bytes(GOLDEN.to_vec());
        index.truncate_to_offset(Some(175));
        assert_eq!(index.last(), Some(entry(1_795_216_783_160, 67)));
        assert!(index.is_sound(67));
        assert!(!index.is_sound(66));
        index.truncate_to_offset(None);
        assert_eq!(index.last(), None);
    }
}
