//! SyncGroup: the leader hands in the assignment, everybody gets a share of it.

use std::rc::Rc;

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::groups::{ask, group_id, group_instance_id, member_id, short_text};
use crate::api::text::text;
use crate::base::ErrorCode;
use crate::coordinator::effect::{Response, SyncResponse};
use crate::coordinator::event::{Event, SyncRequest};
use crate::coordinator::{GroupId, ShortText};
use crate::shard::Shard;

/// KIP-559: from this version on the protocol is named, and must not be null.
const PROTOCOL_FROM: i16 = 5;

pub async fn handle(shard: Rc<Shard>, version: i16, request: SyncGroupRequest) -> SyncGroupResponse {
    let synced = match sync_request(version, &request) {
        Ok((group_id, request)) => {
            let take = |response| if let Response::Sync(synced) = response { Some(synced) } else { None };
            ask(&shard, group_id, move |token| Event::Sync { token, request }, take).await
        }
        Err(error) => Err(error),
    };
    let synced = synced.unwrap_or_else(SyncResponse::error);
    let answer = SyncGroupResponse::default().with_error_code(synced.error.code()).with_assignment(synced.assignment);
    match version {
        PROTOCOL_FROM.. => answer.with_protocol_type(synced.protocol_type.map(text)).with_protocol_name(synced.protocol_name.map(text)),
        _ => answer,
    }
}

fn sync_request(version: i16, request: &SyncGroupRequest) -> Result<(GroupId, SyncRequest), ErrorCode> {
    let protocol = |name: &Option<StrBytes>| name.as_ref().map(|name| short_text(name.as_str())).transpose();
    let (protocol_type, protocol_name): (Option<ShortText>, Option<ShortText>) =
        (protocol(&request.protocol_type)?, protocol(&request.protocol_name)?);
    if version >= PROTOCOL_FROM && (protocol_type.is_none() || protocol_name.is_none()) {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let assignments = request.assignments.iter().map(|share| Ok((member_id(&share.member_id)?, share.assignment.clone())));
    let sync = SyncRequest {
        member_id: member_id(&request.member_id)?,
        group_instance_id: group_instance_id(request.group_instance_id.as_ref())?,
        generation_id: request.generation_id,
        protocol_type,
        protocol_name,
        assignments: assignments.collect::<Result<_, ErrorCode>>()?,
    };
    Ok((group_id(&request.group_id)?, sync))
}
