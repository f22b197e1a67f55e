//! Background work: retention under readers, idle closing, flushing, failures that take one log offline and no other.

use std::fs;
use std::sync::Arc;

use super::support::*;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::io::File;
use crate::log::format::{FileKind, Marking, SegmentFileName, path};
use crate::log::{LogConfig, LogError, OpenContext, ReadOutcome};
use crate::wire::batch::Batch;

fn later(ms: i64) -> Timestamp {
    Timestamp(NOW.0 + ms)
}

#[test]
fn retention_leaves_the_bytes_to_readers_under_way() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { retention_ms: 1000, file_delete_delay_ms: 500, ..small_segments() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    for i in 0..20 {
        append(&mut log, &[batch(2, 100, NOW.0 + i)]);
        work(&mut log);
    }
    let ReadOutcome::Ranges(held) = read(&mut log, Offset(0), 500) else { panic!("nothing to read") };
    let names = |marking| {
        let entries = fs::read_dir(scratch.path()).unwrap();
        let names = entries.filter_map(|entry| SegmentFileName::parse(entry.unwrap().file_name().to_str().unwrap()));
        names.filter(|name| name.marking == marking && name.kind == FileKind::Log).map(|name| name.offset.0).collect::<Vec<_>>()
    };
    // Segments 0, 12, 24 (six batches each) and 36; the first two are old at +1012, all at +1100.
    log.tick(later(1012), log.log_end_offset());
    work(&mut log);
    assert_eq!((log.log_start_offset(), log.segments()), (Offset(24), 2));
    assert_eq!(names(Marking::Deleted).len(), 2);
    assert!(matches!(log.read(Offset(23), 1, log.end(), true).unwrap(), ReadOutcome::OutOfRange { log_start_offset: Offset(24), .. }));
    log.tick(later(1100), log.log_end_offset());
    work(&mut log);
    // Everything is gone, and an empty segment stands at the end.
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.segments(), log.size_bytes()), (Offset(40), Offset(40), 1, 0));
    assert_eq!(names(Marking::Live), [40]);
    assert_eq!(log.leader_epochs().print(), "0\n1\n0 40\n");
    assert_eq!(log.log_start_offset_to_checkpoint(), None);
    log.tick(later(2000), log.log_end_offset());
    work(&mut log);
    assert_eq!(names(Marking::Deleted), [0i64; 0]);
    assert_eq!(headers_of(ReadOutcome::Ranges(held)).len(), 3, "the reader's bytes are still there");
    assert_eq!(append(&mut log, &[batch(1, 10, NOW.0)]).base_offset, Offset(40));
}

#[test]
fn nothing_above_the_high_watermark_is_retained_away() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { retention_bytes: 0, ..small_segments() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    (0..20).for_each(|i| _ = append(&mut log, &[batch(2, 100, i)]));
    log.tick(NOW, Offset(24));
    assert_eq!(log.log_start_offset(), Offset(24));
    log.tick(NOW, Offset(35));
    assert_eq!(log.log_start_offset(), Offset(24));
}

#[test]
fn a_log_of_one_segment_keeps_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    append(&mut log, &[batch(2, 100, 1)]);
    log.tick(later(1), log.log_end_offset());
    assert_eq!((log.log_start_offset(), log.segments()), (Offset(0), 1));
    // Not even when all of it is deleted: like Kafka's, the active segment goes by age and size only.
    log.advance_log_start_offset(Offset(2)).unwrap();
    log.tick(later(1), log.log_end_offset());
    assert_eq!((log.segments(), log.end().position), (1, 161));
}

#[test]
fn records_without_timestamps_age_by_the_clock() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { retention_ms: 1000, ..small_segments() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    (0..8).for_each(|_| _ = append(&mut log, &[batch(2, 100, -1)]));
    log.tick(later(1000), log.log_end_offset());
    assert_eq!(log.log_start_offset(), Offset(0));
    log.tick(later(1001), log.log_end_offset());
    assert_eq!(log.log_start_offset(), Offset(12));
}

#[test]
fn sealed_segments_are_closed_when_idle_and_opened_on_demand() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    for i in 0..20 {
        append(&mut log, &[batch(2, 100, i)]);
        work(&mut log);
    }
    assert!(matches!(log.read(Offset(0), 1, log.end(), true).unwrap(), ReadOutcome::Ranges(_)));
    log.tick(later(120_000), log.log_end_offset());
    let ReadOutcome::NotOpen(opening) = log.read(Offset(0), 1, log.end(), true).unwrap() else { panic!("still open") };
    // Retention may be faster than the opening.
    log.segment_opened(opening.open()).unwrap();
    assert!(matches!(log.read(Offset(0), 1, log.end(), true).unwrap(), ReadOutcome::Ranges(_)));
    let ReadOutcome::NotOpen(opening) = log.read(Offset(12), 1, log.end(), true).unwrap() else { panic!("still open") };
    log.advance_log_start_offset(Offset(30)).unwrap();
    log.tick(NOW, log.log_end_offset());
    work(&mut log);
    log.segment_opened(opening.open()).unwrap();
    assert!(matches!(log.read(Offset(12), 1, log.end(), true).unwrap(), ReadOutcome::OutOfRange { .. }));
    // DeleteRecords inside a segment keeps the segment: the start goes to the checkpoint.
    assert_eq!(log.log_start_offset_to_checkpoint(), Some(Offset(30)));
}

