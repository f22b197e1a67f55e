//! The answers of one connection that are not sent yet, in the order of their requests.
//!
//! On a core's thread. Invariants: answers leave in the order in which their requests came; only the front one is ever polled; `bytes_held` is what the
//! ready answers hold in memory, `request_bytes_held` what those that come later hold of their requests; once one of them passes its limit the connection
//! takes no more requests.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use super::response::Response;
use super::service::{Later, Reply};
use crate::base::limits::{HELD_REQUEST_BYTES_MAX, PIPELINED_REQUESTS_MAX};

/// Bytes of ready answers at which a connection stops to take requests. The answers to requests that were taken together may pass it once.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Default)]
pub(super) struct Outbox {
    answers: VecDeque<Answer>,
    /// How many requests they answer.
    requests: usize,
    bytes_held: usize,
    request_bytes_held: usize,
}

enum Answer {
    Ready(ReadyAnswer),
    Later { future: Later, requests: usize, request_bytes: usize },
    Close(String),
}

/// An answer that can be sent.
pub(super) struct ReadyAnswer {
    pub(super) response: Response,
    requests: usize,
    pub(super) ready_ns: u64,
}

/// What stands at the front.
pub(super) enum Front {
    Ready(ReadyAnswer),
    /// The connection is to be closed, for this reason.
    Close(String),
    /// Nothing, or an answer that is not there yet.
    NotYet,
}

impl Outbox {
    /// Takes over what the service said to some frames.
    pub(super) fn push(&mut self, replies: &mut Vec<Reply>, ready_ns: u64) {
        for reply in replies.drain(..) {
            let requests = reply.requests();
            let answer = match reply {
                Reply::Now(response) => {
                    self.bytes_held += response.bytes_held();
                    Answer::Ready(ReadyAnswer { response, requests, ready_ns })
                }
                Reply::Later { future, bytes_held: request_bytes, .. } => {
                    self.request_bytes_held += request_bytes;
                    Answer::Later { future, requests, request_bytes }
                }
                Reply::Close(reason) => Answer::Close(reason),
            };
            let is_last = matches!(answer, Answer::Close(_));
            self.answers.push_back(answer);
            self.requests += requests;
            if is_last {
                // What came behind it is not answered, nor is anything later.
                break;
            }
        }
        replies.clear();
    }

    /// Takes the front answer, if it can be sent.
    pub(super) fn pop(&mut self) -> Front {
        match self.answers.front() {
            None | Some(Answer::Later { .. }) => Front::NotYet,
            Some(_) => match self.answers.pop_front() {
                Some(Answer::Ready(answer)) => {
                    self.bytes_held -= answer.response.bytes_held();
                    self.requests -= answer.requests;
                    Front::Ready(answer)
                }
                Some(Answer::Close(reason)) => {
                    self.requests -= 1;
                    Front::Close(reason)
                }
                _ => Front::NotYet,
            },
        }
    }

