//! What one core did for its partitions, counted. What its connections did stands in `net::traffic`.
//!
//! Plain cells of the core's own thread. Invariant: a counter never falls.

use std::cell::Cell;

crate::base::counters! {
    /// The counters of one core.
    Counters {
        /// Record batches appended.
        batches_appended,
        /// Bytes of record batches appended.
        bytes_appended,
        /// Writes for those batches: each takes what a round, or another core, brought for a partition.
        appends,
        /// Batches refused: wrong CRC, counts, size, codec, sequence.
        batches_refused,
        /// Batches that an idempotent producer sent once more, and that were not appended again.
        batches_repeated,
        /// Producers that a partition has forgotten before their time, because it had too many.
        producers_displaced,
        /// `fdatasync` calls that acknowledged appends.
        flushes,
        /// Reads that found an index or a header not in memory.
        cold_lookups,
        /// Fetches that waited for data.
        fetches_waited,
        /// Requests answered with a time to be silent, because of a quota.
        requests_throttled,
        /// Those times together, in ms.
        throttle_ms,
        /// Pieces of work sent to another core: requests for its partitions, and news for fetches that wait there.
        forwarded,
    }
}

/// Adds to a counter.
pub fn add(counter: &Cell<u64>, amount: u64) {
    counter.set(counter.get() + amount);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_shows_what_was_added_under_its_name() {
        let counters = Counters::default();
        add(&counters.bytes_appended, 7);
        add(&counters.bytes_appended, 5);
        assert!(counters.values().contains(&("bytes_appended", 12)));
        assert!(counters.values().contains(&("appends", 0)));
    }
}
