//! LeaveGroup: members go, their partitions are free for the others. Several at once from version 3 on (KIP-345).

use std::rc::Rc;

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::api::groups::{ask, group_id, group_instance_id, member_id};
use crate::api::text::text;
use crate::base::ErrorCode;
use crate::coordinator::GroupId;
use crate::coordinator::effect::{LeaveResponse, LeftMember, Response};
use crate::coordinator::event::{Event, LeavingMember};
use crate::shard::Shard;

/// From this version on the request has a list of members, and the answer a code for each.
const MEMBERS_FROM: i16 = 3;

pub async fn handle(shard: Rc<Shard>, version: i16, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let left = match leaving(version, &request) {
        Ok((group_id, members)) => {
            let take = |response| if let Response::Leave(left) = response { Some(left) } else { None };
            ask(&shard, group_id, move |token| Event::Leave { token, members }, take).await
        }
        Err(error) => Err(error),
    };
    encode(version, left.unwrap_or_else(|error| LeaveResponse { error, members: Vec::new() }))
}

fn leaving(version: i16, request: &LeaveGroupRequest) -> Result<(GroupId, Vec<LeavingMember>), ErrorCode> {
    let members = if version >= MEMBERS_FROM {
        let leaving = request.members.iter().map(|member| {
            let group_instance_id = group_instance_id(member.group_instance_id.as_ref())?;
            Ok(LeavingMember { member_id: member_id(&member.member_id)?, group_instance_id })
        });
        leaving.collect::<Result<_, ErrorCode>>()?
    } else {
        vec![LeavingMember { member_id: member_id(&request.member_id)?, group_instance_id: None }]
    };
    Ok((group_id(&request.group_id)?, members))
}

fn encode(version: i16, left: LeaveResponse) -> LeaveGroupResponse {
    let answer = LeaveGroupResponse::default();
    if version >= MEMBERS_FROM {
        return answer.with_error_code(left.error.code()).with_members(left.members.into_iter().map(member).collect());
    }
    let own = left.members.first().map_or(ErrorCode::None, |member| member.error);
    answer.with_error_code(if left.error.is_none() { own } else { left.error }.code())
}

fn member(member: LeftMember) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(text(member.member_id))
        .with_group_instance_id(member.group_instance_id.map(text))
        .with_error_code(member.error.code())
}
