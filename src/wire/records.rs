//! The records inside a batch: an iterator, and a walk that checks them without keeping them.
//!
//! | field | type |
//! |---|---|
//! | length of what follows | varint |
//! | attributes (unused) | i8 |
//! | timestamp delta to the batch's base timestamp | varlong |
//! | offset delta to the batch's base offset | varint |
//! | key length, −1: null; key | varint, bytes |
//! | value length, −1: null; value | varint, bytes |
//! | headers count | varint |
//! | headers: key length and key, value length (−1: null) and value | varint, bytes |
//!
//! Varints are zigzag. Source: Kafka's documentation, "Record" and "Record Header" (KIP-98, KIP-82).
//!
//! Invariants: no input panics; a record's parts fill its length exactly; nothing is allocated here.

use super::batch_error::BatchError;

/// The smallest record: a length and six fields of one byte.
pub const RECORD_BYTES_MIN: usize = 7;
/// The longest that the fields through the key length can be: 5 + 1 + 10 + 5 + 5.
const HEAD_BYTES_MAX: usize = 26;
const VARINT_BYTES_MAX: usize = 5;

/// One record of a batch, over the unpacked bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset_delta: i32,
    pub timestamp_delta: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    /// Key, value and headers as they stand: everything behind the offset delta.
    pub body: &'a [u8],
}

/// The headers of a record. Their structure was checked, so iterating cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u32,
}

/// A header: its key, as it came (UTF-8 by agreement only), and its value.
impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut fields = Fields { bytes: self.rest, at: 0 };
        let key = fields.bytes_field().ok()??;
        let value = fields.bytes_field().ok()?;
        self.rest = &self.rest[fields.at..];
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records in `bytes`, unpacked, of which there should be `count`. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
}

impl<'a> Records<'a> {
    pub fn new(bytes: &'a [u8], count: i32) -> Records<'a> {
        Records { rest: bytes, index: 0, count }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            let came = std::mem::take(&mut self.rest);
            return (!came.is_empty()).then_some(Err(BatchError::TooManyRecords { expected: self.count }));
        }
        match read_record(self.rest) {
            Ok((record, bytes)) => {
                self.rest = &self.rest[bytes..];
                self.index += 1;
                Some(Ok(record))
            }
            Err(flaw) => {
                let error = flaw.at_record(self.index, self.count, self.rest.is_empty());
                (self.rest, self.count) = (&[], self.index);
                Some(Err(error))
            }
        }
    }
}

fn read_record(bytes: &[u8]) -> Result<(Record<'_>, usize), Flaw> {
    let head = Head::read(bytes)?;
    let end = head.body_at + head.length;
    let mut fields = Fields { bytes: bytes.get(..end).ok_or(Flaw::Ended)?, at: head.bytes };
    let inside = |flaw| if flaw == Flaw::Ended { Flaw::Damaged("its parts are longer than its length says") } else { flaw };
    let body = &fields.bytes[head.key_at..];
    let key = fields.rest_of_field(head.key_bytes).map_err(inside)?;
    let value = fields.bytes_field().map_err(inside)?;
    let count = fields.headers_count().map_err(inside)?;
    let headers = Headers { rest: &fields.bytes[fields.at..], left: count };
    for _ in 0..count {
        fields.bytes_field().map_err(inside)?.ok_or(NULL_HEADER_KEY)?;
        fields.bytes_field().map_err(inside)?;
    }
    if fields.at != end {
        return Err(LENGTH_LEFT_OVER);
    }
    Ok((Record { offset_delta: head.offset_delta, timestamp_delta: head.timestamp_delta, key, value, headers, body }, end))
}

/// Where a walk gets its bytes: a slice, or a decompressor with a small window.
pub(super) trait RecordSource {
    /// What stops the walk besides a bad record.
    type Stop: From<BatchError>;

    /// The next bytes: at least `wanted`, or all that are left.
    fn window(&mut self, wanted: usize) -> Result<&[u8], Self::Stop>;
    /// Steps over bytes that the last window showed.
    fn advance(&mut self, bytes: usize);
    /// Steps over any number of bytes; false if fewer are left.
    fn skip(&mut self, bytes: usize) -> Result<bool, Self::Stop>;
}

/// What a walk learns about the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    pub min_timestamp_delta: i64,
    pub max_timestamp_delta: i64,
    /// The first record that has the largest timestamp.
    pub max_timestamp_index: i32,
}

impl Walked {
    #[inline]
    fn note(&mut self, index: i32, timestamp_delta: i64) {
        self.min_timestamp_delta = self.min_timestamp_delta.min(timestamp_delta);
        if timestamp_delta > self.max_timestamp_delta {
            self.max_timestamp_delta = timestamp_delta;
            self.max_timestamp_index = index;
        }
    }
}

