//! Now, in two clocks: one that never goes back (for durations) and one that agrees with the calendar (for records).
//!
//! Any thread; a call is a read of the vDSO page, about 20 ns. Invariant: `monotonic_ns` never decreases within one boot.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::Timestamp;

/// Nanoseconds since an arbitrary point of this boot (`CLOCK_MONOTONIC`). Only differences mean something.
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of a clock that Linux always has.
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live, writable timespec, and the call writes nothing else.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    // clock_gettime(2): the only errors are a bad pointer and an unknown clock, and Linux has had these since 2.6.32.
    assert_eq!(status, 0, "clock {clock} is missing");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Milliseconds of the same clock as it stood at the kernel's last tick, up to 10 ms ago (`CLOCK_MONOTONIC_COARSE`): for moments that need no more; cheaper
/// to read.
pub fn coarse_ms() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE) / 1_000_000
}

/// Milliseconds since 1970-01-01 UTC, as records carry them. May jump when the host's clock is set.
pub fn wall_ms() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(since.as_millis() as i64),
        // A host whose clock stands before 1970: a negative time stamp would read as "none".
        Err(_) => Timestamp(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_goes_forward_in_nanoseconds() {
        let before = monotonic_ns();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let passed = monotonic_ns() - before;
        assert!(passed >= 20_000_000, "slept 20 ms, the clock saw {passed} ns");
        assert!(passed < 20_000_000_000, "slept 20 ms, the clock saw {passed} ns");
    }

    #[test]
    fn the_coarse_clock_follows_the_other_one() {
        let coarse = coarse_ms();
        let after = monotonic_ns() / 1_000_000;
        assert!(coarse <= after, "{coarse} ms is ahead of {after}");
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(coarse_ms() > coarse, "it stands still");
    }

    #[test]
    fn the_wall_clock_counts_milliseconds_since_1970() {
        let now = wall_ms().0;
        assert!(now > 1_600_000_000_000, "{now} is before September 2020: not milliseconds?");
        assert!(now < 10_000_000_000_000, "{now} is after the year 2286: not milliseconds?");
    }
}
