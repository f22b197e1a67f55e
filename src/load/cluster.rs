//! What the cluster looks like: brokers, topics, leaders, offsets. Asked for with ordinary requests, at any broker.
//!
//! Lives on the main thread and, for leaders that move, on each worker. Invariant: `leaders.len() == partitions.len()` of the run.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId as WireBrokerId, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse,
    TopicName as WireTopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::connection::Connection;
use super::identity::{PartitionKey, TopicNumber};
use super::peer_error::{PeerError, is_retriable};
use crate::base::BrokerId;

/// Metadata names its topics up to here; ids can stay unused.
const METADATA_VERSION_MAX: i16 = 12;
const LIST_OFFSETS_VERSION_MAX: i16 = 7;
/// How long topics may take to get leaders after they were made.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(100);
const CREATE_TIMEOUT_MS: i32 = 30_000;

/// A topic of the run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
}

/// The partitions of a run in their fixed order: what `leaders` of an image and all other tables by partition go by.
pub fn partitions(topics: &[Topic]) -> Vec<PartitionKey> {
    let of_topic = |(number, topic): (usize, &Topic)| {
        (0..topic.partitions).map(move |partition| PartitionKey { topic: TopicNumber(number as u32), partition })
    };
    topics.iter().enumerate().flat_map(of_topic).collect()
}

/// Who leads what, and where they listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `host:port` by broker.
    pub brokers: BTreeMap<BrokerId, String>,
    pub controller: Option<BrokerId>,
    /// By partition, in the run's order; `None` while there is none.
    pub leaders: Vec<Option<BrokerId>>,
}

/// Which end of a log ListOffsets asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    Earliest,
    Latest,
}

/// Opens a connection to the first address that answers.
///
/// # Errors
/// None does: the error of the last.
pub async fn connect_any(addresses: &[String]) -> Result<Connection, PeerError> {
    let mut last = None;
    for address in addresses {
        match Connection::open(address).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("at least one address, checked with the arguments"))
}

async fn metadata(connection: &mut Connection, names: &[&str]) -> Result<MetadataResponse, PeerError> {
    let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(wire_name(name)));
    let request = MetadataRequest::default().with_topics(Some(names.iter().map(topic).collect())).with_allow_auto_topic_creation(false);
    connection.call(&request, METADATA_VERSION_MAX, "Metadata").await
}

fn wire_name(name: &str) -> WireTopicName {
    WireTopicName(StrBytes::from_string(name.to_string()))
}

fn image_of(answer: &MetadataResponse, topics: &[Topic]) -> Image {
    let brokers = answer.brokers.iter().map(|broker| (BrokerId(broker.node_id.0), format!("{}:{}", broker.host.as_str(), broker.port)));
    let mut leaders: HashMap<(&str, i32), BrokerId> = HashMap::new();
    for topic in answer.topics.iter().filter(|topic| topic.error_code == 0) {
        let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
        // Brokers answer LEADER_NOT_AVAILABLE with leader −1.
        let led = topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0);
        leaders.extend(led.map(|partition| ((name, partition.partition_index), BrokerId(partition.leader_id.0))));
    }
    let leader = |key: &PartitionKey| leaders.get(&(topics[key.topic.0 as usize].name.as_str(), key.partition)).copied();
    Image {
        brokers: brokers.collect(),
        controller: (answer.controller_id.0 >= 0).then_some(BrokerId(answer.controller_id.0)),
        leaders: partitions(topics).iter().map(leader).collect(),
    }
}

/// Asks for the image once.
///
/// # Errors
/// The connection failed.
pub async fn image(connection: &mut Connection, topics: &[Topic]) -> Result<Image, PeerError> {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    Ok(image_of(&metadata(connection, &names).await?, topics))
}

