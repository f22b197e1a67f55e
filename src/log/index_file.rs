//! The offset index of a sealed segment, searched in its file.
//!
//! Owned by the core that owns the log; never waits for the disk. A system call costs more than the bytes of a hundred entries, so the file is read in pieces, and
//! some of them stay: readers who go through a segment find their next entries in the piece that they had. Invariants: the file does not change while it is
//! open; no number stands in `pieces` twice.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::offset_index::{self, ENTRY_BYTES, OffsetIndexEntry};
use crate::io::File;

/// Divides every page size, so a piece is in memory or not.
const PIECE_BYTES: usize = 1024;
const ENTRIES_PER_PIECE: usize = PIECE_BYTES / ENTRY_BYTES;
/// Pieces that stay, of one segment.
const PIECES_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct IndexFile {
    file: Arc<File>,
    entries: usize,
    /// Those that were searched last, the latest one in front.
    pieces: RefCell<Vec<Piece>>,
}

#[derive(Debug)]
struct Piece {
    number: usize,
    /// How much of `content` there is.
    bytes: usize,
    content: Box<[u8; PIECE_BYTES]>,
}

/// Why an index could not be searched here and now.
pub(super) enum IndexReadError {
    /// The page of the file at `position` is not in memory.
    NotResident {
        file: Arc<File>,
        position: u64,
    },
    Host(io::Error),
}

impl IndexFile {
    pub fn new(file: Arc<File>, entries: usize) -> IndexFile {
        IndexFile { file, entries, pieces: RefCell::default() }
    }

    /// The last entry at or below the offset.
    ///
    /// # Errors
    /// A piece of the file is not in memory, or the host's.
    pub fn lookup(&self, relative_offset: u32) -> Result<Option<OffsetIndexEntry>, IndexReadError> {
        offset_index::lookup(self.entries, relative_offset, |i| self.entry(i))
    }

    /// The number of the last entry whose batch begins at or below the position, in a segment of `segment_bytes`.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn number_at(&self, position: u32, segment_bytes: u32) -> Result<Option<usize>, IndexReadError> {
        offset_index::number_at(self.entries, position, segment_bytes, |i| self.entry(i))
    }

    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn entry(&self, i: usize) -> Result<OffsetIndexEntry, IndexReadError> {
        let number = i / ENTRIES_PER_PIECE;
        let mut pieces = self.pieces.borrow_mut();
        match pieces.iter().position(|piece| piece.number == number) {
            Some(place) => pieces[..=place].rotate_right(1),
            None => {
                let mut content = Box::new([0; PIECE_BYTES]);
                let position = (number * PIECE_BYTES) as u64;
                let bytes = match self.file.try_read_at(&mut content[..], position) {
                    Ok(bytes) => bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return Err(IndexReadError::NotResident { file: self.file.clone(), position });
                    }
                    Err(error) => return Err(IndexReadError::Host(error)),
                };
                pieces.truncate(PIECES_MAX - 1);
                pieces.insert(0, Piece { number, bytes, content });
            }
        }
        let piece = &pieces[0];
        // Too short: somebody cut the file.
        let entry = piece.content[..piece.bytes].get(i % ENTRIES_PER_PIECE * ENTRY_BYTES..).and_then(|rest| rest.first_chunk());
        entry.map(|bytes| OffsetIndexEntry::parse(*bytes)).ok_or_else(|| IndexReadError::Host(ErrorKind::UnexpectedEof.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::offset_index::OffsetIndex;
    use std::collections::BTreeSet;
    use std::io::IoSlice;

    /// Entries at distances that a guess by the mean does not meet, over many pieces.
    fn index_and_file(count: u32) -> (OffsetIndex, IndexFile, tempfile::TempDir, u32) {
        let mut index = OffsetIndex::from_bytes(Vec::new());
        let mut position = 0;
        for i in 0..count {
            position += if i % 1000 < 900 { 4097 } else { 200_000 };
            index.push(OffsetIndexEntry { relative_offset: i * 3 + 2, position });
        }
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(&directory.path().join("index")).unwrap();
        file.write_all_at(&mut [IoSlice::new(index.as_bytes())], 0).unwrap();
        (index, IndexFile::new(Arc::new(file), count as usize), directory, position + 4097)
    }

    #[test]
    fn the_file_answers_as_memory_does() {
        for count in [0, 1, 127, 128, 129, 5000] {
            let (index, file, _directory, log_bytes) = index_and_file(count);
            for step in 0..4000u32 {
                let (offset, position) = (step * 7 % (count * 3 + 5), step.wrapping_mul(2_654_435_761) % log_bytes);
                assert_eq!(file.lookup(offset).ok().unwrap(), index.lookup(offset), "offset {offset} of {count}");
                assert_eq!(file.number_at(position, log_bytes).ok().unwrap(), index.number_at(position), "at {position}");
            }
        }
    }

    #[test]
    fn as_many_readers_as_there_are_pieces_find_theirs_again() {
        let (_, file, _directory, _) = index_and_file(100_000);
        // Equally far apart, as readers who share a segment are.
        let places: Vec<usize> = (0..PIECES_MAX).map(|reader| reader * 100_000 / PIECES_MAX).collect();
        let numbers = || file.pieces.borrow().iter().map(|piece| piece.number).collect::<BTreeSet<_>>();
        assert!(places.iter().all(|i| file.entry(*i).is_ok()));
        let kept = numbers();
        file.file.truncate(0).unwrap();
        for i in &places {
            assert!(file.entry(*i + 1).is_ok(), "entry {i} would have to be read again");
        }
        assert_eq!(numbers(), kept);
        assert!(file.entry(99_999 / 3).is_err(), "another piece is read from the file, which is empty");
    }

    #[test]
    fn a_file_that_was_cut_is_an_error_and_no_entry() {
        let (_, file, _directory, log_bytes) = index_and_file(1000);
        file.file.truncate(500 * ENTRY_BYTES as u64 + 3).unwrap();
        assert!(matches!(file.number_at(log_bytes - 1, log_bytes), Err(IndexReadError::Host(_))));
        assert!(matches!(file.lookup(u32::MAX), Err(IndexReadError::Host(_))));
    }

    #[test]
    fn a_piece_that_is_not_in_memory_is_named() {
        let (index, file, _directory, log_bytes) = index_and_file(100_000);
        file.file.data_sync().unwrap();
        file.file.dont_need(0, u64::MAX >> 1).unwrap();
        let error = match file.number_at(log_bytes / 2, log_bytes) {
            Ok(found) => return assert_eq!(found, index.number_at(log_bytes / 2), "a file system without a disk"),
            Err(error) => error,
        };
        let IndexReadError::NotResident { position, .. } = error else { panic!("the file is whole") };
        let mut piece = [0; PIECE_BYTES];
        file.file.read_exact_at(&mut piece, position).unwrap();
        // Asked again, it gets further: to the answer, or to a piece nearby.
        match file.number_at(log_bytes / 2, log_bytes) {
            Ok(found) => assert_eq!(found, index.number_at(log_bytes / 2)),
            Err(IndexReadError::NotResident { position: next, .. }) => assert_ne!(next, position),
            Err(IndexReadError::Host(error)) => panic!("{error}"),
        }
    }
}
