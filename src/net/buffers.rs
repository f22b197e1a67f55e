//! The memory that the connections of a core share: a pool of buffers.
//!
//! On a core's thread. A buffer is held only while bytes are in it, so an idle connection holds none. MEASURED: memory used anew costs about 2 CPU-seconds
//! per GB in page faults, so what was used is kept, up to a bound. Invariants: `pooled_bytes` is the sum of the pooled buffers and at most
//! `POOLED_BYTES_MAX`; a pooled buffer is initialised in full and has one of the class sizes.

use std::cell::{Cell, RefCell};

use crate::base::limits::FRAME_BUFFER_BYTES_MIN;

/// Sizes of pooled buffers: 64 KiB, and each twice the one before.
const CLASSES: usize = 7;
/// The largest pooled size, 4 MiB.
pub(super) const POOLED_BUFFER_BYTES_MAX: usize = FRAME_BUFFER_BYTES_MIN << (CLASSES - 1);
/// What one core keeps.
const POOLED_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) struct Buffers {
    pooled: RefCell<[Vec<Box<[u8]>>; CLASSES]>,
    pooled_bytes: Cell<usize>,
}

impl Buffers {
    pub(super) fn new() -> Buffers {
        Buffers { pooled: RefCell::default(), pooled_bytes: Cell::new(0) }
    }

    /// A buffer of at least `bytes`. Its content is whatever was there before.
    pub(super) fn take(&self, bytes: usize) -> Box<[u8]> {
        let Some(class) = class_for(bytes) else { return zeroed(bytes) };
        match self.pooled.borrow_mut()[class].pop() {
            Some(buffer) => {
                self.pooled_bytes.set(self.pooled_bytes.get() - buffer.len());
                buffer
            }
            None => zeroed(FRAME_BUFFER_BYTES_MIN << class),
        }
    }

    /// Takes a buffer back: into the pool if it came from there and there is room.
    pub(super) fn give(&self, buffer: Box<[u8]>) {
        let pooled_bytes = self.pooled_bytes.get() + buffer.len();
        if let Some(class) = class_for(buffer.len())
            && buffer.len() == FRAME_BUFFER_BYTES_MIN << class
            && pooled_bytes <= POOLED_BYTES_MAX
        {
            self.pooled_bytes.set(pooled_bytes);
            self.pooled.borrow_mut()[class].push(buffer);
        }
    }

    #[cfg(test)]
    pub(super) fn pooled_bytes(&self) -> usize {
        self.pooled_bytes.get()
    }
}

/// Memory that the system hands out zeroed, and that costs nothing until it is touched.
fn zeroed(bytes: usize) -> Box<[u8]> {
    vec![0; bytes].into_boxed_slice()
}

/// The smallest class that holds `bytes`; `None` above the largest.
fn class_for(bytes: usize) -> Option<usize> {
    let units = bytes.max(1).div_ceil(FRAME_BUFFER_BYTES_MIN).next_power_of_two();
    let class = units.trailing_zeros() as usize;
    (class < CLASSES).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_classes() {
        let unit = FRAME_BUFFER_BYTES_MIN;
        let expected = [(0, Some(0)), (1, Some(0)), (unit, Some(0)), (unit + 1, Some(1)), (3 * unit, Some(2)), (64 * unit, Some(6))];
        for (bytes, class) in expected {
            assert_eq!(class_for(bytes), class, "{bytes}");
        }
        assert_eq!(class_for(64 * unit + 1), None);
        assert_eq!(POOLED_BUFFER_BYTES_MAX, 64 * unit);
    }

    #[test]
    fn what_was_used_is_used_again_up_to_a_bound() {
        let buffers = Buffers::new();
        let mut first = buffers.take(100_000);
        assert_eq!(first.len(), 128 * 1024);
        first[0] = 7;
        buffers.give(first);
        assert_eq!(buffers.pooled_bytes(), 128 * 1024);
        assert_eq!(buffers.take(128 * 1024)[0], 7, "the same memory");
        assert_eq!(buffers.pooled_bytes(), 0);

        for buffer in [(); 20].map(|()| buffers.take(POOLED_BUFFER_BYTES_MAX)) {
            buffers.give(buffer);
        }
        assert_eq!(buffers.pooled_bytes(), POOLED_BYTES_MAX);
        buffers.give(vec![0; 12_345].into_boxed_slice());
        assert_eq!(buffers.pooled_bytes(), POOLED_BYTES_MAX, "odd sizes are not pooled");
        assert_eq!(buffers.take(POOLED_BUFFER_BYTES_MAX + 1).len(), POOLED_BUFFER_BYTES_MAX + 1);
    }
}
