//! The consumer groups of one core: those whose partition of `__consumer_offsets` this core owns.
//!
//! Lives on the core. The rules of groups stand in `coordinator`; this is the shell that hands it events and performs its
//! effects: answers to calls, batches to the partition, deadlines to the timer. Invariants:
//! - there is one [`GroupPartition`] for each partition of `__consumer_offsets` that the core owns, and it is `Active` only after
//!   the whole log was replayed;
//! - outcomes of writes are reported in the order of the writes;
//! - no coordinator is borrowed while an effect is performed.

mod load;
mod timer;
mod topics;
mod write;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::{CoreId, ErrorCode, IdMap, TopicName};
use crate::cluster::broker_config::{BrokerConfig, ConsumerGroupSettings};
use crate::cluster::image::{Advertise, MetadataImage, OFFSETS_TOPIC, TopicDeletion};
use crate::coordinator::consumer::assignor::Assignor;
use crate::coordinator::views::ListedGroup;
use crate::coordinator::{
    ConsumerGroupConfig, Effect, Event, GroupConfig, GroupCoordinator, GroupId, MigrationPolicy, RequestToken, Response, partition_of_group,
};
use crate::shard::Shard;
use crate::shard::calls::CallId;
use crate::shard::partition::{PartitionKey, owner};
use timer::{GroupClock, GroupTimer};
use topics::image_topics;
use write::Write;

/// The groups of one core.
pub struct Groups {
    partitions: RefCell<IdMap<PartitionKey, Rc<GroupPartition>>>,
    clock: GroupClock,
    timer: GroupTimer,
}

/// One partition of `__consumer_offsets` on the core that owns it.
struct GroupPartition {
    key: PartitionKey,
    state: RefCell<State>,
    /// Writes that have no outcome yet, in their order.
    writes: RefCell<VecDeque<Write>>,
    /// A task waits for the first of `writes`.
    is_awaiting_writes: Cell<bool>,
    is_load_started: Cell<bool>,
}

enum State {
    /// Its log is being replayed. `deleted_topics`: topics that went meanwhile.
    Loading {
        deleted_topics: Vec<TopicName>,
    },
    Active(Box<GroupCoordinator>),
    /// Its log could not be read.
    Failed,
    /// The partition is another core's or nobody's, or the broker stops.
    Closed,
}

impl Groups {
    pub(super) fn new() -> Groups {
        Groups { partitions: RefCell::default(), clock: GroupClock::start(), timer: GroupTimer::default() }
    }

    /// The partition with these groups.
    ///
    /// # Errors
    /// `NotCoordinator`: it is not here.
    fn partition(&self, key: PartitionKey) -> Result<Rc<GroupPartition>, ErrorCode> {
        self.partitions.borrow().get(&key).cloned().ok_or(ErrorCode::NotCoordinator)
    }

    fn all(&self) -> Vec<Rc<GroupPartition>> {
        self.partitions.borrow().values().cloned().collect()
    }
}

impl GroupPartition {
    fn new(key: PartitionKey) -> Rc<GroupPartition> {
        Rc::new(GroupPartition {
            key,
            state: RefCell::new(State::Loading { deleted_topics: Vec::new() }),
            writes: RefCell::default(),
            is_awaiting_writes: Cell::new(false),
            is_load_started: Cell::new(false),
        })
    }

    /// Works with the coordinator.
    ///
    /// # Errors
    /// Why there is none: `CoordinatorLoadInProgress`, `CoordinatorNotAvailable` or `NotCoordinator`.
    fn with<T>(&self, work: impl FnOnce(&mut GroupCoordinator) -> T) -> Result<T, ErrorCode> {
        match &mut *self.state.borrow_mut() {
            State::Active(coordinator) => Ok(work(coordinator)),
            State::Loading { .. } => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Failed => Err(ErrorCode::CoordinatorNotAvailable),
            State::Closed => Err(ErrorCode::NotCoordinator),
        }
    }
}

