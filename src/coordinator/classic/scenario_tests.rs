//! The rules of the protocol, one story each.

use super::GroupState;
use super::scenario::{
    Scenario, commit_request, join_request, protocol, rejoin_request, static_request, sync_request, text, topic_partition,
};
use crate::base::ErrorCode;
use crate::coordinator::effect::{LeaveResponse, LeftMember, Response};
use crate::coordinator::event::{CommitOffsetsRequest, Event, HeartbeatRequest, JoinRequest, LeavingMember, OffsetToCommit, SyncRequest};
use crate::coordinator::record_format::GroupRecord;
use crate::coordinator::{GroupConfig, GroupId, GroupInstanceId, MemberId, RequestToken};

fn instance() -> GroupInstanceId {
    GroupInstanceId::new("i").unwrap()
}

fn nobody() -> MemberId {
    MemberId::empty()
}

fn heartbeat(scenario: &mut Scenario, id: &MemberId, group_instance_id: Option<GroupInstanceId>) -> ErrorCode {
    let token = scenario.token();
    let generation_id = scenario.group().generation_id();
    scenario.step(Event::Heartbeat { token, request: HeartbeatRequest { member_id: id.clone(), group_instance_id, generation_id } });
    let Response::Heartbeat(error) = scenario.answers[&token] else { panic!("expected the answer to a heartbeat") };
    error
}

/// A stable group of one static member, `i`, that leads, and a dynamic one; returns their ids.
fn static_leader(scenario: &mut Scenario) -> (MemberId, MemberId) {
    let first = scenario.join(static_request("s", 1));
    let first = scenario.joined(first).member_id.clone();
    let second = scenario.join(join_request("b"));
    let request = JoinRequest { member_id: first.clone(), ..static_request("s", 1) };
    scenario.join(request);
    let second = scenario.joined(second).member_id.clone();
    scenario.sync(&first, &[(&first, "first"), (&second, "second")]);
    scenario.sync(&second, &[]);
    assert_eq!(scenario.state(), GroupState::Stable);
    (first, second)
}

#[test]
fn the_leader_learns_of_all_members_and_the_others_of_none() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    let leader = scenario.join(rejoin_request("a", &a));
    assert_eq!(scenario.heartbeat(&b), ErrorCode::RebalanceInProgress);
    let follower = scenario.join(rejoin_request("b", &b));
    let (leader, follower) = (scenario.joined(leader), scenario.joined(follower));
    assert_eq!((leader.generation_id, follower.generation_id), (3, 3));
    assert_eq!((&leader.leader, &follower.leader), (&a, &a));
    assert_eq!(leader.members.iter().map(|member| &member.member_id).collect::<Vec<_>>(), [&a, &b]);
    assert!(follower.members.is_empty());
    assert_eq!(leader.protocol_name, Some(text("range")));
}

#[test]
fn a_new_member_first_gets_an_id_and_the_barrier_waits_for_it() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    let token = scenario.join(JoinRequest { requires_known_member_id: true, ..join_request("c") });
    let answer = scenario.joined(token);
    assert_eq!((answer.error, answer.generation_id), (ErrorCode::MemberIdRequired, -1));
    let c = answer.member_id.clone();
    assert!(c.as_str().starts_with("c-"));
    assert_eq!(scenario.state(), GroupState::Stable);
    let leader = scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    assert_eq!(scenario.state(), GroupState::PreparingRebalance);
    scenario.join(rejoin_request("c", &c));
    assert_eq!(scenario.joined(leader).members.len(), 3);
}

#[test]
fn an_id_that_nobody_comes_back_with_lapses_and_the_barrier_opens() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(JoinRequest { requires_known_member_id: true, ..join_request("c") });
    scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    scenario.wait(9_999);
    assert_eq!(scenario.state(), GroupState::PreparingRebalance);
    scenario.wait(1);
    assert_eq!((scenario.state(), scenario.group().members().count()), (GroupState::CompletingRebalance, 2));
}

