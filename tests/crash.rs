//! kill -9: what was acknowledged is there afterwards, whatever moment it comes in. Records under load, and topics that come and go.
//!
//! The process dies and the page cache lives, but a write may be cut short at any page: the batch at a log's end was not acknowledged
//! then, and recovery cuts it. For a dying machine see `damage.rs`. `TEST_KILLS` asks for more kills than the few
//! of the test suite (`scripts/soak` does).

mod broker;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use broker::ask::{self, ALL, CREATE_TOPICS, PRODUCE};
use broker::connection::{decode, frame};
use broker::load::{Load, own_address, verify};
use broker::random::Random;
use broker::{Broker, Connection, RaisedAtTheEnd, fresh_dir};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use pagewire::base::ErrorCode;
use pagewire::log::data_dir;

/// How often each test kills its broker.
fn kills() -> usize {
    std::env::var("TEST_KILLS").ok().map_or(4, |text| text.parse().expect("TEST_KILLS is a number"))
}

#[test]
fn two_cores_keep_what_they_acknowledged_to_all() {
    // Segments of a few hundred batches roll between any two kills.
    kill_under_load("0,1", "--acks all --partitions 6 --producers 2 --batch-bytes 4K --topic-config segment.bytes=1048576");
}

#[test]
fn one_core_keeps_what_the_leader_acknowledged() {
    kill_under_load("0", "--acks 1 --partitions 3 --codec lz4 --batch-bytes 32K --topic-config segment.bytes=4194304");
}

/// One load generator that goes on through all kills, and must find everything at the end; again after a clean stop.
fn kill_under_load(cores: &str, load: &str) {
    let directory = fresh_dir();
    let journal = directory.path().join("journal");
    let data_dir = directory.path().join("data");
    let address = own_address(2);
    let arguments = ["--cores", cores, "--listen", &address];
    let mut random = Random::seeded();
    let mut broker = Broker::start_in(&data_dir, &arguments);
    // Paced, so that it is the number of kills and not the speed of the machine that says how much there is to check.
    let rate = 20_000;
    // Kills come every 0.7 s, and a start takes its time.
    let duration_s = kills() as u64 * 3 / 2 + 3;
    let load = format!("--bootstrap {address} --mode produce --message-bytes 200 --rate {rate} --duration {duration_s}s {load}");
    let mut load = Load::start(&journal, &load);
    load.wait_until_it_produces();
    for kill in 0..kills() {
        thread::sleep(Duration::from_millis(random.within(100..1200) as u64));
        assert!(load.is_running(), "the load ended before kill {kill}");
        broker.kill();
        broker = Broker::start_in(&data_dir, &arguments);
        assert!(kill == 0 || broker.said().contains("after an unclean stop"), "{}", broker.said());
    }
    let said = load.finish();
    assert!(kills() == 0 || said.contains("broken or refused connections"), "the load generator met no kill:\n{said}");
    let verdict = verify(&address, &journal);
    eprintln!("{} kills: {}", kills(), verdict.lines().filter(|line| line.contains("acknowledged")).collect::<String>());
    broker.kill();
    broker = Broker::start_in(&data_dir, &arguments);
    verify(&address, &journal);
    broker.stop();
    broker = Broker::start_in(&data_dir, &arguments);
    assert!(broker.said().contains("after a clean stop, 0 bytes of log read"), "{}", broker.said());
    verify(&address, &journal);
}

/// What the test knows of a topic name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Absent,
    /// With this many records acknowledged in partition 0.
    Present(i64),
    /// A request was under way when the broker died.
    Unsure,
}

type Names = BTreeMap<String, Known>;

const STORM_THREADS: usize = 3;
const NAMES_PER_THREAD: usize = 4;
const STORM_PARTITIONS: i32 = 3;

#[test]
fn topics_that_come_and_go_are_what_was_acknowledged() {
    let directory = fresh_dir();
    let data_dir = directory.path().join("data");
    let mut random = Random::seeded();
    let mut storms: Vec<Names> = (0..STORM_THREADS)
        .map(|storm| (0..NAMES_PER_THREAD).map(|number| (format!("storm{storm}-{number}"), Known::Absent)).collect())
        .collect();
    let mut broker = Broker::start_in(&data_dir, &[]);
    for kill in 0..2 * kills() {
        let over = AtomicBool::new(false);
        let randoms: Vec<Random> = storms.iter().map(|_| random.split()).collect();
        thread::scope(|scope| {
            let _raised = RaisedAtTheEnd(&over);
            for (names, random) in storms.iter_mut().zip(randoms) {
                let (broker, over) = (&broker, &over);
                let connection = broker.connect(0);
                scope.spawn(move || storm(connection, names, random, over));
            }
            thread::sleep(Duration::from_millis(random.within(50..400) as u64));
            // Every third time a stop in good order; requests under way are cut off all the same.
            broker.signal(if kill % 3 == 2 { "TERM" } else { "KILL" });
        });
        let ended = broker.wait();
        assert!(kill % 3 != 2 || ended.status.success(), "{}", ended.said);
        broker = Broker::start_in(&data_dir, &[]);
        compare(&mut broker, &mut storms);
    }
}

