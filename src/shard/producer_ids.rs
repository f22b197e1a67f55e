//! Producer ids for idempotent producers, handed out from a block of this core.
//!
//! Lives on the core. Invariant: a block was stored as given by the control thread before its first id leaves, so an id is never
//! given twice; ids left in a block at a stop are lost, as in Kafka.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use crate::base::ProducerId;
use crate::cluster::controller::{Answer, Command, Refusal};
use crate::shard::Shard;

/// The ids that are left.
#[derive(Default)]
pub(super) struct ProducerIds {
    block: Cell<Range<i64>>,
}

impl ProducerIds {
    fn take(&self) -> Option<ProducerId> {
        let mut block = self.block.take();
        let id = block.next().map(ProducerId);
        self.block.set(block);
        id
    }
}

impl Shard {
    /// An id that nobody has.
    ///
    /// # Errors
    /// The control thread could not store that it gave a block away.
    pub async fn next_producer_id(self: &Rc<Self>) -> Result<ProducerId, Refusal> {
        loop {
            if let Some(id) = self.producer_ids.take() {
                return Ok(id);
            }
            match self.change_metadata(Command::AllocateProducerIds).await? {
                Answer::ProducerIds { first, count } => self.producer_ids.block.set(first.0..first.0 + count),
                _ => unreachable!("AllocateProducerIds is answered with a block"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_each_id_once() {
        let ids = ProducerIds::default();
        assert_eq!(ids.take(), None);
        ids.block.set(7..9);
        assert_eq!((ids.take(), ids.take(), ids.take()), (Some(ProducerId(7)), Some(ProducerId(8)), None));
    }
}
