//! Hash maps for the way of a request, which looks a few things up in each: several times as fast as the standard library's.
//!
//! Only for keys that the broker itself gives out (ids of partitions, topics, connections, sessions). Names and ids that clients choose stay in the standard
//! library's maps, whose hash nobody can find collisions for.

use foldhash::fast::RandomState;

pub type IdMap<K, V> = std::collections::HashMap<K, V, RandomState>;
pub type IdSet<K> = std::collections::HashSet<K, RandomState>;
