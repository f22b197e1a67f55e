//! Tests of `fetch.rs`.

use super::*;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request as theirs;
use kafka_protocol::messages::{BrokerId as TheirBrokerId, FetchResponse as TheirResponse, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

fn their_partition(version: i16, number: i32) -> theirs::FetchPartition {
    let mut partition = theirs::FetchPartition::default()
        .with_partition(number)
        .with_fetch_offset(1 << 40)
        .with_log_start_offset(if version >= 5 { 3 } else { -1 })
        .with_partition_max_bytes(1_048_576);
    if version >= 9 {
        partition = partition.with_current_leader_epoch(4);
    }
    if version >= 12 {
        partition = partition.with_last_fetched_epoch(2).with_unknown_tagged_field(99, Bytes::from_static(b"tagged"));
    }
    if version >= 17 {
        partition = partition.with_replica_directory_id(Uuid::from_bytes([8; 16]));
    }
    if version >= 18 {
        partition = partition.with_high_watermark(1234);
    }
    partition
}

fn their_request(version: i16) -> theirs::FetchRequest {
    let topic = |name: &'static str, id: u8, partitions: Vec<i32>| {
        let partitions = partitions.into_iter().map(|number| their_partition(version, number)).collect();
        let topic = theirs::FetchTopic::default().with_partitions(partitions);
        if version >= 13 { topic.with_topic_id(Uuid::from_bytes([id; 16])) } else { topic.with_topic(text(name).into()) }
    };
    let mut request = theirs::FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(52_428_800)
        .with_isolation_level(1)
        .with_topics(vec![topic("first", 1, vec![0, 5]), topic("second", 2, vec![]), topic("third", 3, vec![9])]);
    if version >= 7 {
        let forgotten = theirs::ForgottenTopic::default().with_partitions(vec![3, 4]);
        let forgotten =
            if version >= 13 { forgotten.with_topic_id(Uuid::from_bytes([6; 16])) } else { forgotten.with_topic(text("gone").into()) };
        request = request.with_session_id(77).with_session_epoch(8).with_forgotten_topics_data(vec![forgotten]);
    }
    if version >= 11 {
        request = request.with_rack_id(text("rack-a"));
    }
    if version >= 12 {
        request = request.with_cluster_id(Some(text("cluster")));
    }
    if version >= 15 {
        let state = theirs::ReplicaState::default().with_replica_id(TheirBrokerId(2000)).with_replica_epoch(55);
        request = request.with_replica_state(state);
    } else {
        request = request.with_replica_id(TheirBrokerId(2000));
    }
    request
}

#[test]
fn requests_of_every_version_are_read() {
    for version in VERSIONS {
        let request = their_request(version);
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        for body in [bytes.to_vec(), [&bytes[..], &[1, 2, 3]].concat()] {
            let ours = decode(version, &body).unwrap();
            assert_eq!((ours.max_wait_ms, ours.min_bytes, ours.max_bytes, ours.isolation_level), (500, 1, 52_428_800, 1));
            assert_eq!(ours.replica_id, BrokerId(2000), "{version}");
            assert_eq!(ours.replica_epoch, if version >= 15 { 55 } else { -1 });
            assert_eq!((ours.session_id, ours.session_epoch), if version >= 7 { (77, 8) } else { (0, -1) });
            assert_eq!(ours.rack_id, if version >= 11 { "rack-a" } else { "" });
            assert_eq!(ours.cluster_id, (version >= 12).then_some("cluster"));
            assert_eq!(ours.topics().len(), 3);
            for (ours, theirs) in ours.topics().zip(&request.topics) {
                match ours.topic {
                    TopicReference::Name(name) => assert_eq!(name, theirs.topic.as_str()),
                    TopicReference::Id(id) => assert_eq!(&id.0, theirs.topic_id.as_bytes()),
                }
                assert_eq!(ours.partitions.len(), theirs.partitions.len());
                for (ours, theirs) in ours.partitions.zip(&theirs.partitions) {
                    assert_eq!(ours.partition.0, theirs.partition);
                    assert_eq!(ours.current_leader_epoch.0, theirs.current_leader_epoch);
                    assert_eq!(ours.fetch_offset.0, theirs.fetch_offset);
                    assert_eq!(ours.last_fetched_epoch.0, theirs.last_fetched_epoch);
                    assert_eq!(ours.log_start_offset.0, theirs.log_start_offset);
                    assert_eq!(ours.partition_max_bytes, theirs.partition_max_bytes);
                    assert_eq!(&ours.replica_directory_id.0, theirs.replica_directory_id.as_bytes());
                    assert_eq!(ours.high_watermark.0, theirs.high_watermark);
                }
            }
            let forgotten: Vec<_> = ours.forgotten_topics().collect();
            assert_eq!(forgotten.len(), usize::from(version >= 7));
            for topic in forgotten {
                let expected = if version >= 13 { TopicReference::Id(TopicId([6; 16])) } else { TopicReference::Name("gone") };
                assert_eq!(topic.topic, expected);
                assert_eq!(topic.partitions().collect::<Vec<_>>(), [PartitionIndex(3), PartitionIndex(4)]);
            }
        }
        for cut in 0..bytes.len() {
            assert!(decode(version, &bytes[..cut]).is_err(), "version {version} cut to {cut}");
        }
    }
    assert!(matches!(decode(3, &[]), Err(DecodeError::Version { .. })));
    assert!(matches!(decode(19, &[]), Err(DecodeError::Version { .. })));
}

