//! What passes `wire::guard` can be decoded by `kafka-protocol` within the memory that the guard promises; nothing panics.
//!
//! Bodies: a full sample of every request in every version, mutations of it, and noise. An allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest as DescribeProducersTopic;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};
use pagewire::wire::guard::{MEMORY_BYTES_FREE, MEMORY_PER_BODY_BYTE, check};
use pagewire::wire::shapes::SHAPES;
use uuid::Uuid;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: every call goes on to the system's allocator unchanged; the counters are plain cells of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `pointer` came from `alloc` above, so from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that `work` held at once.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before) as usize)
}

/// Decodes a body that passed the guard.
fn decode(api_key: i16, version: i16, body: &[u8]) -> bool {
    fn with<R: Decodable>(body: &[u8], version: i16) -> bool {
        R::decode(&mut Bytes::copy_from_slice(body), version).is_ok()
    }
    match api_key {
        2 => with::<ListOffsetsRequest>(body, version),
        3 => with::<MetadataRequest>(body, version),
        8 => with::<OffsetCommitRequest>(body, version),
        9 => with::<OffsetFetchRequest>(body, version),
        10 => with::<FindCoordinatorRequest>(body, version),
        11 => with::<JoinGroupRequest>(body, version),
        12 => with::<HeartbeatRequest>(body, version),
        13 => with::<LeaveGroupRequest>(body, version),
        14 => with::<SyncGroupRequest>(body, version),
        15 => with::<DescribeGroupsRequest>(body, version),
        16 => with::<ListGroupsRequest>(body, version),
        18 => with::<ApiVersionsRequest>(body, version),
        19 => with::<CreateTopicsRequest>(body, version),
        20 => with::<DeleteTopicsRequest>(body, version),
        21 => with::<DeleteRecordsRequest>(body, version),
        22 => with::<InitProducerIdRequest>(body, version),
        23 => with::<OffsetForLeaderEpochRequest>(body, version),
        32 => with::<DescribeConfigsRequest>(body, version),
        33 => with::<AlterConfigsRequest>(body, version),
        35 => with::<DescribeLogDirsRequest>(body, version),
        37 => with::<CreatePartitionsRequest>(body, version),
        42 => with::<DeleteGroupsRequest>(body, version),
        44 => with::<IncrementalAlterConfigsRequest>(body, version),
        45 => with::<AlterPartitionReassignmentsRequest>(body, version),
        46 => with::<ListPartitionReassignmentsRequest>(body, version),
        47 => with::<OffsetDeleteRequest>(body, version),
        48 => with::<DescribeClientQuotasRequest>(body, version),
        49 => with::<AlterClientQuotasRequest>(body, version),
        50 => with::<DescribeUserScramCredentialsRequest>(body, version),
        60 => with::<DescribeClusterRequest>(body, version),
        61 => with::<DescribeProducersRequest>(body, version),
        68 => with::<ConsumerGroupHeartbeatRequest>(body, version),
        69 => with::<ConsumerGroupDescribeRequest>(body, version),
        75 => with::<DescribeTopicPartitionsRequest>(body, version),
        other => panic!("request {other} has a shape but no sample: add it to this test"),
    }
}

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

fn group() -> GroupId {
    GroupId(text("group"))
}

