//! The rules one by one, all of them against a naive model, and the snapshot's bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::snapshot::{self, SnapshotDamage};
use super::*;
use crate::base::LeaderEpoch;
use crate::base::limits::PRODUCERS_PER_PARTITION_MAX;
use crate::wire::batch::Attributes;

const ID: i64 = 4000;
const NOW: Timestamp = Timestamp(1_000_000);

fn header(id: i64, epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(0),
        batch_length: 49,
        partition_leader_epoch: LeaderEpoch(0),
        magic: 2,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: records - 1,
        base_timestamp: Timestamp(0),
        max_timestamp: Timestamp(0),
        producer_id: ProducerId(id),
        producer_epoch: epoch,
        base_sequence,
        records_count: records,
    }
}

fn transactional(header: BatchHeader) -> BatchHeader {
    BatchHeader { attributes: Attributes(Attributes::TRANSACTIONAL), ..header }
}

/// Admits batches of one producer: epoch, base sequence, records. Offsets follow each other from 0.
fn state(batches: &[(i16, i32, i32)]) -> (ProducerState, i64) {
    let (mut state, mut end) = (ProducerState::default(), 0);
    for (epoch, sequence, records) in batches {
        state.admit(&header(ID, *epoch, *sequence, *records), Offset(end), Timestamp(end), NOW).unwrap();
        end += i64::from(*records);
    }
    (state, end)
}

fn refusal(result: Result<(), NotAppended>) -> ProducerError {
    match result {
        Err(NotAppended::Refused(error)) => error,
        other => panic!("expected a refusal, came {other:?}"),
    }
}

#[test]
fn each_of_the_last_five_is_recognised_and_the_sixth_is_out_of_order() {
    let (mut state, end) = state(&[(0, 0, 10), (0, 10, 1), (0, 11, 1), (0, 12, 1), (0, 13, 1), (0, 14, 1)]);
    for (sequence, offset) in (10..15).zip(10..15) {
        let repeated = state.admit(&header(ID, 0, sequence, 1), Offset(end), Timestamp(999), NOW);
        let Err(NotAppended::Duplicate(batch)) = repeated else { panic!("{repeated:?}") };
        assert_eq!((batch.first_offset(), batch.timestamp), (Offset(offset), Timestamp(offset)));
    }
    let first = state.admit(&header(ID, 0, 0, 10), Offset(end), Timestamp(0), NOW);
    assert_eq!(refusal(first), ProducerError::OutOfOrderSequence { id: ProducerId(ID), last: 14, came: 0 });
    // Not a batch that was ever sent: the same start, another end.
    let other = state.admit(&header(ID, 0, 14, 2), Offset(end), Timestamp(0), NOW);
    assert_eq!(refusal(other), ProducerError::OutOfOrderSequence { id: ProducerId(ID), last: 14, came: 14 });
    assert_eq!(state.admit(&header(ID, 0, 15, 1), Offset(end), Timestamp(0), NOW), Ok(()));
}

#[test]
fn a_gap_is_out_of_order_and_changes_nothing() {
    let (mut state, end) = state(&[(0, 0, 3)]);
    assert_eq!(
        refusal(state.admit(&header(ID, 0, 4, 1), Offset(end), Timestamp(0), NOW)),
        ProducerError::OutOfOrderSequence { id: ProducerId(ID), last: 2, came: 4 }
    );
    assert_eq!(state.admit(&header(ID, 0, 3, 1), Offset(end), Timestamp(0), NOW), Ok(()));
}

#[test]
fn sequences_go_from_the_largest_to_zero() {
    let (mut state, end) = state(&[(0, i32::MAX - 2, 2), (0, i32::MAX, 3), (0, 2, 1)]);
    let repeated = state.admit(&header(ID, 0, i32::MAX, 3), Offset(end), Timestamp(0), NOW);
    assert!(matches!(repeated, Err(NotAppended::Duplicate(batch)) if batch.first_offset() == Offset(2)));
    assert!(state.admit(&header(ID, 0, 3, 1), Offset(end), Timestamp(0), NOW).is_ok());
    let (mut at_the_end, end) = self::state(&[(0, i32::MAX, 1)]);
    refusal(at_the_end.admit(&header(ID, 0, 1, 1), Offset(end), Timestamp(0), NOW));
    assert!(at_the_end.admit(&header(ID, 0, 0, 1), Offset(end), Timestamp(0), NOW).is_ok());
}

