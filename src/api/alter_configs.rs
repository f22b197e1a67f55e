//! AlterConfigs and IncrementalAlterConfigs (KIP-133, KIP-339): settings of topics and brokers, in force when the answer leaves.
//!
//! Any core takes them; the control thread decides, stores and spreads the change. Each resource has its own answer, in the order of the request.

use std::collections::HashSet;
use std::rc::Rc;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::api::config_resource;
use crate::base::ErrorCode;
use crate::cluster::controller::{Answer, Command, ConfigChange, ConfigOperation, ConfigResource, ConfigUpdate, Refusal};
use crate::shard::Shard;

/// What is done with one setting (`AlterConfigOp.OpType`).
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// These settings and no others.
pub async fn replace(shard: Rc<Shard>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let parsed = request.resources.iter().map(|resource| {
        let pairs = resource.configs.iter().map(|config| Ok((config.name.to_string(), value(&config.name, config.value.as_ref())?)));
        Ok(ConfigUpdate {
            resource: config_resource::parse(resource.resource_type, &resource.resource_name)?,
            change: distinct(resource.configs.iter().map(|config| &config.name))
                .and_then(|()| pairs.collect())
                .map(ConfigChange::Replace)?,
        })
    });
    let results = alter(&shard, parsed.collect(), request.validate_only).await;
    let responses = request.resources.iter().zip(results).map(|(resource, result)| {
        let (error_code, error_message) = told(result);
        AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(error_code)
            .with_error_message(error_message)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// One setting after the other.
pub async fn incremental(shard: Rc<Shard>, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let parsed = request.resources.iter().map(|resource| {
        let operations = resource.configs.iter().map(operation);
        Ok(ConfigUpdate {
            resource: config_resource::parse(resource.resource_type, &resource.resource_name)?,
            change: distinct(resource.configs.iter().map(|config| &config.name))
                .and_then(|()| operations.collect())
                .map(ConfigChange::Incremental)?,
        })
    });
    let results = alter(&shard, parsed.collect(), request.validate_only).await;
    let responses = request.resources.iter().zip(results).map(|(resource, result)| {
        let (error_code, error_message) = told(result);
        IncrementalResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(error_code)
            .with_error_message(error_message)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn operation(config: &AlterableConfig) -> Result<ConfigOperation, Refusal> {
    let name = config.name.to_string();
    let value = || value(&config.name, config.value.as_ref());
    match config.config_operation {
        SET => Ok(ConfigOperation::Set { name, value: value()? }),
        DELETE => Ok(ConfigOperation::Delete { name }),
        APPEND => Ok(ConfigOperation::Append { name, value: value()? }),
        SUBTRACT => Ok(ConfigOperation::Subtract { name, value: value()? }),
        other => Err(invalid(format!("{name}: operation {other} is none of set (0), delete (1), append (2) and subtract (3)"))),
    }
}

fn value(name: &StrBytes, value: Option<&StrBytes>) -> Result<String, Refusal> {
    value.map(StrBytes::to_string).ok_or_else(|| invalid(format!("{name} has no value; delete the setting to go back to its default")))
}

fn distinct<'a>(mut names: impl Iterator<Item = &'a StrBytes>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(invalid(format!("{name} stands twice for one resource; name it once"))),
        None => Ok(()),
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// Makes the changes that could be read, and answers all in their order.
async fn alter(shard: &Rc<Shard>, parsed: Vec<Result<ConfigUpdate, Refusal>>, validate_only: bool) -> Vec<Result<(), Refusal>> {
    let updates: Vec<ConfigUpdate> = parsed.iter().filter_map(|parsed| parsed.clone().ok()).collect();
    let changed = match updates.is_empty() {
        true => Ok(Answer::Configs(Vec::new())),
        false => shard.change_metadata(Command::AlterConfigs { updates, validate_only }).await,
    };
    let mut results: Box<dyn Iterator<Item = Result<(), Refusal>>> = match changed {
        Ok(Answer::Configs(results)) => Box::new(results.into_iter().map(|(_, result): (ConfigResource, _)| result)),
        Ok(_) => unreachable!("AlterConfigs is answered with what became of each resource"),
        Err(refusal) => Box::new(std::iter::repeat(Err(refusal))),
    };
    let answered = parsed.into_iter().map(|parsed| match parsed {
        Ok(_) => results.next().expect("each resource has its answer"),
        Err(refusal) => Err(refusal),
    });
    answered.collect()
}

fn told(result: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(refusal) => (refusal.error_code.code(), Some(StrBytes::from_string(refusal.message))),
    }
}
