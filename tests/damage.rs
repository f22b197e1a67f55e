//! A damaged data directory: a torn tail, a broken batch in a sealed segment, small files that are gone or full of garbage.
//!
//! What a power loss leaves behind is made by hand, on a copy of a directory that a killed broker left. Rules held here: the broker
//! starts; every whole batch before the damage is there; what is cut is named and kept; nobody skips a record without being told.

mod broker;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use broker::ask::{self, whole_batches};
use broker::random::Random;
use broker::{Broker, Connection, fresh_dir, pagewire};
use pagewire::wire::Batch;

const ONE_CORE: [&str; 2] = ["--cores", "0"];
const TOPIC: &str = "t";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).unwrap(),
        }
    }
}

/// Every file below `directory` whose name ends so.
fn files_ending(directory: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_ending(&entry.path(), end)),
            false if entry.file_name().to_string_lossy().ends_with(end) => found.push(entry.path()),
            false => {}
        }
    }
    found.sort();
    found
}

/// The value of record `number`: of very different lengths, fifty of them to a segment.
fn value(number: i64) -> Vec<u8> {
    format!("{number}:{}", "x".repeat((number * number * 7919 % 40_000) as usize)).into_bytes()
}

/// Produces batches of one to four records up to offset `end`.
fn fill(connection: &mut Connection, topic: &str, partition: i32, mut from: i64, end: i64) {
    while from < end {
        let values: Vec<Vec<u8>> = (from..end.min(from + 1 + from % 4)).map(value).collect();
        assert_eq!(ask::write(connection, topic, partition, &values), from);
        from += values.len() as i64;
    }
}

fn assert_holds(connection: &mut Connection, topic: &str, partition: i32, end: i64) {
    let expected: Vec<(i64, Vec<u8>)> = (0..end).map(|offset| (offset, value(offset))).collect();
    assert!(ask::read(connection, topic, partition, 0) == expected, "{topic}-{partition} is not what was written");
}

/// Where each batch of a segment begins, and the offset behind it.
fn batch_ends(log: &[u8]) -> Vec<(usize, i64)> {
    let mut at = 0;
    let batches = whole_batches(log).into_iter().map_while(|batch| Batch::stored(batch.0).ok());
    batches
        .map(|batch| {
            at += batch.bytes.len();
            (at, batch.header.next_offset().0)
        })
        .collect()
}

#[test]
fn a_tail_cut_or_overwritten_is_set_aside_and_all_before_it_stays() {
    let written = fresh_dir();
    let mut random = Random::seeded();
    let mut broker = Broker::start_in(written.path(), &ONE_CORE);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, TOPIC, 1, &[("segment.bytes", "1048576")]);
    fill(&mut connection, TOPIC, 0, 0, 150);
    // A segment gets its name a moment after it has taken its first batches.
    let holds_the_end = |file: &PathBuf| batch_ends(&fs::read(file).unwrap()).last().is_some_and(|(_, end)| *end == 150);
    let begun = Instant::now();
    while !files_ending(written.path(), ".log").last().is_some_and(holds_the_end) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the last segment was never named");
        std::thread::sleep(Duration::from_millis(10));
    }
    broker.kill();
    let last = files_ending(written.path(), ".log").pop().unwrap();
    let name = last.strip_prefix(written.path()).unwrap();
    let whole = fs::read(&last).unwrap();
    let ends = batch_ends(&whole);
    let begin = name.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
    assert!(begin > 50 && ends.len() > 8 && ends.last() == Some(&(whole.len(), 150)), "{begin} {ends:?}");

    for round in 0..8 {
        let at = random.within(0..whole.len() - 1);
        let mut damaged = whole.clone();
        let what = match round % 4 {
            0 => {
                damaged.truncate(at);
                "cut off"
            }
            1 => {
                let len = random.within(1..30_000).min(whole.len() - at);
                damaged[at..at + len].copy_from_slice(&random.bytes(len));
                "overwritten with garbage"
            }
            // What ext4 leaves of a file whose size reached the disk before its blocks did.
            2 => {
                damaged[at..].fill(0);
                "zero to its end"
            }
            _ => {
                damaged.extend(random.bytes(at % 5000 + 1));
                "followed by garbage"
            }
        };
        let place = format!("round {round}: {what} at byte {at} of {}", whole.len());
        let (kept, end) = batch_ends(&damaged).last().copied().unwrap_or((0, begin));
        let directory = fresh_dir();
        copy(written.path(), directory.path());
        fs::write(directory.path().join(name), &damaged).unwrap();

        let mut broker = Broker::start_in(directory.path(), &ONE_CORE);
        let mut connection = broker.connect(0);
        assert_holds(&mut connection, TOPIC, 0, end);
        fill(&mut connection, TOPIC, 0, end, end + 5);
        broker.stop();
        let pieces = files_ending(&directory.path().join(format!("{TOPIC}-0")), ".log");
        let pieces: Vec<&PathBuf> = pieces.iter().filter(|path| path.parent().unwrap().ends_with("cut")).collect();
        if damaged[kept..].iter().all(|byte| *byte == 0) {
            // Zeros are nobody's records; preallocation leaves them as well.
            assert!(pieces.is_empty(), "{place}: {pieces:?}");
        } else {
            let said = broker.said();
            assert!(said.contains(&format!("cut {} bytes from offset {end} on", damaged.len() - kept)), "{place}:\n{said}");
            assert_eq!(fs::read(pieces[0]).unwrap(), damaged[kept..], "{place}");
            assert_eq!(pieces.len(), 1, "{place}");
        }
        broker.start_again(&ONE_CORE);
        assert_holds(&mut broker.connect(0), TOPIC, 0, end + 5);
    }
}

