//! Hostile input costs its sender an error, and nobody else anything.
//!
//! Every test attacks a broker of its own, and then proves that both cores still serve another client, that the memory which the
//! attack took is gone, and that it never was much.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, DeleteGroupsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest, SyncGroupRequest,
};
use pagewire::api::versions::APIS;
use pagewire::base::Timestamp;
use pagewire::base::limits::{REQUEST_BYTES_MAX, REQUEST_PARTITIONS_MAX};
use pagewire::wire::compression::compress;
use pagewire::wire::frame::is_flexible;
use pagewire::wire::{Codec, RecordBatchBuilder};

use broker::ask::text;
use broker::connection::{frame, frame_around};
use broker::{Broker, Connection, ask};

/// Damaged requests make nothing that costs time: no topics, few partitions for groups, no wait for more members.
const QUIET: [&str; 6] =
    ["--set", "auto.create.topics.enable=false", "--set", "offsets.topic.num.partitions=2", "--set", "group.initial.rebalance.delay.ms=0"];
const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
/// What a broker may hold more after an attack than before: buffers that it keeps for the next clients.
const KEPT_BYTES_MAX: u64 = 48 << 20;
/// What it may have held more at any time. Kafka's heap would be 1 GiB.
const PEAK_BYTES_MAX: u64 = 400 << 20;
/// The time that a client next to an attack may need for a few requests. Generous: brokers of other tests share the machine.
const PROMPT: Duration = Duration::from_secs(10);

const NOTHING: [u8; 0] = [];

/// A broker, a topic of each core for the witness, and how much memory it had before the attack.
struct Target {
    broker: Broker,
    bytes_before: u64,
    written: i64,
}

impl Target {
    fn start(arguments: &[&str]) -> Target {
        let broker = Broker::start(arguments);
        let mut connection = broker.connect(0);
        ask::create_topic(&mut connection, "witness", 2, &[]);
        ask::create_topic(&mut connection, "victim", 2, &[]);
        let mut target = Target { broker, bytes_before: 0, written: 0 };
        target.witness();
        target.bytes_before = target.broker.anonymous_bytes();
        target
    }

    /// Another client, on either core, writes and reads everything back.
    fn witness(&mut self) {
        let begun = Instant::now();
        for core in 0..2 {
            let mut connection = self.broker.connect(core);
            for partition in 0..2 {
                assert_eq!(ask::write(&mut connection, "witness", partition, &["still here"]), self.written + core as i64);
                let read = ask::read(&mut connection, "witness", partition, 0);
                assert_eq!(read.len() as i64, self.written + core as i64 + 1);
            }
        }
        self.written += 2;
        assert!(begun.elapsed() < PROMPT, "a client next to the attack waited for {:?}", begun.elapsed());
    }

    /// The end of a test: the broker serves, has given the memory back, never had much, and stops cleanly.
    fn proves_unharmed(mut self) {
        self.witness();
        let limit = self.bytes_before + KEPT_BYTES_MAX;
        // Freed memory goes back to the kernel with a delay.
        self.broker.wait_until(|broker| broker.anonymous_bytes() < limit);
        let peak = self.broker.peak_bytes();
        assert!(peak < self.bytes_before + PEAK_BYTES_MAX, "{} MiB at the worst moment", peak >> 20);
        self.broker.stop();
    }

