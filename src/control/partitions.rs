//! Directories of partitions: made, opened as logs, removed.
//!
//! Blocking: helper threads and start-up. Invariant: a deleted topic's directories get another name before anything in them is
//! removed, so a half-removed partition is never opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use thiserror::Error;

use crate::base::{CoreId, Offset, PartitionIndex, TopicId, TopicName};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::{PartitionImage, TopicImage};
use crate::cluster::topic_config::TopicConfig;
use crate::io::{clock, directory, entropy};
use crate::log::data_dir::{self, Aside, aside_folder, partition_folder};
use crate::log::{Log, LogError, OpenContext, RecoveryReport, partition_metadata};
use crate::shard::OpenedPartition;
use crate::shard::log_config::log_config;
use crate::shard::partition::PartitionKey;

#[derive(Debug, Error)]
pub enum PartitionError {
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Makes and opens the logs of new partitions.
///
/// # Errors
/// The host's, for the first partition that cannot be made.
pub fn create(
    data_dir: &Path,
    broker: &BrokerConfig,
    wanted: &[(Arc<TopicImage>, PartitionIndex)],
) -> Result<Vec<(CoreId, OpenedPartition)>, PartitionError> {
    let mut opened = Vec::with_capacity(wanted.len());
    for (topic, index) in wanted {
        let partition = topic.partition(*index).expect("a new partition stands in its topic");
        let (partition, _) = open(data_dir, broker, topic, partition, Known::default())?;
        opened.push(partition);
    }
    directory::sync(data_dir).map_err(|source| PartitionError::File { action: "sync", path: data_dir.to_owned(), source })?;
    Ok(opened)
}

/// What the checkpoints say of a partition.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last stop was a clean one.
    pub clean: bool,
    pub recovery_point: Option<Offset>,
    pub log_start_offset: Option<Offset>,
    pub first_dirty_offset: Option<Offset>,
    /// Counts bytes of log as they are checked.
    pub progress: Option<Arc<AtomicU64>>,
}

/// Opens one partition's log, recovers it if it must be, and begins this leader epoch in it.
///
/// # Errors
/// The host's.
pub fn open(
    data_dir: &Path,
    broker: &BrokerConfig,
    topic: &TopicImage,
    partition: &PartitionImage,
    known: Known,
) -> Result<((CoreId, OpenedPartition), RecoveryReport), PartitionError> {
    let path = data_dir.join(partition_folder(&topic.name, partition.index));
    let failed = |action| {
        let path = path.clone();
        move |source| PartitionError::File { action, path, source }
    };
    if let Ok(Some(other)) = partition_metadata::read(&path)
        && other != topic.id
    {
        // As Kafka: the records of another topic of this name are not this topic's, and not ours to remove.
        let stray = data_dir.join(aside_folder(&topic.name, partition.index, &hex(entropy::uuid()), Aside::Stray));
        tracing::warn!("{} belongs to a topic with id {other}, not {}: it is now {}", path.display(), topic.id, stray.display());
        directory::rename(&path, &stray).map_err(failed("set aside"))?;
    }
    directory::create_all(&path).map_err(failed("create"))?;
    if !matches!(partition_metadata::read(&path), Ok(Some(id)) if id == topic.id) {
        partition_metadata::write(&path, topic.id).map_err(failed("write partition.metadata in"))?;
    }
    let config = Arc::new(log_config(&TopicConfig::resolve(broker, &topic.configs)));
    let context = OpenContext {
        recovery_point: known.recovery_point,
        log_start_offset: known.log_start_offset,
        first_dirty_offset: known.first_dirty_offset,
        clean: known.clean,
        now: clock::wall_ms(),
        progress: known.progress,
    };
    let (mut log, report) = Log::open(&path, config, context)?;
    log.assign_leader_epoch(partition.leader_epoch);
    let key = PartitionKey { topic_id: topic.id, index: partition.index };
    Ok(((partition.core, OpenedPartition { key, log }), report))
}

/// Takes the directories of these partitions of a deleted topic out of sight. Returns what [`remove`] is to remove.
///
/// # Errors
/// The host's; what was renamed stays so.
pub fn retire(
    data_dir: &Path,
    topic: &TopicName,
    id: TopicId,
    indexes: impl Iterator<Item = PartitionIndex>,
) -> Result<Vec<PathBuf>, PartitionError> {
    let mut retired = Vec::new();
    for index in indexes {
        let path = data_dir.join(partition_folder(topic, index));
        // A topic made anew under this name must not lose its files: the id decides. Its directories always carry one that can be read, so
        // one that cannot is the deleted topic's.
        let belongs_to_another = matches!(partition_metadata::read(&path), Ok(Some(other)) if other != id);
        if belongs_to_another
            || !directory::exists(&path).map_err(|source| PartitionError::File { action: "look for", path: path.clone(), source })?
        {
            continue;
        }
        let to = data_dir.join(aside_folder(topic, index, &hex(entropy::uuid()), Aside::Delete));
        directory::rename(&path, &to).map_err(|source| PartitionError::File { action: "rename", path, source })?;
        retired.push(to);
    }
    directory::sync(data_dir).map_err(|source| PartitionError::File { action: "sync", path: data_dir.to_owned(), source })?;
    Ok(retired)
}

/// Removes directories that [`retire`] renamed.
///
/// # Errors
/// The host's, for the first that cannot be removed.
pub fn remove(retired: &[PathBuf]) -> Result<(), PartitionError> {
    for path in retired {
        match directory::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|source| PartitionError::File { action: "remove", path: path.clone(), source })?,
        }
    }
    Ok(())
}

/// Removes what a deletion left that the process did not live to finish.
///
/// # Errors
/// The host's.
pub fn remove_leftovers(data_dir: &Path) -> Result<(), PartitionError> {
    let found = data_dir::scan(data_dir).map_err(|source| PartitionError::File { action: "list", path: data_dir.to_owned(), source })?;
    remove(&found.to_delete)
}

fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
