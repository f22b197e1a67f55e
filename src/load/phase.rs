//! What all workers of a run are told and what they tell: phases one way, events and live counters the other.
//!
//! Crosses threads. Invariant: phases go Prepare → Run (perhaps with an earlier end) → Drain → Stop, and never back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the main thread wants.
#[derive(Clone, Debug, Default)]
pub enum Phase {
    /// Connect, and say so.
    #[default]
    Prepare,
    /// Send and receive. All times in ns of CLOCK_MONOTONIC.
    Run {
        start_ns: u64,
        /// Nothing is due from here on.
        end_ns: u64,
        /// What was due before this is not measured: the warm-up.
        measure_from_ns: u64,
    },
    /// Read on up to these offsets, by partition; producers have ended.
    Drain {
        targets: Arc<Vec<i64>>,
        /// As in `Run`.
        measure_from_ns: u64,
    },
    /// End at once.
    Stop,
}

/// What a worker reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A producer or consumer has tried all its connections.
    Ready,
    /// A producer has nothing left to send or to wait for.
    ProducerDone,
    /// A consumer has read all it was asked to.
    ConsumerDone,
}

/// Sums for the progress line, from all threads.
#[derive(Debug, Default)]
pub struct Counters {
    pub acknowledged: AtomicU64,
    pub received: AtomicU64,
}

impl Counters {
    pub fn acknowledge(&self, messages: u64) {
        self.acknowledged.fetch_add(messages, Ordering::Relaxed);
    }

    pub fn receive(&self, messages: u64) {
        self.received.fetch_add(messages, Ordering::Relaxed);
    }
}
