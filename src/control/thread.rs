//! The control thread's loop: messages from cores, work coming back from helper threads, the clock, signals.
//!
//! tokio's current-thread runtime. Nothing here blocks: what does goes to helper threads. Changes of the metadata run one after the
//! other in a task of their own, because each waits for the disk and for every core.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval};

use super::changes::{Change, Changes, Queue, Told};
use super::checkpoints::Checkpoints;
use super::cleaner::Cleaner;
use super::cores::Cores;
use super::helpers::{Helpers, LOG_DIR_ORDER, Work};
use super::log_dir;
use super::opening::{LeftToOpen, Opening};
use super::signals::{Signal, Signals};
use crate::base::ErrorCode;
use crate::base::limits::CHANGES_WAITING_MAX;
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::controller::{Answer, Refusal};
use crate::cluster::image::MetadataImage;
use crate::shard::histograms::StageSnapshot;
use crate::shard::message::{ControlRequest, Message};
use crate::shard::{CounterValues, ReplyTo};

/// What the loop tells its owner about.
pub trait Reports {
    /// What every core has measured, on SIGUSR1 and before a stop.
    fn histograms(&self, snapshots: &[StageSnapshot], counters: &[CounterValues]);
}

/// What the loop works with.
pub struct Control {
    pub cores: Rc<Cores>,
    pub data_dir: PathBuf,
    pub checkpoints: Rc<Checkpoints>,
    pub broker_config: BrokerConfig,
    pub image: MetadataImage,
    pub left: LeftToOpen,
    pub signals: Signals,
}

/// Runs until a signal ends it and every core has given its connections up.
///
/// # Errors
/// The host refuses the loop's own wake-up, or a thread.
pub async fn run(control: Control, reports: impl Reports) -> std::io::Result<()> {
    let Control { cores, data_dir, checkpoints, broker_config, image, left, mut signals } = control;
    let (change_sender, change_receiver) = unbounded_channel();
    let checkpoint_every = Duration::from_millis(broker_config.recovery_point_checkpoint_ms.max(1) as u64);
    let waiting = Rc::new(Cell::new(0));
    let queue = Queue { waiting: waiting.clone(), finished: change_sender.downgrade() };
    let cleaner = Cleaner::new(cores.clone(), checkpoints.clone(), data_dir.clone());
    let opening = Opening::new(left, Arc::new(image.clone()), cores.clone(), checkpoints.clone())?;
    let changes = Changes::new(cores.clone(), checkpoints.clone(), cleaner.clone(), data_dir.clone(), broker_config, image, queue);
    let directory = DataDirectory { path: data_dir.clone(), checkpoints: checkpoints.clone() };
    let tasks = LocalSet::new();
    // Ends with the tasks: its thread is told to stop by the cores, which give their logs up first.
    tasks.spawn_local(cleaner.run());
    let changing = {
        let opened = opening.clone().run();
        tasks.spawn_local(async move {
            opened.await;
            changes.run(change_receiver).await;
        })
    };
    let looping = async {
        let mut helpers = Helpers::new();
        let mut checkpoint = interval(checkpoint_every);
        checkpoint.set_missed_tick_behavior(MissedTickBehavior::Delay);
        checkpoint.tick().await;
        let mut running = Running::all(&cores);
        while running.cores > 0 {
            tokio::select! {
                waited = cores.wait() => {
                    waited?;
                    receive(&cores, &mut helpers, (&change_sender, &waiting), &mut running, &directory, &opening);
                }
                done = helpers.next_done() => cores.send(done.reply.core, done.reply.message(done.answer)),
                _ = checkpoint.tick() => {
                    // A checkpoint waits until all logs are open.
                    opening.open_all_now();
                    let (checkpoints, cores, data_dir) = (checkpoints.clone(), cores.clone(), data_dir.clone());
                    spawn_local(async move { checkpoints.write_all(&cores, &data_dir).await });
                }
                signal = signals.next() => {
                    if matches!(signal, Signal::Stop) {
                        opening.open_all_now();
                    }
                    obey(signal, &cores, &change_sender, &mut signals, &reports);
                }
            }
        }
        Ok(())
    };
    let ended = tasks.run_until(looping).await;
    drop(change_sender);
    tasks.run_until(changing).await.expect("the task of changes does not panic");
    ended
}

