//! The names and tokens of group coordination.
//!
//! Invariant: every name here has at most [`TEXT_BYTES_MAX`] bytes, so it always fits the `int16` length of Kafka's
//! non-flexible strings and the record encoder cannot fail.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// The longest string that Kafka's `int16` length prefix can carry, in bytes.
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// A name from a peer or a disk that is too long to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected {what} of at most {TEXT_BYTES_MAX} bytes, came one of {bytes}; choose a shorter one")]
pub struct TooLong {
    pub what: &'static str,
    pub bytes: usize,
}

macro_rules! short_text {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// # Errors
            /// [`TooLong`] above [`TEXT_BYTES_MAX`] bytes.
            pub fn new(text: &str) -> Result<$name, TooLong> {
                if text.len() > TEXT_BYTES_MAX {
                    return Err(TooLong { what: $what, bytes: text.len() });
                }
                Ok($name(text.into()))
            }

            /// The empty name, which is Kafka's "none" in requests and answers.
            pub fn empty() -> $name {
                $name("".into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::empty()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{:?}", &*self.0)
            }
        }
    };
}

short_text!(
    /// The name of a consumer group. May be empty: only a simple consumer's commits are accepted then.
    GroupId,
    "a group id"
);
short_text!(
    /// The id that the coordinator gave to a member. Empty: the member has none yet.
    MemberId,
    "a member id"
);
short_text!(
    /// `group.instance.id`: the name a static member keeps over restarts (KIP-345).
    GroupInstanceId,
    "a group instance id"
);
short_text!(
    /// A client id, a host, the type or the name of a protocol.
    ShortText,
    "a name"
);

const UUID_BYTES: usize = 36;

impl MemberId {
    /// A new member id, `<prefix>-<uuid>`: the prefix is the client id, or the instance id of a static member.
    /// `random_bytes` become a version 4 UUID. A prefix that would make the id too long is cut at a character.
    pub fn generate(prefix: &str, random_bytes: [u8; 16]) -> MemberId {
        let uuid = uuid::Builder::from_random_bytes(random_bytes).into_uuid();
        let mut end = prefix.len().min(TEXT_BYTES_MAX - UUID_BYTES - 1);
        while !prefix.is_char_boundary(end) {
            end -= 1;
        }
        MemberId(format!("{}-{uuid}", &prefix[..end]).into())
    }
}

impl MemberId {
    /// A new id as Kafka writes UUIDs: 22 characters of base64url.
    pub fn uuid(random_bytes: [u8; 16]) -> MemberId {
        MemberId(URL_SAFE_NO_PAD.encode(random_bytes).into())
    }
}

/// Names one parked or running request; made by the shell, opaque here. Every token is answered exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// Names one write of a group; counted per group from 0, reported back in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistToken(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_member_id_is_prefix_dash_uuid() {
        let id = MemberId::generate("rdkafka", [0xab; 16]);
        assert_eq!(id.as_str(), "rdkafka-abababab-abab-4bab-abab-abababababab");
    }

    #[test]
    fn a_generated_member_id_always_fits() {
        let id = MemberId::generate(&"é".repeat(TEXT_BYTES_MAX / 2), [1; 16]);
        assert!(id.as_str().len() <= TEXT_BYTES_MAX);
        assert!(id.as_str().ends_with("-01010101-0101-4101-8101-010101010101"));
    }

    #[test]
    fn a_name_that_is_too_long_says_so() {
        assert!(GroupId::new(&"g".repeat(TEXT_BYTES_MAX)).is_ok());
        let error = GroupId::new(&"g".repeat(TEXT_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(error.to_string(), "expected a group id of at most 32767 bytes, came one of 32768; choose a shorter one");
    }
}
