//! Topics found in the data directory: written by Apache Kafka, or known here already.
//!
//! Pure. Invariants: a directory never becomes part of a topic with another id; a partition keeps the highest leader epoch
//! that was ever seen for it; a topic that is being deleted stays deleted.

use std::sync::Arc;

use super::{Answer, Applied, Effect, Refusal, TopicAnswer, topics::new_partition};
use crate::base::{CoreId, ErrorCode, LeaderEpoch, PartitionIndex, TopicId, TopicName};
use crate::cluster::image::{Configs, MetadataImage, TopicImage};
use crate::cluster::placement::Load;

/// A topic as its directories tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct AdoptedTopic {
    pub name: TopicName,
    /// From `partition.metadata`, or a fresh one where the directories carry none.
    pub id: TopicId,
    /// The directories found, in any order. Missing indexes below the highest become empty partitions.
    pub partitions: Vec<AdoptedPartition>,
    /// What is known of its settings; used only if the topic is new here.
    pub configs: Configs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptedPartition {
    pub index: PartitionIndex,
    /// The last of `leader-epoch-checkpoint`; −1 if there is none.
    pub leader_epoch: LeaderEpoch,
}

pub(super) fn adopt(image: &MetadataImage, topics: Vec<AdoptedTopic>) -> Applied {
    let mut next = image.clone();
    let mut load = Load::new(image.core_count);
    image.topics().flat_map(|topic| &topic.partitions).for_each(|partition| load.add(partition.core));
    let mut effects = Vec::new();
    let answers = topics
        .into_iter()
        .map(|found| {
            let name = found.name.to_string();
            TopicAnswer { name, result: adopt_one(&mut next, &mut load, &mut effects, found) }
        })
        .collect();
    Applied { image: next, effects, answer: Answer::Adopted(answers) }
}

fn adopt_one(
    image: &mut MetadataImage,
    load: &mut Load,
    effects: &mut Vec<Effect>,
    found: AdoptedTopic,
) -> Result<Arc<TopicImage>, Refusal> {
    let AdoptedTopic { name, id, partitions, configs } = found;
    if image.core_count == 0 {
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, "no core is known yet that could own a partition"));
    }
    if let Some(deletion) = image.deletions.get(&id) {
        effects.push(Effect::DeleteTopic { deletion: deletion.clone(), topic: None });
        let message = format!("topic {name} (id {id}) is being deleted; what is left of it is removed now");
        return Err(Refusal::new(ErrorCode::UnknownTopicId, message));
    }
    check_identity(image, &name, id)?;
    let known = image.topic_by_id(id).map(|topic| TopicImage::clone(topic));
    let is_new = known.is_none();
    let mut topic = known.unwrap_or_else(|| TopicImage { name: name.clone(), id, configs: Arc::new(configs), partitions: Vec::new() });

    let before = topic.partitions.len();
    let highest = partitions.iter().map(|partition| partition.index.0).max().unwrap_or(-1);
    let wanted = before.max(usize::try_from(highest + 1).unwrap_or(0));
    let existing: Vec<CoreId> = topic.partitions.iter().map(|partition| partition.core).collect();
    let cores = load.place(&existing, wanted - before);
    for (position, core) in (before..wanted).zip(cores) {
        topic.partitions.push(new_partition(image, PartitionIndex(position as i32), core, LeaderEpoch(0)));
    }
    for found in partitions {
        let partition = usize::try_from(found.index.0).ok().and_then(|position| topic.partitions.get_mut(position));
        let Some(partition) = partition else { continue };
        if found.leader_epoch > partition.leader_epoch {
            partition.leader_epoch = found.leader_epoch;
            partition.partition_epoch.0 += 1;
        }
    }
    let changed = is_new || image.topic_by_id(id).is_some_and(|known| **known != topic);
    let topic = if changed { image.put_topic(topic) } else { Arc::new(topic) };
    if wanted > before {
        let partitions = topic.partitions[before..].iter().map(|partition| partition.index).collect();
        effects.push(Effect::CreatePartitions { topic: topic.clone(), partitions });
    }
    Ok(topic)
}

/// A name and an id belong together for ever.
fn check_identity(image: &MetadataImage, name: &TopicName, id: TopicId) -> Result<(), Refusal> {
    let clash = match (image.topic(name.as_str()), image.topic_by_id(id)) {
        (Some(topic), _) if topic.id != id => format!("topic {name} has the id {}", topic.id),
        (_, Some(topic)) if topic.name != *name => format!("the id {id} belongs to topic {}", topic.name),
        _ => return Ok(()),
    };
    let message = format!(
        "the directories of topic {name} carry the id {id}, but {clash}; they belong to another cluster or to a deleted topic: \
         move them out of the data directory"
    );
    Err(Refusal::new(ErrorCode::InconsistentTopicId, message))
}
