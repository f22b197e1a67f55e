//! ConsumerGroupDescribe: epochs, members and assignments of consumer groups (KIP-848).

use std::rc::Rc;

use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use crate::api::distinct::distinct;
use crate::api::groups::group_id;
use crate::api::text::text;
use crate::base::ErrorCode;
use crate::coordinator::consumer::views::{DescribedConsumer, DescribedConsumerGroup, DescribedTopic};
use crate::coordinator::views::NotFound;
use crate::shard::Shard;

/// From this version on members tell which protocol they speak.
const MEMBER_TYPE_FROM: i16 = 1;
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

type Described = Result<DescribedConsumerGroup, NotFound>;

pub async fn handle(shard: Rc<Shard>, version: i16, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse {
    let ids = distinct(request.group_ids, GroupId::clone);
    let mut groups = Vec::with_capacity(ids.len());
    for id in ids {
        let described = describe(&shard, &id).await;
        groups.push(encode(version, id, described));
    }
    ConsumerGroupDescribeResponse::default().with_groups(groups)
}

async fn describe(shard: &Rc<Shard>, id: &GroupId) -> Result<Described, ErrorCode> {
    let group_id = group_id(&id.0)?;
    let wanted = group_id.clone();
    shard.look_at_group(&group_id, move |coordinator| coordinator.describe_consumer(&wanted)).await
}

fn encode(version: i16, id: GroupId, described: Result<Described, ErrorCode>) -> DescribedGroup {
    let not_found = |message: String| {
        let answer = DescribedGroup::default().with_error_code(ErrorCode::GroupIdNotFound.code());
        answer.with_error_message(Some(text(message)))
    };
    let answer = match described {
        Ok(Ok(group)) => {
            let members = group.members.into_iter().map(|described| member(version, described)).collect();
            DescribedGroup::default()
                .with_group_state(StrBytes::from_static_str(group.state))
                .with_group_epoch(group.epoch)
                .with_assignment_epoch(group.target_epoch)
                .with_assignor_name(StrBytes::from_static_str(group.assignor))
                .with_members(members)
        }
        Ok(Err(NotFound::Absent)) => not_found(format!("Group {} not found.", id.0)),
        Ok(Err(NotFound::OfOtherProtocol)) => not_found(format!("Group {} is not a consumer group.", id.0)),
        Err(error) => DescribedGroup::default().with_error_code(error.code()),
    };
    answer.with_group_id(id)
}

fn member(version: i16, described: DescribedConsumer) -> Member {
    let subscription = described.subscription;
    let member_type = if subscription.classic.is_some() { CLASSIC } else { CONSUMER };
    let member = Member::default()
        .with_member_id(text(described.member_id))
        .with_instance_id(subscription.instance_id.map(text))
        .with_rack_id(subscription.rack_id.map(text))
        .with_member_epoch(described.epoch)
        .with_client_id(text(subscription.client_id))
        .with_client_host(text(subscription.client_host))
        .with_subscribed_topic_names(subscription.topics.into_iter().map(|topic| text(topic).into()).collect())
        .with_subscribed_topic_regex(subscription.regex.map(text))
        .with_assignment(assignment(described.assigned))
        .with_target_assignment(assignment(described.target));
    if version >= MEMBER_TYPE_FROM { member.with_member_type(member_type) } else { member }
}

fn assignment(topics: Vec<DescribedTopic>) -> Assignment {
    let topic = |topic: DescribedTopic| {
        TopicPartitions::default()
            .with_topic_id(uuid::Uuid::from_bytes(topic.id.0))
            .with_topic_name(text(topic.name).into())
            .with_partitions(topic.partitions.into_iter().map(|partition| partition.0).collect())
    };
    Assignment::default().with_topic_partitions(topics.into_iter().map(topic).collect())
}
