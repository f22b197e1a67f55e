//! One trouble of the host, told once: a full disk refuses every change, and an operator needs to hear of it twice, when it begins and when it is over.
//!
//! Control thread. Invariant: the sentence about the end comes after the one about the beginning, and neither comes twice in a row.

use std::cell::Cell;
use std::fmt::Display;

/// Whether something that the host is asked for again and again fails at the moment.
#[derive(Default)]
pub(super) struct Outage {
    failures: Cell<u64>,
}

impl Outage {
    /// Takes note of a result; `what` names in a sentence what works again.
    pub(super) fn note<T, E: Display>(&self, what: &str, result: &Result<T, E>) {
        match (result, self.failures.get()) {
            (Ok(_), 0) => {}
            (Ok(_), failures) => {
                tracing::info!("{what} again, after {failures} that failed");
                self.failures.set(0);
            }
            (Err(error), 0) => {
                tracing::error!("{error}; said once, until it works again");
                self.failures.set(1);
            }
            (Err(error), failures) => {
                tracing::debug!("{error}");
                self.failures.set(failures + 1);
            }
        }
    }
}
