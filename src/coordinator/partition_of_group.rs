//! Which partition of `__consumer_offsets` keeps a group.
//!
//! Invariant: `0 <= partition_of_group(id, n) < n`, and the same as Apache Kafka's, or a directory written by one broker
//! could not be served by the other.

use super::ids::GroupId;
use crate::base::PartitionIndex;

/// Kafka's `abs(groupId.hashCode()) % partitions`. `partitions` is the partition count of `__consumer_offsets`, at least 1.
pub fn partition_of_group(group_id: &GroupId, partitions: i32) -> PartitionIndex {
    assert!(partitions > 0, "__consumer_offsets has at least one partition");
    PartitionIndex(kafka_abs(java_hash_code(group_id.as_str())) % partitions)
}

/// Java's `String.hashCode`: over UTF-16 units, with wrapping.
fn java_hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Kafka's `Utils.abs`: the smallest integer, which has no absolute value, becomes 0.
fn kafka_abs(hash: i32) -> i32 {
    hash.checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(id: &str, partitions: i32) -> i32 {
        partition_of_group(&GroupId::new(id).unwrap(), partitions).0
    }

    #[test]
    fn hashes_are_javas() {
        assert_eq!(java_hash_code(""), 0);
        assert_eq!(java_hash_code("Aa"), java_hash_code("BB"));
        assert_eq!(java_hash_code("hello"), 99_162_322);
        // One character outside the basic plane counts as its two surrogates.
        assert_eq!(java_hash_code("😀"), 0xd83d * 31 + 0xde00);
    }

    #[test]
    fn the_smallest_hash_has_partition_zero() {
        // A well-known text whose Java hash is -2147483648.
        assert_eq!(java_hash_code("polygenelubricants"), i32::MIN);
        assert_eq!(partition("polygenelubricants", 50), 0);
    }

    #[test]
    fn groups_lie_where_apache_kafka_put_them() {
        // Directories of the Apache Kafka 4.3.0 fixture, four partitions.
        for (group, expected) in [
            ("group.txn", 1),
            ("group.partly", 1),
            ("group.often", 1),
            ("group.deleted", 2),
            ("group.classic", 3),
            ("group.consumer", 3),
            ("group.simple", 3),
        ] {
            assert_eq!(partition(group, 4), expected, "{group}");
        }
    }
}
