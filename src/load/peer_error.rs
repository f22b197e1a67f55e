//! What can go wrong with a broker, as sentences that say what was expected, what came and what to do.
//!
//! Pure. The one place that decides which Kafka error codes are worth another try.

use kafka_protocol::ResponseError;

use super::primitives::Malformed;

/// A broker that cannot be reached, breaks off, or answers what it should not.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("cannot connect to {address}: {source}. Is the broker running, and is this its address as seen from here?")]
    Connect { address: String, source: std::io::Error },
    #[error("no answer from {address} within {after_ms} ms while waiting for {what}")]
    Silent { address: String, what: &'static str, after_ms: u64 },
    #[error("{address} closed the connection while {what} was awaited. Does it speak Kafka's protocol, without TLS, on this port?")]
    Closed { address: String, what: &'static str },
    #[error("the connection to {address} broke: {source}")]
    Broken { address: String, source: std::io::Error },
    #[error("{address} announced an answer of {bytes} bytes, at most {max} are taken. Does it speak Kafka's protocol on this port?")]
    FrameSize { address: String, bytes: i64, max: usize },
    #[error("{address} answered request {came} where {expected} was next: answers must come in request order")]
    Order { address: String, expected: i32, came: i32 },
    #[error("{address} sent an answer to {what} that cannot be read: {why}")]
    Garbled { address: String, what: &'static str, why: String },
    #[error("{address} offers {what} {offered}, pagewire-load speaks {spoken}. Use a broker that serves a common version")]
    Version { address: String, what: &'static str, offered: String, spoken: String },
    #[error("{address} refused {what}: {}{message}", name(*.code))]
    Refused { address: String, what: String, code: i16, message: String },
}

impl PeerError {
    pub fn garbled(address: &str, what: &'static str, error: Malformed) -> PeerError {
        PeerError::Garbled { address: address.into(), what, why: error.to_string() }
    }
}

impl PeerError {
    /// Whether the broker said what it must not say, rather than nothing or no.
    pub fn is_wrong_answer(&self) -> bool {
        matches!(self, PeerError::FrameSize { .. } | PeerError::Order { .. } | PeerError::Garbled { .. })
    }
}

/// Kafka's name of an error code and the code, such as `NotLeaderOrFollower (6)`.
pub fn name(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        Some(ResponseError::Unknown(_)) | None => format!("error code {code}"),
        Some(error) => format!("{error:?} ({code})"),
    }
}

/// Whether the same request may succeed later or at another broker.
///
/// Kafka's own clients also retry CORRUPT_MESSAGE; here it is a finding, not a nuisance.
pub fn is_retriable(code: i16) -> bool {
    // UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, BROKER_NOT_AVAILABLE,
    // REPLICA_NOT_AVAILABLE, NETWORK_EXCEPTION, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE,
    // NOT_ENOUGH_REPLICAS (and after append), NOT_CONTROLLER, KAFKA_STORAGE_ERROR, FENCED_LEADER_EPOCH,
    // UNKNOWN_LEADER_EPOCH, OFFSET_NOT_AVAILABLE, THROTTLING_QUOTA_EXCEEDED, UNKNOWN_TOPIC_ID.
    matches!(code, 3 | 5 | 6 | 7 | 8 | 9 | 13 | 14 | 15 | 19 | 20 | 41 | 56 | 74 | 75 | 78 | 89 | 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_kafkas_names() {
        assert_eq!(name(6), "NotLeaderOrFollower (6)");
        assert_eq!(name(10), "MessageTooLarge (10)");
        assert_eq!(name(31999), "error code 31999");
    }

    #[test]
    fn a_moved_leader_is_retried_and_a_large_message_is_not() {
        assert!(is_retriable(6) && is_retriable(56));
        assert!(!is_retriable(10) && !is_retriable(87) && !is_retriable(0));
    }
}
