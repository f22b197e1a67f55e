//! What ListGroups and DescribeGroups show of a group, as plain values.
//!
//! Filled by each protocol's own `views`.

use bytes::Bytes;

use super::classic::state::GroupState;
use super::ids::{GroupId, GroupInstanceId, MemberId, ShortText};

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
