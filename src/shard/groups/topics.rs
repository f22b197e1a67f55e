//! The cluster's topics as groups see them, and the regular expressions of consumers looked up in them.
//!
//! The view lives on any thread; patterns are matched on a helper thread, since every topic's name is looked at.

use std::rc::Rc;
use std::sync::Arc;

use super::GroupPartition;
use crate::base::{TopicId, TopicName};
use crate::cluster::image::MetadataImage;
use crate::coordinator::consumer::regex::resolve;
use crate::coordinator::consumer::topics::{KnownTopic, Topics};
use crate::coordinator::{Event, GroupId, ShortText};
use crate::io::glommio::spawn;
use crate::shard::Shard;

/// An image, seen as its topics.
#[derive(Debug)]
struct ImageTopics(Arc<MetadataImage>);

pub(super) fn image_topics(image: &Arc<MetadataImage>) -> Arc<dyn Topics> {
    Arc::new(ImageTopics(image.clone()))
}

impl Topics for ImageTopics {
    fn version(&self) -> i64 {
        self.0.version.0 as i64
    }

    fn find(&self, name: &str) -> Option<KnownTopic> {
        let topic = self.0.topic(name)?;
        Some(KnownTopic { id: topic.id, partition_count: i32::try_from(topic.partitions.len()).ok()? })
    }

    fn name(&self, id: TopicId) -> Option<TopicName> {
        Some(self.0.topic_by_id(id)?.name.clone())
    }

    fn each_name(&self, each: &mut dyn FnMut(&str)) {
        self.0.topics().for_each(|topic| each(topic.name.as_str()));
    }
}

impl Shard {
    /// Answers [`crate::coordinator::Effect::ResolveRegexes`] when it is done.
    pub(super) fn resolve_regexes(self: &Rc<Self>, groups: &Rc<GroupPartition>, group_id: GroupId, patterns: Vec<ShortText>) {
        let (shard, groups, topics) = (self.clone(), groups.clone(), image_topics(&self.image()));
        spawn(async move {
            let metadata_version = topics.version();
            let resolved = shard.offload(groups.key.order(), move || resolve(&patterns, &*topics)).await;
            let now_ms = shard.groups.clock.now_ms();
            let event = Event::RegexesResolved { metadata_version, resolved };
            // A coordinator that was closed meanwhile asks again wherever it is opened.
            if let Ok(effects) = groups.with(|coordinator| coordinator.step(now_ms, &group_id, event)) {
                shard.perform_group_effects(&groups, effects);
            }
        })
        .detach();
    }
}
