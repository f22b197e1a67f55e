//! The settings of a topic: every one that Apache Kafka 4.3 documents, and the typed values the log works with.
//!
//! Pure, any thread. A value comes from the first of: the topic's own override, the broker settings behind it (first synonym
//! that is set), the default.

use super::broker_config::BrokerConfig;
use super::image::Configs;
use super::setting::{Kind, Setting, SettingError, Support, Synonym, Value};

/// `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's time, as it stands in the record.
    CreateTime,
    /// The broker's time at the append.
    LogAppendTime,
}

/// `cleanup.policy`. Neither means: keep everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

/// The effective settings of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// The size at which a segment is closed. `internal.segment.bytes`, if set, goes before `segment.bytes`.
    pub segment_bytes: u32,
    /// The age at which a segment is closed.
    pub segment_ms: i64,
    /// Segments close up to this much earlier, so that they do not all close at once.
    pub segment_jitter_ms: i64,
    /// The room each offset index has; a full index closes the segment.
    pub segment_index_bytes: u32,
    /// One index entry per so many bytes of log.
    pub index_interval_bytes: u32,
    /// How long records are kept; `None`: for ever.
    pub retention_ms: Option<i64>,
    /// How large a partition may grow; `None`: without limit.
    pub retention_bytes: Option<i64>,
    /// The largest batch accepted.
    pub message_bytes_max: u32,
    /// Sync after so many messages; `None`: leave it to the kernel.
    pub flush_messages: Option<i64>,
    /// Sync after so many milliseconds; `None`: leave it to the kernel.
    pub flush_ms: Option<i64>,
    pub timestamp_type: TimestampType,
    /// How far a record's time may lie before the broker's; `None`: without limit.
    pub timestamp_before_ms_max: Option<i64>,
    /// How far a record's time may lie after the broker's; `None`: without limit.
    pub timestamp_after_ms_max: Option<i64>,
    /// acks=all needs at least so many in-sync replicas.
    pub min_insync_replicas: i32,
    pub cleanup_policy: CleanupPolicy,
    /// The dirty share of a compacted log above which it is cleaned, 0 to 1.
    pub cleanable_dirty_ratio_min: f64,
    /// How long a record of a compacted topic stays as it is at least.
    pub compaction_lag_ms_min: i64,
    /// The longest time a record of a compacted topic may wait for its cleaning; `i64::MAX`: for ever.
    pub compaction_lag_ms_max: i64,
    /// How long tombstones stay after the first cleaning that met them.
    pub delete_retention_ms: i64,
    pub preallocate: bool,
    /// How long a removed file stays on disk under another name.
    pub file_delete_delay_ms: i64,
    pub unclean_leader_election: bool,
}

const MAX: i64 = i64::MAX;
const INT_MAX: i64 = i32::MAX as i64;
const NEVER: &str = "9223372036854775807";
const HOUR_MS: i64 = 3_600_000;
const NO_TIERS: Support = Support::DefaultOnly("there is no tiered storage; all data stays in the data directory");
const AS_SENT: Support = Support::Stored("batches are stored as producers send them, so the broker compresses nothing");
const ONE_REPLICA: Support = Support::Stored("every partition has one replica, so nothing is replicated yet");

const fn same(name: &'static str) -> Synonym {
    Synonym { name, multiplier: 1 }
}

/// `synonyms` as one constant slice each, because the table below is a constant.
macro_rules! setting {
    ($name:literal, $kind:expr, $default:expr, [$($synonym:expr),*], $support:expr, $documentation:literal) => {
        Setting {
            name: $name,
            kind: $kind,
            default: $default,
            synonyms: const { &[$($synonym),*] },
            support: $support,
            documentation: $documentation,
        }
    };
}