    /// Sends bytes, closes that direction, and reads what comes until the broker closes the other.
    fn throw(&self, core: usize, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.broker.connect(core).stream;
        // The broker may hang up in the middle.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Writes the length that the bytes behind it really have.
fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// A real request of every kind, in an old version and in the newest that names topics.
fn real_requests() -> Vec<Vec<u8>> {
    let produce = ask::produce_request("victim", 1, ask::ALL, &ask::batch_of(&["one", "two"]));
    let fetch = ask::fetch_request("victim", 1, 0);
    let metadata = MetadataRequest::default()
        .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(ask::topic_name("victim")))]))
        .with_allow_auto_topic_creation(false);
    let list = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![
        ListOffsetsTopic::default()
            .with_name(ask::topic_name("victim"))
            .with_partitions(vec![ListOffsetsPartition::default().with_partition_index(1).with_timestamp(-1)]),
    ]);
    let create = ask::create_topics_request("made", 2, &[("retention.ms", "1000")]).with_validate_only(true);
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![ask::topic_name("nobody")]).with_timeout_ms(1000);
    let epochs = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![
        OffsetForLeaderTopic::default()
            .with_topic(ask::topic_name("victim"))
            .with_partitions(vec![OffsetForLeaderPartition::default().with_partition(1)]),
    ]);
    let configs = DescribeConfigsRequest::default().with_resources(vec![
        DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("victim"))
            .with_configuration_keys(Some(vec![text("retention.ms")])),
    ]);
    let producer_id = InitProducerIdRequest::default().with_transactional_id(None);
    let group = GroupId(text("group"));
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"subscription"));
    let join = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_protocol_type(text("consumer"))
        .with_session_timeout_ms(6000)
        .with_rebalance_timeout_ms(1)
        .with_protocols(vec![protocol]);
    let assignment = SyncGroupRequestAssignment::default().with_member_id(text("m")).with_assignment(Bytes::from_static(b"parts"));
    let sync = SyncGroupRequest::default().with_group_id(group.clone()).with_member_id(text("m")).with_assignments(vec![assignment]);
    let committed = OffsetCommitRequestTopic::default()
        .with_name(ask::topic_name("victim"))
        .with_partitions(vec![OffsetCommitRequestPartition::default().with_partition_index(1).with_committed_offset(1)]);
    let commit = OffsetCommitRequest::default().with_group_id(group.clone()).with_topics(vec![committed]);
    let of_group = OffsetFetchRequestGroup::default().with_group_id(group.clone()).with_topics(None);
    let fetch_offsets = OffsetFetchRequest::default().with_groups(vec![of_group]);
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("group")]);
    let leave = LeaveGroupRequest::default().with_group_id(group.clone()).with_members(vec![MemberIdentity::default()]);
    let describe = DescribeGroupsRequest::default().with_groups(vec![group.clone()]);
    let deleted = OffsetDeleteRequestTopic::default()
        .with_name(ask::topic_name("victim"))
        .with_partitions(vec![OffsetDeleteRequestPartition::default().with_partition_index(1)]);
    let delete_offsets = OffsetDeleteRequest::default().with_group_id(group.clone()).with_topics(vec![deleted]);
    let versions = ApiVersionsRequest::default().with_client_software_name(text("x")).with_client_software_version(text("1"));
    vec![
        frame(1, 3, &produce),
        frame(1, ask::PRODUCE, &produce),
        frame(1, 4, &fetch),
        frame(1, ask::FETCH, &fetch),
        frame(1, 4, &metadata),
        frame(1, 12, &metadata),
        frame(1, 1, &list),
        frame(1, 10, &list),
        frame(1, 2, &create),
        frame(1, 7, &create),
        frame(1, 1, &delete),
        frame(1, 5, &delete),
        frame(1, 3, &epochs),
        frame(1, 4, &epochs),
        frame(1, 1, &configs),
        frame(1, 4, &configs),
        frame(1, 0, &producer_id),
        frame(1, 5, &producer_id),
        frame(1, 4, &versions),
        frame(1, 0, &DescribeClusterRequest::default()),
        // The coordinator comes first: it makes the topic of groups.
        frame(1, 6, &find),
        frame(1, 1, &join),
        frame(1, 9, &join),
        frame(1, 1, &sync),
        frame(1, 5, &sync),
        frame(1, 2, &commit),
        frame(1, 9, &commit),
        frame(1, 9, &fetch_offsets),
        frame(1, 4, &HeartbeatRequest::default().with_group_id(group.clone()).with_member_id(text("m"))),
        frame(1, 5, &leave),
        frame(1, 6, &describe),
        frame(1, 5, &ListGroupsRequest::default().with_states_filter(vec![text("Empty")])),
        frame(1, 2, &DeleteGroupsRequest::default().with_groups_names(vec![group])),
        frame(1, 0, &delete_offsets),
    ]
}

