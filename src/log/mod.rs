//! A partition on disk, in Apache Kafka's own format.
//!
//! | file | what it is |
//! |---|---|
//! | `partition_log` | `Log`, the type; a table of its verbs stands there |
//! | `config`, `error` | what a log is told, and what it answers |
//! | `append`, `roll`, `read`, `upkeep`, `retention` | its verbs on the core |
//! | `read_starts`, `adjacent_entries`, `header_check` | where sequential reads go on; which headers nobody has to read; which batches nobody has to look at before they are handed out |
//! | `truncation` | cutting its end, off the core |
//! | `timestamp_lookup` | from a timestamp to an offset, off the core |
//! | `compaction` | the cleaner of compacted topics |
//! | `producer_state`, `producer_log`, `producer_recovery` | which batch of an idempotent producer may come next, and its snapshots |
//! | `jobs` | its background work, performed by helper threads |
//! | `recovery`, `startup_files`, `cut`, `rebuild`, `walk` | opening a directory, whatever state it is in |
//! | `format`, `segment`, `offset_index`, `time_index`, `index_builder`, `index_file`, `index_search` | the files of a segment |
//! | `checkpoint`, `leader_epochs`, `partition_metadata`, `meta_properties`, `clean_shutdown` | the small files beside them |
//! | `inspect`, `inspect_text` | a look into a directory, for people and tools |
//! | `data_dir` | which folders of a data directory are partitions |
//!
//! A `Log` is owned by one core. What blocks says so, and runs on helper threads.

#![forbid(unsafe_code)]

mod adjacent_entries;
pub mod append;
pub mod checkpoint;
pub mod clean_shutdown;
pub mod compaction;
pub mod config;
pub mod cut;
pub mod data_dir;
pub mod error;
pub mod format;
mod header_check;
pub mod index_builder;
mod index_file;
pub mod index_search;
pub mod inspect;
mod inspect_text;
pub mod jobs;
pub mod leader_epochs;
pub mod meta_properties;
pub mod offset_index;
pub mod partition_log;
pub mod partition_metadata;
mod producer_log;
mod producer_recovery;
pub mod producer_state;
pub mod read;
mod read_starts;
mod rebuild;
pub mod recovery;
pub mod retention;
pub mod roll;
pub mod segment;
mod startup_files;
pub mod time_index;
pub mod timestamp_lookup;
mod truncation;
pub mod upkeep;
pub mod walk;

#[cfg(test)]
mod tests;

pub use append::Appended;
pub use config::{LogConfig, TimestampType};
pub use error::LogError;
pub use jobs::{Job, JobDone};
pub use leader_epochs::LeaderEpochs;
pub use partition_log::{Log, LogCounters};
pub use producer_state::{FrozenProducers, NotAppended, ProducerError, ProducerExpiration};
pub use read::{Corruption, ReadOutcome};
pub use recovery::{Cut, OpenContext, RecoveryReport};
pub use segment::{OffsetAndPosition, SegmentOpened, SegmentOpening};
pub use timestamp_lookup::{FoundTimestamp, TimestampLookup, TimestampQuery};
pub use upkeep::{Closed, Unflushed};
