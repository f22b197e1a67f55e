//! A stage for tests: a coordinator with one consumer group on it, a cluster with topics, and a log that takes the writes.
//!
//! Invariants it checks at every step: a token is answered at most once; no partition is held by two members; epochs never fall;
//! the records in the log, replayed, make the group's memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::memory::Memory;
use super::record::TopicPartitions;
use super::regex::resolve;
use super::topics::{KnownTopic, Topics};
use crate::base::{ErrorCode, PartitionIndex, TopicId, TopicName};
use crate::coordinator::effect::{ConsumerHeartbeatResponse, Effect, Refusal, Response};
use crate::coordinator::event::{ConsumerHeartbeatRequest, Event};
use crate::coordinator::record_format::GroupRecord;
use crate::coordinator::replay::Replay;
use crate::coordinator::{
    ConsumerGroup, GroupConfig, GroupCoordinator, GroupId, GroupInstanceId, MemberId, PersistToken, RequestToken, ShortText,
};

pub type Beat = Result<ConsumerHeartbeatResponse, Refusal>;

/// Topics by name: a number that makes the id, and the partition count.
#[derive(Clone, Debug, Default)]
pub struct TestTopics {
    pub version: i64,
    pub topics: BTreeMap<String, (u8, i32)>,
}

impl Topics for TestTopics {
    fn version(&self) -> i64 {
        self.version
    }

    fn find(&self, name: &str) -> Option<KnownTopic> {
        let (id, partition_count) = *self.topics.get(name)?;
        Some(KnownTopic { id: topic_id(id), partition_count })
    }

    fn name(&self, id: TopicId) -> Option<TopicName> {
        let (name, _) = self.topics.iter().find(|(_, (of, _))| topic_id(*of) == id)?;
        TopicName::new(name).ok()
    }

    fn each_name(&self, each: &mut dyn FnMut(&str)) {
        self.topics.keys().for_each(|name| each(name));
    }
}

pub struct Stage {
    pub coordinator: GroupCoordinator,
    pub group_id: GroupId,
    pub topics: TestTopics,
    pub now_ms: i64,
    pub answers: BTreeMap<RequestToken, Response>,
    /// What is in the log.
    pub log: Vec<GroupRecord>,
    pub holds_writes: bool,
    pub write_outcome: Result<(), ErrorCode>,
    held: VecDeque<(PersistToken, Vec<GroupRecord>)>,
    next_token: u64,
    epochs: (i32, i32),
    checked_records: usize,
}

