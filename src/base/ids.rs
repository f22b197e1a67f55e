//! Names for numbers, so that an offset is never taken for a file position.
//!
//! Invariant: every type here is a plain value, ordered and hashed as the number it wraps.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number!(
    /// The position of a record in its partition, counted in records from 0. Kafka's `int64` offset.
    Offset(i64)
);
number!(
    /// The position of a byte in one segment file. Segments are below 2 GiB, as in Kafka.
    FilePosition(u32)
);
number!(
    /// How often the leadership of a partition changed hands (KIP-101); −1 means "not known".
    LeaderEpoch(i32)
);
number!(
    /// How often the metadata of a partition (leader, replicas, ISR) changed (KIP-497).
    PartitionEpoch(i32)
);
number!(
    /// A broker as clients see it: `node_id * 1000 + core`.
    BrokerId(i32)
);
number!(
    /// The index of an executor in this process, from 0.
    CoreId(u16)
);
number!(
    /// The number of a partition in its topic, from 0.
    PartitionIndex(i32)
);
number!(
    /// An id handed out by InitProducerId (KIP-98); −1 means "none".
    ProducerId(i64)
);
number!(
    /// Milliseconds since 1970-01-01 UTC; −1 means "none".
    Timestamp(i64)
);

impl Offset {
    pub const ZERO: Offset = Offset(0);

    /// The offset `records` further on.
    pub fn plus(self, records: i64) -> Offset {
        Offset(self.0 + records)
    }
}

impl LeaderEpoch {
    pub const UNKNOWN: LeaderEpoch = LeaderEpoch(-1);
}

impl Timestamp {
    pub const NONE: Timestamp = Timestamp(-1);
}

impl CoreId {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The 16 bytes of a topic's UUID (KIP-516). All zero means "none".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    pub const ZERO: TopicId = TopicId([0; 16]);

    /// Reads the 22 characters of unpadded base64url that Kafka writes; `None` if it is anything else.
    pub fn parse(text: &str) -> Option<TopicId> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(TopicId(bytes.try_into().ok()?))
    }

    pub fn is_zero(self) -> bool {
        self == TopicId::ZERO
    }
}

impl fmt::Display for TopicId {
    /// Kafka's spelling: 22 characters of unpadded base64url.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TopicId({self})")
    }
}

/// A topic's name, cheap to clone. `TopicName::new` holds Kafka's rule for what is legal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// 1 to 249 characters of `[a-zA-Z0-9._-]`, and neither `.` nor `..` (Kafka's `Topic.validate`).
    ///
    /// # Errors
    /// The sentence a user should read.
    pub fn new(name: &str) -> Result<TopicName, String> {
        if name.is_empty() {
            return Err("a topic name cannot be empty".into());
        }
        if name == "." || name == ".." {
            return Err(format!("a topic cannot be called {name:?}"));
        }
        if name.len() > super::limits::TOPIC_NAME_BYTES_MAX {
            return Err(format!(
                "a topic name has at most {} characters, this one has {}",
                super::limits::TOPIC_NAME_BYTES_MAX,
                name.len()
            ));
        }
        match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            Some(c) => Err(format!("a topic name holds only ASCII letters, digits, '.', '_' and '-', not {c:?}")),
            None => Ok(TopicName(name.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_reads_back_what_it_prints() {
        let id = TopicId([0xfb; 16]);
        assert_eq!(id.to_string().len(), 22);
        assert_eq!(TopicId::parse(&id.to_string()), Some(id));
        assert_eq!(TopicId::parse("too-short"), None);
    }

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for legal in ["a", "A.b_c-9", &"x".repeat(249)] {
            assert!(TopicName::new(legal).is_ok(), "{legal}");
        }
        for illegal in ["", ".", "..", "a/b", "ä", "a b", &"x".repeat(250)] {
            assert!(TopicName::new(illegal).is_err(), "{illegal}");
        }
    }
}
