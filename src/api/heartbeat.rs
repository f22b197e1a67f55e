//! Heartbeat: a member is alive, and learns whether its group is rebalancing.

use std::rc::Rc;

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::api::groups::{ask, group_id, group_instance_id, member_id};
use crate::base::ErrorCode;
use crate::coordinator::GroupId;
use crate::coordinator::effect::Response;
use crate::coordinator::event::{self, Event};
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, request: HeartbeatRequest) -> HeartbeatResponse {
    let error = match heartbeat_request(&request) {
        Ok((group_id, request)) => {
            let take = |response| if let Response::Heartbeat(error) = response { Some(error) } else { None };
            match ask(&shard, group_id, move |token| Event::Heartbeat { token, request }, take).await {
                // Nobody knows yet whether it is a member. Kafka says yes to that: a session begins anew with the load, and the next
                // heartbeat tells. Clients take COORDINATOR_LOAD_IN_PROGRESS from a heartbeat badly.
                Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
                Ok(error) | Err(error) => error,
            }
        }
        Err(error) => error,
    };
    HeartbeatResponse::default().with_error_code(error.code())
}

fn heartbeat_request(request: &HeartbeatRequest) -> Result<(GroupId, event::HeartbeatRequest), ErrorCode> {
    let heartbeat = event::HeartbeatRequest {
        member_id: member_id(&request.member_id)?,
        group_instance_id: group_instance_id(request.group_instance_id.as_ref())?,
        generation_id: request.generation_id,
    };
    Ok((group_id(&request.group_id)?, heartbeat))
}
