//! Which headers of a segment were looked at since the process started, so that a range is sent only if its batches follow one another.
//!
//! Owned by the core that owns the log. Base offset and length of a batch are outside its CRC, so no client notices when they are damaged: it would
//! take a wrong base offset for a hole and drop good records. Bytes that this process wrote or recovery checked need no look; those of a trusted segment get one,
//! the first time somebody reads them.
//!
//! Invariant: every stretch has `from <= to <= unseen_below`, and both ends are where batches begin; there are at most [`STRETCHES_MAX`].

use std::cell::RefCell;

use crate::base::Offset;
use crate::wire::batch::BatchHeader;

/// One read looks at so many bytes of batches it has not seen; it answers less rather than keep the core.
pub(super) const UNSEEN_BYTES_MAX: u32 = 4 << 20;
/// What is read ahead at once where headers are not in memory.
pub(super) const READ_AHEAD_BYTES: u32 = 1 << 20;

/// Stretches that are remembered of one segment: one for each of so many readers at different places.
const STRETCHES_MAX: usize = 32;

/// A stretch of batches that follow one another, and the offset behind it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    from: u32,
    to: u32,
    next_offset: Offset,
}

/// Of one open segment.
#[derive(Clone, Debug)]
pub(super) struct HeadersSeen {
    unseen_below: u32,
    stretches: RefCell<Vec<Seen>>,
}

impl HeadersSeen {
    /// Of a segment that this process writes, or has checked.
    pub fn all() -> HeadersSeen {
        HeadersSeen::none_below(0)
    }

    /// Of a segment whose first `bytes` were there before, and are trusted.
    pub fn none_below(bytes: u32) -> HeadersSeen {
        HeadersSeen { unseen_below: bytes, stretches: RefCell::default() }
    }

    /// Where in `position..end` the look begins, and the offset expected there if it is known. `None`: all was seen.
    pub fn first_unseen(&self, position: u32, end: u32) -> Option<(u32, Option<Offset>)> {
        let stretches = self.stretches.borrow();
        let around = stretches.iter().filter(|seen| (seen.from..=seen.to).contains(&position));
        let (start, expected) = match around.max_by_key(|seen| seen.to) {
            Some(seen) => (seen.to, Some(seen.next_offset)),
            None => (position, None),
        };
        (start < end.min(self.unseen_below)).then_some((start, expected))
    }

    /// Notes that the batches in `start..to` follow one another, and those before `start`, if `first_unseen` named it as the end of a stretch.
    pub fn note(&self, start: u32, to: u32, next_offset: Offset) {
        let to = to.min(self.unseen_below);
        let mut stretches = self.stretches.borrow_mut();
        let from = stretches.iter().filter(|seen| seen.to == start).map(|seen| seen.from).min().unwrap_or(start);
        stretches.retain(|seen| seen.from < from || seen.to > to);
        if stretches.len() == STRETCHES_MAX
            && let Some(shortest) = (0..stretches.len()).min_by_key(|&i| stretches[i].to - stretches[i].from)
        {
            // Its reader looks again; the long ones grow until they cover everything.
            stretches.swap_remove(shortest);
        }
        stretches.push(Seen { from, to, next_offset });
    }
}

/// Goes along headers and says where the first batch is that does not fit in.
pub(super) struct Sequence {
    expected: Option<Offset>,
    /// The batch before: where it begins, and whether its place is in doubt because offsets are missing before it or nothing is known of what was there.
    before: Option<(u32, bool)>,
}

impl Sequence {
    pub fn new(expected: Option<Offset>) -> Sequence {
        Sequence { expected, before: None }
    }

    pub fn next_offset(&self) -> Option<Offset> {
        self.expected
    }

    /// Takes the batch at `position`. An error is where what follows one another ends: before this batch, or before the one in front of it if that one
    /// had already left a hole. A hole alone is no damage: compaction leaves them.
    pub fn take(&mut self, position: u32, header: &BatchHeader) -> Result<(), u32> {
        self.meet(position, header.base_offset)?;
        self.before = Some((position, self.expected.is_none_or(|expected| header.base_offset > expected)));
        self.expected = Some(header.next_offset());
        Ok(())
    }

