//! The floor: the least that the kernel asks for a log broker's work, and a client light enough to hold brokers against it.
//!
//! | file | what it is |
//! |---|---|
//! | `frames` | the few Kafka requests that both sides speak, as bytes |
//! | `append_file` | the file that the floor appends to and serves from |
//! | `batches` | the record batches that a run sends |
//! | `stamp` | a number in each batch, so that a reader knows which request it came with |
//! | `connection` | one connection of the floor: receive, cut into frames, answer |
//! | `floor` | the loop: one thread, epoll, no indexes, no checks but the CRC |
//! | `light_client` | many connections driven by one thread, whole requests encoded before the run |
//! | `paced_client` | requests on a schedule and a reader at the end of the log: latency from the time that was due |
//! | `process_time` | how much processor time, memory and disk another process has used |
//! | `disk` | what the disk sustains, and files taken out of memory |
//!
//! The floor is no broker. It serves one partition of one topic, believes what the client says about lengths, and forgets everything
//! at its end. What it does is what every broker must do for the same bytes: receive, CRC-32C, `pwritev`, answer; or find, `sendfile`.

pub mod append_file;
pub mod batches;
pub mod connection;
pub mod disk;
pub mod floor;
pub mod frames;
pub mod light_client;
pub mod paced_client;
pub mod process_time;
pub mod stamp;
