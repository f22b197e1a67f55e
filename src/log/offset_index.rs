//! The offset index (`.index`): where in a segment a batch begins, for one batch in every `index.interval.bytes`.
//!
//! Pure; any thread. An entry, big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | i32 last offset of the batch − base offset of the segment |
//! | 4..8 | i32 position of the batch's first byte in the `.log` |
//!
//! Invariants: both fields ascend strictly; the position is never 0, because the first batch of a segment has no entry. So a zero entry
//! marks the unused tail of an index that Kafka had preallocated.

use std::convert::Infallible;

use super::index_search::{last_where, last_where_near};

pub const ENTRY_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetIndexEntry {
    /// Last offset of the batch, counted from the segment's base offset.
    pub relative_offset: u32,
    /// Where that batch begins, in bytes from the start of the `.log`.
    pub position: u32,
}

impl OffsetIndexEntry {
    pub fn parse(bytes: [u8; ENTRY_BYTES]) -> OffsetIndexEntry {
        let [a, b, c, d, e, f, g, h] = bytes;
        OffsetIndexEntry { relative_offset: u32::from_be_bytes([a, b, c, d]), position: u32::from_be_bytes([e, f, g, h]) }
    }

    pub fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let [a, b, c, d] = self.relative_offset.to_be_bytes();
        let [e, f, g, h] = self.position.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// The zeros behind the last entry of a preallocated index.
    pub fn is_unused(self) -> bool {
        self.position == 0
    }
}

/// The entries of one segment, held in the very bytes of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetIndex {
    bytes: Vec<u8>,
}

impl OffsetIndex {
    /// Takes a file's bytes: whole entries up to the first unused one.
    pub fn from_bytes(mut bytes: Vec<u8>) -> OffsetIndex {
        let whole = bytes.len() / ENTRY_BYTES;
        let used = count_used(whole, |i| Ok::<_, Infallible>(entry_at(&bytes, i))).unwrap_or_else(|never| match never {});
        bytes.truncate(used * ENTRY_BYTES);
        bytes.shrink_to_fit();
        OffsetIndex { bytes }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn entries(&self) -> usize {
        self.bytes.len() / ENTRY_BYTES
    }

    pub fn entry(&self, i: usize) -> OffsetIndexEntry {
        entry_at(&self.bytes, i)
    }

    pub fn last(&self) -> Option<OffsetIndexEntry> {
        self.entries().checked_sub(1).map(|i| self.entry(i))
    }

    pub fn iter(&self) -> impl Iterator<Item = OffsetIndexEntry> + '_ {
        (0..self.entries()).map(|i| self.entry(i))
    }

    pub fn push(&mut self, entry: OffsetIndexEntry) {
        debug_assert!(self.last().is_none_or(|last| last.relative_offset < entry.relative_offset && last.position < entry.position));
        self.bytes.extend_from_slice(&entry.to_bytes());
    }

    /// The last entry at or below `relative_offset`: reading from its position on meets every batch that holds a higher or equal offset.
    pub fn lookup(&self, relative_offset: u32) -> Option<OffsetIndexEntry> {
        lookup(self.entries(), relative_offset, |i| Ok::<_, Infallible>(self.entry(i))).unwrap_or_else(|never| match never {})
    }

    /// The number of the last entry whose batch begins at or below `position`.
    pub fn number_at(&self, position: u32) -> Option<usize> {
        let found = last_where(self.entries(), |i| Ok::<_, Infallible>(self.entry(i).position <= position));
        found.unwrap_or_else(|never| match never {})
    }

    /// Drops every entry whose batch begins at or behind `log_bytes`.
    pub fn truncate_to_log(&mut self, log_bytes: u32) {
        let kept = log_bytes.checked_sub(1).and_then(|last| {
            let below = last_where(self.entries(), |i| Ok::<_, Infallible>(self.entry(i).position <= last));
            below.unwrap_or_else(|never| match never {})
        });
        self.bytes.truncate(kept.map_or(0, |i| (i + 1) * ENTRY_BYTES));
    }

    /// Whether both fields ascend and every position lies inside a log of `log_bytes`.
    pub fn is_sound(&self, log_bytes: u32) -> bool {
        let mut before: Option<OffsetIndexEntry> = None;
        self.iter().all(|entry| {
            let ascends = before.is_none_or(|b| b.relative_offset < entry.relative_offset && b.position < entry.position);
            before = Some(entry);
            ascends && entry.position < log_bytes && entry.relative_offset <= i32::MAX as u32
        })
    }
}

/// As `OffsetIndex::lookup`, over entries that `read` fetches (from a file, say).
pub fn lookup<E>(
    entries: usize,
    relative_offset: u32,
    mut read: impl FnMut(usize) -> Result<OffsetIndexEntry, E>,
) -> Result<Option<OffsetIndexEntry>, E> {
    match last_where(entries, |i| Ok(read(i)?.relative_offset <= relative_offset))? {
        Some(i) => read(i).map(Some),
        None => Ok(None),
    }
}

