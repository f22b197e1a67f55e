//! Broker settings that Apache Kafka has and this broker does not, each with the reason.
//!
//! Pure, any thread. Invariant, held by a test: every broker setting of Kafka 4.3 is known here, gives a topic setting its default, is a
//! flag, or stands in this table. Names are looked for in the other tables first, so whoever serves one of these only adds it there.

/// Every broker setting of Kafka 4.3.0 (`AbstractKafkaConfig.CONFIG_DEF`), one per line, sorted.
const KAFKA_NAMES: &str = include_str!("kafka_broker_settings.txt");

const ONE_NODE: &str = "a node keeps its own metadata: there are no controllers and no other brokers to agree with";
const NO_REPLICAS: &str = "every partition has one replica, so nothing is fetched by followers or moved between directories";
const NO_SECURITY: &str = "there is no TLS, no SASL and no access control yet";
const NO_TIERS: &str = "there is no tiered storage; all data stays in the data directory";
const NO_TRANSACTIONS: &str = "there are no transactions yet";
const NO_SHARE_GROUPS: &str = "there are no share groups";
const NO_STREAMS_GROUPS: &str = "there are no streams groups";
const GROUP_TIMING: &str = "an assignment is made, and regular expressions are looked at again, at the first heartbeat that finds a change";
const COORDINATORS: &str = "each core coordinates its own groups inline: there are no threads, buffers or delays to choose";
const CONNECTIONS: &str = "each core takes as many connections as half of the open files allow (ulimit -n)";
const THREADS: &str = "one executor per core (--cores) does everything, and requests do not queue between threads";
const PURGATORIES: &str = "requests that wait are not kept in lists that have to be purged";
const SOCKETS: &str = "the kernel sizes and tunes the buffers of sockets";
const METRICS: &str = "measurements are histograms and counters of each core; no reporter classes are loaded";
const QUOTAS: &str = "the windows of quotas are built in, and neither new connections nor changes of topics are limited";
const CLASSES: &str = "no Java classes are loaded";
const ONE_DIRECTORY: &str = "there is one data directory";
const STABLE: &str = "nothing unstable is offered";

/// A name, or what names begin with where it ends in a dot; the first that fits counts.
const ABSENT: &[(&str, &str)] = &[
    ("add.partitions.to.txn.", NO_TRANSACTIONS),
    ("alter.config.policy.class.name", CLASSES),
    ("alter.log.dirs.", NO_REPLICAS),
    ("authorizer.class.name", NO_SECURITY),
    ("auto.leader.rebalance.enable", ONE_NODE),
    ("background.threads", THREADS),
    ("broker.heartbeat.interval.ms", ONE_NODE),
    ("broker.session.timeout.ms", ONE_NODE),
    ("client.quota.callback.class", CLASSES),
    ("config.providers", CLASSES),
    ("connection.failed.authentication.delay.ms", NO_SECURITY),
    ("connections.max.reauth.ms", NO_SECURITY),
    ("controlled.shutdown.enable", ONE_NODE),
    ("controller.quota.", QUOTAS),
    ("controller.", ONE_NODE),
    ("cordoned.log.dirs", ONE_DIRECTORY),
    ("create.topic.policy.class.name", CLASSES),
    ("delegation.token.", NO_SECURITY),
    ("delete.records.purgatory.", PURGATORIES),
    ("early.start.listeners", NO_SECURITY),
    ("fetch.purgatory.", PURGATORIES),
    ("follower.fetch.last.tiered.offset.enable", NO_TIERS),
    ("group.consumer.", GROUP_TIMING),
    ("group.coordinator.", COORDINATORS),
    ("group.share.", NO_SHARE_GROUPS),
    ("group.streams.", NO_STREAMS_GROUPS),
    ("initial.broker.registration.timeout.ms", ONE_NODE),
    ("inter.broker.listener.name", ONE_NODE),
    ("internal.metadata.", ONE_NODE),
    ("kafka.metrics.", METRICS),
    ("leader.imbalance.check.interval.seconds", ONE_NODE),
    ("listener.security.protocol.map", NO_SECURITY),
    ("log.dir.failure.timeout.ms", ONE_DIRECTORY),
    ("log.initial.task.delay.ms", THREADS),
    ("max.connection.creation.rate", QUOTAS),
    ("max.connections", CONNECTIONS),
    ("max.connections.per.ip", CONNECTIONS),
    ("max.connections.per.ip.overrides", CONNECTIONS),
    ("metadata.", ONE_NODE),
    ("metric.reporters", METRICS),
    ("metrics.", METRICS),
    ("num.recovery.threads.per.data.dir", THREADS),
    ("num.replica.", NO_REPLICAS),
    ("offsets.commit.timeout.ms", COORDINATORS),
    ("offsets.load.buffer.size", COORDINATORS),
    ("offsets.topic.compression.codec", COORDINATORS),
    ("principal.builder.class", NO_SECURITY),
    ("process.roles", ONE_NODE),
    ("producer.purgatory.", PURGATORIES),
    ("queued.", THREADS),
    ("quota.window.", QUOTAS),
    ("remote.", NO_TIERS),
    ("replica.", NO_REPLICAS),
    ("replication.quota.", NO_REPLICAS),
    ("request.timeout.ms", ONE_NODE),
    ("sasl.", NO_SECURITY),
    ("security.", NO_SECURITY),
    ("server.max.startup.time.ms", ONE_NODE),
    ("share.coordinator.", NO_SHARE_GROUPS),
    ("share.fetch.", NO_SHARE_GROUPS),
    ("socket.", SOCKETS),
    ("ssl.", NO_SECURITY),
    ("telemetry.max.bytes", METRICS),
    ("transaction.", NO_TRANSACTIONS),
    ("transactional.id.expiration.ms", NO_TRANSACTIONS),
    ("unclean.leader.election.interval.ms", ONE_NODE),
    ("unstable.", STABLE),
];

/// Every broker setting of Kafka, sorted.
pub fn kafka_names() -> impl Iterator<Item = &'static str> {
    KAFKA_NAMES.lines()
}

/// Why this broker does not have a setting that Kafka has; `None` for a name that Kafka does not have either, or that is not in the table.
pub fn why_absent(name: &str) -> Option<&'static str> {
    let is_kafkas = kafka_names().any(|kafkas| kafkas == name);
    let fits = |pattern: &str| if pattern.ends_with('.') { name.starts_with(pattern) } else { name == pattern };
    ABSENT.iter().find(|(pattern, _)| is_kafkas && fits(pattern)).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_pattern_without_a_setting() {
        for (at, (pattern, reason)) in ABSENT.iter().enumerate() {
            let decides = |name: &str| {
                let fits = |(pattern, _): &(&str, &str)| if pattern.ends_with('.') { name.starts_with(pattern) } else { name == *pattern };
                ABSENT.iter().position(fits) == Some(at)
            };
            assert!(kafka_names().any(decides), "{pattern} ({reason}) fits nothing, or only what a line before it takes");
        }
    }

    #[test]
    fn only_what_kafka_has_can_be_absent() {
        assert!(kafka_names().count() > 300 && kafka_names().is_sorted());
        assert_eq!(why_absent("ssl.keystore.type"), Some(NO_SECURITY));
        assert_eq!(why_absent("controller.quota.window.num"), Some(QUOTAS));
        assert_eq!(why_absent("ssl.keystore.tipe"), None);
        assert_eq!(why_absent("num.partitions"), None);
    }
}
