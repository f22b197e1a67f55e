//! Kafka's four checkpoint files in the data directory: recovery points, high watermarks, log starts, first offsets that are not cleaned.
//!
//! The control thread collects what the cores know and has a helper thread write it. Invariant: a checkpoint never says more than the
//! disk holds; a stale one only makes the next start read more.

use std::cell::RefCell;
use std::path::Path;

use tokio::sync::{Mutex, MutexGuard};

use super::cores::Cores;
use crate::base::{ErrorCode, Offset};
use crate::log::checkpoint::{
    self, CLEANER_OFFSET_FILE, HIGH_WATERMARK_FILE, LOG_START_OFFSET_FILE, PartitionOffsets, RECOVERY_POINT_FILE,
};
use crate::shard::{PartitionCheckpoint, ReplyTo};

/// Who writes the four files while the broker runs: one at a time, each with what the cores know by then.
#[derive(Default)]
pub(super) struct Checkpoints {
    turn: Mutex<()>,
    /// Who waits for the log starts as they are when the next turn begins.
    askers: RefCell<Vec<ReplyTo>>,
}

impl Checkpoints {
    /// None are written until the guard goes.
    pub(super) async fn pause(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Collects and writes all four. A failure is logged: the files only save work at the next start.
    pub(super) async fn write_all(&self, cores: &Cores, data_dir: &Path) {
        let _turn = self.turn.lock().await;
        let partitions: Vec<PartitionCheckpoint> = cores.ask_all(|shard| shard.checkpoints()).await.into_iter().flatten().collect();
        let data_dir = data_dir.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&data_dir, &partitions)).await.expect("writing checkpoints does not panic");
        if let Err(error) = written {
            tracing::error!(
                "cannot write the checkpoints of the data directory: {error}; the next start will read more than it would have to"
            );
        }
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
        let partitions: Vec<PartitionCheckpoint> = cores.ask_all(|shard| shard.checkpoints()).await.into_iter().flatten().collect();
        let data_dir = data_dir.to_owned();
        let writing =
            tokio::task::spawn_blocking(move || write_file(&data_dir, LOG_START_OFFSET_FILE, &partitions, |p| p.log_start_offset));
        let written = writing.await.expect("writing checkpoints does not panic").map_err(|error| {
            tracing::error!("cannot write {LOG_START_OFFSET_FILE}: {error}; records that were deleted may be back after a crash");
            ErrorCode::KafkaStorageError
        });
        for asker in askers {
            cores.send(asker.core, asker.message(Box::new(written)));
        }
    }
}

/// Replaces the four files. Blocking.
///
/// # Errors
/// The host's.
pub fn write(data_dir: &Path, partitions: &[PartitionCheckpoint]) -> std::io::Result<()> {
    write_file(data_dir, RECOVERY_POINT_FILE, partitions, |partition| Some(partition.recovery_point))?;
    write_file(data_dir, HIGH_WATERMARK_FILE, partitions, |partition| Some(partition.high_watermark))?;
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

/// The lines of one of them. A damaged file counts as missing: the logs are read instead.
pub fn read(data_dir: &Path, file: &str) -> PartitionOffsets {
    checkpoint::read_offsets(&data_dir.join(file)).unwrap_or_else(|error| {
        tracing::warn!("{error}; going on without it: the logs say the same, which takes longer to read");
        PartitionOffsets::default()
    })
}
