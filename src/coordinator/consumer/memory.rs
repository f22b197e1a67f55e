//! What the log says of a consumer group: the fold of its records.
//!
//! Pure. Invariants:
//! - the memory depends only on the last record of each key, in whatever order they come: a compacted log gives the same;
//! - `holders` has exactly the partitions that `current` holds, each with one member;
//! - applying what [`Memory::apply`] returned takes the record back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{ConsumerRecord, Current, GroupEpoch, ResolvedRegex, Subscription, Target, TopicPartitions};
use crate::base::{PartitionIndex, TopicId};
use crate::coordinator::ids::{GroupInstanceId, MemberId, ShortText};

/// The epoch of a static member that went and may come back (KIP-848).
pub const STATIC_LEAVE_EPOCH: i32 = -2;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    epoch: Option<GroupEpoch>,
    target: Option<Target>,
    members: BTreeMap<MemberId, Arc<Subscription>>,
    member_targets: BTreeMap<MemberId, Arc<TopicPartitions>>,
    current: BTreeMap<MemberId, Arc<Current>>,
    regexes: BTreeMap<ShortText, Arc<ResolvedRegex>>,
    holders: BTreeMap<(TopicId, PartitionIndex), MemberId>,
    static_members: BTreeMap<GroupInstanceId, MemberId>,
}

impl Memory {
    /// Takes a record, and returns the one that takes it back.
    pub fn apply(&mut self, record: ConsumerRecord) -> ConsumerRecord {
        match record {
            ConsumerRecord::Epoch(epoch) => ConsumerRecord::Epoch(std::mem::replace(&mut self.epoch, epoch)),
            ConsumerRecord::LegacyTopics => ConsumerRecord::LegacyTopics,
            ConsumerRecord::Target(target) => ConsumerRecord::Target(std::mem::replace(&mut self.target, target)),
            ConsumerRecord::Member(id, value) => {
                let former = put(&mut self.members, &id, value.clone());
                if let Some(instance) = former.as_ref().and_then(|former| former.instance_id.as_ref())
                    && self.static_members.get(instance) == Some(&id)
                {
                    self.static_members.remove(instance);
                }
                if let Some(instance) = value.and_then(|value| value.instance_id.clone()) {
                    self.static_members.insert(instance, id.clone());
                }
                ConsumerRecord::Member(id, former)
            }
            ConsumerRecord::MemberTarget(id, value) => {
                let former = put(&mut self.member_targets, &id, value);
                ConsumerRecord::MemberTarget(id, former)
            }
            ConsumerRecord::Current(id, value) => {
                let former = put(&mut self.current, &id, value.clone());
                for partition in former.iter().flat_map(|former| former.held()) {
                    if self.holders.get(&partition) == Some(&id) {
                        self.holders.remove(&partition);
                    }
                }
                for partition in value.iter().flat_map(|value| value.held()) {
                    self.holders.insert(partition, id.clone());
                }
                ConsumerRecord::Current(id, former)
            }
            ConsumerRecord::Regex(regex, value) => {
                let former = put(&mut self.regexes, &regex, value);
                ConsumerRecord::Regex(regex, former)
            }
        }
    }

    /// After a replay: what is left of members that are gone does not count.
    pub fn settle(&mut self) {
        let strays: Vec<MemberId> =
            self.member_targets.keys().chain(self.current.keys()).filter(|id| !self.members.contains_key(*id)).cloned().collect();
        for id in strays {
            self.apply(ConsumerRecord::MemberTarget(id.clone(), None));
            self.apply(ConsumerRecord::Current(id, None));
        }
        // Records of one member may have taken a partition from another's, which came later in the log.
        let held = self.current.iter().flat_map(|(id, current)| current.held().map(|partition| (partition, id.clone())));
        self.holders = held.collect();
    }

    /// The log has records of the group.
    pub fn exists(&self) -> bool {
        self.epoch.is_some() || !self.members.is_empty()
    }

    pub fn epoch(&self) -> i32 {
        self.epoch.unwrap_or_default().epoch
    }

    pub fn metadata_hash(&self) -> i64 {
        self.epoch.unwrap_or_default().metadata_hash
    }

    pub fn target_epoch(&self) -> i32 {
        self.target.unwrap_or_default().epoch
    }

    pub fn members(&self) -> &BTreeMap<MemberId, Arc<Subscription>> {
        &self.members
    }

    pub fn member(&self, id: &MemberId) -> Option<&Arc<Subscription>> {
        self.members.get(id)
    }

    pub fn static_member(&self, instance: &GroupInstanceId) -> Option<&MemberId> {
        self.static_members.get(instance)
    }

    /// A member that has only just come is at epoch 0 with nothing.
    pub fn current(&self, id: &MemberId) -> Arc<Current> {
        self.current.get(id).cloned().unwrap_or_default()
    }

    pub fn member_target(&self, id: &MemberId) -> Arc<TopicPartitions> {
        self.member_targets.get(id).cloned().unwrap_or_default()
    }

    pub fn regexes(&self) -> &BTreeMap<ShortText, Arc<ResolvedRegex>> {
        &self.regexes
    }

    /// Who has the partition, or has not given it up yet.
    pub fn holder(&self, topic: TopicId, partition: PartitionIndex) -> Option<&MemberId> {
        self.holders.get(&(topic, partition))
    }

    /// The tombstones of everything, members first as Kafka writes them.
    pub fn tombstones(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        records.extend(self.current.keys().map(|id| ConsumerRecord::Current(id.clone(), None)));
        records.extend(self.member_targets.keys().map(|id| ConsumerRecord::MemberTarget(id.clone(), None)));
        records.push(ConsumerRecord::Target(None));
        records.extend(self.members.keys().map(|id| ConsumerRecord::Member(id.clone(), None)));
        records.extend(self.regexes.keys().map(|regex| ConsumerRecord::Regex(regex.clone(), None)));
        records.push(ConsumerRecord::LegacyTopics);
        records.push(ConsumerRecord::Epoch(None));
        records
    }

    /// The records that make this memory.
    pub fn records(&self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        records.extend(self.members.iter().map(|(id, value)| ConsumerRecord::Member(id.clone(), Some(value.clone()))));
        records.extend(self.regexes.iter().map(|(regex, value)| ConsumerRecord::Regex(regex.clone(), Some(value.clone()))));
        records.extend(self.epoch.map(|epoch| ConsumerRecord::Epoch(Some(epoch))));
        records.extend(self.member_targets.iter().map(|(id, value)| ConsumerRecord::MemberTarget(id.clone(), Some(value.clone()))));
        records.extend(self.target.map(|target| ConsumerRecord::Target(Some(target))));
        records.extend(self.current.iter().map(|(id, value)| ConsumerRecord::Current(id.clone(), Some(value.clone()))));
        records
    }
}

fn put<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    }
}
