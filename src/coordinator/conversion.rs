//! A group changes its protocol (KIP-848, "Upgrade and downgrade").
//!
//! A group without members becomes one of whichever protocol speaks to it next. One with members goes over as
//! `group.consumer.migration.policy` allows: to the consumer protocol when the first member that speaks it joins, and back when
//! the last one is gone.
//!
//! Invariants: the offsets stay, those that are being written included; whatever the log has of the former protocol gets its
//! tombstones in one write with the first records of the new one. If that write fails, the next one carries them again: until
//! then the log tells of the former group, and a broker that starts from it goes on with that.

use super::classic::ClassicGroup;
use super::consumer::{ConsumerGroup, validation};
use super::effect::{Refusal, Turn};
use super::event::{ConsumerHeartbeatRequest, Event};
use super::group::Group;
use super::group_coordinator::GroupCoordinator;
use super::ids::{GroupId, PersistToken};
use super::offset_write::OffsetWrite;
use super::offsets::Offsets;
use super::record_format::GroupRecord;
use crate::base::ErrorCode;

/// What a group leaves to the one of the other protocol that takes its id.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    pub offsets: Offsets,
    /// Of all records that the log has of the group.
    pub tombstones: Vec<GroupRecord>,
    /// Offsets on their way to the log.
    pub writes: Vec<(PersistToken, OffsetWrite)>,
    pub next_write: PersistToken,
}

impl GroupCoordinator {
    /// Makes a group of the other protocol of this one, if the event calls for it. `Some`: it must not come in.
    pub(super) fn convert(&mut self, group_id: &GroupId, event: &Event, turn: &mut Turn) -> Option<Refusal> {
        let group = self.groups.get(group_id)?;
        match (event, group) {
            (Event::ConsumerHeartbeat { request, .. }, Group::Classic(_)) => {
                let refusal = validation::check(request, &self.config.consumer).err();
                refusal.or_else(|| self.upgrade(group_id, request, turn).err())
            }
            (Event::Join { request, .. }, Group::Consumer(group)) if group.memory().members().is_empty() => {
                let refusal = check_empty_downgrade(group, request.member_id.is_empty());
                if refusal.is_none() {
                    self.downgrade_empty(group_id, turn);
                }
                refusal
            }
            _ => None,
        }
    }

    fn upgrade(&mut self, group_id: &GroupId, request: &ConsumerHeartbeatRequest, turn: &mut Turn) -> Result<(), Refusal> {
        let Some(Group::Classic(mut group)) = self.groups.remove(group_id) else { unreachable!("it was there just now") };
        let members = match self.check_upgrade(&group, request) {
            Ok(()) if group.is_empty() => Ok(Vec::new()),
            Ok(()) => group.migrating_members(&*self.topics),
            Err(refusal) => Err(refusal),
        };
        let members = match members {
            Ok(members) => members,
            Err(refusal) => {
                self.groups.insert(group_id.clone(), Group::Classic(group));
                return Err(refusal);
            }
        };
        group.dismiss_waiting(turn);
        let (epoch, inheritance) = (group.generation_id(), group.into_inheritance());
        let (id, topics) = (group_id.clone(), self.topics.clone());
        let group = ConsumerGroup::succeed_classic(id, self.config, topics, inheritance, epoch, members, turn.now_ms);
        self.groups.insert(group_id.clone(), Group::Consumer(Box::new(group)));
        Ok(())
    }

    fn check_upgrade(&self, group: &ClassicGroup, request: &ConsumerHeartbeatRequest) -> Result<(), Refusal> {
        let refuse = |reason: &str| {
            let message = format!("Group {} is not a consumer group{reason}.", group.id());
            Err(Refusal::new(ErrorCode::GroupIdNotFound, message))
        };
        if request.member_epoch != 0 {
            return refuse("");
        }
        let (members, limit) = (group.members().count(), self.config.consumer.group_size_max);
        if !group.is_empty() && !self.config.consumer.migration.allows_upgrade() {
            return refuse(" and must not become one: group.consumer.migration.policy");
        }
        if members > limit {
            return refuse(" and has too many members to become one");
        }
        if members == limit && !group.has_member(&request.member_id) {
            let message = format!("The consumer group has reached its maximum capacity of {limit} members.");
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        if group.is_settled() { Ok(()) } else { Err(busy()) }
    }

    fn downgrade_empty(&mut self, group_id: &GroupId, turn: &mut Turn) {
        let Some(Group::Consumer(group)) = self.groups.remove(group_id) else { unreachable!("it was there just now") };
        let (inheritance, _) = group.into_inheritance();
        let group = ClassicGroup::succeed(group_id.clone(), self.config, inheritance, (0, Vec::new()), &*self.topics, None, turn);
        self.groups.insert(group_id.clone(), Group::Classic(Box::new(group)));
    }

    /// Makes a classic group of a consumer group whose last member of the new protocol goes. Returns the events that it shall hear.
    pub(super) fn finish_downgrade(&mut self, group_id: &GroupId, turn: &mut Turn) -> Vec<Event> {
        let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) else { return Vec::new() };
        let Some(downgrade) = group.take_downgrade() else { return Vec::new() };
        let Some(Group::Consumer(group)) = self.groups.remove(group_id) else { unreachable!("it was there just now") };
        let members = (group.memory().epoch(), group.migrating_members(&downgrade.leaving));
        let (inheritance, parked) = group.into_inheritance();
        let group = ClassicGroup::succeed(group_id.clone(), self.config, inheritance, members, &*self.topics, downgrade.answer, turn);
        self.groups.insert(group_id.clone(), Group::Classic(Box::new(group)));
        downgrade.then.into_iter().chain(parked).collect()
    }
}

fn check_empty_downgrade(group: &ConsumerGroup, is_new_member: bool) -> Option<Refusal> {
    if !is_new_member {
        return Some(Refusal::new(ErrorCode::UnknownMemberId, "The group has no members."));
    }
    if group.is_settled() { None } else { Some(busy()) }
}

/// The client tries again soon.
pub(super) fn busy() -> Refusal {
    Refusal::new(ErrorCode::CoordinatorLoadInProgress, "The group is being written.")
}
