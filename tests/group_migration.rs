//! Groups with members of both protocols through the built broker (KIP-848, online migration): a classic group takes in a member of
//! the consumer protocol, outlives a kill, and is a classic one again when that member leaves.

mod broker;

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DescribeGroupsRequest,
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use pagewire::base::ErrorCode;

use broker::ask::served;
use broker::{Broker, Connection, PATIENCE, ask};

const NONE: i16 = 0;
const REJOIN: i16 = 27;
const SETTINGS: [&str; 4] = ["--set", "offsets.topic.num.partitions=4", "--set", "group.initial.rebalance.delay.ms=0"];
/// A subscription of version 1 to topic "t" that owns nothing.
const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\0";
/// An assignment of version 1: all four partitions of "t".
const EVERYTHING: &[u8] = b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\xff\xff\xff\xff";

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn group() -> GroupId {
    GroupId(text("g"))
}

fn start(arguments: &[&str]) -> (Broker, Connection) {
    let broker = Broker::start(&[&SETTINGS, arguments].concat());
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 4, &[]);
    let found = connection.ask(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]));
    assert_eq!(found.coordinators[0].error_code, NONE);
    (broker, connection)
}

fn join(connection: &mut Connection, version: i16, member: &str) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(SUBSCRIPTION));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_session_timeout_ms(30_000)
        .with_protocols(vec![protocol]);
    let request = if version >= 1 { request.with_rebalance_timeout_ms(60_000) } else { request };
    let answer = connection.ask(version, &request);
    match answer.error_code == ErrorCode::MemberIdRequired.code() {
        true => connection.ask(version, &request.with_member_id(answer.member_id)),
        false => answer,
    }
}

/// The assignment's bytes.
fn sync(connection: &mut Connection, version: i16, joined: &JoinGroupResponse) -> Bytes {
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    let request = match joined.leader == joined.member_id {
        true => {
            let all = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
            request.with_assignments(vec![all.with_assignment(Bytes::from_static(EVERYTHING))])
        }
        false => request,
    };
    let request = match version {
        5.. => request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range"))),
        _ => request,
    };
    let answer = connection.ask(version, &request);
    assert_eq!(answer.error_code, NONE);
    answer.assignment
}

fn heart(connection: &mut Connection, joined: &JoinGroupResponse) -> i16 {
    let request = HeartbeatRequest::default().with_group_id(group()).with_generation_id(joined.generation_id);
    connection.ask(4, &request.with_member_id(joined.member_id.clone())).error_code
}

fn beat(connection: &mut Connection, epoch: i32) -> ConsumerGroupHeartbeatResponse {
    let request = ConsumerGroupHeartbeatRequest::default().with_group_id(group()).with_member_id(text("new")).with_member_epoch(epoch);
    let request = match epoch {
        0 => request
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
            .with_topic_partitions(Some(Vec::new())),
        _ => request,
    };
    connection.ask(*served::<ConsumerGroupHeartbeatRequest>().end(), &request)
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A heartbeat cannot tell: while a group is being read it is answered with no error, whoever sent it.
fn wait_until_loaded(connection: &mut Connection) {
    let describe = DescribeGroupsRequest::default().with_groups(vec![group()]);
    wait_until("the group to be loaded", || {
        let error = connection.ask(5, &describe).groups.remove(0).error_code;
        assert!([NONE, ErrorCode::CoordinatorLoadInProgress.code(), ErrorCode::NotCoordinator.code()].contains(&error), "error {error}");
        error == NONE
    });
}

fn told(answer: &ConsumerGroupHeartbeatResponse) -> usize {
    answer.assignment.iter().flat_map(|assignment| &assignment.topic_partitions).map(|topic| topic.partitions.len()).sum()
}

#[test]
fn a_group_goes_over_with_its_member_and_comes_back() {
    let (mut broker, mut connection) = start(&[]);
    let old = join(&mut connection, 9, "");
    assert_eq!((old.error_code, old.generation_id), (NONE, 1));
    assert_eq!(sync(&mut connection, 5, &old), EVERYTHING);

    // The new one waits for what the old one gives up.
    let new = beat(&mut connection, 0);
    assert_eq!((new.error_code, new.member_epoch, told(&new)), (NONE, 2, 0), "{:?}", new.error_message);
    assert_eq!(heart(&mut connection, &old), REJOIN);
    let again = join(&mut connection, 9, &old.member_id);
    assert_eq!((again.error_code, again.generation_id, again.leader.as_str(), again.members.len()), (NONE, 2, "", 0));
    assert_eq!((again.protocol_type.as_deref(), again.protocol_name.as_deref()), (Some("consumer"), Some("range")));
    let part = sync(&mut connection, 5, &again);
    assert_eq!((part.len(), &part[..11]), (EVERYTHING.len() - 8, &b"\0\x01\0\0\0\x01\0\x01t\0\0"[..]), "two partitions, in its version");
    assert_eq!(heart(&mut connection, &again), NONE);
    assert_eq!(told(&beat(&mut connection, 2)), 2);

    let describe = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let described = connection.ask(1, &describe).groups.remove(0);
    let mut kinds: Vec<i8> = described.members.iter().map(|member| member.member_type).collect();
    kinds.sort_unstable();
    assert_eq!((described.group_epoch, kinds), (2, vec![0, 1]));

    // All of it is in the log.
    broker.kill();
    broker.start_again(&SETTINGS);
    let mut connection = broker.connect(0);
    wait_until_loaded(&mut connection);
    assert_eq!(heart(&mut connection, &again), NONE);
    assert_eq!(beat(&mut connection, 2).error_code, NONE);

    // The last one of the new protocol goes, and the old one leads a classic group again.
    assert_eq!(beat(&mut connection, -1).error_code, NONE);
    assert_eq!(heart(&mut connection, &again), REJOIN);
    let described = connection.ask(5, &DescribeGroupsRequest::default().with_groups(vec![group()])).groups.remove(0);
    assert_eq!((described.group_state.as_str(), described.members.len()), ("PreparingRebalance", 1));
    let leading = join(&mut connection, 9, &old.member_id);
    assert_eq!((leading.error_code, leading.generation_id, &leading.leader), (NONE, 3, &old.member_id));
    assert_eq!(sync(&mut connection, 5, &leading), EVERYTHING);
    broker.kill();
    broker.start_again(&SETTINGS);
    let mut connection = broker.connect(0);
    wait_until_loaded(&mut connection);
    assert_eq!(heart(&mut connection, &leading), NONE);
}

#[test]
fn every_version_of_the_classic_protocol_is_answered_in_a_consumer_group() {
    let (_broker, mut connection) = start(&[]);
    assert_eq!(beat(&mut connection, 0).error_code, NONE);
    for version in served::<JoinGroupRequest>() {
        let joined = join(&mut connection, version, "");
        assert_eq!((joined.error_code, joined.leader.as_str()), (NONE, ""), "version {version}");
        sync(&mut connection, version.min(*served::<SyncGroupRequest>().end()), &joined);
    }
}

#[test]
fn a_policy_keeps_groups_as_they_are() {
    let (_broker, mut connection) = start(&["--set", "group.consumer.migration.policy=disabled"]);
    let old = join(&mut connection, 9, "");
    sync(&mut connection, 5, &old);
    assert_eq!(beat(&mut connection, 0).error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(heart(&mut connection, &old), NONE);
}
