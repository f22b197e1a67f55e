//! Consumer groups through the built broker: members join, fall silent and leave, commits survive, any core answers, and every
//! request of groups is answered in every version.
//!
//! `kafka-protocol` reads the answers and knows for each version what may stand there.

mod broker;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    BrokerId, DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, DescribeGroupsResponse, FetchRequest,
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse,
};
use pagewire::base::ErrorCode;

use broker::ask::{newest, served, text};
use broker::{Broker, Connection, PATIENCE, ask};

const NONE: i16 = 0;
/// No wait for more members: a test has all the members that it wants.
const QUICK: [&str; 4] = ["--set", "group.initial.rebalance.delay.ms=0", "--set", "offsets.topic.num.partitions=4"];
const SESSION_MS: i32 = 6_000;

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// A broker with a topic "t" of two partitions and the topic of groups.
fn broker_with_groups(arguments: &[&str]) -> (Broker, Connection) {
    let broker = Broker::start(&[&QUICK, arguments].concat());
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    assert_eq!(find_coordinator(&mut connection, newest::<FindCoordinatorRequest>(), "g", 0).0, NONE);
    (broker, connection)
}

/// Error code and port of the coordinator.
fn find_coordinator(connection: &mut Connection, version: i16, key: &str, key_type: i8) -> (i16, i32) {
    let request = FindCoordinatorRequest::default().with_key_type(key_type);
    let request = if version >= 4 { request.with_coordinator_keys(vec![text(key)]) } else { request.with_key(text(key)) };
    let answer = connection.ask(version, &request);
    match version {
        4.. => (answer.coordinators[0].error_code, answer.coordinators[0].port),
        _ => (answer.error_code, answer.port),
    }
}

fn join_request(version: i16, name: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"subscription"));
    let request = JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_session_timeout_ms(SESSION_MS)
        .with_protocols(vec![protocol]);
    if version >= 1 { request.with_rebalance_timeout_ms(SESSION_MS) } else { request }
}

/// Joins, a second time with the id that the first answer gives.
fn join(connection: &mut Connection, version: i16, name: &str, member_id: &str) -> JoinGroupResponse {
    let answer = connection.ask(version, &join_request(version, name, member_id));
    if answer.error_code != ErrorCode::MemberIdRequired.code() {
        return answer;
    }
    assert!(version >= 4, "KIP-394 came with version 4");
    connection.ask(version, &join_request(version, name, answer.member_id.as_str()))
}

