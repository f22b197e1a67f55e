//! Damage: torn tails, flipped bytes, missing and broken files beside the log. Whole batches before it stay, nothing is skipped silently, nothing is deleted.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::support::*;
use crate::base::{Offset, Timestamp};
use crate::log::format::{FileKind, LEADER_EPOCH_CHECKPOINT_FILE, PREPARED_FILE, path};
use crate::log::{LogConfig, OpenContext, ReadOutcome};

const BATCH: usize = 161;

/// A log of `batches` batches of two records and 161 bytes, six to a segment, closed cleanly.
fn written(directory: &Path, batches: i64) {
    let (mut log, _) = open(directory, &small_segments(), OpenContext::default());
    for i in 0..batches {
        append(&mut log, &[batch(2, 100, 1000 + i)]);
        work(&mut log);
    }
    log.close(true).unwrap();
}

fn log_file(directory: &Path, segment: i64) -> std::path::PathBuf {
    path(directory, Offset(segment), FileKind::Log)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_recovery_cuts_is_kept_aside() {
    let scratch = tempfile::tempdir().unwrap();
    written(scratch.path(), 20); // segments 0, 12, 24, 36
    flip(&log_file(scratch.path(), 12), 2 * BATCH + 80);
    let before = fs::read(log_file(scratch.path(), 12)).unwrap();
    let later = fs::read(log_file(scratch.path(), 36)).unwrap();
    let (mut log, report) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert_eq!(log.log_end_offset(), Offset(16));
    assert_eq!(report.cut.len(), 3, "{report}");
    assert_eq!((report.cut[0].segment, report.cut[0].position, report.cut[0].offset), (Offset(12), 2 * BATCH as u32, Offset(16)));
    assert!(report.cut[0].why.contains("CRC"), "{report}");
    assert_eq!(fs::read(&report.cut[0].moved_to).unwrap(), before[2 * BATCH..]);
    assert_eq!(fs::read(&report.cut[2].moved_to).unwrap(), later);
    assert_eq!(read_all(&mut log, 500).len(), 8);
    assert_eq!(append(&mut log, &[batch(1, 10, 1)]).base_offset, Offset(16));
    // The same directory recovers again, with nothing more to say.
    drop(log);
    let (log, report) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert_eq!((log.log_end_offset(), report.is_noteworthy()), (Offset(17), false), "{report}");
}

#[test]
fn damaged_or_missing_files_beside_the_log_are_made_anew() {
    let good = tempfile::tempdir().unwrap();
    written(good.path(), 20);
    let names: Vec<_> = fs::read_dir(good.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in names.iter().filter(|name| name.ends_with("index") || *name == LEADER_EPOCH_CHECKPOINT_FILE) {
        for damage in [None, Some(&b""[..]), Some(b"x"), Some(&[0xee; 96]), Some(&[0; 96])] {
            let scratch = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| _ = fs::copy(good.path().join(name), scratch.path().join(name)).unwrap());
            match damage {
                None => fs::remove_file(scratch.path().join(name)).unwrap(),
                Some(bytes) => fs::write(scratch.path().join(name), bytes).unwrap(),
            }
            let (mut log, _) = open(scratch.path(), &small_segments(), clean_at(Offset(40)));
            assert_eq!(log.log_end_offset(), Offset(40), "{name} {damage:?}");
            for offset in 0..40 {
                assert_eq!(headers_of(read(&mut log, Offset(offset), 1))[0].base_offset.0, offset / 2 * 2, "{name} {damage:?}");
            }
            assert_eq!(log.largest_timestamp(), Timestamp(1019), "{name} {damage:?}");
            log.close(true).unwrap();
            if damage != Some(b"") || !name.ends_with(".index") {
                assert_eq!(fs::read(scratch.path().join(name)).unwrap(), fs::read(good.path().join(name)).unwrap(), "{name} {damage:?}");
            }
        }
    }
}

#[test]
fn a_missing_recovery_point_checks_the_last_segment_even_after_a_clean_stop() {
    let scratch = tempfile::tempdir().unwrap();
    written(scratch.path(), 20);
    let context = OpenContext { clean: true, ..OpenContext::default() };
    let (log, report) = open(scratch.path(), &small_segments(), context);
    assert_eq!((log.log_end_offset(), report.segments_checked), (Offset(40), 1));
}

#[test]
fn an_unclean_start_reads_from_the_recovery_point_on_and_the_indexes_come_out_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 1 << 30, index_interval_bytes: 4096, ..small_segments() };
    let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
    (0..8_000).for_each(|i| _ = append(&mut log, &[batch(2, 100, 1000 + i)]));
    log.close(true).unwrap();
    let files = [FileKind::OffsetIndex, FileKind::TimeIndex].map(|kind| path(scratch.path(), Offset(0), kind));
    let indexes = files.each_ref().map(|file| fs::read(file).unwrap());
    let log_bytes = fs::metadata(log_file(scratch.path(), 0)).unwrap().len();
    let unclean_at = |point| OpenContext { recovery_point: Some(Offset(point)), ..OpenContext::default() };
    for (point, bytes_max) in
        [(16_000, 10_000), (15_000, 100_000), (12_001, log_bytes / 4 + 10_000), (1, log_bytes + 10_000), (18_000, 10_000)]
    {
        let (log, report) = open(scratch.path(), &config, unclean_at(point));
        assert_eq!(log.log_end_offset(), Offset(16_000));
        assert!(report.log_bytes_read <= bytes_max, "from {point}: {} bytes", report.log_bytes_read);
        assert_eq!(report.is_noteworthy(), point > 16_000, "{report}");
        log.close(true).unwrap();
        assert_eq!(files.each_ref().map(|file| fs::read(file).unwrap()), indexes, "from {point}");
    }
    // Damage behind the point is found, and an index that cannot be right costs reading and nothing else.
    flip(&log_file(scratch.path(), 0), 7_000 * BATCH + 80);
    for (at, damage) in [(0, None), (0, Some(vec![])), (0, Some(vec![0xee; 960])), (1, None), (1, Some(vec![0; 1200]))] {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(log_file(scratch.path(), 0), log_file(copy.path(), 0)).unwrap();
        for (file, bytes) in files.iter().zip(&indexes) {
            fs::write(copy.path().join(file.file_name().unwrap()), bytes).unwrap();
        }
        let damaged = copy.path().join(files[at].file_name().unwrap());
        match &damage {
            Some(bytes) => fs::write(damaged, bytes).unwrap(),
            None => fs::remove_file(damaged).unwrap(),
        }
        let (log, report) = open(copy.path(), &config, unclean_at(12_000));
        assert_eq!((log.log_end_offset(), report.cut.len()), (Offset(14_000), 1), "{damage:?} {report}");
        assert!(report.log_bytes_read > log_bytes / 2, "{damage:?}");
    }
}

