//! The contestants, which program each is, and how it is started: what its own documentation says, on one processor.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::server::{Host, Topic, run};
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
    /// Speaks a protocol of its own, so only its own tool drives it.
    Iggy,
}

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

impl Contestant {
    pub const ALL: [Contestant; 7] = [
        Contestant::Floor,
        Contestant::FloorSplice,
        Contestant::FloorCopy,
        Contestant::Pagewire,
        Contestant::PagewireCopy,
        Contestant::Kafka,
        Contestant::Iggy,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Contestant::Floor => "floor",
            Contestant::FloorSplice => "floor-splice",
            Contestant::FloorCopy => "floor-copy",
            Contestant::Pagewire => "pagewire",
            Contestant::PagewireCopy => "pagewire-copy",
            Contestant::Kafka => "apache-kafka",
            Contestant::Iggy => "apache-iggy",
        }
    }

    /// The contestant of that name.
    ///
    /// # Errors
    /// Nobody is called so.
    pub fn named(name: &str) -> io::Result<Contestant> {
        let contestant = Contestant::ALL.into_iter().find(|contestant| contestant.name() == name);
        contestant.ok_or_else(|| io::Error::other(format!("there is no contestant {name:?}")))
    }

    /// Which program this is, such that another build is another: the CRC-32C of its file, or for Apache Kafka its version.
    ///
    /// # Errors
    /// The host's: the program is not there.
    pub fn program(self, host: &Host) -> io::Result<String> {
        let file = match self {
            Contestant::Floor | Contestant::FloorSplice | Contestant::FloorCopy => host.programs.join("pagewire-floor"),
            Contestant::Pagewire | Contestant::PagewireCopy => host.programs.join("pagewire"),
            Contestant::Kafka => return kafka_version(host),
            Contestant::Iggy => host.iggy("iggy-server"),
        };
        let bytes = std::fs::read(&file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        Ok(format!("{:08x}", crc32c::crc32c(&bytes)))
    }

    /// Whether the host has its programs.
    pub fn is_here(self, host: &Host) -> bool {
        match self {
            Contestant::Kafka => host.kafka_jars.is_some(),
            Contestant::Iggy => host.iggy.is_some(),
            _ => true,
        }
    }

    /// Brokers make topics when they are asked in Kafka's protocol; the floor has one from its start.
    pub fn is_broker(self) -> bool {
        matches!(self, Contestant::Pagewire | Contestant::PagewireCopy | Contestant::Kafka)
    }

    /// Makes ready what must be there before the first start.
    ///
    /// # Errors
    /// Kafka's own tool could not format the directory.
    pub fn prepare(self, host: &Host, directory: &Path) -> io::Result<()> {
        if self != Contestant::Kafka {
            return Ok(());
        }
        std::fs::write(kafka_settings(directory).as_path(), kafka_properties(host, directory))?;
        let mut format = java(host);
        format.args(["kafka.tools.StorageTool", "format", "-t", KAFKA_CLUSTER_ID, "-c"]).arg(kafka_settings(directory));
        run(&mut format).map(drop)
    }

    /// The command that runs it until it is ended.
    pub fn command(self, host: &Host, directory: &Path, topic: &Topic<'_>) -> Command {
        match self {
            Contestant::Floor => floor(host, directory, topic, "sendfile"),
            Contestant::FloorSplice => floor(host, directory, topic, "splice"),
            Contestant::FloorCopy => floor(host, directory, topic, "copy"),
            Contestant::Pagewire => pagewire(host, directory, "auto"),
            Contestant::PagewireCopy => pagewire(host, directory, "copy"),
            Contestant::Kafka => {
                let mut command = Command::new("java");
                command.args(KAFKA_JVM_OPTIONS).args(["-cp", &kafka_class_path(host), "kafka.Kafka"]).arg(kafka_settings(directory));
                command
            }
            Contestant::Iggy => iggy(host, directory),
        }
    }
}

/// `java` with Apache Kafka's classes; the caller names one of them.
pub fn java(host: &Host) -> Command {
    let mut command = Command::new("java");
    command.args(["-cp", &kafka_class_path(host)]);
    command
}

fn kafka_class_path(host: &Host) -> String {
    format!("{}/*", kafka_jars(host).display())
}

fn kafka_jars(host: &Host) -> &Path {
    host.kafka_jars.as_deref().expect("Kafka takes part only with its jars")
}

/// The name of the jar with the broker, such as `kafka_2.13-4.3.0`.
fn kafka_version(host: &Host) -> io::Result<String> {
    for jar in std::fs::read_dir(kafka_jars(host))? {
        let name = jar?.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_suffix(".jar").filter(|name| name.starts_with("kafka_")) {
            return Ok(version.to_owned());
        }
    }
    Err(io::Error::other(format!("there is no kafka_*.jar in {}", kafka_jars(host).display())))
}

fn floor(host: &Host, directory: &Path, topic: &Topic<'_>, way: &str) -> Command {
    let address = SocketAddr::from(([127, 0, 0, 1], host.port));
    let mut command = Command::new(host.programs.join("pagewire-floor"));
    command.args(["--listen", &address.to_string(), "--topic", TOPIC, "--way", way, "--file"]).arg(directory.join("log"));
    // Where a broker deletes, the floor does.
    let bytes = |setting| topic.setting(setting).and_then(|value| value.parse::<u64>().ok());
    if let (Some(segment), Some(retained)) = (bytes("segment.bytes"), bytes("retention.bytes")) {
        command.args(["--file-bytes-max", &segment.to_string(), "--full-files-max", &(retained / segment).to_string()]);
    }
    command
}

fn pagewire(host: &Host, directory: &Path, transfer: &str) -> Command {
    let mut command = Command::new(host.programs.join("pagewire"));
    command.args(["serve", "--cores", &host.processor.to_string(), "--fetch-transfer", transfer]);
    command.args(["--listen", &format!("127.0.0.1:{}", host.port), "--data-dir"]).arg(directory.join("pagewire"));
    command
}

/// One shard on the servers' processor, TCP alone, and else the configuration that it brings.
fn iggy(host: &Host, directory: &Path) -> Command {
    let mut command = Command::new(host.iggy("iggy-server"));
    command.arg("--with-default-root-credentials");
    command.env("IGGY_TCP_ADDRESS", SocketAddr::from(([127, 0, 0, 1], host.port)).to_string());
    command.env("IGGY_SYSTEM_SHARDING_CPU_ALLOCATION", format!("{}..{}", host.processor, host.processor + 1));
    command.env("IGGY_SYSTEM_PATH", directory.join("iggy"));
    command.envs(["HTTP", "QUIC", "WEBSOCKET"].map(|other| (format!("IGGY_{other}_ENABLED"), "false")));
    command
}

fn kafka_settings(directory: &Path) -> std::path::PathBuf {
    directory.join("server.properties")
}

/// One node in KRaft mode, with the defaults of its own configuration but for what one node needs (addresses, replication factors),
/// groups that do not wait for members, and a look for segments to delete every five seconds: at the default of five minutes a fast
/// disk is full before.
fn kafka_properties(host: &Host, directory: &Path) -> String {
    let (port, controller_port, data) = (host.port, host.port + 1, directory.join("kafka"));
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nlog.retention.check.interval.ms=5000\nlog.initial.task.delay.ms=5000\n",
        data.display()
    )
}
