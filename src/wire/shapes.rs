//! The structure of each request that `kafka-protocol` decodes, as data for [`super::guard`].
//!
//! To serve another request: write its fields here in the order of Kafka's message definition, with the versions that have them,
//! and add it to `SHAPES`; `tests/wire_guard.rs` then wants a sample of it. Produce and Fetch are read by hand instead.
//!
//! Source: Kafka's message definitions (`clients/src/main/resources/common/message/*Request.json`).
//!
//! Invariant: `versions` are ones that `kafka-protocol` decodes (its `Message::VERSIONS`, not `ApiKey::valid_versions()`).

use std::mem::size_of;

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest as DescribeProducersTopic;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::protocol::StrBytes;

/// One request, in the versions that are served.
pub struct Shape {
    pub api_key: i16,
    /// First and last.
    pub versions: (i16, i16),
    pub body: Structure,
}

/// Fields in wire order; tagged fields follow in flexible versions.
pub struct Structure {
    pub fields: &'static [Field],
    /// What one of them takes in memory when decoded, its arrays' elements not included.
    pub memory_bytes: usize,
}

/// One field and the versions that have it.
pub struct Field {
    pub kind: Kind,
    pub since: i16,
    pub until: i16,
    /// From this version on it can be null.
    pub nullable_since: i16,
}

/// What a field is made of.
pub enum Kind {
    /// A number, boolean or UUID of so many bytes.
    Fixed(usize),
    /// STRING, or COMPACT_STRING in flexible versions.
    Text,
    /// BYTES, or COMPACT_BYTES in flexible versions.
    Bytes,
    Array(&'static Kind),
    Structure(&'static Structure),
}

impl Kind {
    /// The fewest bytes on the wire, over all versions.
    pub fn bytes_min(&self) -> usize {
        match self {
            Kind::Fixed(bytes) => *bytes,
            Kind::Text | Kind::Bytes | Kind::Array(_) | Kind::Structure(_) => 1,
        }
    }

    /// What an element of this kind takes in an array in memory.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Kind::Fixed(bytes) => *bytes,
            Kind::Text | Kind::Bytes => size_of::<Option<StrBytes>>(),
            Kind::Array(_) => size_of::<Vec<u8>>(),
            Kind::Structure(structure) => structure.memory_bytes,
        }
    }
}

impl Field {
    const fn since(mut self, version: i16) -> Field {
        self.since = version;
        self
    }

    const fn until(mut self, version: i16) -> Field {
        self.until = version;
        self
    }

    const fn nullable_since(mut self, version: i16) -> Field {
        self.nullable_since = version;
        self
    }
}

const fn field(kind: Kind) -> Field {
    Field { kind, since: 0, until: i16::MAX, nullable_since: i16::MAX }
}

const fn body(fields: &'static [Field]) -> Structure {
    Structure { fields, memory_bytes: 0 }
}

const BOOL: Field = field(Kind::Fixed(1));
const INT8: Field = field(Kind::Fixed(1));
const INT16: Field = field(Kind::Fixed(2));
const INT32: Field = field(Kind::Fixed(4));
const INT64: Field = field(Kind::Fixed(8));
const BYTES: Field = field(Kind::Bytes);
const UUID: Field = field(Kind::Fixed(16));
const TEXT: Field = field(Kind::Text);
const TEXTS: Field = field(Kind::Array(&Kind::Text));
const INT32S: Field = field(Kind::Array(&Kind::Fixed(4)));

const fn array(element: &'static Kind) -> Field {
    field(Kind::Array(element))
}

