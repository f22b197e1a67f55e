//! Which records of a batch stay, and what becomes of the batch.
//!
//! Pure; the cleaner's thread. Kafka's rules (Cleaner, MemoryRecords.filterTo):
//! - a record goes when a later one of its key stands in the map; so does one without a key. What lies behind the map stays.
//! - a tombstone stays until the batch's delete horizon, which the first cleaning that keeps it sets: `delete.retention.ms` from then (KIP-534).
//! - records of aborted transactions go; a marker goes at its horizon, which is set once nothing of its transaction is left.
//! - a batch without records goes, unless it holds the last sequence of an active producer (KIP-98), or is the last one of the cleaning: an empty batch is left then.
//! - a batch that loses nothing stays byte for byte.

use std::borrow::Cow;

use super::offset_map::OffsetMap;
use super::transactions::{Marker, TransactionsSeen};
use crate::base::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use crate::base::{Offset, Timestamp};
use crate::log::producer_state::LastRecords;
use crate::wire::batch::{Batch, BatchHeader};
use crate::wire::rebuilt;
use crate::wire::records::{Record, Records};
use crate::wire::{BatchError, Codec};

/// What one cleaning goes by.
pub struct Filter<'a> {
    pub map: &'a OffsetMap,
    /// The map knows the records below.
    pub map_end: Offset,
    pub now: Timestamp,
    pub delete_retention_ms: i64,
    /// Of the producers that may go on: their batches stay, with or without records.
    pub last_records: &'a LastRecords,
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Byte for byte.
    Keep,
    Drop,
    Replace(Vec<u8>),
}

impl Filter<'_> {
    /// Judges one batch of a log. `is_last`: of those that are cleaned.
    ///
    /// # Errors
    /// The batch cannot be read.
    pub fn judge(&self, batch: &Batch<'_>, is_last: bool, transactions: &mut TransactionsSeen) -> Result<Verdict, BatchError> {
        let header = &batch.header;
        let attributes = header.attributes;
        let Some(unpacked) = unpack(batch)? else {
            transactions.on_batch(header);
            return Ok(Verdict::Keep);
        };
        let (may_go, records_go) = if attributes.is_control() {
            let record = Records::new(&unpacked, header.records_count).next().transpose()?;
            let may_go = transactions.on_control_batch(header, record.map(|record| Marker::parse(record.key)));
            (may_go, may_go && self.is_past_horizon(header))
        } else {
            let is_aborted = transactions.on_batch(header);
            (is_aborted, is_aborted)
        };
        let stays_empty = is_last || self.is_last_of_its_producer(header);
        if records_go && !stays_empty {
            return Ok(Verdict::Drop);
        }
        let mut kept = Vec::new();
        let mut has_tombstone = false;
        for record in Records::new(&unpacked, header.records_count) {
            let record = record?;
            if !records_go && (attributes.is_control() || self.stays(header, &record)) {
                has_tombstone |= record.value.is_none();
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(match (stays_empty, header.records_count) {
                (true, 0) => Verdict::Keep,
                (true, _) => Verdict::Replace(rebuilt::emptied(header)),
                (false, _) => Verdict::Drop,
            });
        }
        let needs_horizon = !attributes.has_delete_horizon() && (has_tombstone || attributes.is_control() && may_go);
        if kept.len() == header.records_count as usize && !needs_horizon {
            return Ok(Verdict::Keep);
        }
        let horizon = match needs_horizon {
            true => Some(Timestamp(self.now.0.saturating_add(self.delete_retention_ms))),
            false => delete_horizon(header),
        };
        let codec = attributes.codec().map_err(|came| BatchError::UnknownCodec { came })?;
        Ok(Verdict::Replace(rebuilt::with_records(header, codec, kept.into_iter(), horizon)))
    }

    fn stays(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        if offset >= self.map_end {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = self.map.get(key).is_none_or(|latest| offset >= latest);
        is_latest && (record.value.is_some() || !self.is_past_horizon(header))
    }

    /// The batch has a delete horizon, and it has come.
    fn is_past_horizon(&self, header: &BatchHeader) -> bool {
        delete_horizon(header).is_some_and(|horizon| horizon <= self.now)
    }

    fn is_last_of_its_producer(&self, header: &BatchHeader) -> bool {
        header.has_producer_id()
            && self.last_records.get(&header.producer_id).is_some_and(|last| match last.last_data_offset {
                Some(offset) => header.last_offset() == offset,
                // The marker has the epoch that fences.
                None => header.attributes.is_control() && header.producer_epoch == last.epoch,
            })
    }
}

/// The records of a batch; `None` if they are more than this broker unpacks: such a batch, which another broker wrote, stays as it is.
///
/// # Errors
/// The batch cannot be read.
pub fn unpack<'a>(batch: &Batch<'a>) -> Result<Option<Cow<'a, [u8]>>, BatchError> {
    match batch.unpack(DECOMPRESSED_BATCH_BYTES_MAX) {
        Err(BatchError::DecompressedTooLarge { .. }) if batch.header.attributes.codec() != Ok(Codec::None) => Ok(None),
        unpacked => unpacked.map(Some),
    }
}

/// When the tombstones or the marker of the batch may go.
fn delete_horizon(header: &BatchHeader) -> Option<Timestamp> {
    header.attributes.has_delete_horizon().then_some(header.base_timestamp)
}

#[cfg(test)]
mod tests;
