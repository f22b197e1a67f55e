//! What a group's coordinator is asked. Each question finds the coordinator anew and is asked again while that one moves or loads.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::consumer_group_describe_response::{self as consumer, Assignment};
use kafka_protocol::messages::describe_groups_response as classic;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId,
    ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::{Decodable, Message, StrBytes};

use super::view::{GroupView, ListedView, MemberView};
use crate::admin::cluster::{Cluster, TopicPartition, patiently, text, topic_name};
use crate::admin::refusal::{AdminError, check};
use crate::base::{BrokerId, ErrorCode};

pub(super) const GROUP_ID_NOT_FOUND: i16 = ErrorCode::GroupIdNotFound.code();
const UNKNOWN_MEMBER_ID: i16 = ErrorCode::UnknownMemberId.code();
const UNSUPPORTED_VERSION: i16 = ErrorCode::UnsupportedVersion.code();
/// The state of a classic group that is not there, up to DescribeGroups 5.
const DEAD: &str = "Dead";
const CLASSIC: &str = "classic";
const CONSUMER: &str = "consumer";
/// FindCoordinator takes a list of keys, OffsetFetch a list of groups, from these versions on.
const COORDINATOR_KEYS_FROM: i16 = 4;
const OFFSET_FETCH_GROUPS_FROM: i16 = 8;
/// OffsetCommit: from somebody who is no member.
const NO_GENERATION: i32 = -1;

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

/// Every group of every broker.
pub(super) fn list(cluster: &mut Cluster) -> Result<Vec<ListedView>, AdminError> {
    let mut groups = BTreeMap::new();
    for (broker, address) in cluster.brokers().clone() {
        let answer = patiently(|| {
            let answer = cluster.broker(broker)?.ask("ListGroups", &ListGroupsRequest::default())?;
            check(&format!("broker {broker}"), answer.error_code, None)?;
            Ok(answer)
        })?;
        for group in answer.groups {
            let view = ListedView {
                group: group.group_id.to_string(),
                state: group.group_state.to_string(),
                // Before KIP-848 there was one type.
                group_type: if group.group_type.is_empty() { CLASSIC.into() } else { group.group_type.to_string() },
                protocol_type: group.protocol_type.to_string(),
                coordinator: broker.0,
                coordinator_address: address.clone(),
            };
            groups.insert(view.group.clone(), view);
        }
    }
    Ok(groups.into_values().collect())
}

/// Who coordinates the group.
fn find(cluster: &mut Cluster, name: &str) -> Result<BrokerId, AdminError> {
    let anyone = cluster.anyone();
    let request = match anyone.version::<FindCoordinatorRequest>() {
        Some(version) if version >= COORDINATOR_KEYS_FROM => FindCoordinatorRequest::default().with_coordinator_keys(vec![text(name)]),
        _ => FindCoordinatorRequest::default().with_key(text(name)),
    };
    let answer = anyone.ask("FindCoordinator", &request)?;
    let only = Coordinator::default()
        .with_node_id(answer.node_id)
        .with_host(answer.host)
        .with_port(answer.port)
        .with_error_code(answer.error_code)
        .with_error_message(answer.error_message);
    let found = answer.coordinators.into_iter().next().unwrap_or(only);
    check(name, found.error_code, found.error_message.as_ref())?;
    let id = BrokerId(found.node_id.0);
    cluster.learn(id, &found.host, found.port);
    Ok(id)
}

/// State and members; `None` if there is no such group. The new protocol is asked first, as Kafka's own tool does.
pub(super) fn describe(cluster: &mut Cluster, name: &str) -> Result<Option<GroupView>, AdminError> {
    patiently(|| {
        let coordinator = find(cluster, name)?;
        let address = cluster.brokers()[&coordinator].clone();
        let client = cluster.broker(coordinator)?;
        let blank = GroupView { coordinator: coordinator.0, coordinator_address: address, ..GroupView::default() };
        if client.version::<ConsumerGroupDescribeRequest>().is_some() {
            let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(name)]);
            let answer = client.ask("ConsumerGroupDescribe", &request)?;
            for group in answer.groups {
                if group.error_code != GROUP_ID_NOT_FOUND && group.error_code != UNSUPPORTED_VERSION {
                    check(name, group.error_code, group.error_message.as_ref())?;
                    return Ok(Some(consumer_view(group, blank)));
                }
            }
        }
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(name)]);
        let answer = client.ask("DescribeGroups", &request)?;
        let Some(group) = answer.groups.into_iter().next().filter(|group| group.error_code != GROUP_ID_NOT_FOUND) else { return Ok(None) };
        check(name, group.error_code, group.error_message.as_ref())?;
        Ok((group.group_state.as_str() != DEAD).then(|| classic_view(group, blank)))
    })
}

fn consumer_view(group: consumer::DescribedGroup, blank: GroupView) -> GroupView {
    let member = |member: consumer::Member| MemberView {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: Some(member.member_epoch),
        partitions: Some(named_partitions(&member.assignment)),
        target_partitions: Some(named_partitions(&member.target_assignment)),
    };
    GroupView {
        group: group.group_id.to_string(),
        group_type: CONSUMER.into(),
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        epoch: Some(group.group_epoch),
        target_epoch: Some(group.assignment_epoch),
        members: Some(group.members.into_iter().map(member).collect()),
        ..blank
    }
}

