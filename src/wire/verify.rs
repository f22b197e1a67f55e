//! What a broker must know about a client's batch before it stores it.
//!
//! Source: Apache Kafka's `LogValidator` and `UnifiedLog.analyzeAndValidateRecords`, read for their rules.
//!
//! Invariants: no more is unpacked than the rules allow, and never more than a window of it is in memory (snappy: one block; LZ4:
//! one block); the work done here is bounded by `message_bytes_max` and `decompress_here_bytes_max`.

use super::batch::{BATCH_HEADER_BYTES, BATCH_LENGTH_MIN, Batch, BatchHeader, MAGIC, UnverifiedBatch, check_crc};
use super::batch_error::BatchError;
use super::compression::{Codec, DecompressError, Decompressor};
use super::records::{RECORD_BYTES_MIN, RecordSource, Walked, walk};
use crate::base::Timestamp;
use crate::base::limits::{DECOMPRESS_ON_CORE_BYTES_MAX, DECOMPRESSED_BATCH_BYTES_MAX};

/// What a batch is held against. The bounds are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct BatchRules {
    /// The topic's `max.message.bytes`: the whole batch, header included.
    pub message_bytes_max: usize,
    /// No batch may unpack to more.
    pub decompressed_bytes_max: usize,
    /// Unpacking more than this is left to a caller with more time: [`Verified::NeedsMoreWork`]. Gzip and zstd data also needs
    /// that caller when it has more than a sixteenth of this before unpacking: it can be made to take so long.
    pub decompress_here_bytes_max: usize,
    /// The topic is compacted: every record needs a key.
    pub keys_required: bool,
    /// Produce 7 or later (KIP-110).
    pub zstd_allowed: bool,
}

impl Default for BatchRules {
    /// Kafka's `max.message.bytes`, this broker's limits for unpacking, no compaction.
    fn default() -> BatchRules {
        BatchRules {
            message_bytes_max: 1_048_588,
            decompressed_bytes_max: DECOMPRESSED_BATCH_BYTES_MAX,
            decompress_here_bytes_max: DECOMPRESS_ON_CORE_BYTES_MAX,
            keys_required: false,
            zstd_allowed: true,
        }
    }
}

impl BatchRules {
    /// The same rules for a caller off the core: everything up to the hard limit is unpacked here.
    pub fn with_all_the_time(self) -> BatchRules {
        BatchRules { decompress_here_bytes_max: usize::MAX, ..self }
    }
}

/// What `verify` found.
#[derive(Clone, Copy, Debug)]
pub enum Verified<'a> {
    Batch(Batch<'a>),
    /// Nothing wrong so far, but it takes more work than `decompress_here_bytes_max` allows: verify again, off the core, with
    /// [`BatchRules::with_all_the_time`].
    NeedsMoreWork(BatchHeader),
}

impl<'a> UnverifiedBatch<'a> {
    /// Checks one batch from a client: format, length, size, CRC, attributes, producer fields, counts, then every record.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(self, rules: &BatchRules) -> Result<Verified<'a>, BatchError> {
        let bytes = self.0;
        let header = check_header(bytes, rules)?;
        let codec = check_attributes(&header, rules)?;
        check_producer(&header)?;
        let count = header.records_count;
        // LogValidator.validateBatch: at least one record, and as many as there are offsets.
        if count < 1 || i64::from(header.last_offset_delta) + 1 != i64::from(count) {
            return Err(BatchError::Count { count, last_offset_delta: header.last_offset_delta });
        }
        let records = &bytes[BATCH_HEADER_BYTES..];
        let walked = match codec {
            Codec::None => walk(&mut SliceSource { rest: records }, count, rules.keys_required).map_err(|Wrong(error)| error)?,
            codec => match walk_compressed(codec, records, count, rules)? {
                Some(walked) => walked,
                None => return Ok(Verified::NeedsMoreWork(header)),
            },
        };
        Ok(Verified::Batch(Batch {
            header,
            bytes,
            min_timestamp: Timestamp(header.base_timestamp.0.saturating_add(walked.min_timestamp_delta)),
            max_timestamp: Timestamp(header.base_timestamp.0.saturating_add(walked.max_timestamp_delta)),
            max_timestamp_offset_delta: Some(walked.max_timestamp_index),
            _sealed: (),
        }))
    }
}

fn check_header(bytes: &[u8], rules: &BatchRules) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes).ok_or(BatchError::Truncated { expected: BATCH_HEADER_BYTES, came: bytes.len() })?;
    if header.magic != MAGIC {
        return Err(BatchError::Magic { came: header.magic });
    }
    let total = header.total_bytes().ok_or(BatchError::Length { minimum: BATCH_LENGTH_MIN, came: header.batch_length })?;
    if bytes.len() < total {
        return Err(BatchError::Truncated { expected: total, came: bytes.len() });
    }
    if bytes.len() > total {
        return Err(BatchError::TrailingBytes { came: bytes.len() - total });
    }
    if total > rules.message_bytes_max {
        return Err(BatchError::TooLarge { maximum: rules.message_bytes_max, came: total });
    }
    check_crc(&header, bytes)?;
    Ok(header)
}

