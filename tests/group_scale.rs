//! Large groups and many groups: a rebalance of everybody goes through, and each member, group and offset costs little memory.
//!
//! `TEST_MEMBERS`, `TEST_PARTITIONS`, `TEST_REBALANCES`, `TEST_GROUPS` and `TEST_OFFSETS` ask for the full size (`scripts/soak` does);
//! `docs/measurements.md` has what came out.

mod broker;

use std::collections::BTreeSet;
use std::time::Instant;

use broker::members::{self, Member, assignment, finish_rebalance, group_id, heartbeat, join_first, send_joins};
use broker::{Broker, Connection, PATIENCE, ask};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, DescribeGroupsRequest, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;
use pagewire::base::ErrorCode;

const DESCRIBE_GROUPS: i16 = 5;
const OFFSET_COMMIT: i16 = 9;
const CONSUMER_GROUP_HEARTBEAT: i16 = 1;
/// Anonymous memory of the broker. Generous: a page here and there is the allocator's.
const MEMBER_BYTES_MAX: u64 = 32 << 10;
/// What the allocator and the broker's own threads may take meanwhile, however many members there are.
const UNRELATED_BYTES_MAX: u64 = 8 << 20;
const GROUP_BYTES_MAX: u64 = 32 << 10;
const OFFSET_BYTES_MAX: u64 = 1 << 10;
/// Members of the consumer protocol that go and come back in one rebalance: one in so many.
const GOING_ONE_IN: usize = 10;

