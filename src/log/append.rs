//! Appending: batches get their offsets and go to the page cache in one `pwritev`.
//!
//! Runs inline on the core. Only the 61 header bytes of a batch are copied and patched; the records go to the kernel from the caller's slice.
//! A batch that its producer has sent before, or out of order, is left out (`producer_state`); its neighbours are written.
//!
//! Invariant: after an error the bytes behind the log's end mean nothing, nor does the producer state: the log is offline, and the next recovery cuts them.

use std::io::IoSlice;
use std::ops::RangeInclusive;

use super::error::LogError;
use super::jobs::Step;
use super::partition_log::{Log, Prepared};
use super::producer_log::marker_of;
use super::producer_state::NotAppended;
use super::roll::BatchShape;
use super::segment::{FirstBatch, OffsetAndPosition};
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::wire::batch::{BATCH_HEADER_BYTES, Batch};

/// Writing to the disk is begun each time this much has come: small steps, so that the kernel never has a flood to flush.
const WRITEBACK_STEP_BYTES: u32 = 4 << 20;
/// Blocks are allotted ahead in steps of a quarter of what the segment has taken since the log was opened, within these bounds.
/// A step keeps the file from the core, for milliseconds now and then: few steps, and none that traffic does not bear out.
const PREALLOCATION_STEP_BYTES: RangeInclusive<u32> = 16 << 20..=128 << 20;
/// What the next segment's file is given before anybody writes to it, which keeps nobody waiting.
const PREPARED_BYTES_MAX: u32 = 128 << 20;
/// A log gets no preallocation before it has taken this much: thousands of quiet partitions must not claim the disk.
const PREALLOCATION_TRAFFIC_BYTES_MIN: u64 = 1 << 20;
/// Up to this many batches in one write need no allocation.
const BATCHES_ON_STACK: usize = 16;

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the first record; the log's end if nothing was appended.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The time written into the batches if the topic asks for LogAppendTime, else `NONE`.
    pub log_append_time: Timestamp,
    /// The log's end after the append: a later high watermark with its position.
    pub end: OffsetAndPosition,
    /// The batches that were left out, by their place among those given. The offsets of the others follow each other without a gap.
    pub left_out: Vec<(usize, NotAppended)>,
}

/// Who gave a batch its offsets.
#[derive(Clone, Copy)]
enum Placing {
    Leader {
        leader_epoch: LeaderEpoch,
        log_append_time: Option<Timestamp>,
    },
    /// Offsets and epochs came from the leader: not a byte changes.
    Follower,
}

