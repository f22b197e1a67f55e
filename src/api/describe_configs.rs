//! DescribeConfigs: the settings of topics and of this broker, with where each value comes from (KIP-133, KIP-226, KIP-569).
//!
//! Any core answers for any topic; brokers answer for themselves.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::distinct::distinct;
use crate::base::{BrokerId, ErrorCode, TopicName};
use crate::cluster::topic_config::{self, Described, Source};
use crate::shard::Shard;

/// Kafka's resource types (`ConfigResource.Type`).
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

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
                answer.with_configs(wanted.map(|config| describe(version, &request, resource, config)).collect())
            }
            Err((error, message)) => answer.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message))),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn find(shard: &Shard, resource: &DescribeConfigsResource) -> Result<Vec<Described>, (ErrorCode, String)> {
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => {
            TopicName::new(name).map_err(|message| (ErrorCode::InvalidTopicException, message))?;
            let image = shard.image();
            let topic = image.topic(name).ok_or_else(|| (ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}")))?;
            Ok(topic_config::describe(&shard.broker_config(), &topic.configs))
        }
        // No name stands for the defaults of all brokers, of which none is set at run time.
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER => match name.parse().map(BrokerId).ok().filter(|id| shard.image().broker(*id).is_some()) {
            Some(_) => Ok(shard.broker_config().describe()),
            None => Err((ErrorCode::InvalidRequest, format!("there is no broker {name:?} here; Metadata lists the brokers"))),
        },
        other => Err((ErrorCode::InvalidRequest, format!("resource type {other} has no settings here; topics (2) and brokers (4) have"))),
    }
}

/// Null asks for all; Kafka's clients before 3.7 also send an empty list for that.
fn is_wanted(resource: &DescribeConfigsResource, config: &Described) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_str() == config.setting.name),
        _ => true,
    }
}

fn describe(
    version: i16,
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    config: &Described,
) -> DescribeConfigsResourceResult {
    let name = StrBytes::from_static_str(config.setting.name);
    let value = config.value.clone().map(StrBytes::from_string);
    let mut result = DescribeConfigsResourceResult::default()
        .with_name(name.clone())
        .with_value(value.clone())
        .with_read_only(resource.resource_type == BROKER)
        .with_config_source(config.source as i8);
    if request.include_synonyms && config.source != Source::Default {
        result = result
            .with_synonyms(vec![DescribeConfigsSynonym::default().with_name(name).with_value(value).with_source(config.source as i8)]);
    }
    if version >= 3 {
        let documentation = request.include_documentation.then(|| StrBytes::from_static_str(config.setting.documentation));
        result = result.with_config_type(config.setting.kind.describe_configs_type()).with_documentation(documentation);
    }
    result
}
