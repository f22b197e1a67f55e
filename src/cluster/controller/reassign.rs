//! AlterPartitionReassignments (KIP-455) on one node: a partition that is to have another broker as its replica moves to that broker's core.
//!
//! Pure. Invariants: a partition has one replica before and after; its leader epoch rises exactly when it moves; a move is done when it is
//! answered, so none is ever under way that could be listed or taken back.

use std::collections::HashSet;

use super::node::lead_from;
use super::{Answer, Applied, Effect, Refusal};
use crate::base::{BrokerId, CoreId, ErrorCode, PartitionIndex};
use crate::cluster::image::{MetadataImage, TopicImage};

/// A partition that is to have other replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    pub topic: String,
    pub partition: PartitionIndex,
    /// `None`: the reassignment that is under way is to be taken back.
    pub replicas: Option<Vec<BrokerId>>,
}

/// How a reassignment names a core where the node is one broker (`--advertise per-node`): core 0 is -1, core 1 is -2, and so on. No broker of
/// Kafka's has such an id, so another broker refuses it.
pub fn replica_of_core(core: CoreId) -> BrokerId {
    BrokerId(-1 - i32::from(core.0))
}

pub(super) fn reassign(image: &MetadataImage, reassignments: Vec<Reassignment>) -> Applied {
    let mut next = image.clone();
    let mut effects = Vec::new();
    let mut seen = HashSet::new();
    let answers = reassignments
        .into_iter()
        .map(|reassignment| match seen.insert((reassignment.topic.clone(), reassignment.partition)) {
            true => reassign_one(&mut next, &mut effects, &reassignment),
            false => {
                let Reassignment { topic, partition, .. } = reassignment;
                Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    format!("partition {topic}-{partition} stands twice in the request; name it once"),
                ))
            }
        })
        .collect();
    Applied { image: next, effects, answer: Answer::Reassigned(answers) }
}

fn reassign_one(image: &mut MetadataImage, effects: &mut Vec<Effect>, wanted: &Reassignment) -> Result<(), Refusal> {
    let Reassignment { topic: name, partition: index, replicas } = wanted;
    let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("there is no partition {name}-{index}"));
    let topic = image.topic(name).cloned().ok_or_else(unknown)?;
    let from = topic.partition(*index).ok_or_else(unknown)?.core;
    let Some(replicas) = replicas else {
        let message = format!("partition {name}-{index} is where it is to be: a move is done when it is answered");
        return Err(Refusal::new(ErrorCode::NoReassignmentInProgress, message));
    };
    let to = target(image, from, replicas).map_err(|message| Refusal::new(ErrorCode::InvalidReplicaAssignment, message))?;
    if from != to {
        let mut topic = TopicImage::clone(&topic);
        lead_from(&mut topic.partitions[index.0 as usize], to, image.broker_of_core(to));
        let topic = image.put_topic(topic).id;
        effects.push(Effect::MovePartition { topic, partition: *index, from, to });
    }
    Ok(())
}

/// The core that `replicas` name, for a partition on core `from`.
fn target(image: &MetadataImage, from: CoreId, replicas: &[BrokerId]) -> Result<CoreId, String> {
    let [replica] = replicas else {
        return Err(format!(
            "{} replicas were asked for, but all brokers are one host and replicas never share one; name one",
            replicas.len()
        ));
    };
    if let Some(core) = (0..image.core_count).map(CoreId).find(|core| replica_of_core(*core) == *replica) {
        return Ok(core);
    }
    match image.broker(*replica) {
        Some(broker) if image.brokers.len() == usize::from(image.core_count) => Ok(broker.core),
        // It stands for all cores, so the partition is there.
        Some(_) => Ok(from),
        None if replica.0 < 0 => {
            Err(format!("there is no core {}: this node has cores 0 to {}", -1 - replica.0, image.core_count.saturating_sub(1)))
        }
        None => Err(format!("broker {replica} is not one of this node's; Metadata lists the brokers")),
    }
}
