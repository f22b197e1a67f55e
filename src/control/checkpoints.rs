//! Kafka's four checkpoint files in the data directory: recovery points, high watermarks, log starts, first offsets that are not cleaned.
//!
//! The control thread collects what the cores know and has a helper thread write it. Invariants: a checkpoint never says more than the
//! disk holds; a stale one only makes the next start read more. A partition of the metadata image that no core has, because it could not be
//! opened, keeps its lines.

use std::cell::RefCell;
use std::path::Path;

use tokio::sync::{Mutex, MutexGuard};

use super::cores::Cores;
use super::outage::Outage;
use crate::base::{ErrorCode, Offset, PartitionIndex, TopicId, TopicName};
use crate::log::checkpoint::{
    self, CLEANER_OFFSET_FILE, HIGH_WATERMARK_FILE, LOG_START_OFFSET_FILE, PartitionOffsets, RECOVERY_POINT_FILE,
};
use crate::shard::{PartitionCheckpoint, ReplyTo};

/// A partition of the image that the start could not open.
#[derive(Clone, Debug)]
pub struct Unopened {
    pub topic_id: TopicId,
    /// What the files say of it. Without its start, records that were deleted would be back once the host is mended.
    pub checkpoint: PartitionCheckpoint,
    /// A sentence for an operator.
    pub why: String,
}

/// Who writes the four files while the broker runs: one at a time, each with what the cores know by then.
pub struct Checkpoints {
    turn: Mutex<()>,
    /// Who waits for the log starts as they are when the next turn begins.
    askers: RefCell<Vec<ReplyTo>>,
    unopened: RefCell<Vec<Unopened>>,
    writing: Outage,
}

impl Checkpoints {
    pub fn new(unopened: Vec<Unopened>) -> Checkpoints {
        Checkpoints { turn: Mutex::default(), askers: RefCell::default(), unopened: RefCell::new(unopened), writing: Outage::default() }
    }

    /// The partitions that could not be opened, but for those of topics that are gone.
    pub fn unopened(&self) -> Vec<Unopened> {
        self.unopened.borrow().clone()
    }

    /// One more that could not be opened.
    pub(super) fn keep_lines_of(&self, unopened: Unopened) {
        self.unopened.borrow_mut().push(unopened);
    }

    /// The topic is deleted: its lines go with it.
    pub(super) fn forget(&self, topic: TopicId) {
        self.unopened.borrow_mut().retain(|unopened| unopened.topic_id != topic);
    }

    /// None are written until the guard goes.
    pub(super) async fn pause(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Collects and writes all four. A failure is logged: the files only save work at the next start.
    pub(super) async fn write_all(&self, cores: &Cores, data_dir: &Path) {
        let _turn = self.turn.lock().await;
        let partitions = self.collect(cores).await;
        let data_dir = data_dir.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&data_dir, &partitions)).await.expect("writing checkpoints does not panic");
        let written = written.map_err(|error| {
            format!("cannot write the checkpoints of the data directory: {error}; the next start will read more than it would have to")
        });
        self.writing.note("checkpoints are written", &written);
    }

    /// Writes the log starts and answers `asker` with what came of it. Everybody who asks while another turn goes on shares the next one: many
    /// DeleteRecords cost a few writes.
    pub(super) async fn write_log_starts(&self, cores: &Cores, data_dir: &Path, asker: ReplyTo) {
        self.askers.borrow_mut().push(asker);
        let _turn = self.turn.lock().await;
        let askers = self.askers.take();
        if askers.is_empty() {
            return;
        }
        let partitions = self.collect(cores).await;
        let data_dir = data_dir.to_owned();
        let writing =
            tokio::task::spawn_blocking(move || write_file(&data_dir, LOG_START_OFFSET_FILE, &partitions, |p| p.log_start_offset));
        let written = writing
            .await
            .expect("writing checkpoints does not panic")
            .map_err(|error| format!("cannot write {LOG_START_OFFSET_FILE}: {error}; records that were deleted may be back after a crash"));
        self.writing.note("checkpoints are written", &written);
        let written = written.map_err(|_| ErrorCode::KafkaStorageError);
        for asker in askers {
            cores.send(asker.core, asker.message(Box::new(written)));
        }
    }

    async fn collect(&self, cores: &Cores) -> Vec<PartitionCheckpoint> {
        let open = cores.ask_all(|shard| shard.checkpoints()).await;
        let unopened = self.unopened.borrow();
        open.into_iter().flatten().chain(unopened.iter().map(|unopened| unopened.checkpoint.clone())).collect()
    }
}

/// What the four files say. A damaged one counts as empty: the logs are read instead.
pub struct Lines {
    recovery_points: PartitionOffsets,
    high_watermarks: PartitionOffsets,
    log_starts: PartitionOffsets,
    first_dirty: PartitionOffsets,
}

impl Lines {
    /// Blocking.
    pub fn read(data_dir: &Path) -> Lines {
        let read = |file| {
            checkpoint::read_offsets(&data_dir.join(file)).unwrap_or_else(|error| {
                tracing::warn!("{error}; going on without it: the logs say the same, which takes longer to read");
                PartitionOffsets::default()
            })
        };
        Lines {
            recovery_points: read(RECOVERY_POINT_FILE),
            high_watermarks: read(HIGH_WATERMARK_FILE),
            log_starts: read(LOG_START_OFFSET_FILE),
            first_dirty: read(CLEANER_OFFSET_FILE),
        }
    }

    pub fn of(&self, topic: &TopicName, index: PartitionIndex) -> PartitionCheckpoint {
        let name = (topic.clone(), index);
        PartitionCheckpoint {
            recovery_point: self.recovery_points.get(&name).copied(),
            high_watermark: self.high_watermarks.get(&name).copied(),
            log_start_offset: self.log_starts.get(&name).copied(),
            first_dirty_offset: self.first_dirty.get(&name).copied(),
            topic: name.0,
            index,
        }
    }
}

/// Replaces the four files. Blocking.
///
/// # Errors
/// The host's.
pub fn write(data_dir: &Path, partitions: &[PartitionCheckpoint]) -> std::io::Result<()> {
    write_file(data_dir, RECOVERY_POINT_FILE, partitions, |partition| partition.recovery_point)?;
    write_file(data_dir, HIGH_WATERMARK_FILE, partitions, |partition| partition.high_watermark)?;
    write_file(data_dir, LOG_START_OFFSET_FILE, partitions, |partition| partition.log_start_offset)?;
    write_file(data_dir, CLEANER_OFFSET_FILE, partitions, |partition| partition.first_dirty_offset)
}

fn write_file(
    data_dir: &Path,
    file: &str,
    partitions: &[PartitionCheckpoint],
    offset_of: impl Fn(&PartitionCheckpoint) -> Option<Offset>,
) -> std::io::Result<()> {
    let line = |partition: &PartitionCheckpoint| Some(((partition.topic.clone(), partition.index), offset_of(partition)?));
    checkpoint::write_offsets(&data_dir.join(file), &partitions.iter().filter_map(line).collect())
}
