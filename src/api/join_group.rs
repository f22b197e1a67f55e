//! JoinGroup: a member comes to the barrier of its group and waits there for the others.

use std::rc::Rc;

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::groups::{Caller, ask, group_id, group_instance_id, member_id, short_text};
use crate::api::text::text;
use crate::base::ErrorCode;
use crate::coordinator::effect::{JoinResponse, JoinedMember, Response};
use crate::coordinator::event::{Event, JoinRequest, Protocol};
use crate::coordinator::{GroupId, MemberId, ShortText};
use crate::io::entropy;
use crate::shard::Shard;

/// KIP-394: from this version on a new member gets an id first and comes back with it.
const KNOWN_MEMBER_ID_FROM: i16 = 4;
/// Before this version the name of the protocol cannot be null.
const NULLABLE_PROTOCOL_FROM: i16 = 7;
/// KIP-814.
const SKIP_ASSIGNMENT_FROM: i16 = 9;

pub async fn handle(shard: Rc<Shard>, version: i16, caller: Caller, request: JoinGroupRequest) -> JoinGroupResponse {
    let asked_as = request.member_id.clone();
    let joined = match join_request(version, &caller, &request) {
        Ok((group_id, request)) => {
            let take = |response| if let Response::Join(joined) = response { Some(joined) } else { None };
            ask(&shard, group_id, move |token| Event::Join { token, request }, take).await
        }
        Err(error) => Err(error),
    };
    let refused = |error| JoinResponse::error(error, MemberId::new(asked_as.as_str()).unwrap_or_default());
    encode(version, joined.unwrap_or_else(refused))
}

fn join_request(version: i16, caller: &Caller, request: &JoinGroupRequest) -> Result<(GroupId, JoinRequest), ErrorCode> {
    let protocols = request.protocols.iter().map(|protocol| {
        let name = short_text(protocol.name.as_str())?;
        Ok(Protocol { name, metadata: protocol.metadata.clone() })
    });
    let join = JoinRequest {
        member_id: member_id(&request.member_id)?,
        group_instance_id: group_instance_id(request.group_instance_id.as_ref())?,
        client_id: short_text(&caller.client_id)?,
        client_host: short_text(&caller.host)?,
        session_timeout_ms: request.session_timeout_ms,
        // Version 0 has only one timeout, which serves for both.
        rebalance_timeout_ms: if version >= 1 { request.rebalance_timeout_ms } else { request.session_timeout_ms },
        protocol_type: short_text(request.protocol_type.as_str())?,
        protocols: protocols.collect::<Result<_, ErrorCode>>()?,
        requires_known_member_id: version >= KNOWN_MEMBER_ID_FROM,
        supports_skipping_assignment: version >= SKIP_ASSIGNMENT_FROM,
        random_bytes: entropy::uuid(),
    };
    Ok((group_id(&request.group_id)?, join))
}

fn encode(version: i16, joined: JoinResponse) -> JoinGroupResponse {
    let nullable = |name: Option<ShortText>| match name {
        None if version < NULLABLE_PROTOCOL_FROM => Some(StrBytes::default()),
        name => name.map(text),
    };
    JoinGroupResponse::default()
        .with_error_code(joined.error.code())
        .with_generation_id(joined.generation_id)
        .with_protocol_type(nullable(joined.protocol_type))
        .with_protocol_name(nullable(joined.protocol_name))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skip_assignment && version >= SKIP_ASSIGNMENT_FROM)
        .with_member_id(text(joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect())
}

fn member(member: JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember::default()
        .with_member_id(text(member.member_id))
        .with_group_instance_id(member.group_instance_id.map(text))
        .with_metadata(member.metadata)
}
