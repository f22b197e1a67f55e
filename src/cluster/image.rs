//! What the cluster is at one moment: nodes, brokers, topics, partitions, settings.
//!
//! One immutable value. The embedded store produces it today and a replay of Kafka's metadata log can produce it
//! tomorrow, so its nouns are those of Kafka's metadata records (KIP-500). Any thread may hold one; it is replaced whole.
//!
//! Invariants, checked by [`MetadataImage::check`]:
//! - `topic_by_name` and `topic_by_id` hold the same topics;
//! - `partitions[i].index == i` in every topic;
//! - `leader ∈ isr ⊆ replicas`, or `leader == NO_LEADER`;
//! - `partition.core < core_count`, or no core has been named yet (`core_count == 0`);
//! - no topic is alive and being deleted at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::client_quotas::ClientQuotas;
use crate::base::{BrokerId, CoreId, IdMap, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId, TopicName};

/// "This partition has no leader", as Metadata spells it.
pub const NO_LEADER: BrokerId = BrokerId(-1);

/// Settings by Kafka name, each value in Kafka's spelling.
pub type Configs = BTreeMap<String, String>;

/// The process that serves: `node.id` of `meta.properties`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i32);

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl NodeId {
    /// The broker that `core` of this node is: `node_id * 1000 + core`.
    pub fn broker(self, core: CoreId) -> BrokerId {
        BrokerId(self.0 * 1000 + i32::from(core.0))
    }
}

/// The 16 bytes of a log directory's UUID (KIP-858). Every broker keeps its own for ever.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryId(pub [u8; 16]);

impl fmt::Display for DirectoryId {
    /// Kafka's spelling: 22 characters of unpadded base64url.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for DirectoryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DirectoryId({self})")
    }
}

/// How the cores of a node show themselves to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Advertise {
    /// Every core is a broker with its own id and port, so that clients connect straight to the core that owns a partition.
    #[default]
    PerCore,
    /// One broker id and one port for the node; the kernel spreads connections over the cores.
    PerNode,
}

/// Counts the changes of the image. A higher version is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataVersion(pub u64);

/// A broker as Metadata names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    pub id: BrokerId,
    /// The name clients connect to.
    pub host: Arc<str>,
    pub port: u16,
    /// The host or the zone: replicas of a partition never share a rack.
    pub rack: Option<Arc<str>>,
    /// The core behind it; core 0 where one broker stands for all cores.
    pub core: CoreId,
    pub directory_id: DirectoryId,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    pub index: PartitionIndex,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// The replicas that have everything below the high watermark.
    pub isr: Arc<[BrokerId]>,
    /// One of `isr`, or [`NO_LEADER`].
    pub leader: BrokerId,
    /// Rises whenever leadership moves, and at each restart.
    pub leader_epoch: LeaderEpoch,
    /// Rises whenever anything in this value changes (KIP-497).
    pub partition_epoch: PartitionEpoch,
    /// The core of this node that owns the files. With one broker per core it is the leader's core.
    pub core: CoreId,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    pub name: TopicName,
    pub id: TopicId,
    /// What the topic overrides, as it was given. `TopicConfig::resolve` makes the effective values of it.
    pub configs: Arc<Configs>,
    /// `partitions[i].index == i`.
    pub partitions: Vec<PartitionImage>,
}

impl TopicImage {
    /// The partition, or `None` if the topic has no such index.
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }

    /// Topics whose names start with two underscores and that Kafka's clients treat as internal.
    pub fn is_internal(&self) -> bool {
        is_internal_topic(self.name.as_str())
    }
}

/// The topic that keeps groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Kafka's internal topics (`Topic.INTERNAL_TOPICS`).
pub fn is_internal_topic(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | "__transaction_state" | "__share_group_state")
}

/// A topic that clients no longer see while its files are still being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDeletion {
    pub id: TopicId,
    pub name: TopicName,
    pub partition_count: i32,
}

/// What the cluster is at one moment. Cloning copies a few pointers; a change copies the maps it touches and shares the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataImage {
    pub version: MetadataVersion,
    /// 22 characters of base64url, as in `meta.properties`.
    pub cluster_id: Arc<str>,
    /// This node.
    pub node_id: NodeId,
    pub advertise: Advertise,
    /// How many executors this node runs; 0 until the first start has named them.
    pub core_count: u16,
    /// The broker that creates and deletes topics.
    pub controller_id: BrokerId,
    /// In order of id.
    pub brokers: Arc<[BrokerRegistration]>,
    /// Every directory id ever given out, so that a core that comes back has its old one.
    pub directories: Arc<BTreeMap<BrokerId, DirectoryId>>,
    pub(super) topic_by_name: Arc<BTreeMap<TopicName, Arc<TopicImage>>>,
    pub(super) topic_by_id: Arc<IdMap<TopicId, Arc<TopicImage>>>,
    /// Settings changed at run time: under `None` those of every broker, under `Some` those of one (KIP-226).
    pub broker_configs: Arc<BTreeMap<Option<BrokerId>, Configs>>,
    /// Finalized feature levels, as ApiVersions lists them (KIP-584).
    pub features: Arc<BTreeMap<String, i16>>,
    /// The first producer id that no block holds yet.
    pub next_producer_id: ProducerId,
    pub deletions: Arc<BTreeMap<TopicId, TopicDeletion>>,
    pub client_quotas: Arc<ClientQuotas>,
}

