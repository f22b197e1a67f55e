//! The heartbeat: a member joins, says what is new, and is brought a step nearer to its target assignment.
//!
//! Invariants: nothing is noted before every check has passed; a heartbeat is answered at once, or as soon as what it changed
//! is written.

use std::sync::Arc;

use super::change::Change;
use super::group::{ConsumerGroup, answer};
use super::memory::STATIC_LEAVE_EPOCH;
use super::reconcile::Step;
use super::record::{ConsumerRecord, Current, MemberState, Ownership, Subscription, TopicPartitions, partitions_of};
use super::validation::{self, LEAVE_EPOCH};
use crate::base::ErrorCode;
use crate::coordinator::effect::{ConsumerHeartbeatResponse, Refusal, Turn};
use crate::coordinator::event::ConsumerHeartbeatRequest;
use crate::coordinator::ids::{MemberId, RequestToken, ShortText};

/// How a heartbeat's sender stands to the group.
pub(super) enum Sender {
    Member,
    New,
    /// A static member under a new id; the old one goes.
    Successor(MemberId),
}

impl ConsumerGroup {
    pub(super) fn heartbeat(&mut self, token: RequestToken, request: ConsumerHeartbeatRequest, turn: &mut Turn) {
        let mut change = Change::default();
        let result = validation::check(&request, &self.config.consumer).and_then(|()| match request.member_epoch {
            LEAVE_EPOCH | STATIC_LEAVE_EPOCH => self.leave(&request, &mut change),
            _ => self.beat(request, &mut change, turn),
        });
        assert!(result.is_ok() || change.is_empty(), "a refused heartbeat changes nothing");
        if let Some(downgrade) = &mut self.downgrade {
            downgrade.answer = Some(answer(token, result));
            return;
        }
        self.finish(change, Some(answer(token, result)), turn);
    }

    fn beat(
        &mut self,
        request: ConsumerHeartbeatRequest,
        change: &mut Change,
        turn: &mut Turn,
    ) -> Result<ConsumerHeartbeatResponse, Refusal> {
        let id = match request.member_id.is_empty() {
            true => MemberId::uuid(request.random_bytes),
            false => request.member_id.clone(),
        };
        self.check_room(&id)?;
        let sender = self.identify(&id, &request)?;
        if let Sender::Successor(former) = &sender {
            self.succeed(former, &id, change);
        }
        let before = self.memory.current(&id);
        let subscription_changed = self.update_subscription(&id, &request, change);
        let is_new = matches!(sender, Sender::New);
        self.refresh(subscription_changed || is_new, turn.now_ms, change);
        self.reconcile(&id, request.owned.as_ref(), change, turn.now_ms);
        self.start_session(&id, turn.now_ms);
        self.request_regexes(turn);

        let after = self.memory.current(&id);
        let is_full = request.member_epoch == 0
            || (request.rebalance_timeout_ms != -1 && (request.topics.is_some() || request.regex.is_some()) && request.owned.is_some());
        let is_news = is_full || partitions_of(&before.assigned) != partitions_of(&after.assigned);
        Ok(ConsumerHeartbeatResponse {
            member_id: id,
            member_epoch: after.epoch,
            heartbeat_interval_ms: self.config.consumer.heartbeat_interval_ms,
            assignment: is_news.then(|| partitions_of(&after.assigned)),
        })
    }

