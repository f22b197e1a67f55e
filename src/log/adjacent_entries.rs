//! Which neighbours in an offset index are neighbours in the log: then the index alone says where a batch ends, and nobody has to read its header.
//!
//! Owned by the core that owns the log, or by whoever builds an index. Known of batches that this process has appended, or has gone through to make the index, until
//! the files of their segment are closed for want of readers: so after a restart of none at first. A log of batches above `index.interval.bytes` has nothing but such
//! entries.
//!
//! Invariant: a set bit is true; an unset one says nothing.

/// A bit for each entry of one index: its batch begins where the batch of the entry before it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AdjacentEntries {
    words: Vec<u64>,
}

impl AdjacentEntries {
    /// Notes of entry `i`, which was added last, whether its batch follows that of entry `i - 1`.
    pub fn push(&mut self, i: usize, follows: bool) {
        let (word, bit) = (i / 64, 1 << (i % 64));
        if follows {
            self.words.resize(self.words.len().max(word + 1), 0);
            self.words[word] |= bit;
        } else if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether entries `i - 1`, `i` and `i + 1` are three batches one behind the other.
    pub fn are_around(&self, i: usize) -> bool {
        self.follows(i) && self.follows(i + 1)
    }

    fn follows(&self, i: usize) -> bool {
        self.words.get(i / 64).is_some_and(|word| word & (1 << (i % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_a_row_are_two_that_follow() {
        let mut adjacent = AdjacentEntries::default();
        assert!(!adjacent.are_around(0) && !adjacent.are_around(500), "nothing is known yet");
        for i in 60..70 {
            adjacent.push(i, i != 60 && i != 66);
        }
        let around: Vec<usize> = (0..100).filter(|i| adjacent.are_around(*i)).collect();
        assert_eq!(around, [61, 62, 63, 64, 67, 68]);
    }

    #[test]
    fn what_is_noted_last_counts() {
        let mut adjacent = AdjacentEntries::default();
        (1..4).for_each(|i| adjacent.push(i, true));
        adjacent.push(2, false);
        assert!(!adjacent.are_around(1) && !adjacent.are_around(2));
    }
}
