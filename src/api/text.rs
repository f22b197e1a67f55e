//! Kafka's strings in answers, out of ours.
//!
//! Pure.

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

/// Kafka's string type, of ours.
pub(super) fn text(text: impl ToString) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

/// The same for a topic's name.
pub(super) fn topic_name(name: impl ToString) -> TopicName {
    TopicName(text(name))
}