/// Creates, deletes and fills topics until the broker is gone.
fn storm(mut connection: Connection, names: &mut Names, mut random: Random, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let place = random.within(0..names.len());
        let (name, known) = names.iter_mut().nth(place).expect("it is below the length");
        let before = std::mem::replace(known, Known::Unsure);
        let answered = match before {
            Known::Absent => create(&mut connection, name).map(|()| Known::Present(0)),
            Known::Present(records) if random.within(0..10) < 6 => {
                write(&mut connection, name, records).map(|()| Known::Present(records + 1))
            }
            Known::Present(_) => delete(&mut connection, name).map(|()| Known::Absent),
            Known::Unsure => unreachable!("settled by `compare`"),
        };
        match answered {
            Ok(after) => *known = after,
            Err(_) => return,
        }
    }
}

/// Sends a request and waits for its answer; the broker may die meanwhile.
fn try_ask<R: Request>(connection: &mut Connection, version: i16, request: &R) -> io::Result<R::Response> {
    connection.send_bytes(&frame(1, version, request))?;
    Ok(decode::<R>(version, connection.receive_frame()?).1)
}

/// What a broker answers that stops: the request was not performed, or nobody knows.
fn unless_stopping(error_code: i16) -> io::Result<i16> {
    match error_code {
        code if code == ErrorCode::NotController.code() || code == ErrorCode::NotLeaderOrFollower.code() => {
            Err(io::Error::other("the broker is stopping"))
        }
        code => Ok(code),
    }
}

fn create(connection: &mut Connection, name: &str) -> io::Result<()> {
    let answer = try_ask(connection, CREATE_TOPICS, &ask::create_topics_request(name, STORM_PARTITIONS, &[]))?;
    assert_eq!(unless_stopping(answer.topics[0].error_code)?, 0, "create {name}: {:?}", answer.topics[0].error_message);
    Ok(())
}

fn delete(connection: &mut Connection, name: &str) -> io::Result<()> {
    let topic = DeleteTopicState::default().with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))));
    let answer = try_ask(connection, 6, &DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000))?;
    assert_eq!(unless_stopping(answer.responses[0].error_code)?, 0, "delete {name}: {:?}", answer.responses[0].error_message);
    Ok(())
}

/// The `records`-th record of a topic: its number, so that a record of an earlier topic of that name is noticed.
fn write(connection: &mut Connection, name: &str, records: i64) -> io::Result<()> {
    let answer = try_ask(connection, PRODUCE, &ask::produce_request(name, 0, ALL, &ask::batch_of(&[records.to_string()])))?;
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!((unless_stopping(answer.error_code)?, answer.base_offset), (0, records), "produce to {name}");
    Ok(())
}

/// Holds topics, records and directories against what was acknowledged, and settles what nobody could know.
fn compare(broker: &mut Broker, storms: &mut [Names]) {
    let mut connection = broker.connect(1);
    let all = connection.ask(ask::METADATA, &MetadataRequest::default().with_topics(None));
    let there: BTreeSet<String> = all.topics.iter().map(|topic| topic.name.as_ref().expect("it has one").to_string()).collect();
    for (name, known) in storms.iter_mut().flatten() {
        let is_there = there.contains(name);
        match known {
            Known::Absent => assert!(!is_there, "{name} was deleted"),
            Known::Present(_) => assert!(is_there, "{name} was created"),
            Known::Unsure if !is_there => *known = Known::Absent,
            Known::Unsure => *known = Known::Present(ask::end_offset(&mut connection, name, 0)),
        }
        if let Known::Present(records) = *known {
            let expected: Vec<(i64, Vec<u8>)> = (0..records).map(|number| (number, number.to_string().into_bytes())).collect();
            assert_eq!(ask::read(&mut connection, name, 0, 0), expected, "{name}");
            assert_eq!(ask::describe(&mut connection, name).partitions.len(), STORM_PARTITIONS as usize);
        }
    }
    let wanted: BTreeSet<String> =
        there.iter().flat_map(|name| (0..STORM_PARTITIONS).map(move |partition| format!("{name}-{partition}"))).collect();
    let data_dir = broker.data_dir.clone();
    // What is left of deleted topics goes in the background.
    broker.wait_until(|_| data_dir::scan(&data_dir).is_ok_and(|found| found.to_delete.is_empty()));
    assert_eq!(partition_directories(&data_dir), wanted);
}

fn partition_directories(data_dir: &Path) -> BTreeSet<String> {
    let found = data_dir::scan(data_dir).expect("the data directory is there");
    assert!(found.stray.is_empty() && found.unknown.is_empty(), "{found:?}");
    found.partitions.iter().map(|folder| format!("{}-{}", folder.topic, folder.partition)).collect()
}