#[test]
fn a_group_that_never_was_leaves_nothing_behind() {
    let mut scenario = Scenario::new();
    scenario.join(JoinRequest { requires_known_member_id: true, ..join_request("c") });
    assert_eq!(scenario.coordinator.list().len(), 1);
    scenario.wait(10_000);
    assert_eq!(scenario.coordinator.list().len(), 0);
    assert_eq!(scenario.coordinator.next_deadline_ms(), None);
}

#[test]
fn an_empty_group_waits_for_more_members_while_they_come() {
    let mut scenario = Scenario::with(GroupConfig { initial_rebalance_delay_ms: 3_000, ..GroupConfig::default() });
    let request = |client| JoinRequest { rebalance_timeout_ms: 8_000, ..join_request(client) };
    let first = scenario.join(request("a"));
    scenario.wait(2_000);
    scenario.join(request("b"));
    scenario.wait(2_000);
    scenario.join(request("c"));
    scenario.wait(3_000);
    assert!(!scenario.answers.contains_key(&first), "extended at 3 s and at 6 s");
    scenario.wait(1_000);
    assert_eq!(scenario.joined(first).members.len(), 3, "at 8 s, the rebalance timeout");
}

#[test]
fn an_empty_group_does_not_wait_longer_than_the_delay_for_nobody() {
    let mut scenario = Scenario::with(GroupConfig::default());
    let first = scenario.join(join_request("a"));
    scenario.wait(2_999);
    assert!(!scenario.answers.contains_key(&first));
    scenario.wait(1);
    assert_eq!((scenario.joined(first).error, scenario.joined(first).generation_id), (ErrorCode::None, 1));
}

#[test]
fn who_is_not_at_the_barrier_in_time_is_out() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    let token = scenario.join(rejoin_request("b", &b));
    assert!(scenario.answers.contains_key(&token), "a follower as before does not rebalance");
    let news = JoinRequest { protocols: vec![protocol("range"), protocol("sticky")], ..rejoin_request("b", &b) };
    let token = scenario.join(news);
    for _ in 0..11 {
        scenario.wait(5_000);
        assert_eq!(scenario.heartbeat(&a), ErrorCode::RebalanceInProgress);
    }
    scenario.wait(5_000);
    let answer = scenario.joined(token);
    assert_eq!((answer.leader.clone(), answer.members.len()), (b, 1), "the leader stayed away, so another one leads");
    assert_eq!(scenario.heartbeat(&a), ErrorCode::UnknownMemberId);
}

#[test]
fn a_silent_member_is_noticed_when_its_session_ends() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.wait(9_999);
    assert_eq!(scenario.heartbeat(&a), ErrorCode::None);
    scenario.wait(1);
    assert_eq!((scenario.state(), scenario.heartbeat(&a)), (GroupState::PreparingRebalance, ErrorCode::RebalanceInProgress));
    assert_eq!(scenario.heartbeat(&b), ErrorCode::UnknownMemberId);
    let token = scenario.join(rejoin_request("a", &a));
    assert_eq!(scenario.joined(token).members.len(), 1);
}

#[test]
fn a_commit_keeps_the_session_alive() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    for _ in 0..4 {
        scenario.wait(6_000);
        scenario.commit(&a, 2, "read", 1);
        scenario.heartbeat(&b);
    }
    assert_eq!(scenario.state(), GroupState::Stable);
}

#[test]
fn a_new_member_waiting_alone_for_too_long_has_to_ask_again() {
    let config = GroupConfig { new_member_join_timeout_ms: 2_000, initial_rebalance_delay_ms: 3_000, ..GroupConfig::default() };
    let mut scenario = Scenario::with(config);
    let token = scenario.join(join_request("c"));
    scenario.wait(2_000);
    assert_eq!(scenario.joined(token).error, ErrorCode::UnknownMemberId);
    assert_eq!(scenario.state(), GroupState::Empty);
}

