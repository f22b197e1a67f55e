//! What a fetch asks for, copied out of the receive buffer and resolved against the metadata image.

use crate::api::message::RequestInfo;
use crate::base::limits::FETCH_RESPONSE_BYTES_MAX;
use crate::base::{CoreId, ErrorCode, PartitionIndex, TopicId};
use crate::shard::Shard;
use crate::shard::partition::{PartitionKey, ReadAnswer, ReadRequest, owner};
use crate::shard::reads::PlacedRead;
use crate::wire::fetch::{FetchPartition, FetchRequest};
use crate::wire::frame::TopicReference;

pub(super) struct Plan {
    pub info: RequestInfo,
    pub topics: Vec<Topic>,
    /// In the order of the request.
    pub partitions: Vec<PlannedPartition>,
    /// The partitions that exist.
    pub reads: Vec<PlacedRead>,
    pub bytes_max: usize,
    pub bytes_min: usize,
    /// A read_committed consumer gets a list of aborted transactions, which is always empty here.
    pub read_committed: bool,
}

pub(super) enum Topic {
    Name(String),
    Id(TopicId),
}

impl Topic {
    pub(super) fn reference(&self) -> TopicReference<'_> {
        match self {
            Topic::Name(name) => TopicReference::Name(name),
            Topic::Id(id) => TopicReference::Id(*id),
        }
    }
}

pub(super) struct PlannedPartition {
    /// Place in `Plan::topics`.
    pub topic: usize,
    pub index: PartitionIndex,
    /// Place in `Plan::reads`, or why there is none.
    pub read: Result<usize, ErrorCode>,
}

impl Plan {
    pub(super) fn new(shard: &Shard, info: RequestInfo, request: &FetchRequest<'_>) -> Plan {
        let image = shard.image();
        let mut plan = Plan {
            info,
            topics: Vec::with_capacity(1),
            partitions: Vec::with_capacity(1),
            reads: Vec::with_capacity(1),
            bytes_max: usize::try_from(request.max_bytes)
                .unwrap_or(0)
                .min(FETCH_RESPONSE_BYTES_MAX)
                .min(shard.broker_config().fetch_bytes_max),
            bytes_min: 0,
            read_committed: request.isolation_level == 1,
        };
        // As in Kafka: nobody waits for more than fits into the answer.
        plan.bytes_min = usize::try_from(request.min_bytes).unwrap_or(0).min(plan.bytes_max);
        for topic in request.topics() {
            let (place, found) = match topic.topic {
                TopicReference::Name(name) => (Topic::Name(name.to_owned()), image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)),
                TopicReference::Id(id) => (Topic::Id(id), image.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId)),
            };
            plan.topics.push(place);
            for partition in topic.partitions {
                let owner = found.and_then(|topic| owner(topic, partition.partition).ok_or(ErrorCode::UnknownTopicOrPartition));
                plan.add(owner, &partition);
            }
        }
        plan
    }

    fn add(&mut self, owner: Result<(PartitionKey, CoreId), ErrorCode>, partition: &FetchPartition) {
        let read = owner.map(|(key, core)| {
            self.reads.push(PlacedRead {
                core,
                request: ReadRequest {
                    key,
                    current_leader_epoch: partition.current_leader_epoch,
                    offset: partition.fetch_offset,
                    bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                    at_least_one_batch: true,
                },
            });
            self.reads.len() - 1
        });
        self.partitions.push(PlannedPartition { topic: self.topics.len() - 1, index: partition.partition, read });
    }

    /// Whether an answer may leave: enough bytes, or an error that the client should hear now.
    pub(super) fn is_satisfied_by(&self, answers: &[ReadAnswer]) -> bool {
        self.partitions.is_empty()
            || self.partitions.iter().any(|partition| partition.read.is_err())
            || answers.iter().any(|answer| !answer.error.is_none())
            || bytes(answers) >= self.bytes_min
    }

    pub(super) fn missing_bytes(&self, answers: &[ReadAnswer]) -> u64 {
        (self.bytes_min - bytes(answers).min(self.bytes_min)) as u64
    }
}

fn bytes(answers: &[ReadAnswer]) -> usize {
    answers.iter().map(ReadAnswer::bytes).sum()
}
