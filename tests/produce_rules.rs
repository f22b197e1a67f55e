//! The rules of Produce, Fetch and ListOffsets that clients count on, with the error codes they are told by.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
    offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
};
use pagewire::base::{ProducerId, Timestamp};
use pagewire::wire::batch::{Attributes, BATCH_CRC_START, BATCH_HEADER_BYTES, BatchHeader};
use pagewire::wire::{Codec, RecordBatchBuilder};
use uuid::Uuid;

use broker::connection::{decode, frame};
use broker::{Broker, Connection, PATIENCE, ask};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TIMESTAMP: i16 = 32;
const UNSUPPORTED_FOR_MESSAGE_FORMAT: i16 = 43;
const FENCED_LEADER_EPOCH: i16 = 74;
const UNKNOWN_LEADER_EPOCH: i16 = 75;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
const INVALID_RECORD: i16 = 87;
const UNKNOWN_TOPIC_ID: i16 = 100;
/// The first versions with topic ids.
const BY_ID: i16 = 13;

/// A broker with a topic "t" of two partitions, one per core.
fn broker_with_a_topic(configs: &[(&str, &str)]) -> (Broker, Connection) {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, configs);
    (broker, connection)
}

/// One record, stamped now.
fn builder(codec: Codec) -> RecordBatchBuilder {
    RecordBatchBuilder::new(codec).record(Timestamp(ask::now_ms()), Some(b"key"), Some(b"value"))
}

/// The batch with a changed header, and the CRC that belongs to it.
fn with_header(batch: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::parse(batch).unwrap();
    change(&mut header);
    let mut bytes = [0; BATCH_HEADER_BYTES];
    header.write(&mut bytes);
    let mut changed = [&bytes, &batch[BATCH_HEADER_BYTES..]].concat();
    header.crc = crc32c::crc32c(&changed[BATCH_CRC_START..]);
    header.write(&mut bytes);
    changed[..BATCH_HEADER_BYTES].copy_from_slice(&bytes);
    changed
}

#[test]
fn acks() {
    let (broker, mut connection) = broker_with_a_topic(&[]);
    for partition in 0..2 {
        for (acks, offset) in [(1, 0), (ask::ALL, 1)] {
            let answer = connection.ask(ask::PRODUCE, &ask::produce_request("t", partition, acks, &builder(Codec::None).build()));
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset, answer.log_append_time_ms, answer.log_start_offset), (0, offset, -1, 0));
        }
        // No answer: the next one that comes is that of the next request.
        connection.send(ask::PRODUCE, &ask::produce_request("t", partition, 0, &builder(Codec::None).build()));
        assert_eq!(ask::write(&mut connection, "t", partition, &["behind it"]), 3);
    }
    // An error without an answer to say it in closes the connection, so that the client asks for metadata.
    let mut other = broker.connect(0);
    other.send(ask::PRODUCE, &ask::produce_request("nobody", 0, 0, &builder(Codec::None).build()));
    other.expect_close();
    let mut other = broker.connect(0);
    other.send(ask::PRODUCE, &ask::produce_request("t", 0, 0, b"no batch"));
    other.expect_close();
}

