//! From the log of a `__consumer_offsets` partition to its groups.
//!
//! The core finds the bytes; reading, unpacking and replaying them runs on a helper thread, so a long log does not hold up the
//! core. Invariant: whatever was written before this core took the partition over is replayed before the first request is let in.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::timer::GroupClock;
use super::topics::image_topics;
use super::{GroupPartition, State, group_config};
use crate::base::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use crate::base::{ErrorCode, LeaderEpoch, Offset, ProducerId};
use crate::coordinator::replay::{Replay, ReplayedGroup};
use crate::coordinator::{Effect, GroupConfig, GroupCoordinator, GroupId};
use crate::io::glommio::spawn;
use crate::io::{FileRange, clock};
use crate::shard::Shard;
use crate::shard::partition::{PartitionKey, ReadRequest};
use crate::wire::batch::{Batch, split};
use crate::wire::records::Records;

/// What a helper thread reads and replays in one go.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A control record's key: version i16, type i16 (KIP-98).
const CONTROL_COMMIT: i16 = 1;

impl Shard {
    /// Loads the partitions that wait for it, each in a task of its own. A partition without records is served at once.
    pub(in crate::shard) fn load_groups(self: &Rc<Self>) {
        for groups in self.groups.all() {
            if groups.is_load_started.replace(true) {
                continue;
            }
            let shard = self.clone();
            spawn(async move { shard.load(&groups).await }).detach();
        }
    }

    async fn load(self: &Rc<Self>, groups: &Rc<GroupPartition>) {
        let started_ns = clock::monotonic_ns();
        match self.replay_log(groups.key).await {
            Ok((coordinator, effects, records)) => {
                if records > 0 {
                    let duration_ms = (clock::monotonic_ns() - started_ns) / 1_000_000;
                    tracing::info!("groups of partition {}: {records} records replayed in {duration_ms} ms", groups.key.index);
                }
                self.serve(groups, coordinator, effects);
            }
            Err(LoadError::GivenUp) => {}
            Err(LoadError::Unreadable(reason)) => {
                tracing::error!("groups of partition {} are not served: {reason}", groups.key.index);
                if let state @ State::Loading { .. } = &mut *groups.state.borrow_mut() {
                    *state = State::Failed;
                }
            }
        }
    }

    /// From now on requests are let in.
    fn serve(self: &Rc<Self>, groups: &Rc<GroupPartition>, mut coordinator: GroupCoordinator, effects: Vec<Effect>) {
        coordinator.set_config(group_config(&self.broker_config()));
        coordinator.set_topics(&image_topics(&self.image()));
        let deleted_topics = match &mut *groups.state.borrow_mut() {
            State::Loading { deleted_topics } => std::mem::take(deleted_topics),
            // It was given up while it was being loaded.
            _ => return,
        };
        *groups.state.borrow_mut() = State::Active(Box::new(coordinator));
        self.perform_group_effects(groups, effects);
        if !deleted_topics.is_empty() {
            self.forget_topics(groups, deleted_topics);
        }
    }

    async fn replay_log(self: &Rc<Self>, key: PartitionKey) -> Result<(GroupCoordinator, Vec<Effect>, u64), LoadError> {
        let (config, clock) = (group_config(&self.broker_config()), self.groups.clock);
        let partition = self.partition(key).ok_or(LoadError::GivenUp)?;
        let mut loading = Loading { replay: Replay::default(), next_offset: partition.earliest()?.offset, records: 0, unreadable: 0 };
        if loading.next_offset == partition.latest()?.offset {
            return Ok((GroupCoordinator::new(config), Vec::new(), 0));
        }
        while loading.next_offset < partition.latest()?.offset {
            let offset = loading.next_offset;
            let ranges = self.find_ranges(key, offset).await?;
            loading = self.offload(key.order(), move || loading.read(&ranges)).await?;
            if loading.next_offset <= offset {
                return Err(LoadError::Unreadable(format!("nothing but older records came for offset {offset}")));
            }
        }
        if loading.unreadable > 0 {
            tracing::warn!("groups of partition {}: {} records could not be read and are left out", key.index, loading.unreadable);
        }
        let (records, groups) = (loading.records, loading.replay.finish());
        let (coordinator, effects) = self.offload(key.order(), move || load_coordinator(config, clock, groups)).await;
        Ok((coordinator, effects, records))
    }

