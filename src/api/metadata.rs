//! Metadata: brokers, topics, who leads each partition; auto-creation of topics that are asked for by name.
//!
//! Any core answers. Null topics mean all; an empty list means all only in version 0. Topic ids are asked for from
//! version 10 on (KIP-516).

use std::rc::Rc;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::api::authorized_operations;
use crate::api::distinct::distinct;
use crate::api::find_coordinator::offsets_topic;
use crate::api::text::topic_name;
use crate::base::{BrokerId, ErrorCode, TopicId, TopicName};
use crate::cluster::controller::{Command, TopicSpec};
use crate::cluster::image::{MetadataImage, NO_LEADER, OFFSETS_TOPIC, TopicImage};
use crate::io::entropy;
use crate::shard::Shard;

pub async fn handle(shard: Rc<Shard>, version: i16, request: MetadataRequest) -> MetadataResponse {
    let (tells_topic_operations, tells_cluster_operations) =
        (request.include_topic_authorized_operations, request.include_cluster_authorized_operations);
    let asks_for_all = request.topics.is_none() || (version == 0 && request.topics.as_ref().is_some_and(Vec::is_empty));
    let wanted = distinct(request.topics.unwrap_or_default(), |topic| (topic.name.clone(), topic.topic_id));
    // Before version 4 the request could not say; creating was the rule.
    let may_create = (version < 4 || request.allow_auto_topic_creation) && shard.broker_config().auto_create_topics;
    if may_create {
        create_missing(&shard, &wanted).await;
    }

    let image = shard.image();
    let mut topics: Vec<_> = match asks_for_all {
        true => image.topics().map(|topic| describe(topic)).collect(),
        false => wanted.iter().map(|topic| answer_for(&image, version, topic)).collect(),
    };
    if tells_topic_operations {
        topics.iter_mut().for_each(|topic| topic.topic_authorized_operations = authorized_operations::TOPIC);
    }
    let response = MetadataResponse::default()
        .with_brokers(image.brokers.iter().map(broker).collect())
        .with_cluster_id(Some(StrBytes::from_string(image.cluster_id.to_string())))
        .with_controller_id(broker_id(image.controller_id))
        .with_topics(topics);
    if tells_cluster_operations { response.with_cluster_authorized_operations(authorized_operations::CLUSTER) } else { response }
}

/// Creates the topics that are asked for by a legal name and do not exist; what cannot be created stays unknown.
async fn create_missing(shard: &Rc<Shard>, wanted: &[MetadataRequestTopic]) {
    let image = shard.image();
    let missing: Vec<TopicSpec> = wanted
        .iter()
        .filter_map(|topic| topic.name.as_ref())
        .filter(|name| image.topic(name.0.as_str()).is_none() && TopicName::new(name.0.as_str()).is_ok())
        .map(|name| match name.0.as_str() {
            OFFSETS_TOPIC => offsets_topic(&shard.broker_config()),
            name => TopicSpec {
                name: name.to_owned(),
                id: TopicId(entropy::uuid()),
                partition_count: -1,
                replication_factor: -1,
                ..TopicSpec::default()
            },
        })
        .collect();
    if !missing.is_empty() {
        // Two clients may ask at once: the control thread creates it for one and tells the other that it exists.
        let _ = shard.change_metadata(Command::CreateTopics { topics: missing, validate_only: false }).await;
    }
}

fn answer_for(image: &MetadataImage, version: i16, wanted: &MetadataRequestTopic) -> MetadataResponseTopic {
    let id = TopicId(*wanted.topic_id.as_bytes());
    let found = match &wanted.name {
        Some(name) => image.topic(name.0.as_str()),
        None => image.topic_by_id(id),
    };
    match found {
        Some(topic) => describe(topic),
        None => MetadataResponseTopic::default()
            .with_error_code(why_unknown(wanted).code())
            // Requests may leave the name out from version 10 on, answers from 12 on.
            .with_name(wanted.name.clone().or_else(|| (version < 12).then(|| topic_name(""))))
            .with_topic_id(wanted.topic_id),
    }
}

fn why_unknown(wanted: &MetadataRequestTopic) -> ErrorCode {
    match &wanted.name {
        None => ErrorCode::UnknownTopicId,
        Some(name) if TopicName::new(name.0.as_str()).is_err() => ErrorCode::InvalidTopicException,
        Some(_) => ErrorCode::UnknownTopicOrPartition,
    }
}

fn describe(topic: &TopicImage) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| {
        let error = if partition.leader == NO_LEADER { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
        MetadataResponsePartition::default()
            .with_error_code(error.code())
            .with_partition_index(partition.index.0)
            .with_leader_id(broker_id(partition.leader))
            .with_leader_epoch(partition.leader_epoch.0)
            .with_replica_nodes(partition.replicas.iter().copied().map(broker_id).collect())
            .with_isr_nodes(partition.isr.iter().copied().map(broker_id).collect())
    });
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(topic.name.as_str())))
        .with_topic_id(Uuid::from_bytes(topic.id.0))
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect())
}

fn broker(broker: &crate::cluster::image::BrokerRegistration) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(broker_id(broker.id))
        .with_host(StrBytes::from_string(broker.host.to_string()))
        .with_port(i32::from(broker.port))
        .with_rack(broker.rack.as_ref().map(|rack| StrBytes::from_string(rack.to_string())))
}

fn broker_id(id: BrokerId) -> kafka_protocol::messages::BrokerId {
    kafka_protocol::messages::BrokerId(id.0)
}
