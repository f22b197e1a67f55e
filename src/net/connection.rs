//! One connection: reads requests, hands them over, sends the answers in order.
//!
//! The task of a connection, on its core. Each turn: hand over what has come, look at the mesh, send what is ready, then wait for whichever is first: bytes, the
//! next answer, or the end. The ring is what tells of bytes; a busy connection looks for them itself, with looks at the ring in between. Invariants: nothing is read while answers cannot be written, or while there is no room for more of them; a passing
//! receive buffer is let go before any wait; a muted connection reads nothing (KIP-219); a turn is bounded in bytes and requests; `Service::end_of_turn` ends every turn.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future;

use super::connections::{Connections, Control, Stop};
use super::inbox::{FrameError, Inbox};
use super::outbox::{Front, Outbox};
use super::sender::{SendError, Sender, is_transient};
use super::service::{ConnectionInfo, FrameTiming, Reply, Sent, Service};
use super::traffic::add;
use crate::base::limits::{CONNECTION_MUTED_MS_MAX, CONNECTION_TURN_BYTES_MAX, PIPELINED_REQUESTS_MAX};
use crate::io::clock::monotonic_ns;
use crate::io::glommio::{Socket, mark_activity, sleep};

/// Requests handed to the service in one call. Bounds by how far the answers to one call can pass the limit of bytes that wait.
const FRAMES_PER_CALL_MAX: usize = 64;
/// How long a connection leaves a service alone that takes no more requests.
const NO_ROOM_RETRY: Duration = Duration::from_millis(1);

/// For how long connections of a core may go on by themselves before they have the ring looked at.
const PAST_RING_NS_MAX: u64 = 100_000;
/// A peer whose next request was not there by then is waited for by the ring so many times before it is looked for again.
const BY_RING_AFTER_MISS: u32 = 2;

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The peer closed it (`None`), or it broke: no news.
    Peer(Option<io::Error>),
    /// The broker stops.
    Stopped,
    /// The broker closes it, and says why.
    Cause(String),
}

/// Serves a connection until it ends, and logs the reason if it is worth it.
pub(super) async fn serve<S: Service>(core: &Connections<S>, socket: Socket, info: &ConnectionInfo, control: &Control) {
    let mut connection = Connection {
        core,
        socket,
        info,
        control,
        inbox: Inbox::default(),
        outbox: Outbox::default(),
        received_ns: 0,
        turn_bytes: 0,
        turn_requests: 0,
        waits_by_ring: 0,
        muted_until_ns: 0,
        was_full: false,
    };
    let end = connection.run().await;
    match end {
        End::Cause(reason) => {
            add(&core.traffic.closed_for_cause, 1);
            tracing::warn!(peer = %info.peer, connection = info.id, reason, "connection closed");
        }
        End::Peer(error) => tracing::debug!(peer = %info.peer, connection = info.id, ?error, "the client closed its connection"),
        End::Stopped => tracing::debug!(peer = %info.peer, connection = info.id, "connection closed: the broker stops"),
    }
}

struct Connection<'a, S: Service> {
    core: &'a Connections<S>,
    socket: Socket,
    info: &'a ConnectionInfo,
    control: &'a Control,
    inbox: Inbox,
    outbox: Outbox,
    /// When the last read returned.
    received_ns: u64,
    /// What was read and handed over since this task last gave way.
    turn_bytes: usize,
    turn_requests: usize,
    /// So many times more it waits by the ring without looking for the next request itself.
    waits_by_ring: u32,
    /// Before this nothing is read. 0: not muted.
    muted_until_ns: u64,
    /// The socket took no more pages when answers were last sent.
    was_full: bool,
}

/// What ended a wait.
enum Event {
    Received(usize),
    Answered,
    Stop,
    /// The service had no room and may have some now, or the muted time is over.
    LookAgain,
}

