//! CreateTopics and CreatePartitions: what is legal, and what comes of it.
//!
//! Pure. The checks and their codes are those of Kafka's `ReplicationControlManager`; the sentences are ours.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{Answer, Applied, Effect, Refusal, TopicAnswer, is_own};
use crate::base::limits::PARTITIONS_PER_REQUEST_MAX;
use crate::base::{BrokerId, CoreId, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId, TopicName};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::{Advertise, Configs, MetadataImage, OFFSETS_TOPIC, PartitionImage, TopicImage};
use crate::cluster::placement::Load;
use crate::cluster::topic_config::check_overrides;

/// Kafka's own metadata log: no client may make a topic of that name.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// A topic as a client asks for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicSpec {
    /// As it came.
    pub name: String,
    /// A fresh random id, never zero; used if the topic comes to be.
    pub id: TopicId,
    /// −1: `num.partitions`, or as many as `assignment` has.
    pub partition_count: i32,
    /// −1: `default.replication.factor`, or as many as `assignment` has.
    pub replication_factor: i16,
    /// Replicas by partition index; empty: the broker chooses.
    pub assignment: Vec<(i32, Vec<BrokerId>)>,
    pub configs: Configs,
}

/// A topic that is to have more partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionsSpec {
    pub name: String,
    /// How many it shall have in all.
    pub partition_count: i32,
    /// Replicas of the new partitions in order; `None`: the broker chooses.
    pub assignment: Option<Vec<Vec<BrokerId>>>,
}

pub(super) fn create(image: &MetadataImage, broker: &BrokerConfig, topics: Vec<TopicSpec>, validate_only: bool) -> Applied {
    let duplicates = duplicates(topics.iter().map(|topic| topic.name.as_str()));
    let mut batch = Batch::new(image);
    let answers = topics
        .into_iter()
        .map(|spec| {
            let refused_as_duplicate = duplicates.contains(&spec.name);
            let name = spec.name.clone();
            let result = match refused_as_duplicate {
                true => Err(Refusal::new(ErrorCode::InvalidRequest, format!("topic {name} stands twice in the request; name it once"))),
                false => batch.create(broker, spec),
            };
            TopicAnswer { name, result }
        })
        .collect();
    batch.finish(image, answers, validate_only)
}

pub(super) fn add_partitions(image: &MetadataImage, topics: Vec<PartitionsSpec>, validate_only: bool) -> Applied {
    let duplicates = duplicates(topics.iter().map(|topic| topic.name.as_str()));
    let mut batch = Batch::new(image);
    let answers = topics
        .into_iter()
        .map(|spec| {
            let result = match duplicates.contains(&spec.name) {
                true => Err(Refusal::new(ErrorCode::InvalidRequest, format!("topic {} stands twice in the request", spec.name))),
                false => batch.add_partitions(&spec),
            };
            TopicAnswer { name: spec.name, result }
        })
        .collect();
    batch.finish(image, answers, validate_only)
}

fn duplicates<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(name.to_string())).map(String::from).collect()
}

/// The image as it becomes while the topics of one request are worked off.
struct Batch {
    image: MetadataImage,
    load: Load,
    partitions_left: i32,
    effects: Vec<Effect>,
}

impl Batch {
    fn new(image: &MetadataImage) -> Batch {
        let mut load = Load::new(image.core_count);
        image.topics().flat_map(|topic| &topic.partitions).for_each(|partition| load.add(partition.core));
        Batch { image: image.clone(), load, partitions_left: PARTITIONS_PER_REQUEST_MAX, effects: Vec::new() }
    }

    fn finish(self, before: &MetadataImage, answers: Vec<TopicAnswer>, validate_only: bool) -> Applied {
        match validate_only {
            true => Applied::unchanged(before, Answer::Topics(answers)),
            false => Applied { image: self.image, effects: self.effects, answer: Answer::Topics(answers) },
        }
    }

