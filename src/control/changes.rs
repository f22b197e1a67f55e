//! Changes of the metadata, one after the other: decide, store, prepare the files, tell every core, answer.
//!
//! A task of the control thread. Invariants: the stored image is never older than what a core has seen; a core sees images in order;
//! an answer leaves only after every core has the image and new partitions take records.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};

use super::checkpoints::Checkpoints;
use super::cleaner::Cleaner;
use super::cores::Cores;
use super::moves::{self, Move};
use super::outage::Outage;
use super::{partitions, store};
use crate::base::{BrokerId, CoreId, ErrorCode, PartitionIndex};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::controller::{self, Answer, Applied, Command, Effect, Refusal};
use crate::cluster::image::{MetadataImage, TopicDeletion, TopicImage};
use crate::shard::message::Message;
use crate::shard::partition::PartitionKey;
use crate::shard::{ImageChange, OpenedPartition, Reconfigured, ReplyTo};

/// What the task of changes is told, in this order.
pub(super) enum Told {
    Change(Change),
    /// The broker stops: the cores are told as soon as the changes before this are done. Those behind it are refused, because a change
    /// needs every core.
    Stop,
}

/// One change and who asked for it.
pub(super) struct Change {
    pub command: Command,
    /// `None`: nobody waits for the answer.
    pub reply: Option<ReplyTo>,
}

/// What the task of changes shares with the loop that fills its queue.
pub(super) struct Queue {
    /// Changes that somebody waits for and that have not begun.
    pub waiting: Rc<Cell<usize>>,
    /// Where the background says that a deletion is finished. Weak, so that the queue ends with its other senders.
    pub finished: WeakUnboundedSender<Told>,
}

pub struct Changes {
    cores: Rc<Cores>,
    checkpoints: Rc<Checkpoints>,
    cleaner: Rc<Cleaner>,
    data_dir: PathBuf,
    /// As it was given at the start.
    broker_config: BrokerConfig,
    image: MetadataImage,
    queue: Queue,
    storing: Outage,
    making: Outage,
    stopping: bool,
}

impl Changes {
    pub(super) fn new(
        cores: Rc<Cores>,
        checkpoints: Rc<Checkpoints>,
        cleaner: Rc<Cleaner>,
        data_dir: PathBuf,
        broker_config: BrokerConfig,
        image: MetadataImage,
        queue: Queue,
    ) -> Changes {
        let (storing, making) = (Outage::default(), Outage::default());
        Changes { cores, checkpoints, cleaner, data_dir, broker_config, image, queue, storing, making, stopping: false }
    }

    /// Works changes off until nobody can send any more.
    pub(super) async fn run(mut self, mut told: UnboundedReceiver<Told>) {
        self.remove_leftovers().await;
        for deletion in self.image.deletions.values().cloned().collect::<Vec<_>>() {
            self.remove_files(deletion).await;
        }
        while let Some(told) = told.recv().await {
            let Told::Change(Change { command, reply }) = told else {
                self.stopping = true;
                self.cores.all().for_each(|core| self.cores.send(core, Message::Run(Box::new(|shard| shard.begin_stop()))));
                continue;
            };
            if reply.is_some() {
                self.queue.waiting.set(self.queue.waiting.get() - 1);
            }
            let answer = match self.stopping {
                true => Err(Refusal::new(
                    ErrorCode::NotController,
                    "this broker is stopping; ask again, another one or this one once it is back",
                )),
                false => self.change(command).await,
            };
            if let Some(reply) = reply {
                self.cores.send(reply.core, reply.message(Box::new(answer)));
            }
        }
    }

