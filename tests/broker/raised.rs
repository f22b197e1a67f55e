//! A flag that ends the threads of a scope, raised even by a test that fails.

use std::sync::atomic::{AtomicBool, Ordering};

/// Raises the flag when it is dropped. A scope waits for its threads also when its owner panics: without this, a failed assertion
/// beside threads that wait for the flag is a test that hangs and never says why.
pub struct RaisedAtTheEnd<'a>(pub &'a AtomicBool);

impl Drop for RaisedAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
