//! A bounds-checked reader of Kafka's primitive types over borrowed bytes, and their writers.
//!
//! Types: Kafka's protocol guide, "Protocol Primitive Types"; compact types and tagged fields: KIP-482.
//!
//! Invariants: nothing allocates; a count is only returned when that many elements can still be there; no input panics.

use thiserror::Error;

use crate::base::TopicId;
use crate::base::limits::REQUEST_PARTITIONS_MAX;

/// Why a request cannot be read. The connection is closed: where the next field begins is no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("the request ends early: expected {needed} more bytes, {left} are left")]
    Ended { needed: usize, left: usize },
    #[error("a count of {count} came, but only {left} bytes are left for elements of at least {element_bytes_min}")]
    Count { count: u32, element_bytes_min: usize, left: usize },
    #[error("a length or count of {came} came: expected 0 or more (-1 only where null is allowed)")]
    Negative { came: i32 },
    #[error("a variable-length integer is longer than it can be")]
    Varint,
    #[error("null came for a field that cannot be null")]
    Null,
    #[error("{came} came in front of a structure: expected 1, or -1 for null")]
    Presence { came: i8 },
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("tagged field {tag} says it has {size} bytes and has another length")]
    TaggedSize { tag: u32, size: usize },
    #[error("tagged field {tag} does not exist in this version of the request")]
    TagVersion { tag: u32 },
    #[error("request {api_key} in version {api_version} is not supported: ask for the supported versions with ApiVersions")]
    Version { api_key: i16, api_version: i16 },
    #[error("expected at most {maximum} topics and partitions in one request: split it")]
    TooManyPartitions { maximum: usize },
    #[error("the request would need {cost} bytes of memory for {came} bytes on the wire: split it")]
    Memory { cost: usize, came: usize },
}

/// Holds the topics and partitions that a Produce or Fetch request names against what may be named.
pub(super) fn bound_partitions(named: usize) -> Result<(), DecodeError> {
    let maximum = REQUEST_PARTITIONS_MAX;
    if named <= maximum { Ok(()) } else { Err(DecodeError::TooManyPartitions { maximum }) }
}

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next `bytes` bytes.
    #[inline]
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(bytes) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(DecodeError::Ended { needed: bytes, left: self.rest.len() }),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(DecodeError::Ended { needed: N, left: self.rest.len() }),
        }
    }

    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    /// What stands in front of a structure that can be null: whether it follows.
    pub fn presence(&mut self) -> Result<bool, DecodeError> {
        match self.i8()? {
            1 => Ok(true),
            i8::MIN..=-1 => Ok(false),
            came => Err(DecodeError::Presence { came }),
        }
    }

    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    #[inline]
    pub fn topic_id(&mut self) -> Result<TopicId, DecodeError> {
        Ok(TopicId(self.array()?))
    }

    /// UNSIGNED_VARINT, at most five bytes.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return Ok(u32::from(first));
        }
        self.long_unsigned_varint()
    }

    fn long_unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for (index, &byte) in self.rest.iter().take(5).enumerate() {
            if index == 4 && byte > 0x0f {
                return Err(DecodeError::Varint);
            }
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::Ended { needed: 1, left: 0 })
    }

    /// NULLABLE_STRING (`flexible`: COMPACT_NULLABLE_STRING).
    #[inline]
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<&'a str>, DecodeError> {
        let length = if flexible { self.compact_length()? } else { signed_length(i32::from(self.i16()?))? };
        match length {
            None => Ok(None),
            Some(length) => std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| DecodeError::NotUtf8),
        }
    }

    /// STRING (`flexible`: COMPACT_STRING).
    #[inline]
    pub fn string(&mut self, flexible: bool) -> Result<&'a str, DecodeError> {
        self.nullable_string(flexible)?.ok_or(DecodeError::Null)
    }

    /// NULLABLE_BYTES or RECORDS (`flexible`: COMPACT_…).
    #[inline]
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        let length = if flexible { self.compact_length()? } else { signed_length(self.i32()?)? };
        length.map(|length| self.take(length)).transpose()
    }

    /// The count of a nullable ARRAY (`flexible`: COMPACT_ARRAY) whose elements have at least `element_bytes_min` bytes each.
    ///
    /// # Errors
    /// Also when the bytes left cannot hold so many.
    #[inline]
    pub fn nullable_count(&mut self, flexible: bool, element_bytes_min: usize) -> Result<Option<u32>, DecodeError> {
        let count = if flexible {
            self.unsigned_varint()?.checked_sub(1)
        } else {
            match self.i32()? {
                -1 => None,
                came => Some(u32::try_from(came).map_err(|_| DecodeError::Negative { came })?),
            }
        };
        match count {
            Some(count) if count as usize > self.rest.len() / element_bytes_min.max(1) => {
                Err(DecodeError::Count { count, element_bytes_min, left: self.rest.len() })
            }
            count => Ok(count),
        }
    }

    /// As `nullable_count`, for an array that cannot be null.
    #[inline]
    pub fn count(&mut self, flexible: bool, element_bytes_min: usize) -> Result<u32, DecodeError> {
        self.nullable_count(flexible, element_bytes_min)?.ok_or(DecodeError::Null)
    }

    /// Skips the tagged fields at the end of a structure; nothing if it is not `flexible`.
    #[inline]
    pub fn skip_tagged_fields(&mut self, flexible: bool) -> Result<(), DecodeError> {
        if flexible { self.tagged_fields(|_, _| Ok(())) } else { Ok(()) }
    }

    /// Calls `field` with the tag and the bytes of each tagged field.
    #[inline]
    pub fn tagged_fields(&mut self, mut field: impl FnMut(u32, &mut Cursor<'a>) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        let count = self.unsigned_varint()?;
        if count as usize > self.rest.len() / 2 {
            return Err(DecodeError::Count { count, element_bytes_min: 2, left: self.rest.len() });
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            field(tag, &mut Cursor::new(self.take(size)?))?;
        }
        Ok(())
    }

    #[inline]
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }
}

