//! Builds record batches, for the load generator and for tests.
//!
//! Invariant: what `build` returns passes `verify`, unless it was told to write what only brokers write.

use crc32c::crc32c;

use super::batch::{Attributes, BATCH_CRC_START, BATCH_HEADER_BYTES, BATCH_LOG_OVERHEAD, BatchHeader, MAGIC};
use super::compression::{Codec, compress};
use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};

/// A header of a record to be built: key, value.
pub type HeaderToBuild<'a> = (&'a str, Option<&'a [u8]>);

/// Collects records and writes them as one batch of format 2.
#[derive(Clone, Debug)]
pub struct RecordBatchBuilder {
    codec: Codec,
    attributes: Attributes,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    producer_id: ProducerId,
    producer_epoch: i16,
    base_sequence: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    records: Vec<u8>,
    /// One record, before its length is known.
    record: Vec<u8>,
}

impl RecordBatchBuilder {
    pub fn new(codec: Codec) -> RecordBatchBuilder {
        RecordBatchBuilder {
            codec,
            attributes: Attributes(codec as i16),
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::UNKNOWN,
            producer_id: ProducerId(-1),
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            count: 0,
            records: Vec::new(),
            record: Vec::new(),
        }
    }

    /// As an idempotent producer (KIP-98).
    pub fn producer(mut self, producer_id: ProducerId, producer_epoch: i16, base_sequence: i32) -> RecordBatchBuilder {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (producer_id, producer_epoch, base_sequence);
        self
    }

    /// The offset and leader epoch that a broker would have written.
    pub fn placed(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> RecordBatchBuilder {
        (self.base_offset, self.leader_epoch) = (base_offset, leader_epoch);
        self
    }

    /// Sets attribute bits besides the codec, such as [`Attributes::TRANSACTIONAL`].
    pub fn flag(mut self, flag: i16) -> RecordBatchBuilder {
        self.attributes = self.attributes.with(flag);
        self
    }

    /// Adds a record; the first one's timestamp becomes the base.
    pub fn append(&mut self, timestamp: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[HeaderToBuild<'_>]) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let record = &mut self.record;
        record.clear();
        record.push(0);
        put_varlong(record, timestamp.0.wrapping_sub(self.base_timestamp.0));
        put_varlong(record, i64::from(self.count));
        put_bytes(record, key);
        put_bytes(record, value);
        put_varlong(record, headers.len() as i64);
        for (key, value) in headers {
            put_bytes(record, Some(key.as_bytes()));
            put_bytes(record, *value);
        }
        put_varlong(&mut self.records, record.len() as i64);
        self.records.extend_from_slice(record);
        self.count += 1;
    }

    /// With `append`, for chains.
    pub fn record(mut self, timestamp: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>) -> RecordBatchBuilder {
        self.append(timestamp, key, value, &[]);
        self
    }

    /// How many records are in it.
    pub fn records_count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch before compression.
    pub fn bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The batch.
    pub fn build(&self) -> Vec<u8> {
        let mut batch = Vec::with_capacity(self.bytes());
        self.build_into(&mut batch);
        batch
    }

    /// Appends the batch to `buffer`.
    pub fn build_into(&self, buffer: &mut Vec<u8>) {
        match self.codec {
            Codec::None => self.build_around(&self.records, buffer),
            codec => self.build_around(&compress(codec, &self.records), buffer),
        }
    }

    /// Appends the batch with records packed by someone else, or damaged on purpose.
    pub fn build_around(&self, packed: &[u8], buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let mut header = BatchHeader {
            base_offset: self.base_offset,
            batch_length: (BATCH_HEADER_BYTES - BATCH_LOG_OVERHEAD + packed.len()) as i32,
            partition_leader_epoch: self.leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: (self.count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.count,
        };
        let mut bytes = [0; BATCH_HEADER_BYTES];
        header.write(&mut bytes);
        buffer.extend_from_slice(&bytes);
        buffer.extend_from_slice(packed);
        header.crc = crc32c(&buffer[start + BATCH_CRC_START..]);
        header.write(&mut bytes);
        buffer[start..start + BATCH_HEADER_BYTES].copy_from_slice(&bytes);
    }

    /// The records before compression.
    pub fn plain_records(&self) -> &[u8] {
        &self.records
    }
}

/// Zigzag, then seven bits per byte.
pub(super) fn put_varlong(buffer: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varlong(buffer, bytes.len() as i64);
            buffer.extend_from_slice(bytes);
        }
        None => put_varlong(buffer, -1),
    }
}
