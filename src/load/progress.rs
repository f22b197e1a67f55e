//! The progress line of a run on a terminal; silent in a pipe.
//!
//! Lives on the main thread, reads the live counters; latencies are those of the last interval that is over.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pagewire_plot::unit::{compact, duration};

use super::distribution::Distribution;
use super::outcome::{Interval, Role};
use super::phase::Counters;
use super::report::text::role_name;
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
    /// Start of the interval whose latencies `said` holds.
    latest_ns: Option<u64>,
    said: String,
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
        Progress { bar, last_ns: monotonic_ns(), last_acknowledged: 0, last_received: 0, latest_ns: None, said: String::new() }
    }

    /// Draws. `run_ms`: how much of the run is over; `latest`: the last interval that is.
    pub fn draw(&mut self, run_ms: u64, counters: &Counters, latest: Option<&Interval>) {
        if self.bar.is_hidden() {
            return;
        }
        if let Some(interval) = latest.filter(|interval| self.latest_ns != Some(interval.start_ns)) {
            (self.latest_ns, self.said) = (Some(interval.start_ns), latencies(interval));
        }
        let (acknowledged, received) = (counters.acknowledged.load(Ordering::Relaxed), counters.received.load(Ordering::Relaxed));
        let now_ns = monotonic_ns();
        let seconds = (now_ns - self.last_ns).max(1) as f64 / 1e9;
        let per_s = |now: u64, before: u64| (now - before) as f64 / seconds;
        self.bar.set_position(run_ms.min(self.bar.length().unwrap_or(u64::MAX)));
        self.bar.set_message(format!(
            "{acknowledged} acknowledged ({}/s), {received} received ({}/s){}",
            compact(per_s(acknowledged, self.last_acknowledged)),
            compact(per_s(received, self.last_received)),
            self.said
        ));
        (self.last_ns, self.last_acknowledged, self.last_received) = (now_ns, acknowledged, received);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// What is said of an interval behind the rates.
fn latencies(interval: &Interval) -> String {
    let of_role = |role: Role| {
        let flows = interval.flows.iter().filter(|flow| flow.role == role).map(|flow| &flow.from_intended);
        // What this process has packed itself can be unpacked.
        let latencies = Distribution::merged(flows).unwrap_or_default();
        let at = |quantile| duration(latencies.0.value_at_quantile(quantile) as f64 / 1e9);
        let said = || format!("; {} p50 {} p99 {}", role_name(role), at(0.5), at(0.99));
        (!latencies.0.is_empty()).then(said)
    };
    let warmup = if interval.is_warmup { "; warm-up" } else { "" };
    std::iter::once(warmup.to_owned()).chain(Role::ALL.into_iter().filter_map(of_role)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample::{self, Shape};

    #[test]
    fn an_interval_is_a_few_words() {
        let outcome = sample::outcome(Shape { repetitions: 1, steps: 1 });
        let said = latencies(&outcome.repetitions[0].steps[0].intervals[0]);
        assert!(said.starts_with("; warm-up; produced p50 ") && said.contains("; consumed p50 "), "{said}");
        assert_eq!(latencies(&Interval::default()), "");
    }
}