fn obey(signal: Signal, cores: &Rc<Cores>, changes: &UnboundedSender<Told>, signals: &mut Signals, reports: &impl Reports) {
    match signal {
        Signal::ShowHistograms => signals.shown_when_ready(collect(cores), false),
        Signal::Stop => {
            tracing::info!("stopping");
            signals.shown_when_ready(collect(cores), true);
        }
        Signal::HistogramsReady { shown, and_stop } => {
            let (snapshots, counters): (Vec<_>, Vec<_>) = shown.into_iter().unzip();
            reports.histograms(&snapshots, &counters);
            if and_stop {
                // The task of changes ends only after this loop; it stops the cores when the change under way is done.
                let _ = changes.send(Told::Stop);
            }
        }
    }
}

/// Asks every core for what it has measured. The answers come through the loop, so this waits beside it.
fn collect(cores: &Rc<Cores>) -> JoinHandle<Vec<(StageSnapshot, CounterValues)>> {
    let cores = cores.clone();
    spawn_local(async move { cores.ask_all(|shard| (shard.histograms.snapshot(shard.core), shard.counter_values())).await })
}

/// How many cores have not ended yet. Invariant: `serving <= cores`.
struct Running {
    cores: usize,
    /// Those with connections; the others still answer them.
    serving: usize,
}

impl Running {
    fn all(cores: &Cores) -> Running {
        let count = cores.all().count();
        Running { cores: count, serving: count }
    }

    fn connections_closed(&mut self, cores: &Cores) {
        self.serving -= 1;
        if self.serving == 0 {
            cores.all().for_each(|core| cores.send(core, Message::Run(Box::new(|shard| shard.end_serving()))));
        }
    }
}

/// The data directory, as far as cores ask about it.
struct DataDirectory {
    path: PathBuf,
    checkpoints: Rc<Checkpoints>,
}

impl DataDirectory {
    fn write_log_starts(&self, cores: &Rc<Cores>, asker: ReplyTo) {
        let (checkpoints, cores, path) = (self.checkpoints.clone(), cores.clone(), self.path.clone());
        spawn_local(async move { checkpoints.write_log_starts(&cores, &path, asker).await });
    }

    fn look(&self, reply: ReplyTo) -> Work {
        let path = self.path.clone();
        let look = move || {
            log_dir::describe(&path).map_err(|error| {
                tracing::error!("cannot look at {}: {error}", path.display());
                ErrorCode::KafkaStorageError
            })
        };
        Work { order: LOG_DIR_ORDER, run: Box::new(move || Box::new(look())), reply }
    }
}

/// Handles what has come.
fn receive(
    cores: &Rc<Cores>,
    helpers: &mut Helpers,
    (changes, waiting): (&UnboundedSender<Told>, &Cell<usize>),
    running: &mut Running,
    directory: &DataDirectory,
    opening: &Rc<Opening>,
) {
    let mut receive_one = |message| match message {
        Message::Control(ControlRequest::Change { reply, .. }) if waiting.get() == CHANGES_WAITING_MAX => {
            let message = format!("{CHANGES_WAITING_MAX} changes of the metadata wait already; ask again in a while");
            let refused: Result<Answer, Refusal> = Err(Refusal::new(ErrorCode::RequestTimedOut, message));
            cores.send(reply.core, reply.message(Box::new(refused)));
        }
        Message::Control(ControlRequest::Change { command, reply }) => {
            waiting.set(waiting.get() + 1);
            // The task of changes ends only after this loop.
            let _ = changes.send(Told::Change(Change { command, reply: Some(reply) }));
        }
        Message::Control(ControlRequest::Offload { order, work, reply }) => helpers.give(Work { order, run: work, reply }),
        Message::Control(ControlRequest::CheckpointLogStarts { reply }) => directory.write_log_starts(cores, reply),
        Message::Control(ControlRequest::DescribeLogDir { reply }) => helpers.give(directory.look(reply)),
        Message::Control(ControlRequest::OpenNow(key)) => opening.open_now(key),
        Message::Control(ControlRequest::Answered { question, answer }) => cores.answered(question, answer),
        Message::Control(ControlRequest::ConnectionsClosed) => running.connections_closed(cores),
        Message::Control(ControlRequest::Stopped) => running.cores -= 1,
        Message::Run(_) => unreachable!("work for cores goes to cores"),
    };
    cores.drain(|_from, message| {
        if needs_all_logs(&message) {
            opening.open_all_now();
        }
        receive_one(message);
    });
}

/// Whether this waits until every log is open.
fn needs_all_logs(message: &Message) -> bool {
    use ControlRequest::{Change, CheckpointLogStarts, DescribeLogDir};
    matches!(message, Message::Control(Change { .. } | CheckpointLogStarts { .. } | DescribeLogDir { .. }))
}