/// What a client that goes from offset to offset gets to see.
#[derive(Default)]
struct Reading {
    /// Offsets that came in whole batches.
    read: BTreeSet<i64>,
    /// Offsets at which it was told: by an error, or by a batch that does not check.
    told: BTreeSet<i64>,
}

/// Reads all offsets below `end`. After bad news it goes on at the next offset.
fn read_through(connection: &mut Connection, end: i64) -> Reading {
    let mut reading = Reading::default();
    let mut offset = 0;
    while offset < end {
        let answer = ask::fetch(connection, TOPIC, 0, offset);
        let records = answer.records.unwrap_or_default();
        let mut next = offset;
        if answer.error_code == 0 {
            for batch in whole_batches(&records) {
                let Ok(batch) = Batch::stored(batch.0) else { break };
                // A client takes what lies above the asked offset for what comes next: a gap here would be a silent skip.
                assert!(batch.header.base_offset.0 <= next, "asked for {next}, came {}", batch.header.base_offset);
                reading.read.extend(next..batch.header.next_offset().0);
                next = batch.header.next_offset().0;
            }
        }
        if next == offset {
            reading.told.insert(offset);
            next += 1;
        }
        offset = next;
    }
    reading
}

#[test]
fn a_damaged_batch_in_a_sealed_segment_is_told_and_never_skipped() {
    const END: i64 = 180;
    let written = fresh_dir();
    let mut broker = Broker::start_in(written.path(), &ONE_CORE);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, TOPIC, 1, &[("segment.bytes", "1048576"), ("index.interval.bytes", "80000")]);
    fill(&mut connection, TOPIC, 0, 0, END);
    broker.stop();
    let logs = files_ending(written.path(), ".log");
    assert!(logs.len() >= 3);
    let name = logs[1].strip_prefix(written.path()).unwrap();
    let whole = fs::read(&logs[1]).unwrap();
    let ends = batch_ends(&whole);
    let (start, first_offset) = ends[ends.len() / 2];
    let (_, next_offset) = ends[ends.len() / 2 + 1];
    let (_, segment_end) = *ends.last().unwrap();

    let random = |bytes: &mut [u8]| bytes.copy_from_slice(&Random::seeded().bytes(bytes.len()));
    type Damage<'a> = (&'a str, &'a dyn Fn(&mut [u8]));
    let damages: [Damage<'_>; 9] = [
        ("a record", &|batch| batch[80] ^= 1),
        ("the CRC", &|batch| batch[18] ^= 0x80),
        ("the base offset, up", &|batch| batch[7] = batch[7].wrapping_add(2)),
        ("the base offset, down", &|batch| batch[7] = batch[7].wrapping_sub(1)),
        ("the base offset, far up", &|batch| batch[2] = 1),
        ("the length, longer", &|batch| batch[10] ^= 0x20),
        ("the length, shorter", &|batch| batch[11] = batch[11].wrapping_sub(9)),
        ("the format", &|batch| batch[16] = 1),
        ("everything", &random),
    ];
    for (what, damage) in damages {
        let directory = fresh_dir();
        copy(written.path(), directory.path());
        let mut bytes = whole.clone();
        let batch_end = ends[ends.len() / 2 + 1].0;
        damage(&mut bytes[start..batch_end]);
        fs::write(directory.path().join(name), bytes).unwrap();

        // A clean start trusts sealed segments, and reading them does not wait for anybody to look.
        let mut broker = Broker::start_in(directory.path(), &ONE_CORE);
        assert!(broker.said().contains("0 bytes of log read"), "{}", broker.said());
        let reading = read_through(&mut broker.connect(0), END);
        let all: BTreeSet<i64> = reading.read.union(&reading.told).copied().collect();
        assert!(all.iter().copied().eq(0..END), "{what}: a record was skipped");
        assert!(reading.told.contains(&first_offset), "{what}: nobody was told of offset {first_offset}: {:?}", reading.told);
        let untold_range = |offset: &i64| *offset < first_offset || *offset >= segment_end;
        assert!(!reading.told.iter().any(untold_range), "{what}: good segments were refused: {:?}", reading.told);
        if matches!(what, "a record" | "the CRC") {
            // The walk goes on behind a batch whose header is right.
            assert!(reading.told.iter().copied().eq(first_offset..next_offset), "{what}: {:?}", reading.told);
        }
        broker.stop();

        let inspected = Command::new(pagewire()).arg("inspect").arg(directory.path().join(format!("{TOPIC}-0"))).output().unwrap();
        let text = String::from_utf8_lossy(&inspected.stdout);
        assert_eq!(inspected.status.code(), Some(1), "{what}: {text}");
        let segment = name.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
        assert!(text.lines().any(|line| line.contains(&format!("segment {segment}"))), "{what}: {text}");
    }
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Deleted,
    Emptied,
    Halved,
    Garbage,
}

