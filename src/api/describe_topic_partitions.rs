//! DescribeTopicPartitions: topics in pages of a bounded number of partitions (KIP-966).
//!
//! Any core answers. Topics come in order of name, each once; no topics means all. A page that ends early names the topic and the partition
//! that the next one begins with. `TopicName`s are ASCII, so their order is that of Kafka's strings.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use uuid::Uuid;

use crate::api::authorized_operations;
use crate::api::text::topic_name;
use crate::base::{ErrorCode, TopicName as LegalName};
use crate::cluster::image::{MetadataImage, PartitionImage, TopicImage, is_internal_topic};
use crate::shard::Shard;

pub fn handle(shard: &Shard, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let limit = request.response_partition_limit.min(shard.broker_config().request_partitions_max).max(1);
    describe(&shard.image(), request, limit as usize)
}

/// One page of at most `limit` partitions.
fn describe(image: &MetadataImage, request: DescribeTopicPartitionsRequest, limit: usize) -> DescribeTopicPartitionsResponse {
    let names: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.0.as_str()).collect();
    let from = request.cursor.as_ref().map(|cursor| (cursor.topic_name.0.as_str(), cursor.partition_index));
    if from.is_some_and(|(name, index)| index < 0 || !(names.is_empty() || names.contains(name))) {
        return refused(&names);
    }
    let (first, start) = from.unwrap_or_default();
    let mut page = Page { response: DescribeTopicPartitionsResponse::default(), left: limit };
    let start_in = |name: &str| if name == first { start as usize } else { 0 };
    match names.is_empty() {
        // The cursor's topic may have been deleted since the page before: the next one is it then.
        true => {
            let mut topics = image.topics().skip_while(|topic| topic.name.as_str() < first);
            _ = topics.try_for_each(|topic| page.add(topic, start_in(topic.name.as_str())));
        }
        false => {
            let mut names = names.into_iter().skip_while(|name| *name < first);
            _ = names.try_for_each(|name| match image.topic(name) {
                Some(topic) => page.add(topic, start_in(name)),
                None => page.add_unknown(name),
            });
        }
    }
    page.response
}

