//! LeaveGroup: members go of their own accord, or an administrator removes static ones (KIP-345).
//!
//! Invariant: however many leave in one request, at most one rebalance starts.

use super::group::{ClassicGroup, Turn};
use super::state::GroupState;
use crate::base::ErrorCode;
use crate::coordinator::effect::{LeaveResponse, LeftMember, Response};
use crate::coordinator::event::LeavingMember;
use crate::coordinator::ids::RequestToken;

impl ClassicGroup {
    pub(super) fn leave(&mut self, token: RequestToken, members: Vec<LeavingMember>, turn: &mut Turn) {
        if self.state == GroupState::Dead {
            let response = LeaveResponse { error: ErrorCode::CoordinatorNotAvailable, members: Vec::new() };
            return turn.respond(token, Response::Leave(response));
        }
        let mut left = Vec::new();
        for member in members {
            let error = self.let_go(&member, turn).err().unwrap_or(ErrorCode::None);
            left.push(LeftMember { member_id: member.member_id, group_instance_id: member.group_instance_id, error });
        }
        let somebody_left = left.iter().any(|member| member.error.is_none());
        turn.respond(token, Response::Leave(LeaveResponse { error: ErrorCode::None, members: left }));
        if somebody_left {
            match self.state {
                GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn),
                GroupState::PreparingRebalance => self.complete_join_unless_initial(turn),
                _ => {}
            }
        }
    }

    fn let_go(&mut self, leaving: &LeavingMember, turn: &mut Turn) -> Result<(), ErrorCode> {
        let id = if leaving.member_id.is_empty() {
            let instance = leaving.group_instance_id.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
            self.membership.static_member(instance).cloned().ok_or(ErrorCode::UnknownMemberId)?
        } else if self.pending_members.remove(&leaving.member_id).is_some() {
            return Ok(());
        } else {
            self.membership.identify(&leaving.member_id, leaving.group_instance_id.as_ref())?;
            leaving.member_id.clone()
        };
        self.remove_member(&id, turn);
        Ok(())
    }
}
