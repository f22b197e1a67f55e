//! How partitions come to a core and leave it: start, new images, stop.
//!
//! Runs on the core, on behalf of the control thread, which has opened the logs beforehand and closes them afterwards: both block.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::limits::{JOB_LOOK_MS, JOB_LOOKS_BEFORE_STOP_MAX};
use crate::base::{CoreId, Offset, PartitionIndex, TopicId, TopicName};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::{MetadataImage, OFFSETS_TOPIC, TopicImage};
use crate::cluster::topic_config::TopicConfig;
use crate::io::glommio::sleep;
use crate::log::Log;
use crate::shard::Shard;
use crate::shard::partition::{Partition, PartitionKey};

/// A log that was opened for this core.
pub struct OpenedPartition {
    pub key: PartitionKey,
    pub log: Log,
}

/// What changes with a new image, for one core.
pub struct ImageChange {
    pub image: Arc<MetadataImage>,
    pub broker_config: BrokerConfig,
    pub opened: Vec<OpenedPartition>,
    pub removed: Vec<PartitionKey>,
    pub reconfigured: Reconfigured,
}

/// Whose settings an image changes.
#[derive(Clone, Debug, Default)]
pub enum Reconfigured {
    #[default]
    Nobody,
    Topics(Vec<TopicId>),
    /// The broker's changed, and with them the defaults of every topic.
    Everybody,
}

impl Reconfigured {
    pub fn and_topic(self, id: TopicId) -> Reconfigured {
        match self {
            Reconfigured::Nobody => Reconfigured::Topics(vec![id]),
            Reconfigured::Topics(topics) => Reconfigured::Topics(topics.into_iter().chain([id]).collect()),
            Reconfigured::Everybody => Reconfigured::Everybody,
        }
    }
}

/// What the checkpoint files hold of one partition. `None`: no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCheckpoint {
    pub topic: TopicName,
    pub index: PartitionIndex,
    /// Everything below is on the disk. Every log that was opened has it, and the next.
    pub recovery_point: Option<Offset>,
    pub high_watermark: Option<Offset>,
    /// Only where the log's start is not its first segment's.
    pub log_start_offset: Option<Offset>,
    /// Only of compacted topics: the first offset that is not cleaned yet.
    pub first_dirty_offset: Option<Offset>,
}

/// What a core gives back when it stops.
pub struct StoppedCore {
    pub core: CoreId,
    pub logs: Vec<StoppedLog>,
}

/// A log that no core owns any more.
pub struct StoppedLog {
    pub topic: TopicName,
    pub index: PartitionIndex,
    pub log: Log,
    /// A job or a sync was still under way: nobody heard what came of it, so the log cannot be closed as if all were well.
    pub has_work_under_way: bool,
}

impl Shard {
    /// Takes a new image. When this returns, requests see it, new partitions take records and removed ones are gone. Returns the
    /// logs of removed partitions.
    pub fn apply(self: &Rc<Self>, change: ImageChange) -> Vec<StoppedLog> {
        let before = self.image.replace(Rc::new(change.image.clone()));
        *self.broker_config.borrow_mut() = Rc::new(change.broker_config);
        self.topic_configs.borrow_mut().clear();
        self.quotas.set(&change.image.client_quotas);
        for opened in change.opened {
            self.take_over(&change.image, opened);
        }
        self.reconfigure(&change.image, &change.reconfigured);
        let given_up = change.removed.iter().filter_map(|key| self.give_up(*key)).collect();
        self.refresh_groups(&before, &change.image);
        self.load_groups();
        self.let_go();
        given_up
    }

    /// Hands their topics' settings to open partitions.
    fn reconfigure(&self, image: &MetadataImage, reconfigured: &Reconfigured) {
        let concerns = |id: TopicId| match reconfigured {
            Reconfigured::Nobody => false,
            Reconfigured::Topics(topics) => topics.contains(&id),
            Reconfigured::Everybody => true,
        };
        if matches!(reconfigured, Reconfigured::Nobody) {
            return;
        }
        for partition in self.all_partitions().iter().filter(|partition| concerns(partition.key.topic_id)) {
            if let Some(topic) = image.topic_by_id(partition.key.topic_id) {
                partition.set_config(self.topic_config(topic));
            }
        }
    }

    /// Waits until the helper threads have done all that they were given for partitions that were removed: work goes by paths, and another
    /// topic may have them next.
    pub async fn finish_work_on(self: &Rc<Self>, removed: &[PartitionKey]) {
        for key in removed {
            // Behind all work of its order.
            self.offload(key.order(), || ()).await;
        }
    }

    /// Gives back every log. Tasks still running find no partition any more.
    pub fn give_up_all(self: &Rc<Self>) -> StoppedCore {
        let keys: Vec<PartitionKey> = self.partitions.borrow().keys().copied().collect();
        StoppedCore { core: self.core, logs: keys.into_iter().filter_map(|key| self.give_up(key)).collect() }
    }

