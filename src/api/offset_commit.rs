//! OffsetCommit: how far a group has read. Answered when the commits are written as durably as any message.

use std::rc::Rc;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use crate::api::groups::{ask, existing_partition, group_id, group_instance_id, member_id};
use crate::base::{ErrorCode, LeaderEpoch, Offset};
use crate::cluster::image::MetadataImage;
use crate::coordinator::GroupId;
use crate::coordinator::effect::Response;
use crate::coordinator::event::{CommitOffsetsRequest, Event, OffsetToCommit};
use crate::shard::Shard;

/// From this version on an unknown group has a code of its own (KIP-848).
const GROUP_ID_NOT_FOUND_FROM: i16 = 9;

pub async fn handle(shard: Rc<Shard>, version: i16, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let offsets = offsets(&shard.image(), &request);
    // A partition that does not exist is refused by itself, the others are committed.
    let existing: Vec<OffsetToCommit> = offsets.iter().flatten().flatten().cloned().collect();
    let count = existing.len();
    let codes = match commit_request(version, &request, existing) {
        _ if count == 0 && !request.topics.is_empty() => Vec::new(),
        Ok((group_id, request)) => {
            let take = |response| if let Response::CommitOffsets(codes) = response { Some(codes) } else { None };
            let codes = ask(&shard, group_id, move |token| Event::CommitOffsets { token, request }, take).await;
            codes.unwrap_or_else(|error| vec![error; count])
        }
        Err(error) => vec![error; count],
    };
    let mut codes = codes.into_iter();
    let topics = request.topics.into_iter().zip(offsets).map(|(topic, offsets)| {
        let partitions = topic.partitions.iter().zip(offsets).map(|(partition, offset)| {
            let code = match offset {
                Some(_) => codes.next().expect("one code for each offset"),
                None => ErrorCode::UnknownTopicOrPartition,
            };
            OffsetCommitResponsePartition::default().with_partition_index(partition.partition_index).with_error_code(code.code())
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// In the request's order; `None` for partitions that do not exist.
fn offsets(image: &MetadataImage, request: &OffsetCommitRequest) -> Vec<Vec<Option<OffsetToCommit>>> {
    let of_topic = |topic: &OffsetCommitRequestTopic| {
        topic.partitions.iter().map(|partition| offset(image, topic.name.0.as_str(), partition)).collect()
    };
    request.topics.iter().map(of_topic).collect()
}

fn offset(image: &MetadataImage, topic: &str, partition: &OffsetCommitRequestPartition) -> Option<OffsetToCommit> {
    Some(OffsetToCommit {
        partition: existing_partition(image, topic, partition.partition_index)?,
        topic_id: image.topic(topic)?.id,
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.as_ref().map_or("", |metadata| metadata.as_str()).into(),
    })
}

fn commit_request(
    version: i16,
    request: &OffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
) -> Result<(GroupId, CommitOffsetsRequest), ErrorCode> {
    let commit = CommitOffsetsRequest {
        generation_id: request.generation_id_or_member_epoch,
        member_id: member_id(&request.member_id)?,
        group_instance_id: group_instance_id(request.group_instance_id.as_ref())?,
        knows_group_id_not_found: version >= GROUP_ID_NOT_FOUND_FROM,
        // Only versions 2 to 4 have it; -1, also where it is left out, means the broker's retention.
        retention_ms: Some(request.retention_time_ms).filter(|retention_ms| *retention_ms >= 0),
        offsets,
    };
    Ok((group_id(&request.group_id)?, commit))
}
