//! Tests of `socket.rs`.

use super::*;
use crate::io::glommio::{Listener, ReservedPort, look_at_ring, run_here, sleep, spawn};
use std::io::Read;
use std::os::fd::FromRawFd;
use std::time::Duration;

/// A socket of a core, and its peer, a plain blocking one.
async fn pair() -> (Socket, std::net::TcpStream) {
    let listener = Listener::listen(ReservedPort::bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
    let client = std::net::TcpStream::connect(listener.local()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (listener.accept(|_| ()).await.unwrap(), client)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 253) as u8).collect()
}

fn file_of(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let file = File::open_write(path.as_ref()).unwrap();
    file.write_all_at(&mut [IoSlice::new(bytes)], 0).unwrap();
    file
}

#[test]
fn one_buffer_serves_two_connections_that_wait_at_once() {
    run_here(async {
        let (mut a, a_client) = pair().await;
        let (mut b, b_client) = pair().await;
        let buffer = std::rc::Rc::new(std::cell::RefCell::new([0; 16]));
        let read = |mut socket: Socket| {
            let buffer = buffer.clone();
            spawn(async move {
                poll_fn(|context| {
                    let mut buffer = buffer.borrow_mut();
                    socket.poll_read(context, &mut *buffer).map(|read| buffer[..read.unwrap()].to_vec())
                })
                .await
            })
        };
        assert!(futures_lite::future::poll_once(a.read(&mut [0; 4])).await.is_none());
        assert!(futures_lite::future::poll_once(b.read(&mut [0; 4])).await.is_none());
        let (a, b) = (read(a), read(b));
        std::io::Write::write_all(&mut &b_client, b"to b").unwrap();
        std::io::Write::write_all(&mut &a_client, b"to a").unwrap();
        assert_eq!(a.await, b"to a");
        assert_eq!(b.await, b"to b");
    });
}

#[test]
fn sending_does_not_wait_and_writing_does() {
    run_here(async {
        let (mut socket, mut client) = pair().await;
        let bytes = pattern(64 * 1024);
        let mut sent = 0;
        let error = loop {
            match socket.try_send_slices(&[IoSlice::new(&bytes[..1000]), IoSlice::new(&bytes[1000..])], false) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(sent > 0);
        let reader = std::thread::spawn(move || {
            let mut received = vec![0; sent + 3];
            client.read_exact(&mut received).unwrap();
            received
        });
        socket.write_all(b"end").await.unwrap();
        let received = reader.join().unwrap();
        assert_eq!(received[sent..], *b"end");
        drop(socket);
    });
}

#[test]
fn files_go_out_by_sendfile_and_by_splice_as_far_as_the_socket_takes_them() {
    const LEN: usize = 6 * 1024 * 1024;
    let bytes = pattern(LEN);
    for by_pipe in [false, true] {
        let file = file_of(&bytes);
        run_here(async {
            let (mut socket, mut client) = pair().await;
            let pipe = Pipe::new().unwrap();
            let reader = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                let mut received = Vec::new();
                client.read_to_end(&mut received).unwrap();
                received
            });
            let (mut position, mut refused) = (0, 0);
            while position < LEN {
                let result = if by_pipe {
                    socket.try_splice(&pipe, &file, position as u64, LEN - position, false)
                } else {
                    socket.try_sendfile(&file, position as u64, LEN - position)
                };
                match result {
                    Ok(count) => position += count,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        refused += 1;
                        // The next bytes by hand, which waits for room.
                        let mut next = [0; 4096];
                        let count = file.read_at(&mut next, position as u64).unwrap();
                        socket.write_all(&next[..count]).await.unwrap();
                        position += count;
                    }
                }
            }
            assert!(refused > 0, "6 MiB fitted into the socket's buffers: the test needs more");
            drop(socket);
            assert!(reader.join().unwrap() == bytes, "by_pipe {by_pipe}");
        });
    }
}

/// While a poll of the socket is in the ring, glommio's own drop says nothing to the peer until the executor's next turn.
#[test]
fn the_peer_hears_of_a_drop_at_once() {
    run_here(async {
        for with_socket in [false, true] {
            let (mut socket, mut client) = pair().await;
            assert!(futures_lite::future::poll_once(socket.read(&mut [0; 4])).await.is_none());
            look_at_ring().await; // the poll is with the kernel now
            if with_socket {
                drop(socket);
            } else {
                // glommio's stream alone: a second view of the same socket, with a poll of its own.
                let duplicate = socket.as_fd().try_clone_to_owned().unwrap();
                std::mem::forget(socket);
                // SAFETY: `into_raw_fd` gives up the duplicate, so the stream is its only owner.
                let mut stream = unsafe { TcpStream::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(duplicate)) };
                let mut buffer = [0; 4];
                assert!(futures_lite::future::poll_once(futures_lite::io::AsyncReadExt::read(&mut stream, &mut buffer)).await.is_none());
                drop(stream);
            }
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            // This blocks the core, so the executor has no turn.
            let heard = client.read(&mut [0; 4]);
            assert_eq!(heard.is_ok(), with_socket, "{heard:?}");
        }
    });
}

/// Measured: an answer in three writes takes 44 ms without.
#[test]
fn glommio_leaves_nagle_on() {
    run_here(async {
        let listener = glommio::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().await.unwrap();
        assert!(!stream.nodelay().unwrap(), "glommio sets TCP_NODELAY now: Socket::new need not");
    });
}

#[test]
fn writing_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    run_here(async {
        let (mut socket, client) = pair().await;
        drop(client);
        let chunk = vec![0; 1024 * 1024];
        let mut result = Ok(());
        for _ in 0..100 {
            result = socket.write_all(&chunk).await;
            if result.is_err() {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        assert!(matches!(result.unwrap_err().kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
        assert!(socket.try_send(&chunk, false).is_err());
    });
}
