//! Which part of a log is to be cleaned, whether that is worth it, and which segments become one.
//!
//! Pure; any thread. Kafka's rules (LogCleanerManager, Cleaner): cleaned is what lies below the high watermark in sealed segments none of whose records is
//! younger than `min.compaction.lag.ms`; it is worth it when more than `min.cleanable.dirty.ratio` of the bytes up to there are dirty, or when a dirty
//! record has waited longer than `max.compaction.lag.ms`. Ours in addition: only segments that are on the disk.
//!
//! Invariant: `log start <= first_dirty_offset <= first_uncleanable_offset`, and both are where a segment or a batch begins.

use std::ops::Range;

use crate::base::limits::CLEANED_TOGETHER_SEGMENTS_MAX;
use crate::base::{Offset, Timestamp};

/// What the choice asks about a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    pub base_offset: Offset,
    /// The next segment's base offset.
    pub end_offset: Offset,
    pub size: u32,
    /// Its largest timestamp; where no record has one, when the file was written.
    pub age_from: Timestamp,
}

/// What could be cleaned of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    pub first_dirty_offset: Offset,
    pub first_uncleanable_offset: Offset,
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
}

impl Cleanable {
    /// The dirty share of what could be cleaned, 0 to 1.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            all => self.dirty_bytes as f64 / all as f64,
        }
    }

    /// Whether it is worth a cleaning. `is_overdue`: a dirty record has waited too long.
    pub fn is_worth_it(&self, dirty_ratio_min: f64, is_overdue: bool) -> bool {
        self.dirty_bytes > 0 && (is_overdue || self.dirty_ratio() > dirty_ratio_min)
    }
}

/// What could be cleaned of a log with these sealed segments, oldest first. `up_to` is where what may be cleaned ends at the latest: the high watermark,
/// and what is on the disk.
pub fn cleanable(
    segments: impl Iterator<Item = SegmentFacts> + Clone,
    first_dirty_offset: Offset,
    up_to: Offset,
    compaction_lag_ms_min: i64,
    now: Timestamp,
) -> Cleanable {
    let is_young = |age_from: Timestamp| compaction_lag_ms_min > 0 && age_from.0 > now.0.saturating_sub(compaction_lag_ms_min);
    let may_be_cleaned =
        |segment: &SegmentFacts| segment.end_offset <= up_to && !(segment.end_offset > first_dirty_offset && is_young(segment.age_from));
    let within = segments.take_while(may_be_cleaned);
    let end = within.clone().last().map_or(first_dirty_offset, |segment| segment.end_offset);
    let bytes = |counts: &dyn Fn(&SegmentFacts) -> bool| within.clone().filter(|s| counts(s)).map(|s| u64::from(s.size)).sum();
    Cleanable {
        first_dirty_offset,
        first_uncleanable_offset: end.max(first_dirty_offset),
        clean_bytes: bytes(&|segment| segment.base_offset < first_dirty_offset),
        dirty_bytes: bytes(&|segment| segment.end_offset > first_dirty_offset),
    }
}

/// What grouping asks about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSizes {
    pub base_offset: Offset,
    pub end_offset: Offset,
    pub size: u32,
    pub offset_index_bytes: u64,
    pub time_index_bytes: u64,
}

