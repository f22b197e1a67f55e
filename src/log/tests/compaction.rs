//! Cleaning a log: against a model, with crashes between any two steps of a swap, beside retention, readers and searches, and on what Apache Kafka has cleaned.

use std::collections::{HashMap, HashSet};
use std::fs;

use proptest::prelude::*;

use super::kafka_directories::Fixture;
use super::support::*;
use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::log::compaction::swap;
use crate::log::compaction::{Cleaned, CleanerLimits, Cleaning, CleaningError, CleaningReport, Step};
use crate::log::format::{FileKind, Marking, SegmentFileName, path};
use crate::log::{Log, LogConfig, LogError, OpenContext, ReadOutcome, TimestampQuery};
use crate::wire::batch::Batch;
use crate::wire::rebuilt::timestamp_of;
use crate::wire::records::Records;
use crate::wire::{Codec, RecordBatchBuilder};

const LIMITS: CleanerLimits = CleanerLimits { map_bytes_max: 1 << 20, map_load_factor: 0.9, bytes_per_second: f64::MAX };

fn compacted() -> LogConfig {
    LogConfig {
        cleanup_compact: true,
        cleanup_delete: false,
        dirty_ratio_min: 0.0,
        delete_retention_ms: 1000,
        file_delete_delay_ms: 0,
        ..small_segments()
    }
}

/// One record as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    offset: i64,
    timestamp: i64,
    key: u8,
    value: Option<Vec<u8>>,
}

/// Appends a batch and answers its records.
fn write(
    log: &mut Log,
    codec: Codec,
    producer: Option<(ProducerId, i32)>,
    records: &[(u8, Option<Vec<u8>>)],
    timestamp: i64,
) -> Vec<Written> {
    let mut builder = RecordBatchBuilder::new(codec);
    if let Some((producer_id, sequence)) = producer {
        builder = builder.producer(producer_id, 0, sequence);
    }
    let mut written = Vec::new();
    for (i, (key, value)) in records.iter().enumerate() {
        let (offset, timestamp) = (log.log_end_offset().0 + i as i64, timestamp + i as i64 % 3);
        builder.append(Timestamp(timestamp), Some(&[*key]), value.as_deref(), &[("header", Some(&[*key]))]);
        written.push(Written { offset, timestamp, key: *key, value: value.clone() });
    }
    let bytes = builder.build();
    log.append(&[Batch::stored(&bytes).unwrap()], LeaderEpoch(0), NOW).unwrap();
    written
}

/// Every record of the log, by sequential reads.
fn contents(log: &mut Log) -> Vec<Written> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    loop {
        let ranges = match read(log, next, 700) {
            ReadOutcome::Ranges(ranges) => ranges,
            ReadOutcome::AtEnd => return found,
            outcome => panic!("at {next}: {outcome:?}"),
        };
        let bytes: Vec<u8> = ranges.iter().flat_map(bytes_of).collect();
        for batch in crate::wire::batch::split(&bytes).unwrap() {
            let batch = Batch::stored(batch.0).unwrap();
            let unpacked = batch.unpack(1 << 20).unwrap();
            for record in Records::new(&unpacked, batch.header.records_count) {
                let record = record.unwrap();
                let key = record.key.unwrap()[0];
                assert_eq!(record.headers.collect::<Vec<_>>(), [(&b"header"[..], Some(&[key][..]))]);
                found.push(Written {
                    offset: batch.header.base_offset.plus(i64::from(record.offset_delta)).0,
                    timestamp: timestamp_of(&batch.header, &record).0,
                    key,
                    value: record.value.map(<[u8]>::to_vec),
                });
            }
            assert!(batch.header.next_offset() > next);
            next = batch.header.next_offset();
        }
    }
}

/// Cleans to the end; `None` if there was nothing to clean.
fn clean(log: &mut Log, limits: CleanerLimits, now: Timestamp) -> Option<CleaningReport> {
    work(log);
    let plan = log.begin_cleaning(log.log_end_offset(), now)?;
    let abort = plan.abort();
    let mut cleaning = Cleaning::new(plan, limits, now);
    loop {
        match cleaning.advance().unwrap() {
            Step::Swap(cleaned) => {
                assert!(log.swap_in(cleaned));
                work(log);
                assert!(!log.is_swapping());
            }
            Step::Done(report) => {
                log.end_cleaning(&abort, Some(&report), now);
                return Some(report);
            }
        }
    }
}

