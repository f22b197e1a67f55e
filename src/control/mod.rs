//! The control thread: what is not the data path. It owns the metadata store, creates and deletes topics, keeps the checkpoints, and has
//! blocking file work done by helper threads.
//!
//! One unpinned thread, tokio's current-thread runtime. Cores and control thread exchange messages; the metadata image is one
//! immutable value that is replaced whole, on disk first and then on every core.

pub mod changes;
pub mod checkpoints;
mod cleaner;
pub mod cores;
mod helpers;
mod log_dir;
mod moves;
pub mod opening;
mod outage;
pub mod partitions;
pub mod signals;
pub mod start;
pub mod stop;
pub mod store;
pub mod thread;
