//! Kafka's classic consumer groups: who is a member, who owns what, and which offsets were committed.
//!
//! Pure: no I/O, no clock, no executor, no randomness. A core's shell owns one [`GroupCoordinator`] per partition of
//! `__consumer_offsets` that it leads, hands it events with the time of day, and performs the effects in their order.
//!
//! One file is one idea: `state` is the table of states, `event` and `effect` are what goes in and out, `classic_group` is
//! the machine, and each of `join`, `barrier`, `sync`, `session`, `leave`, `offset_commit`, `removal` and `write` holds the
//! rules of one step. `record_format` and `replay` are the group's memory in Kafka's own log format.
//!
//! Source of the rules: KIP-62, KIP-134, KIP-211, KIP-345, KIP-394, KIP-559, KIP-814 and the behaviour of Apache Kafka 4.3.

pub mod barrier;
pub mod classic_group;
pub mod config;
pub mod consumer;
pub mod effect;
pub mod event;
pub mod group_coordinator;
pub mod ids;
pub mod join;
pub mod leave;
pub mod member;
pub mod membership;
pub mod offset_commit;
pub mod offset_expiry;
pub mod offsets;
pub mod partition_of_group;
pub mod record_format;
pub mod removal;
pub mod replay;
pub mod session;
pub mod state;
pub mod subscription;
pub mod sync;
pub mod views;
pub mod write;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod table_tests;

pub use classic_group::ClassicGroup;
pub use config::GroupConfig;
pub use effect::{Effect, Response};
pub use event::Event;
pub use group_coordinator::GroupCoordinator;
pub use ids::{GroupId, GroupInstanceId, MemberId, PersistToken, RequestToken, ShortText};
pub use partition_of_group::partition_of_group;
pub use state::GroupState;
