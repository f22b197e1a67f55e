//! Blocking work on helper threads, in order where order matters.
//!
//! Lives on the control thread; the work itself runs on tokio's blocking threads. Invariant: of one `order`, at most one piece is
//! under way, and pieces run in the order in which they were given.

use std::collections::{HashMap, VecDeque};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::shard::ReplyTo;
use crate::shard::message::Answer;

/// Looks at the data directory, one after the other: where the file system hangs, one thread waits for it.
pub(super) const LOG_DIR_ORDER: u64 = u64::MAX;

/// One piece of blocking work and who wants its answer.
pub(super) struct Work {
    pub order: u64,
    pub run: Box<dyn FnOnce() -> Answer + Send>,
    pub reply: ReplyTo,
}

/// A piece that is done.
pub(super) struct Done {
    order: u64,
    pub reply: ReplyTo,
    pub answer: Answer,
}

/// What waits, by order, and the way back from the helper threads.
pub(super) struct Helpers {
    /// An entry stands here while a piece of its order is under way; the queue holds those behind it.
    queues: HashMap<u64, VecDeque<Work>>,
    done_sender: UnboundedSender<Done>,
    done: UnboundedReceiver<Done>,
}

impl Helpers {
    pub(super) fn new() -> Helpers {
        let (done_sender, done) = unbounded_channel();
        Helpers { queues: HashMap::new(), done_sender, done }
    }

    /// Starts `work`, or queues it behind the work of the same order.
    pub(super) fn give(&mut self, work: Work) {
        if let Some(queue) = self.queues.get_mut(&work.order) {
            queue.push_back(work);
        } else {
            self.queues.insert(work.order, VecDeque::new());
            self.start(work);
        }
    }

    /// The next piece that is done. Cancel-safe.
    pub(super) async fn next_done(&mut self) -> Done {
        let done = self.done.recv().await.expect("we hold a sender ourselves");
        match self.queues.get_mut(&done.order).and_then(VecDeque::pop_front) {
            Some(next) => self.start(next),
            None => drop(self.queues.remove(&done.order)),
        }
        done
    }

    fn start(&self, work: Work) {
        let sender = self.done_sender.clone();
        tokio::task::spawn_blocking(move || {
            let Work { order, run, reply } = work;
            // The control thread is gone only when the process ends.
            let _ = sender.send(Done { order, reply, answer: run() });
        });
    }
}
