//! When a segment ends and the next one begins.
//!
//! Runs inline on the core. The next segment's file was prepared by a job and gets its name by another one; only if none is ready is one
//! created here.
//!
//! Kafka's rules: no room for the batch; the batch's timestamp lies more than `segment.ms` after the first batch's; an index is full; the offset is too far
//! from the base for an i32. Records without a timestamp count by the clock. Ours in addition: a segment that was begun `segment.ms` ago by
//! the clock rolls in `tick`, also when nothing arrives.

use std::io::ErrorKind;
use std::sync::Arc;

use super::error::LogError;
use super::format::{self, FileKind};
use super::jobs::Step;
use super::offset_index;
use super::partition_log::{Log, Prepared, PreparedFile};
use super::segment::{ActiveSegment, FirstBatch, IndexSource, OpenSegment, SealedSegment};
use super::time_index;
use crate::base::{Offset, Timestamp};
use crate::io::File;
use crate::wire::batch::{BATCH_HEADER_BYTES, Batch, BatchHeader};

/// What rolling asks about a batch.
#[derive(Clone, Copy)]
pub(super) struct BatchShape {
    pub bytes: usize,
    pub max_timestamp: Timestamp,
    pub last_offset_delta: i32,
}

impl BatchShape {
    pub fn of(batch: &Batch<'_>, log_append_time: Option<Timestamp>) -> BatchShape {
        BatchShape {
            bytes: batch.bytes.len(),
            max_timestamp: log_append_time.unwrap_or(batch.max_timestamp),
            last_offset_delta: batch.header.last_offset_delta,
        }
    }
}

impl Log {
    pub(super) fn must_roll_before(&mut self, batch: BatchShape, now: Timestamp) -> bool {
        if self.active.size == 0 {
            return false;
        }
        self.read_first_timestamp();
        let first_timestamp = self.active.first_batch.timestamp();
        self.active.size as usize + batch.bytes > self.config.segment_bytes as usize
            || !self.is_within_segment_time(first_timestamp, batch)
            || first_timestamp.0 < 0 && self.has_segment_time_passed(now)
            || self.active.indexes.is_full(self.config.segment_index_bytes)
            || !self.is_within_relative_offsets(i64::from(batch.last_offset_delta))
    }

    /// Whether the batch's timestamp is close enough to the segment's first one (`NONE`: nothing to compare with).
    pub(super) fn is_within_segment_time(&self, first: Timestamp, batch: BatchShape) -> bool {
        first.0 < 0 || batch.max_timestamp.0.saturating_sub(first.0) <= self.segment_ms()
    }

    /// Whether an offset this far behind the log's end can be counted from the active segment's base.
    pub(super) fn is_within_relative_offsets(&self, ahead: i64) -> bool {
        self.log_end_offset.0 + ahead - self.active.base_offset.0 <= i64::from(i32::MAX)
    }

    /// How many batches can be added before an index may be full; 1 if it is or may be at once.
    pub(super) fn index_places_left(&self) -> usize {
        let bytes = self.config.segment_index_bytes as usize;
        let offset_places = (bytes / offset_index::ENTRY_BYTES).saturating_sub(self.active.indexes.offset_index.entries());
        let time_places = (bytes / time_index::ENTRY_BYTES).saturating_sub(self.active.indexes.time_index.entries() + 1);
        offset_places.min(time_places).max(1)
    }

    /// Whether the active segment has taken records for `segment.ms` by the clock.
    pub(super) fn has_segment_time_passed(&self, now: Timestamp) -> bool {
        self.active.size > 0 && self.active.appended_since.is_some_and(|since| now.0.saturating_sub(since.0) > self.segment_ms())
    }

