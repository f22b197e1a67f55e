//! What can be wrong with a record batch, in words for a person and as the code that the client gets.
//!
//! Invariant: `error_code` is the only place that maps a bad batch to a Kafka error code.

use thiserror::Error;

use crate::base::ErrorCode;

/// Why a batch was refused. The `Display` text goes into logs and into the `error_message` of a Produce answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    #[error("expected at least one record batch, the partition's records are empty: leave the partition out of the request instead")]
    NoBatch,
    #[error("expected one record batch for each partition, {came} came: send the others with the next request")]
    SeveralBatches { came: usize },
    #[error(
        "a record has timestamp {came}, the topic takes {earliest} to {latest}: set the producer's clock, or the topic's \
         message.timestamp.before.max.ms and message.timestamp.after.max.ms"
    )]
    Timestamp { came: i64, earliest: i64, latest: i64, index: Option<i32> },
    #[error("expected {expected} bytes of record batch, {came} are there: the batch was cut short")]
    Truncated { expected: usize, came: usize },
    #[error("expected a batch length of at least {minimum}, the field says {came}: the batch header is damaged")]
    Length { minimum: i32, came: i32 },
    #[error("{came} bytes follow the batch that its length field does not cover")]
    TrailingBytes { came: usize },
    #[error("expected record batches of format 2, format {came} came: use a client that speaks Kafka 0.11 or later")]
    Magic { came: i8 },
    #[error("expected CRC-32C {computed:#010x}, the header says {stored:#010x}: the batch was damaged on its way")]
    Crc { stored: u32, computed: u32 },
    #[error("the batch has {came} bytes, the topic takes {maximum}: lower the producer's batch size or raise max.message.bytes")]
    TooLarge { maximum: usize, came: usize },
    #[error("the batch unpacks to more than {maximum} bytes: send smaller batches")]
    DecompressedTooLarge { maximum: usize },
    #[error("compression type {came} does not exist: expected 0 to 4 (none, gzip, snappy, lz4, zstd)")]
    UnknownCodec { came: u8 },
    #[error("zstd needs Produce version 7 or later (KIP-110): use a newer client or another compression.type")]
    ZstdTooOld,
    #[error("the {codec} data of the batch cannot be unpacked: {reason}")]
    Decompress { codec: &'static str, reason: String },
    #[error(
        "expected a record count of at least 1 that equals the last offset delta + 1, count {count} and delta {last_offset_delta} came"
    )]
    Count { count: i32, last_offset_delta: i32 },
    #[error("expected {expected} records in the batch, its bytes end after {came}")]
    TooFewRecords { expected: i32, came: i32 },
    #[error("bytes follow the last of the {expected} records that the batch header announces")]
    TooManyRecords { expected: i32 },
    #[error("record {index} of the batch is damaged: {reason}")]
    Record { index: i32, reason: &'static str },
    #[error("record {index} of the batch has offset delta {came}, expected {index}: offsets in a batch rise by one")]
    OffsetDelta { index: i32, came: i32 },
    #[error("record {index} has no key, and the topic is compacted: set a key or change cleanup.policy")]
    KeyRequired { index: i32 },
    #[error("control batches are written by brokers only")]
    ControlBatch,
    #[error("a producer cannot set the attribute {which}, only a broker can")]
    BrokerAttribute { which: &'static str },
    #[error("a producer cannot send LogAppendTime timestamps: send CreateTime, the topic's message.timestamp.type decides")]
    ClientLogAppendTime,
    #[error("producer id {producer_id} came with sequence {base_sequence} and epoch {producer_epoch}: expected both to be 0 or larger")]
    Sequence { producer_id: i64, producer_epoch: i16, base_sequence: i32 },
    #[error("a transactional batch needs a producer id: call InitProducerId first")]
    TransactionalWithoutProducer,
}

impl BatchError {
    /// The code a Produce answer carries for this batch.
    ///
    /// As in Apache Kafka's `LogValidator` and `UnifiedLog`, except that broken compressed data is CORRUPT_MESSAGE (there it
    /// becomes UNKNOWN_SERVER_ERROR) and magic 0 and 1 are UNSUPPORTED_FOR_MESSAGE_FORMAT.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            BatchError::Truncated { .. }
            | BatchError::Length { .. }
            | BatchError::TrailingBytes { .. }
            | BatchError::Crc { .. }
            | BatchError::Decompress { .. } => ErrorCode::CorruptMessage,
            BatchError::Magic { .. } => ErrorCode::UnsupportedForMessageFormat,
            // MESSAGE_TOO_LARGE makes the Java producer split the batch and send it again.
            BatchError::TooLarge { .. } | BatchError::DecompressedTooLarge { .. } => ErrorCode::MessageTooLarge,
            BatchError::UnknownCodec { .. } | BatchError::ZstdTooOld => ErrorCode::UnsupportedCompressionType,
            BatchError::ClientLogAppendTime | BatchError::Timestamp { .. } => ErrorCode::InvalidTimestamp,
            BatchError::NoBatch
            | BatchError::SeveralBatches { .. }
            | BatchError::Count { .. }
            | BatchError::TooFewRecords { .. }
            | BatchError::TooManyRecords { .. }
            | BatchError::Record { .. }
            | BatchError::OffsetDelta { .. }
            | BatchError::KeyRequired { .. }
            | BatchError::ControlBatch
            | BatchError::BrokerAttribute { .. }
            | BatchError::Sequence { .. }
            | BatchError::TransactionalWithoutProducer => ErrorCode::InvalidRecord,
        }
    }

    /// The index in the batch of the record at fault, for `record_errors` of a Produce answer (KIP-467).
    pub fn record_index(&self) -> Option<i32> {
        match self {
            BatchError::Record { index, .. } | BatchError::OffsetDelta { index, .. } | BatchError::KeyRequired { index } => Some(*index),
            BatchError::Timestamp { index, .. } => *index,
            _ => None,
        }
    }
}