fn signed_length(came: i32) -> Result<Option<usize>, DecodeError> {
    match came {
        -1 => Ok(None),
        _ => usize::try_from(came).map(Some).map_err(|_| DecodeError::Negative { came }),
    }
}

/// Appends an UNSIGNED_VARINT.
#[inline]
pub fn put_unsigned_varint(buffer: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

/// Appends an array's count, or a length of bytes: `flexible` as UNSIGNED_VARINT of one more, else as INT32.
///
/// # Panics
/// If `count` is not below `i32::MAX`: no answer is that large.
#[inline]
pub fn put_count(buffer: &mut Vec<u8>, flexible: bool, count: usize) {
    let count = i32::try_from(count).ok().filter(|&count| count < i32::MAX).expect("counts and lengths of an answer fit in an int32");
    if flexible { put_unsigned_varint(buffer, count as u32 + 1) } else { buffer.extend_from_slice(&count.to_be_bytes()) }
}

/// Appends a STRING or COMPACT_STRING; what does not fit in 32767 bytes is cut at a character.
#[inline]
pub fn put_string(buffer: &mut Vec<u8>, flexible: bool, text: &str) {
    let text = &text[..text.floor_char_boundary_at(i16::MAX as usize)];
    if flexible {
        put_unsigned_varint(buffer, text.len() as u32 + 1);
    } else {
        buffer.extend_from_slice(&(text.len() as i16).to_be_bytes());
    }
    buffer.extend_from_slice(text.as_bytes());
}

/// Appends a NULLABLE_STRING or COMPACT_NULLABLE_STRING.
#[inline]
pub fn put_nullable_string(buffer: &mut Vec<u8>, flexible: bool, text: Option<&str>) {
    match text {
        Some(text) => put_string(buffer, flexible, text),
        None if flexible => buffer.push(0),
        None => buffer.extend_from_slice(&(-1i16).to_be_bytes()),
    }
}

trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, bytes: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, bytes: usize) -> usize {
        if self.len() <= bytes { self.len() } else { (0..=bytes).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_back_and_are_no_longer_than_they_must_be() {
        let short = [(0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_151, 3)];
        let long = [(2_097_152, 4), (268_435_455, 4), (268_435_456, 5), (u32::MAX, 5)];
        for (value, size) in short.into_iter().chain(long) {
            let mut bytes = Vec::new();
            put_unsigned_varint(&mut bytes, value);
            assert_eq!(bytes.len(), size, "{value}");
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.unsigned_varint(), Ok(value));
            assert_eq!(cursor.left(), 0);
            assert!(Cursor::new(&bytes[..bytes.len() - 1]).unsigned_varint().is_err());
        }
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint(), Err(DecodeError::Varint));
        assert_eq!(Cursor::new(&[0x80; 9]).unsigned_varint(), Err(DecodeError::Varint));
    }

    #[test]
    fn counts_are_held_against_the_bytes_left() {
        assert_eq!(Cursor::new(&[0, 0, 0, 2, 1, 2, 3, 4]).count(false, 2), Ok(2));
        assert!(matches!(Cursor::new(&[0, 0, 0, 3, 1, 2, 3, 4]).count(false, 2), Err(DecodeError::Count { count: 3, .. })));
        assert!(matches!(Cursor::new(&[0x7f, 0xff, 0xff, 0xff]).count(false, 0), Err(DecodeError::Count { .. })));
        assert_eq!(Cursor::new(&[0xff; 4]).nullable_count(false, 1), Ok(None));
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xfe]).count(false, 1), Err(DecodeError::Negative { came: -2 }));
        assert_eq!(Cursor::new(&[0]).count(true, 1), Err(DecodeError::Null));
    }

    #[test]
    fn long_strings_are_cut_at_a_character() {
        let mut bytes = Vec::new();
        put_string(&mut bytes, false, &"ä".repeat(20_000));
        assert_eq!(Cursor::new(&bytes).string(false).unwrap().len(), 32_766);
    }
}
