//! Every request that is served, in every version: a well-formed one gets an answer of that version, to the last byte.
//!
//! The answers are read by kafka-protocol, which knows for each version what may stand there. The requests of groups are asked in
//! `groups.rs`. Whoever adds a row to the table of versions adds a question: `every_row_of_the_table_is_asked` says so.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::alter_client_quotas_request::{self, OpData};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest as DescribeProducersTopic;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest, ApiVersionsRequest, ApiVersionsResponse, BrokerId,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeClientQuotasRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeTopicPartitionsRequest, DescribeUserScramCredentialsRequest, FetchRequest, FindCoordinatorRequest,
    HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    ListOffsetsRequest, ListPartitionReassignmentsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, ResponseHeader, SyncGroupRequest, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Request};
use pagewire::api::versions::{self, APIS};
use pagewire::base::{ProducerId, Timestamp};
use pagewire::wire::{Codec, RecordBatchBuilder};
use uuid::Uuid;

use broker::ask::{served, text};
use broker::connection::{frame, frame_around};
use broker::{Broker, Connection, ask};

const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_TOPIC_ID: i16 = 100;
const RESOURCE_NOT_FOUND: i16 = 91;
const DUPLICATE_RESOURCE: i16 = 92;
/// The first versions that call topics by id only.
const TOPIC_IDS: i16 = 13;
/// The isolation level that reads no record of an open or aborted transaction.
const READ_COMMITTED: i8 = 1;
/// A topic id that nobody has.
const NOBODY: Uuid = Uuid::from_bytes([7; 16]);

/// A broker with a topic "t" of two partitions, one per core, and its id.
fn broker_with_a_topic() -> (Broker, Connection, Uuid) {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    let owners = BTreeSet::from([ask::owner(&mut connection, "t", 0), ask::owner(&mut connection, "t", 1)]);
    assert_eq!(owners, BTreeSet::from([0, 1]), "one partition is this core's, the other must be asked for");
    let id = ask::describe(&mut connection, "t").topic_id;
    assert!(!id.is_nil());
    (broker, connection, id)
}

#[test]
fn every_row_of_the_table_is_asked() {
    // One entry for each test below, and for each in groups.rs.
    let asked = [
        ProduceRequest::KEY,
        FetchRequest::KEY,
        ListOffsetsRequest::KEY,
        MetadataRequest::KEY,
        ApiVersionsRequest::KEY,
        CreateTopicsRequest::KEY,
        DeleteTopicsRequest::KEY,
        InitProducerIdRequest::KEY,
        OffsetForLeaderEpochRequest::KEY,
        DescribeConfigsRequest::KEY,
        DescribeClusterRequest::KEY,
        AlterConfigsRequest::KEY,
        CreatePartitionsRequest::KEY,
        IncrementalAlterConfigsRequest::KEY,
        AlterPartitionReassignmentsRequest::KEY,
        ListPartitionReassignmentsRequest::KEY,
        DescribeClientQuotasRequest::KEY,
        AlterClientQuotasRequest::KEY,
        DescribeUserScramCredentialsRequest::KEY,
        DescribeProducersRequest::KEY,
        DeleteRecordsRequest::KEY,
        DescribeLogDirsRequest::KEY,
        DescribeTopicPartitionsRequest::KEY,
        OffsetCommitRequest::KEY,
        OffsetFetchRequest::KEY,
        FindCoordinatorRequest::KEY,
        JoinGroupRequest::KEY,
        HeartbeatRequest::KEY,
        LeaveGroupRequest::KEY,
        SyncGroupRequest::KEY,
        DescribeGroupsRequest::KEY,
        ListGroupsRequest::KEY,
        DeleteGroupsRequest::KEY,
        OffsetDeleteRequest::KEY,
    ];
    // What concerns groups stands in `tests/groups.rs`.
    let asked_there = [
        versions::OFFSET_COMMIT,
        versions::OFFSET_FETCH,
        versions::FIND_COORDINATOR,
        versions::JOIN_GROUP,
        versions::HEARTBEAT,
        versions::LEAVE_GROUP,
        versions::SYNC_GROUP,
        versions::DESCRIBE_GROUPS,
        versions::LIST_GROUPS,
        versions::DELETE_GROUPS,
        versions::OFFSET_DELETE,
    ];
    // And those of KIP-848 in `tests/consumer_groups.rs`.
    let asked_of_consumer_groups = [versions::CONSUMER_GROUP_HEARTBEAT, versions::CONSUMER_GROUP_DESCRIBE];
    for row in APIS {
        assert!(
            asked.contains(&row.key) || asked_there.contains(&row.key) || asked_of_consumer_groups.contains(&row.key),
            "{} is served: ask for it in every version here, and add it to this list",
            row.name
        );
    }
}

