//! The classic protocol: members meet at a barrier, and the one that leads assigns.
//!
//! Pure, as all of `coordinator`. One file is one idea: `state` is the table of states, `group` is the machine, and each of
//! `join`, `barrier`, `sync`, `session`, `leave`, `offset_commit`, `removal`, `succession` and `write` holds the rules of one step.

pub mod barrier;
pub mod group;
pub mod join;
pub mod leave;
pub mod member;
pub mod membership;
pub mod offset_commit;
pub mod removal;
pub mod session;
pub mod state;
pub mod subscription;
mod succession;
pub mod sync;
pub mod views;
pub mod write;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod table_tests;

pub use group::ClassicGroup;
pub use state::GroupState;
