//! Wakes a thread that waits: one byte through a pair of Unix sockets.
//!
//! A socket and not an eventfd, because a glommio core can only wait for what it can recv(2) from (MEASURED: glommio has no public readiness
//! poll); a byte and not glommio's own channels, because those take a lock and a round through the ring even when nobody waits. `Bell` may be rung from any
//! thread; a `Listener` belongs to the thread that listens. Invariant: bytes carry no meaning and may be lost when the socket is full: then it is readable
//! anyhow.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;
use std::thread::{self, ThreadId};

use futures_lite::io::AsyncRead;

/// The end that is rung.
pub(super) struct Bell {
    socket: UnixStream,
}

/// The end that hears. It becomes a glommio or a tokio stream when it first waits there.
pub(super) struct Listener {
    ear: RefCell<Ear>,
}

enum Ear {
    Idle(UnixStream),
    Glommio(ThreadBound<glommio::net::UnixStream>),
    Tokio(tokio::net::UnixStream),
    /// Only while one becomes the other.
    Moving,
}

pub(super) fn pair() -> io::Result<(Bell, Listener)> {
    let (bell, ear) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    ear.set_nonblocking(true)?;
    Ok((Bell { socket: bell }, Listener { ear: RefCell::new(Ear::Idle(ear)) }))
}

impl Bell {
    pub(super) fn ring(&self) {
        // SAFETY: the descriptor is open as long as `self`, and one byte of a static is read.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), [1u8].as_ptr().cast(), 1, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        // EAGAIN: full of rings that nobody heard yet. EPIPE: the node is gone, and with it the need to wake it.
        let _ = sent;
    }
}

impl Listener {
    /// Waits on a glommio executor until the bell was rung.
    pub(super) async fn heard_by_glommio(&self) {
        poll_fn(|context| {
            let mut ear = self.ear.borrow_mut();
            if let Ear::Idle(_) = *ear {
                let Ear::Idle(socket) = std::mem::replace(&mut *ear, Ear::Moving) else { unreachable!() };
                // SAFETY: `into_raw_fd` gives up the descriptor, so the stream is its only owner.
                *ear = Ear::Glommio(ThreadBound::new(unsafe { glommio::net::UnixStream::from_raw_fd(socket.into_raw_fd()) }));
            }
            let Ear::Glommio(stream) = &mut *ear else { panic!("a node waits on glommio or on tokio, not on both") };
            let mut rung = [0; 64];
            // Any result but "pending" ends the wait. An end of file means that the mesh is being taken down.
            Pin::new(stream.get_mut()).poll_read(context, &mut rung).map(|_| ())
        })
        .await;
    }

    /// Waits on a tokio runtime until the bell was rung.
    pub(super) async fn heard_by_tokio(&self) -> io::Result<()> {
        poll_fn(|context| {
            let mut ear = self.ear.borrow_mut();
            if let Ear::Idle(_) = *ear {
                let Ear::Idle(socket) = std::mem::replace(&mut *ear, Ear::Moving) else { unreachable!() };
                *ear = Ear::Tokio(tokio::net::UnixStream::from_std(socket)?);
            }
            let Ear::Tokio(stream) = &mut *ear else { panic!("a node waits on glommio or on tokio, not on both") };
            loop {
                match stream.try_read(&mut [0; 64]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => match stream.poll_read_ready(context) {
                        Poll::Ready(Ok(())) => continue,
                        other => return other,
                    },
                    _ => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }
}

/// A value that stays on the thread that made it, inside something that moved there before the value was made.
struct ThreadBound<V> {
    value: ManuallyDrop<V>,
    home: ThreadId,
}

// SAFETY: the value is reached by `get_mut` alone, which panics on any thread but its own, and dropped only there.
unsafe impl<V> Send for ThreadBound<V> {}

impl<V> ThreadBound<V> {
    fn new(value: V) -> ThreadBound<V> {
        ThreadBound { value: ManuallyDrop::new(value), home: thread::current().id() }
    }

    fn get_mut(&mut self) -> &mut V {
        assert_eq!(self.home, thread::current().id(), "a node of the mesh changed threads after it had waited");
        &mut self.value
    }
}

impl<V> Drop for ThreadBound<V> {
    fn drop(&mut self) {
        if self.home == thread::current().id() {
            // SAFETY: dropped here and nowhere else, once, on its own thread.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
        // On any other thread the value is leaked: nothing else would be sound.
    }
}
