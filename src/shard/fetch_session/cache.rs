//! The fetch sessions of one core, and which of them goes when there are too many.
//!
//! Pure; a session id is only known at the core that made it. Invariants: at most `slots` sessions with together at most `partitions` partitions, as last
//! [`touch`](FetchSessionCache::touch)ed; no two cores of a node give out the same id; an id is positive.

use std::cell::RefCell;
use std::rc::Rc;

use super::FetchSession;
use crate::base::limits::CORES_MAX;
use crate::base::{CoreId, IdMap};

/// The low bits of a session id name its core.
const CORE_BITS: u32 = 10;
const _: () = assert!(CORES_MAX <= 1 << CORE_BITS);

/// A session that a fetch may hold on to while it waits.
pub type SharedSession = Rc<RefCell<FetchSession>>;

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub struct CacheLimits {
    /// `max.incremental.fetch.session.cache.slots`, of each core.
    pub slots: usize,
    /// Partitions of all sessions together.
    pub partitions: usize,
    /// `min.incremental.fetch.session.eviction.ms`
    pub eviction_ms: i64,
}

/// A session to be kept.
pub struct NewSession {
    pub session: SharedSession,
    /// A follower's: it may push out a consumer's.
    pub is_privileged: bool,
}

#[derive(Default)]
pub struct FetchSessionCache {
    sessions: IdMap<i32, Cached>,
    partitions: usize,
}

struct Cached {
    session: SharedSession,
    is_privileged: bool,
    created_ms: i64,
    last_used_ms: i64,
    partitions: usize,
}

