//! Fetch (api key 1): requests read in place, answers written around record bytes that never come into memory.
//!
//! Versions 4 to 18. From 13 on topics are called by id only (KIP-516). The replica id moves into a tagged field in 15 (KIP-903).
//!
//! Invariants: a `FetchRequest` was walked to its end once, so the iterators over it cannot fail. In an answer the gaps lie in
//! rising order, and the length prefix counts them.

use smallvec::SmallVec;

use super::cursor::{Cursor, DecodeError, bound_partitions, put_count};
use super::frame::{FETCH, TopicReference, finish_response, start_response};
use super::produce::{CurrentLeader, NodeEndpoint, put_current_leader, put_no_tagged_fields, put_node_endpoints, put_topic};
use crate::base::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};

/// The versions that [`decode`] reads.
pub const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

const FLEXIBLE: i16 = 12;
/// The first version that calls topics by id only.
pub const TOPIC_IDS: i16 = 13;

/// A Fetch request over the bytes it came in.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'a> {
    pub cluster_id: Option<&'a str>,
    /// −1: a consumer; else the follower that asks.
    pub replica_id: BrokerId,
    /// The follower's broker epoch; −1 if not told.
    pub replica_epoch: i64,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    /// 0: read_uncommitted, 1: read_committed.
    pub isolation_level: i8,
    /// 0: none yet (KIP-227).
    pub session_id: i32,
    /// 0: make a session, −1: no session.
    pub session_epoch: i32,
    pub rack_id: &'a str,
    topics: Topics<'a>,
    forgotten_topics: ForgottenTopics<'a>,
}

impl<'a> FetchRequest<'a> {
    /// The topics in the order in which they came.
    pub fn topics(&self) -> Topics<'a> {
        self.topics
    }

    /// What to remove from the session.
    pub fn forgotten_topics(&self) -> ForgottenTopics<'a> {
        self.forgotten_topics
    }
}

/// One topic of the request.
#[derive(Clone, Copy, Debug)]
pub struct FetchTopic<'a> {
    pub topic: TopicReference<'a>,
    pub partitions: Partitions<'a>,
}

/// One partition of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    pub partition: PartitionIndex,
    /// −1: not told.
    pub current_leader_epoch: LeaderEpoch,
    pub fetch_offset: Offset,
    /// −1: not told (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// The follower's log start; −1 from a consumer.
    pub log_start_offset: Offset,
    pub partition_max_bytes: i32,
    /// The follower's log directory (KIP-853); zero if not told.
    pub replica_directory_id: TopicId,
    /// The follower's high watermark (KIP-1166); `i64::MAX` if not told.
    pub high_watermark: Offset,
}

/// One topic to remove from the session.
#[derive(Clone, Copy, Debug)]
pub struct ForgottenTopic<'a> {
    pub topic: TopicReference<'a>,
    partitions: Cursor<'a>,
}

impl ForgottenTopic<'_> {
    pub fn partitions(&self) -> impl Iterator<Item = PartitionIndex> {
        let mut cursor = self.partitions;
        std::iter::from_fn(move || cursor.i32().ok().map(PartitionIndex))
    }
}

/// Reads the body of a Fetch request. Bytes after it are tolerated.
pub fn decode(version: i16, body: &[u8]) -> Result<FetchRequest<'_>, DecodeError> {
    if !VERSIONS.contains(&version) {
        return Err(DecodeError::Version { api_key: FETCH, api_version: version });
    }
    let flexible = version >= FLEXIBLE;
    let mut cursor = Cursor::new(body);
    let mut replica_id = BrokerId(if version <= 14 { cursor.i32()? } else { -1 });
    let max_wait_ms = cursor.i32()?;
    let min_bytes = cursor.i32()?;
    let max_bytes = cursor.i32()?;
    let isolation_level = cursor.i8()?;
    let session_id = if version >= 7 { cursor.i32()? } else { 0 };
    let session_epoch = if version >= 7 { cursor.i32()? } else { -1 };
    let topics = Topics { version, left: cursor.count(flexible, 2)?, cursor };
    let mut named = topics.left as usize;
    for _ in 0..topics.left {
        named += read_topic(&mut cursor, version)?.partitions.len();
        bound_partitions(named)?;
    }
    let mut forgotten_topics = ForgottenTopics { version, left: 0, cursor };
    if version >= 7 {
        forgotten_topics = ForgottenTopics { version, left: cursor.count(flexible, 2)?, cursor };
        for _ in 0..forgotten_topics.left {
            read_forgotten_topic(&mut cursor, version)?;
        }
    }
    let rack_id = if version >= 11 { cursor.string(flexible)? } else { "" };
    let mut cluster_id = None;
    let mut replica_epoch = -1;
    if flexible {
        cursor.tagged_fields(|tag, field| {
            match tag {
                0 => cluster_id = field.nullable_string(true)?,
                1 if version >= 15 => {
                    replica_id = BrokerId(field.i32()?);
                    replica_epoch = field.i64()?;
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(FetchRequest {
        cluster_id,
        replica_id,
        replica_epoch,
        max_wait_ms,
        min_bytes,
        max_bytes,
        isolation_level,
        session_id,
        session_epoch,
        rack_id,
        topics,
        forgotten_topics,
    })
}

fn read_topic_reference<'a>(cursor: &mut Cursor<'a>, version: i16) -> Result<TopicReference<'a>, DecodeError> {
    if version >= TOPIC_IDS {
        Ok(TopicReference::Id(cursor.topic_id()?))
    } else {
        Ok(TopicReference::Name(cursor.string(version >= FLEXIBLE)?))
    }
}

#[inline]
fn read_topic<'a>(cursor: &mut Cursor<'a>, version: i16) -> Result<FetchTopic<'a>, DecodeError> {
    let flexible = version >= FLEXIBLE;
    let topic = read_topic_reference(cursor, version)?;
    let left = cursor.count(flexible, 4 + 8 + 4)?;
    let partitions = Partitions { cursor: *cursor, version, left };
    for _ in 0..left {
        read_partition(cursor, version)?;
    }
    cursor.skip_tagged_fields(flexible)?;
    Ok(FetchTopic { topic, partitions })
}

