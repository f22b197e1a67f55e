//! The record batch of format 2 ("magic 2"), as it travels and as it is stored.
//!
//! | at | field | type | under the CRC |
//! |---|---|---|---|
//! | 0 | base offset | i64 | no |
//! | 8 | batch length: bytes from 12 to the end of the batch | i32 | no |
//! | 12 | partition leader epoch | i32 | no |
//! | 16 | magic (2) | i8 | no |
//! | 17 | CRC-32C of everything from 21 on | u32 | |
//! | 21 | attributes | i16 | yes |
//! | 23 | last offset delta | i32 | yes |
//! | 27 | base timestamp | i64 | yes |
//! | 35 | max timestamp | i64 | yes |
//! | 43 | producer id | i64 | yes |
//! | 51 | producer epoch | i16 | yes |
//! | 53 | base sequence | i32 | yes |
//! | 57 | records count | i32 | yes |
//! | 61 | records, compressed as one piece unless the codec is none | | yes |
//!
//! Everything is big-endian. Source: Kafka's documentation, "Record Batch" (KIP-98), and FORMAT-NOTES of the fixtures.
//!
//! Invariants: a `Batch` was checked against its CRC; `bytes.len() == header.total_bytes()`; only `verify` and `Batch::stored` make one.

use std::borrow::Cow;

use crc32c::{crc32c, crc32c_append};

use super::batch_error::BatchError;
use super::compression::{Codec, DecompressError, decompress};
use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};

pub use super::verify::{BatchRules, Verified};

/// Bytes of the header, through the records count.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes before the part that the batch length counts: base offset and batch length.
pub const BATCH_LOG_OVERHEAD: usize = 12;
/// Where the part under the CRC begins.
pub const BATCH_CRC_START: usize = 21;
/// The smallest batch length: a header without records.
pub const BATCH_LENGTH_MIN: i32 = (BATCH_HEADER_BYTES - BATCH_LOG_OVERHEAD) as i32;
/// The only format this broker stores.
pub const MAGIC: i8 = 2;

const MAGIC_AT: usize = 16;

/// The attributes of a batch: codec, timestamp type, transactional, control, delete horizon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub i16);

impl Attributes {
    pub const LOG_APPEND_TIME: i16 = 1 << 3;
    pub const TRANSACTIONAL: i16 = 1 << 4;
    pub const CONTROL: i16 = 1 << 5;
    pub const DELETE_HORIZON: i16 = 1 << 6;

    /// The codec in bits 0 to 2.
    ///
    /// # Errors
    /// The number, when no codec has it.
    pub fn codec(self) -> Result<Codec, u8> {
        Codec::from_id((self.0 & 0b111) as u8)
    }

    /// Max timestamp is the broker's clock at the append; the records' own timestamps do not count.
    pub fn is_log_append_time(self) -> bool {
        self.0 & Attributes::LOG_APPEND_TIME != 0
    }

    pub fn is_transactional(self) -> bool {
        self.0 & Attributes::TRANSACTIONAL != 0
    }

    /// A transaction marker or another batch that only brokers write.
    pub fn is_control(self) -> bool {
        self.0 & Attributes::CONTROL != 0
    }

    /// The base timestamp is the time after which the cleaner may drop tombstones (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Attributes::DELETE_HORIZON != 0
    }

    pub fn with(self, flag: i16) -> Attributes {
        Attributes(self.0 | flag)
    }
}

