//! Partitions that move between cores while clients produce, fetch and commit: nothing is lost, doubled or out of order, and no client
//! meets an error that it would not retry in silence.
//!
//! What clients may meet: for records and fetches nothing at all, except FENCED_LEADER_EPOCH and UNKNOWN_LEADER_EPOCH for those who name an
//! epoch; for groups NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS and COORDINATOR_NOT_AVAILABLE. `TEST_MOVES` asks for more moves than the
//! few of the test suite.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, FindCoordinatorRequest, GroupId, InitProducerIdRequest, JoinGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use pagewire::base::{ProducerId, Timestamp};
use pagewire::coordinator::partition_of_group;
use pagewire::wire::{Codec, RecordBatchBuilder};

use broker::ask::reassign;
use broker::connection::{decode, frame};
use broker::load::{Load, own_address, verify};
use broker::random::Random;
use broker::{Broker, Connection, RaisedAtTheEnd, ask, command, fresh_dir};

const NOT_COORDINATOR: i16 = 16;
const FENCED_LEADER_EPOCH: i16 = 74;
const UNKNOWN_LEADER_EPOCH: i16 = 75;
/// What a client of a group retries in silence: loading, not available, another coordinator.
const GROUP_RETRIES: [i16; 3] = [14, 15, NOT_COORDINATOR];
/// Requests that a producer has under way at once.
const WINDOW: usize = 5;

fn moves() -> usize {
    std::env::var("TEST_MOVES").ok().map_or(40, |text| text.parse().expect("TEST_MOVES is a number"))
}

#[test]
fn a_partition_serves_from_its_new_core_with_everything_in_it() {
    let mut broker = Broker::start(&[]);
    let mut cores = [0, 1].map(|core| broker.connect(core));
    ask::create_topic(&mut cores[0], "t", 1, &[("flush.messages", "1")]);
    let mut expected = Vec::new();
    for round in 0..6_usize {
        let to = (round + 1) % 2;
        let before = ask::describe(&mut cores[0], "t").partitions[0].leader_epoch;
        assert_eq!(reassign(&mut cores[round % 2], "t", &[(0, to)]), [0]);
        for (core, connection) in cores.iter_mut().enumerate() {
            let partition = &ask::describe(connection, "t").partitions[0];
            assert_eq!((partition.leader_id.0, &partition.replica_nodes[..]), (1000 + to as i32, &[BrokerId(1000 + to as i32)][..]));
            if before != partition.leader_epoch {
                assert_eq!(partition.leader_epoch, before + 1);
            }
            let value = format!("round {round} through core {core}");
            assert_eq!(ask::write(connection, "t", 0, &[&value]), expected.len() as i64);
            expected.push((expected.len() as i64, value.into_bytes()));
            assert_eq!(ask::read(connection, "t", 0, 0), expected);
        }
    }

    // Who names the epoch of before is told to look again, as after any change of leaders.
    let epoch = ask::describe(&mut cores[0], "t").partitions[0].leader_epoch;
    for (named, code) in [(epoch, 0), (epoch - 1, FENCED_LEADER_EPOCH), (epoch + 1, UNKNOWN_LEADER_EPOCH)] {
        let mut request = ask::fetch_request("t", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = named;
        for connection in &mut cores {
            assert_eq!(connection.ask(ask::FETCH, &request).responses[0].partitions[0].error_code, code);
        }
    }

    // The place and the records outlive a stop and a crash, and the stop is a clean one.
    assert_eq!(reassign(&mut cores[0], "t", &[(0, 1)]), [0]);
    broker.stop();
    broker.start_again(&[]);
    assert!(broker.said().contains("after a clean stop, 0 bytes of log read"), "{}", broker.said());
    let mut connection = broker.connect(0);
    assert_eq!((ask::owner(&mut connection, "t", 0), ask::read(&mut connection, "t", 0, 0)), (1, expected.clone()));
    assert_eq!(reassign(&mut connection, "t", &[(0, 0)]), [0]);
    broker.kill();
    broker.start_again(&[]);
    let mut connection = broker.connect(1);
    assert_eq!((ask::owner(&mut connection, "t", 0), ask::read(&mut connection, "t", 0, 0)), (0, expected));
}

#[test]
fn a_waiting_fetch_sees_what_comes_after_the_move() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    for place in [0, 1] {
        assert_eq!(reassign(&mut connection, "t", &[(0, place)]), [0]);
        for core in 0..2 {
            let end = ask::end_offset(&mut connection, "t", 0);
            let mut waiting = broker.connect(core);
            let request = ask::fetch_request("t", 0, end).with_max_wait_ms(60_000).with_min_bytes(1);
            waiting.send(ask::FETCH, &request);
            let to = 1 - ask::owner(&mut connection, "t", 0);
            assert_eq!(reassign(&mut connection, "t", &[(0, to)]), [0]);
            ask::write(&mut connection, "t", 0, &["after the move"]);
            let answer = waiting.receive::<kafka_protocol::messages::FetchRequest>(ask::FETCH);
            let partition = &answer.responses[0].partitions[0];
            assert_eq!((partition.error_code, partition.high_watermark), (0, end + 1));
        }
    }
}

