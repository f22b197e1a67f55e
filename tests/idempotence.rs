//! Idempotent producers against the running broker: each rule and its error code, what is sent once more in one turn, after restarts, and at random.
//!
//! The property that counts: whoever sends what was not acknowledged once more, with the same sequences, has each record in the log once and in order, whatever
//! happened to connections and to the broker meanwhile. `TEST_KILLS` asks for more restarts than the few of the test suite (`scripts/soak` does).

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::collections::VecDeque;
use std::io;

use broker::ask::{self, ALL, PRODUCE};
use broker::connection::{decode, frame};
use broker::random::Random;
use broker::{Broker, Connection};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use pagewire::base::{ProducerId, Timestamp};
use pagewire::wire::batch::{Attributes, BatchHeader};
use pagewire::wire::{Codec, RecordBatchBuilder};

const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const TOPIC: &str = "t";
/// As many as clients have under way.
const IN_FLIGHT_MAX: usize = 5;

/// A connection to core 0 and a topic whose partitions lie on both cores.
fn broker_with_a_topic(configs: &[(&str, &str)]) -> (Broker, Connection) {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, TOPIC, 2, configs);
    (broker, connection)
}

fn new_producer(connection: &mut Connection) -> i64 {
    let answer = connection.ask(4, &InitProducerIdRequest::default().with_transactional_id(None));
    assert_eq!(answer.error_code, 0);
    answer.producer_id.0
}

/// A batch whose records are the numbers of their sequence.
fn batch(id: i64, epoch: i16, sequence: i32, records: i32, timestamp: i64) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(Codec::None).producer(ProducerId(id), epoch, sequence);
    for record in 0..records {
        let number = (i64::from(sequence) + i64::from(record)) & i64::from(i32::MAX);
        builder.append(Timestamp(timestamp), None, Some(number.to_string().as_bytes()), &[]);
    }
    builder.build()
}

/// Error code and first offset.
fn send(connection: &mut Connection, partition: i32, batch: &[u8]) -> (i16, i64) {
    let answer = ask::produce(connection, TOPIC, partition, batch);
    (answer.error_code, answer.base_offset)
}

#[test]
fn each_rule_has_its_error_code_on_any_core() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    let now = ask::now_ms();
    for partition in 0..2 {
        let id = new_producer(&mut connection);
        let of = |epoch, sequence, records| batch(id, epoch, sequence, records, now);
        let mut send = |epoch, sequence, records| send(&mut connection, partition, &of(epoch, sequence, records));
        // Ten records, then five batches of one: what is recognised, and what is too old to be.
        assert_eq!(send(0, 0, 10), (0, 0));
        (10..15).for_each(|sequence| assert_eq!(send(0, sequence, 1), (0, i64::from(sequence))));
        (10..15).for_each(|sequence| assert_eq!(send(0, sequence, 1), (0, i64::from(sequence)), "sent once more"));
        assert_eq!(send(0, 0, 10), (OUT_OF_ORDER_SEQUENCE_NUMBER, -1), "older than the last five");
        assert_eq!(send(0, 14, 2).0, OUT_OF_ORDER_SEQUENCE_NUMBER, "no batch that was ever sent");
        assert_eq!(send(0, 16, 1).0, OUT_OF_ORDER_SEQUENCE_NUMBER, "a gap");
        // KIP-360: the producer raises its epoch and begins at 0 again; the one before is fenced.
        assert_eq!(send(1, 15, 1).0, OUT_OF_ORDER_SEQUENCE_NUMBER);
        assert_eq!(send(1, 0, 3), (0, 15));
        assert_eq!(send(1, 0, 3), (0, 15));
        assert_eq!(send(0, 15, 1).0, INVALID_PRODUCER_EPOCH);
        assert_eq!(send(1, 3, 1), (0, 18));

        // Somebody whom the partition does not know begins anywhere, and goes round behind the largest sequence.
        let id = new_producer(&mut connection);
        let mut send = |sequence, records| self::send(&mut connection, partition, &batch(id, 7, sequence, records, now));
        assert_eq!(send(i32::MAX - 1, 3), (0, 19));
        assert_eq!(send(1, 1), (0, 22));
        assert_eq!(send(i32::MAX - 1, 3), (0, 19));

        let transactional = RecordBatchBuilder::new(Codec::None).producer(ProducerId(id), 7, 2).flag(Attributes::TRANSACTIONAL);
        let transactional = transactional.record(Timestamp(now), None, Some(b"x")).build();
        assert_eq!(self::send(&mut connection, partition, &transactional).0, INVALID_TXN_STATE);
        assert_eq!(ask::end_offset(&mut connection, TOPIC, partition), 23);
    }
}

