//! Which segments are old enough, or too many, to be deleted.
//!
//! `choose` is pure. Kafka's rules: only from the oldest on, only below the high watermark; a segment goes when its largest timestamp is more than
//! `retention.ms` old, or when the log without it is still at least `retention.bytes` long, or when it lies wholly below the log's start. For
//! age and size the active segment goes too when it is not empty: it is rolled first, so that an empty segment stays at the end offset.

use super::config::LogConfig;
use super::error::LogError;
use super::jobs::Step;
use super::partition_log::{Log, RetiredSegments};
use crate::base::{Offset, Timestamp};

/// What retention asks about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The next segment's base offset, or the log's end.
    pub end_offset: Offset,
    pub size: u32,
    /// `NONE`: nothing is known of its age, so it is kept.
    pub largest_timestamp: Timestamp,
}

/// How many of the segments, oldest first, are to be deleted.
pub fn choose(
    segments: impl IntoIterator<Item = SegmentFacts>,
    size_bytes: u64,
    log_start_offset: Offset,
    high_watermark: Offset,
    config: &LogConfig,
    now: Timestamp,
) -> usize {
    let limit_bytes = u64::try_from(config.retention_bytes).ok().filter(|_| config.cleanup_delete);
    let limit_ms = (config.retention_ms >= 0 && config.cleanup_delete).then_some(config.retention_ms);
    let mut left_bytes = size_bytes;
    let mut count = 0;
    let mut segments = segments.into_iter().peekable();
    while let Some(segment) = segments.next() {
        let is_old =
            limit_ms.is_some_and(|limit| segment.largest_timestamp.0 >= 0 && now.0.saturating_sub(segment.largest_timestamp.0) > limit);
        let is_too_much = limit_bytes.is_some_and(|limit| left_bytes >= limit && left_bytes - limit >= u64::from(segment.size));
        let is_below_start = segment.end_offset <= log_start_offset && segments.peek().is_some();
        // An empty one at the end is the active one; before it, what compaction has emptied.
        if segment.size == 0 && segments.peek().is_none()
            || segment.end_offset > high_watermark
            || !(is_old || is_too_much || is_below_start)
        {
            break;
        }
        left_bytes -= u64::from(segment.size);
        count += 1;
    }
    count
}

impl Log {
    /// Moves the log's start up to `offset` (DeleteRecords, KIP-107); segments wholly below it go with the next tick. Offsets at or below the start
    /// change nothing; the caller bounds `offset` by the high watermark.
    ///
    /// # Errors
    /// The log is offline.
    ///
    /// # Panics
    /// If `offset` is above the log's end.
    pub fn advance_log_start_offset(&mut self, offset: Offset) -> Result<(), LogError> {
        self.check_online()?;
        assert!(offset <= self.log_end_offset, "a log cannot start behind its end");
        if offset > self.log_start_offset {
            self.log_start_offset = offset;
            if self.leader_epochs.truncate_from_start(offset) {
                self.write_leader_epochs_later();
            }
        }
        Ok(())
    }