fn files(log: &Log, marking: Marking) -> Vec<String> {
    let names = fs::read_dir(log.directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| SegmentFileName::parse(name).is_some_and(|parsed| parsed.marking == marking)).collect();
    names.sort();
    names
}

fn no_damage(log: &Log) {
    let damage = crate::log::inspect::inspect(log.directory(), true).unwrap().damage;
    assert_eq!(damage, Vec::<String>::new());
}

#[derive(Clone, Debug)]
enum Deed {
    /// Keys and the bytes of their values (`None`: a tombstone), by a producer or by nobody.
    Write(Codec, Option<u8>, Vec<(u8, Option<u8>)>),
    /// Bytes of the map.
    Clean(usize),
    /// Dies at this share of the steps of a swap, the first or a later one.
    DieInSwap(u8, u8),
    DieBeforeSwap,
    TimePasses,
    CloseCleanly,
    Die,
    DeleteRecords(u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    let records = prop::collection::vec((0u8..12, prop::option::weighted(0.8, 0u8..90)), 1..7);
    let codec = prop::sample::select(Codec::ALL.to_vec());
    prop_oneof![
        12 => (codec, prop::option::of(0u8..3), records).prop_map(|(codec, producer, records)| Deed::Write(codec, producer, records)),
        2 => prop_oneof![Just(1 << 20), Just(100), Just(0)].prop_map(Deed::Clean),
        2 => (any::<u8>(), 0u8..3).prop_map(|(share, swap)| Deed::DieInSwap(share, swap)),
        1 => Just(Deed::DieBeforeSwap),
        1 => Just(Deed::TimePasses),
        1 => Just(Deed::CloseCleanly),
        1 => Just(Deed::Die),
        1 => any::<u8>().prop_map(Deed::DeleteRecords),
    ]
}

#[derive(Default)]
struct Model {
    written: Vec<Written>,
    /// Up to here a cleaning may have come that died before it could say so.
    touched: i64,
    sequences: HashMap<u8, i32>,
    last_data_offsets: HashMap<u8, i64>,
    now: i64,
}

fn producer_id(number: u8) -> ProducerId {
    ProducerId(i64::from(number) + 100)
}

impl Model {
    /// Holds the log against everything that was ever written.
    fn check(&self, log: &mut Log) {
        let start = log.log_start_offset().0;
        let found = contents(log);
        let mut expected = self.written.iter();
        for record in &found {
            assert!(expected.any(|written| written == record), "{record:?} was never written, or not in this order");
        }
        let latest: HashMap<u8, &Written> = self.written.iter().map(|written| (written.key, written)).collect();
        for written in latest.values().filter(|written| written.offset >= start && written.value.is_some()) {
            assert!(found.contains(written), "the last value of a key is gone: {written:?}");
        }
        let mut left: HashMap<u8, &Written> = HashMap::new();
        found.iter().filter(|record| record.offset >= start).for_each(|record| _ = left.insert(record.key, record));
        for (key, record) in left {
            assert_eq!(Some(&record), latest.get(&key), "what a later record has outdone is the last of its key");
        }
        let dirty = log.first_dirty_offset_to_checkpoint().map_or(start, |offset| offset.0.max(start)).max(self.touched);
        let is_dirty = |record: &&Written| record.offset >= dirty;
        assert!(found.iter().filter(is_dirty).eq(self.written.iter().filter(is_dirty)), "what is dirty is whole");
        for (number, offset) in self.last_data_offsets.iter().filter(|(_, offset)| **offset >= start) {
            let headers = headers_of(read(log, Offset(*offset), 1));
            let last_sequence = self.sequences[number] - 1;
            let header = headers[0];
            let is_there = header.producer_id == producer_id(*number) && header.last_sequence() == last_sequence;
            assert!(is_there, "producer {number} wrote sequence {last_sequence} at {offset}; the log has {header:?}");
        }
        assert_eq!(log.log_end_offset().0, self.written.len() as i64);
        work(log);
        no_damage(log);
    }

