//! What `pagewire topics` asks a broker to change.
//!
//! Main thread.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest};
use kafka_protocol::protocol::StrBytes;

use super::{Outcome, TopicsCommand};
use crate::admin::cluster::topic_name;
use crate::admin::refusal::{AdminError, check};
use crate::net::client::Client;

/// How long the broker may take for a change.
const CHANGE_TIMEOUT_MS: i32 = 30_000;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;

pub(super) fn create(client: &mut Client, command: &TopicsCommand) -> Result<Outcome, AdminError> {
    let TopicsCommand::Create { name, partitions, replication_factor, configs, validate_only, if_not_exists } = command else {
        unreachable!("run() calls create() for Create only");
    };
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(*partitions)
        .with_replication_factor(*replication_factor)
        .with_configs(configs.collect());
    let request =
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(CHANGE_TIMEOUT_MS).with_validate_only(*validate_only);
    let answer = client.ask("CreateTopics", &request)?;
    let mut done = Vec::new();
    for result in &answer.topics {
        match result.error_code {
            TOPIC_ALREADY_EXISTS if *if_not_exists => {}
            code => {
                check(&result.name, code, result.error_message.as_ref())?;
                done.push(result.name.to_string());
            }
        }
    }
    Ok(Outcome::Done { done })
}

pub(super) fn delete(client: &mut Client, names: &[String], if_exists: bool) -> Result<Outcome, AdminError> {
    // Versions up to 5 take names, later ones a state per topic; the encoder leaves out what the version does not have.
    let states = names.iter().map(|name| DeleteTopicState::default().with_name(Some(topic_name(name)))).collect();
    let newer = DeleteTopicsRequest::default().with_topics(states).with_timeout_ms(CHANGE_TIMEOUT_MS);
    let older = DeleteTopicsRequest::default()
        .with_topic_names(names.iter().map(|name| topic_name(name)).collect())
        .with_timeout_ms(CHANGE_TIMEOUT_MS);
    let request = if client.version::<DeleteTopicsRequest>().is_some_and(|version| version >= 6) { newer } else { older };
    let answer = client.ask("DeleteTopics", &request)?;
    let mut done = Vec::new();
    let mut refused = None;
    for result in &answer.responses {
        let name = result.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        match result.error_code {
            UNKNOWN_TOPIC_OR_PARTITION if if_exists => {}
            code => match check(&name, code, result.error_message.as_ref()) {
                Ok(()) => done.push(name),
                Err(error) => refused = refused.or(Some(error)),
            },
        }
    }
    refused.map_or(Ok(Outcome::Done { done }), Err)
}