/// A request with something in every array that the version has.
fn sample(api_key: i16, version: i16) -> Vec<u8> {
    fn bytes<R: Encodable + Message>(request: R, version: i16) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap_or_else(|error| panic!("{error}: the sample has fields that version {version} has not"));
        bytes.to_vec()
    }
    match api_key {
        2 => {
            let partition = ListOffsetsPartition::default().with_partition_index(3).with_timestamp(-1);
            let partition = if version >= 4 { partition.with_current_leader_epoch(7) } else { partition };
            let topic = ListOffsetsTopic::default().with_name(text("topic").into()).with_partitions(vec![partition; 5]);
            bytes(ListOffsetsRequest::default().with_topics(vec![topic; 3]), version)
        }
        3 => {
            let topic = MetadataRequestTopic::default().with_name(Some(text("topic").into()));
            let by_id = MetadataRequestTopic::default().with_topic_id(Uuid::from_u128(7)).with_name(None);
            let topics = if version >= 10 { vec![topic, by_id] } else { vec![topic; 4] };
            bytes(MetadataRequest::default().with_topics(Some(topics)), version)
        }
        8 => {
            let partition = OffsetCommitRequestPartition::default().with_partition_index(3).with_committed_offset(9);
            let partition = partition.with_committed_metadata(Some(text("metadata")));
            let partition = if version >= 6 { partition.with_committed_leader_epoch(7) } else { partition };
            let topic = OffsetCommitRequestTopic::default().with_name(text("topic").into()).with_partitions(vec![partition; 3]);
            let request = OffsetCommitRequest::default().with_group_id(group()).with_member_id(text("member"));
            let request = if version >= 7 { request.with_group_instance_id(Some(text("instance"))) } else { request };
            bytes(request.with_topics(vec![topic; 2]), version)
        }
        9 if version >= 8 => {
            let topic = OffsetFetchRequestTopics::default().with_name(text("topic").into()).with_partition_indexes(vec![0, 1, 2]);
            let some = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic; 2]));
            let some = if version >= 9 { some.with_member_id(Some(text("member"))).with_member_epoch(4) } else { some };
            let all = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
            bytes(OffsetFetchRequest::default().with_groups(vec![some, all]).with_require_stable(true), version)
        }
        9 => {
            let topic = OffsetFetchRequestTopic::default().with_name(text("topic").into()).with_partition_indexes(vec![0, 1, 2]);
            bytes(OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic; 3])), version)
        }
        10 if version >= 4 => bytes(FindCoordinatorRequest::default().with_coordinator_keys(vec![text("group"); 3]), version),
        10 => bytes(FindCoordinatorRequest::default().with_key(text("group")), version),
        11 => {
            let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(&[1; 40]));
            let request = JoinGroupRequest::default().with_group_id(group()).with_protocol_type(text("consumer"));
            let request = request.with_session_timeout_ms(10_000).with_protocols(vec![protocol; 3]);
            let request = if version >= 5 { request.with_group_instance_id(Some(text("instance"))) } else { request };
            bytes(if version >= 8 { request.with_reason(Some(text("reason"))) } else { request }, version)
        }
        12 => bytes(HeartbeatRequest::default().with_group_id(group()).with_member_id(text("member")), version),
        13 if version >= 3 => {
            let member = MemberIdentity::default().with_member_id(text("member")).with_group_instance_id(Some(text("instance")));
            let member = if version >= 5 { member.with_reason(Some(text("reason"))) } else { member };
            bytes(LeaveGroupRequest::default().with_group_id(group()).with_members(vec![member; 3]), version)
        }
        13 => bytes(LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("member")), version),
        14 => {
            let share = SyncGroupRequestAssignment::default().with_member_id(text("member"));
            let share = share.with_assignment(Bytes::from_static(&[2; 30]));
            let request = SyncGroupRequest::default().with_group_id(group()).with_member_id(text("member"));
            let request = request.with_assignments(vec![share; 3]);
            let request = if version >= 5 { request.with_protocol_type(Some(text("consumer"))) } else { request };
            bytes(if version >= 5 { request.with_protocol_name(Some(text("range"))) } else { request }, version)
        }
        15 => bytes(DescribeGroupsRequest::default().with_groups(vec![group(); 3]), version),
        16 => {
            let request = ListGroupsRequest::default();
            let request = if version >= 4 { request.with_states_filter(vec![text("Stable"); 2]) } else { request };
            bytes(if version >= 5 { request.with_types_filter(vec![text("classic")]) } else { request }, version)
        }
        18 if version >= 3 => {
            let request = ApiVersionsRequest::default().with_client_software_name(text("client"));
            bytes(request.with_client_software_version(text("1.0")), version)
        }
        18 => bytes(ApiVersionsRequest::default(), version),
        19 => {
            let config = CreatableTopicConfig::default().with_name(text("cleanup.policy"));
            let configs = vec![config.clone().with_value(Some(text("compact"))), config.with_value(None)];
            let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1000), BrokerId(2000)]);
            let topic = CreatableTopic::default().with_name(text("topic").into()).with_num_partitions(4).with_replication_factor(1);
            let topic = topic.with_configs(configs).with_assignments(vec![assignment; 3]);
            bytes(CreateTopicsRequest::default().with_topics(vec![topic; 2]).with_timeout_ms(5000), version)
        }
        20 if version >= 6 => {
            let topics = vec![DeleteTopicState::default().with_name(Some(text("topic").into())), DeleteTopicState::default()];
            bytes(DeleteTopicsRequest::default().with_topics(topics), version)
        }
        20 => bytes(DeleteTopicsRequest::default().with_topic_names(vec![text("topic").into(); 3]), version),
        21 => {
            let partition = DeleteRecordsPartition::default().with_partition_index(3).with_offset(-1);
            let topic = DeleteRecordsTopic::default().with_name(text("topic").into()).with_partitions(vec![partition; 4]);
            bytes(DeleteRecordsRequest::default().with_topics(vec![topic; 2]).with_timeout_ms(5000), version)
        }
        22 => bytes(InitProducerIdRequest::default().with_transactional_id(Some(TransactionalId(text("tx")))), version),
        23 => {
            let partition = OffsetForLeaderPartition::default().with_partition(1).with_leader_epoch(5);
            let topic = OffsetForLeaderTopic::default().with_topic(text("topic").into()).with_partitions(vec![partition; 4]);
            bytes(OffsetForLeaderEpochRequest::default().with_topics(vec![topic; 2]), version)
        }
        32 => {
            let all = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text("topic"));
            let some = all.clone().with_configuration_keys(Some(vec![text("retention.ms"), text("cleanup.policy")]));
            bytes(DescribeConfigsRequest::default().with_resources(vec![all.with_configuration_keys(None), some]), version)
        }
        33 => {
            let config = AlterableConfig::default().with_name(text("cleanup.policy"));
            let configs = vec![config.clone().with_value(Some(text("compact"))), config.with_value(None)];
            let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("topic")).with_configs(configs);
            bytes(AlterConfigsRequest::default().with_resources(vec![resource; 3]), version)
        }
        37 => {
            let topic = CreatePartitionsTopic::default().with_name(text("topic").into()).with_count(4);
            let replicas = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1000), BrokerId(2000)]);
            let assigned = topic.clone().with_assignments(Some(vec![replicas; 3]));
            bytes(CreatePartitionsRequest::default().with_topics(vec![topic.with_assignments(None), assigned]), version)
        }
        44 => {
            let config = IncrementalConfig::default().with_name(text("cleanup.policy")).with_config_operation(2);
            let configs = vec![config.clone().with_value(Some(text("compact"))), config.with_value(None)];
            let resource = IncrementalResource::default().with_resource_type(2).with_resource_name(text("topic")).with_configs(configs);
            bytes(IncrementalAlterConfigsRequest::default().with_resources(vec![resource; 3]), version)
        }
        45 => {
            let cancel = ReassignablePartition::default().with_partition_index(1).with_replicas(None);
            let partitions = vec![cancel.clone(), cancel.with_replicas(Some(vec![BrokerId(1000), BrokerId(1001)]))];
            let topic = ReassignableTopic::default().with_name(text("topic").into()).with_partitions(partitions);
            bytes(AlterPartitionReassignmentsRequest::default().with_topics(vec![topic; 3]), version)
        }
        46 => {
            let topic = ListPartitionReassignmentsTopics::default().with_name(text("topic").into()).with_partition_indexes(vec![0, 1]);
            bytes(ListPartitionReassignmentsRequest::default().with_topics(Some(vec![topic; 3])), version)
        }
        35 => {
            let topic = DescribableLogDirTopic::default().with_topic(text("topic").into()).with_partitions(vec![0, 1, 2]);
            bytes(DescribeLogDirsRequest::default().with_topics(Some(vec![topic; 3])), version)
        }
        42 => bytes(DeleteGroupsRequest::default().with_groups_names(vec![group(); 3]), version),
        47 => {
            let partition = OffsetDeleteRequestPartition::default().with_partition_index(3);
            let topic = OffsetDeleteRequestTopic::default().with_name(text("topic").into()).with_partitions(vec![partition; 3]);
            bytes(OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic; 2]), version)
        }
        48 => {
            let exact = ComponentData::default().with_entity_type(text("client-id")).with_match(Some(text("app")));
            let any = ComponentData::default().with_entity_type(text("user")).with_match_type(2).with_match(None);
            bytes(DescribeClientQuotasRequest::default().with_components(vec![exact, any]), version)
        }
        49 => {
            let entity = [Some(text("app")), None].map(|name| EntityData::default().with_entity_type(text("user")).with_entity_name(name));
            let operation = OpData::default().with_key(text("producer_byte_rate")).with_value(1e6);
            let entry = EntryData::default().with_entity(entity.to_vec()).with_ops(vec![operation; 2]);
            bytes(AlterClientQuotasRequest::default().with_entries(vec![entry; 2]), version)
        }
        50 => {
            let user = UserName::default().with_name(text("user"));
            bytes(DescribeUserScramCredentialsRequest::default().with_users(Some(vec![user; 3])), version)
        }
        60 => bytes(DescribeClusterRequest::default(), version),
        61 => {
            let topic = DescribeProducersTopic::default().with_name(text("topic").into()).with_partition_indexes(vec![1; 4]);
            bytes(DescribeProducersRequest::default().with_topics(vec![topic; 3]), version)
        }
        68 => {
            let owned = TopicPartitions::default().with_topic_id(Uuid::from_u128(7)).with_partitions(vec![1, 2, 3]);
            let request = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group())
                .with_member_id(text("member"))
                .with_instance_id(Some(text("instance")))
                .with_subscribed_topic_names(Some(vec![text("topic").into(); 3]))
                .with_server_assignor(Some(text("uniform")))
                .with_topic_partitions(Some(vec![owned; 2]));
            bytes(if version >= 1 { request.with_subscribed_topic_regex(Some(text("t.*"))) } else { request }, version)
        }
        69 => bytes(ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(); 3]), version),
        75 => {
            let topic = TopicRequest::default().with_name(text("topic").into());
            let cursor = describe_topic_partitions_request::Cursor::default().with_topic_name(text("topic").into()).with_partition_index(7);
            bytes(DescribeTopicPartitionsRequest::default().with_topics(vec![topic; 3]).with_cursor(Some(cursor)), version)
        }
        other => panic!("request {other} has a shape but no sample: add it to this test"),
    }
}