fn sync(
    connection: &mut Connection,
    version: i16,
    name: &str,
    joined: &JoinGroupResponse,
    shares: &[(&str, &'static [u8])],
) -> SyncGroupResponse {
    let share = |(member, assignment): &(&str, &'static [u8])| {
        SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(Bytes::from_static(assignment))
    };
    let request = SyncGroupRequest::default()
        .with_group_id(group(name))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(shares.iter().map(share).collect());
    let request = match version {
        5.. => request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range"))),
        _ => request,
    };
    connection.ask(version, &request)
}

/// A member alone in its group, with its assignment.
fn sole_member(connection: &mut Connection, name: &str) -> JoinGroupResponse {
    let joined = join(connection, newest::<JoinGroupRequest>(), name, "");
    assert_eq!((joined.error_code, &joined.leader), (NONE, &joined.member_id));
    let id = joined.member_id.to_string();
    let synced = sync(connection, newest::<SyncGroupRequest>(), name, &joined, &[(&id, b"everything")]);
    assert_eq!((synced.error_code, &synced.assignment[..]), (NONE, &b"everything"[..]));
    joined
}

fn heartbeat(connection: &mut Connection, version: i16, name: &str, joined: &JoinGroupResponse) -> i16 {
    let request = HeartbeatRequest::default().with_group_id(group(name)).with_generation_id(joined.generation_id);
    connection.ask(version, &request.with_member_id(joined.member_id.clone())).error_code
}

fn leave(connection: &mut Connection, version: i16, name: &str, member_id: &str) -> i16 {
    let request = LeaveGroupRequest::default().with_group_id(group(name));
    if version < 3 {
        return connection.ask(version, &request.with_member_id(text(member_id))).error_code;
    }
    let member = MemberIdentity::default().with_member_id(text(member_id));
    let answer = connection.ask(version, &request.with_members(vec![member]));
    assert_eq!(answer.error_code, NONE);
    answer.members[0].error_code
}

/// Commits an offset of one partition as a simple consumer, or as a member.
fn commit(connection: &mut Connection, version: i16, name: &str, member: Option<&JoinGroupResponse>, partition: i32, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
    let partition = partition.with_committed_metadata(Some(text("note")));
    let partition = if version >= 6 { partition.with_committed_leader_epoch(0) } else { partition };
    let topic = OffsetCommitRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(group(name)).with_topics(vec![topic]).with_generation_id_or_member_epoch(-1);
    let request = match member {
        Some(member) => request.with_generation_id_or_member_epoch(member.generation_id).with_member_id(member.member_id.clone()),
        None => request,
    };
    connection.ask(version, &request).topics[0].partitions[0].error_code
}

/// Error code and offsets of the partitions of "t" that are asked for; `None`: of all that are committed.
fn fetch_offsets(connection: &mut Connection, version: i16, name: &str, partitions: Option<&[i32]>) -> (i16, Vec<(i32, i64)>) {
    let require_stable = version >= 7;
    if version >= 8 {
        let topics = partitions.map(|indexes| {
            vec![OffsetFetchRequestTopics::default().with_name(ask::topic_name("t")).with_partition_indexes(indexes.to_vec())]
        });
        let wanted = OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(topics);
        let answer = connection.ask(version, &OffsetFetchRequest::default().with_groups(vec![wanted]).with_require_stable(require_stable));
        let found = answer.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
        return (answer.groups[0].error_code, found.map(|found| (found.partition_index, found.committed_offset)).collect());
    }
    let topics = partitions
        .map(|indexes| vec![OffsetFetchRequestTopic::default().with_name(ask::topic_name("t")).with_partition_indexes(indexes.to_vec())]);
    let request = OffsetFetchRequest::default().with_group_id(group(name)).with_topics(topics).with_require_stable(require_stable);
    let answer = connection.ask(version, &request);
    let found: Vec<_> = answer.topics.iter().flat_map(|topic| &topic.partitions).collect();
    let error = found.iter().map(|found| found.error_code).find(|code| *code != NONE).unwrap_or(answer.error_code);
    (error, found.iter().map(|found| (found.partition_index, found.committed_offset)).collect())
}

fn describe(connection: &mut Connection, version: i16, name: &str) -> DescribeGroupsResponse {
    connection.ask(version, &DescribeGroupsRequest::default().with_groups(vec![group(name)]))
}

fn state(connection: &mut Connection, name: &str) -> String {
    describe(connection, 5, name).groups[0].group_state.to_string()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A load may be under way after a start: clients ask again then.
fn committed(connection: &mut Connection, name: &str) -> Vec<(i32, i64)> {
    let mut found = Vec::new();
    wait_until("the group is loaded", || {
        let (error, offsets) = fetch_offsets(connection, newest::<OffsetFetchRequest>(), name, None);
        assert!([NONE, ErrorCode::CoordinatorLoadInProgress.code()].contains(&error), "{error}");
        found = offsets;
        error == NONE
    });
    found
}

#[test]
fn a_member_goes_its_way_in_every_version() {
    let (_broker, mut connection) = broker_with_groups(&[]);
    for version in served::<JoinGroupRequest>() {
        let name = format!("join-{version}");
        let joined = join(&mut connection, version, &name, "");
        assert_eq!(joined.error_code, NONE, "JoinGroup {version}");
        assert_eq!((joined.generation_id, &joined.leader, joined.members.len()), (1, &joined.member_id, 1));
        assert_eq!(&joined.members[0].metadata[..], b"subscription");
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        let again = connection.ask(version, &join_request(version, &name, "nobody"));
        assert_eq!((again.error_code, again.member_id.as_str()), (ErrorCode::UnknownMemberId.code(), "nobody"));
    }
    for version in served::<SyncGroupRequest>() {
        let name = format!("sync-{version}");
        let joined = join(&mut connection, newest::<JoinGroupRequest>(), &name, "");
        let id = joined.member_id.to_string();
        let synced = sync(&mut connection, version, &name, &joined, &[(&id, b"share")]);
        assert_eq!((synced.error_code, &synced.assignment[..]), (NONE, &b"share"[..]), "SyncGroup {version}");
        let stale = joined.with_generation_id(9);
        assert_eq!(sync(&mut connection, version, &name, &stale, &[]).error_code, ErrorCode::IllegalGeneration.code());
    }
    for version in served::<HeartbeatRequest>() {
        let name = format!("heartbeat-{version}");
        let joined = sole_member(&mut connection, &name);
        assert_eq!(heartbeat(&mut connection, version, &name, &joined), NONE, "Heartbeat {version}");
        assert_eq!(heartbeat(&mut connection, version, "nobody", &joined), ErrorCode::UnknownMemberId.code());
    }
    for version in served::<LeaveGroupRequest>() {
        let name = format!("leave-{version}");
        let joined = sole_member(&mut connection, &name);
        assert_eq!(leave(&mut connection, version, &name, "nobody"), ErrorCode::UnknownMemberId.code(), "LeaveGroup {version}");
        assert_eq!(leave(&mut connection, version, &name, &joined.member_id), NONE);
        assert_eq!(state(&mut connection, &name), "Empty");
    }
}

#[test]
fn offsets_are_committed_fetched_and_deleted_in_every_version() {
    let (_broker, mut connection) = broker_with_groups(&[]);
    for version in served::<OffsetCommitRequest>() {
        let name = format!("commit-{version}");
        assert_eq!(commit(&mut connection, version, &name, None, 1, 40), NONE, "OffsetCommit {version}");
        assert_eq!(commit(&mut connection, version, &name, None, 7, 40), ErrorCode::UnknownTopicOrPartition.code());
        let joined = sole_member(&mut connection, &name);
        let stale = joined.clone().with_generation_id(9);
        assert_eq!(commit(&mut connection, version, &name, Some(&stale), 1, 41), ErrorCode::IllegalGeneration.code());
        assert_eq!(commit(&mut connection, version, &name, Some(&joined), 1, 42), NONE);
        assert_eq!(committed(&mut connection, &name), [(1, 42)]);
    }
    for version in served::<OffsetFetchRequest>() {
        assert_eq!(fetch_offsets(&mut connection, version, "commit-2", Some(&[0, 1])), (NONE, vec![(0, -1), (1, 42)]), "{version}");
        assert_eq!(fetch_offsets(&mut connection, version, "nobody", Some(&[0])), (NONE, vec![(0, -1)]));
        if version >= 2 {
            assert_eq!(fetch_offsets(&mut connection, version, "commit-2", None), (NONE, vec![(1, 42)]));
        }
    }
    let delete = |connection: &mut Connection, name: &str| {
        let partitions = [1, 7].map(|index| OffsetDeleteRequestPartition::default().with_partition_index(index)).to_vec();
        let topic = OffsetDeleteRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(partitions);
        let answer = connection.ask(0, &OffsetDeleteRequest::default().with_group_id(group(name)).with_topics(vec![topic]));
        let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect();
        (answer.error_code, codes)
    };
    assert_eq!(delete(&mut connection, "nobody"), (ErrorCode::GroupIdNotFound.code(), vec![]));
    assert_eq!(commit(&mut connection, 9, "d", None, 1, 5), NONE);
    assert_eq!(delete(&mut connection, "d"), (NONE, vec![NONE, ErrorCode::UnknownTopicOrPartition.code()]));
    assert_eq!(committed(&mut connection, "d"), []);
}

#[test]
fn groups_are_found_listed_described_and_deleted_in_every_version() {
    let (broker, mut connection) = broker_with_groups(&["--advertise", "per-node"]);
    for version in served::<FindCoordinatorRequest>() {
        let found = find_coordinator(&mut connection, version, "g", 0);
        assert_eq!(found, (NONE, i32::from(broker.ports[0])), "FindCoordinator {version}");
        if version >= 1 {
            assert_eq!(find_coordinator(&mut connection, version, "tx", 1).0, ErrorCode::InvalidRequest.code());
        }
    }
    sole_member(&mut connection, "g");
    for version in served::<DescribeGroupsRequest>() {
        let answer = describe(&mut connection, version, "g");
        let found = &answer.groups[0];
        assert_eq!((found.error_code, found.group_state.as_str(), found.protocol_type.as_str()), (NONE, "Stable", "consumer"), "{version}");
        assert_eq!((found.members[0].client_id.as_str(), found.members[0].client_host.as_str()), ("test", "/127.0.0.1"));
        assert_eq!(&found.members[0].member_assignment[..], b"everything");
        let unknown = &describe(&mut connection, version, "nobody").groups[0];
        let expected = if version >= 6 { ErrorCode::GroupIdNotFound.code() } else { NONE };
        assert_eq!((unknown.error_code, unknown.group_state.as_str()), (expected, "Dead"), "{version}");
    }
    for version in served::<ListGroupsRequest>() {
        let listed = connection.ask(version, &ListGroupsRequest::default());
        assert_eq!((listed.error_code, listed.groups.len()), (NONE, 1), "ListGroups {version}");
        assert_eq!((listed.groups[0].group_id.as_str(), listed.groups[0].protocol_type.as_str()), ("g", "consumer"));
        if version >= 4 {
            assert_eq!(listed.groups[0].group_state.as_str(), "Stable");
            let empty = connection.ask(version, &ListGroupsRequest::default().with_states_filter(vec![text("empty")]));
            assert_eq!(empty.groups, []);
        }
    }
    for version in served::<DeleteGroupsRequest>() {
        let name = format!("delete-{version}");
        assert_eq!(commit(&mut connection, 9, &name, None, 0, 1), NONE);
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group(&name), group("g"), group("nobody")]);
        let codes: Vec<i16> = connection.ask(version, &request).results.iter().map(|result| result.error_code).collect();
        let expected = [ErrorCode::None, ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound].map(ErrorCode::code);
        assert_eq!(codes, expected, "DeleteGroups {version}");
    }
}

/// Kafka says nothing of the load to a heartbeat, and there are clients that end when they hear of it (aiokafka).
#[test]
fn a_heartbeat_is_answered_while_the_groups_are_loaded() {
    // Both groups in one log.
    let settings = [&QUICK[..2], &["--set", "offsets.topic.num.partitions=1"]].concat();
    let mut broker = Broker::start(&settings);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    assert_eq!(find_coordinator(&mut connection, newest::<FindCoordinatorRequest>(), "g", 0).0, NONE);
    let joined = sole_member(&mut connection, "g");
    // 12 MB take a while to read.
    let partition = OffsetCommitRequestPartition::default().with_committed_metadata(Some(text(&"x".repeat(4_096))));
    let partitions = vec![partition.clone(), partition.with_partition_index(1)];
    let topic = OffsetCommitRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(partitions);
    let request =
        OffsetCommitRequest::default().with_group_id(group("g-simple")).with_topics(vec![topic]).with_generation_id_or_member_epoch(-1);
    for _ in 0..1_500 {
        assert_eq!(connection.ask(9, &request).topics[0].partitions[0].error_code, NONE);
    }
    broker.kill();
    broker.start_again(&settings);
    let mut connection = broker.connect(0);
    let mut was_loading = false;
    wait_until("the group is loaded", || {
        assert_eq!(heartbeat(&mut connection, 4, "g", &joined), NONE);
        let (error, _) = fetch_offsets(&mut connection, newest::<OffsetFetchRequest>(), "g-simple", None);
        was_loading |= error == ErrorCode::CoordinatorLoadInProgress.code();
        error == NONE
    });
    assert!(was_loading, "the groups were loaded before the first heartbeat; write more");
}

#[test]
fn a_second_member_rebalances_the_first_and_takes_over_when_it_falls_silent() {
    let (broker, mut first) = broker_with_groups(&["--set", "group.min.session.timeout.ms=500"]);
    let leader = sole_member(&mut first, "g");
    // At the other core: it makes no difference.
    let mut second = broker.connect(1);
    let id = second.ask(9, &join_request(9, "g", "")).member_id;
    let request = join_request(9, "g", &id).with_session_timeout_ms(1_000);
    second.send(9, &request);
    wait_until("the group rebalances", || heartbeat(&mut first, 4, "g", &leader) == ErrorCode::RebalanceInProgress.code());
    let rejoined = join(&mut first, 9, "g", &leader.member_id);
    let joined = second.receive::<JoinGroupRequest>(9);
    assert_eq!((rejoined.generation_id, joined.generation_id), (2, 2));
    assert_eq!((rejoined.members.len(), joined.members.len(), &joined.leader), (2, 0, &rejoined.member_id));
    // The follower waits for the leader's assignment.
    let request = SyncGroupRequest::default().with_group_id(group("g")).with_generation_id(2).with_member_id(id.clone());
    second.send(4, &request);
    let synced = sync(&mut first, 5, "g", &rejoined, &[(&rejoined.member_id, b"one"), (&id, b"two")]);
    assert_eq!(&synced.assignment[..], b"one");
    assert_eq!(&second.receive::<SyncGroupRequest>(4).assignment[..], b"two");
    // The second member says nothing for its session.
    wait_until("the silent member is out", || heartbeat(&mut first, 4, "g", &rejoined) == ErrorCode::RebalanceInProgress.code());
    let alone = join(&mut first, 9, "g", &rejoined.member_id);
    assert_eq!((alone.generation_id, alone.members.len()), (3, 1));
    assert_eq!(heartbeat(&mut second, 4, "g", &joined), ErrorCode::UnknownMemberId.code());
}

#[test]
fn groups_and_commits_outlive_a_clean_stop_and_a_kill() {
    outlive_stops(&[]);
}

#[test]
fn groups_and_commits_that_wait_for_the_disk_outlive_stops_too() {
    outlive_stops(&["--set", "log.flush.interval.messages=1"]);
}

fn outlive_stops(arguments: &[&str]) {
    let (mut broker, mut connection) = broker_with_groups(arguments);
    let names: Vec<String> = (0..12).map(|number| format!("group-{number}")).collect();
    let members: Vec<JoinGroupResponse> = names.iter().map(|name| sole_member(&mut connection, name)).collect();
    for round in 1..=3 {
        for (name, member) in names.iter().zip(&members) {
            wait_until("the commit is taken", || {
                let code = commit(&mut connection, 9, name, Some(member), 0, round * 10);
                assert!([NONE, ErrorCode::CoordinatorLoadInProgress.code()].contains(&code), "{code}");
                code == NONE
            });
        }
        match round {
            1 => broker.stop(),
            _ => broker.kill(),
        }
        broker.start_again(&[&QUICK, arguments].concat());
        connection = broker.connect(round as usize % 2);
        for name in &names {
            assert_eq!(committed(&mut connection, name), [(0, round * 10)], "{name} after stop {round}");
        }
        for (name, member) in names.iter().zip(&members) {
            assert_eq!(heartbeat(&mut connection, 4, name, member), NONE, "{name} goes on in its generation");
        }
    }
}

#[test]
fn a_stop_does_not_wait_for_members_at_the_barrier() {
    let (mut broker, mut connection) = broker_with_groups(&["--set", "group.initial.rebalance.delay.ms=60000"]);
    let id = connection.ask(9, &join_request(9, "g", "")).member_id;
    connection.send(9, &join_request(9, "g", &id).with_rebalance_timeout_ms(60_000));
    let mut other = broker.connect(0);
    wait_until("the member waits", || state(&mut other, "g") == "PreparingRebalance");
    let begun = Instant::now();
    broker.signal("TERM");
    assert_eq!(connection.receive::<JoinGroupRequest>(9).error_code, ErrorCode::NotCoordinator.code());
    broker.stop();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn commits_under_way_together_are_all_taken() {
    let (broker, mut connection) =
        broker_with_groups(&["--set", "log.flush.interval.messages=1", "--set", "offsets.topic.num.partitions=1"]);
    let member = sole_member(&mut connection, "g");
    thread::scope(|scope| {
        for client in 0..8 {
            let (broker, member) = (&broker, &member);
            scope.spawn(move || {
                let mut connection = broker.connect(client % 2);
                for offset in 0..25 {
                    assert_eq!(commit(&mut connection, 9, "g", Some(member), client as i32 % 2, offset), NONE);
                }
            });
        }
    });
    // The last commit in the log is the last one of some client.
    assert!(committed(&mut connection, "g").iter().all(|(_, offset)| *offset == 24));
}

#[test]
fn clients_do_not_write_to_the_topic_of_groups_and_may_delete_it() {
    let (_broker, mut connection) = broker_with_groups(&[]);
    let refused = ask::produce(&mut connection, "__consumer_offsets", 0, &ask::batch_of(&["value"]));
    assert_eq!(refused.error_code, ErrorCode::InvalidTopicException.code());
    let joined = sole_member(&mut connection, "g");
    delete_topic(&mut connection, "__consumer_offsets");
    assert_eq!(heartbeat(&mut connection, 4, "g", &joined), ErrorCode::NotCoordinator.code());
    assert_eq!(find_coordinator(&mut connection, 6, "g", 0).0, NONE, "it is made again");
    assert_eq!(heartbeat(&mut connection, 4, "g", &joined), ErrorCode::UnknownMemberId.code());
    sole_member(&mut connection, "g");
}

/// `tests/fixtures`: a directory that Apache Kafka 4.3.0 wrote, and what its admin client said of its groups.
#[test]
fn groups_of_a_directory_that_apache_kafka_wrote_go_on() {
    for name in ["clean", "killed"] {
        let directory = broker::fresh_dir();
        let open = |file: String| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
            flate2::read::GzDecoder::new(fs::File::open(path).unwrap())
        };
        tar::Archive::new(open(format!("{name}.tar.gz"))).unpack(directory.path()).unwrap();
        let mut manifest = String::new();
        open(format!("{name}.manifest.jsonl.gz")).read_to_string(&mut manifest).unwrap();
        let broker = Broker::start_in(directory.path(), &["--node-id", "1"]);
        let mut connection = broker.connect(0);
        let mut groups = 0;
        for told in manifest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
            let (true, Some(offsets)) = (told["kind"] == "group", told["offsets"].as_object()) else { continue };
            let expected: BTreeMap<String, i64> =
                offsets.iter().map(|(partition, offset)| (partition.clone(), offset["offset"].as_i64().unwrap())).collect();
            let id = told["group"].as_str().unwrap();
            committed(&mut connection, id);
            let wanted = OffsetFetchRequestGroup::default().with_group_id(group(id)).with_topics(None);
            let answer = connection.ask(9, &OffsetFetchRequest::default().with_groups(vec![wanted]));
            let found = answer.groups[0].topics.iter().flat_map(|topic| {
                let named = |index: i32| format!("{}-{index}", topic.name.as_str());
                topic.partitions.iter().map(move |partition| (named(partition.partition_index), partition.committed_offset))
            });
            assert_eq!(found.collect::<BTreeMap<_, _>>(), expected, "{name}: {id}");
            groups += 1;
        }
        assert!(groups >= 5, "{name}: {groups} groups");
    }
}

