//! What a start costs: after a clean stop no log data is read, after a crash only what lies behind the recovery points.
//!
//! `TEST_PARTITIONS`, `TEST_BYTES` and `TEST_READY_MS` ask for the full size (`scripts/soak` does).

mod broker;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use broker::{Broker, fresh_dir, pagewire_load};

fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

const MESSAGE_BYTES: u64 = 1000;
const BATCH_BYTES: u64 = 8192;
/// `index.interval.bytes`: how far the last index entry may lie behind the recovery point, apart from a batch.
const INDEX_INTERVAL_BYTES: u64 = 4096;

fn produce(broker: &Broker, partitions: u64, bytes: u64) {
    let output = Command::new(pagewire_load())
        .args(["--mode", "produce", "--quiet", "--self-check", "warn", "--bootstrap", &broker.address(0).to_string()])
        .args(["--partitions", &partitions.to_string(), "--messages", &(bytes / MESSAGE_BYTES).to_string()])
        .args(["--message-bytes", &MESSAGE_BYTES.to_string(), "--batch-bytes", &BATCH_BYTES.to_string()])
        .output()
        .expect("the load generator was built");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// Bytes in all segments.
fn log_bytes(data_dir: &Path) -> u64 {
    let entries = |directory: &Path| std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let folders = entries(data_dir).into_iter().filter(|path| path.is_dir());
    let logs = folders.flat_map(|folder| entries(&folder)).filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.map(|path| path.metadata().unwrap().len()).sum()
}

/// A number in what the broker said, by the words around it.
fn said_number(broker: &Broker, before: &str, after: &str) -> f64 {
    let said = broker.said();
    let number = said.lines().find_map(|line| line.split_once(before)?.1.split_once(after).map(|(number, _)| number.to_owned()));
    number.unwrap_or_else(|| panic!("no {before:?} in:\n{said}")).trim().parse().expect("a number")
}

/// What the process has read from any file so far, proc_pid_io(5).
fn bytes_read(broker: &Broker) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", broker.pid())).expect("the process is ours");
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("the kernel counts").parse().expect("a number")
}

#[test]
fn a_start_reads_only_what_lies_behind_the_recovery_points() {
    let partitions = asked("TEST_PARTITIONS", 200);
    let bytes = asked("TEST_BYTES", 40 << 20);
    let ready_ms_max = asked("TEST_READY_MS", 10_000) as f64;
    let directory = fresh_dir();
    let mut broker = Broker::start_in(directory.path(), &[]);
    produce(&broker, partitions, bytes);
    let stopping = Instant::now();
    broker.stop();
    let data = log_bytes(directory.path());
    eprintln!("{partitions} partitions, {data} bytes; stopped in {:.0} ms", stopping.elapsed().as_secs_f64() * 1000.0);
    assert!(data >= bytes / 10 * 9, "{data} bytes in the segments");

    broker.start_again(&[]);
    let ready_ms = said_number(&broker, "ready after", "ms");
    eprintln!("clean start: ready after {ready_ms} ms, 0 bytes of log read, {} bytes of all files", bytes_read(&broker));
    assert!(broker.said().contains(" after a clean stop, 0 bytes of log read"), "{}", broker.said());
    // Most logs are opened behind the first requests.
    broker.wait_until(|broker| broker.said().contains(&format!("all {partitions} partitions are open, 0 bytes of log read")));
    assert!(ready_ms <= ready_ms_max, "ready after {ready_ms} ms");
    // Not only by its own account.
    assert!(bytes_read(&broker) < data / 10 + (4 << 20), "{} bytes of files read", bytes_read(&broker));

    let more = bytes / 40;
    produce(&broker, partitions, more);
    broker.kill();
    let behind = log_bytes(directory.path()) - data;
    broker.start_again(&[]);
    let checked = said_number(&broker, "after an unclean stop,", "bytes of log checked") as u64;
    let ready_ms = said_number(&broker, "ready after", "ms");
    eprintln!("unclean start: ready after {ready_ms} ms, {checked} bytes of log checked, {behind} lay behind the recovery points");
    assert!(checked >= behind, "{checked} of {behind} bytes behind the recovery points were checked");
    let slack = partitions * (INDEX_INTERVAL_BYTES + 2 * BATCH_BYTES);
    assert!(checked <= behind + slack, "{checked} bytes checked, {behind} behind the recovery points");

    // What was recovered is known to be on the disk: a second crash costs no second check.
    broker.kill();
    broker.start_again(&[]);
    let checked = said_number(&broker, "after an unclean stop,", "bytes of log checked") as u64;
    assert!(checked <= slack, "{checked} bytes checked again");
    broker.stop();
}