#[test]
fn who_never_fetches_its_assignment_is_out_after_the_rebalance_timeout() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    scenario.sync(&a, &[(&a, "all")]);
    assert_eq!(scenario.state(), GroupState::Stable);
    for _ in 0..12 {
        scenario.wait(5_000);
        scenario.heartbeat(&a);
        scenario.heartbeat(&b);
    }
    assert_eq!((scenario.state(), scenario.group().members().count()), (GroupState::PreparingRebalance, 1));
}

#[test]
fn a_leader_that_forgets_a_member_gives_it_nothing() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    let forgotten = scenario.sync(&b, &[]);
    scenario.sync(&a, &[(&a, "all")]);
    assert_eq!((scenario.synced(forgotten).error, scenario.synced(forgotten).assignment.len()), (ErrorCode::None, 0));
}

#[test]
fn an_assignment_is_handed_out_once_it_is_written() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    scenario.holds_writes = true;
    let follower = scenario.sync(&b, &[]);
    let leader = scenario.sync(&a, &[(&a, "x"), (&b, "y")]);
    assert!(!scenario.answers.contains_key(&leader) && !scenario.answers.contains_key(&follower));
    let GroupRecord::Group { value: Some(stored), .. } = scenario.written.last().unwrap() else { panic!("expected the group") };
    assert_eq!(stored.members.iter().map(|member| &member.assignment[..]).collect::<Vec<_>>(), [b"x", b"y"]);
    assert_eq!((stored.generation_id, stored.leader.as_ref()), (3, Some(&a)));
    scenario.finish_writes();
    assert_eq!((scenario.synced(leader).assignment.as_ref(), scenario.synced(follower).assignment.as_ref()), (&b"x"[..], &b"y"[..]));
}

#[test]
fn an_assignment_that_cannot_be_written_is_not_handed_out() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    scenario.write_outcome = Err(ErrorCode::KafkaStorageError);
    let follower = scenario.sync(&b, &[]);
    let leader = scenario.sync(&a, &[(&a, "x"), (&b, "y")]);
    for token in [leader, follower] {
        assert_eq!((scenario.synced(token).error, scenario.synced(token).assignment.len()), (ErrorCode::NotCoordinator, 0));
    }
    assert_eq!(scenario.state(), GroupState::PreparingRebalance);
}

#[test]
fn an_assignment_written_too_late_is_of_no_use() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    scenario.holds_writes = true;
    let leader = scenario.sync(&a, &[(&a, "x"), (&b, "y")]);
    scenario.leave(&b);
    assert_eq!(scenario.synced(leader).error, ErrorCode::RebalanceInProgress);
    scenario.finish_writes();
    assert_eq!(scenario.state(), GroupState::PreparingRebalance);
}

#[test]
fn an_assignment_of_the_former_generation_is_not_handed_out_in_the_next() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(rejoin_request("a", &a));
    scenario.join(rejoin_request("b", &b));
    scenario.holds_writes = true;
    scenario.sync(&a, &[(&a, "x"), (&b, "y")]);
    scenario.leave(&b);
    scenario.join(rejoin_request("a", &a));
    assert_eq!((scenario.state(), scenario.group().generation_id()), (GroupState::CompletingRebalance, 4));
    scenario.finish_write();
    assert_eq!(scenario.state(), GroupState::CompletingRebalance);
}

#[test]
fn a_static_member_restarted_late_takes_over_the_duty_to_fetch() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.join(rejoin_request("a", &a));
    let first = scenario.join(static_request("s", 1));
    scenario.join(rejoin_request("b", &b));
    let first = scenario.joined(first).member_id.clone();
    scenario.sync(&a, &[(&first, "share")]);
    scenario.sync(&b, &[]);
    let second = scenario.join(static_request("s", 2));
    let second = scenario.joined(second).member_id.clone();
    assert_eq!(scenario.state(), GroupState::Stable);
    let token = scenario.sync(&second, &[]);
    assert_eq!(scenario.synced(token).assignment, "share");
    for _ in 0..13 {
        scenario.wait(5_000);
        for id in [&a, &b, &second] {
            assert_eq!(scenario.heartbeat(id), ErrorCode::None);
        }
    }
}

