//! Names for the numbers that a run hands out, so that a producer is never taken for a topic.
//!
//! Plain values; pure.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number!(
    /// One run of the load generator: drawn at random, so that messages of an earlier run in the same topic are told apart.
    RunId
);
number!(
    /// One producer of a run, from 0. Not Kafka's producer id (KIP-98).
    ProducerNumber
);
number!(
    /// The place of a topic in the list of topics of a run, from 0.
    TopicNumber
);

/// One partition of one topic of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionKey {
    pub topic: TopicNumber,
    /// Kafka's partition index.
    pub partition: i32,
}

/// What numbers its messages 0, 1, 2, …: one producer of one run, writing to one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    pub run: RunId,
    pub producer: ProducerNumber,
    pub partition: PartitionKey,
}
