//! OffsetCommit: who may commit, and what.
//!
//! Invariant: an offset is visible and acknowledged only once its record is written.

use super::group::ClassicGroup;
use super::state::GroupState;
use super::write::PendingWrite;
use crate::base::ErrorCode;
use crate::coordinator::effect::{Response, Turn};
use crate::coordinator::event::CommitOffsetsRequest;
use crate::coordinator::ids::RequestToken;
use crate::coordinator::offset_write::OffsetWrite;

impl ClassicGroup {
    pub(super) fn commit_offsets(&mut self, token: RequestToken, request: CommitOffsetsRequest, turn: &mut Turn) {
        if let Err(error) = self.check_commit(&request) {
            return turn.respond(token, Response::CommitOffsets(vec![error; request.offsets.len()]));
        }
        // A commit is as good as a heartbeat.
        if matches!(self.state, GroupState::Stable | GroupState::PreparingRebalance) {
            self.restart_session(&request.member_id, turn.now_ms);
        }
        let write = OffsetWrite::commit(&self.id, &self.config, token, request.offsets, request.retention_ms, turn);
        if let Some((records, write)) = write {
            self.persist(records, PendingWrite::Offsets(write), turn);
        }
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
