//! One partition on the core that owns it: its log, its replication state, and who waits for it.
//!
//! Lives on one core's thread. Invariants: `log_start_offset <= high_watermark <= log_end_offset`; a consumer sees nothing at or
//! above the high watermark; the high watermark never falls while the partition is open.

mod background;
mod cleaning;
mod extent;
mod flush;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::{CoreId, ErrorCode, IdSet, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId, TopicName};
use crate::cluster::image::{PartitionImage, TopicImage};
use crate::cluster::topic_config::TopicConfig;
use crate::io::FileRange;
use crate::io::clock;
use crate::log::{FrozenProducers, Log, LogError, NotAppended, OffsetAndPosition, ProducerError, ReadOutcome, SegmentOpening};
use crate::replication::{Leadership, PartitionReplication};
use crate::shard::calls::{Call, CallId};
use crate::shard::histograms::Stage;
use crate::shard::log_config::log_config;
use crate::shard::waits::{Listener, Watcher};
use crate::shard::{PartitionCheckpoint, Shard, counters};
use crate::wire::batch::Batch;
pub use cleaning::{CleaningCandidate, Overdue, Swap};
pub use extent::LogExtent;
use flush::FlushState;

/// A partition's name between cores: it stays true when a topic of the same name is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey {
    pub topic_id: TopicId,
    pub index: PartitionIndex,
}

impl PartitionKey {
    /// Blocking work of one partition runs in order: this names the order.
    pub fn order(self) -> u64 {
        let id = u128::from_be_bytes(self.topic_id.0);
        (id as u64) ^ ((id >> 64) as u64) ^ (self.index.0 as u64)
    }
}

/// The key and the owning core of a partition, if the topic has it.
pub fn owner(topic: &TopicImage, index: PartitionIndex) -> Option<(PartitionKey, CoreId)> {
    topic.partition(index).map(|partition| (PartitionKey { topic_id: topic.id, index }, partition.core))
}

/// An offset with the time and the leader epoch of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOffset {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub leader_epoch: LeaderEpoch,
}

pub struct Partition {
    pub key: PartitionKey,
    pub topic: TopicName,
    /// `None` once the partition was given up: whoever still holds it finds it gone.
    state: RefCell<Option<State>>,
    /// See [`AwaitedWrite`].
    awaited_writes: Cell<usize>,
}

/// Batches that were taken in for a partition and are to be appended later in this core's turn: until this is dropped, the partition does
/// not leave for another core.
pub struct AwaitedWrite(Rc<Partition>);

impl Deref for AwaitedWrite {
    type Target = Rc<Partition>;

    fn deref(&self) -> &Rc<Partition> {
        &self.0
    }
}

impl Drop for AwaitedWrite {
    fn drop(&mut self) {
        self.0.awaited_writes.set(self.0.awaited_writes.get() - 1);
    }
}

struct State {
    log: Log,
    config: Rc<TopicConfig>,
    replication: PartitionReplication,
    high_watermark: OffsetAndPosition,
    watchers: IdSet<Watcher>,
    flush: FlushState,
    /// Somebody was told that there are more producers than are told apart.
    told_of_displaced_producers: bool,
    /// A background job of this log is with a helper thread.
    jobs_under_way: bool,
    /// The partition is about to leave this core: no more jobs are given out here.
    is_resting: bool,
    /// The cleaner, which waits for a segment to be in its place.
    swap_call: Option<CallId>,
}

/// What one append of batches came to.
pub struct Written {
    /// The offset of the first record; the batches that were written follow each other without gaps.
    pub first_offset: Offset,
    /// The broker's time, if the topic uses it.
    pub log_append_time: Timestamp,
    pub log_start_offset: Offset,
    /// Batches that were not written now, by their place, ascending: where they were written before, or why they may not be.
    pub left_out: Vec<(usize, Result<Repeated, ErrorCode>)>,
    /// Resolves when the records, those of repeated batches too, are as durable as the topic asks; `None`: they are.
    pub durable: Option<Call<Result<(), ErrorCode>>>,
}

/// A batch that an idempotent producer sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// What its first sending got.
    pub first_offset: Offset,
    /// Its largest timestamp as it was stored; Kafka answers it as the append time, whatever the topic's clock.
    pub timestamp: Timestamp,
}

/// What a consumer asks of one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    pub key: PartitionKey,
    pub current_leader_epoch: LeaderEpoch,
    pub offset: Offset,
    pub bytes_max: usize,
    /// Give a whole batch even if it is larger than `bytes_max`.
    pub at_least_one_batch: bool,
}