    /// Takes segments that retention chooses out of the log; a job renames their files, and after `file.delete.delay.ms` another one removes them.
    pub(super) fn retain(&mut self, high_watermark: Offset, now: Timestamp) -> Result<(), LogError> {
        let bases = self.sealed.iter().map(|segment| segment.base_offset).chain([self.active.base_offset]);
        let ends = bases.skip(1).chain([self.log_end_offset]);
        let sizes = self.sealed.iter().map(|segment| (segment.size, segment.age_from()));
        let sizes = sizes.chain([(self.active.size, self.active.indexes.largest_timestamp)]);
        let facts = ends.zip(sizes).map(|(end_offset, (size, largest_timestamp))| SegmentFacts { end_offset, size, largest_timestamp });
        let count = choose(facts, self.size_bytes(), self.log_start_offset, high_watermark, &self.config, now);
        if count == 0 {
            return Ok(());
        }
        if count > self.sealed.len() {
            self.roll(now)?;
        }
        let removed: Vec<_> = self.sealed.drain(..count).collect();
        self.sealed_bytes -= removed.iter().map(|segment| u64::from(segment.size)).sum::<u64>();
        self.counters.segments_deleted += count as u64;
        self.read_starts.clear();
        self.log_start_offset = self.log_start_offset.max(self.first_base_offset());
        if self.leader_epochs.truncate_from_start(self.log_start_offset) {
            self.write_leader_epochs_later();
        }
        let base_offsets: Vec<Offset> = removed.iter().map(|segment| segment.base_offset).collect();
        // Readers may still send from these files; the last one to let go should not be this core.
        let held = removed.into_iter().filter_map(|segment| segment.open).map(|open| open.log).collect();
        self.steps.push(Step::Retire { base_offsets: base_offsets.clone(), next_base_offset: self.first_base_offset() });
        let due = Timestamp(now.0.saturating_add(self.config.file_delete_delay_ms));
        self.retired.push(RetiredSegments { due, base_offsets, held });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn segments(sizes_and_ages: &[(u32, i64)]) -> Vec<SegmentFacts> {
        let facts = |(i, (size, age)): (usize, &(u32, i64))| SegmentFacts {
            end_offset: Offset((i as i64 + 1) * 10),
            size: *size,
            largest_timestamp: Timestamp(NOW.0 - age),
        };
        sizes_and_ages.iter().enumerate().map(facts).collect()
    }

    fn chosen(sizes_and_ages: &[(u32, i64)], retention_ms: i64, retention_bytes: i64, start: i64, high_watermark: i64) -> usize {
        let config = LogConfig { retention_ms, retention_bytes, ..LogConfig::default() };
        let total = sizes_and_ages.iter().map(|(size, _)| u64::from(*size)).sum();
        choose(segments(sizes_and_ages), total, Offset(start), Offset(high_watermark), &config, NOW)
    }

    #[test]
    fn by_age_from_the_oldest_on() {
        let log = [(100, 50), (100, 40), (100, 60), (100, 1)];
        assert_eq!(chosen(&log, 39, -1, 0, 40), 3);
        assert_eq!(chosen(&log, 45, -1, 0, 40), 1, "the third is old too, but lies behind a young one");
        assert_eq!(chosen(&log, 50, -1, 0, 40), 0, "more than, not at");
        assert_eq!(chosen(&log, 0, -1, 0, 40), 4, "the active one too");
        assert_eq!(chosen(&log, -1, -1, 0, 40), 0);
    }

    #[test]
    fn by_size_while_enough_is_left() {
        let log = [(100, 0), (100, 0), (100, 0), (50, 0)];
        assert_eq!(chosen(&log, -1, 250, 0, 40), 1);
        assert_eq!(chosen(&log, -1, 251, 0, 40), 0);
        assert_eq!(chosen(&log, -1, 150, 0, 40), 2);
        assert_eq!(chosen(&log, -1, 0, 0, 40), 4);
    }

    #[test]
    fn never_above_the_high_watermark_nor_an_empty_segment() {
        let log = [(100, 50), (100, 50), (0, 50)];
        assert_eq!(chosen(&log, 0, -1, 0, 19), 1);
        assert_eq!(chosen(&log, 0, -1, 0, 30), 2);
    }

    #[test]
    fn what_lies_below_the_start_goes_whatever_the_policy() {
        let log = [(100, 0), (100, 0), (100, 0)];
        assert_eq!(chosen(&log, -1, -1, 20, 30), 2);
        assert_eq!(chosen(&log, -1, -1, 19, 30), 1);
        assert_eq!(chosen(&log, -1, -1, 30, 30), 2, "the active one stays");
        let config = LogConfig { cleanup_delete: false, retention_ms: 0, retention_bytes: 0, ..LogConfig::default() };
        assert_eq!(choose(segments(&log), 300, Offset(10), Offset(30), &config, NOW), 1);
    }
}