#[test]
fn api_versions() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(1);
    for version in served::<ApiVersionsRequest>() {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request = request.with_client_software_name(text("test")).with_client_software_version(text("1"));
        }
        let answer = connection.ask(version, &request);
        assert_eq!(answer.error_code, 0);
        let told: Vec<_> = answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        let table: Vec<_> = APIS.iter().map(|row| (row.key, row.advertised_min, row.max)).collect();
        assert_eq!(told, table, "version {version}");
    }
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    for version in [5, 99, i16::MAX, -1, i16::MIN] {
        // KIP-511: whatever else stands there, key, version and correlation id can be read.
        let mut request = vec![0, 0, 0, 10, 0, 18];
        request.extend_from_slice(&version.to_be_bytes());
        request.extend_from_slice(&[0, 0, 0, 77, 9, 9]);
        connection.send_bytes(&request).unwrap();
        let mut answer = connection.receive_frame().unwrap();
        assert_eq!(ResponseHeader::decode(&mut answer, 0).unwrap().correlation_id, 77);
        let body = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
        assert!(answer.is_empty());
        assert_eq!(body.error_code, UNSUPPORTED_VERSION);
        let own = versions::find(versions::API_VERSIONS).unwrap();
        let told: Vec<_> = body.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        assert_eq!(told, [(own.key, own.min, own.max)]);
    }
    assert_eq!(connection.ask(4, &ApiVersionsRequest::default()).error_code, 0, "the connection goes on");
}

#[test]
fn other_unknown_versions_and_keys_are_closed() {
    let broker = Broker::start(&[]);
    let closed = |key: i16, version: i16| {
        let mut connection = broker.connect(0);
        connection.send_bytes(&frame_around(key, version, 1, 1, &[0; 16])).unwrap();
        connection.expect_close();
    };
    for row in APIS.iter().filter(|row| row.key != versions::API_VERSIONS) {
        closed(row.key, row.max + 1);
        closed(row.key, row.advertised_min - 1);
    }
    let served = |key: i16| APIS.iter().any(|row| row.key == key);
    for key in [-1, 4, 5, 6, 7, 17, 59, 93, 94, 500, i16::MAX, i16::MIN].into_iter().filter(|key| !served(*key)) {
        closed(key, 0);
    }
    assert_eq!(broker.connect(0).ask(0, &ApiVersionsRequest::default()).error_code, 0);
}

#[test]
fn metadata() {
    let (_broker, mut connection, id) = broker_with_a_topic();
    for version in served::<MetadataRequest>() {
        let named = |name: &str| MetadataRequestTopic::default().with_name(Some(ask::topic_name(name)));
        let request = |topics| {
            let request = MetadataRequest::default().with_topics(topics);
            // Without the field, creating is the rule.
            if version >= 4 { request.with_allow_auto_topic_creation(false) } else { request }
        };
        let answer = connection.ask(version, &request(Some(vec![named("t")])));
        assert_eq!(answer.brokers.len(), 2);
        assert!(answer.brokers.iter().all(|broker| broker.port > 0 && broker.host.as_str() == "127.0.0.1"), "{:?}", answer.brokers);
        if version >= 1 {
            assert!(answer.brokers.iter().any(|broker| broker.node_id == answer.controller_id));
        }
        if version >= 2 {
            assert_eq!(answer.cluster_id.as_ref().map(|id| id.len()), Some(22));
        }
        let topic = &answer.topics[0];
        assert_eq!((topic.error_code, topic.partitions.len()), (0, 2), "version {version}");
        assert_eq!(topic.topic_id, if version >= 10 { id } else { Uuid::nil() });
        for partition in &topic.partitions {
            let leader = [partition.leader_id];
            assert_eq!((partition.error_code, &partition.replica_nodes[..], &partition.isr_nodes[..]), (0, &leader[..], &leader[..]));
            assert!(if version >= 7 { partition.leader_epoch >= 0 } else { partition.leader_epoch == -1 });
        }

        // All topics: an empty list in version 0, null from 1 on.
        let all = connection.ask(version, &request(if version == 0 { Some(vec![]) } else { None }));
        assert!(all.topics.iter().any(|topic| topic.name.as_ref().unwrap().as_str() == "t"), "version {version}");
        if version >= 1 {
            assert_eq!(connection.ask(version, &request(Some(vec![]))).topics.len(), 0, "none means none");
        }
        if version >= 4 {
            let unknown = connection.ask(version, &request(Some(vec![named("nobody"), named("a b")])));
            let codes: Vec<_> = unknown.topics.iter().map(|topic| topic.error_code).collect();
            assert_eq!(codes, [UNKNOWN_TOPIC_OR_PARTITION, 17]);
        }
        if version >= 12 {
            let by_id = |id| MetadataRequestTopic::default().with_name(None).with_topic_id(id);
            let answer = connection.ask(version, &request(Some(vec![by_id(id), by_id(NOBODY)])));
            assert_eq!(answer.topics[0].name.as_ref().unwrap().as_str(), "t");
            assert_eq!((answer.topics[1].error_code, &answer.topics[1].name), (UNKNOWN_TOPIC_ID, &None));
        }
    }
}

#[test]
fn metadata_creates_topics_in_every_version_that_allows_it() {
    let broker = Broker::start(&["--set", "num.partitions=3"]);
    let mut connection = broker.connect(0);
    for version in served::<MetadataRequest>() {
        let name = format!("auto-{version}");
        let topic = MetadataRequestTopic::default().with_name(Some(ask::topic_name(&name)));
        let answer = connection.ask(version, &MetadataRequest::default().with_topics(Some(vec![topic])));
        assert_eq!((answer.topics[0].error_code, answer.topics[0].partitions.len()), (0, 3), "version {version}");
        assert_eq!(ask::write(&mut connection, &name, 2, &["ready at once"]), 0);
    }
}

