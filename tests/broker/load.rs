//! `pagewire-load` beside a broker: a run in the background, and its check afterwards. And ports that a broker keeps when it starts again.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::pagewire_load;

/// Below the range from which the kernel chooses ports, and no other suite's: those in Python take theirs from 20,000 on, the benchmarks' from 16,000 on.
const FIRST_PORT: u16 = 12_000;
const LAST_PORT: u16 = 15_990;

/// `--listen` for a broker of `cores` cores whose clients are to find it again. Each call gives other ports.
pub fn own_address(cores: u16) -> String {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let span = LAST_PORT - FIRST_PORT;
    // Test binaries that run at the same time begin at different places.
    let start = (std::process::id() % u32::from(span)) as u16;
    loop {
        let port = FIRST_PORT + (start + TAKEN.fetch_add(cores, Ordering::Relaxed)) % span;
        if (port..port + cores).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return format!("127.0.0.1:{port}");
        }
    }
}

/// More than a journal holds before the first batches are acknowledged.
const JOURNAL_UNDER_WAY_BYTES: u64 = 4096;
const PREPARED_WITHIN: Duration = Duration::from_secs(60);

/// A run under way.
pub struct Load {
    child: Child,
    journal: PathBuf,
    said: PathBuf,
}

impl Load {
    /// Starts `pagewire-load` with these arguments; what it says goes to a file beside `journal`.
    pub fn start(journal: &Path, arguments: &str) -> Load {
        let said = journal.with_extension("txt");
        let output = File::create(&said).expect("the test's directory can be written");
        let mut command = Command::new(pagewire_load());
        command
            .args(arguments.split_whitespace())
            .args(["--quiet", "--self-check", "warn"])
            .arg("--journal")
            .arg(journal)
            .stdin(Stdio::null());
        let errors = output.try_clone().expect("a descriptor is free");
        let child = command.stdout(output).stderr(errors).spawn().expect("the load generator was built");
        Load { child, journal: journal.to_owned(), said }
    }

    /// Waits until the run is past its preparations: batches were acknowledged, so a broken connection does not end it any more.
    ///
    /// # Panics
    /// If it ends before.
    pub fn wait_until_it_produces(&mut self) {
        let begun = Instant::now();
        while std::fs::metadata(&self.journal).map_or(0, |journal| journal.len()) < JOURNAL_UNDER_WAY_BYTES {
            assert!(self.is_running() && begun.elapsed() < PREPARED_WITHIN, "{}", std::fs::read_to_string(&self.said).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end of the run and returns what it printed.
    ///
    /// # Panics
    /// If it ended with anything but "nothing was given up".
    pub fn finish(mut self) -> String {
        let status = self.child.wait().expect("the child is ours");
        let said = std::fs::read_to_string(&self.said).expect("it was written");
        assert!(status.success(), "pagewire-load: {status}\n{said}");
        said
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Holds a broker to a journal and returns the verdict's text.
///
/// # Panics
/// If anything is lost, duplicated, reordered, displaced or damaged.
pub fn verify(address: &str, journal: &Path) -> String {
    let output = Command::new(pagewire_load())
        .args(["verify", "--quiet", "--timeout", "60", "--bootstrap", address, "--journal"])
        .arg(journal)
        .output()
        .expect("the load generator was built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    said
}