#[test]
fn what_is_no_batch_of_a_client_is_refused_and_leaves_nothing() {
    let (_broker, mut connection) = broker_with_a_topic(&[("max.message.bytes", "2000")]);
    let good = builder(Codec::None).build();
    let zstd = builder(Codec::Zstd).build();
    let flip = |at: usize| {
        let mut batch = good.clone();
        batch[at] ^= 1;
        batch
    };
    let magic = |magic: u8| {
        let mut batch = good.clone();
        batch[16] = magic;
        batch
    };
    let large = RecordBatchBuilder::new(Codec::None).record(Timestamp(ask::now_ms()), None, Some(&[1; 2000])).build();
    let cases: Vec<(&str, Vec<u8>, i16)> = vec![
        ("a wrong CRC", flip(17), CORRUPT_MESSAGE),
        ("a flipped byte of a record", flip(good.len() - 2), CORRUPT_MESSAGE),
        ("magic 0", magic(0), UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("magic 1", magic(1), UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("magic 3", magic(3), UNSUPPORTED_FOR_MESSAGE_FORMAT),
        ("too large for the topic", large, MESSAGE_TOO_LARGE),
        ("nothing", vec![], INVALID_RECORD),
        ("a batch without records", RecordBatchBuilder::new(Codec::None).build(), INVALID_RECORD),
        ("two batches", [good.clone(), good.clone()].concat(), INVALID_RECORD),
        ("a batch cut short", good[..good.len() - 1].to_vec(), CORRUPT_MESSAGE),
        ("half a header", good[..30].to_vec(), CORRUPT_MESSAGE),
        ("a byte too many", [&good[..], &[0]].concat(), CORRUPT_MESSAGE),
        ("a length of -1", with_header(&good, |header| header.batch_length = -1), CORRUPT_MESSAGE),
        (
            "more records than there are",
            with_header(&good, |header| (header.records_count, header.last_offset_delta) = (2, 1)),
            INVALID_RECORD,
        ),
        ("a count that is not the offsets'", with_header(&good, |header| header.last_offset_delta = 5), INVALID_RECORD),
        ("a negative count", with_header(&good, |header| header.records_count = -1), INVALID_RECORD),
        ("a control batch", with_header(&good, |header| header.attributes = header.attributes.with(Attributes::CONTROL)), INVALID_RECORD),
        ("codec 5", with_header(&good, |header| header.attributes = Attributes(5)), UNSUPPORTED_COMPRESSION_TYPE),
        ("a client's LogAppendTime", with_header(&good, |header| header.attributes = Attributes(8)), INVALID_TIMESTAMP),
    ];
    for (what, records, code) in cases {
        for partition in 0..2 {
            let answer = ask::produce(&mut connection, "t", partition, &records);
            assert_eq!((answer.error_code, answer.base_offset), (code, -1), "{what}: {:?}", answer.error_message);
            assert!(answer.error_message.is_some_and(|message| message.len() > 10), "{what}: says why");
        }
    }
    // zstd came with Produce 7 (KIP-110).
    for (version, code) in [(6, UNSUPPORTED_COMPRESSION_TYPE), (7, 0)] {
        let answer = connection.ask(version, &ask::produce_request("t", 0, 1, &zstd));
        assert_eq!(answer.responses[0].partition_responses[0].error_code, code, "zstd in version {version}");
    }
    assert_eq!((ask::end_offset(&mut connection, "t", 0), ask::end_offset(&mut connection, "t", 1)), (1, 0));
}

#[test]
fn a_bad_partition_does_not_hurt_its_neighbours() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    let data = |index, records: Option<Vec<u8>>| PartitionProduceData::default().with_index(index).with_records(records.map(Bytes::from));
    let topic = |name: &str, data| TopicProduceData::default().with_name(ask::topic_name(name)).with_partition_data(data);
    let good = || Some(builder(Codec::Lz4).build());
    let request = ask::produce_request("t", 0, 1, &[]).with_topic_data(vec![
        topic("nobody", vec![data(0, good())]),
        topic("t", vec![data(0, good()), data(1, Some(vec![1; 70])), data(2, good()), data(1, good()), data(0, None), data(0, good())]),
    ]);
    let answer = connection.ask(ask::PRODUCE, &request);
    let told = |topic: usize| -> Vec<_> {
        answer.responses[topic].partition_responses.iter().map(|p| (p.index, p.error_code, p.base_offset)).collect()
    };
    assert_eq!(told(0), [(0, UNKNOWN_TOPIC_OR_PARTITION, -1)]);
    let mangled = told(1)[1].1;
    assert!([CORRUPT_MESSAGE, UNSUPPORTED_FOR_MESSAGE_FORMAT].contains(&mangled));
    let expected = [(0, 0, 0), (1, mangled, -1), (2, UNKNOWN_TOPIC_OR_PARTITION, -1), (1, 0, 0), (0, INVALID_RECORD, -1), (0, 0, 1)];
    assert_eq!(told(1), expected);
}

#[test]
fn topic_ids_that_nobody_has() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    let nobody = Uuid::from_bytes([9; 16]);
    let data = PartitionProduceData::default().with_records(Some(Bytes::from(builder(Codec::None).build())));
    let topic = TopicProduceData::default().with_topic_id(nobody).with_partition_data(vec![data]);
    let answer = connection.ask(BY_ID, &ask::produce_request("", 0, 1, &[]).with_topic_data(vec![topic]));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, UNKNOWN_TOPIC_ID);
    let partitions = ask::fetch_request("", 0, 0).topics[0].partitions.clone();
    let topic = FetchTopic::default().with_topic_id(nobody).with_partitions(partitions);
    let answer = connection.ask(BY_ID, &ask::fetch_request("", 0, 0).with_topics(vec![topic]));
    assert_eq!(answer.responses[0].partitions[0].error_code, UNKNOWN_TOPIC_ID);

    // A topic made anew under the same name is another one.
    let old = ask::describe(&mut connection, "t").topic_id;
    let delete =
        kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(vec![ask::topic_name("t")]).with_timeout_ms(1000);
    assert_eq!(connection.ask(5, &delete).responses[0].error_code, 0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    let data = PartitionProduceData::default().with_records(Some(Bytes::from(builder(Codec::None).build())));
    let topic = TopicProduceData::default().with_topic_id(old).with_partition_data(vec![data]);
    let answer = connection.ask(BY_ID, &ask::produce_request("", 0, 1, &[]).with_topic_data(vec![topic]));
    assert_eq!(answer.responses[0].partition_responses[0].error_code, UNKNOWN_TOPIC_ID);
    assert_eq!(ask::end_offset(&mut connection, "t", 0), 0);
}

