//! The settings of a broker under Kafka's names: its own, and those that give topics their defaults.
//!
//! Pure, any thread. A value comes from the first of: set at run time for this broker, set at run time for all brokers, set at
//! the start (`--set`, the file), the default. Topic names are accepted too (`segment.bytes` for `log.segment.bytes`).

use std::collections::BTreeMap;

use super::absent_settings::{kafka_names, why_absent};
use super::image::Configs;
use super::setting::{Kind, Setting, SettingError, Support, Synonym, Value};
use super::topic_config::{Described, Set, Source, TOPIC_SETTINGS, topic_setting};
use crate::base::BrokerId;

const MAX: i64 = i64::MAX;
const INT_MAX: i64 = i32::MAX as i64;
const NO_LIMIT: &str = "9223372036854775807";
const ONE_REPLICA: Support = Support::Stored("every partition has one replica, so nothing is replicated yet");

/// The settings of the broker itself, in order of name. Those that only give a topic setting its default stand in
/// [`TOPIC_SETTINGS`] as synonyms.
#[rustfmt::skip]
pub const BROKER_SETTINGS: &[Setting] = &[
    own("auto.create.topics.enable", Kind::Boolean, "true",
        "Whether a client that asks for a topic which does not exist may have it made."),
    own("connections.max.idle.ms", Kind::Long(-1, MAX), "600000",
        "How long a connection may stay idle before it is closed; one whose client waits for an answer is not idle. -1: for ever."),
    own("default.replication.factor", Kind::Int(1, i16::MAX as i64), "1",
        "The number of replicas of topics that leave it open."),
    own("delete.topic.enable", Kind::Boolean, "true",
        "Whether clients may delete topics."),
    own("fetch.max.bytes", Kind::Int(1024, INT_MAX), "57671680",
        "The most bytes one fetch answer carries, whatever the client asks for."),
    supported("follower.replication.throttled.rate", Kind::Long(0, MAX), NO_LIMIT,
        "How many bytes per second followers on this broker may fetch for throttled replicas.", ONE_REPLICA),
    own("group.consumer.assignors", Kind::Choices(&["uniform", "range"]), "uniform,range",
        "What members of a consumer group may ask to be assigned by; the first one where nobody asks."),
    own("group.consumer.heartbeat.interval.ms", Kind::Int(1, INT_MAX), "5000",
        "How often the members of a consumer group send heartbeats."),
    own("group.consumer.max.heartbeat.interval.ms", Kind::Int(1, INT_MAX), "15000",
        "The longest heartbeat interval of a consumer group."),
    own("group.consumer.max.session.timeout.ms", Kind::Int(1, INT_MAX), "60000",
        "The longest session timeout of a consumer group."),
    own("group.consumer.max.size", Kind::Int(1, INT_MAX), "2147483647",
        "The most members that a group of the consumer protocol may have."),
    own("group.consumer.migration.policy", Kind::Choice(&["bidirectional", "upgrade", "downgrade", "disabled"]), "bidirectional",
        "Which way a group that has members may change between the classic and the consumer protocol."),
    own("group.consumer.min.heartbeat.interval.ms", Kind::Int(1, INT_MAX), "5000",
        "The shortest heartbeat interval of a consumer group."),
    own("group.consumer.min.session.timeout.ms", Kind::Int(1, INT_MAX), "45000",
        "The shortest session timeout of a consumer group."),
    own("group.consumer.session.timeout.ms", Kind::Int(1, INT_MAX), "45000",
        "How long a member of a consumer group may be silent before it is given up."),
    own("group.initial.rebalance.delay.ms", Kind::Int(0, INT_MAX), "3000",
        "How long an empty consumer group waits for more members after the first."),
    own("group.max.session.timeout.ms", Kind::Int(1, INT_MAX), "1800000",
        "The longest session timeout that a member of a group may ask for."),
    own("group.max.size", Kind::Int(1, INT_MAX), "2147483647",
        "The most members a consumer group may have."),
    own("group.min.session.timeout.ms", Kind::Int(1, INT_MAX), "6000",
        "The shortest session timeout that a member of a group may ask for."),
    supported("leader.replication.throttled.rate", Kind::Long(0, MAX), NO_LIMIT,
        "How many bytes per second leaders on this broker may send for throttled replicas.", ONE_REPLICA),
    own("log.cleaner.backoff.ms", Kind::Long(0, MAX), "15000",
        "How long the cleaner waits when there is no log to clean."),
    own("log.cleaner.dedupe.buffer.size", Kind::Long(1 << 20, MAX), "134217728",
        "The most memory that the cleaner's map of keys takes, 24 bytes for each key. What does not fit is left to the next cleaning."),
    own("log.cleaner.enable", Kind::Boolean, "true",
        "Whether compacted topics are cleaned, __consumer_offsets included."),
    own("log.cleaner.io.buffer.load.factor", Kind::Double(0.01, 1.0), "0.9",
        "How full the map of keys may get."),
    supported("log.cleaner.io.buffer.size", Kind::Int(0, INT_MAX), "524288",
        "How much the cleaner reads and writes at once.",
        Support::Stored("the cleaner reads and writes 1 MiB at once, or one batch")),
    own("log.cleaner.io.max.bytes.per.second", Kind::Double(1.0, f64::MAX), "33554432",
        "How many bytes the cleaner reads and writes in a second. Apache Kafka sets no bound by default; here it is 32 MiB, so that cleaning is not felt by producers."),
    supported("log.cleaner.threads", Kind::Int(0, INT_MAX), "1",
        "How many logs are cleaned at a time.",
        Support::Stored("one log of a node is cleaned at a time, by one thread of low priority")),
    own("log.flush.offset.checkpoint.interval.ms", Kind::Int(0, INT_MAX), "60000",
        "How often the recovery points are written down."),
    supported("log.flush.start.offset.checkpoint.interval.ms", Kind::Int(0, INT_MAX), "60000",
        "How often the log start offsets are written down.",
        Support::Stored("log start offsets are written down before DeleteRecords is answered, and together with the recovery points")),
    supported("log.retention.check.interval.ms", Kind::Long(1, MAX), "300000",
        "How often segments are looked through for some that may go.",
        Support::Stored("retention is looked after once a second")),
    own("max.incremental.fetch.session.cache.slots", Kind::Int(0, INT_MAX), "1000",
        "The most fetch sessions that each core keeps. 0: every fetch is a full one."),
    own("max.request.partition.size.limit", Kind::Int(1, INT_MAX), "2000",
        "The most partitions that one answer to DescribeTopicPartitions describes."),
    own("num.partitions", Kind::Int(1, INT_MAX), "1",
        "The number of partitions of topics that leave it open."),
    // UTF-16 units of up to three bytes each: a metadata text always fits the int16 length of Kafka's older formats.
    own("offset.metadata.max.bytes", Kind::Int(0, 10_922), "4096",
        "The longest text that a client may store with a committed offset."),
    own("offsets.retention.check.interval.ms", Kind::Long(1, MAX), "600000",
        "How often committed offsets are looked through for some that may go."),
    own("offsets.retention.minutes", Kind::Int(1, INT_MAX), "10080",
        "How long the offsets of a group without members, or of a simple consumer, are kept."),
    own("offsets.topic.num.partitions", Kind::Int(1, INT_MAX), "50",
        "The number of partitions of __consumer_offsets, when it is made. Not to be changed afterwards: groups would be lost."),
    own("offsets.topic.replication.factor", Kind::Int(1, i16::MAX as i64), "1",
        "The number of replicas of __consumer_offsets, when it is made."),
    own("offsets.topic.segment.bytes", Kind::Int(1_048_576, INT_MAX), "104857600",
        "The segment size of __consumer_offsets, when it is made."),
    own("producer.id.expiration.check.interval.ms", Kind::Int(1, INT_MAX), "600000",
        "How often producer ids are looked through for some that may be forgotten."),
    own("producer.id.expiration.ms", Kind::Int(1, INT_MAX), "86400000",
        "How long a partition remembers the sequence of an idempotent producer that writes nothing."),
    supported("replica.alter.log.dirs.io.max.bytes.per.second", Kind::Long(0, MAX), NO_LIMIT,
        "How many bytes per second a move between log directories may copy.",
        Support::Stored("there is one data directory, and a move between cores copies nothing")),
    supported("socket.request.max.bytes", Kind::Int(1, INT_MAX), "104857600",
        "The largest request accepted; a client that announces more is disconnected.",
        Support::DefaultOnly("the limit is built in")),
];

