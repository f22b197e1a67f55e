//! How many bytes per second somebody used, and how long he has to wait.
//!
//! Pure. As Kafka measures (`quota.window.num` = 11, `quota.window.size.seconds` = 1): windows of a second, and the rate over those there are, but never
//! over less than ten of them, so that a first burst may use what ten seconds allow.
//!
//! Invariant: there are never more than [`WINDOWS`] + 1 windows, the oldest first.

use std::collections::VecDeque;

/// `quota.window.num`
const WINDOWS: i64 = 11;
/// `quota.window.size.seconds`
const WINDOW_MS: i64 = 1000;

/// The longest time over which bytes count.
pub const MEMORY_MS: i64 = WINDOWS * WINDOW_MS;

#[derive(Debug, Default)]
pub struct Meter {
    windows: VecDeque<Window>,
}

#[derive(Debug)]
struct Window {
    started_ms: i64,
    last_ms: i64,
    bytes: u64,
}

impl Meter {
    /// Counts bytes that were used at `now_ms`, which never falls.
    pub fn record(&mut self, bytes: u64, now_ms: i64) {
        match self.windows.back_mut() {
            Some(window) if now_ms - window.started_ms < WINDOW_MS => {
                window.bytes += bytes;
                window.last_ms = now_ms;
            }
            _ => {
                self.forget(now_ms);
                self.windows.push_back(Window { started_ms: now_ms, last_ms: now_ms, bytes });
            }
        }
    }

    /// Whether nothing counts any more.
    pub fn is_idle(&self, now_ms: i64) -> bool {
        self.windows.iter().all(|window| now_ms - window.last_ms >= MEMORY_MS)
    }

    /// How long nothing more may be used, until what was used and `bytes` more are within the rate. 0: they are.
    ///
    /// KIP-13: with O the observed rate over the time W and T the target, the delay X makes O * W / (W + X) = T.
    pub fn throttle_ms(&mut self, bytes: u64, bytes_per_second: i64, now_ms: i64) -> i64 {
        assert!(bytes_per_second > 0, "a quota is above 0");
        self.forget(now_ms);
        let used = i128::from(bytes) + self.windows.iter().map(|window| i128::from(window.bytes)).sum::<i128>();
        let since_ms = self.windows.front().map_or(0, |oldest| now_ms - oldest.started_ms);
        let missing_windows = (WINDOWS - 1 - since_ms / WINDOW_MS).max(0);
        let over_ms = since_ms + missing_windows * WINDOW_MS;
        let needed_ms = used * 1000 / i128::from(bytes_per_second);
        i64::try_from((needed_ms - i128::from(over_ms)).max(0)).unwrap_or(i64::MAX)
    }

    fn forget(&mut self, now_ms: i64) {
        while self.windows.front().is_some_and(|oldest| now_ms - oldest.last_ms >= MEMORY_MS) {
            self.windows.pop_front();
        }
        assert!(self.windows.len() as i64 <= WINDOWS + 1, "windows are a second apart");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_may_use_what_ten_seconds_allow() {
        let mut meter = Meter::default();
        meter.record(10_000, 5);
        assert_eq!(meter.throttle_ms(0, 1000, 5), 0);
        assert_eq!(meter.throttle_ms(1, 1000, 5), 1, "rounded as milliseconds go");
        assert_eq!(meter.throttle_ms(1000, 1000, 5), 1000);
        meter.record(10_000, 6);
        assert_eq!(meter.throttle_ms(0, 1000, 6), 20_000 - 10_001);
        assert_eq!(meter.throttle_ms(0, i64::MAX, 6), 0);
        assert!(meter.throttle_ms(u64::MAX, 1, 6) > i64::from(i32::MAX));
    }

    #[test]
    fn waiting_as_told_makes_the_rate() {
        let mut meter = Meter::default();
        let (mut now_ms, mut used) = (0, 0);
        while now_ms < 600_000 {
            meter.record(3_000, now_ms);
            used += 3_000;
            now_ms += 1 + meter.throttle_ms(0, 1000, now_ms);
        }
        let rate = used * 1000 / now_ms;
        assert!((900..=1150).contains(&rate), "{rate} bytes per second instead of 1000");
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut meter = Meter::default();
        for second in 0..100 {
            meter.record(1000, second * 1000);
            assert!(meter.windows.len() <= 12);
            assert_eq!(meter.throttle_ms(0, 1100, second * 1000), 0);
        }
        assert!(!meter.is_idle(99_000 + MEMORY_MS - 1));
        assert!(meter.is_idle(99_000 + MEMORY_MS));
        assert_eq!(meter.throttle_ms(10_000, 1000, 99_000 + MEMORY_MS), 0);
        assert!(meter.windows.is_empty());
    }
}
