//! Fetches that wait for data, and fetch sessions that wait for news.
//!
//! Lives on the core whose connection asked. A waiter costs a slot and one timer of its own, never one per partition: the
//! partitions it watches, on this core or another, hold a [`Watcher`] and report bytes as they become readable. A session is told once, and
//! asks again when its reader has everything: one that nobody uses any more costs nothing.
//! Invariant: a waiter is woken once, when the reported bytes reach what it lacked.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::{CoreId, IdMap};
use crate::shard::Shard;
use crate::shard::calls::{Call, CallId, Calls};
use crate::shard::fetch_session::SessionListener;

/// Who is told when a partition has more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watcher {
    pub core: CoreId,
    pub listener: Listener,
}

/// Who listens at its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// A waiting fetch, told of every byte until it stops listening.
    Fetch(WaiterId),
    /// A fetch session, told once.
    Session(SessionListener),
}

/// Names one waiting fetch of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaiterId(CallId);

/// The waiting fetches of one core.
pub struct Waits {
    calls: Calls,
    missing_bytes: RefCell<IdMap<WaiterId, u64>>,
}

/// One fetch that waits; dropping it ends the wait.
pub struct Wait {
    pub waiter: WaiterId,
    woken: Call<()>,
    waits: Rc<Waits>,
}

impl Wait {
    /// Resolves when enough bytes were reported.
    pub async fn enough(&mut self) {
        (&mut self.woken).await;
    }
}

impl Waits {
    pub fn new(calls: Calls) -> Rc<Waits> {
        Rc::new(Waits { calls, missing_bytes: RefCell::default() })
    }

    /// Starts a wait for `missing_bytes` more bytes.
    pub fn start(self: &Rc<Self>, missing_bytes: u64) -> Wait {
        let woken = self.calls.open::<()>();
        let waiter = WaiterId(woken.id);
        self.missing_bytes.borrow_mut().insert(waiter, missing_bytes.max(1));
        Wait { waiter, woken, waits: self.clone() }
    }

    /// Reports that `bytes` more became readable for `waiter`; one that is gone is ignored.
    pub fn arrived(&self, waiter: WaiterId, bytes: u64) {
        let mut waiting = self.missing_bytes.borrow_mut();
        let Some(missing) = waiting.get_mut(&waiter) else { return };
        *missing = missing.saturating_sub(bytes);
        if *missing == 0 {
            self.calls.complete(waiter.0, Box::new(()));
        }
    }

    /// Wakes every waiter at once: the broker stops.
    pub fn wake_all(&self) {
        for waiter in self.missing_bytes.borrow().keys() {
            self.calls.complete(waiter.0, Box::new(()));
        }
    }
}

impl Shard {
    /// Tells somebody who listens at this core.
    pub(super) fn hear(&self, listener: Listener, bytes: u64) {
        match listener {
            Listener::Fetch(waiter) => self.waits.arrived(waiter, bytes),
            Listener::Session(SessionListener { session_id, slot }) => {
                let session = self.fetch_sessions.borrow().get(session_id);
                // The fetch looks for itself whether that is enough.
                if let Some(waiter) = session.and_then(|session| session.borrow_mut().heard(slot)) {
                    self.waits.arrived(waiter, u64::MAX);
                }
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waits.missing_bytes.borrow_mut().remove(&self.waiter);
    }
}
