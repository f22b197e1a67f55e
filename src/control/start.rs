//! From a data directory to opened logs: lock, identity, stored image, topics found beside it, recovery.
//!
//! Runs before any core does; blocking, with the logs opened on several threads. After a clean stop, logs beyond a few dozen are left to `opening`. Invariants: nothing is read or written before the
//! directory is locked; the clean-shutdown marker is gone from the disk before the first log is opened, so a crash from then on is
//! seen as one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;

use super::checkpoints::{self, Lines, Unopened};
use super::opening::{LeftToOpen, Opened, Opener, Wanted};
use super::partitions::{self, PartitionError};
use super::store::{self, StoreError};
use crate::base::{LeaderEpoch, ProducerId, TopicId};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::controller::{self, AdoptedPartition, AdoptedTopic, Command, NodeDescription, Refusal};
use crate::cluster::image::{Configs, DirectoryId, MetadataImage, NodeId, OFFSETS_TOPIC};
use crate::cluster::store_format;
use crate::io::directory::Lock;
use crate::io::thread::on_threads_with_ticks;
use crate::io::{clock, directory, entropy};
use crate::log::checkpoint::CheckpointError;
use crate::log::data_dir::{self, PartitionFolder};
use crate::log::meta_properties::{self, MetaProperties, MetaPropertiesError};
use crate::log::{clean_shutdown, leader_epochs, partition_metadata};
use crate::shard::{OpenedPartition, PartitionCheckpoint};

/// More than a broker hands out in the long run.
const PRODUCER_IDS_PER_MS: i64 = 1000;

/// Who gives one of these has said what may be deleted.
const RETENTION_SETTINGS: [&str; 4] = ["log.retention.bytes", "log.retention.hours", "log.retention.minutes", "log.retention.ms"];
/// Logs that are opened before the first request, if more than these can wait: a few milliseconds.
const LOGS_BEFORE_REQUESTS_MAX: usize = 32;
/// How often a long recovery says how far it is.
const PROGRESS_PERIOD: Duration = Duration::from_secs(2);

/// What a start needs to know.
#[derive(Clone, Debug)]
pub struct StartOptions {
    pub data_dir: PathBuf,
    pub node_id: NodeId,
    pub broker_config: BrokerConfig,
    pub node: NodeDescription,
    /// Threads that open logs.
    pub threads: usize,
}

/// A data directory that is ready to be served.
pub struct Started {
    pub lock: Lock,
    pub image: MetadataImage,
    /// By core.
    pub opened: Vec<Vec<OpenedPartition>>,
    pub left: LeftToOpen,
    pub summary: RecoverySummary,
}

/// What was opened before the first request.
struct OpenLogs {
    by_core: Vec<Vec<OpenedPartition>>,
    summary: RecoverySummary,
    behind: Vec<Wanted>,
}