impl MetadataImage {
    /// The image of a node that has never run: no broker, no topic.
    pub fn empty(cluster_id: &str, node_id: NodeId) -> MetadataImage {
        MetadataImage {
            version: MetadataVersion(0),
            cluster_id: cluster_id.into(),
            node_id,
            advertise: Advertise::PerCore,
            core_count: 0,
            controller_id: NO_LEADER,
            brokers: Arc::new([]),
            directories: Arc::default(),
            topic_by_name: Arc::default(),
            topic_by_id: Arc::default(),
            broker_configs: Arc::default(),
            features: Arc::default(),
            next_producer_id: ProducerId(0),
            deletions: Arc::default(),
            client_quotas: Arc::default(),
        }
    }

    /// The topic of that name, if there is one.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topic_by_name.get(name)
    }

    /// The topic of that id, if there is one.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topic_by_id.get(&id)
    }

    /// All topics in order of name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<TopicImage>> {
        self.topic_by_name.values()
    }

    /// Partitions of all topics.
    pub fn partition_count(&self) -> usize {
        self.topics().map(|topic| topic.partitions.len()).sum()
    }

    /// The broker of that id, if it is registered.
    pub fn broker(&self, id: BrokerId) -> Option<&BrokerRegistration> {
        let position = self.brokers.binary_search_by_key(&id, |broker| broker.id).ok()?;
        self.brokers.get(position)
    }

    /// The broker through which clients reach `core`.
    pub fn broker_of_core(&self, core: CoreId) -> BrokerId {
        match self.advertise {
            Advertise::PerCore => self.node_id.broker(core),
            Advertise::PerNode => self.node_id.broker(CoreId(0)),
        }
    }

    /// Puts a topic in place of the one with the same id, or adds it.
    pub(super) fn put_topic(&mut self, topic: TopicImage) -> Arc<TopicImage> {
        let topic = Arc::new(topic);
        Arc::make_mut(&mut self.topic_by_name).insert(topic.name.clone(), topic.clone());
        Arc::make_mut(&mut self.topic_by_id).insert(topic.id, topic.clone());
        topic
    }

    /// Takes a topic out and remembers that its files are still there.
    pub(super) fn remove_topic(&mut self, topic: &TopicImage) -> TopicDeletion {
        Arc::make_mut(&mut self.topic_by_id).remove(&topic.id);
        Arc::make_mut(&mut self.topic_by_name).remove(topic.name.as_str());
        let deletion = TopicDeletion { id: topic.id, name: topic.name.clone(), partition_count: topic.partitions.len() as i32 };
        Arc::make_mut(&mut self.deletions).insert(topic.id, deletion.clone());
        deletion
    }

    /// Checks the invariants at the head of this file.
    ///
    /// # Errors
    /// The first one that is broken, as a sentence that names the topic and the partition.
    pub fn check(&self) -> Result<(), String> {
        if self.topic_by_name.len() != self.topic_by_id.len() {
            return Err(format!("{} topic names but {} topic ids", self.topic_by_name.len(), self.topic_by_id.len()));
        }
        if !self.brokers.is_sorted_by(|a, b| a.id < b.id) {
            return Err("broker ids are not in rising order".into());
        }
        self.topics().try_for_each(|topic| self.check_topic(topic))
    }

    fn check_topic(&self, topic: &Arc<TopicImage>) -> Result<(), String> {
        let name = &topic.name;
        if topic.id.is_zero() {
            return Err(format!("topic {name} has no id"));
        }
        if !self.topic_by_id.get(&topic.id).is_some_and(|other| Arc::ptr_eq(other, topic)) {
            return Err(format!("the id {} of topic {name} belongs to another topic", topic.id));
        }
        if self.deletions.contains_key(&topic.id) {
            return Err(format!("topic {name} is alive and being deleted"));
        }
        for (position, partition) in topic.partitions.iter().enumerate() {
            let PartitionImage { index, replicas, isr, leader, core, .. } = partition;
            if i32::try_from(position) != Ok(index.0) {
                return Err(format!("partition {index} of topic {name} stands at position {position}"));
            }
            if !isr.iter().all(|broker| replicas.contains(broker)) {
                return Err(format!("partition {name}-{index}: in-sync replicas {isr:?} are not all among the replicas {replicas:?}"));
            }
            if *leader != NO_LEADER && !isr.contains(leader) {
                return Err(format!("partition {name}-{index}: leader {leader} is not in sync ({isr:?})"));
            }
            if self.core_count > 0 && core.0 >= self.core_count {
                return Err(format!("partition {name}-{index}: core {core} of {} cores", self.core_count));
            }
        }
        Ok(())
    }
}
