//! Each fault is fed to the checker by hand and must be counted as what it is, and as nothing else.

use super::*;
use crate::load::identity::{ProducerNumber, RunId, TopicNumber};

fn produced(sent: u64, acknowledged: &[std::ops::Range<u64>], retried: &[std::ops::Range<u64>]) -> Produced {
    let set = |ranges: &[std::ops::Range<u64>]| {
        let mut set = RangeSet::new();
        ranges.iter().for_each(|range| set.insert(range.clone()));
        set
    };
    Produced { sent, acknowledged: set(acknowledged), acknowledged_with_offset: set(acknowledged), retried: set(retried) }
}

fn fed(sequences: &[u64]) -> StreamChecker {
    let mut checker = StreamChecker::default();
    for sequence in sequences {
        checker.observe(*sequence);
    }
    checker
}

#[test]
fn all_there_is_clean() {
    let verdict = fed(&[0, 1, 2, 3]).judge(&produced(4, &[0..4], &[]), false);
    assert_eq!(verdict, StreamVerdict { received: 4, acknowledged: 4, ..StreamVerdict::default() });
    assert!(verdict.faults().is_empty());
}

#[test]
fn loss_in_the_middle_and_at_the_end() {
    let verdict = fed(&[0, 1, 4]).judge(&produced(7, &[0..7], &[]), false);
    assert_eq!(verdict.acknowledged_lost, 4, "2, 3, 5, 6");
    assert_eq!(verdict.first_lost, Some(2));
    assert!(!verdict.faults().is_empty());
}

#[test]
fn a_stream_of_which_nothing_came_is_lost() {
    let key = StreamKey::default();
    let verdict = Verdict::of(&[], &[], Some(&BTreeMap::from([(key, produced(5, &[0..5], &[]))])), false);
    assert_eq!(verdict.streams.acknowledged_lost, 5);
    assert!(!verdict.is_clean());
}

#[test]
fn what_was_never_acknowledged_may_be_missing() {
    let verdict = fed(&[0, 1, 4]).judge(&produced(6, &[0..2, 4..5], &[]), false);
    assert_eq!((verdict.acknowledged_lost, verdict.never_acknowledged_missing), (0, 3), "2, 3, 5");
    assert!(verdict.faults().is_empty());
}

#[test]
fn what_was_never_acknowledged_may_be_there() {
    assert!(fed(&[0, 1, 2]).judge(&produced(3, &[0..1], &[]), false).faults().is_empty());
}

#[test]
fn a_duplicate_is_the_brokers_unless_it_was_sent_again() {
    let checker = fed(&[0, 1, 2, 1, 2, 3]);
    let brokers = checker.judge(&produced(4, &[0..4], &[]), false);
    assert_eq!((brokers.duplicates, brokers.duplicates_own_retry, brokers.reordered), (2, 0, 0));
    assert!(!brokers.faults().is_empty());
    let own = checker.judge(&produced(4, &[0..4], &[1..3]), false);
    assert_eq!((own.duplicates, own.duplicates_own_retry), (0, 2));
    assert!(own.faults().is_empty());
}

#[test]
fn reordering_is_not_loss() {
    let checker = fed(&[0, 2, 1, 3]);
    let brokers = checker.judge(&produced(4, &[0..4], &[]), false);
    assert_eq!((brokers.reordered, brokers.acknowledged_lost, brokers.duplicates), (1, 0, 0));
    assert!(!brokers.faults().is_empty());
    assert!(checker.judge(&produced(4, &[0..4], &[1..2]), false).faults().is_empty());
}

#[test]
fn a_late_message_that_comes_again_is_a_duplicate() {
    let mut checker = StreamChecker::default();
    let seen: Vec<Seen> = [0, 3, 1, 1, 4].iter().map(|sequence| checker.observe(*sequence)).collect();
    assert_eq!(seen, [Seen::InOrder, Seen::AfterGap { skipped: 2 }, Seen::Late, Seen::Duplicate, Seen::InOrder]);
}

#[test]
fn an_acknowledged_offset_must_hold_the_message() {
    let mut checker = fed(&[0, 1, 2]);
    checker.confirm_offset(0);
    checker.confirm_offset(2);
    let verdict = checker.judge(&produced(3, &[0..3], &[]), true);
    assert_eq!(verdict.displaced, 1);
    assert!(!verdict.faults().is_empty());
    assert!(checker.judge(&produced(3, &[0..3], &[]), false).faults().is_empty(), "nothing to compare with");
}

#[test]
fn without_a_producer_a_hole_is_missing() {
    let verdict = fed(&[0, 1, 5]).judge_alone();
    assert_eq!((verdict.missing, verdict.acknowledged_lost), (3, 0));
    assert!(!verdict.faults().is_empty());
}

fn value(partition: i32, sequence: u64) -> Vec<u8> {
    let partition = PartitionKey { topic: TopicNumber(0), partition };
    let stream = StreamKey { run: RunId(1), producer: ProducerNumber(0), partition };
    let mut value = Vec::new();
    Message { stream, sequence, intended_ns: 0, sent_ns: 0 }.write(b"xyz", &mut value);
    value
}

