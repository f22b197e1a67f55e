//! What the node's cleaner asks of a partition: how dirty it is, a plan, a new segment in the place of old ones.
//!
//! Lives on the partition's core, on behalf of the control thread, which has the cleaning itself done on a thread of its own. Invariant: whoever waits for a swap is answered
//! when the files have changed places, or the partition was given up.

use std::path::PathBuf;
use std::rc::Rc;

use super::{Partition, PartitionKey};
use crate::base::TopicName;
use crate::io::clock;
use crate::log::compaction::throttle::Abort;
use crate::log::compaction::{Cleanable, Cleaned, CleaningPlan, CleaningReport};
use crate::shard::Shard;
use crate::shard::calls::CallId;

/// A partition that could be cleaned.
#[derive(Clone, Debug)]
pub struct CleaningCandidate {
    pub key: PartitionKey,
    pub topic: TopicName,
    pub cleanable: Cleanable,
    /// The topic's `min.cleanable.dirty.ratio`.
    pub dirty_ratio_min: f64,
    /// For a topic with `max.compaction.lag.ms`.
    pub overdue: Option<Overdue>,
}

/// How to find out whether records of a partition have waited too long for a cleaning.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The dirty segments. Their first batches tell.
    pub files: Vec<PathBuf>,
    pub lag_ms_max: i64,
}

/// What came of a segment that was to take the place of others.
pub enum Swap {
    /// It has, or the log has taken note that it does not want it.
    Settled,
    /// The partition is about to leave this core: ask again where it goes.
    Leaving(Cleaned),
}

impl Shard {
    /// What could be cleaned on this core.
    pub fn cleaning_candidates(&self) -> Vec<CleaningCandidate> {
        self.all_partitions().iter().filter_map(|partition| partition.cleaning_candidate()).collect()
    }
}

impl Partition {
    fn cleaning_candidate(&self) -> Option<CleaningCandidate> {
        let state = self.state().ok()?;
        let cleanable = state.log.cleanable(state.high_watermark.offset, clock::wall_ms())?;
        let config = state.log.config();
        let overdue = (config.compaction_lag_ms_max < i64::MAX)
            .then(|| Overdue { files: state.log.dirty_files(&cleanable), lag_ms_max: config.compaction_lag_ms_max });
        Some(CleaningCandidate { key: self.key, topic: self.topic.clone(), cleanable, dirty_ratio_min: config.dirty_ratio_min, overdue })
    }

    /// Begins a cleaning; `None` if there is nothing to clean any more.
    pub fn begin_cleaning(&self) -> Option<CleaningPlan> {
        let mut state = self.state_mut().ok()?;
        if state.is_resting {
            return None;
        }
        let high_watermark = state.high_watermark.offset;
        state.log.begin_cleaning(high_watermark, clock::wall_ms())
    }

    /// Puts a cleaned segment in the place of those it was made from, and waits for it.
    pub async fn swap_in(self: &Rc<Self>, shard: &Rc<Shard>, cleaned: Cleaned) -> Swap {
        let swapped = {
            // One that was given up has told the cleaning to stop.
            let Ok(mut state) = self.state_mut() else { return Swap::Settled };
            if state.is_resting {
                return Swap::Leaving(cleaned);
            }
            if !state.log.swap_in(cleaned) {
                return Swap::Settled;
            }
            let call = shard.calls.open::<()>();
            state.swap_call = Some(call.id);
            call
        };
        self.start_jobs(shard);
        swapped.await;
        Swap::Settled
    }

    /// Ends a cleaning. `report`: it came to its end.
    pub fn end_cleaning(&self, cleaning: &Abort, report: Option<&CleaningReport>) {
        if let Ok(mut state) = self.state_mut() {
            state.log.end_cleaning(cleaning, report, clock::wall_ms());
        }
    }
}

/// Answers a cleaner that waits.
pub(super) fn tell_cleaner(shard: &Shard, swap_call: Option<CallId>) {
    if let Some(call) = swap_call {
        shard.calls.complete(call, Box::new(()));
    }
}
