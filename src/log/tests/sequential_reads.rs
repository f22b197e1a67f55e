//! Readers who go on where they ended.

use std::path::Path;

use super::support::*;
use crate::base::Offset;
use crate::io::File;
use crate::log::format::{self, FileKind};
use crate::log::{Log, LogConfig, OpenContext, ReadOutcome};

fn one_segment() -> LogConfig {
    LogConfig { index_interval_bytes: 4096, ..LogConfig::default() }
}

/// First offset and bytes of each answer, from the start to the end.
fn answers(log: &mut Log, max_bytes: usize) -> Vec<(i64, usize)> {
    let (mut next, mut answers) = (Offset(0), Vec::new());
    loop {
        match read(log, next, max_bytes) {
            ReadOutcome::Ranges(ranges) => {
                answers.push((next.0, ranges.iter().map(|range| range.len).sum()));
                next = headers_of(ReadOutcome::Ranges(ranges)).last().unwrap().next_offset();
            }
            ReadOutcome::AtEnd => return answers,
            outcome => panic!("expected ranges, came {outcome:?}"),
        }
    }
}

#[test]
fn what_the_index_alone_says_is_what_the_headers_say() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &one_segment(), OpenContext::default());
    // Runs of large batches, each of which has an entry, between runs of small ones, which share some.
    for i in 0..300 {
        let payload = if i / 10 % 3 == 0 { 100 + i * 13 % 900 } else { 5000 + i * 37 % 9000 };
        append(&mut log, &[batch(1 + i as i32 % 4, payload, i as i64)]);
    }
    let sizes = [1, 6000, 20_000, 65_536, 200_000];
    let with_entries = sizes.map(|size| answers(&mut log, size));
    let end = log.end().offset;
    work(&mut log);
    drop(log);
    // A log that was opened knows nothing of what lies between its entries.
    let (mut opened, _) = open(scratch.path(), &one_segment(), clean_at(end));
    assert_eq!(with_entries, sizes.map(|size| answers(&mut opened, size)));
}

#[test]
fn between_entries_of_neighbours_no_header_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &one_segment(), OpenContext::default());
    for i in 0..100 {
        append(&mut log, &[batch(3, 16_384 - 61, i)]);
    }
    let first = headers_of(read(&mut log, Offset(0), 65_536));
    evict(scratch.path());
    // Nothing of the log is in memory now: whoever looks at a header has to wait for it.
    let next = first.last().unwrap().next_offset();
    match log.read(next, 65_536, log.end(), true).unwrap() {
        ReadOutcome::Ranges(ranges) => assert_eq!((ranges[0].position, ranges[0].len), (4 * 16_384, 4 * 16_384)),
        outcome => panic!("expected ranges, came {outcome:?}"),
    }
}

#[test]
fn no_header_is_read_of_what_comes_for_a_reader_who_has_everything() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &one_segment(), OpenContext::default());
    append(&mut log, &[batch(3, 1000, 0)]);
    let end = log.end();
    read(&mut log, Offset(0), 65_536);
    append(&mut log, &[batch(2, 2000, 1), batch(1, 500, 2)]);
    work(&mut log);
    evict(scratch.path());
    match log.read(end.offset, 1, log.end(), true).unwrap() {
        ReadOutcome::Ranges(ranges) => assert_eq!((ranges[0].position, ranges[0].len), (u64::from(end.position), 2000 + 61)),
        outcome => panic!("expected ranges, came {outcome:?}"),
    }
}

/// Takes the first segment out of memory: whoever looks at a header of it has to wait for it.
fn evict(directory: &Path) {
    let file = File::open_write(&format::path(directory, Offset(0), FileKind::Log)).unwrap();
    file.data_sync().unwrap();
    file.dont_need(0, u64::MAX >> 1).unwrap();
}
