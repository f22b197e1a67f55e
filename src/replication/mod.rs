//! High watermark, in-sync replicas, leader epochs: pure rules, any thread.
//!
//! The followers' side (`fetched`, `isr_changed`, `Log::truncate_to`, `Log::append_as_follower`, `Log::locate`) has no caller yet: a partition
//! has one replica.

pub mod partition;

pub use partition::{Leadership, PartitionReplication, ReplicationError};
