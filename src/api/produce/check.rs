//! What a topic asks of the batches it is sent.
//!
//! Runs on the core of the connection, or on a helper thread for batches that take long to unpack.

use crate::base::Timestamp;
use crate::base::limits::{DECOMPRESS_ON_CORE_BYTES_MAX, DECOMPRESSED_BATCH_BYTES_MAX};
use crate::cluster::topic_config::{TimestampType, TopicConfig};
use crate::wire::batch::{self, Batch, BatchRules, Verified};
use crate::wire::batch_error::BatchError;
use crate::wire::compression::Codec;

/// zstd may be sent from this version of Produce on (KIP-110).
const ZSTD_FROM: i16 = 7;
/// Walking the records of a batch of this size takes some hundred microseconds.
const LARGE_BATCH_BYTES: usize = 64 * 1024;

/// The batch that may be stored, or too much work for a core.
pub(super) enum Checked<'a> {
    Batch(Batch<'a>),
    NeedsMoreWork,
}

impl Checked<'_> {
    /// Whether checking it may have taken long enough to look at the clock again: it was unpacked, or is large.
    pub(super) fn took_long(&self) -> bool {
        match self {
            Checked::Batch(batch) => batch.header.attributes.codec() != Ok(Codec::None) || batch.bytes.len() >= LARGE_BATCH_BYTES,
            Checked::NeedsMoreWork => false,
        }
    }
}

/// What the batches of one topic are held against now.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopicRules {
    batch: BatchRules,
    /// The earliest and the latest time that a record may carry; `None`: the broker's own time replaces it.
    timestamps: Option<(Timestamp, Timestamp)>,
}

impl TopicRules {
    /// `is_busy`: the core has unpacked enough in this turn, the rest is for helper threads.
    pub(super) fn new(version: i16, config: &TopicConfig, now: Timestamp, is_busy: bool) -> TopicRules {
        let batch = BatchRules {
            message_bytes_max: config.message_bytes_max as usize,
            decompressed_bytes_max: DECOMPRESSED_BATCH_BYTES_MAX,
            decompress_here_bytes_max: if is_busy { 0 } else { DECOMPRESS_ON_CORE_BYTES_MAX },
            keys_required: config.cleanup_policy.compact,
            zstd_allowed: version >= ZSTD_FROM,
        };
        let earliest = config.timestamp_before_ms_max.map_or(i64::MIN, |before| now.0.saturating_sub(before));
        let latest = config.timestamp_after_ms_max.map_or(i64::MAX, |after| now.0.saturating_add(after));
        let is_client_time = config.timestamp_type == TimestampType::CreateTime;
        TopicRules { batch, timestamps: is_client_time.then_some((Timestamp(earliest), Timestamp(latest))) }
    }

    /// The same rules for a helper thread.
    pub(super) fn with_all_the_time(self) -> TopicRules {
        TopicRules { batch: self.batch.with_all_the_time(), ..self }
    }

    /// Checks what was sent for one partition. As in Kafka since Produce 3, that is exactly one batch.
    pub(super) fn check<'a>(&self, records: &'a [u8]) -> Result<Checked<'a>, BatchError> {
        let mut batches = batch::split(records)?;
        let (Some(unverified), came) = (batches.next(), batches.len() + 1) else { return Err(BatchError::NoBatch) };
        if came > 1 {
            return Err(BatchError::SeveralBatches { came });
        }
        match unverified.verify(&self.batch)? {
            Verified::Batch(batch) => self.check_timestamps(&batch).map(|()| Checked::Batch(batch)),
            Verified::NeedsMoreWork(_) => Ok(Checked::NeedsMoreWork),
        }
    }

    /// `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` (KIP-937). A record without a timestamp passes.
    fn check_timestamps(&self, batch: &Batch<'_>) -> Result<(), BatchError> {
        let Some((earliest, latest)) = self.timestamps else { return Ok(()) };
        if batch.max_timestamp > latest {
            let index = batch.max_timestamp_offset_delta;
            return Err(BatchError::Timestamp { came: batch.max_timestamp.0, earliest: earliest.0, latest: latest.0, index });
        }
        if batch.min_timestamp < earliest && batch.min_timestamp != Timestamp::NONE {
            return Err(BatchError::Timestamp { came: batch.min_timestamp.0, earliest: earliest.0, latest: latest.0, index: None });
        }
        Ok(())
    }
}
