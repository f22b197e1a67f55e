//! One member's next step towards its target assignment.
//!
//! Pure function. Invariants:
//! - a partition that another member holds is never assigned;
//! - a member reaches the target's epoch only when its client has given up everything that is not in its target;
//! - `assigned` and `pending_revocation` of the result have no partition in common.
//!
//! Source: KIP-848, "Assignment Reconciliation".

use super::record::{Current, MemberState, Ownership, TopicPartitions};
use crate::base::{PartitionIndex, TopicId};

/// What a step depends on.
pub struct Step<'a> {
    pub current: &'a Current,
    pub target_epoch: i32,
    pub target: &'a TopicPartitions,
    /// What the client says it has; `None`: it did not say.
    pub owned: Option<&'a TopicPartitions>,
}

impl Step<'_> {
    /// The member after the step, maybe as it was. `is_held_by_other` tells of partitions that other members hold.
    pub fn take(&self, is_held_by_other: impl Fn(TopicId, PartitionIndex) -> bool) -> Current {
        match self.current.state {
            MemberState::Stable if self.current.epoch == self.target_epoch => self.current.clone(),
            MemberState::UnrevokedPartitions if self.still_owns(&self.current.pending_revocation) => self.current.clone(),
            _ => self.next(is_held_by_other),
        }
    }

    /// As long as the client does not say what it owns, it may own everything.
    fn still_owns(&self, revoked: &Ownership) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic, partitions)| {
            revoked.get(topic).is_some_and(|revoked| partitions.iter().any(|partition| revoked.contains_key(partition)))
        })
    }

    fn next(&self, is_held_by_other: impl Fn(TopicId, PartitionIndex) -> bool) -> Current {
        let (kept, revoked) = self.split();
        if !revoked.is_empty() && self.still_owns(&revoked) {
            return Current {
                state: MemberState::UnrevokedPartitions,
                assigned: kept,
                pending_revocation: revoked,
                ..self.current.at_epoch(self.current.epoch)
            };
        }
        let mut assigned = kept;
        let mut awaits_others = false;
        for (topic, partitions) in self.target {
            for partition in partitions {
                if has(&assigned, *topic, *partition) {
                    continue;
                }
                if is_held_by_other(*topic, *partition) {
                    awaits_others = true;
                } else {
                    assigned.entry(*topic).or_default().insert(*partition, self.target_epoch);
                }
            }
        }
        let state = if awaits_others { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        Current { state, assigned, pending_revocation: Ownership::new(), ..self.current.at_epoch(self.target_epoch) }
    }

    /// What is assigned and stays, and what has to go.
    fn split(&self) -> (Ownership, Ownership) {
        let (mut kept, mut revoked) = (Ownership::new(), Ownership::new());
        for (topic, partitions) in &self.current.assigned {
            for (partition, epoch) in partitions {
                let stays = self.target.get(topic).is_some_and(|target| target.contains(partition));
                let side = if stays { &mut kept } else { &mut revoked };
                side.entry(*topic).or_default().insert(*partition, *epoch);
            }
        }
        (kept, revoked)
    }
}

impl Current {
    /// At that epoch; the one before is accepted once more.
    fn at_epoch(&self, epoch: i32) -> Current {
        let previous_epoch = if epoch == self.epoch { self.previous_epoch } else { self.epoch };
        Current { epoch, previous_epoch, ..self.clone() }
    }

    /// It has what the target of that epoch gives it.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }
}