fn delete_topic(connection: &mut Connection, name: &str) {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![ask::topic_name(name)]).with_timeout_ms(30_000);
    assert_eq!(connection.ask(5, &request).responses[0].error_code, NONE);
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it() {
    let (_broker, mut connection) = broker_with_groups(&[]);
    ask::create_topic(&mut connection, "u", 1, &[]);
    assert_eq!(commit(&mut connection, 9, "g", None, 0, 7), NONE);
    delete_topic(&mut connection, "t");
    ask::create_topic(&mut connection, "t", 2, &[]);
    assert_eq!(committed(&mut connection, "g"), []);
}

#[test]
fn a_stop_waits_for_no_core_that_has_ended() {
    // Each core has a partition; only one has a client, whose fetch waits for both.
    let (mut broker, mut connection) = broker_with_groups(&["--cores", "0,1,0,1"]);
    ask::create_topic(&mut connection, "u", 4, &[]);
    let partition = |index| FetchPartition::default().with_partition(index).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(ask::topic_name("u")).with_partitions((0..4).map(partition).collect());
    let request = FetchRequest::default().with_replica_id(BrokerId(-1)).with_max_bytes(1 << 20);
    connection.send(12, &request.with_max_wait_ms(30_000).with_min_bytes(1).with_topics(vec![topic]));
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    broker.signal("TERM");
    assert_eq!(connection.receive::<FetchRequest>(12).error_code, NONE);
    broker.stop();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// The codes of Kafka 4.3's coordinator for what no sound client sends.
#[test]
fn bad_input_gets_kafkas_codes_and_harms_nobody() {
    let (broker, mut connection) = broker_with_groups(&[]);
    let member = sole_member(&mut connection, "g");
    let code = |error: ErrorCode| error.code();
    // The other core than the connection's, as well as its own.
    for core in 0..2 {
        let connection = &mut broker.connect(core);
        let refused_join = |connection: &mut Connection, request: &JoinGroupRequest| connection.ask(9, request).error_code;
        assert_eq!(refused_join(connection, &join_request(9, "", "")), code(ErrorCode::InvalidGroupId));
        for timeout_ms in [i32::MIN, -1, 0, 5_999, 1_800_001, i32::MAX] {
            let request = join_request(9, "g", "").with_session_timeout_ms(timeout_ms);
            assert_eq!(refused_join(connection, &request), code(ErrorCode::InvalidSessionTimeout), "{timeout_ms}");
        }
        assert_eq!(refused_join(connection, &join_request(9, "g", "nobody")), code(ErrorCode::UnknownMemberId));
        assert_eq!(refused_join(connection, &join_request(9, "unknown", "nobody")), code(ErrorCode::UnknownMemberId));
        let instance = join_request(9, "g", "nobody").with_group_instance_id(Some(text("i")));
        assert_eq!(refused_join(connection, &instance), code(ErrorCode::UnknownMemberId));
        for wrong in [
            join_request(9, "g", "").with_protocol_type(text("connect")),
            join_request(9, "g", "").with_protocols(Vec::new()),
            join_request(9, "fresh", "").with_protocols(Vec::new()),
            join_request(9, "fresh", "").with_protocol_type(text("")),
        ] {
            assert_eq!(refused_join(connection, &wrong), code(ErrorCode::InconsistentGroupProtocol));
        }

        let stale = member.clone().with_generation_id(member.generation_id - 1);
        let future = member.clone().with_generation_id(i32::MAX);
        let stranger = member.clone().with_member_id(text("nobody"));
        for (wrong, error) in
            [(&stale, ErrorCode::IllegalGeneration), (&future, ErrorCode::IllegalGeneration), (&stranger, ErrorCode::UnknownMemberId)]
        {
            assert_eq!(heartbeat(connection, 4, "g", wrong), code(error));
            assert_eq!(sync(connection, 5, "g", wrong, &[]).error_code, code(error));
            assert_eq!(commit(connection, 9, "g", Some(wrong), 0, 1), code(error));
        }
        assert_eq!(heartbeat(connection, 4, "unknown", &member), code(ErrorCode::UnknownMemberId));
        assert_eq!(sync(connection, 5, "unknown", &member, &[]).error_code, code(ErrorCode::UnknownMemberId));
        assert_eq!(commit(connection, 9, "unknown", Some(&member), 0, 1), code(ErrorCode::GroupIdNotFound));
        assert_eq!(commit(connection, 8, "unknown", Some(&member), 0, 1), code(ErrorCode::IllegalGeneration));
        assert_eq!(commit(connection, 9, "g", None, 0, 1), code(ErrorCode::UnknownMemberId), "a group with members takes no simple commit");
        assert_eq!(leave(connection, 5, "unknown", "nobody"), code(ErrorCode::UnknownMemberId));
        assert_eq!(leave(connection, 5, "g", "nobody"), code(ErrorCode::UnknownMemberId));

        assert_eq!(heartbeat(connection, 4, "", &member), code(ErrorCode::InvalidGroupId));
        assert_eq!(sync(connection, 5, "", &member, &[]).error_code, code(ErrorCode::InvalidGroupId));
        assert_eq!(connection.ask(5, &LeaveGroupRequest::default()).error_code, code(ErrorCode::InvalidGroupId));
        assert_eq!(connection.ask(0, &OffsetDeleteRequest::default()).error_code, code(ErrorCode::InvalidGroupId));
        // Simple consumers have always been allowed to have no group id.
        assert_eq!(commit(connection, 9, "", None, 0, 1), NONE);
        assert_eq!(fetch_offsets(connection, 9, "", None), (NONE, vec![(0, 1)]));
    }
    assert_eq!(heartbeat(&mut connection, 4, "g", &member), NONE, "the member noticed nothing");
}

#[test]
fn metadata_of_offsets_has_a_limit_and_the_others_are_committed() {
    let (_broker, mut connection) = broker_with_groups(&["--set", "offset.metadata.max.bytes=10"]);
    let partition = |index: i32, metadata: &str| {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(7);
        partition.with_committed_metadata(Some(text(metadata)))
    };
    let partitions = vec![partition(0, "01234567890"), partition(1, "0123456789")];
    let topic = OffsetCommitRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(partitions);
    let request = OffsetCommitRequest::default().with_group_id(group("g")).with_generation_id_or_member_epoch(-1).with_topics(vec![topic]);
    let codes: Vec<i16> = connection.ask(9, &request).topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [ErrorCode::OffsetMetadataTooLarge.code(), NONE]);
    assert_eq!(committed(&mut connection, "g"), [(1, 7)]);
}