/// Kafka has no place in this answer for an error but the topics.
fn refused(names: &BTreeSet<&str>) -> DescribeTopicPartitionsResponse {
    let topics = names.iter().map(|name| answer(name).with_error_code(ErrorCode::InvalidRequest.code()));
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

/// An answer that fills up.
struct Page {
    response: DescribeTopicPartitionsResponse,
    left: usize,
}

/// No more goes onto the page.
struct Full;

impl Page {
    fn add(&mut self, topic: &TopicImage, start: usize) -> Result<(), Full> {
        self.begin(topic.name.as_str())?;
        let partitions: Vec<_> = topic.partitions.iter().skip(start).take(self.left).map(partition).collect();
        let next = start + partitions.len();
        self.left -= partitions.len();
        self.response.topics.push(
            answer(topic.name.as_str())
                .with_topic_id(Uuid::from_bytes(topic.id.0))
                .with_topic_authorized_operations(authorized_operations::TOPIC)
                .with_partitions(partitions),
        );
        if next < topic.partitions.len() { self.end_before(topic.name.as_str(), next as i32) } else { Ok(()) }
    }

    fn add_unknown(&mut self, name: &str) -> Result<(), Full> {
        self.begin(name)?;
        let error = if LegalName::new(name).is_ok() { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
        let operations = authorized_operations::TOPIC;
        self.response.topics.push(answer(name).with_error_code(error.code()).with_topic_authorized_operations(operations));
        Ok(())
    }

    fn begin(&mut self, name: &str) -> Result<(), Full> {
        if self.left == 0 { self.end_before(name, 0) } else { Ok(()) }
    }

    fn end_before(&mut self, name: &str, index: i32) -> Result<(), Full> {
        self.response.next_cursor = Some(Cursor::default().with_topic_name(topic_name(name)).with_partition_index(index));
        Err(Full)
    }
}

fn answer(name: &str) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default().with_name(Some(topic_name(name))).with_is_internal(is_internal_topic(name))
}

fn partition(partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition {
    let ids = |brokers: &[crate::base::BrokerId]| brokers.iter().map(|broker| BrokerId(broker.0)).collect();
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.index.0)
        .with_leader_id(BrokerId(partition.leader.0))
        .with_leader_epoch(partition.leader_epoch.0)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
        // Null, which the format allows, makes Java's describeTopics fail.
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TopicId;
    use crate::cluster::broker_config::BrokerConfig;
    use crate::cluster::controller::{Command, NodeDescription, TopicSpec, apply};
    use crate::cluster::image::{Advertise, DirectoryId, NodeId};
    use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

    /// Topics a, b, c with 3, 1 and 2 partitions.
    fn image() -> MetadataImage {
        let node = NodeDescription {
            advertise: Advertise::PerCore,
            core_count: 1,
            host: "localhost".into(),
            ports: vec![9092],
            rack: None,
            fresh_directory_ids: vec![DirectoryId([1; 16])],
        };
        let topic = |(place, (name, partition_count)): (usize, (&str, i32))| TopicSpec {
            name: name.into(),
            id: TopicId([place as u8 + 1; 16]),
            partition_count,
            replication_factor: 1,
            ..TopicSpec::default()
        };
        let topics = [("c", 2), ("a", 3), ("b", 1)].into_iter().enumerate().map(topic).collect();
        let commands = [Command::BrokersChanged(node), Command::CreateTopics { topics, validate_only: false }];
        let empty = MetadataImage::empty("cluster", NodeId(1));
        let broker = BrokerConfig::default();
        commands.into_iter().fold(empty, |image, command| apply(&image, &broker, command).unwrap().image)
    }

    fn request(names: &[&str], cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        let topics = names.iter().map(|name| TopicRequest::default().with_name(topic_name(name)));
        let cursor = cursor.map(|(name, index)| From::default().with_topic_name(topic_name(name)).with_partition_index(index));
        DescribeTopicPartitionsRequest::default().with_topics(topics.collect()).with_cursor(cursor)
    }

    /// A topic of an answer: its name, error and partitions.
    type Described = (String, i16, Vec<i32>);

    /// The topics of a page, and where the next one begins.
    fn page(names: &[&str], cursor: Option<(&str, i32)>, limit: usize) -> (Vec<Described>, Option<(String, i32)>) {
        let answer = describe(&image(), request(names, cursor), limit);
        let topics = answer.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
            (topic.name.unwrap().to_string(), topic.error_code, partitions)
        });
        (topics.collect(), answer.next_cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index)))
    }

    fn topic(name: &str, partitions: &[i32]) -> Described {
        (name.into(), 0, partitions.to_vec())
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all = vec![topic("a", &[0, 1, 2]), topic("b", &[0]), topic("c", &[0, 1])];
        assert_eq!(page(&[], None, 6), (all.clone(), None), "the last partition is no reason for another page");
        for limit in 1..7 {
            let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
            loop {
                let from = cursor.as_ref().map(|(name, index): &(String, i32)| (name.as_str(), *index));
                let (topics, next) = page(&[], from, limit);
                assert!(topics.iter().map(|(_, _, partitions)| partitions.len()).sum::<usize>() <= limit);
                seen.extend(
                    topics.into_iter().flat_map(|(name, _, partitions)| partitions.into_iter().map(move |index| (name.clone(), index))),
                );
                (cursor, pages) = (next, pages + 1);
                if cursor.is_none() {
                    break;
                }
            }
            let expected: Vec<_> =
                all.iter().flat_map(|(name, _, indexes)| indexes.iter().map(move |index| (name.clone(), *index))).collect();
            assert_eq!((seen, pages), (expected, 6usize.div_ceil(limit)), "pages of {limit}");
        }
    }

    #[test]
    fn topics_that_are_named_come_sorted_and_once_with_what_is_wrong_with_them() {
        let unknown = |name: &str, error| (name.to_string(), error, Vec::new());
        let (topics, next) = page(&["c", "nobody", "a b", "a", "c"], None, 100);
        assert_eq!(topics, [topic("a", &[0, 1, 2]), unknown("a b", 17), topic("c", &[0, 1]), unknown("nobody", 3)]);
        assert_eq!(next, None);
        assert_eq!(page(&["c", "a"], Some(("c", 1)), 100), (vec![topic("c", &[1])], None));
        assert_eq!(page(&["a", "c"], None, 3), (vec![topic("a", &[0, 1, 2])], Some(("c".into(), 0))));
    }

    #[test]
    fn a_cursor_need_not_name_what_still_exists() {
        assert_eq!(page(&[], Some(("aa", 7)), 100).0, [topic("b", &[0]), topic("c", &[0, 1])], "deleted meanwhile");
        assert_eq!(page(&[], Some(("c", 7)), 100), (vec![topic("c", &[])], None), "made anew with fewer partitions");
    }

    #[test]
    fn a_cursor_that_makes_no_sense_is_refused_for_each_topic() {
        let refused = |name: &str| (name.to_string(), 42, Vec::new());
        assert_eq!(page(&["b", "a"], Some(("c", 0)), 100), (vec![refused("a"), refused("b")], None));
        assert_eq!(page(&["a"], Some(("a", -1)), 100), (vec![refused("a")], None));
        assert_eq!(page(&[], Some(("a", -1)), 100), (vec![], None));
    }

    #[test]
    fn lists_are_empty_and_not_null() {
        let answer = describe(&image(), request(&["b"], None), 100);
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((&partition.eligible_leader_replicas, &partition.last_known_elr), (&Some(vec![]), &Some(vec![])));
        assert_eq!(answer.topics[0].topic_authorized_operations, 0xdf8, "bits 3 to 8, 10 and 11");
    }
}
