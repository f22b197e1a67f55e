//! ListGroups: the groups of the broker that is asked. Clients ask every broker and put the answers together.

use std::rc::Rc;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::text::text;
use crate::coordinator::views;
use crate::shard::Shard;

/// States are told from this version on (KIP-518), types from the next one on.
const STATES_FROM: i16 = 4;
const TYPES_FROM: i16 = 5;

pub async fn handle(shard: Rc<Shard>, version: i16, request: ListGroupsRequest) -> ListGroupsResponse {
    match shard.list_groups().await {
        Ok(groups) => {
            let wanted = groups.into_iter().filter(|group| is_wanted(&request, group));
            ListGroupsResponse::default().with_groups(wanted.map(|group| describe(version, group)).collect())
        }
        Err(error) => ListGroupsResponse::default().with_error_code(error.code()),
    }
}

/// Empty filters let everything through; case does not matter.
fn is_wanted(request: &ListGroupsRequest, group: &views::ListedGroup) -> bool {
    let passes =
        |filter: &[StrBytes], value: &str| filter.is_empty() || filter.iter().any(|name| name.as_str().eq_ignore_ascii_case(value));
    passes(&request.states_filter, group.state) && passes(&request.types_filter, group.group_type.name())
}

fn describe(version: i16, group: views::ListedGroup) -> ListedGroup {
    let mut listed = ListedGroup::default().with_group_id(GroupId(text(group.group_id))).with_protocol_type(text(group.protocol_type));
    if version >= STATES_FROM {
        listed = listed.with_group_state(StrBytes::from_static_str(group.state));
    }
    if version >= TYPES_FROM {
        listed = listed.with_group_type(StrBytes::from_static_str(group.group_type.name()));
    }
    listed
}
