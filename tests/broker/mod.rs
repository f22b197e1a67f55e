//! The built broker as a process: start it on free ports with a directory of its own, stop it, kill it, weigh it.
//!
//! For integration tests; each takes it with `mod broker;`. Invariants: no broker outlives its `Broker`; a test that fails prints
//! what its broker said.

// Every test file compiles this module for itself and uses its own part of it.
#![allow(dead_code, unused_imports)]
// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod ask;
pub mod command;
pub mod connection;
pub mod load;
pub mod members;
pub mod raised;
pub mod random;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use connection::Connection;
pub use raised::RaisedAtTheEnd;

/// Generous: the machines that run tests are slow and shared.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A start or a stop may have gigabytes to sync.
const START_STOP_PATIENCE: Duration = Duration::from_secs(300);

/// A broker that runs.
pub struct Broker {
    child: Child,
    /// Where each core listens; one entry with `--advertise per-node`.
    pub ports: Vec<u16>,
    pub data_dir: PathBuf,
    said: Said,
    /// Removed with the broker, unless the test brought its own directory.
    own_dir: Option<TempDir>,
}

/// How a process ended and what it said on standard error.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub said: String,
}

/// The built broker, or the one in the directory `TEST_BINARIES`: tests built for debugging can drive a release build.
pub fn pagewire() -> PathBuf {
    binary("pagewire", env!("CARGO_BIN_EXE_pagewire"))
}

/// The built load generator, or the one in `TEST_BINARIES`.
pub fn pagewire_load() -> PathBuf {
    binary("pagewire-load", env!("CARGO_BIN_EXE_pagewire-load"))
}

fn binary(name: &str, built: &str) -> PathBuf {
    std::env::var_os("TEST_BINARIES").map_or_else(|| built.into(), |directory| Path::new(&directory).join(name))
}

/// A directory on the disk that the build uses, which is no tmpfs.
pub fn fresh_dir() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the build directory can be written")
}

/// `pagewire serve` on two cores and ports that the kernel chooses, with `arguments` behind that.
pub fn serve<A: AsRef<OsStr>>(data_dir: &Path, arguments: &[A]) -> Command {
    let mut command = Command::new(pagewire());
    command.args(["serve", "--data-dir"]).arg(data_dir).args(arguments);
    let is_given = |flag: &str| arguments.iter().any(|argument| argument.as_ref() == flag);
    for (flag, value) in [("--listen", "127.0.0.1:0"), ("--cores", "0,1")] {
        if !is_given(flag) {
            command.args([flag, value]);
        }
    }
    command.env("RUST_BACKTRACE", "1").env_remove("PAGEWIRE_CONFIG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Starts `pagewire serve` where it must refuse to, and returns what it said.
///
/// # Panics
/// If it is still running after [`PATIENCE`].
pub fn serve_and_fail<A: AsRef<OsStr>>(data_dir: &Path, arguments: &[A]) -> Ended {
    let mut child = serve(data_dir, arguments).spawn().expect("the broker was built");
    let mut said = Said::listen_to(&mut child);
    let status = wait(&mut child).unwrap_or_else(|| {
        let _ = child.kill();
        panic!("the broker was expected to refuse to start, and runs:\n{}", said.text());
    });
    Ended { status, said: said.until_its_end() }
}

impl Broker {
    /// Two cores, a directory of its own, and `arguments` such as `["--set", "num.partitions=4"]`.
    pub fn start(arguments: &[&str]) -> Broker {
        let own_dir = fresh_dir();
        let mut broker = Broker::start_in(own_dir.path(), arguments);
        broker.own_dir = Some(own_dir);
        broker
    }

    /// As [`start`](Broker::start), in a directory that the test keeps.
    pub fn start_in(data_dir: &Path, arguments: &[&str]) -> Broker {
        Broker::start_command(serve(data_dir, arguments), data_dir)
    }

    /// Runs a command made with [`serve`] that the test has changed.
    pub fn start_command(mut command: Command, data_dir: &Path) -> Broker {
        let mut child = command.spawn().expect("the broker was built");
        let said = Said::listen_to(&mut child);
        let mut broker = Broker { child, ports: Vec::new(), data_dir: data_dir.to_owned(), said, own_dir: None };
        broker.wait_until(|broker| broker.said.text().lines().any(|line| line.starts_with("ready after")));
        broker.ports = ports(&broker.said.text());
        broker
    }

    /// Starts again in the same directory. The ports are others.
    pub fn start_again(&mut self, arguments: &[&str]) {
        let own_dir = self.own_dir.take();
        let data_dir = self.data_dir.clone();
        *self = Broker::start_in(&data_dir, arguments);
        self.own_dir = own_dir;
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said on standard error so far.
    pub fn said(&self) -> String {
        self.said.text()
    }

    /// Where core `core` listens.
    pub fn address(&self, core: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[core]))
    }

    /// A connection to core `core`.
    pub fn connect(&self, core: usize) -> Connection {
        Connection::open(self.address(core))
    }

    /// Resident memory that is no file's: anonymous pages, in bytes.
    pub fn anonymous_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the broker runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the kernel tells RssAnon");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number of KiB") * 1024
    }

    /// The most memory it has ever held resident, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the broker runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells VmHWM");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number of KiB") * 1024
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `condition` holds.
    ///
    /// # Panics
    /// If the broker ends meanwhile, or after [`PATIENCE`].
    pub fn wait_until(&mut self, condition: impl Fn(&Broker) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(self.is_running(), "the broker has ended:\n{}", self.said());
            assert!(begun.elapsed() < START_STOP_PATIENCE, "waited in vain; the broker said:\n{}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the end, which a signal has brought about.
    pub fn wait(&mut self) -> Ended {
        let status = wait(&mut self.child).unwrap_or_else(|| panic!("the broker does not stop; it said:\n{}", self.said()));
        Ended { status, said: self.said.until_its_end() }
    }

    /// SIGTERM, and the end must be a clean one.
    pub fn stop(&mut self) {
        let ended = self.terminate();
        assert!(ended.status.success(), "{}:\n{}", ended.status, ended.said);
    }

    /// SIGKILL: no chance to clean up.
    pub fn kill(&mut self) {
        self.child.kill().expect("the broker is ours");
        self.child.wait().expect("a killed process ends");
    }

    /// Sends `TERM`, `STOP`, `CONT`, `USR1`, …
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), "--", &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the broker in {} said:\n{}", self.data_dir.display(), self.said.text());
        }
    }
}

/// Reads `brokers     1000 at 127.0.0.1:9092, 1001 at 127.0.0.1:9093` of the banner.
fn ports(said: &str) -> Vec<u16> {
    let line = said.lines().find_map(|line| line.trim_start().strip_prefix("brokers ")).expect("the banner names the brokers");
    line.split(',').map(|broker| broker.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("ID at HOST:PORT")).collect()
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < START_STOP_PATIENCE {
        if let Some(status) = child.try_wait().expect("the broker is ours") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// What a process says on standard error, read by a thread so that it never blocks on a full pipe.
struct Said {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Said {
    fn listen_to(child: &mut Child) -> Said {
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let text = Arc::new(Mutex::new(String::new()));
        let heard = text.clone();
        let reader = thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Said { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Everything, once the process has ended.
    fn until_its_end(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.text()
    }
}