/// Where a group is coordinated: its partition of `__consumer_offsets` and that partition's core. `None`: the topic does not
/// exist yet.
fn place_of_group(image: &MetadataImage, group_id: &GroupId) -> Option<(PartitionKey, CoreId)> {
    let topic = image.topic(OFFSETS_TOPIC)?;
    let count = i32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)?;
    owner(topic, partition_of_group(group_id, count))
}

/// The settings of groups, of those of the broker.
fn group_config(broker: &BrokerConfig) -> GroupConfig {
    GroupConfig {
        session_timeout_ms_min: broker.groups.session_timeout_ms_min,
        session_timeout_ms_max: broker.groups.session_timeout_ms_max,
        initial_rebalance_delay_ms: broker.groups.initial_rebalance_delay_ms,
        group_size_max: broker.groups.size_max,
        offset_metadata_units_max: broker.groups.offset_metadata_units_max,
        offsets_retention_ms: broker.groups.offsets_retention_ms,
        consumer: consumer_config(&broker.groups.consumer),
        ..GroupConfig::default()
    }
}

fn consumer_config(settings: &ConsumerGroupSettings) -> ConsumerGroupConfig {
    let mut config = ConsumerGroupConfig::default();
    config.session_timeout_ms = settings.session_timeout_ms;
    config.heartbeat_interval_ms = settings.heartbeat_interval_ms;
    config.group_size_max = settings.size_max;
    config.migration = MigrationPolicy::parse(&settings.migration_policy).expect("checked when it was set");
    config.with_assignors(settings.assignors.iter().filter_map(|name| Assignor::parse(name)))
}

impl Shard {
    /// Hands a request to its group, at whichever core that is, and waits for the group's answer. The request takes effect in
    /// order with other requests for the group that this core has sent.
    ///
    /// # Errors
    /// There is no coordinator for the group, or not yet: `NotCoordinator`, `CoordinatorLoadInProgress`, `CoordinatorNotAvailable`.
    pub async fn ask_group(
        self: &Rc<Self>,
        group_id: GroupId,
        event: impl FnOnce(RequestToken) -> Event + Send + 'static,
    ) -> Result<Response, ErrorCode> {
        let (key, core) = place_of_group(&self.image(), &group_id).ok_or(ErrorCode::NotCoordinator)?;
        if core == self.core {
            return self.ask_group_here(key, &group_id, event).await;
        }
        self.ask_later(core, move |owner| async move { owner.ask_group_here(key, &group_id, event).await }).await
    }

    async fn ask_group_here(
        self: &Rc<Self>,
        key: PartitionKey,
        group_id: &GroupId,
        event: impl FnOnce(RequestToken) -> Event,
    ) -> Result<Response, ErrorCode> {
        let groups = self.groups.partition(key)?;
        let call = self.calls.open::<Response>();
        let event = event(RequestToken(call.id.to_number()));
        let now_ms = self.groups.clock.now_ms();
        let effects = groups.with(|coordinator| coordinator.step(now_ms, group_id, event))?;
        self.perform_group_effects(&groups, effects);
        Ok(call.await)
    }

