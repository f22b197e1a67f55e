//! Large pieces of answers take turns while others are served.
//!
//! On a core's thread. A look at the ring is followed by one piece from everybody who has one, and one of 512 KiB takes 100 to 500 µs. So whoever wants one message
//! waits for all readers of a backfill, and more than once. With turns it waits for one of them, and for a smaller piece. Where nothing but large answers was sent
//! within the last second there are no turns: they would only cost more looks.
//!
//! All who send large pieces share what is sent between two looks, so the longer others keep the core from looking, the less a backfill gets.
//!
//! Invariants: a connection has one place at most; at most one connection has the turn, and it waits for nothing but the ring meanwhile; turns are given in the order in which they were asked for; a turn whose
//! connection has gone away is the next one's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use crate::base::limits::{PAGES_QUANTUM_BYTES, SPLICE_BYTES_MIN};
use crate::io::clock::monotonic_ns;

/// Pieces of this size and more take turns.
pub(super) const LARGE_BYTES_MIN: usize = 128 * 1024;
/// A turn is for so much at most. Measured: half of it costs throughput, twice as much makes a message a third slower.
pub(super) const TURN_BYTES_MAX: usize = 256 * 1024;
/// Who was served within this time may come again.
const OTHERS_STAY_NS: u64 = 1_000_000_000;

const _: () = assert!(LARGE_BYTES_MIN <= TURN_BYTES_MAX && TURN_BYTES_MAX <= PAGES_QUANTUM_BYTES);
const _: () = assert!(SPLICE_BYTES_MIN <= TURN_BYTES_MAX, "whole turns go by splice, as larger pieces do");

#[derive(Default)]
pub(super) struct LargeTurns {
    /// When an answer that is not large was sent.
    others_ns: Cell<Option<u64>>,
    is_taken: Cell<bool>,
    waiting: RefCell<VecDeque<Weak<Place>>>,
}

/// The turn, or a place in the queue for it. Dropping it gives it up.
pub(super) struct Turn<'a> {
    turns: &'a LargeTurns,
    place: Rc<Place>,
}

#[derive(Default)]
struct Place {
    has_turn: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl LargeTurns {
    /// An answer that is not large was sent.
    pub(super) fn served_another(&self, now_ns: u64) {
        self.others_ns.set(Some(now_ns));
    }

    /// Whether so many bytes are to be sent in turns.
    pub(super) fn are_for(&self, bytes: usize) -> bool {
        bytes >= LARGE_BYTES_MIN && self.others_ns.get().is_some_and(|others_ns| monotonic_ns().saturating_sub(others_ns) < OTHERS_STAY_NS)
    }

    /// Waits for the turn.
    pub(super) async fn take(&self) -> Turn<'_> {
        let turn = Turn { turns: self, place: Rc::default() };
        if !self.is_taken.replace(true) {
            turn.place.has_turn.set(true);
            return turn;
        }
        self.waiting.borrow_mut().push_back(Rc::downgrade(&turn.place));
        poll_fn(|context| {
            if turn.place.has_turn.get() {
                return Poll::Ready(());
            }
            turn.place.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        turn
    }

    fn pass_on(&self) {
        // Whoever has gone away has taken the place along.
        let next = std::iter::from_fn(|| self.waiting.borrow_mut().pop_front()).find_map(|place| place.upgrade());
        self.is_taken.set(next.is_some());
        let Some(place) = next else { return };
        place.has_turn.set(true);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.place.has_turn.get() {
            self.turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::{Task, look_at_ring, run_here, spawn};

    /// A connection that waits for its turn, notes its number, and keeps the turn over one look at the ring.
    fn connection(turns: &Rc<LargeTurns>, served: &Rc<RefCell<Vec<u32>>>, number: u32) -> Task<()> {
        let (turns, served) = (turns.clone(), served.clone());
        spawn(async move {
            let _turn = turns.take().await;
            served.borrow_mut().push(number);
            look_at_ring().await;
        })
    }

    #[test]
    fn one_at_a_time_in_the_order_of_asking_and_who_goes_away_stops_nobody() {
        run_here(async {
            let (turns, served) = (Rc::new(LargeTurns::default()), Rc::default());
            let mut tasks: Vec<_> = (0..6).map(|number| connection(&turns, &served, number)).collect();
            assert_eq!(*served.borrow(), [0], "the others wait");
            // Of those that wait, and the one that has the turn: the next is told, and goes away before it hears of it.
            drop(tasks.remove(3));
            drop(tasks.remove(0));
            drop(tasks.remove(0));
            for task in tasks {
                task.await;
            }
            assert_eq!(*served.borrow(), [0, 2, 4, 5]);
            assert!(!turns.is_taken.get() && turns.waiting.borrow().is_empty());
            connection(&turns, &served, 6).await;
            assert_eq!(served.borrow().last(), Some(&6), "and the turn is free again");
        });
    }

    #[test]
    fn turns_are_for_large_pieces_while_others_are_served() {
        let turns = LargeTurns::default();
        assert!(!turns.are_for(LARGE_BYTES_MIN), "nobody else was served");
        turns.served_another(monotonic_ns());
        assert!(turns.are_for(LARGE_BYTES_MIN) && !turns.are_for(LARGE_BYTES_MIN - 1));
        turns.served_another(monotonic_ns() - OTHERS_STAY_NS);
        assert!(!turns.are_for(LARGE_BYTES_MIN), "not any more");
    }
}
