//! What the connections of one core have done, counted.
//!
//! On a core's thread: plain cells, read there and sent elsewhere as a copy. Invariant: every counter only grows, `open` excepted.

use std::cell::Cell;

crate::base::counters! {
    /// The counters of one core.
    Traffic {
        /// Connections accepted.
        accepted,
        /// Connections closed at once, because the core has as many as it may.
        refused,
        /// Connections open now.
        open,
        /// Connections closed by the broker for a reason that was logged: garbage, oversized requests, a service that gave up.
        closed_for_cause,
        /// Connections closed by the broker because nobody used them.
        closed_idle,
        /// Times that no descriptor was left for a connection.
        accepts_without_descriptor,
        /// Whole requests.
        requests,
        bytes_received,
        /// Times that a connection found its next request by itself, without asking the ring for it.
        reads_past_ring,
        bytes_sent,
        /// Answers sent whole.
        answers,
        /// Times that a socket took no more bytes and was waited for.
        sends_blocked,
        /// Bytes of files that went through memory.
        file_bytes_copied,
        /// Bytes of files that went from the page cache to the socket.
        file_bytes_spliced,
        /// Large pieces of files that went in turn, because others were served within the last second.
        pieces_in_turn,
        /// Times that an answer waited for bytes that were not in the page cache.
        cold_reads,
        /// The bytes that they waited for.
        cold_read_bytes,
        /// Times that the disk was asked for what lies behind an answer, before anybody wants it.
        read_aheads,
    }
}

pub(super) fn add(counter: &Cell<u64>, more: usize) {
    counter.set(counter.get() + more as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_names() {
        let traffic = Traffic::default();
        add(&traffic.cold_reads, 3);
        assert!(traffic.values().contains(&("cold_reads", 3)));
        assert!(traffic.values().contains(&("requests", 0)));
    }
}
