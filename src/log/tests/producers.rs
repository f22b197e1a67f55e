//! What a log knows of its producers: in one write, after a clean end, a crash, a truncation, and with snapshots that are damaged or missing.

use std::fs;
use std::path::Path;

use super::support::*;
use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::log::format::{FileKind, Marking, SegmentFileName};
use crate::log::{Appended, Log, LogConfig, NotAppended, OpenContext, ProducerError};
use crate::wire::batch::{Attributes, BATCH_CRC_START, BATCH_HEADER_BYTES, Batch, BatchHeader};

const ID: ProducerId = ProducerId(77);

/// As `batch`, of a producer.
fn batch_of(id: ProducerId, epoch: i16, sequence: i32, records: i32) -> Vec<u8> {
    let mut bytes = batch(records, 100, 1000 + i64::from(sequence));
    let header = BatchHeader::parse(&bytes).unwrap();
    seal(&mut bytes, BatchHeader { producer_id: id, producer_epoch: epoch, base_sequence: sequence, ..header });
    bytes
}

/// A commit marker.
fn marker(id: ProducerId, epoch: i16, coordinator_epoch: i32) -> Vec<u8> {
    let mut value = vec![0, 0];
    value.extend(coordinator_epoch.to_be_bytes());
    let builder = crate::wire::RecordBatchBuilder::new(crate::wire::Codec::None).producer(id, epoch, -1);
    let builder = builder.flag(Attributes::CONTROL | Attributes::TRANSACTIONAL);
    builder.record(Timestamp(5), Some(&[0, 0, 0, 1]), Some(&value)).build()
}

fn seal(bytes: &mut [u8], mut header: BatchHeader) {
    let mut head = [0; BATCH_HEADER_BYTES];
    header.write(&mut head);
    bytes[..BATCH_HEADER_BYTES].copy_from_slice(&head);
    header.crc = crc32c::crc32c(&bytes[BATCH_CRC_START..]);
    header.write(bytes.first_chunk_mut().unwrap());
}

/// The n-th batch of two records; segments hold six of them.
fn nth(n: i32) -> Vec<u8> {
    batch_of(ID, 0, n * 2, 2)
}

fn fill(log: &mut Log, batches: std::ops::Range<i32>) {
    for n in batches {
        assert_eq!(append(log, &[nth(n)]).left_out, [], "batch {n}");
        work(log);
    }
}

fn left_out(appended: &Appended) -> Vec<(usize, Option<i64>)> {
    let offset = |why: &NotAppended| match why {
        NotAppended::Duplicate(batch) => Some(batch.first_offset().0),
        NotAppended::Refused(_) => None,
    };
    appended.left_out.iter().map(|(at, why)| (*at, offset(why))).collect()
}

/// The five batches before `next` are known, and `next` is what comes next.
fn expect_next(log: &mut Log, next: i32) {
    let end = log.log_end_offset();
    for n in (next - 5).max(0)..next {
        assert_eq!(left_out(&append(log, &[nth(n)])), [(0, Some(i64::from(n) * 2))], "batch {n} of {next}");
    }
    if next > 5 {
        assert_eq!(left_out(&append(log, &[nth(next - 6)])), [(0, None)]);
    }
    assert_eq!(left_out(&append(log, &[nth(next + 1)])), [(0, None)]);
    assert_eq!(log.log_end_offset(), end);
    fill(log, next..next + 1);
}

fn snapshots(directory: &Path) -> Vec<i64> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter_map(|name| SegmentFileName::parse(&name));
    let mut offsets: Vec<_> =
        names.filter(|name| name.kind == FileKind::ProducerSnapshot && name.marking == Marking::Live).map(|name| name.offset.0).collect();
    offsets.sort_unstable();
    offsets
}

fn snapshot_path(directory: &Path, offset: i64) -> std::path::PathBuf {
    crate::log::format::path(directory, Offset(offset), FileKind::ProducerSnapshot)
}

fn after_crash(recovery_point: Offset) -> OpenContext {
    OpenContext { recovery_point: Some(recovery_point), ..OpenContext::default() }
}

#[test]
fn repetitions_among_batches_of_one_write_are_left_out_and_their_neighbours_written() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    let other = |sequence| batch_of(ProducerId(78), 0, sequence, 1);
    let none = batch(3, 50, 1);
    // New, another's, the same again, none, next, a gap, again, next; over two segments.
    let batches = [nth(0), other(0), nth(0), none, nth(1), nth(3), nth(1), nth(2), other(1), nth(3), other(0)];
    let appended = append(&mut log, &batches);
    assert_eq!(left_out(&appended), [(2, Some(0)), (5, None), (6, Some(6)), (10, Some(2))]);
    assert!(matches!(appended.left_out[1].1, NotAppended::Refused(ProducerError::OutOfOrderSequence { last: 3, came: 6, .. })));
    assert_eq!((appended.base_offset, appended.last_offset), (Offset(0), Offset(12)));
    assert_eq!(log.segments(), 2);
    let stored: Vec<_> = read_all(&mut log, 10_000).iter().map(|header| (header.base_offset.0, header.base_sequence)).collect();
    assert_eq!(stored, [(0, 0), (2, 0), (3, -1), (6, 2), (8, 4), (10, 1), (11, 6)]);
    let nothing = append(&mut log, &[nth(3), nth(2)]);
    assert_eq!((left_out(&nothing), nothing.base_offset, nothing.last_offset), (vec![(0, Some(11)), (1, Some(8))], Offset(13), Offset(12)));
}

