//! Which headers of a segment were looked at since the process started, so that a range is sent only if its batches follow one another.
//!
//! Owned by the core that owns the log. Base offset and length of a batch are outside its CRC, so no client notices when they are damaged: it would
//! take a wrong base offset for a hole and drop good records. Bytes that this process wrote or recovery checked need no look; those of a trusted segment get one,
//! the first time somebody reads them.
//!
//! Invariant: `seen.from <= seen.to <= unseen_below`, and both ends are where batches begin.

use std::cell::Cell;

use crate::base::Offset;
use crate::wire::batch::BatchHeader;

/// One read looks at so many bytes of batches it has not seen; it answers less rather than keep the core.
pub(super) const UNSEEN_BYTES_MAX: u32 = 4 << 20;
/// What is read ahead at once where headers are not in memory.
pub(super) const READ_AHEAD_BYTES: u32 = 1 << 20;

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
    seen: Cell<Option<Seen>>,
}

impl HeadersSeen {
    /// Of a segment that this process writes, or has checked.
    pub fn all() -> HeadersSeen {
        HeadersSeen::none_below(0)
    }

    /// Of a segment whose first `bytes` were there before, and are trusted.
    pub fn none_below(bytes: u32) -> HeadersSeen {
        HeadersSeen { unseen_below: bytes, seen: Cell::new(None) }
    }

    /// Where in `position..end` the look begins, and the offset expected there if it is known. `None`: all was seen.
    pub fn first_unseen(&self, position: u32, end: u32) -> Option<(u32, Option<Offset>)> {
        let (start, expected) = match self.seen.get() {
            Some(seen) if (seen.from..=seen.to).contains(&position) => (seen.to, Some(seen.next_offset)),
            _ => (position, None),
        };
        (start < end.min(self.unseen_below)).then_some((start, expected))
    }

    /// Notes that the batches in `start..to` follow one another. Only one stretch is remembered: readers at different places look again.
    pub fn note(&self, start: u32, to: u32, next_offset: Offset) {
        let from = self.seen.get().filter(|seen| seen.to == start).map_or(start, |seen| seen.from);
        self.seen.set(Some(Seen { from, to: to.min(self.unseen_below), next_offset }));
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
}
