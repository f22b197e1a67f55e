//! OffsetFetch: what a group has committed. Several groups at once from version 8 on (KIP-709).

use std::rc::Rc;

use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::api::distinct::distinct;
use crate::api::groups::{group_id, member_id, named_partition};
use crate::api::text::text;
use crate::base::{ErrorCode, TopicId};
use crate::coordinator::event::TopicPartition;
use crate::coordinator::offsets::FetchedOffset;
use crate::shard::Shard;

/// From this version on the answer has a code of its own; before, every partition has it.
const ERROR_CODE_FROM: i16 = 2;
/// From this version on the request has a list of groups.
const GROUPS_FROM: i16 = 8;

/// Topics and partitions that are asked for; `None`: whatever the group committed.
type Wanted = Option<Vec<(TopicName, Vec<i32>)>>;
/// What was found: by topic, then by partition.
type Found = Vec<(TopicName, Vec<(i32, FetchedOffset)>)>;

pub async fn handle(shard: Rc<Shard>, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let require_stable = request.require_stable;
    if version >= GROUPS_FROM {
        let asked = distinct(request.groups, |group| group.group_id.clone());
        let mut groups = Vec::with_capacity(asked.len());
        for group in asked {
            let wanted = group.topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
            let asker = Asker { member_id: group.member_id, member_epoch: group.member_epoch };
            let found = fetch(&shard, &group.group_id.0, asker, wanted, require_stable).await;
            let (found, error) = found.map_or_else(|error| (Vec::new(), error), |found| (found, ErrorCode::None));
            let topics = found.into_iter().map(|(name, partitions)| {
                let partitions = partitions.into_iter().map(|(index, offset)| partition_of_group(index, offset)).collect();
                OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
            });
            let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_error_code(error.code());
            groups.push(answer.with_topics(topics.collect()));
        }
        return OffsetFetchResponse::default().with_groups(groups);
    }

    let wanted: Wanted = request.topics.map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let found = fetch(&shard, &request.group_id.0, Asker::unknown(), wanted.clone(), require_stable).await;
    let (found, error) = match found {
        Ok(found) => (found, ErrorCode::None),
        Err(error) if version >= ERROR_CODE_FROM => (Vec::new(), error),
        Err(error) => (refused(wanted.unwrap_or_default(), error), ErrorCode::None),
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, offset)| partition(index, offset)).collect();
        OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
    });
    OffsetFetchResponse::default().with_error_code(error.code()).with_topics(topics.collect())
}

/// Who asks, from version 9 on (KIP-848): a member that is no longer one must not go on from where others are.
struct Asker {
    member_id: Option<StrBytes>,
    /// -1: it does not say.
    member_epoch: i32,
}

impl Asker {
    fn unknown() -> Asker {
        Asker { member_id: None, member_epoch: -1 }
    }
}

async fn fetch(shard: &Rc<Shard>, group: &StrBytes, asker: Asker, wanted: Wanted, require_stable: bool) -> Result<Found, ErrorCode> {
    let group_id = group_id(group)?;
    let asker_id = asker.member_id.as_ref().map(member_id).transpose()?;
    let wanted = wanted.map(partitions_once);
    let group = group_id.clone();
    shard
        .look_at_group(&group_id, move |coordinator| {
            coordinator.check_fetch(&group, asker_id.as_ref(), asker.member_epoch)?;
            Ok(match wanted {
                Some(wanted) => {
                    let fetched = |name: &TopicName, index: i32| match named_partition(name.0.as_str(), index) {
                        Some(partition) => coordinator.fetch_offset(&group, &partition, TopicId::ZERO, require_stable),
                        None => FetchedOffset::none(ErrorCode::None),
                    };
                    let of_topic = |(name, indexes): (TopicName, Vec<i32>)| {
                        let partitions = indexes.into_iter().map(|index| (index, fetched(&name, index))).collect();
                        (name, partitions)
                    };
                    wanted.into_iter().map(of_topic).collect()
                }
                None => by_topic(coordinator.fetch_all_offsets(&group, require_stable)),
            })
        })
        .await?
}

/// Every topic and every partition once: each may bring kilobytes of metadata for four bytes of request.
fn partitions_once(wanted: Vec<(TopicName, Vec<i32>)>) -> Vec<(TopicName, Vec<i32>)> {
    let wanted = distinct(wanted, |(name, _)| name.clone());
    wanted.into_iter().map(|(name, indexes)| (name, distinct(indexes, |index| *index))).collect()
}

/// They come in the order of topics.
fn by_topic(offsets: Vec<(TopicPartition, TopicId, FetchedOffset)>) -> Found {
    let mut found: Found = Vec::new();
    for (partition, _, offset) in offsets {
        let entry = (partition.partition.0, offset);
        match found.last_mut() {
            Some((name, partitions)) if name.0.as_str() == partition.topic.as_str() => partitions.push(entry),
            _ => found.push((TopicName(text(&partition.topic)), vec![entry])),
        }
    }
    found
}

fn refused(wanted: Vec<(TopicName, Vec<i32>)>, error: ErrorCode) -> Found {
    let refused = |indexes: Vec<i32>| indexes.into_iter().map(|index| (index, FetchedOffset::none(error))).collect();
    wanted.into_iter().map(|(name, indexes)| (name, refused(indexes))).collect()
}

fn partition(index: i32, fetched: FetchedOffset) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition::default()
        .with_partition_index(index)
        .with_committed_offset(fetched.offset.0)
        .with_committed_leader_epoch(fetched.leader_epoch.0)
        .with_metadata(Some(text(fetched.metadata)))
        .with_error_code(fetched.error.code())
}

fn partition_of_group(index: i32, fetched: FetchedOffset) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(fetched.offset.0)
        .with_committed_leader_epoch(fetched.leader_epoch.0)
        .with_metadata(Some(text(fetched.metadata)))
        .with_error_code(fetched.error.code())
}
