//! High watermark, in-sync replicas, leader epochs: pure rules, any thread.

pub mod partition;

pub use partition::{Leadership, PartitionReplication, ReplicationError};
