//! The range assignor: every topic is cut into contiguous ranges, one for each subscriber, in the members' order.
//!
//! Topics of equal size with the same subscribers are cut alike, which makes them co-partitioned. The order, and with it the
//! assignment, outlives a restart of static members. Nothing else is sticky, as in Kafka since 4.0.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignment, AssignmentSpec, MemberSpec};
use crate::base::{PartitionIndex, TopicId};
use crate::coordinator::MemberId;

pub(super) fn assign(spec: &AssignmentSpec) -> Assignment {
    let mut topics: BTreeMap<TopicId, Cut> = BTreeMap::new();
    for topic in spec.members.values().flat_map(|member| &member.subscribed) {
        if let Some(partitions) = spec.partitions_of.get(topic) {
            topics.entry(*topic).or_insert(Cut { partitions: *partitions, subscribers: 0, served: 0, next: 0 }).subscribers += 1;
        }
    }
    let mut assignment = Assignment::new();
    for (id, member) in in_order(spec.members) {
        let mut ranges = BTreeMap::new();
        for topic in &member.subscribed {
            let range = topics.get_mut(topic).map(Cut::next_range).unwrap_or_default();
            if !range.is_empty() {
                ranges.insert(*topic, range);
            }
        }
        assignment.insert(id.clone(), ranges);
    }
    assignment
}

/// Static members first, by instance id; then the others by member id.
fn in_order(members: &BTreeMap<MemberId, MemberSpec>) -> Vec<(&MemberId, &MemberSpec)> {
    let mut ordered: Vec<_> = members.iter().collect();
    ordered.sort_by(|(_, left), (_, right)| match (&left.instance_id, &right.instance_id) {
        (Some(left), Some(right)) => left.cmp(right),
        // The sort is stable: members without one stay in the order of their ids.
        (left, right) => right.is_some().cmp(&left.is_some()),
    });
    ordered
}

/// How far a topic is cut.
struct Cut {
    partitions: i32,
    subscribers: i32,
    served: i32,
    next: i32,
}

impl Cut {
    /// The range of the next subscriber; the first ones take one more if the topic does not divide evenly.
    fn next_range(&mut self) -> BTreeSet<PartitionIndex> {
        let is_longer = self.served < self.partitions % self.subscribers;
        let end = self.next + self.partitions / self.subscribers + i32::from(is_longer);
        let range = (self.next..end).map(PartitionIndex).collect();
        self.served += 1;
        self.next = end;
        range
    }
}
