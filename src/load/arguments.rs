//! The command line of `pagewire-load`, and what it must fulfil before anything is tried.
//!
//! Pure. Invariant: a `RunArguments` that passed `check` can be run as it stands. What the words mean for a run stands in `options`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::filler::FillerKind;
use super::steps::RATE_MAX;
use crate::io::host::parse_processors;
use crate::wire::Codec;

/// Generates load for any broker that speaks Kafka's protocol, and checks every message that comes back.
///
/// Every message carries its number and a checksum, so loss, duplicates, reordering and corruption are counted. Latency counts from
/// the time at which a message was due, not from when the broker had room for it.
#[derive(Debug, Parser)]
#[command(name = "pagewire-load", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArguments,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read everything back from offset 0 and compare it with what a journal says was acknowledged
    Verify(VerifyArguments),
    /// Make tables, page and files anew from the outcome.json that --output wrote
    Report(ReportArguments),
    /// Print what makes a shell complete the words of this command line; `pagewire completions --help` says where to put it
    Completions { shell: Shell },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Produce, and read back what was produced
    Both,
    Produce,
    /// Read what is there, or arrives, and check what can be checked without the producer
    Consume,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Acks {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Both => "both",
            Mode::Produce => "produce",
            Mode::Consume => "consume",
        }
    }
}

/// How messages are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleShape {
    /// Evenly
    Constant,
    /// At random moments, as clients that know nothing of each other
    Poisson,
    /// Many at once, see --burst-messages and --burst-period
    Bursts,
}

/// What an invalid measurement does to the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SelfCheck {
    /// Exit with 4
    Fail,
    /// Say so
    Warn,
}

impl Acks {
    /// The number in a Produce request.
    pub fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// Which producers write to which partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spread {
    /// Every producer writes to every partition
    Every,
    /// Partitions are divided among the producers
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StartAt {
    Earliest,
    Latest,
}

fn codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| format!("expected {}", Codec::ALL.map(Codec::name).join(", ")))
}

/// A number of bytes: plain, or with K, M or G for powers of 1024.
fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" | "KiB" => 1 << 10,
        "m" | "M" | "MiB" => 1 << 20,
        "g" | "G" | "GiB" => 1 << 30,
        other => return Err(format!("expected a number of bytes such as 1000, 16K or 1M, not the unit {other:?}")),
    };
    let number: usize = digits.parse().map_err(|_| "expected a number of bytes such as 1000, 16K or 1M".to_string())?;
    number.checked_mul(factor).filter(|bytes| *bytes <= i32::MAX as usize).ok_or("at most 2G-1".to_string())
}

/// Seconds: `90`, `1.5`, `250ms`, `10s`, `5m`, `2h`.
fn seconds(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("expected a time such as 250ms, 10s, 5m or 2h, not the unit {other:?}")),
    };
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 && number * factor < 1e8 => Ok(number * factor),
        _ => Err("expected a time such as 250ms, 10s, 5m or 2h".into()),
    }
}

fn config(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(name, value)| (name.into(), value.into())).ok_or("expected NAME=VALUE".into())
}

/// Rates to try: a list, or doubling.
#[derive(Clone, Debug, PartialEq)]
pub enum StepRates {
    List(Vec<f64>),
    Doubling,
}

fn step_rates(text: &str) -> Result<StepRates, String> {
    if text == "auto" {
        return Ok(StepRates::Doubling);
    }
    let rates = text.split(',').map(|rate| rate.trim().parse::<f64>().ok().filter(|rate| is_rate(*rate)));
    let rates: Option<Vec<f64>> = rates.collect();
    match rates {
        Some(rates) if rates.is_sorted() => Ok(StepRates::List(rates)),
        Some(_) => Err("expected rising rates".into()),
        None => Err("expected messages per second such as 1000,2000,5000, or auto".into()),
    }
}

/// Processors, as taskset takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors(pub Vec<usize>);

fn processors(text: &str) -> Result<Processors, String> {
    parse_processors(text).map(Processors)
}

pub(super) fn is_rate(messages_per_s: f64) -> bool {
    messages_per_s.is_finite() && (0.001..=RATE_MAX).contains(&messages_per_s)
}