impl Stage {
    /// With topic `t`, of four partitions.
    pub fn new() -> Stage {
        let mut stage = Stage {
            coordinator: GroupCoordinator::new(GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() }),
            group_id: GroupId::new("g").unwrap(),
            topics: TestTopics::default(),
            now_ms: 1_000_000,
            answers: BTreeMap::new(),
            log: Vec::new(),
            holds_writes: false,
            write_outcome: Ok(()),
            held: VecDeque::new(),
            next_token: 0,
            epochs: (0, 0),
            checked_records: 0,
        };
        stage.set_topic("t", 1, 4);
        stage
    }

    /// Makes it, or lets it grow; no partition: it is deleted.
    pub fn set_topic(&mut self, name: &str, id: u8, partitions: i32) {
        self.topics.version += 1;
        self.topics.topics.remove(name);
        if partitions > 0 {
            self.topics.topics.insert(name.into(), (id, partitions));
        }
        let topics: Arc<dyn Topics> = Arc::new(self.topics.clone());
        self.coordinator.set_topics(&topics);
    }

    pub fn group(&self) -> &ConsumerGroup {
        self.coordinator.consumer_group(&self.group_id).expect("the group exists and is a consumer group")
    }

    pub fn state(&self) -> &'static str {
        self.coordinator.describe_consumer(&self.group_id).map_or("-", |group| group.state)
    }

    pub fn token(&mut self) -> RequestToken {
        self.next_token += 1;
        RequestToken(self.next_token)
    }

    pub fn step(&mut self, event: Event) {
        let effects = self.coordinator.step(self.now_ms, &self.group_id.clone(), event);
        self.perform(effects);
    }

    /// Sends a heartbeat without waiting for its answer.
    pub fn send(&mut self, request: ConsumerHeartbeatRequest) -> RequestToken {
        let token = self.token();
        self.step(Event::ConsumerHeartbeat { token, request });
        token
    }

    pub fn beat(&mut self, request: ConsumerHeartbeatRequest) -> Beat {
        let token = self.send(request);
        self.beaten(token).expect("answered at once")
    }

    pub fn beaten(&self, token: RequestToken) -> Option<Beat> {
        match self.answers.get(&token)? {
            Response::ConsumerHeartbeat(result) => Some(result.clone()),
            other => panic!("expected the answer to a heartbeat, came {other:?}"),
        }
    }

    /// Lets time pass in one go, however many timers are due.
    pub fn wait(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while let Some(at_ms) = self.coordinator.next_deadline_ms().filter(|at_ms| *at_ms <= until_ms) {
            self.now_ms = at_ms.max(self.now_ms);
            let effects = self.coordinator.expire(self.now_ms);
            self.perform(effects);
        }
        self.now_ms = until_ms;
    }

    pub fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Respond { token, response } => {
                    let former = self.answers.insert(token, response);
                    assert!(former.is_none(), "{token:?} was answered twice");
                }
                Effect::Persist { token, records, .. } => self.held.push_back((token, records)),
                Effect::ResolveRegexes { patterns, .. } => {
                    let resolved = resolve(&patterns, &self.topics);
                    self.step(Event::RegexesResolved { metadata_version: self.topics.version, resolved });
                }
            }
        }
        if !self.holds_writes {
            self.finish_writes();
        }
        self.check();
    }

    pub fn finish_writes(&mut self) {
        while self.finish_write() {}
    }

    pub fn finish_write(&mut self) -> bool {
        let Some((token, records)) = self.held.pop_front() else { return false };
        if self.write_outcome.is_ok() {
            self.log.extend(records);
        }
        let effects = self.coordinator.step(self.now_ms, &self.group_id.clone(), Event::Persisted { token, outcome: self.write_outcome });
        self.perform(effects);
        true
    }

    fn check(&mut self) {
        let Some(group) = self.coordinator.consumer_group(&self.group_id) else {
            self.epochs = (0, 0);
            return;
        };
        let memory = group.memory();
        let mut held = BTreeSet::new();
        for id in memory.members().keys() {
            for partition in memory.current(id).held() {
                assert!(held.insert(partition), "{partition:?} is held twice");
                assert_eq!(memory.holder(partition.0, partition.1), Some(id));
            }
        }
        if group.is_written() && self.held.is_empty() {
            let epochs = (memory.epoch(), memory.target_epoch());
            assert!(epochs.0 >= self.epochs.0 && epochs.1 >= self.epochs.1, "epochs fell from {:?} to {epochs:?}", self.epochs);
            assert!(memory.target_epoch() <= memory.epoch());
            self.epochs = epochs;
            // Replaying is slow: only when there is more to replay.
            if self.checked_records != self.log.len() {
                self.checked_records = self.log.len();
                assert_eq!(replayed(&self.log, &self.group_id), *memory, "the log tells another story");
            }
        }
    }

    /// The broker starts anew with the log.
    pub fn restart(&mut self) {
        self.held.clear();
        let (coordinator, effects) = GroupCoordinator::load(GroupConfig::default(), self.now_ms, replay(&self.log).finish());
        self.coordinator = coordinator;
        let topics: Arc<dyn Topics> = Arc::new(self.topics.clone());
        self.coordinator.set_topics(&topics);
        self.perform(effects);
    }
}

/// The log, from bytes.
pub fn replay(log: &[GroupRecord]) -> Replay {
    let mut replay = Replay::default();
    for record in log {
        let (key, value) = record.encode();
        replay.record(None, &key, value.as_deref()).unwrap();
    }
    replay
}

fn replayed(log: &[GroupRecord], group_id: &GroupId) -> Memory {
    replay(log).finish().remove(group_id).map(|group| group.consumer).unwrap_or_default()
}

pub fn topic_id(number: u8) -> TopicId {
    TopicId([number; 16])
}

pub fn text(text: &str) -> ShortText {
    ShortText::new(text).unwrap()
}

/// A member that joins and reads topic `t`.
pub fn joining(id: &str) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        member_id: MemberId::new(id).unwrap(),
        rebalance_timeout_ms: 60_000,
        topics: Some([text("t")].into()),
        owned: Some(TopicPartitions::new()),
        client_id: text("client"),
        client_host: text("/127.0.0.1"),
        brings_member_id: true,
        ..ConsumerHeartbeatRequest::default()
    }
}

/// A member that has nothing new to say.
pub fn beating(id: &str, epoch: i32) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest { member_epoch: epoch, rebalance_timeout_ms: -1, topics: None, owned: None, ..joining(id) }
}

/// A member that says what it has of topic `t`.
pub fn owning(id: &str, epoch: i32, partitions: &[i32]) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest { owned: Some(of_t(partitions)), ..beating(id, epoch) }
}

pub fn instance(mut request: ConsumerHeartbeatRequest, instance: &str) -> ConsumerHeartbeatRequest {
    request.group_instance_id = Some(GroupInstanceId::new(instance).unwrap());
    request
}

pub fn of_t(partitions: &[i32]) -> TopicPartitions {
    match partitions {
        [] => TopicPartitions::new(),
        _ => [(topic_id(1), partitions.iter().copied().map(PartitionIndex).collect())].into(),
    }
}