#[test]
fn frames_that_are_none() {
    let target = Target::start(&[]);
    for length in [-1, i32::MIN, i32::MAX, REQUEST_BYTES_MAX as i32 + 1, 0, 1, 7] {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 64]);
        assert_eq!(target.throw(0, &bytes), NOTHING, "length {length}");
    }
    for other in [&b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"hello\n", b""] {
        assert_eq!(target.throw(1, other), NOTHING);
    }
    for whole in real_requests() {
        for cut in (0..whole.len()).step_by(7) {
            assert_eq!(target.throw(cut % 2, &whole[..cut]), NOTHING, "a request cut off at {cut}");
        }
    }
    let mut dice = Dice(1);
    for round in 0..300 {
        let count = dice.below(4000);
        target.throw(round % 2, &dice.bytes(count));
    }
    assert!(target.broker.said().contains("expected the length of a request"), "{}", target.broker.said());
    target.proves_unharmed();
}

#[test]
fn every_key_and_version_with_a_random_body() {
    let target = Target::start(&QUIET);
    let mut dice = Dice(2);
    for key in -1..96 {
        let row = APIS.iter().find(|row| row.key == key);
        let rounds = if row.is_some() { 8 } else { 1 };
        for version in -1..row.map_or(2, |row| row.max + 2) {
            for _ in 0..rounds {
                let count = dice.below(200);
                let header_version = if is_flexible(key, version) { 2 } else { 1 };
                target.throw(0, &frame_around(key, version, header_version, 1, &dice.bytes(count)));
            }
        }
    }
    target.proves_unharmed();
}

#[test]
fn real_requests_with_bytes_flipped_cut_and_inserted() {
    let target = Target::start(&QUIET);
    let mut dice = Dice(3);
    for request in real_requests() {
        let mut undamaged = target.broker.connect(0);
        undamaged.send_bytes(&request).unwrap();
        assert!(undamaged.receive_frame().is_ok(), "undamaged, it is answered");
        for round in 0..100 {
            let mut damaged = request.clone();
            for _ in 0..1 + dice.below(3) {
                // Behind length, key and version.
                let at = 8 + dice.below(damaged.len() - 8);
                match dice.below(4) {
                    0 => damaged[at] ^= 1 << dice.below(8),
                    1 => damaged[at] = dice.next() as u8,
                    2 => drop(damaged.splice(at..(at + dice.below(9)).min(damaged.len()), [])),
                    _ => drop(damaged.splice(at..at, [0xff; 5])),
                }
                if damaged.len() < 12 {
                    damaged.resize(12, 0);
                }
            }
            target.throw(round % 2, &with_length(damaged));
        }
    }
    target.proves_unharmed();
}

#[test]
fn counts_that_promise_more_than_the_frame_holds() {
    let target = Target::start(&QUIET);
    for request in real_requests() {
        let key = i16::from_be_bytes([request[4], request[5]]);
        let version = i16::from_be_bytes([request[6], request[7]]);
        for at in 12..request.len() {
            let mut damaged = request.clone();
            // Wherever a count stands, it is overwritten once: with 2 GiB or more.
            match is_flexible(key, version) {
                true => drop(damaged.splice(at..at + 1, [0xff, 0xff, 0xff, 0xff, 0x0f])),
                false => damaged.splice(at..(at + 4).min(request.len()), [0x7f, 0xff, 0xff, 0xff]).for_each(drop),
            }
            target.throw(at % 2, &with_length(damaged));
        }
    }
    target.proves_unharmed();
}

#[test]
fn forty_connections_announce_100_mib_and_send_4_kb() {
    let mut target = Target::start(&[]);
    let mut announced = (REQUEST_BYTES_MAX as i32).to_be_bytes().to_vec();
    announced.extend_from_slice(&frame_around(0, 9, 2, 1, &[0; 4000])[4..]);
    let attackers: Vec<Connection> = (0..40)
        .map(|number| {
            let mut attacker = target.broker.connect(number % 2);
            attacker.send_bytes(&announced).unwrap();
            attacker
        })
        .collect();
    target.witness();
    let limit = target.bytes_before + (16 << 20);
    assert!(target.broker.anonymous_bytes() < limit, "{} MiB for 160 KB that came", target.broker.anonymous_bytes() >> 20);
    drop(attackers);
    target.proves_unharmed();
}

