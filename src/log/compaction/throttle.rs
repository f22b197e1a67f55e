//! How fast the cleaner may read and write, and the way to stop it.
//!
//! The cleaner's thread, which pauses here. Invariant: over any time longer than [`PERIOD_NS`] no more bytes go by than the rate allows, plus one piece.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::io::{clock, thread};

/// What was not used within this time is lost: a cleaner that waited for others gets no burst.
const PERIOD_NS: u64 = 300_000_000;
/// The longest pause at one go: an order to stop is seen so soon.
const PAUSE_MS_MAX: u64 = 50;

/// An order to stop, from the core that owns the log. Also the name of a cleaning: its clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Abort(Arc<AtomicBool>);

impl Abort {
    pub fn order(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_ordered(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn is_same(&self, other: &Abort) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Lets bytes through at a rate.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: f64,
    /// When the bytes that went by so far are paid for.
    paid_at_ns: u64,
}

impl Throttle {
    pub fn new(bytes_per_second: f64) -> Throttle {
        Throttle { bytes_per_second: bytes_per_second.max(1.0), paid_at_ns: 0 }
    }

    /// Notes that so many bytes went by, and pauses until they are within the rate. False: stop.
    #[must_use]
    pub fn spend(&mut self, bytes: usize, abort: &Abort) -> bool {
        let mut pause_ns = self.debt_ns(bytes, clock::monotonic_ns());
        while pause_ns > 0 && !abort.is_ordered() {
            let step = pause_ns.min(PAUSE_MS_MAX * 1_000_000);
            thread::pause(Duration::from_nanos(step));
            pause_ns -= step;
        }
        !abort.is_ordered()
    }

    /// How long to wait at `now_ns`, once these bytes went by too.
    fn debt_ns(&mut self, bytes: usize, now_ns: u64) -> u64 {
        let cost_ns = bytes as f64 * 1e9 / self.bytes_per_second;
        self.paid_at_ns = self.paid_at_ns.max(now_ns.saturating_sub(PERIOD_NS)).saturating_add(cost_ns as u64);
        self.paid_at_ns.saturating_sub(now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn bytes_go_by_at_the_rate() {
        let mut throttle = Throttle::new(1000.0);
        let (mut now, mut gone) = (100 * SECOND, 0);
        while now < 110 * SECOND {
            now += throttle.debt_ns(50, now);
            gone += 50;
            // The work itself takes time too, which counts.
            now += 1_000_000;
        }
        assert!((9_950..=10_400).contains(&gone), "{gone} bytes in ten seconds");
        // Half an hour of silence pays for no more than the period.
        now += 1800 * SECOND;
        assert_eq!(throttle.debt_ns(300, now), 0);
        assert_eq!(throttle.debt_ns(1000, now), SECOND);
    }

    #[test]
    fn an_order_ends_the_pause() {
        let abort = Abort::default();
        let mut throttle = Throttle::new(1e12);
        assert!(throttle.spend(1 << 20, &abort));
        abort.clone().order();
        assert!(!Throttle::new(1.0).spend(1 << 30, &abort), "thirty years would be too long");
        assert!(abort.is_same(&abort.clone()) && !abort.is_same(&Abort::default()));
    }
}
