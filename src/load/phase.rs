//! What all workers of a run are told and what they tell: phases one way, events, slices and live counters the other.
//!
//! Crosses threads. Invariant: phases go Prepare → (Run → Collect)* → Finish → Stop; a Run may be told again with an earlier end or with
//! targets for the readers. Only the newest phase is seen, so each waits for the events that say that all have seen the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::outcome::ThreadUse;
use super::schedule::Pace;
use super::statistics::Statistics;

/// What the main thread wants.
#[derive(Clone, Debug, Default)]
pub enum Phase {
    /// Connect, and say so.
    #[default]
    Prepare,
    /// Send and receive.
    Run { step: StepPlan, targets: Option<Targets> },
    /// A step is over: hand over what was counted and not yet handed over.
    Collect,
    /// Producers end; readers go on, perhaps to these targets.
    Finish { targets: Option<Targets> },
    /// End at once.
    Stop,
}

/// One step. All times in ns of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepPlan {
    /// From 1.
    pub number: u32,
    pub pace: Pace,
    pub start_ns: u64,
    /// What was due before this is not measured: the warm-up.
    pub measure_from_ns: u64,
    /// Nothing is due from here on.
    pub end_ns: u64,
}

/// Readers are to read up to here, and to say when they have.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Tells these from others.
    pub number: u32,
    /// By partition.
    pub offsets: Arc<Vec<i64>>,
}

/// What a worker reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A producer or consumer has tried all its connections.
    Ready,
    /// A producer has nothing left to send or to wait for in this step.
    StepDone(u32),
    /// A producer has ended.
    ProducerDone,
    /// A tail reader has reached the targets of this number.
    Reached(u32),
}

/// What a worker counted from one edge to the next.
#[derive(Debug)]
pub struct Slice {
    pub worker: usize,
    pub start_ns: u64,
    pub end_ns: u64,
    pub statistics: Statistics,
    /// With the last slice of a step: what the thread used from the end of the warm-up to the end of the step.
    pub last: Option<ThreadUse>,
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