/// Those of the above that Kafka changes while it runs (`DynamicBrokerConfig.AllDynamicConfigs` and the quotas of `DynamicConfig.Broker`). Whoever
/// lists one here reads it at each use, not once at the start.
const DYNAMIC: &[&str] = &[
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// Settings of Kafka that have another name here, and that people look for.
const ELSEWHERE: &[(&str, &str)] = &[
    ("advertised.listeners", "--advertised-host and --advertised-port"),
    ("broker.id", "--node-id"),
    ("broker.rack", "--rack"),
    ("listeners", "--listen"),
    ("log.dir", "--data-dir"),
    ("log.dirs", "--data-dir"),
    ("node.id", "--node-id"),
    ("num.io.threads", "--cores"),
    ("num.network.threads", "--cores"),
];

const fn own(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str) -> Setting {
    Setting { name, kind, default: Some(default), synonyms: &[], support: Support::Honoured, documentation }
}

const fn supported(name: &'static str, kind: Kind, default: &'static str, documentation: &'static str, support: Support) -> Setting {
    Setting { support, ..own(name, kind, default, documentation) }
}

/// The effective settings of one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    pub auto_create_topics: bool,
    /// `None`: for ever.
    pub connections_idle_ms_max: Option<i64>,
    pub default_replication_factor: i16,
    pub delete_topics: bool,
    pub fetch_bytes_max: usize,
    pub fetch_sessions_max: usize,
    pub recovery_point_checkpoint_ms: i64,
    pub partitions_default: i32,
    pub producer_expiration_ms: i64,
    pub producer_expiration_check_ms: i64,
    /// Partitions in one answer to DescribeTopicPartitions.
    pub request_partitions_max: i32,
    pub request_bytes_max: usize,
    pub cleaner: CleanerSettings,
    pub groups: GroupSettings,
    layers: Layers,
}

