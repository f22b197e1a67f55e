//! Opens the logs of a data directory: what a start needs at once before the first request, the others behind it.
//!
//! Before the first request: any thread may open. Behind it: background threads open one after the other, what somebody waits for a helper thread opens at
//! once, and tasks of the control thread hand what is open to the cores. Invariants: every core holds back requests for a partition until its
//! owner has the log; until all are open no checkpoint is written and no change of the metadata begins, so that neither finds half of the partitions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::checkpoints::{Checkpoints, Lines, Unopened};
use super::cores::Cores;
use super::partitions::{self, Known, PartitionError};
use crate::base::{CoreId, PartitionIndex};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::{MetadataImage, TopicImage};
use crate::io::clock;
use crate::io::thread::{BackgroundThread, Share};
use crate::shard::OpenedPartition;
use crate::shard::partition::PartitionKey;

/// Threads that open logs behind the first request. On a machine that has just started each waits for the disk.
const THREADS: usize = 4;
/// Logs that such a thread opens in one go. Whoever waits for one of them waits for all, and a busy core lets it wait long.
const BACKGROUND_PIECE_PARTITIONS: usize = 2;
/// Logs that a helper thread opens in one go.
const PIECE_PARTITIONS: usize = 16;

/// A partition whose log is to be opened.
pub type Wanted = (Arc<TopicImage>, PartitionIndex);

/// A log with its core and what opening it came to, or why it stays closed.
pub type Opened = Result<(CoreId, partitions::Opened), Box<Unopened>>;

/// What came of a piece of work.
#[derive(Default)]
struct OpenedPiece {
    /// With their cores.
    opened: Vec<(CoreId, OpenedPartition)>,
    /// Those that stay closed.
    unopened: Vec<Unopened>,
    log_bytes_read: u64,
}

/// What all openings of a start share.
pub struct Opener {
    pub data_dir: PathBuf,
    pub broker_config: BrokerConfig,
    /// The last stop was a clean one.
    pub clean: bool,
    pub lines: Lines,
    pub bytes_checked: Arc<AtomicU64>,
    pub logs_open: AtomicUsize,
}

impl Opener {
    /// Opens one log. One that cannot be opened stays offline alone.
    pub fn open(&self, wanted @ (topic, index): &Wanted) -> Opened {
        let checkpoint = self.lines.of(&topic.name, *index);
        let known = Known {
            clean: self.clean,
            recovery_point: checkpoint.recovery_point,
            log_start_offset: checkpoint.log_start_offset,
            first_dirty_offset: checkpoint.first_dirty_offset,
            progress: Some(self.bytes_checked.clone()),
        };
        let partition = topic.partition(*index).expect("taken from this topic");
        let opened = partitions::open(&self.data_dir, &self.broker_config, topic, partition, known);
        self.logs_open.fetch_add(1, Ordering::Relaxed);
        opened.map(|opened| (partition.core, opened)).map_err(|error| Box::new(self.unopened(wanted, &error)))
    }

    fn unopened(&self, (topic, index): &Wanted, error: &PartitionError) -> Unopened {
        let why = format!("{}-{index} stays offline: {error}", topic.name);
        Unopened { topic_id: topic.id, checkpoint: self.lines.of(&topic.name, *index), why }
    }

    /// As [`open`](Self::open), for several, and makes durable what was made.
    fn open_durably(&self, piece: &[Wanted]) -> OpenedPiece {
        let mut done = OpenedPiece::default();
        for wanted in piece {
            let (core, partitions::Opened { partition, report, unsynced }) = match self.open(wanted) {
                Ok(opened) => opened,
                Err(reason) => {
                    done.unopened.push(*reason);
                    continue;
                }
            };
            done.log_bytes_read += report.log_bytes_read;
            if report.is_noteworthy() {
                tracing::warn!("{report}");
            }
            match partitions::make_durable(&self.data_dir, unsynced.as_slice()) {
                Ok(()) => done.opened.push((core, partition)),
                Err(error) => done.unopened.push(self.unopened(wanted, &error)),
            }
        }
        done
    }
}

