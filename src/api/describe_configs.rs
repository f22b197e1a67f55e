//! DescribeConfigs: the settings of topics and of this broker, with where each value comes from (KIP-133, KIP-226, KIP-569).
//!
//! Any core answers for any topic and any broker of the node.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::config_resource;
use crate::api::distinct::distinct;
use crate::base::{ErrorCode, TopicName};
use crate::cluster::controller::ConfigResource;
use crate::cluster::topic_config::{self, Described, Set};
use crate::shard::Shard;

pub fn handle(shard: &Shard, version: i16, mut request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let resources = distinct(std::mem::take(&mut request.resources), |resource| {
        (resource.resource_type, resource.resource_name.clone(), resource.configuration_keys.clone())
    });
    let results = resources.iter().map(|resource| {
        let answer =
            DescribeConfigsResult::default().with_resource_type(resource.resource_type).with_resource_name(resource.resource_name.clone());
        match find(shard, resource) {
            Ok(described) => {
                let wanted = described.iter().filter(|config| is_wanted(resource, config));
                answer.with_configs(wanted.map(|config| describe(version, &request, config)).collect())
            }
            Err((error, message)) => answer.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message))),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn find(shard: &Shard, resource: &DescribeConfigsResource) -> Result<Vec<Described>, (ErrorCode, String)> {
    let parsed = config_resource::parse(resource.resource_type, &resource.resource_name);
    let image = shard.image();
    match parsed.map_err(|refusal| (refusal.error_code, refusal.message))? {
        ConfigResource::Topic(name) => {
            TopicName::new(&name).map_err(|message| (ErrorCode::InvalidTopicException, message))?;
            let topic = image.topic(&name).ok_or_else(|| (ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}")))?;
            Ok(topic_config::describe(&shard.broker_config(), &topic.configs))
        }
        ConfigResource::Broker(None) => Ok(shard.broker_config().describe_defaults()),
        ConfigResource::Broker(Some(id)) => match image.broker(id) {
            Some(_) => Ok(shard.broker_config().of_broker(&image.broker_configs, id).describe()),
            None => Err((ErrorCode::InvalidRequest, format!("there is no broker {id} here; Metadata lists the brokers"))),
        },
    }
}

/// Null asks for all; Kafka's clients before 3.7 also send an empty list for that.
fn is_wanted(resource: &DescribeConfigsResource, config: &Described) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_str() == config.name),
        _ => true,
    }
}

fn describe(version: i16, request: &DescribeConfigsRequest, config: &Described) -> DescribeConfigsResourceResult {
    let mut result = DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(config.name))
        .with_value(config.value.clone().map(StrBytes::from_string))
        .with_read_only(config.read_only)
        .with_config_source(config.source as i8);
    if request.include_synonyms {
        result = result.with_synonyms(config.synonyms.iter().map(synonym).collect());
    }
    if version >= 3 {
        let documentation = request.include_documentation.then(|| StrBytes::from_static_str(config.setting.documentation));
        result = result.with_config_type(config.setting.kind.describe_configs_type()).with_documentation(documentation);
    }
    result
}

fn synonym(set: &Set) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_static_str(set.name))
        .with_value(Some(StrBytes::from_string(set.value.clone())))
        .with_source(set.source as i8)
}
