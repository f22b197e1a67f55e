//! A log's life: append, roll, read, close, open again.

use super::support::*;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::log::jobs::Step;
use crate::log::{Log, LogConfig, LogError, OpenContext, ReadOutcome, TimestampType};
use crate::wire::batch::Batch;

#[test]
fn what_is_appended_is_read_back_with_its_offsets() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    let first = append(&mut log, &[batch(3, 100, 10), batch(1, 40, 20)]);
    assert_eq!((first.base_offset, first.last_offset, first.log_append_time), (Offset(0), Offset(3), Timestamp::NONE));
    let second = append(&mut log, &[batch(2, 0, 30)]);
    assert_eq!((second.base_offset, second.last_offset), (Offset(4), Offset(5)));
    assert_eq!(second.end, log.end());
    let headers = headers_of(read(&mut log, Offset(0), 1 << 20));
    assert_eq!(headers.iter().map(|h| h.base_offset.0).collect::<Vec<_>>(), [0, 3, 4]);
    assert!(headers.iter().all(|h| h.partition_leader_epoch == LeaderEpoch(0)));
    // Offset 2 is inside the first batch: the batch comes whole.
    assert_eq!(headers_of(read(&mut log, Offset(2), 1))[0].base_offset, Offset(0));
    assert_eq!(headers_of(read(&mut log, Offset(3), 101 + 61))[..].len(), 2);
    assert!(matches!(read(&mut log, Offset(6), 100), ReadOutcome::AtEnd));
    assert!(matches!(read(&mut log, Offset(7), 100), ReadOutcome::OutOfRange { log_end_offset: Offset(6), .. }));
}

#[test]
fn segments_roll_and_reads_go_through_all_of_them() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    for i in 0..100 {
        append(&mut log, &[batch(2, 100, 1000 + i)]);
        work(&mut log);
    }
    assert_eq!(log.log_end_offset(), Offset(200));
    assert_eq!(log.segments(), 17, "six batches of 161 bytes fit 1000");
    assert_eq!(log.counters().segments_created_inline, 0);
    for max_bytes in [1, 161, 400, 1000, 5000, 1 << 20] {
        let headers = read_all(&mut log, max_bytes);
        assert_eq!(headers.len(), 100);
        assert!(headers.iter().enumerate().all(|(i, h)| h.base_offset.0 == i as i64 * 2));
    }
    for offset in 0..200 {
        assert_eq!(headers_of(read(&mut log, Offset(offset), 1))[0].base_offset.0, offset / 2 * 2);
    }
}

#[test]
fn without_background_work_the_roll_creates_the_file_itself() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    for i in 0..30 {
        append(&mut log, &[batch(2, 100, i)]);
    }
    assert_eq!(log.segments(), 5);
    assert_eq!(log.counters().segments_created_inline, 4);
    assert_eq!(read_all(&mut log, 300).len(), 30);
    work(&mut log);
    assert_eq!(read_all(&mut log, 300).len(), 30);
    assert_eq!(log.recovery_point(), Offset(48), "the sealed segments were synced");
}

#[test]
fn a_clean_end_reopens_without_reading_the_log() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    for i in 0..40 {
        append(&mut log, &[batch(2, 100, i)]);
    }
    let closed = log.close(true).unwrap();
    assert_eq!((closed.clean, closed.recovery_point, closed.log_start_offset), (true, Offset(80), None));
    let (mut log, report) = open(scratch.path(), &config, clean_at(Offset(80)));
    assert_eq!(report.log_bytes_read, 0);
    assert_eq!(report.segments_checked, 0);
    assert!(!report.is_noteworthy(), "{report}");
    assert_eq!(log.log_end_offset(), Offset(80));
    assert_eq!(log.largest_timestamp(), Timestamp(39));
    append(&mut log, &[batch(1, 100, 50)]);
    assert_eq!(read_all(&mut log, 300).len(), 41);
}

