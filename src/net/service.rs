//! The seam between connections and whoever answers requests.
//!
//! On a core's thread: nothing here is `Send`, and `turn` and `end_of_turn` never block. Invariants: every frame is answered, in the order of the frames
//! (Kafka's clients match answers to requests by order); what a connection reads in one go is handed over in as few calls as bounds allow, in
//! memory that may be kept, so that a service can append all that several connections brought with one write.

use std::future::Future;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;

use super::received::Received;
use super::response::Response;

/// Whoever answers the requests of a core's connections.
pub trait Service: 'static {
    /// Takes whole frames of one read, in order, and pushes a [`Reply`] for each, or one for several that follow each other. After a
    /// [`Reply::Close`] the frames behind it need none.
    ///
    /// What outlives the call is copied or kept ([`Frames::memory`]).
    fn turn(&self, connection: &ConnectionInfo, frames: Frames<'_>, replies: &mut Vec<Reply>, timing: FrameTiming);

    /// Whether more requests may be handed over. While not, connections read nothing, and ask again after the ends of turns.
    fn has_room(&self) -> bool {
        true
    }

    /// Called once at the end of every turn of every connection task, also when the turn brought no frame: the moment to look at the mesh.
    fn end_of_turn(&self);

    /// The last byte of an answer was handed to the kernel.
    fn sent(&self, connection: &ConnectionInfo, sent: Sent) {
        let _ = (connection, sent);
    }

    /// A connection was accepted, before its first frame.
    fn connected(&self, connection: &ConnectionInfo) {
        let _ = connection;
    }

    /// A connection is closed, by whichever side; its unanswered requests are dropped.
    fn disconnected(&self, connection: &ConnectionInfo) {
        let _ = connection;
    }
}

/// An answer that is not there yet. `None` closes the connection. It is polled only once it is the next to be sent: whatever must happen
/// without waiting for earlier answers is done, or spawned, before it is returned. Dropped when the client goes away.
pub type Later = Pin<Box<dyn Future<Output = Option<Response>>>>;

/// What a service says to one frame.
pub enum Reply {
    /// The answer is ready.
    Now(Response),
    /// The answer to `requests` frames comes later; answers to later frames wait behind it. `bytes_held`: of requests that were copied for it. A
    /// [`Response`] of no bytes answers requests that want none (a Produce with acks = 0).
    Later { future: Later, requests: usize, bytes_held: usize },
    /// The connection is closed once the answers before this one are out. The reason is for the log.
    Close(String),
}

impl Reply {
    /// A [`Reply::Later`] to one frame, of any future that holds no copy of a request.
    pub fn later(future: impl Future<Output = Option<Response>> + 'static) -> Reply {
        Reply::later_holding(0, future)
    }

    /// A [`Reply::Later`] to one frame, of any future that holds `bytes_held` bytes of requests.
    pub fn later_holding(bytes_held: usize, future: impl Future<Output = Option<Response>> + 'static) -> Reply {
        Reply::Later { future: Box::pin(future), requests: 1, bytes_held }
    }

    /// How many frames it replies to.
    pub(crate) fn requests(&self) -> usize {
        match self {
            Reply::Later { requests, .. } => *requests,
            Reply::Now(_) | Reply::Close(_) => 1,
        }
    }
}

/// Who is at the other end. Lives as long as the connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Unique on this core for the life of the process.
    pub id: u64,
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

/// When frames arrived, and when they are handed over. Both are `io::clock::monotonic_ns`.
#[derive(Clone, Copy, Debug)]
pub struct FrameTiming {
    /// The read returned that completed these frames.
    pub received_ns: u64,
    /// Now, or as good as now.
    pub now_ns: u64,
}

/// What became of answers that were sent together. Both times are `io::clock::monotonic_ns`; `ready_ns <= sent_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// How many they are.
    pub answers: usize,
    /// The service had the answer.
    pub ready_ns: u64,
    /// The kernel had its last byte.
    pub sent_ns: u64,
}

/// Whole frames, one after the other, as they lie in the receive buffer. Yields each without its four bytes of length.
#[derive(Clone)]
pub struct Frames<'a> {
    memory: &'a Rc<Received>,
    bytes: &'a [u8],
    count: usize,
    is_passing: bool,
}

impl<'a> Frames<'a> {
    /// `range` of `memory` holds exactly `count` whole frames: the caller walked them. `is_passing`: the connection lets the memory go after this turn.
    pub(crate) fn new(memory: &'a Rc<Received>, range: Range<usize>, count: usize, is_passing: bool) -> Frames<'a> {
        Frames { memory, bytes: &memory[range], count, is_passing }
    }

    /// Where the frames lie: to keep parts of them.
    pub fn memory(&self) -> &'a Rc<Received> {
        self.memory
    }

    /// Whether keeping parts beyond the turn costs nothing. If not, the connection has to copy what came behind these frames.
    pub fn is_passing(&self) -> bool {
        self.is_passing
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.bytes.split_first_chunk::<4>()?;
        let (frame, rest) = rest.split_at(i32::from_be_bytes(*length) as usize);
        self.bytes = rest;
        self.count -= 1;
        Some(frame)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Frames<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_without_their_length() {
        let bytes = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        let memory = Received::copied(&bytes);
        let frames = Frames::new(&memory, 0..bytes.len(), 3, true);
        assert_eq!(frames.len(), 3);
        assert_eq!(frames.collect::<Vec<_>>(), [&[7, 8][..], &[], &[9]]);
        assert_eq!(Frames::new(&memory, 0..0, 0, true).next(), None);
    }
}