#[test]
fn produce() {
    let (_broker, mut connection, id) = broker_with_a_topic();
    for version in served::<ProduceRequest>() {
        let topic = |name: &str, id| {
            let partition =
                |index| PartitionProduceData::default().with_index(index).with_records(Some(Bytes::from(ask::batch_of(&["a", "b"]))));
            let topic = TopicProduceData::default().with_partition_data(vec![partition(0), partition(1), partition(2)]);
            if version >= TOPIC_IDS { topic.with_topic_id(id) } else { topic.with_name(ask::topic_name(name)) }
        };
        let request = ProduceRequest::default()
            .with_acks(ask::ALL)
            .with_timeout_ms(1000)
            .with_topic_data(vec![topic("t", id), topic("nobody", NOBODY)]);
        let answer = connection.ask(version, &request);
        assert_eq!(answer.responses.len(), 2, "version {version}");
        let (known, unknown) = (&answer.responses[0], &answer.responses[1]);
        match version >= TOPIC_IDS {
            true => assert_eq!((known.topic_id, unknown.topic_id), (id, NOBODY)),
            false => assert_eq!((known.name.as_str(), unknown.name.as_str()), ("t", "nobody")),
        }
        let base_offset = 2 * i64::from(version - versions::PRODUCE_MIN);
        for (place, partition) in known.partition_responses[..2].iter().enumerate() {
            assert_eq!((partition.index, partition.error_code), (place as i32, 0), "version {version}");
            assert_eq!((partition.base_offset, partition.log_append_time_ms), (base_offset, -1));
            assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
            assert!(partition.record_errors.is_empty() && partition.error_message.is_none());
        }
        assert_eq!(known.partition_responses[2].error_code, UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(known.partition_responses[2].base_offset, -1);
        let expected = if version >= TOPIC_IDS { UNKNOWN_TOPIC_ID } else { UNKNOWN_TOPIC_OR_PARTITION };
        assert!(unknown.partition_responses.iter().all(|partition| partition.error_code == expected));
    }
}

/// The body of Produce before version 3, which kafka-protocol does not write: acks, timeout, one topic, one partition.
fn old_produce_body(records: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0, 3, 0xe8, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0];
    body.extend_from_slice(&(records.len() as i32).to_be_bytes());
    body.extend_from_slice(records);
    body
}

#[test]
fn produce_0_to_2_is_advertised_and_refused_per_partition() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for version in 0..versions::PRODUCE_MIN {
        connection.send_bytes(&frame_around(0, version, 1, 5, &old_produce_body(&ask::batch_of(&["x"])))).unwrap();
        let mut answer = connection.receive_frame().unwrap();
        assert_eq!(answer.get_i32(), 5, "correlation id");
        assert_eq!((answer.get_i32(), answer.get_i16(), answer.get_u8()), (1, 1, b't'), "one topic, t");
        assert_eq!((answer.get_i32(), answer.get_i32()), (1, 0), "one partition, 0");
        assert_eq!((answer.get_i16(), answer.get_i64()), (UNSUPPORTED_VERSION, -1));
        if version >= 2 {
            assert_eq!(answer.get_i64(), -1, "log append time");
        }
        if version >= 1 {
            assert_eq!(answer.get_i32(), 0, "throttle time");
        }
        assert!(answer.is_empty(), "version {version}");
    }
    assert_eq!(ask::end_offset(&mut connection, "t", 0), 0);
}

#[test]
fn fetch() {
    let (_broker, mut connection, id) = broker_with_a_topic();
    for partition in 0..2 {
        ask::write(&mut connection, "t", partition, &["a", "b", "c"]);
    }
    for version in served::<FetchRequest>() {
        let topic = |name: &str, id| {
            let partition =
                |index, offset| FetchPartition::default().with_partition(index).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
            let topic = FetchTopic::default().with_partitions(vec![partition(0, 0), partition(1, 2), partition(0, 3), partition(0, 4)]);
            if version >= TOPIC_IDS { topic.with_topic_id(id) } else { topic.with_topic(ask::topic_name(name)) }
        };
        for isolation_level in [0, READ_COMMITTED] {
            let mut request = FetchRequest::default()
                .with_max_wait_ms(0)
                .with_max_bytes(1 << 20)
                .with_isolation_level(isolation_level)
                .with_topics(vec![topic("t", id), topic("nobody", NOBODY)]);
            if version <= 14 {
                request = request.with_replica_id(BrokerId(-1));
            }
            let answer = connection.ask(version, &request);
            assert_eq!((answer.error_code, answer.session_id, answer.responses.len()), (0, 0, 2), "version {version}");
            let (known, unknown) = (&answer.responses[0], &answer.responses[1]);
            match version >= TOPIC_IDS {
                true => assert_eq!((known.topic_id, unknown.topic_id), (id, NOBODY)),
                false => assert_eq!((known.topic.as_str(), unknown.topic.as_str()), ("t", "nobody")),
            }
            let read: Vec<_> = known
                .partitions
                .iter()
                .map(|partition| (partition.error_code, ask::records_of(partition.records.as_deref().unwrap_or_default()).len()))
                .collect();
            assert_eq!(read, [(0, 3), (0, 3), (0, 0), (1, 0)], "version {version}: whole batches, nothing at the end, out of range");
            for partition in &known.partitions[..3] {
                assert_eq!((partition.high_watermark, partition.last_stable_offset), (3, 3));
                assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
                // None are asked for, or there are none.
                let aborted = (isolation_level == READ_COMMITTED).then(Vec::new);
                assert_eq!(partition.aborted_transactions, aborted, "version {version}");
            }
            let expected = if version >= TOPIC_IDS { UNKNOWN_TOPIC_ID } else { UNKNOWN_TOPIC_OR_PARTITION };
            assert!(unknown.partitions.iter().all(|partition| partition.error_code == expected), "version {version}");
        }
        if version >= 7 {
            let request = FetchRequest::default().with_session_id(12).with_session_epoch(1).with_max_bytes(1);
            let request = if version <= 14 { request.with_replica_id(BrokerId(-1)) } else { request };
            assert_eq!(connection.ask(version, &request).error_code, 70, "version {version}: an unknown session");
        }
    }
}

