//! What can happen to a group: requests of clients, the outcome of writes, and time.
//!
//! Requests are plain values without API versions. Where a version changes the meaning, a field says what it means, and the
//! api layer derives the field from the version.

use std::sync::Arc;

use bytes::Bytes;

use super::ids::{GroupInstanceId, MemberId, PersistToken, RequestToken, ShortText};
use crate::base::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};

/// One input of [`super::classic::ClassicGroup::step`].
#[derive(Clone, Debug)]
pub enum Event {
    Join {
        token: RequestToken,
        request: JoinRequest,
    },
    Sync {
        token: RequestToken,
        request: SyncRequest,
    },
    Heartbeat {
        token: RequestToken,
        request: HeartbeatRequest,
    },
    Leave {
        token: RequestToken,
        members: Vec<LeavingMember>,
    },
    CommitOffsets {
        token: RequestToken,
        request: CommitOffsetsRequest,
    },
    DeleteOffsets {
        token: RequestToken,
        partitions: Vec<TopicPartition>,
    },
    DeleteGroup {
        token: RequestToken,
    },
    /// These topics do not exist any more: their offsets go as well.
    TopicsDeleted {
        topics: Vec<TopicName>,
    },
    /// A write that an effect asked for is durable (as the partition's ack rule has it), or failed. In the order of the effects.
    Persisted {
        token: PersistToken,
        outcome: Result<(), ErrorCode>,
    },
    /// Some time has passed: timers that are due fire.
    Tick,
    /// The time to look for offsets past their retention.
    ExpireOffsets,
    /// The partition moves to another broker or core: answer everybody, forget everything.
    Unload,
}

/// JoinGroup, versions 0–9.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Empty: a new member.
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    pub client_id: ShortText,
    /// Kafka writes it as Java prints an address: `/127.0.0.1`.
    pub client_host: ShortText,
    pub session_timeout_ms: i32,
    /// Version 0 has none: the session timeout then.
    pub rebalance_timeout_ms: i32,
    pub protocol_type: ShortText,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    /// Version 4 and newer (KIP-394): a new dynamic member first gets an id and must come back with it.
    pub requires_known_member_id: bool,
    /// Version 9 and newer (KIP-814): a static leader may be told to leave the assignment as it is.
    pub supports_skipping_assignment: bool,
    /// 16 random bytes for a new member id, used only if one is needed.
    pub random_bytes: [u8; 16],
}

/// One protocol that a member can use, with its subscription in that protocol's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: ShortText,
    pub metadata: Bytes,
}

/// SyncGroup, versions 0–5.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    pub generation_id: i32,
    /// Version 5 and newer (KIP-559), where it must not be null: INCONSISTENT_GROUP_PROTOCOL from the api layer.
    pub protocol_type: Option<ShortText>,
    /// As above.
    pub protocol_name: Option<ShortText>,
    /// Only the leader sends any.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// Heartbeat, versions 0–4.
#[derive(Clone, Debug)]
pub struct HeartbeatRequest {
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    pub generation_id: i32,
}

/// One member of LeaveGroup; before version 3 a request has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Empty: an administrator removes a static member by its instance id.
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
}

/// A partition by name, as offsets are kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: TopicName,
    pub partition: PartitionIndex,
}

/// OffsetCommit, versions 2–10.
#[derive(Clone, Debug)]
pub struct CommitOffsetsRequest {
    /// −1: a simple consumer or an admin client.
    pub generation_id: i32,
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    /// Version 9 and newer: an unknown group is GROUP_ID_NOT_FOUND; before, ILLEGAL_GENERATION.
    pub knows_group_id_not_found: bool,
    /// Versions 2–4: how long the offsets are kept. `None` (−1 on the wire, and all newer versions): the broker's retention.
    pub retention_ms: Option<i64>,
    pub offsets: Vec<OffsetToCommit>,
}

/// One partition of OffsetCommit. That the topic exists is the api layer's check.
#[derive(Clone, Debug)]
pub struct OffsetToCommit {
    pub partition: TopicPartition,
    /// Zero: not known.
    pub topic_id: TopicId,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// Null on the wire is the empty text here.
    pub metadata: Arc<str>,
}