    /// After a cleaning that came to its end: nothing below its end is outdone by something else below its end.
    fn check_cleaned(&self, log: &mut Log, first_dirty: i64) {
        let found = contents(log);
        let mut last = HashMap::new();
        // The batch at the log's start may begin before it, with records that no consumer sees and no cleaning looks at.
        let start = log.log_start_offset().0;
        for record in found.iter().filter(|record| (start..first_dirty).contains(&record.offset)) {
            assert_eq!(last.insert(record.key, record.offset), None, "key {} is there twice below {first_dirty}", record.key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_cleaned_log_holds_the_last_value_of_every_key(deeds in prop::collection::vec(deed(), 1..80), segment_bytes in 1000u32..4000) {
        let scratch = tempfile::tempdir().unwrap();
        let config = LogConfig { segment_bytes, ..compacted() };
        let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
        let mut model = Model { now: NOW.0, ..Model::default() };
        for deed in deeds {
            let reopen = |log: Log, clean: bool| {
                let context = OpenContext {
                    recovery_point: Some(log.recovery_point()),
                    log_start_offset: log.log_start_offset_to_checkpoint(),
                    first_dirty_offset: log.first_dirty_offset_to_checkpoint(),
                    ..OpenContext::default()
                };
                let context = match clean {
                    true => {
                        let closed = log.close(true).unwrap();
                        OpenContext { clean: true, recovery_point: Some(closed.recovery_point), ..context }
                    }
                    false => context,
                };
                let (log, report) = open(scratch.path(), &config, context);
                assert!(report.cut.is_empty() && report.indexes_rebuilt.is_empty(), "{report}");
                log
            };
            match deed {
                Deed::Write(codec, producer, records) => {
                    let value = |(i, bytes): (usize, u8)| vec![i as u8; usize::from(bytes)];
                    let records: Vec<_> = records.into_iter().enumerate().map(|(i, (key, bytes))| (key, bytes.map(|b| value((i, b))))).collect();
                    let sequence = producer.map(|number| (producer_id(number), *model.sequences.entry(number).or_default()));
                    let written = write(&mut log, codec, sequence, &records, NOW.0 + model.written.len() as i64);
                    if let Some(number) = producer {
                        *model.sequences.get_mut(&number).unwrap() += records.len() as i32;
                        model.last_data_offsets.insert(number, written.last().unwrap().offset);
                    }
                    model.written.extend(written);
                }
                Deed::Clean(map_bytes_max) => {
                    work(&mut log);
                    let now = Timestamp(model.now);
                    if let Some(plan) = log.begin_cleaning(log.log_end_offset(), now) {
                        let abort = plan.abort();
                        let mut cleaning = Cleaning::new(plan, CleanerLimits { map_bytes_max, ..LIMITS }, now);
                        let report = loop {
                            match cleaning.advance().unwrap() {
                                Step::Swap(cleaned) => {
                                    assert!(log.swap_in(cleaned));
                                    work(&mut log);
                                }
                                Step::Done(report) => break report,
                            }
                        };
                        log.end_cleaning(&abort, Some(&report), now);
                        assert!(report.first_dirty_offset > report.first_dirty_offset_before, "a cleaning gets on");
                        assert!(map_bytes_max == 0 || report.bytes_after <= report.bytes_before + 200 * report.segments_before as u64);
                        model.check_cleaned(&mut log, report.first_dirty_offset.0);
                    }
                }
                Deed::DieInSwap(share, number) => {
                    work(&mut log);
                    let now = Timestamp(model.now);
                    if let Some(plan) = log.begin_cleaning(log.log_end_offset(), now) {
                        model.touched = plan.cleanable.first_uncleanable_offset.0;
                        let mut cleaning = Cleaning::new(plan, LIMITS, now);
                        for swap_number in 0.. {
                            let Step::Swap(cleaned) = cleaning.advance().unwrap() else { break };
                            if swap_number == number {
                                let old: Vec<Offset> = cleaned.old.iter().map(|(base_offset, _)| *base_offset).collect();
                                let steps = swap::steps(&old);
                                let done = steps.len() * usize::from(share) / 255;
                                steps.into_iter().take(done).for_each(|step| step.perform(scratch.path()).unwrap());
                                break;
                            }
                            assert!(log.swap_in(cleaned));
                            work(&mut log);
                        }
                        log = reopen(log, false);
                        let first_dirty = log.first_dirty_offset_to_checkpoint().unwrap_or(log.log_start_offset());
                        model.check_cleaned(&mut log, first_dirty.0);
                        assert_eq!((files(&log, Marking::Cleaned), files(&log, Marking::Swap)), (vec![], vec![]));
                        assert_eq!(files(&log, Marking::Deleted), Vec::<String>::new());
                    }
                }
                Deed::DieBeforeSwap => {
                    work(&mut log);
                    if let Some(plan) = log.begin_cleaning(log.log_end_offset(), Timestamp(model.now)) {
                        let _ = Cleaning::new(plan, LIMITS, Timestamp(model.now)).advance().unwrap();
                        log = reopen(log, false);
                        assert_eq!(files(&log, Marking::Cleaned), Vec::<String>::new());
                    }
                }
                Deed::TimePasses => {
                    model.now += 1000;
                    log.tick(Timestamp(model.now), log.log_end_offset());
                    work(&mut log);
                }
                Deed::CloseCleanly => {
                    work(&mut log);
                    log = reopen(log, true);
                }
                Deed::Die => log = reopen(log, false),
                Deed::DeleteRecords(share) => {
                    let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
                    log.advance_log_start_offset(Offset(start + (end - start) * i64::from(share) / 1000)).unwrap();
                    log.tick(Timestamp(model.now), log.log_end_offset());
                }
            }
            model.check(&mut log);
        }
        // Every offset can be asked for, whatever was cleaned away.
        let found = contents(&mut log);
        for offset in log.log_start_offset().0..log.log_end_offset().0 {
            let ReadOutcome::Ranges(ranges) = read(&mut log, Offset(offset), 1) else { panic!("nothing at {offset}") };
            let headers = headers_of(ReadOutcome::Ranges(ranges));
            let next = found.iter().find(|record| record.offset >= offset);
            prop_assert!(headers[0].last_offset().0 >= offset);
            prop_assert!(next.is_none_or(|next| headers[0].base_offset.0 <= next.offset), "{offset}: {headers:?} leaves out {next:?}");
        }
    }
}

/// 30 batches of two records of the keys 0 to 4, of which each is written twelve times, in segments of six batches or so.
fn filled(log: &mut Log) -> Vec<Written> {
    let mut written = Vec::new();
    for i in 0..30u8 {
        let value = Some(vec![i; 40]);
        written.extend(write(log, Codec::None, None, &[(i % 5, value.clone()), ((i + 2) % 5, value)], NOW.0 + i64::from(i) * 10));
        work(log);
    }
    written
}

#[test]
fn small_segments_become_one_and_the_old_files_go_later() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &LogConfig { file_delete_delay_ms: 500, ..compacted() }, OpenContext::default());
    filled(&mut log);
    let (segments, bytes) = (log.segments(), log.size_bytes());
    log.tick(NOW, log.log_end_offset());
    let ReadOutcome::Ranges(held) = read(&mut log, Offset(0), 400) else { panic!("nothing to read") };
    let report = clean(&mut log, LIMITS, NOW).unwrap();
    assert_eq!((report.keys, report.segments_before, report.segments_after), (5, segments - 1, segments - 1));
    assert!(log.size_bytes() < bytes / 2, "{} of {bytes} bytes are left", log.size_bytes());
    assert_eq!(
        log.size_bytes(),
        files(&log, Marking::Live)
            .iter()
            .filter(|name| name.ends_with(".log"))
            .map(|name| fs::metadata(scratch.path().join(name)).unwrap().len())
            .sum::<u64>()
    );
    assert_eq!(log.cleanable(log.log_end_offset(), NOW), None, "nothing is dirty any more");
    assert!(!headers_of(ReadOutcome::Ranges(held)).is_empty(), "a reader's bytes are still there");
    assert!(!files(&log, Marking::Deleted).is_empty());
    // The next round merges what has become small.
    let dirty_from = log.first_dirty_offset_to_checkpoint().unwrap();
    filled(&mut log);
    let report = clean(&mut log, LIMITS, NOW).unwrap();
    assert_eq!(report.first_dirty_offset_before, dirty_from);
    assert!(report.segments_after < report.segments_before, "{report:?}");
    log.tick(Timestamp(NOW.0 + 500), log.log_end_offset());
    work(&mut log);
    assert_eq!(files(&log, Marking::Deleted), Vec::<String>::new());
    no_damage(&log);
}

#[test]
fn a_search_by_time_meets_a_swap() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    let written = filled(&mut log);
    let before = log.timestamp_lookup(TimestampQuery::AtOrAfter(Timestamp(NOW.0 + 5)), log.end()).unwrap();
    log.tick(Timestamp(NOW.0 + 120_000), log.log_end_offset());
    let ReadOutcome::NotOpen(opening) = log.read(Offset(0), 1, log.end(), true).unwrap() else { panic!("still open") };
    clean(&mut log, LIMITS, NOW).unwrap();
    // What was begun before, and is done after.
    assert!(matches!(before.find(), Err(LogError::Replaced { segment: Offset(0), .. })));
    log.segment_opened(opening.open()).unwrap();
    let found = contents(&mut log);
    for record in &written {
        let lookup = log.timestamp_lookup(TimestampQuery::AtOrAfter(Timestamp(record.timestamp)), log.end()).unwrap();
        let came = lookup.find().unwrap().map(|found| found.offset.0);
        let expected = found.iter().find(|left| left.timestamp >= record.timestamp).map(|left| left.offset);
        assert_eq!(came, expected, "at {}", record.timestamp);
    }
}

#[test]
fn retention_and_a_new_start_go_before_a_cleaning() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    filled(&mut log);
    let plan = log.begin_cleaning(log.log_end_offset(), NOW).unwrap();
    assert!(log.begin_cleaning(log.log_end_offset(), NOW).is_none(), "one at a time");
    let abort = plan.abort();
    let mut cleaning = Cleaning::new(plan, LIMITS, NOW);
    let Step::Swap(first) = cleaning.advance().unwrap() else { panic!("nothing to swap") };
    log.advance_log_start_offset(Offset(13)).unwrap();
    log.tick(NOW, log.log_end_offset());
    work(&mut log);
    assert!(!log.swap_in(first), "its segment is gone");
    let Step::Swap(second) = cleaning.advance().unwrap() else { panic!("only one segment was to be cleaned") };
    assert!(log.swap_in(second));
    // Retention waits until the files have their names.
    log.advance_log_start_offset(Offset(25)).unwrap();
    log.tick(NOW, log.log_end_offset());
    assert!(log.is_swapping() && log.first_base_offset() < Offset(25));
    work(&mut log);
    log.tick(NOW, log.log_end_offset());
    work(&mut log);
    assert_eq!(contents(&mut log).first().map(|record| record.offset >= 24), Some(true));
    // The part that was refused is dirty still.
    log.end_cleaning(&abort, Some(&CleaningReport { first_dirty_offset: Offset(40), ..CleaningReport::default() }), NOW);
    assert_eq!((log.first_dirty_offset_to_checkpoint(), log.cleanable(log.log_end_offset(), NOW)), (None, None));
    let soon = Timestamp(NOW.0 + 5_000);
    clean(&mut log, LIMITS, soon).unwrap();
    assert!(log.first_dirty_offset_to_checkpoint().is_some());
    assert_eq!(files(&log, Marking::Cleaned), Vec::<String>::new());
    no_damage(&log);
}

