//! The settings of `pagewire serve`: read from flags, environment and file, checked once, then never looked at again as text.
//!
//! Main thread, before anything starts. `resolve` is pure: the environment, the file's text and the facts of the host come in as
//! values. A setting has one name in three spellings: `--data-dir`, `PAGEWIRE_DATA_DIR`, `data-dir = "…"`. Flags win over the
//! environment, the environment over the file, the file over the default. Kafka's settings go through `--set NAME=VALUE`,
//! `PAGEWIRE_SET_LOG_RETENTION_MS=VALUE` and the table `[set]`, setting by setting in the same order.
//!
//! Invariants of [`Settings`]: `1 <= cpus.len() <= CORES_MAX`; with one broker per core every port `port + core` is a legal one;
//! `node_id * 1000 + 999` fits a broker id.

mod cpu_list;
mod flags;
mod layers;
mod show;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::base::limits::{CORES_MAX, SPIN_US_MAX};
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::image::{Advertise, Configs, NodeId};
use crate::io::Transfer;

pub use cpu_list::{CpuListError, parse_cpu_list, show_cpu_list};
pub use flags::ServeFlags;
use layers::Layers;
pub use layers::Origin;
pub use show::Shown;

/// Broker ids are `node_id * 1000 + core` and fit 31 bits.
pub const NODE_ID_MAX: i32 = (i32::MAX - 999) / 1000;

/// What the settings need to know of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The CPUs this process may run on.
    pub allowed_cpus: Vec<usize>,
    pub hostname: String,
}

/// Everything `serve` wants to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where core 0, or the node, listens; core n at `port + n`. Port 0 lets the kernel choose each.
    pub listen: SocketAddr,
    /// The CPU of each executor; core n runs on `cpus[n]`. A CPU may stand there more than once.
    pub cpus: Vec<usize>,
    pub advertise: Advertise,
    /// The name in Metadata answers.
    pub advertised_host: String,
    /// The port in Metadata answers, of core 0 or of the node; `None`: the one that is listened on.
    pub advertised_port: Option<u16>,
    pub data_dir: PathBuf,
    pub node_id: NodeId,
    pub rack: Option<String>,
    /// How fetched bytes get from the page cache to the socket.
    pub fetch_transfer: Transfer,
    /// How long a core without work looks for some before it sleeps; zero: not at all.
    pub spin: Duration,
    /// Where histogram snapshots are written; `None`: nowhere.
    pub histograms_dir: Option<PathBuf>,
    /// A level, or directives such as `info,pagewire::log=debug`.
    pub log_level: String,
    /// Kafka's settings as given, under the names that were used.
    pub configs: Configs,
    /// The same, checked and with defaults.
    pub broker: BrokerConfig,
    /// Where each setting comes from, by name; those that are missing have their default.
    origins: BTreeMap<String, Origin>,
    /// What looks like a mistake and is not one for certain.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with the settings, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsErrors(pub Vec<String>);

impl fmt::Display for SettingsErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsErrors {}

