//! `Log`: one partition on disk. This file holds the type and what can be asked of it; the verbs are in the files beside it.
//!
//! | file | verb |
//! |---|---|
//! | `recovery` | `Log::open` |
//! | `append` | `append`, `append_as_follower` |
//! | `roll` | what ends a segment |
//! | `read` | `read`, `locate` |
//! | `upkeep` | `tick`, `take_jobs`, `job_done`, `unflushed`, `flushed`, `close` |
//! | `retention` | what may be deleted; `advance_log_start_offset` |
//! | `truncation` | `truncate_to` |
//! | `producer_log` | `expire_producers`, `active_producers` |
//! | `timestamp_lookup` | `timestamp_lookup` |
//! | `compaction/of_log` | `cleanable`, `begin_cleaning`, `swap_in`, `end_cleaning`, `abort_cleaning` |
//!
//! Owned by one core; `Send`, so that it can be opened and closed on a helper thread. No call waits for the disk unless its text says so.
//!
//! Invariants: `first segment's base <= log_start_offset <= log_end_offset`, `recovery_point <= log_end_offset`; sealed segments ascend by base
//! offset and the active one is above them all; bytes of a segment below its size never change.

use std::path::Path;
use std::sync::Arc;

use super::compaction::of_log::CleanerState;
use super::config::LogConfig;
use super::error::LogError;
use super::jobs::Step;
use super::leader_epochs::{self, LeaderEpochs};
use super::producer_state::ProducerState;
use super::read_starts::ReadStarts;
use super::segment::{ActiveSegment, OffsetAndPosition, SealedSegment};
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::File;

/// One partition's log.
#[derive(Debug)]
pub struct Log {
    pub(super) directory: Arc<Path>,
    pub(super) config: Arc<LogConfig>,
    pub(super) log_start_offset: Offset,
    pub(super) log_end_offset: Offset,
    /// Everything below is on the disk.
    pub(super) recovery_point: Offset,
    /// When the oldest record that is not on the disk was appended.
    pub(super) unflushed_since: Option<Timestamp>,
    pub(super) sealed: Vec<SealedSegment>,
    /// The smallest base offset of a `.log` in the directory: below the first segment's while a job has yet to rename removed ones.
    pub(super) first_base_on_disk: Offset,
    /// The sum of the sealed segments' sizes.
    pub(super) sealed_bytes: u64,
    pub(super) active: ActiveSegment,
    pub(super) prepared: Prepared,
    pub(super) leader_epochs: LeaderEpochs,
    /// Knows every batch below the log's end.
    pub(super) producers: ProducerState,
    /// Of the newest producer snapshot in the directory; the log's start if there is none.
    pub(super) producer_snapshot_offset: Offset,
    pub(super) offline: Option<Arc<str>>,
    pub(super) steps: Vec<Step>,
    pub(super) job_in_flight: bool,
    pub(super) retired: Vec<RetiredSegments>,
    pub(super) read_starts: ReadStarts,
    /// Bytes appended since this log was opened: preallocation is for logs with traffic.
    pub(super) appended_bytes: u64,
    pub(super) cleaner: CleanerState,
    pub(super) last_tick: Timestamp,
    pub(super) counters: LogCounters,
}

/// The file of the segment after the active one.
#[derive(Debug)]
pub(super) enum Prepared {
    None,
    Requested,
    Ready(PreparedFile),
    /// In use, and not yet named.
    BeingNamed,
}

/// An empty file with blocks for so many bytes.
#[derive(Debug)]
pub(super) struct PreparedFile {
    pub file: Arc<File>,
    pub preallocated_bytes: u32,
}

/// Segments renamed to `.deleted` whose time has not come yet.
#[derive(Debug)]
pub(super) struct RetiredSegments {
    pub due: Timestamp,
    pub base_offsets: Vec<Offset>,
    pub held: Vec<Arc<File>>,
}

