//! The world: clock, files, sockets, splice, the mesh between cores. The only folder with unsafe code written by hand.
//!
//! | file | what it is |
//! |---|---|
//! | `clock` | now, in two clocks |
//! | `file` | one open file: positioned reads and writes, reads that do not wait, residency in the page cache |
//! | `directory` | names: create, rename, list, lock, replace atomically |
//! | `features` | system calls newer than Linux 5.x: found out at run time, each with a switch |
//! | `host` | what the kernel tells about the machine, threads and processes; which processors a thread keeps to |
//! | `mesh` | messages between cores, and to and from the control thread |
//! | `process_limits` | how many files this process may open, and that it wants no huge pages |
//! | `transfer` | the ways in which a range of a file goes to a socket |
//! | `glommio` | the executor of a core, its sockets, its ring |
//! | `stream` | files from front to back, for tools |
//! | `thread`, `entropy` | threads for blocking work, and one for work that has time; randomness |
//!
//! Every `unsafe` block carries the argument why it is sound. Everything else in the crate is safe code, but for what is generated in
//! `cluster/generated`.

// This is where the rest of the crate is sent to.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod clock;
pub mod directory;
pub mod entropy;
pub mod features;
pub mod file;
pub mod glommio;
pub mod host;
pub mod mesh;
pub mod process_limits;
pub mod stream;
pub mod thread;
pub mod transfer;

pub use file::{File, FileRange};
pub use mesh::{Mesh, MeshEnd};
pub use transfer::Transfer;
