//! A bounded queue between exactly one sending and one receiving thread, without a lock and without a retry loop.
//!
//! Invariants: `tail - head <= slots` (both count up for ever, wrapping); slots `head..tail` hold messages, all others are empty; only the receiver
//! writes `head`, only the sender writes `tail`. Each side keeps a copy of the other's counter, and asks for the real one only when the copy says "full" or "empty",
//! so that the two threads touch each other's cache lines once per batch and not once per message.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// 128 bytes: the prefetcher of x86-64 and the cache lines of some arm64 work in pairs of 64.
#[repr(align(128))]
struct Side {
    /// This side's counter, read by the other.
    position: AtomicUsize,
    /// This side's copy of the other's counter. Touched by this side only.
    other_seen: Cell<usize>,
}

pub(super) struct Ring<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// The receiver's side: how many messages were taken.
    head: Side,
    /// The sender's side: how many messages were put in.
    tail: Side,
}

// SAFETY: messages move from one thread to another (`T: Send`). The `unsafe` contracts of `push` and `pop` say that one thread sends and one
// receives; then a slot is touched by the sender only before `tail` is published past it and by the receiver only after, and the `Cell` of each side by that side.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    pub(super) fn new(slots: usize) -> Ring<T> {
        assert!(slots.is_power_of_two());
        let side = || Side { position: AtomicUsize::new(0), other_seen: Cell::new(0) };
        Ring { slots: (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(), head: side(), tail: side() }
    }

    /// Puts a message in; gives it back if the ring is full.
    ///
    /// # Safety
    /// No two threads may be in `push` of the same ring at once, nor may the role of sender change hands without synchronisation.
    pub(super) unsafe fn push(&self, message: T) -> Result<(), T> {
        let tail = self.tail.position.load(Ordering::Relaxed);
        if tail.wrapping_sub(self.tail.other_seen.get()) == self.slots.len() {
            // Acquire: the receiver has finished with the slots before `head`.
            self.tail.other_seen.set(self.head.position.load(Ordering::Acquire));
            if tail.wrapping_sub(self.tail.other_seen.get()) == self.slots.len() {
                return Err(message);
            }
        }
        // SAFETY: the slot is outside `head..tail`, so the receiver does not touch it, and the caller is the only sender.
        unsafe { (*self.slots[tail & (self.slots.len() - 1)].get()).write(message) };
        // Release: the message is written before the receiver can see the new tail.
        self.tail.position.store(tail.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Takes the oldest message out.
    ///
    /// # Safety
    /// No two threads may be in `pop` of the same ring at once, nor may the role of receiver change hands without synchronisation.
    pub(super) unsafe fn pop(&self) -> Option<T> {
        let head = self.head.position.load(Ordering::Relaxed);
        if head == self.head.other_seen.get() {
            // Acquire: pairs with the Release in `push`.
            self.head.other_seen.set(self.tail.position.load(Ordering::Acquire));
            if head == self.head.other_seen.get() {
                return None;
            }
        }
        // SAFETY: the slot is inside `head..tail`, so it holds a message that the sender has published, and the caller is the only receiver. It counts
        // as empty from the store below on, so the message is read out once.
        let message = unsafe { (*self.slots[head & (self.slots.len() - 1)].get()).assume_init_read() };
        // Release: the message is read before the sender can see the slot as free.
        self.head.position.store(head.wrapping_add(1), Ordering::Release);
        Some(message)
    }

    /// Whether there is nothing to take. True may be outdated when it returns; false is not, if the receiver asks.
    pub(super) fn is_empty(&self) -> bool {
        self.head.position.load(Ordering::Relaxed) == self.tail.position.load(Ordering::Acquire)
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: no other thread has the ring any more.
        while unsafe { self.pop() }.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn it_is_a_queue_that_says_full_and_empty() {
        let ring = Ring::new(4);
        for round in 0..10 {
            // SAFETY: one thread is both sides.
            unsafe {
                assert_eq!(ring.pop(), None);
                for i in 0..4 {
                    assert_eq!(ring.push(round * 10 + i), Ok(()));
                }
                assert_eq!(ring.push(99), Err(99));
                assert!(!ring.is_empty());
                for i in 0..4 {
                    assert_eq!(ring.pop(), Some(round * 10 + i));
                }
            }
            assert!(ring.is_empty());
        }
    }

    #[test]
    fn what_was_not_taken_is_dropped_once() {
        let message = Arc::new(());
        let ring = Ring::new(8);
        for _ in 0..5 {
            // SAFETY: one thread is both sides.
            unsafe { ring.push(message.clone()).unwrap() };
        }
        // SAFETY: as above.
        drop(unsafe { ring.pop() });
        assert_eq!(Arc::strong_count(&message), 5);
        drop(ring);
        assert_eq!(Arc::strong_count(&message), 1);
    }
}
