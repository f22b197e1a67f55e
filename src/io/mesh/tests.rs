//! Tests of `mesh.rs`.

use super::*;
use crate::io::clock::monotonic_ns;
use crate::io::glommio::{CoreOptions, run_here, start_core};
use std::sync::mpsc;
use std::thread;

fn ends<T: Send, const N: usize>() -> [MeshEnd<T>; N] {
    let ends = Mesh::new(N).unwrap();
    assert_eq!(ends.len(), N);
    ends.try_into().unwrap_or_else(|_| unreachable!())
}

#[test]
fn messages_keep_their_order_and_name_their_sender() {
    let [a, b, c] = ends::<u32, 3>();
    for i in 0..10 {
        a.send(2, i).unwrap();
        b.send(2, 100 + i).unwrap();
        c.send(2, 200 + i).unwrap(); // a node may send to itself
    }
    assert!(c.has_mail() && !a.has_mail() && !b.has_mail());
    let mut received = Vec::new();
    assert_eq!(c.drain(|from, message| received.push((from, message))), 30);
    let expected: Vec<_> = (0..3).flat_map(|from| (0..10).map(move |i| (from, from as u32 * 100 + i))).collect();
    assert_eq!(received, expected);
    assert_eq!(c.drain(|_, _| unreachable!()), 0);
}

#[test]
fn what_the_ring_has_no_room_for_waits_in_order_and_the_wait_is_bounded() {
    let [a, b] = ends::<usize, 2>();
    let room = RING_SLOTS + MESH_OVERFLOW_MAX;
    for i in 0..room {
        a.send(1, i).unwrap();
    }
    assert_eq!(a.send(1, 7), Err(7), "the receiver does not keep up");
    assert_eq!(a.overflowed(), MESH_OVERFLOW_MAX as u64);
    let mut next = 0;
    while next < room {
        let before = next;
        b.drain(|_, message| {
            assert_eq!(message, next);
            next += 1;
        });
        assert!(next > before, "{before} of {room} came, and then no more");
        a.drain(|_, _| unreachable!()); // the sender's next turn
    }
    assert_eq!(a.send(1, 7), Ok(()));
}

#[test]
fn a_receiver_may_answer_while_it_drains() {
    let [a, b] = ends::<u32, 2>();
    a.send(1, 5).unwrap();
    b.drain(|from, message| b.send(from, message + 1).unwrap());
    let mut answer = None;
    a.drain(|from, message| answer = Some((from, message)));
    assert_eq!(answer, Some((1, 6)));
}

#[test]
fn two_threads_at_full_speed_lose_nothing() {
    const MESSAGES: u64 = 1_000_000;
    let [a, b] = ends::<Box<u64>, 2>();
    let sender = thread::spawn(move || {
        for i in 0..MESSAGES {
            let mut message = Box::new(i);
            while let Err(back) = a.send(1, message) {
                message = back;
                thread::yield_now();
            }
        }
        while a.overflowing.get() > 0 {
            a.drain(|_, _| unreachable!());
            thread::yield_now();
        }
    });
    let mut next = 0;
    while next < MESSAGES {
        let received = b.drain(|from, message| {
            assert_eq!((from, *message), (0, next));
            next += 1;
        });
        if received == 0 {
            thread::yield_now();
        }
    }
    sender.join().unwrap();
}

/// A ping-pong in which each side sleeps before every message: if one wake-up in this many were lost, it would never end.
#[test]
fn a_core_and_the_control_thread_wake_each_other() {
    const ROUNDS: u32 = 5_000;
    let [core, control] = ends::<u32, 2>();
    let handle = start_core(CoreOptions::unpinned(0), move || async move {
        let mut expected = 0;
        while expected < ROUNDS {
            core.wait().await;
            core.drain(|from, message| {
                assert_eq!((from, message), (1, expected));
                expected += 1;
                core.send(1, message).unwrap();
            });
        }
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for round in 0..ROUNDS {
            control.send(0, round).unwrap();
            let mut answer = None;
            while answer.is_none() {
                control.wait_on_tokio().await.unwrap();
                control.drain(|_, message| answer = Some(message));
            }
            assert_eq!(answer, Some(round));
        }
    });
    handle.join().unwrap();
}

#[test]
fn the_bell_is_rung_only_for_a_node_that_waits() {
    let [a, b] = ends::<u32, 2>();
    a.send(1, 1).unwrap();
    assert!(!b.shared.nodes[1].waiting.load(Ordering::Relaxed));
    b.drain(|_, _| ());
    assert!(b.may_sleep(), "nothing to do");
    a.send(1, 2).unwrap();
    assert!(!b.shared.nodes[1].waiting.load(Ordering::Relaxed), "whoever rings takes the flag down");
    assert!(!b.may_sleep(), "mail has come since");
}

#[test]
fn a_node_with_messages_that_wait_for_room_does_not_sleep_for_good() {
    let [a, b] = ends::<usize, 2>();
    for i in 0..RING_SLOTS + 1 {
        a.send(1, i).unwrap();
    }
    let (waits, is_waiting) = mpsc::channel();
    let sender = thread::spawn(move || {
        run_here(async move {
            waits.send(()).unwrap();
            while !a.has_mail() {
                a.wait().await;
            }
        })
    });
    is_waiting.recv().unwrap();
    thread::sleep(Duration::from_millis(20));
    let before = monotonic_ns();
    let mut next = 0;
    while next <= RING_SLOTS {
        b.drain(|_, message| {
            assert_eq!(message, next);
            next += 1;
        });
        assert!(monotonic_ns() - before < 20_000_000_000, "the sender slept and never moved its last message on");
        thread::sleep(Duration::from_millis(1));
    }
    b.send(0, 0).unwrap();
    sender.join().unwrap();
}
