//! Received bytes, and parts of them that outlive the turn that brought them.
//!
//! On a core's thread. Invariant: once a part is kept the bytes never change, until the last part is gone; then the memory goes back to its pool.

use std::ops::{Deref, Range};
use std::rc::Rc;

use super::buffers::Buffers;

/// One buffer that was received into.
pub struct Received {
    bytes: Box<[u8]>,
    /// Where the memory goes in the end; `None`: it is freed.
    pool: Option<Rc<Buffers>>,
}

impl Received {
    /// Memory of a pool.
    pub(super) fn pooled(bytes: Box<[u8]>, pool: &Rc<Buffers>) -> Rc<Received> {
        Rc::new(Received { bytes, pool: Some(pool.clone()) })
    }

    /// Bytes of nobody's buffer.
    pub fn copied(bytes: &[u8]) -> Rc<Received> {
        Rc::new(Received { bytes: bytes.into(), pool: None })
    }

    /// The memory, to receive into; `None` while somebody keeps a part of it.
    pub(super) fn space(received: &mut Rc<Received>) -> Option<&mut [u8]> {
        Rc::get_mut(received).map(|received| &mut received.bytes[..])
    }

    /// Keeps a part.
    ///
    /// # Panics
    /// If `part` does not lie in this memory.
    pub fn keep(self: &Rc<Self>, part: &[u8]) -> Kept {
        let start =
            (part.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize).expect("the part lies behind the start of the buffer");
        let range = start..start + part.len();
        assert!(range.end <= self.bytes.len(), "the part ends within the buffer");
        Kept { received: self.clone(), range }
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give(std::mem::take(&mut self.bytes));
        }
    }
}

/// A part of received bytes.
pub struct Kept {
    received: Rc<Received>,
    range: Range<usize>,
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.received.bytes[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_kept_is_not_received_into() {
        let pool = Rc::new(Buffers::new());
        let mut received = Received::pooled(pool.take(1), &pool);
        Received::space(&mut received).expect("nobody keeps anything")[..4].copy_from_slice(b"abcd");
        let kept = received.keep(&received[1..3]);
        assert!(Received::space(&mut received).is_none());
        drop(received);
        assert_eq!((&kept[..], pool.pooled_bytes()), (&b"bc"[..], 0));
        drop(kept);
        assert!(pool.pooled_bytes() > 0, "the memory is back in the pool");
    }

    #[test]
    #[should_panic(expected = "buffer")]
    fn only_parts_of_it_can_be_kept() {
        let (one, other) = (Received::copied(&[1; 8]), Received::copied(&[2; 8]));
        let _kept = one.keep(&other);
    }
}
