//! A set of sequence numbers kept as ranges: small as long as what it holds is mostly contiguous.
//!
//! Pure. Invariant: the ranges are disjoint, not adjacent and not empty: `start < end`, and `end` of one `<` `start` of the next.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of `u64` as half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    end_by_start: BTreeMap<u64, u64>,
}

impl RangeSet {
    pub fn new() -> RangeSet {
        RangeSet::default()
    }

    /// Adds every number of `range`; numbers already in stay in.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Whatever touches the new range melts into it. It can only begin at or before `end`.
        while let Some((&other_start, &other_end)) = self.end_by_start.range(..=end).next_back() {
            if other_end < start {
                break;
            }
            start = start.min(other_start);
            end = end.max(other_end);
            self.end_by_start.remove(&other_start);
        }
        self.end_by_start.insert(start, end);
    }

    /// Takes one number out. Returns whether it was in.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some((&start, &end)) = self.end_by_start.range(..=number).next_back() else { return false };
        if number >= end {
            return false;
        }
        self.end_by_start.remove(&start);
        if start < number {
            self.end_by_start.insert(start, number);
        }
        if number + 1 < end {
            self.end_by_start.insert(number + 1, end);
        }
        true
    }

    pub fn contains(&self, number: u64) -> bool {
        self.end_by_start.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    /// How many numbers are in.
    pub fn count(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.end_by_start.is_empty()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.end_by_start.iter().map(|(&start, &end)| start..end)
    }

    /// What is in both.
    pub fn intersection(&self, other: &RangeSet) -> RangeSet {
        let mut both = RangeSet::new();
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            both.insert(a.start.max(b.start)..a.end.min(b.end));
            if a.end <= b.end {
                left.next();
            } else {
                right.next();
            }
        }
        both
    }

    /// What is in `self` and not in `other`.
    pub fn difference(&self, other: &RangeSet) -> RangeSet {
        let mut rest = RangeSet::new();
        let mut others = other.iter().peekable();
        for range in self.iter() {
            let mut start = range.start;
            while let Some(cut) = others.peek() {
                if cut.end <= start {
                    others.next();
                } else if cut.start < range.end {
                    rest.insert(start..cut.start.max(start));
                    start = cut.end.min(range.end);
                    if cut.end > range.end {
                        break;
                    }
                    others.next();
                } else {
                    break;
                }
            }
            rest.insert(start..range.end);
        }
        rest
    }

    pub fn extend(&mut self, other: &RangeSet) {
        other.iter().for_each(|range| self.insert(range));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(ranges: &[Range<u64>]) -> RangeSet {
        let mut set = RangeSet::new();
        ranges.iter().for_each(|range| set.insert(range.clone()));
        set
    }

    #[test]
    fn touching_ranges_melt() {
        let melted = set(&[0..3, 5..7, 3..5]);
        assert_eq!(melted.iter().collect::<Vec<_>>(), vec![0..7]);
    }

    #[test]
    fn removing_splits() {
        let mut split = set(&[0..5]);
        assert!(split.remove(2));
        assert!(!split.remove(2));
        assert_eq!(split.iter().collect::<Vec<_>>(), vec![0..2, 3..5]);
    }

    fn any_ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::vec((0u64..60, 0u64..12).prop_map(|(start, len)| start..start + len), 0..12)
    }

    fn plain(ranges: &[Range<u64>]) -> BTreeSet<u64> {
        ranges.iter().cloned().flatten().collect()
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(a in any_ranges(), b in any_ranges(), gone in 0u64..72) {
            let (mut left, right) = (set(&a), set(&b));
            let (mut plain_left, plain_right) = (plain(&a), plain(&b));
            let numbers = |set: &RangeSet| set.iter().flatten().collect::<BTreeSet<u64>>();
            prop_assert_eq!(numbers(&left.intersection(&right)), &plain_left & &plain_right);
            prop_assert_eq!(numbers(&left.difference(&right)), &plain_left - &plain_right);
            prop_assert_eq!(left.contains(gone), plain_left.contains(&gone));
            prop_assert_eq!(left.remove(gone), plain_left.remove(&gone));
            prop_assert_eq!(left.count(), plain_left.len() as u64);
            prop_assert_eq!(numbers(&left), plain_left);
        }
    }
}