    /// Waits for the front answer, if it is one that comes later. Pending if there is none at all.
    pub(super) fn poll_front(&mut self, context: &mut Context<'_>, now_ns: impl Fn() -> u64) -> Poll<()> {
        match self.answers.front_mut() {
            None => Poll::Pending,
            Some(Answer::Ready(_) | Answer::Close(_)) => Poll::Ready(()),
            Some(front @ Answer::Later { .. }) => {
                let Answer::Later { future, requests, request_bytes } = front else { unreachable!() };
                let (requests, request_bytes) = (*requests, *request_bytes);
                match future.as_mut().poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(outcome) => {
                        self.request_bytes_held -= request_bytes;
                        *front = match outcome {
                            Some(response) => {
                                self.bytes_held += response.bytes_held();
                                Answer::Ready(ReadyAnswer { response, requests, ready_ns: now_ns() })
                            }
                            None => {
                                // A close counts as one.
                                self.requests = self.requests - requests + 1;
                                Answer::Close("the service had no answer to a request".to_owned())
                            }
                        };
                        Poll::Ready(())
                    }
                }
            }
        }
    }

    /// Whether another request may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.requests < PIPELINED_REQUESTS_MAX
            && self.bytes_held < ANSWER_BYTES_MAX
            && self.request_bytes_held < HELD_REQUEST_BYTES_MAX
            && !matches!(self.answers.back(), Some(Answer::Close(_)))
    }

    /// How many more requests may be taken.
    pub(super) fn room(&self) -> usize {
        if self.has_room() { PIPELINED_REQUESTS_MAX - self.requests } else { 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn now(bytes: usize) -> Reply {
        Reply::Now(Response::new(vec![bytes as u8; bytes]))
    }

    fn pop_len(outbox: &mut Outbox) -> Option<usize> {
        match outbox.pop() {
            Front::Ready(answer) => Some(answer.response.len()),
            _ => None,
        }
    }

    #[test]
    fn a_later_answer_holds_back_those_behind_it() {
        let mut outbox = Outbox::default();
        let mut asked = 0;
        let later = Reply::later(std::future::poll_fn(move |_| {
            asked += 1;
            if asked < 3 { Poll::Pending } else { Poll::Ready(Some(Response::new(vec![0; 2]))) }
        }));
        outbox.push(&mut vec![now(1), later, now(3)], 20);
        assert_eq!(pop_len(&mut outbox), Some(1));
        assert_eq!(pop_len(&mut outbox), None);
        let mut context = Context::from_waker(Waker::noop());
        assert!(outbox.poll_front(&mut context, || 30).is_pending());
        assert!(outbox.poll_front(&mut context, || 30).is_pending());
        assert!(outbox.poll_front(&mut context, || 30).is_ready());
        let Front::Ready(answer) = outbox.pop() else { panic!("the later answer is ready") };
        assert_eq!((answer.response.len(), answer.ready_ns), (2, 30));
        assert_eq!(pop_len(&mut outbox), Some(3));
        assert!(outbox.is_empty() && outbox.bytes_held == 0);
        assert!(outbox.poll_front(&mut context, || 30).is_pending(), "nothing to wait for");
    }

    #[test]
    fn no_room_when_answers_pile_up() {
        let mut outbox = Outbox::default();
        outbox.push(&mut (0..PIPELINED_REQUESTS_MAX - 1).map(|_| now(1)).collect(), 0);
        assert_eq!(outbox.room(), 1);
        outbox.push(&mut vec![now(1)], 0);
        assert_eq!(outbox.room(), 0);
        pop_len(&mut outbox);
        assert!(outbox.has_room());

        let mut outbox = Outbox::default();
        outbox.push(&mut vec![now(ANSWER_BYTES_MAX)], 0);
        assert!(!outbox.has_room());
        pop_len(&mut outbox);
        assert!(outbox.has_room());
    }

    #[test]
    fn no_room_when_requests_pile_up() {
        let mut outbox = Outbox::default();
        outbox.push(&mut vec![Reply::later_holding(HELD_REQUEST_BYTES_MAX - 1, async { None })], 0);
        assert!(outbox.has_room());
        outbox.push(&mut vec![Reply::later_holding(1, async { None })], 0);
        assert!(!outbox.has_room());
        assert!(outbox.poll_front(&mut Context::from_waker(Waker::noop()), || 0).is_ready());
        assert_eq!(outbox.request_bytes_held, 1);
        assert!(outbox.has_room());
    }

    #[test]
    fn nothing_is_taken_or_sent_behind_a_close() {
        let mut outbox = Outbox::default();
        outbox.push(&mut vec![now(1), Reply::Close("enough".into()), now(2)], 0);
        assert!(!outbox.has_room());
        assert_eq!(pop_len(&mut outbox), Some(1));
        assert!(matches!(outbox.pop(), Front::Close(reason) if reason == "enough"));
        assert!(outbox.is_empty());

        outbox.push(&mut vec![Reply::later(async { None })], 0);
        assert!(outbox.poll_front(&mut Context::from_waker(Waker::noop()), || 0).is_ready());
        assert!(matches!(outbox.pop(), Front::Close(_)));
    }
}
