//! What a log does for its cleaner: how much there is to clean, a plan, the swap through the log's own jobs, the first dirty offset.
//!
//! Runs inline on the core and only decides. A cleaning is known by its [`Abort`]; what comes of one that the log no longer knows is refused.
//!
//! Invariants: one cleaning at a time, and one swap of it; while a swap is under way its segments are neither retained away nor truncated; the log learns of a new segment only after
//! the files have changed places, and jobs, openings and searches of one log are performed in one order: what was begun before sees the old files, what is begun later the new ones.

use std::io;
use std::path::PathBuf;

use super::choice::{self, Cleanable, SegmentFacts};
use super::cleaning::{Cleaned, CleaningPlan, CleaningReport, PlannedSegment};
use super::throttle::Abort;
use crate::base::{Offset, Timestamp};
use crate::log::format::{self, FileKind};
use crate::log::jobs::Step;
use crate::log::partition_log::{Log, RetiredSegments};
use crate::log::segment::{IndexSource, SealedSegment};

/// A log whose cleaning failed, or could do nothing, is left alone for so long: the reason will not go away at once, and it costs a reading to find that out.
const REST_MS: i64 = 10 * 60 * 1000;

/// One of which retention took a part before the cleaner came to it is tried again after this.
const OVERTAKEN_REST_MS: i64 = 2_000;

/// The cleaner's part of a log.
#[derive(Debug, Default)]
pub(in crate::log) struct CleanerState {
    /// Everything below was cleaned. `None`: nothing ever was, or nothing is known of it.
    pub first_dirty_offset: Option<Offset>,
    /// The cleaning under way.
    cleaning: Option<Abort>,
    /// What is about to take the place of old segments.
    swapping: Option<Box<Cleaned>>,
    /// Of the cleaning under way, something could not be put in its place.
    is_incomplete: bool,
    rest_until: Option<Timestamp>,
}

impl CleanerState {
    pub fn from_checkpoint(first_dirty_offset: Option<Offset>) -> CleanerState {
        CleanerState { first_dirty_offset, ..CleanerState::default() }
    }
}

impl Log {
    /// For the cleaner-offset checkpoint: the first offset that is not cleaned yet. `None`: no line there.
    pub fn first_dirty_offset_to_checkpoint(&self) -> Option<Offset> {
        self.cleaner.first_dirty_offset.filter(|_| self.config.cleanup_compact)
    }

    /// What could be cleaned now. `None`: the topic is not compacted, there is nothing, or a cleaning is under way or failed a moment ago.
    pub fn cleanable(&self, high_watermark: Offset, now: Timestamp) -> Option<Cleanable> {
        let rests = self.cleaner.rest_until.is_some_and(|until| now < until);
        if !self.config.cleanup_compact || self.cleaner.cleaning.is_some() || rests || self.offline.is_some() {
            return None;
        }
        let segments = self.planned_segments().map(|(facts, _)| facts);
        let first_dirty_offset = self.cleaner.first_dirty_offset.unwrap_or(self.log_start_offset).max(self.log_start_offset);
        let up_to = high_watermark.min(self.recovery_point);
        let cleanable = choice::cleanable(segments, first_dirty_offset, up_to, self.config.compaction_lag_ms_min, now);
        (cleanable.dirty_bytes > 0).then_some(cleanable)
    }

    /// The `.log` files of what is dirty and may be cleaned: the first batch of each tells how long its records wait.
    pub fn dirty_files(&self, cleanable: &Cleanable) -> Vec<PathBuf> {
        let is_dirty = |facts: &SegmentFacts| {
            facts.end_offset > cleanable.first_dirty_offset && facts.end_offset <= cleanable.first_uncleanable_offset
        };
        let dirty = self.planned_segments().map(|(facts, _)| facts).filter(is_dirty);
        dirty.map(|facts| format::path(&self.directory, facts.base_offset, FileKind::Log)).collect()
    }

    /// Begins a cleaning. `None` where `cleanable` says none.
    pub fn begin_cleaning(&mut self, high_watermark: Offset, now: Timestamp) -> Option<CleaningPlan> {
        let cleanable = self.cleanable(high_watermark, now)?;
        let within = |(facts, segment): (SegmentFacts, &SealedSegment)| {
            (facts.end_offset <= cleanable.first_uncleanable_offset).then_some(PlannedSegment {
                base_offset: facts.base_offset,
                end_offset: facts.end_offset,
                size: facts.size,
                modified: segment.modified,
            })
        };
        let segments = self.planned_segments().map_while(within).collect();
        let abort = Abort::default();
        self.cleaner.cleaning = Some(abort.clone());
        self.cleaner.is_incomplete = false;
        let (directory, config) = (self.directory.clone(), self.config.clone());
        Some(CleaningPlan { directory, config, cleanable, segments, producers: self.active_producers(), abort })
    }