impl<S: Service> Connection<'_, S> {
    async fn run(&mut self) -> End {
        let mut now_ns = None;
        loop {
            mark_activity();
            let handed_over = self.hand_over(now_ns.take());
            self.inbox.settle(&self.core.buffers);
            self.core.service.end_of_turn();
            // What was asked before the bad frame is still answered.
            if let Err(end) = self.send_ready().await {
                return end;
            }
            if let Err(error) = handed_over {
                return End::Cause(error.to_string());
            }
            if self.control.is_stopping() && self.outbox.is_empty() {
                return End::Stopped;
            }
            if self.turn_bytes >= CONNECTION_TURN_BYTES_MAX || self.turn_requests >= PIPELINED_REQUESTS_MAX {
                (self.turn_bytes, self.turn_requests) = (0, 0);
                self.core.ring_looks.look().await;
            }
            if self.takes_requests() && self.inbox.has_whole_frame() {
                continue;
            }
            let (event, is_by_ring) = match self.read_past_ring().await {
                Some(read) => (read.map(Event::Received), false),
                None => (self.next_event().await, true),
            };
            match event {
                Ok(Event::Received(0)) => return End::Peer(None),
                Ok(Event::Received(bytes)) => {
                    self.received_ns = monotonic_ns();
                    now_ns = Some(self.received_ns);
                    if is_by_ring {
                        self.core.ring_looks.seen(self.received_ns);
                    }
                    self.control.activity.moved(self.received_ns);
                    self.turn_bytes += bytes;
                    add(&self.core.traffic.bytes_received, bytes);
                }
                Ok(Event::Answered | Event::Stop | Event::LookAgain) => {}
                Err(error) => return End::Peer(Some(error)),
            }
        }
    }

    /// Whether requests may be read and handed over now.
    fn takes_requests(&self) -> bool {
        self.outbox.has_room() && self.core.service.has_room() && !self.control.is_stopping() && self.muted_ns() == 0
    }

    /// How much longer no request is taken, because of what was answered.
    fn muted_ns(&self) -> u64 {
        // The clock is only looked at where there is a quota.
        if self.muted_until_ns == 0 { 0 } else { self.muted_until_ns.saturating_sub(monotonic_ns()) }
    }

    fn mute(&mut self, ms: i32) {
        let ms = ms.clamp(0, CONNECTION_MUTED_MS_MAX) as u64;
        if ms > 0 {
            self.muted_until_ns = self.muted_until_ns.max(monotonic_ns() + ms * 1_000_000);
        }
    }

    /// Hands whole frames to the service while there is room for their answers. `now_ns`: for who has just looked at the clock.
    fn hand_over(&mut self, mut now_ns: Option<u64>) -> Result<(), FrameError> {
        while self.takes_requests() {
            let frames_max = FRAMES_PER_CALL_MAX.min(self.outbox.room());
            let Some((frames, bytes)) = self.inbox.whole_frames(frames_max)? else { return Ok(()) };
            let count = frames.len();
            let mut replies = self.core.spare_replies.take();
            let timing = FrameTiming { received_ns: self.received_ns, now_ns: now_ns.unwrap_or_else(monotonic_ns) };
            self.core.service.turn(self.info, frames, &mut replies, timing);
            let closes = matches!(replies.last(), Some(Reply::Close(_)));
            let answered = replies.iter().map(Reply::requests).sum::<usize>();
            assert!(answered == count || closes, "{count} requests got replies to {answered}");
            let ready_ns = monotonic_ns();
            self.outbox.push(&mut replies, ready_ns);
            now_ns = Some(ready_ns);
            self.core.spare_replies.set(replies);
            self.inbox.consume(bytes);
            self.turn_requests += count;
            add(&self.core.traffic.requests, count);
        }
        Ok(())
    }

    /// Sends answers from the front as long as they are ready.
    async fn send_ready(&mut self) -> Result<(), End> {
        let mut front = self.outbox.pop();
        if matches!(front, Front::NotYet) {
            return Ok(());
        }
        let mut sent = self.core.spare_sent.take();
        let mut mute_ms = 0;
        let mut sender = Sender::new(self.core, &mut self.socket, &self.control.activity, self.was_full);
        let closed = loop {
            match front {
                Front::Ready(answer) => {
                    mute_ms = mute_ms.max(answer.response.mute_ms);
                    sent.push(Sent { answers: answer.response.answers, ready_ns: answer.ready_ns, sent_ns: 0 });
                    sender.send(answer.response).await.map_err(end_of)?;
                }
                Front::Close(reason) => break Err(End::Cause(reason)),
                Front::NotYet => break Ok(()),
            }
            front = self.outbox.pop();
        };
        sender.flush(false).await.map_err(end_of)?;
        self.was_full = sender.is_full();
        let sent_ns = monotonic_ns();
        if sender.is_small() {
            self.core.large_turns.served_another(sent_ns);
        }
        self.control.activity.moved(sent_ns);
        add(&self.core.traffic.answers, sent.iter().map(|sent| sent.answers).sum());
        for answer in sent.drain(..) {
            self.core.service.sent(self.info, Sent { sent_ns, ..answer });
        }
        self.core.spare_sent.set(sent);
        self.mute(mute_ms);
        closed
    }

    /// Lets the others of this core go first, has the ring looked at if that was long ago, and then looks whether the next request is there. While a core is busy it
    /// is, and asking the ring for it would cost as much as a small answer.
    async fn read_past_ring(&mut self) -> Option<io::Result<usize>> {
        if self.waits_by_ring > 0 {
            self.waits_by_ring -= 1;
            return None;
        }
        let is_answered = self.received_ns > 0 && self.outbox.is_empty() && self.inbox.expects_whole_frames();
        if !is_answered {
            return None;
        }
        if self.core.ring_looks.age_ns(self.received_ns) > PAST_RING_NS_MAX {
            self.core.ring_looks.look().await;
        } else {
            future::yield_now().await;
        }
        if !self.takes_requests() {
            return None;
        }
        let socket = &self.socket;
        let read = self.inbox.poll_read(&self.core.buffers, |space| match socket.try_read(space) {
            Err(error) if is_transient(&error) => Poll::Pending,
            result => Poll::Ready(result),
        });
        match read {
            Poll::Ready(read) => {
                add(&self.core.traffic.reads_past_ring, 1);
                Some(read)
            }
            Poll::Pending => {
                self.waits_by_ring = BY_RING_AFTER_MISS;
                None
            }
        }
    }

    /// Waits for bytes, for the answer at the front, or for the end.
    async fn next_event(&mut self) -> io::Result<Event> {
        self.control.activity.set_answer_awaited(!self.outbox.is_empty());
        let event = self.wait_by_ring().await;
        self.control.activity.set_answer_awaited(false);
        event
    }

    async fn wait_by_ring(&mut self) -> io::Result<Event> {
        // Asked once: each may be different a moment later, and then nobody would look again.
        let (is_stopping, muted_ns, has_room) = (self.control.is_stopping(), self.muted_ns(), self.core.service.has_room());
        let takes_requests = self.outbox.has_room() && has_room && !is_stopping && muted_ns == 0;
        if takes_requests && self.inbox.has_whole_frame() {
            // What held it back was over a moment ago.
            return Ok(Event::LookAgain);
        }
        let looks_again_in = match (muted_ns, has_room) {
            _ if is_stopping => None,
            (0, true) => None,
            (0, false) => Some(NO_ROOM_RETRY),
            (muted_ns, _) => Some(Duration::from_nanos(muted_ns)),
        };
        let event = poll_fn(|context| {
            if !is_stopping && self.control.poll(context, Stop::Gently).is_ready() {
                return Poll::Ready(Ok(Event::Stop));
            }
            if self.outbox.poll_front(context, monotonic_ns).is_ready() {
                return Poll::Ready(Ok(Event::Answered));
            }
            if !takes_requests {
                return Poll::Pending;
            }
            let socket = &mut self.socket;
            self.inbox.poll_read(&self.core.buffers, |space| socket.poll_read(context, space)).map_ok(Event::Received)
        });
        let Some(pause) = looks_again_in else { return event.await };
        // Nobody tells when the service has room, or when a muted time ends. Answers go out meanwhile.
        let look_again = async {
            sleep(pause).await;
            Ok(Event::LookAgain)
        };
        future::or(event, look_again).await
    }
}

fn end_of(error: SendError) -> End {
    match error {
        SendError::Peer(error) => End::Peer(Some(error)),
        SendError::File(error) => End::Cause(format!("an answer could not be read from its file: {error}")),
    }
}

#[cfg(test)]
mod tests;
