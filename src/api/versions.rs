//! Which requests this broker serves, in which versions: the one table that ApiVersions, the dispatcher and the
//! compatibility page all read.
//!
//! Invariants: rows are in order of key; `advertised_min <= min <= max`.

/// One request and its versions.
#[derive(Clone, Copy, Debug)]
pub struct ApiRow {
    pub key: i16,
    pub name: &'static str,
    /// What ApiVersions says. Lower than `min` only for Produce: with a minimum of 3, librdkafka up to 2.10 sends uncompressed
    /// data (KAFKA-18659); versions below `min` are answered UNSUPPORTED_VERSION.
    pub advertised_min: i16,
    pub min: i16,
    pub max: i16,
    /// What a reader of the compatibility page should know.
    pub note: &'static str,
}

const fn row(key: i16, name: &'static str, min: i16, max: i16, note: &'static str) -> ApiRow {
    ApiRow { key, name, advertised_min: min, min, max, note }
}

/// Older batches have formats that are no longer written (KIP-896).
pub const PRODUCE_MIN: i16 = 3;

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;
pub const LIST_OFFSETS: i16 = 2;
pub const METADATA: i16 = 3;
pub const OFFSET_COMMIT: i16 = 8;
pub const OFFSET_FETCH: i16 = 9;
pub const FIND_COORDINATOR: i16 = 10;
pub const JOIN_GROUP: i16 = 11;
pub const HEARTBEAT: i16 = 12;
pub const LEAVE_GROUP: i16 = 13;
pub const SYNC_GROUP: i16 = 14;
pub const DESCRIBE_GROUPS: i16 = 15;
pub const LIST_GROUPS: i16 = 16;
pub const API_VERSIONS: i16 = 18;
pub const CREATE_TOPICS: i16 = 19;
pub const DELETE_TOPICS: i16 = 20;
pub const DELETE_RECORDS: i16 = 21;
pub const INIT_PRODUCER_ID: i16 = 22;
pub const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
pub const DESCRIBE_CONFIGS: i16 = 32;
pub const ALTER_CONFIGS: i16 = 33;
pub const DESCRIBE_LOG_DIRS: i16 = 35;
pub const CREATE_PARTITIONS: i16 = 37;
pub const DELETE_GROUPS: i16 = 42;
pub const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
pub const ALTER_PARTITION_REASSIGNMENTS: i16 = 45;
pub const LIST_PARTITION_REASSIGNMENTS: i16 = 46;
pub const OFFSET_DELETE: i16 = 47;
pub const DESCRIBE_CLIENT_QUOTAS: i16 = 48;
pub const ALTER_CLIENT_QUOTAS: i16 = 49;
pub const DESCRIBE_USER_SCRAM_CREDENTIALS: i16 = 50;
pub const DESCRIBE_CLUSTER: i16 = 60;
pub const DESCRIBE_PRODUCERS: i16 = 61;
pub const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
pub const CONSUMER_GROUP_DESCRIBE: i16 = 69;
pub const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;

