//! The groups of one partition of `__consumer_offsets`.
//!
//! Lives on the core that leads the partition. Invariants: `deadlines` holds exactly one entry per group with a deadline, the
//! group's own; a group of which nothing would be lost is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::classic::ClassicGroup;
use super::config::GroupConfig;
use super::consumer::ConsumerGroup;
use super::consumer::topics::{NoTopics, Topics};
use super::consumer::views::DescribedConsumerGroup;
use super::effect::{Effect, Turn};
use super::event::{CommitOffsetsRequest, Event, JoinRequest, TopicPartition};
use super::group::Group;
use super::ids::{GroupId, MemberId};
use super::offsets::FetchedOffset;
use super::replay::ReplayedGroup;
use super::views::{DescribedGroup, ListedGroup, NotFound};
use crate::base::{ErrorCode, TopicId, TopicName};

/// See the module's documentation.
#[derive(Debug)]
pub struct GroupCoordinator {
    pub(super) config: GroupConfig,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) topics: Arc<dyn Topics>,
    deadlines: BTreeSet<(i64, GroupId)>,
}

impl GroupCoordinator {
    pub fn new(config: GroupConfig) -> GroupCoordinator {
        GroupCoordinator { config, groups: BTreeMap::new(), topics: Arc::new(NoTopics), deadlines: BTreeSet::new() }
    }

    /// The groups as [`super::replay::Replay`] found them. Sessions start now; groups above `group.max.size` start a rebalance.
    pub fn load(config: GroupConfig, now_ms: i64, replayed: BTreeMap<GroupId, ReplayedGroup>) -> (GroupCoordinator, Vec<Effect>) {
        let mut coordinator = GroupCoordinator::new(config);
        let mut effects = Vec::new();
        for (id, stored) in replayed {
            let (group, of_group) = Group::load(id.clone(), config, now_ms, stored);
            effects.extend(of_group);
            coordinator.move_deadline(&id, None, group.next_deadline_ms());
            coordinator.groups.insert(id, group);
        }
        (coordinator, effects)
    }

    /// Hands an event to a group, which a JoinGroup or a simple consumer's commit creates. `now_ms` as in
    /// [`ClassicGroup::step`]. Ask [`GroupCoordinator::next_deadline_ms`] afterwards: it may have changed.
    pub fn step(&mut self, now_ms: i64, group_id: &GroupId, event: Event) -> Vec<Effect> {
        let mut turn = Turn { now_ms, effects: Vec::new() };
        match self.admit(group_id, &event) {
            Ok(true) => {}
            Ok(false) => return turn.effects,
            Err(error) => {
                let (token, response) = event.refused(error).expect("only requests are refused");
                turn.respond(token, response);
                return turn.effects;
            }
        }
        let former_deadline_ms = self.groups.get(group_id).and_then(Group::next_deadline_ms);
        if let Some(refusal) = self.convert(group_id, &event, &mut turn) {
            let (token, response) = event.refused_as(refusal).expect("only requests are refused");
            turn.respond(token, response);
            return turn.effects;
        }
        let new_group = || Group::for_event(&event, group_id, self.config, now_ms, &self.topics);
        let group = self.groups.entry(group_id.clone()).or_insert_with(new_group);
        turn.effects.extend(group.step(now_ms, event));
        let to_be_heard = self.finish_downgrade(group_id, &mut turn);
        let group = self.groups.get(group_id).expect("put there above");
        let is_kept = !group.is_vacant() && !group.is_gone();
        let deadline_ms = group.next_deadline_ms().filter(|_| is_kept);
        if !is_kept {
            self.groups.remove(group_id);
        }
        self.move_deadline(group_id, former_deadline_ms, deadline_ms);
        turn.effects.extend(to_be_heard.into_iter().flat_map(|event| self.step(now_ms, group_id, event)));
        turn.effects
    }

