//! Compacted topics on the built broker: the last value of every key stays, tombstones go after their time, also when the broker is killed while it is written to and while it cleans.
//!
//! `TEST_UPDATES`, `TEST_KEYS` and `TEST_KILLS` ask for more than fits the test suite (`scripts/soak` does); `TEST_KEEP` names a directory below which the tests leave theirs behind,
//! cleaned and stopped, each with `values.txt` beside it, for Kafka's own tools to read.

mod broker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use broker::ask;
use broker::connection::{decode, frame};
use broker::random::Random;
use broker::{Broker, Connection, PATIENCE, RaisedAtTheEnd, fresh_dir};
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use kafka_protocol::protocol::StrBytes;
use pagewire::base::{PartitionIndex, Timestamp};
use pagewire::log::checkpoint;
use pagewire::log::format::{FileKind, Marking, SegmentFileName};
use pagewire::log::inspect::inspect;
use pagewire::wire::batch::{Batch, UnverifiedBatch};
use pagewire::wire::{Codec, RecordBatchBuilder, Records};

const TOPIC: &str = "state";
const PARTITIONS: i32 = 2;
const RECORDS_PER_BATCH: usize = 100;
/// A key that only rolls segments: no other is named like it.
const FILLER: &str = "filler";
const SEGMENT_BYTES: usize = 64 * 1024;

/// Looks for dirty logs all the time.
const EAGER: [&str; 2] = ["--set", "log.cleaner.backoff.ms=20"];

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn create(connection: &mut Connection, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let segment_bytes = SEGMENT_BYTES.to_string();
    let common = [
        ("cleanup.policy", "compact"),
        ("internal.segment.bytes", &segment_bytes),
        ("min.cleanable.dirty.ratio", "0.05"),
        ("delete.retention.ms", "100"),
        ("file.delete.delay.ms", "100"),
    ];
    ask::create_topic(connection, name, partitions, &[&common, settings].concat());
}

/// What is known of a topic: the last value of each key that has one.
type Values = BTreeMap<String, String>;

/// What one batch does to them.
struct Updates(Vec<(String, Option<String>)>);

impl Updates {
    /// Of random keys of a partition, which is always the same one for a key; a tenth of them tombstones.
    fn random(random: &mut Random, keys: usize, partition: i32) -> Updates {
        let mut update = || {
            let key = format!("{partition}-{:06}", random.within(0..keys / PARTITIONS as usize));
            let value = (random.within(0..10) > 0).then(|| format!("{:016x} {}", random.next(), "x".repeat(random.within(0..80))));
            (key, value)
        };
        Updates((0..RECORDS_PER_BATCH).map(|_| update()).collect())
    }

    fn batch(&self, codec: Codec) -> Vec<u8> {
        let mut builder = RecordBatchBuilder::new(codec);
        for (key, value) in &self.0 {
            builder.append(Timestamp(ask::now_ms()), Some(key.as_bytes()), value.as_deref().map(str::as_bytes), &[]);
        }
        builder.build()
    }

    fn apply(self, values: &mut Values) {
        for (key, value) in self.0 {
            match value {
                Some(value) => _ = values.insert(key, value),
                None => _ = values.remove(&key),
            }
        }
    }
}

fn any_codec(random: &mut Random) -> Codec {
    Codec::ALL[random.within(0..Codec::ALL.len())]
}

fn any_partition(random: &mut Random) -> i32 {
    random.within(0..PARTITIONS as usize) as i32
}

/// Writes updates in batches of any codec to any partition, and waits for each to be acknowledged.
fn update(connection: &mut Connection, random: &mut Random, keys: usize, updates: usize, values: &mut Values) {
    for _ in 0..updates.div_ceil(RECORDS_PER_BATCH) {
        let partition = any_partition(random);
        let updates = Updates::random(random, keys, partition);
        let answer = ask::produce(connection, TOPIC, partition, &updates.batch(any_codec(random)));
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        updates.apply(values);
    }
}

