//! DeleteRecords: moves the starts of logs up, so that what lies below is gone for everybody (KIP-107).
//!
//! Runs on the core of the connection and asks the owner of each partition. Kafka writes the new starts down within a minute; here they are
//! on the disk when the answer leaves, so that what was deleted does not come back after a crash.

use std::rc::Rc;

use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use crate::base::{ErrorCode, Offset, PartitionIndex};
use crate::cluster::image::TopicImage;
use crate::shard::Shard;
use crate::shard::calls::Call;
use crate::shard::partition::owner;

/// Stands for all records that consumers can see.
const HIGH_WATERMARK: i64 = -1;
/// The low watermark where there is none to tell.
const NO_LOW_WATERMARK: i64 = -1;

pub async fn handle(shard: Rc<Shard>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = shard.image().topic(topic.name.0.as_str()).cloned();
        // All are asked before the first answer is waited for.
        let mut asked: Vec<Asked> = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            asked.push(ask(&shard, found.as_deref(), partition).await);
        }
        let mut partitions = Vec::with_capacity(asked.len());
        for (wanted, asked) in topic.partitions.iter().zip(asked) {
            let deleted = match asked {
                Ok(call) => call.await,
                Err(error) => Err(error),
            };
            partitions.push(answer_for(wanted, deleted));
        }
        topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
    }
    let deleted = |partition: &DeleteRecordsPartitionResult| partition.error_code == ErrorCode::None.code();
    if topics.iter().any(|topic| topic.partitions.iter().any(deleted))
        && let Err(error) = shard.checkpoint_log_starts().await
    {
        let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.filter(|partition| deleted(partition)).for_each(|partition| partition.error_code = error.code());
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

type Asked = Result<Call<Result<Offset, ErrorCode>>, ErrorCode>;

async fn ask(shard: &Rc<Shard>, topic: Option<&TopicImage>, wanted: &DeleteRecordsPartition) -> Asked {
    let index = PartitionIndex(wanted.partition_index);
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let (key, _) = owner(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if topic.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let core = shard.place(key).await.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let before = (wanted.offset != HIGH_WATERMARK).then_some(Offset(wanted.offset));
    Ok(shard.ask(core, move |owner| {
        let partition = owner.partition(key).ok_or_else(|| owner.why_missing(key))?;
        partition.delete_records(owner, before)
    }))
}

fn answer_for(wanted: &DeleteRecordsPartition, deleted: Result<Offset, ErrorCode>) -> DeleteRecordsPartitionResult {
    let answer = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
    match deleted {
        Ok(log_start_offset) => answer.with_low_watermark(log_start_offset.0),
        Err(error) => answer.with_low_watermark(NO_LOW_WATERMARK).with_error_code(error.code()),
    }
}
