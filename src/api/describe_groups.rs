//! DescribeGroups: state, members and assignments of groups.

use std::rc::Rc;

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use crate::api::authorized_operations;
use crate::api::distinct::distinct;
use crate::api::groups::group_id;
use crate::api::text::text;
use crate::base::ErrorCode;
use crate::coordinator::views::{self, NotFound};
use crate::shard::Shard;

/// From this version on a group that does not exist is an error (KIP-1043); before, it is a dead one.
const NOT_FOUND_FROM: i16 = 6;

type Described = Result<views::DescribedGroup, NotFound>;

pub async fn handle(shard: Rc<Shard>, version: i16, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let ids = distinct(request.groups, GroupId::clone);
    let mut groups = Vec::with_capacity(ids.len());
    for id in ids {
        let described = describe(&shard, &id).await;
        let mut answer = encode(version, id, described);
        if request.include_authorized_operations && answer.error_code == ErrorCode::None.code() {
            answer.authorized_operations = authorized_operations::GROUP;
        }
        groups.push(answer);
    }
    DescribeGroupsResponse::default().with_groups(groups)
}

async fn describe(shard: &Rc<Shard>, id: &GroupId) -> Result<Described, ErrorCode> {
    let group_id = group_id(&id.0)?;
    let wanted = group_id.clone();
    shard.look_at_group(&group_id, move |coordinator| coordinator.describe(&wanted)).await
}

fn encode(version: i16, id: GroupId, described: Result<Described, ErrorCode>) -> DescribedGroup {
    let answer = DescribedGroup::default();
    let (answer, group) = match described {
        Ok(Ok(group)) => (answer, group),
        Ok(Err(reason)) if version >= NOT_FOUND_FROM => {
            let message = match reason {
                NotFound::Absent => format!("Group {} not found.", id.0),
                NotFound::OfOtherProtocol => format!("Group {} is not a classic group.", id.0),
            };
            let answer = answer.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(text(message)));
            (answer, views::DescribedGroup::unknown())
        }
        Ok(Err(_)) => (answer, views::DescribedGroup::unknown()),
        Err(error) => return answer.with_group_id(id).with_error_code(error.code()),
    };
    answer
        .with_group_id(id)
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_protocol_type(text(group.protocol_type))
        .with_protocol_data(text(group.protocol_name))
        .with_members(group.members.into_iter().map(member).collect())
}

fn member(member: views::DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(text(member.member_id))
        .with_group_instance_id(member.group_instance_id.map(text))
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}