/// Batches on their way to one partition whose answers nobody waits for: those that were taken are the first ones.
struct Unanswered {
    partition: i32,
    end_offset: i64,
    sent: Vec<Updates>,
}

impl Unanswered {
    const BATCHES: usize = 40;

    fn send(connection: &mut Connection, random: &mut Random, keys: usize) -> Unanswered {
        let partition = any_partition(random);
        let end_offset = ask::end_offset(connection, TOPIC, partition);
        let sent: Vec<_> = (0..Unanswered::BATCHES).map(|_| Updates::random(random, keys, partition)).collect();
        let mut request = |updates: &Updates| ask::produce_request(TOPIC, partition, ask::ALL, &updates.batch(any_codec(random)));
        let frames: Vec<u8> = sent.iter().flat_map(|updates| frame(0, ask::PRODUCE, &request(updates))).collect();
        connection.send_bytes(&frames).expect("the broker takes them");
        Unanswered { partition, end_offset, sent }
    }

    /// Applies what a broker has taken, whole batches, and returns how many.
    fn apply_taken(mut self, connection: &mut Connection, values: &mut Values) -> usize {
        let records = (ask::end_offset(connection, TOPIC, self.partition) - self.end_offset) as usize;
        assert_eq!(records % RECORDS_PER_BATCH, 0, "no part of a batch is served");
        let taken = records / RECORDS_PER_BATCH;
        self.sent.drain(..taken).for_each(|updates| updates.apply(values));
        taken
    }
}

/// Has everything written so far lie in sealed segments. Returns where the cleaner must get to.
fn seal(connection: &mut Connection, topic: &str, partitions: i32) -> Vec<i64> {
    let fill = |connection: &mut Connection, partition| {
        let value = vec![b'.'; SEGMENT_BYTES - 200];
        let batch = RecordBatchBuilder::new(Codec::None).record(Timestamp(ask::now_ms()), Some(FILLER.as_bytes()), Some(&value)).build();
        let answer = ask::produce(connection, topic, partition, &batch);
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.base_offset
    };
    (0..partitions)
        .map(|partition| {
            let first = fill(connection, partition);
            fill(connection, partition);
            first
        })
        .collect()
}

/// One record as it was read.
struct Read {
    offset: i64,
    key: String,
    value: Option<String>,
}

fn read(connection: &mut Connection, topic: &str, partition: i32) -> Vec<Read> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let answer = ask::fetch(connection, topic, partition, offset);
        assert_eq!(answer.error_code, 0, "fetch {topic}-{partition} from {offset}");
        let bytes = answer.records.unwrap_or_default();
        let before = offset;
        for UnverifiedBatch(bytes) in ask::whole_batches(&bytes) {
            let batch = Batch::stored(bytes).unwrap_or_else(|error| panic!("a fetched batch is damaged: {error}"));
            let unpacked = batch.unpack(64 << 20).expect("what was stored can be unpacked");
            for record in Records::new(&unpacked, batch.header.records_count) {
                let record = record.expect("what was stored was checked");
                let at = batch.header.base_offset.0 + i64::from(record.offset_delta);
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the tests write text");
                if at >= offset {
                    let (key, value) = (text(record.key.expect("each has a key")), record.value.map(text));
                    found.push(Read { offset: at, key, value });
                }
            }
            offset = offset.max(batch.header.next_offset().0);
        }
        if offset == answer.high_watermark {
            return found;
        }
        assert!(offset > before, "nothing at {offset} below {}", answer.high_watermark);
    }
}

fn first_dirty(data_dir: &Path, topic: &str, partition: i32) -> i64 {
    let offsets = checkpoint::read_offsets(&data_dir.join(checkpoint::CLEANER_OFFSET_FILE)).expect("the checkpoint is whole");
    let key = (pagewire::base::TopicName::new(topic).expect("a legal name"), PartitionIndex(partition));
    offsets.get(&key).map_or(0, |offset| offset.0)
}

