//! The answers to the Produce requests of one turn, while their batches wait for the end of the round.
//!
//! Lives on the core. Requests whose answers are all there when the round ends are answered together, in one piece of memory; one that may wait for
//! more, for another core or a helper thread, is a group of its own.
//! Invariants: groups are numbered from 0 in the order of their requests; each answer is taken once; nothing of the received memory is kept beyond the round.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::answer::{Answer, PartitionAnswer};
use crate::api::message::RequestInfo;
use crate::net::received::Kept;
use crate::net::response::Response;
use crate::wire::produce::{PartitionResponse, ProduceResponse, Topics, TopicsPlace, encode_response};

/// What an answer to one partition and to one topic takes, about.
const ANSWER_BYTES: usize = 128;

pub(super) struct Ticket {
    state: RefCell<State>,
}

enum State {
    Waiting(Requests),
    /// By group; `None`: it was taken.
    Ready(Vec<Option<GroupAnswer>>),
}

#[derive(Default)]
struct Requests {
    requests: Vec<Request>,
    /// Of all partitions of all requests, in order.
    outcomes: Vec<PartitionAnswer>,
    groups: usize,
    /// When the last request was looked at.
    since_ns: u64,
    waker: Option<Waker>,
}

/// A request as its answer needs it.
pub(super) struct Request {
    pub info: RequestInfo,
    pub acks: i16,
    pub throttle_ms: i32,
    /// Behind the header.
    pub body: Kept,
    /// Where in the body the topics are.
    pub topics: TopicsPlace,
    pub partitions: usize,
    pub group: usize,
}

enum GroupAnswer {
    Now(Response),
    /// Only some of it is known.
    Later(Vec<Answer>),
}

impl Ticket {
    /// With room for so many requests of one partition each.
    pub(super) fn new(requests: usize) -> Rc<Ticket> {
        let waiting = Requests { requests: Vec::with_capacity(requests), outcomes: Vec::with_capacity(requests), ..Requests::default() };
        Rc::new(Ticket { state: RefCell::new(State::Waiting(waiting)) })
    }

    /// Does something with the requests that wait.
    ///
    /// # Panics
    /// If the round is over.
    fn with<Result>(&self, change: impl FnOnce(&mut Requests) -> Result) -> Result {
        match &mut *self.state.borrow_mut() {
            State::Waiting(requests) => change(requests),
            State::Ready(_) => unreachable!("a ticket takes nothing once its round is over"),
        }
    }

    /// Puts an outcome behind those that are there, and tells its place.
    pub(super) fn push(&self, outcome: PartitionAnswer) -> usize {
        self.with(|waiting| {
            waiting.outcomes.push(outcome);
            waiting.outcomes.len() - 1
        })
    }

    pub(super) fn settle(&self, place: usize, outcome: PartitionAnswer) {
        self.with(|waiting| waiting.outcomes[place] = outcome);
    }

    /// Begins a group of requests that are answered together; answers its number.
    pub(super) fn start_group(&self) -> usize {
        self.with(|waiting| {
            waiting.groups += 1;
            waiting.groups - 1
        })
    }

    /// Adds a request whose outcomes were pushed.
    pub(super) fn add(&self, request: Request, now_ns: u64) {
        self.with(|waiting| {
            waiting.requests.push(request);
            waiting.since_ns = now_ns;
        });
    }

    /// How many requests wait, and since when.
    pub(super) fn waiting(&self) -> (u64, u64) {
        self.with(|waiting| (waiting.requests.len() as u64, waiting.since_ns))
    }

    /// The round is over.
    pub(super) fn finish(&self) {
        let State::Waiting(waiting) = self.state.replace(State::Ready(Vec::new())) else { return };
        let Requests { requests, outcomes, waker, .. } = waiting;
        let mut outcomes = outcomes.into_iter();
        let answers = requests.chunk_by(|one, next| one.group == next.group).map(|group| {
            let partitions = group.iter().map(|request| request.partitions).sum();
            let answer = match stored_only(group, &outcomes.as_slice()[..partitions]) {
                Some(answer) => GroupAnswer::Now(answer),
                None => GroupAnswer::Later(group.iter().map(|request| owned(request, &mut outcomes)).collect()),
            };
            if matches!(answer, GroupAnswer::Now(_)) {
                outcomes.by_ref().take(partitions).for_each(drop);
            }
            Some(answer)
        });
        let answers = answers.collect();
        self.state.replace(State::Ready(answers));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The answer to a group, once everything is known.
    pub(super) async fn answer(self: Rc<Self>, group: usize) -> Option<Response> {
        let answer = poll_fn(|context| self.poll(group, context)).await;
        drop(self);
        match answer {
            GroupAnswer::Now(answer) => Some(answer),
            GroupAnswer::Later(answers) => {
                let mut together = Response { answers: 0, ..Response::default() };
                for answer in answers {
                    let next = answer.settled().await?;
                    together.head.extend_from_slice(&next.head);
                    together.answers += next.answers;
                    together.mute_ms = together.mute_ms.max(next.mute_ms);
                }
                Some(together)
            }
        }
    }

    fn poll(&self, group: usize, context: &Context<'_>) -> Poll<GroupAnswer> {
        match &mut *self.state.borrow_mut() {
            State::Ready(answers) => Poll::Ready(answers[group].take().expect("each answer is taken once")),
            State::Waiting(waiting) => {
                // Only the answer that is to be sent next is ever waited for.
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Request {
    fn topics(&self) -> Topics<'_> {
        self.topics.within(&self.body)
    }
}

/// The answers to requests of which every batch was stored. `None` if one was not.
fn stored_only(requests: &[Request], mut outcomes: &[PartitionAnswer]) -> Option<Response> {
    let is_stored = |outcome: &PartitionAnswer| matches!(outcome, PartitionAnswer::Stored(_));
    if requests.iter().any(|request| request.acks == 0) || !outcomes.iter().all(is_stored) {
        return None;
    }
    let mut head = Vec::with_capacity(ANSWER_BYTES * outcomes.len().max(requests.len()));
    let mut partitions: Vec<PartitionResponse<'_>> = Vec::new();
    let mut mute_ms = 0;
    for request in requests {
        partitions.clear();
        for topic in request.topics() {
            for partition in topic.partitions {
                let (PartitionAnswer::Stored(stored), rest) = outcomes.split_first()? else { return None };
                outcomes = rest;
                partitions.push(stored.response(topic.topic, partition.index));
            }
        }
        let answer = ProduceResponse { partitions: &partitions, throttle_time_ms: request.throttle_ms, node_endpoints: &[] };
        encode_response(request.info.version, request.info.correlation_id, &answer, &mut head);
        mute_ms = mute_ms.max(request.throttle_ms);
    }
    Some(Response { answers: requests.len(), mute_ms, ..Response::new(head) })
}

/// A request's answer on its own, with what is known of its partitions.
fn owned(request: &Request, outcomes: &mut impl Iterator<Item = PartitionAnswer>) -> Answer {
    let mut answer = Answer::new(request.info, request.acks, request.throttle_ms);
    for topic in request.topics() {
        answer.start_topic(topic.topic);
        for (partition, outcome) in topic.partitions.zip(&mut *outcomes) {
            answer.push(partition.index, outcome);
        }
    }
    answer
}
