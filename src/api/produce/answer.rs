//! The answer to one Produce request, while its partitions come together.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::elsewhere::OwnerAnswer;
use crate::api::message::RequestInfo;
use crate::base::{ErrorCode, Offset, PartitionIndex, Timestamp, TopicId};
use crate::net::response::Response;
use crate::shard::calls::Call;
use crate::shard::partition::Written;
use crate::wire::frame::TopicReference;
use crate::wire::produce::{PartitionResponse, ProduceResponse, RecordError, encode_response};

/// Where the records of one partition were put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub base_offset: Offset,
    pub log_append_time: Timestamp,
    pub log_start_offset: Offset,
}

impl Stored {
    /// As it is answered.
    pub(super) fn response<'a>(&self, topic: TopicReference<'a>, index: PartitionIndex) -> PartitionResponse<'a> {
        PartitionResponse {
            base_offset: self.base_offset,
            log_append_time: self.log_append_time,
            log_start_offset: self.log_start_offset,
            ..PartitionResponse::refused(topic, index, ErrorCode::None)
        }
    }
}

/// Where each batch of one append was put, in order. `records`: how many each of them has.
pub(super) fn stored(
    written: &Result<Written, ErrorCode>,
    records: impl Iterator<Item = i64>,
) -> impl Iterator<Item = Result<Stored, ErrorCode>> {
    let mut left_out = written.iter().flat_map(|written| &written.left_out).peekable();
    let mut next = written.as_ref().map_or(Offset::ZERO, |written| written.first_offset);
    records.enumerate().map(move |(at, records)| {
        let written = written.as_ref().map_err(|error| *error)?;
        let here = Stored { base_offset: next, log_append_time: written.log_append_time, log_start_offset: written.log_start_offset };
        match left_out.next_if(|(place, _)| *place == at) {
            Some((_, Ok(repeated))) => Ok(Stored { base_offset: repeated.first_offset, log_append_time: repeated.timestamp, ..here }),
            Some((_, Err(error))) => Err(*error),
            None => {
                next = next.plus(records);
                Ok(here)
            }
        }
    })
}

/// One `fdatasync`, awaited by every request that it acknowledges.
#[derive(Clone)]
pub(super) struct SharedWait(Rc<RefCell<WaitState>>);

enum WaitState {
    Open(Option<Call<Result<(), ErrorCode>>>),
    Known(Result<(), ErrorCode>),
}

impl SharedWait {
    pub(super) fn new(wait: Call<Result<(), ErrorCode>>) -> SharedWait {
        SharedWait(Rc::new(RefCell::new(WaitState::Open(Some(wait)))))
    }

    /// Answers are sent in order, so the first to wait takes the call and the rest find its result.
    async fn result(&self) -> Result<(), ErrorCode> {
        let call = match &mut *self.0.borrow_mut() {
            WaitState::Open(call) => call.take(),
            WaitState::Known(result) => return *result,
        };
        let result = call.expect("one waits at a time").await;
        *self.0.borrow_mut() = WaitState::Known(result);
        result
    }
}

pub(super) enum Waiting {
    Flush(Stored, SharedWait),
    Owner(OwnerAnswer),
    /// For a helper thread, or for a partition that moves; the requests behind it wait too.
    Beside(Pin<Box<dyn Future<Output = PartitionAnswer>>>),
}

pub(super) enum PartitionAnswer {
    Stored(Stored),
    Refused { error: ErrorCode, message: Option<String>, record_index: Option<i32> },
    Waiting(Waiting),
}

impl PartitionAnswer {
    pub(super) fn refused(error: ErrorCode) -> PartitionAnswer {
        PartitionAnswer::Refused { error, message: None, record_index: None }
    }

    async fn settle(self) -> PartitionAnswer {
        match self {
            PartitionAnswer::Waiting(Waiting::Flush(stored, wait)) => from_owner(wait.result().await.map(|()| stored)),
            PartitionAnswer::Waiting(Waiting::Owner(answer)) => from_owner(answer.wait().await),
            PartitionAnswer::Waiting(Waiting::Beside(work)) => work.await,
            settled => settled,
        }
    }
}

