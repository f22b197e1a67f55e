//! Connections that nobody uses are closed after `connections.max.idle.ms`.
//!
//! On a core's thread: one task looks at all connections of the core, so none has a timer of its own. A connection is in use while bytes go in or out,
//! and while its client waits for an answer (Kafka closes then too, under the eyes of a consumer whose group takes longer). A client that takes
//! no bytes of its answer is not waiting for one.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::connections::{Connections, Stop};
use super::service::Service;
use super::traffic::add;
use crate::io::clock::monotonic_ns;
use crate::io::glommio::sleep;

/// A connection goes at the latest this share of the limit after it.
const LOOKS_PER_LIMIT: u32 = 8;
const PERIOD_MIN: Duration = Duration::from_millis(10);
const PERIOD_MAX: Duration = Duration::from_secs(10);

/// When a connection was last in use.
pub(super) struct Activity {
    /// Bytes last went in or out.
    moved_ns: Cell<u64>,
    /// The service works on an answer.
    answer_awaited: Cell<bool>,
}

impl Default for Activity {
    fn default() -> Activity {
        Activity { moved_ns: Cell::new(monotonic_ns()), answer_awaited: Cell::new(false) }
    }
}

impl Activity {
    pub(super) fn moved(&self, now_ns: u64) {
        self.moved_ns.set(now_ns);
    }

    pub(super) fn set_answer_awaited(&self, awaited: bool) {
        self.answer_awaited.set(awaited);
    }

    fn is_idle(&self, now_ns: u64, limit: Duration) -> bool {
        !self.answer_awaited.get() && u128::from(now_ns.saturating_sub(self.moved_ns.get())) > limit.as_nanos()
    }
}

impl<S: Service> Connections<S> {
    /// Closes connections that have been idle for longer than `options.idle_max`, until the core stops. Returns at once if there is no limit.
    pub async fn close_idle(self: Rc<Self>) {
        let Some(limit) = self.options.idle_max else { return };
        let period = (limit / LOOKS_PER_LIMIT).clamp(PERIOD_MIN, PERIOD_MAX);
        while !self.is_stopping() {
            sleep(period).await;
            let now_ns = monotonic_ns();
            for control in self.controls() {
                if control.activity.is_idle(now_ns, limit) {
                    add(&self.traffic.closed_idle, 1);
                    control.set(Stop::Now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_an_answer_is_not_idle() {
        let limit = Duration::from_nanos(100);
        let activity = Activity { moved_ns: Cell::new(1000), answer_awaited: Cell::new(false) };
        assert!(!activity.is_idle(900, limit), "the clock was read before");
        assert!(!activity.is_idle(1100, limit));
        assert!(activity.is_idle(1101, limit));
        activity.set_answer_awaited(true);
        assert!(!activity.is_idle(u64::MAX, limit));
        activity.set_answer_awaited(false);
        activity.moved(1050);
        assert!(!activity.is_idle(1150, limit));
        assert!(!activity.is_idle(u64::MAX, Duration::from_millis(u64::MAX)), "for ever");
    }
}
