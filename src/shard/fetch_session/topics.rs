//! The topics of one fetch session, each kept once however many of its partitions are fetched.
//!
//! Pure. Invariant: a topic stands here exactly as long as the session holds one of its partitions.

use std::collections::HashMap;
use std::rc::Rc;

use crate::base::TopicId;
use crate::wire::frame::TopicReference;

/// A topic as the client calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionTopic {
    Name(Rc<str>),
    Id(TopicId),
}

impl SessionTopic {
    pub fn new(topic: TopicReference<'_>) -> SessionTopic {
        match topic {
            TopicReference::Name(name) => SessionTopic::Name(name.into()),
            TopicReference::Id(id) => SessionTopic::Id(id),
        }
    }

    pub fn reference(&self) -> TopicReference<'_> {
        match self {
            SessionTopic::Name(name) => TopicReference::Name(name),
            SessionTopic::Id(id) => TopicReference::Id(*id),
        }
    }
}

#[derive(Default)]
pub(super) struct Topics {
    by_name: HashMap<Rc<str>, u32>,
    by_id: HashMap<TopicId, u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
}

struct Entry {
    topic: SessionTopic,
    partitions: u32,
}

impl Topics {
    pub(super) fn find(&self, topic: TopicReference<'_>) -> Option<u32> {
        match topic {
            TopicReference::Name(name) => self.by_name.get(name).copied(),
            TopicReference::Id(id) => self.by_id.get(&id).copied(),
        }
    }

    /// Counts one more partition of the topic.
    pub(super) fn enter(&mut self, topic: TopicReference<'_>) -> u32 {
        let place = self.find(topic).unwrap_or_else(|| self.add(SessionTopic::new(topic)));
        self.entries[place as usize].partitions += 1;
        place
    }

    fn add(&mut self, topic: SessionTopic) -> u32 {
        let place = self.free.pop().unwrap_or(self.entries.len() as u32);
        match &topic {
            SessionTopic::Name(name) => self.by_name.insert(name.clone(), place),
            SessionTopic::Id(id) => self.by_id.insert(*id, place),
        };
        let entry = Entry { topic, partitions: 0 };
        match self.entries.get_mut(place as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        place
    }

    /// Counts one partition less; the last one takes the topic with it.
    pub(super) fn leave(&mut self, place: u32) {
        let entry = &mut self.entries[place as usize];
        entry.partitions -= 1;
        if entry.partitions == 0 {
            match &entry.topic {
                SessionTopic::Name(name) => self.by_name.remove(name),
                SessionTopic::Id(id) => self.by_id.remove(id),
            };
            self.free.push(place);
        }
    }

    pub(super) fn get(&self, place: u32) -> &SessionTopic {
        &self.entries[place as usize].topic
    }

    pub(super) fn reference(&self, place: u32) -> TopicReference<'_> {
        self.get(place).reference()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_stays_as_long_as_one_of_its_partitions() {
        let mut topics = Topics::default();
        let (name, id) = (TopicReference::Name("a"), TopicReference::Id(TopicId([1; 16])));
        let place = topics.enter(name);
        assert_eq!((topics.enter(name), topics.find(id)), (place, None));
        topics.leave(place);
        assert_eq!((topics.find(name), topics.reference(place)), (Some(place), name));
        topics.leave(place);
        assert_eq!(topics.find(name), None);
        assert_eq!((topics.enter(id), topics.reference(place)), (place, id), "the place is used again");
    }
}