fn asked(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Commits an offset of each of these partitions of "t".
fn commit(connection: &mut Connection, group: &str, member: (&StrBytes, i32), partitions: impl Iterator<Item = i32>) {
    let partition = |index| {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(i64::from(index));
        partition.with_committed_metadata(Some(StrBytes::default()))
    };
    let topic = OffsetCommitRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(partitions.map(partition).collect());
    let (id, generation) = member;
    let request = OffsetCommitRequest::default().with_group_id(group_id(group)).with_generation_id_or_member_epoch(generation);
    let answer = connection.ask(OFFSET_COMMIT, &request.with_member_id(id.clone()).with_topics(vec![topic]));
    assert!(answer.topics.iter().flat_map(|topic| &topic.partitions).all(|partition| partition.error_code == 0), "{answer:?}");
}

/// A first group, so that what the broker makes once is not weighed.
fn warm_up(broker: &Broker, count: usize) {
    let mut members = join_first((0..count).map(|number| broker.connect(number % 2)).collect(), "first");
    finish_rebalance(&mut members, "first", |number| assignment("t", number as i32..number as i32 + 1));
    for Member { connection, id, generation, .. } in &mut members {
        commit(connection, "first", (id, *generation), 0..1);
    }
}

/// What the broker holds more than before, for each of `count`.
fn bytes_each(broker: &Broker, before: u64, count: usize) -> u64 {
    broker.anonymous_bytes().saturating_sub(before) / count as u64
}

#[test]
fn a_large_group_forms_rebalances_and_commits() {
    const GROUP: &str = "large";
    let (count, partitions) = (asked("TEST_MEMBERS", 100), asked("TEST_PARTITIONS", 1000));
    let share_of = |number: usize| (number * partitions / count) as i32..((number + 1) * partitions / count) as i32;
    let share = |number: usize| assignment("t", share_of(number));

    let broker = Broker::start(&["--set", "group.initial.rebalance.delay.ms=0", "--set", "offsets.topic.num.partitions=2"]);
    let mut connection = broker.connect(0);
    let created_ms = create(&mut connection, partitions);
    members::await_coordinator(&mut connection, GROUP);
    let mut connections: Vec<Connection> = (0..count).map(|number| broker.connect(number % 2)).collect();
    connections.iter_mut().for_each(|connection| members::await_coordinator(connection, GROUP));
    warm_up(&broker, 10);

    let before = broker.anonymous_bytes();
    let mut members = join_first(connections, GROUP);
    finish_rebalance(&mut members, GROUP, share);
    let member_bytes = bytes_each(&broker, before, count);
    assert!(member_bytes < MEMBER_BYTES_MAX + UNRELATED_BYTES_MAX / count as u64, "{member_bytes} bytes per member");

    for (number, Member { connection, id, generation, .. }) in members.iter_mut().enumerate() {
        commit(connection, GROUP, (id, *generation), share_of(number));
    }
    let all_ms: Vec<u128> = (0..asked("TEST_REBALANCES", 2)).map(|_| rebalance(&mut members, GROUP, share)).collect();
    assert!(members.iter_mut().all(|member| heartbeat(member, GROUP) == 0));
    let described = connection.ask(DESCRIBE_GROUPS, &DescribeGroupsRequest::default().with_groups(vec![group_id(GROUP)]));
    assert_eq!((described.groups[0].group_state.as_str(), described.groups[0].members.len()), ("Stable", count));
    eprintln!(
        "{count} members, {partitions} partitions (made in {created_ms} ms): rebalanced in {all_ms:?} ms; {member_bytes} bytes of memory per member"
    );
}

/// Makes topic "t" with so many partitions: milliseconds.
fn create(connection: &mut Connection, partitions: usize) -> u128 {
    let begun = Instant::now();
    ask::create_topic(connection, "t", partitions as i32, &[]);
    begun.elapsed().as_millis()
}

/// Everybody rejoins and gets a share: milliseconds from the first JoinGroup to the last SyncGroup's answer.
fn rebalance(members: &mut [Member], group: &str, share: impl Fn(usize) -> bytes::Bytes) -> u128 {
    let described = members[0].connection.ask(DESCRIBE_GROUPS, &DescribeGroupsRequest::default().with_groups(vec![group_id(group)]));
    assert_eq!(described.groups[0].group_state.as_str(), "Stable");
    // A leader that rejoins starts a rebalance; from the others it would be a question for the generation that is.
    let leader = members.iter().position(|member| member.is_leader).expect("one of them leads");
    members.swap(0, leader);
    let begun = Instant::now();
    let (first, others) = members.split_at_mut(1);
    send_joins(first, group);
    while heartbeat(&mut others[0], group) != ErrorCode::RebalanceInProgress.code() {
        assert!(begun.elapsed() < PATIENCE, "the rebalance does not begin");
    }
    send_joins(others, group);
    finish_rebalance(members, group, share);
    begun.elapsed().as_millis()
}

/// A member of the consumer protocol, on a connection of its own.
struct NewMember {
    connection: Connection,
    id: String,
    epoch: i32,
    owned: Vec<i32>,
    told: Vec<i32>,
}

impl NewMember {
    fn new(connection: Connection, number: usize) -> NewMember {
        NewMember { connection, id: format!("member-{number}"), epoch: 0, owned: Vec::new(), told: Vec::new() }
    }

    /// One heartbeat, sent; it owns what it was told.
    fn send(&mut self, group: &str, topic_id: uuid::Uuid) {
        let request = ConsumerGroupHeartbeatRequest::default().with_group_id(group_id(group)).with_member_id(ask::text(&self.id));
        let request = match self.epoch {
            0 => request.with_rebalance_timeout_ms(60_000).with_subscribed_topic_names(Some(vec![ask::topic_name("t")])),
            _ => request,
        };
        self.owned.clone_from(&self.told);
        let owned = TopicPartitions::default().with_topic_id(topic_id).with_partitions(self.owned.clone());
        let owned = if self.owned.is_empty() { Vec::new() } else { vec![owned] };
        self.connection.send(CONSUMER_GROUP_HEARTBEAT, &request.with_member_epoch(self.epoch).with_topic_partitions(Some(owned)));
    }

    fn receive(&mut self) {
        let answer = self.connection.receive::<ConsumerGroupHeartbeatRequest>(CONSUMER_GROUP_HEARTBEAT);
        assert_eq!(answer.error_code, 0, "{}: {:?}", self.id, answer.error_message);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            self.told = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
        }
    }

    fn leave(&mut self, group: &str) {
        self.epoch = -1;
        self.send(group, uuid::Uuid::nil());
        self.connection.receive::<ConsumerGroupHeartbeatRequest>(CONSUMER_GROUP_HEARTBEAT);
        (self.epoch, self.told) = (0, Vec::new());
    }
}

