//! From a topic's settings to those that its logs act on.

use crate::cluster::topic_config::{TimestampType, TopicConfig};
use crate::log::{self, LogConfig};

/// The log's part of a topic's settings.
pub fn log_config(topic: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: topic.segment_bytes,
        // What has to be cleaned by then must not lie in the active segment any more.
        segment_ms: if topic.cleanup_policy.compact { topic.segment_ms.min(topic.compaction_lag_ms_max) } else { topic.segment_ms },
        segment_jitter_ms: topic.segment_jitter_ms,
        index_interval_bytes: topic.index_interval_bytes,
        segment_index_bytes: topic.segment_index_bytes,
        cleanup_delete: topic.cleanup_policy.delete,
        retention_ms: topic.retention_ms.unwrap_or(-1),
        retention_bytes: topic.retention_bytes.unwrap_or(-1),
        cleanup_compact: topic.cleanup_policy.compact,
        dirty_ratio_min: topic.cleanable_dirty_ratio_min,
        compaction_lag_ms_min: topic.compaction_lag_ms_min,
        compaction_lag_ms_max: topic.compaction_lag_ms_max,
        delete_retention_ms: topic.delete_retention_ms,
        message_bytes_max: topic.message_bytes_max,
        flush_messages: topic.flush_messages.unwrap_or(i64::MAX),
        flush_ms: topic.flush_ms.unwrap_or(i64::MAX),
        preallocate: topic.preallocate,
        timestamp_type: match topic.timestamp_type {
            TimestampType::CreateTime => log::TimestampType::CreateTime,
            TimestampType::LogAppendTime => log::TimestampType::LogAppendTime,
        },
        file_delete_delay_ms: topic.file_delete_delay_ms,
    }
}