/// What governs the cleaner of compacted topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanerSettings {
    pub enabled: bool,
    pub backoff_ms: i64,
    pub map_bytes_max: usize,
    /// How full the map may get.
    pub map_load_percent: u8,
    pub bytes_per_second: u64,
}

/// What governs consumer groups and their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    pub initial_rebalance_delay_ms: i32,
    pub session_timeout_ms_min: i32,
    pub session_timeout_ms_max: i32,
    pub size_max: usize,
    pub consumer: ConsumerGroupSettings,
    /// In UTF-16 units, as Kafka counts.
    pub offset_metadata_units_max: usize,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_ms: i64,
    /// Of `__consumer_offsets`, when it is made.
    pub offsets_topic_partitions: i32,
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i64,
}

/// What governs the groups of KIP-848.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub size_max: usize,
    pub assignors: Vec<String>,
    pub migration_policy: String,
}

/// What was set, by where; all names as Kafka's broker settings have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layers {
    at_start: Configs,
    all_brokers: Configs,
    this_broker: Configs,
}

impl Default for BrokerConfig {
    fn default() -> BrokerConfig {
        BrokerConfig::new(&Configs::new()).expect("the defaults are legal")
    }
}

impl BrokerConfig {
    /// The settings as they were given at the start.
    ///
    /// # Errors
    /// The first name nobody knows, or value that is not legal.
    pub fn new(at_start: &Configs) -> Result<BrokerConfig, SettingError> {
        BrokerConfig::from_layers(Layers { at_start: normalise(at_start)?, ..Layers::default() })
    }

    /// The same broker with what was set at run time: for all brokers and for this one.
    ///
    /// # Errors
    /// The first name nobody knows, or value that is not legal.
    pub fn with_dynamic(&self, all_brokers: &Configs, this_broker: &Configs) -> Result<BrokerConfig, SettingError> {
        let at_start = self.layers.at_start.clone();
        BrokerConfig::from_layers(Layers { at_start, all_brokers: normalise(all_brokers)?, this_broker: normalise(this_broker)? })
    }

