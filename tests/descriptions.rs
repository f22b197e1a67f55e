//! What admin tools look at: DescribeLogDirs and DescribeTopicPartitions of a running broker.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeTopicPartitionsRequest};

use broker::{Broker, Connection, ask};

const DESCRIBE_LOG_DIRS: i16 = 4;
const PARTITIONS: i32 = 5;

/// Partitions by topic and index, with their sizes.
type Sizes = BTreeMap<(String, i32), i64>;

fn describe(connection: &mut Connection, topics: Option<Vec<DescribableLogDirTopic>>) -> DescribeLogDirsResult {
    let answer = connection.ask(DESCRIBE_LOG_DIRS, &DescribeLogDirsRequest::default().with_topics(topics));
    assert_eq!((answer.error_code, answer.results.len()), (0, 1), "one directory");
    answer.results[0].clone()
}

fn sizes(result: &DescribeLogDirsResult) -> Sizes {
    let partitions = result.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)));
    let size = |(topic, partition): (&kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsTopic, _)| {
        let partition: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsPartition = partition;
        assert!(partition.offset_lag == 0 && !partition.is_future_key);
        ((topic.name.to_string(), partition.partition_index), partition.partition_size)
    };
    partitions.map(size).collect()
}

/// Two topics with something in them, and how many bytes of it each partition holds.
fn fill(broker: &Broker) -> Sizes {
    let mut connection = broker.connect(0);
    let mut written = Sizes::new();
    for topic in ["a", "b"] {
        ask::create_topic(&mut connection, topic, PARTITIONS, &[]);
        for partition in 0..PARTITIONS {
            let batch = ask::batch_of(&vec!["x"; 1 + partition as usize]);
            assert_eq!(ask::produce(&mut connection, topic, partition, &batch).error_code, 0);
            written.insert((topic.into(), partition), batch.len() as i64);
        }
    }
    written
}

#[test]
fn each_core_shows_its_own_partitions_and_the_directory() {
    let broker = Broker::start(&[]);
    let written = fill(&broker);
    let shown: Vec<DescribeLogDirsResult> = (0..2).map(|core| describe(&mut broker.connect(core), None)).collect();
    for (core, result) in shown.iter().enumerate() {
        assert_eq!(result.error_code, 0);
        assert_eq!(result.log_dir.as_str(), broker.data_dir.to_str().unwrap());
        assert!(0 < result.usable_bytes && result.usable_bytes <= result.total_bytes, "{result:?}");
        for (topic, partition) in sizes(result).keys() {
            assert_eq!(ask::owner(&mut broker.connect(0), topic, *partition), core, "{topic}-{partition}");
        }
    }
    let all: Sizes = shown.iter().flat_map(sizes).collect();
    assert_eq!(all, written);
}

#[test]
fn one_broker_for_the_node_shows_all_partitions_and_filters_them() {
    let broker = Broker::start(&["--advertise", "per-node"]);
    let written = fill(&broker);
    assert_eq!(sizes(&describe(&mut broker.connect(0), None)), written);

    let wanted = |topic: &str, partitions: &[i32]| {
        DescribableLogDirTopic::default().with_topic(ask::topic_name(topic)).with_partitions(partitions.to_vec())
    };
    let some = describe(&mut broker.connect(0), Some(vec![wanted("b", &[4, 0, 99]), wanted("nobody", &[0]), wanted("a", &[])]));
    let keys: BTreeSet<_> = sizes(&some).into_keys().collect();
    assert_eq!(keys, BTreeSet::from([("b".to_string(), 0), ("b".to_string(), 4)]));
    assert!(describe(&mut broker.connect(0), Some(vec![])).topics.is_empty(), "none means none");
}

#[test]
fn topics_are_described_in_pages() {
    let broker = Broker::start(&["--set", "max.request.partition.size.limit=4"]);
    let mut connection = broker.connect(0);
    let names = ["c", "a", "b"];
    names.iter().for_each(|name| ask::create_topic(&mut connection, name, 3, &[]));
    let mut seen = Vec::new();
    let mut cursor = None;
    for expected in [4, 4, 1] {
        let answer = connection.ask(0, &DescribeTopicPartitionsRequest::default().with_cursor(cursor));
        let page = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)));
        let before = seen.len();
        for (topic, partition) in page {
            let of_metadata = &ask::describe(&mut broker.connect(1), topic.name.as_ref().unwrap().as_str());
            assert_eq!(topic.topic_id, of_metadata.topic_id);
            let same = &of_metadata.partitions[partition.partition_index as usize];
            assert_eq!((partition.leader_id, partition.leader_epoch), (same.leader_id, same.leader_epoch));
            assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&same.replica_nodes, &same.isr_nodes));
            seen.push((topic.name.as_ref().unwrap().to_string(), partition.partition_index));
        }
        assert_eq!(seen.len() - before, expected);
        cursor =
            answer.next_cursor.map(|next| Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index));
    }
    assert!(cursor.is_none());
    let all: Vec<_> = ["a", "b", "c"].iter().flat_map(|name| (0..3).map(move |index| (name.to_string(), index))).collect();
    assert_eq!(seen, all);

    let topic = |name: &str| TopicRequest::default().with_name(ask::topic_name(name));
    let named = DescribeTopicPartitionsRequest::default().with_topics(vec![topic("nobody"), topic("a")]).with_response_partition_limit(2);
    let answer = connection.ask(0, &named);
    assert_eq!((answer.topics[0].error_code, answer.topics[0].partitions.len()), (0, 2));
    assert_eq!(answer.next_cursor.map(|cursor| cursor.partition_index), Some(2));
}
