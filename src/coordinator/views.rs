//! What ListGroups, DescribeGroups and OffsetFetch show of a group. Reading only.
//!
//! Invariant: a view shows what is written to the log, except for the state and the members, which are as of now.

use bytes::Bytes;

use super::classic_group::ClassicGroup;
use super::event::TopicPartition;
use super::ids::{GroupId, GroupInstanceId, MemberId, ShortText};
use super::member::Member;
use super::offsets::FetchedOffset;
use super::state::GroupState;
use crate::base::TopicId;

/// One group of ListGroups. Its type (version 5, KIP-848) is "classic".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    pub group_id: GroupId,
    /// Empty: a simple consumer's group.
    pub protocol_type: ShortText,
    pub state: GroupState,
}

/// One group of DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    pub state: GroupState,
    pub protocol_type: ShortText,
    /// Empty unless the group is stable.
    pub protocol_name: ShortText,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    pub client_id: ShortText,
    pub client_host: ShortText,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl DescribedGroup {
    /// What is shown of a group that does not exist. From version 6 on (KIP-1043) with GROUP_ID_NOT_FOUND.
    pub fn unknown() -> DescribedGroup {
        DescribedGroup {
            state: GroupState::Dead,
            protocol_type: ShortText::empty(),
            protocol_name: ShortText::empty(),
            members: Vec::new(),
        }
    }
}

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
