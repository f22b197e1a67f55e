//! Messages between the threads of one process: every core, and the control thread.
//!
//! One lock-free ring per ordered pair of nodes, so that nobody ever contends for one; a node looks at its rings at the end of each turn, and a doorbell is rung only
//! for a node that waits. An end belongs to one thread (`Send`, not `Sync`). Invariants: messages of one pair arrive in the order in which they were
//! sent, each exactly once; a node that waits while mail is in one of its rings has been rung, or sees the mail itself: the sender publishes the message and
//! then looks at `waiting`, the receiver sets `waiting` and then looks at its rings, with a sequentially consistent fence between the two on both sides.

mod doorbell;
mod ring;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use doorbell::{Bell, Listener};
use ring::Ring;

use crate::base::limits::MESH_OVERFLOW_MAX;

/// Messages that one ring holds; a power of two. What does not fit waits at the sender.
const RING_SLOTS: usize = 256;
/// How long a node that has messages waiting for a full ring sleeps before it tries again.
const OVERFLOW_RETRY: Duration = Duration::from_millis(1);

/// The nodes of a process, wired to each other.
pub struct Mesh;

impl Mesh {
    /// Makes `nodes` ends, each of which can send to every one, itself included. Give each to its thread.
    ///
    /// # Errors
    /// No descriptors left for the doorbells.
    #[allow(clippy::new_ret_no_self)]
    pub fn new<T: Send>(nodes: usize) -> io::Result<Vec<MeshEnd<T>>> {
        let mut states = Vec::with_capacity(nodes);
        let mut listeners = Vec::with_capacity(nodes);
        for _ in 0..nodes {
            let (bell, listener) = doorbell::pair()?;
            states.push(NodeState { waiting: AtomicBool::new(false), bell });
            listeners.push(listener);
        }
        let shared = Arc::new(Shared {
            nodes: states,
            // rings[from * nodes + to]
            rings: (0..nodes * nodes).map(|_| Ring::new(RING_SLOTS)).collect(),
        });
        let end = |(node, listener)| MeshEnd {
            node,
            shared: shared.clone(),
            listener,
            overflow: (0..nodes).map(|_| RefCell::new(VecDeque::new())).collect(),
            overflowing: Cell::new(0),
            overflowed: Cell::new(0),
        };
        Ok(listeners.into_iter().enumerate().map(end).collect())
    }
}

struct Shared<T> {
    nodes: Vec<NodeState>,
    rings: Vec<Ring<T>>,
}

#[repr(align(128))]
struct NodeState {
    /// The node is about to sleep, or sleeps: whoever sends to it takes this down and rings.
    waiting: AtomicBool,
    bell: Bell,
}

/// What one thread holds of the mesh.
pub struct MeshEnd<T> {
    node: usize,
    shared: Arc<Shared<T>>,
    listener: Listener,
    /// Per receiver: messages that its ring had no room for. While it is not empty, later messages queue behind it.
    overflow: Vec<RefCell<VecDeque<T>>>,
    /// Messages in all of `overflow`.
    overflowing: Cell<usize>,
    overflowed: Cell<u64>,
}

impl<T: Send> MeshEnd<T> {
    /// The number of this node.
    pub fn node(&self) -> usize {
        self.node
    }

    /// The number of nodes; they are numbered from 0.
    pub fn nodes(&self) -> usize {
        self.shared.nodes.len()
    }

    /// Messages that wait here for full rings, now.
    pub fn backlog(&self) -> usize {
        self.overflowing.get()
    }