#[test]
fn flushing_moves_the_recovery_point_and_names_every_file_that_needs_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert!(log.unflushed().is_none());
    (0..8).for_each(|i| _ = append(&mut log, &[batch(2, 100, i)]));
    let unflushed = log.unflushed().unwrap();
    assert_eq!((unflushed.messages, unflushed.since, unflushed.files.len(), unflushed.up_to), (16, Some(NOW), 2, Offset(16)));
    unflushed.files.iter().for_each(|file| file.data_sync().unwrap());
    append(&mut log, &[batch(1, 10, 1)]);
    log.flushed(unflushed.up_to);
    assert_eq!(log.recovery_point(), Offset(16));
    let unflushed = log.unflushed().unwrap();
    assert_eq!((unflushed.messages, unflushed.files.len()), (1, 1));
    let error = log.sync_failed(&std::io::Error::from_raw_os_error(5));
    let text = error.to_string();
    assert!(text.contains("cannot sync") && text.contains("Input/output error") && text.contains("restart"), "{text}");
    let bytes = batch(1, 10, 1);
    assert!(matches!(log.append(&[Batch::stored(&bytes).unwrap()], LeaderEpoch(0), NOW), Err(LogError::Offline { .. })));
    assert!(!log.close(true).unwrap().clean);
}

#[test]
fn a_full_disk_takes_one_log_offline_and_recovery_brings_it_back() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut full, _) = open(&scratch.path().join("full"), &small_segments(), OpenContext::default());
    let (mut other, _) = open(&scratch.path().join("other"), &small_segments(), OpenContext::default());
    append(&mut full, &[batch(2, 100, 1)]);
    // Every write to /dev/full answers ENOSPC (full(4)).
    full.active.file = Arc::new(File::open_write(std::path::Path::new("/dev/full")).unwrap());
    let bytes = batch(2, 100, 2);
    let error = full.append(&[Batch::stored(&bytes).unwrap()], LeaderEpoch(0), NOW).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LogError::Offline { .. }) && text.contains("full") && text.contains("No space left"), "{text}");
    assert!(full.append(&[Batch::stored(&bytes).unwrap()], LeaderEpoch(0), NOW).is_err());
    assert!(full.read(Offset(0), 1, full.end(), true).is_err());
    assert_eq!(full.log_end_offset(), Offset(2));
    assert_eq!(append(&mut other, &[batch(2, 100, 2)]).base_offset, Offset(0));
    let closed = full.close(true).unwrap();
    assert!(!closed.clean);
    let context = OpenContext { recovery_point: Some(closed.recovery_point), ..OpenContext::default() };
    let (mut log, report) = open(&scratch.path().join("full"), &small_segments(), context);
    assert_eq!((log.log_end_offset(), report.cut.len()), (Offset(2), 0));
    assert_eq!(append(&mut log, &[batch(1, 10, 3)]).base_offset, Offset(2));
}

#[test]
fn a_torn_append_is_cut_by_the_next_recovery() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    append(&mut log, &[batch(2, 100, 1)]);
    drop(log);
    let file = path(scratch.path(), Offset(0), FileKind::Log);
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(&batch(2, 100, 1)[..90]);
    fs::write(&file, bytes).unwrap();
    let (log, report) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert_eq!((log.log_end_offset(), report.cut[0].bytes), (Offset(2), 90));
    assert!(report.to_string().contains("cut 90 bytes from offset 2 on"), "{report}");
}

#[test]
fn a_segment_that_cannot_be_named_takes_the_log_offline() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("log");
    let (mut log, _) = open(&folder, &small_segments(), OpenContext::default());
    for i in 0..5 {
        append(&mut log, &[batch(2, 100, i)]);
        work(&mut log);
    }
    append(&mut log, &[batch(2, 100, 5), batch(2, 100, 6)]);
    assert_eq!(log.counters().segments_created_inline, 0);
    fs::remove_dir_all(&folder).unwrap();
    work(&mut log);
    assert!(log.offline_reason().is_some_and(|why| why.contains("name the next segment")), "{:?}", log.offline_reason());
}

#[test]
fn a_log_is_small_in_memory() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    let size = std::mem::size_of_val(&log);
    assert!(size <= 820, "{size}");
    let per_sealed = std::mem::size_of_val(&log.sealed[..]);
    assert_eq!(per_sealed, 0);
    for i in 0..600 {
        append(&mut log, &[batch(2, 100, i)]);
    }
    work(&mut log);
    log.tick(later(120_000), log.log_end_offset());
    assert_eq!(log.sealed.len(), 99);
    assert!(log.sealed.iter().all(|segment| segment.open.is_none()));
    let per_sealed = std::mem::size_of_val(&log.sealed[..]) / log.sealed.len();
    assert!(per_sealed <= 48, "{per_sealed}");
    println!("Log: {size} bytes; each sealed segment, closed: {per_sealed} bytes");
}