/// Walks `count` records, and checks that nothing follows them, that each one's parts fill its length, that offset deltas are 0, 1,
/// 2 …, and, if asked, that each has a key.
pub(super) fn walk<S: RecordSource>(source: &mut S, count: i32, keys_required: bool) -> Result<Walked, S::Stop> {
    let mut walked = Walked { min_timestamp_delta: i64::MAX, max_timestamp_delta: i64::MIN, max_timestamp_index: 0 };
    for index in 0..count {
        let window = source.window(HEAD_BYTES_MAX)?;
        if let Some(plain) = Plain::read(window)
            && plain.offset_delta == index
            && (plain.has_key || !keys_required)
        {
            walked.note(index, plain.timestamp_delta);
            source.advance(plain.bytes);
            continue;
        }
        // Not such a one, or not sound: this says which.
        let head = match Head::read(window) {
            Ok(head) => head,
            Err(flaw) => {
                let at_end = source.window(1)?.is_empty();
                return Err(flaw.at_record(index, count, at_end).into());
            }
        };
        if head.offset_delta != index {
            return Err(BatchError::OffsetDelta { index, came: head.offset_delta }.into());
        }
        if keys_required && head.key_bytes < 0 {
            return Err(BatchError::KeyRequired { index }.into());
        }
        walked.note(index, head.timestamp_delta);
        walk_parts(source, &head, index)?;
    }
    if source.window(1)?.is_empty() { Ok(walked) } else { Err(BatchError::TooManyRecords { expected: count }.into()) }
}

/// A record as most are: whole in the window, sound, without headers, all its numbers within a million.
struct Plain {
    timestamp_delta: i64,
    offset_delta: i32,
    has_key: bool,
    /// Of all of it, its length included.
    bytes: usize,
}

impl Plain {
    /// `None`: the record at the front is not such a one, or not sound.
    #[inline(always)]
    fn read(window: &[u8]) -> Option<Plain> {
        let mut at = 0;
        let length = short(window, &mut at)?;
        // Where it ends if its length is not negative, which is looked at last.
        let end = at + (length >> 1) as usize;
        at += 1;
        let timestamp_delta = short(window, &mut at)?;
        let offset_delta = short(window, &mut at)?;
        let key = short(window, &mut at)?;
        at += field_bytes(key)?;
        let value = short(window, &mut at)?;
        at += field_bytes(value)?;
        let has_no_headers = *window.get(at)? == 0;
        (length & 1 == 0 && has_no_headers && at + 1 == end).then_some(Plain {
            timestamp_delta: i64::from(unfolded(timestamp_delta)),
            offset_delta: unfolded(offset_delta),
            has_key: key != NULL,
            bytes: end,
        })
    }
}

