//! Frames: the headers of requests and answers, and which versions of which request are flexible (KIP-482).
//!
//! A frame is an int32 length, then that many bytes: a header and a body.
//!
//! | request header | from |
//! |---|---|
//! | api key i16, api version i16, correlation id i32, client id nullable string | version 1 |
//! | tagged fields | version 2, of flexible requests. The client id stays an old-style string |
//!
//! | answer header | from |
//! |---|---|
//! | correlation id i32 | version 0 |
//! | tagged fields | version 1, of flexible requests. ApiVersions keeps version 0 (KIP-511) |

use super::cursor::{Cursor, DecodeError};
use crate::base::TopicId;

/// Bytes of the length in front of every frame.
pub const FRAME_LENGTH_BYTES: usize = 4;

/// Api keys that this folder treats by name.
pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;
pub const API_VERSIONS: i16 = 18;

/// The header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<&'a str>,
    /// This version of the request uses compact types and tagged fields.
    pub flexible: bool,
    /// Where in the frame the body begins.
    pub body_at: usize,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header of `frame`, the bytes after the length.
    pub fn parse(frame: &'a [u8]) -> Result<RequestHeader<'a>, DecodeError> {
        let mut cursor = Cursor::new(frame);
        let api_key = cursor.i16()?;
        let api_version = cursor.i16()?;
        let correlation_id = cursor.i32()?;
        let client_id = cursor.nullable_string(false)?;
        let flexible = is_flexible(api_key, api_version);
        cursor.skip_tagged_fields(flexible)?;
        Ok(RequestHeader { api_key, api_version, correlation_id, client_id, flexible, body_at: frame.len() - cursor.left() })
    }

    /// Api key, api version and correlation id, which no version moves: enough to answer an ApiVersions request of a version
    /// that is still unknown. `None` if there are fewer than 8 bytes.
    pub fn peek(frame: &[u8]) -> Option<(i16, i16, i32)> {
        let mut cursor = Cursor::new(frame);
        Some((cursor.i16().ok()?, cursor.i16().ok()?, cursor.i32().ok()?))
    }
}

/// What a request asks the broker about: topics are named up to some version, then called by id (KIP-516).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicReference<'a> {
    Name(&'a str),
    Id(TopicId),
}

/// Appends room for the length and the header of an answer; returns what [`finish_response`] wants.
pub fn start_response(buffer: &mut Vec<u8>, api_key: i16, api_version: i16, correlation_id: i32) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_LENGTH_BYTES]);
    buffer.extend_from_slice(&correlation_id.to_be_bytes());
    if response_header_is_flexible(api_key, api_version) {
        buffer.push(0);
    }
    start
}

/// Writes the length of the answer that began at `start`. `bytes_elsewhere`: record bytes that will be sent from files.
///
/// # Panics
/// If the answer has 2 GiB or more: whoever collected it ignored every limit.
pub fn finish_response(buffer: &mut [u8], start: usize, bytes_elsewhere: usize) {
    let length = buffer.len() - start - FRAME_LENGTH_BYTES + bytes_elsewhere;
    let length = i32::try_from(length).expect("an answer is below 2 GiB");
    buffer[start..start + FRAME_LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// Whether the answer's header has tagged fields.
pub fn response_header_is_flexible(api_key: i16, api_version: i16) -> bool {
    api_key != API_VERSIONS && is_flexible(api_key, api_version)
}

/// Whether this version of the request uses compact types and tagged fields; false for an unknown api key.
pub fn is_flexible(api_key: i16, api_version: i16) -> bool {
    usize::try_from(api_key).ok().and_then(|key| FLEXIBLE_FROM.get(key)).is_some_and(|&from| api_version >= from)
}

/// No version is flexible, or nobody sends this request to a broker.
const NEVER: i16 = i16::MAX;

/// The first flexible version of each request, by api key. Source: `flexibleVersions` in Kafka's message definitions.
#[rustfmt::skip]
const FLEXIBLE_FROM: [i16; 93] = [
    /*  0 Produce */ 9, 12, 6, 9, NEVER, NEVER, NEVER, NEVER, /* 8 OffsetCommit */ 8, 6,
    /* 10 FindCoordinator */ 3, 6, 4, 4, 4, 5, 3, /* 17 SaslHandshake */ NEVER, 3, 5,
    /* 20 DeleteTopics */ 4, 2, 2, 4, 3, 3, 3, 1, 3, 2,
    /* 30 CreateAcls */ 2, 2, 4, 2, 2, 2, 2, 2, 2, 2,
    /* 40 ExpireDelegationToken */ 2, 2, 2, 2, 1, 0, 0, /* 47 OffsetDelete */ NEVER, 1, 1,
    /* 50 DescribeUserScramCredentials */ 0, 0, 0, 1, 1, 0, 0, 0, 0, 0,
    /* 60 DescribeCluster */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 70 ControllerRegistration */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* 80 AddRaftVoter */ 0, 0, 0, 0, 0, 0, 0, 0, NEVER, NEVER,
    /* 90 DescribeShareGroupOffsets */ 0, 0, 0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::messages::{ApiKey, RequestHeader as TheirHeader};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    #[test]
    fn the_table_of_flexible_versions_agrees_with_the_message_definitions() {
        for key in -1..200 {
            for version in 0..20 {
                match ApiKey::try_from(key) {
                    // Of versions that Kafka 4 has dropped it only knows the last one's header.
                    Ok(api) if version < api.valid_versions().min => {}
                    Ok(api) => {
                        assert_eq!(is_flexible(key, version), api.request_header_version(version) == 2, "{api:?} {version}");
                        let flexible = response_header_is_flexible(key, version);
                        assert_eq!(flexible, api.response_header_version(version) == 1, "{api:?} {version}");
                    }
                    Err(_) => assert!(!is_flexible(key, version), "{key}"),
                }
            }
        }
    }

    #[test]
    fn headers_read_back() {
        for (key, version, header_version) in [(0, 3, 1), (0, 9, 2), (18, 3, 2), (17, 1, 1), (3, 13, 2)] {
            for client_id in [None, Some(""), Some("rdkafka")] {
                let header = TheirHeader::default()
                    .with_request_api_key(key)
                    .with_request_api_version(version)
                    .with_correlation_id(-7)
                    .with_client_id(client_id.map(StrBytes::from_static_str));
                let mut bytes = BytesMut::new();
                header.encode(&mut bytes, header_version).unwrap();
                let parsed = RequestHeader::parse(&bytes).unwrap();
                assert_eq!((parsed.api_key, parsed.api_version, parsed.correlation_id), (key, version, -7));
                assert_eq!((parsed.client_id, parsed.flexible, parsed.body_at), (client_id, header_version == 2, bytes.len()));
                for cut in 0..bytes.len() {
                    assert!(RequestHeader::parse(&bytes[..cut]).is_err());
                }
            }
        }
        assert_eq!(RequestHeader::peek(&[0, 18, 0, 99, 0, 0, 0, 5]), Some((18, 99, 5)));
        assert_eq!(RequestHeader::peek(&[0; 7]), None);
    }
}