    /// Something at `position` that begins with `offset`: the next batch, or the next segment.
    pub fn meet(&self, position: u32, offset: Offset) -> Result<(), u32> {
        match (self.expected, self.before) {
            (Some(expected), Some((before, true))) if offset < expected => Err(before),
            (Some(expected), _) if offset < expected => Err(position),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::support::batch;

    fn header(base_offset: i64, records: i32) -> BatchHeader {
        let header = BatchHeader::parse(&batch(records, 10, 1)).unwrap();
        BatchHeader { base_offset: Offset(base_offset), ..header }
    }

    /// Where a walk over batches of three records each, 100 bytes apart, stops.
    fn walked(expected: Option<i64>, base_offsets: &[i64]) -> Result<(), u32> {
        let mut sequence = Sequence::new(expected.map(Offset));
        base_offsets.iter().enumerate().try_for_each(|(i, offset)| sequence.take(i as u32 * 100, &header(*offset, 3)))
    }

    #[test]
    fn a_wrong_base_offset_ends_the_sequence_before_it() {
        assert_eq!(walked(Some(0), &[0, 3, 6, 9]), Ok(()));
        assert_eq!(walked(None, &[40, 43]), Ok(()));
        // A hole that compaction left.
        assert_eq!(walked(Some(0), &[0, 30, 33]), Ok(()));
        // Moved up: a hole before it, and no room behind it.
        assert_eq!(walked(Some(0), &[0, 3, 8, 9]), Err(200));
        assert_eq!(walked(Some(0), &[1, 3]), Err(0));
        // Moved down.
        assert_eq!(walked(Some(0), &[0, 3, 5, 9]), Err(200));
        // Either of the first two, where nothing is known of what was before them.
        assert_eq!(walked(None, &[41, 43]), Err(0));
    }

    #[test]
    fn a_stretch_grows_and_is_not_looked_at_again() {
        let seen = HeadersSeen::none_below(1000);
        assert_eq!(seen.first_unseen(200, 400), Some((200, None)));
        seen.note(200, 400, Offset(7));
        assert_eq!(seen.first_unseen(200, 400), None);
        assert_eq!(seen.first_unseen(300, 500), Some((400, Some(Offset(7)))));
        seen.note(400, 500, Offset(9));
        assert_eq!(seen.first_unseen(200, 600), Some((500, Some(Offset(9)))));
        assert_eq!(seen.first_unseen(100, 150), Some((100, None)));
        seen.note(500, 1200, Offset(20));
        assert_eq!(seen.first_unseen(200, 1200), None);
        assert_eq!(seen.first_unseen(1100, 1200), None, "what this process wrote needs no look");
        assert_eq!(HeadersSeen::all().first_unseen(0, 1000), None);
    }

    #[test]
    fn readers_at_different_places_look_once_each() {
        let seen = HeadersSeen::none_below(10_000);
        seen.note(0, 400, Offset(4));
        seen.note(5000, 5400, Offset(54));
        assert_eq!(seen.first_unseen(0, 500), Some((400, Some(Offset(4)))));
        assert_eq!(seen.first_unseen(5000, 5600), Some((5400, Some(Offset(54)))));
        // The first one comes to where the second one began: from there on all was seen.
        seen.note(400, 5100, Offset(51));
        assert_eq!(seen.first_unseen(100, 5100), None);
        assert_eq!(seen.first_unseen(5100, 5400), None);
        assert_eq!(seen.first_unseen(5100, 5500), Some((5400, Some(Offset(54)))));
        // What lies within a longer stretch is not kept twice.
        seen.note(5400, 5600, Offset(56));
        seen.note(5100, 5600, Offset(56));
        assert_eq!(seen.stretches.borrow().len(), 1);
    }

    #[test]
    fn as_many_stretches_are_kept_as_may_be_and_the_longest_of_them() {
        let seen = HeadersSeen::none_below(1_000_000);
        seen.note(0, 5000, Offset(50));
        for i in 1..=2 * STRETCHES_MAX as u32 {
            seen.note(i * 10_000, i * 10_000 + 100, Offset(i64::from(i) * 100 + 1));
        }
        assert_eq!(seen.stretches.borrow().len(), STRETCHES_MAX);
        assert_eq!(seen.first_unseen(0, 5000), None);
        assert_eq!(seen.first_unseen(2 * STRETCHES_MAX as u32 * 10_000, 2 * STRETCHES_MAX as u32 * 10_000 + 100), None, "the last one");
    }
}
