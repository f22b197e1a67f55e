//! The control thread's way to the cores: a question goes over the mesh as a closure, its answer comes back the same way.
//!
//! Lives on the control thread. Nothing here waits for a core that has ended: its answers never come, so questions are asked only
//! while all cores run.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use futures_lite::StreamExt;
use futures_lite::stream;
use tokio::sync::oneshot;

use crate::base::CoreId;
use crate::io::glommio::spawn;
use crate::io::mesh::MeshEnd;
use crate::shard::Shard;
use crate::shard::message::{Answer, Message};

pub struct Cores {
    mesh: MeshEnd<Message>,
    count: u16,
    next_question: Cell<u64>,
    open: RefCell<HashMap<u64, oneshot::Sender<Answer>>>,
}

impl Cores {
    /// `mesh` is the control thread's end: its nodes are the cores in order, then this thread.
    pub fn new(mesh: MeshEnd<Message>) -> Rc<Cores> {
        let count = u16::try_from(mesh.nodes() - 1).expect("there are at most a thousand cores");
        Rc::new(Cores { mesh, count, next_question: Cell::new(0), open: RefCell::default() })
    }

    /// Every core, in order.
    pub fn all(&self) -> impl Iterator<Item = CoreId> + use<> {
        (0..self.count).map(CoreId)
    }

    pub(super) fn send(&self, core: CoreId, message: Message) {
        if self.mesh.send(core.index(), message).is_err() {
            panic!("core {core} has stopped reading its messages: it is stuck, and so is every request for its partitions");
        }
    }

    /// Has a core answer a question at the end of its turn.
    /// The question has left when this returns.
    pub fn ask<T: Send + 'static, Q: FnOnce(&Rc<Shard>) -> T + Send + 'static>(
        &self,
        core: CoreId,
        question: Q,
    ) -> impl Future<Output = T> + use<T, Q> {
        let (number, answer) = self.open_question();
        self.send(
            core,
            Message::Run(Box::new(move |shard| {
                let answer = question(shard);
                shard.answer_control(number, Box::new(answer));
            })),
        );
        answer
    }

    /// As [`ask`](Cores::ask), for work that waits at the core.
    pub fn ask_later<T, Work, Q>(&self, core: CoreId, question: Q) -> impl Future<Output = T> + use<T, Work, Q>
    where
        T: Send + 'static,
        Work: Future<Output = T> + 'static,
        Q: FnOnce(Rc<Shard>) -> Work + Send + 'static,
    {
        let (number, answer) = self.open_question();
        self.send(
            core,
            Message::Run(Box::new(move |shard| {
                let shard = shard.clone();
                spawn(async move {
                    let answer = question(shard.clone()).await;
                    shard.answer_control(number, Box::new(answer));
                })
                .detach();
            })),
        );
        answer
    }

    fn open_question<T: Send + 'static>(&self) -> (u64, impl Future<Output = T> + use<T>) {
        let number = self.next_question.replace(self.next_question.get() + 1);
        let (sender, receiver) = oneshot::channel();
        self.open.borrow_mut().insert(number, sender);
        let answer = async move {
            let answer: Answer = receiver.await.expect("the sender stays in the table until the answer is here");
            *answer.downcast().expect("a question is answered with the type it was asked for")
        };
        (number, answer)
    }

    /// Has every core answer the same question; answers are in the order of the cores.
    pub async fn ask_all<T: Send + 'static>(&self, question: impl Fn(&Rc<Shard>) -> T + Clone + Send + 'static) -> Vec<T> {
        let asked: Vec<_> = self.all().map(|core| self.ask(core, question.clone())).collect();
        stream::iter(asked).then(|answer| answer).collect().await
    }

    pub(super) fn answered(&self, question: u64, answer: Answer) {
        if let Some(sender) = self.open.borrow_mut().remove(&question) {
            // An asker that is gone does not mind.
            let _ = sender.send(answer);
        }
    }

    /// The messages that have come.
    pub(super) fn drain(&self, receive: impl FnMut(usize, Message)) {
        self.mesh.drain(receive);
    }

    /// Returns when a message may have come.
    pub(super) async fn wait(&self) -> std::io::Result<()> {
        self.mesh.wait_on_tokio().await
    }
}
