//! The states of a consumer group. They are not kept: they follow from its epochs and members.
//!
//! | state | members | group epoch | members' epochs |
//! |---|---|---|---|
//! | Empty | none | any | |
//! | Assigning | some | above the target's | any |
//! | Reconciling | some | the target's | some are not there yet |
//! | Stable | some | the target's | all are there |
//! | Dead | none | | |
//!
//! Source: KIP-848, "Consumer Group States".

use std::fmt;

use super::memory::Memory;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConsumerGroupState {
    Empty,
    /// The next heartbeat of any member makes a new target assignment.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    Stable,
    /// Being removed.
    Dead,
}

impl ConsumerGroupState {
    /// The name in ListGroups and ConsumerGroupDescribe.
    pub fn name(self) -> &'static str {
        match self {
            ConsumerGroupState::Empty => "Empty",
            ConsumerGroupState::Assigning => "Assigning",
            ConsumerGroupState::Reconciling => "Reconciling",
            ConsumerGroupState::Stable => "Stable",
            ConsumerGroupState::Dead => "Dead",
        }
    }

    /// The table above. Looks at every member.
    pub fn of(memory: &Memory) -> ConsumerGroupState {
        if memory.members().is_empty() {
            return ConsumerGroupState::Empty;
        }
        if memory.epoch() > memory.target_epoch() {
            return ConsumerGroupState::Assigning;
        }
        match memory.members().keys().all(|id| memory.current(id).is_reconciled_to(memory.target_epoch())) {
            true => ConsumerGroupState::Stable,
            false => ConsumerGroupState::Reconciling,
        }
    }
}

impl fmt::Display for ConsumerGroupState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