#[test]
fn an_epoch_is_fenced_by_a_higher_one_which_starts_at_zero() {
    let (mut state, end) = state(&[(3, 0, 5)]);
    let fenced = refusal(state.admit(&header(ID, 2, 5, 1), Offset(end), Timestamp(0), NOW));
    assert_eq!(fenced, ProducerError::InvalidEpoch { id: ProducerId(ID), came: 2, known: 3 });
    let not_at_zero = refusal(state.admit(&header(ID, 4, 5, 1), Offset(end), Timestamp(0), NOW));
    assert_eq!(not_at_zero, ProducerError::NewEpochNotAtZero { id: ProducerId(ID), epoch: 4, known_epoch: 3, came: 5 });
    assert!(state.admit(&header(ID, 4, 0, 5), Offset(end), Timestamp(0), NOW).is_ok());
    // The old epoch's batch is not a repetition of the new one's, though the sequences are the same.
    assert!(matches!(refusal(state.admit(&header(ID, 3, 0, 5), Offset(end), Timestamp(0), NOW)), ProducerError::InvalidEpoch { .. }));
}

#[test]
fn a_producer_that_is_not_known_starts_anywhere() {
    let mut state = ProducerState::default();
    assert!(state.admit(&header(ID, 7, 1234, 1), Offset(0), Timestamp(0), NOW).is_ok());
    refusal(state.admit(&header(ID, 7, 1234 + 2, 1), Offset(1), Timestamp(0), NOW));
    assert!(state.admit(&header(ID, 7, 1235, 1), Offset(1), Timestamp(0), NOW).is_ok());
}

#[test]
fn batches_without_a_producer_leave_no_trace() {
    let mut state = ProducerState::default();
    assert!(state.admit(&header(-1, -1, -1, 1), Offset(0), Timestamp(0), NOW).is_ok());
    state.replay(&header(-1, -1, -1, 1), None, NOW);
    assert!(state.is_empty());
}

#[test]
fn transactions_that_nobody_began_are_refused_and_open_ones_go_on() {
    let mut state = ProducerState::default();
    let outside = state.admit(&transactional(header(ID, 0, 0, 1)), Offset(0), Timestamp(0), NOW);
    assert_eq!(refusal(outside), ProducerError::InvalidTransactionState { id: ProducerId(ID) });
    assert!(state.is_empty());

    state.replay(&BatchHeader { base_offset: Offset(7), ..transactional(header(ID, 0, 0, 2)) }, None, NOW);
    assert_eq!(state.get(ProducerId(ID)).unwrap().current_transaction_first_offset, Offset(7));
    refusal(state.admit(&header(ID, 0, 2, 1), Offset(9), Timestamp(0), NOW));
    assert!(state.admit(&transactional(header(ID, 0, 2, 1)), Offset(9), Timestamp(0), NOW).is_ok());
    assert_eq!(state.get(ProducerId(ID)).unwrap().current_transaction_first_offset, Offset(7), "where it began");

    let marker = BatchHeader { attributes: Attributes(Attributes::CONTROL | Attributes::TRANSACTIONAL), ..header(ID, 1, -1, 1) };
    state.replay(&marker, Some(TransactionMarker { coordinator_epoch: 12, timestamp: Timestamp(77) }), NOW);
    let producer = state.get(ProducerId(ID)).unwrap();
    assert_eq!((producer.epoch, producer.coordinator_epoch, producer.last_timestamp), (1, 12, Timestamp(77)));
    assert_eq!((producer.last_sequence(), producer.is_in_transaction()), (-1, false));
    refusal(state.admit(&header(ID, 1, 3, 1), Offset(11), Timestamp(0), NOW));
    assert!(state.admit(&header(ID, 1, 0, 1), Offset(11), Timestamp(0), NOW).is_ok());
}

