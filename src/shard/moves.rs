//! Partitions on their way to a core: from another core of this node, or from the disk.
//!
//! Runs on the cores; `control/moves.rs` and `control/opening.rs` say what happens when. Between cores the log itself travels: no byte is copied, no file
//! closed. Invariants:
//! - while a partition is held, no core sends a record for it anywhere, so the order of a connection's batches is the same before and after;
//! - what was taken in for it before has been appended, and is as durable as its topic asks, when the log leaves;
//! - what is held goes on when the image that names the new core is here, or the owner has the log that was opened, so nobody finds a core that does not
//!   have the partition;
//! - a cleaning of the log goes on beside it: it is the log's, not a core's, and no files change places between the first step and the new core.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::base::limits::{JOB_LOOK_MS, SYNC_LOOK_MS};
use crate::base::{CoreId, IdSet};
use crate::cluster::image::MetadataImage;
use crate::io::glommio::sleep;
use crate::shard::calls::CallId;
use crate::shard::partition::{Partition, PartitionKey};
use crate::shard::{OpenedPartition, Shard};

/// What one core holds back.
#[derive(Default)]
pub(super) struct Moves {
    /// On their way from core to core.
    moving: RefCell<IdSet<PartitionKey>>,
    /// Of any core, and not open yet.
    unopened: RefCell<IdSet<PartitionKey>>,
    waiting: RefCell<Vec<CallId>>,
}

impl Shard {
    /// Whether requests for a partition have to wait, because it is on its way to its core.
    pub fn is_on_its_way(&self, key: PartitionKey) -> bool {
        let has = |held: &RefCell<IdSet<PartitionKey>>| {
            let held = held.borrow();
            !held.is_empty() && held.contains(&key)
        };
        has(&self.moves.moving) || has(&self.moves.unopened)
    }

    /// The core that owns a partition, once it is not on its way; `None`: the partition is gone. Whoever sends to that core before the next
    /// await finds the partition there.
    pub async fn place(&self, key: PartitionKey) -> Option<CoreId> {
        if self.moves.unopened.borrow().contains(&key) {
            self.open_now(key);
        }
        while self.is_on_its_way(key) {
            self.next_arrival().await;
        }
        let image = self.image();
        Some(image.topic_by_id(key.topic_id)?.partition(key.index)?.core)
    }

    /// Waits until every partition of the node is open, or cannot be opened.
    pub async fn all_opened(&self) {
        while !self.moves.unopened.borrow().is_empty() {
            self.next_arrival().await;
        }
    }

    async fn next_arrival(&self) {
        let call = self.calls.open::<()>();
        self.moves.waiting.borrow_mut().push(call.id);
        call.await;
    }

    /// Holds requests for these back until `let_go_of_opened`: their logs are opened behind the start.
    pub fn hold_unopened(&self, keys: &[PartitionKey]) {
        self.moves.unopened.borrow_mut().extend(keys);
    }

    /// Takes the logs that are open now of `keys`, all of them this core's. The others could not be opened.
    pub fn take_opened(self: &Rc<Self>, image: &MetadataImage, opened: Vec<OpenedPartition>, keys: &[PartitionKey]) {
        opened.into_iter().for_each(|opened| self.take_over(image, opened));
        // Others may let go first, and ask here at once.
        self.let_go_of_opened(keys);
    }

    /// The owners have these, or know that they cannot be opened.
    pub fn let_go_of_opened(&self, keys: &[PartitionKey]) {
        let mut unopened = self.moves.unopened.borrow_mut();
        keys.iter().for_each(|key| _ = unopened.remove(key));
        drop(unopened);
        self.tell_arrivals();
    }

    /// First step, at the old core: no new work for helper threads, and waits for what they have. Requests go on.
    pub async fn rest(self: Rc<Self>, keys: Vec<PartitionKey>) {
        let leaving = self.open_ones(&keys);
        leaving.iter().for_each(|partition| partition.rest());
        while leaving.iter().any(|partition| partition.has_jobs_under_way()) {
            sleep(Duration::from_millis(JOB_LOOK_MS)).await;
        }
    }

    /// Second step, at every core: holds requests back. Returns when what this core has sent before is done at the old cores: messages
    /// between two cores keep their order.
    pub async fn hold(self: Rc<Self>, keys: Vec<PartitionKey>, old_cores: Vec<CoreId>) {
        self.moves.moving.borrow_mut().extend(keys);
        for core in old_cores {
            self.ask(core, |_| ()).await;
        }
    }

    /// Third step, at the old core: what was taken in is appended, every append that waits for a sync is answered, then the logs leave.
    pub async fn part_with(self: Rc<Self>, keys: Vec<PartitionKey>) -> Vec<OpenedPartition> {
        keys.iter().for_each(|key| self.close_groups(*key));
        let leaving = self.open_ones(&keys);
        while leaving.iter().any(|partition| partition.has_work_under_way()) {
            sleep(Duration::from_millis(SYNC_LOOK_MS)).await;
        }
        let parted = keys.into_iter().filter_map(|key| {
            let partition = self.take_out(key)?;
            assert!(!partition.has_work_under_way(), "nobody is told of work that is under way when a log leaves");
            Some(OpenedPartition { key, log: partition.hand_over(&self)? })
        });
        parted.collect()
    }

    /// Fourth step, at the new core: the partitions lead in the epoch of `image`, which no core has seen yet.
    pub fn take_in(self: &Rc<Self>, image: &MetadataImage, arrived: Vec<OpenedPartition>) {
        for mut opened in arrived {
            let topic = image.topic_by_id(opened.key.topic_id);
            let partition = topic.and_then(|topic| topic.partition(opened.key.index)).expect("a partition that moves stays in the image");
            opened.log.assign_leader_epoch(partition.leader_epoch);
            self.take_over(image, opened);
        }
    }

    /// Last step, with the image that names the new cores: what was held goes on.
    pub(super) fn let_go(&self) {
        self.moves.moving.borrow_mut().clear();
        self.tell_arrivals();
    }

    fn tell_arrivals(&self) {
        for call in self.moves.waiting.take() {
            self.calls.complete(call, Box::new(()));
        }
    }

    /// One that could not be opened is nowhere, and moves in the image only.
    fn open_ones(&self, keys: &[PartitionKey]) -> Vec<Rc<Partition>> {
        keys.iter().filter_map(|key| self.partition(*key)).collect()
    }
}
