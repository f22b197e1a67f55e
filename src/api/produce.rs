//! Produce: checks every batch, hands it to the core that owns its partition, answers once the ack rule holds.
//!
//! Runs on the core of the connection. The Produce requests that are handed over together are one [`ProduceTurn`]; what the turns of several connections
//! bring goes down in [`Rounds`], one write for each partition of this core. Batches for another core's partition travel there, and those for
//! one on its way between two cores wait; the order of one connection's batches in one partition is always that of the requests.

mod answer;
mod check;
mod elsewhere;
mod round;
mod ticket;

use std::rc::Rc;

use crate::api::message::RequestInfo;
use crate::base::{ErrorCode, PartitionIndex, Timestamp, TopicName};
use crate::io::clock;
use crate::net::received::Received;
use crate::net::service::Reply;
use crate::shard::partition::{PartitionKey, owner};
use crate::shard::{Shard, counters};
use crate::wire::batch_error::BatchError;
use crate::wire::frame::TopicReference;
use crate::wire::owned_batches::OwnedBatches;
use crate::wire::produce::{self, ProducePartition};
use answer::{PartitionAnswer, Waiting};
use check::{Checked, TopicRules};
use elsewhere::Elsewhere;
pub use round::Rounds;
use ticket::{Request, Ticket};

/// Once the batches of a turn have taken this long, compressed ones are left to helper threads: many small bombs make a large one.
const CHECK_ON_CORE_NS_MAX: u64 = 2_000_000;
/// acks: all in-sync replicas.
const ACKS_ALL: i16 = -1;

/// Whether the requests behind a Produce may start before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    MayStart,
    MustWait,
}

/// The Produce requests that a connection has handed over together.
pub struct ProduceTurn<'a> {
    rounds: &'a Rc<Rounds>,
    memory: &'a Rc<Received>,
    started_ns: u64,
    /// How many requests may come.
    requests_max: usize,
    ticket: Option<Rc<Ticket>>,
    /// When the ticket was made, for the timestamps of its batches.
    now: Timestamp,
    /// The group whose reply was pushed last, if it takes more requests.
    open_group: Option<usize>,
}

/// One request on its way through.
struct Current<'a> {
    info: RequestInfo,
    acks_all: bool,
    ticket: &'a Rc<Ticket>,
    elsewhere: Elsewhere,
    now_ns: u64,
}

