//! A stage for tests: a coordinator with one group on it, clients that send requests, and a log that takes every write.
//!
//! Invariant it checks at every step: a token is answered at most once, and the membership's own invariants hold.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::subscription;
use super::{ClassicGroup, GroupState};
use crate::base::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};
use crate::coordinator::effect::{Effect, JoinResponse, Response, SyncResponse};
use crate::coordinator::event::{
    CommitOffsetsRequest, Event, HeartbeatRequest, JoinRequest, LeavingMember, OffsetToCommit, Protocol, SyncRequest, TopicPartition,
};
use crate::coordinator::record_format::GroupRecord;
use crate::coordinator::{GroupConfig, GroupCoordinator, GroupId, GroupInstanceId, MemberId, PersistToken, RequestToken, ShortText};

pub struct Scenario {
    pub coordinator: GroupCoordinator,
    pub group_id: GroupId,
    pub now_ms: i64,
    pub answers: BTreeMap<RequestToken, Response>,
    /// What was asked of the log, in order; written at once unless `holds_writes`.
    pub written: Vec<GroupRecord>,
    pub holds_writes: bool,
    pub write_outcome: Result<(), ErrorCode>,
    held: VecDeque<PersistToken>,
    next_token: u64,
}

impl Scenario {
    pub fn new() -> Scenario {
        Scenario::with(GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() })
    }

    pub fn with(config: GroupConfig) -> Scenario {
        Scenario {
            coordinator: GroupCoordinator::new(config),
            group_id: GroupId::new("g").unwrap(),
            now_ms: 1_000_000,
            answers: BTreeMap::new(),
            written: Vec::new(),
            holds_writes: false,
            write_outcome: Ok(()),
            held: VecDeque::new(),
            next_token: 0,
        }
    }

    pub fn group(&self) -> &ClassicGroup {
        self.coordinator.group(&self.group_id).expect("the group exists")
    }

    pub fn state(&self) -> GroupState {
        self.coordinator.group(&self.group_id).map_or(GroupState::Dead, ClassicGroup::state)
    }

    pub fn token(&mut self) -> RequestToken {
        self.next_token += 1;
        RequestToken(self.next_token)
    }

    pub fn step(&mut self, event: Event) {
        let effects = self.coordinator.step(self.now_ms, &self.group_id.clone(), event);
        self.perform(effects);
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
                Effect::Persist { token, records, .. } => {
                    self.written.extend(records);
                    self.held.push_back(token);
                }
            }
        }
        if let Some(group) = self.coordinator.group(&self.group_id) {
            group.membership.check();
        }
        if !self.holds_writes {
            self.finish_writes();
        }
    }

    pub fn finish_writes(&mut self) {
        while self.finish_write() {}
    }

    pub fn finish_write(&mut self) -> bool {
        let Some(token) = self.held.pop_front() else { return false };
        let effects = self.coordinator.step(self.now_ms, &self.group_id.clone(), Event::Persisted { token, outcome: self.write_outcome });
        self.perform(effects);
        true
    }

    pub fn join(&mut self, request: JoinRequest) -> RequestToken {
        let token = self.token();
        self.step(Event::Join { token, request });
        token
    }

    pub fn joined(&self, token: RequestToken) -> &JoinResponse {
        match &self.answers[&token] {
            Response::Join(response) => response,
            other => panic!("expected the answer to a JoinGroup, came {other:?}"),
        }
    }

    /// Two members in a stable group, `a` leading; returns their ids. Their generation is 2 unless the group existed before.
    pub fn stable_pair(&mut self) -> (MemberId, MemberId) {
        let a = self.join(join_request("a"));
        let a = self.joined(a).member_id.clone();
        let b = self.join(join_request("b"));
        let leader = self.join(rejoin_request("a", &a));
        assert_eq!(self.joined(leader).error, ErrorCode::None);
        let b = self.joined(b).member_id.clone();
        let of_leader = self.sync(&a, &[(&a, "part of a"), (&b, "part of b")]);
        let of_follower = self.sync(&b, &[]);
        assert_eq!(self.synced(of_leader).assignment, "part of a");
        assert_eq!(self.synced(of_follower).assignment, "part of b");
        assert_eq!(self.state(), GroupState::Stable);
        (a, b)
    }

    pub fn sync(&mut self, id: &MemberId, assignments: &[(&MemberId, &'static str)]) -> RequestToken {
        let token = self.token();
        let request = sync_request(id, self.group().generation_id(), assignments);
        self.step(Event::Sync { token, request });
        token
    }

    pub fn synced(&self, token: RequestToken) -> &SyncResponse {
        match &self.answers[&token] {
            Response::Sync(response) => response,
            other => panic!("expected the answer to a SyncGroup, came {other:?}"),
        }
    }

    pub fn heartbeat(&mut self, id: &MemberId) -> ErrorCode {
        let token = self.token();
        let request = HeartbeatRequest { member_id: id.clone(), group_instance_id: None, generation_id: self.group().generation_id() };
        self.step(Event::Heartbeat { token, request });
        match self.answers[&token] {
            Response::Heartbeat(error) => error,
            ref other => panic!("expected the answer to a heartbeat, came {other:?}"),
        }
    }

    pub fn leave(&mut self, id: &MemberId) -> ErrorCode {
        let token = self.token();
        self.step(Event::Leave { token, members: vec![LeavingMember { member_id: id.clone(), group_instance_id: None }] });
        match &self.answers[&token] {
            Response::Leave(response) => response.members[0].error,
            other => panic!("expected the answer to a LeaveGroup, came {other:?}"),
        }
    }

    pub fn commit(&mut self, id: &MemberId, generation_id: i32, topic: &str, offset: i64) -> RequestToken {
        let token = self.token();
        self.step(Event::CommitOffsets { token, request: commit_request(id, generation_id, topic, offset) });
        token
    }

    pub fn committed(&self, token: RequestToken) -> ErrorCode {
        match &self.answers[&token] {
            Response::CommitOffsets(errors) => errors[0],
            other => panic!("expected the answer to an OffsetCommit, came {other:?}"),
        }
    }

    pub fn offset(&self, topic: &str) -> i64 {
        self.coordinator.fetch_offset(&self.group_id, &topic_partition(topic), TopicId::ZERO, false).offset.0
    }
}

/// A new dynamic member whose client needs no id first, subscribed to topic `read`.
pub fn join_request(client: &str) -> JoinRequest {
    JoinRequest {
        member_id: MemberId::empty(),
        group_instance_id: None,
        client_id: text(client),
        client_host: text("/127.0.0.1"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: text("consumer"),
        protocols: vec![protocol("range")],
        requires_known_member_id: false,
        supports_skipping_assignment: false,
        random_bytes: [client.as_bytes()[0]; 16],
    }
}

pub fn rejoin_request(client: &str, id: &MemberId) -> JoinRequest {
    JoinRequest { member_id: id.clone(), ..join_request(client) }
}

/// Instance `i` with its `start`-th start.
pub fn static_request(client: &str, start: u8) -> JoinRequest {
    JoinRequest { group_instance_id: Some(GroupInstanceId::new("i").unwrap()), random_bytes: [start; 16], ..join_request(client) }
}

pub fn sync_request(id: &MemberId, generation_id: i32, assignments: &[(&MemberId, &'static str)]) -> SyncRequest {
    SyncRequest {
        member_id: id.clone(),
        group_instance_id: None,
        generation_id,
        protocol_type: None,
        protocol_name: None,
        assignments: assignments.iter().map(|(id, part)| ((*id).clone(), Bytes::from_static(part.as_bytes()))).collect(),
    }
}

pub fn commit_request(id: &MemberId, generation_id: i32, topic: &str, offset: i64) -> CommitOffsetsRequest {
    CommitOffsetsRequest {
        generation_id,
        member_id: id.clone(),
        group_instance_id: None,
        knows_group_id_not_found: true,
        retention_ms: None,
        offsets: vec![OffsetToCommit {
            partition: topic_partition(topic),
            topic_id: TopicId::ZERO,
            offset: Offset(offset),
            leader_epoch: LeaderEpoch::UNKNOWN,
            metadata: "".into(),
        }],
    }
}

pub fn protocol(name: &str) -> Protocol {
    Protocol { name: text(name), metadata: subscription::encode(&["read"]).into() }
}

pub fn text(text: &str) -> ShortText {
    ShortText::new(text).unwrap()
}

pub fn topic_partition(topic: &str) -> TopicPartition {
    TopicPartition { topic: TopicName::new(topic).unwrap(), partition: PartitionIndex(0) }
}
