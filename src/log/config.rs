//! The topic settings that a log acts on.
//!
//! Plain values; any thread. The names are Kafka's, with `.` as `_`; −1 means "no limit" where Kafka says so.

/// Which clock a record's timestamp is from (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, as it came.
    #[default]
    CreateTime,
    /// The broker's at the append; written into the batch's header.
    LogAppendTime,
}

/// One topic's settings, shared by its logs.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// A segment's `.log` is at most this long. At most `i32::MAX`: positions are 31 bits wide.
    pub segment_bytes: u32,
    /// A segment takes records of at most this much time, by their timestamps and by the clock.
    pub segment_ms: i64,
    /// Up to this much is taken off `segment_ms`, a different share for every segment, so that not all roll at once.
    pub segment_jitter_ms: i64,
    /// How many bytes lie between two index entries, about.
    pub index_interval_bytes: u32,
    /// The largest index file.
    pub segment_index_bytes: u32,
    /// `cleanup.policy` contains `delete`: only then do the two settings below delete anything.
    pub cleanup_delete: bool,
    pub retention_ms: i64,
    pub retention_bytes: i64,
    /// `cleanup.policy` contains `compact`: only then does the cleaner look at it, by the four settings below.
    pub cleanup_compact: bool,
    /// A cleaning is worth it when more than this share of the log is dirty, 0 to 1 (`min.cleanable.dirty.ratio`).
    pub dirty_ratio_min: f64,
    /// Records younger than this are not cleaned (`min.compaction.lag.ms`).
    pub compaction_lag_ms_min: i64,
    /// Records older than this are cleaned whatever the ratio (`max.compaction.lag.ms`).
    pub compaction_lag_ms_max: i64,
    /// How long tombstones stay after they were first cleaned (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    pub message_bytes_max: u32,
    /// Flush after this many records.
    pub flush_messages: i64,
    /// Flush at the latest this long after a record came.
    pub flush_ms: i64,
    /// Give a new segment all its blocks at once.
    pub preallocate: bool,
    pub timestamp_type: TimestampType,
    /// How long a removed file stays as `.deleted`.
    pub file_delete_delay_ms: i64,
}

impl Default for LogConfig {
    /// Kafka's defaults (KIP-1030's included).
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 * 1024 * 1024,
            cleanup_delete: true,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: -1,
            cleanup_compact: false,
            dirty_ratio_min: 0.5,
            compaction_lag_ms_min: 0,
            compaction_lag_ms_max: i64::MAX,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            message_bytes_max: 1_048_588,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            preallocate: false,
            timestamp_type: TimestampType::CreateTime,
            file_delete_delay_ms: 60_000,
        }
    }
}