/// Asks until every partition has a leader with an address.
///
/// # Errors
/// The connection failed, or after [`LEADERS_TIMEOUT`] there is still a partition without one.
pub async fn image_with_leaders(connection: &mut Connection, topics: &[Topic]) -> Result<Image, PeerError> {
    let deadline = tokio::time::Instant::now() + LEADERS_TIMEOUT;
    loop {
        let image = image(connection, topics).await?;
        let led = |leader: &Option<BrokerId>| leader.is_some_and(|leader| image.brokers.contains_key(&leader));
        if image.leaders.iter().all(led) {
            return Ok(image);
        }
        if tokio::time::Instant::now() > deadline {
            let after_ms = LEADERS_TIMEOUT.as_millis() as u64;
            return Err(PeerError::Silent { address: connection.address.clone(), what: "a leader of every partition", after_ms });
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// How topics that are missing are to be made.
#[derive(Clone, Debug)]
pub struct TopicShape {
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: Vec<(String, String)>,
}

/// Looks the topics up and makes those that do not exist (`shape`: `None` forbids that). Returns them with the partitions they
/// really have.
///
/// # Errors
/// The connection failed, a topic is missing or cannot be made.
pub async fn ensure_topics(connection: &mut Connection, names: &[String], shape: Option<&TopicShape>) -> Result<Vec<Topic>, PeerError> {
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let deadline = tokio::time::Instant::now() + LEADERS_TIMEOUT;
    let mut asked = false;
    loop {
        let answer = metadata(connection, &names).await?;
        let mut topics = Vec::new();
        let mut missing = Vec::new();
        for name in &names {
            let found = answer.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|found| found.0.as_str() == *name));
            match found {
                Some(topic) if topic.error_code == 0 => {
                    topics.push(Topic { name: name.to_string(), partitions: topic.partitions.len() as i32 });
                }
                Some(topic) if topic.error_code != UNKNOWN_TOPIC_OR_PARTITION && !is_retriable(topic.error_code) => {
                    return Err(connection.refused(&format!("topic {name}"), topic.error_code, None));
                }
                _ => missing.push(*name),
            }
        }
        match (missing.first(), shape) {
            (None, _) => return Ok(topics),
            (Some(name), None) => return Err(connection.refused(&format!("topic {name}"), UNKNOWN_TOPIC_OR_PARTITION, None)),
            (Some(_), Some(shape)) if !asked => {
                create_topics(connection, &answer, &missing, shape).await?;
                asked = true;
            }
            _ if tokio::time::Instant::now() > deadline => {
                let after_ms = LEADERS_TIMEOUT.as_millis() as u64;
                return Err(PeerError::Silent { address: connection.address.clone(), what: "the new topics in Metadata", after_ms });
            }
            _ => tokio::time::sleep(POLL_EVERY).await,
        }
    }
}

/// CreateTopics and DeleteTopics go to the controller.
async fn controller(answer: &MetadataResponse) -> Result<Option<Connection>, PeerError> {
    match answer.brokers.iter().find(|broker| broker.node_id == answer.controller_id) {
        Some(broker) => Connection::open(&format!("{}:{}", broker.host.as_str(), broker.port)).await.map(Some),
        None => Ok(None),
    }
}

async fn create_topics(
    connection: &mut Connection,
    answer: &MetadataResponse,
    names: &[&str],
    shape: &TopicShape,
) -> Result<(), PeerError> {
    const TOPIC_ALREADY_EXISTS: i16 = 36;
    let config = |(name, value): &(String, String)| {
        let value = Some(StrBytes::from_string(value.clone()));
        CreatableTopicConfig::default().with_name(StrBytes::from_string(name.clone())).with_value(value)
    };
    let topic = |name: &&str| {
        CreatableTopic::default()
            .with_name(wire_name(name))
            .with_num_partitions(shape.partitions)
            .with_replication_factor(shape.replication_factor)
            .with_configs(shape.configs.iter().map(config).collect())
    };
    let request = CreateTopicsRequest::default().with_topics(names.iter().map(topic).collect()).with_timeout_ms(CREATE_TIMEOUT_MS);
    let mut controller = controller(answer).await?;
    let connection = controller.as_mut().unwrap_or(connection);
    let answer = connection.call(&request, 7, "CreateTopics").await?;
    match answer.topics.iter().find(|topic| topic.error_code != 0 && topic.error_code != TOPIC_ALREADY_EXISTS) {
        Some(topic) => {
            let what = format!("to create topic {}", topic.name.0.as_str());
            Err(connection.refused(&what, topic.error_code, topic.error_message.as_deref()))
        }
        None => Ok(()),
    }
}

/// Deletes the topics of the run.
///
/// # Errors
/// The connection failed or the broker refuses.
pub async fn delete_topics(connection: &mut Connection, topics: &[Topic]) -> Result<(), PeerError> {
    let names: Vec<WireTopicName> = topics.iter().map(|topic| wire_name(&topic.name)).collect();
    let states = names.iter().map(|name| DeleteTopicState::default().with_name(Some(name.clone()))).collect();
    let answer = metadata(connection, &[]).await?;
    let mut controller = controller(&answer).await?;
    let connection = controller.as_mut().unwrap_or(connection);
    // The list of names is gone from version 6 on, the states came with it.
    let by_states = DeleteTopicsRequest::default().with_topics(states).with_timeout_ms(CREATE_TIMEOUT_MS);
    let answer = match connection.call(&by_states, 6, "DeleteTopics").await {
        Err(PeerError::Garbled { .. }) => {
            let by_names = DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(CREATE_TIMEOUT_MS);
            connection.call(&by_names, 5, "DeleteTopics").await?
        }
        answered => answered?,
    };
    match answer.responses.iter().find(|topic| topic.error_code != 0) {
        Some(topic) => Err(connection.refused("to delete a topic", topic.error_code, topic.error_message.as_deref())),
        None => Ok(()),
    }
}

/// Asks each leader for one end of its logs. In the order of the run's partitions.
///
/// # Errors
/// A leader cannot be reached or refuses, or there is none.
pub async fn list_offsets(image: &Image, topics: &[Topic], which: LogEnd) -> Result<Vec<i64>, PeerError> {
    let keys = partitions(topics);
    let mut offsets = vec![0; keys.len()];
    for (broker, address) in &image.brokers {
        let mine: Vec<usize> = (0..keys.len()).filter(|index| image.leaders[*index] == Some(*broker)).collect();
        if mine.is_empty() {
            continue;
        }
        let mut connection = Connection::open(address).await?;
        let deadline = tokio::time::Instant::now() + LEADERS_TIMEOUT;
        // Metadata may name a leader before the leader knows.
        while let Err(error) = list_offsets_at(&mut connection, topics, &keys, &mine, which, &mut offsets).await {
            match error {
                PeerError::Refused { code, .. } if is_retriable(code) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(POLL_EVERY).await;
                }
                error => return Err(error),
            }
        }
    }
    Ok(offsets)
}