#[test]
fn a_static_member_written_during_a_rebalance_waits_at_the_barrier() {
    let mut scenario = Scenario::new();
    let (_, second) = static_leader(&mut scenario);
    scenario.holds_writes = true;
    let token = scenario.join(static_request("s", 2));
    scenario.join(join_request("c"));
    assert_eq!(scenario.state(), GroupState::PreparingRebalance);
    scenario.finish_writes();
    assert!(!scenario.answers.contains_key(&token));
    scenario.join(rejoin_request("b", &second));
    assert_eq!((scenario.joined(token).generation_id, scenario.joined(token).members.len()), (3, 3));
}

#[test]
fn a_restarted_static_member_goes_on_without_a_rebalance() {
    let mut scenario = Scenario::new();
    let (old, second) = static_leader(&mut scenario);
    let token = scenario.join(JoinRequest { supports_skipping_assignment: true, ..static_request("s", 2) });
    let answer = scenario.joined(token).clone();
    assert_eq!((scenario.state(), answer.generation_id), (GroupState::Stable, 2));
    assert_eq!((answer.leader == answer.member_id, answer.skip_assignment, answer.members.len()), (true, true, 2));
    let token = scenario.sync(&answer.member_id, &[]);
    assert_eq!(scenario.synced(token).assignment, "first");
    assert_eq!(scenario.heartbeat(&second), ErrorCode::None);
    assert_eq!(heartbeat(&mut scenario, &old, Some(instance())), ErrorCode::FencedInstanceId);
    assert_eq!(heartbeat(&mut scenario, &old, None), ErrorCode::UnknownMemberId);
    let token = scenario.token();
    let request = CommitOffsetsRequest { group_instance_id: Some(instance()), ..commit_request(&old, 2, "read", 1) };
    scenario.step(Event::CommitOffsets { token, request });
    assert_eq!(scenario.committed(token), ErrorCode::FencedInstanceId);
    let token = scenario.token();
    let request = SyncRequest { group_instance_id: Some(instance()), ..sync_request(&old, 2, &[]) };
    scenario.step(Event::Sync { token, request });
    assert_eq!(scenario.synced(token).error, ErrorCode::FencedInstanceId);
}

#[test]
fn a_restarted_static_leader_with_an_old_client_does_not_believe_that_it_leads() {
    let mut scenario = Scenario::new();
    let (old, _) = static_leader(&mut scenario);
    let token = scenario.join(static_request("s", 2));
    let answer = scenario.joined(token);
    assert_eq!((&answer.leader, answer.members.len(), answer.skip_assignment), (&old, 0, false));
    assert_eq!(scenario.group().leader(), Some(&answer.member_id));
}

#[test]
fn a_restarted_static_member_with_other_protocols_rebalances() {
    let mut scenario = Scenario::new();
    let request = JoinRequest { protocols: vec![protocol("range"), protocol("sticky")], ..static_request("s", 1) };
    let first = scenario.join(request.clone());
    let first = scenario.joined(first).member_id.clone();
    scenario.sync(&first, &[(&first, "all")]);
    let request = JoinRequest { protocols: vec![protocol("sticky"), protocol("range")], random_bytes: [2; 16], ..request };
    let token = scenario.join(request);
    assert_eq!((scenario.joined(token).generation_id, scenario.joined(token).protocol_name.clone()), (2, Some(text("sticky"))));
}

