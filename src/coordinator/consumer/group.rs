//! One consumer group as a state machine: `step(now, event) -> effects`.
//!
//! Lives on the core that leads the group's partition of `__consumer_offsets`; has no I/O, clock or randomness.
//!
//! Invariants:
//! - `memory` is the fold of the records that were written, and of those of the one change that is being written;
//! - while a change is being written, whatever depends on the memory waits in `parked`: no answer tells of a change that may yet
//!   be taken back;
//! - every request token is answered exactly once; epochs never fall;
//! - every member has a session; one of the classic protocol may have until a certain time to rejoin or to sync; a member in UnrevokedPartitions that speaks this protocol has an entry in `revocations`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::change::PendingWrite;
use super::memory::Memory;
use super::migration::Downgrade;
use super::regex::RegexRefresh;
use super::state::ConsumerGroupState;
use super::topics::Topics;
use crate::base::ErrorCode;
use crate::coordinator::config::GroupConfig;
use crate::coordinator::effect::{Effect, Refusal, Response, Turn};
use crate::coordinator::event::Event;
use crate::coordinator::ids::{GroupId, MemberId, PersistToken, RequestToken};
use crate::coordinator::offsets::Offsets;
use crate::coordinator::record_format::GroupRecord;

/// A group. See the module's documentation.
#[derive(Debug)]
pub struct ConsumerGroup {
    pub(super) id: GroupId,
    pub(super) config: GroupConfig,
    pub(super) memory: Memory,
    pub(super) offsets: Offsets,
    pub(super) topics: Arc<dyn Topics>,
    /// The version of the topics that the group's metadata hash was last compared with.
    pub(super) checked_version: Option<i64>,
    pub(super) regex_refresh: RegexRefresh,
    /// When each member is given up unless it is heard of.
    pub(super) sessions: BTreeMap<MemberId, i64>,
    /// When each member must have given up its partitions.
    pub(super) revocations: BTreeMap<MemberId, i64>,
    /// When each member of the classic protocol that was told to rejoin must have done so.
    pub(super) rejoins: BTreeMap<MemberId, i64>,
    /// When each member of the classic protocol that joined must have asked for its assignment.
    pub(super) syncs: BTreeMap<MemberId, i64>,
    /// No timer is due before this.
    pub(super) wake_at_ms: Option<i64>,
    pub(super) writes: VecDeque<(PersistToken, PendingWrite)>,
    pub(super) next_write: PersistToken,
    /// Events that wait for the change that is being written.
    pub(super) parked: VecDeque<Event>,
    /// Goes with the next change: tombstones of the classic group that this one was, and the records of the members it brought.
    pub(super) inherited: Vec<GroupRecord>,
    /// Set where the group shall become a classic one; nothing else happens to it until then.
    pub(super) downgrade: Option<Downgrade>,
    pub(super) is_dead: bool,
}

impl ConsumerGroup {
    /// A group without members. `offsets`: of the group that had this id before.
    pub fn new(id: GroupId, config: GroupConfig, topics: Arc<dyn Topics>, offsets: Offsets) -> ConsumerGroup {
        ConsumerGroup {
            id,
            config,
            memory: Memory::default(),
            offsets,
            topics,
            checked_version: None,
            regex_refresh: RegexRefresh::default(),
            sessions: BTreeMap::new(),
            revocations: BTreeMap::new(),
            rejoins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            wake_at_ms: None,
            writes: VecDeque::new(),
            next_write: PersistToken(0),
            parked: VecDeque::new(),
            inherited: Vec::new(),
            downgrade: None,
            is_dead: false,
        }
    }

    /// A group as the log has it. Its members' sessions start now. `is_classic_too`: the log also has a record of a classic group of
    /// this id, whose tombstone was lost.
    pub fn load(
        id: GroupId,
        config: GroupConfig,
        now_ms: i64,
        topics: Arc<dyn Topics>,
        (memory, is_classic_too): (Memory, bool),
        offsets: Offsets,
    ) -> ConsumerGroup {
        let inherited = is_classic_too.then(|| GroupRecord::Group { group_id: id.clone(), value: None });
        let inherited = inherited.into_iter().collect();
        let mut group = ConsumerGroup { memory, inherited, ..ConsumerGroup::new(id, config, topics, offsets) };
        group.align_timers(now_ms);
        group
    }