fn has(ownership: &Ownership, topic: TopicId, partition: PartitionIndex) -> bool {
    ownership.get(&topic).is_some_and(|partitions| partitions.contains_key(&partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: TopicId = TopicId([7; 16]);

    fn owned(partitions: &[i32]) -> TopicPartitions {
        match partitions {
            [] => TopicPartitions::new(),
            _ => [(TOPIC, partitions.iter().copied().map(PartitionIndex).collect())].into(),
        }
    }

    fn ownership(partitions: &[(i32, i32)]) -> Ownership {
        match partitions {
            [] => Ownership::new(),
            _ => [(TOPIC, partitions.iter().map(|(partition, epoch)| (PartitionIndex(*partition), *epoch)).collect())].into(),
        }
    }

    fn current(epoch: i32, previous_epoch: i32, state: MemberState, assigned: &[(i32, i32)], pending: &[(i32, i32)]) -> Current {
        Current { epoch, previous_epoch, state, assigned: ownership(assigned), pending_revocation: ownership(pending) }
    }

    /// Partitions above 100 are held by others.
    fn step(current: &Current, target_epoch: i32, target: &[i32], says: Option<&[i32]>) -> Current {
        let (target, says) = (owned(target), says.map(owned));
        Step { current, target_epoch, target: &target, owned: says.as_ref() }.take(|_, partition| partition.0 > 100)
    }

    use MemberState::{Stable, UnreleasedPartitions, UnrevokedPartitions};

    #[test]
    fn every_state_takes_its_step() {
        let stable = current(5, 4, Stable, &[(1, 3), (2, 5)], &[]);
        let unrevoked = current(5, 4, UnrevokedPartitions, &[(1, 3)], &[(2, 5)]);
        let unreleased = current(6, 5, UnreleasedPartitions, &[(1, 3)], &[]);
        type Row<'a> = (&'a str, &'a Current, i32, &'a [i32], Option<&'a [i32]>, Current);
        let rows: &[Row] = &[
            ("nothing new", &stable, 5, &[1, 2], None, stable.clone()),
            ("the same again", &stable, 6, &[1, 2], None, current(6, 5, Stable, &[(1, 3), (2, 5)], &[])),
            ("more", &stable, 6, &[1, 2, 3], None, current(6, 5, Stable, &[(1, 3), (2, 5), (3, 6)], &[])),
            ("less, unsaid", &stable, 6, &[1], None, current(5, 4, UnrevokedPartitions, &[(1, 3)], &[(2, 5)])),
            ("less, still owned", &stable, 6, &[1], Some(&[1, 2]), current(5, 4, UnrevokedPartitions, &[(1, 3)], &[(2, 5)])),
            ("less, given up", &stable, 6, &[1], Some(&[1]), current(6, 5, Stable, &[(1, 3)], &[])),
            ("held by others", &stable, 6, &[1, 2, 101], None, current(6, 5, UnreleasedPartitions, &[(1, 3), (2, 5)], &[])),
            ("some free, some not", &stable, 6, &[1, 2, 3, 101], None, current(6, 5, UnreleasedPartitions, &[(1, 3), (2, 5), (3, 6)], &[])),
            ("not given up yet", &unrevoked, 6, &[1, 3], Some(&[2]), unrevoked.clone()),
            ("not said", &unrevoked, 6, &[1, 3], None, unrevoked.clone()),
            ("given up", &unrevoked, 6, &[1, 3], Some(&[1]), current(6, 5, Stable, &[(1, 3), (3, 6)], &[])),
            ("given up and wanted back", &unrevoked, 7, &[1, 2], Some(&[1]), current(7, 5, Stable, &[(1, 3), (2, 7)], &[])),
            ("given up, and more to give", &unrevoked, 7, &[3], Some(&[1]), current(5, 4, UnrevokedPartitions, &[], &[(1, 3)])),
            ("still waiting", &unreleased, 6, &[1, 101], None, unreleased.clone()),
            ("others gave up", &unreleased, 6, &[1, 2], None, current(6, 5, Stable, &[(1, 3), (2, 6)], &[])),
            ("a newer target while waiting", &unreleased, 8, &[2], None, current(6, 5, UnrevokedPartitions, &[], &[(1, 3)])),
            ("new", &Current::default(), 1, &[4, 101], Some(&[]), current(1, 0, UnreleasedPartitions, &[(4, 1)], &[])),
            ("new, nothing for it", &Current::default(), 1, &[], Some(&[]), current(1, 0, Stable, &[], &[])),
        ];
        for (what, before, target_epoch, target, says, after) in rows {
            assert_eq!(step(before, *target_epoch, target, *says), *after, "{what}");
        }
    }
}