#[test]
fn producers_are_forgotten_after_a_while_but_not_inside_a_transaction() {
    let mut state = ProducerState::default();
    for id in 0..10_000 {
        // Old records, or from the future: the clock counts.
        let timestamp = Timestamp(if id % 3 == 0 { 0 } else { i64::MAX });
        state.admit(&header(id, 0, 0, 1), Offset(id), timestamp, Timestamp(id % 2 * 1000)).unwrap();
    }
    state.replay(&transactional(header(20_000, 0, 0, 1)), None, Timestamp(0));
    let expiration = ProducerExpiration { after_ms: 500, check_interval_ms: 100 };
    (0..3).for_each(|_| state.expire(Timestamp(499), expiration));
    assert_eq!(state.len(), 10_001);
    state.expire(Timestamp(500), expiration);
    assert_eq!(state.len(), 10_001, "the next round is not due");
    (0..2).for_each(|_| state.expire(Timestamp(600), expiration));
    assert!(state.len() > 5001, "a tick looks at some only");
    state.expire(Timestamp(600), expiration);
    assert_eq!(state.len(), 5001);
    assert!(state.get(ProducerId(1)).is_some() && state.get(ProducerId(0)).is_none() && state.get(ProducerId(20_000)).is_some());
    (0..9).for_each(|i| state.expire(Timestamp(5000 + i), ProducerExpiration { check_interval_ms: 1, ..expiration }));
    assert_eq!(state.len(), 1);
}

#[test]
fn a_restart_forgets_nobody_at_once() {
    let mut state = ProducerState::default();
    let day = 24 * 60 * 60 * 1000;
    for (id, timestamp) in [(1, 0), (2, 10 * day)] {
        state.admit(&header(id, 0, 0, 1), Offset(id), Timestamp(timestamp), Timestamp(10 * day)).unwrap();
    }
    let mut state = snapshot::decode(&snapshot::encode(&state.freeze())).unwrap();
    let expiration = ProducerExpiration { after_ms: day, check_interval_ms: 1 };
    let known = |state: &ProducerState| [1, 2].map(|id| state.get(ProducerId(id)).is_some());
    state.expire(Timestamp(10 * day), expiration);
    assert_eq!(known(&state), [true, true], "the first one's record was old when it came");
    state.expire(Timestamp(10 * day + EXPIRY_AFTER_OPENING_MS), expiration);
    assert_eq!(known(&state), [false, true]);
    state.expire(Timestamp(11 * day), expiration);
    assert_eq!(known(&state), [false, false]);
}

#[test]
fn the_cleaner_learns_each_producers_last_batch() {
    let (mut state, _) = state(&[(0, 0, 10), (0, 10, 5)]);
    state.replay(&header(5, 3, -1, 1), Some(TransactionMarker { coordinator_epoch: 0, timestamp: Timestamp(0) }), NOW);
    let last = state.freeze().last_records();
    let record = |id| last[&ProducerId(id)];
    assert_eq!(record(ID), LastRecord { epoch: 0, last_data_offset: Some(Offset(14)) });
    assert_eq!(record(5), LastRecord { epoch: 3, last_data_offset: None });
}

/// Adds producers with one batch of one record each; the batch's offset is `from` and on.
fn add(state: &mut ProducerState, ids: impl Iterator<Item = i64>, from: i64) {
    for (id, offset) in ids.zip(from..) {
        state.admit(&header(id, 0, 0, 1), Offset(offset), Timestamp(offset), NOW).unwrap();
    }
}

#[test]
fn with_one_too_many_the_producer_goes_that_wrote_longest_ago() {
    let most = PRODUCERS_PER_PARTITION_MAX as i64;
    let mut state = ProducerState::default();
    state.replay(&transactional(header(ID + most, 0, 0, 1)), None, NOW);
    add(&mut state, 0..most - 1, 0);
    let mut next = most;
    let mut append = |state: &mut ProducerState, id, sequence| {
        next += 1;
        state.admit(&header(id, 0, sequence, 1), Offset(next), Timestamp(0), NOW)
    };
    assert_eq!((state.len() as i64, state.take_displaced()), (most, 0));
    // The first one writes, the second one is told again what it was told, the third one is refused: only one of them has written.
    append(&mut state, 0, 1).unwrap();
    assert!(matches!(append(&mut state, 1, 0), Err(NotAppended::Duplicate(_))));
    refusal(append(&mut state, 2, 7));
    let known = |state: &ProducerState, ids: [i64; 4]| ids.map(|id| state.get(ProducerId(id)).is_some());
    for (newcomer, expected) in [(most, [true, false, true, true]), (most + 1, [true, false, false, true])] {
        append(&mut state, newcomer, 0).unwrap();
        assert_eq!((state.len() as i64, known(&state, [0, 1, 2, 3])), (most, expected));
    }
    assert!(state.get(ProducerId(ID + most)).is_some(), "a transaction is open");
    // One that is forgotten is like a new one, in each of Kafka's rules: it may begin anywhere, and what it sends again is not known.
    append(&mut state, 1, 0).unwrap();
    assert_eq!(known(&state, [0, 1, 3, 4]), [true, true, false, true]);
    // A new one that is refused drives nobody out.
    refusal(state.admit(&transactional(header(ID + most + 1, 0, 0, 1)), Offset(0), Timestamp(0), NOW));
    assert_eq!((state.len() as i64, state.take_displaced()), (most, 3));
    // The place of a forgotten one is the newcomer's: nothing grows.
    assert_eq!(state.freeze().iter().count() as i64, most);
}