/// An idempotent producer with several requests under way on one connection. Returns how many values it has had acknowledged.
fn produce_until(over: &AtomicBool, mut connection: Connection, topic: &str, partition: i32, codec: Codec) -> i64 {
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let producer = connection.ask(4, &request);
    assert_eq!(producer.error_code, 0);
    let (mut sent, mut acknowledged) = (0_i32, 0_i32);
    while acknowledged < sent || !over.load(Ordering::Relaxed) {
        if !over.load(Ordering::Relaxed) && sent - acknowledged < WINDOW as i32 {
            let mut batch = RecordBatchBuilder::new(codec).producer(ProducerId(producer.producer_id.0), producer.producer_epoch, sent);
            let value = format!("{topic}-{partition} number {sent} {}", "x".repeat(sent as usize % 700));
            batch.append(Timestamp(ask::now_ms()), None, Some(value.as_bytes()), &[]);
            let request = ask::produce_request(topic, partition, ask::ALL, &batch.build());
            connection.send_bytes(&frame(sent, ask::PRODUCE, &request)).unwrap();
            sent += 1;
            continue;
        }
        let answer = connection.receive_frame().expect("the broker answers");
        let (number, answer) = decode::<kafka_protocol::messages::ProduceRequest>(ask::PRODUCE, answer);
        let stored = &answer.responses[0].partition_responses[0];
        assert_eq!((number, stored.error_code), (acknowledged, 0), "{:?}", stored.error_message);
        assert_eq!(stored.base_offset, i64::from(acknowledged), "one producer, so the offset is the number");
        acknowledged += 1;
    }
    i64::from(acknowledged)
}

/// Reads on until `end` says how much there is, and checks every record. Waits for records as consumers do.
fn consume(over: &AtomicBool, mut connection: Connection, topic: &str, partition: i32) -> i64 {
    let mut next = 0;
    loop {
        // Looked at before the fetch: what was acknowledged by then must be in an empty answer's high watermark.
        let is_over = over.load(Ordering::Relaxed);
        let request = ask::fetch_request(topic, partition, next).with_max_wait_ms(100).with_min_bytes(1);
        let answer = connection.ask(ask::FETCH, &request);
        let answer = &answer.responses[0].partitions[0];
        assert_eq!(answer.error_code, 0, "fetch of {topic}-{partition} from {next}");
        for (offset, value) in ask::records_of(answer.records.as_deref().unwrap_or_default()) {
            if offset >= next {
                assert_eq!(offset, next, "no gap, no double");
                let begin = format!("{topic}-{partition} number {next} ");
                assert!(value.starts_with(begin.as_bytes()), "{offset}: {}", String::from_utf8_lossy(&value));
                next += 1;
            }
        }
        if is_over && next == answer.high_watermark {
            return next;
        }
    }
}

#[test]
fn producers_and_consumers_notice_nothing() {
    for (topic, codec, configs) in [
        ("plain", Codec::None, &[("segment.bytes", "1048576")] as &[(&str, &str)]),
        ("synced", Codec::Lz4, &[("flush.messages", "1"), ("segment.bytes", "1048576")]),
    ] {
        let broker = Broker::start(&[]);
        ask::create_topic(&mut broker.connect(0), topic, 4, configs);
        let (stop_producing, stop_consuming) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut random = Random::seeded();
        thread::scope(|scope| {
            let (broker, stop_producing, stop_consuming) = (&broker, &stop_producing, &stop_consuming);
            let _raised = [RaisedAtTheEnd(stop_producing), RaisedAtTheEnd(stop_consuming)];
            // One through each core, for a partition that is there now and for one that is not.
            let producers: Vec<_> = (0..4)
                .map(|partition| {
                    let connection = broker.connect(partition as usize / 2);
                    scope.spawn(move || produce_until(stop_producing, connection, topic, partition, codec))
                })
                .collect();
            let consumers: Vec<_> = (0..8)
                .map(|consumer| {
                    let connection = broker.connect(consumer as usize / 4);
                    scope.spawn(move || consume(stop_consuming, connection, topic, consumer % 4))
                })
                .collect();
            let mut connection = broker.connect(0);
            for _ in 0..moves() {
                thread::sleep(Duration::from_millis(random.within(0..20) as u64));
                let places: Vec<(i32, usize)> = (0..4).map(|partition| (partition, random.within(0..2))).collect();
                let codes = reassign(&mut connection, topic, &places);
                assert!(codes.iter().all(|code| *code == 0), "{codes:?}");
            }
            stop_producing.store(true, Ordering::Relaxed);
            let produced: Vec<i64> = producers.into_iter().map(|producer| producer.join().unwrap()).collect();
            stop_consuming.store(true, Ordering::Relaxed);
            let consumed: Vec<i64> = consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect();
            assert!(produced.iter().all(|count| *count > 0), "{produced:?}");
            assert_eq!(consumed, [&produced[..], &produced[..]].concat());
            eprintln!("{topic}: {} moves, {produced:?} records", moves());
        });
    }
}