fn partition_checker() -> PartitionChecker {
    PartitionChecker::new(PartitionKey { topic: TopicNumber(0), partition: 2 }, Some(100))
}

#[test]
fn a_partition_in_order_is_clean() {
    let mut checker = partition_checker();
    for sequence in 0..3 {
        let (message, seen) = checker.observe(100 + sequence as i64, Some(&value(2, sequence))).expect("a message");
        assert_eq!((message.sequence, seen), (sequence, Seen::InOrder));
    }
    assert!(checker.faults.faults().is_empty());
    assert_eq!(checker.streams()[0].1.received(), 3);
}

#[test]
fn corruption_gaps_and_wrong_places_are_counted_apart() {
    let mut checker = partition_checker();
    let mut damaged = value(2, 0);
    *damaged.last_mut().expect("not empty") ^= 1;
    checker.observe(100, Some(&damaged));
    checker.observe(101, Some(b"somebody else's"));
    checker.observe(102, None);
    checker.observe(105, Some(&value(2, 0)));
    checker.observe(105, Some(&value(2, 1)));
    checker.observe(106, Some(&value(3, 0)));
    let expected = PartitionFaults { corrupt: 1, offset_gaps: 2, offset_steps_back: 1, misplaced: 1, truncations: 0, foreign: 2 };
    assert_eq!(checker.faults, expected);
}

#[test]
fn control_batches_fill_their_offsets() {
    let mut checker = partition_checker();
    checker.skip(100, 104);
    checker.observe(105, Some(&value(2, 0)));
    assert!(checker.faults.faults().is_empty());
}

#[test]
fn a_truncation_is_a_fault_but_not_a_step_back() {
    let mut checker = partition_checker();
    checker.observe(100, Some(&value(2, 0)));
    checker.observe(101, Some(&value(2, 1)));
    checker.truncated_to(101);
    checker.observe(101, Some(&value(2, 2)));
    assert_eq!(checker.faults, PartitionFaults { truncations: 1, ..PartitionFaults::default() });
}

#[test]
fn streams_of_other_runs_are_left_out_when_the_producer_is_known() {
    let mut checker = partition_checker();
    checker.observe(100, Some(&value(2, 7)));
    assert_eq!(Verdict::of(&[], std::slice::from_ref(&checker), None, false).streams.missing, 7);
    assert!(Verdict::of(&[], &[checker], Some(&BTreeMap::new()), false).is_clean());
}

#[test]
fn what_retention_took_before_it_was_read_is_no_fault() {
    let key = StreamKey::default();
    let value = |sequence| {
        let mut value = Vec::new();
        Message { stream: key, sequence, intended_ns: 0, sent_ns: 0 }.write(b"", &mut value);
        value
    };
    let mut partition = PartitionChecker::new(key.partition, Some(0));
    (0..3).for_each(|at| _ = partition.observe(at, Some(&value(at as u64))));
    // The log now begins at 10; what follows is 12: of what was there to read, 10 and 11 are missing.
    partition.overtaken(10);
    partition.observe(10, Some(&value(10)));
    partition.observe(11, Some(&value(13)));
    let topics = [Topic { name: "t".into(), partitions: 1 }];
    let mut produced = Produced { sent: 14, ..Produced::default() };
    produced.acknowledged.insert(0..14);
    let verdict = Verdict::of(&topics, &[partition], Some(&BTreeMap::from([(key, produced)])), false);
    assert_eq!((verdict.streams.acknowledged_lost, verdict.partitions.offset_gaps), (2, 0), "11 and 12, but not 3 to 9");
    // A stream of which nothing was left is not judged; without retention it would be lost.
    let nothing = |is_overtaken: bool| {
        let mut partition = PartitionChecker::new(key.partition, Some(0));
        if is_overtaken {
            partition.overtaken(10);
        }
        let mut produced = Produced { sent: 10, ..Produced::default() };
        produced.acknowledged.insert(0..10);
        Verdict::of(&topics, &[partition], Some(&BTreeMap::from([(key, produced)])), false).streams.acknowledged_lost
    };
    assert_eq!((nothing(true), nothing(false)), (0, 10));
}

#[test]
fn a_reader_of_a_part_is_judged_by_what_it_saw() {
    let key = StreamKey::default();
    let mut partition = PartitionChecker::new(key.partition, Some(5));
    for (offset, sequence) in [(5, 50), (6, 51), (7, 51)] {
        let mut value = Vec::new();
        Message { stream: key, sequence, intended_ns: 0, sent_ns: 0 }.write(b"", &mut value);
        partition.observe(offset, Some(&value));
    }
    let verdict = Verdict::of_part(&[Topic { name: "t".into(), partitions: 1 }], &[partition]);
    assert_eq!((verdict.streams.received, verdict.streams.missing, verdict.streams.duplicates), (3, 0, 1));
    assert!(!verdict.is_clean());
}
