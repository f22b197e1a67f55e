//! The command line of `pagewire-load`, and what it must fulfil before anything is tried.
//!
//! Pure. Invariant: a `RunArguments` that passed `check` can be run as it stands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::filler::FillerKind;
use super::message::MESSAGE_BYTES_MIN;
use crate::base::TopicName;
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

    /// Stop sending after this time (250ms, 10s, 5m); 10s if there is no --messages
    #[arg(long, value_name = "TIME", value_parser = seconds, help_heading = "How much")]
    pub duration: Option<f64>,
    /// Stop after this many messages
    #[arg(long, value_name = "N", help_heading = "How much")]
    pub messages: Option<u64>,
    /// Messages per second over all producers, due at even distances; as fast as possible if not given
    #[arg(long, value_name = "N", help_heading = "How much")]
    pub rate: Option<f64>,
    /// Leave the first part of the run out of the measurement
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "0", help_heading = "How much")]
    pub warmup: f64,
    /// How long the last acknowledgements and the last messages may take after the end
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "30s", help_heading = "How much")]
    pub drain_timeout: f64,

    /// Bytes of each message's value, at least 40
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1000", help_heading = "Producers")]
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
    /// Where --mode consume begins
    #[arg(long, value_enum, default_value = "earliest", help_heading = "Consumers")]
    pub from: StartAt,

    /// Write what was acknowledged, for `pagewire-load verify` after the broker was killed
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub journal: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Clone, Debug, Args)]
pub struct OutputArguments {
    /// Write the report as JSON; - for standard output, in place of the table
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub json: Option<PathBuf>,
    /// Write the latency distributions as .hgrm files
    #[arg(long, value_name = "DIR", help_heading = "Results")]
    pub histograms_dir: Option<PathBuf>,
    /// No progress line
    #[arg(long, short, help_heading = "Results")]
    pub quiet: bool,
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

/// More threads, connections or requests under way than this are a slip of the keyboard.
const THREADS_MAX: usize = 256;
const CONNECTIONS_MAX: usize = 100_000;
const IN_FLIGHT_MAX: usize = 1000;
/// Kafka's names go up to here.
const TOPICS_MAX: usize = 100_000;

impl RunArguments {
    pub fn produces(&self) -> bool {
        self.mode != Mode::Consume
    }

    pub fn consumes(&self) -> bool {
        self.mode != Mode::Produce
    }

    /// The names of the topics of the run.
    pub fn topic_names(&self) -> Vec<String> {
        match self.topics {
            Some(count) => (0..count).map(|number| format!("{}-{number}", self.topic[0])).collect(),
            None => self.topic.clone(),
        }
    }

    /// What cannot be, as the sentence to print.
    ///
    /// # Errors
    /// That sentence.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, max: usize| match value {
            0 => Err(format!("--{name} 0: at least 1 is needed")),
            _ if value > max => Err(format!("--{name} {value}: at most {max} are supported")),
            _ => Ok(()),
        };
        within("threads", self.threads, THREADS_MAX)?;
        within("producers", self.producers, CONNECTIONS_MAX)?;
        within("consumers", self.consumers, CONNECTIONS_MAX)?;
        within("in-flight", self.in_flight, IN_FLIGHT_MAX)?;
        within("partitions", self.partitions.max(0) as usize, 1_000_000)?;
        if let Some(topics) = self.topics {
            within("topics", topics, TOPICS_MAX)?;
            if self.topic.len() > 1 {
                return Err("--topics N makes N names from one --topic; give either several --topic or one with --topics".into());
            }
        }
        let names = self.topic_names();
        for name in &names {
            TopicName::new(name).map_err(|why| format!("--topic {name}: {why}"))?;
        }
        if names.iter().collect::<std::collections::HashSet<_>>().len() < names.len() {
            return Err("the same --topic stands there twice; name each once".into());
        }
        if let Some(address) = self.bootstrap.iter().find(|address| !is_address(address)) {
            return Err(address_error(address));
        }
        if self.message_bytes < MESSAGE_BYTES_MIN {
            return Err(format!(
                "--message-bytes {}: number, due time and checksum of a message take {MESSAGE_BYTES_MIN} bytes; use at least that",
                self.message_bytes
            ));
        }
        if self.rate.is_some_and(|rate| !(rate.is_finite() && (0.001..=1e12).contains(&rate))) {
            return Err("--rate: expected messages per second, 0.001 or more; leave it out for as fast as possible".into());
        }
        if self.duration.is_some_and(|duration| self.warmup >= duration) {
            return Err("--warmup takes up the whole --duration; nothing would be measured".into());
        }
        if self.idempotent && self.acks != Acks::All {
            return Err("--idempotent needs --acks all (KIP-98)".into());
        }
        if self.journal.is_some() && (!self.produces() || self.acks == Acks::None) {
            return Err("--journal writes what was acknowledged: it needs a mode that produces, and --acks 1 or all".into());
        }
        if self.fetch_wait * 1000.0 > f64::from(i32::MAX) || self.request_timeout * 1000.0 > f64::from(i32::MAX) {
            return Err("--fetch-wait and --request-timeout: at most 24 days".into());
        }
        Ok(())
    }
}

fn is_address(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn address_error(address: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(line: &str) -> Result<RunArguments, String> {
        let words = std::iter::once("pagewire-load").chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
        arguments.run.check().map(|()| arguments.run)
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        assert!(parsed("").is_ok());
    }

    #[test]
    fn units_are_understood() {
        let arguments = parsed("--batch-bytes 1M --message-bytes 2K --duration 2m --linger 5ms --codec zstd --acks 1").expect("fine");
        assert_eq!((arguments.batch_bytes, arguments.message_bytes), (1 << 20, 2048));
        assert_eq!((arguments.duration, arguments.linger), (Some(120.0), 0.005));
        assert_eq!((arguments.codec, arguments.acks.code()), (Codec::Zstd, 1));
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        for (line, reason) in [
            ("--message-bytes 39", "at least that"),
            ("--batch-bytes 16Q", "16K"),
            ("--codec brotli", "none, gzip, snappy, lz4, zstd"),
            ("--bootstrap nowhere", "HOST:PORT"),
            ("--topic a/b", "only ASCII letters"),
            ("--topic a --topic a", "twice"),
            ("--topic a --topic b --topics 3", "either"),
            ("--rate 0", "as fast as possible"),
            ("--idempotent --acks 1", "--acks all"),
            ("--journal j --acks 0", "acknowledged"),
            ("--duration 1s --warmup 1s", "measured"),
            ("--threads 0", "at least 1"),
            ("--duration soon", "10s"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn many_topics_have_numbered_names() {
        assert_eq!(parsed("--topic t --topics 2").expect("fine").topic_names(), ["t-0", "t-1"]);
    }
}
