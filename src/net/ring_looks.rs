//! When a core's ring was last looked at, and one look for all connections that want one.
//!
//! On a core's thread. A look costs a round of the executor and a timer, so who wants one while another is under way waits for that one. It may be as good as over then: whoever
//! needs more looks again. Invariant: who waits is woken when the look is over, also if the connection that began it has gone meanwhile.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::io::clock::monotonic_ns;
use crate::io::glommio::look_at_ring;

#[derive(Default)]
pub(super) struct RingLooks {
    seen_ns: Cell<u64>,
    is_under_way: Cell<bool>,
    /// Looks that are over.
    over: Cell<u64>,
    /// One of each connection at most.
    waiting: RefCell<Vec<Waker>>,
}

impl RingLooks {
    /// The ring has woken somebody, so it was looked at.
    pub(super) fn seen(&self, now_ns: u64) {
        self.seen_ns.set(now_ns);
    }

    /// How long ago the ring was looked at, in nanoseconds.
    pub(super) fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.seen_ns.get())
    }

    /// Lets other tasks go first and the ring be looked at.
    pub(super) async fn look(&self) {
        if self.is_under_way.replace(true) {
            return self.end_of_this_look().await;
        }
        let _look = Look { looks: self };
        look_at_ring().await;
        self.seen(monotonic_ns());
    }

    async fn end_of_this_look(&self) {
        let over = self.over.get();
        let mut is_listed = false;
        poll_fn(|context| {
            if self.over.get() != over {
                return Poll::Ready(());
            }
            // Once, however often it is polled; it stays with its task.
            if !std::mem::replace(&mut is_listed, true) {
                self.waiting.borrow_mut().push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// A look under way.
struct Look<'a> {
    looks: &'a RingLooks,
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.looks.is_under_way.set(false);
        self.looks.over.set(self.looks.over.get() + 1);
        self.looks.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::{run_here, spawn};
    use std::rc::Rc;

    #[test]
    fn one_look_serves_all_who_ask_for_it() {
        run_here(async {
            let looks = Rc::new(RingLooks::default());
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let looks = looks.clone();
                    spawn(async move { looks.look().await })
                })
                .collect();
            for task in tasks {
                task.await;
            }
            assert_eq!(looks.over.get(), 1);
            let now_ns = monotonic_ns();
            assert!(looks.age_ns(now_ns) < now_ns, "it was noted");
            looks.look().await;
            assert_eq!(looks.over.get(), 2);
        });
    }

    #[test]
    fn who_began_a_look_may_go_away() {
        run_here(async {
            let looks = Rc::new(RingLooks::default());
            let look = || {
                let looks = looks.clone();
                spawn(async move { looks.look().await })
            };
            let (first, second) = (look(), look());
            assert_eq!(looks.waiting.borrow().len(), 1);
            drop(first);
            second.await;
            let third = look();
            assert!(looks.is_under_way.get());
            third.await;
            assert!(!looks.is_under_way.get());
        });
    }
}
