//! Which message was acknowledged at which offset: what `verify` holds the log against.
//!
//! Pure. Invariant: the runs of a stream are sorted by their first sequence number and do not overlap.

use std::collections::HashMap;

use super::identity::StreamKey;

/// Messages `first..first + count` were acknowledged at `offset..offset + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AcknowledgedRun {
    pub first: u64,
    pub count: u64,
    pub offset: i64,
}

/// By stream.
#[derive(Clone, Debug, Default)]
pub struct AcknowledgedOffsets {
    runs: HashMap<StreamKey, Vec<AcknowledgedRun>>,
}

impl AcknowledgedOffsets {
    /// Adds a run. Within a stream they come in the order of their sequence numbers, or [`Self::sort`] follows.
    pub fn add(&mut self, stream: StreamKey, run: AcknowledgedRun) {
        self.runs.entry(stream).or_default().push(run);
    }

    pub fn sort(&mut self) {
        self.runs.values_mut().for_each(|runs| runs.sort_unstable());
    }

    /// Whether this message was acknowledged at this very offset.
    pub fn confirms(&self, stream: StreamKey, sequence: u64, offset: i64) -> bool {
        let Some(runs) = self.runs.get(&stream) else { return false };
        let after = runs.partition_point(|run| run.first <= sequence);
        after.checked_sub(1).is_some_and(|at| {
            let run = runs[at];
            let delta = sequence - run.first;
            delta < run.count && run.offset.checked_add(delta as i64) == Some(offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_acknowledged_place_confirms() {
        let stream = StreamKey::default();
        let mut offsets = AcknowledgedOffsets::default();
        offsets.add(stream, AcknowledgedRun { first: 20, count: 5, offset: 120 });
        offsets.add(stream, AcknowledgedRun { first: 0, count: 10, offset: 50 });
        offsets.sort();
        assert!(offsets.confirms(stream, 0, 50) && offsets.confirms(stream, 9, 59) && offsets.confirms(stream, 24, 124));
        assert!(!offsets.confirms(stream, 9, 60) && !offsets.confirms(stream, 10, 60) && !offsets.confirms(stream, 19, 119));
    }
}
