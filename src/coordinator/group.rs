//! A group of either protocol, where it does not matter which.
//!
//! Pure, as all of `coordinator`.

use std::sync::Arc;

use super::classic::ClassicGroup;
use super::config::GroupConfig;
use super::consumer::ConsumerGroup;
use super::consumer::topics::{NoTopics, Topics};
use super::effect::Effect;
use super::event::Event;
use super::ids::GroupId;
use super::offsets::Offsets;
use super::record_format::GroupRecord;
use super::replay::ReplayedGroup;
use super::views::ListedGroup;

#[derive(Debug)]
pub(super) enum Group {
    Classic(Box<ClassicGroup>),
    Consumer(Box<ConsumerGroup>),
}

impl Group {
    /// The group that an event calls into being.
    pub fn for_event(event: &Event, id: &GroupId, config: GroupConfig, now_ms: i64, topics: &Arc<dyn Topics>) -> Group {
        match event {
            Event::ConsumerHeartbeat { .. } => {
                Group::Consumer(Box::new(ConsumerGroup::new(id.clone(), config, topics.clone(), Offsets::default())))
            }
            _ => Group::Classic(Box::new(ClassicGroup::new(id.clone(), config, now_ms))),
        }
    }

    /// As the log has it.
    pub fn load(id: GroupId, config: GroupConfig, now_ms: i64, stored: ReplayedGroup) -> (Group, Vec<Effect>) {
        if stored.is_consumer && stored.consumer.exists() {
            let memory = (stored.consumer, stored.metadata.is_some());
            let group = ConsumerGroup::load(id, config, now_ms, Arc::new(NoTopics), memory, stored.offsets);
            return (Group::Consumer(Box::new(group)), Vec::new());
        }
        let strays = if stored.consumer.exists() { stored.consumer.tombstones() } else { Vec::new() };
        let strays = strays.into_iter().map(|record| GroupRecord::Consumer { group_id: id.clone(), record }).collect();
        let (group, effects) = ClassicGroup::load(id, config, now_ms, stored.metadata, stored.offsets, strays);
        (Group::Classic(Box::new(group)), effects)
    }

    pub fn classic(&self) -> Option<&ClassicGroup> {
        if let Group::Classic(group) = self { Some(group) } else { None }
    }

    pub fn consumer(&self) -> Option<&ConsumerGroup> {
        if let Group::Consumer(group) = self { Some(group) } else { None }
    }

    pub fn step(&mut self, now_ms: i64, event: Event) -> Vec<Effect> {
        match self {
            Group::Classic(group) => group.step(now_ms, event),
            Group::Consumer(group) => group.step(now_ms, event),
        }
    }

    pub fn next_deadline_ms(&self) -> Option<i64> {
        match self {
            Group::Classic(group) => group.next_deadline_ms(),
            Group::Consumer(group) => group.next_deadline_ms(),
        }
    }

    pub fn is_vacant(&self) -> bool {
        match self {
            Group::Classic(group) => group.is_vacant(),
            Group::Consumer(group) => group.is_vacant(),
        }
    }

    pub fn is_gone(&self) -> bool {
        match self {
            Group::Classic(group) => group.is_gone(),
            Group::Consumer(group) => group.is_gone(),
        }
    }

    pub fn set_config(&mut self, config: GroupConfig) {
        match self {
            Group::Classic(group) => group.set_config(config),
            Group::Consumer(group) => group.set_config(config),
        }
    }

    pub fn set_topics(&mut self, topics: &Arc<dyn Topics>) {
        if let Group::Consumer(group) = self {
            group.set_topics(topics.clone());
        }
    }

    pub fn list(&self) -> ListedGroup {
        match self {
            Group::Classic(group) => group.list(),
            Group::Consumer(group) => group.list(),
        }
    }

    pub fn offsets(&self) -> &Offsets {
        match self {
            Group::Classic(group) => group.offsets(),
            Group::Consumer(group) => group.offsets(),
        }
    }
}
