//! What a heartbeat must look like before the group is asked.
//!
//! Pure functions. Source: KIP-848, "ConsumerGroupHeartbeat API", and the messages of Apache Kafka's own broker, which clients print.

use super::assignor::Assignor;
use super::memory::STATIC_LEAVE_EPOCH;
use super::regex;
use crate::base::ErrorCode;
use crate::coordinator::config::ConsumerGroupConfig;
use crate::coordinator::effect::Refusal;
use crate::coordinator::event::ConsumerHeartbeatRequest;

/// A member leaves.
pub const LEAVE_EPOCH: i32 = -1;

/// # Errors
/// The first thing that is wrong.
pub fn check(request: &ConsumerHeartbeatRequest, config: &ConsumerGroupConfig) -> Result<(), Refusal> {
    let is_blank = |text: &str| text.trim().is_empty();
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    if request.group_instance_id.as_ref().is_some_and(|instance| is_blank(instance.as_str())) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_ref().is_some_and(|rack| is_blank(rack.as_str())) {
        return invalid("RackId can't be empty.");
    }
    let is_first = request.member_epoch == 0;
    if is_blank(request.member_id.as_str()) && (request.brings_member_id || !is_first) {
        return invalid("MemberId can't be empty.");
    }
    match request.member_epoch {
        0 => {
            if request.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if request.topics.is_none() && request.regex.is_none() {
                return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
            }
        }
        STATIC_LEAVE_EPOCH if request.group_instance_id.is_none() => return invalid("InstanceId can't be null."),
        LEAVE_EPOCH | STATIC_LEAVE_EPOCH | 1.. => {}
        _ => return invalid("MemberEpoch is invalid."),
    }
    if let Some(assignor) = &request.assignor
        && Assignor::parse(assignor.as_str()).is_none_or(|assignor| !config.supports(assignor))
    {
        let supported: Vec<&str> = config.assignors().map(Assignor::name).collect();
        let message = format!("ServerAssignor {assignor} is not supported. Supported assignors: {}.", supported.join(", "));
        return Err(Refusal::new(ErrorCode::UnsupportedAssignor, message));
    }
    match request.regex.as_ref().filter(|regex| !regex.is_empty()) {
        Some(pattern) => regex::compile(pattern.as_str()).map(drop),
        None => Ok(()),
    }
}
