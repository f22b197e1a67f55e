//! The broker settings that govern groups, with Kafka's names and defaults.
//!
//! Invariants: `session_timeout_ms_min <= session_timeout_ms_max`; all times are milliseconds and not negative.

/// Settings of all groups of a coordinator. Plain values: a change takes effect at the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members after the first.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub group_size_max: usize,
    /// How long a new member may sit at the barrier before it is dropped: it has no id yet and cannot send a heartbeat. Kafka's constant.
    pub new_member_join_timeout_ms: i32,
    /// `offset.metadata.max.bytes`, counted as Kafka counts it: in UTF-16 units.
    pub offset_metadata_units_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// Ids handed out by MEMBER_ID_REQUIRED that have not come back yet, per group. Kafka has no such bound; one peer could fill the memory.
    pub pending_members_max: usize,
    /// Groups of one coordinator. Kafka has no such bound.
    pub groups_max: usize,
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        GroupConfig {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            group_size_max: i32::MAX as usize,
            new_member_join_timeout_ms: 5 * 60 * 1000,
            offset_metadata_units_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            pending_members_max: 10_000,
            groups_max: 100_000,
        }
    }
}

/// The shortest pause before a barrier that nobody came to is tried again; bounds the work a rebalance timeout of 0 can cause.
pub const BARRIER_RETRY_MS_MIN: i64 = 100;