impl FetchSessionCache {
    pub fn get(&self, id: i32) -> Option<SharedSession> {
        self.sessions.get(&id).map(|cached| cached.session.clone())
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether so many more partitions may be kept.
    fn has_room_for(&self, partitions: usize, limits: CacheLimits) -> bool {
        self.partitions + partitions <= limits.partitions
    }

    /// The session is used now, and has so many partitions. Returns whether all that is kept is within the limits.
    pub fn touch(&mut self, id: i32, partitions: usize, now_ms: i64, limits: CacheLimits) -> bool {
        if let Some(cached) = self.sessions.get_mut(&id) {
            self.partitions = self.partitions - cached.partitions + partitions;
            (cached.last_used_ms, cached.partitions) = (now_ms, partitions);
        }
        self.has_room_for(0, limits)
    }

    /// Takes a session out; who holds it finishes what it has begun.
    pub fn remove(&mut self, id: i32) -> Option<SharedSession> {
        let cached = self.sessions.remove(&id)?;
        self.partitions -= cached.partitions;
        Some(cached.session)
    }

    /// Keeps a session, if there is room or can be made. Returns its id, and the one that had to go for it; `None` if nothing that is kept is worth less.
    pub fn insert(
        &mut self,
        new: NewSession,
        core: CoreId,
        now_ms: i64,
        limits: CacheLimits,
        mut random: impl FnMut() -> u32,
    ) -> Option<(i32, Option<(i32, SharedSession)>)> {
        let partitions = new.session.borrow().len();
        if !self.has_room_for(partitions, limits) || limits.slots == 0 {
            return None;
        }
        let mut evicted = None;
        if self.sessions.len() >= limits.slots {
            let id = self.to_evict(new.is_privileged, partitions, now_ms, limits.eviction_ms)?;
            evicted = self.remove(id).map(|session| (id, session));
        }
        let id = loop {
            let id = (random() << CORE_BITS) as i32 & i32::MAX | i32::from(core.0);
            if id != super::NO_SESSION && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let cached =
            Cached { session: new.session, is_privileged: new.is_privileged, created_ms: now_ms, last_used_ms: now_ms, partitions };
        self.sessions.insert(id, cached);
        self.partitions += partitions;
        Some((id, evicted))
    }

    /// KIP-227: one that was not used for long goes first; then one that is worth less, unless it is too young: a consumer's before a follower's, a small one
    /// before a large one.
    fn to_evict(&self, is_privileged: bool, partitions: usize, now_ms: i64, eviction_ms: i64) -> Option<i32> {
        let stalest = self.sessions.iter().min_by_key(|(id, cached)| (cached.last_used_ms, **id))?;
        if now_ms - stalest.1.last_used_ms > eviction_ms {
            return Some(*stalest.0);
        }
        let may_go = |cached: &Cached| now_ms - cached.created_ms > eviction_ms || (is_privileged && !cached.is_privileged);
        let worth = |cached: &Cached| (cached.is_privileged, cached.partitions);
        let (id, least) = self.sessions.iter().filter(|(_, cached)| may_go(cached)).min_by_key(|(id, cached)| (worth(cached), **id))?;
        (worth(least) < (is_privileged, partitions)).then_some(*id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ErrorCode, LeaderEpoch, Offset, PartitionIndex};
    use crate::cluster::image::MetadataVersion;
    use crate::shard::fetch_session::Asked;
    use crate::wire::frame::TopicReference;

    const LIMITS: CacheLimits = CacheLimits { slots: 2, partitions: 100, eviction_ms: 1000 };

    struct Keeper {
        cache: FetchSessionCache,
        numbers: u32,
    }

    impl Keeper {
        fn new() -> Keeper {
            Keeper { cache: FetchSessionCache::default(), numbers: 0 }
        }

        /// The id, and that of the one that went.
        fn keep(&mut self, partitions: i32, is_privileged: bool, now_ms: i64) -> Option<(i32, Option<i32>)> {
            let mut session = FetchSession::new(false, MetadataVersion(0), now_ms);
            let asked = Asked { current_leader_epoch: LeaderEpoch::UNKNOWN, offset: Offset(0), bytes_max: 1 };
            for index in 0..partitions {
                session.put(TopicReference::Name("t"), PartitionIndex(index), asked, || Err(ErrorCode::UnknownTopicOrPartition));
            }
            let new = NewSession { session: Rc::new(RefCell::new(session)), is_privileged };
            let numbers = &mut self.numbers;
            let random = || {
                *numbers += 1;
                *numbers / 2
            };
            let kept = self.cache.insert(new, CoreId(3), now_ms, LIMITS, random)?;
            Some((kept.0, kept.1.map(|(id, _)| id)))
        }
    }

    impl Keeper {
        fn touch(&mut self, id: i32, partitions: usize, now_ms: i64) -> bool {
            self.cache.touch(id, partitions, now_ms, LIMITS)
        }
    }

    #[test]
    fn ids_are_positive_name_their_core_and_are_given_once() {
        let mut keeper = Keeper::new();
        let (first, _) = keeper.keep(1, false, 0).unwrap();
        let (second, _) = keeper.keep(1, false, 0).unwrap();
        assert!(first > 0 && second > 0 && first != second);
        assert_eq!((first & 1023, second & 1023), (3, 3));
        assert!(keeper.cache.get(first).is_some() && keeper.cache.get(second + 1).is_none());
        assert!(keeper.cache.remove(first).is_some() && keeper.cache.get(first).is_none());
        assert!(keeper.cache.remove(first).is_none());
        assert_eq!(keeper.cache.partitions, 1);
    }

    #[test]
    fn the_one_that_was_not_used_for_long_goes_first() {
        let mut keeper = Keeper::new();
        let (large, _) = keeper.keep(9, false, 0).unwrap();
        let (small, _) = keeper.keep(1, false, 0).unwrap();
        assert_eq!(keeper.keep(5, false, 1000), None, "both are young");
        keeper.touch(small, 1, 900);
        let (_, gone) = keeper.keep(1, false, 1001).unwrap();
        assert_eq!(gone, Some(large));
    }

    #[test]
    fn a_larger_one_replaces_a_smaller_one_that_is_not_young_any_more() {
        let mut keeper = Keeper::new();
        let (small, _) = keeper.keep(2, false, 0).unwrap();
        let (large, _) = keeper.keep(9, false, 0).unwrap();
        keeper.touch(small, 2, 1500);
        keeper.touch(large, 9, 1500);
        assert_eq!(keeper.keep(2, false, 1501), None, "worth as much");
        assert_eq!(keeper.keep(3, false, 1501).unwrap().1, Some(small));
        assert_eq!(keeper.keep(4, false, 1502), None, "the large one is worth more, the other too young");
    }

    #[test]
    fn a_follower_replaces_a_young_consumer_and_never_the_other_way_round() {
        let mut keeper = Keeper::new();
        keeper.keep(1, true, 0).unwrap();
        let (consumer, _) = keeper.keep(9, false, 0).unwrap();
        assert_eq!(keeper.keep(1, true, 1).unwrap().1, Some(consumer));
        assert_eq!(keeper.keep(90, false, 1000), None, "two young followers");
    }

    #[test]
    fn partitions_are_bounded_over_all_sessions() {
        let mut keeper = Keeper::new();
        let (first, _) = keeper.keep(60, false, 0).unwrap();
        assert_eq!(keeper.keep(41, false, 0), None);
        assert!(!keeper.touch(first, 101, 1), "it has grown too much");
        assert!(keeper.touch(first, 59, 1));
        assert!(keeper.keep(41, false, 0).is_some());
    }
}