    async fn change(&mut self, command: Command) -> Result<Answer, Refusal> {
        let Applied { image, effects, answer } = controller::apply(&self.image, &self.own_config(), command)?;
        if image == self.image {
            return Ok(answer);
        }
        self.store(&image).await?;
        let before = std::mem::replace(&mut self.image, image);

        let mut opened: Vec<Vec<OpenedPartition>> = self.cores.all().map(|_| Vec::new()).collect();
        let mut removed: Vec<Vec<PartitionKey>> = self.cores.all().map(|_| Vec::new()).collect();
        let mut deletions = Vec::new();
        let mut reconfigured = Reconfigured::Nobody;
        let mut moves = Vec::new();
        let mut wanted = Vec::new();
        for effect in effects {
            match effect {
                Effect::CreatePartitions { topic, partitions } => {
                    wanted.extend(
                        partitions.into_iter().filter(|index| topic.partition(*index).is_some()).map(|index| (topic.clone(), index)),
                    );
                }
                Effect::DeleteTopic { deletion, topic } => {
                    for (core, key) in topic.iter().flat_map(|topic| placed(topic)) {
                        removed[core.index()].push(key);
                    }
                    self.checkpoints.forget(deletion.id);
                    deletions.push(deletion);
                }
                Effect::RemovePartitions { .. } => unreachable!("only taking back leads there"),
                Effect::TopicConfigsChanged { topic } => reconfigured = reconfigured.and_topic(topic.id),
                Effect::BrokerConfigsChanged => reconfigured = Reconfigured::Everybody,
                Effect::MovePartition { topic, partition, from, to } => {
                    moves.push(Move { key: PartitionKey { topic_id: topic, index: partition }, from, to });
                }
            }
        }
        if !wanted.is_empty() {
            match self.open(wanted).await {
                Ok(made) => made.into_iter().for_each(|(core, partition)| opened[core.index()].push(partition)),
                Err(refusal) => {
                    self.take_back_since(before).await;
                    return Err(refusal);
                }
            }
        }
        if !moves.is_empty() {
            // A log between two cores is in nobody's checkpoint.
            let _no_checkpoints = self.checkpoints.pause().await;
            moves::hand_over(&self.cores, &Arc::new(self.image.clone()), &moves).await;
        }
        self.tell_cores(opened, &removed, reconfigured).await;
        if !deletions.is_empty() {
            self.finish_work_on(removed).await;
            // A topic made anew under the name must not find the old one's offsets there after a crash.
            self.checkpoints.write_all(&self.cores, &self.data_dir).await;
        }
        for deletion in deletions {
            self.remove_files(deletion).await;
        }
        Ok(answer)
    }

    /// The host could not make what `before` does not have: it goes again, so that it may be asked for anew once the host can.
    async fn take_back_since(&mut self, before: MetadataImage) {
        let taken_back = controller::apply(&self.image, &self.own_config(), Command::TakeBackSince(Box::new(before)));
        let Applied { image, effects, .. } = taken_back.expect("taking back is never refused");
        // If even this cannot be stored, the next change stores it; a start before that makes what was asked for after all.
        let _ = self.store(&image).await;
        self.image = image;
        for effect in effects {
            match effect {
                Effect::DeleteTopic { deletion, .. } => self.remove_files(deletion).await,
                Effect::RemovePartitions { topic, from } => self.remove_partitions(topic, from).await,
                other => unreachable!("taking back does not lead to {other:?}"),
            }
        }
    }

    /// Removes the directories of partitions that no core has opened.
    async fn remove_partitions(&self, topic: Arc<TopicImage>, from: usize) {
        let data_dir = self.data_dir.clone();
        let removing = tokio::task::spawn_blocking(move || {
            let indexes = topic.partitions[from..].iter().map(|partition| partition.index);
            partitions::retire(&data_dir, &topic.name, topic.id, indexes).and_then(|retired| partitions::remove(&retired))
        });
        if let Err(error) = removing.await.expect("removing does not panic") {
            tracing::error!("{error}; remove the directories of partitions that the topic does not have by hand");
        }
    }

    /// The settings in force for the broker that makes the changes.
    fn own_config(&self) -> BrokerConfig {
        self.config_of(self.image.controller_id)
    }

    fn config_of(&self, broker: BrokerId) -> BrokerConfig {
        self.broker_config.of_broker(&self.image.broker_configs, broker)
    }