/// Every topic setting, in order of name. Names, types, bounds, defaults and synonyms are those of Apache Kafka 4.3.0
/// (`LogConfig`, `ServerTopicConfigSynonyms`).
#[rustfmt::skip]
pub const TOPIC_SETTINGS: &[Setting] = &[
    setting!("cleanup.policy", Kind::Choices(&["compact", "delete"]), Some("delete"), [same("log.cleanup.policy")], Support::Honoured,
        "What happens to old segments: delete removes them by age and size, compact keeps the last record of each key."),
    setting!("compression.gzip.level", Kind::Int(-1, 9), Some("-1"), [same("compression.gzip.level")], AS_SENT,
        "The gzip level for topics that the broker compresses."),
    setting!("compression.lz4.level", Kind::Int(1, 17), Some("9"), [same("compression.lz4.level")], AS_SENT,
        "The lz4 level for topics that the broker compresses."),
    setting!("compression.type", Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Some("producer"), [same("compression.type")],
        Support::DefaultOnly("batches are stored and served byte for byte as producers send them; set compression.type in the producer instead"),
        "The codec batches are stored in. producer keeps each batch as it came."),
    setting!("compression.zstd.level", Kind::Int(-131_072, 22), Some("3"), [same("compression.zstd.level")], AS_SENT,
        "The zstd level for topics that the broker compresses."),
    setting!("delete.retention.ms", Kind::Long(0, MAX), Some("86400000"), [same("log.cleaner.delete.retention.ms")], Support::Honoured,
        "How long tombstones of a compacted topic stay readable, from the first cleaning that meets them. The next cleaning after that removes them."),
    setting!("file.delete.delay.ms", Kind::Long(0, MAX), Some("60000"), [same("log.segment.delete.delay.ms")], Support::Honoured,
        "How long a removed segment stays on disk under a .deleted name."),
    setting!("flush.messages", Kind::Long(1, MAX), Some(NEVER), [same("log.flush.interval.messages")], Support::Honoured,
        "Sync the log after this many messages; 1 acknowledges nothing that is not on disk."),
    setting!("flush.ms", Kind::Long(0, MAX), Some(NEVER), [same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")], Support::Honoured,
        "Sync the log at the latest this long after an append."),
    setting!("follower.replication.throttled.replicas", Kind::List, Some(""), [], ONE_REPLICA,
        "Replicas whose followers are throttled, as partition:broker pairs, or *."),
    setting!("index.interval.bytes", Kind::Int(0, INT_MAX), Some("4096"), [same("log.index.interval.bytes")], Support::Honoured,
        "How many bytes of log go by between two index entries."),
    setting!("internal.segment.bytes", Kind::Int(61, INT_MAX), None, [], Support::Honoured,
        "The segment size, without the lower bound of segment.bytes. For tests."),
    setting!("leader.replication.throttled.replicas", Kind::List, Some(""), [], ONE_REPLICA,
        "Replicas whose leaders are throttled, as partition:broker pairs, or *."),
    setting!("local.retention.bytes", Kind::Long(-2, MAX), Some("-2"), [same("log.local.retention.bytes")], NO_TIERS,
        "How much of a tiered partition stays on the local disk."),
    setting!("local.retention.ms", Kind::Long(-2, MAX), Some("-2"), [same("log.local.retention.ms")], NO_TIERS,
        "How long segments of a tiered partition stay on the local disk."),
    setting!("max.compaction.lag.ms", Kind::Long(1, MAX), Some(NEVER), [same("log.cleaner.max.compaction.lag.ms")], Support::Honoured,
        "The longest time a record of a compacted topic may wait for its cleaning."),
    setting!("max.message.bytes", Kind::Int(0, INT_MAX), Some("1048588"), [same("message.max.bytes")], Support::Honoured,
        "The largest record batch accepted, as it travels."),
    setting!("message.timestamp.after.max.ms", Kind::Long(0, MAX), Some("3600000"), [same("log.message.timestamp.after.max.ms")], Support::Honoured,
        "How far a record's time may lie in the future. Not looked at with LogAppendTime."),
    setting!("message.timestamp.before.max.ms", Kind::Long(0, MAX), Some(NEVER), [same("log.message.timestamp.before.max.ms")], Support::Honoured,
        "How far a record's time may lie in the past. Not looked at with LogAppendTime."),
    setting!("message.timestamp.type", Kind::Choice(&["CreateTime", "LogAppendTime"]), Some("CreateTime"), [same("log.message.timestamp.type")], Support::Honoured,
        "Whether records carry the producer's time or that of the append."),
    setting!("min.cleanable.dirty.ratio", Kind::Double(0.0, 1.0), Some("0.5"), [same("log.cleaner.min.cleanable.ratio")], Support::Honoured,
        "The share of a compacted log that must be uncleaned before a cleaning is worth it."),
    setting!("min.compaction.lag.ms", Kind::Long(0, MAX), Some("0"), [same("log.cleaner.min.compaction.lag.ms")], Support::Honoured,
        "How long a record of a compacted topic stays as it is at least."),
    setting!("min.insync.replicas", Kind::Int(1, INT_MAX), Some("1"), [same("min.insync.replicas")], Support::Honoured,
        "How many replicas must be in sync for a write with acks=all."),
    setting!("preallocate", Kind::Boolean, Some("false"), [same("log.preallocate")], Support::Honoured,
        "Whether the file of a new segment has its full size from the start."),
    setting!("remote.log.copy.disable", Kind::Boolean, Some("false"), [], NO_TIERS,
        "Whether a tiered topic stops copying segments to the remote store."),
    setting!("remote.log.delete.on.disable", Kind::Boolean, Some("false"), [], NO_TIERS,
        "Whether turning tiered storage off removes what the remote store holds."),
    setting!("remote.storage.enable", Kind::Boolean, Some("false"), [], NO_TIERS,
        "Whether closed segments go to a remote store."),
    setting!("retention.bytes", Kind::Long(i64::MIN, MAX), Some("-1"), [same("log.retention.bytes")], Support::Honoured,
        "The size of a partition above which the oldest segments go. -1: no limit."),
    setting!("retention.ms", Kind::Long(-1, MAX), Some("604800000"),
        [same("log.retention.ms"), Synonym { name: "log.retention.minutes", multiplier: 60_000 }, Synonym { name: "log.retention.hours", multiplier: HOUR_MS }], Support::Honoured,
        "The age after which a segment goes. -1: no limit."),
    setting!("segment.bytes", Kind::Int(1 << 20, INT_MAX), Some("1073741824"), [same("log.segment.bytes")], Support::Honoured,
        "The size at which a segment is closed and the next one begun."),
    setting!("segment.index.bytes", Kind::Int(4, INT_MAX), Some("10485760"), [same("log.index.size.max.bytes")], Support::Honoured,
        "The most bytes an offset index takes; a full one closes the segment."),
    setting!("segment.jitter.ms", Kind::Long(0, MAX), Some("0"),
        [same("log.roll.jitter.ms"), Synonym { name: "log.roll.jitter.hours", multiplier: HOUR_MS }], Support::Honoured,
        "Segments close up to this much before segment.ms, so that they do not all close at once."),
    setting!("segment.ms", Kind::Long(1, MAX), Some("604800000"),
        [same("log.roll.ms"), Synonym { name: "log.roll.hours", multiplier: HOUR_MS }], Support::Honoured,
        "The age at which a segment is closed, even if it is not full."),
    setting!("unclean.leader.election.enable", Kind::Boolean, Some("false"), [same("unclean.leader.election.enable")], ONE_REPLICA,
        "Whether a replica that is not in sync may become leader, losing records."),
];

/// Where an effective value comes from; the numbers are those of DescribeConfigs (`ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
}

