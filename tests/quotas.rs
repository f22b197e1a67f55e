//! Client quotas: limited clients are told to be silent and are not heard meanwhile, over all cores together; everybody else notices nothing.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::time::{Duration, Instant};

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_response::EntryData as Described;
use kafka_protocol::messages::{AlterClientQuotasRequest, ApiVersionsRequest, DescribeClientQuotasRequest, ProduceRequest};

use broker::ask::text;
use broker::connection::frame;
use broker::{Broker, Connection, PATIENCE, ask};

/// The client id of every [`Connection`].
const CLIENT: &str = "test";
const PRODUCER: &str = "producer_byte_rate";
const CONSUMER: &str = "consumer_byte_rate";
/// A client may use at once what so many seconds allow: Kafka's eleven windows but one.
const BURST_S: i64 = 10;

/// Sets or, with no rate, takes away one quota of an entity.
fn set(connection: &mut Connection, entity: &[(&str, Option<&str>)], key: &str, rate: Option<i64>) {
    let part = |(kind, name): &(&str, Option<&str>)| EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text));
    let operation = OpData::default().with_key(text(key)).with_value(rate.unwrap_or(0) as f64).with_remove(rate.is_none());
    let entry = EntryData::default().with_entity(entity.iter().map(part).collect()).with_ops(vec![operation]);
    let answer = connection.ask(1, &AlterClientQuotasRequest::default().with_entries(vec![entry]));
    assert_eq!(answer.entries[0].error_code, 0, "{:?}", answer.entries[0].error_message);
}

fn described(connection: &mut Connection) -> Vec<Described> {
    connection.ask(1, &DescribeClientQuotasRequest::default()).entries.unwrap()
}

/// Produces one batch of about so many bytes; returns the bytes of the request and the time to be silent.
fn produce(connection: &mut Connection, partition: i32, bytes: usize) -> (i64, i64) {
    let request = ask::produce_request("t", partition, ask::ALL, &ask::batch_of(&[vec![b'x'; bytes]]));
    let sent = frame(1, ask::PRODUCE, &request).len() as i64 - 4;
    let answer = connection.ask(ask::PRODUCE, &request);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    (sent, i64::from(answer.throttle_time_ms))
}

fn broker_with_a_topic() -> (Broker, Connection) {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    (broker, connection)
}

#[test]
fn a_producer_is_told_what_kafka_would_tell_it_and_not_heard_meanwhile() {
    const RATE: i64 = 100_000;
    let (broker, mut admin) = broker_with_a_topic();
    let mut producer = broker.connect(0);
    assert_eq!(produce(&mut producer, 0, 1_000_000).1, 0, "no quota, no limit");
    set(&mut admin, &[("client-id", Some(CLIENT))], PRODUCER, Some(RATE));
    let begun = Instant::now();
    let mut used = 0;
    let throttle_ms = loop {
        let (bytes, throttle_ms) = produce(&mut producer, 0, 50_000);
        used += bytes;
        // (O - T) / T * W, where W is ten windows and what has passed of the eleventh.
        let needed_ms = used * 1000 / RATE;
        let over_ms = BURST_S * 1000 + begun.elapsed().as_millis() as i64;
        assert!(throttle_ms <= (needed_ms - BURST_S * 1000).max(0), "{throttle_ms} ms for {used} bytes");
        assert!(throttle_ms >= needed_ms - over_ms - 1, "{throttle_ms} ms for {used} bytes");
        if throttle_ms > 0 {
            break throttle_ms;
        }
        assert!(used <= (BURST_S + 12) * RATE, "never told to be silent");
    };
    let told = Instant::now();
    producer.ask(0, &ApiVersionsRequest::default());
    assert!(told.elapsed() >= Duration::from_millis(throttle_ms as u64 / 2), "answered within {:?} of {throttle_ms} ms", told.elapsed());

    // Taken away, it is no limit any more, at once.
    set(&mut admin, &[("client-id", Some(CLIENT))], PRODUCER, None);
    assert_eq!(produce(&mut producer, 0, 1_000_000).1, 0);
}

#[test]
fn without_an_answer_the_connection_is_silenced_too() {
    let (broker, mut admin) = broker_with_a_topic();
    set(&mut admin, &[("client-id", None)], PRODUCER, Some(50_000));
    let core = ask::owner(&mut admin, "t", 0);
    let mut producer = broker.connect(core);
    // Two seconds more than the burst.
    producer.send(ask::PRODUCE, &ask::produce_request("t", 0, 0, &ask::batch_of(&[vec![b'x'; 600_000]])));
    let begun = Instant::now();
    // What is read together with it is answered with it: the next request comes once it is stored.
    while ask::end_offset(&mut admin, "t", 0) == 0 {
        assert!(begun.elapsed() < PATIENCE);
    }
    let stored = Instant::now();
    producer.ask(0, &ApiVersionsRequest::default());
    assert!(stored.elapsed() >= Duration::from_millis(500), "{:?}", stored.elapsed());
}

