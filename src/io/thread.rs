//! Threads for blocking work: opening and closing logs, syncing new directories, and some for work that has time.
//!
//! Everything else goes to the cores or to the control thread's helpers.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

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

/// Lets the calling thread wait. Never on a core or the control thread.
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}

type Work = Box<dyn FnOnce() + Send>;

/// What of a processor a thread gets that others want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// One and a half percent beside one other (nice 19). It may keep the processor for some milliseconds from one who wakes.
    Little,
    /// Next to nothing, and whoever wakes takes the processor from it (SCHED_IDLE, sched(7)), once a system call under way is done where the kernel is
    /// built without preemption. Where that is refused, as `Little`.
    Leftover,
}

/// One thread that works only when others leave it a processor and the disk. Pieces are done one after the other. Dropping it waits for the piece under way.
pub struct BackgroundThread {
    sender: Option<mpsc::Sender<Work>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl BackgroundThread {
    /// # Errors
    /// The host refuses another thread.
    pub fn start(name: &str, share: Share) -> io::Result<BackgroundThread> {
        let (sender, receiver) = mpsc::channel::<Work>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            take_the_background(share);
            receiver.iter().for_each(|work| work());
        })?;
        Ok(BackgroundThread { sender: Some(sender), thread: Some(thread) })
    }

    /// Gives the thread a piece of work.
    pub fn run<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(&self, work: W) -> impl Future<Output = T> + use<T, W> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || drop(answer.send(work())));
        self.sender.as_ref().expect("it is there until the drop").send(work).expect("the thread ends only with its sender");
        async move { answered.await.expect("a piece of work does not panic") }
    }
}

impl Drop for BackgroundThread {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes the calling thread the last to get a processor or the disk (the lowest best-effort I/O priority). A host that refuses only makes it a thread like
/// others.
pub fn take_the_background(share: Share) {
    /// linux/ioprio.h: a thread, the calling one for 0; class 2 is best effort, and 7 its lowest level.
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const IOPRIO_BEST_EFFORT_LOWEST: libc::c_int = (2 << 13) | 7;
    // SAFETY: system calls on plain integers and one live struct. On Linux they act on the calling thread alone, for the id 0.
    unsafe {
        match share {
            Share::Leftover if libc::sched_setscheduler(0, libc::SCHED_IDLE, &libc::sched_param { sched_priority: 0 }) == 0 => 0,
            Share::Little | Share::Leftover => libc::setpriority(libc::PRIO_PROCESS, 0, 19),
        };
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_BEST_EFFORT_LOWEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_thread_is_the_last_to_get_a_processor_and_ends_with_its_owner() {
        let background = BackgroundThread::start("background", Share::Little).unwrap();
        let leftover = BackgroundThread::start("leftover", Share::Leftover).unwrap();
        // SAFETY: system calls on plain integers.
        let (nice, policy) = (|| unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, || unsafe { libc::sched_getscheduler(0) });
        let first = background.run(nice);
        let here = policy();
        let policies = [leftover.run(policy), background.run(policy)].map(futures_lite::future::block_on);
        assert_eq!(policies, [libc::SCHED_IDLE, here]);
        let second = background.run(|| thread::current().name().map(str::to_owned));
        assert_eq!(futures_lite::future::block_on(first), 19);
        assert_eq!(futures_lite::future::block_on(second), Some("background".to_owned()));
        assert!(nice() < 19 && policy() == here, "only those threads");
        let (begun, has_begun) = mpsc::channel();
        let (ended, has_ended) = mpsc::channel();
        drop(background.run(move || {
            begun.send(()).unwrap();
            pause(Duration::from_millis(20));
            ended.send(()).unwrap();
        }));
        has_begun.recv().unwrap();
        drop(background);
        assert_eq!(has_ended.try_recv(), Ok(()), "the drop waits for what is under way");
    }

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