/// What opening all logs came to.
#[derive(Clone, Debug, Default)]
pub struct RecoverySummary {
    pub clean: bool,
    pub partitions: usize,
    /// Those of them that are opened behind the first request.
    pub behind: usize,
    pub log_bytes_read: u64,
    pub duration_ms: u64,
    /// One sentence for each partition that an operator should hear about.
    pub noteworthy: Vec<String>,
    /// The partitions that could not be opened.
    pub unopened: Vec<Unopened>,
    /// Topics found as directories that the store did not know.
    pub adopted: Vec<String>,
    /// Retention leaves those alone.
    pub adopted_are_kept: bool,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot {action} {path}: {source}; choose another --data-dir or make this one readable and writable", path = path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{0}")]
    Locked(io::Error),
    #[error("{path} belongs to node {found}, this is node {expected}: choose the right --data-dir, or start with --node-id {found}", path = path.display())]
    OtherNode { path: PathBuf, found: i32, expected: i32 },
    #[error(transparent)]
    Unreadable(CheckpointError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Partitions(#[from] PartitionError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Makes a data directory ready.
///
/// # Errors
/// The directory cannot be used, belongs to somebody else, or its metadata cannot be read. Damage inside a partition is no error: it is
/// mended or cut, and told in the summary.
pub fn start(options: &StartOptions) -> Result<Started, StartError> {
    let data_dir = &options.data_dir;
    directory::create_all(data_dir).map_err(|source| StartError::File { action: "create", path: data_dir.clone(), source })?;
    let lock = directory::lock_exclusive(&data_dir.join(data_dir::LOCK_FILE)).map_err(StartError::Locked)?;
    let Stored { image: stored, was_damaged } = read_store(data_dir)?;
    let cluster_id = identify(data_dir, options.node_id, stored.as_ref())?;
    let clean =
        clean_shutdown::take(data_dir).map_err(|source| StartError::File { action: "look into", path: data_dir.clone(), source })?;

    let stored = stored.unwrap_or_else(|| {
        let mut empty = MetadataImage::empty(&cluster_id, options.node_id);
        if was_damaged {
            // Ids that were handed out before must not come again; nobody knows how many that were.
            empty.next_producer_id = ProducerId(clock::wall_ms().0 * PRODUCER_IDS_PER_MS);
        }
        empty
    });
    let apply = |image: &MetadataImage, command| controller::apply(image, &options.broker_config, command).map(|applied| applied.image);
    let image = apply(&stored, Command::BrokersChanged(options.node.clone()))?;
    let found = data_dir::scan(data_dir).map_err(|source| StartError::File { action: "list", path: data_dir.clone(), source })?;
    let mut adopted = unknown_topics(data_dir, &image, found.partitions);
    let chose_retention = options.broker_config.given().keys().any(|name| RETENTION_SETTINGS.contains(&name.as_str()));
    for topic in &mut adopted {
        if topic.name.as_str() == OFFSETS_TOPIC {
            // Kafka compacts it; by age it would lose the offsets of groups that commit seldom.
            topic.configs = options.broker_config.offsets_topic_configs();
        } else if was_damaged || !chose_retention {
            // Their settings are not known: the default retention must not delete what was to be kept.
            topic.configs = kept_for_ever();
        }
    }
    let adopted_names = adopted.iter().map(|topic| topic.name.to_string()).collect();
    let image = apply(&image, Command::AdoptTopics(adopted))?;
    let image = apply(&image, Command::Restarted)?;
    store::write(data_dir, &image)?;

    let started_ns = clock::monotonic_ns();
    let opener = Opener {
        data_dir: data_dir.clone(),
        broker_config: options.broker_config.clone(),
        clean,
        lines: Lines::read(data_dir),
        bytes_checked: Arc::default(),
        logs_open: AtomicUsize::new(0),
    };
    let OpenLogs { by_core: opened, mut summary, behind } = open_logs(options, &image, &opener)?;
    if !clean {
        checkpoint_recovered(data_dir, &image, &opened, &summary.unopened);
    }
    summary.duration_ms = (clock::monotonic_ns() - started_ns) / 1_000_000;
    summary.adopted = adopted_names;
    summary.adopted_are_kept = was_damaged || !chose_retention;
    Ok(Started { lock, image, opened, left: LeftToOpen { opener, wanted: behind }, summary })
}

/// The metadata store, as far as it can be read.
struct Stored {
    /// `None`: there is none, or it was damaged.
    image: Option<MetadataImage>,
    was_damaged: bool,
}

/// Reads the store. A damaged one is set aside: the directories tell which topics there are. One of a newer release is not damaged, and
/// stops the start.
fn read_store(data_dir: &Path) -> Result<Stored, StartError> {
    match store::read(data_dir) {
        Ok(image) => Ok(Stored { image, was_damaged: false }),
        Err(StoreError::Format { path, source }) if !matches!(source, store_format::StoreError::Version { .. }) => {
            let aside = store::set_aside(data_dir, clock::wall_ms())?;
            tracing::error!(
                "{}: {source}. It is now {}. Topics are taken from the directories; their settings are lost, so nothing of them is \
                 deleted by time or size until retention.ms and retention.bytes are set again",
                path.display(),
                aside.display()
            );
            Ok(Stored { image: None, was_damaged: true })
        }
        Err(error) => Err(error.into()),
    }
}

fn kept_for_ever() -> Configs {
    ["retention.ms", "retention.bytes"].map(|name| (name.to_owned(), "-1".to_owned())).into()
}

/// Writes the checkpoints of recovered logs, which are on the disk now: a crash soon after this start costs no second check, and no line
/// outlives a log that recovery has shortened.
fn checkpoint_recovered(data_dir: &Path, image: &MetadataImage, opened: &[Vec<OpenedPartition>], unopened: &[Unopened]) {
    let checkpoint_of = |OpenedPartition { key, log }: &OpenedPartition| PartitionCheckpoint {
        topic: image.topic_by_id(key.topic_id).expect("it was opened for a topic of this image").name.clone(),
        index: key.index,
        recovery_point: Some(log.recovery_point()),
        high_watermark: Some(log.log_end_offset()),
        log_start_offset: log.log_start_offset_to_checkpoint(),
        first_dirty_offset: log.first_dirty_offset_to_checkpoint(),
    };
    let unopened = unopened.iter().map(|unopened| unopened.checkpoint.clone());
    let partitions: Vec<PartitionCheckpoint> = opened.iter().flatten().map(checkpoint_of).chain(unopened).collect();
    if let Err(error) = checkpoints::write(data_dir, &partitions) {
        tracing::error!("cannot write the checkpoints of the data directory: {error}; the next start will read more than it would have to");
    }
}

/// Reads or makes `meta.properties`. Returns the cluster's id.
fn identify(data_dir: &Path, node_id: NodeId, stored: Option<&MetadataImage>) -> Result<String, StartError> {
    let failed = |action| move |source| StartError::File { action, path: data_dir.join(meta_properties::META_PROPERTIES_FILE), source };
    match meta_properties::read(data_dir) {
        Ok(Some(properties)) if properties.node_id == node_id.0 => return Ok(properties.cluster_id),
        Ok(Some(properties)) => {
            return Err(StartError::OtherNode { path: data_dir.to_owned(), found: properties.node_id, expected: node_id.0 });
        }
        Ok(None) => {}
        Err(error @ MetaPropertiesError::Damaged { .. }) => {
            let aside = data_dir.join(format!("{}.damaged-{}", meta_properties::META_PROPERTIES_FILE, clock::wall_ms()));
            directory::rename(&data_dir.join(meta_properties::META_PROPERTIES_FILE), &aside).map_err(failed("rename"))?;
            tracing::error!("{error}. It is now {}, and one for node {node_id} was written in its place", aside.display());
        }
        Err(MetaPropertiesError::Unreadable(error)) => return Err(StartError::Unreadable(error)),
    }
    let properties = MetaProperties {
        cluster_id: stored.map_or_else(|| TopicId(entropy::uuid()).to_string(), |image| image.cluster_id.to_string()),
        node_id: node_id.0,
        directory_id: Some(DirectoryId(entropy::uuid()).to_string()),
        others: BTreeMap::new(),
    };
    meta_properties::write(data_dir, &properties).map_err(failed("write"))?;
    Ok(properties.cluster_id)
}

/// Directories of topics that the image neither has nor is deleting: Apache Kafka's, or ours from before the store was lost.
fn unknown_topics(data_dir: &Path, image: &MetadataImage, mut found: Vec<PartitionFolder>) -> Vec<AdoptedTopic> {
    found.retain(|folder| image.topic(folder.topic.as_str()).is_none());
    found.sort();
    let mut topics: BTreeMap<String, AdoptedTopic> = BTreeMap::new();
    for folder in found {
        let path = folder.path(data_dir);
        let PartitionFolder { topic: name, partition } = folder;
        let id = partition_metadata::read(&path).ok().flatten();
        // A directory that does not say whose it is belongs to the deleted topic of its name.
        let is_deleted = match id {
            Some(id) => image.deletions.contains_key(&id),
            None => image.deletions.values().any(|deletion| deletion.name == name),
        };
        if is_deleted {
            continue;
        }
        let leader_epoch = leader_epochs::read(&path).ok().flatten().map_or(LeaderEpoch::UNKNOWN, |epochs| epochs.latest());
        let topic = topics.entry(name.to_string()).or_insert_with(|| AdoptedTopic {
            name,
            id: TopicId::ZERO,
            partitions: Vec::new(),
            configs: Configs::new(),
        });
        topic.partitions.push(AdoptedPartition { index: partition, leader_epoch });
        // One readable partition.metadata tells the id for all.
        if topic.id.is_zero() {
            topic.id = id.unwrap_or_default();
        }
    }
    for topic in topics.values_mut().filter(|topic| topic.id.is_zero()) {
        topic.id = TopicId(entropy::uuid());
    }
    topics.into_values().collect()
}

/// Opens the logs that the first request must find, on `options.threads` threads: all of them, but for many after a clean stop.
///
/// # Errors
/// What was made or recovered cannot be made durable.
fn open_logs(options: &StartOptions, image: &MetadataImage, opener: &Opener) -> Result<OpenLogs, StartError> {
    let (wanted, behind) = wanted_before_and_behind(image, opener.clean);
    let show_progress = || {
        let (bytes, logs) = (opener.bytes_checked.load(Ordering::Relaxed), opener.logs_open.load(Ordering::Relaxed));
        tracing::info!("recovering: {logs} of {} partitions open, {} MiB of log checked", wanted.len(), bytes >> 20);
    };
    // Neighbours are dealt out to different threads, because a topic's partitions tend to be of one size.
    let threads = options.threads.clamp(1, wanted.len().max(1));
    let shares: Vec<Vec<_>> = (0..threads).map(|thread| wanted.iter().skip(thread).step_by(threads).cloned().collect()).collect();
    let open_share = |share: Vec<_>| share.iter().map(|wanted| opener.open(wanted)).collect::<Vec<Opened>>();
    let results = on_threads_with_ticks(shares, open_share, PROGRESS_PERIOD, show_progress);

    let mut by_core: Vec<Vec<OpenedPartition>> = (0..image.core_count).map(|_| Vec::new()).collect();
    let partitions = wanted.len() + behind.len();
    let mut summary = RecoverySummary { clean: opener.clean, partitions, behind: behind.len(), ..RecoverySummary::default() };
    let mut unsynced = Vec::new();
    for opened in results.into_iter().flatten() {
        match opened {
            Ok((core, partitions::Opened { partition, report, unsynced: directory })) => {
                by_core[core.index()].push(partition);
                unsynced.extend(directory);
                summary.log_bytes_read += report.log_bytes_read;
                if report.is_noteworthy() {
                    summary.noteworthy.push(report.to_string());
                }
            }
            Err(unopened) => summary.unopened.push(*unopened),
        }
    }
    partitions::make_durable(&options.data_dir, &unsynced)?;
    Ok(OpenLogs { by_core, summary, behind })
}

/// After a clean stop a log is open in a fraction of a millisecond, so those of many partitions can wait for the first requests: but for those that hold
/// the groups, which nobody asks for by name.
fn wanted_before_and_behind(image: &MetadataImage, clean: bool) -> (Vec<Wanted>, Vec<Wanted>) {
    let all = image.topics().flat_map(|topic| topic.partitions.iter().map(|partition| (topic.clone(), partition.index)));
    let (mut before, others): (Vec<Wanted>, Vec<Wanted>) = all.partition(|(topic, _)| topic.name.as_str() == OFFSETS_TOPIC);
    let room = if clean { LOGS_BEFORE_REQUESTS_MAX.saturating_sub(before.len()) } else { others.len() };
    let mut others = others.into_iter();
    before.extend(others.by_ref().take(room));
    (before, others.collect())
}
