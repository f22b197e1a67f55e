//! DescribeProducers: which producers a partition remembers, with their last sequences and open transactions (KIP-664).
//!
//! Each partition is asked at its owner. The owner hands over its producers without looking at them; the answer is put together here. A partition that is asked for
//! twice is answered once: an answer can be far larger than what asked for it.

use std::collections::HashSet;
use std::rc::Rc;

use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

use crate::base::{ErrorCode, PartitionIndex};
use crate::cluster::image::TopicImage;
use crate::shard::Shard;
use crate::shard::partition::owner;

pub async fn handle(shard: Rc<Shard>, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut asked = HashSet::new();
    for mut topic in request.topics {
        topic.partition_indexes.retain(|index| asked.insert((topic.name.clone(), *index)));
        let found = shard.image().topic(topic.name.0.as_str()).cloned();
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in topic.partition_indexes {
            let answer = PartitionResponse::default().with_partition_index(index);
            partitions.push(match active_producers(&shard, found.as_deref(), PartitionIndex(index)).await {
                Ok(producers) => answer.with_active_producers(producers),
                Err(error) => answer.with_error_code(error.code()),
            });
        }
        topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    DescribeProducersResponse::default().with_topics(topics)
}

async fn active_producers(shard: &Rc<Shard>, topic: Option<&TopicImage>, index: PartitionIndex) -> Result<Vec<ProducerState>, ErrorCode> {
    let (key, _) = topic.and_then(|topic| owner(topic, index)).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let core = shard.place(key).await.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let producers = shard.ask(core, move |owner| owner.partition(key).ok_or_else(|| owner.why_missing(key))?.active_producers()).await?;
    let mut states: Vec<ProducerState> = producers
        .iter()
        .map(|producer| {
            ProducerState::default()
                .with_producer_id(kafka_protocol::messages::ProducerId(producer.id.0))
                .with_producer_epoch(i32::from(producer.epoch))
                .with_last_sequence(producer.last_sequence())
                .with_last_timestamp(producer.last_timestamp.0)
                .with_coordinator_epoch(producer.coordinator_epoch)
                .with_current_txn_start_offset(producer.current_transaction_first_offset.0)
        })
        .collect();
    states.sort_unstable_by_key(|state| state.producer_id.0);
    Ok(states)
}
