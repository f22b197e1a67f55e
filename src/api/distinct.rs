//! Lists in requests that stand for sets.
//!
//! Pure. Kafka answers a topic that a request names twice once; for us it is a bound as well: an answer can be ten thousand times as
//! large as the name that asked for it.

use std::collections::HashSet;
use std::hash::Hash;

/// The items, each key once, where it came first.
pub fn distinct<Item, Key: Hash + Eq>(mut items: Vec<Item>, key: impl Fn(&Item) -> Key) -> Vec<Item> {
    if items.len() > 1 {
        let mut seen = HashSet::new();
        items.retain(|item| seen.insert(key(item)));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_stays_in_its_place() {
        assert_eq!(distinct(vec![3, 1, 3, 2, 1], |number| *number), [3, 1, 2]);
        assert_eq!(distinct(vec![(1, 'a'), (1, 'b')], |pair| pair.0), [(1, 'a')]);
        assert!(distinct(Vec::<i32>::new(), |number| *number).is_empty());
    }
}
