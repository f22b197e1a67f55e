//! Kafka's records in `__consumer_offsets`: bytes to values and back.
//!
//! Runs on the thread of its caller. Invariants: `decode(encode(record)) == record`; decoding never panics, and never
//! allocates more than a small multiple of the bytes it was given.
//!
//! All integers big-endian. `string`: length i16, −1 is null; `bytes` and `array`: length i32. From the first flexible
//! version on (value 4) lengths are unsigned varints of length + 1, and tagged fields follow each structure.
//!
//! ```text
//! key                 record type i16, then
//!   0, 1 offset       group string, topic string, partition i32         (0: written before 0.9, the same fields)
//!   2    group        group string
//!   3–8, 16           of consumer groups (KIP-848): see `consumer`
//!   9 …  others       of newer group protocols (KIP-932, KIP-1071): skipped by their type
//!
//! offset value        version i16, then
//!   0, 2              offset i64, metadata string, commit timestamp i64
//!   1                 offset i64, metadata string, commit timestamp i64, expire timestamp i64
//!   3                 offset i64, leader epoch i32, metadata string, commit timestamp i64
//!   4 (flexible)      as 3; tag 0: topic id, 16 bytes
//!
//! group value         version i16, then
//!                     protocol type string, generation i32, protocol string?, leader string?,
//!                     (2+) current state timestamp i64, members array of
//!                         member id string, (3+) group instance id string?, client id string, client host string,
//!                         (1+) rebalance timeout i32, session timeout i32, subscription bytes, assignment bytes
//!   4 (flexible)      as 3
//! ```
//!
//! A record without a value is a tombstone. What is written is what Apache Kafka 4.3 writes: offset values in version 4, or
//! in version 1 if the client gave a retention time (OffsetCommit 2–4), and group values in version 3.
//! Source: OffsetCommitKey/Value.json, GroupMetadataKey/Value.json; golden bytes from Apache Kafka 4.3.0 in the tests.

mod consumer;
mod field_reader;
mod field_writer;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use thiserror::Error;

use self::field_reader::FieldReader;
use self::field_writer::FieldWriter;
use super::consumer::record::ConsumerRecord;
use super::event::TopicPartition;
use super::ids::{GroupId, GroupInstanceId, MemberId, ShortText};
use super::offsets::CommittedOffset;
use crate::base::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicName};

const LEGACY_OFFSET_KEY: i16 = 0;
const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE_VERSION: i16 = 4;
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;
const GROUP_VALUE_VERSION: i16 = 3;
const FLEXIBLE_VALUE_VERSION: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;

/// One record of a group. `None` is a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    Offset { group_id: GroupId, partition: TopicPartition, value: Option<CommittedOffset> },
    Group { group_id: GroupId, value: Option<GroupMetadata> },
    Consumer { group_id: GroupId, record: ConsumerRecord },
}

impl GroupRecord {
    /// It takes its key's record away.
    pub fn is_tombstone(&self) -> bool {
        match self {
            GroupRecord::Offset { value, .. } => value.is_none(),
            GroupRecord::Group { value, .. } => value.is_none(),
            GroupRecord::Consumer { .. } => self.encode().1.is_none(),
        }
    }
}

/// What a classic group is, as of its last completed rebalance.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMetadata {
    /// Empty: none.
    pub protocol_type: ShortText,
    pub generation_id: i32,
    pub protocol_name: Option<ShortText>,
    pub leader: Option<MemberId>,
    /// When the group got into its state; [`Timestamp::NONE`] in old records.
    pub current_state_timestamp: Timestamp,
    pub members: Vec<MemberMetadata>,
}

/// One member, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberMetadata {
    pub member_id: MemberId,
    pub group_instance_id: Option<GroupInstanceId>,
    pub client_id: ShortText,
    pub client_host: ShortText,
    /// −1 in the oldest records: the session timeout then.
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// What one record of the partition turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredRecord {
    Known(GroupRecord),
    /// A record of a newer group protocol.
    Other {
        record_type: i16,
    },
}