/// Sends requests until all have left, or the broker stops to take more.
fn send_without_reading(connection: &mut Connection, requests: impl Iterator<Item = Vec<u8>>) {
    connection.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    for request in requests {
        if connection.stream.write_all(&request).is_err() {
            return;
        }
    }
}

#[test]
fn ten_thousand_requests_and_not_one_answer_read() {
    let mut target = Target::start(&[]);
    let value = vec![7; 100_000];
    let mut connection = target.broker.connect(0);
    for partition in 0..2 {
        for _ in 0..20 {
            ask::write(&mut connection, "victim", partition, &[&value]);
        }
    }
    let request = |number: i32| match number % 4 {
        0 => frame(number, ask::FETCH, &ask::fetch_request("victim", number / 4 % 2, 0)),
        1 => frame(number, ask::METADATA, &MetadataRequest::default().with_topics(None)),
        2 => frame(number, 4, &ApiVersionsRequest::default()),
        _ => frame(number, ask::PRODUCE, &ask::produce_request("victim", number / 4 % 2, ask::ALL, &ask::batch_of(&["x"]))),
    };
    let mut attackers: Vec<Connection> = (0..4).map(|number| target.broker.connect(number % 2)).collect();
    for attacker in &mut attackers {
        send_without_reading(attacker, (0..10_000).map(request));
    }
    target.witness();
    drop(attackers);
    target.proves_unharmed();
}

#[test]
fn large_requests_behind_one_that_waits() {
    let mut target = Target::start(&[]);
    let mut attackers: Vec<Connection> = (0..4).map(|number| target.broker.connect(number % 2)).collect();
    let large = frame(2, ask::PRODUCE, &ask::produce_request("victim", 0, ask::ALL, &ask::batch_of(&[vec![0; 900_000]])));
    for attacker in &mut attackers {
        let end = target.written;
        attacker.send(ask::FETCH, &ask::fetch_request("witness", 0, end).with_max_wait_ms(i32::MAX).with_min_bytes(i32::MAX));
        send_without_reading(attacker, (0..400).map(|_| large.clone()));
    }
    target.witness();
    let held = target.broker.anonymous_bytes() - target.bytes_before;
    assert!(held < 64 << 20, "{} MiB wait behind four fetches", held >> 20);
    drop(attackers);
    target.proves_unharmed();
}

#[test]
fn unacknowledged_requests_for_the_other_core() {
    let mut target = Target::start(&[]);
    let here = ask::owner(&mut target.broker.connect(0), "victim", 0);
    let request = frame(1, ask::PRODUCE, &ask::produce_request("victim", 0, 0, &ask::batch_of(&[""])));
    let burst = request.repeat(2000);
    let mut attackers: Vec<Connection> = (0..4).map(|_| target.broker.connect(1 - here)).collect();
    for _ in 0..10 {
        for attacker in &mut attackers {
            attacker.send_bytes(&burst).unwrap();
        }
    }
    target.witness();
    let mut connection = target.broker.connect(here);
    target.broker.wait_until(|broker| ask::end_offset(&mut broker.connect(here), "victim", 0) == 80_000);
    assert_eq!(ask::end_offset(&mut connection, "victim", 0), 80_000);
    drop(attackers);
    target.proves_unharmed();
}

/// A Produce and a Fetch request that name one partition `count` times.
fn wide_requests(partition: i32, count: usize) -> [Vec<u8>; 2] {
    let records = Bytes::from(ask::batch_of(&[""]));
    let data = vec![PartitionProduceData::default().with_index(partition).with_records(Some(records)); count];
    let topic = TopicProduceData::default().with_name(ask::topic_name("victim")).with_partition_data(data);
    let produce = ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    // Behind the end of the log, so that there is nothing and the fetch waits.
    let wanted = FetchPartition::default().with_partition(partition).with_fetch_offset(count as i64).with_partition_max_bytes(1);
    let topic = FetchTopic::default().with_topic(ask::topic_name("victim")).with_partitions(vec![wanted; count]);
    let fetch = FetchRequest::default().with_replica_id(BrokerId(-1)).with_max_wait_ms(100).with_min_bytes(1).with_max_bytes(1);
    [frame(1, ask::PRODUCE, &produce), frame(1, ask::FETCH, &fetch.with_topics(vec![topic]))]
}

