//! Groups of the consumer protocol (KIP-848) through the built broker: members join, share, give up and go in every version;
//! what was agreed outlives stops; mistakes are told.
//!
//! `kafka-protocol` reads the answers and knows for each version what may stand there.

mod broker;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest,
    DescribeGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest, TopicName,
};
use pagewire::base::ErrorCode;
use uuid::Uuid;

use broker::ask::{newest, served, text};
use broker::{Broker, Connection, PATIENCE, ask};

const NONE: i16 = 0;
const QUICK: [&str; 6] = [
    "--set",
    "offsets.topic.num.partitions=4",
    "--set",
    "group.consumer.min.session.timeout.ms=1000",
    "--set",
    "group.consumer.min.heartbeat.interval.ms=100",
];

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// A broker with a topic "t" of four partitions and the topic of groups.
fn broker_with_groups(arguments: &[&str]) -> (Broker, Connection) {
    let broker = Broker::start(&[&QUICK, arguments].concat());
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 4, &[]);
    let found = connection.ask(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]));
    assert_eq!(found.coordinators[0].error_code, NONE);
    (broker, connection)
}

fn joining(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(member))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
        .with_topic_partitions(Some(Vec::new()))
}

fn beating(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default().with_group_id(group("g")).with_member_id(text(member)).with_member_epoch(epoch)
}

fn beat(connection: &mut Connection, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    connection.ask(newest::<ConsumerGroupHeartbeatRequest>(), request)
}

/// A member of the test: it does what it is told, at once.
struct Member {
    id: String,
    epoch: i32,
    topic: Uuid,
    owned: BTreeSet<i32>,
}

impl Member {
    fn join(connection: &mut Connection, id: &str) -> Member {
        let mut member = Member { id: id.into(), epoch: 0, topic: Uuid::nil(), owned: BTreeSet::new() };
        let answer = beat(connection, &joining(id));
        member.heed(&answer);
        member
    }

    fn beat(&mut self, connection: &mut Connection) {
        let partitions = self.owned.iter().copied().collect();
        let owned = match self.owned.is_empty() {
            true => Vec::new(),
            false => vec![TopicPartitions::default().with_topic_id(self.topic).with_partitions(partitions)],
        };
        let answer = beat(connection, &beating(&self.id, self.epoch).with_topic_partitions(Some(owned)));
        self.heed(&answer);
    }

    fn heed(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(answer.error_code, NONE, "{:?}", answer.error_message);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            self.topic = assignment.topic_partitions.first().map_or(self.topic, |topic| topic.topic_id);
            self.owned = assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect();
        }
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn state(connection: &mut Connection) -> String {
    let answer = connection.ask(1, &ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("g")]));
    answer.groups[0].group_state.to_string()
}

fn commit(connection: &mut Connection, member: &str, epoch: i32, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![topic]);
    connection.ask(9, &request).topics[0].partitions[0].error_code
}

fn fetch_offsets(connection: &mut Connection, member: Option<&str>, epoch: i32) -> (i16, Vec<i64>) {
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group("g"))
        .with_member_id(member.map(text))
        .with_member_epoch(epoch)
        .with_topics(None);
    let answer = connection.ask(9, &OffsetFetchRequest::default().with_groups(vec![asked]));
    let found = answer.groups[0].topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.committed_offset);
    (answer.groups[0].error_code, found.collect())
}

#[test]
fn a_member_goes_its_way_in_every_version() {
    let (_broker, mut connection) = broker_with_groups(&[]);
    for version in served::<ConsumerGroupHeartbeatRequest>() {
        let own_id = if version == 0 { "" } else { "member" };
        let joined = connection.ask(version, &joining(own_id));
        assert_eq!(joined.error_code, NONE, "version {version}");
        let id = joined.member_id.clone().unwrap();
        assert!(!id.is_empty() && joined.heartbeat_interval_ms == 5_000 && joined.member_epoch > 0);
        let topics = joined.assignment.unwrap().topic_partitions;
        assert_eq!(topics[0].partitions, [0, 1, 2, 3]);
        let again = connection.ask(version, &beating(&id, joined.member_epoch));
        assert_eq!((again.error_code, again.assignment), (NONE, None), "version {version}");

        for describe in served::<ConsumerGroupDescribeRequest>() {
            let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("g"), group("absent")]);
            let answer = connection.ask(describe, &request);
            let [described, absent] = &answer.groups[..] else { panic!("two groups were asked for") };
            assert_eq!((described.error_code, described.group_state.as_str()), (NONE, "Stable"));
            assert_eq!((described.assignor_name.as_str(), described.group_epoch), ("uniform", described.assignment_epoch));
            let [member] = &described.members[..] else { panic!("there is one member") };
            assert_eq!((&member.member_id, member.member_epoch), (&id, joined.member_epoch));
            assert_eq!(member.assignment, member.target_assignment);
            assert_eq!(member.assignment.topic_partitions[0].topic_name.as_str(), "t");
            assert_eq!(member.member_type, if describe >= 1 { 1 } else { -1 });
            assert_eq!(absent.error_code, ErrorCode::GroupIdNotFound.code());
            assert_eq!(absent.error_message.as_deref(), Some("Group absent not found."));
        }
        let left = connection.ask(version, &beating(&id, -1));
        assert_eq!((left.error_code, left.member_epoch), (NONE, -1));
        assert_eq!(state(&mut connection), "Empty");
    }
}

