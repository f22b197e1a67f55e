//! Each rule of the filter by itself.

use super::super::transactions::AbortedTransaction;
use super::*;
use crate::base::{LeaderEpoch, ProducerId};
use crate::log::producer_state::LastRecord;
use crate::wire::RecordBatchBuilder;
use crate::wire::batch::{Attributes, check_stored};

const NOW: Timestamp = Timestamp(1_000_000);
const RETENTION_MS: i64 = 500;

/// Keys and values; offsets from `base` on.
fn batch(base: i64, records: &[(&str, Option<&str>)]) -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(Codec::Lz4).placed(Offset(base), LeaderEpoch(1));
    for (i, (key, value)) in records.iter().enumerate() {
        builder.append(Timestamp(100 + i as i64), Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder
}

struct Case {
    map: OffsetMap,
    last_records: LastRecords,
    transactions: TransactionsSeen,
    map_end: Offset,
    now: Timestamp,
}

impl Case {
    /// The map as the dirty part made it.
    fn new(last_offsets: &[(&str, i64)]) -> Case {
        let mut map = OffsetMap::new(100, 1 << 20, 0.9);
        last_offsets.iter().for_each(|(key, offset)| assert!(map.put(key.as_bytes(), Offset(*offset))));
        let (last_records, transactions) = (LastRecords::new(), TransactionsSeen::default());
        Case { map, last_records, transactions, map_end: Offset(1000), now: NOW }
    }

    fn judge(&mut self, bytes: &[u8], is_last: bool) -> Verdict {
        let filter = Filter {
            map: &self.map,
            map_end: self.map_end,
            now: self.now,
            delete_retention_ms: RETENTION_MS,
            last_records: &self.last_records,
        };
        filter.judge(&Batch::stored(bytes).unwrap(), is_last, &mut self.transactions).unwrap()
    }
}

/// Offsets and whether there is a value; the horizon.
fn left(verdict: &Verdict) -> (Vec<(i64, bool)>, Option<i64>) {
    let Verdict::Replace(bytes) = verdict else { panic!("{verdict:?}") };
    let batch = Batch::stored(bytes).unwrap();
    let unpacked = batch.unpack(1 << 20).unwrap();
    let records = Records::new(&unpacked, batch.header.records_count).map(|record| record.unwrap());
    let records = records.map(|record| (batch.header.base_offset.0 + i64::from(record.offset_delta), record.value.is_some()));
    (records.collect(), delete_horizon(&batch.header).map(|horizon| horizon.0))
}

#[test]
fn the_last_record_of_each_key_stays() {
    let bytes = batch(10, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]).build();
    assert_eq!(Case::new(&[("a", 10), ("b", 11)]).judge(&bytes, false), Verdict::Keep, "what is not in the map is not newer");
    assert_eq!(left(&Case::new(&[("a", 10), ("b", 12)]).judge(&bytes, false)), (vec![(10, true), (12, true)], None));
    let all_newer = &[("a", 20), ("b", 20), ("c", 20)];
    assert_eq!(Case::new(all_newer).judge(&bytes, false), Verdict::Drop);
    let mut behind = Case::new(all_newer);
    behind.map_end = Offset(11);
    assert_eq!(left(&behind.judge(&bytes, false)).0, [(11, true), (12, true)], "the map does not know what lies behind its end");
}

#[test]
fn a_record_without_key_goes() {
    let mut builder = batch(10, &[("a", Some("1"))]);
    builder.append(Timestamp(5), None, Some(b"keyless"), &[]);
    assert_eq!(left(&Case::new(&[]).judge(&builder.build(), false)).0, [(10, true)]);
}

#[test]
fn a_tombstone_stays_until_its_horizon() {
    let bytes = batch(10, &[("a", None), ("b", Some("1"))]).build();
    let mut case = Case::new(&[("a", 10)]);
    let Verdict::Replace(first) = case.judge(&bytes, false) else { panic!("no horizon was set") };
    assert_eq!(left(&Verdict::Replace(first.clone())), (vec![(10, false), (11, true)], Some(NOW.0 + RETENTION_MS)));
    case.now = Timestamp(NOW.0 + RETENTION_MS - 1);
    assert_eq!(case.judge(&first, false), Verdict::Keep, "the first horizon counts");
    case.now = Timestamp(NOW.0 + RETENTION_MS);
    let last = case.judge(&first, false);
    assert_eq!(left(&last), (vec![(11, true)], Some(NOW.0 + RETENTION_MS)));
    // A newer record of its key removes it at once.
    assert_eq!(left(&Case::new(&[("a", 12)]).judge(&bytes, false)), (vec![(11, true)], None));
    // With nothing else in it the batch goes with its tombstone.
    let alone = batch(10, &[("a", None)]).build();
    let mut case = Case::new(&[]);
    let Verdict::Replace(alone) = case.judge(&alone, false) else { panic!("no horizon was set") };
    case.now = Timestamp(NOW.0 + RETENTION_MS);
    assert_eq!(case.judge(&alone, false), Verdict::Drop);
}