#[test]
fn a_repetition_is_answered_with_the_time_of_the_batch() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    ask::create_topic(&mut connection, "broker-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let id = new_producer(&mut connection);
    let now = ask::now_ms();
    let batch = batch(id, 0, 0, 2, now - 5000);
    let mut send = |topic| {
        let answer = ask::produce(&mut connection, topic, 0, &batch);
        (answer.error_code, answer.base_offset, answer.log_append_time_ms)
    };
    assert_eq!(send(TOPIC), (0, 0, -1));
    assert_eq!(send(TOPIC), (0, 0, now - 5000), "as Kafka answers");
    let first = send("broker-time");
    assert!(first.2 >= now);
    assert_eq!(send("broker-time"), first);
}

/// Sends all of them in one write and returns the answers.
fn send_together(connection: &mut Connection, batches: &[(i32, Vec<u8>)], acks: i16) -> Vec<PartitionProduceResponse> {
    let mut bytes = Vec::new();
    for (at, (partition, batch)) in batches.iter().enumerate() {
        bytes.extend(frame(at as i32, PRODUCE, &ask::produce_request(TOPIC, *partition, acks, batch)));
    }
    connection.send_bytes(&bytes).unwrap();
    let answers = (0..batches.len() as i32).map(|id| {
        let (correlation_id, answer) = decode::<ProduceRequest>(PRODUCE, connection.receive_frame().unwrap());
        assert_eq!(correlation_id, id);
        answer.responses[0].partition_responses[0].clone()
    });
    answers.collect()
}

#[test]
fn repetitions_inside_one_turn_are_left_out_and_their_neighbours_written() {
    // Rolls within the turn, and a sync that all of it waits for.
    for configs in [&[][..], &[("internal.segment.bytes", "300")], &[("flush.messages", "1")]] {
        let (_broker, mut connection) = broker_with_a_topic(configs);
        let now = ask::now_ms();
        for partition in 0..2 {
            let (id, other) = (new_producer(&mut connection), new_producer(&mut connection));
            let of = |id, sequence, records| (partition, batch(id, 0, sequence, records, now));
            let nobody = (partition, ask::batch_of(&["a", "b", "c"]));
            let turn = [
                of(id, 0, 2),
                of(other, 0, 1),
                of(id, 0, 2),
                nobody,
                of(id, 2, 1),
                of(id, 9, 1),
                of(id, 2, 1),
                of(other, 0, 1),
                of(id, 3, 2),
            ];
            let answers: Vec<_> =
                send_together(&mut connection, &turn, ALL).iter().map(|answer| (answer.error_code, answer.base_offset)).collect();
            let refused = (OUT_OF_ORDER_SEQUENCE_NUMBER, -1);
            assert_eq!(answers, [(0, 0), (0, 2), (0, 0), (0, 3), (0, 6), refused, (0, 6), (0, 2), (0, 7)], "{configs:?}");
            let found = ask::read(&mut connection, TOPIC, partition, 0);
            let values: Vec<_> = found.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
            assert_eq!(values, ["0", "1", "0", "a", "b", "c", "2", "3", "4"]);
            assert!(found.iter().enumerate().all(|(at, (offset, _))| *offset == at as i64));
        }
    }
}

