//! Directories of partitions: made, opened as logs, removed.
//!
//! Blocking: helper threads and start-up. Invariants: a deleted topic's directories get another name before anything in them is
//! removed, so a half-removed partition is never opened; what is made new is on the disk before a core has it, so that a record
//! that is synced has a name to be found by.
//!
//! Many directories are made first and synced afterwards, several at a time: the first sync commits the file system's journal for
//! all of them, and those that wait for the disk at the same time share its flush. One after the other, each would be three commits.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use thiserror::Error;

use crate::base::{CoreId, Offset, PartitionIndex, TopicId, TopicName};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::{PartitionImage, TopicImage};
use crate::cluster::topic_config::TopicConfig;
use crate::io::thread::on_threads;
use crate::io::{File, clock, directory, entropy};
use crate::log::data_dir::{self, Aside, aside_folder, partition_folder};
use crate::log::format::{LEADER_EPOCH_CHECKPOINT_FILE, PARTITION_METADATA_FILE};
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

/// Threads that sync directories. They wait for the disk and for nothing else.
const SYNC_THREADS: usize = 16;

/// Makes and opens the logs of new partitions, durably.
///
/// # Errors
/// The host's, for the first partition that cannot be made.
pub fn create(
    data_dir: &Path,
    broker: &BrokerConfig,
    wanted: &[(Arc<TopicImage>, PartitionIndex)],
) -> Result<Vec<(CoreId, OpenedPartition)>, PartitionError> {
    let mut created = Vec::with_capacity(wanted.len());
    let mut unsynced = Vec::with_capacity(wanted.len());
    for (topic, index) in wanted {
        let partition = topic.partition(*index).expect("a new partition stands in its topic");
        let opened = open(data_dir, broker, topic, partition, Known::default())?;
        unsynced.extend(opened.unsynced);
        created.push((partition.core, opened.partition));
    }
    make_durable(data_dir, &unsynced)?;
    Ok(created)
}

/// Syncs the directories that [`open`] has left to it, and the data directory that names them.
///
/// # Errors
/// The host's, for one of them.
pub fn make_durable(data_dir: &Path, unsynced: &[PathBuf]) -> Result<(), PartitionError> {
    if unsynced.is_empty() {
        return Ok(());
    }
    let shares: Vec<&[PathBuf]> = unsynced.chunks(unsynced.len().div_ceil(SYNC_THREADS)).collect();
    let sync_share = |share: &[PathBuf]| share.iter().try_for_each(|path| sync_partition(path));
    on_threads(shares, sync_share).into_iter().collect::<Result<(), PartitionError>>()?;
    directory::sync(data_dir).map_err(failed("sync", data_dir))
}

/// Syncs the small files of a partition and the names in its directory.
fn sync_partition(partition: &Path) -> Result<(), PartitionError> {
    for name in [PARTITION_METADATA_FILE, LEADER_EPOCH_CHECKPOINT_FILE] {
        let path = partition.join(name);
        match File::open_write(&path).and_then(|file| file.data_sync()) {
            // The log writes its epochs later, durably.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(failed("sync", &path))?,
        }
    }
    directory::sync(partition).map_err(failed("sync", partition))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PartitionError + use<> {
    let path = path.to_owned();
    move |source| PartitionError::File { action, path, source }
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

/// An opened log, and what is left to do about it.
pub struct Opened {
    pub partition: OpenedPartition,
    pub report: RecoveryReport,
    /// The directory, if [`make_durable`] has to see to it before anything is written to the log.
    pub unsynced: Option<PathBuf>,
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
) -> Result<Opened, PartitionError> {
    let path = data_dir.join(partition_folder(&topic.name, partition.index));
    let named = partition_metadata::read(&path);
    if let Ok(Some(other)) = named
        && other != topic.id
    {
        // As Kafka: the records of another topic of this name are not this topic's, and not ours to remove.
        let stray = data_dir.join(aside_folder(&topic.name, partition.index, &hex(entropy::uuid()), Aside::Stray));
        tracing::warn!("{} belongs to a topic with id {other}, not {}: it is now {}", path.display(), topic.id, stray.display());
        directory::rename(&path, &stray).map_err(failed("set aside", &path))?;
    }
    let is_named = matches!(named, Ok(Some(id)) if id == topic.id);
    if !is_named {
        directory::create_all(&path).map_err(failed("create", &path))?;
        partition_metadata::write(&path, topic.id).map_err(failed("write partition.metadata in", &path))?;
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
    match report.is_new {
        true => log.begin_first_leader_epoch(partition.leader_epoch).map_err(failed("write the leader epoch of", &path))?,
        false => log.assign_leader_epoch(partition.leader_epoch),
    }
    let key = PartitionKey { topic_id: topic.id, index: partition.index };
    let unsynced = (report.is_unsynced || !is_named).then_some(path);
    Ok(Opened { partition: OpenedPartition { key, log }, report, unsynced })
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

#[cfg(test)]
mod tests;
