//! The metadata image as a file of the embedded store. Pure: bytes in, image out, and back.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `PAGEMETA` |
//! | 8..12 | format version, u32 little-endian: 1 |
//! | 12..16 | CRC-32C of bytes 16.., u32 little-endian |
//! | 16..24 | length of the rest, u64 little-endian |
//! | 24.. | one FlatBuffer, `MetadataImage` of `schemas/metadata.fbs` |
//!
//! Invariants: whatever [`decode`] returns passes `MetadataImage::check`; a file that was cut short, changed in any byte or
//! written by a newer format is an error and never an image.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, VerifierOptions, WIPOffset};

use super::client_quotas::{QuotaEntity, QuotaLimits, QuotaName};
use super::generated::pagewire::metadata as stored;
use super::image::{
    Advertise, BrokerRegistration, Configs, DirectoryId, MetadataImage, MetadataVersion, NodeId, PartitionImage, TopicDeletion, TopicImage,
};
use crate::base::{BrokerId, CoreId, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId, TopicName};

const MAGIC: &[u8; 8] = b"PAGEMETA";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
/// Tables one image may hold: a million partitions with their topics and settings.
const TABLES_MAX: usize = 4_000_000;

/// Why a stored image was not accepted. Each message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error(
        "this is not a metadata file: expected it to start with PAGEMETA; restore the file from a backup, or move it away: topics are then found again by their directories, without their settings"
    )]
    NotAMetadataFile,
    #[error(
        "the metadata file has format version {found}, and this release reads version {FORMAT_VERSION}; start the release that wrote it, or a newer one"
    )]
    Version { found: u32 },
    #[error(
        "the metadata file is cut short or has grown: expected {expected} bytes, found {found}; restore it from a backup, or move it away: topics are then found again by their directories, without their settings"
    )]
    Length { expected: u64, found: u64 },
    #[error(
        "the metadata file is damaged: expected CRC-32C {expected:08x}, computed {computed:08x}; restore it from a backup, or move it away: topics are then found again by their directories, without their settings"
    )]
    Checksum { expected: u32, computed: u32 },
    #[error(
        "the metadata file has a sound checksum but an unsound content: {0}; this is a defect of the release that wrote it, please report it"
    )]
    Content(String),
}

/// The bytes of a file that holds this image.
pub fn encode(image: &MetadataImage) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let root = write_image(&mut builder, image);
    stored::finish_metadata_image_buffer(&mut builder, root);
    let payload = builder.finished_data();

    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads an image back.
///
/// # Errors
/// Anything but the whole file as [`encode`] made it.
pub fn decode(bytes: &[u8]) -> Result<MetadataImage, StoreError> {
    let payload = payload(bytes)?;
    let options = VerifierOptions { max_tables: TABLES_MAX, ..VerifierOptions::default() };
    let root = stored::root_as_metadata_image_with_opts(&options, payload).map_err(|error| StoreError::Content(error.to_string()))?;
    let image = from_stored(root).map_err(StoreError::Content)?;
    image.check().map_err(StoreError::Content)?;
    Ok(image)
}

/// The FlatBuffer of the file, once header and checksum hold.
fn payload(bytes: &[u8]) -> Result<&[u8], StoreError> {
    if bytes.get(..8) != Some(MAGIC) {
        return Err(StoreError::NotAMetadataFile);
    }
    let too_short = StoreError::Length { expected: HEADER_BYTES as u64, found: bytes.len() as u64 };
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(too_short)?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (version, expected) = (word(8), word(12));
    if version != FORMAT_VERSION {
        return Err(StoreError::Version { found: version });
    }
    let length = u64::from(word(16)) | u64::from(word(20)) << 32;
    let (expected_bytes, found) = (length.saturating_add(HEADER_BYTES as u64), bytes.len() as u64);
    if expected_bytes != found {
        return Err(StoreError::Length { expected: expected_bytes, found });
    }
    let computed = crc32c::crc32c(&bytes[16..]);
    if computed != expected {
        return Err(StoreError::Checksum { expected, computed });
    }
    Ok(&bytes[HEADER_BYTES..])
}

