//! The node's log cleaner: chooses the dirtiest log, has it cleaned on a thread of low priority, puts each new segment in its place, and begins again.
//!
//! A task of the control thread. One log of the node is cleaned at a time. The core that owns a log makes the plan and takes the result, between its requests; what reads and
//! writes the files never runs there. A log that moves to another core is cleaned on meanwhile, and takes the result at its new core.
//!
//! Invariant: while `current` names a partition, and only then, the cleaner's thread may have files in its directory.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::checkpoints::Checkpoints;
use super::cores::Cores;
use crate::base::limits::{CLEANER_BACKOFF_MS_MIN, JOB_LOOK_MS};
use crate::base::{CoreId, Timestamp};
use crate::cluster::broker_config::CleanerSettings;
use crate::io::thread::{BackgroundThread, Share};
use crate::io::{File, clock};
use crate::log::compaction::{Cleaned, CleanerLimits, Cleaning, CleaningError, CleaningReport, Step};
use crate::shard::Shard;
use crate::shard::partition::{CleaningCandidate, Overdue, Partition, PartitionKey, Swap};
use crate::wire::batch::{BATCH_HEADER_BYTES, BatchHeader};

pub(super) struct Cleaner {
    cores: Rc<Cores>,
    checkpoints: Rc<Checkpoints>,
    data_dir: PathBuf,
    current: Cell<Option<PartitionKey>>,
    has_left: Notify,
}

impl Cleaner {
    pub(super) fn new(cores: Rc<Cores>, checkpoints: Rc<Checkpoints>, data_dir: PathBuf) -> Rc<Cleaner> {
        Rc::new(Cleaner { cores, checkpoints, data_dir, current: Cell::new(None), has_left: Notify::new() })
    }

    /// Cleans for as long as the broker runs.
    pub(super) async fn run(self: Rc<Self>) {
        let thread = match BackgroundThread::start("cleaner", Share::Little) {
            Ok(thread) => thread,
            Err(error) => {
                tracing::error!("compacted topics are not cleaned: no thread for it can be started: {error}; restart the broker");
                return;
            }
        };
        loop {
            let settings = self.cores.ask(CoreId(0), |shard| shard.broker_config().cleaner).await;
            if !settings.enabled || !self.clean_dirtiest(&thread, settings).await {
                tokio::time::sleep(Duration::from_millis(settings.backoff_ms.max(CLEANER_BACKOFF_MS_MIN).unsigned_abs())).await;
            }
        }
    }

    /// Returns when the cleaner's thread has nothing to do with these partitions any more, which their cores have given up.
    pub(super) async fn leave(&self, given_up: &[PartitionKey]) {
        loop {
            let left = self.has_left.notified();
            if !self.current.get().is_some_and(|key| given_up.contains(&key)) {
                return;
            }
            left.await;
        }
    }

    /// Whether there was a log to clean.
    async fn clean_dirtiest(&self, thread: &BackgroundThread, settings: CleanerSettings) -> bool {
        let candidates: Vec<_> = self.cores.ask_all(|shard| shard.cleaning_candidates()).await.into_iter().flatten().collect();
        if candidates.is_empty() {
            return false;
        }
        let Some(chosen) = thread.run(move || choose(candidates, clock::wall_ms())).await else { return false };
        self.current.set(Some(chosen.key));
        let cleaned = self.clean(thread, settings, &chosen).await;
        self.current.set(None);
        self.has_left.notify_waiters();
        let name = format!("{}-{}", chosen.topic, chosen.key.index);
        match cleaned {
            Some(Ok(report)) => {
                let CleaningReport { first_dirty_offset_before: from, first_dirty_offset: to, keys, .. } = report;
                tracing::info!(
                    "{name}: cleaned offsets {from} to {to}, {keys} keys: {} bytes in {} segment(s) became {} in {}",
                    report.bytes_before,
                    report.segments_before,
                    report.bytes_after,
                    report.segments_after
                );
                self.checkpoints.write_all(&self.cores, &self.data_dir).await;
            }
            Some(Err(CleaningError::Aborted)) | None => tracing::debug!("{name}: its cleaning was given up"),
            Some(Err(error)) => tracing::error!("{name} cannot be cleaned: {error}; it keeps its records, and is tried again later"),
        }
        true
    }

    /// `None`: the log did not want to be cleaned any more.
    async fn clean(
        &self,
        thread: &BackgroundThread,
        settings: CleanerSettings,
        chosen: &CleaningCandidate,
    ) -> Option<Result<CleaningReport, CleaningError>> {
        let key = chosen.key;
        let plan = self.ask_owner(key, async |_, partition| partition.begin_cleaning()).await??;
        let abort = plan.abort();
        let limits = CleanerLimits {
            map_bytes_max: settings.map_bytes_max,
            map_load_factor: f64::from(settings.map_load_percent) / 100.0,
            bytes_per_second: settings.bytes_per_second as f64,
        };
        let mut cleaning = Cleaning::new(plan, limits, clock::wall_ms());
        let result = loop {
            let (back, step) = thread
                .run(move || {
                    let step = cleaning.advance();
                    (cleaning, step)
                })
                .await;
            cleaning = back;
            match step {
                // One that is refused is noted by the log, and its files go with the next step.
                Ok(Step::Swap(cleaned)) => self.swap_in(key, cleaned).await,
                Ok(Step::Done(report)) => break Ok(report),
                Err(error) => break Err(error),
            }
        };
        let report = result.as_ref().ok().copied();
        self.ask_owner(key, async move |_, partition| partition.end_cleaning(&abort, report.as_ref())).await;
        Some(result)
    }