#[test]
fn timestamps_out_of_range() {
    const HOUR: i64 = 3_600_000;
    let (_broker, mut connection) =
        broker_with_a_topic(&[("message.timestamp.before.max.ms", "3600000"), ("message.timestamp.after.max.ms", "3600000")]);
    ask::create_topic(
        &mut connection,
        "own-time",
        2,
        &[("message.timestamp.before.max.ms", "0"), ("message.timestamp.after.max.ms", "0"), ("message.timestamp.type", "LogAppendTime")],
    );
    ask::create_topic(&mut connection, "default", 1, &[]);
    let now = ask::now_ms();
    let stamped = |codec, times: &[i64]| {
        let mut builder = RecordBatchBuilder::new(codec);
        times.iter().for_each(|time| builder.append(Timestamp(*time), None, Some(b"x"), &[]));
        builder.build()
    };
    for codec in [Codec::None, Codec::Lz4] {
        for partition in 0..2 {
            let mut code = |times: &[i64]| {
                let answer = ask::produce(&mut connection, "t", partition, &stamped(codec, times));
                assert!(answer.error_code == 0 || answer.error_message.unwrap().contains("message.timestamp.before.max.ms"));
                answer.error_code
            };
            assert_eq!(code(&[now, now - HOUR / 2, now + HOUR / 2]), 0);
            assert_eq!(code(&[-1]), 0, "no timestamp at all");
            for times in [&[now - 2 * HOUR][..], &[now + 2 * HOUR], &[now, now - 2 * HOUR], &[now, now + 2 * HOUR], &[0], &[i64::MAX]] {
                assert_eq!(code(times), INVALID_TIMESTAMP, "{times:?}");
            }
            let answer = ask::produce(&mut connection, "own-time", partition, &stamped(codec, &[0, now + 99 * HOUR]));
            assert_eq!(answer.error_code, 0, "the broker's own time replaces them");
        }
    }
    let answer = ask::produce(&mut connection, "t", 0, &stamped(Codec::None, &[now, now, now + 2 * HOUR]));
    assert_eq!(answer.record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [2], "the record at fault");
    assert_eq!(
        ask::produce(&mut connection, "default", 0, &stamped(Codec::None, &[0])).error_code,
        0,
        "Kafka's default: as old as one likes"
    );
    assert_eq!(ask::produce(&mut connection, "default", 0, &stamped(Codec::None, &[now + 2 * HOUR])).error_code, INVALID_TIMESTAMP);
}

#[test]
fn log_append_time() {
    let (_broker, mut connection) = broker_with_a_topic(&[("message.timestamp.type", "LogAppendTime")]);
    let before = ask::now_ms();
    for partition in 0..2 {
        for codec in [Codec::None, Codec::Zstd] {
            let batch = RecordBatchBuilder::new(codec).record(Timestamp(5), None, Some(b"x")).build();
            let answer = ask::produce(&mut connection, "t", partition, &batch);
            assert_eq!(answer.error_code, 0);
            assert!((before..=ask::now_ms()).contains(&answer.log_append_time_ms));
        }
        let stored = ask::fetch(&mut connection, "t", partition, 0).records.unwrap();
        for batch in ask::whole_batches(&stored) {
            let header = pagewire::wire::batch::check_stored(batch.0).expect("its CRC covers the broker's time");
            assert!(header.attributes.is_log_append_time() && header.max_timestamp.0 >= before);
        }
        assert_eq!(ask::records_of(&stored).len(), 2);
        assert_eq!(ask::list_offset(&mut connection, "t", partition, before).offset, 0, "found by the broker's time");
        assert_eq!(ask::list_offset(&mut connection, "t", partition, ask::now_ms() + 1000).offset, -1);
    }
}

