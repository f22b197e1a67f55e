//! What changes when the node does: a restart, another number of cores.
//!
//! Pure. Invariants: whenever the leader of a partition changes its broker or its core, leader epoch and partition epoch rise;
//! directory ids stay with their broker for ever.

use std::sync::Arc;

use super::{Answer, Applied, Effect, Refusal};
use crate::base::limits::CORES_MAX;
use crate::base::{BrokerId, CoreId, ErrorCode};
use crate::cluster::image::{Advertise, BrokerRegistration, DirectoryId, MetadataImage, PartitionImage, TopicImage};
use crate::cluster::placement::{Assignment, rebalance};

/// How this node presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDescription {
    pub advertise: Advertise,
    /// Executors, at least 1.
    pub core_count: u16,
    /// The name clients connect to.
    pub host: Arc<str>,
    /// The ports clients connect to: one per core, or a single one with [`Advertise::PerNode`].
    pub ports: Vec<u16>,
    pub rack: Option<Arc<str>>,
    /// Fresh random ids, one per port; used for brokers that have none yet.
    pub fresh_directory_ids: Vec<DirectoryId>,
}

pub(super) fn brokers_changed(image: &MetadataImage, node: NodeDescription) -> Result<Applied, Refusal> {
    check(&node)?;
    let core_count_before = image.core_count;
    let mut next = image.clone();
    next.advertise = node.advertise;
    next.core_count = node.core_count;
    next.controller_id = next.broker_of_core(CoreId(0));
    next.brokers = register(&mut next, &node);

    let mut assignment: Assignment =
        next.topics().map(|topic| (topic.name.clone(), topic.partitions.iter().map(|partition| partition.core).collect())).collect();
    let moves = rebalance(&mut assignment, core_count_before, node.core_count);
    let effects = moves
        .into_iter()
        .map(|step| {
            let topic = next.topic(step.topic.as_str()).expect("the assignment was made from these topics").id;
            Effect::MovePartition { topic, partition: step.partition, from: step.from, to: step.to }
        })
        .collect();
    let changed: Vec<TopicImage> = next.topics().filter_map(|topic| settled(&next, topic, &assignment[&topic.name])).collect();
    for topic in changed {
        next.put_topic(topic);
    }
    Ok(Applied { image: next, effects, answer: Answer::Done })
}

fn check(node: &NodeDescription) -> Result<(), Refusal> {
    let refused = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    if node.core_count == 0 || usize::from(node.core_count) > CORES_MAX {
        return refused(format!("a node has 1 to {CORES_MAX} cores, not {}", node.core_count));
    }
    let ports = match node.advertise {
        Advertise::PerCore => usize::from(node.core_count),
        Advertise::PerNode => 1,
    };
    if node.ports.len() != ports || node.fresh_directory_ids.len() != ports {
        return refused(format!(
            "{ports} brokers need {ports} ports and directory ids, not {} and {}",
            node.ports.len(),
            node.fresh_directory_ids.len()
        ));
    }
    Ok(())
}

fn register(image: &mut MetadataImage, node: &NodeDescription) -> Arc<[BrokerRegistration]> {
    let mut directories = image.directories.clone();
    let brokers = node.ports.iter().zip(&node.fresh_directory_ids).enumerate().map(|(core, (port, fresh))| {
        let core = CoreId(core as u16);
        let id = image.broker_of_core(core);
        if !directories.contains_key(&id) {
            Arc::make_mut(&mut directories).insert(id, *fresh);
        }
        BrokerRegistration { id, host: node.host.clone(), port: *port, rack: node.rack.clone(), core, directory_id: directories[&id] }
    });
    let brokers = brokers.collect();
    image.directories = directories;
    brokers
}

/// The topic with its partitions on `cores`; `None` if that is how it is.
fn settled(image: &MetadataImage, topic: &TopicImage, cores: &[CoreId]) -> Option<TopicImage> {
    let mut topic = topic.clone();
    let mut changed = false;
    for (partition, core) in topic.partitions.iter_mut().zip(cores) {
        changed |= lead_from(partition, *core, image.broker_of_core(*core));
    }
    changed.then_some(topic)
}

/// Makes `leader`, on `core`, the one replica. Says whether that is a change.
pub(super) fn lead_from(partition: &mut PartitionImage, core: CoreId, leader: BrokerId) -> bool {
    if partition.core == core && partition.leader == leader && *partition.replicas == [leader] {
        return false;
    }
    partition.core = core;
    partition.leader = leader;
    partition.replicas = [leader].into();
    partition.isr = partition.replicas.clone();
    partition.leader_epoch.0 += 1;
    partition.partition_epoch.0 += 1;
    true
}

/// Kafka raises every leader epoch when a broker comes back; so do we, and records of different runs tell themselves apart.
pub(super) fn restarted(image: &MetadataImage) -> Applied {
    let mut next = image.clone();
    for topic in image.topics() {
        let mut topic = TopicImage::clone(topic);
        for partition in &mut topic.partitions {
            partition.leader_epoch.0 += 1;
            partition.partition_epoch.0 += 1;
        }
        next.put_topic(topic);
    }
    let left_over = image.deletions.values().map(|deletion| Effect::DeleteTopic { deletion: deletion.clone(), topic: None });
    Applied { image: next, effects: left_over.collect(), answer: Answer::Done }
}