#[inline]
fn read_partition(cursor: &mut Cursor<'_>, version: i16) -> Result<FetchPartition, DecodeError> {
    let mut partition = FetchPartition {
        partition: PartitionIndex(cursor.i32()?),
        current_leader_epoch: if version >= 9 { LeaderEpoch(cursor.i32()?) } else { LeaderEpoch::UNKNOWN },
        fetch_offset: Offset(cursor.i64()?),
        last_fetched_epoch: if version >= 12 { LeaderEpoch(cursor.i32()?) } else { LeaderEpoch::UNKNOWN },
        log_start_offset: Offset(if version >= 5 { cursor.i64()? } else { -1 }),
        partition_max_bytes: cursor.i32()?,
        replica_directory_id: TopicId::ZERO,
        high_watermark: Offset(i64::MAX),
    };
    if version >= FLEXIBLE {
        cursor.tagged_fields(|tag, field| {
            match tag {
                0 if version >= 17 => partition.replica_directory_id = field.topic_id()?,
                1 if version >= 18 => partition.high_watermark = Offset(field.i64()?),
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(partition)
}

fn read_forgotten_topic<'a>(cursor: &mut Cursor<'a>, version: i16) -> Result<ForgottenTopic<'a>, DecodeError> {
    let flexible = version >= FLEXIBLE;
    let topic = read_topic_reference(cursor, version)?;
    let count = cursor.count(flexible, 4)? as usize;
    let partitions = Cursor::new(cursor.take(4 * count)?);
    cursor.skip_tagged_fields(flexible)?;
    Ok(ForgottenTopic { topic, partitions })
}

macro_rules! counted_iterator {
    ($(#[$doc:meta])* $name:ident, $item:ty, $read:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a> {
            version: i16,
            left: u32,
            cursor: Cursor<'a>,
        }

        impl<'a> Iterator for $name<'a> {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                self.left = self.left.checked_sub(1)?;
                $read(&mut self.cursor, self.version).ok()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.left as usize, Some(self.left as usize))
            }
        }

        impl ExactSizeIterator for $name<'_> {}
    };
}

counted_iterator!(
    /// The topics of a request.
    Topics, FetchTopic<'a>, read_topic
);
counted_iterator!(
    /// The partitions of one topic.
    Partitions, FetchPartition, read_partition
);
counted_iterator!(
    /// The topics to remove from the session.
    ForgottenTopics, ForgottenTopic<'a>, read_forgotten_topic
);

/// A transaction that a read_committed consumer has to skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
}

/// What one partition answers.
#[derive(Clone, Copy, Debug)]
pub struct PartitionResponse<'a> {
    pub topic: TopicReference<'a>,
    pub partition: PartitionIndex,
    pub error_code: ErrorCode,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// Where the follower's log left the leader's: the largest epoch and its end offset (KIP-595).
    pub diverging_epoch: Option<(LeaderEpoch, Offset)>,
    pub current_leader: Option<CurrentLeader>,
    /// `None` unless the consumer reads committed only.
    pub aborted_transactions: Option<&'a [AbortedTransaction]>,
    /// −1: read here (KIP-392).
    pub preferred_read_replica: BrokerId,
    /// Bytes of records that the caller sends where the gap is.
    pub records_bytes: usize,
}

