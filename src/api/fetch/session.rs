//! Fetches of a session (KIP-227): finds or makes it, takes over what changed, and keeps what the client was told.
//!
//! Runs on the core of the connection. Invariant: no session is borrowed while a partition is asked or told anything, because what it answers may be
//! news for the session.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::plan::{Plan, find};
use crate::base::limits::{
    FETCH_SESSION_EVICTION_MS, FETCH_SESSION_LOOK_MS, FETCH_SESSION_PARTITIONS_PER_CORE_MAX, REQUEST_PARTITIONS_MAX,
};
use crate::base::{CoreId, ErrorCode};
use crate::io::{clock, entropy};
use crate::shard::Shard;
use crate::shard::fetch_session::cache::{CacheLimits, NewSession, SharedSession};
use crate::shard::fetch_session::{
    Asked, FINAL_EPOCH, FetchSession, INITIAL_EPOCH, NO_SESSION, RestingPartition, SessionListener, SessionSlot,
};
use crate::shard::partition::ReadAnswer;
use crate::shard::waits::{Listener, WaiterId, Watcher};
use crate::wire::fetch::{FetchPartition, FetchRequest, TOPIC_IDS};

/// The session of one fetch.
pub(super) struct Session {
    shared: SharedSession,
    /// [`NO_SESSION`] until it is kept, when its first answer is written.
    id: i32,
    /// What the session's epoch is as long as no other request of the session has come.
    epoch: i32,
    is_privileged: bool,
}

/// Finds the session that a request names, or makes the one it wants. `None`: a fetch without a session.
///
/// # Errors
/// The session is not known here, or this is not its next request.
pub(super) fn open(shard: &Rc<Shard>, version: i16, request: &FetchRequest<'_>) -> Result<Option<Session>, ErrorCode> {
    match request.session_epoch {
        INITIAL_EPOCH | FINAL_EPOCH => {
            close(shard, request.session_id);
            let wants_one = request.session_epoch == INITIAL_EPOCH && request.topics().len() > 0;
            Ok(wants_one.then(|| begin(shard, version, request)))
        }
        epoch => go_on(shard, version, epoch, request),
    }
}

fn begin(shard: &Shard, version: i16, request: &FetchRequest<'_>) -> Session {
    let mut session = FetchSession::new(version >= TOPIC_IDS, shard.image().version, now_ms());
    take_over(shard, &mut session, request);
    let epoch = session.epoch();
    Session { shared: Rc::new(RefCell::new(session)), id: NO_SESSION, epoch, is_privileged: request.replica_id.0 >= 0 }
}

