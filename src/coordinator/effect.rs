//! What a group asks its shell to do, and the answers it gives.
//!
//! Effects are performed in their order. Answers are plain values; the api layer gives them their version's shape.

use bytes::Bytes;

use super::ids::{GroupId, GroupInstanceId, MemberId, PersistToken, RequestToken, ShortText};
use super::record_format::GroupRecord;
use crate::base::ErrorCode;

/// One output of [`super::classic::ClassicGroup::step`].
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Answer this request, now.
    Respond { token: RequestToken, response: Response },
    /// Append these records as one batch to the group's partition, and report with [`super::Event::Persisted`].
    Persist { group_id: GroupId, token: PersistToken, records: Vec<GroupRecord> },
}

/// An answer, by the kind of its request.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Join(JoinResponse),
    Sync(SyncResponse),
    Heartbeat(ErrorCode),
    Leave(LeaveResponse),
    /// One code per requested partition, in the request's order. OffsetCommit has no code of its own.
    CommitOffsets(Vec<ErrorCode>),
    DeleteOffsets(DeleteOffsetsResponse),
    DeleteGroup(ErrorCode),
}

#[derive(Clone, Debug, PartialEq)]
pub struct JoinResponse {
    pub error: ErrorCode,
    /// −1 with an error.
    pub generation_id: i32,
    /// Null before version 7 is not allowed: the empty string there.
    pub protocol_type: Option<ShortText>,
    /// Null before version 7 is not allowed: the empty string there.
    pub protocol_name: Option<ShortText>,
    /// Empty: none.
    pub leader: MemberId,
    /// KIP-814.
    pub skip_assignment: bool,
    pub member_id: MemberId,
    /// Only the leader gets any.
    pub members: Vec<JoinedMember>,
}

impl JoinResponse {
    pub fn error(error: ErrorCode, member_id: MemberId) -> JoinResponse {
        JoinResponse {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: MemberId::empty(),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    /// In the chosen protocol's own bytes.
    pub metadata: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SyncResponse {
    pub error: ErrorCode,
    pub protocol_type: Option<ShortText>,
    pub protocol_name: Option<ShortText>,
    pub assignment: Bytes,
}

impl SyncResponse {
    pub fn error(error: ErrorCode) -> SyncResponse {
        SyncResponse { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct LeaveResponse {
    /// Before version 3 a member's own code stands here.
    pub error: ErrorCode,
    /// In the request's order.
    pub members: Vec<LeftMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMember {
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    pub error: ErrorCode,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeleteOffsetsResponse {
    pub error: ErrorCode,
    /// One code per requested partition, in the request's order; empty if `error` is set.
    pub partitions: Vec<ErrorCode>,
}
