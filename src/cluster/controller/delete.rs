//! DeleteTopics: a topic leaves the image at once; its files go afterwards.
//!
//! Pure. Invariant: an id stays in `deletions` from the moment the topic is gone until its last file is, so that a crash in
//! between ends with the files removed and never with the topic back.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Answer, Applied, DeleteAnswer, Effect, Refusal};
use crate::base::{ErrorCode, TopicId, TopicName};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::{MetadataImage, TopicImage};

/// How a client names a topic it wants deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicSelector {
    Name(String),
    Id(TopicId),
}

pub(super) fn delete(image: &MetadataImage, broker: &BrokerConfig, selectors: Vec<TopicSelector>) -> Applied {
    let mut next = image.clone();
    let mut effects = Vec::new();
    let mut seen = HashSet::new();
    let answers = selectors
        .into_iter()
        .map(|selector| {
            let found = find(image, broker, &selector);
            let result = found.and_then(|topic| match seen.insert(topic.id) {
                true => Ok(topic),
                false => Err(Refusal::new(ErrorCode::InvalidRequest, format!("topic {} stands twice in the request", topic.name))),
            });
            if let Ok(topic) = &result {
                let deletion = next.remove_topic(topic);
                effects.push(Effect::DeleteTopic { deletion, topic: Some(topic.clone()) });
            }
            DeleteAnswer { selector, result: result.map(|topic| (topic.name.clone(), topic.id)) }
        })
        .collect();
    Applied { image: next, effects, answer: Answer::Deleted(answers) }
}

fn find(image: &MetadataImage, broker: &BrokerConfig, selector: &TopicSelector) -> Result<Arc<TopicImage>, Refusal> {
    if !broker.delete_topics {
        return Err(Refusal::new(ErrorCode::TopicDeletionDisabled, "topics cannot be deleted while delete.topic.enable is false"));
    }
    let found = match selector {
        TopicSelector::Name(name) => image.topic(name).ok_or_else(|| {
            let code = TopicName::new(name).map_or(ErrorCode::InvalidTopicException, |_| ErrorCode::UnknownTopicOrPartition);
            Refusal::new(code, format!("there is no topic {name:?}"))
        }),
        TopicSelector::Id(id) => {
            image.topic_by_id(*id).ok_or_else(|| Refusal::new(ErrorCode::UnknownTopicId, format!("there is no topic with id {id}")))
        }
    };
    found.cloned()
}

/// Takes back what `before` does not have: whole topics, and partitions that were added to one.
pub(super) fn take_back(image: &MetadataImage, before: &MetadataImage) -> Applied {
    let mut next = image.clone();
    let mut effects = Vec::new();
    for topic in image.topics() {
        match before.topic_by_id(topic.id) {
            None => effects.push(Effect::DeleteTopic { deletion: next.remove_topic(topic), topic: None }),
            Some(smaller) if smaller.partitions.len() < topic.partitions.len() => {
                next.put_topic(TopicImage::clone(smaller));
                effects.push(Effect::RemovePartitions { topic: topic.clone(), from: smaller.partitions.len() });
            }
            Some(_) => {}
        }
    }
    Applied { image: next, effects, answer: Answer::Done }
}

pub(super) fn finished(image: &MetadataImage, ids: &[TopicId]) -> Applied {
    let mut next = image.clone();
    if ids.iter().any(|id| next.deletions.contains_key(id)) {
        Arc::make_mut(&mut next.deletions).retain(|id, _| !ids.contains(id));
    }
    Applied { image: next, effects: Vec::new(), answer: Answer::Done }
}