/// Has the topic cleaned until its tombstones are gone. Returns where the cleaner has got to.
fn clean_tombstones_away(broker: &mut Broker, connection: &mut Connection) -> Vec<i64> {
    let begun = Instant::now();
    loop {
        // Each round of the cleaner begins with something new.
        let ends = seal(connection, TOPIC, PARTITIONS);
        wait_until_cleaned(broker, TOPIC, &ends);
        if !(0..PARTITIONS).any(|partition| read(connection, TOPIC, partition).iter().any(|record| record.value.is_none())) {
            return ends;
        }
        assert!(begun.elapsed() < PATIENCE, "tombstones stay");
        thread::sleep(Duration::from_millis(150));
    }
}

/// Where a test has its broker's directory: below `TEST_KEEP`, if that is given.
fn data_dir(name: &str, own: &Path) -> PathBuf {
    std::env::var_os("TEST_KEEP").map_or_else(|| own.to_owned(), PathBuf::from).join(name).join("data")
}

/// Writes what the topic holds into `values.txt` beside the broker's directory, a key and its value to a line.
fn tell_values(data_dir: &Path, values: &Values) {
    let lines: String = values.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
    fs::write(data_dir.with_file_name("values.txt"), lines).expect("the test's directory can be written");
}

fn wait_until_cleaned(broker: &mut Broker, topic: &str, ends: &[i64]) {
    let data_dir = broker.data_dir.clone();
    broker.wait_until(|_| (0..).zip(ends).all(|(partition, end)| first_dirty(&data_dir, topic, partition) >= *end));
}

/// The topic holds these values, and below `ends` each key once.
fn check(connection: &mut Connection, values: &Values, ends: &[i64], when: &str) {
    let mut found = Values::new();
    for (partition, end) in (0..).zip(ends) {
        let records = read(connection, TOPIC, partition);
        let mut seen = BTreeSet::new();
        for record in &records {
            let is_new = seen.insert(&record.key);
            assert!(
                is_new || record.offset >= *end,
                "{when}: {} stands below {end} twice, the second time at {}",
                record.key,
                record.offset
            );
        }
        for record in records.into_iter().filter(|record| record.key != FILLER) {
            match record.value {
                Some(value) => _ = found.insert(record.key, value),
                None => _ = found.remove(&record.key),
            }
        }
    }
    assert_eq!(found.len(), values.len(), "{when}: keys");
    assert!(&found == values, "{when}: a key has another value than its last");
}

fn no_damage(data_dir: &Path, topic: &str, partitions: i32) {
    for partition in 0..partitions {
        let report = inspect(&data_dir.join(format!("{topic}-{partition}")), true).expect("the directory can be read");
        assert_eq!(report.damage, Vec::<String>::new());
        assert!(report.segments.len() > 1);
    }
}

/// Files of the cleaner that have not come to their place.
fn unfinished(data_dir: &Path, topic: &str) -> Vec<PathBuf> {
    (0..PARTITIONS).flat_map(|partition| unfinished_of(data_dir, topic, partition)).collect()
}

fn unfinished_of(data_dir: &Path, topic: &str, partition: i32) -> Vec<PathBuf> {
    let folder = data_dir.join(format!("{topic}-{partition}"));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_unfinished = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| SegmentFileName::parse(name.to_str()?));
        name.is_some_and(|name| name.kind == FileKind::Log && matches!(name.marking, Marking::Cleaned | Marking::Swap))
    };
    entries.filter(is_unfinished).collect()
}

