//! Sends answers: bytes gathered into as few writes as possible, ranges of files in the way that `Transfer` says.
//!
//! On a core's thread. Invariants: bytes leave in order, whoever has to wait; file pages go to a splicing call only after they were found, or brought, into
//! memory, because that call would block the core; no more than one quantum of a range is sent between two looks at the mesh and the ring; while others are served, large
//! pieces go one at a time.

use std::io::{self, ErrorKind, IoSlice};

use futures_lite::future;

use super::connections::Connections;
use super::idle::Activity;
use super::large_turns::{LARGE_BYTES_MIN, TURN_BYTES_MAX};
use super::read_ahead::ReadAhead;
use super::response::{Part, Response};
use super::service::Service;
use super::traffic::add;
use crate::base::limits::{PAGES_QUANTUM_BYTES, SENDFILE_BYTES_MIN, SPLICE_BYTES_MIN};
use crate::io::clock::monotonic_ns;
use crate::io::glommio::{Pipe, Socket};
use crate::io::{FileRange, Transfer};

/// Bytes gathered for one write.
const GATHER_BYTES: usize = 128 * 1024;
/// What is copied to a full socket, to wait there for room (MEASURED: glommio has no readiness poll, but its write waits).
const WAIT_BYTES: usize = 16 * 1024;

/// Why sending stopped.
#[derive(Debug)]
pub(super) enum SendError {
    /// The peer is gone, or its connection broken: no news.
    Peer(io::Error),
    /// Our file could not be read; the answer is cut, so the connection must go.
    File(io::Error),
}

/// One round of sending on a connection.
pub(super) struct Sender<'a, S: Service> {
    core: &'a Connections<S>,
    socket: &'a mut Socket,
    activity: &'a Activity,
    /// Bytes that wait for company: `gathered[..filled]`. Empty while none do.
    gathered: Box<[u8]>,
    filled: usize,
    /// The socket took no more pages in the round before, and in this one.
    was_full: bool,
    is_full: bool,
    /// No answer of this round is large.
    is_small: bool,
}

