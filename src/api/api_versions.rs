//! ApiVersions: what this broker can be asked (KIP-35, KIP-511, KIP-584).
//!
//! The same on every core. A version above ours is answered in version 0 with UNSUPPORTED_VERSION and our range for this one
//! request, so that the client can ask again.

use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::protocol::StrBytes;

use crate::api::message::{RequestInfo, encode_with_header};
use crate::api::versions::{API_VERSIONS, APIS, ApiRow};
use crate::base::ErrorCode;
use crate::net::response::Response;

/// The answer's header is always version 0, or no client could read it before it knows the version (KIP-511).
const RESPONSE_HEADER_VERSION: i16 = 0;

/// The feature whose level 1 is the consumer group protocol (KIP-848).
const GROUP_VERSION: &str = "group.version";
const GROUP_VERSION_LEVEL: i16 = 1;
/// KIP-584.
const FEATURES_FROM: i16 = 3;
/// Older clients take a lowest level of 0 for an error (KAFKA-17011).
const ZERO_FEATURE_MIN_FROM: i16 = 4;

/// Answers a version that is served.
pub fn answer(info: RequestInfo) -> Response {
    let mut response = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(advertise).collect());
    if info.version >= FEATURES_FROM {
        let name = StrBytes::from_static_str(GROUP_VERSION);
        let supported = SupportedFeatureKey::default().with_name(name.clone()).with_max_version(GROUP_VERSION_LEVEL);
        let finalized = FinalizedFeatureKey::default().with_name(name).with_max_version_level(GROUP_VERSION_LEVEL);
        response = response
            .with_supported_features(vec![supported.with_min_version(if info.version >= ZERO_FEATURE_MIN_FROM { 0 } else { 1 })])
            .with_finalized_features_epoch(0)
            .with_finalized_features(vec![finalized.with_min_version_level(GROUP_VERSION_LEVEL)]);
    }
    encode_with_header(info, RESPONSE_HEADER_VERSION, &response)
}

/// Answers a version that is not.
pub fn answer_unsupported(info: RequestInfo) -> Response {
    let own = APIS.iter().filter(|row| row.key == API_VERSIONS).map(advertise).collect();
    let response = ApiVersionsResponse::default().with_error_code(ErrorCode::UnsupportedVersion.code()).with_api_keys(own);
    encode_with_header(RequestInfo { version: 0, ..info }, RESPONSE_HEADER_VERSION, &response)
}

fn advertise(row: &ApiRow) -> ApiVersion {
    ApiVersion::default().with_api_key(row.key).with_min_version(row.advertised_min).with_max_version(row.max)
}
