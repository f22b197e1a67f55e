//! The progress line of a run on a terminal; silent in a pipe.
//!
//! Lives on the main thread, reads the live counters.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::phase::Counters;
use crate::io::clock::monotonic_ns;

/// How often it is drawn anew.
pub const DRAW_EVERY: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    last_ns: u64,
    last_acknowledged: u64,
    last_received: u64,
}

impl Progress {
    /// `total_s`: how long the run is meant to last, if that is known.
    pub fn new(quiet: bool, total_s: Option<f64>) -> Progress {
        let bar = match (quiet || !std::io::stderr().is_terminal(), total_s) {
            (true, _) => ProgressBar::hidden(),
            (false, Some(total_s)) => ProgressBar::new((total_s * 1000.0) as u64)
                .with_style(ProgressStyle::with_template("{bar:24} {elapsed} {msg}").expect("a constant template")),
            (false, None) => ProgressBar::new_spinner(),
        };
        Progress { bar, last_ns: monotonic_ns(), last_acknowledged: 0, last_received: 0 }
    }

    /// Draws. `run_ms`: how much of the run is over.
    pub fn draw(&mut self, run_ms: u64, counters: &Counters) {
        let (acknowledged, received) = (counters.acknowledged.load(Ordering::Relaxed), counters.received.load(Ordering::Relaxed));
        let now_ns = monotonic_ns();
        let seconds = (now_ns - self.last_ns).max(1) as f64 / 1e9;
        let per_s = |now: u64, before: u64| (now - before) as f64 / seconds;
        self.bar.set_position(run_ms.min(self.bar.length().unwrap_or(u64::MAX)));
        self.bar.set_message(format!(
            "{acknowledged} acknowledged ({:.0}/s), {received} received ({:.0}/s)",
            per_s(acknowledged, self.last_acknowledged),
            per_s(received, self.last_received)
        ));
        (self.last_ns, self.last_acknowledged, self.last_received) = (now_ns, acknowledged, received);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
