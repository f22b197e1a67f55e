//! Produce (api key 0): requests read in place, answers written at once. By hand, since every record comes this way.
//!
//! Versions: 3 to 13 are served. 0 to 2 are read too, so that they can be answered with UNSUPPORTED_VERSION partition by
//! partition: they are advertised, because librdkafka 2.0 turns compression off when they are not (KAFKA-18659).
//! From version 13 on topics are called by id only (KIP-516).
//!
//! Invariant: a `ProduceRequest` was walked to its end once, so the iterators over it cannot fail.

use super::cursor::{Cursor, DecodeError, bound_partitions, put_count, put_nullable_string, put_string, put_unsigned_varint};
use super::frame::{PRODUCE, TopicReference, finish_response, start_response};
use crate::base::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, Timestamp};

/// The versions that [`decode`] reads.
pub const VERSIONS: std::ops::RangeInclusive<i16> = 0..=13;

const FLEXIBLE: i16 = 9;
const TOPIC_IDS: i16 = 13;

/// A Produce request over the bytes it came in.
#[derive(Clone, Copy, Debug)]
pub struct ProduceRequest<'a> {
    pub transactional_id: Option<&'a str>,
    /// 0: no answer, 1: the leader has it, −1: all in-sync replicas have it.
    pub acks: i16,
    pub timeout_ms: i32,
    topics: Topics<'a>,
}

impl<'a> ProduceRequest<'a> {
    /// The topics in the order in which they came.
    pub fn topics(&self) -> Topics<'a> {
        self.topics
    }
}

/// One topic of the request. A topic may come more than once.
#[derive(Clone, Copy, Debug)]
pub struct ProduceTopic<'a> {
    pub topic: TopicReference<'a>,
    pub partitions: Partitions<'a>,
}

/// One partition of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducePartition<'a> {
    pub index: PartitionIndex,
    /// What `batch::split` takes.
    pub records: Option<&'a [u8]>,
}

/// Reads the body of a Produce request. Bytes after it are tolerated.
pub fn decode(version: i16, body: &[u8]) -> Result<ProduceRequest<'_>, DecodeError> {
    if !VERSIONS.contains(&version) {
        return Err(DecodeError::Version { api_key: PRODUCE, api_version: version });
    }
    let flexible = version >= FLEXIBLE;
    let mut cursor = Cursor::new(body);
    let transactional_id = if version >= 3 { cursor.nullable_string(flexible)? } else { None };
    let acks = cursor.i16()?;
    let timeout_ms = cursor.i32()?;
    let topic_bytes_min = if version >= TOPIC_IDS { 16 + 1 + 1 } else { 2 };
    let left = cursor.count(flexible, topic_bytes_min)?;
    let topics = Topics { cursor, version, left };
    let mut named = left as usize;
    for _ in 0..left {
        named += read_topic(&mut cursor, version)?.partitions.len();
        bound_partitions(named)?;
    }
    cursor.skip_tagged_fields(flexible)?;
    Ok(ProduceRequest { transactional_id, acks, timeout_ms, topics })
}

#[inline]
fn read_topic<'a>(cursor: &mut Cursor<'a>, version: i16) -> Result<ProduceTopic<'a>, DecodeError> {
    let flexible = version >= FLEXIBLE;
    let topic = if version >= TOPIC_IDS { TopicReference::Id(cursor.topic_id()?) } else { TopicReference::Name(cursor.string(flexible)?) };
    let left = cursor.count(flexible, 4 + 1)?;
    let partitions = Partitions { cursor: *cursor, flexible, left };
    for _ in 0..left {
        read_partition(cursor, flexible)?;
    }
    cursor.skip_tagged_fields(flexible)?;
    Ok(ProduceTopic { topic, partitions })
}

#[inline]
fn read_partition<'a>(cursor: &mut Cursor<'a>, flexible: bool) -> Result<ProducePartition<'a>, DecodeError> {
    let index = PartitionIndex(cursor.i32()?);
    let records = cursor.nullable_bytes(flexible)?;
    cursor.skip_tagged_fields(flexible)?;
    Ok(ProducePartition { index, records })
}

