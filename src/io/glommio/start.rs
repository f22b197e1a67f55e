//! Starts executors: one thread per core, pinned, named `core-N`.
//!
//! Several executors may share one processor. Invariant: when `start_core` has returned `Ok`, the executor runs.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};

use super::{cold_reads, keep_alive};
use crate::io::features;

/// Threads of glommio's own for blocking calls, which nobody here makes: the least it takes.
const BLOCKING_THREADS: usize = 1;
/// Entries of each of glommio's three rings. Measured: makes no difference to latency; bounds what one round hands to the kernel.
const RING_DEPTH: usize = 256;
/// glommio pins this much memory three times over for direct I/O, which this broker does not do: the least it takes.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// After this long a task is asked to yield, and completions are looked at even if tasks are runnable. glommio's default. A core whose thread is stopped
/// for as long at the wrong moment parks with runnable tasks (see `keep_alive`), so no shorter; tasks that give way by `look_at_ring` need none of it.
const PREEMPT_AFTER: Duration = Duration::from_millis(100);

/// How one core is started.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// The number in the thread's name.
    pub core: u16,
    /// The processor to pin to; `None` leaves the placement to the kernel.
    pub cpu: Option<usize>,
    /// How long to spin before sleeping: less latency for a whole processor. Zero: not at all. Only with a pinned core.
    pub spin: Duration,
}

impl CoreOptions {
    /// A core that runs wherever the kernel likes.
    pub fn unpinned(core: u16) -> CoreOptions {
        CoreOptions { core, cpu: None, spin: Duration::ZERO }
    }

    /// A core pinned to `cpu`.
    pub fn pinned(core: u16, cpu: usize) -> CoreOptions {
        CoreOptions { core, cpu: Some(cpu), spin: Duration::ZERO }
    }
}

/// The thread of a started core.
#[derive(Debug)]
pub struct CoreThread<T> {
    thread: JoinHandle<T>,
}

impl<T> CoreThread<T> {
    /// Waits until the core's main future is done, and returns its result; `Err` carries the panic that ended it.
    pub fn join(self) -> thread::Result<T> {
        self.thread.join()
    }

    /// Whether the core's main future is done.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a thread with an executor, makes a future there with `factory` and runs it. The core ends when that future does: tasks that are still detached then
/// are dropped, so signal them and await them first.
///
/// # Errors
/// The kernel denies io_uring, the processor cannot be pinned to, or there is too little lockable memory; the text says what to do.
pub fn start_core<F, M, T>(options: CoreOptions, factory: M) -> io::Result<CoreThread<T>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    // glommio panics, or ends the process, where it could have said what is missing.
    features::probe_io_uring().map_err(io::Error::other)?;
    let (started, is_started) = mpsc::channel();
    // A thread of our own: glommio would add a number to the name.
    let thread = thread::Builder::new().name(format!("core-{}", options.core)).spawn(move || {
        let executor = match build(&options) {
            Ok(executor) => executor,
            Err(error) => {
                let _ = started.send(Err(error));
                // The caller gets the error and drops this thread's handle: nobody sees the panic.
                std::panic::resume_unwind(Box::new("the executor was not built"));
            }
        };
        let _ = started.send(Ok(()));
        executor.run(async move {
            let keep_alive = glommio::spawn_local(keep_alive::run());
            let result = factory().await;
            cold_reads::end().await;
            keep_alive.cancel().await;
            result
        })
    })?;
    match is_started.recv() {
        Ok(Ok(())) => Ok(CoreThread { thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the core's thread died while it was starting")),
    }
}

/// Runs a future to its end on an executor of the calling thread, not pinned. For tests and command-line tools.
pub fn run_here<T>(future: impl Future<Output = T>) -> T {
    features::probe_io_uring().expect("io_uring");
    build(&CoreOptions::unpinned(0)).expect("an executor").run(async move {
        let keep_alive = glommio::spawn_local(keep_alive::run());
        let result = future.await;
        cold_reads::end().await;
        keep_alive.cancel().await;
        result
    })
}

fn build(options: &CoreOptions) -> io::Result<glommio::LocalExecutor> {
    if let Some(cpu) = options.cpu {
        // glommio unwraps what is an error here: no /sys, or a processor that is offline.
        let online =
            glommio::CpuSet::online().map_err(|error| io::Error::other(format!("cannot read the processors from /sys: {error}")))?;
        if online.filter(|location| location.cpu == cpu).is_empty() {
            return Err(io::Error::other(format!("processor {cpu} is not online: choose another for core {}", options.core)));
        }
    }
    LocalExecutorBuilder::new(options.cpu.map_or(Placement::Unbound, Placement::Fixed))
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT_AFTER)
        // The default pins the helper to the core's own processor. This one is started before the core is pinned, and may run anywhere.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS))
        .spin_before_park(options.spin)
        .make()
        .map_err(|error| io::Error::other(format!("core {} cannot start: {error}", options.core)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::sleep;
    use crate::io::host::own_processors;

    #[test]
    fn a_core_has_its_name_and_its_processor() {
        let cpu = *own_processors().unwrap().last().unwrap();
        // Two executors on one processor: both must run.
        let cores = [5, 6].map(|core| {
            start_core(CoreOptions::pinned(core, cpu), move || async move {
                (thread::current().name().unwrap().to_owned(), own_processors().unwrap())
            })
            .unwrap()
        });
        for (core, number) in cores.into_iter().zip([5, 6]) {
            let (name, here) = core.join().unwrap();
            assert_eq!(name, format!("core-{number}"));
            assert_eq!(here, [cpu]);
        }
    }

    /// How often this thread has given its processor back of its own accord.
    fn times_slept() -> i64 {
        // SAFETY: all zero is a value of this struct of integers.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: getrusage writes one struct, which `usage` is.
        assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) }, 0);
        usage.ru_nvcsw
    }

    #[test]
    fn a_core_that_spins_does_not_sleep_while_it_waits() {
        let cpu = own_processors().unwrap()[0];
        for (spin, sleeps) in [(Duration::ZERO, true), (Duration::from_secs(60), false)] {
            let options = CoreOptions { spin, ..CoreOptions::pinned(0, cpu) };
            let core = start_core(options, move || async move {
                let before = times_slept();
                for _ in 0..20 {
                    sleep(Duration::from_millis(1)).await;
                }
                times_slept() - before
            });
            assert_eq!(core.unwrap().join().unwrap() >= 10, sleeps, "spinning for {spin:?}");
        }
    }

    #[test]
    fn a_processor_that_is_not_there_is_an_error_that_names_it() {
        let error = start_core(CoreOptions::pinned(0, 100_000), || async {}).unwrap_err();
        assert!(error.to_string().contains("processor 100000 is not online"), "{error}");
    }
}