#[test]
fn a_log_that_is_cut_or_given_up_ends_its_cleaning() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    filled(&mut log);
    clean(&mut log, LIMITS, NOW).unwrap();
    filled(&mut log);
    let dirty_from = log.first_dirty_offset_to_checkpoint().unwrap();
    let plan = log.begin_cleaning(log.log_end_offset(), NOW).unwrap();
    let abort = plan.abort();
    let mut cleaning = Cleaning::new(plan, LIMITS, NOW);
    let Step::Swap(cleaned) = cleaning.advance().unwrap() else { panic!("nothing to swap") };
    log.truncate_to(Offset(110)).unwrap();
    assert!(abort.is_ordered());
    assert!(!log.swap_in(cleaned));
    assert!(matches!(cleaning.advance(), Err(CleaningError::Aborted)));
    assert_eq!(files(&log, Marking::Cleaned), Vec::<String>::new());
    log.end_cleaning(&abort, None, NOW);
    assert_eq!(log.first_dirty_offset_to_checkpoint(), Some(dirty_from));
    log.truncate_to(Offset(10)).unwrap();
    assert_eq!(log.first_dirty_offset_to_checkpoint(), Some(log.log_end_offset()), "what comes in its place is dirty");
}

#[test]
fn what_a_cleaning_has_done_stays_done_when_it_does_not_come_to_its_end() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    filled(&mut log);
    // Some swaps of a cleaning that then is told to stop: the first dirty offsets before and after each.
    let swaps = |log: &mut Log, count: usize| {
        let mut cleaning = Cleaning::new(log.begin_cleaning(log.log_end_offset(), NOW).unwrap(), LIMITS, NOW);
        let mut reached = vec![log.first_dirty_offset_to_checkpoint().map(|offset| offset.0)];
        for _ in 0..count {
            let Step::Swap(cleaned) = cleaning.advance().unwrap() else { panic!("fewer than {count} swaps") };
            assert!(log.swap_in(cleaned));
            work(log);
            reached.push(log.first_dirty_offset_to_checkpoint().map(|offset| offset.0));
        }
        log.abort_cleaning();
        assert!(matches!(cleaning.advance(), Err(CleaningError::Aborted)));
        reached
    };
    let first = swaps(&mut log, 2);
    assert!(first[0].is_none() && first[0] < first[1] && first[1] < first[2], "each moves it: {first:?}");
    let recovery_point = log.recovery_point();
    drop(log.close(false));
    let first_dirty_offset = first[2].map(Offset);
    let context = OpenContext { first_dirty_offset, recovery_point: Some(recovery_point), ..OpenContext::default() };
    let (mut log, _) = open(scratch.path(), &compacted(), context);
    let report = clean(&mut log, LIMITS, NOW).unwrap();
    assert_eq!(Some(report.first_dirty_offset_before), first_dirty_offset, "the next one begins to read there");
    let below = contents(&mut log).into_iter().filter(|record| record.offset < report.first_dirty_offset.0);
    let keys: Vec<u8> = below.map(|record| record.key).collect();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "each key once");
}

