//! Members go: of their own accord, for a while (static members), or because they were given up.
//!
//! Invariant: what a member that is gone had is free at once; what a static member that is away had stays its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::change::Change;
use super::group::ConsumerGroup;
use super::memory::STATIC_LEAVE_EPOCH;
use super::record::{ConsumerRecord, Current, Ownership};
use crate::base::ErrorCode;
use crate::coordinator::effect::{ConsumerHeartbeatResponse, Refusal};
use crate::coordinator::event::ConsumerHeartbeatRequest;
use crate::coordinator::ids::MemberId;

impl ConsumerGroup {
    pub(super) fn leave(&mut self, request: &ConsumerHeartbeatRequest, change: &mut Change) -> Result<ConsumerHeartbeatResponse, Refusal> {
        let id = &request.member_id;
        match &request.group_instance_id {
            None if self.memory.member(id).is_none() => return Err(self.unknown(id)),
            None => {}
            Some(instance) => match self.memory.static_member(instance) {
                None => return Err(Refusal::new(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown."))),
                Some(holder) if holder != id => {
                    let message = format!("Static member {id} with instance id {instance} was fenced by member {holder}.");
                    return Err(Refusal::new(ErrorCode::FencedInstanceId, message));
                }
                Some(_) => {}
            },
        }
        if request.member_epoch == STATIC_LEAVE_EPOCH {
            self.note_absence(id, change);
        } else if !self.downgrade_without(&BTreeSet::from([id.clone()])) {
            self.remove([id], change);
        }
        Ok(ConsumerHeartbeatResponse {
            member_id: id.clone(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    /// Its partitions wait for it until its session ends.
    fn note_absence(&mut self, id: &MemberId, change: &mut Change) {
        let current = (*self.memory.current(id)).clone();
        let current = Current { epoch: STATIC_LEAVE_EPOCH, pending_revocation: Ownership::new(), ..current };
        self.note(ConsumerRecord::Current(id.clone(), Some(Arc::new(current))), change);
        self.revocations.remove(id);
    }

    /// The members are out. The others learn of it at their next heartbeats.
    pub(super) fn remove<'a>(&mut self, ids: impl IntoIterator<Item = &'a MemberId>, change: &mut Change) {
        for id in ids {
            self.note_removal(id, change);
        }
        self.drop_unused_regexes(change);
        self.raise_epoch_if(true, change);
    }

    /// In Kafka's order: a reader that stops in between never finds an assignment of nobody.
    pub(super) fn note_removal(&mut self, id: &MemberId, change: &mut Change) {
        self.note(ConsumerRecord::Current(id.clone(), None), change);
        self.note(ConsumerRecord::MemberTarget(id.clone(), None), change);
        self.note(ConsumerRecord::Member(id.clone(), None), change);
        self.sessions.remove(id);
        for timers in [&mut self.revocations, &mut self.rejoins, &mut self.syncs] {
            timers.remove(id);
        }
    }
}
