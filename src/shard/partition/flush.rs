//! Group commit: one `fdatasync` through the ring acknowledges every append that came before it.
//!
//! Lives on the partition's core. Invariants: at most one sync of a partition is under way; records that wait for it are not
//! readable yet; after a failed sync the log is offline, because the kernel no longer says which pages were lost.

use std::rc::Rc;

use super::{Partition, State};
use crate::base::{ErrorCode, Offset};
use crate::io::clock;
use crate::io::glommio::{data_sync, spawn};
use crate::log::{LogError, NotAppended, OffsetAndPosition};
use crate::shard::calls::{Call, CallId};
use crate::shard::histograms::Stage;
use crate::shard::waits::Watcher;
use crate::shard::{Shard, counters};

/// Appends that wait for an `fdatasync`.
#[derive(Default)]
pub(super) struct FlushState {
    pub(super) running: bool,
    /// Log end offset after the append, and whom to tell.
    waiting: Vec<(Offset, CallId)>,
}

impl FlushState {
    /// Whether an append waits for a sync, so that what comes behind it must not be read before it.
    pub(super) fn holds_back_readers(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Nobody is told that records are durable which nobody synced.
    pub(super) fn give_up(self, shard: &Shard) {
        for (_, call) in self.waiting {
            shard.calls.complete(call, Box::new(Err::<(), ErrorCode>(ErrorCode::NotLeaderOrFollower)));
        }
    }
}

impl Partition {
    /// The wait that the topic's `flush.messages` asks for, if it asks for one.
    pub(super) fn durable(&self, state: &mut State, shard: &Rc<Shard>) -> Option<Call<Result<(), ErrorCode>>> {
        let flush_messages = state.config.flush_messages?;
        let unflushed = state.log.unflushed().filter(|unflushed| unflushed.messages >= flush_messages)?;
        let call = shard.calls.open();
        state.flush.waiting.push((unflushed.up_to, call.id));
        Some(call)
    }

    /// The wait of batches that were sent once more: as long as an append up to them waits for its sync, they are not acknowledged either.
    pub(super) fn durable_repetition(
        &self,
        state: &mut State,
        shard: &Rc<Shard>,
        left_out: &[(usize, NotAppended)],
    ) -> Option<Call<Result<(), ErrorCode>>> {
        if state.flush.waiting.is_empty() {
            return None;
        }
        let ends = left_out.iter().filter_map(|(_, why)| match why {
            NotAppended::Duplicate(batch) => Some(batch.last_offset.plus(1)),
            NotAppended::Refused(_) => None,
        });
        let end = ends.max().filter(|end| *end > state.log.recovery_point())?;
        let call = shard.calls.open();
        state.flush.waiting.push((end, call.id));
        Some(call)
    }

    /// One `fdatasync` at a time; it acknowledges every append that came before it began.
    pub(super) fn start_flush(self: &Rc<Self>, shard: &Rc<Shard>) {
        let starts = self.state_mut().is_ok_and(|mut state| {
            // A log that is offline is never synced again: the kernel reports a failure once, and the next sync "works".
            state.log.offline_reason().is_none() && !std::mem::replace(&mut state.flush.running, true)
        });
        if !starts {
            return;
        }
        // A spawned task runs up to its first wait before `spawn` returns, so nothing may be borrowed here.
        let (partition, shard) = (self.clone(), shard.clone());
        spawn(async move { while partition.flush_once(&shard).await == Ok(true) {} }).detach();
    }

    /// Returns whether appends that arrived meanwhile wait for another round.
    async fn flush_once(self: &Rc<Self>, shard: &Rc<Shard>) -> Result<bool, ErrorCode> {
        let (target, files) = {
            let state = self.state()?;
            (state.log.end(), state.log.unflushed().map(|unflushed| unflushed.files).unwrap_or_default())
        };
        let started_ns = clock::monotonic_ns();
        let mut synced = Ok(());
        for file in files {
            synced = synced.and(data_sync(&file).await);
        }
        shard.histograms.record(Stage::Flush, clock::monotonic_ns() - started_ns);
        counters::add(&shard.counters.flushes, 1);

        let round = self.state_mut()?.flushed(target, &synced);
        if let Some(error) = &round.failed {
            tracing::error!("{}-{}: {error}", self.topic, self.key.index);
        }
        shard.tell_watchers(round.watchers, round.readable_bytes);
        let answer = if round.failed.is_some() { Err(ErrorCode::KafkaStorageError) } else { Ok(()) };
        for call in round.done {
            shard.calls.complete(call, Box::new(answer));
        }
        Ok(round.again)
    }
}

/// What one sync came to.
struct Round {
    done: Vec<CallId>,
    watchers: Vec<Watcher>,
    readable_bytes: u64,
    again: bool,
    failed: Option<LogError>,
}

impl State {
    fn flushed(&mut self, target: OffsetAndPosition, synced: &std::io::Result<()>) -> Round {
        let failed = match (synced, self.log.check_online()) {
            (Ok(()), Ok(())) => {
                self.log.flushed(target.offset);
                None
            }
            // A failed sync says nothing about which pages were lost; trying again would only hide it.
            (Err(error), _) => Some(self.log.sync_failed(error)),
            // Somebody else's sync of the same file failed meanwhile, and took the kernel's report with it: this one proves nothing.
            (Ok(()), Err(offline)) => Some(offline),
        };
        let is_done = |end: &Offset| failed.is_some() || *end <= target.offset;
        let (done, waiting) = std::mem::take(&mut self.flush.waiting).into_iter().partition(|(end, _)| is_done(end));
        self.flush.waiting = waiting;
        let done: Vec<(Offset, CallId)> = done;
        let again = !self.flush.waiting.is_empty();
        self.flush.running = again;
        let readable_bytes = match (&failed, again) {
            (Some(_), _) => 0,
            (None, true) => self.raise_high_watermark(target),
            (None, false) => self.raise_high_watermark(self.log.end()),
        };
        let watchers = self.watchers_of(readable_bytes);
        Round { done: done.into_iter().map(|(_, call)| call).collect(), watchers, readable_bytes, again, failed }
    }
}

#[cfg(test)]
mod tests;