/// The tables that are few go through the generated objects. Topics do not: partitions are what there may be a million of.
fn write_image<'a>(to: &mut FlatBufferBuilder<'a>, image: &MetadataImage) -> WIPOffset<stored::MetadataImage<'a>> {
    let cluster_id = to.create_string(&image.cluster_id);
    let brokers = write_all(to, image.brokers.iter(), |to, broker| broker_to_stored(broker).pack(to));
    let directories = write_all(to, image.directories.iter(), |to, (broker, id)| directory_to_stored(*broker, *id).pack(to));
    let mut lists = IdLists::default();
    let topics = write_all(to, image.topics(), |to, topic| write_topic(to, topic, &mut lists));
    let broker_configs =
        write_all(to, image.broker_configs.iter(), |to, (broker, configs)| broker_configs_to_stored(*broker, configs).pack(to));
    let features =
        write_all(to, image.features.iter(), |to, (name, level)| stored::FeatureT { name: name.clone(), level: *level }.pack(to));
    let deletions = write_all(to, image.deletions.values(), |to, deletion| deletion_to_stored(deletion).pack(to));
    let has_quotas = !image.client_quotas.is_empty();
    let client_quotas = has_quotas.then(|| write_all(to, image.client_quotas.iter(), |to, quota| quota_to_stored(quota).pack(to)));
    let arguments = stored::MetadataImageArgs {
        version: image.version.0,
        cluster_id: Some(cluster_id),
        node_id: image.node_id.0,
        advertise: match image.advertise {
            Advertise::PerCore => stored::Advertise::PerCore,
            Advertise::PerNode => stored::Advertise::PerNode,
        },
        core_count: image.core_count,
        controller_id: image.controller_id.0,
        brokers: Some(brokers),
        directories: Some(directories),
        topics: Some(topics),
        broker_configs: Some(broker_configs),
        features: Some(features),
        next_producer_id: image.next_producer_id.0,
        deletions: Some(deletions),
        client_quotas,
    };
    stored::MetadataImage::create(to, &arguments)
}

/// A vector of tables, each written by `write`.
fn write_all<'a, T, Table>(
    to: &mut FlatBufferBuilder<'a>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut FlatBufferBuilder<'a>, T) -> WIPOffset<Table>,
) -> WIPOffset<Vector<'a, ForwardsUOffset<Table>>> {
    let tables: Vec<_> = items.map(|item| write(to, item)).collect();
    to.create_vector(&tables)
}

/// Lists of brokers that were written: partitions with the same ones refer to the same bytes.
type IdLists<'image, 'a> = HashMap<&'image [BrokerId], WIPOffset<Vector<'a, i32>>>;

fn write_topic<'image, 'a>(
    to: &mut FlatBufferBuilder<'a>,
    topic: &'image TopicImage,
    lists: &mut IdLists<'image, 'a>,
) -> WIPOffset<stored::Topic<'a>> {
    let name = to.create_string(topic.name.as_str());
    let configs = write_all(to, topic.configs.iter(), |to, (name, value)| config_to_stored(name, value).pack(to));
    let partitions = write_all(to, topic.partitions.iter(), |to, partition| {
        let mut list =
            |ids: &'image [BrokerId]| *lists.entry(ids).or_insert_with(|| to.create_vector_from_iter(ids.iter().map(|broker| broker.0)));
        let (replicas, isr) = (Some(list(&partition.replicas)), Some(list(&partition.isr)));
        let arguments = stored::PartitionArgs {
            replicas,
            isr,
            leader: partition.leader.0,
            leader_epoch: partition.leader_epoch.0,
            partition_epoch: partition.partition_epoch.0,
            core: partition.core.0,
        };
        stored::Partition::create(to, &arguments)
    });
    let id = stored::Uuid::new(&topic.id.0);
    let arguments = stored::TopicArgs { name: Some(name), id: Some(&id), configs: Some(configs), partitions: Some(partitions) };
    stored::Topic::create(to, &arguments)
}

fn broker_to_stored(broker: &BrokerRegistration) -> stored::BrokerT {
    stored::BrokerT {
        id: broker.id.0,
        host: broker.host.to_string(),
        port: broker.port,
        rack: broker.rack.as_ref().map(ToString::to_string),
        core: broker.core.0,
    }
}

fn directory_to_stored(broker: BrokerId, id: DirectoryId) -> stored::DirectoryT {
    stored::DirectoryT { broker_id: broker.0, directory_id: stored::UuidT { bytes: id.0 } }
}

fn config_to_stored(name: &str, value: &str) -> stored::ConfigT {
    stored::ConfigT { name: name.to_owned(), value: value.to_owned() }
}

fn broker_configs_to_stored(broker: Option<BrokerId>, configs: &Configs) -> stored::BrokerConfigsT {
    stored::BrokerConfigsT {
        broker_id: broker.map(|broker| broker.0),
        configs: configs.iter().map(|(name, value)| config_to_stored(name, value)).collect(),
    }
}

fn deletion_to_stored(deletion: &TopicDeletion) -> stored::DeletionT {
    stored::DeletionT {
        id: stored::UuidT { bytes: deletion.id.0 },
        name: deletion.name.to_string(),
        partition_count: deletion.partition_count,
    }
}

fn quota_to_stored((entity, limits): (&QuotaEntity, &QuotaLimits)) -> stored::ClientQuotaT {
    let name = |name: &QuotaName| Box::new(stored::QuotaNameT { name: name.as_option().map(String::from) });
    stored::ClientQuotaT {
        user: entity.user.as_ref().map(name),
        client_id: entity.client_id.as_ref().map(name),
        producer_byte_rate: limits.producer_byte_rate,
        consumer_byte_rate: limits.consumer_byte_rate,
    }
}