#[test]
fn the_last_value_of_every_key_stays_and_tombstones_go() {
    let directory = fresh_dir();
    let data_dir = data_dir("cleaned", directory.path());
    let mut random = Random::seeded();
    let (updates, keys) = (setting("TEST_UPDATES", 30_000), setting("TEST_KEYS", 300));
    let mut broker = Broker::start_in(&data_dir, &EAGER);
    let mut connection = broker.connect(0);
    create(&mut connection, TOPIC, PARTITIONS, &[]);
    let mut values = Values::new();
    update(&mut connection, &mut random, keys, updates, &mut values);
    let ends = seal(&mut connection, TOPIC, PARTITIONS);
    wait_until_cleaned(&mut broker, TOPIC, &ends);
    check(&mut connection, &values, &ends, "cleaned");

    let ends = clean_tombstones_away(&mut broker, &mut connection);
    check(&mut connection, &values, &ends, "without tombstones");

    // Offsets and times that were cleaned away lead to the next record.
    for partition in 0..PARTITIONS {
        let records = read(&mut connection, TOPIC, partition);
        let hole = records.windows(2).find(|pair| pair[1].offset > pair[0].offset + 1).expect("compaction has left holes");
        let found = ask::read(&mut connection, TOPIC, partition, hole[0].offset + 1);
        assert_eq!(found[0].0, hole[1].offset);
        let earliest = ask::list_offset(&mut connection, TOPIC, partition, 1);
        assert_eq!((earliest.error_code, earliest.offset), (0, records[0].offset), "the first record at or after 1970");
    }

    broker.kill();
    no_damage(&data_dir, TOPIC, PARTITIONS);
    broker = Broker::start_in(&data_dir, &EAGER);
    check(&mut broker.connect(1), &values, &ends, "after a kill");
    broker.stop();
    no_damage(&data_dir, TOPIC, PARTITIONS);
    broker = Broker::start_in(&data_dir, &["--set", "log.cleaner.enable=false"]);
    assert!(broker.said().contains("after a clean stop, 0 bytes of log read"), "{}", broker.said());
    let mut connection = broker.connect(0);
    check(&mut connection, &values, &ends, "after a clean stop");
    let dirty_from = first_dirty(&data_dir, TOPIC, 0);
    // Switched off it is off: the stop writes down where it stands.
    seal(&mut connection, TOPIC, PARTITIONS);
    broker.stop();
    assert_eq!(first_dirty(&data_dir, TOPIC, 0), dirty_from);
    tell_values(&data_dir, &values);
    eprintln!("{updates} updates over {keys} keys: {} values are left, each the last of its key", values.len());
}

#[test]
fn killed_while_it_is_written_to_and_while_it_cleans_it_loses_nothing() {
    let kills = setting("TEST_KILLS", 8);
    let (updates, keys) = (setting("TEST_UPDATES", 32_000), setting("TEST_KEYS", 400));
    let directory = fresh_dir();
    let data_dir = data_dir("killed", directory.path());
    let mut random = Random::seeded();
    // Slow enough that there is a cleaning to be met, and several segments in each.
    let slow = [&EAGER[..], &["--set", "log.cleaner.io.max.bytes.per.second=6000000"]].concat();
    let mut broker = Broker::start_in(&data_dir, &slow);
    create(&mut broker.connect(0), TOPIC, PARTITIONS, &[]);
    let mut values = Values::new();
    let (mut left_behind, mut met_writing) = (0, 0);
    for kill in 0..kills {
        let mut connection = broker.connect(0);
        update(&mut connection, &mut random, keys, updates / kills, &mut values);
        let unanswered = if kill % 2 == 0 {
            let unanswered = Unanswered::send(&mut connection, &mut random, keys);
            thread::sleep(Duration::from_micros(random.within(0..3_000) as u64));
            Some(unanswered)
        } else {
            seal(&mut connection, TOPIC, PARTITIONS);
            broker.wait_until(|broker| !unfinished(&broker.data_dir, TOPIC).is_empty());
            thread::sleep(Duration::from_micros(random.within(0..60_000) as u64));
            None
        };
        broker.kill();
        left_behind += usize::from(!unfinished(&data_dir, TOPIC).is_empty());
        broker = Broker::start_in(&data_dir, &slow);
        let mut connection = broker.connect(1);
        if let Some(unanswered) = unanswered {
            let taken = unanswered.apply_taken(&mut connection, &mut values);
            met_writing += usize::from((1..Unanswered::BATCHES).contains(&taken));
        }
        check(&mut connection, &values, &[0, 0], &format!("after kill {kill}"));
    }
    let mut connection = broker.connect(0);
    let ends = clean_tombstones_away(&mut broker, &mut connection);
    check(&mut connection, &values, &ends, "cleaned in the end");
    // Another pass may have begun meanwhile; what a kill left would stay.
    broker.wait_until(|_| unfinished(&data_dir, TOPIC).is_empty());
    broker.stop();
    no_damage(&data_dir, TOPIC, PARTITIONS);
    tell_values(&data_dir, &values);
    eprintln!(
        "{kills} kills within {updates} updates over {keys} keys: {met_writing} between two batches under way, {left_behind} left unfinished files of the cleaner; {} values \
         are left, each the last of its key",
        values.len()
    );
}

