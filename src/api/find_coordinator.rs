//! FindCoordinator: the broker that coordinates a group (KIP-699 for several at once).
//!
//! Any core answers. The first question makes `__consumer_offsets`. Transactions and share groups have no coordinator here.

use std::rc::Rc;

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::distinct::distinct;
use crate::api::groups::group_id;
use crate::api::text::text;
use crate::base::{ErrorCode, TopicId};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::controller::{Answer, Command, Refusal, TopicSpec};
use crate::cluster::image::{BrokerRegistration, OFFSETS_TOPIC};
use crate::coordinator::partition_of_group;
use crate::io::entropy;
use crate::shard::Shard;

/// Kafka's coordinator types (`FindCoordinatorRequest.CoordinatorType`).
const GROUP: i8 = 0;

/// From this version on the request has a list of keys.
const BATCHED_FROM: i16 = 4;

pub async fn handle(shard: Rc<Shard>, version: i16, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let answer = FindCoordinatorResponse::default();
    if version >= BATCHED_FROM {
        let mut coordinators = Vec::new();
        for key in distinct(request.coordinator_keys, StrBytes::clone) {
            let found = find(&shard, request.key_type, &key).await;
            coordinators.push(describe(key, found));
        }
        return answer.with_coordinators(coordinators);
    }
    match find(&shard, request.key_type, &request.key).await {
        Ok(broker) => answer.with_node_id(BrokerId(broker.id.0)).with_host(text(&broker.host)).with_port(i32::from(broker.port)),
        Err(refusal) => {
            let answer = answer.with_error_code(refusal.error_code.code()).with_node_id(BrokerId(-1)).with_port(-1);
            if version >= 1 { answer.with_error_message(Some(text(refusal.message))) } else { answer }
        }
    }
}

fn describe(key: StrBytes, found: Result<BrokerRegistration, Refusal>) -> Coordinator {
    let answer = Coordinator::default().with_key(key);
    match found {
        Ok(broker) => answer.with_node_id(BrokerId(broker.id.0)).with_host(text(&broker.host)).with_port(i32::from(broker.port)),
        Err(refusal) => {
            let answer = answer.with_error_code(refusal.error_code.code()).with_error_message(Some(text(refusal.message)));
            answer.with_node_id(BrokerId(-1)).with_port(-1)
        }
    }
}

async fn find(shard: &Rc<Shard>, key_type: i8, key: &StrBytes) -> Result<BrokerRegistration, Refusal> {
    if key_type != GROUP {
        let message = "only consumer groups have a coordinator here: transactions and share groups are not served";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let group_id = group_id(key).map_err(|error| Refusal::new(error, "a group id has at most 32767 bytes"))?;
    if shard.image().topic(OFFSETS_TOPIC).is_none() {
        create_offsets_topic(shard).await?;
    }
    let image = shard.image();
    let unavailable = |what: &str| Refusal::new(ErrorCode::CoordinatorNotAvailable, format!("{what}; try again"));
    let topic = image.topic(OFFSETS_TOPIC).ok_or_else(|| unavailable("__consumer_offsets is being deleted"))?;
    let index = partition_of_group(&group_id, topic.partitions.len() as i32);
    let leader = topic.partition(index).map(|partition| partition.leader);
    let broker = leader.and_then(|leader| image.broker(leader));
    broker.cloned().ok_or_else(|| unavailable("the group's partition of __consumer_offsets has no leader"))
}

async fn create_offsets_topic(shard: &Rc<Shard>) -> Result<(), Refusal> {
    let topics = vec![offsets_topic(&shard.broker_config())];
    let Answer::Topics(topics) = shard.change_metadata(Command::CreateTopics { topics, validate_only: false }).await? else {
        unreachable!("CreateTopics is answered with topics");
    };
    match topics.into_iter().find_map(|topic| topic.result.err()) {
        // Two clients may ask at once.
        None | Some(Refusal { error_code: ErrorCode::TopicAlreadyExists, .. }) => Ok(()),
        Some(refusal) => {
            tracing::error!("cannot create {OFFSETS_TOPIC}: {}", refusal.message);
            Err(Refusal { error_code: ErrorCode::CoordinatorNotAvailable, ..refusal })
        }
    }
}

/// `__consumer_offsets` as Kafka makes it.
pub(super) fn offsets_topic(broker: &BrokerConfig) -> TopicSpec {
    TopicSpec {
        name: OFFSETS_TOPIC.to_owned(),
        id: TopicId(entropy::uuid()),
        partition_count: broker.groups.offsets_topic_partitions,
        replication_factor: broker.groups.offsets_topic_replication_factor,
        assignment: Vec::new(),
        configs: broker.offsets_topic_configs(),
    }
}