/// Decodes a body if it passes, and holds the memory against the promise. True if it passed.
fn decodes_within_its_budget(api_key: i16, version: i16, body: &[u8]) -> bool {
    let (passed, peak) = peak_of(|| check(api_key, version, body).is_ok());
    assert_eq!(peak, 0, "the guard itself allocates");
    if passed {
        let (decoded, peak) = peak_of(|| decode(api_key, version, body));
        assert!(decoded, "request {api_key} version {version} passed and cannot be decoded: {body:02x?}");
        // One copy of the body is this test's own, to have a `Bytes`; a few bytes for its reference count.
        let budget = MEMORY_BYTES_FREE + (MEMORY_PER_BODY_BYTE + 1) * body.len() + 64;
        assert!(peak <= budget, "request {api_key} version {version}: {} bytes took {peak} of {budget}", body.len());
    }
    passed
}

fn every_version() -> impl Iterator<Item = (i16, i16)> {
    SHAPES.iter().flat_map(|shape| (shape.versions.0..=shape.versions.1).map(|version| (shape.api_key, version)))
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }
}

#[test]
fn real_requests_pass_whole_and_fail_cut() {
    for (api_key, version) in every_version() {
        let body = sample(api_key, version);
        assert!(decodes_within_its_budget(api_key, version, &body), "request {api_key} version {version}");
        assert!(decodes_within_its_budget(api_key, version, &[&body[..], &[9, 9, 9]].concat()), "three bytes more");
        for cut in 0..body.len() {
            assert!(!decodes_within_its_budget(api_key, version, &body[..cut]), "request {api_key} version {version} cut to {cut}");
        }
    }
}

