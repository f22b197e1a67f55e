//! The rules by which the metadata image changes: one command in, the next image, effects and an answer out.
//!
//! Pure, any thread; the control thread performs. Whatever is random (topic ids, directory ids) comes in with the command.
//!
//! Invariants:
//! - the image that comes out passes `MetadataImage::check` if the one that went in did;
//! - `version` rises by one exactly when the image changed, so a refused or merely checked command leaves it alone;
//! - leader epochs and partition epochs never fall;
//! - the shell makes the image durable first, then performs the effects in order, then shows the image to the cores, and
//!   answers last. Every effect may be performed again after a crash.

mod adopt;
mod configs;
mod delete;
mod node;
mod quotas;
mod reassign;
mod topics;

use std::sync::Arc;

use super::broker_config::BrokerConfig;
use super::image::{MetadataImage, MetadataVersion, TopicDeletion, TopicImage};
use crate::base::{BrokerId, CoreId, ErrorCode, PartitionIndex, ProducerId, TopicId, TopicName};

pub use adopt::{AdoptedPartition, AdoptedTopic};
pub use configs::{ConfigChange, ConfigOperation, ConfigResource, ConfigUpdate};
pub use delete::TopicSelector;
pub use node::NodeDescription;
pub use quotas::QuotaAlteration;
pub use reassign::{Reassignment, replica_of_core};
pub use topics::{PartitionsSpec, TopicSpec};

/// Producer ids are handed to a core in blocks of this many, as Kafka's controller does (KIP-730).
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    CreateTopics {
        topics: Vec<TopicSpec>,
        validate_only: bool,
    },
    /// Adds partitions to topics (CreatePartitions).
    CreatePartitions {
        topics: Vec<PartitionsSpec>,
        validate_only: bool,
    },
    DeleteTopics(Vec<TopicSelector>),
    /// What this earlier image does not have could not be made; no core has seen it. Deleted whether or not clients may delete.
    TakeBackSince(Box<MetadataImage>),
    /// The last file of these topics is gone.
    DeletionFinished(Vec<TopicId>),
    /// Topics found in the data directory.
    AdoptTopics(Vec<AdoptedTopic>),
    AllocateProducerIds,
    /// The process has started: whoever led before leads in a new epoch, as after a restart of Kafka.
    Restarted,
    /// How this node presents itself from now on; sent at every start, before `Restarted`.
    BrokersChanged(NodeDescription),
    /// Moves partitions to other cores of this node (AlterPartitionReassignments).
    Reassign(Vec<Reassignment>),
    AlterConfigs {
        updates: Vec<ConfigUpdate>,
        validate_only: bool,
    },
    AlterClientQuotas {
        alterations: Vec<QuotaAlteration>,
        validate_only: bool,
    },
}

/// What the shell must do once the image is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the directories of these partitions, where they are not there yet.
    CreatePartitions { topic: Arc<TopicImage>, partitions: Vec<PartitionIndex> },
    /// Close the topic's partitions, rename their directories and remove them; then say `DeletionFinished`.
    DeleteTopic { deletion: TopicDeletion, topic: Option<Arc<TopicImage>> },
    /// Remove the directories of these partitions, which no core has opened: those of `topic` from index `from` on.
    RemovePartitions { topic: Arc<TopicImage>, from: usize },
    /// Hand the partition from one core to the other. At a start, before anything is open, nothing.
    MovePartition { topic: TopicId, partition: PartitionIndex, from: CoreId, to: CoreId },
    /// Hand the topic's settings to its partitions.
    TopicConfigsChanged { topic: Arc<TopicImage> },
    /// Resolve the broker settings, and every topic's, again.
    BrokerConfigsChanged,
}

/// What the asker hears, in the order of the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To CreateTopics and CreatePartitions. With `validate_only` the topics are what they would have become.
    Topics(Vec<TopicAnswer>),
    Deleted(Vec<DeleteAnswer>),
    Adopted(Vec<TopicAnswer>),
    /// `first .. first + count`
    ProducerIds {
        first: ProducerId,
        count: i64,
    },
    Configs(Vec<(ConfigResource, Result<(), Refusal>)>),
    ClientQuotas(Vec<Result<(), Refusal>>),
    /// To Reassign.
    Reassigned(Vec<Result<(), Refusal>>),
    Done,
}

/// One topic of a request and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicAnswer {
    /// As it was asked for, legal or not.
    pub name: String,
    pub result: Result<Arc<TopicImage>, Refusal>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeleteAnswer {
    pub selector: TopicSelector,
    /// Name and id of what was deleted.
    pub result: Result<(TopicName, TopicId), Refusal>,
}

/// Why something was not done: Kafka's code and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (error {})", error_code.code())]
pub struct Refusal {
    pub error_code: ErrorCode,
    pub message: String,
}

impl Refusal {
    pub fn new(error_code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { error_code, message: message.into() }
    }
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    pub image: MetadataImage,
    pub effects: Vec<Effect>,
    pub answer: Answer,
}

impl Applied {
    /// Nothing changed.
    fn unchanged(image: &MetadataImage, answer: Answer) -> Applied {
        Applied { image: image.clone(), effects: Vec::new(), answer }
    }
}

/// Applies one command.
///
/// # Errors
/// A refusal of the command as a whole. Where a request names several topics or resources, each has its own in the answer.
pub fn apply(image: &MetadataImage, broker: &BrokerConfig, command: Command) -> Result<Applied, Refusal> {
    let mut applied = match command {
        Command::CreateTopics { topics, validate_only } => topics::create(image, broker, topics, validate_only),
        Command::CreatePartitions { topics, validate_only } => topics::add_partitions(image, topics, validate_only),
        Command::DeleteTopics(selectors) => delete::delete(image, broker, selectors),
        Command::TakeBackSince(before) => delete::take_back(image, &before),
        Command::DeletionFinished(ids) => delete::finished(image, &ids),
        Command::AdoptTopics(topics) => adopt::adopt(image, topics),
        Command::AllocateProducerIds => allocate_producer_ids(image)?,
        Command::Restarted => node::restarted(image),
        Command::BrokersChanged(description) => node::brokers_changed(image, description)?,
        Command::Reassign(reassignments) => reassign::reassign(image, reassignments),
        Command::AlterConfigs { updates, validate_only } => configs::alter(image, broker, updates, validate_only),
        Command::AlterClientQuotas { alterations, validate_only } => quotas::alter(image, alterations, validate_only),
    };
    if applied.image != *image {
        applied.image.version = MetadataVersion(image.version.0 + 1);
        applied.image.check().expect("a command leaves a sound image sound");
    }
    Ok(applied)
}

fn allocate_producer_ids(image: &MetadataImage) -> Result<Applied, Refusal> {
    let first = image.next_producer_id;
    let next = first.0.checked_add(PRODUCER_ID_BLOCK).ok_or_else(|| {
        Refusal::new(ErrorCode::UnknownServerError, "every producer id has been handed out; this cluster can take no new producers")
    })?;
    let mut image = image.clone();
    image.next_producer_id = ProducerId(next);
    Ok(Applied { image, effects: Vec::new(), answer: Answer::ProducerIds { first, count: PRODUCER_ID_BLOCK } })
}

/// Whether `broker` is one of this node's.
fn is_own(image: &MetadataImage, broker: BrokerId) -> bool {
    image.broker(broker).is_some()
}

#[cfg(test)]
mod tests;
