//! Verified batches on their way to another thread: a copy of their bytes and what verification found.
//!
//! Invariant: made from [`Batch`]es only, so the receiving side need not check them again.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::batch::{Batch, BatchHeader};
use crate::base::Timestamp;

/// Batches of one partition, in order.
#[derive(Clone, Debug)]
pub struct OwnedBatches {
    bytes: Bytes,
    batches: Vec<Described>,
}

#[derive(Clone, Debug)]
struct Described {
    range: Range<usize>,
    header: BatchHeader,
    min_timestamp: Timestamp,
    max_timestamp: Timestamp,
    max_timestamp_offset_delta: Option<i32>,
}

impl OwnedBatches {
    /// Copies `batches`.
    pub fn copy(batches: &[Batch<'_>]) -> OwnedBatches {
        let mut bytes = BytesMut::with_capacity(batches.iter().map(|batch| batch.bytes.len()).sum());
        let describe = |batch: &Batch<'_>| {
            let start = bytes.len();
            bytes.extend_from_slice(batch.bytes);
            Described {
                range: start..bytes.len(),
                header: batch.header,
                min_timestamp: batch.min_timestamp,
                max_timestamp: batch.max_timestamp,
                max_timestamp_offset_delta: batch.max_timestamp_offset_delta,
            }
        };
        let batches = batches.iter().map(describe).collect();
        OwnedBatches { bytes: bytes.freeze(), batches }
    }

    /// The batches again.
    pub fn batches(&self) -> Vec<Batch<'_>> {
        let borrow = |batch: &Described| Batch {
            header: batch.header,
            bytes: &self.bytes[batch.range.clone()],
            min_timestamp: batch.min_timestamp,
            max_timestamp: batch.max_timestamp,
            max_timestamp_offset_delta: batch.max_timestamp_offset_delta,
            _sealed: (),
        };
        self.batches.iter().map(borrow).collect()
    }
}
