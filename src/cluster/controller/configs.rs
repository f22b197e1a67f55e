//! AlterConfigs and IncrementalAlterConfigs (KIP-339): settings of topics and brokers, changed while they run.
//!
//! Pure. Invariant: a resource changes as a whole or not at all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Answer, Applied, Effect, Refusal, is_own};
use crate::base::{BrokerId, ErrorCode, TopicName};
use crate::cluster::broker_config::{BrokerConfig, check_dynamic};
use crate::cluster::image::{Configs, MetadataImage, TopicImage};
use crate::cluster::setting::{Setting, SettingError};
use crate::cluster::topic_config::{TOPIC_SETTINGS, check_overrides, topic_setting};

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    Topic(String),
    /// `None`: all brokers.
    Broker(Option<BrokerId>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConfigUpdate {
    pub resource: ConfigResource,
    pub change: ConfigChange,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ConfigChange {
    /// These and no others (AlterConfigs).
    Replace(Configs),
    /// One after the other (IncrementalAlterConfigs).
    Incremental(Vec<ConfigOperation>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    Set {
        name: String,
        value: String,
    },
    /// Back to the default.
    Delete {
        name: String,
    },
    /// Adds words to a list.
    Append {
        name: String,
        value: String,
    },
    /// Takes words out of a list.
    Subtract {
        name: String,
        value: String,
    },
}

impl ConfigOperation {
    pub fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Delete { name } | Self::Append { name, .. } | Self::Subtract { name, .. } => name,
        }
    }
}

pub(super) fn alter(image: &MetadataImage, broker: &BrokerConfig, updates: Vec<ConfigUpdate>, validate_only: bool) -> Applied {
    let mut next = image.clone();
    let mut effects = Vec::new();
    let mut seen = HashMap::new();
    updates.iter().for_each(|update| *seen.entry(update.resource.clone()).or_insert(0) += 1);
    let answers = updates
        .into_iter()
        .map(|update| {
            let result = match seen[&update.resource] {
                1 => alter_one(&mut next, broker, &mut effects, &update),
                // As in Kafka none of them counts.
                _ => Err(Refusal::new(ErrorCode::InvalidRequest, "the resource stands twice in the request; name it once")),
            };
            (update.resource, result)
        })
        .collect();
    let answer = Answer::Configs(answers);
    match validate_only {
        true => Applied::unchanged(image, answer),
        false => Applied { image: next, effects, answer },
    }
}

fn alter_one(image: &mut MetadataImage, broker: &BrokerConfig, effects: &mut Vec<Effect>, update: &ConfigUpdate) -> Result<(), Refusal> {
    match &update.resource {
        ConfigResource::Topic(name) => {
            TopicName::new(name).map_err(|message| Refusal::new(ErrorCode::InvalidTopicException, message))?;
            let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name:?}"));
            let topic = image.topic(name).cloned().ok_or_else(unknown)?;
            let configs = changed(&topic.configs, &update.change, &|setting| {
                topic_setting(setting).ok().and_then(|setting| broker.topic_default(setting).0)
            })?;
            check_overrides(broker, &configs).map_err(invalid)?;
            if configs != *topic.configs {
                let topic = image.put_topic(TopicImage { configs: Arc::new(configs), ..TopicImage::clone(&topic) });
                effects.push(Effect::TopicConfigsChanged { topic });
            }
        }
        ConfigResource::Broker(id) => {
            if let Some(id) = id.filter(|id| !is_own(image, *id)) {
                let message = format!("broker {id} is not one of this node's; Metadata lists the brokers");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            let before = image.broker_configs.get(id).cloned().unwrap_or_default();
            let configs = changed(&before, &update.change, &|name| {
                let of_topics = TOPIC_SETTINGS.iter().find(|setting| setting.synonyms.iter().any(|synonym| synonym.name == name));
                of_topics.and_then(|setting| setting.default).map(String::from)
            })?;
            // Kafka's code for whatever is wrong with a broker's setting (KAFKA-13609).
            let refused = |error: SettingError| Refusal::new(ErrorCode::InvalidRequest, error.to_string());
            configs.iter().try_for_each(|(name, value)| check_dynamic(name, value)).map_err(refused)?;
            if configs != before {
                let all = Arc::make_mut(&mut image.broker_configs);
                all.insert(*id, configs);
                all.retain(|_, configs| !configs.is_empty());
                if !effects.contains(&Effect::BrokerConfigsChanged) {
                    effects.push(Effect::BrokerConfigsChanged);
                }
            }
        }
    }
    Ok(())
}

fn invalid(error: SettingError) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, error.to_string())
}

/// `configs` after the change. Names and values are checked by the caller, on the result.
fn changed(configs: &Configs, change: &ConfigChange, default_of: &dyn Fn(&str) -> Option<String>) -> Result<Configs, Refusal> {
    let operations = match change {
        ConfigChange::Replace(configs) => return Ok(configs.clone()),
        ConfigChange::Incremental(operations) => operations,
    };
    let mut configs = configs.clone();
    let mut seen = HashSet::new();
    for operation in operations {
        if !seen.insert(operation.name()) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, format!("{} stands twice in the request", operation.name())));
        }
        match operation {
            ConfigOperation::Set { name, value } => drop(configs.insert(name.clone(), value.clone())),
            ConfigOperation::Delete { name } => {
                topic_or_broker_setting(name)?;
                configs.remove(name);
            }
            ConfigOperation::Append { name, value } => {
                let mut words = list(name, &configs, default_of)?;
                words.extend(split(value).filter(|word| !words.contains(word)).collect::<Vec<_>>());
                configs.insert(name.clone(), words.join(","));
            }
            ConfigOperation::Subtract { name, value } => {
                let mut words = list(name, &configs, default_of)?;
                let taken: Vec<String> = split(value).collect();
                words.retain(|word| !taken.contains(word));
                configs.insert(name.clone(), words.join(","));
            }
        }
    }
    Ok(configs)
}

/// Resetting a name that nobody knows is an error too; broker resources also know the synonyms.
fn topic_or_broker_setting(name: &str) -> Result<(), Refusal> {
    match crate::cluster::broker_config::known_names().any(|known| known == name) {
        true => Ok(()),
        false => topic_setting(name).map(drop).map_err(invalid),
    }
}

/// The words of a list setting as they are now.
fn list(name: &str, configs: &Configs, default_of: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, Refusal> {
    let is_list = |setting: &&Setting| {
        setting.kind.is_list() && (setting.name == name || setting.synonyms.iter().any(|synonym| synonym.name == name))
    };
    if !TOPIC_SETTINGS.iter().any(|setting| is_list(&setting)) {
        return Err(Refusal::new(ErrorCode::InvalidConfig, format!("{name} is not a list; set it instead")));
    }
    let text = configs.get(name).cloned().or_else(|| default_of(name)).unwrap_or_default();
    Ok(split(&text).collect())
}

fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(String::from)
}
