//! glommio, the one executor of this broker, and a way round each of its defects.
//!
//! | file | what it is | the defect it goes round |
//! |---|---|---|
//! | `start` | one pinned executor per core | odd thread names, panics without io_uring |
//! | `keep_alive` | a timer while a core works | parks with runnable tasks; also measures stalls |
//! | `pause` | yields and sleeps | `yield_now` does not look at the ring |
//! | `listener` | accepted connections | SO_REUSEPORT always, no CLOEXEC, EMFILE at once |
//! | `socket` | one connection | no readiness poll, late FIN, no TCP_NODELAY |
//! | `ring` | syncs of a `File` through the ring | |
//! | `cold_reads` | reads of what is not in memory, by a thread beside the core | reads through the ring are done in the core's own calls |
//!
//! All of it lives on a core's thread. Two rules for whoever writes tasks: never clone one task's waker more than 32,767 times (its count is an
//! `i16`), and never hand a waker to another thread: glommio wakes foreign tasks late and with a lock. Use the mesh.

mod cold_reads;
mod keep_alive;
mod listener;
mod pause;
mod pipe;
mod ring;
mod socket;
mod start;

pub use cold_reads::{READ_AHEAD_BYTES, begin_read_ahead, read_ahead};
pub use keep_alive::{mark_activity, on_stall};
pub use listener::{Listener, ReservedPort, check_port_is_free};
pub use pause::{look_at_ring, sleep, yield_now};
pub use pipe::Pipe;
pub use ring::data_sync;
pub use socket::Socket;
pub use start::{CoreOptions, CoreThread, run_here, start_core};

/// A task of this core. Dropping it cancels the task; `detach` lets it go on.
pub use glommio::Task;

/// Starts a task on this core. It runs up to its first wait before this returns.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    glommio::spawn_local(future)
}

/// The host's error inside glommio's, with its number: glommio's own conversion loses it.
fn host_error(error: glommio::GlommioError<()>) -> std::io::Error {
    match error {
        glommio::GlommioError::IoError(error) | glommio::GlommioError::EnhancedIoError { source: error, .. } => error,
        other => std::io::Error::other(other.to_string()),
    }
}