#[test]
fn the_protocol_is_announced() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    for version in 3..=4 {
        let request = ApiVersionsRequest::default().with_client_software_name(text("test")).with_client_software_version(text("1"));
        let answer = connection.ask(version, &request);
        assert_eq!(answer.finalized_features[0].name.as_str(), "group.version");
        assert_eq!((answer.finalized_features[0].max_version_level, answer.finalized_features_epoch), (1, 0));
        assert_eq!(answer.supported_features[0].max_version, 1);
    }
}

#[test]
fn members_share_through_any_core_and_give_up_before_others_take() {
    let (broker, mut first) = broker_with_groups(&["--cores", "0,0"]);
    let mut second = broker.connect(1);
    let mut a = Member::join(&mut first, "a");
    assert_eq!(a.owned.len(), 4);
    let mut b = Member::join(&mut second, "b");
    assert!(b.owned.is_empty(), "everything is still with a");
    wait_until("both to have a share", || {
        a.beat(&mut first);
        b.beat(&mut second);
        assert!(a.owned.is_disjoint(&b.owned), "{:?} and {:?}", a.owned, b.owned);
        a.owned.len() == 2 && b.owned.len() == 2
    });
    ask::create_topic(&mut first, "u", 1, &[]);
    assert_eq!(beat(&mut second, &beating("b", -1)).error_code, NONE);
    wait_until("a to have all again", || {
        a.beat(&mut first);
        a.owned.len() == 4
    });
}

#[test]
fn a_silent_member_is_given_up() {
    let (_broker, mut connection) = broker_with_groups(&["--set", "group.consumer.session.timeout.ms=1000"]);
    Member::join(&mut connection, "a");
    wait_until("the member to be gone", || state(&mut connection) == "Empty");
    assert_eq!(beat(&mut connection, &beating("a", 1)).error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn groups_outlive_a_clean_stop_and_a_kill() {
    for kill in [false, true] {
        let (mut broker, mut connection) = broker_with_groups(&[]);
        let mut a = Member::join(&mut connection, "a");
        let mut b = Member::join(&mut connection, "b");
        a.beat(&mut connection);
        assert_eq!(commit(&mut connection, "a", a.epoch, 7), NONE);
        if kill {
            broker.kill();
        } else {
            broker.stop();
        }
        broker.start_again(&QUICK);
        let mut connection = broker.connect(0);
        wait_until("the group to be loaded", || {
            let answer = beat(&mut connection, &beating("b", b.epoch));
            answer.error_code == NONE || panic_unless_loading(answer.error_code)
        });
        wait_until("both to have a share", || {
            a.beat(&mut connection);
            b.beat(&mut connection);
            assert!(a.owned.is_disjoint(&b.owned));
            a.owned.len() == 2 && b.owned.len() == 2
        });
        assert_eq!(fetch_offsets(&mut connection, None, -1), (NONE, vec![7]));
    }
}

fn panic_unless_loading(code: i16) -> bool {
    let passing = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator].map(ErrorCode::code);
    assert!(passing.contains(&code), "error {code}");
    false
}

#[test]
fn a_regular_expression_finds_topics_that_come_later() {
    let (_broker, mut connection) = broker_with_groups(&[]);
    let request = joining("a").with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("t|later-[0-9]+")));
    let mut a = Member { id: "a".into(), epoch: 0, topic: Uuid::nil(), owned: BTreeSet::new() };
    let answer = beat(&mut connection, &request);
    a.heed(&answer);
    wait_until("the topic that is there", || {
        a.beat(&mut connection);
        a.owned.len() == 4
    });
    ask::create_topic(&mut connection, "later-1", 9, &[]);
    ask::create_topic(&mut connection, "not-later-1", 9, &[]);
    wait_until("the topic that came", || {
        let answer = beat(&mut connection, &beating("a", a.epoch));
        assert_eq!(answer.error_code, NONE);
        a.epoch = answer.member_epoch;
        answer.assignment.is_some_and(|assignment| {
            let counts: BTreeSet<usize> = assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).collect();
            counts == BTreeSet::from([4, 9])
        })
    });
}

