//! DescribeCluster: the brokers and the controller (KIP-700).

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::authorized_operations;
use crate::base::ErrorCode;
use crate::cluster::image::MetadataImage;

/// Endpoint type of KIP-919: 1 is brokers, 2 controllers. We serve only as a broker.
const ENDPOINT_BROKERS: i8 = 1;

pub fn handle(image: &MetadataImage, version: i16, request: DescribeClusterRequest) -> DescribeClusterResponse {
    if version >= 1 && request.endpoint_type != ENDPOINT_BROKERS {
        return DescribeClusterResponse::default().with_error_code(ErrorCode::InvalidRequest.code()).with_error_message(Some(
            StrBytes::from_static_str("this is a broker; ask with bootstrap.servers, not bootstrap.controllers"),
        ));
    }
    let brokers = image.brokers.iter().map(|broker| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(broker.id.0))
            .with_host(StrBytes::from_string(broker.host.to_string()))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.as_ref().map(|rack| StrBytes::from_string(rack.to_string())))
    });
    let mut response = DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(image.cluster_id.to_string()))
        .with_controller_id(BrokerId(image.controller_id.0))
        .with_brokers(brokers.collect());

    if request.include_cluster_authorized_operations {
        response = response.with_cluster_authorized_operations(authorized_operations::CLUSTER);
    }
    if version >= 1 {
        response = response.with_endpoint_type(ENDPOINT_BROKERS);
    }
    response
}
