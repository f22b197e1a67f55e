//! Idempotent producers (KIP-98, KIP-360): which batch of a producer may come next in one partition, and which has come before.
//!
//! Pure; lives with its log on one core. The rules are those of Kafka's ProducerAppendInfo and ProducerStateManager:
//! - a batch with the sequences of one of the producer's last five is a repetition: it was appended, and is not appended again;
//! - a lower epoch than the producer's is fenced; a higher one starts at sequence 0;
//! - within an epoch sequences follow each other without a gap, from `i32::MAX` to 0;
//! - a producer that is not known, because it is new or was forgotten, may start at any sequence;
//! - while a transaction is open only transactional batches follow, and none comes without one.
//!
//! Nobody is told UNKNOWN_PRODUCER_ID or DUPLICATE_SEQUENCE_NUMBER: Kafka 4 sends neither. What was appended is not checked again: `replay` takes it as it is.
//!
//! Memory: 160 bytes per producer and about 40 for finding it, for [`PRODUCERS_PER_PARTITION_MAX`] at most. A producer goes when it has written nothing for
//! `producer.id.expiration.ms`. Kafka counts from the records' timestamps, so that whoever writes old ones is forgotten while it writes; we count by the clock. Kafka
//! has no limit but that time; here, with one more than there may be, the one that wrote longest ago goes early (docs/decisions/0012).
//!
//! [`PRODUCERS_PER_PARTITION_MAX`]: crate::base::limits::PRODUCERS_PER_PARTITION_MAX

mod producer;
mod recency;
pub mod snapshot;
mod table;

use std::collections::HashMap;

use crate::base::limits::PRODUCERS_EXAMINED_PER_TICK_MAX;
use crate::base::{Offset, ProducerId, Timestamp};
use crate::wire::batch::BatchHeader;
use producer::NO_EPOCH;
pub use producer::{BATCHES_REMEMBERED, Producer, RememberedBatch};
pub use table::FrozenProducers;
use table::ProducerTable;

/// When a producer wrote before the log was opened, its records' timestamps must do; but none is forgotten so soon after the start that it may still repeat something.
const EXPIRY_AFTER_OPENING_MS: i64 = 60 * 60 * 1000;

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub struct ProducerState {
    producers: ProducerTable,
    expiry: Expiry,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAppended {
    /// It was appended before, as this.
    Duplicate(RememberedBatch),
    Refused(ProducerError),
}

/// Which rule a batch breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error("producer {id}: epoch {came} is fenced, the last seen is {known}")]
    InvalidEpoch { id: ProducerId, came: i16, known: i16 },
    #[error("producer {id}: epoch {epoch} starts at sequence 0, not {came} (the last epoch was {known_epoch})")]
    NewEpochNotAtZero { id: ProducerId, epoch: i16, known_epoch: i16, came: i32 },
    #[error("producer {id}: expected the sequence after {last}, came {came}")]
    OutOfOrderSequence { id: ProducerId, last: i32, came: i32 },
    #[error("producer {id}: a transactional batch outside a transaction, or another one inside")]
    InvalidTransactionState { id: ProducerId },
}

/// What a commit or abort marker says of its producer (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionMarker {
    pub coordinator_epoch: i32,
    pub timestamp: Timestamp,
}

/// How long producers are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerExpiration {
    /// `producer.id.expiration.ms`.
    pub after_ms: i64,
    /// `producer.id.expiration.check.interval.ms`.
    pub check_interval_ms: i64,
}

/// What the cleaner must keep of a producer: its last batch, so that its sequence and epoch are found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord {
    pub epoch: i16,
    /// `None` if only a marker of its epoch is known.
    pub last_data_offset: Option<Offset>,
}

/// The last record of every producer that may go on.
pub type LastRecords = HashMap<ProducerId, LastRecord>;

#[derive(Clone, Debug, Default)]
struct Expiry {
    /// The first tick.
    since: Option<Timestamp>,
    /// When the last round began, and how far it has come; `None` between two rounds.
    begun: Option<Timestamp>,
    at: Option<usize>,
}

impl ProducerState {
    /// Producers known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many producers were forgotten early, because there were too many, since this was last asked.
    pub fn take_displaced(&mut self) -> u64 {
        self.producers.take_displaced()
    }

    pub fn get(&self, id: ProducerId) -> Option<&Producer> {
        self.producers.find(id).map(|place| self.producers.at(place))
    }

    /// Judges a client's batch that would be appended at `first_offset` with `timestamp` as its largest, and takes note of it if it may be appended. `now`
    /// is the wall clock. A batch without a producer id passes.
    ///
    /// # Errors
    /// It is a repetition or breaks a rule; nothing has changed then.
    pub fn admit(&mut self, header: &BatchHeader, first_offset: Offset, timestamp: Timestamp, now: Timestamp) -> Result<(), NotAppended> {
        if !header.has_producer_id() {
            return Ok(());
        }
        let place = match self.producers.find(header.producer_id) {
            Some(place) => {
                judge(self.producers.at(place), header)?;
                place
            }
            None => {
                let producer = Producer::new(header.producer_id);
                judge(&producer, header)?;
                self.producers.insert(producer)
            }
        };
        self.producers.write(place, |producer| {
            note(producer, header, first_offset, timestamp);
            producer.last_append = now;
        });
        Ok(())
    }

