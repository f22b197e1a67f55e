//! Random numbers that a failing test can be given again: SplitMix64.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Random {
    state: u64,
}

impl Random {
    /// Different in every run, unless `TEST_SEED` names one. Prints the seed, which a failing test shows.
    pub fn seeded() -> Random {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos() as u64;
        let seed = std::env::var("TEST_SEED").ok().map_or_else(now, |text| text.parse().expect("TEST_SEED is a number"));
        eprintln!("TEST_SEED={seed}");
        Random { state: seed }
    }

    /// A generator of its own, for another thread.
    pub fn split(&mut self) -> Random {
        Random { state: self.next() }
    }

    /// Sebastiano Vigna's public-domain splitmix64.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// # Panics
    /// If the range is empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        range.start + (self.next() % (range.end - range.start) as u64) as usize
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
