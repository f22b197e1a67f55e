//! Logs that are opened behind the first requests: after a clean stop a broker with many partitions answers before all of them are open.
//!
//! Whether a request comes before its log is a matter of luck each time; every test makes it likely often. Nothing here depends on it.

mod broker;

use std::collections::BTreeSet;

use broker::{Broker, ask, fresh_dir};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

const PARTITIONS: i32 = 600;
/// Far behind in the order in which logs are opened.
const LAST: i32 = PARTITIONS - 1;
const KAFKA_STORAGE_ERROR: i16 = 56;

/// A broker with many partitions, stopped cleanly. Each hundredth and the last have a record.
fn stopped(data_dir: &std::path::Path) -> Broker {
    let mut broker = Broker::start_in(data_dir, &[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "many", PARTITIONS, &[]);
    for partition in with_records() {
        assert_eq!(ask::write(&mut connection, "many", partition, &[format!("first of {partition}")]), 0);
    }
    drop(connection);
    broker.stop();
    broker
}

fn with_records() -> impl Iterator<Item = i32> {
    (0..PARTITIONS).step_by(100).chain([LAST])
}

fn all_are_open(broker: &Broker) -> bool {
    broker.said().contains("partitions are open")
}

#[test]
fn requests_find_partitions_whose_logs_are_opened_behind_the_start() {
    let data_dir = fresh_dir();
    let mut broker = stopped(data_dir.path());
    for round in 1..=3 {
        broker.start_again(&[]);
        // The owner's core, and one that has to ask it.
        for core in 0..2 {
            let mut connection = broker.connect(core);
            let offset = ask::write(&mut connection, "many", LAST, &["next"]);
            assert_eq!(ask::end_offset(&mut connection, "many", LAST), offset + 1);
        }
        let mut connection = broker.connect(1);
        for partition in with_records() {
            let records = ask::read(&mut connection, "many", partition, 0);
            assert_eq!(records[0], (0, format!("first of {partition}").into_bytes()));
            assert_eq!(records.len(), if partition == LAST { 1 + 2 * round } else { 1 });
        }
        let said = broker.said();
        assert!(said.contains(&format!(" of {PARTITIONS} opened in ")) && said.contains(" 0 bytes of log read; the others"), "{said}");
        broker.wait_until(all_are_open);
        broker.stop();
    }
}

#[test]
fn whoever_asks_for_all_partitions_waits_for_all() {
    let data_dir = fresh_dir();
    let mut broker = stopped(data_dir.path());
    broker.start_again(&["--advertise", "per-node"]);
    let request = DescribeLogDirsRequest::default().with_topics(None);
    let answer: DescribeLogDirsResponse = broker.connect(0).ask(ask::newest::<DescribeLogDirsRequest>(), &request);
    let partitions: BTreeSet<i32> =
        answer.results[0].topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.partition_index).collect();
    assert_eq!(partitions, (0..PARTITIONS).collect());
    broker.stop();
}

#[test]
fn a_stop_and_a_change_that_come_at_once_find_every_log() {
    let data_dir = fresh_dir();
    let mut broker = stopped(data_dir.path());
    for round in 0..5 {
        broker.start_again(&[]);
        ask::create_topic(&mut broker.connect(0), &format!("new-{round}"), 1, &[]);
        broker.stop();
        broker.start_again(&[]);
        let said = broker.said();
        assert!(said.contains(" after a clean stop, 0 bytes of log read"), "{said}");
        broker.stop();
    }
    broker.start_again(&[]);
    ask::delete_topic(&mut broker.connect(0), "many");
    broker.stop();
    let left = std::fs::read_dir(data_dir.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(left, 5, "the directories of the other topics");
}

#[test]
fn a_crash_while_logs_are_opened_loses_nothing() {
    let data_dir = fresh_dir();
    let mut broker = stopped(data_dir.path());
    for round in 1..=3 {
        broker.start_again(&[]);
        assert_eq!(ask::write(&mut broker.connect(0), "many", LAST, &["kept"]), round);
        broker.kill();
        broker.start_again(&[]);
        let mut connection = broker.connect(0);
        assert_eq!(ask::read(&mut connection, "many", LAST, 0).len() as i64, 1 + round);
        for partition in with_records().filter(|partition| *partition != LAST) {
            assert_eq!(ask::read(&mut connection, "many", partition, 0).len(), 1);
        }
        broker.stop();
    }
}

#[test]
fn a_log_that_cannot_be_opened_behind_the_start_stays_offline_alone() {
    let data_dir = fresh_dir();
    let mut broker = stopped(data_dir.path());
    // A file where the folder was: nothing of it can be opened.
    let (folder, aside) = (data_dir.path().join(format!("many-{LAST}")), data_dir.path().join("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "").unwrap();
    broker.start_again(&[]);
    for core in 0..2 {
        let mut connection = broker.connect(core);
        assert_eq!(ask::produce(&mut connection, "many", LAST, &ask::batch_of(&["x"])).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(ask::fetch(&mut connection, "many", LAST, 0).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(ask::read(&mut connection, "many", 500, 0).len(), 1);
    }
    broker.wait_until(all_are_open);
    let said = broker.said();
    assert!(said.contains(&format!("many-{LAST} stays offline")), "{said}");
    let ended = broker.terminate();
    assert!(!ended.status.success() && ended.said.contains("did not stop cleanly"), "{}", ended.said);
    let checkpoint = std::fs::read_to_string(data_dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert!(checkpoint.lines().any(|line| line == format!("many {LAST} 1")), "its lines are kept: {checkpoint}");

    // Mended, it is there again.
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    broker.start_again(&[]);
    assert_eq!(ask::read(&mut broker.connect(0), "many", LAST, 0).len(), 1);
    broker.stop();
}
