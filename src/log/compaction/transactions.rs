//! Which transactions were aborted, so that their records go, and when the markers that ended transactions may go too.
//!
//! `AbortedTransaction` is the format of `.txnindex`; `TransactionsSeen` is a pure state machine that is shown every batch in order. Kafka's rules
//! (CleanedTransactionMetadata): records of an aborted transaction go at once; a marker stays until a cleaning meets no batch of its transaction any more, and from
//! then on for `delete.retention.ms`; an abort that stays keeps its entry in the index.
//!
//! ```text
//! one entry of .txnindex, 34 bytes: version i16 (0), producer id i64, first offset i64, last offset i64 (the marker's), last stable offset i64
//! ```

use std::collections::{HashMap, HashSet};

use crate::base::{Offset, ProducerId};
use crate::wire::batch::BatchHeader;

pub const ENTRY_BYTES: usize = 34;

/// An entry of a transaction index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// The marker's.
    pub last_offset: Offset,
    pub last_stable_offset: Offset,
}

impl AbortedTransaction {
    /// The entries of an index file, up to what cannot be one.
    pub fn parse_all(bytes: &[u8]) -> Vec<AbortedTransaction> {
        bytes.as_chunks::<ENTRY_BYTES>().0.iter().map_while(AbortedTransaction::parse).collect()
    }

    fn parse(bytes: &[u8; ENTRY_BYTES]) -> Option<AbortedTransaction> {
        let number = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let entry = AbortedTransaction {
            producer_id: ProducerId(number(2)),
            first_offset: Offset(number(10)),
            last_offset: Offset(number(18)),
            last_stable_offset: Offset(number(26)),
        };
        (bytes[..2] == [0, 0] && entry.first_offset <= entry.last_offset).then_some(entry)
    }

    pub fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let numbers = [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0];
        for (field, number) in bytes[2..].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }
}

/// What a control record ends. Its key: version i16, type i16 (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Abort,
    Commit,
    /// Of Kafka's own (KRaft): always kept.
    Other,
}

impl Marker {
    pub fn parse(key: Option<&[u8]>) -> Marker {
        match key {
            Some([_, _, 0, 0, ..]) => Marker::Abort,
            Some([_, _, 0, 1, ..]) => Marker::Commit,
            _ => Marker::Other,
        }
    }
}

/// Goes along the batches of a log, oldest first.
#[derive(Debug, Default)]
pub struct TransactionsSeen {
    /// Aborted ones whose first offset lies ahead, the next one last.
    ahead: Vec<AbortedTransaction>,
    /// Aborted ones within their offsets, and whether a batch of them was met.
    aborted: HashMap<ProducerId, (AbortedTransaction, bool)>,
    /// Those of whom a batch was met that nobody aborts.
    committed: HashSet<ProducerId>,
    /// Aborted ones whose marker stays: for the index of the cleaned segment.
    kept: Vec<AbortedTransaction>,
}

impl TransactionsSeen {
    /// For a walk from `start` on. `aborted`: all of the log, in any order.
    pub fn new(mut aborted: Vec<AbortedTransaction>, start: Offset) -> TransactionsSeen {
        aborted.retain(|transaction| transaction.last_offset >= start);
        aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        TransactionsSeen { ahead: aborted, ..TransactionsSeen::default() }
    }

