//! The load generator: runs against any Kafka-speaking broker and knows nothing of this one.
//!
//! | what | where |
//! |---|---|
//! | what is asked for | `arguments`, `options` → `run`, `verify` |
//! | who does what | `shares` → `team` → `worker`; led by `lead`, told by `phase`; `interrupt` |
//! | at which rate | `steps` → `schedule`, `arrivals` |
//! | sending | `lane` → `producer`, `producer_connection`, `stall`; `message`, `keys`, `filler`, `batch_writer`, `produce_request` |
//! | receiving | `consumer`; `fetch_request`, `batch_reader` → `checker` |
//! | connections that come and go | `churn` |
//! | what was found | `statistics` → `recorder` → `collector`; `checker`, `journal` → `outcome`, `distribution` → `report` |
//! | whether it holds | `self_check`, `environment` |
//! | talking to brokers | `connection`, `cluster`, `live_cluster`, `peer_error` |
//!
//! Threads: the main thread leads; each worker is a tokio current-thread runtime with its own producers and consumers, and shares
//! nothing with the others but the phase, the events and the live counters.

#![cfg_attr(test, allow(clippy::single_range_in_vec_init, reason = "tests list ranges, sometimes one"))]

pub mod acknowledged_offsets;
pub mod arguments;
pub mod arrivals;
pub mod batch_reader;
pub mod batch_writer;
pub mod checker;
pub mod churn;
pub mod cluster;
pub mod collector;
pub mod connection;
pub mod consumer;
pub mod distribution;
pub mod environment;
pub mod fetch_request;
pub mod filler;
pub mod identity;
pub mod interrupt;
pub mod journal;
pub mod keys;
pub mod lane;
pub mod lead;
pub mod live_cluster;
pub mod message;
pub mod options;
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
pub mod recorder;
pub mod report;
pub mod run;
pub mod schedule;
pub mod self_check;
pub mod shares;
pub mod stall;
pub mod statistics;
pub mod steps;
pub mod team;
pub mod verify;
pub mod worker;