#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Brokers to ask first
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", value_delimiter = ',')]
    pub bootstrap: Vec<String>,
    #[arg(long, value_enum, default_value = "both")]
    pub mode: Mode,
    /// Worker threads
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Processors that the load generator keeps to, such as 1 or 2-5: leave the broker its own
    #[arg(long, value_name = "LIST", value_parser = processors)]
    pub processors: Option<Processors>,

    /// Topics to use; may be repeated
    #[arg(long = "topic", value_name = "NAME", default_value = "pagewire-load", help_heading = "Topics")]
    pub topic: Vec<String>,
    /// Use this many topics, NAME-0, NAME-1, … (one --topic only)
    #[arg(long, value_name = "N", help_heading = "Topics")]
    pub topics: Option<usize>,
    /// Partitions of a topic that is made; existing topics keep theirs
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Topics")]
    pub partitions: i32,
    /// Of topics that are made
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Topics")]
    pub replication_factor: i16,
    /// Configuration of topics that are made; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = config, help_heading = "Topics")]
    pub topic_config: Vec<(String, String)>,
    /// Fail if a topic does not exist
    #[arg(long, help_heading = "Topics")]
    pub no_create: bool,
    /// Delete the topics afterwards
    #[arg(long, help_heading = "Topics")]
    pub delete_topics: bool,

    /// Stop sending after this time (250ms, 10s, 5m), at each step; 10s if there is no --messages
    #[arg(long, value_name = "TIME", value_parser = seconds, help_heading = "How much")]
    pub duration: Option<f64>,
    /// Stop after this many messages
    #[arg(long, visible_alias = "num-records", value_name = "N", help_heading = "How much")]
    pub messages: Option<u64>,
    /// Messages per second over all producers; as fast as possible, a closed loop, if not given
    #[arg(long, visible_alias = "throughput", value_name = "N", help_heading = "How much")]
    pub rate: Option<f64>,
    /// Rates to try one after the other until the broker is saturated: 1000,2000,5000; or auto, doubling from --rate (1000)
    #[arg(long, value_name = "RATES", value_parser = step_rates, help_heading = "How much")]
    pub steps: Option<StepRates>,
    /// A step is saturated if less than this much of its rate is achieved, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0, help_heading = "How much")]
    pub saturation_share: f64,
    /// A step is saturated if the 99th percentile from intended send to acknowledgement passes this
    #[arg(long, value_name = "TIME", value_parser = seconds, help_heading = "How much")]
    pub saturation_p99: Option<f64>,
    /// When messages are due at the given rate
    #[arg(long, value_enum, default_value = "constant", help_heading = "How much")]
    pub schedule: ScheduleShape,
    /// Messages of one burst, over all producers
    #[arg(long, value_name = "N", help_heading = "How much")]
    pub burst_messages: Option<u64>,
    /// From the start of one burst to that of the next
    #[arg(long, value_name = "TIME", value_parser = seconds, help_heading = "How much")]
    pub burst_period: Option<f64>,
    /// Of the random moments: the same seed gives the same ones
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "How much")]
    pub seed: u64,
    /// Leave the first part of each step out of the measurement
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "0", help_heading = "How much")]
    pub warmup: f64,
    /// Do everything this many times; figures are then medians with their spread
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "How much")]
    pub repetitions: u32,
    /// How long the last acknowledgements and the last messages may take after the end
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "30s", help_heading = "How much")]
    pub drain_timeout: f64,

    /// Bytes of each message's value, at least 48
    #[arg(long, visible_alias = "record-size", value_name = "BYTES", value_parser = bytes, default_value = "1000", help_heading = "Producers")]
    pub message_bytes: usize,
    /// Largest batch, before compression
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "16K", help_heading = "Producers")]
    pub batch_bytes: usize,
    /// How long a message may wait for others to fill its batch (with --rate)
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "0", help_heading = "Producers")]
    pub linger: f64,
    /// none, gzip, snappy, lz4, zstd
    #[arg(long, value_parser = codec, default_value = "none", help_heading = "Producers")]
    pub codec: Codec,
    /// What messages are filled with
    #[arg(long, value_enum, default_value = "text", help_heading = "Producers")]
    pub filler: FillerKind,
    #[arg(long, value_enum, default_value = "all", help_heading = "Producers")]
    pub acks: Acks,
    /// Ask for a producer id and number the batches, so that the broker sorts out retries (KIP-98)
    #[arg(long, help_heading = "Producers")]
    pub idempotent: bool,
    /// Producers: each has one connection to each broker
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Producers")]
    pub producers: usize,
    #[arg(long, value_enum, default_value = "every", help_heading = "Producers")]
    pub spread: Spread,
    /// Give records keys, this many different ones, each in the partition that Kafka's default partitioner gives it
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Producers")]
    pub keys: u64,
    /// Requests under way per connection
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Producers")]
    pub in_flight: usize,
    /// Largest request: batches of several partitions share one up to here
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1M", help_heading = "Producers")]
    pub request_bytes_max: usize,
    /// How long the broker may take for a request
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "30s", help_heading = "Producers")]
    pub request_timeout: f64,
    /// Give a batch up after this time of trying
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "120s", help_heading = "Producers")]
    pub delivery_timeout: f64,

    /// Consumers: partitions are divided among them
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Consumers")]
    pub consumers: usize,
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1", help_heading = "Consumers")]
    pub fetch_min_bytes: usize,
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "50M", help_heading = "Consumers")]
    pub fetch_max_bytes: usize,
    /// Per partition in one answer
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1M", help_heading = "Consumers")]
    pub fetch_partition_bytes: usize,
    /// How long the broker may wait for the minimum
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "500ms", help_heading = "Consumers")]
    pub fetch_wait: f64,
    /// Copies of these consumers, each reading everything for itself, as that many consumer groups would
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Consumers")]
    pub fan_out: usize,
    /// Readers that go through the logs from the earliest offset again and again, each through all partitions
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Consumers")]
    pub backfill_readers: usize,
    /// Readers of what arrives that read no faster than --slow-reader-rate, each from all partitions
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Consumers")]
    pub slow_readers: usize,
    /// Messages per second of each slow reader
    #[arg(long, value_name = "N", help_heading = "Consumers")]
    pub slow_reader_rate: Option<f64>,
    /// Close this many connections per second and open them again, producers and consumers in turn
    #[arg(long, value_name = "N", default_value_t = 0.0, help_heading = "Connections")]
    pub churn: f64,
    /// Where --mode consume begins
    #[arg(long, value_enum, default_value = "earliest", help_heading = "Consumers")]
    pub from: StartAt,

    /// Length of the intervals that the outcome and the interval logs keep
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1s", help_heading = "Results")]
    pub interval: f64,
    /// What to do if the generator itself was late or out of processor time, so that the figures are not the broker's
    #[arg(long, value_enum, default_value = "fail", help_heading = "Results")]
    pub self_check: SelfCheck,
    /// Write what was acknowledged, for `pagewire-load verify` after the broker was killed
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub journal: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Clone, Debug, Args)]
pub struct OutputArguments {
    /// Write everything: a page with plots (report.html), all data (outcome.json), figures (summary.json), .hgrm files and interval logs
    #[arg(long, value_name = "DIR", help_heading = "Results")]
    pub output: Option<PathBuf>,
    /// Write the outcome as JSON; - for standard output, in place of the table
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub json: Option<PathBuf>,
    /// Write the latency distributions as .hgrm files, and their intervals as .hlog files for HistogramLogAnalyzer
    #[arg(long, value_name = "DIR", help_heading = "Results")]
    pub histograms_dir: Option<PathBuf>,
    /// No progress line
    #[arg(long, short, help_heading = "Results")]
    pub quiet: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ReportArguments {
    /// The file, from this program's own version
    #[arg(value_name = "outcome.json")]
    pub outcome: PathBuf,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// Brokers to ask first
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", value_delimiter = ',')]
    pub bootstrap: Vec<String>,
    /// What `--journal` wrote
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub consumers: usize,
    /// Give up after this time
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "10m")]
    pub timeout: f64,
    /// Delete the topics afterwards
    #[arg(long)]
    pub delete_topics: bool,
    #[command(flatten)]
    pub output: OutputArguments,
}

pub(super) fn is_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

pub(super) fn address_error(address: &str) -> String {
    format!("--bootstrap {address}: expected HOST:PORT, such as 127.0.0.1:9092")
}

impl VerifyArguments {
    /// As [`RunArguments::check`].
    ///
    /// # Errors
    /// The sentence to print.
    pub fn check(&self) -> Result<(), String> {
        if let Some(address) = self.bootstrap.iter().find(|address| !is_address(address)) {
            return Err(address_error(address));
        }
        if self.threads == 0 || self.consumers == 0 {
            return Err("--threads and --consumers: at least 1 is needed".into());
        }
        Ok(())
    }
}
