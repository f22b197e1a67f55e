//! A stored batch with fewer of its records, as compaction leaves it.
//!
//! Pure; any thread. What stays as it was: base offset, last offset delta, leader epoch, producer fields, codec, timestamp type, and of each record its offset,
//! timestamp, key, value and headers. What changes: the count, the largest timestamp (of the records that are left), the base timestamp (the first left record's, or the
//! delete horizon, KIP-534), the lengths and the CRC. Apache Kafka makes the same bytes but for what its codecs do otherwise.
//!
//! Invariant: what is built passes `batch::check_stored`.

use crc32c::crc32c;

use super::batch::{Attributes, BATCH_CRC_START, BATCH_HEADER_BYTES, BATCH_LOG_OVERHEAD, BatchHeader};
use super::builder::put_varlong;
use super::compression::{Codec, compress};
use super::records::Record;
use crate::base::Timestamp;

/// The time of a record: its own, or the broker's at the append.
pub fn timestamp_of(header: &BatchHeader, record: &Record<'_>) -> Timestamp {
    match header.attributes.is_log_append_time() {
        true => header.max_timestamp,
        false => Timestamp(header.base_timestamp.0.saturating_add(record.timestamp_delta)),
    }
}

/// The batch with these of its records, which are at least one. `delete_horizon`: when its tombstones, or its transaction marker, may go.
///
/// # Panics
/// If there is no record.
pub fn with_records<'a>(
    header: &BatchHeader,
    codec: Codec,
    records: impl Iterator<Item = Record<'a>>,
    delete_horizon: Option<Timestamp>,
) -> Vec<u8> {
    let mut body = Vec::new();
    let mut record_bytes = Vec::new();
    let mut base_timestamp = delete_horizon;
    let mut max_timestamp = Timestamp::NONE;
    let mut count = 0;
    for record in records {
        let timestamp = timestamp_of(header, &record);
        let base = *base_timestamp.get_or_insert(timestamp);
        max_timestamp = max_timestamp.max(timestamp);
        count += 1;
        record_bytes.clear();
        record_bytes.push(0);
        put_varlong(&mut record_bytes, timestamp.0.wrapping_sub(base.0));
        put_varlong(&mut record_bytes, i64::from(record.offset_delta));
        record_bytes.extend_from_slice(record.body);
        put_varlong(&mut body, record_bytes.len() as i64);
        body.extend_from_slice(&record_bytes);
    }
    assert!(count > 0, "a batch without records is made by `emptied`");
    let packed = match codec {
        Codec::None => body,
        codec => compress(codec, &body),
    };
    let mut attributes = Attributes(header.attributes.0 & !Attributes::DELETE_HORIZON);
    if delete_horizon.is_some() {
        attributes = attributes.with(Attributes::DELETE_HORIZON);
    }
    let max_timestamp = if attributes.is_log_append_time() { header.max_timestamp } else { max_timestamp };
    let base_timestamp = base_timestamp.unwrap_or(Timestamp::NONE);
    build(BatchHeader { attributes, base_timestamp, max_timestamp, records_count: count, ..*header }, &packed)
}

/// The batch without any record: it keeps the place of its offsets and the last sequence of its producer.
pub fn emptied(header: &BatchHeader) -> Vec<u8> {
    let kept = Attributes::LOG_APPEND_TIME | Attributes::TRANSACTIONAL | Attributes::CONTROL;
    let attributes = Attributes(header.attributes.0 & kept);
    build(BatchHeader { attributes, base_timestamp: Timestamp::NONE, records_count: 0, ..*header }, &[])
}

