//! What `pagewire topics` asks a broker to change.
//!
//! Main thread.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest};

use super::{DeletedView, Outcome, TopicsCommand};
use crate::admin::cluster::{CHANGE_TIMEOUT_MS, Cluster, TopicPartition, text, topic_name};
use crate::admin::refusal::{AdminError, check, done_or_refused};
use crate::base::{BrokerId, ErrorCode};
use crate::net::client::Client;

const TOPIC_ALREADY_EXISTS: i16 = ErrorCode::TopicAlreadyExists.code();
const UNKNOWN_TOPIC_OR_PARTITION: i16 = ErrorCode::UnknownTopicOrPartition.code();
const LEADER_NOT_AVAILABLE: i16 = ErrorCode::LeaderNotAvailable.code();
const OFFSET_OUT_OF_RANGE: i16 = ErrorCode::OffsetOutOfRange.code();
const POLICY_VIOLATION: i16 = ErrorCode::PolicyViolation.code();
/// DeleteRecords: all that consumers can see.
const HIGH_WATERMARK: i64 = -1;

/// Up to where `delete-records` deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Offset(i64),
    End,
}

impl FromStr for Before {
    type Err = String;

    fn from_str(text: &str) -> Result<Before, String> {
        match text {
            "end" => Ok(Before::End),
            text => match text.parse() {
                Ok(offset @ 0..) => Ok(Before::Offset(offset)),
                _ => Err("expected an offset or \"end\"".into()),
            },
        }
    }
}

pub(super) fn create(client: &mut Client, command: &TopicsCommand) -> Result<Outcome, AdminError> {
    let TopicsCommand::Create { name, partitions, replication_factor, configs, validate_only, if_not_exists } = command else {
        unreachable!("run() calls create() for Create only");
    };
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(*partitions)
        .with_replication_factor(*replication_factor)
        .with_configs(configs.collect());
    let request =
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(CHANGE_TIMEOUT_MS).with_validate_only(*validate_only);
    let answer = client.ask("CreateTopics", &request)?;
    let mut done = Vec::new();
    for result in &answer.topics {
        match result.error_code {
            TOPIC_ALREADY_EXISTS if *if_not_exists => {}
            code => {
                check(&result.name, code, result.error_message.as_ref())?;
                done.push(result.name.to_string());
            }
        }
    }
    Ok(Outcome::Done { done })
}

pub(super) fn delete(client: &mut Client, names: &[String], if_exists: bool) -> Result<Outcome, AdminError> {
    // Versions up to 5 take names, later ones a state per topic; the encoder leaves out what the version does not have.
    let states = names.iter().map(|name| DeleteTopicState::default().with_name(Some(topic_name(name)))).collect();
    let newer = DeleteTopicsRequest::default().with_topics(states).with_timeout_ms(CHANGE_TIMEOUT_MS);
    let older = DeleteTopicsRequest::default()
        .with_topic_names(names.iter().map(|name| topic_name(name)).collect())
        .with_timeout_ms(CHANGE_TIMEOUT_MS);
    let request = if client.version::<DeleteTopicsRequest>().is_some_and(|version| version >= 6) { newer } else { older };
    let answer = client.ask("DeleteTopics", &request)?;
    let mut done = Vec::new();
    let mut refused = Vec::new();
    for result in &answer.responses {
        let name = result.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        match result.error_code {
            UNKNOWN_TOPIC_OR_PARTITION if if_exists => {}
            code => match check(&name, code, result.error_message.as_ref()) {
                Ok(()) => done.push(name),
                Err(error) => refused.push(error),
            },
        }
    }
    Ok(Outcome::Done { done: done_or_refused(done, refused)? })
}

pub(super) fn add_partitions(client: &mut Client, names: &[String], count: i32, validate_only: bool) -> Result<Outcome, AdminError> {
    // Without assignments the broker places the new partitions.
    let topic = |name: &String| CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(names.iter().map(topic).collect())
        .with_timeout_ms(CHANGE_TIMEOUT_MS)
        .with_validate_only(validate_only);
    let answer = client.ask("CreatePartitions", &request)?;
    let mut done = Vec::new();
    let mut refused = Vec::new();
    for result in &answer.results {
        match check(&result.name, result.error_code, result.error_message.as_ref()) {
            Ok(()) => done.push(result.name.to_string()),
            Err(error) => refused.push(error),
        }
    }
    Ok(Outcome::Done { done: done_or_refused(done, refused)? })
}

pub(super) fn delete_records(cluster: &mut Cluster, name: &str, before: Before, partitions: &[i32]) -> Result<Outcome, AdminError> {
    let leaders = cluster.leaders(&BTreeSet::from([name.to_owned()]))?;
    let all: Vec<i32> = leaders.keys().map(|partition| partition.partition).collect();
    check(name, if all.is_empty() { UNKNOWN_TOPIC_OR_PARTITION } else { 0 }, None)?;
    if partitions.is_empty() && all.len() > 1 && before != Before::End {
        let hint = "name the one with --partition, or delete all records with --before end";
        return Err(AdminError::Declined(format!("an offset is one partition's, and {name} has {}: {hint}", all.len())));
    }
    let wanted: BTreeSet<i32> = if partitions.is_empty() { &all } else { partitions }.iter().copied().collect();
    let mut of_broker: BTreeMap<BrokerId, Vec<i32>> = BTreeMap::new();
    let mut refused = Vec::new();
    for partition in wanted {
        let key = TopicPartition { topic: name.into(), partition };
        match leaders.get(&key) {
            Some(Some(leader)) => of_broker.entry(*leader).or_default().push(partition),
            Some(None) => refused.extend(check(&key.to_string(), LEADER_NOT_AVAILABLE, None).err()),
            None => refused.push(AdminError::Declined(format!("{name} has no partition {partition}"))),
        }
    }
    // Nothing is deleted by a command that was mistaken in part.
    if !refused.is_empty() {
        return Err(AdminError::Several(refused));
    }
    let mut deleted = Vec::new();
    for (leader, partitions) in of_broker {
        let partition = |index| DeleteRecordsPartition::default().with_partition_index(index).with_offset(before.offset());
        let topic =
            DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(partitions.into_iter().map(partition).collect());
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(CHANGE_TIMEOUT_MS);
        let answer = cluster.broker(leader)?.ask("DeleteRecords", &request)?;
        for result in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            let partition = result.partition_index;
            let reason = match result.error_code {
                OFFSET_OUT_OF_RANGE => Some(text("the partition ends before that offset")),
                POLICY_VIOLATION => Some(text("cleanup.policy of the topic is compact, which keeps the last record of each key")),
                _ => None,
            };
            match check(&format!("{name}-{partition}"), result.error_code, reason.as_ref()) {
                Ok(()) => deleted.push(DeletedView { partition, low_watermark: result.low_watermark }),
                Err(error) => refused.push(error),
            }
        }
    }
    deleted.sort();
    if refused.is_empty() { Ok(Outcome::Deleted(deleted)) } else { Err(AdminError::Several(refused)) }
}

impl Before {
    fn offset(self) -> i64 {
        match self {
            Before::Offset(offset) => offset,
            Before::End => HIGH_WATERMARK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_an_offset_or_the_word() {
        assert_eq!("17".parse(), Ok(Before::Offset(17)));
        assert_eq!("end".parse(), Ok(Before::End));
        // Kafka's -1 is a trap for a slip of the finger.
        assert!("-1".parse::<Before>().is_err() && "".parse::<Before>().is_err() && "all".parse::<Before>().is_err());
    }
}