    async fn swap_in(&self, key: PartitionKey, mut cleaned: Cleaned) {
        while let Some(Swap::Leaving(back)) =
            self.ask_owner(key, async move |shard, partition| partition.swap_in(&shard, cleaned).await).await
        {
            cleaned = back;
            tokio::time::sleep(Duration::from_millis(JOB_LOOK_MS)).await;
        }
    }

    /// Has the core that owns a partition answer, wherever the partition is by then. `None`: it is gone.
    async fn ask_owner<T: Send + 'static>(
        &self,
        key: PartitionKey,
        question: impl AsyncFnOnce(Rc<Shard>, Rc<Partition>) -> T + Send + 'static,
    ) -> Option<T> {
        // Any core knows where it is, and what a core sends there arrives before the partition leaves.
        let asked = self.cores.ask_later(CoreId(0), move |shard| async move {
            let core = shard.place(key).await?;
            let answer = shard.ask_later(core, move |owner| async move {
                let partition = owner.partition(key)?;
                Some(question(owner, partition).await)
            });
            answer.await
        });
        asked.await
    }
}

/// The dirtiest of those that are worth a cleaning. Blocking: reads the first batches of some.
fn choose(candidates: Vec<CleaningCandidate>, now: Timestamp) -> Option<CleaningCandidate> {
    let is_worth_it = |candidate: &CleaningCandidate| {
        let is_overdue = || candidate.overdue.as_ref().is_some_and(|overdue| is_overdue(overdue, now));
        candidate.cleanable.is_worth_it(candidate.dirty_ratio_min, false)
            || candidate.cleanable.is_worth_it(candidate.dirty_ratio_min, is_overdue())
    };
    let ratio = |candidate: &CleaningCandidate| candidate.cleanable.dirty_ratio();
    candidates.into_iter().filter(is_worth_it).max_by(|one, other| ratio(one).total_cmp(&ratio(other)))
}

/// Whether a dirty record is older than it may get. A file that cannot be read says nothing: retention may have been faster.
fn is_overdue(overdue: &Overdue, now: Timestamp) -> bool {
    let first_timestamp = |path: &PathBuf| {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        File::open_read(path).and_then(|file| file.read_exact_at(&mut bytes, 0)).ok()?;
        BatchHeader::parse(&bytes).map(|header| header.max_timestamp)
    };
    let timestamps = overdue.files.iter().filter_map(first_timestamp);
    timestamps.filter(|timestamp| timestamp.0 > 0).any(|timestamp| timestamp.0 < now.0.saturating_sub(overdue.lag_ms_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Offset, PartitionIndex, TopicId, TopicName};
    use crate::log::compaction::Cleanable;
    use crate::wire::{Codec, RecordBatchBuilder};

    fn candidate(index: i32, clean_bytes: u64, dirty_bytes: u64, overdue: Option<Overdue>) -> CleaningCandidate {
        CleaningCandidate {
            key: PartitionKey { topic_id: TopicId([7; 16]), index: PartitionIndex(index) },
            topic: TopicName::new("t").unwrap(),
            cleanable: Cleanable { first_dirty_offset: Offset(0), first_uncleanable_offset: Offset(9), clean_bytes, dirty_bytes },
            dirty_ratio_min: 0.5,
            overdue,
        }
    }

    #[test]
    fn the_dirtiest_is_chosen_and_one_that_waited_too_long() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("segment");
        std::fs::write(&file, RecordBatchBuilder::new(Codec::None).record(Timestamp(1000), Some(b"k"), None).build()).unwrap();
        let chosen = |candidates: &[CleaningCandidate], now| choose(candidates.to_vec(), Timestamp(now)).map(|chosen| chosen.key.index.0);
        assert_eq!(chosen(&[candidate(0, 40, 60, None), candidate(1, 10, 90, None), candidate(2, 49, 51, None)], 0), Some(1));
        assert_eq!(chosen(&[candidate(0, 50, 50, None)], 0), None);
        assert_eq!(chosen(&[], 0), None);
        let missing = scratch.path().join("missing");
        let late =
            |dirty_bytes| candidate(3, 100, dirty_bytes, Some(Overdue { files: vec![missing.clone(), file.clone()], lag_ms_max: 500 }));
        assert_eq!(chosen(&[late(1)], 1500), None, "not longer than it may");
        assert_eq!(chosen(&[late(1)], 1501), Some(3));
        assert_eq!(chosen(&[late(0)], 1501), None, "there is nothing dirty");
        assert_eq!(chosen(&[late(1), candidate(0, 40, 60, None)], 1501), Some(0), "the dirtier one comes first");
    }
}