#[test]
fn a_snapshot_at_a_roll_knows_nothing_of_the_batches_behind_it() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    // One write over two rolls.
    let batches: Vec<_> = (0..14).map(nth).collect();
    assert_eq!(append(&mut log, &batches).left_out, []);
    work(&mut log);
    assert_eq!(snapshots(scratch.path()), [12, 24]);
    for (offset, last_sequence) in [(12, 11), (24, 23)] {
        let state = crate::log::producer_state::snapshot::decode(&fs::read(snapshot_path(scratch.path(), offset)).unwrap()).unwrap();
        assert_eq!(state.get(ID).unwrap().last_sequence(), last_sequence);
        assert_eq!(state.get(ID).unwrap().batches().len(), 5);
    }
}

#[test]
fn after_a_clean_end_nothing_is_read_and_all_five_are_known() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    for lives in 0..4 {
        fill(&mut log, lives * 9..lives * 9 + 9);
        let closed = log.close(true).unwrap();
        let report;
        (log, report) = open(scratch.path(), &config, clean_at(closed.recovery_point));
        assert_eq!(report.log_bytes_read, 0, "{report}");
        assert!(!report.is_noteworthy(), "{report}");
    }
    expect_next(&mut log, 36);
    assert_eq!(snapshots(scratch.path()), [12, 24, 36, 48, 60, 72], "each segment's and none of the ends before the last");
}

#[test]
fn after_a_crash_the_batches_behind_the_snapshot_are_taken_from_the_log() {
    let config = small_segments();
    for batches in [3, 6, 7, 12, 17, 18, 40] {
        let scratch = tempfile::tempdir().unwrap();
        let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
        fill(&mut log, 0..batches);
        let recovery_point = log.recovery_point();
        drop(log.close(false));
        let (mut log, report) = open(scratch.path(), &config, after_crash(recovery_point));
        assert!(!report.is_noteworthy(), "{report}");
        let closed = i64::from(batches) * 2;
        assert!(snapshots(scratch.path()).contains(&closed), "written at the end, for the next time");
        expect_next(&mut log, batches);
        // And once more, before anything was rolled.
        drop(log.close(false));
        let (mut log, _) = open(scratch.path(), &config, after_crash(recovery_point));
        expect_next(&mut log, batches + 1);
    }
}

#[test]
fn a_recovery_point_above_the_newest_snapshot_leaves_no_gap() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 1 << 20, ..small_segments() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    fill(&mut log, 0..600);
    // Its index goes to the file with the tick.
    log.tick(NOW, Offset(0));
    work(&mut log);
    fill(&mut log, 600..630);
    log.flushed(Offset(1200));
    drop(log.close(false));
    let (mut log, report) = open(scratch.path(), &config, after_crash(Offset(1200)));
    assert!(report.batches_checked < 40, "the check began at the recovery point");
    expect_next(&mut log, 630);
    drop(log.close(false));
    // Behind a snapshot in the middle of the segment.
    let (mut log, report) = open(scratch.path(), &config, after_crash(Offset(1260)));
    assert!(report.log_bytes_read < 100_000 / 2, "{report}");
    expect_next(&mut log, 631);
}

#[test]
fn segments_without_producers_are_not_looked_at_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    for i in 0..5 {
        append(&mut log, &[batch(2, 100, i)]);
        work(&mut log);
    }
    drop(log.close(false));
    let (_, report) = open(scratch.path(), &config, OpenContext::default());
    assert_eq!(report.log_bytes_read, 5 * 161);
}

#[test]
fn damaged_snapshots_are_dropped_and_the_producers_taken_from_the_log() {
    let config = small_segments();
    for clean in [true, false] {
        for damaged in [vec![80], vec![72, 80], vec![12, 24, 36, 48, 60, 72, 80]] {
            let scratch = tempfile::tempdir().unwrap();
            let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
            fill(&mut log, 0..40);
            let closed = log.close(true).unwrap();
            for offset in &damaged {
                let path = snapshot_path(scratch.path(), *offset);
                let mut bytes = fs::read(&path).unwrap();
                bytes[20] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
            let context = OpenContext { clean, ..clean_at(closed.recovery_point) };
            let (mut log, report) = open(scratch.path(), &config, context);
            let said = report.to_string();
            assert!(damaged.iter().all(|offset| said.contains(&format!("removed the producer snapshot at {offset},"))), "{said}");
            expect_next(&mut log, 40);
        }
    }
}

#[test]
fn without_any_snapshot_a_clean_start_reads_nothing_and_an_unclean_one_everything() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    fill(&mut log, 0..40);
    let recovery_point = log.close(true).unwrap().recovery_point;
    let remove_all =
        || snapshots(scratch.path()).into_iter().for_each(|offset| fs::remove_file(snapshot_path(scratch.path(), offset)).unwrap());
    remove_all();
    let (log, report) = open(scratch.path(), &config, clean_at(recovery_point));
    assert_eq!((report.log_bytes_read, log.active_producers().iter().count()), (0, 0), "a directory from before there were any");
    drop(log.close(false));
    let (mut log, _) = open(scratch.path(), &config, after_crash(recovery_point));
    expect_next(&mut log, 40);
}

