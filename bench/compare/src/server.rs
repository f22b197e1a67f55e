//! A server under measurement: started afresh for a run, alone on its processor, and ended behind it.
//!
//! Invariant: a server's directory is empty at its first start and gone after its end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pagewire_floor::{frames, process_time};

use crate::contestant::Contestant;
use crate::memory::Memory;
use crate::work::TOPIC;

/// Where servers run.
pub struct Host {
    pub programs: PathBuf,
    pub kafka_jars: Option<PathBuf>,
    /// The folder of Apache Iggy's programs.
    pub iggy: Option<PathBuf>,
    pub directory: PathBuf,
    pub processor: usize,
    /// Those of the load.
    pub load_processors: Vec<usize>,
    pub port: u16,
    /// `None`: runs take memory as it is.
    pub memory: Option<Memory>,
}

impl Host {
    /// A program of Apache Iggy's.
    pub fn iggy(&self, program: &str) -> PathBuf {
        self.iggy.as_deref().expect("Iggy takes part only with its programs").join(program)
    }

    /// Sees to it that no memory is free.
    ///
    /// # Errors
    /// The host's.
    pub fn fill_memory(&self) -> io::Result<()> {
        self.memory.as_ref().map_or(Ok(()), Memory::fill)
    }
}

/// A server that takes requests.
pub struct Server {
    process: Child,
    contestant: Contestant,
    pub directory: PathBuf,
    pub address: SocketAddr,
}

/// What a broker is asked for at its first start.
pub struct Topic<'a> {
    pub partitions: usize,
    pub settings: &'a [(&'a str, &'a str)],
}

impl Topic<'_> {
    /// One partition, with the settings that a broker gives by itself.
    pub const PLAIN: Topic<'static> = Topic { partitions: 1, settings: &[] };

    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Long enough for a JVM on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);
/// A clean stop of ten thousand partitions writes a few small files for each.
const STOP_MAX: Duration = Duration::from_secs(120);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);
/// A server is idle that took less than a twentieth of a processor for so long: ten thousand partitions are looked after with less.
const IDLE_LOOK: Duration = Duration::from_millis(500);
const IDLE_PART: u128 = 20;

