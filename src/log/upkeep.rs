//! What a log needs between requests: the clock, background jobs and their results, flushing, and a clean end.
//!
//! `tick`, `take_jobs` and `job_done` run inline on the core and only decide; `close` blocks, for a helper thread.

use std::sync::Arc;

use super::error::{Doing, LogError};
use super::format::{FileKind, PREPARED_FILE};
use super::index_file::IndexFile;
use super::jobs::{Job, JobDone, Step, StepDone, write_index};
use super::leader_epochs;
use super::partition_log::{Log, Prepared};
use super::producer_log::write_snapshot;
use super::segment::IndexSource;
use crate::base::{Offset, Timestamp};
use crate::io::{File, directory};

/// A sealed segment that nobody has read for this long is closed.
const IDLE_SEGMENT_MS: i64 = 60_000;
/// New index entries go to their files in pieces of this size.
const INDEX_TAIL_BYTES: usize = 4096;

/// What waits to be made durable, for `flush.messages`, `flush.ms` and group commit.
#[derive(Clone, Debug)]
pub struct Unflushed {
    /// Records behind the recovery point.
    pub messages: i64,
    /// When the oldest of them was appended (or the log opened), by the wall clock.
    pub since: Option<Timestamp>,
    /// Sync all of these, then call `Log::flushed(up_to)`. The active segment is the first one; behind it stand sealed ones whose own sync is under way.
    pub files: Vec<Arc<File>>,
    pub up_to: Offset,
}

impl Log {
    /// Lets time pass: idle rolls, retention, deferred deletions, index entries to write, files to close. Cheap; about once a second. `now` is the wall clock.
    pub fn tick(&mut self, now: Timestamp, high_watermark: Offset) {
        self.last_tick = now;
        if self.offline.is_some() {
            return;
        }
        if self.has_segment_time_passed(now) {
            match self.prepared {
                // Without a file at hand the roll waits for the next tick: nothing arrives, so nothing is urgent.
                Prepared::None => self.prepare_next_segment(0),
                Prepared::Ready(_) => _ = self.roll(now),
                Prepared::Requested | Prepared::BeingNamed => {}
            }
        }
        // A failure in either has taken the log offline, and says so to the next caller. Files that are about to change places are left alone.
        if !self.is_swapping() {
            let _ = self.retain(high_watermark, now);
        }
        self.write_index_tail();
        self.delete_retired(now);
        for segment in &mut self.sealed {
            let is_idle = |used_at: Timestamp| now.0.saturating_sub(used_at.0) > IDLE_SEGMENT_MS;
            // Its index is still on its way to the file: closed later.
            if segment.open.as_ref().is_some_and(|open| matches!(open.index, IndexSource::File(_)) && is_idle(open.used_at.get())) {
                segment.open = None;
            }
        }
    }

    /// The next background job, if the one before is done and there is anything to do. Perform it on a helper thread, then call `job_done`.
    pub fn take_jobs(&mut self) -> Vec<Job> {
        if self.job_in_flight || self.steps.is_empty() {
            return Vec::new();
        }
        self.job_in_flight = true;
        vec![Job { directory: self.directory.clone(), steps: std::mem::take(&mut self.steps) }]
    }

    /// Whether `take_jobs` would give one.
    pub fn has_jobs(&self) -> bool {
        !self.job_in_flight && !self.steps.is_empty()
    }

    /// Takes note of what a job did.
    ///
    /// # Panics
    /// If no job of this log is under way.
    pub fn job_done(&mut self, done: JobDone) {
        assert!(self.job_in_flight, "a job came back that was never given out");
        self.job_in_flight = false;
        for result in done.results {
            self.step_done(result);
        }
    }

    fn step_done(&mut self, done: StepDone) {
        match done {
            StepDone::Prepared(Ok(prepared)) => self.prepared = Prepared::Ready(prepared),
            StepDone::Prepared(Err(_)) => {
                // The roll creates a file itself, and meets the error there if it lasts.
                self.prepared = Prepared::None;
                self.counters.background_failures += 1;
            }
            StepDone::NamedPrepared(Ok(())) => self.prepared = Prepared::None,
            StepDone::NamedPrepared(Err(error)) => _ = self.go_offline("name the next segment", &error),
            StepDone::Sealed { synced: Err(error), .. } => _ = self.go_offline("sync a full segment", &error),
            StepDone::Sealed { base_offset, next_base_offset, synced: Ok(()), index } => {
                self.flushed(next_base_offset);
                self.take_written_index(base_offset, index);
            }
            StepDone::Retired { next_base_offset, result: Ok(()) } => self.first_base_on_disk = next_base_offset,
            StepDone::Retired { result: Err(error), .. } => _ = self.go_offline("rename a deleted segment", &error),
            StepDone::SwappedCleaned(result) => self.swapped(result),
            StepDone::ProducerSnapshotWritten { offset, result: Ok(()) } => {
                self.producer_snapshot_offset = self.producer_snapshot_offset.max(offset);
            }
            StepDone::IndexTailWritten(Err(_))
            | StepDone::Preallocated(Err(_))
            | StepDone::LeaderEpochsWritten(Err(_))
            | StepDone::ProducerSnapshotWritten { result: Err(_), .. } => {
                self.counters.background_failures += 1;
            }
            StepDone::IndexTailWritten(Ok(()))
            | StepDone::Preallocated(Ok(()))
            | StepDone::LeaderEpochsWritten(Ok(()))
            | StepDone::Other => {}
        }
    }

