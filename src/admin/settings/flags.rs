//! The flags of `pagewire serve`, as text. `Settings::resolve` reads and checks them together with environment and file.

use std::path::PathBuf;

/// Flags of `serve`. Every one but `--show-settings` may also stand in the environment, and all of those but `--config` in the file.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeFlags {
    /// Read settings from a TOML file; its keys are the names of these flags
    #[arg(long, value_name = "FILE", env = "PAGEWIRE_CONFIG")]
    pub config: Option<PathBuf>,

    /// Where to listen; core n listens on PORT + n [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,

    /// CPUs to run on, such as 0-3,6: one executor per entry, and a CPU may be named twice [default: all this process may use]
    #[arg(long, value_name = "CPUS")]
    pub cores: Option<String>,

    /// per-core: clients see every core as a broker with its own port; per-node: one broker, one port [default: per-core]
    #[arg(long, value_name = "HOW")]
    pub advertise: Option<String>,

    /// The name clients connect to [default: the address of --listen, or this machine's name]
    #[arg(long, value_name = "HOST")]
    pub advertised_host: Option<String>,

    /// The port clients connect to; core n is at PORT + n [default: the port of --listen]
    #[arg(long, value_name = "PORT")]
    pub advertised_port: Option<String>,

    /// Where topics are kept, in Apache Kafka's format [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,

    /// This node's number in its cluster; broker ids are ID * 1000 + core [default: 1]
    #[arg(long, value_name = "ID")]
    pub node_id: Option<String>,

    /// The host or zone this node is in; replicas of a partition never share one
    #[arg(long, value_name = "RACK")]
    pub rack: Option<String>,

    /// A broker setting or topic default under its Kafka name, such as log.retention.ms=3600000; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,

    /// How fetched bytes get from the page cache to the socket: auto, sendfile, splice or copy [default: auto]
    #[arg(long, value_name = "HOW")]
    pub fetch_transfer: Option<String>,

    /// How long a core without work looks for some before it sleeps: less latency, for a whole CPU each [default: 0]
    #[arg(long, value_name = "MICROSECONDS")]
    pub spin_us: Option<String>,

    /// Write a snapshot of every latency histogram here
    #[arg(long, value_name = "DIR")]
    pub histograms_dir: Option<String>,

    /// error, warn, info, debug or trace, or directives such as info,pagewire::log=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// Print the settings in effect and where each comes from, then stop
    #[arg(long)]
    pub show_settings: bool,
}

/// The settings that stand in all three places, by the name of the flag without its dashes.
pub(super) const NAMES: &[&str] = &[
    "advertise",
    "advertised-host",
    "advertised-port",
    "cores",
    "data-dir",
    "fetch-transfer",
    "histograms-dir",
    "listen",
    "log-level",
    "node-id",
    "rack",
    "spin-us",
];

impl ServeFlags {
    /// The text given for one of [`NAMES`].
    pub(super) fn get(&self, name: &str) -> Option<&String> {
        match name {
            "advertise" => self.advertise.as_ref(),
            "advertised-host" => self.advertised_host.as_ref(),
            "advertised-port" => self.advertised_port.as_ref(),
            "cores" => self.cores.as_ref(),
            "data-dir" => self.data_dir.as_ref(),
            "fetch-transfer" => self.fetch_transfer.as_ref(),
            "histograms-dir" => self.histograms_dir.as_ref(),
            "listen" => self.listen.as_ref(),
            "log-level" => self.log_level.as_ref(),
            "node-id" => self.node_id.as_ref(),
            "rack" => self.rack.as_ref(),
            "spin-us" => self.spin_us.as_ref(),
            _ => unreachable!("{name} is not one of NAMES"),
        }
    }
}