    async fn store(&self, image: &MetadataImage) -> Result<(), Refusal> {
        let (data_dir, image) = (self.data_dir.clone(), image.clone());
        let stored = tokio::task::spawn_blocking(move || store::write(&data_dir, &image)).await.expect("storing does not panic");
        self.storing.note("changes of the metadata are stored", &stored);
        stored.map_err(|error| Refusal::new(ErrorCode::KafkaStorageError, error.to_string()))
    }

    async fn open(&self, wanted: Vec<(Arc<TopicImage>, PartitionIndex)>) -> Result<Vec<(CoreId, OpenedPartition)>, Refusal> {
        let (data_dir, broker_config) = (self.data_dir.clone(), self.broker_config.clone());
        let opened = tokio::task::spawn_blocking(move || partitions::create(&data_dir, &broker_config, &wanted))
            .await
            .expect("opening does not panic");
        self.making.note("new partitions are made", &opened);
        opened.map_err(|error| Refusal::new(ErrorCode::KafkaStorageError, error.to_string()))
    }

    /// Shows the image to every core and waits until all have it.
    async fn tell_cores(&self, opened: Vec<Vec<OpenedPartition>>, removed: &[Vec<PartitionKey>], reconfigured: Reconfigured) {
        let image = Arc::new(self.image.clone());
        let mut told = Vec::new();
        for (core, (opened, removed)) in self.cores.all().zip(opened.into_iter().zip(removed)) {
            let broker_config = self.config_of(image.broker_of_core(core));
            let (image, removed, reconfigured) = (image.clone(), removed.clone(), reconfigured.clone());
            let change = ImageChange { image, broker_config, opened, removed, reconfigured };
            told.push(self.cores.ask(core, move |shard| drop(shard.apply(change))));
        }
        for told in told {
            told.await;
        }
    }

    /// Waits until no helper thread works for partitions that their cores gave up, and the cleaner does not either: the names of their directories are free
    /// afterwards.
    async fn finish_work_on(&self, removed: Vec<Vec<PartitionKey>>) {
        self.cleaner.leave(&removed.concat()).await;
        for (core, removed) in self.cores.all().zip(removed) {
            self.cores.ask_later(core, |shard| async move { shard.finish_work_on(&removed).await }).await;
        }
    }

    /// Removes the directories that an earlier process renamed and did not live to remove. Before the first change, so that they are not those
    /// of a deletion under way.
    async fn remove_leftovers(&self) {
        let data_dir = self.data_dir.clone();
        let removing = tokio::task::spawn_blocking(move || partitions::remove_leftovers(&data_dir));
        if let Err(error) = removing.await.expect("removing does not panic") {
            tracing::error!("{error}; the next start tries again");
        }
    }

    /// Renames a deleted topic's directories at once and removes them in the background.
    async fn remove_files(&self, deletion: TopicDeletion) {
        let id = deletion.id;
        let data_dir = self.data_dir.clone();
        let retiring = tokio::task::spawn_blocking(move || {
            let indexes = (0..deletion.partition_count).map(PartitionIndex);
            partitions::retire(&data_dir, &deletion.name, deletion.id, indexes)
        });
        let retired = retiring.await.expect("renaming does not panic");
        let finished = self.queue.finished.clone();
        tokio::task::spawn_local(async move {
            let removing = tokio::task::spawn_blocking(move || retired.and_then(|retired| partitions::remove(&retired)));
            match (removing.await.expect("removing does not panic"), finished.upgrade()) {
                // The loop may be gone; the next start finds the deletion in the store.
                (Ok(()), Some(changes)) => {
                    drop(changes.send(Told::Change(Change { command: Command::DeletionFinished(vec![id]), reply: None })));
                }
                (Ok(()), None) => {}
                (Err(error), _) => tracing::error!("{error}; the next start tries again"),
            }
        });
    }
}

fn placed(topic: &TopicImage) -> impl Iterator<Item = (CoreId, PartitionKey)> {
    topic.partitions.iter().map(|partition| (partition.core, PartitionKey { topic_id: topic.id, index: partition.index }))
}