/// What a start leaves to be opened behind the first request.
pub struct LeftToOpen {
    pub opener: Opener,
    pub wanted: Vec<Wanted>,
}

impl LeftToOpen {
    /// What requests have to wait for.
    pub fn keys(&self) -> Arc<[PartitionKey]> {
        self.wanted.iter().map(key_of).collect()
    }
}

/// The logs that are opened behind the first request.
pub(super) struct Opening {
    opener: Arc<Opener>,
    /// As every core has it: no change begins meanwhile.
    image: Arc<MetadataImage>,
    left: RefCell<Left>,
    threads: Cell<Vec<BackgroundThread>>,
    /// What somebody waits for, being opened.
    hurried: RefCell<JoinSet<()>>,
    /// Somebody waits for all.
    is_hurried: Cell<bool>,
    log_bytes_read: Cell<u64>,
    cores: Rc<Cores>,
    checkpoints: Rc<Checkpoints>,
}

impl Opening {
    /// Has the threads ready; nothing is opened before [`run`](Self::run).
    ///
    /// # Errors
    /// The host refuses a thread.
    pub(super) fn new(
        left: LeftToOpen,
        image: Arc<MetadataImage>,
        cores: Rc<Cores>,
        checkpoints: Rc<Checkpoints>,
    ) -> io::Result<Rc<Opening>> {
        let LeftToOpen { opener, wanted } = left;
        let threads = wanted.len().div_ceil(BACKGROUND_PIECE_PARTITIONS).min(THREADS);
        let start = |number| BackgroundThread::start(&format!("opener-{number}"), Share::Leftover);
        let threads: Vec<_> = (0..threads).map(start).collect::<io::Result<_>>()?;
        let (opener, left) = (Arc::new(opener), RefCell::new(Left::new(wanted)));
        let (threads, hurried, log_bytes_read) = (Cell::new(threads), RefCell::default(), Cell::new(0));
        let is_hurried = Cell::new(false);
        Ok(Rc::new(Opening { opener, image, left, threads, hurried, is_hurried, log_bytes_read, cores, checkpoints }))
    }

    /// Somebody waits for this one: it is opened beside the others, unless a thread has begun with it.
    pub(super) fn open_now(self: &Rc<Self>, key: PartitionKey) {
        let Some(wanted) = self.left.borrow_mut().take_one(key) else { return };
        let opening = self.clone();
        self.hurried.borrow_mut().spawn_local(async move {
            let opener = opening.opener.clone();
            let open = tokio::task::spawn_blocking(move || opener.open_durably(&[wanted]));
            let opened = open.await.expect("opening does not panic");
            opening.hand_over(vec![key], opened).await;
        });
    }

    /// Somebody waits for all: helper threads open beside the background, which a busy core leaves next to no time.
    pub(super) fn open_all_now(self: &Rc<Self>) {
        if !self.left.borrow().in_order.is_empty() && !self.is_hurried.replace(true) {
            let mut hurried = self.hurried.borrow_mut();
            (0..THREADS).for_each(|_| _ = hurried.spawn_local(self.clone().open_by_helper()));
        }
    }

    /// Opens all that is left and gives it to the cores.
    pub(super) async fn run(self: Rc<Self>) {
        let threads = self.threads.take();
        if threads.is_empty() {
            return;
        }
        let begun_ns = clock::monotonic_ns();
        // What is not open yet is in nobody's checkpoint.
        let no_checkpoints = self.checkpoints.pause().await;
        let mut lanes = JoinSet::new();
        for thread in threads {
            lanes.spawn_local(self.clone().open_in_background(thread));
        }
        while let Some(ended) = lanes.join_next().await {
            ended.expect("opening does not panic");
        }
        // Nothing is left that more of these could be made for.
        let mut hurried = self.hurried.take();
        while let Some(ended) = hurried.join_next().await {
            ended.expect("opening does not panic");
        }
        drop(no_checkpoints);
        let (logs, offline) = (self.opener.logs_open.load(Ordering::Relaxed), self.checkpoints.unopened().len());
        let how_many = if offline == 0 { format!("all {logs}") } else { format!("{} of {logs}", logs - offline) };
        tracing::info!(
            "{how_many} partitions are open, {} bytes of log read; the last {} ms behind the start",
            self.log_bytes_read.get(),
            (clock::monotonic_ns() - begun_ns) / 1_000_000
        );
    }