#[test]
fn an_unclean_end_checks_from_the_recovery_point_on() {
    let scratch = tempfile::tempdir().unwrap();
    let config = small_segments();
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    for i in 0..40 {
        append(&mut log, &[batch(2, 100, i)]);
        work(&mut log);
    }
    let recovery_point = log.recovery_point();
    assert_eq!(recovery_point, Offset(72));
    drop(log.close(false));
    let context = OpenContext { recovery_point: Some(recovery_point), ..OpenContext::default() };
    let (mut log, report) = open(scratch.path(), &config, context);
    assert_eq!((report.segments_checked, report.batches_checked, report.log_bytes_read), (1, 4, 4 * 161));
    assert!(report.cut.is_empty(), "{report}");
    assert_eq!(log.log_end_offset(), Offset(80));
    assert_eq!(read_all(&mut log, 300).len(), 40);
}

/// Blocks are asked for where nobody writes yet, and what was not needed goes back.
#[test]
fn the_next_segment_of_a_log_with_traffic_has_blocks_before_it_is_used() {
    use std::os::unix::fs::MetadataExt;
    const SEGMENT: u32 = 8 << 20;
    let scratch = tempfile::tempdir().unwrap();
    let reserve = crate::io::File::create(&scratch.path().join("reserve")).unwrap();
    reserve.preallocate(0, 1 << 20).unwrap();
    let config = LogConfig { segment_bytes: SEGMENT, ..small_segments() };
    let blocks = |path: &std::path::Path| std::fs::metadata(path).unwrap().blocks() * 512;
    if blocks(&scratch.path().join("reserve")) == 0 {
        return; // this file system cannot
    }
    let quiet = scratch.path().join("quiet");
    let (mut log, _) = open(&quiet, &small_segments(), OpenContext::default());
    append(&mut log, &[batch(1, 700, 1)]);
    work(&mut log);
    assert_eq!(blocks(&quiet.join("next.log.prepared")), 0, "a quiet log claims nothing");

    let busy = scratch.path().join("busy");
    let (mut log, _) = open(&busy, &config, OpenContext::default());
    for _ in 0..5 {
        append(&mut log, &[batch(1, 1 << 20, 1)]);
    }
    work(&mut log);
    let prepared = busy.join("next.log.prepared");
    assert_eq!(std::fs::metadata(&prepared).unwrap().len(), 0);
    assert!(blocks(&prepared) >= u64::from(SEGMENT), "{}", blocks(&prepared));
    for _ in 0..5 {
        append(&mut log, &[batch(1, 1 << 20, 1)]);
    }
    let asks_for_more = log.steps.iter().any(|step| matches!(step, Step::Preallocate { position: 0..0x50_0000, .. }));
    assert!(!asks_for_more, "the file in use has its blocks already: {:?}", log.steps);
    work(&mut log);
    assert_eq!((log.segments(), log.counters().segments_created_inline), (2, 0));
    let active = crate::log::format::path(&busy, Offset(7), crate::log::format::FileKind::Log);
    assert!(blocks(&active) >= u64::from(SEGMENT));
    log.close(true).unwrap();
    assert!(blocks(&active) < 4 << 20, "what was left over goes back");
    let (mut log, _) = open(&busy, &config, clean_at(Offset(10)));
    assert_eq!(read_all(&mut log, 1 << 20).len(), 10);
    // What was there before this start bears out nothing.
    for _ in 0..3 {
        append(&mut log, &[batch(1, 600_000, 1)]);
    }
    work(&mut log);
    assert_eq!(blocks(&prepared), 0);
}

#[test]
fn log_append_time_is_written_into_the_batches() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..small_segments() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    assert_eq!(append(&mut log, &[batch(2, 100, 5)]).log_append_time, NOW);
    let header = headers_of(read(&mut log, Offset(0), 1000))[0];
    assert!(header.attributes.is_log_append_time());
    assert_eq!((header.max_timestamp, header.base_timestamp), (NOW, Timestamp(5)));
    assert_eq!(log.largest_timestamp(), NOW);
}

