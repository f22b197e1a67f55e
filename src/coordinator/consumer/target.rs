//! The group epoch and the target assignment.
//!
//! Invariant: the target's epoch is never above the group's; it is made at the first heartbeat that finds it below.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assignor::{AssignmentSpec, Assignor, MemberSpec};
use super::change::Change;
use super::group::ConsumerGroup;
use super::record::{ConsumerRecord, GroupEpoch, Subscription, Target};
use super::topics::KnownTopic;
use crate::base::TopicId;
use crate::coordinator::ids::ShortText;

impl ConsumerGroup {
    /// Raises the group epoch if `is_changed`, or if the topics that the group reads have changed, and makes a new target if
    /// it is of an older epoch.
    pub(super) fn refresh(&mut self, is_changed: bool, now_ms: i64, change: &mut Change) {
        let version = self.topics.version();
        if is_changed || self.checked_version != Some(version) {
            self.raise_epoch_if(is_changed, change);
            self.checked_version = Some(version);
        }
        if self.memory.epoch() > self.memory.target_epoch() {
            self.make_target(now_ms, change);
        }
    }

    pub(super) fn raise_epoch_if(&mut self, is_changed: bool, change: &mut Change) {
        let metadata_hash = self.metadata_hash();
        if is_changed || metadata_hash != self.memory.metadata_hash() {
            let epoch = self.memory.epoch().saturating_add(1);
            self.note(ConsumerRecord::Epoch(Some(GroupEpoch { epoch, metadata_hash })), change);
        }
    }

    /// The names that a member's subscription means.
    pub(super) fn topics_of<'a>(&'a self, member: &'a Subscription) -> impl Iterator<Item = &'a ShortText> {
        let of_regex = member.regex().and_then(|regex| self.memory.regexes().get(regex)).map(|resolved| &resolved.topics);
        member.topics.iter().chain(of_regex.into_iter().flatten())
    }

    /// The topics that anybody reads and that exist.
    fn subscribed_topics(&self) -> BTreeMap<&str, KnownTopic> {
        let names: BTreeSet<&ShortText> = self.memory.members().values().flat_map(|member| self.topics_of(member)).collect();
        names.into_iter().filter_map(|name| Some((name.as_str(), self.topics.find(name.as_str())?))).collect()
    }

    /// Changes when a subscribed topic comes, goes, is made anew or grows. FNV-1a over names, ids and counts in order: it is
    /// compared with one from the log, so it must not depend on the build. Kafka hashes otherwise; a group that comes from there
    /// rebalances once.
    fn metadata_hash(&self) -> i64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut feed = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for (name, topic) in self.subscribed_topics() {
            feed(name.as_bytes());
            feed(&[0]);
            feed(&topic.id.0);
            feed(&topic.partition_count.to_be_bytes());
        }
        hash as i64
    }

    fn make_target(&mut self, now_ms: i64, change: &mut Change) {
        let partitions_of: BTreeMap<TopicId, i32> =
            self.subscribed_topics().into_values().map(|topic| (topic.id, topic.partition_count)).collect();
        let spec = |member: &Subscription| self.topics_of(member).filter_map(|name| Some(self.topics.find(name.as_str())?.id)).collect();
        let members = self.memory.members().iter().map(|(id, member)| {
            let owned = (*self.memory.member_target(id)).clone();
            (id.clone(), MemberSpec { instance_id: member.instance_id.clone(), subscribed: spec(member), owned })
        });
        let members = members.collect();
        let assignment = self.assignor().assign(&AssignmentSpec { members: &members, partitions_of: &partitions_of });
        for (id, partitions) in assignment {
            if *self.memory.member_target(&id) != partitions {
                self.note(ConsumerRecord::MemberTarget(id, Some(Arc::new(partitions))), change);
            }
        }
        let target = Target { epoch: self.memory.epoch(), made_at_ms: now_ms };
        self.note(ConsumerRecord::Target(Some(target)), change);
    }

    /// The one that most members ask for; the broker's first where nobody asks.
    pub(super) fn assignor(&self) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        let asked = self.memory.members().values().filter_map(|member| Assignor::parse(member.assignor.as_ref()?.as_str()));
        for assignor in asked.filter(|assignor| self.config.consumer.supports(*assignor)) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(assignor, _)| assignor);
        most.unwrap_or_else(|| self.config.consumer.default_assignor())
    }
}
