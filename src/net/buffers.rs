//! The memory that the connections of a core share: a pool of buffers.
//!
//! On a core's thread. A buffer is held only while bytes are in it, so an idle connection holds none. MEASURED: memory used anew costs about 2 CPU-seconds
//! per GB in page faults, so what was used is kept, up to a bound. Invariants: `pooled_bytes` is the sum of the pooled buffers and at most
//! `POOLED_BYTES_MAX`; a pooled buffer is initialised in full and has one of the class sizes.

use std::cell::{Cell, RefCell};

use crate::base::limits::FRAME_BUFFER_BYTES_MIN;

/// Sizes of pooled buffers: 64 KiB and 96 KiB, and each twice the one before the last. A frame with a batch of a power of two is a little longer than that, and
/// with twice the size for it half of the memory would be held for nothing.
const CLASSES: usize = 13;
/// The largest pooled size, 4 MiB.
pub(super) const POOLED_BUFFER_BYTES_MAX: usize = size_of_class(CLASSES - 1);
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
            None => zeroed(size_of_class(class)),
        }
    }

    /// Takes a buffer back: into the pool if it came from there and there is room.
    pub(super) fn give(&self, buffer: Box<[u8]>) {
        let pooled_bytes = self.pooled_bytes.get() + buffer.len();
        if let Some(class) = class_for(buffer.len())
            && buffer.len() == size_of_class(class)
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

const fn size_of_class(class: usize) -> usize {
    let power = FRAME_BUFFER_BYTES_MIN << (class / 2);
    if class.is_multiple_of(2) { power } else { power + power / 2 }
}

/// The smallest class that holds `bytes`; `None` above the largest.
fn class_for(bytes: usize) -> Option<usize> {
    let units = bytes.div_ceil(FRAME_BUFFER_BYTES_MIN).max(1).next_power_of_two();
    // The power of two that holds it, or the size between that one and the one before.
    let class = 2 * units.trailing_zeros() as usize;
    let class = if class > 0 && bytes <= size_of_class(class - 1) { class - 1 } else { class };
    (class < CLASSES).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_classes() {
        let unit = FRAME_BUFFER_BYTES_MIN;
        let expected = [(0, 1), (1, 1), (unit, 1), (3 * unit, 3), (3 * unit + 1, 4), (4 * unit, 4), (4 * unit + 1, 6), (64 * unit, 64)];
        for (bytes, units) in expected {
            assert_eq!(class_for(bytes).map(size_of_class), Some(units * unit), "{bytes}");
        }
        assert_eq!(class_for(unit + 1).map(size_of_class), Some(unit + unit / 2));
        for class in 0..CLASSES {
            assert_eq!((class_for(size_of_class(class)), class_for(size_of_class(class) - 1)), (Some(class), Some(class)));
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