/// The 61 bytes in front of a batch's records, as numbers. Says nothing about whether they are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes from the leader epoch to the end of the batch.
    pub batch_length: i32,
    pub partition_leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: ProducerId,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; `None` if there are fewer than 61. Checks nothing.
    pub fn parse(bytes: &[u8]) -> Option<BatchHeader> {
        let b: &[u8; BATCH_HEADER_BYTES] = bytes.first_chunk()?;
        Some(BatchHeader {
            base_offset: Offset(i64_at(b, 0)),
            batch_length: i32_at(b, 8),
            partition_leader_epoch: LeaderEpoch(i32_at(b, 12)),
            magic: b[MAGIC_AT] as i8,
            crc: i32_at(b, 17) as u32,
            attributes: Attributes(i16_at(b, 21)),
            last_offset_delta: i32_at(b, 23),
            base_timestamp: Timestamp(i64_at(b, 27)),
            max_timestamp: Timestamp(i64_at(b, 35)),
            producer_id: ProducerId(i64_at(b, 43)),
            producer_epoch: i16_at(b, 51),
            base_sequence: i32_at(b, 53),
            records_count: i32_at(b, 57),
        })
    }

    /// Writes all fields, the CRC as it stands here.
    pub fn write(&self, bytes: &mut [u8; BATCH_HEADER_BYTES]) {
        bytes[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.0.to_be_bytes());
        bytes[16] = self.magic as u8;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.records_count.to_be_bytes());
    }

    /// Bytes of the whole batch, or `None` when the batch length cannot be one (below 49).
    pub fn total_bytes(&self) -> Option<usize> {
        if self.batch_length < BATCH_LENGTH_MIN { None } else { Some(BATCH_LOG_OVERHEAD + self.batch_length as usize) }
    }

    /// The offset of the last record the batch was written with; compaction may have removed it since.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// The offset after the last one.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// The sequence of the last record; sequences go from `i32::MAX` to 0 (KIP-98).
    pub fn last_sequence(&self) -> i32 {
        let sequence = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        if sequence > i64::from(i32::MAX) { (sequence - i64::from(i32::MAX) - 1) as i32 } else { sequence as i32 }
    }
}

/// Exactly one batch as a peer sent it, from its base offset to its end. `verify` makes a [`Batch`] of it.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedBatch<'a>(pub &'a [u8]);

/// One batch whose CRC is right, and, if a client sent it, whose records were walked.
#[derive(Clone, Copy, Debug)]
// Only this folder makes one: that is what the sealed field is for.
#[allow(clippy::manual_non_exhaustive)]
pub struct Batch<'a> {
    pub header: BatchHeader,
    /// The batch as it came: the header's fields as above, then the records.
    pub bytes: &'a [u8],
    /// The smallest timestamp of its records; the header's max timestamp for a batch whose records were not walked.
    pub min_timestamp: Timestamp,
    /// The largest timestamp of its records. Not always the header's field: some clients leave that at −1, and Kafka corrects it.
    pub max_timestamp: Timestamp,
    /// Which record has the largest timestamp, the first of several; `None` if the records were not walked.
    pub max_timestamp_offset_delta: Option<i32>,
    pub(super) _sealed: (),
}

impl<'a> Batch<'a> {
    /// A batch that a broker has checked before, read from a log or fetched from a leader: header and CRC only.
    ///
    /// # Errors
    /// As [`check_stored`], and trailing bytes.
    pub fn stored(bytes: &'a [u8]) -> Result<Batch<'a>, BatchError> {
        let header = check_stored(bytes)?;
        let total = header.total_bytes().unwrap_or(0);
        if bytes.len() > total {
            return Err(BatchError::TrailingBytes { came: bytes.len() - total });
        }
        Ok(Batch {
            header,
            bytes,
            min_timestamp: header.max_timestamp,
            max_timestamp: header.max_timestamp,
            max_timestamp_offset_delta: None,
            _sealed: (),
        })
    }

    /// The 61 bytes to store in front of `records()`: at `base_offset`, in `leader_epoch`. `log_append_time`: the topic's clock
    /// rule asks for this time instead of the producer's. The CRC is computed anew only where a field under it changes: for
    /// LogAppendTime, and for a client that left out the max timestamp.
    pub fn placed_header(
        &self,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
        log_append_time: Option<Timestamp>,
    ) -> [u8; BATCH_HEADER_BYTES] {
        let mut placed = BatchHeader { base_offset, partition_leader_epoch: leader_epoch, ..self.header };
        placed.max_timestamp = log_append_time.unwrap_or(self.max_timestamp);
        if log_append_time.is_some() {
            placed.attributes = placed.attributes.with(Attributes::LOG_APPEND_TIME);
        }
        let mut bytes = [0; BATCH_HEADER_BYTES];
        placed.write(&mut bytes);
        if placed.attributes != self.header.attributes || placed.max_timestamp != self.header.max_timestamp {
            placed.crc = crc32c_append(crc32c(&bytes[BATCH_CRC_START..]), self.records());
            placed.write(&mut bytes);
        }
        bytes
    }

    /// What follows the header, compressed as it came.
    pub fn records(&self) -> &'a [u8] {
        &self.bytes[BATCH_HEADER_BYTES..]
    }

