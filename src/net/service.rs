//! The seam between connections and whoever answers requests.
//!
//! On a core's thread: nothing here is `Send`, and `turn` and `end_of_turn` never block. Invariants: one reply per frame, in the order of the frames
//! (Kafka's clients match answers to requests by order); what a connection reads in one go is handed over in one call, so that a
//! service can append all of it with one write.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use super::response::Response;

/// Whoever answers the requests of a core's connections.
pub trait Service: 'static {
    /// Takes the whole frames that a read brought, in order, and pushes one [`Reply`] for each. After a [`Reply::Close`] the frames behind it need none.
    ///
    /// The frames lie in a buffer that the next read overwrites: what is kept must be copied.
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
    /// The answer comes later; answers to later frames wait behind it. `bytes_held`: of requests that were copied for it.
    Later { future: Later, bytes_held: usize },
    /// No answer is sent (a Produce with acks = 0).
    Silent,
    /// The connection is closed once the answers before this one are out. The reason is for the log.
    Close(String),
}

impl Reply {
    /// A [`Reply::Later`] of any future that holds no copy of a request.
    pub fn later(future: impl Future<Output = Option<Response>> + 'static) -> Reply {
        Reply::later_holding(0, future)
    }

    /// A [`Reply::Later`] of any future that holds `bytes_held` bytes of requests.
    pub fn later_holding(bytes_held: usize, future: impl Future<Output = Option<Response>> + 'static) -> Reply {
        Reply::Later { future: Box::pin(future), bytes_held }
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

/// When frames arrived.
#[derive(Clone, Copy, Debug)]
pub struct FrameTiming {
    /// `io::clock::monotonic_ns` when the read returned that completed these frames.
    pub received_ns: u64,
}

/// What became of one answer. All times are `io::clock::monotonic_ns`; `received_ns <= ready_ns <= sent_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// [`Response::tag`] of the answer.
    pub tag: u16,
    /// Bytes on the wire.
    pub bytes: usize,
    /// The read returned that completed the request.
    pub received_ns: u64,
    /// The service had the answer.
    pub ready_ns: u64,
    /// The kernel had its last byte.
    pub sent_ns: u64,
}

/// Whole frames, one after the other, as they lie in the receive buffer. Yields each without its four bytes of length.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Frames<'a> {
    /// `bytes` holds exactly `count` whole frames: the caller walked them.
    pub(super) fn new(bytes: &'a [u8], count: usize) -> Frames<'a> {
        Frames { bytes, count }
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
        let frames = Frames::new(&bytes, 3);
        assert_eq!(frames.len(), 3);
        assert_eq!(frames.collect::<Vec<_>>(), [&[7, 8][..], &[], &[9]]);
        assert_eq!(Frames::new(&[], 0).next(), None);
    }
}
