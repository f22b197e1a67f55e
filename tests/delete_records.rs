//! DeleteRecords: what lies below the new start is gone for everybody, at once and after a crash.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::path::Path;

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use broker::{Broker, Connection, ask};

const NEWEST: i16 = 2;
/// As an offset: all that consumers can see.
const HIGH_WATERMARK: i64 = -1;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const POLICY_VIOLATION: i16 = 44;
const KAFKA_STORAGE_ERROR: i16 = 56;

fn request(topic: &str, partitions: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partition = |(index, offset): &(i32, i64)| DeleteRecordsPartition::default().with_partition_index(*index).with_offset(*offset);
    let topic = DeleteRecordsTopic::default().with_name(ask::topic_name(topic)).with_partitions(partitions.iter().map(partition).collect());
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000)
}

/// Error code and low watermark of each partition.
fn delete(connection: &mut Connection, topic: &str, partitions: &[(i32, i64)]) -> Vec<(i16, i64)> {
    let answer = connection.ask(NEWEST, &request(topic, partitions));
    assert_eq!((answer.topics.len(), answer.topics[0].name.as_str()), (1, topic));
    let answered = &answer.topics[0].partitions;
    assert!(answered.iter().zip(partitions).all(|(answered, (index, _))| answered.partition_index == *index));
    answered.iter().map(|partition| (partition.error_code, partition.low_watermark)).collect()
}

/// Asserts that a partition of ten records begins at `start`, for ListOffsets, for Fetch and for Produce.
fn assert_begins_at(connection: &mut Connection, topic: &str, partition: i32, start: i64) {
    assert_eq!(ask::list_offset(connection, topic, partition, ask::EARLIEST).offset, start);
    assert_eq!(ask::list_offset(connection, topic, partition, 0).offset, start, "the first record of any time");
    let below = ask::fetch(connection, topic, partition, start - 1);
    assert_eq!((below.error_code, below.log_start_offset), (OFFSET_OUT_OF_RANGE, start));
    let offsets: Vec<i64> = ask::read(connection, topic, partition, start).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, (start..10).collect::<Vec<_>>());
}