fn from_stored(image: stored::MetadataImage<'_>) -> Result<MetadataImage, String> {
    let directories: BTreeMap<BrokerId, DirectoryId> =
        image.directories().iter().map(|entry| (BrokerId(entry.broker_id()), DirectoryId(entry.directory_id().bytes().into()))).collect();
    let brokers: Result<Vec<_>, String> = image
        .brokers()
        .iter()
        .map(|broker| {
            let id = BrokerId(broker.id());
            let directory_id = *directories.get(&id).ok_or_else(|| format!("broker {id} has no directory id"))?;
            let (host, rack, core) = (broker.host().into(), broker.rack().map(Arc::from), CoreId(broker.core()));
            Ok(BrokerRegistration { id, host, port: broker.port(), rack, core, directory_id })
        })
        .collect();
    let broker_configs = image.broker_configs();
    let broker_configs = broker_configs.iter().map(|entry| (entry.broker_id().map(BrokerId), configs_from_stored(entry.configs())));
    let quotas = image.client_quotas().into_iter().flatten().map(|quota| quota_from_stored(quota.unpack()));
    let mut decoded = MetadataImage {
        version: MetadataVersion(image.version()),
        advertise: match image.advertise() {
            stored::Advertise::PerCore => Advertise::PerCore,
            stored::Advertise::PerNode => Advertise::PerNode,
            other => return Err(format!("advertise is {}, not 0 or 1", other.0)),
        },
        core_count: image.core_count(),
        controller_id: BrokerId(image.controller_id()),
        brokers: brokers?.into(),
        directories: Arc::new(directories),
        broker_configs: Arc::new(broker_configs.collect()),
        features: Arc::new(image.features().iter().map(|feature| (feature.name().to_owned(), feature.level())).collect()),
        next_producer_id: ProducerId(image.next_producer_id()),
        deletions: Arc::new(
            image.deletions().iter().map(|deletion| deletion_from_stored(deletion.unpack())).collect::<Result<_, String>>()?,
        ),
        client_quotas: Arc::new(quotas.collect::<Result<_, String>>()?),
        ..MetadataImage::empty(image.cluster_id(), NodeId(image.node_id()))
    };
    let mut lists = HashSet::new();
    for topic in image.topics() {
        let topic = topic_from_stored(topic, &mut lists)?;
        if decoded.topic(topic.name.as_str()).is_some() || decoded.topic_by_id(topic.id).is_some() {
            return Err(format!("topic {} (id {}) stands there twice", topic.name, topic.id));
        }
        decoded.put_topic(topic);
    }
    Ok(decoded)
}

/// `lists`: those of the topics before it, one of each.
fn topic_from_stored(topic: stored::Topic<'_>, lists: &mut HashSet<Arc<[BrokerId]>>) -> Result<TopicImage, String> {
    let mut ids = Vec::new();
    let mut list = |stored: Vector<'_, i32>| {
        ids.clear();
        ids.extend(stored.iter().map(BrokerId));
        if let Some(known) = lists.get(ids.as_slice()) {
            return known.clone();
        }
        let list: Arc<[BrokerId]> = ids.as_slice().into();
        lists.insert(list.clone());
        list
    };
    let partitions = topic.partitions().iter().enumerate().map(|(index, partition)| PartitionImage {
        index: PartitionIndex(index as i32),
        replicas: list(partition.replicas()),
        isr: list(partition.isr()),
        leader: BrokerId(partition.leader()),
        leader_epoch: LeaderEpoch(partition.leader_epoch()),
        partition_epoch: PartitionEpoch(partition.partition_epoch()),
        core: CoreId(partition.core()),
    });
    let partitions = partitions.collect();
    Ok(TopicImage {
        name: TopicName::new(topic.name())?,
        id: TopicId(topic.id().bytes().into()),
        partitions,
        configs: Arc::new(configs_from_stored(topic.configs())),
    })
}

fn configs_from_stored(configs: Vector<'_, ForwardsUOffset<stored::Config<'_>>>) -> Configs {
    configs.iter().map(|config| (config.name().to_owned(), config.value().to_owned())).collect()
}

fn quota_from_stored(quota: stored::ClientQuotaT) -> Result<(QuotaEntity, QuotaLimits), String> {
    let name = |name: Option<Box<stored::QuotaNameT>>| name.map(|name| QuotaName::new(name.name.as_deref()));
    let entity = QuotaEntity { user: name(quota.user), client_id: name(quota.client_id) };
    let limits = QuotaLimits { producer_byte_rate: quota.producer_byte_rate, consumer_byte_rate: quota.consumer_byte_rate };
    match [limits.producer_byte_rate, limits.consumer_byte_rate].into_iter().flatten().find(|rate| *rate <= 0) {
        Some(rate) => Err(format!("a client quota is {rate} bytes per second, not above 0")),
        None => Ok((entity, limits)),
    }
}

fn deletion_from_stored(deletion: stored::DeletionT) -> Result<(TopicId, TopicDeletion), String> {
    let id = TopicId(deletion.id.bytes);
    Ok((id, TopicDeletion { id, name: TopicName::new(&deletion.name)?, partition_count: deletion.partition_count }))
}

#[cfg(test)]
mod tests;
