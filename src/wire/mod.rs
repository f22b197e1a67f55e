//! Frames, Kafka messages and record batches: bytes in, trusted types out. Pure functions, any thread.
//!
//! Invariant: nothing here allocates by a number that a peer or a disk sent before that number was held against the bytes
//! that are really there.

#![forbid(unsafe_code)]

pub mod batch;
pub mod batch_error;
pub mod builder;
pub mod compression;
pub mod cursor;
pub mod fetch;
pub mod frame;
pub mod guard;
mod lz4_frame;
pub mod owned_batches;
pub mod produce;
pub mod rebuilt;
pub mod records;
pub mod shapes;
pub mod snappy;
pub mod verify;
mod zstd_frame;

pub use batch::{Attributes, Batch, BatchHeader, BatchRules, UnverifiedBatch, Verified};
pub use batch_error::BatchError;
pub use builder::RecordBatchBuilder;
pub use compression::Codec;
pub use cursor::DecodeError;
pub use frame::{RequestHeader, TopicReference};
pub use records::{Record, Records};
