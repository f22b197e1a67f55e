//! OffsetDelete: committed offsets of topics that nobody in the group reads any more (KIP-496).

use std::rc::Rc;

use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use crate::api::groups::{ask, existing_partition, group_id};
use crate::base::ErrorCode;
use crate::coordinator::effect::{DeleteOffsetsResponse, Response};
use crate::coordinator::event::{Event, TopicPartition};
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let image = shard.image();
    // A partition that does not exist is refused by itself, as in Kafka.
    let wanted: Vec<Vec<Option<TopicPartition>>> = request
        .topics
        .iter()
        .map(|topic| {
            let of_topic = topic.partitions.iter();
            of_topic.map(|partition| existing_partition(&image, topic.name.0.as_str(), partition.partition_index)).collect()
        })
        .collect();
    let existing: Vec<TopicPartition> = wanted.iter().flatten().flatten().cloned().collect();
    let deleted = match group_id(&request.group_id.0) {
        Ok(group_id) => {
            let take = |response| if let Response::DeleteOffsets(deleted) = response { Some(deleted) } else { None };
            ask(&shard, group_id, move |token| Event::DeleteOffsets { token, partitions: existing }, take).await
        }
        Err(error) => Err(error),
    };
    let DeleteOffsetsResponse { error, partitions } =
        deleted.unwrap_or_else(|error| DeleteOffsetsResponse { error, partitions: Vec::new() });
    if !error.is_none() {
        return OffsetDeleteResponse::default().with_error_code(error.code());
    }
    let mut codes = partitions.into_iter();
    let topics = request.topics.into_iter().zip(wanted).map(|(topic, wanted)| {
        let partitions = topic.partitions.iter().zip(wanted).map(|(partition, wanted)| {
            let code = match wanted {
                Some(_) => codes.next().expect("one code for each partition"),
                None => ErrorCode::UnknownTopicOrPartition,
            };
            OffsetDeleteResponsePartition::default().with_partition_index(partition.partition_index).with_error_code(code.code())
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
