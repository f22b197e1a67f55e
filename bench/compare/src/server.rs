//! The contestants: each is started afresh for a run, alone on its processor, and ended behind it.
//!
//! Invariant: a server's directory is empty at its start and gone after its end.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::work::TOPIC;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Contestant {
    /// The floor, serving by sendfile.
    Floor,
    /// The floor, serving by splice.
    FloorSplice,
    /// The floor, serving by pread and send.
    FloorCopy,
    Pagewire,
    /// With `--fetch-transfer copy`.
    PagewireCopy,
    Kafka,
}

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Contestant::Floor => "floor",
            Contestant::FloorSplice => "floor-splice",
            Contestant::FloorCopy => "floor-copy",
            Contestant::Pagewire => "pagewire",
            Contestant::PagewireCopy => "pagewire-copy",
            Contestant::Kafka => "apache-kafka",
        }
    }
}

/// Where servers run.
pub struct Host {
    pub programs: PathBuf,
    pub kafka_jars: Option<PathBuf>,
    pub directory: PathBuf,
    pub processor: usize,
    pub port: u16,
}

/// A server that takes requests.
pub struct Server {
    process: Child,
    directory: PathBuf,
    pub address: SocketAddr,
    /// From the start of its process to the first connection that it accepted.
    pub started_in: Duration,
}

/// Long enough for a JVM on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);
const KAFKA_CLUSTER_ID: &str = "cGFnZXdpcmUtY29tcGFyZQ";
/// The options of Kafka's own start script.
const KAFKA_JVM_OPTIONS: &[&str] = &[
    "-server",
    "-Xmx1G",
    "-Xms1G",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

impl Server {
    /// Starts a contestant with one topic of so many partitions.
    ///
    /// # Errors
    /// A program is missing or ended, or did not listen in time: its words are in `server.log` below the output directory.
    pub fn start(contestant: Contestant, host: &Host, partitions: usize) -> io::Result<Server> {
        let directory = host.directory.join("data");
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        let address = SocketAddr::from(([127, 0, 0, 1], host.port));
        let command = match contestant {
            Contestant::Floor => floor(host, address, &directory, "sendfile"),
            Contestant::FloorSplice => floor(host, address, &directory, "splice"),
            Contestant::FloorCopy => floor(host, address, &directory, "copy"),
            Contestant::Pagewire => pagewire(host, &directory, "auto"),
            Contestant::PagewireCopy => pagewire(host, &directory, "copy"),
            Contestant::Kafka => kafka(host, &directory)?,
        };
        wait_until_nobody_listens(address)?;
        let started = Instant::now();
        let process = spawn(command, host)?;
        let mut server = Server { process, directory, address, started_in: Duration::ZERO };
        server.wait_until_it_listens(contestant)?;
        server.started_in = started.elapsed();
        if !matches!(contestant, Contestant::Floor | Contestant::FloorSplice | Contestant::FloorCopy) {
            create_topic(host, address, partitions)?;
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn wait_until_it_listens(&mut self, contestant: Contestant) -> io::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(io::Error::other(format!("{} ended at its start: {status}; see server.log", contestant.name())));
            }
            if begun.elapsed() > START_MAX {
                return Err(io::Error::other(format!("{} did not listen within {START_MAX:?}; see server.log", contestant.name())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
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

/// Keeps this process, and so the load, off the servers' processor.
///
/// # Errors
/// There is only one processor.
pub fn keep_off(processor: usize) -> io::Result<()> {
    let count = std::thread::available_parallelism()?.get();
    let others: Vec<String> = (0..count).filter(|other| *other != processor).map(|other| other.to_string()).collect();
    if others.is_empty() {
        return Err(io::Error::other("the load and the servers need a processor each, and there is only one"));
    }
    run(Command::new("taskset").args(["-a", "-c", "-p", &others.join(","), &std::process::id().to_string()]))
}

fn spawn(command: Command, host: &Host) -> io::Result<Child> {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &host.processor.to_string()]).arg(command.get_program()).args(command.get_args());
    let log = std::fs::File::create(host.directory.join("server.log"))?;
    pinned.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()
}

fn floor(host: &Host, address: SocketAddr, directory: &Path, way: &str) -> Command {
    let mut command = Command::new(host.programs.join("pagewire-floor"));
    command.args(["--listen", &address.to_string(), "--topic", TOPIC, "--way", way, "--file"]).arg(directory.join("log"));
    command
}

fn pagewire(host: &Host, directory: &Path, transfer: &str) -> Command {
    let mut command = Command::new(host.programs.join("pagewire"));
    command.args(["serve", "--cores", &host.processor.to_string(), "--fetch-transfer", transfer]);
    command.args(["--listen", &format!("127.0.0.1:{}", host.port), "--data-dir"]).arg(directory.join("pagewire"));
    command
}

/// One node in KRaft mode, with the defaults of its own configuration but for addresses and replication.
fn kafka(host: &Host, directory: &Path) -> io::Result<Command> {
    let jars = host.kafka_jars.as_deref().expect("Kafka is a contestant only with its jars");
    let (port, controller_port) = (host.port, host.port + 1);
    let settings = directory.join("server.properties");
    let data = directory.join("kafka");
    std::fs::write(
        &settings,
        format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller_port}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            data.display()
        ),
    )?;
    let class_path = format!("{}/*", jars.display());
    let mut format = Command::new("java");
    format.args(["-cp", &class_path, "kafka.tools.StorageTool", "format", "-t", KAFKA_CLUSTER_ID, "-c"]).arg(&settings);
    run(&mut format)?;
    let mut command = Command::new("java");
    command.args(KAFKA_JVM_OPTIONS).args(["-cp", &class_path, "kafka.Kafka"]).arg(&settings);
    Ok(command)
}

fn create_topic(host: &Host, address: SocketAddr, partitions: usize) -> io::Result<()> {
    let mut command = Command::new(host.programs.join("pagewire"));
    command.args(["topics", "--bootstrap", &address.to_string(), "create", TOPIC, "--partitions", &partitions.to_string()]);
    run(&mut command)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr))))
}