#[test]
fn answers_of_every_version_are_what_a_client_reads() {
    let aborted = [AbortedTransaction { producer_id: ProducerId(7), first_offset: Offset(3) }];
    for version in VERSIONS {
        let [first, second] = if version >= 13 {
            [TopicReference::Id(TopicId([1; 16])), TopicReference::Id(TopicId([2; 16]))]
        } else {
            [TopicReference::Name("first"), TopicReference::Name("second")]
        };
        let refused = PartitionResponse::refused(first, PartitionIndex(0), ErrorCode::OffsetOutOfRange);
        let small = PartitionResponse {
            error_code: ErrorCode::None,
            high_watermark: Offset(100),
            last_stable_offset: Offset(90),
            log_start_offset: Offset(10),
            aborted_transactions: Some(&aborted),
            records_bytes: 5,
            ..PartitionResponse::refused(first, PartitionIndex(1), ErrorCode::None)
        };
        let large = PartitionResponse {
            diverging_epoch: Some((LeaderEpoch(3), Offset(44))),
            current_leader: Some(CurrentLeader { leader_id: BrokerId(1001), leader_epoch: LeaderEpoch(6) }),
            preferred_read_replica: BrokerId(2001),
            records_bytes: 100_000,
            ..PartitionResponse::refused(second, PartitionIndex(2), ErrorCode::None)
        };
        let endpoints = [NodeEndpoint { node_id: BrokerId(1001), host: "::1", port: 9093, rack: None }];
        let response = FetchResponse {
            throttle_time_ms: 1,
            error_code: ErrorCode::None,
            session_id: 12,
            partitions: &[refused, small, large],
            node_endpoints: &endpoints,
        };
        let (mut buffer, mut gaps) = (Vec::new(), RecordsGaps::new());
        encode_response(version, 5, &response, &mut buffer, &mut gaps);
        assert_eq!(gaps.iter().map(|gap| (gap.partition, gap.records_bytes)).collect::<Vec<_>>(), [(1, 5), (2, 100_000)]);
        let mut whole = buffer[..gaps[0].at].to_vec();
        whole.extend_from_slice(b"small");
        whole.extend_from_slice(&buffer[gaps[0].at..gaps[1].at]);
        whole.extend_from_slice(&[0x55; 100_000]);
        whole.extend_from_slice(&buffer[gaps[1].at..]);

        let mut bytes = Bytes::from(whole);
        assert_eq!(bytes.get_i32() as usize, bytes.len());
        assert_eq!(ResponseHeader::decode(&mut bytes, if version >= 12 { 1 } else { 0 }).unwrap().correlation_id, 5);
        let theirs = TheirResponse::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty());
        assert_eq!((theirs.throttle_time_ms, theirs.session_id), (1, if version >= 7 { 12 } else { 0 }));
        let [none, small] = &theirs.responses[0].partitions[..] else { panic!("two partitions") };
        let large = &theirs.responses[1].partitions[0];
        assert_eq!((none.error_code, none.high_watermark, none.records.as_deref()), (1, -1, Some(&[][..])));
        assert_eq!((small.high_watermark, small.last_stable_offset), (100, 90));
        assert_eq!(small.records.as_deref(), Some(&b"small"[..]));
        let transactions = small.aborted_transactions.as_ref().unwrap();
        assert_eq!((transactions[0].producer_id.0, transactions[0].first_offset), (7, 3));
        assert_eq!((large.partition_index, large.records.as_ref().map(Bytes::len)), (2, Some(100_000)));
        assert_eq!(large.aborted_transactions, None);
        if version >= 11 {
            assert_eq!(large.preferred_read_replica.0, 2001);
        }
        if version >= 12 {
            assert_eq!((large.diverging_epoch.epoch, large.diverging_epoch.end_offset), (3, 44));
            assert_eq!((large.current_leader.leader_id.0, large.current_leader.leader_epoch), (1001, 6));
        }
        if version >= 16 {
            assert_eq!((theirs.node_endpoints[0].host.as_str(), theirs.node_endpoints[0].port), ("::1", 9093));
        }
    }
}
