//! Cuts what a connection receives into frames, where it lies.
//!
//! On a core's thread. Most reads go into a passing buffer and leave nothing behind; whoever the frames are handed to may keep it. A frame that is cut off moves
//! into a buffer of its own, which grows geometrically, and only as bytes arrive: what a peer announces costs nothing. While large frames come
//! one after the other, each is read straight into a buffer of its size. Invariants: a passing buffer is held only between `poll_read` and `settle`, within one
//! poll of the connection's task; `start <= end <= buffer.len()`; bytes before `start` were handed over; what somebody keeps is not received into.

use std::io;
use std::rc::Rc;
use std::task::Poll;

use super::buffers::{Buffers, POOLED_BUFFER_BYTES_MAX};
use super::received::Received;
use super::service::Frames;
use crate::base::limits::{FRAME_BUFFER_BYTES_MIN, RECEIVE_BUFFER_BYTES, REQUEST_BYTES_MAX};

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// A frame above this makes the connection expect another of its size, and read it in place.
const LARGE_FRAME_BYTES: usize = RECEIVE_BUFFER_BYTES / 2;

/// A peer that does not speak the protocol, or asks for too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error(
        "expected the length of a request, 0 to {REQUEST_BYTES_MAX} bytes, but {0} came: not a Kafka client, or one that sends more than it may"
    )]
    Length(i32),
}

#[derive(Default)]
pub(super) struct Inbox {
    held: Option<Held>,
    /// The last read filled its buffer: the next passing one is large.
    reads_much: bool,
    /// What the next frame will probably take, its length included; 0 if it is not expected to be large.
    expected: usize,
}

struct Held {
    buffer: Rc<Received>,
    start: usize,
    end: usize,
    /// The buffer must be let go before the next wait.
    is_passing: bool,
}

impl Held {
    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

impl Inbox {
    /// Reads once, into memory that is chosen by what is known of the next frame. `read` is given the space. 0 is the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        buffers: &Rc<Buffers>,
        mut read: impl FnMut(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        assert!(!self.has_whole_frame(), "what has come is handed over before more is read");
        let have = self.held.as_ref().map_or(0, |held| held.unread().len());
        let wanted = match self.announced() {
            Some(total) if total > RECEIVE_BUFFER_BYTES => total,
            // Its start was read in place, and its rest shall be.
            Some(total) if self.expected > 0 => total,
            Some(_) => 0,
            None => self.expected,
        };
        if wanted > have
            && let Some(held) = &mut self.held
            && held.end < held.buffer.len()
            && let Some(space) = Received::space(&mut held.buffer)
        {
            let limit = space.len().min(held.start + wanted);
            let result = read(&mut space[held.end..limit]);
            if let Poll::Ready(Ok(received)) = result {
                held.end += received;
            }
            return result;
        }
        // Another buffer is borrowed for the time of the call, and kept only if bytes came.
        let is_passing = wanted <= have;
        let mut buffer = if is_passing {
            // Passing buffers that are kept for an append are many, and most connections bring little.
            buffers.take(if self.reads_much { RECEIVE_BUFFER_BYTES } else { have + FRAME_BUFFER_BYTES_MIN })
        } else {
            // Never far more than what has arrived, whatever was announced.
            buffers.take(wanted.min((2 * have).max(self.expected).max(FRAME_BUFFER_BYTES_MIN)))
        };
        let limit = if is_passing { buffer.len() } else { buffer.len().min(wanted) };
        let result = read(&mut buffer[have..limit]);
        match result {
            Poll::Ready(Ok(received)) if received > 0 => {
                self.reads_much = have + received == limit || (self.reads_much && received > FRAME_BUFFER_BYTES_MIN / 2);
                if let Some(old) = self.held.take() {
                    buffer[..have].copy_from_slice(old.unread());
                }
                self.held = Some(Held { buffer: Received::pooled(buffer, buffers), start: 0, end: have + received, is_passing });
            }
            _ => buffers.give(buffer),
        }
        result
    }

    /// The whole frames at the front, at most `frames_max`, and how many bytes they take. `None` if there is none, an error if garbage is at the front.
    pub(super) fn whole_frames(&self, frames_max: usize) -> Result<Option<(Frames<'_>, usize)>, FrameError> {
        let Some(held) = &self.held else { return Ok(None) };
        let unread = held.unread();
        let (mut count, mut bytes) = (0, 0);
        while count < frames_max {
            match frame_bytes(&unread[bytes..]) {
                Ok(Some(total)) if total <= unread.len() - bytes => {
                    count += 1;
                    bytes += total;
                }
                Ok(_) => break,
                // First the good ones before it.
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok((count > 0).then(|| (Frames::new(&held.buffer, held.start..held.start + bytes, count, held.is_passing), bytes)))
    }

    /// Whether a whole frame waits to be handed over.
    pub(super) fn has_whole_frame(&self) -> bool {
        matches!(self.whole_frames(1), Ok(Some(_)))
    }

    /// Whether the next read will find a whole frame, if it finds any: nothing of one has come, and none is expected that comes in many pieces.
    pub(super) fn expects_whole_frames(&self) -> bool {
        self.held.is_none() && self.expected == 0
    }

    /// The frames that took `bytes` were handed over.
    pub(super) fn consume(&mut self, bytes: usize) {
        let Some(held) = &mut self.held else { return };
        // The last of them tells what the next may be like.
        if bytes > LARGE_FRAME_BYTES
            && let Ok(Some(first)) = frame_bytes(held.unread())
            && first > LARGE_FRAME_BYTES
        {
            self.expected = first.min(POOLED_BUFFER_BYTES_MAX);
        } else {
            self.expected = 0;
        }
        held.start += bytes;
        assert!(held.start <= held.end, "more was consumed than was received");
    }

    /// Lets go of memory that is not needed while the connection waits. To be called before every wait.
    pub(super) fn settle(&mut self, buffers: &Rc<Buffers>) {
        let Some(held) = self.held.take() else { return };
        let unread = held.unread();
        if unread.is_empty() {
            return;
        }
        if !held.is_passing {
            self.held = Some(held);
            return;
        }
        // A cut-off frame, or frames that must wait for room. Small ones get exactly what they need: many connections may have one.
        let buffer = if unread.len() < FRAME_BUFFER_BYTES_MIN {
            Received::copied(unread)
        } else {
            let mut buffer = buffers.take(unread.len());
            buffer[..unread.len()].copy_from_slice(unread);
            Received::pooled(buffer, buffers)
        };
        self.held = Some(Held { end: unread.len(), buffer, start: 0, is_passing: false });
    }

    /// What the frame at the front takes in all, as far as its length has come.
    fn announced(&self) -> Option<usize> {
        frame_bytes(self.held.as_ref()?.unread()).ok().flatten()
    }

    /// Memory that is held for this connection alone.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.buffer.len())
    }
}

/// The bytes of the frame at the front with its length, `None` if the length has not come yet.
fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    match usize::try_from(length) {
        Ok(length) if length <= REQUEST_BYTES_MAX => Ok(Some(LENGTH_BYTES + length)),
        _ => Err(FrameError::Length(length)),
    }
}

#[cfg(test)]
mod tests;
