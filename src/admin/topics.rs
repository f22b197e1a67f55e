//! `pagewire topics`: list, create, describe and delete topics of any broker that speaks Kafka's protocol.
//!
//! Main thread. Invariant: what is printed with `--json` is one JSON value on standard output, and errors go elsewhere.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

use super::cluster::{metadata, topic_name};
use super::refusal::{AdminError, check};
use super::table::{Align, Table};
use crate::base::TopicId;
use crate::net::client::Client;

/// How long the broker may take for a change.
const CHANGE_TIMEOUT_MS: i32 = 30_000;
/// DescribeConfigs: a topic's settings.
const TOPIC_RESOURCE: i8 = 2;
/// DescribeConfigs: the value is the topic's own.
const TOPIC_SOURCE: i8 = 1;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;

/// What to do with topics.
#[derive(clap::Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum TopicsCommand {
    /// Every topic with its partitions and replicas
    List {
        /// Show Kafka's internal topics too
        #[arg(long)]
        internal: bool,
    },
    /// Make a topic
    Create {
        name: String,
        /// How many partitions [default: the broker's num.partitions]
        #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
        partitions: i32,
        /// How many replicas [default: the broker's default.replication.factor]
        #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
        replication_factor: i16,
        /// A topic setting such as retention.ms=3600000; may be repeated
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_pair)]
        configs: Vec<(String, String)>,
        /// Only ask whether it would work
        #[arg(long)]
        validate_only: bool,
        /// Be content with a topic that is there already, whatever it looks like
        #[arg(long)]
        if_not_exists: bool,
    },
    /// Partitions, leaders, replicas and settings of topics
    Describe {
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Delete topics with everything in them
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        /// Be content with topics that are not there
        #[arg(long)]
        if_exists: bool,
    },
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().into(), value.trim().into()))
}

/// A topic, as `list` and `describe` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicView {
    pub name: String,
    pub id: String,
    pub internal: bool,
    pub partitions: Vec<PartitionView>,
    /// What the topic overrides; `None` where the broker was not asked or does not say.
    pub configs: Option<Vec<ConfigView>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionView {
    pub partition: i32,
    /// −1: there is none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigView {
    pub name: String,
    pub value: Option<String>,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    List(Vec<TopicView>),
    Described(Vec<TopicView>),
    Done { done: Vec<String> },
}

/// Runs one command against the broker at `bootstrap`.
///
/// # Errors
/// The broker cannot be asked, or it refuses.
pub fn run(bootstrap: &str, command: &TopicsCommand) -> Result<Outcome, AdminError> {
    let mut client = Client::connect(bootstrap)?;
    match command {
        TopicsCommand::List { internal } => {
            let mut topics = views(metadata(&mut client, None)?)?;
            topics.retain(|topic| *internal || !topic.internal);
            Ok(Outcome::List(topics))
        }
        TopicsCommand::Describe { names } => {
            let mut topics = views(metadata(&mut client, Some(names))?)?;
            for topic in &mut topics {
                topic.configs = configs(&mut client, &topic.name)?;
            }
            Ok(Outcome::Described(topics))
        }
        TopicsCommand::Create { .. } => create(&mut client, command),
        TopicsCommand::Delete { names, if_exists } => delete(&mut client, names, *if_exists),
    }
}