    async fn find_ranges(self: &Rc<Self>, key: PartitionKey, offset: Offset) -> Result<Vec<FileRange>, LoadError> {
        let request =
            ReadRequest { key, current_leader_epoch: LeaderEpoch::UNKNOWN, offset, bytes_max: READ_BYTES_MAX, at_least_one_batch: true };
        let answer = self.read_here(request).await;
        match answer.error {
            ErrorCode::None if answer.ranges.is_empty() => Err(LoadError::Unreadable(format!("nothing can be read at offset {offset}"))),
            ErrorCode::None => Ok(answer.ranges),
            ErrorCode::NotLeaderOrFollower => Err(LoadError::GivenUp),
            error => Err(LoadError::Unreadable(format!("offset {offset} cannot be read ({error:?})"))),
        }
    }
}

fn load_coordinator(config: GroupConfig, clock: GroupClock, groups: BTreeMap<GroupId, ReplayedGroup>) -> (GroupCoordinator, Vec<Effect>) {
    GroupCoordinator::load(config, clock.now_ms(), groups)
}

/// Why a partition's groups are not there.
enum LoadError {
    /// The partition left this core meanwhile.
    GivenUp,
    Unreadable(String),
}

impl From<ErrorCode> for LoadError {
    fn from(_: ErrorCode) -> LoadError {
        LoadError::GivenUp
    }
}

/// A replay under way; travels to a helper thread and back.
struct Loading {
    replay: Replay,
    next_offset: Offset,
    records: u64,
    /// Records that nobody could read.
    unreadable: u64,
}

impl Loading {
    fn read(mut self, ranges: &[FileRange]) -> Result<Loading, LoadError> {
        for range in ranges {
            let mut bytes = vec![0; range.len];
            range.file.read_exact_at(&mut bytes, range.position).map_err(|error| LoadError::Unreadable(error.to_string()))?;
            let batches = split(&bytes).map_err(|error| self.unreadable_at(&error))?;
            for batch in batches {
                let batch = Batch::stored(batch.0).map_err(|error| self.unreadable_at(&error))?;
                self.take(&batch)?;
            }
        }
        Ok(self)
    }

    fn take(&mut self, batch: &Batch<'_>) -> Result<(), LoadError> {
        let (attributes, producer_id) = (batch.header.attributes, batch.header.producer_id);
        let records = batch.unpack(DECOMPRESSED_BATCH_BYTES_MAX).map_err(|error| self.unreadable_at(&error))?;
        for record in Records::new(&records, batch.header.records_count) {
            let record = record.map_err(|error| self.unreadable_at(&error))?;
            // The log's start may lie inside its first batch.
            if batch.header.base_offset.plus(i64::from(record.offset_delta)) < self.next_offset {
                continue;
            }
            self.records += 1;
            match record.key {
                Some(key) if attributes.is_control() => self.end_transaction(producer_id, key),
                Some(key) => {
                    let transaction = attributes.is_transactional().then_some(producer_id);
                    if let Err(error) = self.replay.record(transaction, key, record.value) {
                        tracing::warn!("a record of __consumer_offsets is left out: {error}");
                        self.unreadable += 1;
                    }
                }
                None => self.unreadable += 1,
            }
        }
        self.next_offset = batch.header.next_offset();
        Ok(())
    }

    fn end_transaction(&mut self, producer_id: ProducerId, key: &[u8]) {
        if let [_, _, high, low, ..] = key {
            self.replay.marker(producer_id, i16::from_be_bytes([*high, *low]) == CONTROL_COMMIT);
        }
    }

    fn unreadable_at(&self, error: &dyn std::fmt::Display) -> LoadError {
        LoadError::Unreadable(format!("behind offset {}: {error}", self.next_offset))
    }
}
