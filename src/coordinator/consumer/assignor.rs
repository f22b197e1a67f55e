//! Server-side assignors (KIP-848): from who subscribes to what, and who owned what, to who shall own what.
//!
//! Pure functions. For every input: each partition of a topic that somebody subscribes to and that exists is assigned exactly
//! once, and only to a subscriber; every member has an entry, if only an empty one; a topic without partitions for a member
//! has no entry. What `owned` says beyond that (partitions that do not exist, or that two members claim) is ignored.
//!
//! Both run in O(input + partitions × log members): the input already lists every subscription of every member.

mod range;
mod uniform;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{PartitionIndex, TopicId};
use crate::coordinator::{GroupInstanceId, MemberId};

/// What an assignor knows of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSpec {
    /// Set for a static member (KIP-345).
    pub instance_id: Option<GroupInstanceId>,
    pub subscribed: BTreeSet<TopicId>,
    /// The member's part of the target assignment before this one.
    pub owned: BTreeMap<TopicId, BTreeSet<PartitionIndex>>,
}

/// The group as an assignor sees it.
#[derive(Clone, Copy, Debug)]
pub struct AssignmentSpec<'a> {
    pub members: &'a BTreeMap<MemberId, MemberSpec>,
    /// How many partitions each topic has. A subscribed topic that is not here is left out.
    pub partitions_of: &'a BTreeMap<TopicId, i32>,
}

/// Who shall own what.
pub type Assignment = BTreeMap<MemberId, BTreeMap<TopicId, BTreeSet<PartitionIndex>>>;

/// The assignors that a member may ask for by name (`group.remote.assignor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// Balanced within one partition over all topics together, and sticky. Kafka's default.
    Uniform,
    /// A contiguous range of every topic for each subscriber, so that topics of equal size are co-partitioned.
    Range,
}

impl Assignor {
    /// In the order of Kafka's `group.consumer.assignors`: the first is the default.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor of that name; `None` means UNSUPPORTED_ASSIGNOR.
    pub fn parse(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    pub fn assign(self, spec: &AssignmentSpec) -> Assignment {
        match self {
            Assignor::Uniform => uniform::assign(spec),
            Assignor::Range => range::assign(spec),
        }
    }
}
