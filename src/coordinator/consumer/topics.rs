//! What groups must know of the cluster's topics.
//!
//! Implemented by the shell over its metadata image. Invariant: one value never changes; a newer one has another `version`.

use std::fmt::Debug;

use crate::base::{TopicId, TopicName};

/// The topics of the cluster at one moment.
pub trait Topics: Debug + Send + Sync {
    /// Of the metadata that this is a view of.
    fn version(&self) -> i64;

    fn find(&self, name: &str) -> Option<KnownTopic>;

    fn name(&self, id: TopicId) -> Option<TopicName>;

    /// Hands over every name.
    fn each_name(&self, each: &mut dyn FnMut(&str));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownTopic {
    pub id: TopicId,
    pub partition_count: i32,
}

/// A cluster without topics, before the first image is there.
#[derive(Debug)]
pub struct NoTopics;

impl Topics for NoTopics {
    fn version(&self) -> i64 {
        -1
    }

    fn find(&self, _: &str) -> Option<KnownTopic> {
        None
    }

    fn name(&self, _: TopicId) -> Option<TopicName> {
        None
    }

    fn each_name(&self, _: &mut dyn FnMut(&str)) {}
}