/// Cuts segments into groups of neighbours that fit one segment even if nothing is removed: by `segment_bytes`, by `segment_index_bytes` for each index, and by offsets
/// that an i32 can count from the first one's base.
pub fn groups(segments: &[SegmentSizes], segment_bytes: u32, segment_index_bytes: u32) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < segments.len() {
        let first = segments[start];
        let (mut size, mut offset_index, mut time_index) = (u64::from(first.size), first.offset_index_bytes, first.time_index_bytes);
        let mut end = start + 1;
        while let Some(next) = segments.get(end) {
            size += u64::from(next.size);
            offset_index += next.offset_index_bytes;
            time_index += next.time_index_bytes;
            let fits = size <= u64::from(segment_bytes)
                && offset_index <= u64::from(segment_index_bytes)
                && time_index <= u64::from(segment_index_bytes)
                && end - start < CLEANED_TOGETHER_SEGMENTS_MAX
                && next.end_offset.0 - 1 - first.base_offset.0 <= i64::from(i32::MAX);
            if !fits {
                break;
            }
            end += 1;
        }
        groups.push(start..end);
        start = end;
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// Segments of ten offsets each, with these sizes and ages.
    fn segments(sizes_and_ages: &[(u32, i64)]) -> Vec<SegmentFacts> {
        let facts = |(i, (size, age)): (usize, &(u32, i64))| SegmentFacts {
            base_offset: Offset(i as i64 * 10),
            end_offset: Offset(i as i64 * 10 + 10),
            size: *size,
            age_from: Timestamp(NOW.0 - age),
        };
        sizes_and_ages.iter().enumerate().map(facts).collect()
    }

    fn chosen(sizes_and_ages: &[(u32, i64)], first_dirty: i64, up_to: i64, lag: i64) -> (i64, u64, u64) {
        let cleanable = cleanable(segments(sizes_and_ages).into_iter(), Offset(first_dirty), Offset(up_to), lag, NOW);
        assert_eq!(cleanable.first_dirty_offset, Offset(first_dirty));
        (cleanable.first_uncleanable_offset.0, cleanable.clean_bytes, cleanable.dirty_bytes)
    }

    #[test]
    fn up_to_the_high_watermark_by_whole_segments() {
        let log = [(100, 0), (200, 0), (400, 0)];
        assert_eq!(chosen(&log, 0, 30, 0), (30, 0, 700));
        assert_eq!(chosen(&log, 10, 30, 0), (30, 100, 600));
        assert_eq!(chosen(&log, 10, 29, 0), (20, 100, 200));
        assert_eq!(chosen(&log, 10, 19, 0), (10, 100, 0), "nothing dirty may be cleaned");
        assert_eq!(chosen(&log, 30, 30, 0), (30, 700, 0));
        // Cleaned up to the middle of a segment: it counts twice, as in Kafka.
        assert_eq!(chosen(&log, 15, 30, 0), (30, 300, 600));
        assert_eq!(chosen(&[], 7, 30, 0), (7, 0, 0));
    }

    #[test]
    fn not_what_is_too_young_but_what_was_cleaned_before() {
        let log = [(100, 5), (200, 50), (400, 9), (800, 50)];
        assert_eq!(chosen(&log, 10, 40, 10), (20, 100, 200), "the third is too young, and ends it");
        assert_eq!(chosen(&log, 10, 40, 9), (40, 100, 1400), "as old as the lag is old enough");
        assert_eq!(chosen(&log, 0, 40, 10), (0, 0, 0));
        assert_eq!(chosen(&log, 0, 40, 0), (40, 0, 1500));
    }

    #[test]
    fn worth_it_above_the_ratio_or_when_overdue() {
        let cleanable = |clean_bytes, dirty_bytes| Cleanable {
            first_dirty_offset: Offset(0),
            first_uncleanable_offset: Offset(0),
            clean_bytes,
            dirty_bytes,
        };
        assert!(cleanable(0, 1).is_worth_it(0.5, false));
        assert!(!cleanable(50, 50).is_worth_it(0.5, false), "above, not at");
        assert!(cleanable(50, 50).is_worth_it(0.5, true));
        assert!(!cleanable(50, 0).is_worth_it(0.0, true), "there is nothing to do");
        assert!(!cleanable(0, 0).is_worth_it(0.0, false));
    }

    #[test]
    fn groups_keep_within_each_limit() {
        let sizes = |size, index| SegmentSizes {
            base_offset: Offset(0),
            end_offset: Offset(10),
            size,
            offset_index_bytes: index,
            time_index_bytes: index / 2,
        };
        let grouped = |segments: &[SegmentSizes]| groups(segments, 1000, 100).into_iter().map(|range| range.len()).collect::<Vec<_>>();
        assert_eq!(grouped(&[sizes(400, 0); 5]), [2, 2, 1]);
        assert_eq!(grouped(&[sizes(0, 0); 5]), [5]);
        assert_eq!(grouped(&[sizes(1, 40); 5]), [2, 2, 1]);
        assert_eq!(grouped(&[sizes(5000, 500); 2]), [1, 1], "one that is too large already stays alone");
        assert_eq!(grouped(&[sizes(0, 0); CLEANED_TOGETHER_SEGMENTS_MAX + 1]), [CLEANED_TOGETHER_SEGMENTS_MAX, 1]);
        assert_eq!(grouped(&[]), [0usize; 0]);
        let far = SegmentSizes { end_offset: Offset(i64::from(i32::MAX) + 2), ..sizes(1, 1) };
        let near = SegmentSizes { end_offset: Offset(i64::from(i32::MAX) + 1), ..far };
        assert_eq!((grouped(&[sizes(1, 1), far]), grouped(&[sizes(1, 1), near])), (vec![1, 1], vec![2]));
    }

    proptest! {
        #[test]
        fn groups_cover_everything_in_order(sizes in prop::collection::vec((0u32..700, 0u64..70), 0..40)) {
            let segments: Vec<_> = sizes.iter().enumerate().map(|(i, (size, index))| SegmentSizes {
                base_offset: Offset(i as i64),
                end_offset: Offset(i as i64 + 1),
                size: *size,
                offset_index_bytes: *index,
                time_index_bytes: *index,
            }).collect();
            let groups = groups(&segments, 1000, 100);
            let mut next = 0;
            for group in groups {
                prop_assert_eq!(group.start, next);
                prop_assert!(!group.is_empty());
                next = group.end;
                let members = &segments[group];
                prop_assert!(members.len() == 1 || members.iter().map(|s| s.size).sum::<u32>() <= 1000);
                prop_assert!(members.len() == 1 || members.iter().map(|s| s.offset_index_bytes).sum::<u64>() <= 100);
            }
            prop_assert_eq!(next, segments.len());
        }
    }
}