impl Settings {
    /// Makes settings of flags, environment (all variables of the process) and the text of the file.
    ///
    /// # Errors
    /// Everything that is wrong, each with the flag, variable or key it came from and what to do.
    pub fn resolve(
        flags: &ServeFlags,
        environment: &BTreeMap<String, String>,
        file: Option<&str>,
        host: &HostFacts,
    ) -> Result<Settings, SettingsErrors> {
        let mut layers = Layers::new(flags, environment, file)?;
        let listen = layers.parse("listen", parse_listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9092)));
        let cpus = layers.parse("cores", |text| parse_cpu_list(text).map_err(|error| error.to_string()));
        let settings = Settings {
            listen,
            cpus: cpus.unwrap_or_else(|| host.allowed_cpus.clone()),
            advertise: layers.parse("advertise", parse_advertise).unwrap_or_default(),
            advertised_host: layers.parse("advertised-host", parse_host).unwrap_or_else(|| own_name(listen.ip(), host)),
            advertised_port: layers.parse("advertised-port", parse_port),
            data_dir: layers.parse("data-dir", parse_path).unwrap_or_else(|| PathBuf::from("./data")),
            node_id: layers.parse("node-id", parse_node_id).unwrap_or(NodeId(1)),
            rack: layers.parse("rack", parse_word),
            fetch_transfer: layers.parse("fetch-transfer", parse_fetch_transfer).unwrap_or_default(),
            spin: layers.parse("spin-us", parse_spin).unwrap_or_default(),
            histograms_dir: layers.parse("histograms-dir", parse_path),
            log_level: layers.parse("log-level", parse_log_level).unwrap_or_else(|| "info".into()),
            configs: layers.configs(),
            broker: layers.broker_config(),
            origins: BTreeMap::new(),
            warnings: Vec::new(),
        };
        layers.errors.extend(settings.contradictions());
        match layers.errors.is_empty() {
            true => Ok(Settings { origins: layers.origins, warnings: layers.warnings, ..settings }),
            false => Err(SettingsErrors(layers.errors)),
        }
    }

    /// How many executors there are.
    pub fn core_count(&self) -> u16 {
        self.cpus.len() as u16
    }

    /// Where core `core` listens. With one port for the node it is the same for all.
    pub fn listen_of(&self, core: u16) -> SocketAddr {
        match self.advertise {
            Advertise::PerCore if self.listen.port() != 0 => SocketAddr::new(self.listen.ip(), self.listen.port() + core),
            _ => self.listen,
        }
    }

    /// What is legal by itself and not together.
    fn contradictions(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.cpus.is_empty() || self.cpus.len() > CORES_MAX {
            errors.push(format!("cores: a node has 1 to {CORES_MAX} executors, not {}; name fewer CPUs", self.cpus.len()));
        }
        let named_twice = (1..self.cpus.len()).find(|&i| self.cpus[..i].contains(&self.cpus[i]));
        if let Some(i) = named_twice.filter(|_| !self.spin.is_zero()) {
            errors.push(format!(
                "spin-us: CPU {} is to run two executors, and one that spins leaves the other no time; name it once",
                self.cpus[i]
            ));
        }
        let ports = [("listen", Some(self.listen.port())), ("advertised-port", self.advertised_port)];
        for (name, port) in ports {
            let Some(port) = port.filter(|_| self.advertise == Advertise::PerCore) else { continue };
            let last = usize::from(port) + self.cpus.len().max(1) - 1;
            if last > usize::from(u16::MAX) {
                errors.push(format!(
                    "{name}: {} executors need the ports {port} to {last}, and 65535 is the last; choose a lower port or --advertise per-node",
                    self.cpus.len()
                ));
            }
        }
        errors
    }
}

/// Clients on other machines cannot connect to 0.0.0.0, so the machine's name stands for it.
fn own_name(listen: IpAddr, host: &HostFacts) -> String {
    match listen.is_unspecified() {
        true => host.hostname.clone(),
        false => listen.to_string(),
    }
}

/// `HOST:PORT` with an address, `localhost`, or nothing for every address.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = "expected an address and a port such as 127.0.0.1:9092, [::1]:9092 or 0.0.0.0:9092";
    let (host, port) = text.rsplit_once(':').ok_or(expected)?;
    let address = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        "" | "*" => IpAddr::from([0, 0, 0, 0]),
        _ => return Err(expected.into()),
    };
    Ok(SocketAddr::new(address, port.parse().map_err(|_| expected)?))
}

fn parse_advertise(text: &str) -> Result<Advertise, String> {
    match text {
        "per-core" => Ok(Advertise::PerCore),
        "per-node" => Ok(Advertise::PerNode),
        _ => Err("expected per-core or per-node".into()),
    }
}

fn parse_fetch_transfer(text: &str) -> Result<Transfer, String> {
    Transfer::parse(text).ok_or_else(|| format!("expected one of {}", Transfer::ALL.map(Transfer::name).join(", ")))
}

fn parse_spin(text: &str) -> Result<Duration, String> {
    let micros = text.parse().ok().filter(|micros| *micros <= SPIN_US_MAX);
    micros.map(Duration::from_micros).ok_or_else(|| format!("expected a number of microseconds from 0 to {SPIN_US_MAX}"))
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| "expected a port from 1 to 65535".into())
}

fn parse_node_id(text: &str) -> Result<NodeId, String> {
    let number = text.parse().ok().filter(|id| (0..=NODE_ID_MAX).contains(id));
    number.map(NodeId).ok_or_else(|| format!("expected a number from 0 to {NODE_ID_MAX}"))
}

fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("expected a path".into()) } else { Ok(text.into()) }
}

fn parse_host(text: &str) -> Result<String, String> {
    let legal = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    let unreachable = text.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    match legal && !unreachable {
        true => Ok(text.into()),
        false => Err("expected the name or address under which clients reach this machine, without a port".into()),
    }
}

fn parse_word(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("expected a name".into()) } else { Ok(text.into()) }
}

fn parse_log_level(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.is_empty() => Ok(text.into()),
        _ => Err("expected error, warn, info, debug or trace, or directives such as info,pagewire::log=debug".into()),
    }
}

#[cfg(test)]
mod tests;