#[test]
fn segments_roll_by_record_time_by_a_full_index_and_when_idle() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_ms: 1000, segment_bytes: 1 << 20, ..small_segments() };
    let (mut log, _) = open(&scratch.path().join("time"), &config, OpenContext::default());
    for (timestamp, segments) in [(5000, 1), (6000, 1), (6001, 2), (100, 2), (7001, 2), (7002, 3)] {
        append(&mut log, &[batch(1, 10, timestamp)]);
        assert_eq!(log.segments(), segments, "{timestamp}");
    }
    // Nothing arrives: first the file is prepared, then the segment rolls, and an empty one never does.
    log.tick(Timestamp(NOW.0 + 1000), log.log_end_offset());
    work(&mut log);
    assert_eq!(log.segments(), 3);
    for _ in 0..3 {
        log.tick(Timestamp(NOW.0 + 1001), log.log_end_offset());
        work(&mut log);
    }
    assert_eq!((log.segments(), log.end().position), (4, 0));

    let config = LogConfig { segment_index_bytes: 240, index_interval_bytes: 0, segment_bytes: 1 << 20, ..small_segments() };
    let (mut log, _) = open(&scratch.path().join("index"), &config, OpenContext::default());
    let batches: Vec<_> = (0..70).map(|_| batch(1, 10, -1)).collect();
    append(&mut log, &batches);
    assert_eq!(log.segments(), 3, "31 batches make 30 entries");
    assert_eq!(read_all(&mut log, 300).len(), 70);
}

#[test]
fn a_batch_larger_than_a_segment_is_refused_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    let (small, large) = (batch(1, 10, 1), batch(1, 1000, 1));
    let batches = [Batch::stored(&small).unwrap(), Batch::stored(&large).unwrap()];
    let error = log.append(&batches, LeaderEpoch(0), NOW).unwrap_err();
    assert!(matches!(error, LogError::BatchLargerThanSegment { came: 1061, segment_bytes: 1000 }), "{error}");
    assert_eq!(log.end().position, 0);
}

#[test]
fn what_lies_above_the_high_watermark_is_not_read() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    let ends: Vec<_> = (0..20).map(|i| append(&mut log, &[batch(2, 100, i)]).end).collect();
    for (i, up_to) in ends.iter().enumerate() {
        let mut next = Offset(0);
        while let ReadOutcome::Ranges(ranges) = log.read(next, 1 << 20, *up_to, true).unwrap() {
            next = headers_of(ReadOutcome::Ranges(ranges)).last().unwrap().next_offset();
        }
        assert_eq!(next.0, i as i64 * 2 + 2);
        assert_eq!(log.locate(up_to.offset).unwrap().unwrap().offset, up_to.offset);
    }
    let located = log.locate(Offset(5)).unwrap().unwrap();
    assert_eq!((located.segment, located.position), (Offset(0), 2 * 161));
}

#[test]
fn a_log_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Log>();
    is_send::<crate::log::Job>();
    is_send::<crate::log::JobDone>();
}

#[test]
fn where_readers_go_on_is_forgotten_when_the_log_is_cut() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &LogConfig::default(), OpenContext::default());
    append(&mut log, &[batch(1, 100, 10), batch(1, 100, 20), batch(1, 100, 30)]);
    // The header of the second batch ends this read, and is remembered for the next.
    assert_eq!(headers_of(read(&mut log, Offset(0), 200)).len(), 1);
    log.truncate_to(Offset(1)).unwrap();
    append(&mut log, &[batch(1, 40, 40), batch(1, 200, 50)]);
    let headers = headers_of(read(&mut log, Offset(1), 150));
    assert_eq!(headers.iter().map(|header| header.max_timestamp.0).collect::<Vec<_>>(), [40]);
}
