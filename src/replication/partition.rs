//! What the leader of one partition knows of its replicas, and what follows: the high watermark and when acks=all holds.
//!
//! Pure; lives with the partition on its core. The ISR itself changes through the controller only (KIP-497).
//!
//! Invariants, asserted after every change:
//! - `leader ∈ isr ⊆ replicas`;
//! - `high_watermark == min(log_end_offset of the ISR)` once every one of them is known and enough are in sync; it never falls;
//! - `high_watermark <= log_end_offset` of the leader.

use crate::base::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};

/// What a replica has, as its last fetch told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Replica {
    broker: BrokerId,
    /// `None` until it has fetched in this leader epoch.
    log_end_offset: Option<Offset>,
    in_sync: bool,
}

/// Why the leader does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicationError {
    #[error("the asker's leader epoch {asked} is behind the leader's {current}; refresh the metadata")]
    FencedLeaderEpoch { asked: LeaderEpoch, current: LeaderEpoch },
    #[error("the asker's leader epoch {asked} is ahead of the leader's {current}; ask again when this broker has caught up")]
    UnknownLeaderEpoch { asked: LeaderEpoch, current: LeaderEpoch },
    #[error("{in_sync} replicas are in sync and min.insync.replicas asks for {wanted}")]
    NotEnoughReplicas { in_sync: usize, wanted: i32 },
    #[error("broker {0} is no replica of this partition; refresh the metadata")]
    NotAReplica(BrokerId),
}

impl ReplicationError {
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::NotAReplica(_) => ErrorCode::NotLeaderOrFollower,
        }
    }
}

/// What the metadata image says of a partition and its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership<'a> {
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub replicas: &'a [BrokerId],
    pub isr: &'a [BrokerId],
    /// The topic's `min.insync.replicas`.
    pub min_insync_replicas: i32,
}

/// The leader's view of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionReplication {
    leader: BrokerId,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    min_insync_replicas: i32,
    log_end_offset: Offset,
    high_watermark: Offset,
    /// The leader is among them.
    replicas: Vec<Replica>,
}

