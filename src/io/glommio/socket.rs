//! One TCP connection of a core.
//!
//! On a core's thread. Calls named `try_` never wait: they answer `WouldBlock`. Invariants: the socket is O_NONBLOCK (MEASURED: SPLICE_F_NONBLOCK does not cover it,
//! and sendfile would block the core), close-on-exec and TCP_NODELAY; no call keeps a borrow of a buffer while it waits for the peer.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use rustix::fs::sendfile;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

use super::host_error;
use super::pipe::Pipe;
use crate::io::File;

#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Socket {
    /// Connects to `address`.
    pub async fn connect(address: SocketAddr) -> io::Result<Socket> {
        Socket::new(TcpStream::connect(address).await.map_err(host_error)?)
    }

    /// Makes the stream what this file's head says.
    pub(super) fn new(stream: TcpStream) -> io::Result<Socket> {
        let descriptor = stream.as_raw_fd();
        // SAFETY: plain integers on a descriptor that `stream` keeps open.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
        // SAFETY: as above.
        if flags < 0 || unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above. glommio's first attempt at accept(2) does not set it.
        if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        stream.set_nodelay(true).map_err(host_error)?;
        let peer = stream.peer_addr().map_err(host_error)?;
        let local = stream.local_addr().map_err(host_error)?;
        Ok(Socket { stream, peer, local })
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Reads into `buffer`; `Ok(0)` is the peer's end of sending. While pending, nothing of `buffer` is kept: so one buffer serves all connections of a core.
    pub fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }

    /// Reads what is there now (recv(2)), past a poll that the ring may have for this socket: whoever waits by that finds nothing, and polls anew.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is; the peer's reset.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, received) = recv(self, buffer, RecvFlags::DONTWAIT)?;
        Ok(received)
    }

    /// Reads into `buffer`, waiting for the peer.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, buffer)).await
    }

    /// Sends as much as the socket takes now (send(2)). `more`: further bytes follow at once, so the kernel may hold back a packet that is not full.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing now; the peer's reset.
    pub fn try_send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        Ok(send(self, bytes, send_flags(more))?)
    }

    /// As [`try_send`](Self::try_send), with several slices in one call (sendmsg(2)).
    ///
    /// # Errors
    /// As there.
    pub fn try_send_slices(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        Ok(sendmsg(self, slices, &mut SendAncillaryBuffer::default(), send_flags(more))?)
    }

    /// Sends all of `bytes`, waiting until the peer makes room. Ends in an error as soon as the connection is broken.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|context| Pin::new(&mut self.stream).poll_write(context, bytes)).await? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Sends pages of a file without copying them (sendfile(2)). Blocks for pages that are not in memory: ask `File::resident` before. 0 is the end of the file.
    ///
    /// # Errors
    /// `WouldBlock` if the socket takes nothing now; EINVAL where the file system cannot; the peer's reset.
    pub fn try_sendfile(&self, file: &File, position: u64, len: usize) -> io::Result<usize> {
        let mut offset = position;
        Ok(sendfile(self, file, Some(&mut offset), len)?)
    }

    /// As [`try_sendfile`](Self::try_sendfile), through a pipe (splice(2)). `more`: further bytes follow at once.
    ///
    /// # Errors
    /// As there.
    pub fn try_splice(&self, pipe: &Pipe, file: &File, position: u64, len: usize, more: bool) -> io::Result<usize> {
        pipe.move_pages(file, position, len, self.as_fd(), more)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `stream` keeps the descriptor open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // glommio has a poll on the socket in the ring, which keeps it open until the next turn; the peer shall hear of the end now.
        // An error means that the connection is gone already.
        let _ = shut_down(&self.stream, Shutdown::Both);
    }
}

fn send_flags(more: bool) -> SendFlags {
    SendFlags::DONTWAIT | SendFlags::NOSIGNAL | if more { SendFlags::MORE } else { SendFlags::empty() }
}

fn shut_down(stream: &TcpStream, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: plain integers on a descriptor that `stream` keeps open.
    if unsafe { libc::shutdown(stream.as_raw_fd(), how) } != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
