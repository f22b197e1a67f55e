//! The last offset of each key in the dirty part of a log, in bounded memory.
//!
//! Plain memory; the cleaner's thread. A key is held as 128 bits of a keyed hash, whose secret is drawn anew for every map, so that nobody can choose two keys that
//! are taken for one. One entry has 24 bytes.
//!
//! Invariants: `entries <= entries_max < slots.len()`; what was put is found; a key that was never put is not (but for a chance of 2^-128 for each pair).

use std::hash::{BuildHasher, RandomState};

use crate::base::Offset;

/// Bytes of one entry: two halves of the digest, and the offset plus one (0: the slot is free).
pub const ENTRY_BYTES: usize = 24;

/// From a key to the last offset it was put with.
pub struct OffsetMap {
    slots: Vec<[u64; 3]>,
    entries: usize,
    entries_max: usize,
    hashers: [RandomState; 2],
}

impl OffsetMap {
    /// A map for up to `records` different keys, in at most `bytes_max` bytes of which `load_factor` (up to 1) may be in use.
    pub fn new(records: u64, bytes_max: usize, load_factor: f64) -> OffsetMap {
        let load_factor = load_factor.clamp(0.01, 1.0);
        let wanted = usize::try_from(records).unwrap_or(usize::MAX).saturating_add(1) as f64 / load_factor;
        // One slot always stays free, so that a search ends.
        let slots = (wanted as usize).saturating_add(1).min(bytes_max / ENTRY_BYTES).max(2);
        let entries_max = ((slots as f64 * load_factor) as usize).clamp(1, slots - 1);
        OffsetMap { slots: vec![[0; 3]; slots], entries: 0, entries_max, hashers: [RandomState::new(), RandomState::new()] }
    }

    /// Notes that `key` has a record at `offset`, which is above all earlier ones of it. False: there is no room for another key.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let slot = self.slot_of(key);
        let is_new = self.slots[slot.at][2] == 0;
        if is_new && self.entries == self.entries_max {
            return false;
        }
        self.entries += usize::from(is_new);
        self.slots[slot.at] = [slot.digest[0], slot.digest[1], offset.0 as u64 + 1];
        true
    }

    /// The last offset that was put for `key`.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slot_of(key);
        self.slots[slot.at][2].checked_sub(1).map(|offset| Offset(offset as i64))
    }

    /// Different keys.
    pub fn entries(&self) -> usize {
        self.entries
    }

    pub fn bytes(&self) -> usize {
        self.slots.len() * ENTRY_BYTES
    }

    /// The slot that holds the key, or the free one where it belongs.
    fn slot_of(&self, key: &[u8]) -> Slot {
        let digest = [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)];
        let slots = self.slots.len();
        let mut at = ((u128::from(digest[0]) * slots as u128) >> 64) as usize;
        while self.slots[at][2] != 0 && self.slots[at][..2] != digest {
            at = (at + 1) % slots;
        }
        Slot { at, digest }
    }
}

struct Slot {
    at: usize,
    digest: [u64; 2],
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = OffsetMap::new(1_000_000, 4 * ENTRY_BYTES, 0.75);
        assert_eq!(map.bytes(), 96);
        for offset in 0..3 {
            assert!(map.put(&[offset as u8], Offset(offset)));
        }
        assert!(!map.put(b"another", Offset(3)));
        assert!(map.put(&[1], Offset(4)));
        assert_eq!((map.get(&[0]), map.get(&[1]), map.get(b"another")), (Some(Offset(0)), Some(Offset(4)), None));
        assert_eq!(map.entries(), 3);
    }

    #[test]
    fn it_takes_no_more_memory_than_there_are_records() {
        assert!(OffsetMap::new(9, 1 << 30, 0.9).bytes() <= 13 * ENTRY_BYTES);
        assert!(OffsetMap::new(u64::MAX, 1 << 20, 0.9).bytes() <= 1 << 20);
        let mut least = OffsetMap::new(0, 0, 0.9);
        assert!(least.put(b"", Offset(0)) && !least.put(b"x", Offset(1)));
    }

    proptest! {
        #[test]
        fn it_is_a_map(puts in prop::collection::vec(0u16..300, 0..600), room in 1u64..400) {
            let mut map = OffsetMap::new(room, 1 << 20, 0.9);
            let mut model: HashMap<u16, Offset> = HashMap::new();
            for (offset, key) in puts.into_iter().enumerate() {
                let offset = Offset(offset as i64);
                if map.put(&key.to_be_bytes(), offset) {
                    model.insert(key, offset);
                } else {
                    prop_assert!(model.len() as u64 >= room && !model.contains_key(&key));
                }
            }
            for key in 0u16..300 {
                prop_assert_eq!(map.get(&key.to_be_bytes()), model.get(&key).copied());
            }
        }
    }
}