#[test]
fn idempotent_producers() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    let id = connection.ask(4, &InitProducerIdRequest::default().with_transactional_id(None)).producer_id.0;
    let batch = |id, epoch, sequence| builder(Codec::None).producer(ProducerId(id), epoch, sequence).build();
    for partition in 0..2 {
        assert_eq!(ask::produce(&mut connection, "t", partition, &batch(id, 0, 0)).error_code, 0);
        assert_eq!(ask::produce(&mut connection, "t", partition, &batch(id, 0, 1)).base_offset, 1);
        for (epoch, sequence) in [(0, -1), (-1, 0), (-1, -1)] {
            assert_eq!(ask::produce(&mut connection, "t", partition, &batch(id, epoch, sequence)).error_code, INVALID_RECORD);
        }
        let stored = ask::fetch(&mut connection, "t", partition, 0).records.unwrap();
        let headers: Vec<_> = ask::whole_batches(&stored).iter().map(|batch| BatchHeader::parse(batch.0).unwrap()).collect();
        let fields: Vec<_> = headers.iter().map(|header| (header.producer_id.0, header.producer_epoch, header.base_sequence)).collect();
        assert_eq!(fields, [(id, 0, 0), (id, 0, 1)], "kept for those who read");
    }
    let transactional = builder(Codec::None).flag(Attributes::TRANSACTIONAL).build();
    assert_eq!(ask::produce(&mut connection, "t", 0, &transactional).error_code, INVALID_RECORD, "no transaction without a producer id");
}

#[test]
fn compacted_topics_need_keys() {
    let (_broker, mut connection) = broker_with_a_topic(&[("cleanup.policy", "compact")]);
    for codec in [Codec::None, Codec::Gzip] {
        let mut builder = RecordBatchBuilder::new(codec);
        for key in [Some(&b"a"[..]), Some(b""), None, Some(b"b")] {
            builder.append(Timestamp(ask::now_ms()), key, Some(b"x"), &[]);
        }
        for partition in 0..2 {
            let answer = ask::produce(&mut connection, "t", partition, &builder.build());
            assert_eq!(answer.error_code, INVALID_RECORD);
            let errors = &answer.record_errors;
            assert_eq!(errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [2], "the record at fault (KIP-467)");
            assert!(errors[0].batch_index_error_message.as_ref().unwrap().contains("key"));
        }
    }
    assert_eq!(ask::produce(&mut connection, "t", 0, &builder(Codec::None).build()).error_code, 0);
}

#[test]
fn offsets_out_of_range() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    for partition in 0..2 {
        ask::write(&mut connection, "t", partition, &["a", "b", "c"]);
        for (offset, code, records) in [(0, 0, 3), (2, 0, 3), (3, 0, 0), (4, 1, 0), (-1, 1, 0), (i64::MAX, 1, 0), (i64::MIN, 1, 0)] {
            let answer = ask::fetch(&mut connection, "t", partition, offset);
            let found = ask::records_of(answer.records.as_deref().unwrap_or_default()).len();
            assert_eq!((answer.error_code, found), (code, records), "offset {offset}");
            assert!(code != OFFSET_OUT_OF_RANGE || answer.records.is_none_or(|records| records.is_empty()));
        }
    }
}

#[test]
fn leader_epochs() {
    let (mut broker, mut connection) = broker_with_a_topic(&[]);
    ask::write(&mut connection, "t", 0, &["a", "b"]);
    ask::write(&mut connection, "t", 1, &["a", "b"]);
    let first = ask::describe(&mut connection, "t").partitions[0].leader_epoch;
    broker.stop();
    broker.start_again(&[]);
    let mut connection = broker.connect(0);
    let second = ask::describe(&mut connection, "t").partitions[0].leader_epoch;
    assert!(second > first, "it rises with every start: {first}, then {second}");
    for partition in 0..2 {
        ask::write(&mut connection, "t", partition, &["c"]);
        for (epoch, code) in [(second, 0), (-1, 0), (first, FENCED_LEADER_EPOCH), (second + 1, UNKNOWN_LEADER_EPOCH)] {
            let mut fetch = ask::fetch_request("t", partition, 0);
            fetch.topics[0].partitions[0].current_leader_epoch = epoch;
            assert_eq!(connection.ask(ask::FETCH, &fetch).responses[0].partitions[0].error_code, code, "epoch {epoch}");

            let wanted =
                ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(-1).with_current_leader_epoch(epoch);
            let topic = ListOffsetsTopic::default().with_name(ask::topic_name("t")).with_partitions(vec![wanted]);
            let list = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
            assert_eq!(connection.ask(ask::LIST_OFFSETS, &list).topics[0].partitions[0].error_code, code, "epoch {epoch}");

            let wanted =
                OffsetForLeaderPartition::default().with_partition(partition).with_current_leader_epoch(epoch).with_leader_epoch(first);
            let topic = OffsetForLeaderTopic::default().with_topic(ask::topic_name("t")).with_partitions(vec![wanted]);
            let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
            let answer = connection.ask(4, &request).topics[0].partitions[0].clone();
            assert_eq!(answer.error_code, code);
            if code == 0 {
                assert_eq!((answer.leader_epoch, answer.end_offset), (first, 2), "where the first epoch ended");
            }
        }
    }
}

