//! What a log needs done beside the request path: jobs for helper threads, time-based rolls, retention, searches by time.
//!
//! Lives on the partition's core; the blocking part of each runs on a helper thread. Invariant: the jobs of one log are
//! performed in the order in which the log asked for them.

use std::rc::Rc;

use super::cleaning::tell_cleaner;
use super::{Partition, State, TimedOffset, error_code};
use crate::base::limits::{PRODUCERS_PER_PARTITION_MAX, TIME_SEARCHES_MAX};
use crate::base::{ErrorCode, Timestamp};
use crate::io::clock;
use crate::io::glommio::spawn;
use crate::log::timestamp_lookup::TimestampQuery;
use crate::log::{Job, Log, LogError, ProducerExpiration, SegmentOpening};
use crate::shard::{Shard, counters};

impl Partition {
    /// Sends the log's waiting jobs to a helper thread, one after the other.
    pub(super) fn start_jobs(self: &Rc<Self>, shard: &Rc<Shard>) {
        let starts = self.state_mut().is_ok_and(|mut state| {
            let starts = !state.jobs_under_way && state.gives_jobs_out() && state.log.has_jobs();
            state.jobs_under_way |= starts;
            starts
        });
        if !starts {
            return;
        }
        let (partition, shard) = (self.clone(), shard.clone());
        spawn(async move { while partition.do_jobs(&shard).await == Ok(true) {} }).detach();
    }

    /// Whether a helper thread works for this log, a sync of it is under way, or batches were taken in that it does not hold yet.
    pub fn has_work_under_way(&self) -> bool {
        self.awaited_writes.get() > 0 || self.state().is_ok_and(|state| state.jobs_under_way || state.flush.running)
    }

    /// Whether a helper thread works for this log.
    pub fn has_jobs_under_way(&self) -> bool {
        self.state().is_ok_and(|state| state.jobs_under_way || state.swap_call.is_some())
    }

    /// Gives out no more jobs: the next core does.
    pub fn rest(&self) {
        if let Ok(mut state) = self.state_mut() {
            state.is_resting = true;
        }
    }

    /// One round of jobs. Returns whether there was one.
    async fn do_jobs(&self, shard: &Rc<Shard>) -> Result<bool, ErrorCode> {
        let jobs = {
            let mut state = self.state_mut()?;
            let jobs = if state.gives_jobs_out() { state.log.take_jobs() } else { Vec::new() };
            state.jobs_under_way = !jobs.is_empty();
            jobs
        };
        if jobs.is_empty() {
            return Ok(false);
        }
        let done = shard.offload(self.key.order(), move || jobs.into_iter().map(Job::perform).collect::<Vec<_>>()).await;
        let mut state = self.state_mut()?;
        let was_online = state.log.offline_reason().is_none();
        done.into_iter().for_each(|done| state.log.job_done(done));
        if !state.log.is_swapping() {
            tell_cleaner(shard, state.swap_call.take());
        }
        if let Some(reason) = state.log.offline_reason().filter(|_| was_online) {
            tracing::error!("{}-{}: offline: {reason}", self.topic, self.key.index);
        }
        Ok(true)
    }

    /// What time alone asks for: rolls of idle segments, retention, producers that are forgotten, syncs by `flush.ms`, closing of files nobody reads.
    pub fn tick(self: &Rc<Self>, shard: &Rc<Shard>) {
        let broker = shard.broker_config();
        let expiration =
            ProducerExpiration { after_ms: broker.producer_expiration_ms, check_interval_ms: broker.producer_expiration_check_ms };
        let flush_due = {
            let Ok(mut guard) = self.state_mut() else { return };
            let state = &mut *guard;
            let now = clock::wall_ms();
            state.log.tick(now, state.high_watermark.offset);
            state.log.expire_producers(now, expiration);
            self.tell_of_displaced_producers(state, shard);
            // With no limit there is nothing to look up.
            state.config.flush_ms.is_some_and(|flush_ms| {
                let since = state.log.unflushed().and_then(|unflushed| unflushed.since);
                since.is_some_and(|since| now.0 - since.0 >= flush_ms)
            })
        };
        if flush_due {
            self.start_flush(shard);
        }
        self.start_jobs(shard);
    }

    fn tell_of_displaced_producers(&self, state: &mut State, shard: &Shard) {
        let displaced = state.log.take_displaced_producers();
        if displaced == 0 {
            return;
        }
        counters::add(&shard.counters.producers_displaced, displaced);
        if !std::mem::replace(&mut state.told_of_displaced_producers, true) {
            tracing::warn!(
                "{}-{}: more than {PRODUCERS_PER_PARTITION_MAX} idempotent producers; those that wrote longest ago are forgotten before \
                 producer.id.expiration.ms, and what they send once more is stored once more: keep producers instead of making new ones",
                self.topic,
                self.key.index
            );
        }
    }

    /// The first record at or after `timestamp`, or with `None` the one with the largest timestamp; below the high watermark.
    ///
    /// # Errors
    /// `KafkaStorageError` or `CorruptMessage` if the log cannot be read.
    pub async fn search_time(&self, shard: &Rc<Shard>, timestamp: Option<Timestamp>) -> Result<Option<TimedOffset>, ErrorCode> {
        let failed = |error: LogError| {
            tracing::error!("{}-{}: search by time: {error}", self.topic, self.key.index);
            error_code(&error)
        };
        let query = timestamp.map_or(TimestampQuery::Largest, TimestampQuery::AtOrAfter);
        let mut attempts = 0;
        let found = loop {
            let lookup = {
                let state = self.state()?;
                state.log.timestamp_lookup(query, state.high_watermark).map_err(failed)?
            };
            attempts += 1;
            match shard.offload(self.key.order(), move || lookup.find()).await {
                Err(LogError::Replaced { .. }) if attempts < TIME_SEARCHES_MAX => {}
                found => break found.map_err(failed)?,
            }
        };
        Ok(found.map(|found| TimedOffset { offset: found.offset, timestamp: found.timestamp, leader_epoch: found.leader_epoch }))
    }

    /// Has a sealed segment's files opened, for the read that found them closed.
    ///
    /// # Errors
    /// `KafkaStorageError` if they cannot be opened.
    pub async fn open_segment(&self, shard: &Rc<Shard>, opening: SegmentOpening) -> Result<(), ErrorCode> {
        let opened = shard.offload(self.key.order(), move || opening.open()).await;
        self.state_mut()?.log.segment_opened(opened).map_err(|error| {
            tracing::error!("{}-{}: {error}", self.topic, self.key.index);
            error_code(&error)
        })
    }

    /// Takes the log out, for closing or deletion: its cleaning is over.
    pub fn give_up(&self, shard: &Rc<Shard>) -> Option<Log> {
        let mut log = self.hand_over(shard)?;
        log.abort_cleaning();
        Some(log)
    }

    /// Takes the log out; its cleaning goes on where it goes. Everybody else who waits is told; whoever still holds the partition finds it gone.
    pub fn hand_over(&self, shard: &Rc<Shard>) -> Option<Log> {
        let State { log, watchers, flush, swap_call, .. } = self.state.borrow_mut().take()?;
        tell_cleaner(shard, swap_call);
        shard.tell_watchers(watchers, u64::MAX);
        flush.give_up(shard);
        Some(log)
    }
}