#[test]
fn what_was_deleted_is_gone_and_does_not_come_back_after_a_crash() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    for partition in 0..2 {
        ask::write(&mut connection, "t", partition, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
    assert_eq!(delete(&mut connection, "t", &[(0, 4), (1, 7)]), [(0, 4), (0, 7)]);
    assert_begins_at(&mut connection, "t", 0, 4);
    assert_begins_at(&mut connection, "t", 1, 7);

    // Only this answer has been waited for: the next checkpoint is a minute away.
    for start in [5, 6, 7] {
        assert_eq!(delete(&mut broker.connect(1), "t", &[(0, start)]), [(0, start)]);
        broker.kill();
        broker.start_again(&[]);
        let mut connection = broker.connect(0);
        assert_begins_at(&mut connection, "t", 0, start);
        assert_begins_at(&mut connection, "t", 1, 7);
    }
    broker.stop();
    broker.start_again(&[]);
    assert_begins_at(&mut broker.connect(0), "t", 0, 7);
    let produced = ask::produce(&mut broker.connect(0), "t", 0, &ask::batch_of(&["10"]));
    assert_eq!((produced.base_offset, produced.log_start_offset), (10, 7));
}

#[test]
fn many_who_delete_at_once_are_all_answered_with_what_is_on_the_disk() {
    const PARTITIONS: i32 = 24;
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", PARTITIONS, &[]);
    for partition in 0..PARTITIONS {
        ask::write(&mut connection, "t", partition, &["a", "b", "c"]);
    }
    let mut connections: Vec<Connection> = (0..PARTITIONS).map(|partition| broker.connect(partition as usize % 2)).collect();
    for (partition, connection) in (0..).zip(&mut connections) {
        connection.send(NEWEST, &request("t", &[(partition, 2)]));
    }
    for connection in &mut connections {
        let answer = connection.receive::<DeleteRecordsRequest>(NEWEST);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    broker.kill();
    broker.start_again(&[]);
    let mut connection = broker.connect(1);
    let starts: Vec<i64> =
        (0..PARTITIONS).map(|partition| ask::list_offset(&mut connection, "t", partition, ask::EARLIEST).offset).collect();
    assert_eq!(starts, [2; PARTITIONS as usize]);
}

#[test]
fn offsets_topics_and_policies_are_judged_as_kafka_does() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    ask::create_topic(&mut connection, "compacted", 1, &[("cleanup.policy", "compact")]);
    ask::create_topic(&mut connection, "both", 1, &[("cleanup.policy", "compact,delete")]);
    ask::create_topic(&mut connection, "__consumer_offsets", 1, &[]);
    ask::write(&mut connection, "t", 0, &["a", "b", "c"]);

    let out_of_range = (OFFSET_OUT_OF_RANGE, -1);
    let unknown = (UNKNOWN_TOPIC_OR_PARTITION, -1);
    let asked = [(0, 4), (0, -2), (0, 2), (0, 1), (2, 0), (-1, 0)];
    assert_eq!(delete(&mut connection, "t", &asked), [out_of_range, out_of_range, (0, 2), (0, 2), unknown, unknown]);
    assert_eq!(delete(&mut connection, "t", &[(0, HIGH_WATERMARK), (1, HIGH_WATERMARK), (1, 0)]), [(0, 3), (0, 0), (0, 0)]);
    assert_eq!(delete(&mut connection, "t", &[]), []);
    assert_eq!(delete(&mut connection, "nobody", &[(0, 0)]), [unknown]);
    assert_eq!(delete(&mut connection, "compacted", &[(0, HIGH_WATERMARK)]), [(POLICY_VIOLATION, -1)]);
    assert_eq!(delete(&mut connection, "both", &[(0, HIGH_WATERMARK)]), [(0, 0)]);
    assert_eq!(delete(&mut connection, "__consumer_offsets", &[(0, 0)]), [(INVALID_TOPIC, -1)]);
    assert_eq!(ask::write(&mut connection, "t", 0, &["d"]), 3, "offsets go on");
}

/// The `.log` files of a partition.
fn segments(partition: &Path) -> Vec<String> {
    let names = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".log") || name.ends_with(".log.deleted")).collect();
    names.sort();
    names
}

#[test]
fn segments_that_lie_wholly_below_go() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[("segment.bytes", "1048576"), ("file.delete.delay.ms", "0"), ("retention.ms", "-1")]);
    let value = vec![b'x'; 700_000];
    for _ in 0..4 {
        ask::write(&mut connection, "t", 0, &[&value]);
    }
    let directory = broker.data_dir.join("t-0");
    broker.wait_until(|_| segments(&directory).len() >= 4);
    assert_eq!(delete(&mut connection, "t", &[(0, 2)]), [(0, 2)]);
    broker.wait_until(|_| segments(&directory).first().is_some_and(|first| first.starts_with("00000000000000000002.")));
    assert_eq!(ask::read(&mut connection, "t", 0, 2).len(), 2);
    assert_eq!(delete(&mut connection, "t", &[(0, HIGH_WATERMARK)]), [(0, 4)]);
    // The active segment stays, with a record that nobody may read.
    broker.wait_until(|_| segments(&directory).first().is_some_and(|first| first.starts_with("00000000000000000003.")));
    broker.stop();
    broker.start_again(&[]);
    let mut connection = broker.connect(0);
    assert_eq!(ask::fetch(&mut connection, "t", 0, 3).error_code, OFFSET_OUT_OF_RANGE);
    assert_eq!(ask::end_offset(&mut connection, "t", 0), 4);
}

#[test]
fn a_start_that_cannot_be_written_down_is_no_success() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    ask::write(&mut connection, "t", 0, &["a", "b"]);
    // The new file is written under this name first.
    let in_the_way = broker.data_dir.join("log-start-offset-checkpoint.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    assert_eq!(delete(&mut connection, "t", &[(0, 1), (5, 0)]), [(KAFKA_STORAGE_ERROR, 1), (UNKNOWN_TOPIC_OR_PARTITION, -1)]);
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(delete(&mut connection, "t", &[(0, 1)]), [(0, 1)], "asking again is all there is to do");
}
