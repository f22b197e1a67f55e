//! What most tests ask of a broker: create a topic, produce to it, read it back, find its leader.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest};
use kafka_protocol::messages::{TopicName, fetch_response::PartitionData};
use kafka_protocol::protocol::{Request, StrBytes};
use pagewire::api::versions;
use pagewire::base::Timestamp;
use pagewire::wire::batch::UnverifiedBatch;
use pagewire::wire::{Batch, Codec, RecordBatchBuilder, Records, batch};

use super::Connection;

/// The newest versions that name topics by their names.
pub const PRODUCE: i16 = 12;
pub const FETCH: i16 = 12;
pub const LIST_OFFSETS: i16 = 10;
pub const METADATA: i16 = 12;
pub const CREATE_TOPICS: i16 = 7;

/// The versions of a request that are served.
pub fn served<R: Request>() -> RangeInclusive<i16> {
    let row = versions::find(R::KEY).expect("the request is served");
    assert!(row.min >= R::VERSIONS.min && row.max <= R::VERSIONS.max, "kafka-protocol cannot speak all versions of {}", row.name);
    row.min..=row.max
}

/// The newest of them.
pub fn newest<R: Request>() -> i16 {
    *served::<R>().end()
}

/// `acks`: the leader and all in-sync replicas.
pub const ALL: i16 = -1;
/// Timestamps that ListOffsets takes for a place instead of a time.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;
pub const MAX_TIMESTAMP: i64 = -3;

/// Kafka's string type.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    since.as_millis() as i64
}

pub fn create_topics_request(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*name).into()))
            .with_value(Some(StrBytes::from_string((*value).into())))
    };
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(configs.iter().map(config).collect());
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

/// Creates a topic and returns the error code.
pub fn try_create_topic(connection: &mut Connection, name: &str, partitions: i32, configs: &[(&str, &str)]) -> i16 {
    let answer = connection.ask(CREATE_TOPICS, &create_topics_request(name, partitions, configs));
    answer.topics[0].error_code
}

/// Creates a topic, which must work.
pub fn create_topic(connection: &mut Connection, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    assert_eq!(try_create_topic(connection, name, partitions, configs), 0, "create {name}");
}

/// One batch without compression, stamped now.
pub fn batch_of<V: AsRef<[u8]>>(values: &[V]) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(Codec::None);
    let now = Timestamp(now_ms());
    values.iter().for_each(|value| builder.append(now, None, Some(value.as_ref()), &[]));
    builder.build()
}

pub fn produce_request(topic: &str, partition: i32, acks: i16, records: &[u8]) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(Bytes::copy_from_slice(records)));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// Produces to one partition with acks=all and returns its answer, whatever it says.
pub fn produce(connection: &mut Connection, topic: &str, partition: i32, records: &[u8]) -> PartitionProduceResponse {
    let answer = connection.ask(PRODUCE, &produce_request(topic, partition, ALL, records));
    answer.responses[0].partition_responses[0].clone()
}

/// Produces one batch of these values, which must work, and returns its first offset.
pub fn write<V: AsRef<[u8]>>(connection: &mut Connection, topic: &str, partition: i32, values: &[V]) -> i64 {
    let answer = produce(connection, topic, partition, &batch_of(values));
    assert_eq!(answer.error_code, 0, "produce to {topic}-{partition}: {:?}", answer.error_message);
    answer.base_offset
}

/// A fetch of one partition from `offset` on that does not wait.
pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default().with_replica_id(BrokerId(-1)).with_max_bytes(50 << 20).with_topics(vec![topic])
}

/// Fetches one partition and returns its answer, whatever it says.
pub fn fetch(connection: &mut Connection, topic: &str, partition: i32, offset: i64) -> PartitionData {
    let answer = connection.ask(FETCH, &fetch_request(topic, partition, offset));
    assert_eq!(answer.error_code, 0);
    answer.responses[0].partitions[0].clone()
}

/// Offset and value of every record from `offset` to the high watermark.
///
/// # Panics
/// If a fetch is refused, or what it brings is not what a broker stores.
pub fn read(connection: &mut Connection, topic: &str, partition: i32, mut offset: i64) -> Vec<(i64, Vec<u8>)> {
    let mut found = Vec::new();
    loop {
        let answer = fetch(connection, topic, partition, offset);
        assert_eq!(answer.error_code, 0, "fetch {topic}-{partition} from {offset}");
        let bytes = answer.records.unwrap_or_default();
        found.extend(records_of(&bytes).into_iter().filter(|(at, _)| *at >= offset));
        // A batch that was cleaned reaches beyond its last record.
        let last = whole_batches(&bytes).pop().and_then(|UnverifiedBatch(bytes)| batch::BatchHeader::parse(bytes));
        let next = last.map_or(offset, |header| header.next_offset().0);
        assert!(next > offset || offset == answer.high_watermark, "nothing at {offset} below {}", answer.high_watermark);
        offset = next;
        if offset == answer.high_watermark {
            return found;
        }
    }
}

/// Offset and value of the records in fetched bytes. A batch cut short at the end is left out, as clients do.
pub fn records_of(bytes: &[u8]) -> Vec<(i64, Vec<u8>)> {
    const UNPACKED_BYTES_MAX: usize = 64 << 20;
    let mut found = Vec::new();
    for UnverifiedBatch(bytes) in whole_batches(bytes) {
        let batch = Batch::stored(bytes).unwrap_or_else(|error| panic!("a fetched batch is damaged: {error}"));
        let unpacked = batch.unpack(UNPACKED_BYTES_MAX).expect("what was stored can be unpacked");
        for record in Records::new(&unpacked, batch.header.records_count) {
            let record = record.expect("what was stored was checked");
            found.push((batch.header.base_offset.0 + i64::from(record.offset_delta), record.value.unwrap_or_default().to_vec()));
        }
    }
    found
}

/// Cuts bytes of a log into its batches.
pub fn whole_batches(mut bytes: &[u8]) -> Vec<UnverifiedBatch<'_>> {
    let mut batches = Vec::new();
    while let Some(length) =
        batch::BatchHeader::parse(bytes).and_then(|header| header.total_bytes()).filter(|length| *length <= bytes.len())
    {
        let (batch, rest) = bytes.split_at(length);
        batches.push(UnverifiedBatch(batch));
        bytes = rest;
    }
    batches
}

/// Asks for an offset by timestamp, [`LATEST`], [`EARLIEST`] or [`MAX_TIMESTAMP`].
pub fn list_offset(connection: &mut Connection, topic: &str, partition: i32, timestamp: i64) -> ListOffsetsPartitionResponse {
    let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    connection.ask(LIST_OFFSETS, &request).topics[0].partitions[0].clone()
}

/// The log end offset.
pub fn end_offset(connection: &mut Connection, topic: &str, partition: i32) -> i64 {
    let answer = list_offset(connection, topic, partition, LATEST);
    assert_eq!(answer.error_code, 0);
    answer.offset
}

/// What Metadata says of one topic; creates nothing.
pub fn describe(connection: &mut Connection, topic: &str) -> MetadataResponseTopic {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
    connection.ask(METADATA, &request).topics[0].clone()
}

/// The core that owns a partition: broker ids are `node_id * 1000 + core`.
pub fn owner(connection: &mut Connection, topic: &str, partition: i32) -> usize {
    let topic = describe(connection, topic);
    assert_eq!(topic.error_code, 0);
    (topic.partitions[partition as usize].leader_id.0 % 1000) as usize
}
