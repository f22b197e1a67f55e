//! Tests of `produce.rs`.

#![allow(clippy::type_complexity)]

use super::*;
use crate::base::TopicId;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest as Theirs, TopicProduceData};
use kafka_protocol::messages::{ProduceResponse as TheirResponse, ResponseHeader, TransactionalId};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

fn their_request(version: i16, topics: &[(&'static str, u8, &[(i32, Option<&'static [u8]>)])]) -> BytesMut {
    let topic = |&(name, id, partitions): &(&'static str, u8, &[(i32, Option<&'static [u8]>)])| {
        let data = partitions
            .iter()
            .map(|&(index, records)| PartitionProduceData::default().with_index(index).with_records(records.map(Bytes::from_static)));
        let topic = TopicProduceData::default().with_partition_data(data.collect());
        if version >= 13 { topic.with_topic_id(Uuid::from_bytes([id; 16])) } else { topic.with_name(text(name).into()) }
    };
    let request = Theirs::default()
        .with_transactional_id(Some(TransactionalId(text("tx"))))
        .with_acks(-1)
        .with_timeout_ms(1500)
        .with_topic_data(topics.iter().map(topic).collect());
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).unwrap();
    bytes
}

#[test]
fn requests_of_every_version_are_read() {
    let topics: &[(&str, u8, &[(i32, Option<&[u8]>)])] =
        &[("first", 1, &[(0, Some(b"records")), (7, None)]), ("empty", 2, &[]), ("last", 3, &[(i32::MAX, Some(&[0; 300]))])];
    for version in 3..=13 {
        let bytes = their_request(version, topics);
        for body in [bytes.to_vec(), [&bytes[..], &[1, 2, 3]].concat()] {
            let request = decode(version, &body).unwrap();
            assert_eq!((request.transactional_id, request.acks, request.timeout_ms), (Some("tx"), -1, 1500));
            assert_eq!(request.topics().len(), 3);
            // As they are found again in the same bytes, which lie elsewhere by then.
            let (place, moved) = (request.topics().place_in(&body), body.clone());
            for (ours, &(name, id, partitions)) in request.topics().zip(topics).chain(place.within(&moved).zip(topics)) {
                let expected = if version >= 13 { TopicReference::Id(TopicId([id; 16])) } else { TopicReference::Name(name) };
                assert_eq!(ours.topic, expected);
                let ours: Vec<_> = ours.partitions.map(|partition| (partition.index.0, partition.records)).collect();
                assert_eq!(ours, partitions);
            }
        }
        for cut in 0..bytes.len() {
            assert!(decode(version, &bytes[..cut]).is_err(), "version {version} cut to {cut}");
        }
    }
}

#[test]
fn versions_before_3_are_read_so_that_they_can_be_refused() {
    let body = [0, 1, 0, 0, 0, 30, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 2, 9, 9];
    for version in 0..3 {
        let request = decode(version, &body).unwrap();
        let topic = request.topics().next().unwrap();
        assert_eq!(topic.topic, TopicReference::Name("t"));
        assert_eq!(topic.partitions.collect::<Vec<_>>(), [ProducePartition { index: PartitionIndex(5), records: Some(&[9, 9]) }]);
    }
    assert!(matches!(decode(14, &body), Err(DecodeError::Version { .. })));
    assert!(matches!(decode(-1, &body), Err(DecodeError::Version { .. })));
}

#[test]
fn a_count_of_two_thousand_million_is_refused_without_work() {
    let body = [0xff, 0xff, 0, 1, 0, 0, 0, 30, 0x7f, 0xff, 0xff, 0xff];
    assert!(matches!(decode(3, &body), Err(DecodeError::Count { count: 0x7fff_ffff, .. })));
    let body = [0, 0, 1, 0, 0, 0, 30, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(decode(9, &body), Err(DecodeError::Count { .. })));
}

