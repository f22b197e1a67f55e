//! News of readable bytes, for fetches and sessions that wait at other cores.
//!
//! Lives on the core that owns the partitions. Invariant: to each core at most one message of news is under way; what comes before it was heard is
//! added up by listener. So a core that is slow to hear costs its owner memory by the listener, and never by the append.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::{CoreId, IdMap};
use crate::shard::Shard;
use crate::shard::waits::{Listener, Watcher};

/// What other cores are still to hear.
#[derive(Default)]
pub(super) struct News {
    cores: RefCell<BTreeMap<CoreId, Unheard>>,
}

#[derive(Default)]
struct Unheard {
    is_under_way: bool,
    bytes: IdMap<Listener, u64>,
}

impl Shard {
    /// Reports `bytes` more to each watcher, wherever it waits.
    pub(crate) fn tell_watchers(self: &Rc<Self>, watchers: impl IntoIterator<Item = Watcher>, bytes: u64) {
        let mut is_news = false;
        for watcher in watchers {
            if watcher.core == self.core {
                self.hear(watcher.listener, bytes);
                continue;
            }
            let mut cores = self.news.cores.borrow_mut();
            let unheard = cores.entry(watcher.core).or_default().bytes.entry(watcher.listener).or_default();
            *unheard = unheard.saturating_add(bytes);
            is_news = true;
        }
        if is_news {
            self.send_news();
        }
    }

    fn send_news(self: &Rc<Self>) {
        for (core, bytes) in self.news.take_what_may_leave() {
            let owner = self.core;
            let hear = move |asker: &Rc<Shard>| {
                bytes.into_iter().for_each(|(listener, bytes)| asker.hear(listener, bytes));
                asker.submit(owner, Box::new(move |owner| owner.news_was_heard(core)));
            };
            self.submit(core, Box::new(hear));
        }
    }

    fn news_was_heard(self: &Rc<Self>, core: CoreId) {
        if let Some(unheard) = self.news.cores.borrow_mut().get_mut(&core) {
            unheard.is_under_way = false;
        }
        self.send_news();
    }
}

impl News {
    fn take_what_may_leave(&self) -> Vec<(CoreId, IdMap<Listener, u64>)> {
        let mut cores = self.cores.borrow_mut();
        let may_leave = cores.iter_mut().filter(|(_, unheard)| !unheard.is_under_way && !unheard.bytes.is_empty());
        let take = |(core, unheard): (&CoreId, &mut Unheard)| {
            unheard.is_under_way = true;
            (*core, std::mem::take(&mut unheard.bytes))
        };
        may_leave.map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::test_cores::TestCores;
    use futures_lite::future;

    #[test]
    fn a_core_that_does_not_listen_gets_one_message_and_hears_of_every_byte() {
        let cores = TestCores::new(2, &[]);
        let [owner, asker] = [0, 1].map(|core| cores.shard(core));
        let mut wait = asker.waits.start(100_000);
        let watcher = Watcher { core: asker.core, listener: Listener::Fetch(wait.waiter) };
        let forwarded = || owner.counters.forwarded.get();
        for _ in 0..99_999 {
            owner.tell_watchers([watcher], 1);
        }
        assert_eq!(forwarded(), 1, "the rest waits until that was heard");
        cores.settle();
        assert_eq!(forwarded(), 2);
        assert_eq!(future::block_on(future::poll_once(wait.enough())), None);
        owner.tell_watchers([watcher], 1);
        cores.settle();
        assert_eq!(future::block_on(future::poll_once(wait.enough())), Some(()));
    }
}