#[test]
fn list_offsets() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for partition in 0..2 {
        ask::write(&mut connection, "t", partition, &["a", "b"]);
    }
    for version in served::<ListOffsetsRequest>() {
        let mut times = vec![ask::LATEST, ask::EARLIEST, 0];
        times.extend((version >= 7).then_some(ask::MAX_TIMESTAMP));
        times.extend((version >= 8).then_some(-4));
        times.extend((version >= 9).then_some(-5));
        for time in times {
            let topic = |name: &str| {
                let partition = |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(time);
                ListOffsetsTopic::default().with_name(ask::topic_name(name)).with_partitions(vec![partition(0), partition(1), partition(2)])
            };
            let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic("t"), topic("nobody")]);
            // There are no transactions: what a reader of committed records sees is what everybody sees.
            if version >= 2 {
                let committed = connection.ask(version, &request.clone().with_isolation_level(READ_COMMITTED));
                assert_eq!(committed, connection.ask(version, &request), "version {version} of {time}");
            }
            let answer = connection.ask(version, &request);
            let found: Vec<_> = answer.topics[0].partitions.iter().map(|partition| (partition.error_code, partition.offset)).collect();
            let offset = match time {
                ask::LATEST => 2,
                -5 => -1,
                _ => 0,
            };
            assert_eq!(found, [(0, offset), (0, offset), (UNKNOWN_TOPIC_OR_PARTITION, -1)], "version {version} of {time}");
            assert!(answer.topics[1].partitions.iter().all(|partition| partition.error_code == UNKNOWN_TOPIC_OR_PARTITION));
            if time == 0 {
                assert!(ask::now_ms() - answer.topics[0].partitions[0].timestamp < 600_000);
            }
        }
    }
}

#[test]
fn create_and_delete_topics() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    for version in served::<CreateTopicsRequest>() {
        for validate_only in [true, false] {
            let topic = |name: &str, partitions| {
                let config = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("60000")));
                CreatableTopic::default()
                    .with_name(ask::topic_name(name))
                    .with_num_partitions(partitions)
                    .with_replication_factor(1)
                    .with_configs(vec![config])
            };
            let request = CreateTopicsRequest::default().with_timeout_ms(1000).with_validate_only(validate_only).with_topics(vec![
                topic(&format!("made-{version}"), 2),
                topic("a b", 1),
                topic("none", 0),
            ]);
            let answer = connection.ask(version, &request);
            let codes: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
            assert_eq!(codes, [0, 17, 37], "version {version}");
            assert!(answer.topics[1..].iter().all(|topic| topic.error_message.is_some()));
            let made = &answer.topics[0];
            if version >= 5 {
                assert_eq!((made.num_partitions, made.replication_factor), (2, 1));
                let configs = made.configs.as_ref().unwrap();
                let retention = configs.iter().find(|config| config.name.as_str() == "retention.ms").unwrap();
                assert_eq!(retention.value.as_ref().unwrap().as_str(), "60000");
            }
            assert_eq!(made.topic_id.is_nil(), version < 7, "version {version}");
        }
        let name = format!("made-{version}");
        assert_eq!(ask::try_create_topic(&mut connection, &name, 1, &[]), 36);
        ask::write(&mut connection, &name, 1, &["x"]);
    }

    for (version, made) in served::<DeleteTopicsRequest>().zip(served::<CreateTopicsRequest>()) {
        let name = format!("made-{made}");
        let names = [name.as_str(), "nobody"].map(ask::topic_name);
        let mut request = DeleteTopicsRequest::default().with_timeout_ms(1000);
        request = match version >= 6 {
            true => {
                let by_id = DeleteTopicState::default().with_name(None).with_topic_id(ask::describe(&mut connection, &name).topic_id);
                let unknown = [DeleteTopicState::default().with_name(None).with_topic_id(NOBODY)];
                request.with_topics([by_id].into_iter().chain(unknown).collect())
            }
            false => request.with_topic_names(names.to_vec()),
        };
        let answer = connection.ask(version, &request);
        let codes: Vec<_> = answer.responses.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [0, if version >= 6 { UNKNOWN_TOPIC_ID } else { UNKNOWN_TOPIC_OR_PARTITION }], "version {version}");
        assert_eq!(answer.responses[0].name.as_ref().unwrap().as_str(), name);
        assert_eq!(ask::describe(&mut connection, &name).error_code, UNKNOWN_TOPIC_OR_PARTITION);
    }
}