#[test]
fn other_requests_know_groups_of_this_protocol() {
    // One core, or the group might be another broker's to list.
    let (_broker, mut connection) = broker_with_groups(&["--cores", "0"]);
    let a = Member::join(&mut connection, "a");
    for version in served::<ListGroupsRequest>() {
        let listed = connection.ask(version, &ListGroupsRequest::default()).groups;
        let [listed] = &listed[..] else { panic!("there is one group") };
        assert_eq!((listed.group_id.as_str(), listed.protocol_type.as_str()), ("g", "consumer"));
        assert_eq!(listed.group_state.as_str(), if version >= 4 { "Stable" } else { "" });
        assert_eq!(listed.group_type.as_str(), if version >= 5 { "consumer" } else { "" });
    }
    let filtered = |states: &str, types: &str| {
        ListGroupsRequest::default().with_states_filter(vec![text(states)]).with_types_filter(vec![text(types)])
    };
    assert_eq!(connection.ask(5, &filtered("stable", "Consumer")).groups.len(), 1);
    assert_eq!(connection.ask(5, &filtered("stable", "classic")).groups.len(), 0);
    assert_eq!(connection.ask(5, &filtered("assigning", "consumer")).groups.len(), 0);

    let described = connection.ask(6, &DescribeGroupsRequest::default().with_groups(vec![group("g")]));
    assert_eq!(described.groups[0].error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(described.groups[0].error_message.as_deref(), Some("Group g is not a classic group."));
    let described = connection.ask(5, &DescribeGroupsRequest::default().with_groups(vec![group("g")]));
    assert_eq!((described.groups[0].error_code, described.groups[0].group_state.as_str()), (NONE, "Dead"));

    assert_eq!(commit(&mut connection, "a", a.epoch + 1, 7), ErrorCode::StaleMemberEpoch.code());
    assert_eq!(commit(&mut connection, "b", a.epoch, 7), ErrorCode::UnknownMemberId.code());
    assert_eq!(commit(&mut connection, "a", a.epoch, 7), NONE);
    assert_eq!(fetch_offsets(&mut connection, Some("a"), a.epoch), (NONE, vec![7]));
    assert_eq!(fetch_offsets(&mut connection, Some("a"), a.epoch + 1).0, ErrorCode::StaleMemberEpoch.code());
    assert_eq!(fetch_offsets(&mut connection, Some("b"), a.epoch).0, ErrorCode::UnknownMemberId.code());

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("g")]);
    assert_eq!(connection.ask(2, &delete).results[0].error_code, ErrorCode::NonEmptyGroup.code());
    assert_eq!(beat(&mut connection, &beating("a", -1)).error_code, NONE);
    assert_eq!(connection.ask(2, &delete).results[0].error_code, NONE);
    assert_eq!(connection.ask(2, &delete).results[0].error_code, ErrorCode::GroupIdNotFound.code());
}

#[test]
fn mistakes_are_told() {
    let (_broker, mut connection) = broker_with_groups(&["--set", "group.consumer.max.size=1"]);
    let absent = beat(&mut connection, &beating("a", 1));
    assert_eq!(absent.error_code, ErrorCode::GroupIdNotFound.code());
    Member::join(&mut connection, "a");
    let long = "x".repeat(40_000);
    let cases = [
        (joining("b"), ErrorCode::GroupMaxSizeReached),
        (joining("a").with_group_id(group("")), ErrorCode::InvalidRequest),
        (joining(""), ErrorCode::InvalidRequest),
        (joining("a").with_member_epoch(i32::MIN), ErrorCode::InvalidRequest),
        (joining("a").with_rebalance_timeout_ms(-1), ErrorCode::InvalidRequest),
        (joining("a").with_topic_partitions(None), ErrorCode::InvalidRequest),
        (joining("a").with_subscribed_topic_names(None), ErrorCode::InvalidRequest),
        (joining("a").with_server_assignor(Some(text("sticky"))), ErrorCode::UnsupportedAssignor),
        (joining("a").with_subscribed_topic_regex(Some(text("["))), ErrorCode::InvalidRegularExpression),
        (beating("a", 9), ErrorCode::FencedMemberEpoch),
        (beating("a", i32::MAX), ErrorCode::FencedMemberEpoch),
        (beating("b", 1), ErrorCode::GroupMaxSizeReached),
        (beating("a", 1).with_instance_id(Some(text("i"))), ErrorCode::UnknownMemberId),
        (joining(&long), ErrorCode::UnknownMemberId),
        (joining("a").with_group_id(group(&long)), ErrorCode::InvalidGroupId),
    ];
    for (request, code) in cases {
        let answer = beat(&mut connection, &request);
        assert_eq!(answer.error_code, code.code(), "{:.300}", format!("{request:?}"));
        assert_eq!(answer.assignment, None);
    }
    assert_eq!(beat(&mut connection, &beating("a", 1)).error_code, NONE, "the group is as it was");
}

#[test]
fn a_regular_expression_that_takes_long_to_read_holds_nobody_up() {
    let (broker, mut connection) = broker_with_groups(&["--cores", "0"]);
    let heavy = format!("(?i){}", r"\pL".repeat(1300));
    let request = joining("a").with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(&heavy)));
    connection.send(newest::<ConsumerGroupHeartbeatRequest>(), &request);
    let mut other = broker.connect(0);
    assert_eq!(other.ask(0, &ApiVersionsRequest::default()).error_code, NONE);
    connection.stream.set_nonblocking(true).unwrap();
    let answer_so_far = connection.stream.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(answer_so_far, Err(std::io::ErrorKind::WouldBlock), "the other connection was answered first");
    connection.stream.set_nonblocking(false).unwrap();
    let answer = connection.receive::<ConsumerGroupHeartbeatRequest>(newest::<ConsumerGroupHeartbeatRequest>());
    assert_eq!(answer.error_code, ErrorCode::InvalidRegularExpression.code());
}
