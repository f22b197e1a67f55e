//! Kafka's three checkpoint files in the data directory: recovery points, high watermarks, log starts.
//!
//! The control thread collects what the cores know and has a helper thread write it. Invariant: a checkpoint never says more than the
//! disk holds; a stale one only makes the next start read more.

use std::path::Path;

use tokio::sync::{Mutex, MutexGuard};

use super::cores::Cores;
use crate::base::Offset;
use crate::log::checkpoint::{self, PartitionOffsets};
use crate::shard::PartitionCheckpoint;

/// Who writes the three files while the broker runs: one at a time, each with what the cores know by then.
#[derive(Default)]
pub(super) struct Checkpoints {
    turn: Mutex<()>,
}

impl Checkpoints {
    /// None are written until the guard goes.
    pub(super) async fn pause(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Collects and writes all three. A failure is logged: the files only save work at the next start.
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
}

/// Replaces the three files. Blocking.
///
/// # Errors
/// The host's.
pub fn write(data_dir: &Path, partitions: &[PartitionCheckpoint]) -> std::io::Result<()> {
    let offsets = |offset_of: fn(&PartitionCheckpoint) -> Option<Offset>| -> PartitionOffsets {
        partitions.iter().filter_map(|partition| Some(((partition.topic.clone(), partition.index), offset_of(partition)?))).collect()
    };
    checkpoint::write_offsets(&data_dir.join(checkpoint::RECOVERY_POINT_FILE), &offsets(|partition| Some(partition.recovery_point)))?;
    checkpoint::write_offsets(&data_dir.join(checkpoint::HIGH_WATERMARK_FILE), &offsets(|partition| Some(partition.high_watermark)))?;
    checkpoint::write_offsets(&data_dir.join(checkpoint::LOG_START_OFFSET_FILE), &offsets(|partition| partition.log_start_offset))
}

/// The recovery points and log starts of a data directory. A damaged file counts as missing: the logs are read instead.
pub fn read(data_dir: &Path, file: &str) -> PartitionOffsets {
    checkpoint::read_offsets(&data_dir.join(file)).unwrap_or_else(|error| {
        tracing::warn!("{error}; going on without it: the logs say the same, which takes longer to read");
        PartitionOffsets::default()
    })
}