#[test]
fn mutated_requests_and_noise_stay_within_the_budget() {
    let mut noise = Noise(7);
    let mut passed = 0;
    for (api_key, version) in every_version() {
        let body = sample(api_key, version);
        for _ in 0..1500 {
            let mut body = body.clone();
            for _ in 0..1 + noise.next() % 4 {
                if body.is_empty() {
                    break;
                }
                let at = noise.next() % body.len();
                match noise.next() % 4 {
                    0 => body[at] = noise.next() as u8,
                    1 => body[at] = [0, 1, 2, 0x7f, 0x80, 0xff][noise.next() % 6],
                    2 => drop(body.remove(at)),
                    _ => body.insert(at, noise.next() as u8),
                }
            }
            passed += u32::from(decodes_within_its_budget(api_key, version, &body));
        }
        for length in [1, 4, 12, 100, 1000] {
            for _ in 0..50 {
                let few = noise.next() % 3 + 1;
                let body: Vec<u8> = (0..length).map(|_| (noise.next() % (1 << (few * 8 / 3).min(8))) as u8).collect();
                passed += u32::from(decodes_within_its_budget(api_key, version, &body));
            }
        }
    }
    assert!(passed > 10_000, "only {passed} bodies passed: the test has lost its point");
}

/// The dearest elements there are, as many as the guard lets through.
#[test]
fn the_smallest_elements_stay_within_the_budget() {
    fn compact(count: usize, element: &[u8], tail: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        pagewire::wire::cursor::put_unsigned_varint(&mut body, count as u32 + 1);
        body.extend(element.repeat(count));
        body.extend(tail);
        body
    }
    let many_tags: Vec<u8> = [vec![1u8, 100], (0..100u8).flat_map(|tag| [tag, 0]).collect()].concat();
    let cases: [(i16, i16, &[u8], &[u8]); 8] = [
        (3, 9, &[1, 0], &[0; 4]),
        (3, 9, &[1, 1, 5, 0], &[0; 4]),
        (3, 9, &many_tags, &[0; 4]),
        (3, 9, &[9, b'a', b'b', b'c', b'd', b'e', b'f', b'g', b'h', 0], &[0; 4]),
        (19, 7, &[1, 0, 0, 0, 1, 0, 1, 1, 1, 0], &[0; 6]),
        (19, 7, &[1, 0, 0, 0, 1, 0, 1, 1, 9, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0], &[0; 6]),
        (32, 4, &[2, 1, 0, 0], &[0; 3]),
        (2, 10, &[1, 1, 0], &[0; 5]),
    ];
    for (case, (api_key, version, element, tail)) in cases.into_iter().enumerate() {
        let head: &[u8] = if api_key == 2 { &[0; 5] } else { &[] };
        let mut last_passed = 0;
        for count in [1, 10, 100, 500, 1000, 5000, 100_000] {
            let body = [head, &compact(count, element, tail)].concat();
            if decodes_within_its_budget(api_key, version, &body) {
                last_passed = count;
            }
        }
        let expected = if element == many_tags { 1 } else { 100 };
        assert!((expected..100_000).contains(&last_passed) || element.len() >= 10, "case {case}: {last_passed}");
    }
}

