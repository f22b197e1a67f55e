//! A pipe between files and sockets, for splice(2).
//!
//! On a core's thread. A call fills the pipe from a file and empties it into a socket; it is left with bytes in it only if the socket took less.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::io::File;

/// What a pipe should hold (F_SETPIPE_SZ): the most that users without privileges may have. It has room for so many pages, full or not.
const PIPE_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes in the pipe.
    held: usize,
}

impl Pipe {
    /// A pipe of 1 MiB; smaller where the system's limits say so, which costs more calls.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new() -> io::Result<Pipe> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // A refusal leaves what the kernel gives everybody.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Pipe { read, write, held: 0 })
    }

    /// Whether the pipe can be used again. Otherwise its bytes were not sent, and go with it.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves pages of a file to a socket that is O_NONBLOCK: all `len` bytes, or as many as it takes now. 0 is the end of the file.
    pub(super) fn move_pages(&mut self, file: &File, position: u64, len: usize, socket: BorrowedFd<'_>, more: bool) -> io::Result<usize> {
        assert!(self.is_empty(), "bytes of one answer must not go out with another");
        let mut moved = 0;
        while moved < len && self.is_empty() {
            match self.move_some(file, position + moved as u64, len - moved, socket, more) {
                Ok(0) => break,
                Ok(some) => moved += some,
                Err(error) if moved == 0 => return Err(error),
                // Whoever goes on meets it again.
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    fn move_some(&mut self, file: &File, mut position: u64, len: usize, socket: BorrowedFd<'_>, more: bool) -> io::Result<usize> {
        self.held = splice(file, Some(&mut position), &self.write, None, len, SpliceFlags::NONBLOCK)?;
        if self.is_empty() {
            return Ok(0);
        }
        let more = if more || self.held < len { SpliceFlags::MORE } else { SpliceFlags::empty() };
        let moved = splice(&self.read, None, socket, None, self.held, SpliceFlags::NONBLOCK | more)?;
        self.held -= moved;
        Ok(moved)
    }
}