/// The same for the partitions `mine` (places in `keys`) that this broker leads; writes into `offsets`.
///
/// # Errors
/// As above.
pub async fn list_offsets_at(
    connection: &mut Connection,
    topics: &[Topic],
    keys: &[PartitionKey],
    mine: &[usize],
    which: LogEnd,
    offsets: &mut [i64],
) -> Result<(), PeerError> {
    let timestamp = match which {
        LogEnd::Earliest => -2,
        LogEnd::Latest => -1,
    };
    let partition = |index: &usize| {
        ListOffsetsPartition::default().with_partition_index(keys[*index].partition).with_current_leader_epoch(-1).with_timestamp(timestamp)
    };
    let of_topic = |indexes: &[usize]| {
        ListOffsetsTopic::default()
            .with_name(wire_name(&topics[keys[indexes[0]].topic.0 as usize].name))
            .with_partitions(indexes.iter().map(partition).collect())
    };
    let grouped = mine.chunk_by(|a, b| keys[*a].topic == keys[*b].topic).map(of_topic).collect();
    let request = ListOffsetsRequest::default().with_replica_id(WireBrokerId(-1)).with_topics(grouped);
    let answer = connection.call(&request, LIST_OFFSETS_VERSION_MAX, "ListOffsets").await?;
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let (name, number) = (topic.name.0.as_str(), partition.partition_index);
            if partition.error_code != 0 {
                return Err(connection.refused(&format!("ListOffsets of {name}-{number}"), partition.error_code, None));
            }
            let at = mine.iter().find(|at| keys[**at].partition == number && topics[keys[**at].topic.0 as usize].name == name);
            if let Some(at) = at {
                offsets[*at] = partition.offset;
            }
        }
    }
    Ok(())
}
