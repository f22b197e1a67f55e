//! Tests of the topic settings: the table against Kafka's, and how values are resolved.

use super::*;

fn configs(pairs: &[(&str, &str)]) -> Configs {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// What Apache Kafka 4.3.0 says of itself (`LogConfig.configNames`).
const KAFKA_NAMES: &str = "cleanup.policy compression.gzip.level compression.lz4.level compression.type compression.zstd.level \
    delete.retention.ms file.delete.delay.ms flush.messages flush.ms follower.replication.throttled.replicas index.interval.bytes \
    internal.segment.bytes leader.replication.throttled.replicas local.retention.bytes local.retention.ms max.compaction.lag.ms \
    max.message.bytes message.timestamp.after.max.ms message.timestamp.before.max.ms message.timestamp.type \
    min.cleanable.dirty.ratio min.compaction.lag.ms min.insync.replicas preallocate remote.log.copy.disable \
    remote.log.delete.on.disable remote.storage.enable retention.bytes retention.ms segment.bytes segment.index.bytes \
    segment.jitter.ms segment.ms unclean.leader.election.enable";

#[test]
fn every_topic_setting_of_kafka_is_listed_in_order() {
    let names: Vec<&str> = TOPIC_SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(names, KAFKA_NAMES.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn every_default_is_legal_and_every_setting_documented() {
    for setting in TOPIC_SETTINGS.iter().chain(super::super::broker_config::BROKER_SETTINGS) {
        if let Some(default) = setting.default {
            assert_eq!(setting.parse(default).ok(), setting.default_value(), "{}", setting.name);
        }
        assert!(setting.documentation.ends_with('.'), "{}", setting.name);
    }
}

#[test]
fn defaults_are_kafkas() {
    let config = TopicConfig::resolve(&BrokerConfig::default(), &Configs::new());
    let expected = TopicConfig {
        segment_bytes: 1 << 30,
        segment_ms: 604_800_000,
        segment_jitter_ms: 0,
        segment_index_bytes: 10 << 20,
        index_interval_bytes: 4096,
        retention_ms: Some(604_800_000),
        retention_bytes: None,
        message_bytes_max: 1_048_588,
        flush_messages: None,
        flush_ms: None,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_ms_max: None,
        timestamp_after_ms_max: Some(3_600_000),
        min_insync_replicas: 1,
        cleanup_policy: CleanupPolicy { delete: true, compact: false },
        cleanable_dirty_ratio_min: 0.5,
        compaction_lag_ms_min: 0,
        compaction_lag_ms_max: i64::MAX,
        delete_retention_ms: 86_400_000,
        preallocate: false,
        file_delete_delay_ms: 60_000,
        unclean_leader_election: false,
    };
    assert_eq!(config, expected);
}

#[test]
fn an_override_goes_before_the_broker_and_the_broker_before_the_default() {
    let broker = BrokerConfig::new(&configs(&[("log.segment.bytes", "2097152"), ("log.retention.hours", "1")])).unwrap();
    let overrides = configs(&[("segment.bytes", "3145728"), ("cleanup.policy", "compact,delete"), ("flush.messages", "1")]);
    let config = TopicConfig::resolve(&broker, &overrides);
    assert_eq!(config.segment_bytes, 3 << 20);
    assert_eq!(config.retention_ms, Some(3_600_000));
    assert_eq!(config.flush_messages, Some(1));
    assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: true });
    let small = TopicConfig::resolve(&broker, &configs(&[("internal.segment.bytes", "4096"), ("retention.ms", "-1")]));
    assert_eq!((small.segment_bytes, small.retention_ms), (4096, None));
}

#[test]
fn descriptions_carry_value_and_source() {
    let broker = BrokerConfig::new(&configs(&[("log.roll.hours", "1")])).unwrap();
    let described = describe(&broker, &configs(&[("retention.ms", "5")]));
    let find = |name: &str| described.iter().find(|described| described.setting.name == name).map(|d| (d.value.clone(), d.source));
    assert_eq!(find("retention.ms"), Some((Some("5".into()), Source::Topic)));
    assert_eq!(find("segment.ms"), Some((Some("3600000".into()), Source::StaticBroker)));
    assert_eq!(find("segment.bytes"), Some((Some("1073741824".into()), Source::Default)));
    assert_eq!(find("internal.segment.bytes"), None);
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_reason() {
    let refused = |pairs: &[(&str, &str)]| check_overrides(&BrokerConfig::default(), &configs(pairs)).unwrap_err().to_string();
    assert!(refused(&[("compression.type", "zstd")]).contains("in the producer"));
    assert!(refused(&[("remote.storage.enable", "true")]).contains("tiered"));
    assert!(refused(&[("retention.mss", "1")]).contains("did you mean retention.ms?"));
    assert!(refused(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]).contains("more than"));
    assert_eq!(
        check_overrides(&BrokerConfig::default(), &configs(&[("cleanup.policy", "compact"), ("compression.type", "producer")])),
        Ok(())
    );
}
