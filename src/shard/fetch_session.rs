//! One fetch session (KIP-227): the partitions that a consumer fetches, so that it names only what changed and hears only of what changed.
//!
//! Pure; lives on the core of the connection that began it. A partition whose reader has everything is at rest: it is not read again until it reports
//! news, so a fetch costs what its changes cost and not what its partitions cost.
//!
//! Invariants: a partition at rest was read at its end, and the client knows its high watermark and log start; `to_read` is in the order in
//! which partitions get their turn, and one whose records were sent goes behind all others; `epoch` is what the next request must say, never 0.

pub mod cache;
mod topics;

use std::collections::{BTreeMap, HashMap};

use crate::base::{CoreId, ErrorCode, LeaderEpoch, Offset, PartitionIndex};
use crate::cluster::image::MetadataVersion;
use crate::shard::partition::PartitionKey;
use crate::shard::waits::WaiterId;
use crate::wire::frame::TopicReference;
pub use topics::SessionTopic;
use topics::Topics;

/// The epoch of a request that wants a session made (KIP-227).
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants none, and the one it names closed.
pub const FINAL_EPOCH: i32 = -1;
/// No session.
pub const NO_SESSION: i32 = 0;

/// The epoch behind `epoch`; after the largest comes 1, because 0 would ask for a new session.
pub fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        FINAL_EPOCH => FINAL_EPOCH,
        i32::MAX => INITIAL_EPOCH + 1,
        epoch => epoch + 1,
    }
}

/// One partition's place in its session. Used again when the client forgets the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionSlot(pub u32);

/// Who is told of news of a partition at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionListener {
    pub session_id: i32,
    pub slot: SessionSlot,
}

/// Where a partition is, or why it is nowhere.
pub type Place = Result<(PartitionKey, CoreId), ErrorCode>;

/// What the client asks of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub current_leader_epoch: LeaderEpoch,
    pub offset: Offset,
    pub bytes_max: i32,
}

/// What a read of one partition found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub error: ErrorCode,
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
    pub records_bytes: usize,
}

/// A partition whose news the session must be told of, from `seen` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestingPartition {
    pub slot: SessionSlot,
    pub key: PartitionKey,
    pub core: CoreId,
    pub seen: Offset,
}

/// One partition of the session.
#[derive(Clone, Copy, Debug)]
pub struct SessionPartition {
    pub topic: u32,
    pub index: PartitionIndex,
    pub asked: Asked,
    pub place: Place,
    /// What the client was told; −1: nothing, or an error since.
    high_watermark: Offset,
    log_start_offset: Offset,
    /// Its place in the order of turns.
    turn: u64,
    at_rest: bool,
    /// Its core holds a listener for it.
    is_watched: bool,
}

pub struct FetchSession {
    /// Whether its requests call topics by their ids (version 13 and later) or by their names.
    pub uses_topic_ids: bool,
    epoch: i32,
    topics: Topics,
    partitions: Vec<Option<SessionPartition>>,
    free: Vec<u32>,
    by_index: HashMap<(u32, PartitionIndex), SessionSlot>,
    /// By turn; all that is not at rest.
    to_read: BTreeMap<u64, SessionSlot>,
    next_turn: u64,
    /// The image that places were looked up in.
    image_version: MetadataVersion,
    looked_at_all_ms: i64,
    has_news: bool,
    /// The fetch that waits for news.
    waiter: Option<WaiterId>,
}

impl FetchSession {
    pub fn new(uses_topic_ids: bool, image_version: MetadataVersion, now_ms: i64) -> FetchSession {
        FetchSession {
            uses_topic_ids,
            epoch: next_epoch(INITIAL_EPOCH),
            topics: Topics::default(),
            partitions: Vec::new(),
            free: Vec::new(),
            by_index: HashMap::new(),
            to_read: BTreeMap::new(),
            next_turn: 0,
            image_version,
            looked_at_all_ms: now_ms,
            has_news: false,
            waiter: None,
        }
    }

    /// How many partitions it holds.
    pub fn len(&self) -> usize {
        self.by_index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_index.is_empty()
    }

    /// What the next request must say.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// A request with the right epoch has come: the next one says the next.
    pub fn advance_epoch(&mut self) {
        self.epoch = next_epoch(self.epoch);
    }