    async fn open_in_background(self: Rc<Self>, thread: BackgroundThread) {
        while let Some((keys, work)) = self.next_piece(BACKGROUND_PIECE_PARTITIONS) {
            let opened = thread.run(work).await;
            self.hand_over(keys, opened).await;
        }
    }

    async fn open_by_helper(self: Rc<Self>) {
        while let Some((keys, work)) = self.next_piece(PIECE_PARTITIONS) {
            let opened = tokio::task::spawn_blocking(work).await.expect("opening does not panic");
            self.hand_over(keys, opened).await;
        }
    }

    /// What is opened next, and how. `None` at the end.
    fn next_piece(&self, partitions_max: usize) -> Option<(Vec<PartitionKey>, impl FnOnce() -> OpenedPiece + Send + use<>)> {
        let piece = self.left.borrow_mut().take_piece(partitions_max);
        let (keys, opener) = (piece.iter().map(key_of).collect(), self.opener.clone());
        (!piece.is_empty()).then_some((keys, move || opener.open_durably(&piece)))
    }

    /// First the owners have the logs, or know that there are none, and then every core lets requests for them go on.
    async fn hand_over(&self, keys: Vec<PartitionKey>, piece: OpenedPiece) {
        self.log_bytes_read.set(self.log_bytes_read.get() + piece.log_bytes_read);
        for reason in piece.unopened {
            tracing::error!("{}", reason.why);
            self.checkpoints.keep_lines_of(reason);
        }
        let mut by_owner: BTreeMap<CoreId, (Vec<PartitionKey>, Vec<OpenedPartition>)> = BTreeMap::new();
        keys.iter().for_each(|key| by_owner.entry(self.owner_of(*key)).or_default().0.push(*key));
        piece.opened.into_iter().for_each(|(core, partition)| by_owner.entry(core).or_default().1.push(partition));
        let taking = by_owner.into_iter().map(|(core, (keys, opened))| {
            let image = self.image.clone();
            self.cores.ask(core, move |shard| shard.take_opened(&image, opened, &keys))
        });
        for taken in taking.collect::<Vec<_>>() {
            taken.await;
        }
        self.cores.ask_all(move |shard| shard.let_go_of_opened(&keys)).await;
    }

    fn owner_of(&self, key: PartitionKey) -> CoreId {
        let partition = self.image.topic_by_id(key.topic_id).and_then(|topic| topic.partition(key.index));
        partition.expect("it is opened because it stands in the image").core
    }
}

/// What no thread has begun with. Invariant: whatever is in `wanted` is in `in_order`.
struct Left {
    wanted: HashMap<PartitionKey, Wanted>,
    in_order: VecDeque<PartitionKey>,
}

impl Left {
    fn new(wanted: Vec<Wanted>) -> Left {
        let in_order = wanted.iter().map(key_of).collect();
        Left { wanted: wanted.into_iter().map(|wanted| (key_of(&wanted), wanted)).collect(), in_order }
    }

    fn take_one(&mut self, key: PartitionKey) -> Option<Wanted> {
        self.wanted.remove(&key)
    }

    /// The next piece of work. Empty at the end.
    fn take_piece(&mut self, partitions_max: usize) -> Vec<Wanted> {
        let mut piece = Vec::with_capacity(partitions_max);
        while piece.len() < partitions_max
            && let Some(key) = self.in_order.pop_front()
        {
            piece.extend(self.wanted.remove(&key));
        }
        piece
    }
}

fn key_of((topic, index): &Wanted) -> PartitionKey {
    PartitionKey { topic_id: topic.id, index: *index }
}