impl PartitionReplication {
    /// A leader that takes over with a log that ends at `log_end_offset` and a high watermark it knows of from before.
    ///
    /// With itself as the only in-sync replica the high watermark is the log's end at once.
    pub fn lead(leadership: Leadership<'_>, log_end_offset: Offset, high_watermark: Offset) -> PartitionReplication {
        let Leadership { leader, leader_epoch, partition_epoch, replicas, isr, min_insync_replicas } = leadership;
        let replicas = replicas.iter().map(|broker| Replica { broker: *broker, log_end_offset: None, in_sync: isr.contains(broker) });
        let mut partition = PartitionReplication {
            leader,
            leader_epoch,
            partition_epoch,
            min_insync_replicas,
            log_end_offset,
            high_watermark: high_watermark.min(log_end_offset),
            replicas: replicas.collect(),
        };
        partition.learn(leader, log_end_offset);
        partition.advance();
        partition
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// The offset the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Consumers read below it.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The in-sync replicas, the leader among them.
    pub fn isr(&self) -> impl Iterator<Item = BrokerId> {
        self.replicas.iter().filter(|replica| replica.in_sync).map(|replica| replica.broker)
    }

    /// The leader has appended up to `log_end_offset`. Says whether the high watermark rose.
    pub fn appended(&mut self, log_end_offset: Offset) -> bool {
        assert!(log_end_offset >= self.log_end_offset, "a leader's log only grows");
        self.log_end_offset = log_end_offset;
        self.learn(self.leader, log_end_offset);
        self.advance()
    }

    /// A follower fetched from `fetch_offset`: it has everything below. Says whether the high watermark rose.
    ///
    /// # Errors
    /// Who is no replica, or fetches in another leader epoch (KIP-320).
    pub fn fetched(&mut self, follower: BrokerId, epoch: LeaderEpoch, fetch_offset: Offset) -> Result<bool, ReplicationError> {
        self.check_epoch(epoch)?;
        if !self.replicas.iter().any(|replica| replica.broker == follower && follower != self.leader) {
            return Err(ReplicationError::NotAReplica(follower));
        }
        self.learn(follower, fetch_offset.min(self.log_end_offset));
        Ok(self.advance())
    }

    /// The controller has changed the ISR; an older change than the one known is left aside. Says whether the high watermark rose.
    pub fn isr_changed(&mut self, partition_epoch: PartitionEpoch, isr: &[BrokerId]) -> bool {
        if partition_epoch <= self.partition_epoch {
            return false;
        }
        self.partition_epoch = partition_epoch;
        for replica in &mut self.replicas {
            replica.in_sync = isr.contains(&replica.broker);
        }
        self.advance()
    }

    /// The topic's `min.insync.replicas` from now on. If fewer are enough now, the next [`appended`](Self::appended) says so.
    pub fn set_min_insync_replicas(&mut self, replicas: i32) {
        self.min_insync_replicas = replicas;
    }

    /// Whether a request may go on that says which leader epoch it believes in; −1 says nothing (KIP-320).
    ///
    /// # Errors
    /// An older epoch is fenced, a newer one not known here yet.
    pub fn check_epoch(&self, asked: LeaderEpoch) -> Result<(), ReplicationError> {
        let current = self.leader_epoch;
        match asked {
            LeaderEpoch::UNKNOWN => Ok(()),
            asked if asked < current => Err(ReplicationError::FencedLeaderEpoch { asked, current }),
            asked if asked > current => Err(ReplicationError::UnknownLeaderEpoch { asked, current }),
            _ => Ok(()),
        }
    }

    /// Whether a write with acks=all may be appended at all.
    ///
    /// # Errors
    /// NOT_ENOUGH_REPLICAS: fewer are in sync than `min.insync.replicas` asks for. A partition is never asked for more replicas than
    /// it has (Kafka's `Partition.effectiveMinIsr`).
    pub fn check_min_insync(&self) -> Result<(), ReplicationError> {
        let in_sync = self.isr().count();
        let wanted = self.min_insync_replicas.min(self.replicas.len() as i32);
        match in_sync as i32 >= wanted {
            true => Ok(()),
            false => Err(ReplicationError::NotEnoughReplicas { in_sync, wanted }),
        }
    }

    /// Whether a write with acks=all whose last record lies at `last_offset` is on all in-sync replicas.
    pub fn is_acknowledged(&self, last_offset: Offset) -> bool {
        self.high_watermark > last_offset
    }

    fn learn(&mut self, broker: BrokerId, log_end_offset: Offset) {
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.broker == broker) {
            replica.log_end_offset = Some(log_end_offset);
        }
    }