/// What one partition has for a consumer. Travels between cores: it names bytes of files, it does not hold them.
#[derive(Clone, Debug)]
pub struct ReadAnswer {
    pub error: ErrorCode,
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
    pub ranges: Vec<FileRange>,
}

impl ReadAnswer {
    pub fn failed(error: ErrorCode) -> ReadAnswer {
        ReadAnswer { error, high_watermark: Offset(-1), log_start_offset: Offset(-1), ranges: Vec::new() }
    }

    pub fn bytes(&self) -> usize {
        self.ranges.iter().map(|range| range.len).sum()
    }
}

/// A read that could be answered at once, or what has to happen first.
pub enum TryRead {
    Answer(ReadAnswer),
    /// These bytes of an index or a log are not in memory: read them ahead, then ask again.
    NotResident(FileRange),
    /// This segment's files are closed: have them opened off the core, then ask again.
    NotOpen(SegmentOpening),
}

impl Partition {
    /// Takes a freshly opened log into service as its leader.
    pub fn new(topic: &TopicImage, image: &PartitionImage, mut log: Log, config: Rc<TopicConfig>) -> Rc<Partition> {
        // The core's own settings count, not those of whoever opened it.
        log.set_config(Arc::new(log_config(&config)));
        let high_watermark = log.end();
        let leadership = Leadership {
            leader: image.leader,
            leader_epoch: image.leader_epoch,
            partition_epoch: image.partition_epoch,
            replicas: &image.replicas,
            isr: &image.isr,
            min_insync_replicas: config.min_insync_replicas,
        };
        // The only replica has everything that was ever acknowledged.
        let replication = PartitionReplication::lead(leadership, high_watermark.offset, high_watermark.offset);
        Rc::new(Partition {
            key: PartitionKey { topic_id: topic.id, index: image.index },
            topic: topic.name.clone(),
            state: RefCell::new(Some(State {
                log,
                config,
                replication,
                high_watermark,
                watchers: IdSet::default(),
                flush: FlushState::default(),
                told_of_displaced_producers: false,
                jobs_under_way: false,
                is_resting: false,
                swap_call: None,
            })),
            awaited_writes: Cell::new(0),
        })
    }

    /// Announces an append.
    pub fn announce_write(self: Rc<Self>) -> AwaitedWrite {
        self.awaited_writes.set(self.awaited_writes.get() + 1);
        AwaitedWrite(self)
    }