#[test]
fn the_last_five_are_known_after_any_end_of_the_broker() {
    let (mut broker, mut connection) = broker_with_a_topic(&[("internal.segment.bytes", "1000")]);
    let id = new_producer(&mut connection);
    let now = ask::now_ms();
    let mut next = 0;
    for end in ["stop", "kill", "kill", "stop", "stop", "kill"] {
        for _ in 0..13 {
            for partition in 0..2 {
                assert_eq!(send(&mut connection, partition, &batch(id, 0, next, 2, now)), (0, i64::from(next)), "after {end}");
            }
            next += 2;
        }
        match end {
            "stop" => broker.stop(),
            _ => broker.kill(),
        }
        broker.start_again(&[]);
        if end == "stop" {
            assert!(broker.said().contains("after a clean stop, 0 bytes of log read"), "{}", broker.said());
        }
        connection = broker.connect(1);
        for partition in 0..2 {
            for sequence in (next - 10..next).step_by(2) {
                assert_eq!(send(&mut connection, partition, &batch(id, 0, sequence, 2, now)), (0, i64::from(sequence)), "after {end}");
            }
            assert_eq!(send(&mut connection, partition, &batch(id, 0, next - 12, 2, now)).0, OUT_OF_ORDER_SEQUENCE_NUMBER);
            assert_eq!(ask::end_offset(&mut connection, TOPIC, partition), i64::from(next));
        }
    }
    broker.stop();
}

#[test]
fn producers_that_write_nothing_are_forgotten() {
    let short = ["--set", "producer.id.expiration.ms=1500", "--set", "producer.id.expiration.check.interval.ms=100"];
    let mut broker = Broker::start(&short);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, TOPIC, 1, &[]);
    let id = new_producer(&mut connection);
    assert_eq!(send(&mut connection, 0, &batch(id, 0, 0, 1, ask::now_ms())), (0, 0));
    let mut other = broker.connect(1);
    let known = std::cell::RefCell::new(&mut other);
    broker.wait_until(|_| active_producers(&mut known.borrow_mut()).is_empty());
    // Whoever is not known may begin anywhere; nobody else may.
    assert_eq!(send(&mut connection, 0, &batch(id, 0, 5, 1, ask::now_ms())), (0, 1));
    assert_eq!(active_producers(&mut connection), [id]);
}

fn active_producers(connection: &mut Connection) -> Vec<i64> {
    use kafka_protocol::messages::DescribeProducersRequest;
    use kafka_protocol::messages::describe_producers_request::TopicRequest;
    let topic = TopicRequest::default().with_name(ask::topic_name(TOPIC)).with_partition_indexes(vec![0]);
    let answer = connection.ask(0, &DescribeProducersRequest::default().with_topics(vec![topic]));
    answer.topics[0].partitions[0].active_producers.iter().map(|producer| producer.producer_id.0).collect()
}

/// One idempotent producer that has one partition for itself.
struct Producer {
    id: i64,
    partition: i32,
    /// First sequence and number of records of the batches that are not acknowledged.
    unacknowledged: VecDeque<(i32, i32)>,
    /// The batch behind those.
    next_sequence: i32,
    first_sequence: i32,
    acknowledged: i64,
    sent: i64,
}

impl Producer {
    fn new(connection: &mut Connection, partition: i32) -> Producer {
        let id = new_producer(connection);
        // So that the sequences go round while the test runs.
        let first_sequence = i32::MAX - 150;
        let unacknowledged = VecDeque::new();
        Producer { id, partition, unacknowledged, next_sequence: first_sequence, first_sequence, acknowledged: 0, sent: 0 }
    }

    /// Sends all that is not acknowledged and what comes behind it on a new connection, and reads some of the answers.
    fn session(&mut self, mut connection: Connection, random: &mut Random, rounds: usize) -> io::Result<()> {
        let mut under_way = VecDeque::new();
        let mut again: VecDeque<(i32, i32)> = self.unacknowledged.clone();
        for _ in 0..rounds {
            while under_way.len() < IN_FLIGHT_MAX {
                let (sequence, records) = match again.pop_front() {
                    Some(batch) => batch,
                    None if self.unacknowledged.len() < IN_FLIGHT_MAX => {
                        let records = random.within(1..8) as i32;
                        let batch = (self.next_sequence, records);
                        self.next_sequence = self.next_sequence.wrapping_add(records) & i32::MAX;
                        self.sent += i64::from(records);
                        self.unacknowledged.push_back(batch);
                        batch
                    }
                    None => break,
                };
                let bytes = batch(self.id, 0, sequence, records, ask::now_ms());
                under_way.push_back((sequence, records));
                connection.send_bytes(&frame(sequence, PRODUCE, &ask::produce_request(TOPIC, self.partition, ALL, &bytes)))?;
            }
            for _ in 0..random.within(0..under_way.len() + 1) {
                let (correlation_id, answer) = decode::<ProduceRequest>(PRODUCE, connection.receive_frame()?);
                let (sequence, records) = under_way.pop_front().expect("an answer to each");
                let answer = &answer.responses[0].partition_responses[0];
                // A broker that stops gives its partitions up first.
                if answer.error_code == pagewire::base::ErrorCode::NotLeaderOrFollower.code() {
                    return Err(io::Error::other("the broker is stopping"));
                }
                assert_eq!((correlation_id, answer.error_code, answer.base_offset), (sequence, 0, self.acknowledged));
                assert_eq!(self.unacknowledged.pop_front(), Some((sequence, records)));
                self.acknowledged += i64::from(records);
            }
        }
        Ok(())
    }
}

