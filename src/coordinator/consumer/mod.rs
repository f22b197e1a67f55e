//! The consumer protocol (KIP-848): members say what they read and own, the coordinator assigns.
//!
//! Pure, as all of `coordinator`. Each member is brought to the target assignment by itself, in two steps: it gives up what is
//! not its own any more, then takes what others gave up. There is no barrier.
//!
//! `memory` is what the log says of a group and `record` its entries; `group` is the machine around it, and each of
//! `validation`, `heartbeat`, `target`, `regex`, `reconcile`, `leave`, `session`, `offset_commit`, `removal` and `change` holds the
//! rules of one step. `classic_member` answers members that still speak the classic protocol, `migration` leads groups there and
//! back. `state` is the table of states, `topics` what a group must know of the cluster.

pub mod assignor;
mod change;
mod classic_member;
pub mod group;
mod heartbeat;
mod leave;
pub mod memory;
pub(in crate::coordinator) mod migration;
mod offset_commit;
pub mod reconcile;
pub mod record;
pub mod regex;
mod removal;
mod session;
pub mod state;
mod target;
pub mod topics;
pub mod validation;
pub mod views;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod mixed_history_tests;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod scenario_tests;

pub(super) use change::failed;
pub use group::ConsumerGroup;
pub use state::ConsumerGroupState;