    /// What the partition is made of, for a look. A partition that was given up has no leader here any more.
    fn state(&self) -> Result<Ref<'_, State>, ErrorCode> {
        Ref::filter_map(self.state.borrow(), Option::as_ref).map_err(|_| ErrorCode::NotLeaderOrFollower)
    }

    /// The same, for a change.
    fn state_mut(&self) -> Result<RefMut<'_, State>, ErrorCode> {
        RefMut::filter_map(self.state.borrow_mut(), Option::as_mut).map_err(|_| ErrorCode::NotLeaderOrFollower)
    }

    /// The settings of the topic.
    ///
    /// # Errors
    /// This and all below: `NotLeaderOrFollower` if the partition was given up.
    pub fn config(&self) -> Result<Rc<TopicConfig>, ErrorCode> {
        Ok(self.state()?.config.clone())
    }

    /// New settings of the topic: they count from the next append or tick on.
    pub fn set_config(&self, config: Rc<TopicConfig>) {
        // One that was given up has no settings any more.
        let Ok(mut state) = self.state_mut() else { return };
        state.log.set_config(Arc::new(log_config(&config)));
        state.replication.set_min_insync_replicas(config.min_insync_replicas);
        state.config = config;
    }

    /// The offset that consumers may read up to, as ListOffsets answers it.
    pub fn latest(&self) -> Result<TimedOffset, ErrorCode> {
        let state = self.state()?;
        Ok(state.place(state.high_watermark.offset))
    }

    /// The first offset there is, as ListOffsets answers it.
    pub fn earliest(&self) -> Result<TimedOffset, ErrorCode> {
        let state = self.state()?;
        Ok(state.place(state.log.log_start_offset()))
    }

    /// The largest epoch up to `epoch` and where it ended (KIP-101); `None` if we never knew one.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        let state = self.state()?;
        Ok(state.log.leader_epochs().end_offset_for(epoch, state.log.log_end_offset()))
    }

    /// Checks the epoch in which a client believes us to be the leader (KIP-320).
    ///
    /// # Errors
    /// `FencedLeaderEpoch` if the client is behind, `UnknownLeaderEpoch` if it is ahead of us.
    pub fn check_leader_epoch(&self, current: LeaderEpoch) -> Result<(), ErrorCode> {
        self.state()?.check_leader_epoch(current)
    }

    /// What the checkpoint files should say.
    pub fn checkpoint(&self) -> Result<PartitionCheckpoint, ErrorCode> {
        let state = self.state()?;
        Ok(PartitionCheckpoint {
            topic: self.topic.clone(),
            index: self.key.index,
            recovery_point: Some(state.log.recovery_point()),
            high_watermark: Some(state.high_watermark.offset),
            log_start_offset: state.log.log_start_offset_to_checkpoint(),
            first_dirty_offset: state.log.first_dirty_offset_to_checkpoint(),
        })
    }

    /// Appends batches in one write and tells who waits for them.
    ///
    /// # Errors
    /// `NotEnoughReplicas` for acks=all with too few in-sync replicas, `KafkaStorageError` when the log is offline.
    pub fn append(self: &Rc<Self>, shard: &Rc<Shard>, batches: &[Batch<'_>], acks_all: bool) -> Result<Written, ErrorCode> {
        let started_ns = clock::monotonic_ns();
        let (written, readable_bytes, watchers) = {
            let mut guard = self.state_mut()?;
            let state = &mut *guard;
            if acks_all {
                state.replication.check_min_insync().map_err(|error| error.error_code())?;
            }
            let was_online = state.log.offline_reason().is_none();
            let appended = match state.log.append(batches, state.replication.leader_epoch(), clock::wall_ms()) {
                Ok(appended) => appended,
                Err(error) => {
                    if was_online {
                        tracing::error!("{}-{}: {error}", self.topic, self.key.index);
                    }
                    return Err(error_code(&error));
                }
            };
            let left_out = &appended.left_out;
            let bytes_left_out: u64 = left_out.iter().map(|(at, _)| batches[*at].bytes.len() as u64).sum();
            let bytes: u64 = batches.iter().map(|batch| batch.bytes.len() as u64).sum();
            counters::add(&shard.counters.appends, 1);
            counters::add(&shard.counters.batches_appended, (batches.len() - left_out.len()) as u64);
            counters::add(&shard.counters.bytes_appended, bytes - bytes_left_out);
            let durable = match left_out.len() < batches.len() {
                true => self.durable(state, shard),
                false => None,
            };
            let durable = durable.or_else(|| self.durable_repetition(state, shard, left_out));
            // Behind a sync that others wait for, nothing is readable before it. A sync by `flush.ms` alone holds nobody up.
            let waits = durable.is_some() || state.flush.holds_back_readers();
            let readable_bytes = if waits { 0 } else { state.raise_high_watermark(appended.end) };
            let watchers = state.watchers_of(readable_bytes);
            let written = Written {
                first_offset: appended.base_offset,
                log_append_time: appended.log_append_time,
                log_start_offset: state.log.log_start_offset(),
                left_out: self.left_out(shard, appended.left_out),
                durable,
            };
            (written, readable_bytes, watchers)
        };
        shard.histograms.record(Stage::Append, clock::monotonic_ns() - started_ns);
        shard.tell_watchers(watchers, readable_bytes);
        if written.durable.is_some() {
            self.start_flush(shard);
        }
        self.start_jobs(shard);
        Ok(written)
    }

    /// What the batches that the log did not take are answered with.
    fn left_out(&self, shard: &Rc<Shard>, left_out: Vec<(usize, NotAppended)>) -> Vec<(usize, Result<Repeated, ErrorCode>)> {
        let answer = |why| match why {
            NotAppended::Duplicate(batch) => {
                counters::add(&shard.counters.batches_repeated, 1);
                Ok(Repeated { first_offset: batch.first_offset(), timestamp: batch.timestamp })
            }
            NotAppended::Refused(error) => {
                counters::add(&shard.counters.batches_refused, 1);
                tracing::debug!("produce to {}-{}: {error}", self.topic, self.key.index);
                Err(producer_error_code(&error))
            }
        };
        left_out.into_iter().map(|(at, why)| (at, answer(why))).collect()
    }

    /// The producers that have written to the partition and are not forgotten yet.
    pub fn active_producers(&self) -> Result<FrozenProducers, ErrorCode> {
        Ok(self.state()?.log.active_producers())
    }

    /// Reads as far as memory allows; never waits for the disk.
    pub fn try_read(&self, request: &ReadRequest) -> TryRead {
        let state = match self.state().and_then(|state| state.check_leader_epoch(request.current_leader_epoch).map(|()| state)) {
            Ok(state) => state,
            Err(error) => return TryRead::Answer(ReadAnswer::failed(error)),
        };
        let mut answer = ReadAnswer {
            error: ErrorCode::None,
            high_watermark: state.high_watermark.offset,
            log_start_offset: state.log.log_start_offset(),
            ranges: Vec::new(),
        };
        match state.log.read(request.offset, request.bytes_max, state.high_watermark, request.at_least_one_batch) {
            Ok(ReadOutcome::Ranges(ranges)) => answer.ranges = ranges,
            Ok(ReadOutcome::AtEnd) => {}
            Ok(ReadOutcome::OutOfRange { .. }) => answer.error = ErrorCode::OffsetOutOfRange,
            Ok(ReadOutcome::Corrupt(corruption)) => {
                tracing::error!("{}-{}: {corruption}", self.topic, self.key.index);
                answer.error = ErrorCode::CorruptMessage;
            }
            Ok(ReadOutcome::NotResident(range)) => return TryRead::NotResident(range),
            Ok(ReadOutcome::NotOpen(opening)) => return TryRead::NotOpen(opening),
            Err(error) => {
                tracing::error!("{}-{}: fetch at offset {}: {error}", self.topic, self.key.index, request.offset);
                answer.error = error_code(&error);
            }
        }
        TryRead::Answer(answer)
    }

    /// Watches for bytes behind `seen`; what came meanwhile is reported at once.
    pub fn watch(&self, shard: &Rc<Shard>, watcher: Watcher, seen: Offset) {
        match self.state_mut() {
            Ok(mut state) if state.high_watermark.offset <= seen => _ = state.watchers.insert(watcher),
            // There is more by now, or nothing any more: reading again tells.
            _ => shard.tell_watchers([watcher], u64::MAX),
        }
    }

    pub fn unwatch(&self, watcher: Watcher) {
        if let Ok(mut state) = self.state_mut() {
            state.watchers.remove(&watcher);
        }
    }
}

