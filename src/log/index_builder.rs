//! When a batch gets an index entry: the one rule, for appending, for recovery and for inspection.
//!
//! Pure; any thread. Kafka's rule: bytes since the last entry are counted; a batch that arrives while the count is above `index.interval.bytes` gets
//! an entry, and the count restarts with that batch's size. So the first batch of a segment never has one. A time index entry goes along if
//! the largest timestamp has grown since the one before. When the segment is sealed, one more time entry holds its largest timestamp.
//!
//! Invariant: fed with the same batches, the builder makes the same bytes as Apache Kafka (unless Kafka restarted in between: that resets its count).

use super::adjacent_entries::AdjacentEntries;
use super::offset_index::{self, OffsetIndex, OffsetIndexEntry};
use super::time_index::{self, TimeIndex, TimeIndexEntry};
use crate::base::Timestamp;

/// The indexes of a segment that still grows.
#[derive(Clone, Debug)]
pub struct IndexBuilder {
    pub offset_index: OffsetIndex,
    pub time_index: TimeIndex,
    /// The largest timestamp of the segment, `NONE` while there is none.
    pub largest_timestamp: Timestamp,
    /// Last offset of the batch that has it, counted from the base offset.
    pub largest_timestamp_relative_offset: u32,
    pub(super) adjacent: AdjacentEntries,
    bytes_since_last_entry: u32,
    last_batch_has_entry: bool,
}

impl IndexBuilder {
    pub fn new() -> IndexBuilder {
        IndexBuilder::resume(OffsetIndex::default(), TimeIndex::default())
    }

    /// Goes on with the indexes of a segment that was closed cleanly.
    pub fn resume(offset_index: OffsetIndex, time_index: TimeIndex) -> IndexBuilder {
        let last = time_index.last().unwrap_or(TimeIndexEntry { timestamp: Timestamp::NONE, relative_offset: 0 });
        IndexBuilder {
            offset_index,
            time_index,
            largest_timestamp: last.timestamp,
            largest_timestamp_relative_offset: last.relative_offset,
            adjacent: AdjacentEntries::default(),
            bytes_since_last_entry: 0,
            last_batch_has_entry: false,
        }
    }

    /// Takes note of a batch. `relative_offset` is its last offset, counted from the base offset; `position` is where it begins.
    pub fn add(&mut self, relative_offset: u32, position: u32, batch_bytes: u32, max_timestamp: Timestamp, index_interval_bytes: u32) {
        if max_timestamp > self.largest_timestamp {
            self.largest_timestamp = max_timestamp;
            self.largest_timestamp_relative_offset = relative_offset;
        }
        let has_entry = self.bytes_since_last_entry > index_interval_bytes;
        if has_entry {
            self.adjacent.push(self.offset_index.entries(), self.last_batch_has_entry);
            self.offset_index.push(OffsetIndexEntry { relative_offset, position });
            self.push_largest_timestamp();
            self.bytes_since_last_entry = 0;
        }
        self.last_batch_has_entry = has_entry;
        self.bytes_since_last_entry = self.bytes_since_last_entry.saturating_add(batch_bytes);
    }

    /// What sealing and a clean stop add: the largest timestamp, unless it is there already.
    pub fn finish(&mut self) {
        self.push_largest_timestamp();
    }

    /// Whether either index has reached `segment.index.bytes`. The time index keeps one place for the entry that sealing adds.
    pub fn is_full(&self, segment_index_bytes: u32) -> bool {
        let bytes = segment_index_bytes as usize;
        self.offset_index.entries() >= bytes / offset_index::ENTRY_BYTES || self.time_index.entries() + 1 >= bytes / time_index::ENTRY_BYTES
    }

    fn push_largest_timestamp(&mut self) {
        self.time_index
            .push_if_later(TimeIndexEntry { timestamp: self.largest_timestamp, relative_offset: self.largest_timestamp_relative_offset });
    }
}

impl Default for IndexBuilder {
    fn default() -> IndexBuilder {
        IndexBuilder::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gets_an_entry_once_more_than_the_interval_lies_before_it() {
        let mut builder = IndexBuilder::new();
        // Batches of 50 bytes, one record each, interval 100: the count before batch i is 50 i, so batch 3 is the first above 100.
        for i in 0..7 {
            builder.add(i, i * 50, 50, Timestamp(1000 + i64::from(i % 4)), 100);
        }
        let entries: Vec<_> = builder.offset_index.iter().map(|e| (e.relative_offset, e.position)).collect();
        assert_eq!(entries, [(3, 150), (6, 300)]);
        // The largest timestamp, 1003, came with batch 3 and was not exceeded since: one entry only.
        let entries: Vec<_> = builder.time_index.iter().map(|e| (e.timestamp.0, e.relative_offset)).collect();
        assert_eq!(entries, [(1003, 3)]);
        builder.finish();
        assert_eq!(builder.time_index.entries(), 1);
    }

    #[test]
    fn it_knows_which_entries_have_nothing_between_them() {
        let mut builder = IndexBuilder::new();
        let mut position = 0;
        // Interval 100: a batch behind a large one has an entry, one behind small ones has not always.
        for (i, batch_bytes) in [200, 200, 200, 200, 50, 60, 200, 200, 200].into_iter().enumerate() {
            builder.add(i as u32, position, batch_bytes, Timestamp::NONE, 100);
            position += batch_bytes;
        }
        let positions: Vec<u32> = builder.offset_index.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, [200, 400, 600, 800, 910, 1110, 1310]);
        let around: Vec<usize> = (0..positions.len()).filter(|i| builder.adjacent.are_around(*i)).collect();
        // 50 bytes at 800 and 60 behind them, which have no entry.
        assert_eq!(around, [1, 2, 5]);
    }

    #[test]
    fn sealing_adds_the_largest_timestamp_once() {
        let mut builder = IndexBuilder::new();
        builder.add(9, 0, 50, Timestamp(7), 4096);
        assert_eq!(builder.time_index.entries(), 0);
        builder.finish();
        builder.finish();
        assert!(builder.time_index.iter().eq([TimeIndexEntry { timestamp: Timestamp(7), relative_offset: 9 }]));
        assert_eq!(builder.offset_index.entries(), 0);
    }

    #[test]
    fn full_means_thirty_entries_at_240_bytes() {
        let mut builder = IndexBuilder::new();
        let mut position = 0;
        while !builder.is_full(240) {
            builder.add(position, position, 10, Timestamp::NONE, 0);
            position += 10;
        }
        assert_eq!(builder.offset_index.entries(), 30);
        assert_eq!(builder.time_index.entries(), 0);
    }
}
