//! What ListGroups, ConsumerGroupDescribe and OffsetFetch show of a consumer group. Reading only.

use super::group::ConsumerGroup;
use super::record::{Subscription, TopicPartitions, partitions_of};
use crate::base::{PartitionIndex, TopicId, TopicName};
use crate::coordinator::ids::{MemberId, ShortText};
use crate::coordinator::views::{GroupType, ListedGroup};

/// One group of ConsumerGroupDescribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    pub state: &'static str,
    pub epoch: i32,
    pub target_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<DescribedConsumer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    pub member_id: MemberId,
    pub epoch: i32,
    pub subscription: Subscription,
    pub assigned: Vec<DescribedTopic>,
    pub target: Vec<DescribedTopic>,
}

/// Partitions of one topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTopic {
    pub id: TopicId,
    pub name: TopicName,
    pub partitions: Vec<PartitionIndex>,
}

impl ConsumerGroup {
    pub fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: ShortText::new("consumer").expect("a short name"),
            state: self.state().name(),
            group_type: GroupType::Consumer,
        }
    }

    pub fn describe(&self) -> DescribedConsumerGroup {
        let member = |(id, member): (&MemberId, &std::sync::Arc<Subscription>)| {
            let current = self.memory.current(id);
            DescribedConsumer {
                member_id: id.clone(),
                epoch: current.epoch,
                subscription: (**member).clone(),
                assigned: self.named(&partitions_of(&current.assigned)),
                target: self.named(&self.memory.member_target(id)),
            }
        };
        DescribedConsumerGroup {
            state: self.state().name(),
            epoch: self.memory.epoch(),
            target_epoch: self.memory.target_epoch(),
            assignor: self.assignor().name(),
            members: self.memory.members().iter().map(member).collect(),
        }
    }

    /// Without the topics that are gone.
    fn named(&self, partitions: &TopicPartitions) -> Vec<DescribedTopic> {
        let named = |(id, partitions): (&TopicId, &std::collections::BTreeSet<PartitionIndex>)| {
            Some(DescribedTopic { id: *id, name: self.topics.name(*id)?, partitions: partitions.iter().copied().collect() })
        };
        partitions.iter().filter_map(named).collect()
    }
}