    fn from_layers(layers: Layers) -> Result<BrokerConfig, SettingError> {
        let long = |name| layers.integer(name);
        let groups = GroupSettings::from_layers(&layers)?;
        Ok(BrokerConfig {
            auto_create_topics: layers.boolean("auto.create.topics.enable"),
            connections_idle_ms_max: Some(long("connections.max.idle.ms")).filter(|ms| *ms >= 0),
            default_replication_factor: long("default.replication.factor") as i16,
            delete_topics: layers.boolean("delete.topic.enable"),
            fetch_bytes_max: long("fetch.max.bytes") as usize,
            fetch_sessions_max: long("max.incremental.fetch.session.cache.slots") as usize,
            recovery_point_checkpoint_ms: long("log.flush.offset.checkpoint.interval.ms"),
            partitions_default: long("num.partitions") as i32,
            producer_expiration_ms: long("producer.id.expiration.ms"),
            producer_expiration_check_ms: long("producer.id.expiration.check.interval.ms"),
            request_partitions_max: long("max.request.partition.size.limit") as i32,
            request_bytes_max: long("socket.request.max.bytes") as usize,
            cleaner: CleanerSettings {
                enabled: layers.boolean("log.cleaner.enable"),
                backoff_ms: long("log.cleaner.backoff.ms"),
                map_bytes_max: usize::try_from(long("log.cleaner.dedupe.buffer.size")).unwrap_or(usize::MAX),
                map_load_percent: (layers.double("log.cleaner.io.buffer.load.factor") * 100.0).round() as u8,
                bytes_per_second: layers.double("log.cleaner.io.max.bytes.per.second") as u64,
            },
            groups,
            layers,
        })
    }

