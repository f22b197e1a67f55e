//! DeleteTopics: by name, or by id from version 6 on (KIP-516).
//!
//! When the answer leaves, no core serves the topic any more; its files go in the background.

use std::rc::Rc;

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::base::{TopicId, TopicName};
use crate::cluster::controller::{Answer, Command, Refusal, TopicSelector};
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, version: i16, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    // Versions below 6 list names only.
    let wanted: Vec<DeleteTopicState> = match version {
        0..6 => request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name))).collect(),
        _ => request.topics,
    };
    let selectors = wanted.iter().map(selector).collect();
    let refusals = match delete(&shard, selectors).await {
        Ok(results) => results,
        Err(refusal) => wanted.iter().map(|_| Err(refusal.clone())).collect(),
    };
    let responses = wanted.into_iter().zip(refusals).map(|(topic, result)| answer_for(version, topic, result));
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

type Deleted = Result<(TopicName, TopicId), Refusal>;

async fn delete(shard: &Rc<Shard>, topics: Vec<TopicSelector>) -> Result<Vec<Deleted>, Refusal> {
    match shard.change_metadata(Command::DeleteTopics(topics)).await? {
        Answer::Deleted(answers) => Ok(answers.into_iter().map(|answer| answer.result).collect()),
        _ => unreachable!("DeleteTopics is answered with what was deleted"),
    }
}

fn selector(topic: &DeleteTopicState) -> TopicSelector {
    match &topic.name {
        Some(name) => TopicSelector::Name(name.0.to_string()),
        None => TopicSelector::Id(TopicId(*topic.topic_id.as_bytes())),
    }
}

fn answer_for(version: i16, topic: DeleteTopicState, deleted: Deleted) -> DeletableTopicResult {
    let answer = DeletableTopicResult::default();
    match deleted {
        Ok((name, id)) => {
            let answer = answer.with_name(Some(kafka_protocol::messages::TopicName(StrBytes::from_string(name.to_string()))));
            if version >= 6 { answer.with_topic_id(Uuid::from_bytes(id.0)) } else { answer }
        }
        Err(refusal) => {
            let answer = answer.with_name(topic.name).with_error_code(refusal.error_code.code());
            let answer = if version >= 6 { answer.with_topic_id(topic.topic_id) } else { answer };
            if version >= 5 { answer.with_error_message(Some(StrBytes::from_string(refusal.message))) } else { answer }
        }
    }
}