#[test]
fn damage_and_a_full_disk_leave_the_log_alone_for_a_while() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    filled(&mut log);
    let file = path(scratch.path(), Offset(0), FileKind::Log);
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let before = contents_of_files(&log);
    let plan = log.begin_cleaning(log.log_end_offset(), NOW).unwrap();
    let abort = plan.abort();
    let error = Cleaning::new(plan, LIMITS, NOW).advance().unwrap_err();
    assert!(error.to_string().contains("segment 0 is damaged at byte 0"), "{error}");
    log.end_cleaning(&abort, None, NOW);
    assert_eq!(contents_of_files(&log), before);
    assert!(log.cleanable(log.log_end_offset(), NOW).is_none());
    assert!(log.cleanable(log.log_end_offset(), Timestamp(NOW.0 + 3_600_000)).is_some());
    assert_eq!(log.offline_reason(), None);
}

fn contents_of_files(log: &Log) -> Vec<(String, Vec<u8>)> {
    files(log, Marking::Live).into_iter().map(|name| (name.clone(), fs::read(log.directory().join(name)).unwrap())).collect()
}

#[test]
fn a_swap_that_fails_takes_the_log_offline_and_the_next_start_finishes_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    let written = filled(&mut log);
    let plan = log.begin_cleaning(log.log_end_offset(), NOW).unwrap();
    let abort = plan.abort();
    let Step::Swap(cleaned) = Cleaning::new(plan, LIMITS, NOW).advance().unwrap() else { panic!("nothing to swap") };
    let in_the_way = path(scratch.path(), Offset(0), FileKind::OffsetIndex).with_extension("index.swap");
    fs::create_dir(&in_the_way).unwrap();
    assert!(log.swap_in(cleaned));
    work(&mut log);
    assert!(log.offline_reason().is_some_and(|why| why.contains("put a cleaned segment in its place")), "{:?}", log.offline_reason());
    assert!(abort.is_ordered());
    let context = OpenContext { recovery_point: Some(log.recovery_point()), ..OpenContext::default() };
    drop(log);
    fs::remove_dir(&in_the_way).unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), context);
    assert_eq!(contents(&mut log), written, "the index was not ready: the old segments count");
}