    /// `segment.ms` less this segment's share of the jitter.
    fn segment_ms(&self) -> i64 {
        let jitter = self.config.segment_jitter_ms.clamp(0, self.config.segment_ms);
        if jitter == 0 {
            return self.config.segment_ms;
        }
        // Spread, not secrecy: a hash of the directory's name and the base offset (FNV-1a), the same after every restart.
        let name = self.directory.as_os_str().as_encoded_bytes().iter().copied();
        let hash = name
            .chain(self.active.base_offset.0.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        self.config.segment_ms - (hash % jitter.unsigned_abs()) as i64
    }

    /// A segment that was opened has not looked at its first batch. If that is not in memory now, the next append looks again.
    fn read_first_timestamp(&mut self) {
        if self.active.first_batch == FirstBatch::Unread {
            let mut bytes = [0; BATCH_HEADER_BYTES];
            if self.active.file.try_read_at(&mut bytes, 0).is_ok_and(|read| read == bytes.len())
                && let Some(header) = BatchHeader::parse(&bytes)
            {
                self.active.first_batch = FirstBatch::Timestamp(header.max_timestamp);
            }
        }
    }

    /// Has the next segment's file made, with so many bytes of blocks, or all of them if the topic asks for that.
    pub(super) fn prepare_next_segment(&mut self, preallocate_bytes: u32) {
        let preallocate_bytes = if self.config.preallocate { self.config.segment_bytes } else { preallocate_bytes };
        self.steps.push(Step::Prepare { preallocate_bytes });
        self.prepared = Prepared::Requested;
    }

    /// Seals the active segment and goes on in a new one at the log's end.
    ///
    /// # Errors
    /// No file was prepared and none could be created: the log is offline then.
    pub(super) fn roll(&mut self, now: Timestamp) -> Result<(), LogError> {
        assert!(self.active.size > 0, "an empty segment is not rolled");
        let base_offset = self.log_end_offset;
        let PreparedFile { file, preallocated_bytes } = match std::mem::replace(&mut self.prepared, Prepared::None) {
            Prepared::Ready(prepared) => {
                self.steps.push(Step::NamePrepared { base_offset });
                self.prepared = Prepared::BeingNamed;
                prepared
            }
            other => {
                self.prepared = other;
                PreparedFile { file: self.create_inline(base_offset)?, preallocated_bytes: 0 }
            }
        };
        let mut sealed = std::mem::replace(&mut self.active, ActiveSegment::new(base_offset, file));
        self.active.preallocated_to = preallocated_bytes;
        sealed.indexes.finish();
        let offset_index = Arc::new(sealed.indexes.offset_index);
        // Before the seal, as in Kafka: where the recovery point goes, the snapshot has gone.
        self.steps.push(Step::WriteProducerSnapshot { offset: base_offset, producers: self.producers.freeze() });
        self.steps.push(Step::Seal {
            base_offset: sealed.base_offset,
            next_base_offset: base_offset,
            log: sealed.file.clone(),
            size: sealed.size,
            offset_index: offset_index.clone(),
            time_index: sealed.indexes.time_index,
        });
        self.sealed.push(SealedSegment {
            base_offset: sealed.base_offset,
            size: sealed.size,
            largest_timestamp: sealed.indexes.largest_timestamp,
            modified: now,
            index_rebuilt: false,
            open: Some(Box::new(OpenSegment {
                log: sealed.file,
                index: IndexSource::Memory(offset_index),
                adjacent: sealed.indexes.adjacent,
                headers_seen: sealed.headers_seen,
                used_at: now.into(),
            })),
        });
        self.sealed_bytes += u64::from(sealed.size);
        self.counters.segments_rolled += 1;
        Ok(())
    }

    fn create_inline(&mut self, base_offset: Offset) -> Result<Arc<File>, LogError> {
        self.counters.segments_created_inline += 1;
        let path = format::path(&self.directory, base_offset, FileKind::Log);
        match File::create_new(&path) {
            Ok(file) => Ok(Arc::new(file)),
            // A file of this name can only be empty: it would hold records of offsets that do not exist yet.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match File::open_write(&path) {
                Ok(file) if file.size().is_ok_and(|size| size == 0) => Ok(Arc::new(file)),
                _ => Err(self.go_offline("create the next segment", &error)),
            },
            Err(error) => Err(self.go_offline("create the next segment", &error)),
        }
    }
}
