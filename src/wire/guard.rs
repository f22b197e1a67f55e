//! Walks the body of a request before `kafka-protocol` decodes it.
//!
//! Why: that crate allocates as many elements as an array's count says, before it looks at the bytes: twelve bytes can ask for
//! 400 GB, which aborts the process. And it keeps 50 to 450 bytes for elements that take 2 on the wire.
//!
//! Invariants: a body that passes holds every element that its counts announce, in the structure of [`super::shapes`]; decoding it
//! takes at most `MEMORY_BYTES_FREE + MEMORY_PER_BODY_BYTE * body` of memory. Nothing is allocated here. Bytes after the body are
//! tolerated: librdkafka sends three on some Metadata 13 requests.

use super::cursor::{Cursor, DecodeError};
use super::frame::is_flexible;
use super::shapes::{Kind, SHAPES, Shape, Structure};

/// The largest body of a request that is decoded by `kafka-protocol`; what carries records is read by hand. Room for 200 000
/// topics with names of 40 characters.
pub const GUARDED_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Memory that any request may take when decoded.
pub const MEMORY_BYTES_FREE: usize = 64 * 1024;
/// Memory that each byte of the body allows on top. A topic of Metadata takes 72 bytes of it, from 10 on the wire.
pub const MEMORY_PER_BODY_BYTE: usize = 16;
/// What the first unknown tagged field of a structure costs in memory (a node of a B-tree map), and each further one.
const FIRST_TAGGED_FIELD_BYTES: usize = 512;
const TAGGED_FIELD_BYTES: usize = 128;

/// Checks the body of a request.
///
/// # Errors
/// A request or version without a shape, a body that does not hold what it announces, one that would take too much memory.
pub fn check(api_key: i16, api_version: i16, body: &[u8]) -> Result<(), DecodeError> {
    let shape = shape(api_key, api_version).ok_or(DecodeError::Version { api_key, api_version })?;
    if body.len() > GUARDED_BODY_BYTES_MAX {
        return Err(DecodeError::Memory { cost: body.len(), came: body.len() });
    }
    let mut walk = Walk {
        cursor: Cursor::new(body),
        version: api_version,
        flexible: is_flexible(api_key, api_version),
        body_bytes: body.len(),
        memory_left: MEMORY_BYTES_FREE + MEMORY_PER_BODY_BYTE * body.len(),
    };
    walk.structure(&shape.body)
}

/// The shape of this request, if there is one that covers the version.
pub fn shape(api_key: i16, api_version: i16) -> Option<&'static Shape> {
    SHAPES.iter().find(|shape| shape.api_key == api_key && shape.versions.0 <= api_version && api_version <= shape.versions.1)
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    version: i16,
    flexible: bool,
    body_bytes: usize,
    memory_left: usize,
}

