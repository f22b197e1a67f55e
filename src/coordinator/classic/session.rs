//! Heartbeats, sessions, and the one deadline of a group.
//!
//! Invariants: `next_deadline_ms()` is never later than any timer of the group; a heartbeat moves a session without looking at
//! the other members, so the deadline may be early and is put right at the next tick; a timer that is due fires once.

use super::group::{ClassicGroup, Turn};
use super::state::GroupState;
use crate::base::ErrorCode;
use crate::coordinator::effect::Response;
use crate::coordinator::event::HeartbeatRequest;
use crate::coordinator::ids::{MemberId, RequestToken};

/// One timer of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Session(MemberId),
    PendingMember(MemberId),
    Join,
    Sync,
}

impl ClassicGroup {
    pub(super) fn heartbeat(&mut self, token: RequestToken, request: &HeartbeatRequest, turn: &mut Turn) {
        let error = self.check_heartbeat(request).err().unwrap_or_else(|| {
            self.restart_session(&request.member_id, turn.now_ms);
            match self.state {
                // The one way by which members learn of a rebalance.
                GroupState::PreparingRebalance => ErrorCode::RebalanceInProgress,
                _ => ErrorCode::None,
            }
        });
        turn.respond(token, Response::Heartbeat(error));
    }

    fn check_heartbeat(&self, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.membership.identify(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }

    /// The member was heard of.
    pub(super) fn restart_session(&mut self, id: &MemberId, now_ms: i64) {
        let timeout_ms = self.membership.get(id).expect("only members have sessions").session_timeout_ms;
        self.start_session(id, now_ms, timeout_ms);
    }

    pub(super) fn start_session(&mut self, id: &MemberId, now_ms: i64, timeout_ms: i32) {
        let deadline_ms = now_ms.saturating_add(i64::from(timeout_ms));
        self.membership.set_session_deadline(id, Some(deadline_ms));
        self.wake_by(deadline_ms);
    }

    /// Fires what is due, in the order of time. What those timers set anew waits for the next tick, so that a tick ends.
    pub(super) fn fire_timers(&mut self, turn: &mut Turn) {
        if self.wake_at_ms.is_none_or(|at_ms| at_ms > turn.now_ms) {
            return;
        }
        let mut due: Vec<(i64, Timer)> = self.timers().filter(|(at_ms, _)| *at_ms <= turn.now_ms).collect();
        due.sort_unstable();
        for (at_ms, timer) in due {
            if self.is_set(&timer, at_ms) {
                self.fire(timer, turn);
            }
        }
        self.wake_at_ms = self.timers().map(|(at_ms, _)| at_ms).min();
    }

    fn timers(&self) -> impl Iterator<Item = (i64, Timer)> {
        let sessions = self.membership.iter().filter_map(|member| Some((member.session_deadline_ms?, Timer::Session(member.id.clone()))));
        let pending = self.pending_members.iter().map(|(id, at_ms)| (*at_ms, Timer::PendingMember(id.clone())));
        let join = self.join_timer.iter().map(|timer| (timer.at_ms(), Timer::Join));
        let sync = self.sync_deadline_ms.iter().map(|at_ms| (*at_ms, Timer::Sync));
        sessions.chain(pending).chain(join).chain(sync)
    }

    /// A timer that fired before may have cancelled or moved this one.
    fn is_set(&self, timer: &Timer, at_ms: i64) -> bool {
        let now_at_ms = match timer {
            Timer::Session(id) => self.membership.get(id).and_then(|member| member.session_deadline_ms),
            Timer::PendingMember(id) => self.pending_members.get(id).copied(),
            Timer::Join => self.join_timer.map(|timer| timer.at_ms()),
            Timer::Sync => self.sync_deadline_ms,
        };
        now_at_ms == Some(at_ms)
    }

    fn fire(&mut self, timer: Timer, turn: &mut Turn) {
        match timer {
            Timer::Session(id) => self.end_session(&id, turn),
            Timer::PendingMember(id) => {
                self.pending_members.remove(&id);
                self.complete_join_if_all_joined(turn);
            }
            Timer::Join => self.fire_join_timer(turn),
            Timer::Sync => self.fire_sync_deadline(turn),
        }
    }

    fn end_session(&mut self, id: &MemberId, turn: &mut Turn) {
        if self.membership.get(id).is_some_and(|member| member.is_excused()) {
            // Watched again once it has its answer.
            return self.membership.set_session_deadline(id, None);
        }
        self.remove_member(id, turn);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn),
            _ => self.complete_join_if_all_joined(turn),
        }
    }
}
