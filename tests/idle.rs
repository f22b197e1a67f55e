//! A broker that has nothing to do: next to no processor time, whatever is connected, and little memory for each connection.
//!
//! The bounds are generous, because the machines that run tests are shared and builds for tests are slow; `docs/measurements.md` has what
//! a release build takes. `TEST_IDLE_PERCENT` asks for another bound.

mod broker;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirEntry;
use std::time::{Duration, Instant};

use broker::ask::{self, FETCH};
use broker::{Broker, Connection};

const CONNECTIONS: usize = 2000;
const LONG_POLLS: usize = 1000;
/// Anonymous memory of the broker, per connection. A page for the socket's task and its buffers, and room for the allocator.
const CONNECTION_BYTES_MAX: u64 = 16 << 10;

/// Four executors, whatever the machine has.
const FOUR_CORES: [&str; 2] = ["--cores", "0,1,0,1"];

fn percent_max() -> f64 {
    std::env::var("TEST_IDLE_PERCENT").ok().map_or(4.0, |text| text.parse().expect("TEST_IDLE_PERCENT is a number"))
}

/// Processor time of each thread so far, in ns, proc_pid_schedstat.
fn cpu_ns(broker: &Broker) -> BTreeMap<OsString, u64> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", broker.pid())).expect("the process is ours");
    let of_thread = |thread: DirEntry| {
        // A helper thread may end between the look at the directory and the look at the file.
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), text.split_whitespace().next()?.parse().ok()?))
    };
    threads.filter_map(|thread| of_thread(thread.ok()?)).collect()
}

/// Percent of one processor that the broker takes while nobody asks anything, over `seconds`. The least of three looks: the machine has
/// other work, and what the broker itself does it does in each of them.
fn idle_percent(broker: &Broker, seconds: u64) -> f64 {
    std::thread::sleep(Duration::from_millis(500));
    let look = |_| {
        let (before, begun) = (cpu_ns(broker), Instant::now());
        std::thread::sleep(Duration::from_secs(seconds));
        let spent: u64 = cpu_ns(broker).into_iter().map(|(thread, ns)| ns - before.get(&thread).copied().unwrap_or(0)).sum();
        spent as f64 / begun.elapsed().as_nanos() as f64 * 100.0
    };
    (0..3).map(look).fold(f64::MAX, f64::min)
}

#[test]
fn an_idle_broker_takes_next_to_no_processor() {
    let mut broker = Broker::start(&FOUR_CORES);
    ask::create_topic(&mut broker.connect(0), "t", 100, &[]);
    let percent = idle_percent(&broker, 2);
    eprintln!("idle, 4 cores, 100 partitions: {percent:.3} % of a processor");
    assert!(percent < percent_max(), "{percent:.2} %");
    broker.stop();
}

#[test]
fn a_connection_that_nobody_uses_is_closed_after_the_time_that_was_set() {
    let mut broker = Broker::start(&["--set", "connections.max.idle.ms=2000"]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    // Longer than the limit, and the answer comes nevertheless.
    let answer = connection.ask(FETCH, &ask::fetch_request("t", 0, 0).with_max_wait_ms(4000).with_min_bytes(1));
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    connection.expect_close();
    broker.stop();
}

#[test]
fn idle_connections_and_long_polls_cost_memory_and_nothing_else() {
    let mut broker = Broker::start(&FOUR_CORES);
    ask::create_topic(&mut broker.connect(0), "t", 4, &[]);
    let before = broker.anonymous_bytes();
    let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|number| broker.connect(number % 4)).collect();
    // Each has asked something, as clients do before they fall silent.
    connections.iter_mut().for_each(|connection| _ = ask::describe(connection, "t"));
    let bytes = (broker.anonymous_bytes().saturating_sub(before)) / CONNECTIONS as u64;
    let percent = idle_percent(&broker, 2);
    eprintln!("{CONNECTIONS} idle connections: {percent:.3} % of a processor, {bytes} bytes of memory each");
    assert!(percent < percent_max(), "{percent:.2} %");
    assert!(bytes < CONNECTION_BYTES_MAX, "{bytes} bytes per connection");

    let before = broker.anonymous_bytes();
    for (number, connection) in connections.iter_mut().take(LONG_POLLS).enumerate() {
        let wait = ask::fetch_request("t", number as i32 % 4, 0).with_max_wait_ms(120_000).with_min_bytes(1);
        connection.send(FETCH, &wait);
    }
    let percent = idle_percent(&broker, 2);
    let bytes = (broker.anonymous_bytes().saturating_sub(before)) / LONG_POLLS as u64;
    eprintln!("{LONG_POLLS} idle long polls: {percent:.3} % of a processor, {bytes} bytes of memory each");
    assert!(percent < percent_max(), "{percent:.2} %");
    assert!(bytes < CONNECTION_BYTES_MAX, "{bytes} bytes per long poll");

    // They were all waiting, and all wake.
    let mut writer = broker.connect(0);
    (0..4).for_each(|partition| _ = ask::write(&mut writer, "t", partition, &["now"]));
    for connection in connections.iter_mut().take(LONG_POLLS) {
        let answer = connection.receive::<kafka_protocol::messages::FetchRequest>(FETCH);
        let partition = &answer.responses[0].partitions[0];
        assert_eq!(ask::records_of(partition.records.as_deref().unwrap_or_default()), [(0, b"now".to_vec())]);
    }
    drop(connections);
    broker.stop();
}
