//! `pagewire configs`: show and change the settings of topics and brokers, of any broker that speaks Kafka's protocol.
//!
//! Main thread. Invariants: settings that a change does not name stay as they are (KIP-339); a broker is asked for its own settings itself,
//! as Kafka wants it.

mod arguments;
mod view;

pub use arguments::{Change, ConfigsCommand, Operation, ResourceArguments, ResourceKind};
pub use view::{ConfigView, Outcome, Source};

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::cluster::{Cluster, text};
use super::refusal::{AdminError, check};
use crate::base::BrokerId;
use crate::net::client::Client;

/// Runs one command against the cluster behind `bootstrap`.
///
/// # Errors
/// A broker cannot be asked, or it refuses.
pub fn run(bootstrap: &str, command: &ConfigsCommand) -> Result<Outcome, AdminError> {
    let mut cluster = Cluster::connect(bootstrap)?;
    match command {
        ConfigsCommand::Get { resource, settings, all } => {
            let client = broker_for(&mut cluster, resource)?;
            let names = (!settings.is_empty()).then_some(settings.as_slice());
            let mut found = describe(client, resource, names)?;
            if let Some(missing) = settings.iter().find(|name| found.iter().all(|config| config.name != **name)) {
                let hint = "`pagewire configs get --all` lists those there are";
                return Err(AdminError::Declined(format!("{resource} has no setting {missing}; {hint}")));
            }
            found.retain(|config| *all || !settings.is_empty() || config.source != Source::Default);
            Ok(Outcome::Settings(found))
        }
        ConfigsCommand::Set { resource, changes, validate_only } => alter(&mut cluster, resource, changes, *validate_only),
        ConfigsCommand::Unset { resource, settings, validate_only } => {
            let delete = |name: &String| Change { name: name.clone(), operation: Operation::Delete, value: None };
            alter(&mut cluster, resource, &settings.iter().map(delete).collect::<Vec<_>>(), *validate_only)
        }
    }
}

/// Whoever may be asked about the resource.
fn broker_for<'a>(cluster: &'a mut Cluster, resource: &ResourceArguments) -> Result<&'a mut Client, AdminError> {
    match resource.broker()? {
        Some(id) => cluster.broker(BrokerId(id)),
        None => Ok(cluster.anyone()),
    }
}

/// The settings of a resource in order of name: these, or all of them.
///
/// # Errors
/// The broker cannot be asked, or it refuses.
pub fn describe(client: &mut Client, resource: &ResourceArguments, names: Option<&[String]>) -> Result<Vec<ConfigView>, AdminError> {
    let wanted = DescribeConfigsResource::default()
        .with_resource_type(resource.kind.code())
        .with_resource_name(text(resource.wire_name()))
        .with_configuration_keys(names.map(|names| names.iter().map(|name| text(name)).collect()));
    let answer = client.ask("DescribeConfigs", &DescribeConfigsRequest::default().with_resources(vec![wanted]))?;
    let mut configs = Vec::new();
    for result in &answer.results {
        check(&resource.to_string(), result.error_code, result.error_message.as_ref())?;
        configs.extend(result.configs.iter().map(ConfigView::from));
    }
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(configs)
}

fn alter(cluster: &mut Cluster, resource: &ResourceArguments, changes: &[Change], validate_only: bool) -> Result<Outcome, AdminError> {
    let configs = changes.iter().map(|change| {
        AlterableConfig::default()
            .with_name(text(&change.name))
            .with_config_operation(change.operation as i8)
            .with_value(change.value.as_deref().map(text))
    });
    let altered = AlterConfigsResource::default()
        .with_resource_type(resource.kind.code())
        .with_resource_name(text(resource.wire_name()))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![altered]).with_validate_only(validate_only);
    let answer = broker_for(cluster, resource)?.ask("IncrementalAlterConfigs", &request)?;
    for result in &answer.responses {
        check(&resource.to_string(), result.error_code, result.error_message.as_ref())?;
    }
    Ok(Outcome::Done { done: changes.iter().map(|change| change.name.clone()).collect() })
}