/// The topics of a request.
#[derive(Clone, Copy, Debug)]
pub struct Topics<'a> {
    cursor: Cursor<'a>,
    version: i16,
    left: u32,
}

impl<'a> Topics<'a> {
    /// Where these topics are in `body`, the one that they were decoded from.
    pub fn place_in(&self, body: &'a [u8]) -> TopicsPlace {
        TopicsPlace { body_bytes: body.len(), start: body.len() - self.cursor.left(), version: self.version, left: self.left }
    }
}

/// [`Topics`] apart from their bytes.
#[derive(Clone, Copy, Debug)]
pub struct TopicsPlace {
    body_bytes: usize,
    start: usize,
    version: i16,
    left: u32,
}

impl TopicsPlace {
    /// The topics again. `body` holds the bytes that they were decoded from, wherever those lie now.
    ///
    /// # Panics
    /// If they are not as many.
    pub fn within(self, body: &[u8]) -> Topics<'_> {
        assert_eq!(body.len(), self.body_bytes, "these are the bytes of another request");
        Topics { cursor: Cursor::new(&body[self.start..]), version: self.version, left: self.left }
    }
}

impl<'a> Iterator for Topics<'a> {
    type Item = ProduceTopic<'a>;

    fn next(&mut self) -> Option<ProduceTopic<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_topic(&mut self.cursor, self.version).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Topics<'_> {}

/// The partitions of one topic.
#[derive(Clone, Copy, Debug)]
pub struct Partitions<'a> {
    cursor: Cursor<'a>,
    flexible: bool,
    left: u32,
}

impl<'a> Iterator for Partitions<'a> {
    type Item = ProducePartition<'a>;

    fn next(&mut self) -> Option<ProducePartition<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_partition(&mut self.cursor, self.flexible).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Partitions<'_> {}

/// Who leads now, told with NOT_LEADER_OR_FOLLOWER so that a client need not ask (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentLeader {
    pub leader_id: BrokerId,
    pub leader_epoch: LeaderEpoch,
}

/// Where the leaders named in an answer listen (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeEndpoint<'a> {
    pub node_id: BrokerId,
    pub host: &'a str,
    pub port: i32,
    pub rack: Option<&'a str>,
}

/// Which record made the broker refuse the batch (KIP-467).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError<'a> {
    pub batch_index: i32,
    pub message: Option<&'a str>,
}

/// What became of one partition of the request.
#[derive(Clone, Copy, Debug)]
pub struct PartitionResponse<'a> {
    pub topic: TopicReference<'a>,
    pub index: PartitionIndex,
    pub error_code: ErrorCode,
    /// The offset of the first record; −1 with an error.
    pub base_offset: Offset,
    /// −1 unless the topic uses LogAppendTime.
    pub log_append_time: Timestamp,
    pub log_start_offset: Offset,
    pub record_errors: &'a [RecordError<'a>],
    pub error_message: Option<&'a str>,
    pub current_leader: Option<CurrentLeader>,
}

impl<'a> PartitionResponse<'a> {
    /// The answer to a partition that took nothing.
    pub fn refused(topic: TopicReference<'a>, index: PartitionIndex, error_code: ErrorCode) -> PartitionResponse<'a> {
        PartitionResponse {
            topic,
            index,
            error_code,
            base_offset: Offset(-1),
            log_append_time: Timestamp::NONE,
            log_start_offset: Offset(-1),
            record_errors: &[],
            error_message: None,
            current_leader: None,
        }
    }
}

/// An answer: its partitions in one list, those of one topic next to each other.
#[derive(Clone, Copy, Debug)]
pub struct ProduceResponse<'a> {
    pub partitions: &'a [PartitionResponse<'a>],
    pub throttle_time_ms: i32,
    pub node_endpoints: &'a [NodeEndpoint<'a>],
}

