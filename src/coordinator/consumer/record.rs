//! What the log keeps of a consumer group, one entry per key.
//!
//! Plain values. Invariant: an entry without a value is a tombstone; the bytes are `record_format`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::base::{PartitionIndex, TopicId};
use crate::coordinator::ids::{GroupInstanceId, MemberId, ShortText};

/// Partitions by topic; no topic is there without one.
pub type TopicPartitions = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;

/// Partitions that a member has, and since which of its epochs (KIP-1251).
pub type Ownership = BTreeMap<TopicId, BTreeMap<PartitionIndex, i32>>;

/// One entry. `None` is a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerRecord {
    Epoch(Option<GroupEpoch>),
    /// The topics of the group as Kafka before 4.1 wrote them; only its tombstone is of use.
    LegacyTopics,
    Member(MemberId, Option<Arc<Subscription>>),
    Target(Option<Target>),
    MemberTarget(MemberId, Option<Arc<TopicPartitions>>),
    Current(MemberId, Option<Arc<Current>>),
    Regex(ShortText, Option<Arc<ResolvedRegex>>),
}

/// How often the members, their subscriptions or the topics of these have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupEpoch {
    pub epoch: i32,
    /// Of the subscribed topics, their ids and their partition counts.
    pub metadata_hash: i64,
}

/// The group epoch that the target assignment is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub epoch: i32,
    /// Milliseconds since 1970; 0: not known.
    pub made_at_ms: i64,
}

/// Who a member is and what it wants to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    pub instance_id: Option<GroupInstanceId>,
    pub rack_id: Option<ShortText>,
    pub client_id: ShortText,
    /// As Java prints an address: `/127.0.0.1`.
    pub client_host: ShortText,
    pub topics: BTreeSet<ShortText>,
    /// Empty as good as none.
    pub regex: Option<ShortText>,
    pub rebalance_timeout_ms: i32,
    pub assignor: Option<ShortText>,
    /// The member speaks the classic protocol.
    pub classic: Option<ClassicMembership>,
}

/// What a member told of itself in the classic protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMembership {
    pub session_timeout_ms: i32,
    pub protocols: Vec<(ShortText, Bytes)>,
}

/// How far a member is on its way to the target assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    pub epoch: i32,
    /// Accepted once more if the answer with the newer epoch was lost.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Ownership,
    pub pending_revocation: Ownership,
}

/// The topics that a regular expression means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    pub topics: BTreeSet<ShortText>,
    /// The version of the cluster's metadata that was looked at.
    pub metadata_version: i64,
    /// Milliseconds since 1970.
    pub resolved_at_ms: i64,
}

/// Where a member stands.
///
/// | state | epoch | waits for |
/// |---|---|---|
/// | Stable | its target's | nothing |
/// | UnrevokedPartitions | an older one | its client to give up `pending_revocation` |
/// | UnreleasedPartitions | its target's | other members to give up partitions of its target |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MemberState {
    #[default]
    Stable,
    UnrevokedPartitions,
    UnreleasedPartitions,
    /// Of a newer broker: the member has to come back with nothing.
    Unknown,
}

impl MemberState {
    pub const ALL: [MemberState; 4] =
        [MemberState::Stable, MemberState::UnrevokedPartitions, MemberState::UnreleasedPartitions, MemberState::Unknown];

    /// The code in the log.
    pub fn code(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }

    pub fn of_code(code: i8) -> MemberState {
        MemberState::ALL.into_iter().find(|state| state.code() == code).unwrap_or(MemberState::Unknown)
    }
}

impl Subscription {
    /// The regular expression, if it means anything.
    pub fn regex(&self) -> Option<&ShortText> {
        self.regex.as_ref().filter(|regex| !regex.is_empty())
    }
}

impl Current {
    /// Whatever no other member may have: what is assigned, and what the client has not given up.
    pub fn held(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        let both = self.assigned.iter().chain(&self.pending_revocation);
        both.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
    }
}

/// Without the epochs.
pub fn partitions_of(ownership: &Ownership) -> TopicPartitions {
    ownership.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}
