//! OffsetForLeaderEpoch: where a leader's epoch ended, so that a client can tell whether its log was cut (KIP-320).

use std::rc::Rc;

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::base::{ErrorCode, LeaderEpoch, PartitionIndex};
use crate::cluster::image::TopicImage;
use crate::shard::Shard;
use crate::shard::partition::owner;

pub async fn handle(shard: Rc<Shard>, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = shard.image().topic(topic.topic.0.as_str()).cloned();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            partitions.push(answer_for(&shard, found.as_deref(), partition).await);
        }
        topics.push(OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions));
    }
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

async fn answer_for(shard: &Rc<Shard>, topic: Option<&TopicImage>, wanted: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(wanted.partition).with_leader_epoch(-1).with_end_offset(-1);
    let Some((key, _)) = topic.and_then(|topic| owner(topic, PartitionIndex(wanted.partition))) else {
        return answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    let Some(core) = shard.place(key).await else {
        return answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    let (current, epoch) = (LeaderEpoch(wanted.current_leader_epoch), LeaderEpoch(wanted.leader_epoch));
    let found = shard
        .ask(core, move |owner| {
            let partition = owner.partition(key).ok_or_else(|| owner.why_missing(key))?;
            partition.check_leader_epoch(current)?;
            partition.end_offset_for_epoch(epoch)
        })
        .await;
    match found {
        Ok(Some((epoch, end))) => answer.with_leader_epoch(epoch.0).with_end_offset(end.0),
        Ok(None) => answer,
        Err(error) => {
            let error: ErrorCode = error;
            answer.with_error_code(error.code())
        }
    }
}
