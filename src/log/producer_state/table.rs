//! The producers of one partition: found by id, and frozen at no cost for a snapshot.
//!
//! Lives with its log on one core; a `FrozenProducers` may travel. Producers stand in pages that are shared with whoever holds a frozen table; a page is copied
//! when a producer in it changes meanwhile. So a roll hands its snapshot to a helper thread without looking at a single producer, however many there are.
//!
//! Invariants: `places` and the pages name the same producers; a place that is free holds `NOBODY` and stands in `free`; who stands in `recency` is in no
//! transaction; there are no more than [`PRODUCERS_PER_PARTITION_MAX`] but for such as are in one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::producer::Producer;
use super::recency::Recency;
use crate::base::ProducerId;
use crate::base::limits::PRODUCERS_PER_PARTITION_MAX;

/// A copied page costs a few microseconds, and a frozen table of a million producers some eight thousand references.
const PRODUCERS_PER_PAGE: usize = 128;
const NOBODY: ProducerId = ProducerId(-1);

/// Where a producer stands. Stays true until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    fn page(self) -> usize {
        self.0 as usize / PRODUCERS_PER_PAGE
    }

    fn in_page(self) -> usize {
        self.0 as usize % PRODUCERS_PER_PAGE
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct ProducerTable {
    places: HashMap<ProducerId, u32>,
    pages: Vec<Arc<Vec<Producer>>>,
    free: Vec<u32>,
    recency: Recency,
    displaced: u64,
}

/// The producers as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct FrozenProducers {
    pages: Vec<Arc<Vec<Producer>>>,
}

impl FrozenProducers {
    pub fn iter(&self) -> impl Iterator<Item = &Producer> {
        self.pages.iter().flat_map(|page| page.iter()).filter(|producer| producer.id != NOBODY)
    }
}

