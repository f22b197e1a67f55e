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
            let answer = ask(&shard, group_id, move |token| Event::Heartbeat { token, request }, take).await;
            answer.unwrap_or_else(without_coordinator)
        }
        Err(error) => error,
    };
    HeartbeatResponse::default().with_error_code(error.code())
}

/// While the group is loading nobody can say whether the member is one: it is not sent away, as in Kafka. Its session starts anew
/// once the group is loaded.
fn without_coordinator(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::CoordinatorLoadInProgress => ErrorCode::None,
        error => error,
    }
}

fn heartbeat_request(request: &HeartbeatRequest) -> Result<(GroupId, event::HeartbeatRequest), ErrorCode> {
    let heartbeat = event::HeartbeatRequest {
        member_id: member_id(&request.member_id)?,
        group_instance_id: group_instance_id(request.group_instance_id.as_ref())?,
        generation_id: request.generation_id,
    };
    Ok((group_id(&request.group_id)?, heartbeat))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loading_group_sends_no_member_away() {
        assert_eq!(without_coordinator(ErrorCode::CoordinatorLoadInProgress), ErrorCode::None);
        assert_eq!(without_coordinator(ErrorCode::NotCoordinator), ErrorCode::NotCoordinator);
    }
}
