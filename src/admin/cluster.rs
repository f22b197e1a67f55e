//! The brokers behind a bootstrap address, each asked over a connection of its own, opened when it is first needed.
//!
//! Main thread of a command. Invariant: a broker is asked at the address that the cluster itself gave for its id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::refusal::AdminError;
use crate::base::BrokerId;
use crate::io::thread;
use crate::net::client::{Client, ClientError};

/// How long the broker may take for a change.
pub const CHANGE_TIMEOUT_MS: i32 = 30_000;
/// For what passes by itself, such as a coordinator that is loading: how often to ask, and the wait in between.
const ATTEMPTS_MAX: usize = 20;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

/// A cluster, as a client sees it.
pub struct Cluster {
    bootstrap: Client,
    addresses: BTreeMap<BrokerId, String>,
    connections: BTreeMap<BrokerId, Client>,
}

impl Cluster {
    /// Connects to the broker at `HOST:PORT` and asks it for the others.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub fn connect(bootstrap: &str) -> Result<Cluster, AdminError> {
        let mut cluster = Cluster { bootstrap: Client::connect(bootstrap)?, addresses: BTreeMap::new(), connections: BTreeMap::new() };
        cluster.metadata(Some(&[]))?;
        Ok(cluster)
    }

    /// The broker at the bootstrap address, for what any broker may answer.
    pub fn anyone(&mut self) -> &mut Client {
        &mut self.bootstrap
    }

    /// Every broker with its address.
    pub fn brokers(&self) -> &BTreeMap<BrokerId, String> {
        &self.addresses
    }

    /// Takes over the address that an answer gave for a broker.
    pub fn learn(&mut self, id: BrokerId, host: &str, port: i32) {
        let address = format!("{host}:{port}");
        if self.addresses.get(&id) != Some(&address) {
            self.connections.remove(&id);
            self.addresses.insert(id, address);
        }
    }

    /// The connection to one broker.
    ///
    /// # Errors
    /// The cluster does not name such a broker, or it cannot be reached.
    pub fn broker(&mut self, id: BrokerId) -> Result<&mut Client, AdminError> {
        if !self.connections.contains_key(&id) {
            let declined = || AdminError::Declined(format!("the cluster's metadata names no broker {id}; is it running?"));
            let connection = Client::connect(self.addresses.get(&id).ok_or_else(declined)?)?;
            self.connections.insert(id, connection);
        }
        Ok(self.connections.get_mut(&id).expect("it was just connected"))
    }

    /// The metadata of these topics (`None`: of all), which makes no topic.
    ///
    /// # Errors
    /// The broker cannot be asked. Errors of single topics are in the answer.
    pub fn metadata(&mut self, names: Option<&[String]>) -> Result<MetadataResponse, AdminError> {
        let answer = metadata(&mut self.bootstrap, names)?;
        for broker in &answer.brokers {
            self.learn(BrokerId(broker.node_id.0), &broker.host, broker.port);
        }
        Ok(answer)
    }

    /// The partitions of these topics, each with its leader if it has one. Topics that are not there are left out.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub fn leaders(&mut self, topics: &BTreeSet<String>) -> Result<BTreeMap<TopicPartition, Option<BrokerId>>, AdminError> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answer = self.metadata(Some(&topics.iter().cloned().collect::<Vec<_>>()))?;
        let mut leaders = BTreeMap::new();
        for topic in answer.topics.iter().filter(|topic| topic.error_code == 0) {
            let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
            for partition in &topic.partitions {
                let leader = Some(BrokerId(partition.leader_id.0)).filter(|leader| leader.0 >= 0);
                leaders.insert(TopicPartition { topic: name.clone(), partition: partition.partition_index }, leader);
            }
        }
        Ok(leaders)
    }
}

/// The metadata of these topics (`None`: of all) from one broker, which makes no topic.
///
/// # Errors
/// The broker cannot be asked. Errors of single topics are in the answer.
pub fn metadata(client: &mut Client, names: Option<&[String]>) -> Result<MetadataResponse, ClientError> {
    let topics = names.map(|names| names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name)))).collect());
    client.ask("Metadata", &MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false))
}

/// A partition, by the name of its topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A string of a request.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Asks again, for some seconds, while the answer is one that passes by itself.
///
/// # Errors
/// The last attempt's.
pub fn patiently<T>(mut attempt: impl FnMut() -> Result<T, AdminError>) -> Result<T, AdminError> {
    for _ in 1..ATTEMPTS_MAX {
        match attempt() {
            Err(error) if error.is_transient() => thread::pause(ATTEMPT_PAUSE),
            outcome => return outcome,
        }
    }
    attempt()
}