#[test]
fn init_producer_id() {
    let broker = Broker::start(&[]);
    let mut given = BTreeSet::new();
    for version in served::<InitProducerIdRequest>() {
        for core in 0..2 {
            let mut connection = broker.connect(core);
            let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(i32::MAX);
            let answer = connection.ask(version, &request);
            assert_eq!((answer.error_code, answer.producer_epoch), (0, 0), "version {version}");
            assert!(answer.producer_id.0 >= 0 && given.insert(answer.producer_id.0), "an id is given once");
            if version >= 3 {
                // KIP-360: without a transactional id an id that the producer has changes nothing, but half of one is an error.
                let known = request.clone().with_producer_id(answer.producer_id);
                let fresh = connection.ask(version, &known.clone().with_producer_epoch(0));
                assert_eq!((fresh.error_code, fresh.producer_epoch), (0, 0), "version {version}");
                assert!(given.insert(fresh.producer_id.0), "a new id, not a new epoch");
                assert_eq!(connection.ask(version, &known).error_code, INVALID_REQUEST);
                assert_eq!(connection.ask(version, &request.clone().with_producer_epoch(0)).error_code, INVALID_REQUEST);
            }
            let transactional = request.with_transactional_id(Some(TransactionalId(text("x")))).with_transaction_timeout_ms(1000);
            let answer = connection.ask(version, &transactional);
            assert!(answer.error_code != 0 && answer.producer_id.0 == -1, "transactions are not served");
        }
    }
}

#[test]
fn offset_for_leader_epoch() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for partition in 0..2 {
        ask::write(&mut connection, "t", partition, &["a", "b"]);
    }
    let epoch = ask::describe(&mut connection, "t").partitions[0].leader_epoch;
    for version in served::<OffsetForLeaderEpochRequest>() {
        let topic = |name: &str| {
            let partition =
                |index| OffsetForLeaderPartition::default().with_partition(index).with_current_leader_epoch(epoch).with_leader_epoch(epoch);
            OffsetForLeaderTopic::default().with_topic(ask::topic_name(name)).with_partitions(vec![
                partition(0),
                partition(1),
                partition(2),
            ])
        };
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic("t"), topic("nobody")]);
        let request = if version >= 3 { request.with_replica_id(BrokerId(-1)) } else { request };
        let answer = connection.ask(version, &request);
        let found: Vec<_> = answer.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.error_code, partition.leader_epoch, partition.end_offset))
            .collect();
        assert_eq!(found, [(0, epoch, 2), (0, epoch, 2), (UNKNOWN_TOPIC_OR_PARTITION, -1, -1)], "version {version}");
        assert!(answer.topics[1].partitions.iter().all(|partition| partition.error_code == UNKNOWN_TOPIC_OR_PARTITION));
    }
}

#[test]
fn describe_configs() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for version in served::<DescribeConfigsRequest>() {
        for include_all in [false, true] {
            let resource = |kind, name: &str| {
                DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configuration_keys(None)
            };
            let one = resource(2, "t").with_configuration_keys(Some(vec![text("retention.ms")]));
            let resources = vec![resource(2, "t"), resource(4, "1000"), one, resource(2, "nobody"), resource(4, "77"), resource(9, "x")];
            let request = DescribeConfigsRequest::default().with_resources(resources).with_include_synonyms(include_all);
            let request = if version >= 3 { request.with_include_documentation(include_all) } else { request };
            let answer = connection.ask(version, &request);
            let codes: Vec<_> = answer.results.iter().map(|result| result.error_code).collect();
            assert_eq!(codes, [0, 0, 0, UNKNOWN_TOPIC_OR_PARTITION, 42, 42], "version {version}");
            let settings: Vec<_> = answer.results[..2].iter().map(|result| result.configs.len()).collect();
            assert!(settings[0] > 10 && settings[1] > 5, "{settings:?}");
            assert_eq!(answer.results[2].configs.len(), 1);
            let retention = &answer.results[2].configs[0];
            assert_eq!((retention.name.as_str(), retention.value.as_ref().unwrap().as_str()), ("retention.ms", "604800000"));
            if version >= 3 {
                assert_eq!(retention.documentation.is_some(), include_all);
            }
        }
    }
}