/// Bytes that are not a record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error("expected {expected} more bytes for {field}, came {left}; the record is cut or damaged")]
    Short { field: &'static str, expected: usize, left: usize },
    #[error("expected a length of 0 or more for {field}, came {length}; the record is damaged")]
    Length { field: &'static str, length: i64 },
    #[error("expected {field} as text, came bytes that are not; the record is damaged")]
    Text { field: &'static str },
    #[error("expected a varint of at most 32 bits for {field}; the record is damaged")]
    Varint { field: &'static str },
    #[error("expected {what} in version 0 to {newest}, came {version}; it was written by a newer broker")]
    Version { what: &'static str, newest: i16, version: i16 },
}

impl GroupRecord {
    /// The record's key and its value, `None` for a tombstone.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            GroupRecord::Offset { group_id, partition, value } => {
                let mut key = FieldWriter::new(OFFSET_KEY);
                key.text(group_id.as_str());
                key.text(partition.topic.as_str());
                key.i32(partition.partition.0);
                (key.finish(), value.as_ref().map(encode_offset))
            }
            GroupRecord::Group { group_id, value } => {
                let mut key = FieldWriter::new(GROUP_KEY);
                key.text(group_id.as_str());
                (key.finish(), value.as_ref().map(encode_group))
            }
            GroupRecord::Consumer { group_id, record } => consumer::encode(group_id, record),
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`RecordError`] for anything that Kafka never wrote. Bytes behind the last field are ignored, as Kafka does.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<StoredRecord, RecordError> {
        let (record_type, mut key) = FieldReader::versioned(key, |_| false)?;
        let record = match record_type {
            LEGACY_OFFSET_KEY | OFFSET_KEY => GroupRecord::Offset {
                group_id: key.name("group", GroupId::new)?,
                partition: TopicPartition { topic: key.name("topic", TopicName::new)?, partition: PartitionIndex(key.i32("partition")?) },
                value: value.map(decode_offset).transpose()?,
            },
            GROUP_KEY => GroupRecord::Group { group_id: key.name("group", GroupId::new)?, value: value.map(decode_group).transpose()? },
            consumer::EPOCH_KEY
            | consumer::TOPICS_KEY
            | consumer::MEMBER_KEY
            | consumer::TARGET_KEY
            | consumer::MEMBER_TARGET_KEY
            | consumer::CURRENT_KEY
            | consumer::REGEX_KEY => consumer::decode(record_type, &mut key, value)?,
            record_type => return Ok(StoredRecord::Other { record_type }),
        };
        Ok(StoredRecord::Known(record))
    }
}

fn encode_offset(value: &CommittedOffset) -> Bytes {
    let Some(expire_timestamp) = value.expire_timestamp else {
        let mut fields = FieldWriter::new(OFFSET_VALUE_VERSION);
        fields.i64(value.offset.0);
        fields.i32(value.leader_epoch.0);
        fields.compact_text(&value.metadata);
        fields.i64(value.commit_timestamp.0);
        if value.topic_id.is_zero() {
            fields.unsigned_varint(0);
        } else {
            fields.unsigned_varint(1);
            fields.tagged(TOPIC_ID_TAG, &value.topic_id.0);
        }
        return fields.finish();
    };
    let mut fields = FieldWriter::new(OFFSET_VALUE_VERSION_WITH_EXPIRY);
    fields.i64(value.offset.0);
    fields.text(&value.metadata);
    fields.i64(value.commit_timestamp.0);
    fields.i64(expire_timestamp.0);
    fields.finish()
}

fn decode_offset(bytes: &[u8]) -> Result<CommittedOffset, RecordError> {
    let (version, mut fields) = FieldReader::versioned(bytes, |version| version >= FLEXIBLE_VALUE_VERSION)?;
    check_version("an offset", version)?;
    let offset = Offset(fields.i64("offset")?);
    let leader_epoch = if version >= 3 { LeaderEpoch(fields.i32("leader epoch")?) } else { LeaderEpoch::UNKNOWN };
    let metadata = fields.text("metadata")?.into();
    let commit_timestamp = Timestamp(fields.i64("commit timestamp")?);
    let expire_timestamp = match version {
        1 => Some(Timestamp(fields.i64("expire timestamp")?)).filter(|timestamp| *timestamp != Timestamp::NONE),
        _ => None,
    };
    let mut topic_id = TopicId::ZERO;
    fields.tagged_fields(|tag, bytes| {
        if tag == TOPIC_ID_TAG
            && let Ok(id) = bytes.try_into()
        {
            topic_id = TopicId(id);
        }
    })?;
    Ok(CommittedOffset { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id })
}

fn encode_group(value: &GroupMetadata) -> Bytes {
    let mut fields = FieldWriter::new(GROUP_VALUE_VERSION);
    fields.text(value.protocol_type.as_str());
    fields.i32(value.generation_id);
    fields.nullable_text(value.protocol_name.as_ref().map(ShortText::as_str));
    fields.nullable_text(value.leader.as_ref().map(MemberId::as_str));
    fields.i64(value.current_state_timestamp.0);
    fields.i32(i32::try_from(value.members.len()).expect("a group has fewer members than a request has bytes"));
    for member in &value.members {
        fields.text(member.member_id.as_str());
        fields.nullable_text(member.group_instance_id.as_ref().map(GroupInstanceId::as_str));
        fields.text(member.client_id.as_str());
        fields.text(member.client_host.as_str());
        fields.i32(member.rebalance_timeout_ms);
        fields.i32(member.session_timeout_ms);
        fields.bytes(&member.subscription);
        fields.bytes(&member.assignment);
    }
    fields.finish()
}

fn decode_group(bytes: &[u8]) -> Result<GroupMetadata, RecordError> {
    let (version, mut fields) = FieldReader::versioned(bytes, |version| version >= FLEXIBLE_VALUE_VERSION)?;
    check_version("a group", version)?;
    let protocol_type = fields.name("protocol type", ShortText::new)?;
    let generation_id = fields.i32("generation")?;
    let protocol_name = fields.nullable_name("protocol", ShortText::new)?;
    let leader = fields.nullable_name("leader", MemberId::new)?;
    let current_state_timestamp = if version >= 2 { Timestamp(fields.i64("state timestamp")?) } else { Timestamp::NONE };
    let count = fields.count("members")?;
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(decode_member(version, &mut fields)?);
    }
    fields.tagged_fields(|_, _| ())?;
    Ok(GroupMetadata { protocol_type, generation_id, protocol_name, leader, current_state_timestamp, members })
}

fn decode_member(version: i16, fields: &mut FieldReader<'_>) -> Result<MemberMetadata, RecordError> {
    let member = MemberMetadata {
        member_id: fields.name("member id", MemberId::new)?,
        group_instance_id: if version >= 3 { fields.nullable_name("group instance id", GroupInstanceId::new)? } else { None },
        client_id: fields.name("client id", ShortText::new)?,
        client_host: fields.name("client host", ShortText::new)?,
        rebalance_timeout_ms: if version >= 1 { fields.i32("rebalance timeout")? } else { -1 },
        session_timeout_ms: fields.i32("session timeout")?,
        subscription: Bytes::copy_from_slice(fields.bytes("subscription")?),
        assignment: Bytes::copy_from_slice(fields.bytes("assignment")?),
    };
    fields.tagged_fields(|_, _| ())?;
    Ok(member)
}

fn check_version(what: &'static str, version: i16) -> Result<(), RecordError> {
    if (0..=FLEXIBLE_VALUE_VERSION).contains(&version) {
        Ok(())
    } else {
        Err(RecordError::Version { what, newest: FLEXIBLE_VALUE_VERSION, version })
    }
}