#[test]
fn a_snapshot_with_too_many_gives_those_that_wrote_last() {
    const COUNT: std::ops::Range<usize> = 6..10;
    let most = PRODUCERS_PER_PARTITION_MAX as i64;
    let (mut early, mut late) = (ProducerState::default(), ProducerState::default());
    add(&mut early, 0..most, 0);
    add(&mut late, most..most + 1000, most);
    add(&mut late, 0..500, most + 1000);
    // Kafka writes them in no order: here the latest stand first. The later entry of an id counts.
    let (late, early) = (snapshot::encode(&late.freeze()), snapshot::encode(&early.freeze()));
    let count = (late.len() + early.len() - 20) / 46;
    let mut bytes = [&late[..], &early[10 + 500 * 46..]].concat();
    bytes[COUNT].copy_from_slice(&(count as i32 - 500).to_be_bytes());
    let mut state = snapshot::decode(&sealed(bytes)).unwrap();
    let known = |state: &ProducerState, ids: std::ops::Range<i64>| ids.filter(|id| state.get(ProducerId(*id)).is_some()).count();
    assert_eq!((state.len() as i64, state.take_displaced()), (most, 1000));
    assert_eq!((known(&state, 0..500), known(&state, 500..1500), known(&state, 1500..most + 1000)), (500, 0, state.len() - 500));
    // What stands in the log behind it goes on from there.
    for (id, offset) in (2 * most..2 * most + 100).zip(most + 2000..) {
        state.replay(&BatchHeader { base_offset: Offset(offset), ..header(id, 0, 0, 1) }, None, Timestamp::NONE);
    }
    assert_eq!((state.len() as i64, known(&state, 1500..1601)), (most, 1), "the next hundred have gone");
}

/// What a state says of each producer, but for when it wrote.
fn entries(state: &ProducerState) -> BTreeMap<i64, Producer> {
    let entry = |producer: &Producer| {
        let mut producer = producer.clone();
        producer.last_append = Timestamp::NONE;
        (producer.id.0, producer)
    };
    state.freeze().iter().map(entry).collect()
}

/// With the CRC that belongs to the bytes.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_snapshot_has_kafkas_bytes() {
    let (state, _) = state(&[(2, 0, 3)]);
    #[rustfmt::skip]
    let expected = [
        0, 1, // version
        0x08, 0xed, 0xab, 0x83, // CRC
        0, 0, 0, 1, // entries
        0, 0, 0, 0, 0, 0, 0x0f, 0xa0, // producer id
        0, 2, // epoch
        0, 0, 0, 2, // last sequence
        0, 0, 0, 0, 0, 0, 0, 2, // last offset
        0, 0, 0, 2, // offset delta
        0, 0, 0, 0, 0, 0, 0, 0, // timestamp
        0xff, 0xff, 0xff, 0xff, // coordinator epoch
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // first offset of the open transaction
    ];
    assert_eq!(snapshot::encode(&state.freeze()), expected);
}

#[test]
fn a_damaged_snapshot_is_refused_whatever_the_damage() {
    let (state, _) = state(&[(0, 0, 3), (0, 3, 3)]);
    let bytes = snapshot::encode(&state.freeze());
    assert!(snapshot::decode(&bytes).is_ok());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(snapshot::decode(&damaged).is_err(), "byte {at}");
        assert!(snapshot::decode(&bytes[..at]).is_err(), "{at} bytes");
    }
    let mut more = bytes.clone();
    more[9] = 3;
    assert_eq!(snapshot::decode(&sealed(more)).unwrap_err(), SnapshotDamage::TooShort { expected: 148, came: 102 });
    let mut nobody = bytes.clone();
    nobody[10] = 0x80;
    assert_eq!(snapshot::decode(&sealed(nobody)).unwrap_err(), SnapshotDamage::Entry(0));
    let longer = sealed([&bytes[..], b"behind"].concat());
    assert!(snapshot::decode(&longer).is_ok(), "Kafka does not look behind the last entry");
}