impl Log {
    /// Appends as leader: gives the batches the next offsets and `leader_epoch`, and writes all that their producers may append now. `now` is the wall clock.
    ///
    /// # Errors
    /// `BatchLargerThanSegment` before anything is written. A failed write takes the log offline.
    ///
    /// # Panics
    /// If there is no batch.
    pub fn append(&mut self, batches: &[Batch<'_>], leader_epoch: LeaderEpoch, now: Timestamp) -> Result<Appended, LogError> {
        let log_append_time = match self.config.timestamp_type {
            super::config::TimestampType::CreateTime => None,
            super::config::TimestampType::LogAppendTime => Some(now),
        };
        self.append_placed(batches, Placing::Leader { leader_epoch, log_append_time }, now)
    }

    /// Appends what a leader sent, as it is.
    ///
    /// # Errors
    /// As `append`, and `NotInOrder` before anything is written if the offsets do not go on from the log's end.
    pub fn append_as_follower(&mut self, batches: &[Batch<'_>], now: Timestamp) -> Result<Appended, LogError> {
        let mut next = self.log_end_offset;
        for batch in batches {
            if batch.header.base_offset < next {
                let (came, log_end_offset) = (batch.header.base_offset.0, next.0);
                return Err(LogError::NotInOrder { directory: self.directory.clone(), came, log_end_offset });
            }
            next = batch.header.next_offset();
        }
        self.append_placed(batches, Placing::Follower, now)
    }

    fn append_placed(&mut self, batches: &[Batch<'_>], placing: Placing, now: Timestamp) -> Result<Appended, LogError> {
        assert!(!batches.is_empty(), "an append without batches");
        self.check_online()?;
        let segment_bytes = self.config.segment_bytes;
        if let Some(batch) = batches.iter().find(|batch| batch.bytes.len() > segment_bytes as usize) {
            return Err(LogError::BatchLargerThanSegment { came: batch.bytes.len(), segment_bytes });
        }
        let mut base_offset = None;
        let mut left_out = Vec::new();
        let mut rest = batches;
        while let Some(first) = rest.first() {
            let shape = BatchShape::of(first, placing.log_append_time());
            if self.must_roll_before(shape, now) {
                self.roll(now)?;
            }
            let together = self.batches_that_fit(rest, placing.log_append_time());
            let (admitted, refused) = self.admit_run(&rest[..together], placing, now);
            let (run, after) = rest.split_at(admitted);
            rest = after;
            if !run.is_empty() {
                let first_offset = self.write_run(run, placing, now)?;
                base_offset.get_or_insert(first_offset);
            }
            if let Some(why) = refused {
                left_out.push((batches.len() - rest.len(), why));
                rest = &rest[1..];
            }
        }
        self.start_background_work();
        Ok(Appended {
            base_offset: base_offset.unwrap_or(self.log_end_offset),
            last_offset: self.log_end_offset.plus(-1),
            log_append_time: placing.log_append_time().unwrap_or(Timestamp::NONE),
            end: self.end(),
            left_out,
        })
    }

    /// How many of the batches, from the first on, may be appended as far as their producers are concerned, and why the one behind them may not.
    fn admit_run(&mut self, batches: &[Batch<'_>], placing: Placing, now: Timestamp) -> (usize, Option<NotAppended>) {
        let mut next = self.log_end_offset;
        for (at, batch) in batches.iter().enumerate() {
            match placing {
                Placing::Follower => self.producers.replay(&batch.header, marker_of(batch), now),
                Placing::Leader { log_append_time, .. } => {
                    let timestamp = log_append_time.unwrap_or(batch.max_timestamp);
                    if let Err(why) = self.producers.admit(&batch.header, next, timestamp, now) {
                        return (at, Some(why));
                    }
                }
            }
            next = next.plus(i64::from(batch.header.last_offset_delta) + 1);
        }
        (batches.len(), None)
    }

    /// How many of the batches, the first one at least, go into the active segment without a roll in between.
    fn batches_that_fit(&self, batches: &[Batch<'_>], log_append_time: Option<Timestamp>) -> usize {
        let mut size = self.active.size as usize;
        let mut ahead = 0;
        let mut first_timestamp = self.active.first_batch.timestamp();
        let index_places = self.index_places_left();
        let mut count = 0;
        for batch in batches {
            let shape = BatchShape::of(batch, log_append_time);
            size += shape.bytes;
            ahead += i64::from(shape.last_offset_delta) + 1;
            let fits = size <= self.config.segment_bytes as usize
                && count < index_places
                && self.is_within_segment_time(first_timestamp, shape)
                && self.is_within_relative_offsets(ahead);
            if count > 0 && !fits {
                break;
            }
            if size == shape.bytes {
                first_timestamp = shape.max_timestamp;
            }
            count += 1;
        }
        count
    }

    /// Writes the batches at the end of the active segment; answers the first one's offset.
    fn write_run(&mut self, run: &[Batch<'_>], placing: Placing, now: Timestamp) -> Result<Offset, LogError> {
        let mut headers_on_stack = [[0; BATCH_HEADER_BYTES]; BATCHES_ON_STACK];
        let mut slices_on_stack = [IoSlice::new(&[]); 2 * BATCHES_ON_STACK];
        let (mut headers_on_heap, mut slices_on_heap) = (Vec::new(), Vec::new());
        let headers = if run.len() <= BATCHES_ON_STACK {
            &mut headers_on_stack[..run.len()]
        } else {
            headers_on_heap.resize(run.len(), [0; BATCH_HEADER_BYTES]);
            &mut headers_on_heap[..]
        };
        let mut next = self.log_end_offset;
        let mut first_offset = None;
        for (batch, header) in run.iter().zip(headers.iter_mut()) {
            match placing {
                Placing::Leader { leader_epoch, log_append_time } => *header = batch.placed_header(next, leader_epoch, log_append_time),
                Placing::Follower => {
                    next = batch.header.base_offset;
                    header.copy_from_slice(&batch.bytes[..BATCH_HEADER_BYTES]);
                }
            }
            first_offset.get_or_insert(next);
            next = next.plus(i64::from(batch.header.last_offset_delta) + 1);
        }
        let slices = if run.len() <= BATCHES_ON_STACK {
            &mut slices_on_stack[..2 * run.len()]
        } else {
            slices_on_heap.resize(2 * run.len(), IoSlice::new(&[]));
            &mut slices_on_heap[..]
        };
        for ((batch, header), pair) in run.iter().zip(headers.iter()).zip(slices.chunks_exact_mut(2)) {
            pair[0] = IoSlice::new(header);
            pair[1] = IoSlice::new(batch.records());
        }
        if let Err(error) = self.active.file.write_all_at(slices, u64::from(self.active.size)) {
            return Err(self.go_offline("append", &error));
        }
        for batch in run {
            self.note_appended(batch, placing, now);
        }
        assert_eq!(self.log_end_offset, next, "offsets were given out twice");
        Ok(first_offset.unwrap_or(next))
    }

    /// A batch was written at the end of the active segment: moves the end behind it.
    fn note_appended(&mut self, batch: &Batch<'_>, placing: Placing, now: Timestamp) {
        let (base_offset, leader_epoch) = match placing {
            Placing::Leader { leader_epoch, .. } => (self.log_end_offset, leader_epoch),
            Placing::Follower => (batch.header.base_offset, batch.header.partition_leader_epoch),
        };
        let last_offset = base_offset.plus(i64::from(batch.header.last_offset_delta));
        if leader_epoch > self.leader_epochs.latest() && self.leader_epochs.assign(leader_epoch, base_offset) {
            self.write_leader_epochs_later();
        }
        let max_timestamp = BatchShape::of(batch, placing.log_append_time()).max_timestamp;
        let active = &mut self.active;
        // Both fit: the roll keeps segments below 2 GiB and offsets within an i32 of the base.
        let (bytes, relative_offset) = (batch.bytes.len() as u32, (last_offset.0 - active.base_offset.0) as u32);
        if active.size == 0 {
            active.first_batch = FirstBatch::Timestamp(max_timestamp);
        }
        active.appended_since.get_or_insert(now);
        active.indexes.add(relative_offset, active.size, bytes, max_timestamp, self.config.index_interval_bytes);
        let place = OffsetAndPosition { offset: base_offset, segment: active.base_offset, position: active.size };
        self.read_starts.appended(place, bytes);
        active.size += bytes;
        self.appended_bytes += u64::from(bytes);
        self.log_end_offset = last_offset.plus(1);
        self.unflushed_since.get_or_insert(now);
    }

    /// Asks for what keeps the next appends quick.
    fn start_background_work(&mut self) {
        let segment_bytes = self.config.segment_bytes;
        let has_traffic = self.appended_bytes >= PREALLOCATION_TRAFFIC_BYTES_MIN;
        let traffic_bytes = u32::try_from(self.appended_bytes).unwrap_or(u32::MAX);
        let active = &mut self.active;
        let dirty = active.size - active.writeback_to;
        if dirty >= WRITEBACK_STEP_BYTES {
            let position = u64::from(active.writeback_to);
            self.steps.push(Step::StartWriteback { log: active.file.clone(), position, len: u64::from(dirty) });
            active.writeback_to = active.size;
        }
        let step = (active.size.min(traffic_bytes) / 4).clamp(*PREALLOCATION_STEP_BYTES.start(), *PREALLOCATION_STEP_BYTES.end());
        let wanted = active.size.saturating_add(step / 2).min(segment_bytes);
        if has_traffic && wanted > active.preallocated_to {
            let from = active.preallocated_to.max(active.size);
            let to = from.saturating_add(step).min(segment_bytes);
            if to > from {
                self.steps.push(Step::Preallocate { log: active.file.clone(), position: u64::from(from), len: u64::from(to - from) });
            }
            active.preallocated_to = to;
        }
        if matches!(self.prepared, Prepared::None) && self.active.size > segment_bytes / 2 {
            let bytes = segment_bytes.min(PREPARED_BYTES_MAX);
            let preallocate_bytes = if has_traffic && traffic_bytes >= bytes / 2 { bytes } else { 0 };
            self.prepare_next_segment(preallocate_bytes);
        }
    }
}

impl Placing {
    fn log_append_time(self) -> Option<Timestamp> {
        match self {
            Placing::Leader { log_append_time, .. } => log_append_time,
            Placing::Follower => None,
        }
    }
}