#[test]
fn all_cores_count_together() {
    const RATE: i64 = 100_000;
    let (broker, mut admin) = broker_with_a_topic();
    set(&mut admin, &[("client-id", Some(CLIENT))], PRODUCER, Some(RATE));
    // Each of them alone stays within its burst; the second may have heard of the first by then.
    let almost = (BURST_S * RATE / 10 * 9) as usize;
    assert_eq!(produce(&mut broker.connect(0), 0, almost).1, 0);
    produce(&mut broker.connect(1), 0, almost);
    // They hear of each other soon; then the sum counts.
    for core in [0, 1] {
        let begun = Instant::now();
        loop {
            let (_, throttle_ms) = produce(&mut broker.connect(core), 0, 1);
            if throttle_ms > 0 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "core {core} never hears of the other's bytes");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_consumer_gets_an_empty_answer_and_its_session_goes_on() {
    const RATE: i64 = 20_000;
    let (broker, mut admin) = broker_with_a_topic();
    for _ in 0..30 {
        produce(&mut admin, 0, 20_000);
    }
    set(&mut admin, &[("client-id", Some(CLIENT))], CONSUMER, Some(RATE));
    let mut consumer = broker.connect(0);
    let mut request = ask::fetch_request("t", 0, 0).with_session_epoch(0);
    let answer = consumer.ask(ask::FETCH, &request);
    let bytes = answer.responses[0].partitions[0].records.as_ref().unwrap().len() as i64;
    assert_eq!((answer.throttle_time_ms, answer.session_id > 0), (0, true));
    assert!(bytes > RATE && bytes <= BURST_S * RATE, "one answer is never larger than what is allowed: {bytes}");

    // Another connection of the same client.
    let mut other = broker.connect(0);
    let throttled = other.ask(ask::FETCH, &ask::fetch_request("t", 0, 0).with_session_epoch(0));
    assert!(throttled.throttle_time_ms > 0, "{throttled:?}");
    assert_eq!((throttled.error_code, throttled.session_id, throttled.responses.len()), (0, 0, 0));

    // The session counts the throttled answer as one of its own.
    request = request.with_session_id(answer.session_id).with_session_epoch(1);
    let throttled = consumer.ask(ask::FETCH, &request);
    assert!(throttled.throttle_time_ms > 0);
    assert_eq!((throttled.error_code, throttled.session_id, throttled.responses.len()), (0, answer.session_id, 0));
    set(&mut admin, &[("client-id", Some(CLIENT))], CONSUMER, None);
    request = request.with_session_epoch(2).with_topics(Vec::new());
    // Not on the connection that is silenced: any connection to this core may go on with the session.
    let again = broker.connect(0).ask(ask::FETCH, &request);
    assert_eq!((again.error_code, again.throttle_time_ms), (0, 0));
    assert!(
        again.responses[0].partitions[0].records.as_ref().unwrap().len() as i64 > BURST_S * RATE,
        "nothing was lost, nothing limits any more"
    );
}

#[test]
fn a_batch_that_is_larger_than_the_quota_reaches_its_reader() {
    let (broker, mut admin) = broker_with_a_topic();
    produce(&mut admin, 0, 500_000);
    set(&mut admin, &[("client-id", None)], CONSUMER, Some(1000));
    let answer = broker.connect(0).ask(ask::FETCH, &ask::fetch_request("t", 0, 0));
    assert!(answer.responses[0].partitions[0].records.as_ref().unwrap().len() > 500_000);
    let throttled = broker.connect(0).ask(ask::FETCH, &ask::fetch_request("t", 0, 0));
    assert!(throttled.throttle_time_ms > 400_000, "{throttled:?}");
}

#[test]
fn the_most_special_quota_counts_and_all_survive_a_restart() {
    let (mut broker, mut admin) = broker_with_a_topic();
    set(&mut admin, &[("client-id", None)], PRODUCER, Some(1000));
    set(&mut admin, &[("client-id", Some(CLIENT))], PRODUCER, Some(1_000_000_000));
    set(&mut admin, &[("user", Some("alice"))], PRODUCER, Some(1));
    set(&mut admin, &[("client-id", Some("somebody else"))], CONSUMER, Some(1));
    assert_eq!(produce(&mut admin, 0, 100_000).1, 0, "its own quota is large, the others' are not its");
    let before = described(&mut admin);
    assert_eq!(before.len(), 4);
    broker.stop();
    broker.start_again(&[]);
    let mut admin = broker.connect(1);
    assert_eq!(described(&mut admin), before);
    assert_eq!(produce(&mut admin, 0, 100_000).1, 0);
    // Everybody who has not said who he is is the user ANONYMOUS.
    set(&mut admin, &[("user", Some("ANONYMOUS"))], PRODUCER, Some(1000));
    assert!(produce(&mut broker.connect(0), 0, 100_000).1 > 0);
}

#[test]
fn requests_that_are_under_way_together_are_all_counted_and_answered() {
    let (broker, mut admin) = broker_with_a_topic();
    set(&mut admin, &[("client-id", None)], PRODUCER, Some(100_000));
    let mut producer = broker.connect(0);
    for partition in [0, 1, 0, 1] {
        producer.send(ask::PRODUCE, &ask::produce_request("t", partition, ask::ALL, &ask::batch_of(&[vec![b'x'; 300_000]])));
    }
    let begun = Instant::now();
    let mut told = Vec::new();
    for _ in 0..4 {
        let (_, answer) = broker::connection::decode::<ProduceRequest>(ask::PRODUCE, producer.receive_frame().unwrap());
        told.push(answer.throttle_time_ms);
    }
    assert_eq!(told[..3], [0, 0, 0]);
    assert!(told[3] > 0 && begun.elapsed() < PATIENCE, "{told:?}");
}