#[test]
fn moved_back_and_forth_while_it_is_cleaned_it_is_cleaned_to_the_end() {
    let moves_min = setting("TEST_MOVES", 20);
    let mut random = Random::seeded();
    // A pass takes much longer than a partition stays where it is.
    let slow = [&EAGER[..], &["--set", "log.cleaner.io.max.bytes.per.second=1500000"]].concat();
    let mut broker = Broker::start(&slow);
    let mut connection = broker.connect(0);
    create(&mut connection, TOPIC, PARTITIONS, &[]);
    let mut values = Values::new();
    update(&mut connection, &mut random, 400, 6_000, &mut values);

    let over = AtomicBool::new(false);
    let (mut writer, mut writers_random) = (broker.connect(1), random.split());
    let mut moves = 0;
    thread::scope(|scope| {
        let _raised = RaisedAtTheEnd(&over);
        let writing = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                update(&mut writer, &mut writers_random, 400, RECORDS_PER_BATCH, &mut values);
                thread::sleep(Duration::from_millis(50));
            }
        });
        // Each move meets the cleaning of its partition. In the end the cleaner has come to the end of two passes.
        let begun = Instant::now();
        let passes = |broker: &Broker| broker.said().matches("cleaned offsets").count();
        while moves < moves_min || passes(&broker) < 2 {
            if let Some(partition) = (0..PARTITIONS).find(|partition| !unfinished_of(&broker.data_dir, TOPIC, *partition).is_empty()) {
                let to = 1 - ask::owner(&mut connection, TOPIC, partition);
                assert_eq!(ask::reassign(&mut connection, TOPIC, &[(partition, to)]), [0]);
                moves += 1;
            }
            thread::sleep(Duration::from_millis(2));
            assert!(begun.elapsed() < PATIENCE, "{} passes in {moves} moves:\n{}", passes(&broker), broker.said());
        }
        over.store(true, Ordering::Relaxed);
        writing.join().expect("the writer met no error");
    });
    let ends = seal(&mut connection, TOPIC, PARTITIONS);
    wait_until_cleaned(&mut broker, TOPIC, &ends);
    check(&mut connection, &values, &ends, "cleaned and moved");
    broker.kill();
    no_damage(&broker.data_dir, TOPIC, PARTITIONS);
    broker.start_again(&slow);
    check(&mut broker.connect(1), &values, &ends, "after a kill");
    broker.stop();
    eprintln!("{moves} moves while a log was cleaned, {} keys", values.len());
}

#[test]
fn a_topic_that_is_deleted_while_it_is_cleaned_may_be_made_anew() {
    let mut broker = Broker::start(&[&EAGER[..], &["--set", "log.cleaner.io.max.bytes.per.second=400000"]].concat());
    let mut random = Random::seeded();
    let mut connection = broker.connect(0);
    for round in 0..3 {
        create(&mut connection, TOPIC, PARTITIONS, &[]);
        let mut values = Values::new();
        update(&mut connection, &mut random, 200, 3_000, &mut values);
        let ends = seal(&mut connection, TOPIC, PARTITIONS);
        broker.wait_until(|broker| !unfinished(&broker.data_dir, TOPIC).is_empty());
        if round == 2 {
            wait_until_cleaned(&mut broker, TOPIC, &ends);
            check(&mut connection, &values, &ends, "the last topic of that name");
            break;
        }
        ask::delete_topic(&mut connection, TOPIC);
    }
    // A stop does not wait for the cleaning of a large log.
    update(&mut connection, &mut random, 200, 20_000, &mut Values::new());
    seal(&mut connection, TOPIC, PARTITIONS);
    broker.wait_until(|broker| !unfinished(&broker.data_dir, TOPIC).is_empty());
    broker.stop();
}