#[test]
fn offsets_by_time() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    for partition in 0..2 {
        for time in [None, Some(ask::LATEST), Some(ask::EARLIEST), Some(ask::MAX_TIMESTAMP)].into_iter().flatten() {
            let expected = if time == ask::MAX_TIMESTAMP { -1 } else { 0 };
            assert_eq!(ask::list_offset(&mut connection, "t", partition, time).offset, expected, "{time} of an empty log");
        }
        let mut builder = RecordBatchBuilder::new(Codec::None);
        for time in [1000, 3000, 2000] {
            builder.append(Timestamp(time), None, Some(b"x"), &[]);
        }
        assert_eq!(ask::produce(&mut connection, "t", partition, &builder.build()).error_code, 0);
        let later = RecordBatchBuilder::new(Codec::Snappy).record(Timestamp(2500), None, None).record(Timestamp(5000), None, None);
        assert_eq!(ask::produce(&mut connection, "t", partition, &later.build()).base_offset, 3);
        for (time, offset, found) in [
            (0, 0, 1000),
            (1000, 0, 1000),
            (1001, 1, 3000),
            (3000, 1, 3000),
            (3001, 4, 5000),
            (5001, -1, -1),
            (ask::MAX_TIMESTAMP, 4, 5000),
            (ask::EARLIEST, 0, -1),
            (ask::LATEST, 5, -1),
        ] {
            let answer = ask::list_offset(&mut connection, "t", partition, time);
            assert_eq!((answer.error_code, answer.offset, answer.timestamp), (0, offset, found), "at {time}");
        }
        assert_ne!(ask::list_offset(&mut connection, "t", partition, -77).error_code, 0);
    }
}

#[test]
fn a_fetch_waits_for_min_bytes_and_wakes() {
    let (broker, mut connection) = broker_with_a_topic(&[]);
    for partition in 0..2 {
        // Also from the core that does not own the partition.
        for core in 0..2 {
            let end = ask::end_offset(&mut connection, "t", partition);
            let mut reader = broker.connect(core);
            let request = ask::fetch_request("t", partition, end).with_max_wait_ms(PATIENCE.as_millis() as i32).with_min_bytes(1);
            reader.send(ask::FETCH, &request);
            thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            ask::write(&mut connection, "t", partition, &["wake up"]);
            let answer = reader.receive::<FetchRequest>(ask::FETCH);
            assert!(begun.elapsed() < PATIENCE / 4, "woken by the write, not by the clock");
            assert_eq!(ask::records_of(answer.responses[0].partitions[0].records.as_deref().unwrap())[0].1, b"wake up");

            // One write is too little, two are enough.
            let bytes = ask::batch_of(&["12345678"]).len() as i32;
            reader.send(ask::FETCH, &ask::fetch_request("t", partition, end + 1).with_max_wait_ms(60_000).with_min_bytes(bytes + 1));
            ask::write(&mut connection, "t", partition, &["12345678"]);
            ask::write(&mut connection, "t", partition, &["12345678"]);
            let answer = reader.receive::<FetchRequest>(ask::FETCH);
            assert_eq!(ask::records_of(answer.responses[0].partitions[0].records.as_deref().unwrap()).len(), 2);

            // Nothing comes: an empty answer when the time is up, not before.
            let begun = Instant::now();
            let answer = reader.ask(ask::FETCH, &ask::fetch_request("t", partition, end + 3).with_max_wait_ms(200).with_min_bytes(1));
            assert!(answer.responses[0].partitions[0].records.as_deref().unwrap_or_default().is_empty());
            assert!((Duration::from_millis(195)..PATIENCE).contains(&begun.elapsed()), "{:?}", begun.elapsed());

            // min_bytes above max_bytes counts as max_bytes.
            let begun = Instant::now();
            let greedy = ask::fetch_request("t", partition, 0).with_max_wait_ms(60_000).with_min_bytes(i32::MAX).with_max_bytes(50);
            assert!(!reader.ask(ask::FETCH, &greedy).responses[0].partitions[0].records.as_deref().unwrap().is_empty());
            assert!(begun.elapsed() < PATIENCE / 4);
        }
    }
}

