//! One classic consumer group as a state machine: `step(now, event) -> effects`.
//!
//! Lives on the core that leads the group's partition of `__consumer_offsets`; has no I/O, clock or randomness.
//!
//! Invariants: the state's rules of `state.rs`; every request token is answered exactly once; `generation_id` never falls;
//! writes are reported in the order in which they were asked for; a timer is set only in the state that it belongs to:
//! `join_timer` in PreparingRebalance, `sync_deadline_ms` in CompletingRebalance and Stable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::barrier::JoinTimer;
use super::member::Member;
use super::membership::Membership;
use super::state::GroupState;
use super::subscription::{CONSUMER_PROTOCOL_TYPE, collect_topics};
use super::write::PendingWrite;
use crate::base::Timestamp;
use crate::coordinator::config::GroupConfig;
use crate::coordinator::effect::{Effect, Turn};
use crate::coordinator::event::Event;
use crate::coordinator::ids::{GroupId, MemberId, PersistToken, ShortText};
use crate::coordinator::offsets::Offsets;
use crate::coordinator::record_format::{GroupMetadata, GroupRecord, MemberMetadata};

/// A group. See the module's documentation.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) id: GroupId,
    pub(super) config: GroupConfig,
    pub(super) state: GroupState,
    /// The state before PreparingRebalance: from Empty, the barrier waits for more members although all are there.
    pub(super) previous_state: GroupState,
    /// When the state was entered; [`Timestamp::NONE`] in groups from old records.
    pub(super) state_since: Timestamp,
    pub(super) generation_id: i32,
    /// Stays when the last member leaves. `None`: never had a member, a simple consumer's group.
    pub(super) protocol_type: Option<ShortText>,
    pub(super) protocol_name: Option<ShortText>,
    pub(super) membership: Membership,
    /// Ids handed out with MEMBER_ID_REQUIRED, and when each lapses (KIP-394).
    pub(super) pending_members: BTreeMap<MemberId, i64>,
    /// Members of this generation that have not sent SyncGroup yet.
    pub(super) pending_syncs: BTreeSet<MemberId>,
    /// What the members read, if they are consumers and their subscriptions are legible.
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
    pub(super) offsets: Offsets,
    /// The log had a record of the group itself, so that forgetting it takes a tombstone.
    pub(super) is_stored: bool,
    /// Tombstones of the group of the other protocol that had this id: they go with every write of the group until one is done.
    pub(super) inherited: Vec<GroupRecord>,
    pub(super) join_timer: Option<JoinTimer>,
    pub(super) sync_deadline_ms: Option<i64>,
    /// No timer is due before this.
    pub(super) wake_at_ms: Option<i64>,
    pub(super) writes: VecDeque<(PersistToken, PendingWrite)>,
    pub(super) next_write: PersistToken,
}

impl ClassicGroup {
    /// A group without members and offsets.
    pub fn new(id: GroupId, config: GroupConfig, now_ms: i64) -> ClassicGroup {
        ClassicGroup {
            id,
            config,
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_since: Timestamp(now_ms),
            generation_id: 0,
            protocol_type: None,
            protocol_name: None,
            membership: Membership::default(),
            pending_members: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            subscribed_topics: None,
            offsets: Offsets::default(),
            is_stored: false,
            inherited: Vec::new(),
            join_timer: None,
            sync_deadline_ms: None,
            wake_at_ms: None,
            writes: VecDeque::new(),
            next_write: PersistToken(0),
        }
    }

    /// A group as the log has it. Its members' sessions start now. A group above `group.max.size` starts a rebalance, so that
    /// its members commit before some of them are turned away; hence the effects. `strays`: tombstones for what the log has of a
    /// consumer group of this id.
    pub fn load(
        id: GroupId,
        config: GroupConfig,
        now_ms: i64,
        metadata: Option<GroupMetadata>,
        offsets: Offsets,
        strays: Vec<GroupRecord>,
    ) -> (ClassicGroup, Vec<Effect>) {
        let mut group = ClassicGroup { offsets, inherited: strays, ..ClassicGroup::new(id, config, now_ms) };
        let mut turn = Turn { now_ms, effects: Vec::new() };
        if let Some(metadata) = metadata {
            group.restore(metadata, &mut turn);
        }
        (group, turn.effects)
    }

    /// Takes one event and returns what is to be done, in order. `now_ms`: milliseconds since 1970 of a clock that does not
    /// jump (the wall clock as of the start, and monotonic from there): sessions are measured with it, or setting the clock
    /// would end them all, and commits are stamped with it.
    pub fn step(&mut self, now_ms: i64, event: Event) -> Vec<Effect> {
        let mut turn = Turn { now_ms, effects: Vec::new() };
        match event {
            Event::Join { token, request } => self.join(token, request, &mut turn),
            Event::Sync { token, request } => self.sync(token, request, &mut turn),
            Event::Heartbeat { token, request } => self.heartbeat(token, &request, &mut turn),
            Event::Leave { token, members } => self.leave(token, members, &mut turn),
            Event::ConsumerHeartbeat { .. } | Event::RegexesResolved { .. } => unreachable!("of the other protocol"),
            Event::CommitOffsets { token, request } => self.commit_offsets(token, request, &mut turn),
            Event::DeleteOffsets { token, partitions } => self.delete_offsets(token, partitions, &mut turn),
            Event::DeleteGroup { token } => self.delete_group(token, &mut turn),
            Event::TopicsDeleted { topics } => self.forget_topics(&topics, &mut turn),
            Event::Persisted { token, outcome } => self.persisted(token, outcome, &mut turn),
            Event::Tick => self.fire_timers(&mut turn),
            Event::ExpireOffsets => self.expire_offsets(&mut turn),
            Event::Unload => self.unload(&mut turn),
        }
        turn.effects
    }

