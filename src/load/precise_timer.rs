//! A timer that wakes a task within microseconds of its time.
//!
//! tokio's own timers round up to whole milliseconds, which an open-loop schedule would see as latency of the broker. Lives on a
//! worker thread. Source: timerfd_create(2).

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::net::unix::pipe;

/// One timer on CLOCK_MONOTONIC.
#[derive(Debug)]
pub struct PreciseTimer {
    /// tokio's pipe reader is its one safe way to poll a descriptor that it did not open; a timerfd reads like a pipe.
    descriptor: pipe::Receiver,
    armed_ns: u64,
}

impl PreciseTimer {
    /// # Errors
    /// No more file descriptors: raise `ulimit -n`.
    pub fn new() -> std::io::Result<PreciseTimer> {
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(PreciseTimer { descriptor: pipe::Receiver::from_owned_fd_unchecked(descriptor)?, armed_ns: 0 })
    }

    /// Waits until `until_ns` of CLOCK_MONOTONIC; for ever if it is `u64::MAX`. May end early: ask the clock.
    pub async fn wait(&mut self, until_ns: u64) {
        if until_ns == u64::MAX {
            return std::future::pending().await;
        }
        // A timer that is set for an earlier time wakes early, once. Setting it anew with every request would cost a system call each.
        if self.armed_ns == 0 || until_ns < self.armed_ns {
            // 0 would disarm it; a time that has passed fires at once.
            let at = until_ns.max(1);
            let value = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as _ };
            let timer = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &timer).expect("a valid time on a live timer");
            self.armed_ns = until_ns;
        }
        if self.descriptor.readable().await.is_ok() {
            // Eight bytes: how often it fired. Reading them makes it quiet again.
            let _ = self.descriptor.try_read(&mut [0; 8]);
            self.armed_ns = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::clock::monotonic_ns;

    #[test]
    fn it_fires_at_its_time_again_and_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut timer = PreciseTimer::new().expect("a timer");
            let mut least_late_ns = u64::MAX;
            for _ in 0..20 {
                let due = monotonic_ns() + 300_000;
                while monotonic_ns() < due {
                    timer.wait(due).await;
                }
                least_late_ns = least_late_ns.min(monotonic_ns() - due);
            }
            assert!(least_late_ns < 500_000, "{least_late_ns} ns late at best: no better than tokio's millisecond");
        });
    }
}
