//! Golden bytes of Apache Kafka 4.3.0, older versions by hand, and bytes that nobody wrote.
//!
//! Invariants tested: what Kafka wrote is written the same here; damage is an error, never a panic.

use proptest::prelude::*;

use super::*;
use crate::coordinator::replay::Replay;
use crate::coordinator::replay_tests::golden_batches;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn classic(key: &[u8], value: Option<&[u8]>) -> GroupRecord {
    match GroupRecord::decode(key, value).unwrap() {
        StoredRecord::Known(record) => record,
        other => panic!("expected a record of a classic group, came {other:?}"),
    }
}

fn decode_value(hex: &str) -> CommittedOffset {
    let key = bytes("0001 0001 67 0001 74 00000002".replace(' ', "").as_str());
    match classic(&key, Some(&bytes(&hex.replace(' ', "")))) {
        GroupRecord::Offset { value: Some(value), .. } => value,
        other => panic!("expected an offset, came {other:?}"),
    }
}

#[test]
fn an_offset_as_kafka_writes_it() {
    let key = bytes("0001000c67726f75702e706172746c79000e5369782d506172746974696f6e7300000001");
    let value = bytes("00040000000000000002ffffffff01000001a1fb424c7b010010f023fbf5dd954b05b3336407845edb29");
    let record = classic(&key, Some(&value));
    let expected = GroupRecord::Offset {
        group_id: GroupId::new("group.partly").unwrap(),
        partition: TopicPartition { topic: TopicName::new("Six-Partitions").unwrap(), partition: PartitionIndex(1) },
        value: Some(CommittedOffset {
            offset: Offset(2),
            leader_epoch: LeaderEpoch::UNKNOWN,
            metadata: "".into(),
            commit_timestamp: Timestamp(0x1a1_fb42_4c7b),
            expire_timestamp: None,
            topic_id: TopicId(bytes("f023fbf5dd954b05b3336407845edb29").try_into().unwrap()),
        }),
    };
    assert_eq!(record, expected);
    assert_eq!(record.encode(), (key.into(), Some(value.into())));
}

#[test]
fn a_group_as_kafka_writes_it() {
    let key = bytes("0002000d67726f75702e636c6173736963");
    let value = bytes(concat!(
        "00030008636f6e73756d657200000001000572616e6765003d636f6e73756d65722d67726f75702e636c61737369632d312d32643332613733642d383533",
        "612d346263352d613836332d306163613932363439396362000001a1fb42471200000001003d636f6e73756d65722d67726f75702e636c61737369632d31",
        "2d32643332613733642d383533612d346263352d613836332d306163613932363439396362ffff0018636f6e73756d65722d67726f75702e636c61737369",
        "632d31000a2f3132372e302e302e31000493e00000afc800000030000300000002000e5369782d506172746974696f6e73000a636f6465632e677a6970ff",
        "ffffff00000000ffffffffffff0000004a000300000002000a636f6465632e677a69700000000100000000000e5369782d506172746974696f6e73000000",
        "06000000000000000100000002000000030000000400000005ffffffff",
    ));
    let record = classic(&key, Some(&value));
    assert_eq!(record.encode(), (key.into(), Some(value.into())));
    let GroupRecord::Group { value: Some(group), .. } = record else { panic!("expected a group") };
    assert_eq!((group.protocol_type.as_str(), group.generation_id), ("consumer", 1));
    assert_eq!(group.protocol_name.unwrap().as_str(), "range");
    let [member] = &group.members[..] else { panic!("expected one member") };
    assert_eq!(group.leader.as_ref(), Some(&member.member_id));
    assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("consumer-group.classic-1", "/127.0.0.1"));
    assert_eq!((member.rebalance_timeout_ms, member.session_timeout_ms), (300_000, 45_000));
    assert_eq!((member.subscription.len(), member.assignment.len()), (0x30, 0x4a));
}

#[test]
fn every_record_of_the_fixture_is_written_the_same() {
    let (mut count, mut reordered) = (0, 0);
    for batch in golden_batches().iter().filter(|batch| !batch.is_control) {
        for (key, value) in &batch.records {
            if let StoredRecord::Known(record) = GroupRecord::decode(key, value.as_deref()).unwrap() {
                let expected = (Bytes::copy_from_slice(key), value.as_deref().map(Bytes::copy_from_slice));
                if record.encode() == expected {
                    count += 1;
                } else {
                    // Kafka writes the topics of an assignment in no order: only that differs.
                    assert!(matches!(record, GroupRecord::Consumer { .. }), "{record:?}");
                    let (key, value) = record.encode();
                    assert_eq!((&key, value.as_ref().map(Bytes::len)), (&expected.0, expected.1.as_ref().map(Bytes::len)));
                    assert_eq!(GroupRecord::decode(&key, value.as_deref()), Ok(StoredRecord::Known(record)));
                    reordered += 1;
                }
            }
        }
    }
    assert_eq!((count, reordered), (123, 1));
}

