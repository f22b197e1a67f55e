//! The log cleaner: what keeps, of a compacted topic, the last record of each key.
//!
//! | file | what it is |
//! |---|---|
//! | `choice` | which part of a log to clean, whether it is worth it, which segments become one |
//! | `offset_map` | the last offset of each key |
//! | `filter` | which records and batches stay |
//! | `transactions` | which transactions were aborted, and when their markers may go |
//! | `cleaning` | the work: old segments in, `.cleaned` files out |
//! | `throttle` | how fast it may read and write |
//! | `swap` | the files' change of places, whatever moment the process dies in |
//! | `of_log` | what a `Log` does for it: plans, the swap, the first dirty offset |
//!
//! A plan is made on the core, the work runs on a thread of low priority and reads only segments that never change, and the swap goes through the log's own ordered jobs.

pub mod choice;
pub mod cleaning;
pub mod filter;
pub mod of_log;
pub mod offset_map;
pub mod swap;
pub mod throttle;
pub mod transactions;

pub use choice::Cleanable;
pub use cleaning::{Cleaned, CleanerLimits, Cleaning, CleaningError, CleaningPlan, CleaningReport, Step};
