//! The load generator: runs against any Kafka-speaking broker and knows nothing of this one.
//!
//! | what | where |
//! |---|---|
//! | what is asked for | `arguments` → `run`, `verify` |
//! | who does what | `shares` → `team` → `worker`; told by `phase` |
//! | sending | `schedule` → `lane` → `producer`, `producer_connection`; `message`, `filler`, `batch_writer`, `produce_request` |
//! | receiving | `consumer`; `fetch_request`, `batch_reader` → `checker` |
//! | what was found | `statistics`, `checker`, `journal` → `outcome`, `distribution` → `report`, `histogram_files` |
//! | talking to brokers | `connection`, `cluster`, `live_cluster`, `peer_error` |
//!
//! Threads: the main thread leads; each worker is a tokio current-thread runtime with its own producers and consumers, and shares
//! nothing with the others but the phase, the events and the live counters.

#![cfg_attr(test, allow(clippy::single_range_in_vec_init, reason = "tests list ranges, sometimes one"))]

pub mod acknowledged_offsets;
pub mod arguments;
pub mod batch_reader;
pub mod batch_writer;
pub mod checker;
pub mod cluster;
pub mod connection;
pub mod consumer;
pub mod distribution;
pub mod fetch_request;
pub mod filler;
pub mod histogram_files;
pub mod identity;
pub mod journal;
pub mod lane;
pub mod live_cluster;
pub mod message;
pub mod outcome;
pub mod peer_error;
pub mod phase;
pub mod precise_timer;
pub mod primitives;
pub mod produce_request;
pub mod producer;
pub mod producer_connection;
pub mod progress;
pub mod ranges;
pub mod report;
pub mod run;
pub mod schedule;
pub mod shares;
pub mod statistics;
pub mod team;
pub mod verify;
pub mod worker;