/// Every request that may be given to `kafka-protocol`.
pub static SHAPES: [Shape; 34] = [
    LIST_OFFSETS,
    METADATA,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    FIND_COORDINATOR,
    JOIN_GROUP,
    HEARTBEAT,
    LEAVE_GROUP,
    SYNC_GROUP,
    DESCRIBE_GROUPS,
    LIST_GROUPS,
    API_VERSIONS,
    CREATE_TOPICS,
    DELETE_TOPICS,
    DELETE_RECORDS,
    INIT_PRODUCER_ID,
    OFFSET_FOR_LEADER_EPOCH,
    DESCRIBE_CONFIGS,
    ALTER_CONFIGS,
    DESCRIBE_LOG_DIRS,
    CREATE_PARTITIONS,
    DELETE_GROUPS,
    INCREMENTAL_ALTER_CONFIGS,
    ALTER_PARTITION_REASSIGNMENTS,
    LIST_PARTITION_REASSIGNMENTS,
    OFFSET_DELETE,
    DESCRIBE_CLIENT_QUOTAS,
    ALTER_CLIENT_QUOTAS,
    DESCRIBE_USER_SCRAM_CREDENTIALS,
    DESCRIBE_CLUSTER,
    DESCRIBE_PRODUCERS,
    CONSUMER_GROUP_HEARTBEAT,
    CONSUMER_GROUP_DESCRIBE,
    DESCRIBE_TOPIC_PARTITIONS,
];

const LIST_OFFSETS: Shape = Shape {
    api_key: 2,
    versions: (1, 10),
    body: body(&[
        INT32,         // replica id
        INT8.since(2), // isolation level
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT, // name
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32,          // partition index
                        INT32.since(4), // current leader epoch
                        INT64,          // timestamp
                    ],
                    memory_bytes: size_of::<ListOffsetsPartition>(),
                })),
            ],
            memory_bytes: size_of::<ListOffsetsTopic>(),
        })),
        INT32.since(10), // timeout ms
    ]),
};

const METADATA: Shape = Shape {
    api_key: 3,
    versions: (0, 13),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                UUID.since(10),          // topic id
                TEXT.nullable_since(10), // name
            ],
            memory_bytes: size_of::<MetadataRequestTopic>(),
        }))
        .nullable_since(1),
        BOOL.since(4),           // allow auto topic creation
        BOOL.since(8).until(10), // include cluster authorized operations
        BOOL.since(8),           // include topic authorized operations
    ]),
};

const OFFSET_COMMIT: Shape = Shape {
    api_key: 8,
    versions: (2, 9),
    body: body(&[
        TEXT,                            // group id
        INT32,                           // generation
        TEXT,                            // member id
        TEXT.since(7).nullable_since(7), // group instance id
        INT64.until(4),                  // retention time ms
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT, // name
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32,                  // partition index
                        INT64,                  // offset
                        INT32.since(6),         // leader epoch
                        TEXT.nullable_since(0), // metadata
                    ],
                    memory_bytes: size_of::<OffsetCommitRequestPartition>(),
                })),
            ],
            memory_bytes: size_of::<OffsetCommitRequestTopic>(),
        })),
    ]),
};

const OFFSET_FETCH: Shape = Shape {
    api_key: 9,
    versions: (1, 9),
    body: body(&[
        TEXT.until(7), // group id
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,   // name
                INT32S, // partition indexes
            ],
            memory_bytes: size_of::<OffsetFetchRequestTopic>(),
        }))
        .until(7)
        .nullable_since(2),
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,                            // group id
                TEXT.since(9).nullable_since(9), // member id
                INT32.since(9),                  // member epoch
                array(&Kind::Structure(&Structure {
                    fields: &[
                        TEXT,   // name
                        INT32S, // partition indexes
                    ],
                    memory_bytes: size_of::<OffsetFetchRequestTopics>(),
                }))
                .nullable_since(8),
            ],
            memory_bytes: size_of::<OffsetFetchRequestGroup>(),
        }))
        .since(8),
        BOOL.since(7), // require stable
    ]),
};

const FIND_COORDINATOR: Shape = Shape {
    api_key: 10,
    versions: (0, 6),
    body: body(&[
        TEXT.until(3),  // key
        INT8.since(1),  // key type
        TEXTS.since(4), // coordinator keys
    ]),
};

