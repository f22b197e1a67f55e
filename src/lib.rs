//! Pagewire: a log broker that speaks Kafka's wire protocol, on io_uring, one pinned executor per core.
//!
//! The folders, lowest first. Folders in one row never import each other, nothing points back up; `tests/tidy.rs` reads
//! this table and enforces it.
//!
//! | folder | what it is | may import |
//! |---|---|---|
//! | `base` | ids, offsets, limits, error codes | nothing |
//! | `wire` | frames, Kafka messages, record batches | base |
//! | `io` | clock, file, socket, splice, mesh, spawn; `io/glommio` is the one executor | base |
//! | `log` | segments, indexes, appender, reader, recovery, retention, compaction, inspection | base, wire, io |
//! | `net` | connection, ordered responses, splice; the client side of the admin commands | base, wire, io |
//! | `coordinator`, `replication`, `cluster` | pure state machines | base, wire |
//! | `shard` | one core: its partitions, router, timers, histograms | base, wire, io, log, net, coordinator, replication, cluster |
//! | `control` | the control thread: metadata store, topic creation and deletion, the log cleaner, background file work | base, wire, io, log, cluster, shard |
//! | `api` | one file per request, and `versions.rs` | base, wire, io, net, coordinator, cluster, shard |
//! | `admin` | settings, preflight, admin commands | base, wire, io, log, net, cluster, shard |
//! | `load` | the load generator; knows no broker internals, runs against any Kafka | base, wire, io, net |
//! | `server` | assembly | base, wire, io, log, net, coordinator, replication, cluster, shard, control, api, admin |

pub mod admin;
pub mod api;
pub mod base;
pub mod cluster;
pub mod control;
pub mod coordinator;
pub mod io;
pub mod load;
pub mod log;
pub mod net;
pub mod replication;
pub mod server;
pub mod shard;
pub mod wire;