    /// Takes one event and returns what is to be done, in order. `now_ms` as in [`super::super::ClassicGroup::step`].
    pub fn step(&mut self, now_ms: i64, event: Event) -> Vec<Effect> {
        let mut turn = Turn { now_ms, effects: Vec::new() };
        match event {
            Event::Persisted { token, outcome } => {
                self.persisted(token, outcome, &mut turn);
                while !self.is_changing()
                    && let Some(event) = self.parked.pop_front()
                {
                    self.take(event, &mut turn);
                }
            }
            Event::Unload => self.unload(&mut turn),
            // Timers that are due fire when the change is written.
            Event::Tick | Event::ExpireOffsets if self.is_changing() => {}
            event if self.is_changing() => self.parked.push_back(event),
            event => self.take(event, &mut turn),
        }
        turn.effects
    }

    fn take(&mut self, event: Event, turn: &mut Turn) {
        if self.is_dead {
            return refuse(event, ErrorCode::CoordinatorNotAvailable, turn);
        }
        match event {
            Event::ConsumerHeartbeat { token, request } => self.heartbeat(token, request, turn),
            Event::CommitOffsets { token, request } => self.commit_offsets(token, request, turn),
            Event::DeleteOffsets { token, partitions } => self.delete_offsets(token, partitions, turn),
            Event::DeleteGroup { token } => self.delete_group(token, turn),
            Event::TopicsDeleted { topics } => self.forget_topics(&topics, turn),
            Event::RegexesResolved { metadata_version, resolved } => self.regexes_resolved(metadata_version, resolved, turn),
            Event::Tick => self.fire_timers(turn),
            Event::ExpireOffsets => self.expire_offsets(turn),
            Event::Join { token, request } => self.classic_join(token, request, turn),
            Event::Sync { token, request } => self.classic_sync(token, &request, turn),
            Event::Heartbeat { token, request } => self.classic_heartbeat(token, &request, turn),
            Event::Leave { token, members } => self.classic_leave(token, members, turn),
            Event::Persisted { .. } | Event::Unload => unreachable!("taken at once"),
        }
    }

    /// When the next [`Event::Tick`] is of use, in the clock of `step`. May be early, never late.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.wake_at_ms.filter(|_| !self.is_changing())
    }

    pub fn id(&self) -> &GroupId {
        &self.id
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    pub fn state(&self) -> ConsumerGroupState {
        if self.is_dead { ConsumerGroupState::Dead } else { ConsumerGroupState::of(&self.memory) }
    }

    /// Takes effect at the next event.
    pub fn set_config(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// Noticed at the next heartbeat.
    pub fn set_topics(&mut self, topics: Arc<dyn Topics>) {
        self.topics = topics;
    }

    /// Nothing would be lost if the group were forgotten.
    pub fn is_vacant(&self) -> bool {
        !self.memory.exists() && self.inherited.is_empty() && self.offsets.is_empty() && self.is_quiet()
    }

    /// The tombstones are written: the coordinator may forget the group.
    pub fn is_gone(&self) -> bool {
        self.is_dead && self.is_quiet()
    }

    /// Nobody waits and nothing is being written.
    pub(in crate::coordinator) fn is_quiet(&self) -> bool {
        self.writes.is_empty() && self.parked.is_empty()
    }

    /// Nothing but offsets is being written, and nobody waits.
    pub(in crate::coordinator) fn is_settled(&self) -> bool {
        !self.is_dead && !self.is_changing() && self.parked.is_empty()
    }

    /// The log knows of all that the group is.
    #[cfg(test)]
    pub(in crate::coordinator) fn is_written(&self) -> bool {
        self.inherited.is_empty() && self.is_quiet()
    }

    /// Whether a member reads the topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.memory.members().values().any(|member| member.topics.contains(topic))
            || self.memory.regexes().values().any(|regex| regex.topics.contains(topic))
    }
}

/// The answer to a request that the group does not take.
fn refuse(event: Event, error: ErrorCode, turn: &mut Turn) {
    if let Some((token, response)) = event.refused(error) {
        turn.respond(token, response);
    }
}

/// A heartbeat's answer, or why there is none.
pub(super) fn answer(
    token: RequestToken,
    result: Result<crate::coordinator::effect::ConsumerHeartbeatResponse, Refusal>,
) -> (RequestToken, Response) {
    (token, Response::ConsumerHeartbeat(result))
}
