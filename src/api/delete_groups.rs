//! DeleteGroups: groups without members go, with everything they committed (KIP-229).

use std::rc::Rc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use crate::api::groups::{ask, group_id};
use crate::base::ErrorCode;
use crate::coordinator::effect::Response;
use crate::coordinator::event::Event;
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let error = delete(&shard, &id).await.unwrap_or_else(|error| error);
        results.push(DeletableGroupResult::default().with_group_id(id).with_error_code(error.code()));
    }
    DeleteGroupsResponse::default().with_results(results)
}

async fn delete(shard: &Rc<Shard>, id: &GroupId) -> Result<ErrorCode, ErrorCode> {
    let take = |response| if let Response::DeleteGroup(error) = response { Some(error) } else { None };
    ask(shard, group_id(&id.0)?, |token| Event::DeleteGroup { token }, take).await
}
