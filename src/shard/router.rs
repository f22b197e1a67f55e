//! The way to other threads: work for another core, changes for the control thread, blocking work for its helpers.
//!
//! Runs on the core. Messages between two threads arrive in the order in which they were sent, so requests of one connection
//! keep their order at every owner. Nothing here blocks.

use std::rc::Rc;

use crate::base::limits::MESH_BACKLOG_MAX;
use crate::base::{CoreId, ErrorCode};
use crate::cluster::controller::{Answer, Command, Refusal};
use crate::io::clock;
use crate::shard::calls::Call;
use crate::shard::histograms::Stage;
use crate::shard::message::{self, ControlRequest, CoreWork, LogDir, Message, ReplyTo};
use crate::shard::partition::PartitionKey;
use crate::shard::{Shard, counters};

/// A question to another core: where its answer goes, and since when it is awaited.
#[derive(Clone, Copy)]
struct Asked {
    reply: ReplyTo,
    at_ns: u64,
}

impl Shard {
    /// Sends work to `core`, which may be this one, without waiting for it.
    pub fn submit(self: &Rc<Self>, core: CoreId, work: CoreWork) {
        if core == self.core {
            work(self);
        } else {
            counters::add(&self.counters.forwarded, 1);
            self.send(core.index(), Message::Run(work));
        }
    }

    /// Has `core` answer a question at the end of its turn. The question has left when this returns; dropping the call gives
    /// up the answer, not the work.
    pub fn ask<T: Send + 'static>(self: &Rc<Self>, core: CoreId, question: impl FnOnce(&Rc<Shard>) -> T + Send + 'static) -> Call<T> {
        let call = self.calls.open::<T>();
        let asked = Asked { reply: ReplyTo { core: self.core, call: call.id }, at_ns: clock::monotonic_ns() };
        self.submit(core, Box::new(move |owner| owner.reply(asked, question(owner))));
        call
    }

    /// As [`ask`](Shard::ask), for work that waits at the other core.
    pub fn ask_later<T, Work>(self: &Rc<Self>, core: CoreId, question: impl FnOnce(Rc<Shard>) -> Work + Send + 'static) -> Call<T>
    where
        T: Send + 'static,
        Work: Future<Output = T> + 'static,
    {
        let call = self.calls.open::<T>();
        let asked = Asked { reply: ReplyTo { core: self.core, call: call.id }, at_ns: clock::monotonic_ns() };
        self.submit(
            core,
            Box::new(move |owner| {
                // The question is put now, in the order of arrival; only what it waits for comes later.
                let work = question(owner.clone());
                let owner = owner.clone();
                crate::io::glommio::spawn(async move {
                    let answer = work.await;
                    owner.reply(asked, answer);
                })
                .detach();
            }),
        );
        call
    }

    /// Carries an answer to the core that asked, where the way there and back is counted.
    fn reply<T: Send + 'static>(self: &Rc<Self>, asked: Asked, answer: T) {
        let Asked { reply: ReplyTo { core, call }, at_ns } = asked;
        if core == self.core {
            self.calls.complete(call, Box::new(answer));
        } else {
            let arrive = move |asker: &Rc<Shard>| {
                asker.histograms.record(Stage::Forward, clock::monotonic_ns().saturating_sub(at_ns));
                asker.calls.complete(call, Box::new(answer));
            };
            self.send(core.index(), Message::Run(Box::new(arrive)));
        }
    }

    /// Changes the cluster's metadata. Returns when the change is stored, every core has it and new partitions take records.
    pub fn change_metadata(self: &Rc<Self>, command: Command) -> Call<Result<Answer, Refusal>> {
        let call = self.calls.open();
        self.to_control(ControlRequest::Change { command, reply: ReplyTo { core: self.core, call: call.id } });
        call
    }

    /// Does blocking work on a helper thread. Work of one `order` runs in the order in which it was given.
    pub fn offload<T: Send + 'static>(self: &Rc<Self>, order: u64, work: impl FnOnce() -> T + Send + 'static) -> Call<T> {
        let call = self.calls.open();
        let reply = ReplyTo { core: self.core, call: call.id };
        self.to_control(ControlRequest::Offload { order, work: Box::new(move || Box::new(work())), reply });
        call
    }

    /// Has it written down where each log of the node starts. Resolves when what was moved before this call holds across a loss of power.
    pub fn checkpoint_log_starts(self: &Rc<Self>) -> Call<Result<(), ErrorCode>> {
        let call = self.calls.open();
        self.to_control(ControlRequest::CheckpointLogStarts { reply: ReplyTo { core: self.core, call: call.id } });
        call
    }

    /// Has a partition opened that somebody waits for.
    pub(super) fn open_now(&self, key: PartitionKey) {
        self.to_control(ControlRequest::OpenNow(key));
    }

    /// The data directory and the room that is left for it.
    pub fn log_dir(self: &Rc<Self>) -> Call<Result<LogDir, ErrorCode>> {
        let call = self.calls.open();
        self.to_control(ControlRequest::DescribeLogDir { reply: ReplyTo { core: self.core, call: call.id } });
        call
    }

    /// Answers a question of the control thread.
    pub fn answer_control(&self, question: u64, answer: message::Answer) {
        self.to_control(ControlRequest::Answered { question, answer });
    }

    /// Tells the control thread that no client of this core waits for anything any more.
    pub(super) fn report_connections_closed(&self) {
        self.to_control(ControlRequest::ConnectionsClosed);
    }

    /// Tells the control thread that this core has nothing under way any more.
    pub fn report_stopped(&self) {
        self.to_control(ControlRequest::Stopped);
    }

    fn to_control(&self, request: ControlRequest) {
        self.send(self.control_node, Message::Control(request));
    }

    fn send(&self, node: usize, message: Message) {
        if self.mesh.send(node, message).is_err() {
            // Requests stop long before there are so many, so this many only wait at a thread that is stuck for good.
            panic!("node {node} has stopped reading its messages: it is stuck, and so is every request for its partitions");
        }
    }

    /// Whether other threads keep up with what this core sends them. While not, it takes no more requests.
    pub fn has_room(&self) -> bool {
        self.mesh.backlog() < MESH_BACKLOG_MAX
    }

    /// Does what other threads have sent. Called at the end of every connection's turn, and by the task that waits for the
    /// doorbell when the core has nothing else to do. Returns how much that was.
    pub fn drain_mesh(self: &Rc<Self>) -> usize {
        self.mesh.drain(|_from, message| match message {
            Message::Run(work) => work(self),
            Message::Control(_) => unreachable!("control requests go to the control thread"),
        })
    }
}
