//! Tests of `file.rs`.

use super::residency::{LAST_MISS_MS, pages_touched, slot};
use super::*;
use crate::base::limits::WRITEBACK_CALL_BYTES_MAX;
use crate::io::clock::coarse_ms;
use crate::io::features::testing::without;

const MIB: usize = 1024 * 1024;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// A file on the disk of this directory (not tmpfs, where nothing is ever cold) with `len` known bytes, all of them clean.
fn file_with(len: usize) -> (tempfile::TempDir, File) {
    let directory = tempfile::tempdir().unwrap();
    let file = File::create(&directory.path().join("file")).unwrap();
    file.write_all_at(&mut [IoSlice::new(&pattern(len))], 0).unwrap();
    file.data_sync().unwrap();
    (directory, file)
}

/// Drops the file from the page cache; false where the file system has no disk behind it.
fn make_cold(file: &File, len: usize) -> bool {
    file.dont_need(0, len as u64).unwrap();
    file.try_read_at(&mut [0], len as u64 / 2).is_err()
}

#[test]
fn slices_land_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let file = File::create(&directory.path().join("file")).unwrap();
    let bytes = pattern(5000);
    // More slices than one pwritev takes, some of them empty.
    let mut slices: Vec<IoSlice<'_>> = vec![IoSlice::new(&[])];
    slices.extend(bytes.chunks(2).map(IoSlice::new));
    slices.push(IoSlice::new(&[]));
    file.write_all_at(&mut slices, 7).unwrap();
    assert_eq!(file.size().unwrap(), 5007);
    let mut read = vec![0; 5000];
    file.read_exact_at(&mut read, 7).unwrap();
    assert_eq!(read, bytes);
    assert_eq!(file.read_at(&mut read, 4007).unwrap(), 1000);
    assert_eq!(file.read_at(&mut read, 5007).unwrap(), 0);
    assert_eq!(file.read_exact_at(&mut read, 8).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn opening_says_what_it_does_to_the_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    assert_eq!(File::open_read(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(File::open_write(&path).unwrap_err().kind(), ErrorKind::NotFound);
    File::create(&path).unwrap().write_all_at(&mut [IoSlice::new(b"kept")], 0).unwrap();
    assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    for file in [File::create(&path).unwrap(), File::open_write(&path).unwrap(), File::open_read(&path).unwrap()] {
        assert_eq!(file.size().unwrap(), 4);
    }
    assert!(File::open_read(&path).unwrap().write_all_at(&mut [IoSlice::new(b"x")], 0).is_err());
}

#[test]
fn preallocated_blocks_do_not_change_the_size_and_truncate_gives_them_back() {
    use std::os::unix::fs::MetadataExt;
    let (_directory, file) = file_with(4096);
    file.preallocate(0, 4 * MIB as u64).unwrap();
    assert_eq!(file.size().unwrap(), 4096);
    file.start_writeback(0, 4096).unwrap();
    file.truncate(4096).unwrap();
    assert_eq!(file.size().unwrap(), 4096);
    assert!(file.file.metadata().unwrap().blocks() * 512 < MIB as u64, "blocks beyond the end stayed");
}

#[test]
fn writeback_begins_for_all_of_a_range_however_many_calls_that_takes() {
    let len = 2 * WRITEBACK_CALL_BYTES_MAX + 4096;
    let (_directory, file) = file_with(0);
    file.write_all_at(&mut [IoSlice::new(&vec![1; len])], 0).unwrap();
    let dirty = || file.count_pages(0, len).map(|counts| counts.dirty);
    let before = dirty();
    file.start_writeback(0, len as u64).unwrap();
    // Nobody can look before Linux 6.5, and a file system without a disk has nothing to write.
    if before.is_some_and(|dirty| dirty > 0) {
        assert_eq!(dirty(), Some(0));
    }
}

#[test]
fn bytes_are_waited_for_with_and_without_a_place_to_send_them() {
    let (directory, file) = file_with(MIB);
    let null = File::open_write("/dev/null".as_ref()).unwrap();
    for null in [Some(&null), None] {
        make_cold(&file, MIB);
        file.begin_read(0, MIB);
        let mut position = 0;
        while position < MIB {
            let waited_for = file.wait_for_bytes(null, position as u64, MIB - position).unwrap();
            assert!((1..=MIB - position).contains(&waited_for));
            assert!(file.try_read_at(&mut vec![0; waited_for], position as u64).is_ok(), "it is there now");
            position += waited_for;
        }
        assert_eq!(file.wait_for_bytes(null, MIB as u64, 10).unwrap(), 0, "the end of the file");
        let no_file = File::open_read(directory.path()).unwrap();
        assert_eq!(no_file.wait_for_bytes(null, 0, 10).unwrap_err().raw_os_error(), Some(libc::EISDIR));
    }
}

#[test]
fn a_read_that_may_not_wait_stops_at_the_first_cold_page() {
    let (_directory, file) = file_with(4 * MIB);
    let mut buffer = vec![0; 4 * MIB];
    assert_eq!(file.try_read_at(&mut buffer, 0).unwrap(), 4 * MIB);
    assert_eq!(buffer, pattern(4 * MIB));
    // A hole in the middle. Asking inside it would start read-ahead, and the hole would fill.
    file.dont_need(2 * MIB as u64, MIB as u64).unwrap();
    let read = file.try_read_at(&mut buffer, 0).unwrap();
    if read == 4 * MIB {
        return; // a file system without a disk behind it
    }
    assert!((1..=2 * MIB).contains(&read), "read {read} across a hole at 2 MiB");
    assert_eq!(buffer[..read], pattern(4 * MIB)[..read]);
    file.dont_need(2 * MIB as u64, MIB as u64).unwrap();
    assert_eq!(file.try_read_at(&mut buffer, 2 * MIB as u64).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(file.try_read_at(&mut buffer, 4 * MIB as u64).unwrap(), 0, "the end of the file is no block");
}

/// Also for a reader that follows a writer, where `relatime` would.
#[test]
fn reading_does_not_change_the_access_time() {
    use std::os::unix::fs::MetadataExt;
    let (_directory, file) = file_with(MIB);
    let accessed = |file: &File| file.file.metadata().map(|metadata| (metadata.atime(), metadata.atime_nsec())).unwrap();
    let before = accessed(&file);
    for _ in 0..3 {
        // The kernel's clock for files goes in steps of a few milliseconds.
        std::thread::sleep(Duration::from_millis(20));
        file.write_all_at(&mut [IoSlice::new(b"new")], 0).unwrap();
        file.read_exact_at(&mut [0; 3], 0).unwrap();
        file.try_read_at(&mut [0; 3], 0).unwrap();
    }
    assert_eq!(accessed(&file), before);
}

#[test]
fn residency_sees_a_hole_by_each_question() {
    let (_directory, file) = file_with(4 * MIB);
    for off in [&[][..], &[Feature::CacheStat]] {
        without(off, || {
            file.read_exact_at(&mut vec![0; 4 * MIB], 0).unwrap();
            assert!(file.resident(0, 4 * MIB).unwrap(), "just read, without {off:?}");
            assert!(file.resident(5000, 100).unwrap());
            assert!(file.resident(0, 0).unwrap());
            // A hole in the middle.
            file.dont_need(2 * MIB as u64, MIB as u64).unwrap();
            if file.try_read_at(&mut [0], 2 * MIB as u64 + 4096).is_err() {
                assert!(!file.resident(0, 4 * MIB).unwrap(), "a hole of 1 MiB, without {off:?}");
                assert!(!file.resident(3 * MIB as u64 - 4096, 4096).unwrap());
                assert!(file.resident(0, MIB).unwrap());
                assert!(file.resident(3 * MIB as u64, MIB).unwrap());
            }
        });
    }
}

#[test]
fn a_page_that_was_seen_counts_for_a_moment_and_only_while_it_is_there() {
    let (_directory, file) = file_with(MIB);
    let (_other_directory, other) = file_with(MIB);
    file.read_exact_at(&mut vec![0; MIB], 0).unwrap();
    let at = MIB as u64 / 2;
    assert!(!file.was_seen(at), "a read that may wait says nothing");
    // The next look may come late on a busy machine: then it is taken again.
    let seen_at_once = (0..100).any(|_| {
        file.try_read_at(&mut [0], at).unwrap();
        file.was_seen(at + 1)
    });
    assert!(seen_at_once);
    assert!(!file.was_seen(at - 1) && !other.was_seen(at), "another page, another file");
    std::thread::sleep(Duration::from_millis(30));
    assert!(!file.was_seen(at), "long ago");

    if make_cold(&file, MIB) {
        file.read_exact_at(&mut vec![0; MIB], 0).unwrap();
        file.try_read_at(&mut [0], at).unwrap();
        file.dont_need(0, MIB as u64).unwrap();
        assert!(!file.resident(at, 1).unwrap(), "seen, and gone");
    }
}

#[test]
fn readers_evenly_apart_are_remembered_in_places_of_their_own() {
    for apart in (0..20).map(|power| 1_u64 << power) {
        for file_apart in [0, 1] {
            let places: std::collections::HashSet<usize> =
                (0..16).map(|reader| slot(1 + reader * file_apart, 7 + reader * apart)).collect();
            assert!(places.len() >= 15, "{apart} pages and {file_apart} files apart: 16 readers share {} places", places.len());
        }
    }
}

#[test]
fn a_reader_who_goes_on_is_answered_for_a_stretch() {
    /// Pieces do not end with pages, as batches do not.
    const PIECE: usize = 50_000;
    /// More than a stretch.
    const FILE: usize = 2 * MIB;
    let (_directory, file) = file_with(FILE);
    if file.count_pages(0, FILE).is_none() || !make_cold(&file, FILE) {
        return; // before Linux 6.5, or nothing can be missing
    }
    let read_two_pieces = || {
        file.read_exact_at(&mut vec![0; FILE], 0).unwrap();
        LAST_MISS_MS.set(0);
        assert!(file.resident(0, PIECE).unwrap(), "asked about for itself");
        assert!(file.resident(PIECE as u64, PIECE).unwrap(), "a reader who goes on");
        file.dont_need(0, FILE as u64).unwrap();
    };
    // The next look may come late on a busy machine: then it is taken again.
    let is_told_from_memory = (0..100).any(|_| {
        read_two_pieces();
        file.resident(2 * PIECE as u64, PIECE).unwrap()
    });
    assert!(is_told_from_memory, "nobody asks again within the moment");
    read_two_pieces();
    assert!(!file.resident(2 * PIECE as u64, MIB).unwrap(), "beyond the stretch");
    // The coarse clock goes in steps of up to 10 ms.
    let now = coarse_ms();
    while coarse_ms() <= now + 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!file.resident(2 * PIECE as u64, PIECE).unwrap(), "the moment is a short one once something is missing");
    read_two_pieces();
    std::thread::sleep(Duration::from_millis(30));
    assert!(!file.resident(2 * PIECE as u64, PIECE).unwrap(), "the moment is over");
}

#[test]
fn the_inside_of_a_range_is_probed_once_something_was_missing_anywhere() {
    let (_directory, file) = file_with(MIB);
    let (_other_directory, other) = file_with(MIB);
    file.read_exact_at(&mut vec![0; MIB], 0).unwrap();
    let is_inside_probed = || {
        (0..100).any(|_| {
            assert!(file.resident(0, MIB).unwrap());
            file.was_seen(MIB as u64 / 2)
        })
    };
    // Of another test in this thread, perhaps.
    LAST_MISS_MS.set(0);
    let is_counted = file.count_pages(0, MIB).is_some();
    assert_eq!(is_inside_probed(), !is_counted, "nothing was missing yet, but without a count holes must be found too");
    if make_cold(&other, MIB) {
        assert!(!other.resident(0, MIB).unwrap());
        assert!(is_inside_probed());
    }
}

#[test]
fn without_any_question_reads_work_and_everything_counts_as_resident() {
    let (_directory, file) = file_with(MIB);
    make_cold(&file, MIB);
    without(&[Feature::CacheStat, Feature::ReadNoWait], || {
        assert!(file.resident(0, MIB).unwrap());
        let mut buffer = vec![0; MIB];
        assert_eq!(file.try_read_at(&mut buffer, 0).unwrap(), MIB, "a plain read fills the buffer");
        assert_eq!(buffer, pattern(MIB));
    });
}

#[test]
fn a_range_is_cut_within_its_bounds() {
    let (_directory, file) = file_with(100);
    let range = FileRange { file: Arc::new(file), position: 10, len: 50 };
    assert_eq!(range.end(), 60);
    let part = range.part(20, 1000);
    assert_eq!((part.position, part.len), (30, 30));
    assert_eq!(range.part(70, 1).len, 0);
}

#[test]
fn pages_are_counted_at_both_ends() {
    let page = page_bytes();
    assert_eq!(pages_touched(0, 1), 1);
    assert_eq!(pages_touched(page - 1, 2), 2);
    assert_eq!(pages_touched(page, page as usize), 1);
    assert_eq!(pages_touched(1, page as usize), 2);
}
