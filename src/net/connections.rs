//! All connections of one core: accepts them, starts a task for each, and ends them when the core stops.
//!
//! On a core's thread. Invariants: `open` holds exactly the connections whose task runs; one more than `options.connections_max` is closed at once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::buffers::Buffers;
use super::connection::serve;
use super::idle::Activity;
use super::large_turns::LargeTurns;
use super::ring_looks::RingLooks;
use super::service::{ConnectionInfo, Reply, Sent, Service};
use super::traffic::{Traffic, add};
use crate::base::limits::CONNECTIONS_PER_CORE_MAX;
use crate::io::Transfer;
use crate::io::clock::monotonic_ns;
use crate::io::glommio::{Listener, Pipe, Socket, sleep, spawn};

/// How often a stopping core looks whether its connections are done.
const SHUTDOWN_POLL: Duration = Duration::from_millis(5);

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    pub transfer: Transfer,
    /// Open connections of the core, at most [`CONNECTIONS_PER_CORE_MAX`].
    pub connections_max: usize,
    /// How long a connection may be idle, if [`Connections::close_idle`] runs; `None`: for ever.
    pub idle_max: Option<Duration>,
}

impl Default for ConnectionOptions {
    fn default() -> ConnectionOptions {
        ConnectionOptions { transfer: Transfer::Auto, connections_max: CONNECTIONS_PER_CORE_MAX, idle_max: None }
    }
}

/// The connections of one core, and what they share.
pub struct Connections<S: Service> {
    pub(super) service: Rc<S>,
    pub(super) options: ConnectionOptions,
    pub(super) buffers: Rc<Buffers>,
    /// None where the host gives none: then pages go by sendfile.
    pub(super) pipe: Option<Pipe>,
    pub(super) traffic: Traffic,
    /// Lists that are empty between turns, kept for their memory.
    pub(super) spare_replies: Cell<Vec<Reply>>,
    pub(super) spare_sent: Cell<Vec<Sent>>,
    pub(super) ring_looks: RingLooks,
    pub(super) large_turns: LargeTurns,
    open: RefCell<HashMap<u64, Rc<Control>>>,
    next_id: Cell<u64>,
    state: Cell<Stop>,
    /// Tasks that wait for the stop: the listeners.
    stop_waiters: RefCell<Vec<Waker>>,
}

impl<S: Service> Connections<S> {
    pub fn new(service: Rc<S>, options: ConnectionOptions) -> Rc<Connections<S>> {
        assert!(options.connections_max <= CONNECTIONS_PER_CORE_MAX);
        let pipe = Pipe::new().inspect_err(|error| tracing::info!(%error, "this core has no pipe: large pieces go by sendfile"));
        Rc::new(Connections {
            service,
            options,
            buffers: Rc::new(Buffers::new()),
            pipe: pipe.ok(),
            traffic: Traffic::default(),
            spare_replies: Cell::default(),
            spare_sent: Cell::default(),
            ring_looks: RingLooks::default(),
            large_turns: LargeTurns::default(),
            open: RefCell::default(),
            next_id: Cell::new(0),
            state: Cell::new(Stop::No),
            stop_waiters: RefCell::default(),
        })
    }

    /// The counters of this core's connections.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Accepts connections until `shutdown`.
    ///
    /// # Errors
    /// The listening socket broke.
    pub async fn accept_from(self: &Rc<Self>, listener: Listener) -> io::Result<()> {
        loop {
            let stopped = async {
                poll_fn(|context| self.poll_stopped(context)).await;
                None
            };
            let accepted = async {
                let no_descriptor = |error: &io::Error| {
                    add(&self.traffic.accepts_without_descriptor, 1);
                    tracing::warn!(%error, listener = %listener.local(), "no descriptor or memory for a connection: raise the limit of open files");
                };
                Some(listener.accept(no_descriptor).await)
            };
            match futures_lite::future::or(stopped, accepted).await {
                Some(Ok(socket)) => {
                    self.serve(socket);
                    // A storm of connections must not keep the others waiting.
                    self.ring_looks.look().await;
                }
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    }

    /// Starts the task of an accepted connection.
    pub fn serve(self: &Rc<Self>, socket: Socket) {
        if self.open.borrow().len() >= self.options.connections_max || self.is_stopping() {
            add(&self.traffic.refused, 1);
            tracing::warn!(peer = %socket.peer(), limit = self.options.connections_max, "connection refused: this core has as many as it may; `ulimit -n` allows for two descriptors each");
            return;
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        add(&self.traffic.accepted, 1);
        let control = Rc::new(Control::default());
        self.open.borrow_mut().insert(id, control.clone());
        self.traffic.open.set(self.open.borrow().len() as u64);
        let info = ConnectionInfo { id, peer: socket.peer(), local: socket.local() };
        let connections = self.clone();
        spawn(async move {
            connections.service.connected(&info);
            let aborted = poll_fn(|context| control.poll(context, Stop::Now));
            futures_lite::future::or(serve(&connections, socket, &info, &control), aborted).await;
            connections.service.disconnected(&info);
            connections.service.end_of_turn();
            connections.open.borrow_mut().remove(&info.id);
            connections.traffic.open.set(connections.open.borrow().len() as u64);
        })
        .detach();
    }

    /// Stops: no new connection is accepted and no request read; answers that are under way go out until `grace` is over, then what is left is cut. Returns
    /// when no connection is left.
    pub async fn shutdown(&self, grace: Duration) {
        self.stop(Stop::Gently);
        let deadline_ns = monotonic_ns() + grace.as_nanos() as u64;
        while !self.open.borrow().is_empty() && monotonic_ns() < deadline_ns {
            sleep(SHUTDOWN_POLL).await;
        }
        self.stop(Stop::Now);
        while !self.open.borrow().is_empty() {
            sleep(SHUTDOWN_POLL).await;
        }
    }

    fn stop(&self, stop: Stop) {
        self.state.set(stop);
        for control in self.controls() {
            control.set(stop);
        }
        for waker in self.stop_waiters.take() {
            waker.wake();
        }
    }

    /// The switches of the connections that are open.
    pub(super) fn controls(&self) -> Vec<Rc<Control>> {
        self.open.borrow().values().cloned().collect()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.get() != Stop::No
    }

    fn poll_stopped(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_stopping() {
            return Poll::Ready(());
        }
        let mut waiters = self.stop_waiters.borrow_mut();
        if !waiters.iter().any(|waker| waker.will_wake(context.waker())) {
            waiters.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// How a connection is told to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    #[default]
    No,
    /// Once the answers under way are out.
    Gently,
    Now,
}

/// The switch of one connection, and what tells whether it is used.
#[derive(Default)]
pub(super) struct Control {
    pub(super) activity: Activity,
    stop: Cell<Stop>,
    waker: RefCell<Option<Waker>>,
}

impl Control {
    pub(super) fn set(&self, stop: Stop) {
        self.stop.set(stop);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ready once the connection is told to end at least as fast as `stop` says.
    pub(super) fn poll(&self, context: &mut Context<'_>, stop: Stop) -> Poll<()> {
        if self.stop.get() >= stop {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.get() != Stop::No
    }
}