impl Harm {
    const ALL: [Harm; 4] = [Harm::Deleted, Harm::Emptied, Harm::Halved, Harm::Garbage];

    fn inflict(self, path: &Path, random: &mut Random) {
        // A marker that was not there is no damage but a lie.
        if path.ends_with(".kafka_cleanshutdown") && !path.exists() {
            return;
        }
        match (self, fs::read(path)) {
            (Harm::Deleted, Ok(_)) => fs::remove_file(path).unwrap(),
            (Harm::Deleted, Err(_)) => {}
            (Harm::Emptied, _) => fs::write(path, b"").unwrap(),
            (Harm::Halved, bytes) => {
                let bytes = bytes.unwrap_or_default();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }
            (Harm::Garbage, _) => fs::write(path, random.bytes(240)).unwrap(),
        }
    }
}

/// Files of the data directory; those that are not there yet are made where garbage is asked for.
const DIRECTORY_FILES: [&str; 8] = [
    "recovery-point-offset-checkpoint",
    "replication-offset-checkpoint",
    "log-start-offset-checkpoint",
    "cleaner-offset-checkpoint",
    "meta.properties",
    "metadata.pagewire",
    ".kafka_cleanshutdown",
    ".lock",
];
/// Files of each partition.
const PARTITION_FILES: [&str; 3] = ["leader-epoch-checkpoint", "partition.metadata", "00000000000000000100.snapshot"];
/// Files of each segment.
const SEGMENT_FILES: [&str; 3] = [".index", ".timeindex", ".txnindex"];

/// All files of that name or ending; one that is not there yet is named all the same.
fn victims(data_dir: &Path, kind: &str) -> Vec<PathBuf> {
    let partitions = [0, 1].map(|partition| data_dir.join(format!("{TOPIC}-{partition}")));
    if DIRECTORY_FILES.contains(&kind) {
        return vec![data_dir.join(kind)];
    }
    if PARTITION_FILES.contains(&kind) {
        return partitions.map(|partition| partition.join(kind)).to_vec();
    }
    files_ending(data_dir, ".log").iter().map(|log| log.with_extension(&kind[1..])).collect()
}

