//! A group with members comes from the classic protocol, or goes back to it.
//!
//! Invariants: a member that comes has as its target and its assignment what its former leader gave it, at its generation; the
//! records of all that go with the group's next change, in one write; what goes takes every other member along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::PendingWrite;
use super::group::ConsumerGroup;
use super::record::{
    ClassicMembership, ConsumerRecord, Current, GroupEpoch, MemberState, Ownership, Subscription, Target, TopicPartitions,
};
use super::topics::Topics;
use crate::coordinator::config::GroupConfig;
use crate::coordinator::conversion::Inheritance;
use crate::coordinator::effect::Response;
use crate::coordinator::event::{Event, Protocol};
use crate::coordinator::ids::{GroupId, GroupInstanceId, MemberId, RequestToken, ShortText};
use crate::coordinator::record_format::GroupRecord;

/// A member of the classic protocol on its way to the other machine, in either direction.
#[derive(Clone, Debug)]
pub(in crate::coordinator) struct MigratingMember {
    pub id: MemberId,
    pub instance_id: Option<GroupInstanceId>,
    pub rack_id: Option<ShortText>,
    pub client_id: ShortText,
    pub client_host: ShortText,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocols: Vec<Protocol>,
    /// As the subscription of the chosen protocol has them; not needed on the way back.
    pub topics: BTreeSet<ShortText>,
    pub assigned: TopicPartitions,
}

/// The last member that speaks the consumer protocol is on its way out.
#[derive(Debug)]
pub(in crate::coordinator) struct Downgrade {
    pub leaving: BTreeSet<MemberId>,
    /// Goes out when the classic group is written.
    pub answer: Option<(RequestToken, Response)>,
    /// What brought it about, to be heard by the classic group.
    pub then: Option<Event>,
}

impl ConsumerGroup {
    /// The group that takes over the id of a classic one, with the members of that.
    pub(in crate::coordinator) fn succeed_classic(
        id: GroupId,
        config: GroupConfig,
        topics: Arc<dyn Topics>,
        inheritance: Inheritance,
        epoch: i32,
        members: Vec<MigratingMember>,
        now_ms: i64,
    ) -> ConsumerGroup {
        let writes = inheritance.writes.into_iter().map(|(token, write)| (token, PendingWrite::Offsets(write))).collect();
        let new = ConsumerGroup::new(id, config, topics, inheritance.offsets);
        let mut group = ConsumerGroup { inherited: inheritance.tombstones, writes, next_write: inheritance.next_write, ..new };
        if members.is_empty() {
            return group;
        }
        group.memory.apply(ConsumerRecord::Epoch(Some(GroupEpoch { epoch, metadata_hash: 0 })));
        group.memory.apply(ConsumerRecord::Target(Some(Target { epoch, made_at_ms: now_ms })));
        for member in members {
            group.adopt(member, epoch);
        }
        let records = group.memory.records();
        let own = records.into_iter().map(|record| GroupRecord::Consumer { group_id: group.id.clone(), record });
        group.inherited.extend(own);
        group.align_timers(now_ms);
        group
    }

    fn adopt(&mut self, member: MigratingMember, epoch: i32) {
        let classic = ClassicMembership {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.into_iter().map(|protocol| (protocol.name, protocol.metadata)).collect(),
        };
        let subscription = Subscription {
            instance_id: member.instance_id,
            rack_id: member.rack_id,
            client_id: member.client_id,
            client_host: member.client_host,
            topics: member.topics,
            regex: Some(ShortText::empty()),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            assignor: None,
            classic: Some(classic),
        };
        let mut assigned = Ownership::new();
        for (topic, partitions) in &member.assigned {
            // A leader may have given a partition to two members: the first one has it.
            let free = partitions.iter().filter(|partition| self.memory.holder(*topic, **partition).is_none());
            let free: BTreeMap<_, _> = free.map(|partition| (*partition, epoch)).collect();
            if !free.is_empty() {
                assigned.insert(*topic, free);
            }
        }
        let target = super::record::partitions_of(&assigned);
        let current = Current { epoch, previous_epoch: epoch, state: MemberState::Stable, assigned, pending_revocation: Ownership::new() };
        self.memory.apply(ConsumerRecord::Member(member.id.clone(), Some(Arc::new(subscription))));
        self.memory.apply(ConsumerRecord::MemberTarget(member.id.clone(), Some(Arc::new(target))));
        self.memory.apply(ConsumerRecord::Current(member.id, Some(Arc::new(current))));
    }

    pub(in crate::coordinator) fn take_downgrade(&mut self) -> Option<Downgrade> {
        self.downgrade.take()
    }

    /// Those of the classic protocol that do not leave, each with its part of the target.
    pub(in crate::coordinator) fn migrating_members(&self, leaving: &BTreeSet<MemberId>) -> Vec<MigratingMember> {
        let staying = self.memory().members().iter().filter(|(id, _)| !leaving.contains(*id));
        let migrating = staying.filter_map(|(id, member)| {
            let classic = member.classic.as_ref()?;
            let protocols = classic.protocols.iter().map(|(name, metadata)| Protocol { name: name.clone(), metadata: metadata.clone() });
            Some(MigratingMember {
                id: id.clone(),
                instance_id: member.instance_id.clone(),
                rack_id: member.rack_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                session_timeout_ms: classic.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: protocols.collect(),
                topics: member.topics.clone(),
                assigned: (*self.memory.member_target(id)).clone(),
            })
        });
        migrating.collect()
    }

    /// Everything this group is, for the group that takes its id over, and the events that waited.
    pub(in crate::coordinator) fn into_inheritance(self) -> (Inheritance, Vec<Event>) {
        let mut tombstones: Vec<GroupRecord> = self.inherited.into_iter().filter(GroupRecord::is_tombstone).collect();
        if self.memory.exists() {
            let group_id = &self.id;
            tombstones
                .extend(self.memory.tombstones().into_iter().map(|record| GroupRecord::Consumer { group_id: group_id.clone(), record }));
        }
        let writes = self.writes.into_iter().map(|(token, write)| match write {
            PendingWrite::Offsets(write) => (token, write),
            _ => unreachable!("a group whose records are being written stays as it is"),
        });
        let inheritance = Inheritance { offsets: self.offsets, tombstones, writes: writes.collect(), next_write: self.next_write };
        (inheritance, self.parked.into())
    }
}