#[test]
fn many_partitions_in_one_request() {
    let mut target = Target::start(&[]);
    // One partition is of this core, the other is asked for elsewhere.
    for partition in 0..2 {
        for request in wide_requests(partition, 70_000) {
            let mut connection = target.broker.connect(0);
            connection.send_bytes(&request).unwrap();
            assert!(connection.receive_frame().unwrap().len() > 70_000 * 20, "every one is answered");
            target.witness();
        }
        for request in wide_requests(partition, REQUEST_PARTITIONS_MAX + 1) {
            assert_eq!(target.throw(0, &request), NOTHING, "nobody has so many");
            target.witness();
        }
        assert_eq!(ask::end_offset(&mut target.broker.connect(0), "victim", partition), 70_000);
    }
    assert!(target.broker.said().contains("topics and partitions in one request"), "{}", target.broker.said());
    target.proves_unharmed();
}

#[test]
fn one_name_asked_for_again_and_again() {
    let mut target = Target::start(&[]);
    ask::create_topic(&mut target.broker.connect(0), "wide", 100, &[]);
    let wide = MetadataRequestTopic::default().with_name(Some(ask::topic_name("wide")));
    let metadata = MetadataRequest::default().with_topics(Some(vec![wide; 50_000]));
    assert_eq!(target.broker.connect(0).ask(ask::METADATA, &metadata).topics.len(), 1, "as a set, like Kafka");
    target.witness();
    let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("wide")).with_configuration_keys(None);
    let configs = DescribeConfigsRequest::default().with_include_documentation(true).with_resources(vec![resource; 50_000]);
    assert_eq!(target.broker.connect(0).ask(4, &configs).results.len(), 1);
    target.witness();
    target.proves_unharmed();
}

/// A batch whose one record has `value_bytes` zeros for a value.
fn batch_of_zeros(codec: Codec, value_bytes: usize) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(codec);
    builder.append(Timestamp(ask::now_ms()), None, Some(&vec![0; value_bytes]), &[]);
    builder.build()
}

#[test]
fn compression_bombs() {
    const MESSAGE_TOO_LARGE: i16 = 10;
    let target = Target::start(&["--set", "message.max.bytes=8388608"]);
    let mut connection = target.broker.connect(0);
    for codec in CODECS {
        let bomb = batch_of_zeros(codec, 70 << 20);
        assert!(bomb.len() < 8 << 20, "{} bytes of {}", bomb.len(), codec.name());
        for partition in 0..2 {
            let answer = ask::produce(&mut connection, "victim", partition, &bomb);
            assert_eq!(answer.error_code, MESSAGE_TOO_LARGE, "{}: {:?}", codec.name(), answer.error_message);
            assert!(answer.error_message.unwrap().contains("unpacks to more than"));
        }
    }
    assert_eq!(ask::end_offset(&mut connection, "victim", 0), 0);
    target.proves_unharmed();
}

#[test]
fn a_swarm_of_small_compression_bombs() {
    let mut target = Target::start(&[]);
    // Each may be unpacked on the core; all together must not hold it up.
    let bomb = Bytes::from(batch_of_zeros(Codec::Gzip, 2_000_000));
    let data: Vec<_> = (0..2000).map(|_| PartitionProduceData::default().with_index(0).with_records(Some(bomb.clone()))).collect();
    let topic = TopicProduceData::default().with_name(ask::topic_name("victim")).with_partition_data(data);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    let frame = frame(1, ask::PRODUCE, &request);
    let mut attackers = [target.broker.connect(0), target.broker.connect(1)];
    for attacker in &mut attackers {
        attacker.send_bytes(&frame).unwrap();
    }
    target.witness();
    drop(attackers);
    target.proves_unharmed();
}