#[test]
fn shapes_cover_only_versions_that_decode_takes() {
    for shape in &SHAPES {
        for version in [shape.versions.0 - 1, shape.versions.1 + 1] {
            assert!(check(shape.api_key, version, &[0; 200]).is_err());
        }
    }
    let ranges = [
        (2, ListOffsetsRequest::VERSIONS),
        (3, MetadataRequest::VERSIONS),
        (8, OffsetCommitRequest::VERSIONS),
        (9, OffsetFetchRequest::VERSIONS),
        (10, FindCoordinatorRequest::VERSIONS),
        (11, JoinGroupRequest::VERSIONS),
        (12, HeartbeatRequest::VERSIONS),
        (13, LeaveGroupRequest::VERSIONS),
        (14, SyncGroupRequest::VERSIONS),
        (15, DescribeGroupsRequest::VERSIONS),
        (16, ListGroupsRequest::VERSIONS),
        (18, ApiVersionsRequest::VERSIONS),
        (19, CreateTopicsRequest::VERSIONS),
        (20, DeleteTopicsRequest::VERSIONS),
        (21, DeleteRecordsRequest::VERSIONS),
        (22, InitProducerIdRequest::VERSIONS),
        (23, OffsetForLeaderEpochRequest::VERSIONS),
        (32, DescribeConfigsRequest::VERSIONS),
        (33, AlterConfigsRequest::VERSIONS),
        (35, DescribeLogDirsRequest::VERSIONS),
        (37, CreatePartitionsRequest::VERSIONS),
        (42, DeleteGroupsRequest::VERSIONS),
        (44, IncrementalAlterConfigsRequest::VERSIONS),
        (45, AlterPartitionReassignmentsRequest::VERSIONS),
        (46, ListPartitionReassignmentsRequest::VERSIONS),
        (47, OffsetDeleteRequest::VERSIONS),
        (48, DescribeClientQuotasRequest::VERSIONS),
        (49, AlterClientQuotasRequest::VERSIONS),
        (50, DescribeUserScramCredentialsRequest::VERSIONS),
        (60, DescribeClusterRequest::VERSIONS),
        (61, DescribeProducersRequest::VERSIONS),
        (68, ConsumerGroupHeartbeatRequest::VERSIONS),
        (69, ConsumerGroupDescribeRequest::VERSIONS),
        (75, DescribeTopicPartitionsRequest::VERSIONS),
    ];
    for (shape, (api_key, versions)) in SHAPES.iter().zip(ranges) {
        assert_eq!((shape.api_key, shape.versions), (api_key, (versions.min, versions.max)));
    }
}