    /// Ends every wait, so that connections can finish what they have begun.
    pub fn begin_stop(&self) {
        self.stopping.set(true);
        self.close_all_groups();
        self.waits.wake_all();
        if let Some(call) = self.stop_call.take() {
            self.calls.complete(call, Box::new(()));
        }
    }

    /// Waits for [`begin_stop`](Shard::begin_stop).
    pub async fn stop_begins(&self) {
        if !self.is_stopping() {
            let call = self.calls.open::<()>();
            self.stop_call.set(Some(call.id));
            call.await;
        }
    }

    /// Says that this core's connections are closed and waits until those of every core are. Until then requests that other cores
    /// have forwarded are answered: a core that ended earlier would leave their clients waiting.
    pub async fn all_connections_closed(&self) {
        let call = self.calls.open::<()>();
        self.closed_call.set(Some(call.id));
        self.report_connections_closed();
        call.await;
    }

    /// The control thread has heard it from every core.
    pub fn end_serving(&self) {
        if let Some(call) = self.closed_call.take() {
            self.calls.complete(call, Box::new(()));
        }
    }

    /// Waits until no job and no sync of a log of this core is under way, so that the logs can be closed. Bounded: a disk that hangs
    /// must not keep the broker from ending.
    pub async fn finish_jobs(&self) {
        for _ in 0..JOB_LOOKS_BEFORE_STOP_MAX {
            if !self.all_partitions().iter().any(|partition| partition.has_work_under_way()) {
                return;
            }
            sleep(Duration::from_millis(JOB_LOOK_MS)).await;
        }
        tracing::warn!("background work on the logs of core {} does not end; the next start will check those logs", self.core);
    }

    /// What the checkpoint files should say of this core's partitions.
    pub fn checkpoints(&self) -> Vec<PartitionCheckpoint> {
        self.all_partitions().iter().filter_map(|partition| partition.checkpoint().ok()).collect()
    }

    /// The effective settings of a topic, kept until the next image.
    pub fn topic_config(&self, topic: &TopicImage) -> Rc<TopicConfig> {
        let resolve = || Rc::new(TopicConfig::resolve(&self.broker_config(), &topic.configs));
        self.topic_configs.borrow_mut().entry(topic.id).or_insert_with(resolve).clone()
    }

    pub(super) fn take_over(self: &Rc<Self>, image: &MetadataImage, opened: OpenedPartition) {
        let OpenedPartition { key, log } = opened;
        let topic = image.topic_by_id(key.topic_id).expect("a partition is opened for a topic of the image");
        let partition = topic.partition(key.index).expect("a partition is opened for an index of its topic");
        let config = self.topic_config(topic);
        let previous = self.partitions.borrow_mut().insert(key, Partition::new(topic, partition, log, config));
        assert!(previous.is_none(), "a partition is opened once");
        if topic.name.as_str() == OFFSETS_TOPIC {
            self.open_groups(key);
        }
    }

    pub(super) fn give_up(self: &Rc<Self>, key: PartitionKey) -> Option<StoppedLog> {
        let partition = self.take_out(key)?;
        let has_work_under_way = partition.has_work_under_way();
        Some(StoppedLog { topic: partition.topic.clone(), index: key.index, log: partition.give_up(self)?, has_work_under_way })
    }

    /// Nobody finds the partition at this core from now on.
    pub(super) fn take_out(self: &Rc<Self>, key: PartitionKey) -> Option<Rc<Partition>> {
        self.close_groups(key);
        self.partitions.borrow_mut().remove(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::{run_here, yield_now};
    use crate::shard::message::{ControlRequest, Message};
    use crate::shard::test_cores::TestCores;

    #[test]
    fn a_removed_partition_is_finished_with_when_its_last_work_is_done() {
        run_here(async {
            let cores = TestCores::new(1, &[]);
            let (shard, key) = (cores.shard(0), cores.partition(0).key);
            cores.append(0, &[b"the first record of a leader epoch is noted in a file"]).unwrap();
            assert!(cores.partition(0).has_work_under_way());

            let image = cores.image.clone();
            let gone = shard.apply(ImageChange {
                image,
                broker_config: BrokerConfig::default(),
                opened: Vec::new(),
                removed: vec![key],
                reconfigured: Reconfigured::Nobody,
            });
            assert!(gone.len() == 1 && gone[0].has_work_under_way);
            let finished = crate::io::glommio::spawn({
                let shard = shard.clone();
                async move { shard.finish_work_on(&[key]).await }
            });
            let mut given = Vec::new();
            cores.control.drain(|_, message| match message {
                Message::Control(ControlRequest::Offload { order, work, reply }) => given.push((order, work, reply)),
                _ => panic!("the control thread is asked for blocking work alone"),
            });
            assert_eq!(given.iter().map(|(order, ..)| *order).collect::<Vec<_>>(), [key.order(); 2], "one behind the other");
            for (_, work, reply) in given {
                cores.control.send(0, reply.message(work())).ok().unwrap();
            }
            cores.settle();
            finished.await;
            yield_now().await;
        });
    }
}