fn go_on(shard: &Rc<Shard>, version: i16, epoch: i32, request: &FetchRequest<'_>) -> Result<Option<Session>, ErrorCode> {
    let id = request.session_id;
    let shared = shard.fetch_sessions.borrow().get(id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
    let mut forgotten = Vec::new();
    let (partitions, epoch) = {
        let session = &mut *shared.borrow_mut();
        if session.epoch() != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != (version >= TOPIC_IDS) {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        take_over(shard, session, request);
        for topic in request.forgotten_topics() {
            forgotten.extend(topic.partitions().filter_map(|index| session.forget(topic.topic, index)));
        }
        session.advance_epoch();
        (session.len(), session.epoch())
    };
    stop_listening(shard, id, forgotten);
    let is_within_limits = shard.fetch_sessions.borrow_mut().touch(id, partitions, now_ms(), limits(shard));
    if partitions == 0 || partitions > REQUEST_PARTITIONS_MAX || !is_within_limits {
        close(shard, id);
        // What is left of an empty one is what the request names. One that has grown too large: the client starts anew, and gets none.
        return if partitions == 0 { Ok(None) } else { Err(ErrorCode::FetchSessionIdNotFound) };
    }
    Ok(Some(Session { shared, id, epoch, is_privileged: false }))
}

/// Takes over the partitions that a request names.
fn take_over(shard: &Shard, session: &mut FetchSession, request: &FetchRequest<'_>) {
    let image = shard.image();
    for topic in request.topics() {
        for partition in topic.partitions {
            let FetchPartition { current_leader_epoch, fetch_offset: offset, partition_max_bytes: bytes_max, .. } = partition;
            let place = || find(&image, topic.topic, partition.partition);
            session.put(topic.topic, partition.partition, Asked { current_leader_epoch, offset, bytes_max }, place);
        }
    }
}

/// Ends a session, if there is one of that id.
fn close(shard: &Rc<Shard>, id: i32) {
    if id == NO_SESSION {
        return;
    }
    let removed = shard.fetch_sessions.borrow_mut().remove(id);
    if let Some(session) = removed {
        let watched = session.borrow().watched().collect();
        stop_listening(shard, id, watched);
    }
}

impl Session {
    /// Plans to read whatever may have something new.
    pub(super) fn plan(&self, shard: &Shard, plan: &mut Plan) {
        let image = shard.image();
        let session = &mut *self.shared.borrow_mut();
        session.refresh(image.version, now_ms(), FETCH_SESSION_LOOK_MS, |topic, index| find(&image, topic, index));
        session.take_news();
        plan.read_session(session);
    }

    /// Lets those partitions rest whose reader has everything: they report when they have more.
    pub(super) fn rest(&self, shard: &Rc<Shard>, plan: &Plan, answers: &[ReadAnswer]) {
        let resting = {
            let session = &mut *self.shared.borrow_mut();
            plan.seen(answers).filter_map(|(slot, seen)| session.rest(slot, &seen)).collect()
        };
        start_listening(shard, self.id, resting);
    }

    /// Whether the wait for this partition is the session's.
    pub(super) fn is_at_rest(&self, slot: SessionSlot) -> bool {
        self.shared.borrow().is_at_rest(slot)
    }

    /// Has news wake `waiter` from now on. Returns whether there are some already.
    pub(super) fn listen(&self, waiter: WaiterId) -> bool {
        self.shared.borrow_mut().listen(waiter)
    }

    /// Before the answer is written: leaves out of `plan` what the client knows, and keeps the session if it is new. Returns the error and the session id to
    /// answer with.
    pub(super) fn settle(mut self, shard: &Rc<Shard>, plan: &mut Plan, answers: &[ReadAnswer]) -> (ErrorCode, i32) {
        if self.shared.borrow().epoch() != self.epoch {
            // KIP-227: the client has sent the next request without waiting for this answer, or the same one twice.
            plan.partitions.clear();
            return (ErrorCode::InvalidFetchSessionEpoch, self.id);
        }
        if self.id == NO_SESSION {
            self.keep(shard);
        }
        if self.id != NO_SESSION {
            let mut resting = Vec::new();
            {
                let session = &mut *self.shared.borrow_mut();
                plan.retain(answers, |slot, seen| {
                    let is_told = session.answered(slot, seen);
                    resting.extend(session.rest(slot, seen));
                    is_told
                });
            }
            start_listening(shard, self.id, resting);
        }
        (ErrorCode::None, self.id)
    }

    /// Instead of [`settle`](Session::settle), for an answer that says nothing of any partition. A new session is not kept.
    pub(super) fn throttled(self) -> (ErrorCode, i32) {
        match self.shared.borrow().epoch() == self.epoch {
            true => (ErrorCode::None, self.id),
            false => (ErrorCode::InvalidFetchSessionEpoch, self.id),
        }
    }

    fn keep(&mut self, shard: &Rc<Shard>) {
        let new = NewSession { session: self.shared.clone(), is_privileged: self.is_privileged };
        let random = || u32::from_be_bytes(*entropy::uuid().first_chunk().expect("a UUID has sixteen bytes"));
        let kept = shard.fetch_sessions.borrow_mut().insert(new, shard.core, now_ms(), limits(shard), random);
        let Some((id, evicted)) = kept else { return };
        self.id = id;
        if let Some((id, evicted)) = evicted {
            let watched = evicted.borrow().watched().collect();
            stop_listening(shard, id, watched);
        }
    }
}

fn start_listening(shard: &Rc<Shard>, session_id: i32, resting: Vec<RestingPartition>) {
    let core = shard.core;
    let listen = move |owner: &Rc<Shard>, partition: RestingPartition| {
        let watcher = watcher(core, session_id, partition.slot);
        match owner.partition(partition.key) {
            Some(here) => here.watch(owner, watcher, partition.seen),
            // Gone meanwhile: reading again says so.
            None => owner.tell_watchers([watcher], u64::MAX),
        }
    };
    at_their_cores(shard, resting, listen);
}

fn stop_listening(shard: &Rc<Shard>, session_id: i32, watched: Vec<RestingPartition>) {
    let core = shard.core;
    let stop = move |owner: &Rc<Shard>, partition: RestingPartition| {
        if let Some(here) = owner.partition(partition.key) {
            here.unwatch(watcher(core, session_id, partition.slot));
        }
    };
    at_their_cores(shard, watched, stop);
}

/// Does something for each partition at the core that owns it: here at once, elsewhere with one message for each core.
fn at_their_cores(
    shard: &Rc<Shard>,
    partitions: Vec<RestingPartition>,
    act: impl Fn(&Rc<Shard>, RestingPartition) + Copy + Send + 'static,
) {
    let mut elsewhere: BTreeMap<CoreId, Vec<RestingPartition>> = BTreeMap::new();
    for partition in partitions {
        match partition.core == shard.core {
            true => act(shard, partition),
            false => elsewhere.entry(partition.core).or_default().push(partition),
        }
    }
    for (core, partitions) in elsewhere {
        shard.submit(core, Box::new(move |owner| partitions.into_iter().for_each(|partition| act(owner, partition))));
    }
}

fn watcher(core: CoreId, session_id: i32, slot: SessionSlot) -> Watcher {
    Watcher { core, listener: Listener::Session(SessionListener { session_id, slot }) }
}

fn limits(shard: &Shard) -> CacheLimits {
    CacheLimits {
        slots: shard.broker_config().fetch_sessions_max,
        partitions: FETCH_SESSION_PARTITIONS_PER_CORE_MAX,
        eviction_ms: FETCH_SESSION_EVICTION_MS,
    }
}

/// Never jumps.
fn now_ms() -> i64 {
    (clock::monotonic_ns() / 1_000_000) as i64
}