    /// When [`GroupCoordinator::expire`] is next of use, in the clock of `step`; it may already have passed.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.first().map(|(at_ms, _)| *at_ms)
    }

    /// Fires the timers that are due, of all groups.
    pub fn expire(&mut self, now_ms: i64) -> Vec<Effect> {
        let due: Vec<GroupId> =
            self.deadlines.iter().take_while(|(at_ms, _)| *at_ms <= now_ms).map(|(_, group_id)| group_id.clone()).collect();
        due.iter().flat_map(|group_id| self.step(now_ms, group_id, Event::Tick)).collect()
    }

    /// Drops offsets past their retention, and groups of which nothing is left. Kafka does so every ten minutes
    /// (`offsets.retention.check.interval.ms`). Looks at every offset.
    pub fn expire_offsets(&mut self, now_ms: i64) -> Vec<Effect> {
        self.step_all(now_ms, &Event::ExpireOffsets)
    }

    /// Drops the offsets of topics that were deleted.
    pub fn topics_deleted(&mut self, now_ms: i64, topics: Vec<TopicName>) -> Vec<Effect> {
        self.step_all(now_ms, &Event::TopicsDeleted { topics })
    }

    /// The partition is led elsewhere from now on: everybody who waits gets NOT_COORDINATOR. Outcomes of writes that are still
    /// under way are no longer wanted.
    pub fn unload(mut self, now_ms: i64) -> Vec<Effect> {
        self.step_all(now_ms, &Event::Unload)
    }

    /// Takes effect at each group's next event.
    pub fn set_config(&mut self, config: GroupConfig) {
        self.config = config;
        self.groups.values_mut().for_each(|group| group.set_config(config));
    }

    /// The cluster's topics have changed. Consumer groups notice at their next heartbeats.
    pub fn set_topics(&mut self, topics: &Arc<dyn Topics>) {
        self.topics = topics.clone();
        self.groups.values_mut().for_each(|group| group.set_topics(topics));
    }

    /// No group at all: nothing will ever be due.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The group, if it speaks the classic protocol.
    pub fn group(&self, group_id: &GroupId) -> Option<&ClassicGroup> {
        self.groups.get(group_id)?.classic()
    }

    /// The group, if it speaks the consumer protocol.
    pub fn consumer_group(&self, group_id: &GroupId) -> Option<&ConsumerGroup> {
        self.groups.get(group_id)?.consumer()
    }

    /// All groups, in the order of their ids. Filters by state and type are the api layer's.
    pub fn list(&self) -> Vec<ListedGroup> {
        self.groups.values().map(Group::list).collect()
    }

    /// # Errors
    /// There is no such group that speaks the classic protocol, see [`DescribedGroup::unknown`].
    pub fn describe(&self, group_id: &GroupId) -> Result<DescribedGroup, NotFound> {
        match self.groups.get(group_id) {
            Some(Group::Classic(group)) => Ok(group.describe()),
            Some(Group::Consumer(_)) => Err(NotFound::OfOtherProtocol),
            None => Err(NotFound::Absent),
        }
    }

    /// # Errors
    /// There is no such group that speaks the consumer protocol.
    pub fn describe_consumer(&self, group_id: &GroupId) -> Result<DescribedConsumerGroup, NotFound> {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => Ok(group.describe()),
            Some(Group::Classic(_)) => Err(NotFound::OfOtherProtocol),
            None => Err(NotFound::Absent),
        }
    }

    /// Whether the sender of an OffsetFetch may have an answer (KIP-848).
    ///
    /// # Errors
    /// As [`ConsumerGroup::check_fetch`].
    pub fn check_fetch(&self, group_id: &GroupId, member_id: Option<&MemberId>, member_epoch: i32) -> Result<(), ErrorCode> {
        self.consumer_group(group_id).map_or(Ok(()), |group| group.check_fetch(member_id, member_epoch))
    }

    /// OffsetFetch of one partition; nothing committed if the group does not exist.
    pub fn fetch_offset(&self, group_id: &GroupId, partition: &TopicPartition, topic_id: TopicId, require_stable: bool) -> FetchedOffset {
        match self.groups.get(group_id) {
            Some(group) => group.offsets().fetch(partition, topic_id, require_stable),
            None => FetchedOffset::none(ErrorCode::None),
        }
    }

    /// OffsetFetch of everything that the group committed, in the order of topics and partitions.
    pub fn fetch_all_offsets(&self, group_id: &GroupId, require_stable: bool) -> Vec<(TopicPartition, TopicId, FetchedOffset)> {
        let Some(group) = self.groups.get(group_id) else { return Vec::new() };
        let offsets = group.offsets();
        let fetched = |partition: &TopicPartition| offsets.fetch(partition, TopicId::ZERO, require_stable);
        offsets.iter().map(|(partition, offset)| (partition.clone(), offset.topic_id, fetched(partition))).collect()
    }

    fn step_all(&mut self, now_ms: i64, event: &Event) -> Vec<Effect> {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        ids.iter().flat_map(|group_id| self.step(now_ms, group_id, event.clone())).collect()
    }

    /// Why an event is refused before a group is looked at; `Ok(false)` if it concerns nobody.
    fn admit(&self, group_id: &GroupId, event: &Event) -> Result<bool, ErrorCode> {
        let exists = self.groups.contains_key(group_id);
        match event {
            Event::Join { request, .. } => self.check_join(group_id, exists, request)?,
            Event::ConsumerHeartbeat { .. } if group_id.is_empty() => return Err(ErrorCode::InvalidRequest),
            Event::ConsumerHeartbeat { request, .. } if exists || request.member_epoch == 0 => self.check_room(exists)?,
            Event::ConsumerHeartbeat { .. } => return Err(ErrorCode::GroupIdNotFound),
            Event::CommitOffsets { request, .. } => self.check_commit(exists, request)?,
            Event::Sync { .. } | Event::Heartbeat { .. } | Event::Leave { .. } | Event::DeleteOffsets { .. } if group_id.is_empty() => {
                return Err(ErrorCode::InvalidGroupId);
            }
            Event::Sync { .. } | Event::Heartbeat { .. } | Event::Leave { .. } if !exists => return Err(ErrorCode::UnknownMemberId),
            // The group may have become one of the other protocol meanwhile.
            Event::RegexesResolved { .. } => return Ok(self.consumer_group(group_id).is_some()),
            Event::DeleteOffsets { .. } | Event::DeleteGroup { .. } if !exists => return Err(ErrorCode::GroupIdNotFound),
            Event::Persisted { .. } => assert!(exists, "a group with writes under way is kept"),
            _ => return Ok(exists),
        }
        Ok(true)
    }

    fn check_join(&self, group_id: &GroupId, exists: bool, request: &JoinRequest) -> Result<(), ErrorCode> {
        let session_timeouts_ms = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if group_id.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else if !session_timeouts_ms.contains(&request.session_timeout_ms) {
            Err(ErrorCode::InvalidSessionTimeout)
        } else if !exists && request.member_id != MemberId::empty() {
            // The member outlived its group: it joins again as a new one.
            Err(ErrorCode::UnknownMemberId)
        } else {
            self.check_room(exists)
        }
    }

    fn check_commit(&self, exists: bool, request: &CommitOffsetsRequest) -> Result<(), ErrorCode> {
        if exists || request.generation_id < 0 {
            self.check_room(exists)
        } else if request.knows_group_id_not_found {
            Err(ErrorCode::GroupIdNotFound)
        } else {
            Err(ErrorCode::IllegalGeneration)
        }
    }

    fn check_room(&self, exists: bool) -> Result<(), ErrorCode> {
        if exists || self.groups.len() < self.config.groups_max { Ok(()) } else { Err(ErrorCode::PolicyViolation) }
    }

    fn move_deadline(&mut self, group_id: &GroupId, former_ms: Option<i64>, deadline_ms: Option<i64>) {
        if deadline_ms == former_ms {
            return;
        }
        if let Some(at_ms) = former_ms {
            self.deadlines.remove(&(at_ms, group_id.clone()));
        }
        if let Some(at_ms) = deadline_ms {
            self.deadlines.insert((at_ms, group_id.clone()));
        }
    }
}