    fn create(&mut self, broker: &BrokerConfig, spec: TopicSpec) -> Result<Arc<TopicImage>, Refusal> {
        assert!(!spec.id.is_zero(), "the caller makes an id for every topic it asks for");
        let name = self.legal_name(&spec.name)?;
        check_overrides(broker, &spec.configs).map_err(|error| Refusal::new(ErrorCode::InvalidConfig, error.to_string()))?;
        let cores = match spec.assignment.is_empty() {
            true => self.chosen_cores(broker, &spec)?,
            false => self.assigned_cores(&spec)?,
        };
        let partitions = self.new_partitions(0, &cores);
        Ok(self.put(TopicImage { name, id: spec.id, configs: Arc::new(spec.configs), partitions }, 0))
    }

    fn add_partitions(&mut self, spec: &PartitionsSpec) -> Result<Arc<TopicImage>, Refusal> {
        let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {}", spec.name));
        let mut topic = TopicImage::clone(self.image.topic(&spec.name).ok_or_else(unknown)?);
        if spec.name == OFFSETS_TOPIC {
            let message = format!(
                "{OFFSETS_TOPIC} keeps its {} partitions: a group belongs to the partition that its name and their number give, so with more of \
                 them groups would look for their offsets where they are not; choose offsets.topic.num.partitions before the topic is made",
                topic.partitions.len()
            );
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        let present = topic.partitions.len() as i32;
        if spec.partition_count <= present {
            let message = format!(
                "topic {} has {present} partitions and is asked to have {}; partitions can only be added",
                spec.name, spec.partition_count
            );
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
        let added = spec.partition_count - present;
        if let Some(assignment) = &spec.assignment {
            if assignment.len() as i64 != i64::from(added) {
                let message = format!("{added} partitions are to be added, but replicas are assigned to {}", assignment.len());
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
            }
            for (position, replicas) in assignment.iter().enumerate() {
                self.check_replicas(present + position as i32, replicas)?;
            }
        }
        self.take_partitions(added)?;
        let existing: Vec<CoreId> = topic.partitions.iter().map(|partition| partition.core).collect();
        let cores = match &spec.assignment {
            None => self.load.place(&existing, added as usize),
            Some(assignment) => self.cores_of(&existing, assignment),
        };
        let new = self.new_partitions(present, &cores);
        topic.partitions.extend(new);
        Ok(self.put(topic, present as usize))
    }

    /// Kafka's rules for a new name, with Kafka's codes.
    fn legal_name(&self, text: &str) -> Result<TopicName, Refusal> {
        let invalid = |message: String| Refusal::new(ErrorCode::InvalidTopicException, message);
        let name = TopicName::new(text).map_err(invalid)?;
        if text == CLUSTER_METADATA_TOPIC {
            return Err(Refusal::new(ErrorCode::InvalidRequest, format!("{text} is Kafka's own metadata log; choose another name")));
        }
        if self.image.topic(text).is_some() {
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, format!("topic {text} already exists")));
        }
        // Kafka's `Topic.hasCollision`: metric names cannot tell '.' and '_' apart.
        match self.image.topics().find(|topic| unified(topic.name.as_str()) == unified(text)) {
            Some(other) => Err(invalid(format!(
                "topic {text} differs from the existing topic {} only in '.' and '_'; choose another name",
                other.name
            ))),
            None => Ok(name),
        }
    }