#[test]
fn what_is_young_unreadable_or_not_on_the_disk_is_not_cleaned() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &LogConfig { compaction_lag_ms_min: 1000, ..compacted() }, OpenContext::default());
    filled(&mut log);
    let cleanable =
        |log: &Log, up_to, now| log.cleanable(Offset(up_to), Timestamp(now)).map(|cleanable| cleanable.first_uncleanable_offset.0);
    assert_eq!(cleanable(&log, 60, NOW.0), None);
    let second = log.sealed[1].base_offset.0;
    assert_eq!(cleanable(&log, 60, log.sealed[0].largest_timestamp.0 + 1000), Some(second));
    assert_eq!(cleanable(&log, 60, NOW.0 + 10_000), Some(log.active.base_offset.0));
    assert_eq!(cleanable(&log, second + 1, NOW.0 + 10_000), Some(second));
    assert_eq!(cleanable(&log, second - 1, NOW.0 + 10_000), None);
    // Rolled, and the job that syncs it has not run.
    let (mut log, _) = open(&scratch.path().join("other"), &compacted(), OpenContext::default());
    while log.segments() < 3 {
        write(&mut log, Codec::None, None, &[(1, Some(vec![1; 100]))], NOW.0);
    }
    assert_eq!(cleanable(&log, log.log_end_offset().0, NOW.0), None);
    work(&mut log);
    assert!(cleanable(&log, log.log_end_offset().0, NOW.0).is_some());
    log.set_config(std::sync::Arc::new(LogConfig { cleanup_compact: false, ..compacted() }));
    assert_eq!(cleanable(&log, log.log_end_offset().0, NOW.0), None);
}

