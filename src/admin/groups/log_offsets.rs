//! Where logs begin, end, or reach a time: asked of the leader of each partition.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::{BrokerId as NodeId, ListOffsetsRequest};

use crate::admin::cluster::{Cluster, TopicPartition, patiently, topic_name};
use crate::admin::refusal::{AdminError, check};
use crate::base::{BrokerId, ErrorCode};

/// ListOffsets: the end of the log.
pub(super) const LATEST: i64 = -1;
/// ListOffsets: the first offset there is.
pub(super) const EARLIEST: i64 = -2;
/// ListOffsets: whoever asks is no replica.
const NO_REPLICA: NodeId = NodeId(-1);
const NO_OFFSET: i64 = -1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = ErrorCode::UnknownTopicOrPartition.code();

/// The offset at `time` ([`EARLIEST`], [`LATEST`] or milliseconds) of each partition. Left out: partitions that do not exist or have no
/// leader, and those where no record is that young.
///
/// # Errors
/// A broker cannot be asked, or refuses.
pub(super) fn log_offsets(
    cluster: &mut Cluster,
    partitions: &BTreeSet<TopicPartition>,
    time: i64,
) -> Result<BTreeMap<TopicPartition, i64>, AdminError> {
    patiently(|| {
        let topics = partitions.iter().map(|partition| partition.topic.clone()).collect();
        let mut by_leader: BTreeMap<BrokerId, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
        for (partition, leader) in cluster.leaders(&topics)? {
            if let Some(leader) = leader.filter(|_| partitions.contains(&partition)) {
                by_leader.entry(leader).or_default().entry(partition.topic).or_default().push(partition.partition);
            }
        }
        let mut offsets = BTreeMap::new();
        for (leader, topics) in by_leader {
            offsets.append(&mut ask_leader(cluster, leader, topics, time)?);
        }
        Ok(offsets)
    })
}

fn ask_leader(
    cluster: &mut Cluster,
    leader: BrokerId,
    topics: BTreeMap<String, Vec<i32>>,
    time: i64,
) -> Result<BTreeMap<TopicPartition, i64>, AdminError> {
    let partition = |index: i32| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(time);
    let topics = topics.into_iter().map(|(name, partitions)| {
        ListOffsetsTopic::default().with_name(topic_name(&name)).with_partitions(partitions.into_iter().map(partition).collect())
    });
    let request = ListOffsetsRequest::default().with_replica_id(NO_REPLICA).with_topics(topics.collect());
    let answer = cluster.broker(leader)?.ask("ListOffsets", &request)?;
    let mut offsets = BTreeMap::new();
    for topic in &answer.topics {
        for ListOffsetsPartitionResponse { partition_index, error_code, offset, .. } in &topic.partitions {
            let partition = TopicPartition { topic: topic.name.to_string(), partition: *partition_index };
            if *error_code == UNKNOWN_TOPIC_OR_PARTITION || (*error_code == 0 && *offset == NO_OFFSET) {
                continue;
            }
            check(&partition.to_string(), *error_code, None)?;
            offsets.insert(partition, *offset);
        }
    }
    Ok(offsets)
}