#[test]
fn what_is_not_whole_and_what_lies_above_the_end_goes_at_the_start() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    fill(&mut log, 0..10);
    let recovery_point = log.close(true).unwrap().recovery_point;
    fs::copy(snapshot_path(scratch.path(), 20), snapshot_path(scratch.path(), 99)).unwrap();
    fs::copy(snapshot_path(scratch.path(), 20), snapshot_path(scratch.path(), 7)).unwrap();
    let unfinished = scratch.path().join("00000000000000000024.snapshot.tmp");
    fs::write(&unfinished, b"half").unwrap();
    let (mut log, report) = open(scratch.path(), &config, clean_at(recovery_point));
    assert_eq!(snapshots(scratch.path()), [12, 20]);
    assert!(!unfinished.exists());
    assert!(report.to_string().contains("removed the producer snapshot at 99: the log ends at 20"), "{report}");
    expect_next(&mut log, 10);
}

#[test]
fn a_truncated_log_forgets_what_was_cut() {
    let config = small_segments();
    for kept in [39, 36, 35, 13, 12, 11, 3, 0] {
        let scratch = tempfile::tempdir().unwrap();
        let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
        fill(&mut log, 0..40);
        log.truncate_to(Offset(i64::from(kept) * 2)).unwrap();
        assert!(snapshots(scratch.path()).iter().all(|offset| *offset <= i64::from(kept) * 2));
        if kept == 0 {
            assert_eq!(log.active_producers().iter().count(), 0);
            continue;
        }
        expect_next(&mut log, kept);
        let recovery_point = log.recovery_point();
        drop(log.close(false));
        let (mut log, _) = open(scratch.path(), &config, after_crash(recovery_point));
        expect_next(&mut log, kept + 1);
    }
}

#[test]
fn snapshots_go_with_their_segments_and_the_producers_stay() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { retention_bytes: 0, file_delete_delay_ms: 0, ..small_segments() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    fill(&mut log, 0..10);
    for _ in 0..3 {
        log.tick(NOW, log.log_end_offset());
        work(&mut log);
    }
    assert_eq!((log.log_start_offset(), log.size_bytes()), (Offset(20), 0));
    assert_eq!(snapshots(scratch.path()), [20], "that of the empty segment at the end");
    let recovery_point = log.close(true).unwrap().recovery_point;
    let (mut log, report) = open(scratch.path(), &config, clean_at(recovery_point));
    assert_eq!(report.log_bytes_read, 0);
    expect_next(&mut log, 10);
}

#[test]
fn followers_take_markers_and_batches_as_they_come() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    let transactional = |sequence| {
        let mut bytes = batch_of(ID, 0, sequence, 2);
        let header = BatchHeader::parse(&bytes).unwrap();
        seal(&mut bytes, BatchHeader { attributes: Attributes(Attributes::TRANSACTIONAL), ..header });
        bytes
    };
    let follow = |log: &mut Log, bytes: Vec<u8>| {
        let mut bytes = bytes;
        let header = BatchHeader {
            base_offset: log.log_end_offset(),
            partition_leader_epoch: LeaderEpoch(0),
            ..BatchHeader::parse(&bytes).unwrap()
        };
        header.write(bytes.first_chunk_mut().unwrap());
        log.append_as_follower(&[Batch::stored(&bytes).unwrap()], NOW).unwrap();
    };
    let state = |log: &Log| log.active_producers().iter().next().cloned().unwrap();
    follow(&mut log, transactional(0));
    follow(&mut log, transactional(2));
    assert_eq!(state(&log).current_transaction_first_offset, Offset(0));
    // Out of order: a leader has judged it already.
    follow(&mut log, transactional(50));
    assert_eq!(state(&log).last_sequence(), 51);
    drop(log.close(false));
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    let recovered = state(&log);
    assert_eq!((recovered.last_sequence(), recovered.current_transaction_first_offset), (51, Offset(0)));
    follow(&mut log, marker(ID, 1, 9));
    let ended = state(&log);
    assert_eq!((ended.epoch, ended.coordinator_epoch, ended.is_in_transaction(), ended.last_timestamp), (1, 9, false, Timestamp(5)));
    drop(log.close(false));
    let (log, _) = open(scratch.path(), &config, OpenContext::default());
    let mut recovered = state(&log);
    assert_eq!(recovered.last_append, Timestamp::NONE, "nobody knows any more");
    recovered.last_append = ended.last_append;
    assert_eq!(recovered, ended, "also from the log");
}
