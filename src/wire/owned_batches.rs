//! Verified batches that outlive the memory they came in, or wait in it: what verification found, apart from the bytes or with a copy of them.
//!
//! Invariant: made from [`Batch`]es only, so nobody need check them again.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::batch::{Batch, BatchHeader};
use crate::base::Timestamp;

/// Batches of one partition, in order.
#[derive(Clone, Debug)]
pub struct OwnedBatches {
    bytes: Bytes,
    batches: Vec<(Range<usize>, BatchDescription)>,
}

/// What verification found in a batch, apart from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct BatchDescription {
    header: BatchHeader,
    min_timestamp: Timestamp,
    max_timestamp: Timestamp,
    max_timestamp_offset_delta: Option<i32>,
}

impl BatchDescription {
    pub fn of(batch: &Batch<'_>) -> BatchDescription {
        BatchDescription {
            header: batch.header,
            min_timestamp: batch.min_timestamp,
            max_timestamp: batch.max_timestamp,
            max_timestamp_offset_delta: batch.max_timestamp_offset_delta,
        }
    }

    /// The batch again. `bytes` are those that were verified, wherever they lie now.
    ///
    /// # Panics
    /// If they are not as long as the batch.
    pub fn over(self, bytes: &[u8]) -> Batch<'_> {
        assert_eq!(self.header.total_bytes(), Some(bytes.len()), "these are the bytes of another batch");
        Batch {
            header: self.header,
            bytes,
            min_timestamp: self.min_timestamp,
            max_timestamp: self.max_timestamp,
            max_timestamp_offset_delta: self.max_timestamp_offset_delta,
            _sealed: (),
        }
    }
}

impl OwnedBatches {
    /// Copies `batches`.
    pub fn copy(batches: &[Batch<'_>]) -> OwnedBatches {
        let mut bytes = BytesMut::with_capacity(batches.iter().map(|batch| batch.bytes.len()).sum());
        let describe = |batch: &Batch<'_>| {
            let start = bytes.len();
            bytes.extend_from_slice(batch.bytes);
            (start..bytes.len(), BatchDescription::of(batch))
        };
        let batches = batches.iter().map(describe).collect();
        OwnedBatches { bytes: bytes.freeze(), batches }
    }

    /// The batches again.
    pub fn batches(&self) -> Vec<Batch<'_>> {
        self.batches.iter().map(|(range, description)| description.over(&self.bytes[range.clone()])).collect()
    }
}
