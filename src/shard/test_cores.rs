//! Cores for unit tests: real shards with real logs, all on the thread of the test, and a control thread that never answers.
//!
//! What needs the ring runs inside `run_here`. Messages between the cores travel when the test says so.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tempfile::TempDir;

use super::lifecycle::OpenedPartition;
use super::log_config::log_config;
use super::message::{ControlRequest, Message};
use super::partition::{Partition, PartitionKey, Written};
use super::{PartitionCheckpoint, Shard};
use crate::base::{CoreId, ErrorCode, PartitionIndex, ProducerId, Timestamp, TopicId};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::controller::{Command, NodeDescription, TopicSpec, apply};
use crate::cluster::image::{Advertise, DirectoryId, MetadataImage, NodeId, TopicImage};
use crate::cluster::topic_config::TopicConfig;
use crate::io::{Mesh, MeshEnd, clock};
use crate::log::{Log, OpenContext};
use crate::wire::{Batch, Codec, RecordBatchBuilder};

const TOPIC: &str = "t";

/// Some cores, and one topic with a partition on each.
pub(crate) struct TestCores {
    pub(crate) shards: Vec<Rc<Shard>>,
    pub(crate) image: Arc<MetadataImage>,
    /// The control thread's end, which the test may read.
    pub(crate) control: MeshEnd<Message>,
    _directory: TempDir,
}

impl TestCores {
    /// `configs` are the topic's.
    pub(crate) fn new(cores: u16, configs: &[(&str, &str)]) -> TestCores {
        TestCores::with_partitions(cores, i32::from(cores), configs)
    }

    /// The same with this many partitions, spread over the cores.
    pub(crate) fn with_partitions(cores: u16, partitions: i32, configs: &[(&str, &str)]) -> TestCores {
        let directory = TempDir::new().unwrap();
        let image = Arc::new(image(cores, partitions, configs));
        let mut mesh = Mesh::new::<Message>(usize::from(cores) + 1).unwrap();
        let control = mesh.pop().unwrap();
        let topic = image.topic(TOPIC).unwrap();
        let shard = |(mesh, core): (MeshEnd<Message>, u16)| {
            let owned = topic.partitions.iter().filter(|partition| partition.core == CoreId(core));
            let opened = owned.map(|partition| open(directory.path(), topic, partition.index)).collect();
            Shard::new(CoreId(core), mesh, image.clone(), BrokerConfig::default(), opened)
        };
        let shards = mesh.into_iter().zip(0..cores).map(shard).collect();
        TestCores { shards, image: image.clone(), control, _directory: directory }
    }

    pub(crate) fn shard(&self, core: usize) -> Rc<Shard> {
        self.shards[core].clone()
    }

    /// The first partition that `core` owns.
    pub(crate) fn partition(&self, core: usize) -> Rc<Partition> {
        let topic = self.image.topic(TOPIC).unwrap();
        let partition = topic.partitions.iter().find(|partition| partition.core.index() == core).unwrap();
        self.shards[core].partition(PartitionKey { topic_id: topic.id, index: partition.index }).unwrap()
    }

    /// Appends one batch with these values to the partition of `core`.
    pub(crate) fn append(&self, core: usize, values: &[&[u8]]) -> Result<Written, ErrorCode> {
        self.append_at(core, values, Timestamp(1))
    }

    /// The same, with the time of the records.
    pub(crate) fn append_at(&self, core: usize, values: &[&[u8]], timestamp: Timestamp) -> Result<Written, ErrorCode> {
        let mut builder = RecordBatchBuilder::new(Codec::None);
        values.iter().for_each(|value| builder.append(timestamp, None, Some(value), &[]));
        let bytes = builder.build();
        self.partition(core).append(&self.shards[core], &[Batch::stored(&bytes).unwrap()], true)
    }

    /// Appends one record to the partition of `core`, as an idempotent producer's with this sequence.
    pub(crate) fn append_of(&self, core: usize, id: ProducerId, sequence: i32) -> Result<Written, ErrorCode> {
        let bytes = RecordBatchBuilder::new(Codec::None).producer(id, 0, sequence).record(Timestamp(1), None, Some(b"x")).build();
        self.partition(core).append(&self.shards[core], &[Batch::stored(&bytes).unwrap()], true)
    }

    pub(crate) fn checkpoint(&self, core: usize) -> PartitionCheckpoint {
        self.partition(core).checkpoint().unwrap()
    }

    /// Does the blocking work that the cores have asked the control thread for, and hands them what came of it.
    pub(crate) fn do_offloaded_work(&self) {
        let mut given = Vec::new();
        self.control.drain(|core, message| match message {
            Message::Control(ControlRequest::Offload { work, reply, .. }) => given.push((core, work, reply)),
            _ => panic!("the control thread is asked for blocking work alone"),
        });
        for (core, work, reply) in given {
            self.control.send(core, reply.message(work())).ok().expect("the mesh has room");
        }
        self.settle();
    }

    /// Carries messages between the cores until there are none.
    pub(crate) fn settle(&self) {
        while self.shards.iter().any(|shard| shard.mesh.has_mail()) {
            self.shards.iter().for_each(|shard| _ = shard.drain_mesh());
        }
    }
}

fn image(cores: u16, partitions: i32, configs: &[(&str, &str)]) -> MetadataImage {
    let node = NodeDescription {
        advertise: Advertise::PerCore,
        core_count: cores,
        host: "localhost".into(),
        ports: (9092..9092 + cores).collect(),
        rack: None,
        fresh_directory_ids: (1..=cores).map(|core| DirectoryId([core as u8; 16])).collect(),
    };
    let topic = TopicSpec {
        name: TOPIC.into(),
        id: TopicId([7; 16]),
        partition_count: partitions,
        replication_factor: -1,
        configs: configs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        ..TopicSpec::default()
    };
    let create = Command::CreateTopics { topics: vec![topic], validate_only: false };
    let empty = MetadataImage::empty("test", NodeId(1));
    [Command::BrokersChanged(node), create]
        .into_iter()
        .fold(empty, |image, command| apply(&image, &BrokerConfig::default(), command).unwrap().image)
}

fn open(data_dir: &Path, topic: &TopicImage, index: PartitionIndex) -> OpenedPartition {
    let directory = data_dir.join(index.to_string());
    std::fs::create_dir(&directory).unwrap();
    let config = Arc::new(log_config(&TopicConfig::resolve(&BrokerConfig::default(), &topic.configs)));
    let (log, _) = Log::open(&directory, config, OpenContext { now: clock::wall_ms(), ..OpenContext::default() }).unwrap();
    OpenedPartition { key: PartitionKey { topic_id: topic.id, index }, log }
}
