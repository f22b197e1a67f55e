//! Groups with members of both protocols: scenes, step by step.

use super::scenario::{Stage, beating, instance, joining, of_t, owning, text};
use crate::base::ErrorCode;
use crate::coordinator::config::MigrationPolicy;
use crate::coordinator::effect::{JoinResponse, Response, SyncResponse};
use crate::coordinator::embedded_protocol::{NamedPartitions, encode_subscription, read_assignment};
use crate::coordinator::event::{Event, HeartbeatRequest, JoinRequest, LeavingMember, Protocol, SyncRequest};
use crate::coordinator::{GroupConfig, GroupInstanceId, GroupState, MemberId};

fn id(text: &str) -> MemberId {
    MemberId::new(text).unwrap()
}

/// Of topic `t`.
fn assignment(partitions: &[i32]) -> bytes::Bytes {
    let mut bytes = b"\0\x01\0\0\0\x01\0\x01t".to_vec();
    bytes.extend((partitions.len() as i32).to_be_bytes());
    partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

fn partitions(assignment: &[u8]) -> Vec<i32> {
    let named: NamedPartitions = read_assignment(assignment).expect("it is an assignment");
    named.into_iter().flat_map(|(_, partitions)| partitions).map(|partition| partition.0).collect()
}

fn join_request(member: &MemberId, owned: &[i32]) -> JoinRequest {
    let owned = if owned.is_empty() { vec![] } else { vec![("t", owned.to_vec())] };
    JoinRequest {
        member_id: member.clone(),
        group_instance_id: None,
        client_id: text("classic"),
        client_host: text("/127.0.0.1"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: text("consumer"),
        protocols: vec![Protocol { name: text("range"), metadata: encode_subscription(1, &["t"], &owned) }],
        requires_known_member_id: false,
        supports_skipping_assignment: false,
        random_bytes: [0; 16],
    }
}

impl Stage {
    fn join(&mut self, request: JoinRequest) -> Option<JoinResponse> {
        let token = self.token();
        // Ids must differ.
        let random_bytes = [token.0 as u8; 16];
        self.step(Event::Join { token, request: JoinRequest { random_bytes, ..request } });
        match self.answers.get(&token)? {
            Response::Join(answer) => Some(answer.clone()),
            other => panic!("expected the answer to a JoinGroup, came {other:?}"),
        }
    }

    fn rejoin(&mut self, member: &MemberId, owned: &[i32]) -> JoinResponse {
        let joined = self.join(join_request(member, owned)).expect("answered at once");
        assert_eq!((joined.error, &joined.member_id), (ErrorCode::None, member));
        assert!(joined.leader.is_empty() && joined.members.is_empty(), "nobody leads");
        joined
    }

    fn sync_with(&mut self, member: &MemberId, generation_id: i32, assignments: Vec<(MemberId, bytes::Bytes)>) -> SyncResponse {
        let token = self.token();
        let request = SyncRequest {
            member_id: member.clone(),
            group_instance_id: None,
            generation_id,
            protocol_type: Some(text("consumer")),
            protocol_name: Some(text("range")),
            assignments,
        };
        self.step(Event::Sync { token, request });
        match &self.answers[&token] {
            Response::Sync(answer) => answer.clone(),
            other => panic!("expected the answer to a SyncGroup, came {other:?}"),
        }
    }

    fn sync_static(&mut self, joined: &JoinResponse, instance: &str) -> Vec<i32> {
        let token = self.token();
        let request = SyncRequest {
            member_id: joined.member_id.clone(),
            group_instance_id: GroupInstanceId::new(instance).ok(),
            generation_id: joined.generation_id,
            protocol_type: None,
            protocol_name: None,
            assignments: Vec::new(),
        };
        self.step(Event::Sync { token, request });
        let Response::Sync(answer) = &self.answers[&token] else { panic!("expected the answer to a SyncGroup") };
        partitions(&answer.assignment)
    }

    /// The partitions it is told, or the error.
    fn sync(&mut self, member: &MemberId, generation_id: i32) -> Result<Vec<i32>, ErrorCode> {
        let answer = self.sync_with(member, generation_id, Vec::new());
        if answer.error.is_none() { Ok(partitions(&answer.assignment)) } else { Err(answer.error) }
    }

    fn heart(&mut self, member: &MemberId, generation_id: i32) -> ErrorCode {
        let token = self.token();
        self.step(Event::Heartbeat {
            token,
            request: HeartbeatRequest { member_id: member.clone(), group_instance_id: None, generation_id },
        });
        match self.answers[&token] {
            Response::Heartbeat(error) => error,
            ref other => panic!("expected the answer to a Heartbeat, came {other:?}"),
        }
    }

    fn leave(&mut self, member: &MemberId) -> ErrorCode {
        let token = self.token();
        let members = vec![LeavingMember { member_id: member.clone(), group_instance_id: None }];
        self.step(Event::Leave { token, members });
        match &self.answers[&token] {
            Response::Leave(answer) => answer.members.first().map_or(answer.error, |left| left.error),
            other => panic!("expected the answer to a LeaveGroup, came {other:?}"),
        }
    }

    /// A stable classic group of two; the first has partitions 0 and 1, the second 2 and 3. Its generation is 2.
    fn classic_pair(&mut self) -> (MemberId, MemberId) {
        let a = self.join(join_request(&MemberId::empty(), &[])).unwrap();
        self.sync_with(&a.member_id, 1, vec![(a.member_id.clone(), assignment(&[0, 1, 2, 3]))]);
        assert!(self.join(join_request(&MemberId::empty(), &[])).is_none(), "it waits at the barrier");
        let again = self.join(join_request(&a.member_id, &[])).unwrap();
        assert_eq!(again.generation_id, 2);
        let b = again.members.iter().map(|member| member.member_id.clone()).find(|id| *id != a.member_id).unwrap();
        let parts = vec![(a.member_id.clone(), assignment(&[0, 1])), (b.clone(), assignment(&[2, 3]))];
        assert_eq!(partitions(&self.sync_with(&a.member_id, 2, parts).assignment), [0, 1]);
        assert_eq!(self.sync(&b, 2), Ok(vec![2, 3]));
        (a.member_id, b)
    }

    fn with_policy(policy: MigrationPolicy) -> Stage {
        let mut stage = Stage::new();
        let mut config = GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() };
        config.consumer.migration = policy;
        stage.coordinator.set_config(config);
        stage
    }

    fn classic_state(&self) -> Option<GroupState> {
        self.coordinator.group(&self.group_id).map(|group| group.state())
    }
}

#[test]
fn a_classic_group_takes_in_a_member_of_the_new_protocol() {
    let mut stage = Stage::new();
    let (a, b) = stage.classic_pair();
    let c = stage.beat(joining("c")).unwrap();
    assert_eq!((c.member_epoch, c.assignment), (3, Some(of_t(&[]))), "the epoch goes on from the generation, and all is taken");
    assert_eq!(stage.group().memory().members().len(), 3);

    // What the classic members have, they keep until they have rejoined.
    assert_eq!(stage.heart(&a, 2), ErrorCode::RebalanceInProgress);
    assert_eq!(stage.heart(&b, 2), ErrorCode::RebalanceInProgress);
    assert_eq!(stage.sync(&a, 2), Err(ErrorCode::RebalanceInProgress));
    let mut read = Vec::new();
    for (member, owned) in [(&a, [0, 1]), (&b, [2, 3])] {
        // A cooperative client says what it has, and is told first what it keeps.
        let joined = stage.rejoin(member, &owned);
        let kept = stage.sync(member, joined.generation_id).unwrap();
        assert!(kept.iter().all(|partition| owned.contains(partition)));
        if kept.len() < 2 {
            assert_eq!((joined.generation_id, stage.heart(member, 2)), (2, ErrorCode::RebalanceInProgress));
            let joined = stage.rejoin(member, &kept);
            assert_eq!(joined.generation_id, 3);
            assert_eq!(stage.sync(member, 3), Ok(kept.clone()));
        }
        assert_eq!(stage.heart(member, 3), ErrorCode::None);
        read.extend(kept);
    }
    let told = stage.beat(beating("c", 3)).unwrap().assignment.unwrap();
    let told: Vec<i32> = told.values().flatten().map(|partition| partition.0).collect();
    stage.beat(owning("c", 3, &told)).unwrap();
    read.extend(told);
    read.sort_unstable();
    assert_eq!(read, [0, 1, 2, 3]);
    assert_eq!(stage.state(), "Stable");

    let before = stage.group().memory().clone();
    stage.restart();
    assert_eq!(*stage.group().memory(), before);
    assert_eq!(stage.heart(&a, 3), ErrorCode::None);
}

#[test]
fn one_write_takes_a_group_over() {
    let mut stage = Stage::new();
    stage.classic_pair();
    let before = stage.log.len();
    stage.holds_writes = true;
    let token = stage.send(joining("c"));
    assert!(stage.beaten(token).is_none());
    assert!(stage.finish_write());
    assert!(!stage.finish_write(), "one write");
    assert!(stage.beaten(token).unwrap().is_ok());
    assert!(stage.log.len() > before + 8);

    // And if it fails, nothing of it is in the log, and the next one carries all.
    let mut stage = Stage::new();
    let (a, _) = stage.classic_pair();
    stage.write_outcome = Err(ErrorCode::KafkaStorageError);
    assert!(stage.beat(joining("c")).is_err());
    stage.write_outcome = Ok(());
    assert_eq!(stage.heart(&a, 2), ErrorCode::RebalanceInProgress, "its topics' hash is new");
    stage.beat(joining("c")).unwrap();
    assert!(stage.group().is_written());
    let replayed = super::scenario::replay(&stage.log).finish().remove(&stage.group_id).unwrap();
    assert_eq!((replayed.metadata, &replayed.consumer), (None, stage.group().memory()));
}

#[test]
fn the_last_of_the_new_protocol_leaves_a_classic_group_behind() {
    for leaves in [true, false] {
        let mut stage = Stage::new();
        let (a, b) = stage.classic_pair();
        stage.beat(joining("c")).unwrap();
        stage.now_ms += 1;
        for member in [&a, &b] {
            let joined = stage.rejoin(member, &[]);
            stage.sync(member, joined.generation_id).unwrap();
        }
        if leaves {
            assert_eq!(stage.beat(beating("c", -1)).unwrap().member_epoch, -1);
        } else {
            // It falls silent; the classic ones do not.
            for _ in 0..10 {
                stage.wait(5_000);
                stage.heart(&a, 3);
                stage.heart(&b, 3);
            }
        }
        assert_eq!(stage.classic_state(), Some(GroupState::PreparingRebalance));
        let replayed = super::scenario::replay(&stage.log).finish().remove(&stage.group_id).unwrap();
        assert!(!replayed.consumer.exists() && !replayed.is_consumer);
        let metadata = replayed.metadata.unwrap();
        assert_eq!((metadata.generation_id, metadata.members.len()), (3, 2));
        assert_eq!(metadata.members.iter().flat_map(|member| partitions(&member.assignment)).count(), 3, "c had one");

        assert_eq!(stage.heart(&a, 3), ErrorCode::RebalanceInProgress);
        assert!(stage.join(join_request(&a, &[])).is_none());
        let joined = stage.join(join_request(&b, &[])).expect("the barrier is complete");
        assert_eq!((joined.error, joined.generation_id), (ErrorCode::None, 4));
    }
}

#[test]
fn the_policy_says_which_way() {
    for policy in [MigrationPolicy::Bidirectional, MigrationPolicy::Upgrade, MigrationPolicy::Downgrade, MigrationPolicy::Disabled] {
        let mut stage = Stage::with_policy(policy);
        stage.classic_pair();
        let joined = stage.beat(joining("c"));
        assert_eq!(joined.is_ok(), policy.allows_upgrade());
        assert!(joined.is_ok() || joined.unwrap_err().error == ErrorCode::GroupIdNotFound);

        // The other way: a classic member comes to a consumer group, whatever the policy, and the last other one goes.
        let mut stage = Stage::with_policy(policy);
        stage.beat(joining("c")).unwrap();
        let a = stage.join(join_request(&MemberId::empty(), &[])).unwrap();
        assert_eq!((a.error, a.generation_id), (ErrorCode::None, 2));
        stage.beat(beating("c", -1)).unwrap();
        assert_eq!(stage.classic_state().is_some(), policy.allows_downgrade());
        if !policy.allows_downgrade() {
            assert_eq!(stage.heart(&a.member_id, 2), ErrorCode::RebalanceInProgress);
            let a = stage.rejoin(&a.member_id, &[]);
            assert_eq!(stage.sync(&a.member_id, a.generation_id), Ok(vec![0, 1, 2, 3]));
            assert_eq!(stage.leave(&a.member_id), ErrorCode::None);
            assert_eq!(stage.state(), "Empty");
        }
    }
}

#[test]
fn classic_members_have_their_own_timeouts() {
    // Neither heard of, nor rejoined, nor synced.
    for case in 0..3 {
        let mut stage = Stage::new();
        stage.beat(joining("c")).unwrap();
        let a = stage.join(join_request(&MemberId::empty(), &[])).unwrap();
        let epoch = a.generation_id;
        if case != 2 {
            let _ = stage.sync(&a.member_id, epoch);
        }
        let until_ms = stage.now_ms + if case == 0 { 10_000 } else { 61_000 };
        let is_there = |stage: &Stage| stage.group().memory().member(&a.member_id).is_some();
        if case == 1 {
            stage.set_topic("t", 1, 5);
        }
        while stage.now_ms < until_ms {
            assert!(is_there(&stage) || stage.now_ms > until_ms - 6_000, "case {case}");
            stage.wait(4_000);
            stage.beat(joining("c")).unwrap();
            if case > 0 {
                stage.heart(&a.member_id, epoch);
            }
        }
        assert!(!is_there(&stage), "case {case}");
    }
}

#[test]
fn a_static_member_comes_back_in_the_other_protocol() {
    let mut stage = Stage::new();
    stage.beat(instance(joining("c"), "i")).unwrap();
    let static_join = |member: &MemberId| JoinRequest { group_instance_id: GroupInstanceId::new("i").ok(), ..join_request(member, &[]) };
    // The only one: the group is a classic one from here on.
    let joined = stage.join(static_join(&MemberId::empty())).unwrap();
    assert_eq!((joined.error, stage.classic_state()), (ErrorCode::None, Some(GroupState::CompletingRebalance)));
    stage.sync_with(&joined.member_id, joined.generation_id, vec![(joined.member_id.clone(), assignment(&[0, 1, 2, 3]))]);

    // And back again, with all that the instance had.
    let c = stage.beat(instance(joining("d"), "i")).unwrap();
    assert_eq!(c.assignment, Some(of_t(&[0, 1, 2, 3])));
    assert_eq!(stage.group().memory().members().len(), 1);
    assert_eq!(stage.heart(&joined.member_id, joined.generation_id), ErrorCode::UnknownMemberId);
    let fenced = stage.join(static_join(&joined.member_id)).unwrap();
    assert_eq!(fenced.error, ErrorCode::FencedInstanceId);

    // Among others it takes the place of its former self.
    stage.beat(joining("e")).unwrap();
    let joined = stage.join(static_join(&MemberId::empty())).unwrap();
    assert_eq!(joined.error, ErrorCode::None);
    assert_eq!(stage.group().memory().members().len(), 2);
    assert_eq!(stage.sync_static(&joined, "i").len(), 2);
}

#[test]
fn what_cannot_be_read_cannot_go_over() {
    let mut stage = Stage::new();
    let odd = JoinRequest {
        protocols: vec![Protocol { name: text("range"), metadata: b"\0".to_vec().into() }],
        ..join_request(&MemberId::empty(), &[])
    };
    let a = stage.join(odd.clone()).unwrap();
    assert_eq!(stage.beat(joining("c")).unwrap_err().error, ErrorCode::GroupIdNotFound);
    stage.sync_with(&a.member_id, 1, vec![(a.member_id.clone(), assignment(&[0]))]);
    assert_eq!(stage.beat(joining("c")).unwrap_err().error, ErrorCode::GroupIdNotFound);
    assert_eq!(stage.classic_state(), Some(GroupState::Stable));
    let connect = JoinRequest { protocol_type: text("connect"), ..odd.clone() };

    let mut stage = Stage::new();
    stage.beat(joining("c")).unwrap();
    assert_eq!(stage.join(odd).unwrap().error, ErrorCode::InconsistentGroupProtocol);
    assert_eq!(stage.join(connect).unwrap().error, ErrorCode::InconsistentGroupProtocol);
    let known = JoinRequest { requires_known_member_id: true, ..join_request(&MemberId::empty(), &[]) };
    let told = stage.join(known.clone()).unwrap();
    assert_eq!(told.error, ErrorCode::MemberIdRequired);
    assert_eq!(stage.join(JoinRequest { member_id: told.member_id, ..known }).unwrap().error, ErrorCode::None);
    assert_eq!(stage.heart(&id("nobody"), 1), ErrorCode::UnknownMemberId);
    assert_eq!(stage.heart(&id("c"), 1), ErrorCode::UnknownMemberId, "it speaks the other protocol");
    assert_eq!(stage.leave(&id("c")), ErrorCode::UnknownMemberId);
}
