//! The committed offsets of one group, in memory.
//!
//! Invariant: what stands in `committed` has been written to the log; what an open transaction wrote stands in `pending`
//! until its marker (KIP-98).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::TopicPartition;
use crate::base::{ErrorCode, LeaderEpoch, Offset, ProducerId, Timestamp, TopicId};

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// Of the last record read (KIP-320); unknown for many clients.
    pub leader_epoch: LeaderEpoch,
    pub metadata: Arc<str>,
    pub commit_timestamp: Timestamp,
    /// Only in old records: an explicit end, instead of the broker's retention.
    pub expire_timestamp: Option<Timestamp>,
    /// Zero: not known.
    pub topic_id: TopicId,
}

/// The answer to OffsetFetch for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    pub error: ErrorCode,
    /// −1: nothing committed.
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub metadata: Arc<str>,
}

impl FetchedOffset {
    pub fn none(error: ErrorCode) -> FetchedOffset {
        FetchedOffset { error, offset: Offset(-1), leader_epoch: LeaderEpoch::UNKNOWN, metadata: "".into() }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Offsets {
    committed: BTreeMap<TopicPartition, Written>,
    pending: BTreeMap<ProducerId, BTreeMap<TopicPartition, Written>>,
    writes: u64,
}

/// An offset and its place in the order of the log: of two, the later one counts.
#[derive(Clone, Debug)]
struct Written {
    order: u64,
    offset: CommittedOffset,
}

impl Offsets {
    pub fn get(&self, partition: &TopicPartition) -> Option<&CommittedOffset> {
        self.committed.get(partition).map(|written| &written.offset)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &CommittedOffset)> {
        self.committed.iter().map(|(partition, written)| (partition, &written.offset))
    }

    /// No offset at all, committed or in a transaction.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    pub fn set(&mut self, partition: TopicPartition, offset: CommittedOffset) {
        let written = self.written(offset);
        self.committed.insert(partition, written);
    }

    /// A tombstone ends pending ones as well, or a later commit marker would bring the offset back.
    pub fn remove(&mut self, partition: &TopicPartition) {
        self.committed.remove(partition);
        self.pending.retain(|_, offsets| {
            offsets.remove(partition);
            !offsets.is_empty()
        });
    }

    /// An offset that counts once the producer's transaction commits.
    pub fn set_pending(&mut self, producer_id: ProducerId, partition: TopicPartition, offset: CommittedOffset) {
        let written = self.written(offset);
        self.pending.entry(producer_id).or_default().insert(partition, written);
    }

    /// The marker of the producer's transaction was written.
    pub fn end_transaction(&mut self, producer_id: ProducerId, committed: bool) {
        let offsets = self.pending.remove(&producer_id).unwrap_or_default();
        if committed {
            for (partition, written) in offsets {
                let is_newest = self.committed.get(&partition).is_none_or(|present| present.order < written.order);
                if is_newest {
                    self.committed.insert(partition, written);
                }
            }
        }
    }

    pub fn is_pending(&self, partition: &TopicPartition) -> bool {
        self.pending.values().any(|offsets| offsets.contains_key(partition))
    }

    /// Every partition with a committed or pending offset.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.committed.keys().chain(self.pending.values().flat_map(|offsets| offsets.keys()))
    }

    /// OffsetFetch for one partition. `topic_id` zero: asked by name. `require_stable` (KIP-447): an open transaction makes
    /// the answer UNSTABLE_OFFSET_COMMIT. An offset of an earlier topic of the same name does not count (KIP-848).
    pub fn fetch(&self, partition: &TopicPartition, topic_id: TopicId, require_stable: bool) -> FetchedOffset {
        if require_stable && self.is_pending(partition) {
            return FetchedOffset::none(ErrorCode::UnstableOffsetCommit);
        }
        match self.get(partition) {
            Some(committed) if topic_id.is_zero() || committed.topic_id.is_zero() || committed.topic_id == topic_id => FetchedOffset {
                error: ErrorCode::None,
                offset: committed.offset,
                leader_epoch: committed.leader_epoch,
                metadata: committed.metadata.clone(),
            },
            _ => FetchedOffset::none(ErrorCode::None),
        }
    }

    fn written(&mut self, offset: CommittedOffset) -> Written {
        self.writes += 1;
        Written { order: self.writes, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{PartitionIndex, TopicName};

    fn partition() -> TopicPartition {
        TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(3) }
    }

    fn offset(offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(1),
            metadata: "m".into(),
            commit_timestamp: Timestamp(5),
            expire_timestamp: None,
            topic_id: TopicId([1; 16]),
        }
    }

    #[test]
    fn a_pending_offset_counts_after_its_commit_marker_only() {
        let mut offsets = Offsets::default();
        offsets.set(partition(), offset(1));
        offsets.set_pending(ProducerId(9), partition(), offset(2));
        assert_eq!(offsets.fetch(&partition(), TopicId::ZERO, false).offset, Offset(1));
        assert_eq!(offsets.fetch(&partition(), TopicId::ZERO, true).error, ErrorCode::UnstableOffsetCommit);
        offsets.end_transaction(ProducerId(9), true);
        assert_eq!(offsets.fetch(&partition(), TopicId::ZERO, true).offset, Offset(2));
        offsets.set_pending(ProducerId(9), partition(), offset(3));
        offsets.end_transaction(ProducerId(9), false);
        assert_eq!(offsets.get(&partition()), Some(&offset(2)));
    }

    #[test]
    fn of_two_commits_the_later_one_in_the_log_counts() {
        let mut offsets = Offsets::default();
        offsets.set_pending(ProducerId(9), partition(), offset(2));
        offsets.set(partition(), offset(5));
        offsets.end_transaction(ProducerId(9), true);
        assert_eq!(offsets.get(&partition()), Some(&offset(5)));
    }

    #[test]
    fn a_tombstone_also_ends_what_is_pending() {
        let mut offsets = Offsets::default();
        offsets.set_pending(ProducerId(9), partition(), offset(2));
        offsets.remove(&partition());
        offsets.end_transaction(ProducerId(9), true);
        assert!(offsets.is_empty());
    }

    #[test]
    fn an_offset_of_an_earlier_topic_of_that_name_does_not_count() {
        let mut offsets = Offsets::default();
        offsets.set(partition(), offset(7));
        assert_eq!(offsets.fetch(&partition(), TopicId([1; 16]), false).offset, Offset(7));
        assert_eq!(offsets.fetch(&partition(), TopicId([2; 16]), false), FetchedOffset::none(ErrorCode::None));
    }
}
