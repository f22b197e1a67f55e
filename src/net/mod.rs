//! Connections: bytes in, ordered answers out, file ranges sent from the page cache.
//!
//! | file | what it is |
//! |---|---|
//! | `service` | the seam to whoever answers requests |
//! | `client` | the blocking client of the admin commands |
//! | `response` | an answer: bytes and ranges of files |
//! | `connections` | all connections of a core: accept, limit, stop |
//! | `connection` | one connection's task |
//! | `idle` | the end of connections that nobody uses |
//! | `inbox` | bytes received, cut into frames where they lie |
//! | `outbox` | answers not sent yet, in the order of their requests |
//! | `read_ahead` | what is to be sent, and what lies behind it, brought into memory |
//! | `large_turns` | large pieces one at a time, while others are served |
//! | `ring_looks` | looks at the ring that connections share |
//! | `sender` | answers to bytes on the wire: gather, copy, sendfile, splice |
//! | `buffers` | the memory that a core's connections share |
//! | `received` | received bytes, and parts of them that are kept beyond a turn |
//! | `traffic` | counters |

mod buffers;
pub mod client;
mod connection;
pub mod connections;
mod idle;
mod inbox;
mod large_turns;
mod outbox;
mod read_ahead;
pub mod received;
pub mod response;
mod ring_looks;
mod sender;
pub mod service;
pub mod traffic;

pub use connections::{ConnectionOptions, Connections};
pub use response::{Part, Response};
pub use service::{ConnectionInfo, FrameTiming, Frames, Later, Reply, Sent, Service};
pub use traffic::Traffic;