/// As `OffsetIndex::number_at`, over entries that `read` fetches, of a log of `log_bytes`: the search begins where the entry is if all are equally far apart.
pub fn number_at<E>(
    entries: usize,
    position: u32,
    log_bytes: u32,
    mut read: impl FnMut(usize) -> Result<OffsetIndexEntry, E>,
) -> Result<Option<usize>, E> {
    let guess = (entries as u64 * u64::from(position) / u64::from(log_bytes.max(1))) as usize;
    last_where_near(entries, guess, |i| Ok(read(i)?.position <= position))
}

/// How many of `whole` entries are in use: Kafka preallocates an active segment's index and after a crash leaves zeros behind the last entry.
pub fn count_used<E>(whole: usize, mut read: impl FnMut(usize) -> Result<OffsetIndexEntry, E>) -> Result<usize, E> {
    if whole == 0 || !read(whole - 1)?.is_unused() {
        return Ok(whole);
    }
    Ok(last_where(whole, |i| Ok(!read(i)?.is_unused()))?.map_or(0, |i| i + 1))
}

fn entry_at(bytes: &[u8], i: usize) -> OffsetIndexEntry {
    let mut entry = [0; ENTRY_BYTES];
    entry.copy_from_slice(&bytes[i * ENTRY_BYTES..][..ENTRY_BYTES]);
    OffsetIndexEntry::parse(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `log-append.time-0/00000000000000000000.index` as Kafka 4.3.0 wrote it.
    const GOLDEN: [u8; 40] = [
        0x00, 0x00, 0x00, 0x29, 0x00, 0x00, 0x19, 0x17, 0x00, 0x00, 0x00, 0x4b, 0x00, 0x00, 0x35, 0x35, 0x00, 0x00, 0x00, 0xb2, 0x00, 0x00,
        0x47, 0xf9, 0x00, 0x00, 0x01, 0x22, 0x00, 0x00, 0x5b, 0x30, 0x00, 0x00, 0x01, 0x86, 0x00, 0x00, 0x6b, 0xa1,
    ];

    fn entry(relative_offset: u32, position: u32) -> OffsetIndexEntry {
        OffsetIndexEntry { relative_offset, position }
    }

    #[test]
    fn golden_bytes() {
        let expected = [entry(41, 6423), entry(75, 13621), entry(178, 18425), entry(290, 23344), entry(390, 27553)];
        let mut built = OffsetIndex::default();
        expected.iter().for_each(|e| built.push(*e));
        assert_eq!(built.as_bytes(), GOLDEN);
        assert!(OffsetIndex::from_bytes(GOLDEN.to_vec()).iter().eq(expected));
    }

    #[test]
    fn lookups_find_the_entry_at_or_below() {
        let index = OffsetIndex::from_bytes(GOLDEN.to_vec());
        assert_eq!(index.lookup(40), None);
        assert_eq!(index.lookup(41), Some(entry(41, 6423)));
        assert_eq!(index.lookup(177), Some(entry(75, 13621)));
        assert_eq!(index.lookup(u32::MAX), Some(entry(390, 27553)));
        assert_eq!(index.number_at(6422), None);
        assert_eq!((index.number_at(18424), index.number_at(18425)), (Some(1), Some(2)));
    }

    #[test]
    fn zeros_behind_the_last_entry_are_no_entries() {
        for zeros in [0, 8, 80, 10_485_760 - 40] {
            let mut bytes = GOLDEN.to_vec();
            bytes.resize(40 + zeros, 0);
            assert_eq!(OffsetIndex::from_bytes(bytes).as_bytes(), GOLDEN);
        }
        assert_eq!(OffsetIndex::from_bytes(vec![0; 800]).entries(), 0);
        assert_eq!(OffsetIndex::from_bytes(GOLDEN[..37].to_vec()).entries(), 4);
    }

    #[test]
    fn truncation_drops_the_entries_behind_the_log() {
        let mut index = OffsetIndex::from_bytes(GOLDEN.to_vec());
        index.truncate_to_log(18426);
        assert_eq!(index.last(), Some(entry(178, 18425)));
        index.truncate_to_log(18425);
        assert_eq!(index.last(), Some(entry(75, 13621)));
        index.truncate_to_log(0);
        assert_eq!(index.last(), None);
    }

    #[test]
    fn soundness_sees_disorder_and_positions_outside() {
        let index = OffsetIndex::from_bytes(GOLDEN.to_vec());
        assert!(index.is_sound(27554));
        assert!(!index.is_sound(27553));
        let mut swapped = GOLDEN.to_vec();
        swapped.rotate_left(8);
        assert!(!OffsetIndex::from_bytes(swapped).is_sound(30000));
    }
}