/// Everybody sends heartbeats, as often as they are answered, until each partition has one owner and all are of one epoch: milliseconds and rounds.
fn settle(members: &mut [NewMember], group: &str, topic_id: uuid::Uuid, partitions: usize) -> (u128, usize) {
    let begun = Instant::now();
    for round in 1.. {
        members.iter_mut().for_each(|member| member.send(group, topic_id));
        members.iter_mut().for_each(NewMember::receive);
        let owned: BTreeSet<i32> = members.iter().flat_map(|member| member.owned.iter().copied()).collect();
        let count: usize = members.iter().map(|member| member.owned.len()).sum();
        assert_eq!(owned.len(), count, "a partition has two owners");
        if count == partitions && members.iter().all(|member| member.epoch == members[0].epoch) {
            return (begun.elapsed().as_millis(), round);
        }
        assert!(begun.elapsed() < PATIENCE, "{count} partitions have an owner after {round} rounds");
    }
    unreachable!("it counts for ever");
}

#[test]
fn a_large_group_of_the_consumer_protocol_rebalances() {
    const GROUP: &str = "large";
    let (count, partitions) = (asked("TEST_MEMBERS", 100), asked("TEST_PARTITIONS", 1000));
    let broker = Broker::start(&["--set", "offsets.topic.num.partitions=2"]);
    let mut connection = broker.connect(0);
    create(&mut connection, partitions);
    let topic_id = ask::describe(&mut connection, "t").topic_id;
    members::await_coordinator(&mut connection, GROUP);
    let mut members: Vec<NewMember> = (0..count).map(|number| NewMember::new(broker.connect(number % 2), number)).collect();
    let formed = settle(&mut members, GROUP, topic_id, partitions);

    let mut rebalances = Vec::new();
    for _ in 0..asked("TEST_REBALANCES", 2) {
        let (going, staying) = members.split_at_mut(count / GOING_ONE_IN);
        going.iter_mut().for_each(|member| member.leave(GROUP));
        let without = settle(staying, GROUP, topic_id, partitions);
        rebalances.extend([without, settle(&mut members, GROUP, topic_id, partitions)]);
    }
    eprintln!(
        "{count} members of the consumer protocol, {partitions} partitions: formed in {formed:?} (ms, rounds of heartbeats); one in {GOING_ONE_IN} \
         goes, comes back, …: {rebalances:?}"
    );
}

#[test]
fn many_groups_live_on_one_node() {
    let (groups, offsets) = (asked("TEST_GROUPS", 100), asked("TEST_OFFSETS", 10) as i32);
    let broker = Broker::start(&["--set", "group.initial.rebalance.delay.ms=0", "--set", "offsets.topic.num.partitions=2"]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", offsets, &[]);
    members::await_coordinator(&mut connection, "any");
    warm_up(&broker, 1);
    let names: Vec<String> = (0..groups).map(|number| format!("group-{number}")).collect();

    let before = broker.anonymous_bytes();
    let begun = Instant::now();
    let mut joined = Vec::new();
    for name in &names {
        // Alone in its group: its JoinGroup waits for nobody, so one connection serves all.
        let mut member = join_first(vec![connection], name);
        finish_rebalance(&mut member, name, |_| assignment("t", 0..offsets));
        let Member { connection: mut back, id, generation, .. } = member.pop().expect("there is one");
        commit(&mut back, name, (&id, generation), 0..offsets);
        joined.push((id, generation));
        connection = back;
    }
    let (ms, bytes) = (begun.elapsed().as_millis(), bytes_each(&broker, before, groups));
    let bytes_max = GROUP_BYTES_MAX + offsets as u64 * OFFSET_BYTES_MAX;
    assert!(bytes < bytes_max, "{bytes} bytes per group");
    for (name, (id, generation)) in names.iter().zip(joined) {
        let mut member = Member { connection, id, generation, is_leader: true };
        assert_eq!(heartbeat(&mut member, name), 0, "{name}");
        connection = member.connection;
    }
    eprintln!(
        "{groups} groups of one member and {offsets} offsets: formed one after the other in {ms} ms; {bytes} bytes of memory per group"
    );
}
