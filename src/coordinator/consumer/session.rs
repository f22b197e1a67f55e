//! Sessions, the time a member has to give up partitions, and the one deadline of a group.
//!
//! Invariants: `next_deadline_ms()` is never later than any timer of the group; a heartbeat moves a session without looking at
//! the other members, so the deadline may be early and is put right at the next tick.

use std::collections::BTreeSet;

use super::change::Change;
use super::group::ConsumerGroup;
use super::record::MemberState;
use crate::coordinator::effect::Turn;
use crate::coordinator::ids::MemberId;

impl ConsumerGroup {
    /// The member was heard of.
    pub(super) fn start_session(&mut self, id: &MemberId, now_ms: i64) {
        let of_its_own = self.memory.member(id).and_then(|member| Some(member.classic.as_ref()?.session_timeout_ms));
        let timeout_ms = of_its_own.unwrap_or(self.config.consumer.session_timeout_ms);
        let deadline_ms = now_ms.saturating_add(i64::from(timeout_ms));
        self.sessions.insert(id.clone(), deadline_ms);
        self.wake_by(deadline_ms);
    }

    pub(super) fn start_revocation(&mut self, id: &MemberId, now_ms: i64) {
        let timeout_ms = self.memory.member(id).map_or(0, |member| member.rebalance_timeout_ms);
        let deadline_ms = now_ms.saturating_add(i64::from(timeout_ms));
        self.revocations.insert(id.clone(), deadline_ms);
        self.wake_by(deadline_ms);
    }

    /// Puts the timers in step with the memory: every member has those of its state, nobody else has any.
    pub(super) fn align_timers(&mut self, now_ms: i64) {
        let ids: Vec<MemberId> = self.memory.members().keys().cloned().collect();
        self.sessions.retain(|id, _| ids.binary_search(id).is_ok());
        for timers in [&mut self.rejoins, &mut self.syncs] {
            timers.retain(|id, _| self.memory.member(id).is_some_and(|member| member.classic.is_some()));
        }
        let is_revoking = |id: &MemberId| {
            self.memory.current(id).state == MemberState::UnrevokedPartitions
                && self.memory.member(id).is_some_and(|member| member.classic.is_none())
        };
        let revoking: BTreeSet<MemberId> = ids.iter().filter(|id| is_revoking(id)).cloned().collect();
        self.revocations.retain(|id, _| revoking.contains(id));
        for id in &ids {
            if !self.sessions.contains_key(id) {
                self.start_session(id, now_ms);
            }
        }
        for id in &revoking {
            if !self.revocations.contains_key(id) {
                self.start_revocation(id, now_ms);
            }
        }
    }

    /// Gives up whoever was not heard of, or did not give up its partitions, in time.
    pub(super) fn fire_timers(&mut self, turn: &mut Turn) {
        if self.wake_at_ms.is_none_or(|at_ms| at_ms > turn.now_ms) {
            return;
        }
        let timers = self.sessions.iter().chain(&self.revocations).chain(&self.rejoins).chain(&self.syncs);
        let due: BTreeSet<MemberId> = timers.filter(|(_, at_ms)| **at_ms <= turn.now_ms).map(|(id, _)| id.clone()).collect();
        let mut change = Change::default();
        if !due.is_empty() && self.downgrade_without(&due) {
            return;
        }
        if !due.is_empty() {
            self.remove(&due, &mut change);
        }
        let timers = [&self.sessions, &self.revocations, &self.rejoins, &self.syncs];
        self.wake_at_ms = timers.into_iter().flat_map(|timers| timers.values()).min().copied();
        self.finish(change, None, turn);
    }

    /// The next deadline is at most this.
    pub(super) fn wake_by(&mut self, deadline_ms: i64) {
        self.wake_at_ms = Some(self.wake_at_ms.map_or(deadline_ms, |at| at.min(deadline_ms)));
    }
}