/// A varint of at most three bytes, before its sign is unfolded.
#[inline(always)]
fn short(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let mut value = 0;
    for shift in [0, 7, 14] {
        let byte = u32::from(*bytes.get(*at)?);
        *at += 1;
        value |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The length −1 before its sign is unfolded.
const NULL: u32 = 1;

/// How many bytes follow a length that is yet to be unfolded; `None` if it is negative and not null.
#[inline(always)]
fn field_bytes(length: u32) -> Option<usize> {
    match length {
        NULL => Some(0),
        length if length & 1 == 0 => Some((length >> 1) as usize),
        _ => None,
    }
}

/// Zigzag: the sign is in the lowest bit.
#[inline(always)]
fn unfolded(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// Steps over key, value and headers of a record whose head was just read.
#[inline]
fn walk_parts<S: RecordSource>(source: &mut S, head: &Head, index: i32) -> Result<(), S::Stop> {
    let damaged = |reason| BatchError::Record { index, reason };
    let mut parts = Parts { left: head.length - (head.bytes - head.body_at), source };
    parts.source.advance(head.bytes);
    let result = parts.skip(head.key_bytes.max(0) as usize).and_then(|()| {
        parts.field()?;
        let count = parts.varint()?;
        // A header has at least two bytes.
        if count < 0 || count as usize > parts.left / 2 {
            return Err(Flaw::Damaged("its count of headers does not fit its length").into());
        }
        for _ in 0..count {
            if !parts.field()? {
                return Err(NULL_HEADER_KEY.into());
            }
            parts.field()?;
        }
        if parts.left == 0 { Ok(()) } else { Err(LENGTH_LEFT_OVER.into()) }
    });
    match result {
        Ok(()) => Ok(()),
        Err(PartsStop::Flaw(Flaw::Ended)) => Err(damaged("the batch ends inside it").into()),
        Err(PartsStop::Flaw(Flaw::Damaged(reason))) => Err(damaged(reason).into()),
        Err(PartsStop::Source(stop)) => Err(stop),
    }
}

/// The rest of one record in a source, `left` bytes of it.
struct Parts<'s, S> {
    source: &'s mut S,
    left: usize,
}

enum PartsStop<E> {
    Flaw(Flaw),
    Source(E),
}

impl<E> From<Flaw> for PartsStop<E> {
    fn from(flaw: Flaw) -> PartsStop<E> {
        PartsStop::Flaw(flaw)
    }
}

impl<S: RecordSource> Parts<'_, S> {
    #[inline]
    fn skip(&mut self, bytes: usize) -> Result<(), PartsStop<S::Stop>> {
        self.left = self.left.checked_sub(bytes).ok_or(Flaw::Damaged("its parts are longer than its length says"))?;
        if self.source.skip(bytes).map_err(PartsStop::Source)? { Ok(()) } else { Err(Flaw::Ended.into()) }
    }

    #[inline]
    fn varint(&mut self) -> Result<i32, PartsStop<S::Stop>> {
        let mut fields = Fields { bytes: self.source.window(VARINT_BYTES_MAX).map_err(PartsStop::Source)?, at: 0 };
        let value = fields.varint()?;
        let bytes = fields.at;
        self.source.advance(bytes);
        self.left = self.left.checked_sub(bytes).ok_or(Flaw::Damaged("its parts are longer than its length says"))?;
        Ok(value)
    }

    /// A length and that many bytes; false if null.
    #[inline]
    fn field(&mut self) -> Result<bool, PartsStop<S::Stop>> {
        let length = self.varint()?;
        if length < -1 {
            return Err(NEGATIVE_LENGTH.into());
        }
        self.skip(length.max(0) as usize)?;
        Ok(length >= 0)
    }
}

/// A record through its key length.
struct Head {
    /// Bytes from `body_at` on.
    length: usize,
    /// Where the part that the length counts begins.
    body_at: usize,
    timestamp_delta: i64,
    offset_delta: i32,
    /// Where the key's length begins.
    key_at: usize,
    /// −1: null.
    key_bytes: i32,
    /// Bytes of the head itself.
    bytes: usize,
}

impl Head {
    #[inline]
    fn read(bytes: &[u8]) -> Result<Head, Flaw> {
        let mut fields = Fields { bytes, at: 0 };
        let length = fields.varint()?;
        let body_at = fields.at;
        if length < RECORD_BYTES_MIN as i32 - 1 {
            return Err(Flaw::Damaged("its length is too small for a record"));
        }
        fields.byte()?;
        let timestamp_delta = fields.varlong()?;
        let offset_delta = fields.varint()?;
        let key_at = fields.at;
        let key_bytes = fields.varint()?;
        if key_bytes < -1 {
            return Err(NEGATIVE_LENGTH);
        }
        let head = Head { length: length as usize, body_at, timestamp_delta, offset_delta, key_at, key_bytes, bytes: fields.at };
        if head.length < head.bytes - body_at {
            return Err(Flaw::Damaged("its parts are longer than its length says"));
        }
        Ok(head)
    }
}

/// What is wrong with a record, before it is known which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The bytes end inside the record.
    Ended,
    Damaged(&'static str),
}

const NEGATIVE_LENGTH: Flaw = Flaw::Damaged("a length in it is below -1");
const NULL_HEADER_KEY: Flaw = Flaw::Damaged("a header of it has no key");
const LENGTH_LEFT_OVER: Flaw = Flaw::Damaged("its parts are shorter than its length says");

impl Flaw {
    #[cold]
    fn at_record(self, index: i32, count: i32, at_end: bool) -> BatchError {
        match self {
            Flaw::Ended if at_end => BatchError::TooFewRecords { expected: count, came: index },
            Flaw::Ended => BatchError::Record { index, reason: "the batch ends inside it" },
            Flaw::Damaged(reason) => BatchError::Record { index, reason },
        }
    }
}

/// Reads the fields of a record from a slice.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Flaw> {
        let byte = *self.bytes.get(self.at).ok_or(Flaw::Ended)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn varint(&mut self) -> Result<i32, Flaw> {
        let first = self.byte()?;
        Ok(unfolded(if first < 0x80 { u32::from(first) } else { self.rest_of_varint(first)? }))
    }

    fn rest_of_varint(&mut self, first: u8) -> Result<u32, Flaw> {
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Flaw::Damaged("a variable-length integer in it is too long"))
    }

    #[inline]
    fn varlong(&mut self) -> Result<i64, Flaw> {
        let first = self.byte()?;
        let value = if first < 0x80 { u64::from(first) } else { self.rest_of_varlong(first)? };
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn rest_of_varlong(&mut self, first: u8) -> Result<u64, Flaw> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Flaw::Damaged("a variable-length integer in it is too long"))
    }

    /// A length and that many bytes.
    #[inline]
    fn bytes_field(&mut self) -> Result<Option<&'a [u8]>, Flaw> {
        let length = self.varint()?;
        self.rest_of_field(length)
    }

    #[inline]
    fn rest_of_field(&mut self, length: i32) -> Result<Option<&'a [u8]>, Flaw> {
        if length < 0 {
            return if length == -1 { Ok(None) } else { Err(NEGATIVE_LENGTH) };
        }
        let field = self.bytes.get(self.at..).and_then(|rest| rest.get(..length as usize)).ok_or(Flaw::Ended)?;
        self.at += field.len();
        Ok(Some(field))
    }

    fn headers_count(&mut self) -> Result<u32, Flaw> {
        let count = self.varint()?;
        // A header has at least two bytes.
        if count < 0 || count as usize > (self.bytes.len() - self.at) / 2 {
            return Err(Flaw::Damaged("its count of headers does not fit its length"));
        }
        Ok(count as u32)
    }
}

#[cfg(test)]
mod tests;
