//! A timer against glommio's habit of parking with runnable tasks, and a measure of how late the core is.
//!
//! glommio 0.9 takes "preempted before the first task" for "nothing to run", and then sleeps until an event comes (MEASURED). So while there is work, an event
//! comes every 10 ms; and since the very first request after an idle time can be lost in the same way, before anything here has heard of it, an idle core
//! looks up once a second. Invariant: at least two timers are armed at any time, so that a tick that is lost itself is followed by another.
//!
//! One task per core, started by `start`; the rest of the core says `mark_activity` when it has done something.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use glommio::timer::Timer;

use crate::io::clock::monotonic_ns;

/// Between two ticks of a core that works.
const TICK: Duration = Duration::from_millis(10);
/// Between two ticks of an idle core: about 10 µs of CPU each.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// Timers armed ahead: what was woken by one of them and then lost in a park is woken again by the next.
const TICKS_AHEAD: usize = 3;
/// After so many ticks without work the core counts as idle.
const TICKS_WITHOUT_WORK_MAX: u32 = 2;

type Recorder = Rc<dyn Fn(u64)>;

#[derive(Default)]
struct Activity {
    /// Something was done since the last tick.
    has_worked: Cell<bool>,
    /// The keep-alive task, while the core is idle.
    idle: Cell<Option<Waker>>,
    /// Called with the lateness of each tick, in nanoseconds.
    on_stall: RefCell<Option<Recorder>>,
}

// One executor per thread, so this is the core's own.
thread_local!(static ACTIVITY: Activity = Activity::default());

/// Says that this core has done something. Call it once per turn of a task; costs a few nanoseconds.
pub fn mark_activity() {
    ACTIVITY.with(|activity| {
        if !activity.has_worked.replace(true)
            && let Some(waker) = activity.idle.take()
        {
            waker.wake();
        }
    });
}

/// Names who is told how late each tick came, in nanoseconds: for as long the core did nothing else than what it was at (or was not given its processor). Ticks
/// come only while the core works. The last one named counts.
pub fn on_stall(record: impl Fn(u64) + 'static) {
    ACTIVITY.with(|activity| *activity.on_stall.borrow_mut() = Some(Rc::new(record)));
}

/// The task of a core.
pub(super) async fn run() {
    loop {
        until_work_begins().await;
        tick_while_working().await;
    }
}

async fn until_work_begins() {
    let mut ahead = Ahead::new(IDLE_TICK);
    poll_fn(|context| {
        ACTIVITY.with(|activity| {
            if activity.has_worked.get() {
                return Poll::Ready(());
            }
            activity.idle.set(Some(context.waker().clone()));
            // Being woken is all that a tick is for here.
            while ahead.poll_tick(context).is_ready() {}
            Poll::Pending
        })
    })
    .await;
}

async fn tick_while_working() {
    let mut ahead = Ahead::new(TICK);
    let mut ticks_without_work = 0;
    while ticks_without_work < TICKS_WITHOUT_WORK_MAX {
        let late_ns = poll_fn(|context| ahead.poll_tick(context)).await;
        let (has_worked, record) = ACTIVITY.with(|activity| (activity.has_worked.replace(false), activity.on_stall.borrow().clone()));
        if let Some(record) = record {
            record(late_ns);
        }
        ticks_without_work = if has_worked { 0 } else { ticks_without_work + 1 };
    }
}

/// The next ticks, each with a timer of its own.
struct Ahead {
    tick: Duration,
    /// When each is due, and its timer.
    timers: VecDeque<(u64, Timer)>,
}

impl Ahead {
    fn new(tick: Duration) -> Ahead {
        Ahead { tick, timers: VecDeque::with_capacity(TICKS_AHEAD) }
    }

    /// Waits for the next tick: how late it came, in nanoseconds. Ticks that are due together count as one.
    fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        let now_ns = monotonic_ns();
        while self.timers.len() < TICKS_AHEAD {
            let last_due_ns = self.timers.back().map_or(now_ns, |(due_ns, _)| *due_ns).max(now_ns);
            let due_ns = last_due_ns + self.tick.as_nanos() as u64;
            self.timers.push_back((due_ns, Timer::new(Duration::from_nanos(due_ns - now_ns))));
        }
        let mut late_ns = None;
        // All are polled, because only a polled timer is armed.
        self.timers.retain_mut(|(due_ns, timer)| {
            let is_due = Pin::new(timer).poll(context).is_ready();
            if is_due && late_ns.is_none() {
                late_ns = Some(monotonic_ns().saturating_sub(*due_ns));
            }
            !is_due
        });
        late_ns.map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::{run_here, sleep};

    fn count_ticks() -> Rc<RefCell<Vec<u64>>> {
        let ticks = Rc::new(RefCell::new(Vec::new()));
        let record = ticks.clone();
        on_stall(move |late_ns| record.borrow_mut().push(late_ns));
        ticks
    }

    #[test]
    fn it_ticks_while_there_is_work_and_stops_when_there_is_none() {
        run_here(async {
            let ticks = count_ticks();
            sleep(Duration::from_millis(60)).await;
            assert_eq!(ticks.borrow().len(), 0, "a core without work does not tick");
            for _ in 0..20 {
                mark_activity();
                sleep(Duration::from_millis(5)).await;
            }
            let while_working = ticks.borrow().len();
            assert!((2..=30).contains(&while_working), "{while_working} ticks in about 100 ms");
            // A few more, and then none: sooner or later a tenth of a second passes without one, however busy the host.
            let mut afterwards = ticks.borrow().len();
            for attempt in 0.. {
                assert!(attempt < 50, "{} ticks without work", ticks.borrow().len() - while_working);
                sleep(Duration::from_millis(100)).await;
                match ticks.borrow().len() {
                    count if count == afterwards => break,
                    count => afterwards = count,
                }
            }
            mark_activity();
            sleep(Duration::from_millis(100)).await;
            assert!(ticks.borrow().len() > afterwards, "work begins again");
        });
    }

    #[test]
    fn a_task_that_holds_the_core_shows_as_lateness() {
        run_here(async {
            let ticks = count_ticks();
            mark_activity();
            sleep(Duration::from_millis(1)).await;
            std::thread::sleep(Duration::from_millis(80));
            sleep(Duration::from_millis(30)).await;
            let worst = ticks.borrow().iter().copied().max().unwrap();
            assert!(worst >= 50_000_000, "held for 80 ms, the worst tick came {worst} ns late");
        });
    }

    /// The defect: a preempt timer that is over before the first task is reached makes the executor take "preempted" for "idle", and park. (At a sensible
    /// timer this needs a host that stops the thread for as long, and happens seldom; the timer here makes it certain.)
    #[test]
    fn glommio_parks_with_a_runnable_task() {
        let (done, is_done) = std::sync::mpsc::channel();
        // Left parked for ever, if the defect is there.
        std::thread::spawn(move || {
            let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound).preempt_timer(Duration::from_nanos(1));
            builder.make().unwrap().run(async move {
                for _ in 0..100 {
                    glommio::executor().yield_task_queue_now().await;
                }
                let _ = done.send(());
            })
        });
        let outcome = is_done.recv_timeout(Duration::from_secs(1));
        assert!(outcome.is_err(), "a hundred yields ended although each was preempted: the defect is gone, and this file with it");
    }
}