fn named_partitions(assignment: &Assignment) -> Vec<TopicPartition> {
    let partitions = assignment.topic_partitions.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition { topic: topic.topic_name.to_string(), partition: *partition })
    });
    partitions.collect()
}

fn classic_view(group: classic::DescribedGroup, blank: GroupView) -> GroupView {
    let protocol_type = group.protocol_type.to_string();
    let member = |member: classic::DescribedGroupMember| MemberView {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        epoch: None,
        partitions: if protocol_type == CONSUMER { assigned_partitions(member.member_assignment) } else { None },
        target_partitions: None,
    };
    GroupView {
        group: group.group_id.to_string(),
        group_type: CLASSIC.into(),
        state: group.group_state.to_string(),
        assignor: group.protocol_data.to_string(),
        members: Some(group.members.into_iter().map(member).collect()),
        protocol_type: Some(protocol_type.clone()),
        ..blank
    }
}

/// The assignment of a classic consumer: its version, and the message. `None` if a client of another make wrote something else.
pub(super) fn assigned_partitions(mut bytes: Bytes) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    if !is_assignment(&bytes) {
        return None;
    }
    // Newer versions only append: read them as the newest known.
    let version = bytes.get_i16().min(ConsumerProtocolAssignment::VERSIONS.max);
    let assignment = ConsumerProtocolAssignment::decode(&mut bytes, version).ok()?;
    let partitions = assignment.assigned_partitions.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition { topic: topic.topic.to_string(), partition: *partition })
    });
    Some(partitions.collect())
}

/// Whether lengths and counts stay within the bytes: the decoder reserves room for a count before it looks.
fn is_assignment(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let walk = |rest: &mut &[u8]| -> Option<()> {
        let mut take = |count: usize| rest.split_off(..count);
        let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
        if number(take(2)?) > i64::from(i16::MAX) {
            return None;
        }
        for _ in 0..number(take(4)?) {
            let name = usize::try_from(number(take(2)?)).ok()?;
            take(name)?;
            let partitions = usize::try_from(number(take(4)?)).ok()?;
            take(partitions.checked_mul(4)?)?;
        }
        Some(())
    };
    walk(&mut rest).is_some()
}

/// Every offset the group has committed.
pub(super) fn committed(cluster: &mut Cluster, name: &str) -> Result<BTreeMap<TopicPartition, i64>, AdminError> {
    patiently(|| {
        let coordinator = find(cluster, name)?;
        let client = cluster.broker(coordinator)?;
        let request = match client.version::<OffsetFetchRequest>() {
            Some(version) if version >= OFFSET_FETCH_GROUPS_FROM => {
                let group = OffsetFetchRequestGroup::default().with_group_id(group_id(name)).with_topics(None);
                OffsetFetchRequest::default().with_groups(vec![group])
            }
            _ => OffsetFetchRequest::default().with_group_id(group_id(name)).with_topics(None),
        };
        let answer = client.ask("OffsetFetch", &request)?;
        check(name, answer.error_code, None)?;
        let mut offsets = BTreeMap::new();
        let mut add = |topic: &str, partition: i32, error_code: i16, offset: i64| {
            check(&format!("{topic}-{partition}"), error_code, None)?;
            if offset >= 0 {
                offsets.insert(TopicPartition { topic: topic.into(), partition }, offset);
            }
            Ok::<(), AdminError>(())
        };
        for group in &answer.groups {
            check(name, group.error_code, None)?;
            for topic in &group.topics {
                for partition in &topic.partitions {
                    add(&topic.name, partition.partition_index, partition.error_code, partition.committed_offset)?;
                }
            }
        }
        for topic in &answer.topics {
            for partition in &topic.partitions {
                add(&topic.name, partition.partition_index, partition.error_code, partition.committed_offset)?;
            }
        }
        Ok(offsets)
    })
}

/// Deletes one group with its offsets.
pub(super) fn delete(cluster: &mut Cluster, name: &str) -> Result<(), AdminError> {
    patiently(|| {
        let coordinator = find(cluster, name)?;
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(name)]);
        let answer = cluster.broker(coordinator)?.ask("DeleteGroups", &request)?;
        answer.results.iter().try_for_each(|result| check(&result.group_id, result.error_code, None))
    })
}

/// Commits offsets for a group without members.
pub(super) fn commit<'a>(
    cluster: &mut Cluster,
    name: &str,
    offsets: impl Iterator<Item = (&'a TopicPartition, i64)>,
) -> Result<(), AdminError> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (TopicPartition { topic, partition }, offset) in offsets {
        let commit = OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(topic).or_default().push(commit);
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions));
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(name))
        .with_generation_id_or_member_epoch(NO_GENERATION)
        .with_topics(topics.collect());
    patiently(|| {
        let coordinator = find(cluster, name)?;
        let answer = cluster.broker(coordinator)?.ask("OffsetCommit", &request)?;
        for topic in &answer.topics {
            for partition in &topic.partitions {
                if partition.error_code == UNKNOWN_MEMBER_ID {
                    return Err(AdminError::Declined(format!("group {name:?} has got members meanwhile; nothing was reset")));
                }
                check(&format!("{}-{}", topic.name.as_str(), partition.partition_index), partition.error_code, None)?;
            }
        }
        Ok(())
    })
}