    /// The settings in force for one broker: these, which were given at the start, under what was set at run time. What was stored and is not legal
    /// any more, after a change of release, counts as not set.
    pub fn of_broker(&self, stored: &BTreeMap<Option<BrokerId>, Configs>, broker: BrokerId) -> BrokerConfig {
        let legal = |layer: Option<BrokerId>| -> Configs {
            let configs = stored.get(&layer).into_iter().flatten();
            configs.filter(|(name, value)| check_dynamic(name, value).is_ok()).map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        self.with_dynamic(&legal(None), &legal(Some(broker))).unwrap_or_else(|_| self.clone())
    }

    /// What topics get that do not override `setting`, in units of the topic setting, and where it comes from.
    pub fn topic_default(&self, setting: &Setting) -> (Option<String>, Source) {
        for synonym in setting.synonyms {
            for (layer, source) in self.layers.all() {
                if let Some(text) = layer.get(synonym.name) {
                    return (Some(converted(text, synonym.multiplier)), source);
                }
            }
        }
        (setting.default.map(String::from), Source::Default)
    }

    /// What `__consumer_offsets` overrides, as in Kafka.
    pub fn offsets_topic_configs(&self) -> Configs {
        let settings = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", self.groups.offsets_topic_segment_bytes.to_string()),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Where a topic setting is set on this broker, first what counts first, the default last.
    pub fn synonyms_of_topic(&self, setting: &Setting) -> Vec<Set> {
        let names = || setting.synonyms.iter().map(|synonym| synonym.name);
        let mut found = self.layers.set(names());
        let default = names().next().zip(setting.default);
        found.extend(default.map(|(name, value)| Set { name, value: value.into(), source: Source::Default }));
        found
    }

    /// Every setting of the broker with its effective value and where it is set, in order of name.
    pub fn describe(&self) -> Vec<Described> {
        let own = BROKER_SETTINGS.iter().map(|setting| self.describe_one(setting.name, setting, setting.default));
        let of_topics = TOPIC_SETTINGS.iter().flat_map(|setting| {
            let named = setting.synonyms.iter().enumerate();
            // The default is told in the unit that Kafka counts in; the coarser ones have none of their own.
            named.map(|(at, synonym)| self.describe_one(synonym.name, setting, setting.default.filter(|_| at == 0)))
        });
        let mut described: Vec<Described> = own.chain(of_topics).collect();
        described.sort_by_key(|described| described.name);
        described
    }

    fn describe_one(&self, name: &'static str, setting: &'static Setting, default: Option<&'static str>) -> Described {
        let mut synonyms = self.layers.set(std::iter::once(name));
        synonyms.extend(default.map(|value| Set { name, value: value.into(), source: Source::Default }));
        Described::new(name, setting, is_read_only(name), synonyms)
    }

    /// What was set at run time for all brokers.
    pub fn describe_defaults(&self) -> Vec<Described> {
        let own = self.describe().into_iter().filter_map(|described| {
            let synonyms = described.synonyms.into_iter().filter(|set| set.source == Source::DynamicDefaultBroker).collect::<Vec<_>>();
            (!synonyms.is_empty()).then(|| Described::new(described.name, described.setting, described.read_only, synonyms))
        });
        own.collect()
    }

    /// What was given at the start, under Kafka's broker names.
    pub fn given(&self) -> &Configs {
        &self.layers.at_start
    }
}

impl GroupSettings {
    fn from_layers(layers: &Layers) -> Result<GroupSettings, SettingError> {
        let long = |name| layers.integer(name);
        let settings = GroupSettings {
            initial_rebalance_delay_ms: long("group.initial.rebalance.delay.ms") as i32,
            session_timeout_ms_min: long("group.min.session.timeout.ms") as i32,
            session_timeout_ms_max: long("group.max.session.timeout.ms") as i32,
            size_max: long("group.max.size") as usize,
            consumer: ConsumerGroupSettings::from_layers(layers)?,
            offset_metadata_units_max: long("offset.metadata.max.bytes") as usize,
            offsets_retention_ms: long("offsets.retention.minutes") * 60_000,
            offsets_retention_check_ms: long("offsets.retention.check.interval.ms"),
            offsets_topic_partitions: long("offsets.topic.num.partitions") as i32,
            offsets_topic_replication_factor: long("offsets.topic.replication.factor") as i16,
            offsets_topic_segment_bytes: long("offsets.topic.segment.bytes"),
        };
        let (least, most) = (settings.session_timeout_ms_min, settings.session_timeout_ms_max);
        if least > most {
            let reason = format!("{least} ms is more than group.max.session.timeout.ms ({most} ms)");
            return Err(SettingError::new("group.min.session.timeout.ms", reason));
        }
        Ok(settings)
    }
}

impl ConsumerGroupSettings {
    fn from_layers(layers: &Layers) -> Result<ConsumerGroupSettings, SettingError> {
        Ok(ConsumerGroupSettings {
            session_timeout_ms: within(layers, "session.timeout.ms")?,
            heartbeat_interval_ms: within(layers, "heartbeat.interval.ms")?,
            size_max: layers.integer("group.consumer.max.size") as usize,
            assignors: layers.words("group.consumer.assignors"),
            migration_policy: layers.text("group.consumer.migration.policy"),
        })
    }
}

/// `group.consumer.<name>`, which has a least and a most.
fn within(layers: &Layers, name: &str) -> Result<i32, SettingError> {
    let [name, least, most] = ["", "min.", "max."].map(|bound| format!("group.consumer.{bound}{name}"));
    let [value, at_least, at_most] = [&name, &least, &most].map(|name| layers.integer(name));
    if value < at_least {
        return Err(SettingError::new(&name, format!("{value} ms is less than {least} ({at_least} ms)")));
    }
    if value > at_most {
        return Err(SettingError::new(&name, format!("{value} ms is more than {most} ({at_most} ms)")));
    }
    Ok(value as i32)
}

impl Layers {
    /// The layers, first what counts first.
    fn all(&self) -> [(&Configs, Source); 3] {
        [
            (&self.this_broker, Source::DynamicBroker),
            (&self.all_brokers, Source::DynamicDefaultBroker),
            (&self.at_start, Source::StaticBroker),
        ]
    }

    /// Where any of `names` is set.
    fn set(&self, names: impl Iterator<Item = &'static str> + Clone) -> Vec<Set> {
        let layers = self.all().into_iter();
        let found = layers
            .flat_map(|(layer, source)| names.clone().filter_map(move |name| Some(Set { name, value: layer.get(name)?.clone(), source })));
        found.collect()
    }

    fn value(&self, name: &str) -> Value {
        let setting = BROKER_SETTINGS.iter().find(|setting| setting.name == name).expect("the name stands in the table");
        let set = self.all().into_iter().find_map(|(layer, _)| layer.get(name).map(String::as_str));
        let text = set.or(setting.default).expect("every broker setting has a default");
        setting.parse(text).expect("normalise() has checked it")
    }

    fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Integer(number) => number,
            other => unreachable!("{name} is a number in the table; it came out as {other:?}"),
        }
    }

    fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Double(number) => number,
            other => unreachable!("{name} is a number in the table; it came out as {other:?}"),
        }
    }

    fn words(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Value::List(words) => words,
            other => unreachable!("{name} is a list in the table; it came out as {other:?}"),
        }
    }

    fn text(&self, name: &str) -> String {
        match self.value(name) {
            Value::Text(text) => text,
            other => unreachable!("{name} is a word in the table; it came out as {other:?}"),
        }
    }

    fn boolean(&self, name: &str) -> bool {
        self.value(name) == Value::Boolean(true)
    }
}

