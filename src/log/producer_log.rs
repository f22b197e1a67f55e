//! A log's producers: forgetting them, telling of them, and writing them down.
//!
//! The verbs of `Log` run inline on the core; `write_snapshot` blocks, for helper threads. A snapshot is written at each roll, named after the new segment's base,
//! and at a clean end, named after the log's end; it goes with the segment of its name.

use std::io;
use std::path::{Path, PathBuf};

use super::format::{self, FileKind};
use super::partition_log::Log;
use super::producer_state::{FrozenProducers, ProducerExpiration, TransactionMarker, snapshot};
use crate::base::{Offset, Timestamp};
use crate::io::{File, directory};
use crate::wire::batch::Batch;
use crate::wire::records::Records;

/// What a snapshot is called until it is whole. Kafka ignores the name.
pub(super) const UNFINISHED_SNAPSHOT: &str = ".snapshot.tmp";
/// The types of control records that end a transaction (KIP-98): abort and commit.
const END_OF_TRANSACTION: [i16; 2] = [0, 1];

impl Log {
    /// Forgets producers that have written nothing for long; for the tick.
    pub fn expire_producers(&mut self, now: Timestamp, expiration: ProducerExpiration) {
        self.producers.expire(now, expiration);
    }

    /// How many producers were forgotten before that, because there were too many, since this was last asked.
    pub fn take_displaced_producers(&mut self) -> u64 {
        self.producers.take_displaced()
    }

    /// The producers as they are now. Costs next to nothing and may travel, whatever there is to do with them.
    pub fn active_producers(&self) -> FrozenProducers {
        self.producers.freeze()
    }
}

/// Writes a snapshot so that there is all of it or nothing. Its name is durable once somebody has synced the directory; until then an older one serves.
pub(super) fn write_snapshot(partition: &Path, offset: Offset, producers: &FrozenProducers) -> io::Result<()> {
    let path = format::path(partition, offset, FileKind::ProducerSnapshot);
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(".tmp");
    let unfinished = PathBuf::from(unfinished);
    let bytes = snapshot::encode(producers);
    let file = File::create(&unfinished)?;
    file.write_all_at(&mut [io::IoSlice::new(&bytes)], 0)?;
    file.truncate(bytes.len() as u64)?;
    file.data_sync()?;
    directory::rename(&unfinished, &path)
}

/// What a batch says of a transaction's end, if it does.
pub(super) fn marker_of(batch: &Batch<'_>) -> Option<TransactionMarker> {
    if !batch.header.attributes.is_control() {
        return None;
    }
    let record = Records::new(batch.records(), batch.header.records_count).next()?.ok()?;
    let kind = i16::from_be_bytes(*record.key?.get(2..)?.first_chunk()?);
    let coordinator_epoch = i32::from_be_bytes(*record.value?.get(2..)?.first_chunk()?);
    let timestamp = Timestamp(batch.header.base_timestamp.0.saturating_add(record.timestamp_delta));
    END_OF_TRANSACTION.contains(&kind).then_some(TransactionMarker { coordinator_epoch, timestamp })
}
