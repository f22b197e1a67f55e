//! Threads for blocking work before the cores run and after they have ended.
//!
//! Everything in between goes to the cores or to the control thread's helpers.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Lets the calling thread of a command wait. Never on a core or the control thread.
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// Does each piece of work on a thread of its own and returns the results in order. A panic in one is a panic here.
pub fn on_threads<W: Send, R: Send>(work: Vec<W>, act: impl Fn(W) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let threads: Vec<_> = work.into_iter().map(|piece| scope.spawn(|| act(piece))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a piece of work panicked")).collect()
    })
}

/// As [`on_threads`], and calls `tick` every `period` until all of it is done.
pub fn on_threads_with_ticks<W: Send, R: Send>(
    work: Vec<W>,
    act: impl Fn(W) -> R + Sync,
    period: Duration,
    tick: impl Fn() + Send,
) -> Vec<R> {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                tick()
            }
        });
        let results = on_threads(work, act);
        drop(done);
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        assert_eq!(on_threads(vec![3, 1, 2], |number| number * 10), [30, 10, 20]);
        assert!(on_threads(Vec::<i32>::new(), |number| number).is_empty());
    }

    #[test]
    fn ticks_come_while_the_work_lasts() {
        let (ticked, ticks) = mpsc::channel();
        // The work ends when it has seen its ticks: no tick, no end.
        let wait = |ticks: mpsc::Receiver<()>| (0..2).filter(|_| ticks.recv().is_ok()).count();
        assert_eq!(on_threads_with_ticks(vec![ticks], wait, Duration::from_millis(1), move || _ = ticked.send(())), [2]);
    }
}
