//! Whose turn it is to go when a partition has as many producers as it may have: the one that wrote longest ago.
//!
//! Pure; lives with the table on one core. A ring of links, one for each place of the table, and one that stands for the two ends. A place that is not in the
//! ring links to itself, so nothing here branches or searches: each step is a handful of writes.
//!
//! Invariant: from the ring's end on, `older` leads through the places in the order in which they were put, the latest first, and `newer` back.

/// The ring's own link.
const ENDS: u32 = 0;

#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Recency {
    /// That of the place `p` stands at `p + 1`. There are as many as were needed so far: quiet partitions have none.
    links: Vec<Link>,
}

impl Recency {
    /// The place that was put longest ago.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.links.first()?.newer.checked_sub(1)
    }

    /// Puts a place behind all others, wherever it was.
    pub(super) fn put(&mut self, place: u32) {
        self.remove(place);
        let (link, newest) = (place + 1, self.links[ENDS as usize].older);
        self.links[link as usize] = Link { older: newest, newer: ENDS };
        self.links[newest as usize].newer = link;
        self.links[ENDS as usize].older = link;
    }

    /// Takes a place out; one that is not there stays so.
    pub(super) fn remove(&mut self, place: u32) {
        let link = place + 1;
        while self.links.len() <= link as usize {
            let itself = self.links.len() as u32;
            self.links.push(Link { older: itself, newer: itself });
        }
        let Link { older, newer } = self.links[link as usize];
        self.links[older as usize].newer = newer;
        self.links[newer as usize].older = older;
        self.links[link as usize] = Link { older: link, newer: link };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_oldest_is_what_a_plain_queue_says(steps in prop::collection::vec((any::<bool>(), 0..20_u32), 0..200)) {
            let (mut recency, mut queue) = (Recency::default(), Vec::new());
            for (is_put, place) in steps {
                queue.retain(|other| *other != place);
                if is_put {
                    recency.put(place);
                    queue.push(place);
                } else {
                    recency.remove(place);
                }
                prop_assert_eq!(recency.oldest(), queue.first().copied());
            }
            for place in queue {
                prop_assert_eq!(recency.oldest(), Some(place));
                recency.remove(place);
            }
            prop_assert_eq!(recency.oldest(), None);
        }
    }
}
