//! A pipe between files and sockets, for splice(2).
//!
//! On a core's thread. Invariant: between calls the pipe is empty, so nobody waits with pages in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::base::limits::PAGES_QUANTUM_BYTES;
use crate::io::File;

/// What a pipe holds (F_SETPIPE_SZ): the most that a user without privileges may ask for. It has room for so many pages, full or not.
const PIPE_BYTES: usize = 1024 * 1024;

const _: () = assert!(PAGES_QUANTUM_BYTES < PIPE_BYTES, "a piece goes through in one go, wherever in a page it begins");

/// Pages go from a file into it and from there to a socket, within one call; what the socket does not take goes to `/dev/null`.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    nowhere: File,
}

impl Pipe {
    /// Takes three descriptors.
    ///
    /// # Errors
    /// No descriptors left, or the pipes of this user have all the memory that they may have (pipe(7): `pipe-user-pages-soft`).
    pub fn new() -> io::Result<Pipe> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // In a smaller one a piece would take more calls than sendfile does.
        fcntl_setpipe_size(&write, PIPE_BYTES)?;
        Ok(Pipe { read, write, nowhere: File::open_write("/dev/null".as_ref())? })
    }

    /// Moves pages of a file to a socket that is O_NONBLOCK, up to `len` bytes of them: as many as the pipe holds and the socket takes now. 0 is the end of the file.
    pub(super) fn move_pages(&self, file: &File, position: u64, len: usize, socket: BorrowedFd<'_>, more: bool) -> io::Result<usize> {
        let mut from = position;
        let held = splice(file, Some(&mut from), &self.write, None, len, SpliceFlags::NONBLOCK)?;
        let more = if more || held < len { SpliceFlags::MORE } else { SpliceFlags::empty() };
        let (moved, refusal) = self.empty_into(socket, held, more);
        let (dropped, _) = self.empty_into(self.nowhere.as_fd(), held - moved, SpliceFlags::empty());
        assert_eq!(moved + dropped, held, "what stays in the pipe would go out with another answer");
        match refusal {
            Some(error) if moved == 0 => Err(error.into()),
            // Whoever goes on meets it again.
            _ => Ok(moved),
        }
    }

    /// Moves the `held` bytes of the pipe; how many went, and why not all did.
    fn empty_into(&self, to: BorrowedFd<'_>, held: usize, flags: SpliceFlags) -> (usize, Option<Errno>) {
        let mut moved = 0;
        while moved < held {
            match splice(&self.read, None, to, None, held - moved, SpliceFlags::NONBLOCK | flags) {
                Ok(some) => moved += some,
                Err(Errno::INTR) => {}
                Err(error) => return (moved, Some(error)),
            }
        }
        (moved, None)
    }
}
