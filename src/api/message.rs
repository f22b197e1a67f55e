//! From a request's bytes to a Kafka message and back, for every request but Produce and Fetch.
//!
//! Runs on the core of the connection. A body is decoded only after [`guard`](crate::wire::guard) has bounded each of its
//! counts against the bytes that are there, so that twelve bytes cannot ask for gigabytes.

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::{ApiKey, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::net::response::Response;
use crate::wire::guard;

/// The header fields that an answer repeats or depends on.
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo {
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
}

/// Reads a request body.
///
/// # Errors
/// What is wrong with the bytes, for the log; the connection is closed, as Kafka does.
pub fn decode<Message: Decodable>(info: RequestInfo, body: &[u8]) -> Result<Message, String> {
    guard::check(info.key, info.version, body).map_err(|error| error.to_string())?;
    // Bytes behind the message are tolerated: librdkafka sends three on some Metadata requests.
    Message::decode(&mut Bytes::copy_from_slice(body), info.version).map_err(|error| format!("{error:#}"))
}

/// Frames an answer: length, response header, body.
///
/// # Panics
/// If the answer sets a field that the request's version does not have: every request is tested in every version.
pub fn encode<Message: Encodable>(info: RequestInfo, message: &Message) -> Response {
    let api = ApiKey::try_from(info.key).expect("only served requests are answered");
    encode_with_header(info, api.response_header_version(info.version), message)
}

/// As [`encode`], for the one answer whose header version does not follow from its request's.
pub fn encode_with_header<Message: Encodable>(info: RequestInfo, header_version: i16, message: &Message) -> Response {
    let mut buffer = Vec::with_capacity(512);
    buffer.put_i32(0);
    let header = ResponseHeader::default().with_correlation_id(info.correlation_id);
    header.encode(&mut buffer, header_version).expect("a response header has no field that could not be encoded");
    message.encode(&mut buffer, info.version).expect("answers set only fields that their version has");
    let length = i32::try_from(buffer.len() - 4).expect("answers are bounded far below 2 GiB");
    buffer[..4].copy_from_slice(&length.to_be_bytes());
    Response::new(buffer)
}
