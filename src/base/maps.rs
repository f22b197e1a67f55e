//! Hash maps for the way of a request, which looks a few things up in each; what they save stands in decision 0026.
//!
//! Any thread. Only for keys that the broker itself gives out (ids of partitions, topics, connections, sessions): names and ids that clients choose stay in
//! the standard library's maps, whose hash nobody can find collisions for.

use foldhash::fast::RandomState;

/// A map by an id that the broker gave out.
pub type IdMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// A set of ids that the broker gave out.
pub type IdSet<K> = std::collections::HashSet<K, RandomState>;