#[test]
fn a_prepared_file_in_use_gets_its_name_and_an_unused_one_goes() {
    let scratch = tempfile::tempdir().unwrap();
    written(scratch.path(), 20);
    fs::rename(log_file(scratch.path(), 36), scratch.path().join(PREPARED_FILE)).unwrap();
    let (log, report) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert_eq!(log.log_end_offset(), Offset(40), "{report}");
    drop(log);
    fs::write(scratch.path().join(PREPARED_FILE), b"").unwrap();
    let (log, report) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert_eq!((log.log_end_offset(), report.is_noteworthy()), (Offset(40), false), "{report}");
    assert!(!scratch.path().join(PREPARED_FILE).exists());
    drop(log);
    fs::write(scratch.path().join(PREPARED_FILE), b"no batch").unwrap();
    let (_, report) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert!(report.notes[0].contains("moved"), "{report}");
}

#[test]
fn zeros_behind_the_last_batch_are_cut_without_a_word_of_loss() {
    let scratch = tempfile::tempdir().unwrap();
    written(scratch.path(), 20);
    let file = fs::OpenOptions::new().write(true).open(log_file(scratch.path(), 36)).unwrap();
    file.set_len(100_000).unwrap();
    let (log, report) = open(scratch.path(), &small_segments(), OpenContext::default());
    assert_eq!((log.log_end_offset(), report.zero_bytes_cut, report.cut.len()), (Offset(40), 100_000 - 2 * BATCH as u64, 0));
    assert!(!report.is_noteworthy());
}

/// Every header field outside the CRC, damaged in the middle of a sealed segment below the recovery point: a reader gets an error or the very batch, never the records
/// behind it.
#[test]
fn a_reader_is_never_led_past_good_records() {
    for at in 0..17 {
        let scratch = tempfile::tempdir().unwrap();
        let config = LogConfig { index_interval_bytes: 400, ..small_segments() };
        written(scratch.path(), 20);
        let damaged = 2; // the third batch of the segment at 12: offsets 16 and 17
        flip(&log_file(scratch.path(), 12), damaged * BATCH + at);
        let (mut log, _) = open(scratch.path(), &config, clean_at(Offset(40)));
        for offset in 12..24 {
            match read(&mut log, Offset(offset), 1) {
                ReadOutcome::Ranges(ranges) => {
                    let bytes = bytes_of(&ranges[0]);
                    let base_offset = i64::from_be_bytes(bytes[..8].try_into().unwrap());
                    let is_damaged_one = ranges[0].position == (damaged * BATCH) as u64 && ranges.len() == 1;
                    assert!(base_offset == offset / 2 * 2 || is_damaged_one, "byte {at}: asked {offset}, got {base_offset}");
                }
                ReadOutcome::Corrupt(corruption) => assert_eq!(corruption.segment, Offset(12)),
                outcome => panic!("byte {at}, offset {offset}: {outcome:?}"),
            }
        }
        // Records before the damage and in other segments are served.
        for offset in (0..16).chain(24..40) {
            assert_eq!(headers_of(read(&mut log, Offset(offset), 1))[0].base_offset.0, offset / 2 * 2);
        }
    }
}

