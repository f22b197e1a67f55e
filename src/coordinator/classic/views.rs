//! What ListGroups, DescribeGroups and OffsetFetch show of a classic group. Reading only.
//!
//! Invariant: a view shows what is written to the log, except for the state and the members, which are as of now.

use bytes::Bytes;

use super::group::ClassicGroup;
use super::member::Member;
use super::state::GroupState;
use crate::base::TopicId;
use crate::coordinator::event::TopicPartition;
use crate::coordinator::offsets::FetchedOffset;
use crate::coordinator::views::{DescribedGroup, DescribedMember, ListedGroup};

impl ClassicGroup {
    pub fn list(&self) -> ListedGroup {
        ListedGroup { group_id: self.id.clone(), protocol_type: self.protocol_type.clone().unwrap_or_default(), state: self.state }
    }

    pub fn describe(&self) -> DescribedGroup {
        // Only a stable group's protocol is agreed upon by all of its members.
        let protocol_name = self.protocol_name.clone().filter(|_| self.state == GroupState::Stable).unwrap_or_default();
        let described = |member: &Member| DescribedMember {
            member_id: member.id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if protocol_name.is_empty() { Bytes::new() } else { member.metadata(&protocol_name) },
            assignment: member.assignment.clone(),
        };
        DescribedGroup {
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: self.membership.iter().map(described).collect(),
            protocol_name,
        }
    }

    /// OffsetFetch of one partition. `topic_id`: zero before version 10.
    pub fn fetch_offset(&self, partition: &TopicPartition, topic_id: TopicId, require_stable: bool) -> FetchedOffset {
        self.offsets.fetch(partition, topic_id, require_stable)
    }

    /// OffsetFetch of everything (null topics), in the order of topics and partitions.
    pub fn fetch_all_offsets(&self, require_stable: bool) -> Vec<(TopicPartition, TopicId, FetchedOffset)> {
        let fetched = |partition: &TopicPartition, topic_id: TopicId| {
            (partition.clone(), topic_id, self.offsets.fetch(partition, TopicId::ZERO, require_stable))
        };
        self.offsets.iter().map(|(partition, offset)| fetched(partition, offset.topic_id)).collect()
    }
}
