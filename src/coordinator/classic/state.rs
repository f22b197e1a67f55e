//! The states of a classic group, and which may follow which.
//!
//! | from \ to | Empty | PreparingRebalance | CompletingRebalance | Stable | Dead |
//! |---|---|---|---|---|---|
//! | Empty | | first member joins | | | deleted |
//! | PreparingRebalance | all left | | barrier complete | | unloaded |
//! | CompletingRebalance | | member joins, leaves or fails | | assignment stored | unloaded |
//! | Stable | | member joins, leaves or fails | | | unloaded |
//! | Dead | tombstones not written | | | | |
//!
//! Invariants: `Empty` has no member; `CompletingRebalance` and `Stable` have at least one and a chosen protocol.

use std::fmt;

/// Where a group stands. Source: Kafka's group state machine (KIP-62, KIP-134).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// No members; committed offsets may remain.
    Empty,
    /// Waits at the barrier until all members have sent JoinGroup, or the rebalance timeout is over.
    PreparingRebalance,
    /// The generation is fixed; waits for the leader's SyncGroup with the assignment.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// Being removed; the answer is "look for the coordinator again".
    Dead,
}

impl GroupState {
    pub const ALL: [GroupState; 5] =
        [GroupState::Empty, GroupState::PreparingRebalance, GroupState::CompletingRebalance, GroupState::Stable, GroupState::Dead];

    /// The name in ListGroups and DescribeGroups.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }

    /// The table above.
    pub fn may_become(self, next: GroupState) -> bool {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
        matches!(
            (self, next),
            (Empty, PreparingRebalance | Dead)
                | (PreparingRebalance, Empty | CompletingRebalance | Dead)
                | (CompletingRebalance, PreparingRebalance | Stable | Dead)
                | (Stable, PreparingRebalance | Dead)
                | (Dead, Empty)
        )
    }

    /// A rebalance may start now.
    pub fn can_rebalance(self) -> bool {
        self.may_become(GroupState::PreparingRebalance)
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_printed() {
        let allowed: Vec<(GroupState, GroupState)> = GroupState::ALL
            .into_iter()
            .flat_map(|from| GroupState::ALL.into_iter().map(move |to| (from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        let printed: Vec<(GroupState, GroupState)> = include_str!("state.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .filter_map(|row| {
                let cells: Vec<&str> = row.split('|').map(str::trim).collect();
                let from = GroupState::ALL.into_iter().find(|state| state.name() == cells[0])?;
                Some(
                    (0..5).filter(move |column| !cells[column + 1].is_empty()).map(move |column| (from, GroupState::ALL[column])).collect(),
                )
            })
            .collect::<Vec<Vec<_>>>()
            .concat();
        assert_eq!(printed.len(), 11);
        assert_eq!(allowed, printed);
    }

    #[test]
    fn a_rebalance_starts_from_every_state_but_itself_and_dead() {
        let starts: Vec<&str> = GroupState::ALL.into_iter().filter(|state| state.can_rebalance()).map(GroupState::name).collect();
        assert_eq!(starts, ["Empty", "CompletingRebalance", "Stable"]);
    }
}
