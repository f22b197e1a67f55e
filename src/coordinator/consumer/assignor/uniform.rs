//! The uniform assignor: everybody owns as many partitions as everybody else, within one, and keeps what it has.
//!
//! Balance comes first, then stickiness. Members that all subscribe to the same topics are served by quota (`homogeneous`), which
//! moves the least possible; any other group by levelling topic after topic (`heterogeneous`).

mod heterogeneous;
mod homogeneous;

use std::collections::BTreeMap;

use super::{Assignment, AssignmentSpec, MemberSpec};
use crate::base::{PartitionIndex, TopicId};
use crate::coordinator::MemberId;

pub(super) fn assign(spec: &AssignmentSpec) -> Assignment {
    let mut table = OwnerTable::kept_from(spec);
    let mut subscriptions = spec.members.values().map(|member| &member.subscribed);
    let first = subscriptions.next();
    match subscriptions.all(|subscribed| Some(subscribed) == first) {
        true => homogeneous::complete(&mut table),
        false => heterogeneous::complete(&mut table),
    }
    table.into_assignment()
}

/// A member's place in the order of member ids.
type MemberNumber = usize;

/// Who owns each partition while an assignment is built. `loads[m]` is the number of partitions that member m owns.
struct OwnerTable<'a> {
    members: Vec<(&'a MemberId, &'a MemberSpec)>,
    /// In the order of their ids.
    topics: Vec<Topic>,
    loads: Vec<usize>,
}

/// A topic that exists and has subscribers.
struct Topic {
    id: TopicId,
    /// In their order; never empty.
    subscribers: Vec<MemberNumber>,
    /// By partition.
    owners: Vec<Option<MemberNumber>>,
}

impl<'a> OwnerTable<'a> {
    /// Everybody keeps what it owned of the topics it still subscribes to.
    fn kept_from(spec: &AssignmentSpec<'a>) -> OwnerTable<'a> {
        let members: Vec<_> = spec.members.iter().collect();
        let mut subscribers: BTreeMap<TopicId, Vec<MemberNumber>> = BTreeMap::new();
        for (number, (_, member)) in members.iter().enumerate() {
            for topic in &member.subscribed {
                subscribers.entry(*topic).or_default().push(number);
            }
        }
        let partitions = |id: TopicId| spec.partitions_of.get(&id).map_or(0, |partitions| usize::try_from(*partitions).unwrap_or(0));
        let topics =
            subscribers.into_iter().map(|(id, subscribers)| Topic { id, subscribers, owners: vec![None; partitions(id)] }).collect();
        let mut table = OwnerTable { loads: vec![0; members.len()], members, topics };
        for number in 0..table.members.len() {
            table.keep(number);
        }
        table
    }

    fn keep(&mut self, number: MemberNumber) {
        let (_, member) = self.members[number];
        for (topic, partitions) in member.owned.iter().filter(|(topic, _)| member.subscribed.contains(topic)) {
            let Ok(at) = self.topics.binary_search_by_key(topic, |topic| topic.id) else { continue };
            for partition in partitions {
                let slot = usize::try_from(partition.0).ok().and_then(|index| self.topics[at].owners.get_mut(index));
                // Two members that claim one partition: the first keeps it.
                if let Some(owner @ None) = slot {
                    *owner = Some(number);
                    self.loads[number] += 1;
                }
            }
        }
    }

    /// Gives a partition to `taker`, from its owner if it has one.
    fn give(&mut self, topic: usize, partition: usize, taker: MemberNumber) {
        if let Some(giver) = self.topics[topic].owners[partition].replace(taker) {
            self.loads[giver] -= 1;
        }
        self.loads[taker] += 1;
    }

    /// The partitions of a topic that nobody owns.
    fn free_partitions(&self, topic: usize) -> Vec<usize> {
        let owners = self.topics[topic].owners.iter().enumerate();
        owners.filter(|(_, owner)| owner.is_none()).map(|(partition, _)| partition).collect()
    }

    fn into_assignment(self) -> Assignment {
        let mut owned: Vec<BTreeMap<_, _>> = vec![BTreeMap::new(); self.members.len()];
        for topic in &self.topics {
            let mut ordered: Vec<(MemberNumber, PartitionIndex)> = Vec::with_capacity(topic.owners.len());
            for (partition, owner) in topic.owners.iter().enumerate() {
                let owner = owner.expect("a topic with a subscriber is assigned in full");
                ordered.push((owner, PartitionIndex(partition as i32)));
            }
            ordered.sort_unstable();
            for partitions in ordered.chunk_by(|left, right| left.0 == right.0) {
                owned[partitions[0].0].insert(topic.id, partitions.iter().map(|(_, partition)| *partition).collect());
            }
        }
        self.members.into_iter().zip(owned).map(|((id, _), owned)| (id.clone(), owned)).collect()
    }
}