#[test]
fn alter_configs() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for version in served::<AlterConfigsRequest>() {
        let resource = |kind, name: &str, value: &str| {
            let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text(value)));
            AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(vec![config])
        };
        let resources = vec![resource(2, "t", "60000"), resource(2, "nobody", "1"), resource(4, "1000", "1"), resource(32, "g", "1")];
        for validate_only in [true, false] {
            let request = AlterConfigsRequest::default().with_resources(resources.clone()).with_validate_only(validate_only);
            let answer = connection.ask(version, &request);
            let told: Vec<_> = answer.responses.iter().map(|one| (one.resource_type, one.resource_name.as_str(), one.error_code)).collect();
            assert_eq!(told, [(2, "t", 0), (2, "nobody", UNKNOWN_TOPIC_OR_PARTITION), (4, "1000", 42), (32, "g", 42)], "version {version}");
            assert!(answer.responses[1..].iter().all(|one| one.error_message.is_some()));
        }
    }
}

#[test]
fn incremental_alter_configs() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for version in served::<IncrementalAlterConfigsRequest>() {
        let resource = |kind, name: &str, operation, value: Option<&str>| {
            let config = IncrementalConfig::default().with_name(text("retention.ms")).with_value(value.map(text));
            let configs = vec![config.with_config_operation(operation)];
            IncrementalResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(configs)
        };
        for resources in [
            vec![resource(2, "t", 0, Some("60000")), resource(2, "nobody", 0, Some("1")), resource(8, "1000", 0, Some("INFO"))],
            vec![resource(2, "t", 1, None), resource(2, "nobody", 1, None), resource(16, "m", 0, Some("1"))],
        ] {
            let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
            let answer = connection.ask(version, &request);
            let codes: Vec<_> = answer.responses.iter().map(|one| one.error_code).collect();
            assert_eq!(codes, [0, UNKNOWN_TOPIC_OR_PARTITION, 42], "version {version}");
        }
    }
}

#[test]
fn create_partitions() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for (version, count) in served::<CreatePartitionsRequest>().zip((4..).step_by(2)) {
        let topic = |name: &str, count| CreatePartitionsTopic::default().with_name(ask::topic_name(name)).with_count(count);
        let on = |broker| CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(broker)]);
        for validate_only in [true, false] {
            let topics =
                vec![topic("t", count).with_assignments(Some(vec![on(1001), on(1000)])), topic("nobody", 2).with_assignments(None)];
            let request = CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(1000).with_validate_only(validate_only);
            let answer = connection.ask(version, &request);
            let codes: Vec<_> = answer.results.iter().map(|topic| (topic.name.as_str(), topic.error_code)).collect();
            assert_eq!(codes, [("t", 0), ("nobody", UNKNOWN_TOPIC_OR_PARTITION)], "version {version}");
        }
        assert_eq!([count - 2, count - 1].map(|partition| ask::owner(&mut connection, "t", partition)), [1, 0], "as assigned");
        ask::write(&mut connection, "t", count - 1, &["ready at once"]);
    }
}

#[test]
fn alter_and_list_partition_reassignments() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    let places = |connection: &mut Connection| [0, 1].map(|partition| ask::owner(connection, "t", partition));
    for version in served::<AlterPartitionReassignmentsRequest>() {
        let swapped = places(&mut connection).map(|core| 1 - core);
        let to = |index: i32, replicas: Option<Vec<i32>>| {
            let replicas = replicas.map(|ids| ids.into_iter().map(BrokerId).collect());
            ReassignablePartition::default().with_partition_index(index).with_replicas(replicas)
        };
        let wanted = swapped.map(|core| Some(vec![1000 + core as i32]));
        let [first, second] = wanted;
        let partitions = vec![to(0, first), to(1, second), to(2, Some(vec![1000])), to(3, None)];
        let topic = |name: &str| ReassignableTopic::default().with_name(ask::topic_name(name)).with_partitions(partitions.clone());
        let request = AlterPartitionReassignmentsRequest::default().with_timeout_ms(1000).with_topics(vec![topic("t"), topic("nobody")]);
        let answer = connection.ask(version, &request);
        assert_eq!(answer.error_code, 0, "version {version}");
        let codes = |topic: usize| answer.responses[topic].partitions.iter().map(|one| one.error_code).collect::<Vec<_>>();
        assert_eq!((codes(0), codes(1)), (vec![0, 0, 3, 3], vec![3; 4]), "version {version}");
        assert_eq!(places(&mut connection), swapped);
        let cancel = ReassignableTopic::default().with_name(ask::topic_name("t")).with_partitions(vec![to(0, None), to(1, Some(vec![7]))]);
        let answer = connection.ask(version, &AlterPartitionReassignmentsRequest::default().with_topics(vec![cancel]));
        assert_eq!(answer.responses[0].partitions.iter().map(|one| one.error_code).collect::<Vec<_>>(), [85, 39]);
    }
    for version in served::<ListPartitionReassignmentsRequest>() {
        let topic = ListPartitionReassignmentsTopics::default().with_name(ask::topic_name("t")).with_partition_indexes(vec![0, 1]);
        for topics in [None, Some(vec![topic])] {
            let answer = connection.ask(version, &ListPartitionReassignmentsRequest::default().with_topics(topics));
            assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
        }
    }
}

