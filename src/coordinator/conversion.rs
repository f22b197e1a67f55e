//! A group changes its protocol (KIP-848, "Upgrade and downgrade").
//!
//! Invariants: the offsets stay; whatever the log has of the former protocol gets its tombstones before or together with the first
//! record of the new one; a group with a write under way waits with it.

use super::classic::ClassicGroup;
use super::consumer::{ConsumerGroup, validation};
use super::effect::{Refusal, Turn};
use super::event::Event;
use super::group::Group;
use super::group_coordinator::GroupCoordinator;
use super::ids::GroupId;
use crate::base::ErrorCode;

impl GroupCoordinator {
    /// Makes a group of the other protocol of this one, if the event calls for it. `Some`: it must not come in.
    pub(super) fn convert(&mut self, group_id: &GroupId, event: &Event, turn: &mut Turn) -> Option<Refusal> {
        let group = self.groups.get(group_id)?;
        match (event, group) {
            (Event::ConsumerHeartbeat { request, .. }, Group::Classic(group)) => {
                let refusal = validation::check(request, &self.config.consumer).err();
                let refusal = refusal.or_else(|| check_upgrade(group, request.member_epoch == 0));
                if refusal.is_none() {
                    self.upgrade(group_id);
                }
                refusal
            }
            (Event::Join { request, .. }, Group::Consumer(group)) => {
                let refusal = check_downgrade(group, request.member_id.is_empty());
                if refusal.is_none() {
                    self.downgrade(group_id, turn);
                }
                refusal
            }
            _ => None,
        }
    }

    fn upgrade(&mut self, group_id: &GroupId) {
        let Some(Group::Classic(group)) = self.groups.remove(group_id) else { unreachable!("it was there just now") };
        let (offsets, tombstones) = group.into_inheritance();
        let group = ConsumerGroup::new(group_id.clone(), self.config, self.topics.clone(), offsets, tombstones);
        self.groups.insert(group_id.clone(), Group::Consumer(Box::new(group)));
    }

    fn downgrade(&mut self, group_id: &GroupId, turn: &mut Turn) {
        let Some(Group::Consumer(group)) = self.groups.remove(group_id) else { unreachable!("it was there just now") };
        let (offsets, tombstones) = group.into_inheritance();
        let (group, effects) = ClassicGroup::succeed(group_id.clone(), self.config, turn.now_ms, offsets, tombstones);
        turn.effects.extend(effects);
        self.groups.insert(group_id.clone(), Group::Classic(Box::new(group)));
    }
}

fn check_upgrade(group: &ClassicGroup, joins: bool) -> Option<Refusal> {
    if !joins || !group.is_unpeopled() {
        return Some(Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {} is not a consumer group.", group.id())));
    }
    if group.is_quiet() { None } else { Some(busy()) }
}

fn check_downgrade(group: &ConsumerGroup, is_new_member: bool) -> Option<Refusal> {
    if !group.memory().members().is_empty() {
        return Some(Refusal::new(ErrorCode::InconsistentGroupProtocol, "The group speaks the consumer protocol."));
    }
    if !is_new_member {
        return Some(Refusal::new(ErrorCode::UnknownMemberId, "The group has no members."));
    }
    if group.is_quiet() { None } else { Some(busy()) }
}

/// The client tries again soon.
fn busy() -> Refusal {
    Refusal::new(ErrorCode::CoordinatorLoadInProgress, "The group is being written.")
}
