//! AlterPartitionReassignments (KIP-455): a partition whose one replica is to be another broker of this node moves to that broker's core.
//!
//! Any core takes it; the control thread stores it and moves the partitions. The move is done when the answer leaves.

use std::rc::Rc;

use kafka_protocol::messages::alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::base::{BrokerId, ErrorCode, PartitionIndex};
use crate::cluster::controller::{Answer, Command, Reassignment, Refusal};
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, version: i16, request: AlterPartitionReassignmentsRequest) -> AlterPartitionReassignmentsResponse {
    let reassignments: Vec<Reassignment> = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| Reassignment {
                topic: topic.name.0.to_string(),
                partition: PartitionIndex(partition.partition_index),
                replicas: partition.replicas.as_ref().map(|replicas| replicas.iter().map(|id| BrokerId(id.0)).collect()),
            })
        })
        .collect();
    let answer = AlterPartitionReassignmentsResponse::default();
    let answer = if version >= 1 { answer.with_allow_replication_factor_change(request.allow_replication_factor_change) } else { answer };
    let mut results = match shard.change_metadata(Command::Reassign(reassignments)).await {
        Ok(Answer::Reassigned(results)) => results.into_iter(),
        Ok(_) => unreachable!("a reassignment is answered with what became of each partition"),
        Err(refusal) => {
            return answer.with_error_code(refusal.error_code.code()).with_error_message(Some(StrBytes::from_string(refusal.message)));
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let told = topic.partitions.iter().map(|partition| {
            let result = results.next().expect("each partition has its answer");
            describe(partition.partition_index, result)
        });
        ReassignableTopicResponse::default().with_partitions(told.collect()).with_name(topic.name)
    });
    answer.with_error_message(None).with_responses(topics.collect())
}

fn describe(index: i32, result: Result<(), Refusal>) -> ReassignablePartitionResponse {
    let answer = ReassignablePartitionResponse::default().with_partition_index(index);
    match result {
        Ok(()) => answer.with_error_code(ErrorCode::None.code()).with_error_message(None),
        Err(refusal) => answer.with_error_code(refusal.error_code.code()).with_error_message(Some(StrBytes::from_string(refusal.message))),
    }
}