impl ProducerTable {
    /// The table of producers that somebody has written down, in this order. Whose last batch lies lowest wrote longest ago.
    pub fn restore(producers: Vec<Producer>) -> ProducerTable {
        let mut by_last_write: Vec<usize> = (0..producers.len()).collect();
        by_last_write.sort_by_key(|at| producers[*at].last_batch().map(|batch| batch.last_offset));
        let too_many = producers.len().saturating_sub(PRODUCERS_PER_PARTITION_MAX);
        let may_go = by_last_write.iter().filter(|at| !producers[**at].is_in_transaction());
        let gone: HashSet<usize> = may_go.take(too_many).copied().collect();

        let mut table = ProducerTable { displaced: gone.len() as u64, ..ProducerTable::default() };
        let is_left = |at: &usize| !gone.contains(at);
        let left = producers.into_iter().enumerate().filter(|(at, _)| is_left(at));
        let places: HashMap<usize, Place> = left.map(|(at, producer)| (at, table.insert(producer))).collect();
        by_last_write.iter().filter_map(|at| places.get(at)).for_each(|place| table.write(*place, |_| ()));
        table
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn find(&self, id: ProducerId) -> Option<Place> {
        self.places.get(&id).map(|place| Place(*place))
    }

    pub fn at(&self, place: Place) -> &Producer {
        &self.pages[place.page()][place.in_page()]
    }

    fn at_mut(&mut self, place: Place) -> &mut Producer {
        &mut Arc::make_mut(&mut self.pages[place.page()])[place.in_page()]
    }

    /// How many producers had to go because there were too many, since this was last asked.
    pub fn take_displaced(&mut self) -> u64 {
        std::mem::take(&mut self.displaced)
    }

    /// Takes note of something that a producer has written: now it goes last.
    pub fn write(&mut self, place: Place, note: impl FnOnce(&mut Producer)) {
        let producer = self.at_mut(place);
        note(producer);
        match producer.is_in_transaction() {
            true => self.recency.remove(place.0),
            false => self.recency.put(place.0),
        }
    }

    /// Adds a producer that is not there. If there are too many, the one that wrote longest ago goes.
    pub fn insert(&mut self, producer: Producer) -> Place {
        assert!(producer.id != NOBODY, "a producer has an id");
        if self.len() >= PRODUCERS_PER_PARTITION_MAX
            && let Some(oldest) = self.recency.oldest()
        {
            self.remove(Place(oldest));
            self.displaced += 1;
        }
        let id = producer.id;
        let place = match self.free.pop() {
            Some(place) => {
                *self.at_mut(Place(place)) = producer;
                place
            }
            None => self.push(producer),
        };
        let before = self.places.insert(id, place);
        assert!(before.is_none(), "a producer is there once");
        Place(place)
    }

    fn push(&mut self, producer: Producer) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PRODUCERS_PER_PAGE) {
            self.pages.push(Arc::default());
        }
        let page = self.pages.len() - 1;
        let producers = Arc::make_mut(&mut self.pages[page]);
        producers.push(producer);
        (page * PRODUCERS_PER_PAGE + producers.len() - 1) as u32
    }

    /// Removes those of the places from `from` to below `to` that `is_gone` says; answers whether there are places behind `to`.
    pub fn remove_where(&mut self, from: usize, to: usize, is_gone: impl Fn(&Producer) -> bool) -> bool {
        let end = self.pages.last().map_or(0, |page| (self.pages.len() - 1) * PRODUCERS_PER_PAGE + page.len());
        for place in from..to.min(end) {
            let place = Place(place as u32);
            if self.at(place).id != NOBODY && is_gone(self.at(place)) {
                self.remove(place);
            }
        }
        if self.places.is_empty() {
            *self = ProducerTable { displaced: self.displaced, ..ProducerTable::default() };
        }
        to < end && !self.places.is_empty()
    }

    fn remove(&mut self, place: Place) {
        let id = std::mem::replace(self.at_mut(place), Producer::new(NOBODY)).id;
        self.places.remove(&id);
        self.free.push(place.0);
        self.recency.remove(place.0);
    }

    pub fn freeze(&self) -> FrozenProducers {
        FrozenProducers { pages: self.pages.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ids: std::ops::Range<i64>) -> ProducerTable {
        let mut table = ProducerTable::default();
        ids.for_each(|id| _ = table.insert(Producer::new(ProducerId(id))));
        table
    }

    fn ids(frozen: &FrozenProducers) -> Vec<i64> {
        let mut ids: Vec<_> = frozen.iter().map(|producer| producer.id.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn producers_are_found_where_they_were_put() {
        let table = table(0..1000);
        assert_eq!(table.len(), 1000);
        assert!((0..1000).all(|id| table.at(table.find(ProducerId(id)).unwrap()).id == ProducerId(id)));
        assert_eq!(table.find(ProducerId(1000)), None);
        assert_eq!(ids(&table.freeze()), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_frozen_does_not_change_any_more() {
        let mut table = table(0..200);
        let frozen = table.freeze();
        let place = table.find(ProducerId(7)).unwrap();
        table.at_mut(place).epoch = 5;
        table.insert(Producer::new(ProducerId(200)));
        table.remove_where(0, 200, |producer| producer.id.0 < 100);
        assert_eq!(ids(&frozen), (0..200).collect::<Vec<_>>());
        assert!(frozen.iter().all(|producer| producer.epoch == -1));
        assert_eq!(ids(&table.freeze()), (100..201).collect::<Vec<_>>());
    }

    #[test]
    fn a_removed_producers_place_is_used_again() {
        let mut table = table(0..300);
        assert!(table.remove_where(0, 128, |producer| producer.id.0 % 2 == 0));
        assert!(!table.remove_where(128, 1000, |producer| producer.id.0 % 2 == 0));
        assert_eq!(table.len(), 150);
        (1000..1150).for_each(|id| _ = table.insert(Producer::new(ProducerId(id))));
        assert_eq!(table.pages.len(), 3, "no page was added");
        assert_eq!(table.freeze().iter().count(), 300);
        table.remove_where(0, 1000, |_| true);
        assert_eq!((table.len(), table.pages.len()), (0, 0));
    }
}