const JOIN_GROUP: Shape = Shape {
    api_key: 11,
    versions: (0, 9),
    body: body(&[
        TEXT,                            // group id
        INT32,                           // session timeout ms
        INT32.since(1),                  // rebalance timeout ms
        TEXT,                            // member id
        TEXT.since(5).nullable_since(5), // group instance id
        TEXT,                            // protocol type
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,  // name
                BYTES, // metadata
            ],
            memory_bytes: size_of::<JoinGroupRequestProtocol>(),
        })),
        TEXT.since(8).nullable_since(8), // reason
    ]),
};

const HEARTBEAT: Shape = Shape {
    api_key: 12,
    versions: (0, 4),
    body: body(&[
        TEXT,                            // group id
        INT32,                           // generation
        TEXT,                            // member id
        TEXT.since(3).nullable_since(3), // group instance id
    ]),
};

const LEAVE_GROUP: Shape = Shape {
    api_key: 13,
    versions: (0, 5),
    body: body(&[
        TEXT,          // group id
        TEXT.until(2), // member id
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,                            // member id
                TEXT.nullable_since(3),          // group instance id
                TEXT.since(5).nullable_since(5), // reason
            ],
            memory_bytes: size_of::<MemberIdentity>(),
        }))
        .since(3),
    ]),
};

const SYNC_GROUP: Shape = Shape {
    api_key: 14,
    versions: (0, 5),
    body: body(&[
        TEXT,                            // group id
        INT32,                           // generation
        TEXT,                            // member id
        TEXT.since(3).nullable_since(3), // group instance id
        TEXT.since(5).nullable_since(5), // protocol type
        TEXT.since(5).nullable_since(5), // protocol name
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,  // member id
                BYTES, // assignment
            ],
            memory_bytes: size_of::<SyncGroupRequestAssignment>(),
        })),
    ]),
};

const DESCRIBE_GROUPS: Shape = Shape {
    api_key: 15,
    versions: (0, 6),
    body: body(&[
        TEXTS,         // groups
        BOOL.since(3), // include authorized operations
    ]),
};

const LIST_GROUPS: Shape = Shape {
    api_key: 16,
    versions: (0, 5),
    body: body(&[
        TEXTS.since(4), // states
        TEXTS.since(5), // types
    ]),
};

const API_VERSIONS: Shape = Shape {
    api_key: 18,
    versions: (0, 4),
    body: body(&[
        TEXT.since(3), // client software name
        TEXT.since(3), // client software version
    ]),
};

const CREATE_TOPICS: Shape = Shape {
    api_key: 19,
    versions: (2, 7),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,  // name
                INT32, // partitions
                INT16, // replication factor
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32,  // partition index
                        INT32S, // broker ids
                    ],
                    memory_bytes: size_of::<CreatableReplicaAssignment>(),
                })),
                array(&Kind::Structure(&Structure {
                    fields: &[
                        TEXT,                   // name
                        TEXT.nullable_since(0), // value
                    ],
                    memory_bytes: size_of::<CreatableTopicConfig>(),
                })),
            ],
            memory_bytes: size_of::<CreatableTopic>(),
        })),
        INT32, // timeout ms
        BOOL,  // validate only
    ]),
};

const DELETE_TOPICS: Shape = Shape {
    api_key: 20,
    versions: (1, 6),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT.nullable_since(0), // name
                UUID,                   // topic id
            ],
            memory_bytes: size_of::<DeleteTopicState>(),
        }))
        .since(6),
        TEXTS.until(5), // topic names
        INT32,          // timeout ms
    ]),
};

const DELETE_RECORDS: Shape = Shape {
    api_key: 21,
    versions: (0, 2),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT, // name
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32, // partition index
                        INT64, // offset
                    ],
                    memory_bytes: size_of::<DeleteRecordsPartition>(),
                })),
            ],
            memory_bytes: size_of::<DeleteRecordsTopic>(),
        })),
        INT32, // timeout ms
    ]),
};

const INIT_PRODUCER_ID: Shape = Shape {
    api_key: 22,
    versions: (0, 5),
    body: body(&[
        TEXT.nullable_since(0), // transactional id
        INT32,                  // transaction timeout ms
        INT64.since(3),         // producer id
        INT16.since(3),         // producer epoch
    ]),
};

