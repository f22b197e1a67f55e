//! Work that would block a core, done by its helper thread.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::keep_alive::mark_activity;

/// Runs `work` on this core's helper thread and waits for its result. Works of one core run one after the other, in the order of their first poll.
///
/// # Panics
/// If `work` does, with its payload (where panics unwind; in release builds they end the process). glommio alone would leave the caller waiting for ever.
pub async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    mark_activity();
    match glommio::executor().spawn_blocking(move || catch_unwind(AssertUnwindSafe(work))).await {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::{run_here, spawn};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    #[test]
    fn work_happens_elsewhere_and_the_core_goes_on() {
        run_here(async {
            let here = std::thread::current().id();
            let went_on = Rc::new(Cell::new(false));
            let other = spawn({
                let went_on = went_on.clone();
                async move {
                    crate::io::glommio::sleep(Duration::from_millis(5)).await;
                    went_on.set(true);
                }
            });
            let there = run_blocking(|| {
                std::thread::sleep(Duration::from_millis(100));
                std::thread::current().id()
            })
            .await;
            assert_ne!(here, there);
            assert!(went_on.get(), "the core stood still");
            other.await;
        });
    }

    /// The defect: the helper thread dies, and its caller waits for ever.
    #[test]
    fn glommios_own_way_loses_a_panic() {
        run_here(async {
            let work = async {
                let _: () = glommio::executor().spawn_blocking(|| panic!("of the work, lost")).await;
                Some(())
            };
            let patience = async {
                crate::io::glommio::sleep(Duration::from_millis(300)).await;
                None
            };
            let outcome: Option<()> = futures_lite::future::or(work, patience).await;
            assert!(outcome.is_none(), "glommio reports a panic now: run_blocking need not");
        });
    }

    #[test]
    fn a_panic_of_the_work_reaches_the_caller() {
        let panic = catch_unwind(|| run_here(run_blocking(|| panic!("of the work")))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"of the work"));
    }
}