    /// The cores for a topic whose asker leaves the choice to the broker.
    fn chosen_cores(&mut self, broker: &BrokerConfig, spec: &TopicSpec) -> Result<Vec<CoreId>, Refusal> {
        let replicas = match spec.replication_factor {
            -1 => broker.default_replication_factor,
            1.. => spec.replication_factor,
            other => {
                let message = format!("a replication factor is at least 1, or -1 for the default, not {other}");
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
            }
        };
        let partitions = match spec.partition_count {
            -1 => broker.partitions_default,
            1.. => spec.partition_count,
            other => {
                let message = format!("a topic has at least 1 partition, or -1 for the default, not {other}");
                return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
            }
        };
        if replicas != 1 {
            let message = format!(
                "{replicas} replicas were asked for, but there is only one node to hold them and replicas never share a host; \
                 use replication factor 1 or -1"
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        self.take_partitions(partitions)?;
        Ok(self.load.place(&[], partitions as usize))
    }

    /// The cores for a topic whose asker has assigned the replicas.
    fn assigned_cores(&mut self, spec: &TopicSpec) -> Result<Vec<CoreId>, Refusal> {
        for (given, what) in [(i32::from(spec.replication_factor), "replication factor"), (spec.partition_count, "number of partitions")] {
            if given != -1 {
                let message = format!("replicas are assigned, so the {what} must be -1, not {given}");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        }
        let mut assignment = spec.assignment.clone();
        assignment.sort_by_key(|(index, _)| *index);
        for (expected, (index, replicas)) in assignment.iter().enumerate() {
            if i32::try_from(expected) != Ok(*index) {
                let message = format!("partitions are numbered from 0 without gaps: expected {expected}, found {index}");
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
            }
            self.check_replicas(*index, replicas)?;
        }
        let assignment: Vec<Vec<BrokerId>> = assignment.into_iter().map(|(_, replicas)| replicas).collect();
        self.take_partitions(assignment.len() as i32)?;
        Ok(self.cores_of(&[], &assignment))
    }

    fn check_replicas(&self, index: i32, replicas: &[BrokerId]) -> Result<(), Refusal> {
        let refused = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        match replicas {
            [] => refused(format!("partition {index} is assigned to no broker")),
            [broker] if is_own(&self.image, *broker) => Ok(()),
            [broker] => refused(format!("partition {index} is assigned to broker {broker}, which is not registered")),
            several => refused(format!(
                "partition {index} is assigned to {} brokers, but all of them are one host; assign one broker",
                several.len()
            )),
        }
    }

    /// The cores behind checked replicas: with one broker per core the broker says it, else the load decides.
    fn cores_of(&mut self, existing: &[CoreId], assignment: &[Vec<BrokerId>]) -> Vec<CoreId> {
        match self.image.advertise {
            Advertise::PerNode => self.load.place(existing, assignment.len()),
            Advertise::PerCore => assignment
                .iter()
                .map(|replicas| {
                    let core = self.image.broker(replicas[0]).expect("check_replicas() has found it").core;
                    self.load.add(core);
                    core
                })
                .collect(),
        }
    }

    /// Counts `partitions` against what one request may make (Kafka: POLICY_VIOLATION).
    fn take_partitions(&mut self, partitions: i32) -> Result<(), Refusal> {
        if self.image.core_count == 0 {
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, "no broker is registered yet; try again"));
        }
        if partitions > self.partitions_left {
            let message = format!(
                "one request makes at most {PARTITIONS_PER_REQUEST_MAX} partitions; {} are left for a topic that wants {partitions}; \
                 split the request",
                self.partitions_left
            );
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        self.partitions_left -= partitions;
        Ok(())
    }

    fn new_partitions(&self, first: i32, cores: &[CoreId]) -> Vec<PartitionImage> {
        let indexes = (first..).map(PartitionIndex);
        indexes.zip(cores).map(|(index, core)| new_partition(&self.image, index, *core, LeaderEpoch(0))).collect()
    }

    /// Puts the topic into the image and asks for the files of its partitions from `first` on.
    fn put(&mut self, topic: TopicImage, first: usize) -> Arc<TopicImage> {
        let topic = self.image.put_topic(topic);
        let partitions = topic.partitions[first..].iter().map(|partition| partition.index).collect();
        self.effects.push(Effect::CreatePartitions { topic: topic.clone(), partitions });
        topic
    }
}

/// A partition with one replica, on `core` of this node.
pub(super) fn new_partition(image: &MetadataImage, index: PartitionIndex, core: CoreId, leader_epoch: LeaderEpoch) -> PartitionImage {
    let leader = image.broker_of_core(core);
    let replicas: Arc<[BrokerId]> = [leader].into();
    PartitionImage { index, isr: replicas.clone(), replicas, leader, leader_epoch, partition_epoch: PartitionEpoch(0), core }
}

/// A name as metrics see it.
fn unified(name: &str) -> String {
    name.replace('.', "_")
}