#[test]
fn older_offsets_are_read() {
    let zero = decode_value("0000 0000000000000007 0001 6d 0000000000000009");
    assert_eq!((zero.offset, &*zero.metadata, zero.commit_timestamp), (Offset(7), "m", Timestamp(9)));
    let one = decode_value("0001 0000000000000007 0001 6d 0000000000000009 000000000000000b");
    assert_eq!(one.expire_timestamp, Some(Timestamp(11)));
    assert_eq!(decode_value("0001 0000000000000007 0000 0000000000000009 ffffffffffffffff").expire_timestamp, None);
    assert_eq!(decode_value("0002 0000000000000007 0001 6d 0000000000000009"), zero);
    let three = decode_value("0003 0000000000000007 00000005 0001 6d 0000000000000009");
    assert_eq!(three, CommittedOffset { leader_epoch: LeaderEpoch(5), ..zero.clone() });
    // A tagged field of a later broker is skipped.
    assert_eq!(decode_value("0004 0000000000000007 00000005 02 6d 0000000000000009 01 09 02 ffff"), three);
}

#[test]
fn an_expiry_is_written_in_version_one() {
    let one = decode_value("0001 0000000000000007 0001 6d 0000000000000009 000000000000000b");
    assert_eq!(encode_offset(&one), bytes("000100000000000000070001 6d0000000000000009000000000000000b".replace(' ', "").as_str()));
}

#[test]
fn older_and_newer_groups_are_read() {
    let head = "0001 63 00000003 0001 72 0001 6d";
    let (id, client, timeouts, data) = ("0001 6d", "0001 69 0001 68", "0000000a", "00000001 aa 00000001 bb");
    let versions = [
        format!("0000 {head} 00000001 {id} {client} {timeouts} {data}"),
        format!("0001 {head} 00000001 {id} {client} 00000014 {timeouts} {data}"),
        format!("0002 {head} 0000000000000009 00000001 {id} {client} 00000014 {timeouts} {data}"),
        format!("0003 {head} 0000000000000009 00000001 {id} ffff {client} 00000014 {timeouts} {data}"),
        "0004 02 63 00000003 02 72 02 6d 0000000000000009 02 02 6d 00 02 69 02 68 00000014 0000000a 02 aa 02 bb 00 00".to_owned(),
    ];
    let groups = versions.map(|hex| decode_group(&bytes(&hex.replace(' ', ""))).unwrap());
    assert_eq!(groups[0].members[0].rebalance_timeout_ms, -1);
    assert_eq!(groups[1].members[0].rebalance_timeout_ms, 20);
    assert_eq!(groups[1].current_state_timestamp, Timestamp::NONE);
    assert_eq!(groups[2].current_state_timestamp, Timestamp(9));
    assert_eq!(groups[2], groups[3]);
    assert_eq!(groups[3], groups[4]);
}

#[test]
fn other_types_and_versions_are_told_apart() {
    assert_eq!(GroupRecord::decode(&[0, 9, 0, 1, b'g'], Some(&[0, 0])), Ok(StoredRecord::Other { record_type: 9 }));
    let error = GroupRecord::decode(&bytes("0002000167"), Some(&bytes("0005"))).unwrap_err();
    assert_eq!(error, RecordError::Version { what: "a group", newest: 4, version: 5 });
    assert_eq!(classic(&bytes("0002000167"), None), GroupRecord::Group { group_id: GroupId::new("g").unwrap(), value: None });
}

#[test]
fn every_cut_of_a_record_is_an_error() {
    for batch in golden_batches().iter().filter(|batch| !batch.is_control) {
        for (key, value) in &batch.records {
            let Ok(StoredRecord::Known(_)) = GroupRecord::decode(key, value.as_deref()) else { continue };
            for end in 0..key.len() {
                assert!(GroupRecord::decode(&key[..end], value.as_deref()).is_err());
            }
            let is_read = key[..2] != [0, 4];
            for end in 0..value.as_ref().filter(|_| is_read).map_or(0, Vec::len) {
                assert!(GroupRecord::decode(key, value.as_ref().map(|value| &value[..end])).is_err());
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(kind in 0u8..20, version in 0u8..6, key in prop::collection::vec(any::<u8>(), 0..64), value in prop::collection::vec(any::<u8>(), 0..256)) {
        let key = [&[0, kind][..], &key].concat();
        let value = [&[0, version][..], &value].concat();
        let _ = Replay::default().record(None, &key, Some(&value));
        let _ = decode_group(&value);
        let _ = decode_offset(&value);
    }

    #[test]
    fn a_golden_group_with_one_byte_changed_does_not_panic(at in 0usize..1000, byte: u8) {
        for batch in golden_batches().iter().filter(|batch| !batch.is_control) {
            for (_, value) in batch.records.iter().take(1) {
                let mut value = value.clone().unwrap_or_default();
                if let Some(target) = value.get_mut(at) {
                    *target = byte;
                }
                let _ = decode_group(&value);
                let _ = decode_offset(&value);
            }
        }
    }

    #[test]
    fn an_offset_is_read_as_it_was_written(offset: i64, epoch: i32, metadata in ".{0,50}", commit: i64, expire in prop::option::of(0i64..), id: [u8; 16]) {
        let value = CommittedOffset {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(if expire.is_some() { -1 } else { epoch }),
            metadata: metadata.into(),
            commit_timestamp: Timestamp(commit),
            expire_timestamp: expire.map(Timestamp),
            topic_id: if expire.is_some() { TopicId::ZERO } else { TopicId(id) },
        };
        prop_assert_eq!(decode_offset(&encode_offset(&value)), Ok(value));
    }
}