    /// Looks at what the group's coordinator knows, at whichever core that is.
    ///
    /// # Errors
    /// As [`ask_group`](Shard::ask_group).
    pub async fn look_at_group<T: Send + 'static>(
        self: &Rc<Self>,
        group_id: &GroupId,
        look: impl FnOnce(&GroupCoordinator) -> T + Send + 'static,
    ) -> Result<T, ErrorCode> {
        let (key, core) = place_of_group(&self.image(), group_id).ok_or(ErrorCode::NotCoordinator)?;
        let look = move |shard: &Rc<Shard>| shard.groups.partition(key)?.with(|coordinator| look(coordinator));
        if core == self.core { look(self) } else { self.ask(core, look).await }
    }

    /// The groups of the broker that this core shows itself as: its own, or those of all cores where one broker stands for them.
    ///
    /// # Errors
    /// `CoordinatorLoadInProgress` if some are not known yet.
    pub async fn list_groups(self: &Rc<Self>) -> Result<Vec<ListedGroup>, ErrorCode> {
        let image = self.image();
        if image.advertise == Advertise::PerCore {
            return self.list_groups_here();
        }
        let mut listed = Vec::new();
        for core in (0..image.core_count).map(CoreId) {
            listed.extend(self.ask(core, |shard| shard.list_groups_here()).await?);
        }
        Ok(listed)
    }

    fn list_groups_here(&self) -> Result<Vec<ListedGroup>, ErrorCode> {
        let mut listed = Vec::new();
        for groups in self.groups.all() {
            match groups.with(|coordinator| coordinator.list()) {
                Ok(some) => listed.extend(some),
                Err(ErrorCode::CoordinatorLoadInProgress) => return Err(ErrorCode::CoordinatorLoadInProgress),
                // Its groups are told by whoever coordinates them, or by nobody.
                Err(_) => {}
            }
        }
        Ok(listed)
    }

    /// Performs effects in their order, those that come of them included.
    fn perform_group_effects(self: &Rc<Self>, groups: &Rc<GroupPartition>, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Respond { token, response } => self.answer_group_call(token, response),
                Effect::Persist { group_id, token, records } => effects.extend(self.persist(groups, group_id, token, &records)),
                Effect::ResolveRegexes { group_id, patterns } => self.resolve_regexes(groups, group_id, patterns),
            }
        }
        self.set_group_timer(groups);
    }

    fn answer_group_call(&self, token: RequestToken, response: Response) {
        self.calls.complete(CallId::from_number(token.0), Box::new(response));
    }

    /// A partition of `__consumer_offsets` has come to this core. Its groups are served once they are loaded.
    pub(super) fn open_groups(&self, key: PartitionKey) {
        self.groups.partitions.borrow_mut().insert(key, GroupPartition::new(key));
    }

    /// The partition leaves this core: whoever waits is told to look for the coordinator again.
    pub(super) fn close_groups(&self, key: PartitionKey) {
        let groups = self.groups.partitions.borrow_mut().remove(&key);
        if let Some(groups) = groups {
            self.unload(&groups);
        }
    }

    /// The broker stops: nobody waits for a group any more.
    pub(super) fn close_all_groups(&self) {
        for groups in self.groups.all() {
            self.unload(&groups);
        }
        self.groups.timer.wake(&self.calls);
    }

    fn unload(&self, groups: &GroupPartition) {
        if let State::Active(coordinator) = groups.state.replace(State::Closed) {
            for effect in coordinator.unload(self.groups.clock.now_ms()) {
                match effect {
                    Effect::Respond { token, response } => self.answer_group_call(token, response),
                    Effect::Persist { .. } | Effect::ResolveRegexes { .. } => unreachable!("a coordinator that ends asks for nothing more"),
                }
            }
        }
        groups.writes.borrow_mut().clear();
    }

    /// A new image: settings may have changed, topics may be gone, and with them their offsets.
    pub(super) fn refresh_groups(self: &Rc<Self>, before: &MetadataImage, after: &MetadataImage) {
        let is_new = |deletion: &&TopicDeletion| !before.deletions.contains_key(&deletion.id);
        let deleted: Vec<TopicName> = after.deletions.values().filter(is_new).map(|deletion| deletion.name.clone()).collect();
        let (config, topics) = (group_config(&self.broker_config()), image_topics(&self.image()));
        for groups in self.groups.all() {
            let _ = groups.with(|coordinator| {
                coordinator.set_config(config);
                coordinator.set_topics(&topics);
            });
            if !deleted.is_empty() {
                self.forget_topics(&groups, deleted.clone());
            }
        }
    }

    fn forget_topics(self: &Rc<Self>, groups: &Rc<GroupPartition>, topics: Vec<TopicName>) {
        if let State::Loading { deleted_topics } = &mut *groups.state.borrow_mut() {
            deleted_topics.extend(topics);
            return;
        }
        let now_ms = self.groups.clock.now_ms();
        if let Ok(effects) = groups.with(|coordinator| coordinator.topics_deleted(now_ms, topics)) {
            self.perform_group_effects(groups, effects);
        }
    }
}