impl Walk<'_> {
    fn structure(&mut self, structure: &Structure) -> Result<(), DecodeError> {
        for field in structure.fields {
            if field.since <= self.version && self.version <= field.until {
                self.field(&field.kind, self.version >= field.nullable_since)?;
            }
        }
        if self.flexible { self.tagged_fields() } else { Ok(()) }
    }

    fn field(&mut self, kind: &Kind, nullable: bool) -> Result<(), DecodeError> {
        let present = match kind {
            Kind::Fixed(bytes) => self.cursor.take(*bytes).map(|_| true)?,
            Kind::Text => self.cursor.nullable_string(self.flexible)?.is_some(),
            Kind::Bytes => self.cursor.nullable_bytes(self.flexible)?.is_some(),
            Kind::Array(element) => match self.cursor.nullable_count(self.flexible, element.bytes_min())? {
                Some(count) => {
                    self.spend(element.memory_bytes() * count as usize)?;
                    for _ in 0..count {
                        self.field(element, false)?;
                    }
                    true
                }
                None => false,
            },
            Kind::Structure(structure) => {
                // Only a structure that can be null says whether it is there.
                let present = !nullable || self.cursor.presence()?;
                if present {
                    self.structure(structure)?;
                }
                present
            }
        };
        if present || nullable { Ok(()) } else { Err(DecodeError::Null) }
    }

    /// No request here has a tagged field that the broker knows, so all of them are kept as unknown ones.
    fn tagged_fields(&mut self) -> Result<(), DecodeError> {
        let mut count = 0;
        self.cursor.tagged_fields(|_, _| {
            count += 1;
            Ok(())
        })?;
        if count == 0 { Ok(()) } else { self.spend(FIRST_TAGGED_FIELD_BYTES + TAGGED_FIELD_BYTES * (count - 1)) }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.memory_left.checked_sub(bytes) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => Err(DecodeError::Memory { cost: bytes, came: self.body_bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_the_body_are_refused() {
        // Metadata 1 and 9: two thousand million topics.
        assert!(matches!(check(3, 1, &[0x7f, 0xff, 0xff, 0xff]), Err(DecodeError::Count { .. })));
        assert!(matches!(check(3, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0]), Err(DecodeError::Count { .. })));
        // All topics: null, or none at version 0.
        assert_eq!(check(3, 1, &[0xff; 4]), Ok(()));
        assert_eq!(check(3, 0, &[0; 4]), Ok(()));
        assert_eq!(check(3, 0, &[0xff; 4]), Err(DecodeError::Null));
        // A topic without a name: from version 10 on, where it can have an id.
        assert_eq!(check(3, 9, &[2, 0, 0, 0, 0, 0, 0]), Err(DecodeError::Null));
    }

    #[test]
    fn a_structure_that_can_be_null_says_whether_it_is_there() {
        // DescribeTopicPartitions 0: no topics, a limit, then a cursor or none.
        let body = |cursor: &[u8]| [&[1, 0, 0, 0, 9][..], cursor, &[0]].concat();
        assert_eq!(check(75, 0, &body(&[0xff])), Ok(()));
        assert_eq!(check(75, 0, &body(&[1, 2, b't', 0, 0, 0, 3, 0])), Ok(()));
        assert!(matches!(check(75, 0, &body(&[1, 2, b't', 0, 0, 0])), Err(DecodeError::Ended { .. })));
        // Kafka's clients send nothing else, and the decoder would take it for null.
        assert_eq!(check(75, 0, &body(&[2, 2, b't', 0, 0, 0, 3, 0])), Err(DecodeError::Presence { came: 2 }));
    }

    #[test]
    fn trailing_bytes_are_tolerated() {
        // Metadata 13: no topics asked for, no creation, no authorized operations, no tagged fields; then librdkafka's three bytes.
        assert_eq!(check(3, 13, &[1, 0, 0, 0, 0, 0, 0]), Ok(()));
    }

    #[test]
    fn elements_that_cost_more_memory_than_their_bytes_allow_are_refused() {
        // Metadata 9: topics with an empty name, two bytes each.
        let body = |count: u32| {
            let mut body = Vec::new();
            super::super::cursor::put_unsigned_varint(&mut body, count + 1);
            body.extend(std::iter::repeat_n([1, 0], count as usize).flatten());
            body.extend([0, 0, 0, 0]);
            body
        };
        assert_eq!(check(3, 9, &body(500)), Ok(()));
        assert!(matches!(check(3, 9, &body(100_000)), Err(DecodeError::Memory { .. })));
        assert!(matches!(check(3, 13, &vec![0; GUARDED_BODY_BYTES_MAX + 1]), Err(DecodeError::Memory { .. })));
    }

    #[test]
    fn unknown_requests_and_versions_have_no_shape() {
        for (api_key, version) in [(0, 9), (1, 12), (3, 14), (3, -1), (999, 0), (22, 6), (-1, 0)] {
            assert!(matches!(check(api_key, version, &[0; 100]), Err(DecodeError::Version { .. })), "{api_key} {version}");
        }
    }
}