/// One place where a setting is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The name it has there: `log.retention.hours` for `retention.ms`.
    pub name: &'static str,
    /// In Kafka's spelling, in the unit of that name.
    pub value: String,
    pub source: Source,
}

/// One effective value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// As it was asked for: a topic's setting, or a broker's.
    pub name: &'static str,
    pub setting: &'static Setting,
    /// In Kafka's spelling; `None` is null.
    pub value: Option<String>,
    pub source: Source,
    /// It counts at the start only.
    pub read_only: bool,
    /// Every place where it is set, first what counts first (KIP-226).
    pub synonyms: Vec<Set>,
}

impl Described {
    /// A setting whose value is that of the first place.
    pub fn new(name: &'static str, setting: &'static Setting, read_only: bool, synonyms: Vec<Set>) -> Described {
        let first = synonyms.first();
        let (value, source) = (first.map(|set| set.value.clone()), first.map_or(Source::Default, |set| set.source));
        Described { name, setting, value, source, read_only, synonyms }
    }
}

/// The topic setting of that name.
///
/// # Errors
/// There is none; the nearest name is offered.
pub fn topic_setting(name: &str) -> Result<&'static Setting, SettingError> {
    TOPIC_SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .ok_or_else(|| SettingError::unknown(name, "topic setting", TOPIC_SETTINGS.iter().map(|setting| setting.name)))
}

/// Checks what a topic wants to override, each value by itself and all together.
///
/// # Errors
/// The first setting that cannot be accepted (INVALID_CONFIG to a client).
pub fn check_overrides(broker: &BrokerConfig, overrides: &Configs) -> Result<(), SettingError> {
    for (name, value) in overrides {
        topic_setting(name)?.parse(value)?;
    }
    let least = integer(broker, overrides, "min.compaction.lag.ms");
    let most = integer(broker, overrides, "max.compaction.lag.ms");
    if least > most {
        let reason = format!("{least} ms is more than max.compaction.lag.ms ({most} ms)");
        return Err(SettingError::new("min.compaction.lag.ms", reason));
    }
    Ok(())
}