#[test]
fn both_policies_work_together() {
    let mut broker = Broker::start(&EAGER);
    let mut connection = broker.connect(0);
    create(&mut connection, TOPIC, PARTITIONS, &[("cleanup.policy", "compact,delete"), ("retention.bytes", "300000")]);
    let mut values = Values::new();
    // More keys than retention keeps.
    update(&mut connection, &mut Random::seeded(), 20_000, 30_000, &mut values);
    let ends = seal(&mut connection, TOPIC, PARTITIONS);
    wait_until_cleaned(&mut broker, TOPIC, &ends);
    let address = broker.address(0);
    broker.wait_until(|_| {
        let mut connection = Connection::open(address);
        (0..PARTITIONS).all(|partition| ask::list_offset(&mut connection, TOPIC, partition, ask::EARLIEST).offset > 0)
    });
    for partition in 0..PARTITIONS {
        let start = ask::list_offset(&mut connection, TOPIC, partition, ask::EARLIEST).offset;
        let mut last = BTreeMap::new();
        for record in ask::fetch(&mut connection, TOPIC, partition, start).records.iter().flat_map(|bytes| ask::records_of(bytes)) {
            last.insert(record.0, record.1);
        }
        assert!(!last.is_empty(), "retention keeps the newest");
    }
    broker.stop();
}

fn commit_request(partitions: i32, offset: i64) -> OffsetCommitRequest {
    let partition = |index| OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(offset);
    let partitions =
        (0..partitions).map(|index| partition(index).with_committed_metadata(Some(StrBytes::from_static_str("a note")))).collect();
    let topic = OffsetCommitRequestTopic::default().with_name(ask::topic_name("t")).with_partitions(partitions);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("a group")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn commit(connection: &mut Connection, partitions: i32, offset: i64) {
    let answer = connection.ask(8, &commit_request(partitions, offset));
    assert!(answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0), "{:?}", answer.topics[0].partitions[0]);
}

/// What is committed, once the groups are loaded.
fn committed(connection: &mut Connection) -> Vec<i64> {
    let begun = Instant::now();
    loop {
        let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(StrBytes::from_static_str("a group"))).with_topics(None);
        let answer = connection.ask(8, &OffsetFetchRequest::default().with_groups(vec![group]));
        if answer.groups[0].error_code == 0 {
            return answer.groups[0].topics.iter().flat_map(|topic| &topic.partitions).map(|found| found.committed_offset).collect();
        }
        assert!(begun.elapsed() < PATIENCE, "the groups are not loaded: error {}", answer.groups[0].error_code);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn committed_offsets_are_cleaned_and_replayed() {
    const OFFSETS: &str = "__consumer_offsets";
    const COMMITTED_PARTITIONS: i32 = 100;
    let directory = fresh_dir();
    let data_dir = directory.path().join("data");
    let settings = ["--set", "offsets.topic.num.partitions=1", "--set", "offsets.topic.segment.bytes=1048576"];
    let mut broker = Broker::start_in(&data_dir, &[&EAGER[..], &settings].concat());
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", COMMITTED_PARTITIONS, &[]);
    let find = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![StrBytes::from_static_str("a group")]);
    assert_eq!(connection.ask(4, &find).coordinators[0].error_code, 0);
    let mut offset = 0;
    let mut is_cleaned = |broker: &Broker| {
        for _ in 0..50 {
            offset += 1;
            commit(&mut connection, COMMITTED_PARTITIONS, offset);
        }
        assert!(offset < 5_000, "{} is not cleaned", broker.data_dir.display());
        first_dirty(&broker.data_dir, OFFSETS, 0) > 0
    };
    while !is_cleaned(&broker) {}
    let expected = vec![offset; COMMITTED_PARTITIONS as usize];
    for stop in ["TERM", "KILL"] {
        broker.signal(stop);
        broker.wait();
        let segments = inspect(&data_dir.join(format!("{OFFSETS}-0")), false).expect("it can be read").segments;
        let cleaned_up_to = first_dirty(&data_dir, OFFSETS, 0);
        let cleaned: u64 = segments.iter().filter(|segment| segment.base_offset < cleaned_up_to).map(|segment| segment.bytes).sum();
        assert!(cleaned < 200_000, "{cleaned} bytes are too many for a few hundred commits that are left below {cleaned_up_to}");
        broker = Broker::start_in(&data_dir, &[&EAGER[..], &settings].concat());
        assert_eq!(committed(&mut broker.connect(0)), expected, "after {stop}");
    }
}

