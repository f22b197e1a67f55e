//! One core: its partitions, the way to other cores, waiting fetches, counters and histograms.
//!
//! Everything here lives on one executor thread and is never shared: `Rc`, `Cell` and `RefCell`, no lock, no atomic.
//! What another core or the control thread needs, it asks for by message.

pub mod calls;
pub mod counters;
pub mod fetch_session;
pub mod groups;
pub mod histograms;
mod housekeeping;
mod lifecycle;
pub mod log_config;
pub mod message;
mod moves;
mod news;
pub mod partition;
mod producer_ids;
pub mod quotas;
pub mod reads;
mod router;
#[cfg(test)]
pub(crate) mod test_cores;
pub mod waits;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::base::{CoreId, ErrorCode, IdMap, TopicId};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::MetadataImage;
use crate::cluster::topic_config::TopicConfig;
use crate::io::mesh::MeshEnd;
use calls::{CallId, Calls};
use counters::Counters;
use fetch_session::cache::FetchSessionCache;
use groups::Groups;
use histograms::StageHistograms;
pub use lifecycle::{ImageChange, OpenedPartition, PartitionCheckpoint, Reconfigured, StoppedCore, StoppedLog};
use message::Message;
pub use message::ReplyTo;
use moves::Moves;
use news::News;
use partition::{Partition, PartitionKey};
use producer_ids::ProducerIds;
use quotas::Quotas;
use waits::Waits;

/// One core's state. Every task of the core holds an `Rc` of it.
pub struct Shard {
    pub core: CoreId,
    pub calls: Calls,
    pub waits: Rc<Waits>,
    /// The fetch sessions that were made here.
    pub fetch_sessions: RefCell<FetchSessionCache>,
    pub counters: Counters,
    pub histograms: StageHistograms,
    pub quotas: Quotas,
    mesh: MeshEnd<Message>,
    /// The control thread's place in the mesh.
    control_node: usize,
    /// An `Rc` of its own, so that a request that looks at it touches no counter that other cores touch.
    #[allow(clippy::redundant_allocation)]
    image: RefCell<Rc<Arc<MetadataImage>>>,
    broker_config: RefCell<Rc<BrokerConfig>>,
    partitions: RefCell<IdMap<PartitionKey, Rc<Partition>>>,
    topic_configs: RefCell<IdMap<TopicId, Rc<TopicConfig>>>,
    producer_ids: ProducerIds,
    groups: Groups,
    news: News,
    moves: Moves,
    stopping: Cell<bool>,
    stop_call: Cell<Option<CallId>>,
    /// Waits until the connections of every core are closed.
    closed_call: Cell<Option<CallId>>,
    traffic: RefCell<Option<Box<dyn Fn() -> CounterValues>>>,
}

/// Counters with their names.
pub type CounterValues = Vec<(&'static str, u64)>;

impl Shard {
    /// `mesh` is this core's end of a mesh whose nodes are the cores in order, then the control thread. `opened` are the logs of its
    /// partitions.
    pub fn new(
        core: CoreId,
        mesh: MeshEnd<Message>,
        image: Arc<MetadataImage>,
        broker_config: BrokerConfig,
        opened: Vec<OpenedPartition>,
    ) -> Rc<Shard> {
        let calls = Calls::default();
        let shard = Rc::new(Shard {
            core,
            waits: Waits::new(calls.clone()),
            fetch_sessions: RefCell::default(),
            calls,
            counters: Counters::default(),
            histograms: StageHistograms::default(),
            quotas: Quotas::new(&image.client_quotas),
            control_node: mesh.nodes() - 1,
            mesh,
            image: RefCell::new(Rc::new(image.clone())),
            broker_config: RefCell::new(Rc::new(broker_config)),
            partitions: RefCell::default(),
            topic_configs: RefCell::default(),
            producer_ids: ProducerIds::default(),
            groups: Groups::new(),
            news: News::default(),
            moves: Moves::default(),
            stopping: Cell::new(false),
            stop_call: Cell::new(None),
            closed_call: Cell::new(None),
            traffic: RefCell::default(),
        });
        opened.into_iter().for_each(|opened| shard.take_over(&image, opened));
        shard
    }

    /// The cluster as this core knows it. A change replaces it whole, so what was taken stays consistent across waits.
    #[allow(clippy::redundant_allocation)]
    pub fn image(&self) -> Rc<Arc<MetadataImage>> {
        self.image.borrow().clone()
    }

    /// The broker settings in force.
    pub fn broker_config(&self) -> Rc<BrokerConfig> {
        self.broker_config.borrow().clone()
    }

    /// A partition of this core, if it is here and open.
    pub fn partition(&self, key: PartitionKey) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(&key).cloned()
    }

    /// What to answer for a partition that is not open here: the image says whether it should be. One that should be could not be opened
    /// at the start, and is offline alone.
    pub fn why_missing(&self, key: PartitionKey) -> ErrorCode {
        let image = self.image();
        let partition = image.topic_by_id(key.topic_id).and_then(|topic| topic.partition(key.index));
        let should_be_here = partition.is_some_and(|partition| partition.core == self.core) && !self.is_on_its_way(key);
        match should_be_here && !self.is_stopping() {
            true => ErrorCode::KafkaStorageError,
            false => ErrorCode::NotLeaderOrFollower,
        }
    }

    /// Every partition that is open here, in no order.
    pub fn all_partitions(&self) -> Vec<Rc<Partition>> {
        self.partitions.borrow().values().cloned().collect()
    }

    /// Whether the broker is stopping: no wait should begin any more.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Names who counts what the connections of this core do.
    pub fn count_traffic(&self, values: impl Fn() -> CounterValues + 'static) {
        *self.traffic.borrow_mut() = Some(Box::new(values));
    }

    /// Every counter of this core.
    pub fn counter_values(&self) -> CounterValues {
        let mut values = self.traffic.borrow().as_ref().map(|values| values()).unwrap_or_default();
        values.extend(self.counters.values());
        values
    }
}
