//! The topics named in a consumer's subscription.
//!
//! Pure. Invariant: bytes that are not a subscription give `None`, never a panic and never an allocation beyond their size.
//!
//! ```text
//! subscription = version i16, topics array(i32) of string(i16), user_data bytes(i32), … (later versions append)
//! ```
//! Source: Kafka's ConsumerProtocolSubscription; version 0 is a prefix of all later ones.

use std::collections::BTreeSet;

/// The protocol type of consumers; other types (Connect, Streams' own) keep bytes that only their clients understand.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Adds the topics of one member's subscription; `None` if the bytes are not a subscription.
pub fn collect_topics(metadata: &[u8], topics: &mut BTreeSet<String>) -> Option<()> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = i32::from_be_bytes(*count);
    if count < 0 {
        return None;
    }
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    Some(())
}

/// A subscription in version 0 without user data, for tests and tools.
pub fn encode(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
        let mut topics = BTreeSet::new();
        collect_topics(metadata, &mut topics)?;
        Some(topics)
    }

    #[test]
    fn reads_the_subscription_of_the_java_client() {
        // Version 3, from the Apache Kafka 4.3.0 fixture.
        let metadata = b"\0\x03\0\0\0\x02\0\x0eSix-Partitions\0\x0acodec.gzip\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff";
        assert_eq!(topics(metadata).unwrap().into_iter().collect::<Vec<_>>(), ["Six-Partitions", "codec.gzip"]);
    }

    #[test]
    fn reads_what_it_writes_and_refuses_every_cut() {
        let metadata = encode(&["a", "bb"]);
        assert_eq!(topics(&metadata).unwrap().len(), 2);
        for end in 0..metadata.len() - 4 {
            assert_eq!(topics(&metadata[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_hostile_count_is_refused_without_an_allocation() {
        assert_eq!(topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(topics(&[0, 0, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(topics(&[0xff, 0xff, 0, 0, 0, 0]), None);
    }
}