/// Every request that is served.
pub const APIS: &[ApiRow] = &[
    ApiRow {
        advertised_min: 0,
        ..row(PRODUCE, "Produce", PRODUCE_MIN, 13, "advertised from 0 (KAFKA-18659); 0–2 are answered UNSUPPORTED_VERSION")
    },
    row(FETCH, "Fetch", 4, 18, "with sessions (KIP-227): 1000 for each core by default, valid at the core that made them"),
    row(LIST_OFFSETS, "ListOffsets", 1, 10, "by timestamp, earliest, latest, max timestamp, local earliest; no tiered storage"),
    row(METADATA, "Metadata", 0, 13, ""),
    row(OFFSET_COMMIT, "OffsetCommit", 2, 9, ""),
    row(OFFSET_FETCH, "OffsetFetch", 1, 9, ""),
    row(FIND_COORDINATOR, "FindCoordinator", 0, 6, "of groups; transactions and share groups are refused"),
    row(JOIN_GROUP, "JoinGroup", 0, 9, ""),
    row(HEARTBEAT, "Heartbeat", 0, 4, ""),
    row(LEAVE_GROUP, "LeaveGroup", 0, 5, ""),
    row(SYNC_GROUP, "SyncGroup", 0, 5, ""),
    row(DESCRIBE_GROUPS, "DescribeGroups", 0, 6, ""),
    row(LIST_GROUPS, "ListGroups", 0, 5, "each broker lists the groups that it coordinates"),
    row(API_VERSIONS, "ApiVersions", 0, 4, ""),
    row(CREATE_TOPICS, "CreateTopics", 2, 7, ""),
    row(DELETE_TOPICS, "DeleteTopics", 1, 6, ""),
    row(DELETE_RECORDS, "DeleteRecords", 0, 2, "holds across a crash from the answer on"),
    row(INIT_PRODUCER_ID, "InitProducerId", 0, 5, "idempotent producers: always a new id, as in Kafka; a transactional id is refused"),
    row(OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", 2, 4, ""),
    row(DESCRIBE_CONFIGS, "DescribeConfigs", 1, 4, ""),
    row(ALTER_CONFIGS, "AlterConfigs", 0, 2, "of topics and brokers"),
    row(DESCRIBE_LOG_DIRS, "DescribeLogDirs", 1, 4, "each broker lists its own partitions; one directory per node"),
    row(CREATE_PARTITIONS, "CreatePartitions", 0, 3, "refused for __consumer_offsets: its groups would lose their offsets"),
    row(DELETE_GROUPS, "DeleteGroups", 0, 2, ""),
    row(INCREMENTAL_ALTER_CONFIGS, "IncrementalAlterConfigs", 0, 1, "of topics and brokers; in force when the answer leaves"),
    row(
        ALTER_PARTITION_REASSIGNMENTS,
        "AlterPartitionReassignments",
        0,
        1,
        "moves partitions between the cores of the node; done when answered. With `--advertise per-node`: `pagewire topics move`",
    ),
    row(LIST_PARTITION_REASSIGNMENTS, "ListPartitionReassignments", 0, 0, "always empty: a move is done when it is answered"),
    row(OFFSET_DELETE, "OffsetDelete", 0, 0, ""),
    row(DESCRIBE_CLIENT_QUOTAS, "DescribeClientQuotas", 0, 1, ""),
    row(
        ALTER_CLIENT_QUOTAS,
        "AlterClientQuotas",
        0,
        1,
        "producer_byte_rate and consumer_byte_rate of client ids and users; every client is the user ANONYMOUS. Rates are of the whole node; \
         request_percentage, controller_mutation_rate and quotas of addresses are refused",
    ),
    row(DESCRIBE_USER_SCRAM_CREDENTIALS, "DescribeUserScramCredentials", 0, 0, "nobody has any, and none can be given"),
    row(DESCRIBE_CLUSTER, "DescribeCluster", 0, 2, ""),
    row(DESCRIBE_PRODUCERS, "DescribeProducers", 0, 0, "producers that a partition remembers"),
    row(CONSUMER_GROUP_HEARTBEAT, "ConsumerGroupHeartbeat", 0, 1, ""),
    row(CONSUMER_GROUP_DESCRIBE, "ConsumerGroupDescribe", 0, 1, ""),
    row(DESCRIBE_TOPIC_PARTITIONS, "DescribeTopicPartitions", 0, 0, ""),
];

/// The row of `key`, if the request is served at all.
pub fn find(key: i16) -> Option<&'static ApiRow> {
    APIS.iter().find(|row| row.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::ApiKey;

    #[test]
    fn rows_are_ordered_and_agree_with_the_codec() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
        for row in APIS {
            let api = ApiKey::try_from(row.key).unwrap_or_else(|()| panic!("{} has no codec", row.name));
            assert_eq!(format!("{api:?}"), row.name);
            assert!(row.advertised_min <= row.min && row.min <= row.max, "{}", row.name);
        }
    }
}
