//! The `__consumer_offsets` that Apache Kafka 4.3.0 wrote, replayed: exactly the offsets that Kafka itself reported.
//!
//! `golden/consumer_offsets-N.log` is partition N of the four of a cleanly stopped Kafka, `golden/groups.jsonl` what its own
//! admin client said of its groups: one JSON object per line, `offsets` by "topic-partition". The batches are not compressed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::classic::state::GroupState;
use super::replay::Replay;
use super::{GroupConfig, GroupCoordinator, GroupId, partition_of_group};
use crate::base::{ErrorCode, ProducerId};

const LOGS: [&[u8]; 3] = [
    include_bytes!("golden/consumer_offsets-1.log"),
    include_bytes!("golden/consumer_offsets-2.log"),
    include_bytes!("golden/consumer_offsets-3.log"),
];
const FIRST_PARTITION: i32 = 1;

/// One batch of the golden logs.
pub struct GoldenBatch {
    pub partition: i32,
    pub producer_id: ProducerId,
    pub is_transactional: bool,
    pub is_control: bool,
    pub records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

pub fn golden_batches() -> Vec<GoldenBatch> {
    let mut batches = Vec::new();
    for (partition, mut log) in (FIRST_PARTITION..).zip(LOGS) {
        while !log.is_empty() {
            let length = 12 + i32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
            batches.push(golden_batch(partition, &log[..length]));
            log = &log[length..];
        }
    }
    batches
}

fn golden_batch(partition: i32, batch: &[u8]) -> GoldenBatch {
    let attributes = i16::from_be_bytes(batch[21..23].try_into().unwrap());
    assert_eq!(attributes & 7, 0, "the fixture is not compressed");
    let count = i32::from_be_bytes(batch[57..61].try_into().unwrap());
    let mut at = 61;
    let mut records = Vec::new();
    for _ in 0..count {
        let end = varint(batch, &mut at) as usize + at;
        at += 1;
        varint(batch, &mut at);
        varint(batch, &mut at);
        let key = nullable(batch, &mut at).expect("coordinator records have keys");
        records.push((key, nullable(batch, &mut at)));
        at = end;
    }
    GoldenBatch {
        partition,
        producer_id: ProducerId(i64::from_be_bytes(batch[43..51].try_into().unwrap())),
        is_transactional: attributes & 0x10 != 0,
        is_control: attributes & 0x20 != 0,
        records,
    }
}

fn nullable(batch: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let length = usize::try_from(varint(batch, at)).ok()?;
    *at += length;
    Some(batch[*at - length..*at].to_vec())
}

fn varint(batch: &[u8], at: &mut usize) -> i64 {
    let mut value = 0u64;
    for shift in (0..).step_by(7) {
        let byte = batch[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn replay(partition: i32) -> Replay {
    let mut replay = Replay::default();
    for batch in golden_batches().iter().filter(|batch| batch.partition == partition) {
        for (key, value) in &batch.records {
            if batch.is_control {
                // Control record key: version i16, type i16 (0 abort, 1 commit).
                replay.marker(batch.producer_id, key[..] == [0, 0, 0, 1]);
            } else {
                let transaction = batch.is_transactional.then_some(batch.producer_id);
                replay.record(transaction, key, value.as_deref()).unwrap();
            }
        }
    }
    replay
}

fn coordinators() -> BTreeMap<i32, GroupCoordinator> {
    (FIRST_PARTITION..FIRST_PARTITION + LOGS.len() as i32)
        .map(|partition| {
            let (coordinator, effects) = GroupCoordinator::load(GroupConfig::default(), 0, replay(partition).finish());
            assert_eq!(effects, []);
            (partition, coordinator)
        })
        .collect()
}

#[test]
fn the_offsets_are_exactly_those_of_the_manifest() {
    let coordinators = coordinators();
    let mut groups = 0;
    for line in include_str!("golden/groups.jsonl").lines() {
        let group: Value = serde_json::from_str(line).unwrap();
        let group_id = GroupId::new(group["group"].as_str().unwrap()).unwrap();
        let coordinator = &coordinators[&partition_of_group(&group_id, 4).0];
        let replayed: BTreeMap<String, (i64, i64, String)> = coordinator
            .fetch_all_offsets(&group_id, false)
            .into_iter()
            .map(|(partition, _, offset)| {
                let name = format!("{}-{}", partition.topic, partition.partition);
                (name, (offset.offset.0, i64::from(offset.leader_epoch.0), offset.metadata.to_string()))
            })
            .collect();
        let manifest: BTreeMap<String, (i64, i64, String)> = group["offsets"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(partition, offset)| {
                let metadata = offset["metadata"].as_str().unwrap().to_owned();
                (partition.clone(), (offset["offset"].as_i64().unwrap(), offset["leaderEpoch"].as_i64().unwrap(), metadata))
            })
            .collect();
        assert_eq!(replayed, manifest, "{group_id}");
        groups += 1;
    }
    assert_eq!(groups, 6);
    let replayed: usize = coordinators.values().map(|coordinator| coordinator.list().len()).sum();
    assert_eq!(replayed, groups, "the deleted group is gone");
}

#[test]
fn a_transaction_that_is_still_open_is_unstable() {
    let coordinators = coordinators();
    let group_id = GroupId::new("group.txn").unwrap();
    let group = coordinators[&1].group(&group_id).unwrap();
    let pending: Vec<_> = group.offsets().partitions().filter(|partition| group.offsets().is_pending(partition)).collect();
    let [partition] = pending[..] else { panic!("expected one pending offset, came {pending:?}") };
    assert_eq!(partition.partition.0, 2);
    assert_eq!(group.fetch_offset(partition, Default::default(), true).error, ErrorCode::UnstableOffsetCommit);
    assert_eq!(group.fetch_offset(partition, Default::default(), false).offset.0, -1);
}

#[test]
fn groups_come_back_in_their_state() {
    let coordinators = coordinators();
    let group = coordinators[&3].group(&GroupId::new("group.classic").unwrap()).unwrap();
    assert_eq!((group.state(), group.generation_id()), (GroupState::Empty, 2));
    assert_eq!(group.list().protocol_type.as_str(), "consumer");
    assert!(replay(3).skipped > 0, "records of the consumer protocol are skipped");
}

#[test]
fn a_group_with_members_comes_back_stable_and_its_sessions_run() {
    let mut replay = Replay::default();
    let records: Vec<_> = golden_batches().into_iter().filter(|batch| batch.partition == 3).flat_map(|batch| batch.records).collect();
    let with_member = records.iter().filter(|(key, value)| key[..2] == [0, 2] && value.as_ref().is_some_and(|value| value.len() > 100));
    for (key, value) in with_member {
        replay.record(None, key, value.as_deref()).unwrap();
    }
    let (mut coordinator, effects) = GroupCoordinator::load(GroupConfig::default(), 1_000, replay.finish());
    assert_eq!(effects, []);
    let group_id = GroupId::new("group.classic").unwrap();
    let group = coordinator.group(&group_id).unwrap();
    assert_eq!((group.state(), group.generation_id(), group.members().count()), (GroupState::Stable, 1, 1));
    assert!(group.is_subscribed_to("Six-Partitions") && !group.is_subscribed_to("never.written"));
    assert_eq!(coordinator.next_deadline_ms(), Some(46_000));
    coordinator.expire(46_000);
    assert_eq!(coordinator.group(&group_id).unwrap().state(), GroupState::Empty);
}
