//! The settings of a broker under Kafka's names: its own, and those that give topics their defaults.
//!
//! Pure, any thread. A value comes from the first of: set at run time for this broker, set at run time for all brokers, set at
//! the start (`--set`, the file), the default. Topic names are accepted too (`segment.bytes` for `log.segment.bytes`).

use super::image::Configs;
use super::setting::{Kind, Setting, SettingError, Support, Synonym, Value};
use super::topic_config::{Source, TOPIC_SETTINGS, topic_setting};

const MAX: i64 = i64::MAX;
const INT_MAX: i64 = i32::MAX as i64;

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
    own("group.initial.rebalance.delay.ms", Kind::Int(0, INT_MAX), "3000",
        "How long an empty consumer group waits for more members after the first."),
    own("group.max.session.timeout.ms", Kind::Int(1, INT_MAX), "1800000",
        "The longest session timeout that a member of a group may ask for."),
    own("group.max.size", Kind::Int(1, INT_MAX), "2147483647",
        "The most members a consumer group may have."),
    own("group.min.session.timeout.ms", Kind::Int(1, INT_MAX), "6000",
        "The shortest session timeout that a member of a group may ask for."),
    own("log.flush.offset.checkpoint.interval.ms", Kind::Int(0, INT_MAX), "60000",
        "How often the recovery points are written down."),
    supported("log.flush.start.offset.checkpoint.interval.ms", Kind::Int(0, INT_MAX), "60000",
        "How often the log start offsets are written down.",
        Support::Stored("log start offsets are written down before DeleteRecords is answered, and together with the recovery points")),
    supported("log.retention.check.interval.ms", Kind::Long(1, MAX), "300000",
        "How often segments are looked through for some that may go.",
        Support::Stored("retention is looked after once a second")),
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
    supported("socket.request.max.bytes", Kind::Int(1, INT_MAX), "104857600",
        "The largest request accepted; a client that announces more is disconnected.",
        Support::DefaultOnly("the limit is built in")),
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
    pub recovery_point_checkpoint_ms: i64,
    pub log_start_checkpoint_ms: i64,
    pub retention_check_ms: i64,
    pub partitions_default: i32,
    pub producer_expiration_ms: i64,
    pub producer_expiration_check_ms: i64,
    /// Partitions in one answer to DescribeTopicPartitions.
    pub request_partitions_max: i32,
    pub request_bytes_max: usize,
    pub groups: GroupSettings,
    layers: Layers,
}

/// What governs consumer groups and their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    pub initial_rebalance_delay_ms: i32,
    pub session_timeout_ms_min: i32,
    pub session_timeout_ms_max: i32,
    pub size_max: usize,
    /// In UTF-16 units, as Kafka counts.
    pub offset_metadata_units_max: usize,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_ms: i64,
    /// Of `__consumer_offsets`, when it is made.
    pub offsets_topic_partitions: i32,
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i64,
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
            recovery_point_checkpoint_ms: long("log.flush.offset.checkpoint.interval.ms"),
            log_start_checkpoint_ms: long("log.flush.start.offset.checkpoint.interval.ms"),
            retention_check_ms: long("log.retention.check.interval.ms"),
            partitions_default: long("num.partitions") as i32,
            producer_expiration_ms: long("producer.id.expiration.ms"),
            producer_expiration_check_ms: long("producer.id.expiration.check.interval.ms"),
            request_partitions_max: long("max.request.partition.size.limit") as i32,
            request_bytes_max: long("socket.request.max.bytes") as usize,
            groups,
            layers,
        })
    }

    /// What topics get that do not override `setting`, in units of the topic setting, and where it comes from.
    pub fn topic_default(&self, setting: &Setting) -> (Option<String>, Source) {
        let layers = [
            (&self.layers.this_broker, Source::DynamicBroker),
            (&self.layers.all_brokers, Source::DynamicDefaultBroker),
            (&self.layers.at_start, Source::StaticBroker),
        ];
        for synonym in setting.synonyms {
            for (layer, source) in layers {
                if let Some(text) = layer.get(synonym.name) {
                    return (Some(converted(text, synonym.multiplier)), source);
                }
            }
        }
        (setting.default.map(String::from), Source::Default)
    }

    /// The broker's own settings with their effective value and source, for DescribeConfigs and for `serve`'s own listing.
    pub fn describe(&self) -> Vec<super::topic_config::Described> {
        let own = BROKER_SETTINGS.iter().map(|setting| {
            let (value, source) = self.layers.find(setting);
            super::topic_config::Described { setting, value, source }
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

impl Layers {
    fn find(&self, setting: &Setting) -> (Option<String>, Source) {
        let layers = [
            (&self.this_broker, Source::DynamicBroker),
            (&self.all_brokers, Source::DynamicDefaultBroker),
            (&self.at_start, Source::StaticBroker),
        ];
        let set = layers.into_iter().find_map(|(layer, source)| Some((Some(layer.get(setting.name)?.clone()), source)));
        set.unwrap_or((setting.default.map(String::from), Source::Default))
    }

    fn value(&self, name: &str) -> Value {
        let setting = BROKER_SETTINGS.iter().find(|setting| setting.name == name).expect("the name stands in the table");
        let text = self.find(setting).0.expect("every broker setting has a default");
        setting.parse(&text).expect("normalise() has checked it")
    }

    fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Integer(number) => number,
            other => unreachable!("{name} is a number in the table; it came out as {other:?}"),
        }
    }

    fn boolean(&self, name: &str) -> bool {
        self.value(name) == Value::Boolean(true)
    }
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
        Err(_) => Err(SettingError::unknown(name, "broker or topic setting", known_names())),
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
            ("remote.storage.enable", "false", "remote.storage.enable: it has no broker-wide default; set it on a topic"),
        ] {
            assert_eq!(BrokerConfig::new(&configs(&[(name, value)])).unwrap_err().to_string(), message);
        }
    }
}