#[test]
fn broken_compressed_data_is_a_corrupt_message() {
    const CORRUPT_MESSAGE: i16 = 2;
    let target = Target::start(&[]);
    let mut connection = target.broker.connect(0);
    let mut dice = Dice(5);
    for codec in CODECS {
        let mut builder = RecordBatchBuilder::new(codec);
        (0..50).for_each(|number| builder.append(Timestamp(ask::now_ms()), None, Some(format!("value {number}").as_bytes()), &[]));
        let packed = compress(codec, builder.plain_records());
        let mut send = |packed: &[u8]| {
            let mut batch = Vec::new();
            builder.build_around(packed, &mut batch);
            ask::produce(&mut connection, "victim", 0, &batch).error_code
        };
        assert_eq!(send(&packed), 0, "{} undamaged", codec.name());
        assert_eq!(send(&dice.bytes(packed.len())), CORRUPT_MESSAGE, "{} noise", codec.name());
        assert_ne!(send(&[]), 0, "no {} data", codec.name());
        assert_eq!(send(&[0xff; 40]), CORRUPT_MESSAGE, "{} of 0xff", codec.name());
        for cut in [1, 2, packed.len() / 2] {
            let code = send(&packed[..packed.len() - cut]);
            assert!([CORRUPT_MESSAGE, 87].contains(&code), "{} cut by {cut}: {code}", codec.name());
        }
        for _ in 0..100 {
            let mut flipped = packed.clone();
            let at = dice.below(flipped.len());
            flipped[at] ^= 1 << dice.below(8);
            let code = send(&flipped);
            assert!([0, CORRUPT_MESSAGE, 10, 87].contains(&code), "{} with byte {at} flipped: {code}", codec.name());
        }
    }
    // A length in front of snappy's data that is 4 GiB, and not true.
    let mut batch = Vec::new();
    RecordBatchBuilder::new(Codec::Snappy)
        .record(Timestamp(ask::now_ms()), None, None)
        .build_around(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], &mut batch);
    assert!([CORRUPT_MESSAGE, 10].contains(&ask::produce(&mut connection, "victim", 0, &batch).error_code));
    target.proves_unharmed();
}

#[test]
fn writers_of_one_byte_at_a_time() {
    let mut target = Target::start(&[]);
    let request = frame(1, 0, &ApiVersionsRequest::default());
    let mut slow: Vec<Connection> = (0..200).map(|number| target.broker.connect(number % 2)).collect();
    for byte in &request {
        for connection in &mut slow {
            connection.send_bytes(&[*byte]).unwrap();
        }
        target.witness();
    }
    for connection in &mut slow {
        assert!(connection.receive_frame().unwrap().len() > 10, "slow is no crime");
    }
    target.proves_unharmed();
}

#[test]
fn absurd_settings_of_a_fetch() {
    let target = Target::start(&[]);
    let mut connection = target.broker.connect(0);
    ask::write(&mut connection, "victim", 0, &["x"]);
    ask::write(&mut connection, "victim", 1, &["x"]);
    for extreme in [i32::MIN, -1, 0, i32::MAX] {
        for partition in 0..2 {
            let whole = |request: FetchRequest| request.with_min_bytes(1);
            let request = || ask::fetch_request("victim", partition, 0);
            let mut partition_bytes = request();
            partition_bytes.topics[0].partitions[0].partition_max_bytes = extreme;
            let requests = [
                whole(request().with_max_wait_ms(extreme)),
                whole(request().with_max_bytes(extreme)),
                whole(partition_bytes),
                request().with_min_bytes(extreme).with_max_wait_ms(if extreme > 0 { 50 } else { extreme }),
                whole(request().with_isolation_level(extreme as i8)),
                whole(request().with_session_epoch(extreme.clamp(-1, 0))),
            ];
            for request in requests {
                let answer = connection.ask(ask::FETCH, &request);
                let records = answer.responses[0].partitions[0].records.as_deref().unwrap_or_default();
                assert_eq!(ask::records_of(records).len(), 1, "at least one batch for {request:?}");
            }
            let mut odd = request();
            odd.topics[0].partitions[0].fetch_offset = i64::from(extreme) << 32;
            odd.topics[0].partitions[0].current_leader_epoch = extreme;
            connection.ask(ask::FETCH, &odd);
            connection.ask(ask::FETCH, &request().with_replica_id(BrokerId(extreme)));
        }
    }
    target.proves_unharmed();
}