#[test]
fn client_quotas() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    for version in served::<AlterClientQuotasRequest>() {
        let entry = |kind: &str, name: Option<&str>, key: &str, value| {
            let entity = alter_client_quotas_request::EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text));
            let operation = OpData::default().with_key(text(key)).with_value(value).with_remove(value == 0.0);
            alter_client_quotas_request::EntryData::default().with_entity(vec![entity]).with_ops(vec![operation])
        };
        let entries = vec![
            entry("client-id", Some("app"), "producer_byte_rate", 1e6),
            entry("client-id", None, "consumer_byte_rate", 2e6),
            entry("ip", None, "connection_creation_rate", 1.0),
        ];
        let answer = connection.ask(version, &AlterClientQuotasRequest::default().with_entries(entries.clone()));
        assert_eq!(answer.entries.iter().map(|entry| entry.error_code).collect::<Vec<_>>(), [0, 0, 42], "version {version}");
        assert!(answer.entries[2].error_message.as_ref().unwrap().contains("not limited"));
        assert_eq!(answer.entries[0].entity[0].entity_name.as_ref().unwrap().as_str(), "app");

        let ask = |connection: &mut Connection, match_type, name: Option<&str>| {
            let component =
                ComponentData::default().with_entity_type(text("client-id")).with_match_type(match_type).with_match(name.map(text));
            connection.ask(version, &DescribeClientQuotasRequest::default().with_components(vec![component]).with_strict(true))
        };
        for (match_type, name, found) in [(0, Some("app"), 1), (0, Some("nobody"), 0), (1, None, 1), (2, None, 2)] {
            let answer = ask(&mut connection, match_type, name);
            assert_eq!((answer.error_code, answer.entries.unwrap().len()), (0, found), "match type {match_type}");
        }
        let exact = ask(&mut connection, 0, Some("app")).entries.unwrap();
        assert_eq!((exact[0].values[0].key.as_str(), exact[0].values[0].value), ("producer_byte_rate", 1e6));
        let wrong = ask(&mut connection, 7, None);
        assert_eq!((wrong.error_code, wrong.entries), (42, None));

        let away = vec![entry("client-id", Some("app"), "producer_byte_rate", 0.0), entry("client-id", None, "consumer_byte_rate", 0.0)];
        let request = AlterClientQuotasRequest::default().with_entries(away);
        let checked = connection.ask(version, &request.clone().with_validate_only(true));
        assert_eq!((checked.entries[0].error_code, ask(&mut connection, 2, None).entries.unwrap().len()), (0, 2));
        connection.ask(version, &request);
        assert_eq!(ask(&mut connection, 2, None).entries.unwrap().len(), 0);
    }
}

#[test]
fn nobody_has_scram_credentials() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    for version in served::<DescribeUserScramCredentialsRequest>() {
        let mut ask = |users: Option<&[&str]>| {
            let users = users.map(|users| users.iter().map(|user| UserName::default().with_name(text(user))).collect());
            let answer = connection.ask(version, &DescribeUserScramCredentialsRequest::default().with_users(users));
            assert_eq!((answer.error_code, answer.error_message), (0, None), "version {version}");
            answer.results
        };
        for everybody in [None, Some(&[][..])] {
            assert!(ask(everybody).is_empty(), "version {version}");
        }
        let results = ask(Some(&["alice", "bob", "alice", ""]));
        let told: Vec<_> = results.iter().map(|result| (result.user.as_str(), result.error_code)).collect();
        assert_eq!(told, [("alice", DUPLICATE_RESOURCE), ("bob", RESOURCE_NOT_FOUND), ("", RESOURCE_NOT_FOUND)], "version {version}");
        assert!(results.iter().all(|result| result.error_message.is_some() && result.credential_infos.is_empty()));
    }
}

#[test]
fn describe_cluster() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(1);
    for version in served::<DescribeClusterRequest>() {
        let request = DescribeClusterRequest::default();
        let answer = connection.ask(version, &request);
        assert_eq!((answer.error_code, answer.brokers.len(), answer.cluster_id.len()), (0, 2, 22), "version {version}");
        let ports: Vec<_> = answer.brokers.iter().map(|broker| broker.port as u16).collect();
        assert_eq!(ports, broker.ports);
        if version >= 1 {
            assert_ne!(connection.ask(version, &request.with_endpoint_type(2)).error_code, 0, "no controllers here");
        }
    }
}

#[test]
fn describe_producers() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for partition in 0..2 {
        let batch = RecordBatchBuilder::new(Codec::None).producer(ProducerId(9000 + i64::from(partition)), 3, 0);
        let batch = batch.record(Timestamp(ask::now_ms()), None, Some(b"x")).record(Timestamp(ask::now_ms()), None, Some(b"y"));
        assert_eq!(ask::produce(&mut connection, "t", partition, &batch.build()).error_code, 0);
    }
    for version in served::<DescribeProducersRequest>() {
        let topic = |name| DescribeProducersTopic::default().with_name(ask::topic_name(name)).with_partition_indexes(vec![0, 1, 2]);
        let answer = connection.ask(version, &DescribeProducersRequest::default().with_topics(vec![topic("t"), topic("nobody")]));
        let codes = |topic: usize| answer.topics[topic].partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>();
        assert_eq!((codes(0), codes(1)), (vec![0, 0, UNKNOWN_TOPIC_OR_PARTITION], vec![UNKNOWN_TOPIC_OR_PARTITION; 3]));
        for (partition, id) in [(0, 9000), (1, 9001)] {
            let producers = &answer.topics[0].partitions[partition].active_producers;
            assert_eq!(producers.len(), 1, "version {version}");
            let producer = &producers[0];
            assert_eq!((producer.producer_id.0, producer.producer_epoch, producer.last_sequence), (id, 3, 1));
            assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
            assert!(ask::now_ms() - producer.last_timestamp < 60_000);
        }
    }
}