    pub(super) fn check_room(&self, id: &MemberId) -> Result<(), Refusal> {
        let limit = self.config.consumer.group_size_max;
        if self.memory.members().len() < limit || self.memory.member(id).is_some() {
            return Ok(());
        }
        let message = format!("The consumer group has reached its maximum capacity of {limit} members.");
        Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message))
    }

    fn identify(&self, id: &MemberId, request: &ConsumerHeartbeatRequest) -> Result<Sender, Refusal> {
        let joins = request.member_epoch == 0;
        let Some(instance) = &request.group_instance_id else {
            return match self.memory.member(id) {
                Some(_) => self.check_epoch(id, request).map(|()| Sender::Member),
                None if joins => Ok(Sender::New),
                None => Err(self.unknown(id)),
            };
        };
        match self.memory.static_member(instance) {
            Some(holder) if holder == id => self.check_epoch(id, request).map(|()| Sender::Member),
            // Somebody else's id: an instance must not take a dynamic member's place.
            None if joins && self.memory.member(id).is_some() => self.check_epoch(id, request).map(|()| Sender::Member),
            None if joins => Ok(Sender::New),
            None => Err(Refusal::new(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown."))),
            Some(holder) if joins => {
                let is_released = self.memory.current(holder).epoch == STATIC_LEAVE_EPOCH;
                let speaks_classic = self.memory.member(holder).is_some_and(|member| member.classic.is_some());
                if is_released || speaks_classic {
                    return Ok(Sender::Successor(holder.clone()));
                }
                let message = format!(
                    "Static member {id} with instance id {instance} cannot join the group because the instance id is owned by {holder} member."
                );
                Err(Refusal::new(ErrorCode::UnreleasedInstanceId, message))
            }
            Some(holder) => {
                let message = format!("Static member {id} with instance id {instance} was fenced by member {holder}.");
                Err(Refusal::new(ErrorCode::FencedInstanceId, message))
            }
        }
    }

    /// The epoch must be the member's own, or the one before if the answer with the newer one may have been lost. A member that
    /// comes back with nothing (epoch 0) is always let in: it has nothing that could be another's.
    fn check_epoch(&self, id: &MemberId, request: &ConsumerHeartbeatRequest) -> Result<(), Refusal> {
        let current = self.memory.current(id);
        let came = request.member_epoch;
        let is_retry = came == current.previous_epoch && request.owned.as_ref().is_some_and(|owned| is_subset(owned, &current.assigned));
        if came == 0 || came == current.epoch || (came < current.epoch && is_retry) {
            return Ok(());
        }
        let compared = if came > current.epoch { "greater" } else { "smaller" };
        let message = format!(
            "The consumer group member has a {compared} member epoch ({came}) than the one known by the group coordinator ({}). \
             The member must abandon all its partitions and rejoin.",
            current.epoch
        );
        Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
    }

    pub(super) fn unknown(&self, id: &MemberId) -> Refusal {
        Refusal::new(ErrorCode::UnknownMemberId, format!("Member {id} is not a member of group {}.", self.id))
    }

    /// The static member goes on under its new id, with nothing in its client's hands (KIP-345).
    pub(super) fn succeed(&mut self, former: &MemberId, id: &MemberId, change: &mut Change) {
        let (member, target, current) =
            (self.memory.member(former).cloned(), self.memory.member_target(former), self.memory.current(former));
        self.note_removal(former, change);
        self.note(ConsumerRecord::Member(id.clone(), member), change);
        self.note(ConsumerRecord::MemberTarget(id.clone(), Some(target)), change);
        let current = Current { epoch: 0, previous_epoch: 0, ..(*current).clone() };
        self.note(ConsumerRecord::Current(id.clone(), Some(Arc::new(current))), change);
    }

    /// True if the member reads something else from now on.
    fn update_subscription(&mut self, id: &MemberId, request: &ConsumerHeartbeatRequest, change: &mut Change) -> bool {
        let before = self.memory.member(id).cloned();
        let former = before.as_deref().cloned().unwrap_or_default();
        let after = Subscription {
            instance_id: request.group_instance_id.clone().or(former.instance_id),
            rack_id: request.rack_id.clone().or(former.rack_id),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            topics: request.topics.clone().unwrap_or(former.topics),
            // Kafka keeps the empty text where there is none.
            regex: request.regex.clone().or(former.regex).or_else(|| Some(ShortText::empty())),
            rebalance_timeout_ms: if request.rebalance_timeout_ms == -1 {
                former.rebalance_timeout_ms
            } else {
                request.rebalance_timeout_ms
            },
            assignor: request.assignor.clone().or(former.assignor),
            classic: None,
        };
        if before.as_deref() == Some(&after) {
            return false;
        }
        let topics_changed = before.as_ref().is_none_or(|before| before.topics != after.topics || before.regex() != after.regex());
        self.rejoins.remove(id);
        self.syncs.remove(id);
        self.note(ConsumerRecord::Member(id.clone(), Some(Arc::new(after))), change);
        if topics_changed {
            self.drop_unused_regexes(change);
        }
        topics_changed
    }

    /// One step nearer to the target, if that is possible now.
    pub(super) fn reconcile(&mut self, id: &MemberId, owned: Option<&TopicPartitions>, change: &mut Change, now_ms: i64) {
        let (current, target, target_epoch) = (self.memory.current(id), self.memory.member_target(id), self.memory.target_epoch());
        if current.is_reconciled_to(target_epoch) {
            return;
        }
        let step = Step { current: &current, target_epoch, target: &target, owned };
        let next = step.take(|topic, partition| self.memory.holder(topic, partition).is_some_and(|holder| holder != id));
        if next == *current {
            return;
        }
        // Members of the classic protocol are told to rejoin, and have until then.
        let is_revoking = next.state == MemberState::UnrevokedPartitions && self.memory.member(id).is_some_and(|it| it.classic.is_none());
        self.note(ConsumerRecord::Current(id.clone(), Some(Arc::new(next))), change);
        if is_revoking {
            self.start_revocation(id, now_ms);
        } else {
            self.revocations.remove(id);
        }
    }
}

fn is_subset(owned: &TopicPartitions, assigned: &Ownership) -> bool {
    owned.iter().all(|(topic, partitions)| {
        assigned.get(topic).is_some_and(|assigned| partitions.iter().all(|partition| assigned.contains_key(partition)))
    })
}
