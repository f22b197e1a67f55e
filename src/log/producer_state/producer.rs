//! What is remembered of one producer in one partition: its epoch and its last batches.
//!
//! Plain values; any thread. Invariant: at most [`BATCHES_REMEMBERED`] batches, oldest first, all of the current epoch.

use crate::base::{Offset, ProducerId, Timestamp};

/// Of so many batches of a producer a repetition is recognised: as many as a client has under way at most (KIP-98, `max.in.flight.requests.per.connection`).
pub const BATCHES_REMEMBERED: usize = 5;
/// The epoch of a producer that has written nothing.
pub const NO_EPOCH: i16 = -1;
/// What stands for the last sequence where no batch is remembered.
pub const NO_SEQUENCE: i32 = -1;

/// One batch that was appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RememberedBatch {
    pub last_offset: Offset,
    /// The largest timestamp as it was stored: the broker's, if the topic asks for that.
    pub timestamp: Timestamp,
    pub last_sequence: i32,
    /// Last offset less first offset, and last sequence less first sequence.
    pub offset_delta: i32,
}

impl RememberedBatch {
    pub fn first_offset(&self) -> Offset {
        Offset(self.last_offset.0.saturating_sub(i64::from(self.offset_delta)))
    }

    /// Sequences go from `i32::MAX` to 0 (KIP-98).
    pub fn first_sequence(&self) -> i32 {
        self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
    }
}

/// The state of one producer, in 160 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: ProducerId,
    /// Of its last batch or transaction marker, by the clock that the topic stores.
    pub last_timestamp: Timestamp,
    /// When its last batch came, by the broker's clock; `NONE` if that was before the log was opened.
    pub last_append: Timestamp,
    /// Where its open transaction began; −1 if there is none.
    pub current_transaction_first_offset: Offset,
    /// Of the coordinator that wrote its last transaction marker; −1 if there was none.
    pub coordinator_epoch: i32,
    /// `NO_EPOCH` until something of it was appended.
    pub epoch: i16,
    remembered: u8,
    batches: [RememberedBatch; BATCHES_REMEMBERED],
}

impl Producer {
    pub fn new(id: ProducerId) -> Producer {
        Producer {
            id,
            last_timestamp: Timestamp::NONE,
            last_append: Timestamp::NONE,
            current_transaction_first_offset: Offset(-1),
            coordinator_epoch: -1,
            epoch: NO_EPOCH,
            remembered: 0,
            batches: [RememberedBatch::default(); BATCHES_REMEMBERED],
        }
    }

    /// Its last batches, oldest first.
    pub fn batches(&self) -> &[RememberedBatch] {
        &self.batches[..usize::from(self.remembered)]
    }

    pub fn last_batch(&self) -> Option<&RememberedBatch> {
        self.batches().last()
    }

    /// `NO_SEQUENCE` if no batch of the current epoch is remembered.
    pub fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    pub fn is_in_transaction(&self) -> bool {
        self.current_transaction_first_offset.0 >= 0
    }

    /// The remembered batch with exactly these sequences.
    pub fn batch_with_sequences(&self, first: i32, last: i32) -> Option<&RememberedBatch> {
        self.batches().iter().find(|batch| batch.last_sequence == last && batch.first_sequence() == first)
    }

    /// Another epoch forgets the batches.
    pub fn set_epoch(&mut self, epoch: i16) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.remembered = 0;
            self.batches = [RememberedBatch::default(); BATCHES_REMEMBERED];
        }
    }

    /// Remembers one more batch of the current epoch, in the place of the oldest if there are five.
    pub fn remember(&mut self, batch: RememberedBatch) {
        if usize::from(self.remembered) == BATCHES_REMEMBERED {
            self.batches.copy_within(1.., 0);
            self.remembered -= 1;
        }
        self.batches[usize::from(self.remembered)] = batch;
        self.remembered += 1;
        self.last_timestamp = batch.timestamp;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last_sequence: i32, offset_delta: i32) -> RememberedBatch {
        RememberedBatch { last_offset: Offset(1000), timestamp: Timestamp(1), last_sequence, offset_delta }
    }

    #[test]
    fn a_producer_is_small() {
        assert_eq!(size_of::<Producer>(), 160, "told in the docs");
    }

    #[test]
    fn sequences_wrap_behind_the_largest() {
        assert_eq!(batch(9, 9).first_sequence(), 0);
        assert_eq!(batch(i32::MAX, 0).first_sequence(), i32::MAX);
        assert_eq!(batch(0, 1).first_sequence(), i32::MAX);
        assert_eq!(batch(1, 4).first_sequence(), i32::MAX - 2);
        assert_eq!(batch(i32::MAX - 1, i32::MAX).first_sequence(), i32::MAX);
        assert_eq!(batch(9, 9).first_offset(), Offset(991));
    }

    #[test]
    fn the_sixth_batch_takes_the_place_of_the_first() {
        let mut producer = Producer::new(ProducerId(1));
        producer.set_epoch(0);
        (0..6).for_each(|sequence| producer.remember(batch(sequence, 0)));
        let sequences: Vec<_> = producer.batches().iter().map(|batch| batch.last_sequence).collect();
        assert_eq!(sequences, [1, 2, 3, 4, 5]);
        assert!(producer.batch_with_sequences(0, 0).is_none());
        assert!(producer.batch_with_sequences(1, 1).is_some());
        producer.set_epoch(1);
        assert_eq!((producer.batches().len(), producer.last_sequence()), (0, NO_SEQUENCE));
    }
}