#[test]
fn an_empty_segment_in_the_middle_does_no_harm() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 200, ..compacted() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    for i in 0..60u8 {
        write(&mut log, Codec::None, None, &[(1, Some(vec![i; 60]))], NOW.0 + i64::from(i));
        work(&mut log);
    }
    clean(&mut log, LIMITS, NOW).unwrap();
    // So many that whoever opened each of them would not come to an end.
    assert!(log.sealed.iter().filter(|segment| segment.size == 0).count() > 40, "the test has lost its object");
    assert_eq!(contents(&mut log).len(), 2, "the last cleaned one and the one in the active segment");
    no_damage(&log);
    for clean_stop in [true, false] {
        let recovery_point = log.recovery_point();
        let first_dirty_offset = log.first_dirty_offset_to_checkpoint();
        let context = match clean_stop {
            true => clean_at(log.close(true).unwrap().recovery_point),
            false => OpenContext { recovery_point: Some(recovery_point), ..OpenContext::default() },
        };
        log = open(scratch.path(), &config, OpenContext { first_dirty_offset, ..context }).0;
        assert_eq!(contents(&mut log).len(), 2);
    }
    // Retention by time is not stopped by it.
    log.set_config(std::sync::Arc::new(LogConfig { cleanup_delete: true, retention_ms: 1000, ..config }));
    log.tick(Timestamp(NOW.0 + 100_000), log.log_end_offset());
    work(&mut log);
    assert_eq!((log.log_start_offset(), log.segments()), (Offset(60), 1));
}

#[test]
fn what_kafka_has_cleaned_is_cleaned_further_and_keeps_what_counts() {
    let fixture = Fixture::unpack("clean");
    for (topic, partition) in [("compacted.with-tombstones", 0), ("compacted.with-tombstones", 1), ("compacted.tombstones-gone", 0)] {
        let (log, _) = fixture.open(topic, partition);
        let directory = log.directory().to_owned();
        let (recovery_point, end) = (log.recovery_point(), log.log_end_offset());
        drop(log);
        let config = LogConfig { cleanup_compact: true, segment_bytes: 24_576, delete_retention_ms: i64::MAX, ..compacted() };
        let committed = |log: &mut Log| last_values(log);
        let (mut log, _) = open(&directory, &config, clean_at(recovery_point));
        let before = committed(&mut log);
        // As if Kafka had not cleaned anything: the whole is dirty, but for the active segment.
        let report = clean(&mut log, LIMITS, NOW).unwrap_or_else(|| panic!("{topic}-{partition} has nothing to clean"));
        assert!(report.keys > 10, "{report:?}");
        assert_eq!(committed(&mut log), before, "{topic}-{partition}");
        assert_eq!(log.log_end_offset(), end);
        no_damage(&log);
    }
}

