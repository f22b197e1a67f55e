//! Batches for partitions of other cores, and what their owners say.
//!
//! Runs on the core of the connection. Invariants: one message per request and core, however many partitions the request names;
//! it has left before the next request is looked at, so the batches of a connection keep their order at every owner.

use std::cell::RefCell;
use std::rc::Rc;

use super::answer::{Stored, stored};
use crate::base::{CoreId, ErrorCode};
use crate::shard::Shard;
use crate::shard::calls::Call;
use crate::shard::partition::{PartitionKey, Written};
use crate::wire::owned_batches::OwnedBatches;

/// The batches of one request for partitions of other cores, by core.
#[derive(Default)]
pub(super) struct Elsewhere {
    parcels: Vec<Parcel>,
}

struct Parcel {
    core: CoreId,
    writes: Vec<(PartitionKey, OwnedBatches)>,
    answers: Rc<RefCell<Answers>>,
}

enum Answers {
    NotAsked,
    /// `None` while somebody waits for it.
    Asked(Option<Call<Vec<Result<Stored, ErrorCode>>>>),
    Known(Vec<Result<Stored, ErrorCode>>),
}

/// What an owner will say of one partition.
pub(super) struct OwnerAnswer {
    answers: Rc<RefCell<Answers>>,
    place: usize,
}

impl Elsewhere {
    /// Adds the batches of one partition.
    pub(super) fn add(&mut self, core: CoreId, key: PartitionKey, batches: OwnedBatches) -> OwnerAnswer {
        let place = self.parcels.iter().position(|parcel| parcel.core == core).unwrap_or_else(|| {
            self.parcels.push(Parcel { core, writes: Vec::with_capacity(1), answers: Rc::new(RefCell::new(Answers::NotAsked)) });
            self.parcels.len() - 1
        });
        let parcel = &mut self.parcels[place];
        parcel.writes.push((key, batches));
        OwnerAnswer { answers: parcel.answers.clone(), place: parcel.writes.len() - 1 }
    }

    /// Has every owner append what is its.
    pub(super) fn send(self, shard: &Rc<Shard>, acks_all: bool) {
        for Parcel { core, writes, answers } in self.parcels {
            let asked = shard.ask_later(core, move |owner| {
                // The appends happen now, at the owner's end of turn; only their durability is waited for.
                let written: Vec<_> = writes.iter().map(|(key, batches)| append(&owner, *key, batches, acks_all)).collect();
                async move {
                    let mut stored = Vec::with_capacity(written.len());
                    for written in written {
                        stored.push(when_durable(written).await);
                    }
                    stored
                }
            });
            *answers.borrow_mut() = Answers::Asked(Some(asked));
        }
    }
}

fn append(owner: &Rc<Shard>, key: PartitionKey, batches: &OwnedBatches, acks_all: bool) -> Result<Written, ErrorCode> {
    owner.partition(key).ok_or_else(|| owner.why_missing(key))?.append(owner, &batches.batches(), acks_all)
}

async fn when_durable(mut written: Result<Written, ErrorCode>) -> Result<Stored, ErrorCode> {
    let durable = written.as_mut().ok().and_then(|written| written.durable.take());
    // One batch per partition: nobody is behind it whose place its records would move.
    let stored = stored(&written, std::iter::once(0)).next().expect("one batch was given")?;
    match durable {
        Some(durable) => durable.await.map(|()| stored),
        None => Ok(stored),
    }
}

impl OwnerAnswer {
    /// Partitions are settled in order, so the first to wait takes the call and the rest find what it brought.
    pub(super) async fn wait(self) -> Result<Stored, ErrorCode> {
        let asked = match &mut *self.answers.borrow_mut() {
            Answers::Known(known) => return known[self.place],
            Answers::Asked(asked) => asked.take(),
            Answers::NotAsked => None,
        };
        let known = asked.expect("the owner is asked before anybody waits, and one waits at a time").await;
        let own = known[self.place];
        *self.answers.borrow_mut() = Answers::Known(known);
        own
    }
}