/// Every setting of a topic with its effective value and source, as DescribeConfigs lists them. `internal.segment.bytes` only
/// where it is set, as in Kafka.
pub fn describe(broker: &BrokerConfig, overrides: &Configs) -> Vec<Described> {
    let visible = TOPIC_SETTINGS.iter().filter(|setting| !setting.name.starts_with("internal.") || overrides.contains_key(setting.name));
    visible
        .map(|setting| {
            let mut synonyms = broker.synonyms_of_topic(setting);
            let (value, source) = match overrides.get(setting.name) {
                Some(value) => {
                    synonyms.insert(0, Set { name: setting.name, value: value.clone(), source: Source::Topic });
                    (Some(value.clone()), Source::Topic)
                }
                None => broker.topic_default(setting),
            };
            Described { name: setting.name, setting, value, source, read_only: false, synonyms }
        })
        .collect()
}

impl TopicConfig {
    /// The effective settings of a topic. An override that cannot be read, which [`check_overrides`] kept out, counts as not set.
    pub fn resolve(broker: &BrokerConfig, overrides: &Configs) -> TopicConfig {
        let long = |name| integer(broker, overrides, name);
        let size = |name| u32::try_from(long(name)).unwrap_or(u32::MAX);
        let flag = |name| value(broker, overrides, name) == Some(Value::Boolean(true));
        let limit = |name| Some(long(name)).filter(|number| *number >= 0);
        let bounded = |name| Some(long(name)).filter(|number| *number < MAX);
        let policy = match value(broker, overrides, "cleanup.policy") {
            Some(Value::List(words)) => words,
            _ => Vec::new(),
        };
        let log_append_time = value(broker, overrides, "message.timestamp.type") == Some(Value::Text("LogAppendTime".into()));
        TopicConfig {
            segment_bytes: match value(broker, overrides, "internal.segment.bytes") {
                Some(Value::Integer(bytes)) => u32::try_from(bytes).unwrap_or(u32::MAX),
                _ => size("segment.bytes"),
            },
            segment_ms: long("segment.ms"),
            segment_jitter_ms: long("segment.jitter.ms").min(long("segment.ms")),
            segment_index_bytes: size("segment.index.bytes"),
            index_interval_bytes: size("index.interval.bytes"),
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes"),
            message_bytes_max: size("max.message.bytes"),
            flush_messages: bounded("flush.messages"),
            flush_ms: bounded("flush.ms"),
            timestamp_type: if log_append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
            timestamp_before_ms_max: bounded("message.timestamp.before.max.ms"),
            timestamp_after_ms_max: bounded("message.timestamp.after.max.ms"),
            min_insync_replicas: long("min.insync.replicas") as i32,
            cleanup_policy: CleanupPolicy {
                delete: policy.iter().any(|word| word == "delete"),
                compact: policy.iter().any(|word| word == "compact"),
            },
            cleanable_dirty_ratio_min: match value(broker, overrides, "min.cleanable.dirty.ratio") {
                Some(Value::Double(ratio)) => ratio,
                other => unreachable!("a number with a default, which a test proves; it came out as {other:?}"),
            },
            compaction_lag_ms_min: long("min.compaction.lag.ms"),
            compaction_lag_ms_max: long("max.compaction.lag.ms"),
            delete_retention_ms: long("delete.retention.ms"),
            preallocate: flag("preallocate"),
            file_delete_delay_ms: long("file.delete.delay.ms"),
            unclean_leader_election: flag("unclean.leader.election.enable"),
        }
    }
}

fn value(broker: &BrokerConfig, overrides: &Configs, name: &str) -> Option<Value> {
    let setting = topic_setting(name).expect("the name stands in the table, which a test proves");
    let own = overrides.get(name).and_then(|text| setting.parse(text).ok());
    own.or_else(|| broker.topic_default(setting).0.and_then(|text| setting.parse(&text).ok()))
}

fn integer(broker: &BrokerConfig, overrides: &Configs, name: &str) -> i64 {
    match value(broker, overrides, name) {
        Some(Value::Integer(number)) => number,
        other => unreachable!("{name} is a number with a default, which a test proves; it came out as {other:?}"),
    }
}

#[cfg(test)]
mod tests;