    /// Raises the high watermark to what all in-sync replicas have.
    ///
    /// KIP-966: it stays where it is while fewer are in sync than `min.insync.replicas`, so that what is committed is on enough of them.
    fn advance(&mut self) -> bool {
        if self.check_min_insync().is_err() {
            return false;
        }
        let mut in_sync = self.replicas.iter().filter(|replica| replica.in_sync);
        let least = in_sync.try_fold(self.log_end_offset, |least, replica| Some(least.min(replica.log_end_offset?)));
        let before = self.high_watermark;
        self.high_watermark = before.max(least.unwrap_or(before));
        assert!(self.isr().any(|broker| broker == self.leader), "a leader is in sync with itself");
        assert!(self.high_watermark <= self.log_end_offset, "nothing is committed that the leader does not have");
        self.high_watermark > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: BrokerId = BrokerId(1);
    const B: BrokerId = BrokerId(2);
    const C: BrokerId = BrokerId(3);
    const EPOCH: LeaderEpoch = LeaderEpoch(5);

    fn led_by_a(isr: &[BrokerId], min_insync_replicas: i32) -> PartitionReplication {
        let (leader_epoch, partition_epoch) = (EPOCH, PartitionEpoch(0));
        let leadership = Leadership { leader: A, leader_epoch, partition_epoch, replicas: &[A, B, C], isr, min_insync_replicas };
        PartitionReplication::lead(leadership, Offset(10), Offset(4))
    }

    #[test]
    fn alone_everything_is_committed_at_once() {
        let leadership = Leadership {
            leader: A,
            leader_epoch: EPOCH,
            partition_epoch: PartitionEpoch(0),
            replicas: &[A],
            isr: &[A],
            min_insync_replicas: 2,
        };
        let mut partition = PartitionReplication::lead(leadership, Offset(10), Offset(4));
        assert_eq!(partition.check_min_insync(), Ok(()), "a partition is not asked for more replicas than it has");
        assert_eq!(partition.high_watermark(), Offset(10));
        assert!(partition.appended(Offset(12)));
        assert_eq!(partition.high_watermark(), Offset(12));
        assert!(partition.is_acknowledged(Offset(11)));
        assert!(!partition.is_acknowledged(Offset(12)));
    }

    #[test]
    fn the_slowest_in_sync_replica_holds_the_high_watermark() {
        enum Step {
            Append(i64),
            Fetch(BrokerId, i64),
            Isr(i32, &'static [BrokerId]),
        }
        use Step::*;
        let mut partition = led_by_a(&[A, B], 1);
        assert_eq!(partition.high_watermark(), Offset(4), "B has not been heard of in this epoch");
        for (number, (step, high_watermark)) in [
            (Append(12), 4),
            (Fetch(C, 12), 4),
            (Fetch(B, 3), 4),
            (Fetch(B, 8), 8),
            (Fetch(B, 6), 8),
            (Isr(1, &[A, B, C]), 8),
            (Fetch(B, 12), 12),
            (Append(15), 12),
            (Fetch(B, 99), 12),
            (Fetch(C, 14), 14),
            (Isr(1, &[A]), 14),
            (Isr(2, &[A]), 15),
        ]
        .into_iter()
        .enumerate()
        {
            match step {
                Append(end) => drop(partition.appended(Offset(end))),
                Fetch(broker, offset) => drop(partition.fetched(broker, EPOCH, Offset(offset)).unwrap()),
                Isr(epoch, isr) => drop(partition.isr_changed(PartitionEpoch(epoch), isr)),
            }
            assert_eq!(partition.high_watermark(), Offset(high_watermark), "after step {number}");
        }
    }

    #[test]
    fn only_replicas_in_the_right_epoch_count() {
        let mut partition = led_by_a(&[A, B], 1);
        for (asked, code) in [(4, ErrorCode::FencedLeaderEpoch), (6, ErrorCode::UnknownLeaderEpoch)] {
            assert_eq!(partition.fetched(B, LeaderEpoch(asked), Offset(9)).unwrap_err().error_code(), code);
        }
        for stranger in [A, BrokerId(9)] {
            assert_eq!(partition.fetched(stranger, EPOCH, Offset(9)), Err(ReplicationError::NotAReplica(stranger)));
        }
        assert_eq!(partition.high_watermark(), Offset(4));
        assert_eq!(partition.check_epoch(LeaderEpoch::UNKNOWN), Ok(()));
    }

    #[test]
    fn acks_all_needs_enough_replicas_in_sync() {
        for (isr, wanted, enough) in [(&[A][..], 1, true), (&[A], 2, false), (&[A, B], 2, true), (&[A, B, C], 4, true), (&[A, B], 4, false)]
        {
            let mut partition = led_by_a(isr, wanted);
            assert_eq!(partition.check_min_insync().is_ok(), enough, "{isr:?} {wanted}");
            if isr == [A] {
                assert_eq!(partition.appended(Offset(20)), enough, "KIP-966: no progress below the minimum");
            }
        }
        let mut partition = led_by_a(&[A], 2);
        assert_eq!(partition.check_min_insync().unwrap_err().error_code(), ErrorCode::NotEnoughReplicas);
        partition.set_min_insync_replicas(1);
        assert!(partition.appended(Offset(10)), "fewer are enough now");
        assert_eq!(partition.high_watermark(), Offset(10));
    }

    proptest! {
        #[test]
        fn the_high_watermark_never_falls_and_never_passes_the_log(
            steps in prop::collection::vec((0u8..3, 1i32..4, 0i64..50), 0..60),
        ) {
            let mut partition = led_by_a(&[A, B, C], 1);
            let mut before = partition.high_watermark();
            for (number, (kind, broker, amount)) in steps.into_iter().enumerate() {
                let rose = match kind {
                    0 => partition.appended(partition.log_end_offset().plus(amount)),
                    1 => partition.fetched(BrokerId(broker), EPOCH, Offset(amount)).unwrap_or(false),
                    _ => partition.isr_changed(PartitionEpoch(number as i32), &[A, BrokerId(broker)]),
                };
                prop_assert_eq!(rose, partition.high_watermark() > before);
                prop_assert!(partition.high_watermark() >= before);
                prop_assert!(partition.high_watermark() <= partition.log_end_offset());
                before = partition.high_watermark();
            }
        }
    }
}
