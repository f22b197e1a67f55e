//! Where the next reads of the last readers of a log will start: sequential readers need no index, and no second look at the header that ended their range.
//!
//! Owned by the core that owns the log; forgotten when positions change (truncation, retention, compaction). Invariants: one entry for an offset, and at most
//! [`READERS_REMEMBERED_MAX`] of them; what is known of a batch was appended here, or read below the high watermark, where nothing changes.

use std::cell::{Cell, RefCell};

use super::segment::OffsetAndPosition;
use crate::base::Offset;

/// Readers of one log that are remembered; one more takes the place of the one that was noted first.
const READERS_REMEMBERED_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct ReadStarts {
    starts: RefCell<Vec<Start>>,
    /// What goes next, once there are as many as there may be.
    oldest: Cell<usize>,
}

/// A place where a reader will go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub place: OffsetAndPosition,
    /// Bytes of the batch there, if they are known: from its header, from the index, or since it came.
    pub batch_bytes: Option<u32>,
}

impl ReadStarts {
    pub fn find(&self, offset: Offset) -> Option<Start> {
        self.starts.borrow().iter().find(|start| start.place.offset == offset).copied()
    }

    pub fn note(&self, start: Start) {
        let mut starts = self.starts.borrow_mut();
        if let Some(known) = starts.iter_mut().find(|known| known.place.offset == start.place.offset) {
            let batch_bytes = start.batch_bytes.or(known.batch_bytes.filter(|_| known.place == start.place));
            *known = Start { batch_bytes, ..start };
        } else if starts.len() < READERS_REMEMBERED_MAX {
            starts.push(start);
        } else {
            let oldest = self.oldest.get();
            starts[oldest] = start;
            self.oldest.set((oldest + 1) % READERS_REMEMBERED_MAX);
        }
    }

    /// A batch was appended: somebody may be waiting for it.
    pub fn appended(&self, place: OffsetAndPosition, batch_bytes: u32) {
        if let Some(start) = self.starts.borrow_mut().iter_mut().find(|start| start.place == place) {
            start.batch_bytes = Some(batch_bytes);
        }
    }

    pub fn clear(&self) {
        self.starts.borrow_mut().clear();
        self.oldest.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(offset: i64, batch_bytes: Option<u32>) -> Start {
        Start { place: OffsetAndPosition { offset: Offset(offset), segment: Offset(0), position: offset as u32 * 10 }, batch_bytes }
    }

    #[test]
    fn the_last_readers_are_remembered_and_no_more() {
        let starts = ReadStarts::default();
        let count = READERS_REMEMBERED_MAX as i64;
        for offset in 0..count + 2 {
            starts.note(start(offset, Some(10)));
        }
        assert_eq!(starts.starts.borrow().len(), READERS_REMEMBERED_MAX);
        assert_eq!((starts.find(Offset(0)), starts.find(Offset(1))), (None, None), "the first two have gone");
        for offset in 2..count + 2 {
            assert_eq!(starts.find(Offset(offset)), Some(start(offset, Some(10))));
        }
        starts.clear();
        assert_eq!(starts.find(Offset(5)), None);
    }

    #[test]
    fn what_is_noted_last_about_an_offset_counts() {
        let starts = ReadStarts::default();
        starts.note(start(7, None));
        starts.note(start(7, Some(70)));
        assert_eq!(starts.find(Offset(7)), Some(start(7, Some(70))));
        assert_eq!(starts.starts.borrow().len(), 1);
    }

    #[test]
    fn what_is_known_of_a_place_stays_known() {
        let starts = ReadStarts::default();
        starts.note(start(7, None));
        starts.appended(start(7, None).place, 70);
        starts.appended(start(8, None).place, 80);
        starts.note(start(7, None));
        assert_eq!((starts.find(Offset(7)), starts.find(Offset(8))), (Some(start(7, Some(70))), None));
        let mut elsewhere = start(7, None);
        elsewhere.place.position = 0;
        starts.note(elsewhere);
        assert_eq!(starts.find(Offset(7)), Some(elsewhere), "of another place");
    }
}