/// Commits one offset after the other until the broker dies. Returns the last that was acknowledged; the one behind it may be there too.
fn commit_until_it_dies(connection: &mut Connection, partitions: i32, first: i64) -> i64 {
    for offset in first.. {
        let request = frame(1, 8, &commit_request(partitions, offset));
        let Ok(answer) = connection.send_bytes(&request).and_then(|()| connection.receive_frame()) else { return offset - 1 };
        let (_, answer) = decode::<OffsetCommitRequest>(8, answer);
        assert!(answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0), "{:?}", answer.topics[0].partitions[0]);
        // So that the cleaner, which gives way to everybody, keeps up on a busy machine, and the next start has not all too much to replay.
        thread::sleep(Duration::from_millis(2));
    }
    unreachable!("offsets do not end")
}

#[test]
fn killed_while_commits_are_cleaned_the_last_of_them_are_there() {
    const OFFSETS: &str = "__consumer_offsets";
    const COMMITTED_PARTITIONS: i32 = 100;
    let settings =
        ["offsets.topic.num.partitions=1", "offsets.topic.segment.bytes=1048576", "log.cleaner.io.max.bytes.per.second=15000000"];
    let settings: Vec<&str> = EAGER.into_iter().chain(settings.into_iter().flat_map(|setting| ["--set", setting])).collect();
    let directory = fresh_dir();
    let data_dir = directory.path().join("data");
    let mut random = Random::seeded();
    let mut broker = Broker::start_in(&data_dir, &settings);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", COMMITTED_PARTITIONS, &[]);
    let find = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![StrBytes::from_static_str("a group")]);
    assert_eq!(connection.ask(4, &find).coordinators[0].error_code, 0);
    commit(&mut connection, COMMITTED_PARTITIONS, 1);
    let (mut last, mut left_behind) = (1, 0);
    for kill in 0..setting("TEST_KILLS", 4) {
        thread::scope(|scope| {
            let committer = scope.spawn(move || commit_until_it_dies(&mut connection, COMMITTED_PARTITIONS, last + 1));
            // One cleaning comes to its end, or the dirty part would grow from kill to kill; the next one does not.
            let cleaned_up_to = first_dirty(&data_dir, OFFSETS, 0);
            broker.wait_until(|broker| first_dirty(&broker.data_dir, OFFSETS, 0) > cleaned_up_to);
            broker.wait_until(|broker| !unfinished(&broker.data_dir, OFFSETS).is_empty());
            thread::sleep(Duration::from_micros(random.within(0..60_000) as u64));
            broker.kill();
            last = committer.join().expect("every commit is taken");
        });
        left_behind += usize::from(!unfinished(&data_dir, OFFSETS).is_empty());
        broker = Broker::start_in(&data_dir, &settings);
        connection = broker.connect(0);
        let found = committed(&mut connection);
        assert_eq!(found.len(), COMMITTED_PARTITIONS as usize, "after kill {kill}");
        assert!(found.iter().all(|offset| *offset == found[0]), "after kill {kill}: a commit is there as a whole: {found:?}");
        assert!((last..=last + 1).contains(&found[0]), "after kill {kill}: {} was committed last, {} is there", last, found[0]);
        last = found[0];
    }
    eprintln!("{last} commits, {left_behind} kills left unfinished files");
}