/// Kafka's known bug: a length that happens to lead to a later batch, or to the segment's end, hides the batches in between.
#[test]
fn a_wrong_length_that_leads_to_a_batch_hides_nothing() {
    for hidden in 1..4usize {
        let scratch = tempfile::tempdir().unwrap();
        written(scratch.path(), 20);
        let file = log_file(scratch.path(), 12);
        let mut bytes = fs::read(&file).unwrap();
        // The third batch of six, offsets 16 and 17, swallows the next ones: with three of them it reaches the segment's end.
        let length = ((1 + hidden) * BATCH - 12) as u32;
        bytes[2 * BATCH + 8..2 * BATCH + 12].copy_from_slice(&length.to_be_bytes());
        fs::write(&file, bytes).unwrap();
        fs::write(path(scratch.path(), Offset(12), FileKind::OffsetIndex), b"").unwrap();
        let (mut log, _) = open(scratch.path(), &small_segments(), clean_at(Offset(40)));
        for offset in 18..18 + 2 * hidden as i64 {
            let outcome = read(&mut log, Offset(offset), 1);
            assert!(matches!(outcome, ReadOutcome::Corrupt(_)), "{hidden} hidden, asked {offset}: {outcome:?}");
        }
        assert_eq!(headers_of(read(&mut log, Offset(24), 1))[0].base_offset, Offset(24));
    }
}

#[test]
fn an_index_that_contradicts_the_log_is_made_anew_by_the_first_reader() {
    let scratch = tempfile::tempdir().unwrap();
    written(scratch.path(), 20);
    let index = path(scratch.path(), Offset(12), FileKind::OffsetIndex);
    let good = fs::read(&index).unwrap();
    assert!(good.len() > 16);
    for at in [3, 7] {
        let mut bytes = good.clone();
        bytes[at] += 1; // offset or position of the first entry; the last entry is what opening looks at
        fs::write(&index, bytes).unwrap();
        let (mut log, report) = open(scratch.path(), &small_segments(), clean_at(Offset(40)));
        assert!(report.indexes_rebuilt.is_empty());
        for offset in 12..24 {
            assert_eq!(headers_of(read(&mut log, Offset(offset), 1))[0].base_offset.0, offset / 2 * 2, "byte {at}");
        }
        assert_eq!(fs::read(&index).unwrap(), good, "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens to the end of the last segment: every whole batch before it stays, in order.
    #[test]
    fn a_damaged_tail_keeps_every_whole_batch_before(batches in 1i64..18, cut_to in 0usize..1000, garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let scratch = tempfile::tempdir().unwrap();
        written(scratch.path(), batches);
        let last = (batches - 1) / 6 * 12;
        let file = log_file(scratch.path(), last);
        let mut bytes = fs::read(&file).unwrap();
        bytes.truncate(cut_to);
        let kept = bytes.len();
        bytes.extend_from_slice(&garbage);
        fs::write(&file, &bytes).unwrap();
        let (mut log, report) = open(scratch.path(), &small_segments(), OpenContext { recovery_point: Some(Offset(last)), ..OpenContext::default() });
        let whole = (kept / BATCH) as i64;
        prop_assert_eq!(log.log_end_offset().0, last + whole * 2);
        let left = (bytes.len() - whole as usize * BATCH) as u64;
        prop_assert_eq!(report.cut.iter().map(|cut| cut.bytes).sum::<u64>() + report.zero_bytes_cut, left);
        let headers = if log.log_end_offset() == Offset(0) { Vec::new() } else { read_all(&mut log, 400) };
        prop_assert_eq!(headers.len() as i64, last / 2 + whole);
    }

    /// A byte flipped anywhere above the recovery point: recovery keeps exactly what is before, and what it keeps is whole. The leader epoch of a batch is
    /// outside its CRC and cannot be known to be wrong.
    #[test]
    fn a_flipped_byte_ends_the_log_before_its_batch(at in 0usize..966) {
        let scratch = tempfile::tempdir().unwrap();
        written(scratch.path(), 12);
        flip(&log_file(scratch.path(), 12), at);
        let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext { recovery_point: Some(Offset(12)), ..OpenContext::default() });
        let (hit, within) = (at / BATCH, at % BATCH);
        let end = log.log_end_offset().0;
        // The last batch's base offset has nothing behind it that could tell.
        if !(12..16).contains(&within) && (within >= 8 || hit < 5) {
            prop_assert_eq!(end, 12 + hit as i64 * 2);
        }
        prop_assert!(end >= 12 + hit as i64 * 2);
        prop_assert_eq!(read_all(&mut log, 400).len() as i64 >= 6 + hit as i64, true);
    }
}