    /// Has the next job put a cleaned segment in the place of those it was made from. False: the log does not want it, because the cleaning was aborted, or retention was
    /// faster; its files may be removed.
    pub fn swap_in(&mut self, cleaned: Cleaned) -> bool {
        let is_known = self.cleaner.cleaning.as_ref().is_some_and(|abort| abort.is_same(&cleaned.abort));
        let first = self.sealed.partition_point(|segment| segment.base_offset < cleaned.old[0].0);
        let there = self.sealed.get(first..first + cleaned.old.len()).unwrap_or_default();
        let are_there = there.iter().map(|segment| (segment.base_offset, segment.size)).eq(cleaned.old.iter().copied());
        if self.offline.is_some() {
            self.abort_cleaning();
        }
        if !is_known || !are_there || self.is_swapping() || self.offline.is_some() {
            self.cleaner.is_incomplete = true;
            return false;
        }
        self.steps.push(Step::SwapCleaned { base_offsets: cleaned.old.iter().map(|(base_offset, _)| *base_offset).collect() });
        self.cleaner.swapping = Some(Box::new(cleaned));
        true
    }

    /// Whether files are about to change places.
    pub fn is_swapping(&self) -> bool {
        self.cleaner.swapping.is_some()
    }

    /// Whether this segment's files are among them.
    pub(in crate::log) fn is_swapping_out(&self, base_offset: Offset) -> bool {
        self.cleaner.swapping.as_ref().is_some_and(|cleaned| cleaned.old.iter().any(|(old, _)| *old == base_offset))
    }

    /// The files have changed places.
    pub(in crate::log) fn swapped(&mut self, result: io::Result<()>) {
        let cleaned = self.cleaner.swapping.take().expect("a swap came back that was never asked for");
        if let Err(error) = result {
            self.go_offline("put a cleaned segment in its place", &error);
            self.abort_cleaning();
            return;
        }
        let is_known = self.cleaner.cleaning.as_ref().is_some_and(|abort| abort.is_same(&cleaned.abort));
        if let Some(clean_below) = cleaned.clean_below.filter(|_| is_known && !self.cleaner.is_incomplete) {
            self.cleaner.first_dirty_offset = Some(clean_below);
        }
        let base_offset = cleaned.old[0].0;
        let first = self.sealed.partition_point(|segment| segment.base_offset < base_offset);
        let new = SealedSegment {
            base_offset,
            size: cleaned.size,
            largest_timestamp: cleaned.largest_timestamp,
            modified: cleaned.modified,
            index_rebuilt: false,
            open: None,
        };
        let old: Vec<SealedSegment> = self.sealed.splice(first..first + cleaned.old.len(), [new]).collect();
        let old_bytes = old.iter().map(|segment| u64::from(segment.size)).sum::<u64>();
        assert!(old.iter().map(|segment| (segment.base_offset, segment.size)).eq(cleaned.old.iter().copied()), "only a swap changes them");
        self.sealed_bytes = self.sealed_bytes - old_bytes + u64::from(cleaned.size);
        self.read_starts.clear();
        let due = Timestamp(self.last_tick.0.saturating_add(self.config.file_delete_delay_ms));
        // Readers may still send from these files; the last one to let go should not be this core.
        let held = old.into_iter().filter_map(|segment| segment.open).map(|open| open.log).collect();
        self.retired.push(RetiredSegments { due, base_offsets: cleaned.old.iter().map(|(offset, _)| *offset).collect(), held });
    }

    /// Ends the cleaning of this plan. `report`: it came to its end.
    pub fn end_cleaning(&mut self, plan: &Abort, report: Option<&CleaningReport>, now: Timestamp) {
        if !self.cleaner.cleaning.as_ref().is_some_and(|abort| abort.is_same(plan)) {
            return;
        }
        self.cleaner.cleaning = None;
        let is_progress = |report: &CleaningReport| report.first_dirty_offset > report.first_dirty_offset_before;
        let rest_ms = match report {
            // Retention was faster than the cleaner: the next one begins with what it left.
            Some(report) if report.segments_gone > 0 || self.cleaner.is_incomplete => OVERTAKEN_REST_MS,
            Some(report) if is_progress(report) => {
                self.cleaner.first_dirty_offset = Some(report.first_dirty_offset);
                return;
            }
            _ => REST_MS,
        };
        self.cleaner.rest_until = Some(Timestamp(now.0.saturating_add(rest_ms)));
    }

    /// Stops the cleaning under way, if there is one: its owner gives the log up, or cuts its end.
    pub fn abort_cleaning(&mut self) {
        if let Some(abort) = self.cleaner.cleaning.take() {
            abort.order();
        }
    }

    /// The log's end was cut.
    pub(in crate::log) fn cut_first_dirty_offset(&mut self, log_end_offset: Offset) {
        self.cleaner.first_dirty_offset = self.cleaner.first_dirty_offset.map(|offset| offset.min(log_end_offset));
    }

    /// The sealed segments up to the first whose files are not finished.
    fn planned_segments(&self) -> impl Iterator<Item = (SegmentFacts, &SealedSegment)> + Clone {
        let ends = self.sealed.iter().skip(1).map(|segment| segment.base_offset).chain([self.active.base_offset]);
        let is_finished = |segment: &SealedSegment| segment.open.as_ref().is_none_or(|open| matches!(open.index, IndexSource::File(_)));
        self.sealed.iter().zip(ends).take_while(move |(segment, _)| is_finished(segment)).map(|(segment, end_offset)| {
            let (base_offset, size) = (segment.base_offset, segment.size);
            (SegmentFacts { base_offset, end_offset, size, age_from: segment.age_from() }, segment)
        })
    }
}
