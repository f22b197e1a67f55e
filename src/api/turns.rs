//! Which connections wait for an answer that later requests must not overtake.
//!
//! Lives on the core. A connection goes on reading while an answer is awaited, but Kafka's clients count on their requests taking
//! effect in order: what comes behind a request that waits is held back until that one is answered. Produce requests are the
//! exception, they keep their order at the partitions' owners.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::IdMap;

/// The connections with requests that hold back later ones.
#[derive(Clone, Default)]
pub(super) struct Turns {
    /// By connection; no entry: none.
    waiting: Rc<RefCell<IdMap<u64, usize>>>,
}

/// One request that holds back later ones of its connection, until this is dropped.
pub(super) struct Waiting {
    turns: Turns,
    connection: u64,
}

impl Turns {
    /// Holds back what comes after.
    pub(super) fn begin(&self, connection: u64) -> Waiting {
        *self.waiting.borrow_mut().entry(connection).or_default() += 1;
        Waiting { turns: self.clone(), connection }
    }

    /// Whether new requests of this connection must wait.
    pub(super) fn is_waiting(&self, connection: u64) -> bool {
        let waiting = self.waiting.borrow();
        !waiting.is_empty() && waiting.contains_key(&connection)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting.borrow_mut();
        if let Some(count) = waiting.get_mut(&self.connection) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_waits_until_its_last_request_is_answered() {
        let turns = Turns::default();
        let (first, second) = (turns.begin(7), turns.begin(7));
        assert!(turns.is_waiting(7) && !turns.is_waiting(8));
        drop(first);
        assert!(turns.is_waiting(7));
        drop(second);
        assert!(!turns.is_waiting(7));
    }
}