#[test]
fn no_small_file_keeps_the_broker_from_starting() {
    const END: i64 = 150;
    let mut random = Random::seeded();
    let clean = fresh_dir();
    let mut broker = Broker::start_in(clean.path(), &[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, TOPIC, 2, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
    fill(&mut connection, TOPIC, 0, 0, END);
    fill(&mut connection, TOPIC, 1, 0, 20);
    broker.stop();
    // The same after a crash: restarted and killed.
    let killed = fresh_dir();
    copy(clean.path(), killed.path());
    let mut broker = Broker::start_in(killed.path(), &[]);
    fill(&mut broker.connect(0), TOPIC, 0, END, END + 9);
    broker.kill();

    let kinds = || DIRECTORY_FILES.iter().chain(&PARTITION_FILES).chain(&SEGMENT_FILES).copied();
    let mut cases: Vec<(Vec<&str>, Harm)> = kinds().flat_map(|kind| Harm::ALL.map(|harm| (vec![kind], harm))).collect();
    cases.extend(Harm::ALL.map(|harm| (kinds().collect(), harm)));
    for (number, (kinds, harm)) in cases.into_iter().enumerate() {
        // Every kind of harm meets both in turn, and those to everything at once meet both.
        let both = kinds.len() > 1;
        for (origin, end) in [(&clean, END), (&killed, END + 9)]
            .into_iter()
            .skip(if both { 0 } else { (number + number / 4) % 2 })
            .take(if both { 2 } else { 1 })
        {
            let place = format!("{kinds:?} {harm:?}");
            let directory = fresh_dir();
            copy(origin.path(), directory.path());
            kinds.iter().flat_map(|kind| victims(directory.path(), kind)).for_each(|path| harm.inflict(&path, &mut random));
            let mut broker = Broker::start_in(directory.path(), &[]);
            let mut connection = broker.connect(1);
            assert_eq!(ask::describe(&mut connection, TOPIC).partitions.len(), 2, "{place}");
            eprintln!("{place}");
            assert_holds(&mut connection, TOPIC, 0, end);
            assert_holds(&mut connection, TOPIC, 1, 20);
            fill(&mut connection, TOPIC, 0, end, end + 3);
            ask::create_topic(&mut connection, "another", 1, &[]);
            broker.kill();
            broker.start_again(&[]);
            let mut connection = broker.connect(0);
            assert_holds(&mut connection, TOPIC, 0, end + 3);
            assert_eq!(ask::end_offset(&mut connection, "another", 0), 0, "{place}");
        }
    }
}

#[test]
fn a_lost_metadata_store_is_kept_aside_and_what_it_said_is_not_guessed() {
    let mut broker = Broker::start(&ONE_CORE);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, TOPIC, 3, &[("retention.ms", "1000")]);
    let id = ask::describe(&mut connection, TOPIC).topic_id;
    fill(&mut connection, TOPIC, 2, 0, 10);
    broker.kill();
    let store = broker.data_dir.join("metadata.pagewire");
    let mut bytes = fs::read(&store).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&store, &bytes).unwrap();

    broker.start_again(&ONE_CORE);
    let said = broker.said();
    assert!(said.contains("ERROR") && said.contains("CRC-32C") && said.contains("retention.ms"), "{said}");
    let aside = fs::read_dir(&broker.data_dir).unwrap().map(|entry| entry.unwrap().path());
    let aside = aside.filter(|path| path.to_string_lossy().contains("metadata.pagewire.damaged-")).collect::<Vec<_>>();
    assert_eq!(aside.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), [bytes]);
    let mut connection = broker.connect(0);
    let topic = ask::describe(&mut connection, TOPIC);
    assert_eq!((topic.topic_id, topic.partitions.len()), (id, 3));
    assert_holds(&mut connection, TOPIC, 2, 10);
    let described =
        Command::new(pagewire()).args(["topics", "--bootstrap", &broker.address(0).to_string(), "describe", TOPIC]).output().unwrap();
    let described = String::from_utf8_lossy(&described.stdout).into_owned();
    assert!(described.contains("retention.ms = -1"), "{described}");
}