    /// Takes note of a batch that stands in the log. `marker`: what it says, if it is a transaction marker; a control batch without one says nothing. `now`:
    /// when it came, `NONE` if that is not known.
    pub fn replay(&mut self, header: &BatchHeader, marker: Option<TransactionMarker>, now: Timestamp) {
        if !header.has_producer_id() || header.attributes.is_control() && marker.is_none() {
            return;
        }
        let place = match self.producers.find(header.producer_id) {
            Some(place) => place,
            None => self.producers.insert(Producer::new(header.producer_id)),
        };
        self.producers.write(place, |producer| {
            producer.last_append = now;
            match marker {
                Some(TransactionMarker { coordinator_epoch, timestamp }) => {
                    producer.set_epoch(header.producer_epoch);
                    producer.coordinator_epoch = coordinator_epoch;
                    producer.current_transaction_first_offset = Offset(-1);
                    producer.last_timestamp = timestamp;
                }
                None => note(producer, header, header.base_offset, header.max_timestamp),
            }
        });
    }

    /// Forgets producers that have written nothing for too long and have no transaction open. A round of this begins once per check interval; each call looks at some
    /// of them.
    pub fn expire(&mut self, now: Timestamp, expiration: ProducerExpiration) {
        let since = *self.expiry.since.get_or_insert(now);
        if self.is_empty() {
            return;
        }
        let from = match self.expiry.at {
            Some(at) => at,
            None if self.expiry.begun.is_some_and(|begun| now.0.saturating_sub(begun.0) < expiration.check_interval_ms) => return,
            None => {
                self.expiry.begun = Some(now);
                0
            }
        };
        let has_passed = |since: Timestamp, ms: i64| now.0.saturating_sub(since.0) >= ms;
        let opened_long_ago = has_passed(since, EXPIRY_AFTER_OPENING_MS.min(expiration.after_ms));
        let is_expired = |producer: &Producer| match producer.last_append {
            _ if producer.is_in_transaction() => false,
            Timestamp::NONE => opened_long_ago && has_passed(producer.last_timestamp, expiration.after_ms),
            last_append => has_passed(last_append, expiration.after_ms),
        };
        let to = from + PRODUCERS_EXAMINED_PER_TICK_MAX;
        self.expiry.at = self.producers.remove_where(from, to, is_expired).then_some(to);
    }

    /// All producers as they are now; costs next to nothing.
    pub fn freeze(&self) -> FrozenProducers {
        self.producers.freeze()
    }
}

impl FrozenProducers {
    /// What the cleaner must keep.
    pub fn last_records(&self) -> LastRecords {
        let last_record = |producer: &Producer| LastRecord {
            epoch: producer.epoch,
            last_data_offset: producer.last_batch().map(|batch| batch.last_offset),
        };
        self.iter().map(|producer| (producer.id, last_record(producer))).collect()
    }
}

fn judge(producer: &Producer, header: &BatchHeader) -> Result<(), NotAppended> {
    let (id, epoch, first_sequence) = (producer.id, header.producer_epoch, header.base_sequence);
    if epoch == producer.epoch
        && let Some(batch) = producer.batch_with_sequences(first_sequence, header.last_sequence())
    {
        return Err(NotAppended::Duplicate(*batch));
    }
    let refuse = |error| Err(NotAppended::Refused(error));
    // Kafka asks the transaction coordinator about a transaction that is new to the partition; here there is none that could say yes.
    if header.attributes.is_transactional() && !producer.is_in_transaction() {
        return refuse(ProducerError::InvalidTransactionState { id });
    }
    if epoch < producer.epoch {
        return refuse(ProducerError::InvalidEpoch { id, came: epoch, known: producer.epoch });
    }
    if epoch != producer.epoch {
        if first_sequence != 0 && producer.epoch != NO_EPOCH {
            return refuse(ProducerError::NewEpochNotAtZero { id, epoch, known_epoch: producer.epoch, came: first_sequence });
        }
    } else if !is_next(producer.last_sequence(), first_sequence) {
        return refuse(ProducerError::OutOfOrderSequence { id, last: producer.last_sequence(), came: first_sequence });
    }
    if producer.is_in_transaction() && !header.attributes.is_transactional() {
        return refuse(ProducerError::InvalidTransactionState { id });
    }
    Ok(())
}

fn is_next(last: i32, first: i32) -> bool {
    first == last.wrapping_add(1) & i32::MAX
}

fn note(producer: &mut Producer, header: &BatchHeader, first_offset: Offset, timestamp: Timestamp) {
    producer.set_epoch(header.producer_epoch);
    producer.remember(RememberedBatch {
        last_offset: first_offset.plus(i64::from(header.last_offset_delta)),
        timestamp,
        last_sequence: header.last_sequence(),
        offset_delta: header.last_offset_delta,
    });
    if header.attributes.is_transactional() && !producer.is_in_transaction() {
        producer.current_transaction_first_offset = first_offset;
    }
}

#[cfg(test)]
mod tests;
