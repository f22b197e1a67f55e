//! The records of a consumer group (KIP-848): bytes to values and back.
//!
//! Runs on the thread of its caller. Invariants: `decode(encode(record)) == record`; maps and sets are written in their order.
//!
//! Keys are as in the parent: record type i16, then strings with an i16 length. Values are flexible, version 0.
//!
//! ```text
//! key                    record type i16, then            value            version i16 (0), then
//!   3  group             group string                       group epoch i32; tag 0: metadata hash i64
//!   4  topics            group string                       written before Kafka 4.1; here only ever removed
//!   5  member            group string, member string        instance string?, rack string?, client string, host string, topics array of
//!                                                           string, regex string?, rebalance timeout i32, assignor string?;
//!                                                           tag 0: nullable struct (varint 0: null, 1: there), session timeout i32, protocols array of
//!                                                           (name string, metadata bytes)
//!   6  target            group string                       target epoch i32; tag 0: when it was made i64
//!   7  member's target   group string, member string        array of (topic id 16 bytes, partitions array of i32)
//!   8  member's current  group string, member string        epoch i32, previous epoch i32, state i8, assigned, pending revocation:
//!                                                           arrays of (topic id, partitions array of i32; tag 0: array? of the
//!                                                           epochs in which they were assigned)
//!   16 regex             group string, regex string         topics array of string, metadata version i64, resolved at i64
//! ```
//!
//! Source: `ConsumerGroup*Key/Value.json` of Apache Kafka 4.3, KIP-1251 for the epochs of assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::field_reader::FieldReader;
use super::field_writer::FieldWriter;
use super::{GroupRecord, RecordError};
use crate::base::{PartitionIndex, TopicId};
use crate::coordinator::consumer::record::{
    ClassicMembership, ConsumerRecord, Current, GroupEpoch, MemberState, Ownership, ResolvedRegex, Subscription, Target, TopicPartitions,
};
use crate::coordinator::ids::{GroupId, GroupInstanceId, MemberId, ShortText};

pub(super) const EPOCH_KEY: i16 = 3;
pub(super) const TOPICS_KEY: i16 = 4;
pub(super) const MEMBER_KEY: i16 = 5;
pub(super) const TARGET_KEY: i16 = 6;
pub(super) const MEMBER_TARGET_KEY: i16 = 7;
pub(super) const CURRENT_KEY: i16 = 8;
pub(super) const REGEX_KEY: i16 = 16;
const VALUE_VERSION: i16 = 0;
const TAG: u32 = 0;

pub(super) fn encode(group_id: &GroupId, record: &ConsumerRecord) -> (Bytes, Option<Bytes>) {
    let key = |record_type: i16, second: Option<&str>| {
        let mut key = FieldWriter::new(record_type);
        key.text(group_id.as_str());
        if let Some(second) = second {
            key.text(second);
        }
        key.finish()
    };
    match record {
        ConsumerRecord::Epoch(value) => (key(EPOCH_KEY, None), value.as_ref().map(encode_epoch)),
        ConsumerRecord::LegacyTopics => (key(TOPICS_KEY, None), None),
        ConsumerRecord::Member(id, value) => (key(MEMBER_KEY, Some(id.as_str())), value.as_deref().map(encode_member)),
        ConsumerRecord::Target(value) => (key(TARGET_KEY, None), value.as_ref().map(encode_target)),
        ConsumerRecord::MemberTarget(id, value) => (key(MEMBER_TARGET_KEY, Some(id.as_str())), value.as_deref().map(encode_member_target)),
        ConsumerRecord::Current(id, value) => (key(CURRENT_KEY, Some(id.as_str())), value.as_deref().map(encode_current)),
        ConsumerRecord::Regex(regex, value) => (key(REGEX_KEY, Some(regex.as_str())), value.as_deref().map(encode_regex)),
    }
}

/// Reads what follows the record type of a key, and the value.
pub(super) fn decode(record_type: i16, key: &mut FieldReader<'_>, value: Option<&[u8]>) -> Result<GroupRecord, RecordError> {
    let group_id = key.name("group", GroupId::new)?;
    let record = match record_type {
        EPOCH_KEY => ConsumerRecord::Epoch(value.map(|value| read(value, epoch)).transpose()?),
        TOPICS_KEY => ConsumerRecord::LegacyTopics,
        MEMBER_KEY => ConsumerRecord::Member(key.name("member", MemberId::new)?, shared(value, member)?),
        TARGET_KEY => ConsumerRecord::Target(value.map(|value| read(value, target)).transpose()?),
        MEMBER_TARGET_KEY => ConsumerRecord::MemberTarget(key.name("member", MemberId::new)?, shared(value, member_target)?),
        CURRENT_KEY => ConsumerRecord::Current(key.name("member", MemberId::new)?, shared(value, current)?),
        REGEX_KEY => ConsumerRecord::Regex(key.name("regular expression", ShortText::new)?, shared(value, regex)?),
        other => unreachable!("record type {other} is not a consumer group's"),
    };
    Ok(GroupRecord::Consumer { group_id, record })
}

