//! From the records of a `__consumer_offsets` partition to the groups they describe.
//!
//! Runs once when a partition is loaded, on whatever thread reads it. Invariant: what remains depends only on the records and
//! their order; of two records for one key the later one counts, a tombstone included.

use std::collections::{BTreeMap, BTreeSet};

use super::consumer::memory::Memory;
use super::consumer::record::ConsumerRecord;
use super::ids::GroupId;
use super::offsets::Offsets;
use super::record_format::{GroupMetadata, GroupRecord, RecordError, StoredRecord};
use crate::base::ProducerId;

/// What the log says of one group.
#[derive(Clone, Debug, Default)]
pub struct ReplayedGroup {
    /// `None`: a simple consumer's group, or one of another protocol.
    pub metadata: Option<GroupMetadata>,
    pub consumer: Memory,
    /// Of the records that are not tombstones, the last one was a consumer group's: where both kinds are left, because the
    /// tombstones of one were lost, this one counts.
    pub is_consumer: bool,
    pub offsets: Offsets,
}

/// Takes the records of one partition in their order.
#[derive(Debug, Default)]
pub struct Replay {
    groups: BTreeMap<GroupId, ReplayedGroup>,
    /// The groups that an open transaction wrote to.
    open: BTreeMap<ProducerId, BTreeSet<GroupId>>,
    /// Records of newer group protocols, left alone.
    pub skipped: u64,
}

impl Replay {
    /// One record. `transaction`: the producer of a transactional batch; its offsets count once [`Replay::marker`] says so.
    ///
    /// # Errors
    /// [`RecordError`]; the record is left out, and the next one may follow.
    pub fn record(&mut self, transaction: Option<ProducerId>, key: &[u8], value: Option<&[u8]>) -> Result<(), RecordError> {
        let record = match GroupRecord::decode(key, value)? {
            StoredRecord::Known(record) => record,
            StoredRecord::Other { .. } => {
                self.skipped += 1;
                return Ok(());
            }
        };
        match record {
            GroupRecord::Offset { group_id, partition, value } => {
                if let Some(producer_id) = transaction {
                    self.open.entry(producer_id).or_default().insert(group_id.clone());
                }
                let offsets = &mut self.groups.entry(group_id).or_default().offsets;
                match (value, transaction) {
                    (Some(offset), Some(producer_id)) => offsets.set_pending(producer_id, partition, offset),
                    (Some(offset), None) => offsets.set(partition, offset),
                    (None, _) => offsets.remove(&partition),
                }
            }
            GroupRecord::Group { group_id, value } => {
                let group = self.groups.entry(group_id).or_default();
                group.is_consumer &= value.is_none();
                group.metadata = value;
            }
            GroupRecord::Consumer { group_id, record } => {
                let group = self.groups.entry(group_id).or_default();
                group.is_consumer |= matches!(record, ConsumerRecord::Epoch(Some(_)) | ConsumerRecord::Member(_, Some(_)));
                group.consumer.apply(record);
            }
        }
        Ok(())
    }

    /// The control record that ends a producer's transaction.
    pub fn marker(&mut self, producer_id: ProducerId, committed: bool) {
        for group_id in self.open.remove(&producer_id).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&group_id) {
                group.offsets.end_transaction(producer_id, committed);
            }
        }
    }

    /// The groups of which anything is left.
    pub fn finish(mut self) -> BTreeMap<GroupId, ReplayedGroup> {
        for group in self.groups.values_mut() {
            group.consumer.settle();
        }
        self.groups.retain(|_, group| group.metadata.is_some() || group.consumer.exists() || !group.offsets.is_empty());
        self.groups
    }
}