impl State {
    /// A partition that is about to leave gives out no more jobs, but for one that the cleaner waits for.
    fn gives_jobs_out(&self) -> bool {
        !self.is_resting || self.swap_call.is_some()
    }

    fn check_leader_epoch(&self, current: LeaderEpoch) -> Result<(), ErrorCode> {
        self.replication.check_epoch(current).map_err(|error| error.error_code())
    }

    /// An offset with the epoch of the record there; for the log's end, the epoch that is writing.
    fn place(&self, offset: Offset) -> TimedOffset {
        let leader_epoch = self.log.leader_epochs().epoch_of(offset).unwrap_or(LeaderEpoch::UNKNOWN);
        TimedOffset { offset, timestamp: Timestamp::NONE, leader_epoch }
    }

    /// Whom to tell of so many more readable bytes. Sessions are told once.
    fn watchers_of(&mut self, readable_bytes: u64) -> Vec<Watcher> {
        if readable_bytes == 0 {
            return Vec::new();
        }
        let watchers = self.watchers.iter().copied().collect();
        self.watchers.retain(|watcher| matches!(watcher.listener, Listener::Fetch(_)));
        watchers
    }

    /// The leader has everything below `position` as durably as the topic asks, so consumers may read it once the in-sync replicas
    /// have it too. Returns how many bytes that adds; across segments more than there can be, so that whoever waits looks again.
    fn raise_high_watermark(&mut self, position: OffsetAndPosition) -> u64 {
        assert!(position.offset <= self.log.log_end_offset(), "high_watermark <= log_end_offset");
        // A sync that began before an append that did not have to wait for it.
        if position.offset <= self.high_watermark.offset {
            return 0;
        }
        if !self.replication.appended(position.offset) {
            return 0;
        }
        assert!(self.replication.high_watermark() == position.offset, "the leader is the only replica, so what it has is committed");
        let before = std::mem::replace(&mut self.high_watermark, position);
        if before.segment == position.segment { u64::from(position.position - before.position) } else { u64::MAX }
    }
}

/// The rules of idempotent producers in Kafka's codes. A fenced epoch is INVALID_PRODUCER_EPOCH in answers to Produce, so that a client may recover (KIP-588).
fn producer_error_code(error: &ProducerError) -> ErrorCode {
    match error {
        ProducerError::InvalidEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        ProducerError::NewEpochNotAtZero { .. } | ProducerError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        ProducerError::InvalidTransactionState { .. } => ErrorCode::InvalidTxnState,
    }
}

/// The one place where a log's errors become Kafka's.
pub(super) fn error_code(error: &LogError) -> ErrorCode {
    match error {
        LogError::Offline { .. } | LogError::Host { .. } | LogError::Replaced { .. } => ErrorCode::KafkaStorageError,
        LogError::BatchLargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        LogError::Corrupt(_) => ErrorCode::CorruptMessage,
        LogError::NotInOrder { .. } => ErrorCode::UnknownServerError,
    }
}