#[test]
fn absurd_settings_of_a_topic() {
    let target = Target::start(&[]);
    let mut connection = target.broker.connect(0);
    for (partitions, code) in [(0, 37), (-2, 37), (i32::MIN, 37), (10_001, 44), (i32::MAX, 44)] {
        assert_eq!(ask::try_create_topic(&mut connection, "absurd", partitions, &[]), code, "{partitions} partitions");
    }
    let long = "x".repeat(250);
    let longer = "x".repeat(30_000);
    for name in ["", ".", "..", "../../etc/passwd", "a/b", "a b", "ä", "\0", &long, &longer] {
        assert_eq!(ask::try_create_topic(&mut connection, name, 1, &[]), 17, "{name:?}");
    }
    assert_eq!(ask::try_create_topic(&mut connection, "__cluster_metadata", 1, &[]), 42);
    for factor in [0, -2, 2, 3, i16::MIN, i16::MAX] {
        let mut request = ask::create_topics_request("absurd", 1, &[]);
        request.topics[0].replication_factor = factor;
        assert_eq!(connection.ask(ask::CREATE_TOPICS, &request).topics[0].error_code, 38, "{factor} replicas");
    }
    let configs = [
        ("segment.bytes", "0"),
        ("segment.bytes", "14"),
        ("segment.bytes", "-1"),
        ("segment.bytes", "99999999999"),
        ("segment.ms", "0"),
        ("retention.ms", "-2"),
        ("max.message.bytes", "-1"),
        ("index.interval.bytes", "-1"),
        ("flush.messages", "0"),
        ("cleanup.policy", "burn"),
        ("message.timestamp.type", "Never"),
        ("no.such.setting", "1"),
        ("retention.ms", "soon"),
        ("retention.ms", &longer),
        (&longer, "1"),
    ];
    for (name, value) in configs {
        assert_eq!(ask::try_create_topic(&mut connection, "absurd", 1, &[(name, value)]), 40, "{name:.30}={value:.30}");
    }
    let twice = ask::create_topics_request("absurd", 1, &[]);
    let twice = twice.clone().with_topics([twice.topics.clone(), twice.topics].concat());
    assert!(connection.ask(ask::CREATE_TOPICS, &twice).topics.iter().all(|topic| topic.error_code == 42));
    assert_eq!(ask::describe(&mut connection, "absurd").error_code, 3, "none of them came to be");
    // The smallest segments there are: every batch its own.
    ask::create_topic(&mut connection, "tiny", 1, &[("segment.bytes", "1048576"), ("segment.ms", "1"), ("segment.index.bytes", "4")]);
    for number in 0..20 {
        assert_eq!(ask::write(&mut connection, "tiny", 0, &["x"]), number);
    }
    assert_eq!(ask::read(&mut connection, "tiny", 0, 0).len(), 20);
    target.proves_unharmed();
}

#[test]
fn absurd_client_ids_and_timeouts() {
    let target = Target::start(&[]);
    let mut connection = target.broker.connect(0);
    for timeout_ms in [i32::MIN, -1, 0, i32::MAX] {
        let request = ask::produce_request("victim", 0, ask::ALL, &ask::batch_of(&["x"])).with_timeout_ms(timeout_ms);
        assert_eq!(connection.ask(ask::PRODUCE, &request).responses[0].partition_responses[0].error_code, 0);
        let request = ask::create_topics_request("made", 1, &[]).with_timeout_ms(timeout_ms).with_validate_only(true);
        assert_eq!(connection.ask(ask::CREATE_TOPICS, &request).topics[0].error_code, 0);
    }
    for acks in [-2, 2, i16::MIN, i16::MAX] {
        let request = ask::produce_request("victim", 0, acks, &ask::batch_of(&["x"]));
        assert_eq!(connection.ask(ask::PRODUCE, &request).responses[0].partition_responses[0].error_code, 21, "acks={acks}");
    }
    for client_id in [vec![b'x'; 32_767], vec![0; 1], vec![0xff; 20], b"\x1b[2Jevil\n\r".to_vec()] {
        let mut request = vec![0, 0, 0, 0, 0, 18, 0, 0, 0, 0, 0, 1];
        request.extend_from_slice(&(client_id.len() as u16).to_be_bytes());
        request.extend_from_slice(&client_id);
        target.throw(0, &with_length(request));
    }
    target.proves_unharmed();
}