/// What happened to a log since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounters {
    pub segments_rolled: u64,
    /// Rolls for which no prepared file was ready: the core had to create one.
    pub segments_created_inline: u64,
    pub segments_deleted: u64,
    /// Background work that failed without harm: an index tail, a preallocation.
    pub background_failures: u64,
}

impl Log {
    /// The partition's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// New settings count from the next append or tick on.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// The first offset that may be read.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// The offset that the next record will get.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// The log's end as a limit for `read`.
    pub fn end(&self) -> OffsetAndPosition {
        OffsetAndPosition { offset: self.log_end_offset, segment: self.active.base_offset, position: self.active.size }
    }

    /// Everything below is known to be on the disk; for the recovery-point checkpoint.
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// The offset to write to the log-start-offset checkpoint: `None` unless the start lies above the first base in the directory.
    pub fn log_start_offset_to_checkpoint(&self) -> Option<Offset> {
        (self.log_start_offset > self.first_base_on_disk).then_some(self.log_start_offset)
    }

    /// Bytes in all `.log` files.
    pub fn size_bytes(&self) -> u64 {
        self.sealed_bytes + u64::from(self.active.size)
    }

    /// Segments, the active one included.
    pub fn segments(&self) -> usize {
        self.sealed.len() + 1
    }

    /// The largest timestamp in the log, `NONE` if there is none.
    pub fn largest_timestamp(&self) -> Timestamp {
        self.sealed.iter().map(|segment| segment.largest_timestamp).fold(self.active.indexes.largest_timestamp, Timestamp::max)
    }

    pub fn leader_epochs(&self) -> &LeaderEpochs {
        &self.leader_epochs
    }

    pub fn counters(&self) -> LogCounters {
        self.counters
    }

    /// Why the log is offline, if it is.
    pub fn offline_reason(&self) -> Option<&str> {
        self.offline.as_deref()
    }

    /// Notes that this broker leads the partition in `epoch` from the log's end on. Kafka writes this entry at becoming leader, before any record comes.
    pub fn assign_leader_epoch(&mut self, epoch: LeaderEpoch) {
        if self.leader_epochs.assign(epoch, self.log_end_offset) {
            self.write_leader_epochs_later();
        }
    }

    /// As `assign_leader_epoch`, for a log whose directory was just made: blocking, for a helper thread, and left to the caller to sync. So many new
    /// logs do not each ask a helper thread for two syncs soon after.
    ///
    /// # Errors
    /// The host's.
    pub fn begin_first_leader_epoch(&mut self, epoch: LeaderEpoch) -> std::io::Result<()> {
        self.leader_epochs.assign(epoch, self.log_end_offset);
        leader_epochs::write_new(&self.directory, &self.leader_epochs)
    }

    pub(super) fn write_leader_epochs_later(&mut self) {
        self.steps.retain(|step| !matches!(step, Step::WriteLeaderEpochs(_)));
        self.steps.push(Step::WriteLeaderEpochs(self.leader_epochs.clone()));
    }

    pub(super) fn first_base_offset(&self) -> Offset {
        self.sealed.first().map_or(self.active.base_offset, |segment| segment.base_offset)
    }

    /// # Errors
    /// `Offline`, with the reason.
    pub fn check_online(&self) -> Result<(), LogError> {
        match &self.offline {
            None => Ok(()),
            Some(why) => Err(LogError::Offline { directory: self.directory.clone(), why: why.clone() }),
        }
    }

    /// Takes the log out of service for the rest of this process's life; answers the error to hand on.
    pub(super) fn go_offline(&mut self, doing: &str, error: &std::io::Error) -> LogError {
        let why: Arc<str> = match &self.offline {
            Some(first) => first.clone(),
            None => format!(
                "cannot {doing}: {error}. Nothing more is written to it; what was acknowledged and flushed before is safe. \
                 Check the disk (dmesg) and its free space (df), then restart the broker: recovery keeps every whole batch"
            )
            .into(),
        };
        self.offline = Some(why.clone());
        LogError::Offline { directory: self.directory.clone(), why }
    }
}