#[test]
fn delete_records() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    for partition in 0..2 {
        ask::write(&mut connection, "t", partition, &["a", "b", "c"]);
    }
    for version in served::<DeleteRecordsRequest>() {
        let topic = |name: &str| {
            let partition = |index| DeleteRecordsPartition::default().with_partition_index(index).with_offset(i64::from(version) + 1);
            DeleteRecordsTopic::default().with_name(ask::topic_name(name)).with_partitions(vec![partition(0), partition(1), partition(2)])
        };
        let request = DeleteRecordsRequest::default().with_topics(vec![topic("t"), topic("nobody")]).with_timeout_ms(1000);
        let answer = connection.ask(version, &request);
        let found: Vec<_> = answer.topics[0].partitions.iter().map(|partition| (partition.error_code, partition.low_watermark)).collect();
        let start = i64::from(version) + 1;
        assert_eq!(found, [(0, start), (0, start), (UNKNOWN_TOPIC_OR_PARTITION, -1)], "version {version}");
        assert!(answer.topics[1].partitions.iter().all(|partition| partition.error_code == UNKNOWN_TOPIC_OR_PARTITION));
        assert_eq!(ask::list_offset(&mut connection, "t", 1, ask::EARLIEST).offset, start);
    }
}

#[test]
fn describe_log_dirs() {
    let (broker, mut connection, _) = broker_with_a_topic();
    for version in served::<DescribeLogDirsRequest>() {
        let answer = connection.ask(version, &DescribeLogDirsRequest::default().with_topics(None));
        let dir = &answer.results[0];
        assert_eq!((answer.error_code, dir.error_code, dir.log_dir.as_str()), (0, 0, broker.data_dir.to_str().unwrap()));
        let partitions: Vec<_> = dir.topics.iter().flat_map(|topic| &topic.partitions).collect();
        assert_eq!(partitions.len(), 1, "version {version}: the other partition is another broker's");
        assert!(if version >= 4 { dir.total_bytes > 0 } else { dir.total_bytes == -1 });
    }
}

#[test]
fn describe_topic_partitions() {
    let (_broker, mut connection, id) = broker_with_a_topic();
    for version in served::<DescribeTopicPartitionsRequest>() {
        let topic = |name: &str| TopicRequest::default().with_name(ask::topic_name(name));
        let request = DescribeTopicPartitionsRequest::default().with_topics(vec![topic("t"), topic("nobody")]);
        let answer = connection.ask(version, &request);
        let codes: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [UNKNOWN_TOPIC_OR_PARTITION, 0]);
        assert_eq!((answer.topics[1].topic_id, answer.topics[1].partitions.len()), (id, 2));
        assert!(answer.next_cursor.is_none());
    }
}

#[test]
fn whoever_asks_what_he_may_do_is_told() {
    /// `AclOperation`: read to describe, and the two of settings.
    const ALL_OF_A_TOPIC: i32 = 0xdf8;
    const NOT_ASKED: i32 = i32::MIN;
    let (_broker, mut connection, _) = broker_with_a_topic();
    for version in served::<MetadataRequest>().filter(|version| *version >= 8) {
        for asked in [false, true] {
            let request = MetadataRequest::default().with_topics(None).with_include_topic_authorized_operations(asked);
            let request = if version <= 10 { request.with_include_cluster_authorized_operations(asked) } else { request };
            let answer = connection.ask(version, &request);
            assert_eq!(answer.topics[0].topic_authorized_operations, if asked { ALL_OF_A_TOPIC } else { NOT_ASKED });
            assert_eq!(answer.cluster_authorized_operations != NOT_ASKED, asked && version <= 10, "version {version}");
        }
    }
    for version in served::<DescribeClusterRequest>() {
        for asked in [false, true] {
            let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(asked);
            assert_eq!(connection.ask(version, &request).cluster_authorized_operations != NOT_ASKED, asked);
        }
    }
}

#[test]
fn requests_of_all_kinds_are_answered_in_their_order() {
    let (_broker, mut connection, _) = broker_with_a_topic();
    let mut bytes = Vec::new();
    for id in (0..200).step_by(4) {
        bytes.extend(frame(id, ask::PRODUCE, &ask::produce_request("t", id / 4 % 2, ask::ALL, &ask::batch_of(&["x"]))));
        bytes.extend(frame(id + 1, ask::FETCH, &ask::fetch_request("t", id / 4 % 2, 0)));
        bytes.extend(frame(id + 2, ask::METADATA, &MetadataRequest::default()));
        bytes.extend(frame(id + 3, 4, &ApiVersionsRequest::default()));
    }
    connection.send_bytes(&bytes).unwrap();
    for id in 0..200 {
        assert_eq!(connection.receive_frame().unwrap().get_i32(), id);
    }
}