/// Whether a broker setting counts at the start only.
fn is_read_only(name: &str) -> bool {
    let is_first_synonym = |setting: &Setting| setting.synonyms.first().is_some_and(|synonym| synonym.name == name);
    !DYNAMIC.contains(&name) && !TOPIC_SETTINGS.iter().any(is_first_synonym)
}

/// Checks a setting that is to be changed while the broker runs.
///
/// # Errors
/// The name is not known, the value not legal, or the setting is read at the start only; the reason says what to do instead.
pub fn check_dynamic(name: &str, value: &str) -> Result<(), SettingError> {
    let known = broker_name(name, value)?;
    if known != name {
        return Err(SettingError::new(name, format!("it is a topic's setting; the default of all topics is {known}")));
    }
    if !is_read_only(name) {
        return Ok(());
    }
    let reason = match synonym(name) {
        Some((setting, _)) => format!("it is read at the start only; set {} instead", setting.synonyms[0].name),
        None => format!("it is read at the start only; give it to `pagewire serve` as --set {name}={value} and start the broker again"),
    };
    Err(SettingError::new(name, reason))
}

/// −1 means "no limit" in any unit.
fn converted(text: &str, multiplier: i64) -> String {
    match text.parse::<i64>() {
        Ok(number) if multiplier != 1 && number >= 0 => number.saturating_mul(multiplier).to_string(),
        _ => text.into(),
    }
}

/// Checks names and values and turns topic names into those of the broker settings behind them.
fn normalise(configs: &Configs) -> Result<Configs, SettingError> {
    configs.iter().map(|(name, value)| Ok((broker_name(name, value)?.to_string(), value.trim().to_string()))).collect()
}

/// The name under which a broker keeps a setting, after a check of its value.
fn broker_name(name: &str, value: &str) -> Result<&'static str, SettingError> {
    if let Some(setting) = BROKER_SETTINGS.iter().find(|setting| setting.name == name) {
        return setting.parse(value).map(|_| setting.name);
    }
    if let Some((setting, synonym)) = synonym(name) {
        check_synonym(setting, synonym, value)?;
        return Ok(synonym.name);
    }
    if let Some((_, flag)) = ELSEWHERE.iter().find(|(kafka, _)| *kafka == name) {
        return Err(SettingError::new(name, format!("this is not a --set setting here: use {flag}")));
    }
    match topic_setting(name) {
        Ok(setting) => {
            setting.parse(value)?;
            let synonym = setting.synonyms.first();
            synonym.map(|synonym| synonym.name).ok_or_else(|| SettingError::new(name, "it has no broker-wide default; set it on a topic"))
        }
        Err(_) => Err(match why_absent(name) {
            Some(reason) => SettingError::new(name, format!("Apache Kafka has this setting, this broker does not: {reason}")),
            None => SettingError::unknown(name, "broker or topic setting", known_names()),
        }),
    }
}

fn synonym(name: &str) -> Option<(&'static Setting, &'static Synonym)> {
    TOPIC_SETTINGS.iter().find_map(|setting| Some((setting, setting.synonyms.iter().find(|synonym| synonym.name == name)?)))
}

/// Checks the value in the units of the topic setting, and says it in the name that was used.
fn check_synonym(setting: &Setting, synonym: &Synonym, value: &str) -> Result<(), SettingError> {
    let value = value.trim();
    if synonym.multiplier != 1 && value.parse::<i32>().is_err() {
        return Err(SettingError::new(synonym.name, format!("expected a whole number, not {value:?}")));
    }
    let checked = setting.parse(&converted(value, synonym.multiplier));
    checked.map(drop).map_err(|error| SettingError::new(synonym.name, error.reason))
}

/// Every name of Kafka's that stands for a flag here, with the flag.
pub fn flags() -> impl Iterator<Item = (&'static str, &'static str)> {
    ELSEWHERE.iter().copied()
}

/// Every broker setting of Kafka's that this broker refuses whatever the value, by reason.
pub fn refused() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in kafka_names().filter(|name| !is_known(name)) {
        refused.entry(why_absent(name).unwrap_or("")).or_default().push(name);
    }
    refused
}

