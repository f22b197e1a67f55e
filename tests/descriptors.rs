//! Descriptors: clients that take every one they can get take none that a log needs, and an idle partition needs one.

mod broker;

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use broker::{Broker, ask, fresh_dir, serve};

const DESCRIPTORS: usize = 400;

#[test]
fn logs_go_on_when_clients_have_used_up_their_descriptors() {
    let directory = fresh_dir();
    let serve = serve::<&str>(directory.path(), &[]);
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}")).arg(serve.get_program()).args(serve.get_args());
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut broker = Broker::start_command(limited, directory.path());
    let mut connection = broker.connect(0);
    // A sync takes a descriptor of its own for a moment, and so does the next segment.
    ask::create_topic(&mut connection, "t", 2, &[("flush.messages", "1"), ("segment.bytes", "1048576")]);

    let crowd: Vec<TcpStream> = (0..2 * DESCRIPTORS).filter_map(|number| TcpStream::connect(broker.address(number % 2)).ok()).collect();
    assert!(crowd.len() > DESCRIPTORS);
    // It says so, whether it refuses them or has nothing left to accept them with.
    broker.wait_until(|broker| broker.said().contains("connection"));
    std::thread::sleep(Duration::from_millis(200));
    for number in 0..8u8 {
        for partition in 0..2 {
            assert_eq!(ask::write(&mut connection, "t", partition, &[vec![number; 300_000]]), i64::from(number));
        }
    }
    drop(crowd);
    broker.stop();
}

const PARTITIONS: usize = 200;
/// What a broker that does nothing may open meanwhile: a checkpoint that is being written.
const UNRELATED_MAX: usize = 8;

/// What the broker has open.
fn open_descriptors(broker: &Broker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).expect("the process is ours").count()
}

#[test]
fn an_idle_partition_takes_one_descriptor() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    let before = open_descriptors(&broker);
    ask::create_topic(&mut connection, "t", PARTITIONS as i32, &[]);
    let empty = open_descriptors(&broker) - before;
    assert!(empty <= PARTITIONS + UNRELATED_MAX, "{empty} descriptors for {PARTITIONS} empty partitions");
    for partition in 0..PARTITIONS as i32 {
        ask::write(&mut connection, "t", partition, &["a record"]);
    }
    broker.wait_until(|broker| open_descriptors(broker) - before <= PARTITIONS + UNRELATED_MAX);
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let directory = fresh_dir();
    let serve = serve::<&str>(directory.path(), &[]);
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={DESCRIPTORS}:{}", 2 * DESCRIPTORS)).arg(serve.get_program()).args(serve.get_args());
    limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let broker = Broker::start_command(limited, directory.path());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", broker.pid())).expect("the process is ours");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("the kernel tells it");
    let numbers: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers, [2 * DESCRIPTORS, 2 * DESCRIPTORS]);
}