#[test]
fn a_full_group_turns_further_members_away_until_one_leaves() {
    let (broker, mut first) = broker_with_groups(&["--set", "group.max.size=1"]);
    let member = sole_member(&mut first, "g");
    let mut second = broker.connect(1);
    assert_eq!(join(&mut second, 9, "g", "").error_code, ErrorCode::GroupMaxSizeReached.code());
    assert_eq!(join(&mut second, 3, "g", "").error_code, ErrorCode::GroupMaxSizeReached.code());
    assert_eq!(heartbeat(&mut first, 4, "g", &member), NONE);
    assert_eq!(leave(&mut first, 5, "g", &member.member_id), NONE);
    assert_eq!(join(&mut second, 9, "g", "").error_code, NONE);
}

#[test]
fn an_assignment_that_is_none_goes_its_way_and_one_too_large_is_refused() {
    let (_broker, mut connection) = broker_with_groups(&[]);
    // Kafka does not look into it either: a leader may assign what it likes.
    let joined = join(&mut connection, 9, "g", "");
    let id = joined.member_id.to_string();
    let garbage: &'static [u8] = &[0xff; 100];
    assert_eq!(&sync(&mut connection, 5, "g", &joined, &[(&id, garbage), ("nobody", b"lost")]).assignment[..], garbage);
    assert_eq!(&describe(&mut connection, 6, "g").groups[0].members[0].member_assignment[..], garbage);
    assert_eq!(commit(&mut connection, 9, "g", Some(&joined), 0, 3), NONE);
    // Subscriptions that cannot be read may be of any topic, so no offset may be deleted under them.
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(vec![partition]);
    let deleted = connection.ask(0, &OffsetDeleteRequest::default().with_group_id(group("g")).with_topics(vec![topic]));
    assert_eq!(deleted.topics[0].partitions[0].error_code, ErrorCode::GroupSubscribedToTopic.code());

    // A group is one record, and max.message.bytes bounds it: the sync fails, the group goes on.
    let joined = join(&mut connection, 9, "large", "");
    let id = joined.member_id.to_string();
    let large: &'static [u8] = Box::leak(vec![1; 2 << 20].into_boxed_slice());
    let refused = sync(&mut connection, 5, "large", &joined, &[(&id, large)]);
    assert_eq!((refused.error_code, refused.assignment.len()), (ErrorCode::UnknownServerError.code(), 0));
    assert_eq!(heartbeat(&mut connection, 4, "large", &joined), ErrorCode::RebalanceInProgress.code());
    let joined = join(&mut connection, 9, "large", &id);
    assert_eq!((joined.error_code, joined.generation_id), (NONE, 2));
    assert_eq!(&sync(&mut connection, 5, "large", &joined, &[(&id, b"small")]).assignment[..], b"small");
}