/// Appends a whole answer, length and header included. Fields that `version` does not have are left out.
pub fn encode_response(version: i16, correlation_id: i32, response: &ProduceResponse<'_>, buffer: &mut Vec<u8>) {
    let flexible = version >= FLEXIBLE;
    let same_topic = |a: &PartitionResponse<'_>, b: &PartitionResponse<'_>| a.topic == b.topic;
    let start = start_response(buffer, PRODUCE, version, correlation_id);
    put_count(buffer, flexible, response.partitions.chunk_by(same_topic).count());
    for topic in response.partitions.chunk_by(same_topic) {
        put_topic(buffer, flexible, topic[0].topic);
        put_count(buffer, flexible, topic.len());
        for partition in topic {
            put_partition(buffer, version, partition);
        }
        put_no_tagged_fields(buffer, flexible);
    }
    if version >= 1 {
        buffer.extend_from_slice(&response.throttle_time_ms.to_be_bytes());
    }
    if flexible {
        put_node_endpoints(buffer, if version >= 10 { response.node_endpoints } else { &[] });
    }
    finish_response(buffer, start, 0);
}

fn put_partition(buffer: &mut Vec<u8>, version: i16, partition: &PartitionResponse<'_>) {
    let flexible = version >= FLEXIBLE;
    buffer.extend_from_slice(&partition.index.0.to_be_bytes());
    buffer.extend_from_slice(&partition.error_code.code().to_be_bytes());
    buffer.extend_from_slice(&partition.base_offset.0.to_be_bytes());
    if version >= 2 {
        buffer.extend_from_slice(&partition.log_append_time.0.to_be_bytes());
    }
    if version >= 5 {
        buffer.extend_from_slice(&partition.log_start_offset.0.to_be_bytes());
    }
    if version >= 8 {
        put_count(buffer, flexible, partition.record_errors.len());
        for error in partition.record_errors {
            buffer.extend_from_slice(&error.batch_index.to_be_bytes());
            put_nullable_string(buffer, flexible, error.message);
            put_no_tagged_fields(buffer, flexible);
        }
        put_nullable_string(buffer, flexible, partition.error_message);
    }
    match partition.current_leader {
        Some(leader) if version >= 10 => {
            buffer.push(1);
            put_current_leader(buffer, 0, leader);
        }
        _ => put_no_tagged_fields(buffer, flexible),
    }
}

pub(super) fn put_topic(buffer: &mut Vec<u8>, flexible: bool, topic: TopicReference<'_>) {
    match topic {
        TopicReference::Name(name) => put_string(buffer, flexible, name),
        TopicReference::Id(id) => buffer.extend_from_slice(&id.0),
    }
}

pub(super) fn put_no_tagged_fields(buffer: &mut Vec<u8>, flexible: bool) {
    if flexible {
        buffer.push(0);
    }
}

/// The tagged field `tag`: leader id, leader epoch, no tagged fields.
pub(super) fn put_current_leader(buffer: &mut Vec<u8>, tag: u8, leader: CurrentLeader) {
    buffer.extend_from_slice(&[tag, 4 + 4 + 1]);
    buffer.extend_from_slice(&leader.leader_id.0.to_be_bytes());
    buffer.extend_from_slice(&leader.leader_epoch.0.to_be_bytes());
    buffer.push(0);
}

/// The tagged fields at the end of a Produce or Fetch answer: none, or tag 0 with the endpoints.
pub(super) fn put_node_endpoints(buffer: &mut Vec<u8>, endpoints: &[NodeEndpoint<'_>]) {
    if endpoints.is_empty() {
        return buffer.push(0);
    }
    let mut field = Vec::with_capacity(64 * endpoints.len());
    put_count(&mut field, true, endpoints.len());
    for endpoint in endpoints {
        field.extend_from_slice(&endpoint.node_id.0.to_be_bytes());
        put_string(&mut field, true, endpoint.host);
        field.extend_from_slice(&endpoint.port.to_be_bytes());
        put_nullable_string(&mut field, true, endpoint.rack);
        field.push(0);
    }
    buffer.extend_from_slice(&[1, 0]);
    put_unsigned_varint(buffer, field.len() as u32);
    buffer.extend_from_slice(&field);
}

#[cfg(test)]
mod tests;
