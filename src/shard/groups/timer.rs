//! The clock of groups, and the one task per core that fires their deadlines.
//!
//! Lives on the core. Invariant: the task sleeps until the earliest deadline of any group of the core, or, with no group, until
//! there is one: an idle core is not woken.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use super::{GroupPartition, State};
use crate::io::clock;
use crate::io::glommio::{sleep, spawn};
use crate::shard::Shard;
use crate::shard::calls::{CallId, Calls};

/// Milliseconds since 1970 of a clock that does not jump: the wall clock as of the start, and monotonic from there.
#[derive(Clone, Copy)]
pub(super) struct GroupClock {
    wall_ms_at_start: i64,
    monotonic_ns_at_start: u64,
}

impl GroupClock {
    pub(super) fn start() -> GroupClock {
        GroupClock { wall_ms_at_start: clock::wall_ms().0, monotonic_ns_at_start: clock::monotonic_ns() }
    }

    pub(super) fn now_ms(self) -> i64 {
        self.wall_ms_at_start + ((clock::monotonic_ns() - self.monotonic_ns_at_start) / 1_000_000) as i64
    }
}

/// What the task of deadlines waits for.
#[derive(Default)]
pub(super) struct GroupTimer {
    /// It sleeps until then; `None`: until it is woken.
    due_ms: Cell<Option<i64>>,
    sleeper: Cell<Option<CallId>>,
    /// When offsets are next looked through for some past their retention.
    expiry_ms: Cell<i64>,
}

impl GroupTimer {
    pub(super) fn wake(&self, calls: &Calls) {
        if let Some(sleeper) = self.sleeper.take() {
            calls.complete(sleeper, Box::new(()));
        }
    }

    /// Sees to it that the task is awake at `deadline_ms`.
    fn be_awake_at(&self, calls: &Calls, deadline_ms: i64) {
        if self.due_ms.get().is_none_or(|due_ms| deadline_ms < due_ms) {
            self.wake(calls);
        }
    }
}

impl GroupPartition {
    /// The next deadline of a group, or of the search for old offsets; `None`: no group.
    fn next_deadline_ms(&self, expiry_ms: i64) -> Option<i64> {
        match &*self.state.borrow() {
            State::Active(groups) if !groups.is_empty() => Some(groups.next_deadline_ms().map_or(expiry_ms, |at_ms| at_ms.min(expiry_ms))),
            _ => None,
        }
    }
}

impl Shard {
    pub(super) fn set_group_timer(&self, groups: &GroupPartition) {
        let timer = &self.groups.timer;
        if let Some(deadline_ms) = groups.next_deadline_ms(timer.expiry_ms.get()) {
            timer.be_awake_at(&self.calls, deadline_ms);
        }
    }

    pub(in crate::shard) fn start_group_timer(self: &Rc<Self>) {
        let shard = self.clone();
        spawn(async move { shard.fire_deadlines().await }).detach();
    }

    async fn fire_deadlines(self: &Rc<Self>) {
        let (timer, clock) = (&self.groups.timer, self.groups.clock);
        timer.expiry_ms.set(clock.now_ms() + self.broker_config().groups.offsets_retention_check_ms);
        while !self.is_stopping() {
            let now_ms = clock.now_ms();
            self.expire_groups(now_ms);
            let due_ms = self.groups.all().iter().filter_map(|groups| groups.next_deadline_ms(timer.expiry_ms.get())).min();
            let woken = self.calls.open::<()>();
            timer.sleeper.set(Some(woken.id));
            timer.due_ms.set(due_ms);
            match due_ms {
                Some(due_ms) => {
                    // A deadline that has just passed must not keep the core from everything else.
                    let wait_ms = due_ms.saturating_sub(clock.now_ms()).max(1) as u64;
                    future::or(woken, sleep(Duration::from_millis(wait_ms))).await;
                }
                None => woken.await,
            }
        }
    }

    fn expire_groups(self: &Rc<Self>, now_ms: i64) {
        let timer = &self.groups.timer;
        let expires_offsets = timer.expiry_ms.get() <= now_ms;
        if expires_offsets {
            timer.expiry_ms.set(now_ms + self.broker_config().groups.offsets_retention_check_ms);
        }
        for groups in self.groups.all() {
            let effects = groups.with(|coordinator| {
                let mut effects = coordinator.expire(now_ms);
                if expires_offsets {
                    effects.extend(coordinator.expire_offsets(now_ms));
                }
                effects
            });
            if let Ok(effects) = effects {
                self.perform_group_effects(&groups, effects);
            }
        }
    }
}
