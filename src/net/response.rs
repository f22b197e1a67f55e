//! An answer on its way to a client: bytes, and ranges of files that go from the page cache to the socket.
//!
//! A plain value, any thread. Invariant: each answer begins with the big-endian length of all that follows of it, file ranges included
//! (Kafka's framing); whoever encodes the answer writes it.

use bytes::Bytes;

use crate::io::FileRange;

/// One piece of an answer.
#[derive(Clone, Debug)]
pub enum Part {
    Bytes(Bytes),
    File(FileRange),
}

impl Part {
    pub fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::File(range) => range.len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An answer, or several that leave together. Most are only a head; a fetch adds ranges of files, with bytes between them.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// How many answers it is; 0: to requests that want none.
    pub answers: usize,
    /// How long the connection takes no requests once this is sent (KIP-219).
    pub mute_ms: i32,
    /// The bytes that come first, with the length in front.
    pub head: Vec<u8>,
    /// What follows, in order. Empty for most answers, and then without an allocation.
    pub rest: Vec<Part>,
}

impl Response {
    /// An answer of bytes alone. `head` starts with the length of what follows it, four bytes, big-endian.
    pub fn new(head: Vec<u8>) -> Response {
        Response { answers: 1, mute_ms: 0, head, rest: Vec::new() }
    }

    /// Adds bytes at the end.
    pub fn push_bytes(&mut self, bytes: impl Into<Bytes>) {
        self.rest.push(Part::Bytes(bytes.into()));
    }

    /// Adds a range of a file at the end. Its bytes must never change: they are read when they are sent.
    pub fn push_file(&mut self, range: FileRange) {
        self.rest.push(Part::File(range));
    }

    /// Bytes on the wire, the length field included.
    pub fn len(&self) -> usize {
        self.head.len() + self.rest.iter().map(Part::len).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that this answer holds in memory until it is sent; ranges of files cost nothing.
    pub fn bytes_held(&self) -> usize {
        let held = |part: &Part| if let Part::Bytes(bytes) = part { bytes.len() } else { 0 };
        self.head.len() + self.rest.iter().map(held).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::File;
    use std::sync::Arc;

    #[test]
    fn lengths_count_files_and_memory_does_not() {
        let file = Arc::new(File::open_read("/proc/self/exe".as_ref()).unwrap());
        let mut response = Response::new(vec![0; 8]);
        assert_eq!((response.len(), response.bytes_held()), (8, 8));
        response.push_file(FileRange { file, position: 0, len: 1000 });
        response.push_bytes(vec![1; 10]);
        assert_eq!((response.len(), response.bytes_held()), (1018, 18));
    }
}