    /// The records unpacked, at most `limit` bytes of them; `Records::new` reads them.
    ///
    /// # Errors
    /// An unknown codec, damaged data, or more than `limit` bytes.
    pub fn unpack(&self, limit: usize) -> Result<Cow<'a, [u8]>, BatchError> {
        match self.header.attributes.codec() {
            Err(came) => Err(BatchError::UnknownCodec { came }),
            Ok(Codec::None) => Ok(Cow::Borrowed(self.records())),
            // Compaction leaves an emptied batch without a codec; other writers may leave the codec.
            Ok(_) if self.records().is_empty() => Ok(Cow::Borrowed(&[])),
            Ok(codec) => decompress(codec, self.records(), limit).map(Cow::Owned).map_err(|error| match error {
                DecompressError::TooLarge { limit } => BatchError::DecompressedTooLarge { maximum: limit },
                DecompressError::Corrupt(reason) => BatchError::Decompress { codec: codec.name(), reason },
            }),
        }
    }
}

/// Cuts the records of one partition of a Produce request into batches, by their length fields. Nothing else is checked.
///
/// # Errors
/// No batch at all, a length that cannot be, a batch cut short, bytes left over, and formats 0 and 1 (whose length field means
/// something else).
pub fn split(records: &[u8]) -> Result<Batches<'_>, BatchError> {
    if records.is_empty() {
        return Err(BatchError::NoBatch);
    }
    let mut rest = records;
    let mut count = 0;
    while !rest.is_empty() {
        rest = &rest[batch_bytes(rest)?..];
        count += 1;
    }
    Ok(Batches { rest: records, count })
}

/// The batches of one blob, in order. Made by [`split`], which has checked every length.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    count: usize,
}

impl<'a> Iterator for Batches<'a> {
    type Item = UnverifiedBatch<'a>;

    fn next(&mut self) -> Option<UnverifiedBatch<'a>> {
        let bytes = batch_bytes(self.rest).ok()?;
        let (batch, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.count -= 1;
        Some(UnverifiedBatch(batch))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Batches<'_> {}

/// Bytes of the batch at the start of `bytes`, all of which are there.
fn batch_bytes(bytes: &[u8]) -> Result<usize, BatchError> {
    if let Some(&magic) = bytes.get(MAGIC_AT)
        && (magic as i8) < MAGIC
    {
        return Err(BatchError::Magic { came: magic as i8 });
    }
    let header = BatchHeader::parse(bytes).ok_or(BatchError::Truncated { expected: BATCH_HEADER_BYTES, came: bytes.len() })?;
    let total = header.total_bytes().ok_or(BatchError::Length { minimum: BATCH_LENGTH_MIN, came: header.batch_length })?;
    if bytes.len() < total {
        return Err(BatchError::Truncated { expected: total, came: bytes.len() });
    }
    Ok(total)
}

/// Checks the batch at the start of `bytes` as a log holds it: length, magic and CRC. Control batches, any codec and batches that
/// compaction has emptied are fine; bytes after the batch are not looked at.
///
/// # Errors
/// Too few bytes, a length below the smallest, another magic, a wrong CRC, a negative last offset delta or records count.
pub fn check_stored(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes).ok_or(BatchError::Truncated { expected: BATCH_HEADER_BYTES, came: bytes.len() })?;
    let total = header.total_bytes().ok_or(BatchError::Length { minimum: BATCH_LENGTH_MIN, came: header.batch_length })?;
    let whole = bytes.get(..total).ok_or(BatchError::Truncated { expected: total, came: bytes.len() })?;
    if header.magic != MAGIC {
        return Err(BatchError::Magic { came: header.magic });
    }
    check_crc(&header, whole)?;
    if header.last_offset_delta < 0 || header.records_count < 0 {
        return Err(BatchError::Count { count: header.records_count, last_offset_delta: header.last_offset_delta });
    }
    Ok(header)
}

pub(super) fn check_crc(header: &BatchHeader, whole: &[u8]) -> Result<(), BatchError> {
    let computed = crc32c(&whole[BATCH_CRC_START..]);
    if computed == header.crc { Ok(()) } else { Err(BatchError::Crc { stored: header.crc, computed }) }
}

fn i16_at(bytes: &[u8; BATCH_HEADER_BYTES], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8; BATCH_HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8; BATCH_HEADER_BYTES], at: usize) -> i64 {
    (i64::from(i32_at(bytes, at)) << 32) | i64::from(i32_at(bytes, at + 4) as u32)
}

#[cfg(test)]
mod tests;
