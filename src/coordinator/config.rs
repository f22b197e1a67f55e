//! The broker settings that govern groups, with Kafka's names and defaults.
//!
//! Invariants: `session_timeout_ms_min <= session_timeout_ms_max`; all times are milliseconds and not negative.

use super::consumer::assignor::Assignor;

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
    pub consumer: ConsumerGroupConfig,
}

/// Settings of the groups of KIP-848.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`, which members are told to keep.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`
    pub group_size_max: usize,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
    /// `group.consumer.assignors`: the first one there serves where no member asks for another.
    assignors: [Option<Assignor>; Assignor::ALL.len()],
}

/// Which way a group that has members may change its protocol (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Either way.
    Bidirectional,
    /// From the classic protocol to the consumer protocol.
    Upgrade,
    /// From the consumer protocol to the classic protocol.
    Downgrade,
    Disabled,
}

impl MigrationPolicy {
    /// By the setting's word.
    pub fn parse(word: &str) -> Option<MigrationPolicy> {
        Some(match word {
            "bidirectional" => MigrationPolicy::Bidirectional,
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            "disabled" => MigrationPolicy::Disabled,
            _ => return None,
        })
    }

    pub fn allows_upgrade(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade)
    }

    pub fn allows_downgrade(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade)
    }
}

impl ConsumerGroupConfig {
    /// With these assignors, in this order. One that stands there twice counts once; none at all: Kafka's default.
    pub fn with_assignors(mut self, assignors: impl Iterator<Item = Assignor>) -> ConsumerGroupConfig {
        let mut wanted = [None; Assignor::ALL.len()];
        for assignor in assignors {
            if !wanted.contains(&Some(assignor)) {
                let free = wanted.iter_mut().find(|place| place.is_none()).expect("there is a place for each assignor");
                *free = Some(assignor);
            }
        }
        if wanted[0].is_some() {
            self.assignors = wanted;
        }
        self
    }

    pub fn assignors(&self) -> impl Iterator<Item = Assignor> {
        self.assignors.into_iter().flatten()
    }

    pub fn supports(&self, assignor: Assignor) -> bool {
        self.assignors.contains(&Some(assignor))
    }

    pub fn default_assignor(&self) -> Assignor {
        self.assignors[0].expect("there is always one")
    }
}

impl Default for ConsumerGroupConfig {
    fn default() -> ConsumerGroupConfig {
        ConsumerGroupConfig {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            group_size_max: i32::MAX as usize,
            migration: MigrationPolicy::Bidirectional,
            assignors: Assignor::ALL.map(Some),
        }
    }
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
            consumer: ConsumerGroupConfig::default(),
        }
    }
}

/// The shortest pause before a barrier that nobody came to is tried again; bounds the work a rebalance timeout of 0 can cause.
pub const BARRIER_RETRY_MS_MIN: i64 = 100;
