//! Kafka's consumer groups: who is a member, who owns what, and which offsets were committed.
//!
//! Pure: no I/O, no clock, no executor, no randomness. A core's shell owns one [`GroupCoordinator`] per partition of
//! `__consumer_offsets` that it leads, hands it events with the time of day, and performs the effects in their order.
//!
//! Two protocols, a room for each: [`classic`], where a member computes the assignment for all, and [`consumer`] (KIP-848),
//! where the coordinator does. `conversion` leads a group from one to the other, with its members if need be, and
//! `embedded_protocol` reads what consumers of the classic protocol keep to themselves. Here stands what both share: `event` and `effect` are what goes in and out, `offsets` and
//! `offset_expiry` are what groups commit, `record_format` and `replay` are their memory in Kafka's own log format.
//!
//! Source of the rules: KIP-62, KIP-134, KIP-211, KIP-345, KIP-394, KIP-559, KIP-814, KIP-848 and the behaviour of Apache
//! Kafka 4.3.

pub mod classic;
pub mod config;
pub mod consumer;
mod conversion;
pub mod effect;
mod embedded_protocol;
pub mod event;
mod group;
pub mod group_coordinator;
pub mod ids;
pub mod offset_expiry;
mod offset_write;
pub mod offsets;
pub mod partition_of_group;
pub mod record_format;
pub mod replay;
pub mod views;

#[cfg(test)]
mod replay_tests;

pub use classic::{ClassicGroup, GroupState};
pub use config::{ConsumerGroupConfig, GroupConfig, MigrationPolicy};
pub use consumer::ConsumerGroup;
pub use effect::{Effect, Response};
pub use event::Event;
pub use group_coordinator::GroupCoordinator;
pub use ids::{GroupId, GroupInstanceId, MemberId, PersistToken, RequestToken, ShortText};
pub use partition_of_group::partition_of_group;