#[test]
fn whatever_breaks_each_record_is_there_once_and_in_order() {
    let restarts: usize = std::env::var("TEST_KILLS").ok().map_or(6, |text| text.parse().expect("TEST_KILLS is a number"));
    let mut random = Random::seeded();
    let (mut broker, mut connection) = broker_with_a_topic(&[("internal.segment.bytes", "3000")]);
    let mut producers: Vec<_> = (0..2).map(|partition| Producer::new(&mut connection, partition)).collect();
    for restart in 0..=restarts {
        for session in 0..20 {
            for producer in &mut producers {
                let (core, rounds) = (random.within(0..2), random.within(1..12));
                let session_ended = producer.session(broker.connect(core), &mut random, rounds);
                session_ended.unwrap_or_else(|error| panic!("session {session}: {error}"));
            }
        }
        // The broker's end comes while batches and answers are on their way, or right behind them.
        if restart % 2 == 0 {
            std::thread::scope(|scope| {
                for producer in &mut producers {
                    let (connection, mut random) = (broker.connect(0), random.split());
                    scope.spawn(move || producer.session(connection, &mut random, usize::MAX));
                }
                std::thread::sleep(std::time::Duration::from_millis(random.within(5..100) as u64));
                broker.signal(if random.within(0..2) == 0 { "TERM" } else { "KILL" });
            });
            broker.wait();
        } else if random.within(0..2) == 0 {
            broker.stop();
        } else {
            broker.kill();
        }
        broker.start_again(&[]);
    }
    for producer in &mut producers {
        let mut connection = broker.connect(0);
        while !producer.unacknowledged.is_empty() {
            let (sequence, records) = producer.unacknowledged.pop_front().expect("it is not empty");
            let bytes = batch(producer.id, 0, sequence, records, ask::now_ms());
            assert_eq!(send(&mut connection, producer.partition, &bytes), (0, producer.acknowledged));
            producer.acknowledged += i64::from(records);
        }
        assert_eq!(producer.acknowledged, producer.sent);
        assert!(producer.sent > 300, "the sequences went round");
        let found = ask::read(&mut connection, TOPIC, producer.partition, 0);
        let expected: Vec<_> = (0..producer.sent)
            .map(|number| (number, ((i64::from(producer.first_sequence) + number) & i64::from(i32::MAX)).to_string().into_bytes()))
            .collect();
        assert!(found == expected, "partition {}: {} records, {} sent", producer.partition, found.len(), producer.sent);
    }
    broker.stop();
}

#[test]
fn the_log_holds_each_batch_with_its_producer() {
    let (_broker, mut connection) = broker_with_a_topic(&[]);
    let id = new_producer(&mut connection);
    let now = ask::now_ms();
    for sequence in [0, 1, 0, 1, 2, 5, 2] {
        send(&mut connection, 0, &batch(id, 0, sequence, 1, now));
    }
    let stored = ask::fetch(&mut connection, TOPIC, 0, 0).records.unwrap();
    let headers = ask::whole_batches(&stored).into_iter().map(|batch| BatchHeader::parse(batch.0).unwrap());
    let fields: Vec<_> = headers.map(|header| (header.producer_id.0, header.producer_epoch, header.base_sequence)).collect();
    assert_eq!(fields, [(id, 0, 0), (id, 0, 1), (id, 0, 2)]);
}