#[test]
fn a_kill_between_any_two_steps_of_a_move_loses_nothing() {
    let directory = fresh_dir();
    let (journal, data_dir) = (directory.path().join("journal"), directory.path().join("data"));
    let address = own_address(2);
    let arguments = ["--listen", &address];
    let mut random = Random::seeded();
    let mut broker = Broker::start_in(&data_dir, &arguments);
    let kills = (moves() / 10).clamp(2, 100);
    let load = format!(
        "--bootstrap {address} --mode produce --message-bytes 200 --rate 10000 --duration {}s --acks all --partitions 6 --producers 2 \
         --batch-bytes 4K --topic-config segment.bytes=1048576 --topic moved",
        kills * 2 + 4
    );
    let mut load = Load::start(&journal, &load);
    load.wait_until_it_produces();
    for kill in 0..kills {
        broker.wait_until(|broker| ask::describe(&mut broker.connect(0), "moved").partitions.len() == 6);
        let over = AtomicBool::new(false);
        let mut random_places = random.split();
        thread::scope(|scope| {
            let (broker_now, over) = (&broker, &over);
            let _raised = RaisedAtTheEnd(over);
            let mut connection = broker_now.connect(0);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let places: Vec<(i32, usize)> = (0..6).map(|partition| (partition, random_places.within(0..2))).collect();
                    let partitions = places.iter().map(|(partition, core)| {
                        let replicas = Some(vec![BrokerId(1000 + *core as i32)]);
                        ReassignablePartition::default().with_partition_index(*partition).with_replicas(replicas)
                    });
                    let topic = ReassignableTopic::default().with_name(ask::topic_name("moved")).with_partitions(partitions.collect());
                    let request = AlterPartitionReassignmentsRequest::default().with_timeout_ms(30_000).with_topics(vec![topic]);
                    // The broker dies in the middle of one of them.
                    if connection.send_bytes(&frame(1, 1, &request)).is_err() || connection.receive_frame().is_err() {
                        return;
                    }
                }
            });
            thread::sleep(Duration::from_millis(random.within(200..700) as u64));
            over.store(true, Ordering::Relaxed);
            assert!(load.is_running(), "the load ended before kill {kill}");
            broker.signal("KILL");
        });
        broker.wait();
        broker = Broker::start_in(&data_dir, &arguments);
    }
    let said = load.finish();
    assert!(said.contains("broken or refused connections"), "the load generator met no kill:\n{said}");
    assert!(!said.contains("not sent in time"), "the load generator stopped sending to a partition that moved:\n{said}");
    verify(&address, &journal);
    broker.stop();
    broker = Broker::start_in(&data_dir, &arguments);
    assert!(broker.said().contains("after a clean stop, 0 bytes of log read"), "{}", broker.said());
    verify(&address, &journal);
}

/// A client of one group: finds the coordinator and goes back to look for it when it is told to.
struct GroupClient<'a> {
    broker: &'a Broker,
    group: GroupId,
    connection: Connection,
    retries: usize,
}

impl<'a> GroupClient<'a> {
    fn new(broker: &'a Broker, group: &str) -> GroupClient<'a> {
        let group = GroupId(StrBytes::from_string(group.into()));
        let connection = broker.connect(0);
        let mut client = GroupClient { broker, group, connection, retries: 0 };
        client.find();
        client
    }

    fn find(&mut self) {
        let answer = self.connection.ask(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![self.group.0.clone()]));
        let found = &answer.coordinators[0];
        assert!(found.error_code == 0 || GROUP_RETRIES.contains(&found.error_code), "{found:?}");
        if found.error_code == 0 {
            self.connection = self.broker.connect((found.node_id.0 % 1000) as usize);
        }
    }

    /// Commits offset `offset` of `t-0`, however often that has to be tried.
    fn commit(&mut self, offset: i64) {
        let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        loop {
            match self.connection.ask(8, &request).topics[0].partitions[0].error_code {
                0 => return,
                code => self.retry(code),
            }
        }
    }