/// The rules again, written down naively: everything that was ever appended, nothing forgotten.
#[derive(Default)]
struct Model {
    /// Epoch, first and last sequence, first offset of every batch of a producer.
    appended: BTreeMap<i64, Vec<(i16, i32, i32, i64)>>,
    end: i64,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Appended,
    Duplicate(i64),
    Fenced,
    OutOfOrder,
}

impl Model {
    fn judge(&mut self, id: i64, epoch: i16, first: i32, records: i32) -> Verdict {
        let last = ((i64::from(first) + i64::from(records) - 1) % (1 << 31)) as i32;
        let history = self.appended.entry(id).or_default();
        if let Some((known, _, known_last, _)) = history.last().copied() {
            let of_epoch = history.iter().rev().take_while(|batch| batch.0 == known).take(5);
            if let Some(same) = of_epoch.filter(|batch| batch.0 == epoch && batch.1 == first && batch.2 == last).last() {
                return Verdict::Duplicate(same.3);
            }
            let expected = if epoch == known { (i64::from(known_last) + 1) % (1 << 31) } else { 0 };
            if epoch < known {
                return Verdict::Fenced;
            }
            if i64::from(first) != expected {
                return Verdict::OutOfOrder;
            }
        }
        history.push((epoch, first, last, self.end));
        self.end += i64::from(records);
        Verdict::Appended
    }
}

#[derive(Clone, Debug)]
enum Deed {
    /// What comes next, moved by this much.
    Next {
        id: i64,
        moved: i32,
        records: i32,
    },
    /// One of the batches before, sent once more.
    Again {
        id: i64,
        back: usize,
    },
    Bump {
        id: i64,
        by: i16,
        first: i32,
    },
    /// The state goes through a file.
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    let id = 0..4i64;
    prop_oneof![
        8 => (id.clone(), prop_oneof![9 => Just(0), 1 => -3..4], 1..5).prop_map(|(id, moved, records)| Deed::Next { id, moved, records }),
        4 => (id.clone(), 0..8usize).prop_map(|(id, back)| Deed::Again { id, back }),
        1 => (id, -1..3i16, 0..2).prop_map(|(id, by, first)| Deed::Bump { id, by, first }),
        1 => Just(Deed::Restart),
    ]
}

proptest! {
    #[test]
    fn the_state_says_what_a_naive_model_says(deeds in prop::collection::vec(deed(), 1..200), start in prop_oneof![Just(0), Just(i32::MAX - 20)]) {
        let (mut state, mut model) = (ProducerState::default(), Model::default());
        for deed in deeds {
            let history = |id| model.appended.get(&id).cloned().unwrap_or_default();
            let (id, epoch, first, records) = match deed {
                Deed::Restart => {
                    let restored = snapshot::decode(&snapshot::encode(&state.freeze())).unwrap();
                    prop_assert_eq!(entries(&restored), entries(&state));
                    state = restored;
                    continue;
                }
                Deed::Next { id, moved, records } => match history(id).last() {
                    Some((epoch, _, last, _)) => (id, *epoch, last.wrapping_add(1 + moved) & i32::MAX, records),
                    None => (id, 0, start, records),
                },
                Deed::Again { id, back } => match history(id).iter().rev().nth(back) {
                    Some((epoch, first, last, _)) => (id, *epoch, *first, (last.wrapping_sub(*first) & i32::MAX) + 1),
                    None => continue,
                },
                Deed::Bump { id, by, first } => (id, history(id).last().map_or(0, |batch| batch.0) + by, first, 1),
            };
            if epoch < 0 {
                continue;
            }
            let end = model.end;
            let expected = model.judge(id, epoch, first, records);
            let came = match state.admit(&header(id, epoch, first, records), Offset(end), Timestamp(end), NOW) {
                Ok(()) => Verdict::Appended,
                Err(NotAppended::Duplicate(batch)) => {
                    prop_assert_eq!(batch.timestamp.0, batch.first_offset().0);
                    Verdict::Duplicate(batch.first_offset().0)
                }
                Err(NotAppended::Refused(ProducerError::InvalidEpoch { .. })) => Verdict::Fenced,
                Err(NotAppended::Refused(_)) => Verdict::OutOfOrder,
            };
            prop_assert_eq!(came, expected);
        }
    }
}