    /// Adds a partition, or takes over what the client asks of it from now on. It keeps its turn.
    pub fn put(&mut self, topic: TopicReference<'_>, index: PartitionIndex, asked: Asked, place: impl FnOnce() -> Place) {
        let known = self.topics.find(topic).and_then(|topic| self.by_index.get(&(topic, index)));
        if let Some(&slot) = known {
            self.partition_mut(slot).asked = asked;
            return self.wake(slot);
        }
        let topic = self.topics.enter(topic);
        let partition = SessionPartition {
            topic,
            index,
            asked,
            place: place(),
            high_watermark: Offset(-1),
            log_start_offset: Offset(-1),
            turn: self.take_turn(),
            at_rest: false,
            is_watched: false,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.partitions[slot as usize] = Some(partition);
                SessionSlot(slot)
            }
            None => {
                self.partitions.push(Some(partition));
                SessionSlot(self.partitions.len() as u32 - 1)
            }
        };
        self.by_index.insert((topic, index), slot);
        self.to_read.insert(partition.turn, slot);
    }

    /// Takes a partition out. Returns where a listener waits for it.
    pub fn forget(&mut self, topic: TopicReference<'_>, index: PartitionIndex) -> Option<RestingPartition> {
        let topic = self.topics.find(topic)?;
        let slot = self.by_index.remove(&(topic, index))?;
        let partition = self.partitions[slot.0 as usize].take().expect("the index names partitions that are there");
        self.free.push(slot.0);
        self.to_read.remove(&partition.turn);
        self.topics.leave(topic);
        partition.watched(slot)
    }

    /// Everywhere a listener waits for this session: it ends.
    pub fn watched(&self) -> impl Iterator<Item = RestingPartition> {
        self.by_index.values().filter_map(|&slot| self.partition(slot).watched(slot))
    }

    /// Looks at every partition again if the image changed, or if it is long ago: what no news tell of (a log start that rose, a log that went offline)
    /// is found then.
    pub fn refresh(
        &mut self,
        image_version: MetadataVersion,
        now_ms: i64,
        look_ms: i64,
        place: impl Fn(TopicReference<'_>, PartitionIndex) -> Place,
    ) {
        let is_new = image_version != self.image_version;
        if !is_new && now_ms - self.looked_at_all_ms < look_ms {
            return;
        }
        (self.image_version, self.looked_at_all_ms) = (image_version, now_ms);
        for (slot, partition) in self.partitions.iter_mut().enumerate() {
            let Some(partition) = partition else { continue };
            if is_new {
                let before = std::mem::replace(&mut partition.place, place(self.topics.reference(partition.topic), partition.index));
                // A partition that went elsewhere has told its listeners and forgotten them.
                partition.is_watched &= before == partition.place;
            }
            if std::mem::replace(&mut partition.at_rest, false) {
                self.to_read.insert(partition.turn, SessionSlot(slot as u32));
            }
        }
    }

    /// All news so far are known: somebody looks at `to_read`.
    pub fn take_news(&mut self) {
        self.has_news = false;
    }

    /// The partitions to read, in the order in which they get their share of the answer.
    pub fn to_read(&self) -> impl ExactSizeIterator<Item = (SessionSlot, &SessionPartition)> {
        self.to_read.values().map(|&slot| (slot, self.partition(slot)))
    }

    pub fn is_at_rest(&self, slot: SessionSlot) -> bool {
        self.partitions.get(slot.0 as usize).is_some_and(|partition| partition.is_some_and(|partition| partition.at_rest))
    }

    pub fn topic(&self, topic: u32) -> &SessionTopic {
        self.topics.get(topic)
    }

    /// A partition reports that something changed; it has forgotten its listener. Returns the fetch that waits for that.
    pub fn heard(&mut self, slot: SessionSlot) -> Option<WaiterId> {
        let partition = self.partitions.get_mut(slot.0 as usize)?.as_mut()?;
        partition.is_watched = false;
        if !partition.at_rest {
            return None;
        }
        self.wake(slot);
        self.has_news = true;
        self.waiter
    }

    /// Whether something changed since the last `take_news`; from now on `waiter` is woken when it does.
    pub fn listen(&mut self, waiter: WaiterId) -> bool {
        self.waiter = Some(waiter);
        self.has_news
    }

    /// An answer is written from what was read. Returns whether this partition has to be in it, and counts it as told.
    pub fn answered(&mut self, slot: SessionSlot, seen: &Seen) -> bool {
        let turn = self.next_turn;
        // Forgotten meanwhile, by another request of the same session.
        let Some(partition) = self.partitions.get_mut(slot.0 as usize).and_then(Option::as_mut) else { return false };
        let has_records = seen.records_bytes > 0;
        let is_told = partition.high_watermark == seen.high_watermark && partition.log_start_offset == seen.log_start_offset;
        // As in Kafka: a partition that recovers from an error is told again in any case.
        partition.high_watermark = if seen.error.is_none() { seen.high_watermark } else { Offset(-1) };
        partition.log_start_offset = seen.log_start_offset;
        if has_records {
            let before = std::mem::replace(&mut partition.turn, turn);
            self.next_turn += 1;
            if self.to_read.remove(&before).is_some() {
                self.to_read.insert(turn, slot);
            }
        }
        has_records || !is_told || !seen.error.is_none()
    }

    /// Lets a partition rest if its reader has everything and knows it. Returns whom to ask for news, unless somebody was asked before.
    pub fn rest(&mut self, slot: SessionSlot, seen: &Seen) -> Option<RestingPartition> {
        let partition = self.partitions.get_mut(slot.0 as usize)?.as_mut()?;
        let is_told = partition.high_watermark == seen.high_watermark && partition.log_start_offset == seen.log_start_offset;
        let (key, core) = partition.place.ok()?;
        if !seen.error.is_none() || !is_told || partition.asked.offset < seen.high_watermark || partition.at_rest {
            return None;
        }
        partition.at_rest = true;
        let is_watched = std::mem::replace(&mut partition.is_watched, true);
        self.to_read.remove(&partition.turn);
        (!is_watched).then_some(RestingPartition { slot, key, core, seen: seen.high_watermark })
    }

    fn wake(&mut self, slot: SessionSlot) {
        let partition = self.partition_mut(slot);
        partition.at_rest = false;
        let turn = partition.turn;
        self.to_read.insert(turn, slot);
    }

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn - 1
    }

    fn partition(&self, slot: SessionSlot) -> &SessionPartition {
        self.partitions[slot.0 as usize].as_ref().expect("the index and the order name partitions that are there")
    }

    fn partition_mut(&mut self, slot: SessionSlot) -> &mut SessionPartition {
        self.partitions[slot.0 as usize].as_mut().expect("the index and the order name partitions that are there")
    }
}

impl SessionPartition {
    fn watched(&self, slot: SessionSlot) -> Option<RestingPartition> {
        let (key, core) = self.place.ok().filter(|_| self.is_watched)?;
        Some(RestingPartition { slot, key, core, seen: self.high_watermark })
    }
}

#[cfg(test)]
mod tests;
