//! What the requests of consumer groups have in common: names out of bytes from a peer, and answers out of the coordinator.
//!
//! Runs on the core of the connection. Names that are too long for Kafka's log format are refused here, so that nothing behind
//! this file has to.

use std::rc::Rc;

use kafka_protocol::protocol::StrBytes;

use crate::base::{ErrorCode, PartitionIndex, TopicName};
use crate::cluster::image::MetadataImage;
use crate::coordinator::event::TopicPartition;
use crate::coordinator::{Event, GroupId, GroupInstanceId, MemberId, RequestToken, Response, ShortText};
use crate::shard::Shard;

/// Who sends a request, as the members of a group are shown.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Empty: the client did not say.
    pub client_id: String,
    /// As Java prints an address: `/127.0.0.1`.
    pub host: String,
}

/// A group's id.
///
/// # Errors
/// `InvalidGroupId` for one that is too long.
pub(super) fn group_id(text: &StrBytes) -> Result<GroupId, ErrorCode> {
    GroupId::new(text.as_str()).map_err(|_| ErrorCode::InvalidGroupId)
}

/// A member's id.
///
/// # Errors
/// `UnknownMemberId` for one that is too long to have come from us.
pub(super) fn member_id(text: &StrBytes) -> Result<MemberId, ErrorCode> {
    MemberId::new(text.as_str()).map_err(|_| ErrorCode::UnknownMemberId)
}

/// A static member's name (KIP-345).
///
/// # Errors
/// `InvalidRequest` for one that is too long.
pub(super) fn group_instance_id(text: Option<&StrBytes>) -> Result<Option<GroupInstanceId>, ErrorCode> {
    text.map(|text| GroupInstanceId::new(text.as_str())).transpose().map_err(|_| ErrorCode::InvalidRequest)
}

/// The type or the name of a protocol, or a client's id.
///
/// # Errors
/// `InvalidRequest` for one that is too long.
pub(super) fn short_text(text: &str) -> Result<ShortText, ErrorCode> {
    ShortText::new(text).map_err(|_| ErrorCode::InvalidRequest)
}

/// The partition, if the topic has it.
pub(super) fn existing_partition(image: &MetadataImage, topic: &str, index: i32) -> Option<TopicPartition> {
    let topic = image.topic(topic)?;
    let partition = topic.partition(PartitionIndex(index))?.index;
    Some(TopicPartition { topic: topic.name.clone(), partition })
}

/// A partition by a legal name, whether it exists or not: offsets may outlive their topic.
pub(super) fn named_partition(topic: &str, index: i32) -> Option<TopicPartition> {
    Some(TopicPartition { topic: TopicName::new(topic).ok()?, partition: PartitionIndex(index) })
}

/// Hands a request to its group and takes the answer of its kind.
pub(super) async fn ask<T>(
    shard: &Rc<Shard>,
    group_id: GroupId,
    event: impl FnOnce(RequestToken) -> Event + Send + 'static,
    answer: impl FnOnce(Response) -> Option<T>,
) -> Result<T, ErrorCode> {
    let response = shard.ask_group(group_id, event).await?;
    Ok(answer(response).expect("a request is answered with an answer of its kind"))
}