#[test]
fn a_static_member_is_put_back_if_its_new_id_cannot_be_written() {
    let mut scenario = Scenario::new();
    let (old, _) = static_leader(&mut scenario);
    scenario.write_outcome = Err(ErrorCode::NotEnoughReplicas);
    let token = scenario.join(static_request("s", 2));
    assert_eq!(scenario.joined(token).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(heartbeat(&mut scenario, &old, Some(instance())), ErrorCode::None);
    assert_eq!(scenario.group().leader(), Some(&old));
}

#[test]
fn a_static_member_restarted_while_it_waits_fences_the_first_one() {
    let mut scenario = Scenario::new();
    let (old, _) = static_leader(&mut scenario);
    let first = scenario.join(JoinRequest { member_id: old.clone(), ..static_request("s", 1) });
    let second = scenario.join(static_request("s", 2));
    assert_eq!(scenario.joined(first).error, ErrorCode::FencedInstanceId);
    assert!(!scenario.answers.contains_key(&second), "the new one waits at the barrier in its place");
}

#[test]
fn a_static_member_away_from_the_barrier_stays_until_its_session_ends() {
    let mut scenario = Scenario::new();
    let request = JoinRequest { session_timeout_ms: 100_000, ..static_request("s", 1) };
    let first = scenario.join(request);
    let first = scenario.joined(first).member_id.clone();
    scenario.sync(&first, &[]);
    let token = scenario.join(join_request("b"));
    scenario.wait(60_000);
    assert_eq!(scenario.joined(token).members.len(), 2, "the absent one keeps its share");
    let b = scenario.joined(token).member_id.clone();
    scenario.sync(&b, &[]);
    for _ in 0..12 {
        scenario.wait(5_000);
        scenario.heartbeat(&b);
    }
    assert_eq!(scenario.group().members().count(), 1, "it never fetched its assignment");
}

#[test]
fn an_administrator_removes_static_members_by_their_instance() {
    let mut scenario = Scenario::new();
    let (_, second) = static_leader(&mut scenario);
    let token = scenario.token();
    let unknown = Some(GroupInstanceId::new("unknown").unwrap());
    let members = vec![
        LeavingMember { member_id: nobody(), group_instance_id: Some(instance()) },
        LeavingMember { member_id: nobody(), group_instance_id: unknown.clone() },
    ];
    scenario.step(Event::Leave { token, members });
    let expected = LeaveResponse {
        error: ErrorCode::None,
        members: vec![
            LeftMember { member_id: nobody(), group_instance_id: Some(instance()), error: ErrorCode::None },
            LeftMember { member_id: nobody(), group_instance_id: unknown, error: ErrorCode::UnknownMemberId },
        ],
    };
    assert_eq!(scenario.answers[&token], Response::Leave(expected));
    assert_eq!(scenario.heartbeat(&second), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_full_group_turns_new_members_away() {
    let config = GroupConfig { group_size_max: 2, initial_rebalance_delay_ms: 0, ..GroupConfig::default() };
    let mut scenario = Scenario::with(config);
    let (a, b) = scenario.stable_pair();
    let token = scenario.join(join_request("c"));
    assert_eq!(scenario.joined(token).error, ErrorCode::GroupMaxSizeReached);
    // The limit sinks: at the next barrier the last to come is out.
    scenario.coordinator.set_config(GroupConfig { group_size_max: 1, ..config });
    let first = scenario.join(rejoin_request("a", &a));
    let second = scenario.join(rejoin_request("b", &b));
    assert_eq!(scenario.joined(second).error, ErrorCode::GroupMaxSizeReached);
    assert_eq!(scenario.joined(first).members.len(), 1);
}

#[test]
fn the_protocol_that_most_members_prefer_is_chosen() {
    let mut scenario = Scenario::with(GroupConfig { initial_rebalance_delay_ms: 1, ..GroupConfig::default() });
    let request =
        |client, names: &[&str]| JoinRequest { protocols: names.iter().map(|name| protocol(name)).collect(), ..join_request(client) };
    let first = scenario.join(request("a", &["range", "sticky", "alone"]));
    scenario.join(request("b", &["sticky", "range"]));
    scenario.join(request("c", &["unspoken", "sticky", "range"]));
    scenario.wait(10);
    assert_eq!(scenario.joined(first).protocol_name, Some(text("sticky")));
}

#[test]
fn requests_to_no_group_are_told_so() {
    let mut scenario = Scenario::new();
    let stranger = MemberId::new("stranger").unwrap();
    let mut answer = |event: &dyn Fn(RequestToken) -> Event| {
        let token = scenario.token();
        scenario.step(event(token));
        scenario.answers[&token].clone()
    };
    let joined = answer(&|token| Event::Join { token, request: rejoin_request("c", &stranger) });
    assert!(matches!(joined, Response::Join(response) if response.error == ErrorCode::UnknownMemberId));
    let synced = answer(&|token| Event::Sync { token, request: sync_request(&stranger, 1, &[]) });
    assert!(matches!(synced, Response::Sync(response) if response.error == ErrorCode::UnknownMemberId));
    let members = || vec![LeavingMember { member_id: stranger.clone(), group_instance_id: None }];
    let left = answer(&|token| Event::Leave { token, members: members() });
    assert!(matches!(left, Response::Leave(response) if response.members[0].error == ErrorCode::UnknownMemberId));
    assert_eq!(answer(&|token| Event::DeleteGroup { token }), Response::DeleteGroup(ErrorCode::GroupIdNotFound));
    let deleted = answer(&|token| Event::DeleteOffsets { token, partitions: vec![topic_partition("read")] });
    assert!(matches!(deleted, Response::DeleteOffsets(response) if response.error == ErrorCode::GroupIdNotFound));
    let newer = commit_request(&stranger, 1, "read", 1);
    let older = CommitOffsetsRequest { knows_group_id_not_found: false, ..newer.clone() };
    let codes = [newer, older].map(|request| answer(&|token| Event::CommitOffsets { token, request: request.clone() }));
    let expected = [ErrorCode::GroupIdNotFound, ErrorCode::IllegalGeneration].map(|code| Response::CommitOffsets(vec![code]));
    assert_eq!(codes, expected);
    assert_eq!(scenario.coordinator.list().len(), 0);
}

#[test]
fn group_ids_and_session_timeouts_have_bounds() {
    let mut scenario = Scenario::new();
    for session_timeout_ms in [5_999, 1_800_001, -1] {
        let token = scenario.join(JoinRequest { session_timeout_ms, ..join_request("a") });
        assert_eq!(scenario.joined(token).error, ErrorCode::InvalidSessionTimeout);
    }
    scenario.group_id = GroupId::empty();
    let token = scenario.join(join_request("a"));
    assert_eq!(scenario.joined(token).error, ErrorCode::InvalidGroupId);
    let token = scenario.commit(&nobody(), -1, "read", 4);
    assert_eq!((scenario.committed(token), scenario.offset("read")), (ErrorCode::None, 4), "a simple consumer may use the empty id");
}

#[test]
fn a_commit_counts_once_it_is_written() {
    let mut scenario = Scenario::new();
    let (a, _) = scenario.stable_pair();
    scenario.holds_writes = true;
    let token = scenario.commit(&a, 2, "read", 9);
    assert!(!scenario.answers.contains_key(&token) && scenario.offset("read") == -1);
    scenario.finish_writes();
    assert_eq!((scenario.committed(token), scenario.offset("read")), (ErrorCode::None, 9));
    scenario.write_outcome = Err(ErrorCode::MessageTooLarge);
    let token = scenario.commit(&a, 2, "read", 10);
    scenario.finish_writes();
    assert_eq!((scenario.committed(token), scenario.offset("read")), (ErrorCode::InvalidCommitOffsetSize, 9));
}

#[test]
fn metadata_that_is_too_long_fails_its_partition_only() {
    let mut scenario = Scenario::new();
    let offset = |topic: &str, metadata: &str| OffsetToCommit {
        metadata: metadata.into(),
        ..commit_request(&nobody(), -1, topic, 1).offsets.remove(0)
    };
    let offsets = vec![offset("long", &"é".repeat(4097)), offset("fits", &"é".repeat(4096))];
    let token = scenario.token();
    scenario.step(Event::CommitOffsets { token, request: CommitOffsetsRequest { offsets, ..commit_request(&nobody(), -1, "x", 1) } });
    assert_eq!(scenario.answers[&token], Response::CommitOffsets(vec![ErrorCode::OffsetMetadataTooLarge, ErrorCode::None]));
    assert_eq!((scenario.offset("long"), scenario.offset("fits")), (-1, 1));
}

#[test]
fn a_deleted_group_leaves_tombstones_also_for_commits_on_their_way() {
    let mut scenario = Scenario::new();
    scenario.commit(&nobody(), -1, "written", 1);
    scenario.holds_writes = true;
    let commit = scenario.commit(&nobody(), -1, "under-way", 1);
    scenario.written.clear();
    let token = scenario.token();
    scenario.step(Event::DeleteGroup { token });
    let tombstone = |topic| GroupRecord::Offset { group_id: scenario.group_id.clone(), partition: topic_partition(topic), value: None };
    let group = GroupRecord::Group { group_id: scenario.group_id.clone(), value: None };
    assert_eq!(scenario.written, [tombstone("under-way"), tombstone("written"), group]);
    scenario.finish_writes();
    assert_eq!(scenario.answers[&token], Response::DeleteGroup(ErrorCode::None));
    assert_eq!((scenario.committed(commit), scenario.coordinator.list().len()), (ErrorCode::None, 0));
}

#[test]
fn a_group_whose_tombstones_cannot_be_written_lives_on() {
    let mut scenario = Scenario::new();
    scenario.commit(&nobody(), -1, "read", 1);
    scenario.write_outcome = Err(ErrorCode::KafkaStorageError);
    let token = scenario.token();
    scenario.step(Event::DeleteGroup { token });
    assert_eq!(scenario.answers[&token], Response::DeleteGroup(ErrorCode::NotCoordinator));
    assert_eq!((scenario.state(), scenario.offset("read")), (GroupState::Empty, 1));
}

#[test]
fn offsets_expire_seven_days_after_the_group_became_empty() {
    const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.commit(&a, 2, "read", 1);
    scenario.commit(&a, 2, "other", 1);
    for id in [&a, &b] {
        scenario.heartbeat(id);
    }
    let since_ms = scenario.now_ms;
    let effects = scenario.coordinator.expire_offsets(since_ms + WEEK_MS);
    scenario.perform(effects);
    assert_eq!((scenario.offset("read"), scenario.offset("other")), (1, -1), "a stable group keeps what it reads");
    scenario.leave(&a);
    scenario.leave(&b);
    let empty_since_ms = scenario.group().state_since.0;
    for (at_ms, groups) in [(empty_since_ms + WEEK_MS - 1, 1), (empty_since_ms + WEEK_MS, 0)] {
        let effects = scenario.coordinator.expire_offsets(at_ms);
        scenario.perform(effects);
        assert_eq!(scenario.coordinator.list().len(), groups);
    }
    assert_eq!(scenario.written.last(), Some(&GroupRecord::Group { group_id: scenario.group_id.clone(), value: None }));
}

#[test]
fn an_unloaded_coordinator_answers_everybody() {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    scenario.holds_writes = true;
    let commit = scenario.commit(&b, 2, "read", 1);
    let join = scenario.join(rejoin_request("a", &a));
    let coordinator = std::mem::replace(&mut scenario.coordinator, crate::coordinator::GroupCoordinator::new(GroupConfig::default()));
    let effects = coordinator.unload(scenario.now_ms);
    scenario.perform(effects);
    assert_eq!((scenario.committed(commit), scenario.joined(join).error), (ErrorCode::NotCoordinator, ErrorCode::NotCoordinator));
}

#[test]
fn a_described_group_shows_subscriptions_only_when_stable() {
    let mut scenario = Scenario::new();
    let (a, _) = scenario.stable_pair();
    let described = scenario.coordinator.describe(&scenario.group_id).unwrap();
    assert_eq!((described.state.name(), described.protocol_name.as_str(), described.members.len()), ("Stable", "range", 2));
    assert!(described.members.iter().all(|member| !member.metadata.is_empty() && !member.assignment.is_empty()));
    scenario.join(rejoin_request("a", &a));
    let described = scenario.coordinator.describe(&scenario.group_id).unwrap();
    assert_eq!((described.state.name(), described.protocol_name.as_str()), ("PreparingRebalance", ""));
    assert!(described.members.iter().all(|member| member.metadata.is_empty()));
}
