//! Rounds of appends: what the connections of a core bring until everything that can run has run goes down in one write for each partition.
//!
//! Lives on the core. A round begins with the first Produce request, and ends when the tasks that were ready by then have had their turn: with one
//! busy connection that is at once, with many it is when all of them were looked at. It ends early when it is large, and before any
//! other request starts, so that every request finds the effect of those before it.
//! Invariants: batches of one connection go down in the order in which they came; no ticket waits longer than its round; a partition does
//! not leave this core before the round that has batches for it is over.

use std::cell::RefCell;
use std::rc::Rc;

use super::answer::{self, PartitionAnswer, SharedWait, Waiting};
use super::ticket::Ticket;
use crate::base::IdMap;
use crate::base::limits::{APPEND_ROUND_BATCHES_MAX, APPEND_ROUND_BYTES_MAX, APPEND_ROUND_TURNS_MAX};
use crate::io::clock;
use crate::io::glommio::{spawn, yield_now};
use crate::net::received::Kept;
use crate::shard::Shard;
use crate::shard::histograms::Stage;
use crate::shard::partition::{AwaitedWrite, Partition, PartitionKey};
use crate::wire::batch::Batch;
use crate::wire::owned_batches::BatchDescription;

/// The rounds of one core.
pub struct Rounds {
    pub(super) shard: Rc<Shard>,
    round: RefCell<Round>,
}

#[derive(Default)]
struct Round {
    tickets: Vec<Rc<Ticket>>,
    writes: Vec<Write>,
    /// The last write of each partition.
    places: IdMap<PartitionKey, usize>,
    batches: usize,
    bytes: usize,
    /// A task is under way that will end the round.
    end_is_near: bool,
}

/// What goes down in one write.
struct Write {
    partition: AwaitedWrite,
    acks_all: bool,
    batches: Vec<(Kept, BatchDescription)>,
    shares: Vec<Share>,
}

/// Whose a batch is.
struct Share {
    ticket: Rc<Ticket>,
    /// Its place among the outcomes of the ticket.
    place: usize,
    records: i64,
}

impl Rounds {
    pub fn new(shard: &Rc<Shard>) -> Rc<Rounds> {
        Rc::new(Rounds { shard: shard.clone(), round: RefCell::default() })
    }

    /// A ticket that is ready when the round is over.
    pub(super) fn join(self: &Rc<Self>, ticket: &Rc<Ticket>) {
        let end_is_near = {
            let mut round = self.round.borrow_mut();
            round.tickets.push(ticket.clone());
            std::mem::replace(&mut round.end_is_near, true)
        };
        if !end_is_near {
            let rounds = self.clone();
            spawn(async move {
                yield_now().await;
                rounds.round.borrow_mut().end_is_near = false;
                rounds.end();
            })
            .detach();
        }
    }

    /// Adds a batch, whose answer goes to `place` of the ticket.
    pub(super) fn add(&self, partition: Rc<Partition>, acks_all: bool, batch: &Batch<'_>, kept: Kept, ticket: &Rc<Ticket>, place: usize) {
        let records = i64::from(batch.header.last_offset_delta) + 1;
        let share = Share { ticket: ticket.clone(), place, records };
        let described = (kept, BatchDescription::of(batch));
        let mut guard = self.round.borrow_mut();
        let round = &mut *guard;
        round.batches += 1;
        round.bytes += batch.bytes.len();
        // Only the last write of a partition takes more: one with other acks in between must not be overtaken.
        let last = round.places.get(&partition.key).map(|at| &mut round.writes[*at]);
        match last {
            Some(write) if write.acks_all == acks_all && Rc::ptr_eq(&*write.partition, &partition) => {
                write.batches.push(described);
                write.shares.push(share);
            }
            _ => {
                round.places.insert(partition.key, round.writes.len());
                round.writes.push(Write { partition: partition.announce_write(), acks_all, batches: vec![described], shares: vec![share] });
            }
        }
    }

    /// Whether so much has come that it should go down before more does.
    pub fn is_full(&self) -> bool {
        let round = self.round.borrow();
        round.bytes >= APPEND_ROUND_BYTES_MAX || round.batches >= APPEND_ROUND_BATCHES_MAX || round.tickets.len() >= APPEND_ROUND_TURNS_MAX
    }

    /// Appends what has come, and lets the tickets know.
    pub fn end(&self) {
        let mut round = self.round.borrow_mut();
        if round.tickets.is_empty() {
            return;
        }
        let (tickets, writes) = (std::mem::take(&mut round.tickets), std::mem::take(&mut round.writes));
        round.places.clear();
        (round.batches, round.bytes) = (0, 0);
        drop(round);
        let now_ns = clock::monotonic_ns();
        for ticket in &tickets {
            let (requests, since_ns) = ticket.waiting();
            self.shard.histograms.record_n(Stage::AppendQueue, now_ns.saturating_sub(since_ns), requests);
        }
        for write in writes {
            write.perform(&self.shard);
        }
        for ticket in tickets {
            ticket.finish();
        }
    }
}

impl Write {
    fn perform(self, shard: &Rc<Shard>) {
        let batches: Vec<Batch<'_>> = self.batches.iter().map(|(kept, description)| description.over(kept)).collect();
        let mut written = self.partition.append(shard, &batches, self.acks_all);
        let wait = written.as_mut().ok().and_then(|written| written.durable.take()).map(SharedWait::new);
        let records = self.shares.iter().map(|share| share.records);
        for (share, stored) in self.shares.iter().zip(answer::stored(&written, records)) {
            let outcome = match (stored, &wait) {
                (Ok(stored), Some(wait)) => PartitionAnswer::Waiting(Waiting::Flush(stored, wait.clone())),
                (Ok(stored), None) => PartitionAnswer::Stored(stored),
                (Err(error), _) => PartitionAnswer::refused(error),
            };
            share.ticket.settle(share.place, outcome);
        }
    }
}
