//! Lanes are driven by hand through refusals and lost connections; order and counts must hold.

use super::*;
use crate::load::filler::{Filler, FillerKind};
use crate::load::schedule::{Pace, Rate};
use crate::wire::Codec;

const BROKER: BrokerId = BrokerId(1);
const RULES: LaneRules =
    LaneRules { messages_per_batch: 10, linger_ns: 5_000_000, delivery_timeout_ns: 1_000_000_000, retry_backoff_ns: 100 };
const START: u64 = 1_000_000_000;

struct Driver {
    lane: Lane,
    writer: BatchWriter,
    buffers: Vec<Vec<u8>>,
}

impl Driver {
    fn new(pace: Pace, quota: u64) -> Driver {
        let mut schedule = Schedule::new(0, 1, quota);
        schedule.start(pace, START, u64::MAX);
        let writer = BatchWriter::new(Codec::None, Filler::new(FillerKind::Zeros, 0));
        Driver { lane: Lane::new(StreamKey::default(), "t".into(), Rc::from([]), schedule), writer, buffers: Vec::new() }
    }

    fn take(&mut self, now_ns: u64) -> bool {
        let mut builder = Builder { writer: &mut self.writer, buffers: &mut self.buffers, timestamp: Timestamp(0) };
        self.lane.take(BROKER, now_ns, &RULES, &mut builder).is_some()
    }

    fn in_flight(&self) -> Vec<u64> {
        self.lane.in_flight.iter().map(|batch| batch.first).collect()
    }
}

#[test]
fn a_batch_goes_when_it_lingered_or_is_full() {
    // One message a millisecond: the linger of 5 ms comes before the tenth message.
    let mut slow = Driver::new(Pace::Constant(Rate::per_second(1000.0)), u64::MAX);
    assert_eq!(slow.lane.wake_ns(BROKER, START, &RULES), START + 5_000_000);
    assert!(!slow.take(START + 4_999_999));
    assert!(slow.take(START + 5_000_000));
    assert_eq!(slow.lane.in_flight[0].count, 6);
    assert_eq!(slow.lane.in_flight[0].intended, Intended::Each((0..6).map(|k| START + k * 1_000_000).collect()));
    // Ten a millisecond: full first.
    let mut fast = Driver::new(Pace::Constant(Rate::per_second(10_000.0)), u64::MAX);
    assert_eq!(fast.lane.wake_ns(BROKER, START, &RULES), START + 900_000);
}

#[test]
fn at_full_speed_batches_are_full() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 25);
    assert!(!driver.take(START - 1));
    assert!(driver.take(START) && driver.take(START) && driver.take(START) && !driver.take(START));
    assert_eq!(driver.lane.in_flight.iter().map(|batch| batch.count).collect::<Vec<_>>(), [10, 10, 5]);
    assert!(!driver.lane.is_done(START));
    (0..3).for_each(|at| drop(driver.lane.acknowledged(Some(Offset(at * 10)))));
    assert!(driver.lane.is_done(START));
    assert_eq!(driver.lane.produced.acknowledged.count(), 25);
    assert!(driver.lane.produced.retried.is_empty());
}

#[test]
fn after_a_lost_connection_everything_goes_again_in_order() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 30);
    assert!(driver.take(START) && driver.take(START) && driver.take(START));
    driver.lane.acknowledged(Some(Offset(0)));
    driver.lane.connection_lost(START + 1, &RULES);
    assert!(!driver.take(START + 1), "the pause comes first");
    assert!(driver.take(START + 200) && driver.take(START + 200) && !driver.take(START + 200));
    assert_eq!(driver.in_flight(), [10, 20]);
    assert_eq!(driver.lane.sent_again().map(|batch| batch.first), Some(20));
    assert_eq!(driver.lane.produced.retried.iter().collect::<Vec<_>>(), [10..30]);
    assert_eq!(driver.lane.retries, 2);
}

#[test]
fn a_refusal_stops_the_lane_until_all_answers_are_in() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 1000);
    assert!(driver.take(START) && driver.take(START) && driver.take(START));
    driver.lane.refused(Failure::Retriable, START + 1, &RULES);
    assert!(driver.lane.is_rewinding());
    assert!(!driver.take(START + 500), "two answers are awaited");
    driver.lane.acknowledged(None);
    driver.lane.refused(Failure::Retriable, START + 600, &RULES);
    assert!(driver.take(START + 800) && driver.take(START + 800) && driver.take(START + 800));
    assert_eq!(driver.in_flight(), [0, 20, 30]);
    assert_eq!(driver.lane.produced.retried.iter().collect::<Vec<_>>(), [0..10, 20..30]);
}

#[test]
fn the_last_answer_ends_a_rewind_even_if_it_is_good() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 20);
    assert!(driver.take(START) && driver.take(START));
    driver.lane.refused(Failure::Retriable, START, &RULES);
    driver.lane.acknowledged(None);
    assert!(driver.take(START + 200));
    assert_eq!(driver.in_flight(), [0]);
}

#[test]
fn a_fatal_refusal_ends_the_lane() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 100);
    assert!(driver.take(START) && driver.take(START));
    driver.lane.refused(Failure::Fatal, START, &RULES);
    assert!(!driver.take(START + 1000) && !driver.lane.is_done(START));
    driver.lane.acknowledged(Some(Offset(5)));
    assert!(driver.lane.is_done(START));
    assert_eq!((driver.lane.given_up, driver.lane.produced.acknowledged.count()), (10, 10));
}

#[test]
fn what_is_never_acknowledged_is_given_up_in_the_end() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 10);
    assert!(driver.take(START));
    driver.lane.connection_lost(START + RULES.delivery_timeout_ns + 1, &RULES);
    assert!(driver.lane.is_done(START));
    assert_eq!(driver.lane.given_up, 10);
}

#[test]
fn nothing_goes_to_another_broker_while_answers_are_awaited() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 100);
    assert!(driver.take(START));
    assert_eq!(driver.lane.wake_ns(BrokerId(2), START, &RULES), NEVER_NS);
    driver.lane.acknowledged(None);
    assert_eq!(driver.lane.wake_ns(BrokerId(2), START, &RULES), START);
}

#[test]
fn an_idempotent_batch_carries_its_sequence() {
    let mut driver = Driver::new(Pace::AsFastAsPossible, 20);
    driver.lane.idempotent = Some((ProducerId(77), 3));
    assert!(driver.take(START) && driver.take(START));
    let header = crate::wire::BatchHeader::parse(&driver.lane.in_flight[1].bytes).expect("a header");
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (ProducerId(77), 3, 10));
}
