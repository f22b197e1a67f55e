//! The record batches that a run sends: all alike.

use std::time::{SystemTime, UNIX_EPOCH};

use pagewire::base::Timestamp;
use pagewire::wire::builder::RecordBatchBuilder;
use pagewire::wire::compression::Codec;

const HEADER_BYTES: usize = 61;
/// Length, attributes, deltas and lengths of a record without key and headers, at their usual sizes.
const RECORD_OVERHEAD_BYTES: usize = 10;

/// One batch and how many records it has.
pub struct Batch {
    pub bytes: Vec<u8>,
    pub records: i64,
}

impl Batch {
    /// About `batch_bytes` of records with values of `value_bytes`; with 0, one record fills the batch. Its time is now.
    pub fn of(batch_bytes: usize, value_bytes: usize) -> Batch {
        let room = batch_bytes.saturating_sub(HEADER_BYTES).max(RECORD_OVERHEAD_BYTES + 1);
        let value_bytes = if value_bytes == 0 { room - RECORD_OVERHEAD_BYTES } else { value_bytes };
        let records = (room / (value_bytes + RECORD_OVERHEAD_BYTES)).max(1);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970").as_millis() as i64;
        let value: Vec<u8> = (0..value_bytes).map(|at| (at * 31) as u8).collect();
        let mut builder = RecordBatchBuilder::new(Codec::None);
        (0..records).for_each(|_| builder.append(Timestamp(now_ms), None, Some(&value), &[]));
        Batch { bytes: builder.build(), records: records as i64 }
    }
}
