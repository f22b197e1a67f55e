//! `pagewire topics move`: partitions to another core of the broker that holds them, while clients go on.
//!
//! Main thread. The move is an AlterPartitionReassignments; the core is named as `replica_of_core` says, which only this broker understands,
//! whether each core is a broker of its own or not.

use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, BrokerId};

use super::cluster::{CHANGE_TIMEOUT_MS, topic_name};
use super::refusal::{AdminError, check, done_or_refused};
use super::topics::Outcome;
use crate::base::{CoreId, PartitionIndex, TopicName};
use crate::cluster::controller::replica_of_core;
use crate::net::client::Client;

/// One partition as people and directories write it: `orders-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionName {
    pub topic: TopicName,
    pub index: PartitionIndex,
}

impl std::fmt::Display for PartitionName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.index)
    }
}

impl std::str::FromStr for PartitionName {
    type Err = String;

    fn from_str(text: &str) -> Result<PartitionName, String> {
        let parsed = text.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse().ok().filter(|index: &i32| *index >= 0)?)));
        let (topic, index) = parsed.ok_or("expected a topic and the number of a partition, such as orders-3")?;
        Ok(PartitionName { topic: TopicName::new(topic)?, index: PartitionIndex(index) })
    }
}

/// Moves the partitions and returns when they serve from their new core.
pub(super) fn run(client: &mut Client, partitions: &[PartitionName], core: u16) -> Result<Outcome, AdminError> {
    let replica = BrokerId(replica_of_core(CoreId(core)).0);
    let topics = partitions.iter().map(|partition| {
        let moved = ReassignablePartition::default().with_partition_index(partition.index.0).with_replicas(Some(vec![replica]));
        ReassignableTopic::default().with_name(topic_name(partition.topic.as_str())).with_partitions(vec![moved])
    });
    let request = AlterPartitionReassignmentsRequest::default().with_timeout_ms(CHANGE_TIMEOUT_MS).with_topics(topics.collect());
    let answer = client.ask("AlterPartitionReassignments", &request)?;
    check("the move", answer.error_code, answer.error_message.as_ref())?;
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for topic in &answer.responses {
        for partition in &topic.partitions {
            let name = format!("{}-{}", topic.name.as_str(), partition.partition_index);
            match check(&name, partition.error_code, partition.error_message.as_ref()) {
                Ok(()) => done.push(name),
                Err(error) => refused.push(error),
            }
        }
    }
    Ok(Outcome::Done { done: done_or_refused(done, refused)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_as_its_directory() {
        let name: PartitionName = "orders-by-day-3".parse().unwrap();
        assert_eq!((name.topic.as_str(), name.index, name.to_string().as_str()), ("orders-by-day", PartitionIndex(3), "orders-by-day-3"));
        for wrong in ["orders", "orders-", "-3", "a/b-3", "orders-x"] {
            assert!(wrong.parse::<PartitionName>().is_err(), "{wrong}");
        }
    }
}
