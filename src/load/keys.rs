//! Record keys: a fixed number of them, each of which belongs to the partition that Kafka's default partitioner gives it.
//!
//! Pure. Invariant: a key is written to one partition of a topic only, as by a producer that partitions by key.

use std::rc::Rc;

/// Bytes of every key: `k` and eleven digits.
pub const KEY_BYTES: usize = 12;

/// The text of a key.
pub fn key_bytes(number: u64) -> [u8; KEY_BYTES] {
    let mut bytes = [b'0'; KEY_BYTES];
    bytes[0] = b'k';
    let mut rest = number;
    for digit in bytes[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    bytes
}

/// The partition of a key: the positive part of its hash modulo the number of partitions (Kafka's BuiltInPartitioner).
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// The numbers among `0..keys` that belong to each partition of a topic.
pub fn by_partition(keys: u64, partitions: i32) -> Vec<Rc<[u64]>> {
    let mut of = vec![Vec::new(); partitions as usize];
    (0..keys).for_each(|number| of[partition_of(&key_bytes(number), partitions) as usize].push(number));
    of.into_iter().map(Rc::from).collect()
}

/// MurmurHash2 (Austin Appleby, public domain) with the seed that Kafka's clients agree on.
fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed = (mixed ^ (mixed >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    if !rest.is_empty() {
        rest.iter().enumerate().for_each(|(at, byte)| hash ^= u32::from(*byte) << (8 * at));
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    (hash ^ (hash >> 15)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_kafkas_clients() {
        // From the tests of Kafka's Utils.murmur2.
        for (key, hash) in
            [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536), ("abc", 479_470_107)]
        {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn every_key_has_one_partition() {
        let of = by_partition(1000, 7);
        let mut all: Vec<u64> = of.iter().flat_map(|numbers| numbers.iter().copied()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert!(of.iter().all(|numbers| numbers.len() > 90), "about even");
        assert_eq!(&key_bytes(9_000_000_042), b"k09000000042");
    }
}
