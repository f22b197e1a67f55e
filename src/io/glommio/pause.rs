//! Giving way: to other tasks, to the ring, and to time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use glommio::timer::Timer;

use super::keep_alive::mark_activity;

/// Lets other runnable tasks go first. Does **not** look at the ring: a loop that gives way by this alone keeps completions waiting.
pub async fn yield_now() {
    mark_activity();
    glommio::executor().yield_task_queue_now().await;
}

/// Lets other tasks go first **and** the ring be looked at: this task goes on once the executor has run out of runnable tasks, or was preempted, and
/// has collected completions. For long-running tasks, at the end of each of their turns.
///
/// A task that yields stays runnable, and glommio collects completions only when nothing is runnable or the preempt timer fires; a task that waits for a timer
/// is not runnable. So the way is a timer that is due at once.
pub async fn look_at_ring() {
    mark_activity();
    let mut timer = Timer::new(Duration::from_secs(3600));
    let mut is_armed = false;
    poll_fn(|context| {
        let poll = Pin::new(&mut timer).poll(context);
        if !is_armed {
            // A timer made with a duration of zero is ready at its first poll. This one is in the reactor's list by now, and becomes due there.
            is_armed = true;
            timer.reset(Duration::ZERO);
            return Poll::Pending;
        }
        poll.map(|_| ())
    })
    .await;
}

/// Waits for at least `duration`.
pub async fn sleep(duration: Duration) {
    Timer::new(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::clock::monotonic_ns;
    use crate::io::glommio::{run_here, spawn};
    use std::cell::Cell;
    use std::rc::Rc;

    /// How many turns a busy task takes before a completion of the ring (a timer of 1 ms) is seen, for each way of giving way.
    fn turns_until_the_ring_is_seen(give_way: impl AsyncFn() + 'static) -> u64 {
        run_here(async move {
            let seen = Rc::new(Cell::new(false));
            let waiter = spawn({
                let seen = seen.clone();
                async move {
                    sleep(Duration::from_millis(1)).await;
                    seen.set(true);
                }
            });
            let start = monotonic_ns();
            while monotonic_ns() - start < 2_000_000 {} // the timer is due before the first turn
            let mut turns = 0;
            while !seen.get() && turns < 1_000_000_000 {
                give_way().await;
                turns += 1;
            }
            waiter.await;
            turns
        })
    }

    /// The defect: only the preempt timer ends it, after a great many turns.
    #[test]
    fn yielding_alone_keeps_the_ring_waiting() {
        let turns = turns_until_the_ring_is_seen(async || glommio::executor().yield_task_queue_now().await);
        assert!(turns > 1, "glommio looks at its ring when a task yields: look_at_ring is not needed any more");
    }

    #[test]
    fn looking_at_the_ring_sees_it_at_once() {
        let turns = turns_until_the_ring_is_seen(look_at_ring);
        assert!(turns <= 2, "{turns} turns");
    }

    #[test]
    fn looking_at_the_ring_lets_others_run() {
        run_here(async {
            let count = Rc::new(Cell::new(0));
            let others: Vec<_> = (0..3)
                .map(|_| {
                    let count = count.clone();
                    spawn(async move {
                        look_at_ring().await;
                        count.set(count.get() + 1);
                    })
                })
                .collect();
            look_at_ring().await;
            for other in others {
                other.await;
            }
            assert_eq!(count.get(), 3);
        });
    }
}
