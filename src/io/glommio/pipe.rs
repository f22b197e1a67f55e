//! A pipe between a file and a socket, for splice(2).
//!
//! On a core's thread. Invariant: `held` bytes of the file are in the pipe, and they go to the socket before any other byte.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::io::File;

/// What a pipe should hold (F_SETPIPE_SZ); a user without privileges may have pipes of 1 MiB in all.
const PIPE_BYTES: libc::c_int = 512 * 1024;

#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

impl Pipe {
    /// A pipe of up to 512 KiB; smaller where the system's limits say so.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new() -> io::Result<Pipe> {
        let mut ends: [RawFd; 2] = [-1; 2];
        // SAFETY: the kernel writes two descriptors into the array of two.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: pipe2 succeeded: both are open, and nobody else owns them.
        let pipe = unsafe { Pipe { read: OwnedFd::from_raw_fd(ends[0]), write: OwnedFd::from_raw_fd(ends[1]), held: 0 } };
        // SAFETY: a plain integer on an open descriptor. A refusal leaves the default of 64 KiB, which works as well.
        unsafe { libc::fcntl(pipe.write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
        Ok(pipe)
    }

    /// Bytes of the file that are in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves pages of the file into the pipe, without copying. Blocks for pages that are not in memory. 0 is the end of the file.
    pub fn try_fill(&mut self, file: &File, position: u64, len: usize) -> io::Result<usize> {
        let mut offset = position as i64;
        // SAFETY: `offset` is live and writable for the call; the descriptors are open.
        let moved = unsafe {
            libc::splice(
                file.as_fd().as_raw_fd(),
                &mut offset,
                self.write.as_raw_fd(),
                std::ptr::null_mut(),
                len,
                libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE,
            )
        };
        let moved = transferred(moved)?;
        self.held += moved;
        Ok(moved)
    }

    /// Moves what the pipe holds to a socket, which must be O_NONBLOCK.
    pub(super) fn try_drain(&mut self, socket: RawFd, more: bool) -> io::Result<usize> {
        let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE | if more { libc::SPLICE_F_MORE } else { 0 };
        // SAFETY: null offsets: neither end has a position. The descriptors are open.
        let moved = unsafe { libc::splice(self.read.as_raw_fd(), std::ptr::null_mut(), socket, std::ptr::null_mut(), self.held, flags) };
        let moved = transferred(moved)?;
        self.held -= moved;
        Ok(moved)
    }

    /// Copies bytes that are in the pipe out of it.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buffer` is borrowed mutably for the call, and the kernel writes at most its length.
        let read = unsafe { libc::read(self.read.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        if read == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the pipe is empty"));
        }
        let read = transferred(read)?;
        self.held -= read;
        Ok(read)
    }
}

/// The result of a call that returns a count, or −1 and errno.
fn transferred(result: isize) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}
