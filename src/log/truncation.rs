//! Cutting the end off a log, for a follower whose leader knows better (KIP-101, KIP-279).
//!
//! Blocking: the owner hands the log to a helper thread and takes it back. What is cut is gone: it was never acknowledged by the leader that now counts.

use std::sync::Arc;

use super::error::{Doing, LogError};
use super::format::{self, FileKind, Marking, SegmentFileName};
use super::leader_epochs;
use super::partition_log::{Log, Prepared};
use super::producer_recovery::ProducerSources;
use super::rebuild;
use super::segment::{ActiveSegment, FirstBatch};
use super::walk::{Walk, Walked};
use crate::base::Offset;
use crate::io::{File, directory};

impl Log {
    /// Removes every batch that holds `offset` or a later one. An offset at or above the end changes nothing; one at or below the start empties the log, which
    /// then goes on at `offset`. Blocking: for a helper thread, while no job of this log is under way.
    ///
    /// # Errors
    /// The log is offline, or the host's: it is offline then.
    ///
    /// # Panics
    /// If a job is under way.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        self.check_online()?;
        assert!(!self.job_in_flight, "a log is not truncated under its background work");
        if offset >= self.log_end_offset {
            return Ok(());
        }
        self.run_steps()?;
        self.abort_cleaning();
        let result = self.truncate_files(offset);
        if let Err(LogError::Host { error, .. }) = &result {
            let error = error.clone();
            return Err(self.go_offline("truncate", &error));
        }
        result
    }

    fn truncate_files(&mut self, offset: Offset) -> Result<(), LogError> {
        self.read_starts.clear();
        while self.active.base_offset >= offset
            && let Some(before) = self.sealed.pop()
        {
            for kind in FileKind::ALL {
                let path = format::path(&self.directory, self.active.base_offset, kind);
                if directory::exists(&path).doing(&path, "look for")? {
                    directory::remove_file(&path).doing(&path, "remove")?;
                }
            }
            self.sealed_bytes -= u64::from(before.size);
            let path = format::path(&self.directory, before.base_offset, FileKind::Log);
            let file = Arc::new(File::open_write(&path).doing(&path, "open")?);
            self.log_end_offset = self.active.base_offset;
            self.active = ActiveSegment { size: before.size, ..ActiveSegment::new(before.base_offset, file) };
        }
        let end_offset = self.cut_active(offset)?;
        self.log_end_offset = end_offset;
        self.log_start_offset = self.log_start_offset.min(end_offset);
        self.first_base_on_disk = self.first_base_offset();
        self.recovery_point = self.recovery_point.min(end_offset);
        self.cut_first_dirty_offset(end_offset);
        self.leader_epochs.truncate_from_end(end_offset);
        leader_epochs::write(&self.directory, &self.leader_epochs).doing(&self.directory, "write the leader epochs of")?;
        self.reload_producers()?;
        directory::sync(&self.directory).doing(&self.directory, "sync")
    }

    /// What the batches that are gone said of their producers is forgotten.
    fn reload_producers(&mut self) -> Result<(), LogError> {
        let names = directory::list(&self.directory).doing(&self.directory, "list")?;
        let names = names.iter().filter_map(|entry| SegmentFileName::parse(&entry.name));
        let snapshots = names.filter(|name| name.kind == FileKind::ProducerSnapshot && name.marking == Marking::Live);
        let mut snapshots: Vec<Offset> = snapshots.map(|name| name.offset).collect();
        snapshots.sort();
        let sealed = self.sealed.iter().map(|segment| (segment.base_offset, segment.size));
        let segments: Vec<(Offset, u32)> = sealed.chain([(self.active.base_offset, self.active.size)]).collect();
        let sources = ProducerSources {
            partition: &self.directory,
            snapshots: &snapshots,
            segments: &segments,
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            clean: false,
            without_producers: self.log_end_offset..self.log_end_offset,
        };
        let loaded = sources.load()?;
        (self.producers, self.producer_snapshot_offset) = (loaded.state, loaded.snapshot_offset);
        Ok(())
    }

    /// Cuts the active segment before the batch that holds `offset`, and makes its indexes anew. Answers where the log ends now.
    fn cut_active(&mut self, offset: Offset) -> Result<Offset, LogError> {
        let path = format::path(&self.directory, self.active.base_offset, FileKind::Log);
        let file = self.active.file.clone();
        let mut walk = Walk::new(&file, 0, self.active.size);
        let (mut size, mut end_offset, mut first_batch) = (0, self.active.base_offset.min(offset), FirstBatch::None);
        while let Some(Walked::Batch { position, bytes, header }) = walk.next_header().doing(&path, "read")? {
            if header.last_offset() >= offset {
                break;
            }
            if first_batch == FirstBatch::None {
                first_batch = FirstBatch::Timestamp(header.max_timestamp);
            }
            (size, end_offset) = (position + bytes, header.next_offset());
        }
        file.truncate(u64::from(size)).doing(&path, "truncate")?;
        let base_offset = self.active.base_offset;
        if size == 0 && end_offset < base_offset {
            // Nothing is left, and the log goes on below this segment's name.
            let path = format::path(&self.directory, end_offset, FileKind::Log);
            for kind in FileKind::ALL {
                let _ = directory::remove_file(&format::path(&self.directory, base_offset, kind));
            }
            let file = Arc::new(File::create(&path).doing(&path, "create")?);
            self.active = ActiveSegment::new(end_offset, file);
            return Ok(end_offset);
        }
        let indexes = rebuild::indexes(&file, base_offset, size, self.config.index_interval_bytes).doing(&path, "read")?;
        rebuild::write(&self.directory, base_offset, &indexes).doing(&path, "write the indexes of")?;
        self.active = ActiveSegment {
            size,
            offset_index_written: indexes.offset_index.as_bytes().len(),
            time_index_written: indexes.time_index.as_bytes().len(),
            indexes,
            first_batch,
            appended_since: (size > 0).then_some(self.last_tick),
            writeback_to: size,
            ..ActiveSegment::new(base_offset, file)
        };
        Ok(end_offset)
    }

    /// Performs the queued background work here and now.
    pub(super) fn run_steps(&mut self) -> Result<(), LogError> {
        self.job_in_flight = false;
        while self.has_jobs() {
            for job in self.take_jobs() {
                let done = job.perform();
                self.job_done(done);
            }
        }
        debug_assert!(!matches!(self.prepared, Prepared::Requested | Prepared::BeingNamed));
        self.check_online()
    }
}
