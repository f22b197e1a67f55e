//! CreatePartitions: more partitions for topics that exist, ready at their leaders before the answer leaves (KIP-195).
//!
//! Any core takes it; the control thread decides, stores and spreads the change.

use std::rc::Rc;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::base::{BrokerId, ErrorCode};
use crate::cluster::controller::{Answer, Command, PartitionsSpec, Refusal};
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let topics = request.topics.iter().map(specification).collect();
    let results = match shard.change_metadata(Command::CreatePartitions { topics, validate_only: request.validate_only }).await {
        Ok(Answer::Topics(answers)) => answers.into_iter().map(|answer| answer.result.map(drop)).collect(),
        Ok(_) => unreachable!("CreatePartitions is answered with topics"),
        Err(refusal) => vec![Err(refusal); request.topics.len()],
    };
    let results = request.topics.into_iter().zip(results).map(|(topic, result): (_, Result<(), Refusal>)| {
        let answer = CreatePartitionsTopicResult::default().with_name(topic.name);
        match result {
            Ok(()) => answer.with_error_code(ErrorCode::None.code()).with_error_message(None),
            Err(refusal) => {
                answer.with_error_code(refusal.error_code.code()).with_error_message(Some(StrBytes::from_string(refusal.message)))
            }
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn specification(topic: &CreatePartitionsTopic) -> PartitionsSpec {
    let assignment = topic
        .assignments
        .as_ref()
        .map(|assignments| assignments.iter().map(|replicas| replicas.broker_ids.iter().map(|id| BrokerId(id.0)).collect()).collect());
    PartitionsSpec { name: topic.name.0.to_string(), partition_count: topic.count, assignment }
}
