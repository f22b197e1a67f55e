//! ListOffsets: the offset that belongs to a time, or one of the named places of a log.
//!
//! A search by time reads indexes and batches, so it runs on a helper thread against a snapshot of the partition's segments.

use std::rc::Rc;

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use crate::base::{CoreId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, Timestamp};
use crate::cluster::image::TopicImage;
use crate::shard::Shard;
use crate::shard::partition::{PartitionKey, TimedOffset, owner};

/// Kafka's names for places in a log (`ListOffsetsRequest`).
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// The record with the largest timestamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on local disk (KIP-405): without tiers, the earliest.
const EARLIEST_LOCAL: i64 = -4;
/// The last offset in remote storage (KIP-1005): without tiers there is none.
const LATEST_TIERED: i64 = -5;

pub async fn handle(shard: Rc<Shard>, version: i16, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = shard.image().topic(topic.name.0.as_str()).cloned();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            partitions.push(answer_for(&shard, version, found.as_deref(), partition).await);
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

async fn answer_for(
    shard: &Rc<Shard>,
    version: i16,
    topic: Option<&TopicImage>,
    wanted: &ListOffsetsPartition,
) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default()
        .with_partition_index(wanted.partition_index)
        .with_timestamp(-1)
        .with_offset(-1)
        .with_leader_epoch(-1);
    let Some((key, _)) = topic.and_then(|topic| owner(topic, PartitionIndex(wanted.partition_index))) else {
        return answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    let Some(core) = shard.place(key).await else {
        return answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    match find(shard, key, core, LeaderEpoch(wanted.current_leader_epoch), wanted.timestamp).await {
        Ok(Some(found)) => {
            // The field came with version 4 (KIP-320).
            let leader_epoch = if version >= 4 { found.leader_epoch.0 } else { -1 };
            answer.with_timestamp(found.timestamp.0).with_offset(found.offset.0).with_leader_epoch(leader_epoch)
        }
        Ok(None) => answer,
        Err(error) => answer.with_error_code(error.code()),
    }
}

/// `Ok(None)`: the log has no such place.
async fn find(
    shard: &Rc<Shard>,
    key: PartitionKey,
    core: CoreId,
    current: LeaderEpoch,
    timestamp: i64,
) -> Result<Option<TimedOffset>, ErrorCode> {
    shard
        .ask_later(core, move |owner| async move {
            let partition = owner.partition(key).ok_or_else(|| owner.why_missing(key))?;
            partition.check_leader_epoch(current)?;
            match timestamp {
                LATEST => partition.latest().map(Some),
                EARLIEST | EARLIEST_LOCAL => partition.earliest().map(Some),
                LATEST_TIERED => Ok(None),
                MAX_TIMESTAMP => partition.search_time(&owner, None).await,
                0.. => partition.search_time(&owner, Some(Timestamp(timestamp))).await,
                _ => Err(ErrorCode::InvalidRequest),
            }
        })
        .await
        .map(|found| found.filter(|found| found.offset >= Offset::ZERO))
}
