//! A session against a model: partitions that change in every way, and a client that knows only what it was told.
//!
//! What must hold: what the client was told, put together, is what a full fetch would say; no partition with something to read is at rest; and none waits
//! for ever behind others. Seeded: a failure names its seed.

use std::collections::BTreeMap;

use super::*;
use crate::base::TopicId;

const SEEDS: u64 = 300;
const STEPS: usize = 300;
const PARTITIONS: u64 = 9;
const LOOK_MS: i64 = 40;
const TOPICS: [TopicReference<'_>; 3] = [TopicReference::Name("a"), TopicReference::Name("b"), TopicReference::Name("c")];

struct Random(u64);

impl Random {
    /// A number below `bound` (xorshift64*).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// A partition of the broker.
#[derive(Clone, Copy, Debug)]
struct Partition {
    exists: bool,
    is_offline: bool,
    high_watermark: i64,
    log_start_offset: i64,
    listener: Option<SessionSlot>,
}

/// What the client asks of a partition and what it was told.
#[derive(Clone, Copy, Debug)]
struct View {
    offset: i64,
    is_changed: bool,
    error: ErrorCode,
    high_watermark: i64,
    log_start_offset: i64,
}

struct Model {
    session: FetchSession,
    partitions: Vec<Partition>,
    client: BTreeMap<u64, View>,
    /// What the client dropped and has not said so yet: until it does, the session goes on.
    forgotten: BTreeMap<u64, View>,
    image: u64,
    now_ms: i64,
    /// Since the client saw everything, something changed that makes no news.
    is_silently_changed: bool,
}

fn name(partition: u64) -> (TopicReference<'static>, PartitionIndex) {
    (TOPICS[(partition % 3) as usize], PartitionIndex((partition / 3) as i32))
}

fn asked(offset: i64) -> Asked {
    Asked { current_leader_epoch: LeaderEpoch::UNKNOWN, offset: Offset(offset), bytes_max: 1 }
}

impl Model {
    fn new() -> Model {
        let partition = Partition { exists: true, is_offline: false, high_watermark: 0, log_start_offset: 0, listener: None };
        Model {
            session: FetchSession::new(false, MetadataVersion(0), 0),
            partitions: vec![partition; PARTITIONS as usize],
            client: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            image: 0,
            now_ms: 0,
            is_silently_changed: false,
        }
    }

    fn place(partitions: &[Partition], partition: u64) -> Place {
        let key = PartitionKey { topic_id: TopicId([1; 16]), index: PartitionIndex(partition as i32) };
        partitions[partition as usize].exists.then_some((key, CoreId(0))).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    fn number(topic: TopicReference<'_>, index: PartitionIndex) -> u64 {
        TOPICS.iter().position(|known| *known == topic).unwrap() as u64 + 3 * index.0 as u64
    }

    fn tell(&mut self, partition: u64) {
        if let Some(slot) = self.partitions[partition as usize].listener.take() {
            self.session.heard(slot);
        }
    }

    fn step(&mut self, random: &mut Random) {
        let number = random.below(PARTITIONS);
        let partition = &mut self.partitions[number as usize];
        match random.below(12) {
            0..3 => {
                partition.high_watermark += 1 + random.below(4) as i64;
                self.tell(number);
            }
            3 => {
                partition.log_start_offset = partition.high_watermark.min(partition.log_start_offset + 2);
                self.is_silently_changed = true;
            }
            4 if random.below(4) == 0 => {
                partition.is_offline = !partition.is_offline;
                self.is_silently_changed = true;
            }
            5 if random.below(4) == 0 => {
                self.image += 1;
                partition.exists = !partition.exists;
                (partition.high_watermark, partition.log_start_offset) = (0, 0);
                self.tell(number);
            }
            6 => {
                let offset = random.below(1 + partition.high_watermark as u64) as i64;
                let none = View { offset, is_changed: true, error: ErrorCode::None, high_watermark: -1, log_start_offset: -1 };
                let view = self.client.entry(number).or_insert(self.forgotten.remove(&number).unwrap_or(none));
                (view.offset, view.is_changed) = (offset, true);
            }
            7 if random.below(3) == 0 => {
                let dropped = self.client.remove(&number).map(|view| (number, view));
                self.forgotten.extend(dropped);
            }
            8 => self.now_ms += 1 + random.below(20) as i64,
            _ => self.fetch(random.below(7) as i64),
        }
        self.nothing_readable_rests();
    }

    /// One fetch, whose answer takes so many records.
    fn fetch(&mut self, mut budget: i64) {
        for (&number, view) in self.client.iter_mut().filter(|(_, view)| view.is_changed) {
            let (topic, index) = name(number);
            self.session.put(topic, index, asked(view.offset), || Model::place(&self.partitions, number));
            view.is_changed = false;
        }
        for number in std::mem::take(&mut self.forgotten).into_keys() {
            let (topic, index) = name(number);
            if let Some(watched) = self.session.forget(topic, index) {
                assert_eq!(self.partitions[watched.key.index.0 as usize].listener.take(), Some(watched.slot));
            }
        }
        let looks_at_all = self.image != self.session.image_version.0 || self.now_ms - self.session.looked_at_all_ms >= LOOK_MS;
        let place = |topic: TopicReference<'_>, index| Model::place(&self.partitions, Model::number(topic, index));
        self.session.refresh(MetadataVersion(self.image), self.now_ms, LOOK_MS, place);
        self.session.take_news();

        let to_read: Vec<_> = self.session.to_read().map(|(slot, partition)| (slot, *partition)).collect();
        let mut resting = Vec::new();
        for (slot, planned) in to_read {
            let number = Model::number(self.session.topic(planned.topic).reference(), planned.index);
            let seen = self.read(number, planned.asked.offset.0, &mut budget);
            let is_told = self.session.answered(slot, &seen);
            resting.extend(self.session.rest(slot, &seen).map(|resting| (number, resting)));
            let view = self.client.get_mut(&number).expect("what the client forgot is not read");
            assert_eq!(view.offset, planned.asked.offset.0);
            if is_told {
                view.error = seen.error;
                (view.high_watermark, view.log_start_offset) = (seen.high_watermark.0, seen.log_start_offset.0);
                view.offset += seen.records_bytes as i64;
                view.is_changed |= seen.records_bytes > 0;
            }
        }
        for (number, resting) in resting {
            let partition = &mut self.partitions[number as usize];
            assert_eq!(partition.listener, None, "one listener is enough");
            assert!(resting.seen.0 == partition.high_watermark);
            partition.listener = Some(resting.slot);
        }
        if looks_at_all {
            self.is_silently_changed = false;
        }
        self.the_client_knows_everything();
    }

    fn read(&self, number: u64, offset: i64, budget: &mut i64) -> Seen {
        let partition = self.partitions[number as usize];
        let error = match partition {
            Partition { exists: false, .. } => ErrorCode::UnknownTopicOrPartition,
            Partition { is_offline: true, .. } => ErrorCode::KafkaStorageError,
            _ if offset < partition.log_start_offset || offset > partition.high_watermark => ErrorCode::OffsetOutOfRange,
            _ => ErrorCode::None,
        };
        if !error.is_none() {
            return Seen { error, high_watermark: Offset(-1), log_start_offset: Offset(-1), records_bytes: 0 };
        }
        let records = (partition.high_watermark - offset).min(*budget);
        *budget -= records;
        let (high_watermark, log_start_offset) = (Offset(partition.high_watermark), Offset(partition.log_start_offset));
        Seen { error, high_watermark, log_start_offset, records_bytes: records as usize }
    }

    /// As a full fetch of no bytes would say it.
    fn the_client_knows_everything(&self) {
        if self.is_silently_changed {
            return;
        }
        for (&number, view) in &self.client {
            if view.is_changed {
                continue;
            }
            let seen = self.read(number, view.offset, &mut 0);
            assert_eq!(
                (view.error, view.high_watermark, view.log_start_offset),
                (seen.error, seen.high_watermark.0, seen.log_start_offset.0),
                "partition {number}"
            );
        }
    }

    fn nothing_readable_rests(&self) {
        for &slot in self.session.by_index.values() {
            let partition = self.session.partition(slot);
            assert_eq!(partition.at_rest, !self.session.to_read.values().any(|other| *other == slot));
            if partition.at_rest {
                let number = Model::number(self.session.topic(partition.topic).reference(), partition.index);
                let broker = self.partitions[number as usize];
                assert!(!broker.exists || broker.listener == Some(slot) || self.image != self.session.image_version.0);
                assert!(broker.high_watermark <= partition.asked.offset.0, "partition {number} has records and is at rest");
            }
        }
    }
}

#[test]
fn what_the_client_is_told_adds_up_to_what_a_full_fetch_says() {
    for seed in 1..=SEEDS {
        eprintln!("seed {seed}");
        let (mut model, mut random) = (Model::new(), Random(seed));
        (0..STEPS).for_each(|_| model.step(&mut random));
    }
}

#[test]
fn every_partition_gets_its_turn() {
    let mut model = Model::new();
    for (number, partition) in model.partitions.iter_mut().enumerate() {
        partition.high_watermark = 100;
        let none = View { offset: 0, is_changed: true, error: ErrorCode::None, high_watermark: -1, log_start_offset: -1 };
        model.client.insert(number as u64, none);
    }
    // Each answer has room for one record, and the first partitions get new ones all the time.
    for _ in 0..PARTITIONS {
        model.fetch(1);
        (0..3).for_each(|busy| model.partitions[busy].high_watermark += 10);
    }
    assert!(model.client.values().all(|view| view.offset == 1), "{:?}", model.client);
    // One that rested is served before those that were just served.
    model.partitions[4].high_watermark = 1;
    model.fetch(0);
    assert!(model.session.to_read().any(|(_, partition)| partition.index == PartitionIndex(1)));
}

#[test]
fn epochs_wrap_around_the_two_that_mean_something_else() {
    assert_eq!([0, 1, 2, i32::MAX - 1, i32::MAX, -1].map(next_epoch), [1, 2, 3, i32::MAX, 1, -1]);
}

#[test]
fn news_wake_the_fetch_that_waits_once() {
    let mut model = Model::new();
    let none = View { offset: 0, is_changed: true, error: ErrorCode::None, high_watermark: -1, log_start_offset: -1 };
    model.client.insert(0, none);
    model.fetch(1);
    assert_eq!(model.session.to_read().len(), 0);
    let waiter = crate::shard::waits::Waits::new(Default::default()).start(1).waiter;
    assert!(!model.session.listen(waiter));
    let slot = model.partitions[0].listener.take().unwrap();
    assert_eq!(model.session.heard(slot), Some(waiter));
    assert_eq!(model.session.heard(slot), None, "it is known already");
    assert!(model.session.listen(waiter), "news that came before the wait");
    assert_eq!(model.session.heard(SessionSlot(77)), None, "a partition that was forgotten");
}

#[test]
fn a_session_with_nothing_new_reads_nothing() {
    let mut session = FetchSession::new(true, MetadataVersion(0), 0);
    let topic = TopicReference::Id(TopicId([3; 16]));
    let place = || Ok((PartitionKey { topic_id: TopicId([3; 16]), index: PartitionIndex(0) }, CoreId(1)));
    (0..1000).for_each(|index| session.put(topic, PartitionIndex(index), asked(5), place));
    let seen = Seen { error: ErrorCode::None, high_watermark: Offset(5), log_start_offset: Offset(0), records_bytes: 0 };
    for slot in session.to_read().map(|(slot, _)| slot).collect::<Vec<_>>() {
        assert!(session.answered(slot, &seen), "a first answer tells of every partition");
        assert!(session.rest(slot, &seen).is_some());
    }
    assert_eq!((session.to_read().len(), session.watched().count()), (0, 1000));
    session.put(topic, PartitionIndex(7), asked(5), || unreachable!("it is known"));
    let slots: Vec<_> = session.to_read().map(|(slot, _)| slot).collect();
    assert_eq!(slots, [SessionSlot(7)]);
    assert!(!session.answered(slots[0], &seen), "nothing new");
    assert_eq!(session.rest(slots[0], &seen), None, "its listener is still there");
    assert_eq!(session.to_read().len(), 0);
    assert!(std::mem::size_of::<Option<SessionPartition>>() <= 104, "memory per partition is stated in base/limits.rs");
}
