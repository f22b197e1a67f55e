//! ConsumerGroupHeartbeat: a member of a consumer group lives, and is told what to read (KIP-848).

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use crate::api::groups::{Caller, ask, group_id, group_instance_id, member_id, short_text};
use crate::api::text::text;
use crate::base::{ErrorCode, PartitionIndex, TopicId};
use crate::coordinator::GroupId;
use crate::coordinator::consumer::{record, regex};
use crate::coordinator::effect::{ConsumerHeartbeatResponse, Refusal, Response};
use crate::coordinator::event::{ConsumerHeartbeatRequest, Event};
use crate::io::entropy;
use crate::shard::Shard;

/// From this version on clients make their member ids themselves, and may subscribe by a regular expression.
const OWN_MEMBER_ID_FROM: i16 = 1;
/// Regular expressions are read one after the other: they keep one helper thread busy and no more.
const REGEX_ORDER: u64 = 0;

pub async fn handle(
    shard: Rc<Shard>,
    version: i16,
    caller: Caller,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    if request.group_id.0.trim().is_empty() {
        return refused(Refusal::new(ErrorCode::InvalidRequest, "GroupId can't be empty."));
    }
    if let Some(pattern) = request.subscribed_topic_regex.clone().filter(|pattern| !pattern.is_empty()) {
        // The worst of 4 KB take long before they turn out to be too large; the group reads what has passed once more, which is quick.
        if let Err(refusal) = shard.offload(REGEX_ORDER, move || regex::compile(&pattern).map(drop)).await {
            return refused(refusal);
        }
    }
    let result = match heartbeat_request(version, &caller, request) {
        Ok((group_id, request)) => {
            let take = |response| if let Response::ConsumerHeartbeat(result) = response { Some(result) } else { None };
            ask(&shard, group_id, move |token| Event::ConsumerHeartbeat { token, request }, take).await
        }
        Err(error) => Err(error),
    };
    match result.unwrap_or_else(|error| Err(Refusal::of(error))) {
        Ok(answer) => accepted(answer),
        Err(refusal) => refused(refusal),
    }
}

fn heartbeat_request(
    version: i16,
    caller: &Caller,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<(GroupId, ConsumerHeartbeatRequest), ErrorCode> {
    let nullable = |name: Option<&str>| name.map(short_text).transpose();
    let names = request.subscribed_topic_names.map(|names| names.iter().map(|name| short_text(name.0.as_str())).collect());
    let heartbeat = ConsumerHeartbeatRequest {
        member_id: member_id(&request.member_id)?,
        member_epoch: request.member_epoch,
        group_instance_id: group_instance_id(request.instance_id.as_ref())?,
        rack_id: nullable(request.rack_id.as_deref())?,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: names.transpose()?,
        regex: nullable(request.subscribed_topic_regex.as_deref())?,
        assignor: nullable(request.server_assignor.as_deref())?,
        owned: request.topic_partitions.map(owned),
        client_id: short_text(&caller.client_id)?,
        client_host: short_text(&caller.host)?,
        brings_member_id: version >= OWN_MEMBER_ID_FROM,
        random_bytes: entropy::uuid(),
    };
    Ok((group_id(&request.group_id.0)?, heartbeat))
}

fn owned(topics: Vec<Owned>) -> record::TopicPartitions {
    let mut owned = record::TopicPartitions::new();
    for topic in topics {
        let partitions: BTreeSet<PartitionIndex> = topic.partitions.into_iter().map(PartitionIndex).collect();
        owned.entry(TopicId(topic.topic_id.into_bytes())).or_default().extend(partitions);
    }
    owned
}

fn accepted(answer: ConsumerHeartbeatResponse) -> ConsumerGroupHeartbeatResponse {
    let topics = |assignment: record::TopicPartitions| {
        let topic = |(id, partitions): (TopicId, BTreeSet<PartitionIndex>)| {
            let partitions = partitions.into_iter().map(|partition| partition.0).collect();
            TopicPartitions::default().with_topic_id(uuid::Uuid::from_bytes(id.0)).with_partitions(partitions)
        };
        Assignment::default().with_topic_partitions(assignment.into_iter().map(topic).collect())
    };
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(answer.member_id)))
        .with_member_epoch(answer.member_epoch)
        .with_heartbeat_interval_ms(answer.heartbeat_interval_ms)
        .with_assignment(answer.assignment.map(topics))
}

fn refused(refusal: Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(refusal.error.code())
        .with_error_message(Some(refusal.message).filter(|message| !message.is_empty()).map(text))
}