/// The last record of each key, tombstones too, of transactions that were not aborted; a key is gone as if it had a tombstone.
fn last_values(log: &mut Log) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut last = HashMap::new();
    let aborted: Vec<_> = fs::read_dir(log.directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txnindex"))
        .flat_map(|path| crate::log::compaction::transactions::AbortedTransaction::parse_all(&fs::read(path).unwrap()))
        .collect();
    let mut next = log.log_start_offset();
    while let ReadOutcome::Ranges(ranges) = read(log, next, 1 << 20) {
        let bytes: Vec<u8> = ranges.iter().flat_map(bytes_of).collect();
        for batch in crate::wire::batch::split(&bytes).unwrap() {
            let batch = Batch::stored(batch.0).unwrap();
            let header = batch.header;
            next = header.next_offset();
            let is_aborted = header.attributes.is_transactional()
                && aborted.iter().any(|aborted| {
                    aborted.producer_id == header.producer_id && (aborted.first_offset..=aborted.last_offset).contains(&header.base_offset)
                });
            if header.attributes.is_control() || is_aborted {
                continue;
            }
            let unpacked = batch.unpack(1 << 20).unwrap();
            for record in Records::new(&unpacked, header.records_count) {
                let record = record.unwrap();
                let Some(key) = record.key else { continue };
                match record.value {
                    Some(value) => _ = last.insert(key.to_vec(), value.to_vec()),
                    None => _ = last.remove(key),
                }
            }
        }
    }
    last
}

#[test]
fn an_open_transaction_ends_what_can_be_cleaned() {
    use crate::wire::batch::Attributes;
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    let transactional = |log: &mut Log, flags: i16, key: &[u8]| {
        let builder = RecordBatchBuilder::new(Codec::None).producer(ProducerId(5), 0, 0).flag(Attributes::TRANSACTIONAL | flags);
        let builder = builder.placed(log.log_end_offset(), LeaderEpoch(0));
        let bytes = builder.record(Timestamp(NOW.0), Some(key), Some(b"a value")).build();
        // Only another leader can have written it.
        log.append_as_follower(&[Batch::stored(&bytes).unwrap()], NOW).unwrap();
    };
    let plain = |log: &mut Log| {
        for i in 0..9u8 {
            write(log, Codec::None, None, &[(1, Some(vec![i; 100]))], NOW.0);
            work(log);
        }
    };
    plain(&mut log);
    let open_at = log.log_end_offset();
    transactional(&mut log, 0, &[1]);
    plain(&mut log);
    let report = clean(&mut log, LIMITS, NOW).unwrap();
    assert_eq!(report.first_dirty_offset, open_at);
    assert_eq!(log.first_dirty_offset_to_checkpoint(), Some(open_at));
    // It stays so, and costs no endless cleaning.
    let report = clean(&mut log, LIMITS, NOW).unwrap();
    assert_eq!((report.first_dirty_offset, report.segments_before), (open_at, 0));
    assert_eq!(log.cleanable(log.log_end_offset(), NOW), None);
    transactional(&mut log, Attributes::CONTROL, &[0, 0, 0, 1]);
    plain(&mut log);
    let later = Timestamp(NOW.0 + 3_600_000);
    assert!(clean(&mut log, LIMITS, later).unwrap().first_dirty_offset > open_at);
}

#[test]
fn a_refused_segment_leaves_no_file() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &compacted(), OpenContext::default());
    filled(&mut log);
    let plan = log.begin_cleaning(log.log_end_offset(), NOW).unwrap();
    let mut cleaning = Cleaning::new(plan, LIMITS, NOW);
    let Step::Swap(Cleaned { old, .. }) = cleaning.advance().unwrap() else { panic!("nothing to swap") };
    let Step::Swap(next) = cleaning.advance().unwrap() else { panic!("only one segment was to be cleaned") };
    let name = |offset: Offset| SegmentFileName { offset, kind: FileKind::Log, marking: Marking::Cleaned }.name();
    let there = files(&log, Marking::Cleaned);
    assert!(there.contains(&name(next.old[0].0)) && !there.contains(&name(old[0].0)), "{there:?}");
}