pub(super) fn from_owner(answer: Result<Stored, ErrorCode>) -> PartitionAnswer {
    match answer {
        Ok(stored) => PartitionAnswer::Stored(stored),
        Err(error) => PartitionAnswer::refused(error),
    }
}

enum Topic {
    Name(String),
    Id(TopicId),
}

/// The answer to one request.
pub(super) struct Answer {
    info: RequestInfo,
    acks: i16,
    throttle_ms: i32,
    topics: Vec<Topic>,
    /// Place in `topics` and index, and what became of it.
    partitions: Vec<((usize, PartitionIndex), PartitionAnswer)>,
}

impl Answer {
    pub(super) fn new(info: RequestInfo, acks: i16, throttle_ms: i32) -> Answer {
        Answer { info, acks, throttle_ms, topics: Vec::with_capacity(1), partitions: Vec::with_capacity(1) }
    }

    pub(super) fn start_topic(&mut self, topic: TopicReference<'_>) {
        self.topics.push(match topic {
            TopicReference::Name(name) => Topic::Name(name.to_owned()),
            TopicReference::Id(id) => Topic::Id(id),
        });
    }

    /// Adds a partition of the topic started last.
    pub(super) fn push(&mut self, index: PartitionIndex, answer: PartitionAnswer) {
        self.partitions.push(((self.topics.len() - 1, index), answer));
    }

    /// The answer, once the last of its partitions has one; `None` closes the connection.
    pub(super) async fn settled(mut self) -> Option<Response> {
        let mut settled = Vec::with_capacity(self.partitions.len());
        for (place, answer) in std::mem::take(&mut self.partitions) {
            settled.push((place, answer.settle().await));
        }
        let settled = Answer { partitions: settled, ..self };
        if self.acks == 0 { settled.silence() } else { Some(settled.encode()) }
    }

    /// acks=0 has no answer; an error closes the connection, so that the client asks for metadata again (as Kafka does).
    fn silence(&self) -> Option<Response> {
        let refused = self.partitions.iter().find_map(|(_, answer)| match answer {
            PartitionAnswer::Refused { error, .. } => Some(*error),
            _ => None,
        });
        if let Some(error) = refused {
            tracing::info!("closing a connection: a batch sent with acks=0 was refused: {error:?}");
            return None;
        }
        Some(Response { answers: 0, mute_ms: self.throttle_ms, ..Response::default() })
    }

    fn encode(&self) -> Response {
        let record_errors: Vec<Vec<RecordError<'_>>> = self.partitions.iter().map(|(_, answer)| record_errors(answer)).collect();
        let partitions: Vec<PartitionResponse<'_>> = self
            .partitions
            .iter()
            .zip(&record_errors)
            .map(|(((topic, index), answer), record_errors)| {
                let topic = match &self.topics[*topic] {
                    Topic::Name(name) => TopicReference::Name(name),
                    Topic::Id(id) => TopicReference::Id(*id),
                };
                match answer {
                    PartitionAnswer::Stored(stored) => stored.response(topic, *index),
                    PartitionAnswer::Refused { error, message, .. } => PartitionResponse {
                        record_errors,
                        error_message: message.as_deref(),
                        ..PartitionResponse::refused(topic, *index, *error)
                    },
                    PartitionAnswer::Waiting(_) => unreachable!("an answer is encoded when it is settled"),
                }
            })
            .collect();
        let mut head = Vec::with_capacity(64 + 64 * partitions.len());
        let response = ProduceResponse { partitions: &partitions, throttle_time_ms: self.throttle_ms, node_endpoints: &[] };
        encode_response(self.info.version, self.info.correlation_id, &response, &mut head);
        Response { mute_ms: self.throttle_ms, ..Response::new(head) }
    }
}

fn record_errors(answer: &PartitionAnswer) -> Vec<RecordError<'_>> {
    match answer {
        PartitionAnswer::Refused { message, record_index: Some(batch_index), .. } => {
            vec![RecordError { batch_index: *batch_index, message: message.as_deref() }]
        }
        _ => Vec::new(),
    }
}