const OFFSET_FOR_LEADER_EPOCH: Shape = Shape {
    api_key: 23,
    versions: (2, 4),
    body: body(&[
        INT32.since(3), // replica id
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT, // topic
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32, // partition
                        INT32, // current leader epoch
                        INT32, // leader epoch
                    ],
                    memory_bytes: size_of::<OffsetForLeaderPartition>(),
                })),
            ],
            memory_bytes: size_of::<OffsetForLeaderTopic>(),
        })),
    ]),
};

const DESCRIBE_CONFIGS: Shape = Shape {
    api_key: 32,
    versions: (1, 4),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                INT8,                    // resource type
                TEXT,                    // resource name
                TEXTS.nullable_since(0), // configuration keys
            ],
            memory_bytes: size_of::<DescribeConfigsResource>(),
        })),
        BOOL,          // include synonyms
        BOOL.since(3), // include documentation
    ]),
};

const ALTER_CONFIGS: Shape = Shape {
    api_key: 33,
    versions: (0, 2),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                INT8, // resource type
                TEXT, // resource name
                array(&Kind::Structure(&Structure {
                    fields: &[
                        TEXT,                   // name
                        TEXT.nullable_since(0), // value
                    ],
                    memory_bytes: size_of::<AlterableConfig>(),
                })),
            ],
            memory_bytes: size_of::<AlterConfigsResource>(),
        })),
        BOOL, // validate only
    ]),
};

const CREATE_PARTITIONS: Shape = Shape {
    api_key: 37,
    versions: (0, 3),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,  // name
                INT32, // count
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32S, // broker ids
                    ],
                    memory_bytes: size_of::<CreatePartitionsAssignment>(),
                }))
                .nullable_since(0),
            ],
            memory_bytes: size_of::<CreatePartitionsTopic>(),
        })),
        INT32, // timeout ms
        BOOL,  // validate only
    ]),
};

const DESCRIBE_LOG_DIRS: Shape = Shape {
    api_key: 35,
    versions: (1, 4),
    body: body(&[array(&Kind::Structure(&Structure {
        fields: &[
            TEXT,   // topic
            INT32S, // partitions
        ],
        memory_bytes: size_of::<DescribableLogDirTopic>(),
    }))
    .nullable_since(0)]),
};

const DELETE_GROUPS: Shape = Shape {
    api_key: 42,
    versions: (0, 2),
    body: body(&[
        TEXTS, // groups
    ]),
};

const INCREMENTAL_ALTER_CONFIGS: Shape = Shape {
    api_key: 44,
    versions: (0, 1),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                INT8, // resource type
                TEXT, // resource name
                array(&Kind::Structure(&Structure {
                    fields: &[
                        TEXT,                   // name
                        INT8,                   // operation
                        TEXT.nullable_since(0), // value
                    ],
                    memory_bytes: size_of::<IncrementalConfig>(),
                })),
            ],
            memory_bytes: size_of::<IncrementalResource>(),
        })),
        BOOL, // validate only
    ]),
};

const ALTER_PARTITION_REASSIGNMENTS: Shape = Shape {
    api_key: 45,
    versions: (0, 1),
    body: body(&[
        INT32,         // timeout ms
        BOOL.since(1), // allow replication factor change
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT, // name
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32,                    // partition index
                        INT32S.nullable_since(0), // replicas
                    ],
                    memory_bytes: size_of::<ReassignablePartition>(),
                })),
            ],
            memory_bytes: size_of::<ReassignableTopic>(),
        })),
    ]),
};

const LIST_PARTITION_REASSIGNMENTS: Shape = Shape {
    api_key: 46,
    versions: (0, 0),
    body: body(&[
        INT32, // timeout ms
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,   // name
                INT32S, // partition indexes
            ],
            memory_bytes: size_of::<ListPartitionReassignmentsTopics>(),
        }))
        .nullable_since(0),
    ]),
};

