//! The join barrier: a rebalance starts, waits for the members, and fixes the next generation.
//!
//! Invariants: the barrier always has a timer, so it ends; `generation_id` rises by one at each end; after it, every parked
//! JoinGroup has been answered.

use super::group::{ClassicGroup, Turn};
use super::state::GroupState;
use super::write::PendingWrite;
use crate::base::ErrorCode;
use crate::coordinator::config::BARRIER_RETRY_MS_MIN;
use crate::coordinator::effect::{JoinResponse, Response};
use crate::coordinator::ids::MemberId;

/// When the barrier is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// The group was empty: wait for more members (`group.initial.rebalance.delay.ms`), again and again while they come, but
    /// in all no longer than the rebalance timeout.
    Initial { at_ms: i64, delay_ms: i32, remaining_ms: i32, new_member_came: bool },
    /// Members know of the rebalance: the rebalance timeout.
    Barrier { at_ms: i64 },
}

impl JoinTimer {
    pub(super) fn at_ms(self) -> i64 {
        match self {
            JoinTimer::Initial { at_ms, .. } | JoinTimer::Barrier { at_ms } => at_ms,
        }
    }
}

impl ClassicGroup {
    /// What every change of the members calls for.
    pub(super) fn rebalance_or_complete_join(&mut self, turn: &mut Turn) {
        if self.state.can_rebalance() {
            self.prepare_rebalance(turn);
        } else {
            self.complete_join_unless_initial(turn);
        }
    }

    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn) {
        if self.state == GroupState::CompletingRebalance {
            // Their generation is over before it began: they shall rejoin.
            self.abandon_assignment(ErrorCode::RebalanceInProgress, turn);
        }
        self.cancel_pending_syncs();
        let is_initial = self.state == GroupState::Empty;
        self.transition(GroupState::PreparingRebalance, turn.now_ms);
        if is_initial {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = (self.membership.rebalance_timeout_ms() - delay_ms).max(0);
            self.wait_for_more(delay_ms, remaining_ms, turn);
        } else if self.have_all_joined() {
            self.complete_join(turn);
        } else {
            self.set_barrier_timer(i64::from(self.membership.rebalance_timeout_ms()), turn.now_ms);
        }
    }

    fn wait_for_more(&mut self, delay_ms: i32, remaining_ms: i32, turn: &mut Turn) {
        if delay_ms <= 0 {
            return self.complete_join(turn);
        }
        let at_ms = turn.now_ms.saturating_add(i64::from(delay_ms));
        self.join_timer = Some(JoinTimer::Initial { at_ms, delay_ms, remaining_ms, new_member_came: false });
        self.wake_by(at_ms);
    }

    /// A further member came while an empty group waits for its first ones.
    pub(super) fn extend_initial_delay(&mut self) {
        if let Some(JoinTimer::Initial { new_member_came, .. }) = &mut self.join_timer {
            *new_member_came = true;
        }
    }

    fn set_barrier_timer(&mut self, wait_ms: i64, now_ms: i64) {
        let at_ms = now_ms.saturating_add(wait_ms);
        self.join_timer = Some(JoinTimer::Barrier { at_ms });
        self.wake_by(at_ms);
    }

    pub(super) fn fire_join_timer(&mut self, turn: &mut Turn) {
        match self.join_timer {
            Some(JoinTimer::Initial { delay_ms, remaining_ms, new_member_came: true, .. }) if remaining_ms > 0 => {
                let next_delay_ms = self.config.initial_rebalance_delay_ms.min(remaining_ms);
                self.wait_for_more(next_delay_ms, (remaining_ms - delay_ms).max(0), turn);
            }
            _ => self.complete_join(turn),
        }
    }

    fn have_all_joined(&self) -> bool {
        self.membership.waiting_joins() == self.membership.len() && self.pending_members.is_empty()
    }

    /// Members left or came: is that all of them? While an empty group waits for its first members, more may come.
    pub(super) fn complete_join_unless_initial(&mut self, turn: &mut Turn) {
        if self.previous_state != GroupState::Empty {
            self.complete_join_if_all_joined(turn);
        }
    }

    /// As above, for members that were dropped: also ends the initial wait, since the last one may be gone.
    pub(super) fn complete_join_if_all_joined(&mut self, turn: &mut Turn) {
        if self.state == GroupState::PreparingRebalance && self.have_all_joined() {
            self.complete_join(turn);
        }
    }

    /// The barrier opens: who is not there is out, except static members, whose session decides (KIP-345).
    fn complete_join(&mut self, turn: &mut Turn) {
        self.join_timer = None;
        for id in self.membership.ids() {
            let member = self.membership.get(&id).expect("listed just now");
            if member.waiting_join.is_none() && !member.is_static() {
                self.remove_member(&id, turn);
            }
        }
        if self.membership.is_empty() {
            self.become_empty(turn);
        } else if self.elect_leader_at_barrier() {
            self.begin_generation(turn);
        } else {
            // Only static members, all of them away: wait until one comes back or their sessions end.
            let wait_ms = i64::from(self.membership.rebalance_timeout_ms()).max(BARRIER_RETRY_MS_MIN);
            self.set_barrier_timer(wait_ms, turn.now_ms);
        }
    }

    /// The leader stays if it is at the barrier; else the first one there leads. False if nobody is there.
    fn elect_leader_at_barrier(&mut self) -> bool {
        let is_there = |id: &MemberId| self.membership.get(id).is_some_and(|member| member.waiting_join.is_some());
        if self.membership.leader().is_some_and(is_there) {
            return true;
        }
        let first = self.membership.iter().find(|member| member.waiting_join.is_some()).map(|member| member.id.clone());
        match first {
            Some(first) => {
                self.membership.set_leader(first);
                true
            }
            None => false,
        }
    }

    fn become_empty(&mut self, turn: &mut Turn) {
        self.next_generation();
        self.protocol_name = None;
        self.refresh_subscribed_topics();
        self.transition(GroupState::Empty, turn.now_ms);
        let record = self.record(&Default::default());
        self.persist(vec![record], PendingWrite::EmptyGeneration, turn);
    }

    /// After the largest generation comes 0 again; a group would have to rebalance every second for 68 years.
    fn next_generation(&mut self) {
        self.generation_id = self.generation_id.wrapping_add(1).max(0);
    }

    fn begin_generation(&mut self, turn: &mut Turn) {
        self.membership.check();
        self.next_generation();
        self.protocol_name = self.membership.vote();
        assert!(self.protocol_name.is_some(), "a member is let in only if all speak one protocol");
        self.refresh_subscribed_topics();
        self.transition(GroupState::CompletingRebalance, turn.now_ms);
        for id in self.membership.ids() {
            if let Some(token) = self.membership.take_join(&id) {
                self.answer_join(token, &id, turn);
            }
            self.membership.set_settled(&id);
            self.restart_session(&id, turn.now_ms);
            self.pending_syncs.insert(id);
        }
        self.set_sync_deadline(turn.now_ms);
    }

    /// Takes a member out, in any state. What it still waited for is answered UNKNOWN_MEMBER_ID, so that a client that is
    /// alive after all joins anew.
    pub(super) fn remove_member(&mut self, id: &MemberId, turn: &mut Turn) {
        let Some(member) = self.membership.remove(id) else { return };
        self.pending_syncs.remove(id);
        if let Some(token) = member.waiting_join {
            let response = JoinResponse::error(ErrorCode::UnknownMemberId, MemberId::empty());
            turn.respond(token, Response::Join(response));
        }
        if let Some(token) = member.waiting_sync {
            self.refuse_sync(turn, token, ErrorCode::UnknownMemberId);
        }
    }
}