fn build(header: BatchHeader, packed: &[u8]) -> Vec<u8> {
    let mut header = BatchHeader { batch_length: (BATCH_HEADER_BYTES - BATCH_LOG_OVERHEAD + packed.len()) as i32, crc: 0, ..header };
    let mut bytes = vec![0; BATCH_HEADER_BYTES];
    bytes.extend_from_slice(packed);
    let mut written = [0; BATCH_HEADER_BYTES];
    header.write(&mut written);
    bytes[..BATCH_HEADER_BYTES].copy_from_slice(&written);
    header.crc = crc32c(&bytes[BATCH_CRC_START..]);
    header.write(&mut written);
    bytes[..BATCH_HEADER_BYTES].copy_from_slice(&written);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{LeaderEpoch, Offset, ProducerId};
    use crate::wire::batch::{Batch, check_stored};
    use crate::wire::{RecordBatchBuilder, Records};

    fn original(codec: Codec, flag: i16) -> Vec<u8> {
        let mut builder = RecordBatchBuilder::new(codec).producer(ProducerId(7), 3, 11).placed(Offset(1000), LeaderEpoch(5)).flag(flag);
        for i in 0..6i64 {
            let header = [("where", Some(&b"here"[..])), ("", None)];
            let value = format!("value {i}");
            let value = (i != 3).then_some(value.as_bytes());
            builder.append(Timestamp(1_000_000 + (i * 37) % 5 * 100), Some(&[i as u8]), value, &header[..(i % 3) as usize]);
        }
        builder.build()
    }

    /// Offset, timestamp, key, value and headers.
    type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    fn records_of(bytes: &[u8]) -> Vec<Plain> {
        let batch = Batch::stored(bytes).unwrap();
        let unpacked = batch.unpack(1 << 20).unwrap();
        let plain = |record: Record<'_>| {
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let headers = record.headers.map(|(key, value)| (key.to_vec(), owned(value))).collect();
            let offset = batch.header.base_offset.plus(i64::from(record.offset_delta)).0;
            (offset, timestamp_of(&batch.header, &record).0, owned(record.key), owned(record.value), headers)
        };
        Records::new(&unpacked, batch.header.records_count).map(|record| plain(record.unwrap())).collect()
    }

    fn rebuilt(bytes: &[u8], keep: &[bool], horizon: Option<Timestamp>) -> Vec<u8> {
        let batch = Batch::stored(bytes).unwrap();
        let unpacked = batch.unpack(1 << 20).unwrap();
        let records = Records::new(&unpacked, batch.header.records_count).map(|record| record.unwrap());
        let kept = records.zip(keep).filter(|(_, keep)| **keep).map(|(record, _)| record);
        with_records(&batch.header, batch.header.attributes.codec().unwrap(), kept, horizon)
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_as_it_was(
            codec in prop::sample::select(Codec::ALL.to_vec()),
            keep in prop::collection::vec(any::<bool>(), 6),
            horizon in prop::option::of(0i64..2_000_000_000_000),
            log_append_time in any::<bool>(),
        ) {
            prop_assume!(keep.contains(&true));
            let flag = if log_append_time { Attributes::LOG_APPEND_TIME } else { 0 };
            let before = original(codec, flag);
            let after = rebuilt(&before, &keep, horizon.map(Timestamp));
            let expected: Vec<Plain> = records_of(&before).into_iter().zip(&keep).filter(|(_, keep)| **keep).map(|(r, _)| r).collect();
            prop_assert_eq!(records_of(&after), expected.clone());
            let (old, new) = (check_stored(&before).unwrap(), check_stored(&after).unwrap());
            prop_assert_eq!(new.total_bytes(), Some(after.len()));
            prop_assert_eq!((new.base_offset, new.last_offset(), new.partition_leader_epoch), (old.base_offset, old.last_offset(), old.partition_leader_epoch));
            prop_assert_eq!((new.producer_id, new.producer_epoch, new.base_sequence), (old.producer_id, old.producer_epoch, old.base_sequence));
            prop_assert_eq!(new.attributes.codec(), Ok(codec));
            prop_assert_eq!(new.attributes.has_delete_horizon(), horizon.is_some());
            prop_assert_eq!(new.attributes.is_log_append_time(), log_append_time);
            prop_assert_eq!(new.base_timestamp.0, horizon.unwrap_or(expected[0].1));
            prop_assert_eq!(new.max_timestamp.0, expected.iter().map(|r| r.1).max().unwrap());
            // The horizon stays in the next cleaning, and can be taken off.
            let again = rebuilt(&after, &vec![true; expected.len()], None);
            prop_assert_eq!(records_of(&again), expected);
            prop_assert!(!check_stored(&again).unwrap().attributes.has_delete_horizon());
        }
    }

    #[test]
    fn without_a_change_the_bytes_are_the_same() {
        let before = original(Codec::None, Attributes::TRANSACTIONAL);
        assert_eq!(rebuilt(&before, &[true; 6], None), before);
    }

    #[test]
    fn an_emptied_batch_keeps_what_its_producer_needs() {
        let before = original(Codec::Zstd, Attributes::TRANSACTIONAL | Attributes::DELETE_HORIZON);
        let after = emptied(&check_stored(&before).unwrap());
        let (old, new) = (check_stored(&before).unwrap(), check_stored(&after).unwrap());
        assert_eq!(after.len(), BATCH_HEADER_BYTES);
        assert_eq!(
            (new.base_offset, new.last_offset(), new.max_timestamp, new.base_timestamp, new.records_count),
            (old.base_offset, old.last_offset(), old.max_timestamp, Timestamp::NONE, 0)
        );
        assert_eq!((new.producer_id, new.producer_epoch, new.last_sequence()), (ProducerId(7), 3, 16));
        assert_eq!(new.attributes, Attributes(Attributes::TRANSACTIONAL));
        assert!(records_of(&after).is_empty());
    }
}
