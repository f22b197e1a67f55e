//! The vocabulary every other folder shares: ids, offsets, limits and Kafka's error codes.
//!
//! Imports nothing of this crate and does nothing: no I/O, no clock, no thread.

pub mod counters;
pub mod error_code;
pub mod hgrm;
pub mod ids;
pub mod limits;
pub mod maps;

pub use counters::counters;
pub use error_code::ErrorCode;
pub use ids::{
    BrokerId, CoreId, FilePosition, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, ProducerId, Timestamp, TopicId, TopicName,
};
pub use maps::{IdMap, IdSet};
