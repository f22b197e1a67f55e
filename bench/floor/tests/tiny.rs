//! The floor and the light client on a tiny input: what is appended comes back, by every way.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A port that nobody listens on and no call gave before, below the range from which the kernel gives them away and where no other suite takes any.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(18_000);
    let mut ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(1_000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

struct Floor {
    process: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Floor {
    fn start(way: &str) -> Floor {
        Floor::start_with(way, &[])
    }

    fn start_with(way: &str, arguments: &[&str]) -> Floor {
        let port = free_port();
        let (address, directory) = (format!("127.0.0.1:{port}"), tempfile::tempdir().unwrap());
        let process = Command::new(env!("CARGO_BIN_EXE_pagewire-floor"))
            .args(["--listen", &address, "--way", way, "--file"])
            .arg(directory.path().join("log"))
            .args(arguments)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the floor never listened");
            std::thread::sleep(Duration::from_millis(10));
        }
        Floor { process, address, directory }
    }

    fn drive(&self, arguments: &[&str]) -> serde_json::Value {
        let pid = self.process.id().to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_pagewire-drive"))
            .args(["--address", &self.address, "--pid", &pid, "--batch-bytes", "4096"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn what_is_appended_is_served_by_every_way() {
    for way in ["sendfile", "splice", "copy"] {
        let floor = Floor::start(way);
        let ingested = floor.drive(&["--connections", "4", "--requests", "200", "ingest", "--pipeline", "5"]);
        assert_eq!(ingested["requests"], 200);
        let stored = std::fs::metadata(floor.directory.path().join("log")).unwrap().len();
        // Requests that were under way at the end are stored too.
        assert!(stored >= ingested["bytes"].as_u64().unwrap());
        let served = floor.drive(&["--connections", "2", "--requests", "40", "serve", "--range-bytes", "65536", "--batches", "200"]);
        assert_eq!(served["requests"], 40);
        assert!(served["bytes"].as_u64().unwrap() > 40 * 50_000, "whole ranges came: {served}");
    }
}

#[test]
fn full_files_are_left_for_others_and_removed() {
    let floor = Floor::start_with("sendfile", &["--file-bytes-max", "20000", "--full-files-max", "2"]);
    floor.drive(&["--connections", "1", "--requests", "40", "ingest", "--pipeline", "1"]);
    let files = || std::fs::read_dir(floor.directory.path()).unwrap().count();
    let begun = Instant::now();
    // Two full ones and the one in use.
    while files() > 3 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} files stayed", files());
        std::thread::sleep(Duration::from_millis(10));
    }
    let sizes: Vec<u64> =
        std::fs::read_dir(floor.directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= 20_000), "{sizes:?}");
    assert!(!floor.directory.path().join("log").exists(), "the oldest goes first");
}

#[test]
fn an_open_loop_sends_nothing_early_and_its_tail_reads_everything() {
    let floor = Floor::start("sendfile");
    let batch = pagewire_floor::batches::Batch::of(1024, 0).bytes;
    let pace = |tail_from| pagewire_floor::paced_client::Pace {
        address: floor.address.parse().unwrap(),
        topic: "bench".into(),
        partitions: 1,
        producers: 3,
        batch: batch.clone(),
        requests: 200,
        requests_per_second: 2000.0,
        tail_from,
        is_spinning: false,
    };
    for tail_from in [None, Some(200)] {
        let outcome = pagewire_floor::paced_client::run(&pace(tail_from)).unwrap();
        assert_eq!((outcome.requests, outcome.bytes), (200, 200 * batch.len() as u64));
        assert!(outcome.elapsed >= Duration::from_micros(199 * 500), "{:?}", outcome.elapsed);
        assert_eq!(outcome.produce_ns.len(), 200);
        assert_eq!(outcome.end_to_end_ns.len(), if tail_from.is_some() { 200 } else { 0 });
    }
}