#[test]
fn the_last_batch_of_an_active_producer_is_left_empty() {
    let bytes = batch(10, &[("a", Some("1")), ("a", Some("2"))]).producer(ProducerId(7), 3, 40).build();
    let mut case = Case::new(&[("a", 20)]);
    assert_eq!(case.judge(&bytes, false), Verdict::Drop);
    let mut last = |offset| {
        case.last_records = [(ProducerId(7), LastRecord { last_data_offset: Some(Offset(offset)), epoch: 3 })].into();
        case.judge(&bytes, false)
    };
    assert_eq!(last(30), Verdict::Drop, "it wrote more behind this");
    let Verdict::Replace(empty) = last(11) else { panic!("it was not emptied") };
    let header = check_stored(&empty).unwrap();
    assert_eq!((header.records_count, header.last_sequence(), header.last_offset()), (0, 41, Offset(11)));
    assert_eq!(case.judge(&empty, false), Verdict::Keep);
    case.last_records.clear();
    assert_eq!(case.judge(&empty, false), Verdict::Drop, "the producer is gone");
}

#[test]
fn the_last_batch_of_a_cleaning_stays_empty() {
    let bytes = batch(10, &[("a", Some("1"))]).build();
    let mut case = Case::new(&[("a", 20)]);
    let Verdict::Replace(empty) = case.judge(&bytes, true) else { panic!("it was not emptied") };
    assert_eq!(check_stored(&empty).unwrap().last_offset(), Offset(10));
    assert_eq!((case.judge(&empty, true), case.judge(&empty, false)), (Verdict::Keep, Verdict::Drop));
}

fn marker(base: i64, producer: i64, kind: u8) -> Vec<u8> {
    let flags = Attributes::TRANSACTIONAL | Attributes::CONTROL;
    let builder =
        RecordBatchBuilder::new(Codec::None).placed(Offset(base), LeaderEpoch(1)).producer(ProducerId(producer), 3, -1).flag(flags);
    builder.record(Timestamp(100), Some(&[0, 0, 0, kind]), Some(&[0, 0, 0, 0, 0, 9])).build()
}

#[test]
fn an_aborted_transaction_goes_and_its_marker_after_it() {
    let data = batch(10, &[("a", Some("1"))]).producer(ProducerId(7), 3, 0).flag(Attributes::TRANSACTIONAL).build();
    let end = marker(11, 7, 0);
    let aborted = AbortedTransaction {
        producer_id: ProducerId(7),
        first_offset: Offset(10),
        last_offset: Offset(11),
        last_stable_offset: Offset(10),
    };
    let mut case = Case::new(&[]);
    let again = |case: &mut Case| case.transactions = TransactionsSeen::new(vec![aborted], Offset(0));
    again(&mut case);
    assert_eq!(case.judge(&data, false), Verdict::Drop);
    assert_eq!(case.judge(&end, false), Verdict::Keep, "its records were there just now");
    assert_eq!(case.transactions.take_kept(), [aborted]);
    // The next cleaning meets the marker alone.
    again(&mut case);
    let Verdict::Replace(marked) = case.judge(&end, false) else { panic!("no horizon was set") };
    assert_eq!(delete_horizon(&check_stored(&marked).unwrap()), Some(Timestamp(NOW.0 + RETENTION_MS)));
    again(&mut case);
    assert_eq!(case.judge(&marked, false), Verdict::Keep);
    case.now = Timestamp(NOW.0 + RETENTION_MS);
    again(&mut case);
    assert_eq!(case.judge(&marked, false), Verdict::Drop);
    // A producer of which only that marker is known keeps it, emptied, for its epoch.
    case.last_records = [(ProducerId(7), LastRecord { last_data_offset: None, epoch: 3 })].into();
    again(&mut case);
    let Verdict::Replace(empty) = case.judge(&marked, false) else { panic!("it was not emptied") };
    let header = check_stored(&empty).unwrap();
    assert!(header.attributes.is_control() && header.records_count == 0 && header.producer_epoch == 3);
    assert_eq!(case.judge(&empty, false), Verdict::Keep);
}

#[test]
fn a_committed_transaction_is_cleaned_like_any_record_and_its_marker_stays_as_long() {
    let data = batch(10, &[("a", Some("1")), ("b", Some("1"))]).producer(ProducerId(7), 3, 0).flag(Attributes::TRANSACTIONAL).build();
    let mut case = Case::new(&[("a", 20)]);
    assert_eq!(left(&case.judge(&data, false)).0, [(11, true)]);
    assert_eq!(case.judge(&marker(12, 7, 1), false), Verdict::Keep);
    assert!(matches!(case.judge(&marker(12, 7, 1), false), Verdict::Replace(_)), "without a record before it");
}

#[test]
fn damage_inside_a_batch_is_an_error() {
    let mut bytes = Vec::new();
    batch(10, &[("a", Some("1"))]).build_around(b"no lz4 frame", &mut bytes);
    let mut case = Case::new(&[]);
    let filter = Filter { map: &case.map, map_end: case.map_end, now: NOW, delete_retention_ms: 0, last_records: &case.last_records };
    assert!(filter.judge(&Batch::stored(&bytes).unwrap(), false, &mut case.transactions).is_err());
}
