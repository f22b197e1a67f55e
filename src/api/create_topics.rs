//! CreateTopics: new topics, ready at their leaders before the answer leaves.
//!
//! Any core takes it; the control thread decides, stores and spreads the change, one request at a time.

use std::rc::Rc;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::api::text::topic_name;
use crate::base::{BrokerId, TopicId};
use crate::cluster::controller::{Answer, Command, Refusal, TopicAnswer, TopicSpec};
use crate::cluster::image::TopicImage;
use crate::cluster::topic_config;
use crate::io::entropy;
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, version: i16, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let names: Vec<String> = request.topics.iter().map(|topic| topic.name.0.to_string()).collect();
    let topics = request.topics.iter().map(specification).collect();
    let results = match shard.change_metadata(Command::CreateTopics { topics, validate_only: request.validate_only }).await {
        Ok(Answer::Topics(answers)) => answers.into_iter().map(|answer| answer_for(&shard, version, answer)).collect(),
        Ok(_) => unreachable!("CreateTopics is answered with topics"),
        Err(refusal) => names.iter().map(|name| refused(name, &refusal)).collect(),
    };
    CreateTopicsResponse::default().with_topics(results)
}

fn specification(topic: &CreatableTopic) -> TopicSpec {
    let assignment = topic.assignments.iter();
    TopicSpec {
        name: topic.name.0.to_string(),
        id: TopicId(entropy::uuid()),
        partition_count: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignment: assignment.map(|of| (of.partition_index, of.broker_ids.iter().map(|id| BrokerId(id.0)).collect())).collect(),
        // A null value means "the default", as if the setting were not named.
        configs: topic.configs.iter().filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string()))).collect(),
    }
}

fn answer_for(shard: &Shard, version: i16, answer: TopicAnswer) -> CreatableTopicResult {
    match answer.result {
        Ok(topic) => {
            let created = CreatableTopicResult::default().with_name(topic_name(&answer.name));
            // Only from version 5 on is there room for what was made (KIP-525).
            if version < 5 {
                return created;
            }
            let created = if version >= 7 { created.with_topic_id(Uuid::from_bytes(topic.id.0)) } else { created };
            created
                .with_num_partitions(topic.partitions.len() as i32)
                .with_replication_factor(topic.partitions.first().map_or(-1, |partition| partition.replicas.len() as i16))
                .with_configs(Some(configs(shard, &topic)))
        }
        Err(refusal) => refused(&answer.name, &refusal),
    }
}

/// What the topic's settings have become, as KIP-525 answers them.
fn configs(shard: &Shard, topic: &TopicImage) -> Vec<CreatableTopicConfigs> {
    let described = topic_config::describe(&shard.broker_config(), &topic.configs);
    described
        .into_iter()
        .map(|config| {
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_static_str(config.setting.name))
                .with_value(config.value.map(StrBytes::from_string))
                .with_config_source(config.source as i8)
        })
        .collect()
}

fn refused(name: &str, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(topic_name(name))
        .with_error_code(refusal.error_code.code())
        .with_error_message(Some(StrBytes::from_string(refusal.message.clone())))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}