#[test]
fn max_bytes_and_at_least_one_batch() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    let value = vec![7; 10_000];
    for partition in 0..2 {
        for _ in 0..10 {
            ask::write(&mut connection, "t", partition, &[&value]);
        }
    }
    let mut sizes = |max_bytes: i32, partition_max_bytes: i32| -> Vec<usize> {
        let wanted = |index| {
            let mut partition = ask::fetch_request("t", index, 0).topics[0].partitions[0].clone();
            partition.partition_max_bytes = partition_max_bytes;
            partition
        };
        let topic = FetchTopic::default().with_topic(ask::topic_name("t")).with_partitions(vec![wanted(0), wanted(1)]);
        let answer = connection.ask(ask::FETCH, &ask::fetch_request("t", 0, 0).with_max_bytes(max_bytes).with_topics(vec![topic]));
        answer.responses[0].partitions.iter().map(|partition| partition.records.as_ref().map_or(0, Bytes::len)).collect()
    };
    let all = sizes(1 << 20, 1 << 20);
    assert!(all[0] > 100_000 && all[0] == all[1]);
    let batch = all[0] / 10;
    for tiny in [1, 0, -1] {
        let first = sizes(1 << 20, tiny);
        assert!(
            first.contains(&batch) && first.iter().sum::<usize>() <= 2 * batch,
            "a whole batch even if {tiny} bytes were asked for: {first:?}"
        );
        let first = sizes(tiny, 1 << 20);
        assert_eq!(first.iter().filter(|size| **size >= batch).count(), 1, "one whole batch in all: {first:?}");
        assert!(first.iter().sum::<usize>() <= batch);
    }
    let limited = sizes(1 << 20, 35_000);
    assert!(limited.iter().all(|size| (batch..=35_000).contains(size)), "{limited:?}");
    let limited = sizes(45_000, 1 << 20);
    assert!((batch..=45_000).contains(&limited.iter().sum::<usize>()), "{limited:?}");
}

#[test]
fn batches_of_one_connection_keep_their_order_whatever_their_acks() {
    let (mut broker, mut connection) = broker_with_a_topic(&[]);
    let owner = ask::owner(&mut connection, "t", 0);
    let mut connection = broker.connect(owner);
    let acks = [1, ask::ALL, 1, ask::ALL];
    let frames = acks
        .iter()
        .zip(0u8..)
        .map(|(acks, value)| frame(i32::from(value), ask::PRODUCE, &ask::produce_request("t", 0, *acks, &ask::batch_of(&[[value]]))));
    // One read brings them all.
    connection.send_bytes(&frames.flatten().collect::<Vec<u8>>()).unwrap();
    for offset in 0..4 {
        let (correlation_id, answer) = decode::<ProduceRequest>(ask::PRODUCE, connection.receive_frame().unwrap());
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!((correlation_id, answer.error_code, answer.base_offset), (offset, 0, i64::from(offset)));
    }
    let values: Vec<Vec<u8>> = ask::read(&mut connection, "t", 0, 0).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [[0], [1], [2], [3]]);
    broker.stop();
}

#[test]
fn what_another_core_does_is_counted_under_forward() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    let elsewhere =
        (0..2).find(|partition| ask::owner(&mut connection, "t", *partition) == 1).expect("partitions are spread over the cores");
    for _ in 0..3 {
        ask::write(&mut connection, "t", elsewhere, &["x"]);
    }
    broker.signal("USR1");
    // Nothing but those writes has gone from core 0 to core 1.
    let forwarded = |said: &str| said.lines().any(|line| line.split_whitespace().take(3).eq(["core-0", "forward", "3"]));
    broker.wait_until(|broker| broker.said().contains("batches_appended"));
    assert!(forwarded(&broker.said()), "{}", broker.said());
    broker.stop();
}
