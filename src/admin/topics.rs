//! `pagewire topics`: list, create, describe, alter, move and delete topics of any broker that speaks Kafka's protocol.
//!
//! Main thread. Invariant: what is printed with `--json` is one JSON value on standard output, and errors go elsewhere.

mod change;

use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{DescribeConfigsRequest, MetadataResponse};
use serde::Serialize;

pub use change::Before;

use super::cluster::Cluster;
use super::configs::{self, ConfigView, ResourceArguments, Source};
use super::moves::{self, PartitionName};
use super::refusal::{AdminError, check};
use super::table::{Align, Table};
use crate::base::TopicId;
use crate::net::client::Client;

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
    /// Move partitions to another core of their node while clients go on; no byte is copied
    Move {
        /// Such as orders-3; may be repeated
        #[arg(required = true, value_name = "TOPIC-PARTITION")]
        partitions: Vec<PartitionName>,
        /// The number of the core, from 0
        #[arg(long)]
        core: u16,
    },
    /// Give topics more partitions, at once; there is no way back
    ///
    /// Keys are spread over the partitions anew: records of one key that came before are in another partition than those that come after.
    Alter {
        #[arg(required = true)]
        names: Vec<String>,
        /// How many partitions each is to have in all
        #[arg(long)]
        partitions: i32,
        /// Only ask whether it would work
        #[arg(long)]
        validate_only: bool,
    },
    /// Delete the oldest records of a topic, for everybody and for good
    DeleteRecords {
        name: String,
        /// Delete what lies below this offset, or with "end" all there is
        #[arg(long, value_name = "OFFSET|end")]
        before: Before,
        /// Only in this partition; may be repeated [default: all]
        #[arg(long = "partition", value_name = "PARTITION")]
        partitions: Vec<i32>,
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

/// A partition after its oldest records are gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DeletedView {
    pub partition: i32,
    /// The first offset that is left.
    pub low_watermark: i64,
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    List(Vec<TopicView>),
    Described(Vec<TopicView>),
    Deleted(Vec<DeletedView>),
    Done { done: Vec<String> },
}

/// Runs one command against the broker at `bootstrap`.
///
/// # Errors
/// The broker cannot be asked, or it refuses.
pub fn run(bootstrap: &str, command: &TopicsCommand) -> Result<Outcome, AdminError> {
    let mut cluster = Cluster::connect(bootstrap)?;
    match command {
        TopicsCommand::List { internal } => {
            let mut topics = views(cluster.metadata(None)?)?;
            topics.retain(|topic| *internal || !topic.internal);
            Ok(Outcome::List(topics))
        }
        TopicsCommand::Describe { names } => {
            let mut topics = views(cluster.metadata(Some(names))?)?;
            for topic in &mut topics {
                topic.configs = configs(cluster.anyone(), &topic.name)?;
            }
            Ok(Outcome::Described(topics))
        }
        TopicsCommand::Move { partitions, core } => moves::run(cluster.anyone(), partitions, *core),
        TopicsCommand::Create { .. } => change::create(cluster.anyone(), command),
        TopicsCommand::Alter { names, partitions, validate_only } => {
            change::add_partitions(cluster.anyone(), names, *partitions, *validate_only)
        }
        TopicsCommand::DeleteRecords { name, before, partitions } => change::delete_records(&mut cluster, name, *before, partitions),
        TopicsCommand::Delete { names, if_exists } => change::delete(cluster.anyone(), names, *if_exists),
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
    let mut configs = configs::describe(client, &ResourceArguments::topic(name), None)?;
    configs.retain(|config| config.source == Source::Topic);
    Ok(Some(configs))
}

impl Outcome {
    /// As tables for people.
    pub fn text(&self) -> String {
        match self {
            Outcome::List(topics) => list_text(topics),
            Outcome::Described(topics) => topics.iter().map(described_text).collect::<Vec<_>>().join("\n"),
            Outcome::Deleted(partitions) => deleted_text(partitions),
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
    for config in topic.configs.iter().flatten() {
        text += &format!("  {} = {}\n", config.name, config.shown());
    }
    let mut table = Table::new(["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC"].map(|head| (head, Align::Right)));
    for partition in &topic.partitions {
        let leader = if partition.leader < 0 { "none".into() } else { partition.leader.to_string() };
        let epoch = partition.leader_epoch.to_string();
        table.row([partition.partition.to_string(), leader, epoch, numbers(&partition.replicas), numbers(&partition.isr)]);
    }
    text + &table.text("  ")
}

fn deleted_text(partitions: &[DeletedView]) -> String {
    let mut table = Table::new(["PARTITION", "BEGINS AT"].map(|head| (head, Align::Right)));
    for DeletedView { partition, low_watermark } in partitions {
        table.row([partition.to_string(), low_watermark.to_string()]);
    }
    table.text("")
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
        let (name_of_setting, value) = ("retention.ms".into(), Some("5".into()));
        let config = ConfigView { name: name_of_setting, value, source: Source::Topic, read_only: false, sensitive: false };
        let configs = Some(vec![config]);
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
        let deleted = Outcome::Deleted(vec![DeletedView { partition: 11, low_watermark: 4 }]);
        assert_eq!(deleted.text(), "PARTITION  BEGINS AT\n       11          4\n");
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