impl<'a> PartitionResponse<'a> {
    /// The answer of a partition that has nothing to give.
    pub fn refused(topic: TopicReference<'a>, partition: PartitionIndex, error_code: ErrorCode) -> PartitionResponse<'a> {
        PartitionResponse {
            topic,
            partition,
            error_code,
            high_watermark: Offset(-1),
            last_stable_offset: Offset(-1),
            log_start_offset: Offset(-1),
            diverging_epoch: None,
            current_leader: None,
            aborted_transactions: None,
            preferred_read_replica: BrokerId(-1),
            records_bytes: 0,
        }
    }
}

/// An answer: its partitions in one list, those of one topic next to each other.
#[derive(Clone, Copy, Debug)]
pub struct FetchResponse<'a> {
    pub throttle_time_ms: i32,
    pub error_code: ErrorCode,
    pub session_id: i32,
    pub partitions: &'a [PartitionResponse<'a>],
    pub node_endpoints: &'a [NodeEndpoint<'a>],
}

/// A place in an encoded answer where the records of a partition belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsGap {
    /// The records go in front of this byte of the buffer.
    pub at: usize,
    /// Which of `FetchResponse::partitions`.
    pub partition: usize,
    /// Its `records_bytes`, never 0.
    pub records_bytes: usize,
}

/// The gaps of an answer. Many answers have one.
pub type RecordsGaps = SmallVec<[RecordsGap; 1]>;

/// Appends a whole answer except its records, length and header included, and a gap for each partition with records. The length
/// counts the records too. Fields that `version` does not have are left out.
pub fn encode_response(version: i16, correlation_id: i32, response: &FetchResponse<'_>, buffer: &mut Vec<u8>, gaps: &mut RecordsGaps) {
    let flexible = version >= FLEXIBLE;
    let same_topic = |a: &PartitionResponse<'_>, b: &PartitionResponse<'_>| a.topic == b.topic;
    let start = start_response(buffer, FETCH, version, correlation_id);
    buffer.extend_from_slice(&response.throttle_time_ms.to_be_bytes());
    if version >= 7 {
        buffer.extend_from_slice(&response.error_code.code().to_be_bytes());
        buffer.extend_from_slice(&response.session_id.to_be_bytes());
    }
    put_count(buffer, flexible, response.partitions.chunk_by(same_topic).count());
    let mut index = 0;
    let mut records_bytes = 0;
    for topic in response.partitions.chunk_by(same_topic) {
        put_topic(buffer, flexible, topic[0].topic);
        put_count(buffer, flexible, topic.len());
        for partition in topic {
            put_partition(buffer, version, partition);
            if partition.records_bytes > 0 {
                records_bytes += partition.records_bytes;
                gaps.push(RecordsGap { at: buffer.len(), partition: index, records_bytes: partition.records_bytes });
            }
            put_partition_tagged_fields(buffer, version, partition);
            index += 1;
        }
        put_no_tagged_fields(buffer, flexible);
    }
    if flexible {
        put_node_endpoints(buffer, if version >= 16 { response.node_endpoints } else { &[] });
    }
    finish_response(buffer, start, records_bytes);
}

/// A partition through the length of its records.
fn put_partition(buffer: &mut Vec<u8>, version: i16, partition: &PartitionResponse<'_>) {
    let flexible = version >= FLEXIBLE;
    buffer.extend_from_slice(&partition.partition.0.to_be_bytes());
    buffer.extend_from_slice(&partition.error_code.code().to_be_bytes());
    buffer.extend_from_slice(&partition.high_watermark.0.to_be_bytes());
    buffer.extend_from_slice(&partition.last_stable_offset.0.to_be_bytes());
    if version >= 5 {
        buffer.extend_from_slice(&partition.log_start_offset.0.to_be_bytes());
    }
    match partition.aborted_transactions {
        None if flexible => buffer.push(0),
        None => buffer.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(aborted) => {
            put_count(buffer, flexible, aborted.len());
            for transaction in aborted {
                buffer.extend_from_slice(&transaction.producer_id.0.to_be_bytes());
                buffer.extend_from_slice(&transaction.first_offset.0.to_be_bytes());
                put_no_tagged_fields(buffer, flexible);
            }
        }
    }
    if version >= 11 {
        buffer.extend_from_slice(&partition.preferred_read_replica.0.to_be_bytes());
    }
    put_count(buffer, flexible, partition.records_bytes);
}

/// What follows a partition's records.
fn put_partition_tagged_fields(buffer: &mut Vec<u8>, version: i16, partition: &PartitionResponse<'_>) {
    if version < FLEXIBLE {
        return;
    }
    buffer.push(u8::from(partition.diverging_epoch.is_some()) + u8::from(partition.current_leader.is_some()));
    if let Some((epoch, end_offset)) = partition.diverging_epoch {
        buffer.extend_from_slice(&[0, 4 + 8 + 1]);
        buffer.extend_from_slice(&epoch.0.to_be_bytes());
        buffer.extend_from_slice(&end_offset.0.to_be_bytes());
        buffer.push(0);
    }
    if let Some(leader) = partition.current_leader {
        put_current_leader(buffer, 1, leader);
    }
}

#[cfg(test)]
mod tests;