    /// Takes a batch of records. Whether it was aborted, so that its records go.
    pub fn on_batch(&mut self, header: &BatchHeader) -> bool {
        self.go_to(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some((_, is_met)) => {
                *is_met = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Takes a control batch; `marker` is its record's, `None` if compaction has emptied it. Whether nothing of its transaction is left, so that it may go.
    pub fn on_control_batch(&mut self, header: &BatchHeader, marker: Option<Marker>) -> bool {
        self.go_to(header.last_offset());
        match marker {
            None => true,
            Some(Marker::Other) => false,
            Some(Marker::Commit) => !self.committed.remove(&header.producer_id),
            Some(Marker::Abort) => match self.aborted.remove(&header.producer_id) {
                Some((transaction, true)) => {
                    self.kept.push(transaction);
                    false
                }
                _ => true,
            },
        }
    }

    /// The entries of the cleaned segment's index, which end here.
    pub fn take_kept(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.kept)
    }

    fn go_to(&mut self, offset: Offset) {
        while let Some(next) = self.ahead.pop_if(|next| next.first_offset <= offset) {
            self.aborted.entry(next.producer_id).or_insert((next, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RecordBatchBuilder;
    use crate::wire::batch::{Attributes, check_stored};
    use crate::wire::compression::Codec;

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(first),
        }
    }

    fn header(producer: i64, offset: i64, flags: i16) -> BatchHeader {
        let builder = RecordBatchBuilder::new(Codec::None).producer(ProducerId(producer), 0, 0).flag(flags);
        let bytes = builder.record(crate::base::Timestamp(1), Some(b"k"), None).build();
        BatchHeader { base_offset: Offset(offset), ..check_stored(&bytes).unwrap() }
    }

    const T: i16 = Attributes::TRANSACTIONAL;

    #[test]
    fn golden_entry() {
        let bytes = [[0u8, 0].as_slice(), &7i64.to_be_bytes(), &10i64.to_be_bytes(), &20i64.to_be_bytes(), &10i64.to_be_bytes()].concat();
        assert_eq!(AbortedTransaction::parse_all(&bytes), [aborted(7, 10, 20)]);
        assert_eq!(aborted(7, 10, 20).to_bytes()[..], bytes);
        assert_eq!(AbortedTransaction::parse_all(&[bytes.clone(), vec![0; 33]].concat()).len(), 1, "an entry cut short");
        assert!(AbortedTransaction::parse_all(&[vec![1], bytes].concat()).is_empty(), "another version");
    }

    #[test]
    fn an_aborted_transaction_goes_and_its_marker_stays_until_nothing_of_it_is_met() {
        let mut seen = TransactionsSeen::new(vec![aborted(3, 0, 4), aborted(1, 10, 14), aborted(2, 11, 13)], Offset(5));
        assert!(!seen.on_batch(&header(1, 5, T)), "an earlier transaction of the same producer, which committed");
        assert!(!seen.on_control_batch(&header(1, 6, T), Some(Marker::Commit)));
        assert!(seen.on_batch(&header(1, 10, T)));
        assert!(!seen.on_batch(&header(1, 12, 0)), "not transactional");
        assert!(!seen.on_batch(&header(3, 12, T)), "its aborted transaction ended before the walk began");
        // Nothing of producer 2 is left.
        assert!(seen.on_control_batch(&header(2, 13, T), Some(Marker::Abort)));
        assert!(!seen.on_control_batch(&header(1, 14, T), Some(Marker::Abort)));
        assert_eq!(seen.take_kept(), [aborted(1, 10, 14)]);
        assert!(seen.take_kept().is_empty());
        assert!(!seen.on_batch(&header(1, 15, T)), "the next transaction of that producer");
    }

    #[test]
    fn markers_without_records_may_go_and_other_control_records_stay() {
        let mut seen = TransactionsSeen::new(Vec::new(), Offset(0));
        assert!(seen.on_control_batch(&header(1, 0, T), Some(Marker::Commit)));
        assert!(seen.on_control_batch(&header(1, 1, T), Some(Marker::Abort)));
        assert!(seen.on_control_batch(&header(1, 2, T), None));
        assert!(!seen.on_control_batch(&header(1, 3, T), Some(Marker::Other)));
        assert_eq!(Marker::parse(Some(&[0, 0, 0, 0])), Marker::Abort);
        assert_eq!(Marker::parse(Some(&[0, 0, 0, 1])), Marker::Commit);
        assert_eq!(Marker::parse(Some(&[0, 0, 0, 2])), Marker::Other);
        assert_eq!((Marker::parse(None), Marker::parse(Some(&[0]))), (Marker::Other, Marker::Other));
    }
}
