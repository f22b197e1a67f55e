//! ApiVersions: what this broker can be asked (KIP-35, KIP-511, KIP-584).
//!
//! The same on every core. A version above ours is answered in version 0 with UNSUPPORTED_VERSION and our range for this one
//! request, so that the client can ask again.

use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::ApiVersion;

use crate::api::message::{RequestInfo, encode_with_header};
use crate::api::versions::{API_VERSIONS, APIS, ApiRow};
use crate::base::ErrorCode;
use crate::net::response::Response;

/// The answer's header is always version 0, or no client could read it before it knows the version (KIP-511).
const RESPONSE_HEADER_VERSION: i16 = 0;

/// Answers a version that is served.
pub fn answer(info: RequestInfo) -> Response {
    let response = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(advertise).collect());
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