fn shared<T>(value: Option<&[u8]>, of: impl Fn(&mut FieldReader<'_>) -> Result<T, RecordError>) -> Result<Option<Arc<T>>, RecordError> {
    value.map(|value| read(value, of).map(Arc::new)).transpose()
}

fn read<T>(value: &[u8], of: impl Fn(&mut FieldReader<'_>) -> Result<T, RecordError>) -> Result<T, RecordError> {
    let (version, mut fields) = FieldReader::versioned(value, |_| true)?;
    if version != VALUE_VERSION {
        return Err(RecordError::Version { what: "a consumer group", newest: VALUE_VERSION, version });
    }
    of(&mut fields)
}

fn encode_epoch(value: &GroupEpoch) -> Bytes {
    let mut fields = FieldWriter::new(VALUE_VERSION);
    fields.i32(value.epoch);
    tagged_i64(&mut fields, value.metadata_hash);
    fields.finish()
}

fn epoch(fields: &mut FieldReader<'_>) -> Result<GroupEpoch, RecordError> {
    Ok(GroupEpoch { epoch: fields.i32("group epoch")?, metadata_hash: read_tagged_i64(fields)? })
}

fn encode_target(value: &Target) -> Bytes {
    let mut fields = FieldWriter::new(VALUE_VERSION);
    fields.i32(value.epoch);
    tagged_i64(&mut fields, value.made_at_ms);
    fields.finish()
}

fn target(fields: &mut FieldReader<'_>) -> Result<Target, RecordError> {
    Ok(Target { epoch: fields.i32("target epoch")?, made_at_ms: read_tagged_i64(fields)? })
}

/// A field that is left out where it has its default, 0.
fn tagged_i64(fields: &mut FieldWriter, value: i64) {
    if value == 0 {
        return fields.unsigned_varint(0);
    }
    fields.unsigned_varint(1);
    fields.tagged(TAG, &value.to_be_bytes());
}

fn read_tagged_i64(fields: &mut FieldReader<'_>) -> Result<i64, RecordError> {
    let mut value = 0;
    fields.tagged_fields(|tag, bytes| {
        if tag == TAG
            && let Ok(bytes) = bytes.try_into()
        {
            value = i64::from_be_bytes(bytes);
        }
    })?;
    Ok(value)
}

fn encode_member(value: &Subscription) -> Bytes {
    let mut fields = FieldWriter::new(VALUE_VERSION);
    fields.nullable_compact_text(value.instance_id.as_ref().map(GroupInstanceId::as_str));
    fields.nullable_compact_text(value.rack_id.as_ref().map(ShortText::as_str));
    fields.compact_text(value.client_id.as_str());
    fields.compact_text(value.client_host.as_str());
    fields.compact_count(value.topics.len());
    value.topics.iter().for_each(|topic| fields.compact_text(topic.as_str()));
    fields.nullable_compact_text(value.regex.as_ref().map(ShortText::as_str));
    fields.i32(value.rebalance_timeout_ms);
    fields.nullable_compact_text(value.assignor.as_ref().map(ShortText::as_str));
    // Kafka writes the tag also where there is nothing in it.
    fields.unsigned_varint(1);
    fields.tagged(TAG, &encode_classic(value.classic.as_ref()));
    fields.finish()
}

fn encode_classic(classic: Option<&ClassicMembership>) -> Bytes {
    let mut fields = FieldWriter::default();
    let Some(classic) = classic else {
        fields.unsigned_varint(0);
        return fields.finish();
    };
    fields.unsigned_varint(1);
    fields.i32(classic.session_timeout_ms);
    fields.compact_count(classic.protocols.len());
    for (name, metadata) in &classic.protocols {
        fields.compact_text(name.as_str());
        fields.compact_bytes(metadata);
        fields.unsigned_varint(0);
    }
    fields.unsigned_varint(0);
    fields.finish()
}

fn member(fields: &mut FieldReader<'_>) -> Result<Subscription, RecordError> {
    let mut subscription = Subscription {
        instance_id: fields.nullable_name("group instance id", GroupInstanceId::new)?,
        rack_id: fields.nullable_name("rack", ShortText::new)?,
        client_id: fields.name("client id", ShortText::new)?,
        client_host: fields.name("client host", ShortText::new)?,
        topics: texts(fields, "subscribed topics")?,
        regex: fields.nullable_name("regular expression", ShortText::new)?,
        rebalance_timeout_ms: fields.i32("rebalance timeout")?,
        assignor: fields.nullable_name("assignor", ShortText::new)?,
        classic: None,
    };
    let mut classic = Ok(None);
    fields.tagged_fields(|tag, bytes| {
        if tag == TAG {
            classic = decode_classic(&mut FieldReader::flexible(bytes));
        }
    })?;
    subscription.classic = classic?;
    Ok(subscription)
}

fn decode_classic(fields: &mut FieldReader<'_>) -> Result<Option<ClassicMembership>, RecordError> {
    if fields.unsigned_varint("classic member")? == 0 {
        return Ok(None);
    }
    let session_timeout_ms = fields.i32("session timeout")?;
    let mut protocols = Vec::new();
    for _ in 0..fields.count("protocols")? {
        let name = fields.name("protocol", ShortText::new)?;
        protocols.push((name, Bytes::copy_from_slice(fields.bytes("protocol metadata")?)));
        fields.tagged_fields(|_, _| ())?;
    }
    Ok(Some(ClassicMembership { session_timeout_ms, protocols }))
}

fn encode_member_target(value: &TopicPartitions) -> Bytes {
    let mut fields = FieldWriter::new(VALUE_VERSION);
    fields.compact_count(value.len());
    for (topic, partitions) in value {
        fields.raw(&topic.0);
        fields.compact_count(partitions.len());
        partitions.iter().for_each(|partition| fields.i32(partition.0));
        fields.unsigned_varint(0);
    }
    fields.unsigned_varint(0);
    fields.finish()
}

fn member_target(fields: &mut FieldReader<'_>) -> Result<TopicPartitions, RecordError> {
    let mut topics = TopicPartitions::new();
    for _ in 0..fields.count("topics")? {
        let topic = TopicId(fields.uuid("topic id")?);
        topics.insert(topic, indexes(fields)?.into_iter().collect());
        fields.tagged_fields(|_, _| ())?;
    }
    fields.tagged_fields(|_, _| ())?;
    Ok(topics)
}

fn indexes(fields: &mut FieldReader<'_>) -> Result<Vec<PartitionIndex>, RecordError> {
    let count = fields.count("partitions")?;
    (0..count).map(|_| fields.i32("partition").map(PartitionIndex)).collect()
}

fn encode_current(value: &Current) -> Bytes {
    let mut fields = FieldWriter::new(VALUE_VERSION);
    fields.i32(value.epoch);
    fields.i32(value.previous_epoch);
    fields.i8(value.state.code());
    encode_ownership(&mut fields, &value.assigned);
    encode_ownership(&mut fields, &value.pending_revocation);
    fields.unsigned_varint(0);
    fields.finish()
}

fn encode_ownership(fields: &mut FieldWriter, ownership: &Ownership) {
    fields.compact_count(ownership.len());
    for (topic, partitions) in ownership {
        fields.raw(&topic.0);
        fields.compact_count(partitions.len());
        partitions.keys().for_each(|partition| fields.i32(partition.0));
        let mut epochs = FieldWriter::default();
        epochs.compact_count(partitions.len());
        partitions.values().for_each(|epoch| epochs.i32(*epoch));
        fields.unsigned_varint(1);
        fields.tagged(TAG, &epochs.finish());
    }
}

fn current(fields: &mut FieldReader<'_>) -> Result<Current, RecordError> {
    let epoch = fields.i32("member epoch")?;
    let current = Current {
        epoch,
        previous_epoch: fields.i32("previous member epoch")?,
        state: MemberState::of_code(fields.i8("member state")?),
        assigned: ownership(fields, epoch)?,
        pending_revocation: ownership(fields, epoch)?,
    };
    fields.tagged_fields(|_, _| ())?;
    Ok(current)
}

/// Partitions without epochs, of a Kafka before 4.3, count as assigned in the member's own.
fn ownership(fields: &mut FieldReader<'_>, member_epoch: i32) -> Result<Ownership, RecordError> {
    let mut ownership = Ownership::new();
    for _ in 0..fields.count("topics")? {
        let topic = TopicId(fields.uuid("topic id")?);
        let partitions = indexes(fields)?;
        let mut epochs = Ok(Vec::new());
        fields.tagged_fields(|tag, bytes| {
            if tag == TAG {
                epochs = indexes(&mut FieldReader::flexible(bytes));
            }
        })?;
        let epochs = epochs?;
        let of = |at: usize| epochs.get(at).map_or(member_epoch, |epoch| epoch.0);
        let partitions: BTreeMap<PartitionIndex, i32> = partitions.iter().enumerate().map(|(at, index)| (*index, of(at))).collect();
        ownership.insert(topic, partitions);
    }
    Ok(ownership)
}

fn encode_regex(value: &ResolvedRegex) -> Bytes {
    let mut fields = FieldWriter::new(VALUE_VERSION);
    fields.compact_count(value.topics.len());
    value.topics.iter().for_each(|topic| fields.compact_text(topic.as_str()));
    fields.i64(value.metadata_version);
    fields.i64(value.resolved_at_ms);
    fields.unsigned_varint(0);
    fields.finish()
}

fn regex(fields: &mut FieldReader<'_>) -> Result<ResolvedRegex, RecordError> {
    let resolved = ResolvedRegex {
        topics: texts(fields, "topics")?,
        metadata_version: fields.i64("metadata version")?,
        resolved_at_ms: fields.i64("resolved at")?,
    };
    fields.tagged_fields(|_, _| ())?;
    Ok(resolved)
}

fn texts(fields: &mut FieldReader<'_>, field: &'static str) -> Result<BTreeSet<ShortText>, RecordError> {
    let count = fields.count(field)?;
    (0..count).map(|_| fields.name(field, ShortText::new)).collect()
}
