//! Group records on their way to the log: one batch per write, and its outcome back to the group.
//!
//! Lives on the core that owns the partition. Invariant: outcomes are reported in the order of the writes, although one that must
//! be flushed takes longer than one that need not.

use std::rc::Rc;

use super::GroupPartition;
use crate::base::{ErrorCode, Timestamp};
use crate::coordinator::record_format::GroupRecord;
use crate::coordinator::{Effect, Event, GroupId, PersistToken};
use crate::io::glommio::spawn;
use crate::shard::Shard;
use crate::shard::calls::Call;
use crate::shard::partition::PartitionKey;
use crate::wire::batch::{BatchRules, UnverifiedBatch, Verified};
use crate::wire::builder::RecordBatchBuilder;
use crate::wire::compression::Codec;

/// One write that has no outcome yet.
pub(super) struct Write {
    group_id: GroupId,
    token: PersistToken,
    outcome: Outcome,
}

enum Outcome {
    /// Waits for the flush that the topic asks for.
    Flushing(Call<Result<(), ErrorCode>>),
    /// Known, but one before it is not.
    Known(Result<(), ErrorCode>),
}

impl Shard {
    /// Appends the records as one batch. Returns what follows if the outcome is known at once; otherwise it is reported later.
    pub(super) fn persist(
        self: &Rc<Self>,
        groups: &Rc<GroupPartition>,
        group_id: GroupId,
        token: PersistToken,
        records: &[GroupRecord],
    ) -> Vec<Effect> {
        let outcome = match self.append_records(groups.key, records) {
            Ok(Some(flushing)) => Outcome::Flushing(flushing),
            Ok(None) => Outcome::Known(Ok(())),
            Err(error) => Outcome::Known(Err(error)),
        };
        let is_first = groups.writes.borrow().is_empty() && !groups.is_awaiting_writes.get();
        match outcome {
            Outcome::Known(outcome) if is_first => self.report_outcome(groups, &group_id, token, outcome),
            outcome => {
                groups.writes.borrow_mut().push_back(Write { group_id, token, outcome });
                if !groups.is_awaiting_writes.replace(true) {
                    let (shard, groups) = (self.clone(), groups.clone());
                    spawn(async move { shard.await_writes(&groups).await }).detach();
                }
                Vec::new()
            }
        }
    }

    async fn await_writes(self: &Rc<Self>, groups: &Rc<GroupPartition>) {
        loop {
            let next = groups.writes.borrow_mut().pop_front();
            let Some(Write { group_id, token, outcome }) = next else { break };
            let outcome = match outcome {
                Outcome::Flushing(flushing) => flushing.await,
                Outcome::Known(outcome) => outcome,
            };
            let effects = self.report_outcome(groups, &group_id, token, outcome);
            self.perform_group_effects(groups, effects);
        }
        groups.is_awaiting_writes.set(false);
    }

    fn report_outcome(
        &self,
        groups: &GroupPartition,
        group_id: &GroupId,
        token: PersistToken,
        outcome: Result<(), ErrorCode>,
    ) -> Vec<Effect> {
        let now_ms = self.groups.clock.now_ms();
        let event = Event::Persisted { token, outcome };
        // A coordinator that was closed meanwhile has told everybody already.
        groups.with(|coordinator| coordinator.step(now_ms, group_id, event)).unwrap_or_default()
    }

    /// `Some`: the topic asks for a flush first.
    fn append_records(
        self: &Rc<Self>,
        key: PartitionKey,
        records: &[GroupRecord],
    ) -> Result<Option<Call<Result<(), ErrorCode>>>, ErrorCode> {
        if records.is_empty() {
            return Ok(None);
        }
        let partition = self.partition(key).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let now = Timestamp(self.groups.clock.now_ms());
        let bytes = build(records, now);
        let rules =
            BatchRules { message_bytes_max: partition.config()?.message_bytes_max as usize, keys_required: true, ..BatchRules::default() };
        let verified = UnverifiedBatch(&bytes).verify(&rules).map_err(|error| {
            tracing::warn!("{}-{}: a group's records are not stored: {error}", partition.topic, key.index);
            error.error_code()
        })?;
        match verified {
            Verified::Batch(batch) => Ok(partition.append(self, &[batch], true)?.durable),
            Verified::NeedsMoreWork(_) => unreachable!("a batch that is not compressed needs no unpacking"),
        }
    }
}

fn build(records: &[GroupRecord], now: Timestamp) -> Vec<u8> {
    let mut batch = RecordBatchBuilder::new(Codec::None);
    for record in records {
        let (key, value) = record.encode();
        batch.append(now, Some(&key), value.as_deref(), &[]);
    }
    batch.build()
}