    /// Messages that found their ring full, since the start.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.get()
    }

    /// Sends a message. Never blocks.
    ///
    /// # Errors
    /// The message itself, if [`MESH_OVERFLOW_MAX`] messages to this receiver wait already: it does not keep up.
    pub fn send(&self, to: usize, message: T) -> Result<(), T> {
        let mut overflow = self.overflow[to].borrow_mut();
        self.move_overflow(to, &mut overflow);
        let refused = if overflow.is_empty() { self.push(to, message).err() } else { Some(message) };
        if let Some(message) = refused {
            if overflow.len() >= MESH_OVERFLOW_MAX {
                return Err(message);
            }
            overflow.push_back(message);
            self.overflowing.set(self.overflowing.get() + 1);
            self.overflowed.set(self.overflowed.get() + 1);
        }
        drop(overflow);
        self.ring_if_waiting(to);
        Ok(())
    }

    /// Hands every message that has arrived to `receive`, with the number of its sender, and moves on what waits for a full ring. A sender that keeps
    /// sending meanwhile is served again in the next call. Returns how many messages there were.
    pub fn drain(&self, mut receive: impl FnMut(usize, T)) -> usize {
        self.flush();
        let mut received = 0;
        for from in 0..self.nodes() {
            let ring = self.ring(from, self.node);
            for _ in 0..RING_SLOTS {
                // SAFETY: this end is the only receiver of the rings to `self.node`: ends are made once, one per node, and are not Sync.
                let Some(message) = (unsafe { ring.pop() }) else { break };
                received += 1;
                receive(from, message);
            }
        }
        received
    }

    /// Whether a message is waiting to be drained.
    pub fn has_mail(&self) -> bool {
        (0..self.nodes()).any(|from| !self.ring(from, self.node).is_empty())
    }

    /// Waits on a glommio executor until a message has arrived. May also return without one: drain, and wait again. One task of a node waits, no more.
    pub async fn wait(&self) {
        if self.may_sleep() {
            self.listener.heard_by_glommio().await;
        } else if !self.has_mail() {
            crate::io::glommio::sleep(OVERFLOW_RETRY).await;
        }
        crate::io::glommio::mark_activity();
        self.awake();
    }

    /// Waits on a tokio runtime with I/O and time enabled until a message has arrived; like [`MeshEnd::wait`] otherwise.
    ///
    /// # Errors
    /// The doorbell cannot be registered with the runtime.
    pub async fn wait_on_tokio(&self) -> io::Result<()> {
        if self.may_sleep() {
            self.listener.heard_by_tokio().await?;
        } else if !self.has_mail() {
            tokio::time::sleep(OVERFLOW_RETRY).await;
        }
        self.awake();
        Ok(())
    }

    /// Announces that this node goes to sleep, and looks once more. False if there is something to do.
    fn may_sleep(&self) -> bool {
        self.flush();
        if self.overflowing.get() > 0 || self.has_mail() {
            return false;
        }
        self.shared.nodes[self.node].waiting.store(true, Ordering::Relaxed);
        // Pairs with the fence in `ring_if_waiting`: either the sender sees `waiting`, or the look below sees its message.
        fence(Ordering::SeqCst);
        !self.has_mail()
    }

    fn awake(&self) {
        self.shared.nodes[self.node].waiting.store(false, Ordering::Relaxed);
        self.flush();
    }

    /// Moves messages that waited here into rings that have room again.
    fn flush(&self) {
        if self.overflowing.get() == 0 {
            return;
        }
        for to in 0..self.nodes() {
            let mut overflow = self.overflow[to].borrow_mut();
            if !overflow.is_empty() {
                self.move_overflow(to, &mut overflow);
                drop(overflow);
                self.ring_if_waiting(to);
            }
        }
    }

    fn move_overflow(&self, to: usize, overflow: &mut VecDeque<T>) {
        while let Some(message) = overflow.pop_front() {
            if let Err(message) = self.push(to, message) {
                overflow.push_front(message);
                return;
            }
            self.overflowing.set(self.overflowing.get() - 1);
        }
    }

    fn push(&self, to: usize, message: T) -> Result<(), T> {
        // SAFETY: this end is the only sender of the rings from `self.node`: ends are made once, one per node, and are not Sync.
        unsafe { self.ring(self.node, to).push(message) }
    }

    fn ring_if_waiting(&self, to: usize) {
        // Pairs with the fence in `may_sleep`.
        fence(Ordering::SeqCst);
        let node = &self.shared.nodes[to];
        if node.waiting.load(Ordering::Relaxed) && node.waiting.swap(false, Ordering::Relaxed) {
            node.bell.ring();
        }
    }

    fn ring(&self, from: usize, to: usize) -> &Ring<T> {
        &self.shared.rings[from * self.nodes() + to]
    }
}

#[cfg(test)]
mod tests;