    /// When the next [`Event::Tick`] is of use, in the clock of `step`. May be early, never late.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.wake_at_ms
    }

    /// Takes effect at the next event.
    pub fn set_config(&mut self, config: GroupConfig) {
        self.config = config;
    }

    pub fn id(&self) -> &GroupId {
        &self.id
    }

    pub fn state(&self) -> GroupState {
        self.state
    }

    pub fn generation_id(&self) -> i32 {
        self.generation_id
    }

    pub fn leader(&self) -> Option<&MemberId> {
        self.membership.leader()
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.membership.iter()
    }

    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Nothing would be lost if the group were forgotten: it never had a generation or an offset, and nobody is waiting.
    pub fn is_vacant(&self) -> bool {
        self.state == GroupState::Empty
            && !self.is_stored
            && self.inherited.is_empty()
            && self.generation_id == 0
            && self.pending_members.is_empty()
            && self.offsets.is_empty()
            && self.writes.is_empty()
    }

    pub(super) fn transition(&mut self, next: GroupState, now_ms: i64) {
        assert!(self.state.may_become(next), "a group in {} cannot become {next}", self.state);
        self.previous_state = self.state;
        self.state = next;
        self.state_since = Timestamp(now_ms);
    }

    /// The next deadline is at most this.
    pub(super) fn wake_by(&mut self, deadline_ms: i64) {
        self.wake_at_ms = Some(self.wake_at_ms.map_or(deadline_ms, |at| at.min(deadline_ms)));
    }

    /// Whether a consumer of the group reads the topic. Consumers whose subscriptions are illegible may read anything.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.has_consumers(),
        }
    }

    /// The protocol type is that of consumers, so that subscriptions can be read.
    pub(super) fn has_consumers(&self) -> bool {
        self.protocol_type.as_ref().is_some_and(|kind| kind.as_str() == CONSUMER_PROTOCOL_TYPE)
    }

    pub(super) fn refresh_subscribed_topics(&mut self) {
        self.subscribed_topics = self.has_consumers().then(|| self.read_subscriptions()).flatten();
    }

    fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        let mut topics = BTreeSet::new();
        if self.membership.is_empty() {
            return Some(topics);
        }
        let protocol = self.protocol_name.as_ref()?;
        for member in self.membership.iter() {
            collect_topics(&member.metadata(protocol), &mut topics)?;
        }
        Some(topics)
    }

    /// The record of the group with these assignments; an absent one is empty.
    pub(super) fn record(&self, assignments: &BTreeMap<MemberId, bytes::Bytes>) -> GroupRecord {
        let members = self.membership.iter().map(|member| MemberMetadata {
            member_id: member.id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: self.protocol_name.as_ref().map(|protocol| member.metadata(protocol)).unwrap_or_default(),
            assignment: assignments.get(&member.id).cloned().unwrap_or_default(),
        });
        GroupRecord::Group {
            group_id: self.id.clone(),
            value: Some(GroupMetadata {
                protocol_type: self.protocol_type.clone().unwrap_or_default(),
                generation_id: self.generation_id,
                protocol_name: self.protocol_name.clone(),
                leader: self.membership.leader().cloned(),
                current_state_timestamp: self.state_since,
                members: members.collect(),
            }),
        }
    }

    fn restore(&mut self, metadata: GroupMetadata, turn: &mut Turn) {
        self.is_stored = true;
        self.generation_id = metadata.generation_id.max(0);
        self.protocol_type = Some(metadata.protocol_type).filter(|kind| !kind.is_empty());
        self.protocol_name = metadata.protocol_name;
        self.state_since = metadata.current_state_timestamp;
        let protocol_name = self.protocol_name.clone().unwrap_or_default();
        for member in metadata.members {
            // A damaged record may name a member or an instance twice; the first one counts.
            let is_known = self.membership.contains(&member.member_id)
                || member.group_instance_id.as_ref().is_some_and(|instance| self.membership.static_member(instance).is_some());
            if !is_known {
                self.membership.add(Member::stored(member, &protocol_name));
            }
        }
        if let Some(leader) = metadata.leader.filter(|leader| self.membership.contains(leader)) {
            self.membership.set_leader(leader);
        }
        if !self.membership.is_empty() {
            self.state = GroupState::Stable;
            self.protocol_name.get_or_insert_with(ShortText::empty);
        }
        self.refresh_subscribed_topics();
        for id in self.membership.ids() {
            self.restart_session(&id, turn.now_ms);
        }
        if self.membership.len() > self.config.group_size_max {
            self.prepare_rebalance(turn);
        }
    }
}