const OFFSET_DELETE: Shape = Shape {
    api_key: 47,
    versions: (0, 0),
    body: body(&[
        TEXT, // group id
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT, // name
                array(&Kind::Structure(&Structure {
                    fields: &[
                        INT32, // partition index
                    ],
                    memory_bytes: size_of::<OffsetDeleteRequestPartition>(),
                })),
            ],
            memory_bytes: size_of::<OffsetDeleteRequestTopic>(),
        })),
    ]),
};

const DESCRIBE_CLIENT_QUOTAS: Shape = Shape {
    api_key: 48,
    versions: (0, 1),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT,                   // entity type
                INT8,                   // match type
                TEXT.nullable_since(0), // match
            ],
            memory_bytes: size_of::<ComponentData>(),
        })),
        BOOL, // strict
    ]),
};

const ALTER_CLIENT_QUOTAS: Shape = Shape {
    api_key: 49,
    versions: (0, 1),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                array(&Kind::Structure(&Structure {
                    fields: &[
                        TEXT,                   // entity type
                        TEXT.nullable_since(0), // entity name
                    ],
                    memory_bytes: size_of::<EntityData>(),
                })),
                array(&Kind::Structure(&Structure {
                    fields: &[
                        TEXT,                  // key
                        field(Kind::Fixed(8)), // value, a double
                        BOOL,                  // remove
                    ],
                    memory_bytes: size_of::<OpData>(),
                })),
            ],
            memory_bytes: size_of::<EntryData>(),
        })),
        BOOL, // validate only
    ]),
};

const DESCRIBE_USER_SCRAM_CREDENTIALS: Shape = Shape {
    api_key: 50,
    versions: (0, 0),
    body: body(&[array(&Kind::Structure(&Structure {
        fields: &[
            TEXT, // name
        ],
        memory_bytes: size_of::<UserName>(),
    }))
    .nullable_since(0)]),
};

const DESCRIBE_CLUSTER: Shape = Shape {
    api_key: 60,
    versions: (0, 2),
    body: body(&[
        BOOL,          // include cluster authorized operations
        INT8.since(1), // endpoint type
        BOOL.since(2), // include fenced brokers
    ]),
};

const DESCRIBE_PRODUCERS: Shape = Shape {
    api_key: 61,
    versions: (0, 0),
    body: body(&[array(&Kind::Structure(&Structure {
        fields: &[
            TEXT,   // topic
            INT32S, // partitions
        ],
        memory_bytes: size_of::<DescribeProducersTopic>(),
    }))]),
};

const CONSUMER_GROUP_HEARTBEAT: Shape = Shape {
    api_key: 68,
    versions: (0, 1),
    body: body(&[
        TEXT,                            // group id
        TEXT,                            // member id
        INT32,                           // member epoch
        TEXT.nullable_since(0),          // instance id
        TEXT.nullable_since(0),          // rack id
        INT32,                           // rebalance timeout
        TEXTS.nullable_since(0),         // subscribed topics
        TEXT.nullable_since(0).since(1), // subscribed regular expression
        TEXT.nullable_since(0),          // server assignor
        array(&Kind::Structure(&Structure {
            fields: &[
                UUID,   // topic id
                INT32S, // partitions
            ],
            memory_bytes: size_of::<TopicPartitions>(),
        }))
        .nullable_since(0),
    ]),
};

const CONSUMER_GROUP_DESCRIBE: Shape = Shape {
    api_key: 69,
    versions: (0, 1),
    body: body(&[
        TEXTS, // groups
        BOOL,  // include authorized operations
    ]),
};

const DESCRIBE_TOPIC_PARTITIONS: Shape = Shape {
    api_key: 75,
    versions: (0, 0),
    body: body(&[
        array(&Kind::Structure(&Structure {
            fields: &[
                TEXT, // name
            ],
            memory_bytes: size_of::<TopicRequest>(),
        })),
        INT32, // response partition limit
        field(Kind::Structure(&Structure {
            fields: &[
                TEXT,  // topic name
                INT32, // partition index
            ],
            // Part of the request itself.
            memory_bytes: 0,
        }))
        .nullable_since(0), // cursor
    ]),
};