fn check_attributes(header: &BatchHeader, rules: &BatchRules) -> Result<Codec, BatchError> {
    let attributes = header.attributes;
    let codec = attributes.codec().map_err(|came| BatchError::UnknownCodec { came })?;
    if codec == Codec::Zstd && !rules.zstd_allowed {
        return Err(BatchError::ZstdTooOld);
    }
    if attributes.is_control() {
        return Err(BatchError::ControlBatch);
    }
    if attributes.has_delete_horizon() {
        return Err(BatchError::BrokerAttribute { which: "delete horizon" });
    }
    if attributes.is_log_append_time() {
        return Err(BatchError::ClientLogAppendTime);
    }
    Ok(codec)
}

/// KIP-98: a producer id comes with an epoch and a sequence, and a transaction with a producer id.
fn check_producer(header: &BatchHeader) -> Result<(), BatchError> {
    if !header.has_producer_id() {
        let transactional = header.attributes.is_transactional();
        return if transactional { Err(BatchError::TransactionalWithoutProducer) } else { Ok(()) };
    }
    if header.base_sequence < 0 || header.producer_epoch < 0 {
        return Err(BatchError::Sequence {
            producer_id: header.producer_id.0,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        });
    }
    Ok(())
}

/// `None`: it would take more than the rules allow here.
fn walk_compressed(codec: Codec, records: &[u8], count: i32, rules: &BatchRules) -> Result<Option<Walked>, BatchError> {
    let too_large = BatchError::DecompressedTooLarge { maximum: rules.decompressed_bytes_max };
    let least = count as usize * RECORD_BYTES_MIN;
    if least > rules.decompressed_bytes_max {
        return Err(too_large);
    }
    let here = rules.decompress_here_bytes_max;
    if least > here || records.len().saturating_mul(codec.input_cost()) > here {
        return Ok(None);
    }
    let walked = StreamSource::new(codec, records, here.min(rules.decompressed_bytes_max))
        .map_err(Stop::Unpacking)
        .and_then(|mut source| walk(&mut source, count, rules.keys_required));
    match walked {
        Ok(walked) => Ok(Some(walked)),
        Err(Stop::Wrong(error)) => Err(error),
        Err(Stop::Unpacking(DecompressError::TooLarge { .. })) if here < rules.decompressed_bytes_max => Ok(None),
        Err(Stop::Unpacking(DecompressError::TooLarge { .. })) => Err(too_large),
        Err(Stop::Unpacking(DecompressError::Corrupt(reason))) => Err(BatchError::Decompress { codec: codec.name(), reason }),
    }
}

/// Uncompressed records: everything is in the window.
struct SliceSource<'a> {
    rest: &'a [u8],
}

struct Wrong(BatchError);

impl From<BatchError> for Wrong {
    fn from(error: BatchError) -> Wrong {
        Wrong(error)
    }
}

impl RecordSource for SliceSource<'_> {
    type Stop = Wrong;

    #[inline]
    fn window(&mut self, _wanted: usize) -> Result<&[u8], Wrong> {
        Ok(self.rest)
    }

    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    #[inline]
    fn skip(&mut self, bytes: usize) -> Result<bool, Wrong> {
        match self.rest.get(bytes..) {
            Some(rest) => {
                self.rest = rest;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// Compressed records: a window that moves over what comes out.
struct StreamSource<'a> {
    decompressor: Decompressor<'a>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    ended: bool,
}

const WINDOW_BYTES: usize = 32 * 1024;

enum Stop {
    Wrong(BatchError),
    Unpacking(DecompressError),
}

impl From<BatchError> for Stop {
    fn from(error: BatchError) -> Stop {
        Stop::Wrong(error)
    }
}

impl<'a> StreamSource<'a> {
    fn new(codec: Codec, records: &'a [u8], limit: usize) -> Result<StreamSource<'a>, DecompressError> {
        let decompressor = Decompressor::new(codec, records, limit)?;
        Ok(StreamSource { decompressor, buffer: vec![0; WINDOW_BYTES].into(), start: 0, end: 0, ended: false })
    }

    fn fill(&mut self, wanted: usize) -> Result<(), Stop> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < wanted && !self.ended {
            let came = self.decompressor.read(&mut self.buffer[self.end..]).map_err(Stop::Unpacking)?;
            self.end += came;
            self.ended = came == 0;
        }
        Ok(())
    }
}

impl RecordSource for StreamSource<'_> {
    type Stop = Stop;

    #[inline]
    fn window(&mut self, wanted: usize) -> Result<&[u8], Stop> {
        if self.end - self.start < wanted && !self.ended {
            self.fill(wanted)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
    }

    #[inline]
    fn skip(&mut self, mut bytes: usize) -> Result<bool, Stop> {
        while bytes > self.end - self.start {
            bytes -= self.end - self.start;
            self.start = self.end;
            if self.ended {
                return Ok(false);
            }
            self.fill(1)?;
        }
        self.start += bytes;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