    fn committed(&mut self) -> i64 {
        let topic = OffsetFetchRequestTopics::default().with_name(ask::topic_name("t")).with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default().with_group_id(self.group.clone()).with_topics(Some(vec![topic]));
        loop {
            let answer = self.connection.ask(8, &OffsetFetchRequest::default().with_groups(vec![group.clone()]));
            match answer.groups[0].error_code {
                0 => return answer.groups[0].topics[0].partitions[0].committed_offset,
                code => self.retry(code),
            }
        }
    }

    fn retry(&mut self, code: i16) {
        assert!(GROUP_RETRIES.contains(&code), "error {code} is not one that clients retry in silence");
        self.retries += 1;
        thread::sleep(Duration::from_millis(5));
        self.find();
    }
}

const OFFSETS: &str = "__consumer_offsets";

#[test]
fn groups_keep_their_commits_while_their_partition_moves() {
    let broker = Broker::start(&["--set", "offsets.topic.num.partitions=2"]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    drop(GroupClient::new(&broker, "first"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (broker, over) = (&broker, &over);
        let _raised = RaisedAtTheEnd(over);
        let groups: Vec<_> = (0..4)
            .map(|group| {
                scope.spawn(move || {
                    let mut client = GroupClient::new(broker, &format!("group-{group}"));
                    let mut offset = 0;
                    while !over.load(Ordering::Relaxed) {
                        offset += 1;
                        client.commit(offset);
                        assert_eq!(client.committed(), offset, "what was acknowledged is there");
                    }
                    assert_eq!(client.committed(), offset);
                    (offset, client.retries)
                })
            })
            .collect();
        for turn in 0..moves() {
            thread::sleep(Duration::from_millis(10));
            assert_eq!(reassign(&mut connection, OFFSETS, &[(0, turn % 2), (1, turn / 2 % 2)]), [0, 0]);
        }
        over.store(true, Ordering::Relaxed);
        let done: Vec<(i64, usize)> = groups.into_iter().map(|group| group.join().unwrap()).collect();
        eprintln!("commits and retries: {done:?}");
        assert!(done.iter().all(|(commits, _)| *commits > 0) && done.iter().any(|(_, retries)| *retries > 0), "{done:?}");
    });
}

#[test]
fn a_join_that_waits_is_told_to_look_for_the_coordinator() {
    let broker = Broker::start(&["--set", "offsets.topic.num.partitions=2", "--set", "group.initial.rebalance.delay.ms=60000"]);
    let mut connection = broker.connect(0);
    drop(GroupClient::new(&broker, "first"));
    let name = pagewire::coordinator::GroupId::new("waiting").unwrap();
    let partition = partition_of_group(&name, 2).0;
    let from = ask::owner(&mut connection, OFFSETS, partition);
    let mut member = broker.connect(from);
    let protocol =
        JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range")).with_metadata(Bytes::from_static(&[0; 8]));
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("waiting")))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    // Before version 4 no member id is asked for first.
    member.send(3, &request);
    // Another connection to the same core is answered behind it, so the join has arrived.
    ask::describe(&mut broker.connect(from), OFFSETS);
    assert_eq!(reassign(&mut connection, OFFSETS, &[(partition, 1 - from)]), [0]);
    assert_eq!(member.receive::<JoinGroupRequest>(3).error_code, NOT_COORDINATOR);
}

#[test]
fn the_command_line_moves_partitions_in_both_ways_of_advertising() {
    for (advertise, leader_moves) in [("per-core", true), ("per-node", false)] {
        let mut broker = Broker::start(&["--advertise", advertise]);
        let mut connection = broker.connect(0);
        ask::create_topic(&mut connection, "t", 2, &[]);
        let before = ask::describe(&mut connection, "t");
        for core in ["0", "1"] {
            assert_eq!(command::said(&broker, &format!("topics move t-0 t-1 --core {core}")), "t-0\nt-1\n");
            for partition in 0..2 {
                ask::write(&mut connection, "t", partition, &["x"]);
            }
        }
        let after = ask::describe(&mut connection, "t");
        let leaders = |topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| -> Vec<i32> {
            topic.partitions.iter().map(|partition| partition.leader_id.0).collect()
        };
        assert_eq!(leaders(&after), if leader_moves { vec![1001, 1001] } else { vec![1000, 1000] });
        let epochs = |topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| -> i32 {
            topic.partitions.iter().map(|partition| partition.leader_epoch).sum()
        };
        // Each partition was on one of the two cores: one of them moved once, the other twice.
        assert_eq!(epochs(&after), epochs(&before) + 3);
        for (arguments, sentence) in [
            ("topics move t-0 --core 2", "there is no core 2: this node has cores 0 to 1"),
            ("topics move t-7 --core 1", "no partition t-7"),
            ("topics move tt --core 1", "orders-3"),
        ] {
            let (_, said) = command::refusal(&broker, arguments);
            assert!(said.contains(sentence), "{said}");
        }
        broker.stop();
    }
}
