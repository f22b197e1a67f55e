//! OffsetCommit: who may commit, and what.
//!
//! Invariant: an offset is visible and acknowledged only once its record is written.

use super::group::{ClassicGroup, Turn};
use super::state::GroupState;
use super::write::PendingWrite;
use crate::base::{ErrorCode, Timestamp};
use crate::coordinator::effect::Response;
use crate::coordinator::event::{CommitOffsetsRequest, OffsetToCommit, TopicPartition};
use crate::coordinator::ids::RequestToken;
use crate::coordinator::offsets::CommittedOffset;
use crate::coordinator::record_format::GroupRecord;

impl ClassicGroup {
    pub(super) fn commit_offsets(&mut self, token: RequestToken, request: CommitOffsetsRequest, turn: &mut Turn) {
        if let Err(error) = self.check_commit(&request) {
            return turn.respond(token, Response::CommitOffsets(vec![error; request.offsets.len()]));
        }
        // A commit is as good as a heartbeat.
        if matches!(self.state, GroupState::Stable | GroupState::PreparingRebalance) {
            self.restart_session(&request.member_id, turn.now_ms);
        }
        let expire_timestamp = request.retention_ms.map(|retention_ms| Timestamp(turn.now_ms.saturating_add(retention_ms)));
        let mut answer = Vec::with_capacity(request.offsets.len());
        let mut offsets: Vec<(TopicPartition, CommittedOffset)> = Vec::with_capacity(request.offsets.len());
        for offset in request.offsets {
            if offset.metadata.encode_utf16().count() > self.config.offset_metadata_units_max {
                answer.push(ErrorCode::OffsetMetadataTooLarge);
            } else {
                answer.push(ErrorCode::None);
                offsets.push(committed(offset, turn.now_ms, expire_timestamp));
            }
        }
        if offsets.is_empty() {
            return turn.respond(token, Response::CommitOffsets(answer));
        }
        let record = |(partition, value): &(TopicPartition, CommittedOffset)| GroupRecord::Offset {
            group_id: self.id.clone(),
            partition: partition.clone(),
            value: Some(value.clone()),
        };
        let records = offsets.iter().map(record).collect();
        self.persist(records, PendingWrite::Offsets { token, offsets, answer }, turn);
    }

    fn check_commit(&self, request: &CommitOffsetsRequest) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if request.generation_id < 0 && self.state == GroupState::Empty {
            // A simple consumer or an admin client: free to commit as long as the group has no members.
            return Ok(());
        }
        let names_a_member = request.generation_id >= 0 || !request.member_id.is_empty() || request.group_instance_id.is_some();
        if !names_a_member {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.membership.identify(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == GroupState::CompletingRebalance {
            // The member is of the new generation but has no assignment yet: whatever it commits is not its own.
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }
}

fn committed(offset: OffsetToCommit, now_ms: i64, expire_timestamp: Option<Timestamp>) -> (TopicPartition, CommittedOffset) {
    let value = CommittedOffset {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: offset.metadata,
        commit_timestamp: Timestamp(now_ms),
        expire_timestamp,
        topic_id: offset.topic_id,
    };
    (offset.partition, value)
}