fn views(answer: MetadataResponse) -> Result<Vec<TopicView>, AdminError> {
    let mut topics: Vec<TopicView> = answer.topics.iter().map(view).collect::<Result<_, _>>()?;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

fn view(topic: &MetadataResponseTopic) -> Result<TopicView, AdminError> {
    let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
    check(&name, topic.error_code, None)?;
    let mut partitions: Vec<PartitionView> = topic
        .partitions
        .iter()
        .map(|partition| PartitionView {
            partition: partition.partition_index,
            leader: partition.leader_id.0,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.iter().map(|broker| broker.0).collect(),
            isr: partition.isr_nodes.iter().map(|broker| broker.0).collect(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    let id = TopicId(topic.topic_id.into_bytes()).to_string();
    Ok(TopicView { name, id, internal: topic.is_internal, partitions, configs: None })
}

/// The settings a topic overrides; `None` if this broker has no DescribeConfigs.
fn configs(client: &mut Client, name: &str) -> Result<Option<Vec<ConfigView>>, AdminError> {
    if !client.knows::<DescribeConfigsRequest>() {
        return Ok(None);
    }
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(StrBytes::from_string(name.into()))
        .with_configuration_keys(None);
    let answer = client.ask("DescribeConfigs", &DescribeConfigsRequest::default().with_resources(vec![resource]))?;
    let mut configs = Vec::new();
    for result in &answer.results {
        check(name, result.error_code, result.error_message.as_ref())?;
        let own = result.configs.iter().filter(|config| config.config_source == TOPIC_SOURCE);
        configs.extend(
            own.map(|config| ConfigView { name: config.name.to_string(), value: config.value.as_ref().map(|value| value.to_string()) }),
        );
    }
    Ok(Some(configs))
}

fn create(client: &mut Client, command: &TopicsCommand) -> Result<Outcome, AdminError> {
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

fn delete(client: &mut Client, names: &[String], if_exists: bool) -> Result<Outcome, AdminError> {
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

impl Outcome {
    /// As tables for people.
    pub fn text(&self) -> String {
        match self {
            Outcome::List(topics) => list_text(topics),
            Outcome::Described(topics) => topics.iter().map(described_text).collect::<Vec<_>>().join("\n"),
            Outcome::Done { done } if done.is_empty() => "nothing to do\n".into(),
            Outcome::Done { done } => done.iter().map(|name| format!("{name}\n")).collect(),
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values become JSON")
    }
}

fn list_text(topics: &[TopicView]) -> String {
    let mut table = Table::new([("TOPIC", Align::Left), ("PARTITIONS", Align::Right), ("REPLICAS", Align::Right), ("ID", Align::Left)]);
    for TopicView { name, id, partitions, .. } in topics {
        let replicas = partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0);
        table.row([name.clone(), partitions.len().to_string(), replicas.to_string(), id.clone()]);
    }
    table.text("")
}

fn described_text(topic: &TopicView) -> String {
    let numbers = |numbers: &[i32]| numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let mut text = format!("{}  {} partitions  id {}\n", topic.name, topic.partitions.len(), topic.id);
    for ConfigView { name, value } in topic.configs.iter().flatten() {
        text += &format!("  {name} = {}\n", value.as_deref().unwrap_or("(hidden)"));
    }
    let mut table = Table::new(["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC"].map(|head| (head, Align::Right)));
    for partition in &topic.partitions {
        let leader = if partition.leader < 0 { "none".into() } else { partition.leader.to_string() };
        let epoch = partition.leader_epoch.to_string();
        table.row([partition.partition.to_string(), leader, epoch, numbers(&partition.replicas), numbers(&partition.isr)]);
    }
    text + &table.text("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: i32) -> TopicView {
        let partitions = (0..partitions).map(|partition| PartitionView {
            partition,
            leader: if partition == 1 { -1 } else { 1000 },
            leader_epoch: 7,
            replicas: vec![1000, 2000],
            isr: vec![1000],
        });
        let configs = Some(vec![ConfigView { name: "retention.ms".into(), value: Some("5".into()) }]);
        TopicView { name: name.into(), id: TopicId([1; 16]).to_string(), internal: false, partitions: partitions.collect(), configs }
    }

    #[test]
    fn tables_line_up() {
        let list = Outcome::List(vec![topic("orders", 2), topic("a-longer-name", 0)]).text();
        assert_eq!(
            list,
            "TOPIC          PARTITIONS  REPLICAS  ID\n\
             orders                  2         2  AQEBAQEBAQEBAQEBAQEBAQ\n\
             a-longer-name           0         0  AQEBAQEBAQEBAQEBAQEBAQ\n"
        );
        let described = Outcome::Described(vec![topic("orders", 2)]).text();
        assert_eq!(
            described,
            "orders  2 partitions  id AQEBAQEBAQEBAQEBAQEBAQ\n  retention.ms = 5\n  \
             PARTITION  LEADER  EPOCH   REPLICAS  IN SYNC\n          \
             0    1000      7  1000,2000     1000\n          \
             1    none      7  1000,2000     1000\n"
        );
        assert_eq!(Outcome::Done { done: vec![] }.text(), "nothing to do\n");
    }

    #[test]
    fn json_names_what_the_tables_abbreviate() {
        let json: serde_json::Value = serde_json::from_str(&Outcome::List(vec![topic("orders", 1)]).json()).unwrap();
        assert_eq!(json[0]["partitions"][0]["leader_epoch"], 7);
        assert_eq!(json[0]["configs"][0]["name"], "retention.ms");
        let done: serde_json::Value = serde_json::from_str(&Outcome::Done { done: vec!["a".into()] }.json()).unwrap();
        assert_eq!(done["done"][0], "a");
    }
}