fn is_known(name: &str) -> bool {
    known_names().any(|known| known == name) || flags().any(|(kafka, _)| kafka == name)
}

/// Checks each setting by itself; whether they go together is seen by [`BrokerConfig::new`].
///
/// # Errors
/// The first name nobody knows, or value that is not legal.
pub fn check_values(configs: &Configs) -> Result<(), SettingError> {
    normalise(configs).map(drop)
}

/// Every name that `--set` accepts.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    let synonyms = TOPIC_SETTINGS.iter().flat_map(|setting| setting.synonyms.iter().map(|synonym| synonym.name));
    let topics = TOPIC_SETTINGS.iter().filter(|setting| !setting.synonyms.is_empty()).map(|setting| setting.name);
    BROKER_SETTINGS.iter().map(|setting| setting.name).chain(synonyms).chain(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> Configs {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn default_of(broker: &BrokerConfig, name: &str) -> (Option<String>, Source) {
        broker.topic_default(topic_setting(name).unwrap())
    }

    #[test]
    fn every_setting_of_kafkas_is_accepted_or_refused_with_a_reason() {
        let without: Vec<_> = refused().remove("").unwrap_or_default();
        assert!(without.is_empty(), "add these to a table: {without:?}");
        // The other way round: nothing here has a name that Kafka does not know.
        let topic_names: Vec<&str> = TOPIC_SETTINGS.iter().map(|setting| setting.name).collect();
        // Kafka has these among its quotas (`QuotaConfig.brokerQuotaConfigs`): they can be set at run time only.
        let of_quotas =
            |name: &str| name.ends_with("replication.throttled.rate") || name == "replica.alter.log.dirs.io.max.bytes.per.second";
        for name in known_names().chain(flags().map(|(kafka, _)| kafka)).filter(|name| !topic_names.contains(name)) {
            assert!(kafka_names().any(|kafkas| kafkas == name) || of_quotas(name), "{name}");
        }
    }

    #[test]
    fn defaults_are_kafkas() {
        let broker = BrokerConfig::default();
        assert_eq!(broker.partitions_default, 1);
        assert_eq!(broker.request_bytes_max, crate::base::limits::REQUEST_BYTES_MAX);
        assert_eq!(broker.fetch_bytes_max, crate::base::limits::FETCH_RESPONSE_BYTES_MAX);
        assert!(broker.auto_create_topics && broker.delete_topics);
        assert_eq!((broker.groups.session_timeout_ms_min, broker.groups.session_timeout_ms_max), (6_000, 1_800_000));
        assert_eq!((broker.groups.offsets_topic_partitions, broker.groups.offsets_retention_ms), (50, 7 * 86_400_000));
        assert_eq!(default_of(&broker, "retention.ms"), (Some("604800000".into()), Source::Default));
    }

    #[test]
    fn the_finest_unit_wins_and_hours_become_milliseconds() {
        let hours = BrokerConfig::new(&configs(&[("log.retention.hours", "2")])).unwrap();
        assert_eq!(default_of(&hours, "retention.ms"), (Some("7200000".into()), Source::StaticBroker));
        let both = BrokerConfig::new(&configs(&[("log.retention.hours", "2"), ("log.retention.minutes", "3")])).unwrap();
        assert_eq!(default_of(&both, "retention.ms").0, Some("180000".into()));
        let endless = BrokerConfig::new(&configs(&[("log.retention.hours", "-1")])).unwrap();
        assert_eq!(default_of(&endless, "retention.ms").0, Some("-1".into()));
    }

    #[test]
    fn topic_names_stand_for_their_broker_settings() {
        let broker = BrokerConfig::new(&configs(&[("segment.bytes", "2097152"), ("min.insync.replicas", "1")])).unwrap();
        assert_eq!(broker.given(), &configs(&[("log.segment.bytes", "2097152"), ("min.insync.replicas", "1")]));
    }

    #[test]
    fn what_is_set_later_wins() {
        let start = BrokerConfig::new(&configs(&[("message.max.bytes", "1000"), ("num.partitions", "3")])).unwrap();
        let all = start.with_dynamic(&configs(&[("message.max.bytes", "2000")]), &Configs::new()).unwrap();
        let one = start.with_dynamic(&configs(&[("message.max.bytes", "2000")]), &configs(&[("message.max.bytes", "3000")])).unwrap();
        assert_eq!(default_of(&start, "max.message.bytes"), (Some("1000".into()), Source::StaticBroker));
        assert_eq!(default_of(&all, "max.message.bytes"), (Some("2000".into()), Source::DynamicDefaultBroker));
        assert_eq!(default_of(&one, "max.message.bytes"), (Some("3000".into()), Source::DynamicBroker));
        assert_eq!(one.partitions_default, 3);
    }

    #[test]
    fn one_broker_has_its_own_under_those_of_all_and_what_is_not_legal_any_more_counts_as_not_set() {
        let start = BrokerConfig::new(&configs(&[("message.max.bytes", "1000")])).unwrap();
        let all = configs(&[("message.max.bytes", "2000"), ("log.retention.ms", "never"), ("num.partitions", "9"), ("of.tomorrow", "1")]);
        let stored = BTreeMap::from([(None, all), (Some(BrokerId(7)), configs(&[("message.max.bytes", "3000")]))]);
        let [seven, eight] = [7, 8].map(|id| start.of_broker(&stored, BrokerId(id)));
        assert_eq!(default_of(&seven, "max.message.bytes"), (Some("3000".into()), Source::DynamicBroker));
        assert_eq!(default_of(&eight, "max.message.bytes"), (Some("2000".into()), Source::DynamicDefaultBroker));
        assert_eq!((default_of(&eight, "retention.ms").1, eight.partitions_default), (Source::Default, 1));
        let described = seven.describe();
        let found = described.iter().find(|one| one.name == "message.max.bytes").unwrap();
        let places: Vec<_> = found.synonyms.iter().map(|set| (set.value.as_str(), set.source as i8)).collect();
        assert_eq!(places, [("3000", 2), ("2000", 3), ("1000", 4), ("1048588", 5)]);
        assert!(described.is_sorted_by(|a, b| a.name <= b.name) && !found.read_only);
        assert_eq!(seven.describe_defaults().iter().map(|one| one.name).collect::<Vec<_>>(), ["message.max.bytes"]);
    }

    #[test]
    fn what_may_change_while_the_broker_runs_is_what_kafka_changes() {
        for name in DYNAMIC {
            assert!(BROKER_SETTINGS.iter().any(|setting| setting.name == *name), "{name}");
        }
        for (name, value) in [("log.retention.ms", "5"), ("min.insync.replicas", "2"), ("leader.replication.throttled.rate", "1")] {
            assert_eq!(check_dynamic(name, value), Ok(()), "{name}");
        }
        for (name, value, way_out) in [
            ("log.retention.hours", "5", "set log.retention.ms instead"),
            ("retention.ms", "5", "the default of all topics is log.retention.ms"),
            ("num.partitions", "5", "--set num.partitions=5"),
            ("log.dirs", "/data", "--data-dir"),
            ("log.cleaner.enable", "false", "--set log.cleaner.enable=false"),
        ] {
            let error = check_dynamic(name, value).unwrap_err().to_string();
            assert!(error.contains(way_out), "{error}");
        }
    }

    #[test]
    fn errors_name_the_setting_and_the_way_out() {
        for (name, value, message) in [
            ("num.partitons", "3", "num.partitons: there is no broker or topic setting of that name; did you mean num.partitions?"),
            ("log.dirs", "/data", "log.dirs: this is not a --set setting here: use --data-dir"),
            ("num.partitions", "0", "num.partitions: expected a whole number from 1 to 2147483647, not \"0\""),
            ("log.segment.bytes", "1", "log.segment.bytes: expected a whole number from 1048576 to 2147483647, not \"1\""),
            ("log.retention.hours", "soon", "log.retention.hours: expected a whole number, not \"soon\""),
            (
                "group.min.session.timeout.ms",
                "1800001",
                "group.min.session.timeout.ms: 1800001 ms is more than group.max.session.timeout.ms (1800000 ms)",
            ),
            (
                "num.replica.fetchers",
                "4",
                "num.replica.fetchers: Apache Kafka has this setting, this broker does not: every partition has one replica, so nothing is \
                 fetched by followers or moved between directories",
            ),
            ("remote.storage.enable", "false", "remote.storage.enable: it has no broker-wide default; set it on a topic"),
        ] {
            assert_eq!(BrokerConfig::new(&configs(&[(name, value)])).unwrap_err().to_string(), message);
        }
    }
}