impl<'a> ProduceTurn<'a> {
    /// `memory`: where the requests lie, `requests_max` at most. `now_ns`: the time on the monotonic clock.
    pub fn new(rounds: &'a Rc<Rounds>, memory: &'a Rc<Received>, requests_max: usize, now_ns: u64) -> ProduceTurn<'a> {
        ProduceTurn { rounds, memory, started_ns: now_ns, requests_max, ticket: None, now: Timestamp::NONE, open_group: None }
    }

    /// Takes one request in, whose client is to be silent for `throttle_ms`. Its reply goes into `replies`, or the one that is last there becomes its too.
    pub fn add(&mut self, info: RequestInfo, body: &'a [u8], throttle_ms: i32, now_ns: u64, replies: &mut Vec<Reply>) -> Next {
        let request = match produce::decode(info.version, body) {
            Ok(request) => request,
            Err(error) => {
                replies.push(Reply::Close(format!("Produce version {}: {error}", info.version)));
                return Next::MayStart;
            }
        };
        let ticket = self.ticket.get_or_insert_with(|| {
            let ticket = Ticket::new(self.requests_max);
            self.rounds.join(&ticket);
            self.now = clock::wall_ms();
            ticket
        });
        let ticket = ticket.clone();
        let mut current = Current { info, acks_all: request.acks == ACKS_ALL, ticket: &ticket, elsewhere: Elsewhere::default(), now_ns };
        let (mut partitions, mut bytes_held) = (0, 0);
        let (mut waits, mut next) = (false, Next::MayStart);
        for topic in request.topics() {
            for partition in topic.partitions {
                partitions += 1;
                let outcome = match refuse_whole_request(info.version, request.acks) {
                    Some(refusal) => Some(refusal),
                    None => self.take(&mut current, topic.topic, partition),
                };
                let Some(outcome) = outcome else { continue };
                if let PartitionAnswer::Waiting(waiting) = &outcome {
                    waits = true;
                    bytes_held += partition.records.map_or(0, <[u8]>::len);
                    if matches!(waiting, Waiting::Beside(_)) {
                        next = Next::MustWait;
                    }
                }
                ticket.push(outcome);
            }
        }
        current.elsewhere.send(&self.rounds.shard, current.acks_all);
        let may_join = !waits && request.acks != 0;
        let group = match (self.open_group, replies.last_mut()) {
            (Some(group), Some(Reply::Later { requests, .. })) if may_join => {
                *requests += 1;
                group
            }
            _ => {
                let group = ticket.start_group();
                replies.push(Reply::later_holding(bytes_held, ticket.clone().answer(group)));
                group
            }
        };
        self.open_group = may_join.then_some(group);
        let topics = request.topics().place_in(body);
        ticket.add(Request { info, acks: request.acks, throttle_ms, body: self.memory.keep(body), topics, partitions, group }, now_ns);
        next
    }

    /// Puts the batches of this turn down now, with everything that came before them.
    pub fn end_round(&mut self) {
        self.rounds.end();
        (self.ticket, self.open_group) = (None, None);
    }

    /// Something else was replied: the next request has a reply of its own.
    pub fn end_group(&mut self) {
        self.open_group = None;
    }

    /// Takes the batch of one partition in. `None`: it is in the round.
    fn take(&mut self, current: &mut Current<'_>, topic: TopicReference<'_>, partition: ProducePartition<'a>) -> Option<PartitionAnswer> {
        let shard = &self.rounds.shard;
        let image = shard.image();
        let found = match topic {
            TopicReference::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
            TopicReference::Id(id) => image.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId),
        };
        let found =
            found.and_then(|topic| owner(topic, partition.index).ok_or(ErrorCode::UnknownTopicOrPartition).map(|place| (topic, place)));
        let (topic, (key, core)) = match found {
            // What a client wrote there would turn up as groups and offsets at the next load.
            Ok((topic, _)) if topic.is_internal() => return Some(PartitionAnswer::refused(ErrorCode::InvalidTopicException)),
            Ok(found) => found,
            Err(error) => return Some(PartitionAnswer::refused(error)),
        };
        let is_on_its_way = shard.is_on_its_way(key);
        let here = match core == shard.core && !is_on_its_way {
            true => match shard.partition(key) {
                Some(here) => Some(here),
                None => return Some(PartitionAnswer::refused(shard.why_missing(key))),
            },
            false => None,
        };
        let is_busy = current.now_ns - self.started_ns > CHECK_ON_CORE_NS_MAX;
        let rules = TopicRules::new(current.info.version, &shard.topic_config(topic), self.now, is_busy);
        let records = partition.records.unwrap_or_default();
        let checked = rules.check(records);
        if checked.as_ref().is_ok_and(Checked::took_long) {
            current.now_ns = clock::monotonic_ns();
        }
        let acks_all = current.acks_all;
        match checked {
            Ok(Checked::Batch(batch)) if is_on_its_way => {
                let batches = OwnedBatches::copy(&[batch]);
                Some(PartitionAnswer::Waiting(Waiting::Beside(Box::pin(append_where_it_is(shard.clone(), key, batches, acks_all)))))
            }
            Ok(Checked::Batch(batch)) => match here {
                Some(here) => {
                    // Stands there until the round is over.
                    let place = current.ticket.push(PartitionAnswer::refused(ErrorCode::UnknownServerError));
                    self.rounds.add(here, acks_all, &batch, self.memory.keep(batch.bytes), current.ticket, place);
                    None
                }
                None => Some(PartitionAnswer::Waiting(Waiting::Owner(current.elsewhere.add(core, key, OwnedBatches::copy(&[batch]))))),
            },
            Ok(Checked::NeedsMoreWork) => {
                let work = check_beside(shard.clone(), topic.name.clone(), key, records.to_vec(), rules, acks_all);
                Some(PartitionAnswer::Waiting(Waiting::Beside(Box::pin(work))))
            }
            Err(error) => Some(refuse_batch(shard, &topic.name, partition.index, &error)),
        }
    }
}

/// What is wrong with every partition of a request, if anything.
fn refuse_whole_request(version: i16, acks: i16) -> Option<PartitionAnswer> {
    if version < super::versions::PRODUCE_MIN {
        return Some(PartitionAnswer::refused(ErrorCode::UnsupportedVersion));
    }
    (!matches!(acks, -1..=1)).then(|| PartitionAnswer::refused(ErrorCode::InvalidRequiredAcks))
}

/// The answer to a batch that breaks a rule.
fn refuse_batch(shard: &Shard, topic: &TopicName, index: PartitionIndex, error: &BatchError) -> PartitionAnswer {
    counters::add(&shard.counters.batches_refused, 1);
    tracing::debug!("produce to {topic}-{index}: {error}");
    PartitionAnswer::Refused { error: error.error_code(), message: Some(error.to_string()), record_index: error.record_index() }
}

/// Unpacks on a helper thread what would hold up the core, then appends.
async fn check_beside(
    shard: Rc<Shard>,
    topic: TopicName,
    key: PartitionKey,
    records: Vec<u8>,
    rules: TopicRules,
    acks_all: bool,
) -> PartitionAnswer {
    let rules = rules.with_all_the_time();
    let checked = shard
        .offload(key.order(), move || match rules.check(&records) {
            Ok(Checked::Batch(batch)) => Ok(OwnedBatches::copy(&[batch])),
            Ok(Checked::NeedsMoreWork) => unreachable!("with all the time there is, nothing is left to do"),
            Err(error) => Err(error),
        })
        .await;
    match checked {
        Ok(batches) => append_where_it_is(shard, key, batches, acks_all).await,
        Err(error) => refuse_batch(&shard, &topic, key.index, &error),
    }
}

/// Appends at the partition's core, once it is not on its way to another.
async fn append_where_it_is(shard: Rc<Shard>, key: PartitionKey, batches: OwnedBatches, acks_all: bool) -> PartitionAnswer {
    let Some(core) = shard.place(key).await else { return PartitionAnswer::refused(ErrorCode::UnknownTopicOrPartition) };
    let mut elsewhere = Elsewhere::default();
    let answer = elsewhere.add(core, key, batches);
    elsewhere.send(&shard, acks_all);
    answer::from_owner(answer.wait().await)
}

#[cfg(test)]
mod tests;