impl<'a, S: Service> Sender<'a, S> {
    pub(super) fn new(core: &'a Connections<S>, socket: &'a mut Socket, activity: &'a Activity, was_full: bool) -> Sender<'a, S> {
        Sender { core, socket, activity, gathered: Box::default(), filled: 0, was_full, is_full: false, is_small: true }
    }

    /// Adds an answer. Its last bytes may still wait for `flush` afterwards.
    pub(super) async fn send(&mut self, response: Response) -> Result<(), SendError> {
        self.is_small &= response.len() < LARGE_BYTES_MIN;
        let mut rest = response.rest.into_iter().peekable();
        self.send_bytes(&response.head, rest.peek()).await?;
        while let Some(part) = rest.next() {
            match part {
                Part::Bytes(bytes) => self.send_bytes(&bytes, rest.peek()).await?,
                Part::File(range) if self.is_copied(&range) => self.copy(range).await?,
                Part::File(range) => {
                    let done = self.send_pages_at_once(&range)?;
                    if done < range.len {
                        // Large: kept out of the size of every connection's task.
                        Box::pin(self.send_pages(&range, done)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the socket took no more pages at some time in this round.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether no answer of this round is large.
    pub(super) fn is_small(&self) -> bool {
        self.is_small
    }

    /// Sends what was gathered. `more`: further bytes follow at once.
    pub(super) async fn flush(&mut self, more: bool) -> Result<(), SendError> {
        self.write_out(&[], more).await
    }

    /// Adds bytes. They keep each other company, unless pages come `next`, which leave by another call.
    async fn send_bytes(&mut self, bytes: &[u8], next: Option<&Part>) -> Result<(), SendError> {
        let are_pages_next = matches!(next, Some(Part::File(range)) if !self.is_copied(range));
        if are_pages_next || bytes.len() > GATHER_BYTES - self.filled {
            return self.write_out(bytes, true).await;
        }
        self.space()[..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    /// The free part of the gathering buffer.
    fn space(&mut self) -> &mut [u8] {
        if self.gathered.is_empty() {
            self.gathered = self.core.buffers.take(GATHER_BYTES);
        }
        &mut self.gathered[self.filled..GATHER_BYTES]
    }

    /// Sends the gathered bytes and then `bytes`.
    async fn write_out(&mut self, bytes: &[u8], more: bool) -> Result<(), SendError> {
        let total = self.filled + bytes.len();
        if total == 0 {
            return Ok(());
        }
        let sent = match (&self.gathered[..self.filled], bytes) {
            (bytes, []) | ([], bytes) => self.socket.try_send(bytes, more),
            (gathered, bytes) => self.socket.try_send_slices(&[IoSlice::new(gathered), IoSlice::new(bytes)], more),
        };
        let mut sent = match sent {
            Ok(sent) => sent,
            Err(error) if is_transient(&error) => 0,
            Err(error) => return Err(SendError::Peer(error)),
        };
        if sent < total {
            add(&self.core.traffic.sends_blocked, 1);
            let filled = self.filled;
            // Many connections may wait here: each with what it needs, and the pooled buffer back.
            let rest: Box<[u8]> = self.gathered[sent.min(filled)..filled].into();
            self.release();
            self.socket.write_all(&rest).await.map_err(SendError::Peer)?;
            sent += rest.len();
            self.socket.write_all(&bytes[sent - filled..]).await.map_err(SendError::Peer)?;
            self.activity.moved(monotonic_ns());
        }
        self.release();
        add(&self.core.traffic.bytes_sent, total);
        Ok(())
    }

    fn release(&mut self) {
        self.filled = 0;
        self.core.buffers.give(std::mem::take(&mut self.gathered));
    }

    fn is_copied(&self, range: &FileRange) -> bool {
        match self.core.options.transfer {
            Transfer::Copy => true,
            Transfer::Auto => range.len < SENDFILE_BYTES_MIN,
            Transfer::Sendfile | Transfer::Splice => false,
        }
    }

    /// Reads the range into the gathering buffer, which is sent whenever it is full.
    async fn copy(&mut self, range: FileRange) -> Result<(), SendError> {
        let mut done = 0;
        let mut ahead = ReadAhead::new(&range);
        while done < range.len {
            if self.filled == GATHER_BYTES {
                self.flush(true).await?;
                self.give_way().await;
            }
            let left = range.len - done;
            let space = self.space();
            let len = left.min(space.len());
            let position = range.position + done as u64;
            let read = match range.file.try_read_at(&mut space[..len], position) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Nobody's answer waits for our disk.
                    self.flush(true).await?;
                    ahead.bring(&self.core.traffic, done).await.map_err(SendError::File)?;
                    // It is there now, unless memory is very short: then the core waits for it, once.
                    let space = self.space();
                    range.file.read_at(&mut space[..left.min(GATHER_BYTES)], position)
                }
                result => result,
            };
            let read = whole(read.map_err(SendError::File)?, &range)?;
            self.filled += read;
            done += read;
            add(&self.core.traffic.file_bytes_copied, read);
        }
        Ok(())
    }

    /// Sends what can be sent without waiting, if the range is one piece that need not wait for its turn. Whatever stands in the way of that is met again by `send_pages`.
    fn send_pages_at_once(&mut self, range: &FileRange) -> Result<usize, SendError> {
        let is_one_piece = self.filled == 0 && (1..=PAGES_QUANTUM_BYTES).contains(&range.len);
        let is_now = is_one_piece && !self.core.large_turns.are_for(range.len);
        if !is_now || !ReadAhead::new(range).is_ready(&self.core.traffic, 0, range.len).map_err(SendError::File)? {
            return Ok(0);
        }
        let Ok(sent) = self.try_pages(range, 0, range.len) else { return Ok(0) };
        whole(sent, range)
    }

    /// Sends the range from `done` on.
    async fn send_pages(&mut self, range: &FileRange, mut done: usize) -> Result<(), SendError> {
        self.flush(true).await?;
        let mut ahead = ReadAhead::new(range);
        let mut is_first = done == 0;
        while done < range.len {
            let left = range.len - done;
            let is_in_turn = self.core.large_turns.are_for(left);
            let len = left.min(if is_in_turn { TURN_BYTES_MAX } else { PAGES_QUANTUM_BYTES });
            let sent = if is_in_turn {
                self.try_pages_in_turn(range, &mut ahead, done, len).await.map_err(SendError::File)?
            } else {
                if !is_first {
                    self.give_way().await;
                }
                ahead.ensure(&self.core.traffic, done, len).await.map_err(SendError::File)?;
                self.try_pages(range, done, len)
            };
            is_first = false;
            match sent {
                Ok(sent) => done += whole(sent, range)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => done += self.wait_for_room(range, done).await?,
                Err(error) if is_transient(&error) => {}
                // sendfile(2), splice(2): EINVAL and ENOSYS where the file system has no way to do it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                    return self.copy(range.part(done, range.len)).await;
                }
                Err(error) => return Err(blame(error)),
            }
        }
        Ok(())
    }

    /// Waits for this connection's turn, and for a look at the ring, and sends pages then.
    ///
    /// # Errors
    /// The file's. Those of sending are inside.
    async fn try_pages_in_turn(
        &mut self,
        range: &FileRange,
        ahead: &mut ReadAhead<'_>,
        done: usize,
        len: usize,
    ) -> io::Result<io::Result<usize>> {
        ahead.ensure(&self.core.traffic, done, len).await?;
        let turn = self.core.large_turns.take().await;
        self.give_way().await;
        // Timers come first of what a look finds: this lets all others whom it woke go on before.
        future::yield_now().await;
        if !range.file.resident(range.position + done as u64, len)? {
            // Taken away meanwhile. Nobody's turn waits for the disk.
            drop(turn);
            ahead.bring(&self.core.traffic, done).await?;
        }
        add(&self.core.traffic.pieces_in_turn, 1);
        Ok(self.try_pages(range, done, len))
    }

    /// Sends pages of the range, as many as the socket takes now of `len` bytes from `done` on.
    fn try_pages(&mut self, range: &FileRange, done: usize, len: usize) -> io::Result<usize> {
        let position = range.position + done as u64;
        let sent = match self.pipe_for(len) {
            Some(pipe) => self.socket.try_splice(pipe, &range.file, position, len, done + len < range.len),
            None => self.socket.try_sendfile(&range.file, position, len),
        };
        match &sent {
            Ok(sent) => {
                add(&self.core.traffic.file_bytes_spliced, *sent);
                add(&self.core.traffic.bytes_sent, *sent);
            }
            Err(error) => self.is_full |= error.kind() == ErrorKind::WouldBlock,
        }
        sent
    }

    /// The core's pipe, if pages are to go through one. What a full socket does not take was moved there for nothing.
    fn pipe_for(&self, len: usize) -> Option<&'a Pipe> {
        let is_wanted = match self.core.options.transfer {
            Transfer::Splice => true,
            Transfer::Auto => len >= SPLICE_BYTES_MIN,
            Transfer::Sendfile | Transfer::Copy => false,
        };
        self.core.pipe.as_ref().filter(|_| is_wanted && !self.was_full && !self.is_full)
    }

    /// The socket is full: hands it the next bytes by hand, which waits until it has room.
    async fn wait_for_room(&mut self, range: &FileRange, done: usize) -> Result<usize, SendError> {
        add(&self.core.traffic.sends_blocked, 1);
        let mut next = vec![0; WAIT_BYTES.min(range.len - done)];
        // In memory, as far as could be told a moment ago.
        let read = range.file.read_at(&mut next, range.position + done as u64).map_err(SendError::File)?;
        let read = whole(read, range)?;
        self.socket.write_all(&next[..read]).await.map_err(SendError::Peer)?;
        self.activity.moved(monotonic_ns());
        add(&self.core.traffic.file_bytes_copied, read);
        add(&self.core.traffic.bytes_sent, read);
        Ok(read)
    }

    /// The end of a turn within a long answer.
    async fn give_way(&mut self) {
        self.core.service.end_of_turn();
        self.core.ring_looks.look().await;
    }
}

/// Zero bytes of a file mean that it ends before the range does.
fn whole(bytes: usize, range: &FileRange) -> Result<usize, SendError> {
    range.some_of(bytes).map_err(SendError::File)
}

pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// sendfile and splice have two ends, and one errno: EIO is the disk's.
fn blame(error: io::Error) -> SendError {
    if error.raw_os_error() == Some(libc::EIO) { SendError::File(error) } else { SendError::Peer(error) }
}