#[test]
fn answers_of_every_version_are_what_a_client_reads() {
    let record_errors = [RecordError { batch_index: 3, message: Some("no key") }, RecordError { batch_index: 4, message: None }];
    for version in 3..=13i16 {
        let [first, second] = if version >= 13 {
            [TopicReference::Id(TopicId([1; 16])), TopicReference::Id(TopicId([2; 16]))]
        } else {
            [TopicReference::Name("first"), TopicReference::Name("second")]
        };
        let good = PartitionResponse {
            topic: first,
            index: PartitionIndex(0),
            error_code: ErrorCode::None,
            base_offset: Offset(1 << 40),
            log_append_time: Timestamp(77),
            log_start_offset: Offset(5),
            record_errors: &[],
            error_message: None,
            current_leader: None,
        };
        let moved = PartitionResponse {
            current_leader: Some(CurrentLeader { leader_id: BrokerId(1002), leader_epoch: LeaderEpoch(9) }),
            ..PartitionResponse::refused(first, PartitionIndex(1), ErrorCode::NotLeaderOrFollower)
        };
        let bad = PartitionResponse {
            record_errors: &record_errors,
            error_message: Some("bad"),
            ..PartitionResponse::refused(second, PartitionIndex(2), ErrorCode::InvalidRecord)
        };
        let endpoints = [NodeEndpoint { node_id: BrokerId(1002), host: "localhost", port: 9094, rack: Some("r") }];
        let response = ProduceResponse { partitions: &[good, moved, bad], throttle_time_ms: 12, node_endpoints: &endpoints };
        let mut buffer = vec![0xaa];
        encode_response(version, 99, &response, &mut buffer);
        let mut bytes = Bytes::from(buffer).slice(1..);
        assert_eq!(bytes.get_i32() as usize, bytes.len());
        let header = ResponseHeader::decode(&mut bytes, if version >= 9 { 1 } else { 0 }).unwrap();
        assert_eq!(header.correlation_id, 99);
        let theirs = TheirResponse::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty(), "version {version}");
        assert_eq!(theirs.throttle_time_ms, 12);
        assert_eq!(theirs.responses.len(), 2);
        if version >= 13 {
            assert_eq!(theirs.responses[0].topic_id.as_bytes(), &[1; 16]);
        } else {
            assert_eq!(theirs.responses[1].name.as_str(), "second");
        }
        let [ok, leader] = &theirs.responses[0].partition_responses[..] else { panic!("two partitions") };
        assert_eq!((ok.index, ok.error_code, ok.base_offset, ok.log_append_time_ms), (0, 0, 1 << 40, 77));
        assert_eq!((leader.index, leader.error_code, leader.base_offset), (1, 6, -1));
        let refused = &theirs.responses[1].partition_responses[0];
        assert_eq!((refused.index, refused.error_code), (2, 87));
        if version >= 5 {
            assert_eq!(ok.log_start_offset, 5);
        }
        if version >= 8 {
            assert_eq!(refused.error_message.as_deref(), Some("bad"));
            assert_eq!(refused.record_errors[0].batch_index_error_message.as_deref(), Some("no key"));
            assert_eq!((refused.record_errors[1].batch_index, &refused.record_errors[1].batch_index_error_message), (4, &None));
        }
        if version >= 10 {
            assert_eq!((leader.current_leader.leader_id.0, leader.current_leader.leader_epoch), (1002, 9));
            assert_eq!(theirs.node_endpoints[0].host.as_str(), "localhost");
            assert_eq!((theirs.node_endpoints[0].port, theirs.node_endpoints[0].rack.as_deref()), (9094, Some("r")));
        }
    }
}

#[test]
fn an_answer_of_version_0_has_neither_time_nor_throttle() {
    let partition = PartitionResponse::refused(TopicReference::Name("t"), PartitionIndex(1), ErrorCode::UnsupportedVersion);
    let mut buffer = Vec::new();
    let response = ProduceResponse { partitions: &[partition], throttle_time_ms: 0, node_endpoints: &[] };
    encode_response(0, 7, &response, &mut buffer);
    let expected = [&[0, 0, 0, 29, 0, 0, 0, 7, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 1, 0, 35][..], &[0xff; 8]].concat();
    assert_eq!(buffer, expected);
}
