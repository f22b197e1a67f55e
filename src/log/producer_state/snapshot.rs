//! The bytes of a `.snapshot` file: the producers of a partition as they were at the offset that the file is named after.
//!
//! Pure; helper threads, as there may be many producers.
//!
//! | bytes | field | type |
//! |---|---|---|
//! | 0 | version (1) | i16 |
//! | 2 | CRC-32C of all that follows | u32 |
//! | 6 | number of entries | i32 |
//! | 10 | entries of 46 bytes | |
//!
//! | in an entry | field | type |
//! |---|---|---|
//! | 0 | producer id | i64 |
//! | 8 | producer epoch | i16 |
//! | 10 | last sequence, −1: no batch | i32 |
//! | 14 | last offset, −1: no batch | i64 |
//! | 22 | last offset less first offset of the last batch | i32 |
//! | 26 | timestamp | i64 |
//! | 34 | epoch of the transaction coordinator, −1: none | i32 |
//! | 38 | first offset of the open transaction, −1: none | i64 |
//!
//! Everything is big-endian. Source: Kafka's ProducerSnapshot.json. Kafka writes one entry per producer, for its last batch. We write one for each batch that is remembered,
//! the oldest first: Kafka keeps the last entry of an id, and we recognise a repetition of any of five batches after a restart too (docs/decisions/0012).

use std::collections::HashMap;

use super::producer::{Producer, RememberedBatch};
use super::table::ProducerTable;
use super::{Expiry, FrozenProducers, ProducerState};
use crate::base::{Offset, ProducerId, Timestamp};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const COUNT_AT: usize = 6;
const ENTRIES_AT: usize = 10;
const ENTRY_BYTES: usize = 46;

/// Why a snapshot is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotDamage {
    #[error("expected {expected} bytes or more, came {came}")]
    TooShort { expected: usize, came: usize },
    #[error("expected version {VERSION}, came {0}")]
    Version(i16),
    #[error("the CRC of its bytes is {computed:08x}, it says {stored:08x}")]
    Crc { stored: u32, computed: u32 },
    #[error("entry {0} tells of no producer and batch that can be")]
    Entry(usize),
}

/// The bytes to write.
pub fn encode(producers: &FrozenProducers) -> Vec<u8> {
    let count: usize = producers.iter().map(|producer| producer.batches().len().max(1)).sum();
    let mut bytes = Vec::with_capacity(ENTRIES_AT + count * ENTRY_BYTES);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes());
    for producer in producers.iter() {
        match producer.batches().split_last() {
            None => put_entry(&mut bytes, producer, None, producer.last_timestamp),
            Some((last, older)) => {
                older.iter().for_each(|batch| put_entry(&mut bytes, producer, Some(batch), batch.timestamp));
                // A marker may have come behind the last batch: the producer's time counts.
                put_entry(&mut bytes, producer, Some(last), producer.last_timestamp);
            }
        }
    }
    let crc = crc32c::crc32c(&bytes[COUNT_AT..]);
    bytes[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn put_entry(bytes: &mut Vec<u8>, producer: &Producer, batch: Option<&RememberedBatch>, timestamp: Timestamp) {
    let (last_sequence, last_offset, offset_delta) =
        batch.map_or((-1, -1, 0), |batch| (batch.last_sequence, batch.last_offset.0, batch.offset_delta));
    bytes.extend(producer.id.0.to_be_bytes());
    bytes.extend(producer.epoch.to_be_bytes());
    bytes.extend(last_sequence.to_be_bytes());
    bytes.extend(last_offset.to_be_bytes());
    bytes.extend(offset_delta.to_be_bytes());
    bytes.extend(timestamp.0.to_be_bytes());
    bytes.extend(producer.coordinator_epoch.to_be_bytes());
    bytes.extend(producer.current_transaction_first_offset.0.to_be_bytes());
}

/// The producers that a file tells of. Bytes behind the last entry do not count, as in Kafka, but the CRC is over them too.
///
/// # Errors
/// See [`SnapshotDamage`].
pub fn decode(bytes: &[u8]) -> Result<ProducerState, SnapshotDamage> {
    let too_short = |expected| SnapshotDamage::TooShort { expected, came: bytes.len() };
    let head: &[u8; ENTRIES_AT] = bytes.first_chunk().ok_or(too_short(ENTRIES_AT))?;
    let version = i16::from_be_bytes([head[0], head[1]]);
    if version != VERSION {
        return Err(SnapshotDamage::Version(version));
    }
    let stored = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
    let computed = crc32c::crc32c(&bytes[COUNT_AT..]);
    if stored != computed {
        return Err(SnapshotDamage::Crc { stored, computed });
    }
    let count = usize::try_from(i32::from_be_bytes([head[6], head[7], head[8], head[9]])).unwrap_or(0);
    let entries = &bytes[ENTRIES_AT..];
    if entries.len() / ENTRY_BYTES < count {
        return Err(too_short(ENTRIES_AT + count * ENTRY_BYTES));
    }
    // All that the file holds, for a moment: which of them wrote last is known at its end.
    let mut found = Found::default();
    for (at, entry) in entries.chunks_exact(ENTRY_BYTES).take(count).enumerate() {
        found.take_entry(entry).ok_or(SnapshotDamage::Entry(at))?;
    }
    Ok(ProducerState { producers: ProducerTable::restore(found.producers), expiry: Expiry::default() })
}

/// The producers of the entries so far, in the order of their first ones.
#[derive(Default)]
struct Found {
    producers: Vec<Producer>,
    places: HashMap<ProducerId, usize>,
}

impl Found {
    fn take_entry(&mut self, entry: &[u8]) -> Option<()> {
        let i16_at = |at: usize| Some(i16::from_be_bytes(*entry.get(at..)?.first_chunk()?));
        let i32_at = |at: usize| Some(i32::from_be_bytes(*entry.get(at..)?.first_chunk()?));
        let i64_at = |at: usize| Some(i64::from_be_bytes(*entry.get(at..)?.first_chunk()?));
        let id = Some(ProducerId(i64_at(0)?)).filter(|id| id.0 >= 0)?;
        let (last_sequence, last_offset, offset_delta) = (i32_at(10)?, i64_at(14)?, i32_at(22)?);
        let timestamp = Timestamp(i64_at(26)?);
        let place = *self.places.entry(id).or_insert(self.producers.len());
        if place == self.producers.len() {
            self.producers.push(Producer::new(id));
        }
        let producer = &mut self.producers[place];
        producer.set_epoch(i16_at(8)?);
        if last_offset >= 0 {
            let possible = last_sequence >= 0 && offset_delta >= 0 && i64::from(offset_delta) <= last_offset;
            possible.then_some(())?;
            producer.remember(RememberedBatch { last_offset: Offset(last_offset), timestamp, last_sequence, offset_delta });
        }
        producer.last_timestamp = timestamp;
        producer.coordinator_epoch = i32_at(34)?;
        producer.current_transaction_first_offset = Offset(i64_at(38)?.max(-1));
        Some(())
    }
}