    /// The sealed segment's index is in its file now: the copy in memory can go.
    fn take_written_index(&mut self, base_offset: Offset, index: std::io::Result<(Arc<File>, usize)>) {
        let Ok(at) = self.sealed.binary_search_by_key(&base_offset, |segment| segment.base_offset) else { return };
        match (index, &mut self.sealed[at].open) {
            (Ok((file, entries)), Some(open)) => open.index = IndexSource::File(IndexFile::new(file, entries)),
            (Ok(_), None) => {}
            // The index in memory serves until the log is closed; the next start makes the file anew.
            (Err(_), _) => self.counters.background_failures += 1,
        }
    }

    fn write_index_tail(&mut self) {
        let active = &mut self.active;
        let offset_entries = &active.indexes.offset_index.as_bytes()[active.offset_index_written..];
        let time_entries = &active.indexes.time_index.as_bytes()[active.time_index_written..];
        if offset_entries.len() + time_entries.len() < INDEX_TAIL_BYTES {
            return;
        }
        self.steps.push(Step::WriteIndexTail {
            base_offset: active.base_offset,
            offset_entries: offset_entries.to_vec(),
            offset_position: active.offset_index_written as u64,
            time_entries: time_entries.to_vec(),
            time_position: active.time_index_written as u64,
        });
        active.offset_index_written = active.indexes.offset_index.as_bytes().len();
        active.time_index_written = active.indexes.time_index.as_bytes().len();
    }

    fn delete_retired(&mut self, now: Timestamp) {
        while self.retired.first().is_some_and(|retired| retired.due <= now) {
            let retired = self.retired.remove(0);
            self.steps.push(Step::Delete { base_offsets: retired.base_offsets, held: retired.held });
        }
    }

    /// What is not durable yet. `None` if everything is.
    pub fn unflushed(&self) -> Option<Unflushed> {
        if self.recovery_point >= self.log_end_offset {
            return None;
        }
        // Newest first: all but the last one or two segments were synced long ago.
        let mut files = vec![self.active.file.clone()];
        let mut end_offset = self.active.base_offset;
        for segment in self.sealed.iter().rev().take_while(|segment| {
            let is_unsynced = end_offset > self.recovery_point;
            end_offset = segment.base_offset;
            is_unsynced
        }) {
            files.extend(segment.open.as_ref().map(|open| open.log.clone()));
        }
        let messages = self.log_end_offset.0 - self.recovery_point.0;
        Some(Unflushed { messages, since: self.unflushed_since, files, up_to: self.log_end_offset })
    }

    /// Everything below `up_to` is on the disk: the caller has synced the files that `unflushed` named.
    ///
    /// # Panics
    /// If `up_to` is above the log's end.
    pub fn flushed(&mut self, up_to: Offset) {
        assert!(up_to <= self.log_end_offset, "what is not written cannot be flushed");
        self.recovery_point = self.recovery_point.max(up_to);
        self.unflushed_since = match self.recovery_point == self.log_end_offset {
            true => None,
            // What came during the sync came after the tick before it; close enough for flush.ms.
            false => Some(self.last_tick),
        };
    }

    /// A sync that the caller made for this log failed: nothing is retried, the log is offline from here on.
    pub fn sync_failed(&mut self, error: &std::io::Error) -> LogError {
        self.go_offline("sync", error)
    }

    /// Ends a log. Blocking: for a helper thread, after the last job came back. A clean end finishes what the jobs would have done, trims and syncs everything;
    /// the recovery point is the log's end then. An unclean end (or an offline log) leaves the files as they are. Answers what to write to the
    /// checkpoints; the clean-shutdown marker may be written only if every log of the directory says `clean`.
    ///
    /// # Errors
    /// The host's. The log has not ended cleanly then.
    pub fn close(mut self, clean: bool) -> Result<Closed, LogError> {
        let clean = clean && self.offline.is_none();
        if clean {
            self.finish()?;
        }
        Ok(Closed {
            clean,
            recovery_point: self.recovery_point,
            log_start_offset: self.log_start_offset_to_checkpoint(),
            log_end_offset: self.log_end_offset,
            first_dirty_offset: self.first_dirty_offset_to_checkpoint(),
        })
    }

    fn finish(&mut self) -> Result<(), LogError> {
        self.run_steps()?;
        let active = &mut self.active;
        active.indexes.finish();
        active.file.truncate(u64::from(active.size)).doing(&self.directory, "trim the active segment of")?;
        active.file.data_sync().doing(&self.directory, "sync the active segment of")?;
        for (kind, bytes) in
            [(FileKind::TimeIndex, active.indexes.time_index.as_bytes()), (FileKind::OffsetIndex, active.indexes.offset_index.as_bytes())]
        {
            write_index(&self.directory, active.base_offset, kind, bytes, true).doing(&self.directory, "write an index of")?;
        }
        leader_epochs::write(&self.directory, &self.leader_epochs).doing(&self.directory, "write the leader epochs of")?;
        if self.log_end_offset > self.producer_snapshot_offset {
            write_snapshot(&self.directory, self.log_end_offset, &self.producers.freeze())
                .doing(&self.directory, "write the producers of")?;
        }
        if directory::exists(&self.directory.join(PREPARED_FILE)).doing(&self.directory, "look into")? {
            directory::remove_file(&self.directory.join(PREPARED_FILE)).doing(&self.directory, "remove the prepared segment of")?;
        }
        directory::sync(&self.directory).doing(&self.directory, "sync")?;
        self.recovery_point = self.log_end_offset;
        Ok(())
    }
}

/// What is left to note about a log that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub clean: bool,
    /// For the recovery-point checkpoint.
    pub recovery_point: Offset,
    /// For the log-start-offset checkpoint; `None`: no line there.
    pub log_start_offset: Option<Offset>,
    pub log_end_offset: Offset,
    /// For the cleaner-offset checkpoint; `None`: no line there.
    pub first_dirty_offset: Option<Offset>,
}