impl Server {
    /// Starts a contestant with one topic.
    ///
    /// # Errors
    /// A program is missing or ended, or did not listen in time: its words are in `server.log` below the output directory.
    pub fn start(contestant: Contestant, host: &Host, topic: &Topic<'_>) -> io::Result<Server> {
        let directory = host.directory.join("data");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        contestant.prepare(host, &directory)?;
        let address = SocketAddr::from(([127, 0, 0, 1], host.port));
        wait_until_nobody_listens(address)?;
        let process = spawn(contestant, host, &directory, topic)?;
        let mut server = Server { process, contestant, directory, address };
        server.wait_until(|server| Ok(TcpStream::connect(server.address).is_ok()))?;
        if contestant.is_broker() {
            server.create_topic(host, topic)?;
            // A controller makes topics, and a broker learns of them a moment later: before that it refuses with NOT_LEADER_OR_FOLLOWER.
            for partition in 0..topic.partitions as i32 {
                let request = frames::fetch_request(TOPIC, partition, 0, 1, 0);
                server.wait_until(|server| {
                    let answer = server.ask(&request).unwrap_or_default();
                    Ok(frames::fetch_outcome(&answer, TOPIC.len()).is_some_and(|(error, _)| error == 0))
                })?;
            }
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Tries again and again until `is_so`, for as long as a start may take.
    ///
    /// # Errors
    /// The process has ended, or it took too long.
    pub fn wait_until(&mut self, mut is_so: impl FnMut(&Server) -> io::Result<bool>) -> io::Result<()> {
        let begun = Instant::now();
        while !is_so(self)? {
            let name = self.contestant.name();
            if let Some(status) = self.process.try_wait()? {
                return Err(io::Error::other(format!("{name} ended at its start: {status}; see server.log")));
            }
            if begun.elapsed() > START_MAX {
                return Err(io::Error::other(format!("{name} was not ready within {START_MAX:?}; see server.log")));
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
        Ok(())
    }

    /// Waits until it takes next to nothing of its processor.
    ///
    /// # Errors
    /// As [`Server::wait_until`].
    pub fn wait_until_idle(&mut self) -> io::Result<()> {
        self.wait_until(|server| {
            let before = process_time::of_process_ns(server.pid())?;
            std::thread::sleep(IDLE_LOOK);
            // Less than before: a thread has ended, which did something.
            let used = process_time::of_process_ns(server.pid())?.checked_sub(before);
            Ok(used.is_some_and(|used| u128::from(used) * IDLE_PART < IDLE_LOOK.as_nanos()))
        })
    }

    /// Sends a request on a connection of its own and returns the answer, its size in front.
    ///
    /// # Errors
    /// Nobody listens, or the connection ends early.
    pub fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(START_MAX))?;
        stream.write_all(request)?;
        let mut answer = vec![0; 4];
        stream.read_exact(&mut answer)?;
        answer.resize(4 + frames::i32_at(&answer, 0).max(0) as usize, 0);
        stream.read_exact(&mut answer[4..])?;
        Ok(answer)
    }

    /// Stops it as an operator would and starts it on the same directory. Answers when its new process began; it may not listen yet.
    ///
    /// # Errors
    /// It does not stop, or does not start.
    pub fn start_again(&mut self, host: &Host) -> io::Result<Instant> {
        run(Command::new("kill").args(["-TERM", &self.pid().to_string()]))?;
        let asked = Instant::now();
        while self.process.try_wait()?.is_none() {
            if asked.elapsed() > STOP_MAX {
                return Err(io::Error::other(format!("{} did not stop within {STOP_MAX:?}", self.contestant.name())));
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
        wait_until_nobody_listens(self.address)?;
        let started = Instant::now();
        self.process = spawn(self.contestant, host, &self.directory, &Topic::PLAIN)?;
        Ok(started)
    }

    /// Changes settings of the topic while the broker runs.
    ///
    /// # Errors
    /// The broker refused.
    pub fn set(&self, host: &Host, setting: &str) -> io::Result<()> {
        let mut command = Command::new(host.programs.join("pagewire"));
        command.args(["configs", "--bootstrap", &self.address.to_string(), "set", "topic", TOPIC, setting]);
        run(&mut command).map(drop)
    }

    fn create_topic(&self, host: &Host, topic: &Topic<'_>) -> io::Result<()> {
        let mut command = Command::new(host.programs.join("pagewire"));
        command.args(["topics", "create", TOPIC, "--bootstrap", &self.address.to_string()]);
        command.args(["--partitions", &topic.partitions.to_string()]);
        for (name, value) in topic.settings {
            command.args(["--set", &format!("{name}={value}")]);
        }
        run(&mut command).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What is left to say about a server that is gone anyway is said by the next run.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The kernel closes the sockets of an io_uring a moment after the end of its process: until then they would be taken for the next server's.
fn wait_until_nobody_listens(address: SocketAddr) -> io::Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() {
        if begun.elapsed() > START_MAX {
            return Err(io::Error::other(format!("somebody else listens on {address}; choose another --port")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Keeps this process, and so the load, off the servers' processor. Answers which ones it is on.
///
/// # Errors
/// There is only one processor.
pub fn keep_off(processor: usize) -> io::Result<Vec<usize>> {
    let count = std::thread::available_parallelism()?.get();
    let others: Vec<usize> = (0..count).filter(|other| *other != processor).collect();
    if others.is_empty() {
        return Err(io::Error::other("the load and the servers need a processor each, and there is only one"));
    }
    let list = others.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    run(Command::new("taskset").args(["-a", "-c", "-p", &list, &std::process::id().to_string()]))?;
    Ok(others)
}

fn spawn(contestant: Contestant, host: &Host, directory: &Path, topic: &Topic<'_>) -> io::Result<Child> {
    let command = contestant.command(host, directory, topic);
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &host.processor.to_string()]).arg(command.get_program()).args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let log = std::fs::File::create(host.directory.join("server.log"))?;
    pinned.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()
}

/// Runs a command to its end.
///
/// # Errors
/// It failed; the error has its words.
pub fn run(command: &mut Command) -> io::Result<Output> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(io::Error::other(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr))))
}
