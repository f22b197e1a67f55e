//! `pagewire`: the broker and its admin commands. Reads the command line, hands over, and turns the outcome into an exit code.
//!
//! Exit codes: 0 done; 1 it was tried and failed; 2 the command line or the settings are wrong, and nothing was tried.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use pagewire::admin::completions::completions;
use pagewire::admin::configs::{self, ConfigsCommand};
use pagewire::admin::groups::{self, GroupsCommand};
use pagewire::admin::preflight::{self, Level};
use pagewire::admin::settings::{ServeFlags, Settings};
use pagewire::admin::topics::{self, TopicsCommand};
use pagewire::io::{directory, process_limits};
use pagewire::log::inspect;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A log broker that speaks Kafka's wire protocol
#[derive(Parser)]
#[command(version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or settings")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker
    #[command(after_help = SETTINGS_HELP)]
    Serve(ServeFlags),
    /// Topics of any broker that speaks Kafka's protocol: what there is, new ones, more partitions, fewer records
    #[command(after_help = TOPICS_HELP)]
    Topics {
        #[command(flatten)]
        flags: AskFlags,
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// Show and change the settings of topics and brokers, at any broker that speaks Kafka's protocol
    #[command(after_help = CONFIGS_HELP)]
    Configs {
        #[command(flatten)]
        flags: AskFlags,
        #[command(subcommand)]
        command: ConfigsCommand,
    },
    /// List, describe and delete consumer groups and reset their offsets, at any broker that speaks Kafka's protocol
    #[command(after_help = GROUPS_HELP)]
    Groups {
        #[command(flatten)]
        flags: AskFlags,
        #[command(subcommand)]
        command: GroupsCommand,
    },
    /// Look into a partition's directory or at one segment, without changing anything
    Inspect {
        /// A directory such as data/orders-0, or a .log file
        path: PathBuf,
        /// Name each batch, not only the sums
        #[arg(long)]
        batches: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look for what keeps the broker from running, or from running well, on this machine
    #[command(after_help = SETTINGS_HELP)]
    Doctor {
        #[command(flatten)]
        flags: ServeFlags,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what makes a shell complete the words of this command line
    #[command(after_help = COMPLETIONS_HELP)]
    Completions { shell: Shell },
    /// Print docs/compatibility.md
    #[command(hide = true)]
    Compatibility,
}

/// How to reach a cluster, and how to print what it says.
#[derive(Args)]
struct AskFlags {
    /// A broker to ask; it names the others
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", env = "PAGEWIRE_BOOTSTRAP", global = true)]
    bootstrap: String,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl AskFlags {
    fn print(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> String) {
        print!("{}", if self.json { json() + "\n" } else { text() });
    }
}

const TOPICS_HELP: &str = "\
Examples:
  pagewire topics create orders --partitions 6 --set retention.ms=86400000
  pagewire topics describe orders --json
  pagewire topics alter orders --partitions 12
  pagewire topics move orders-0 orders-1 --core 1       at a Pagewire node only
  pagewire topics delete-records orders --partition 3 --before 1500
  pagewire topics delete-records orders --before end
  pagewire topics delete orders

What a topic's settings are is changed with `pagewire configs`.";

const CONFIGS_HELP: &str = "\
Examples:
  pagewire configs get topic orders                     what somebody has set for it
  pagewire configs get topic orders --all               every setting, and where its value comes from
  pagewire configs get topic orders retention.ms
  pagewire configs set topic orders retention.ms=86400000 cleanup.policy+=compact
  pagewire configs unset topic orders retention.ms      back to what the brokers have for it
  pagewire configs get broker 1000
  pagewire configs set broker all log.retention.ms=86400000

A value comes from the first of: topic, broker (set at run time for one), all brokers (set at run time), start (given to \
the broker when it was started), default.";

const GROUPS_HELP: &str = "\
Examples:
  pagewire groups list --state Stable,Empty
  pagewire groups describe billing --offsets
  pagewire groups reset-offsets billing --topic orders --to-earliest            shows the plan
  pagewire groups reset-offsets billing --topic orders:0,1 --to-offset 1500 --execute
  pagewire groups reset-offsets billing --all-topics --by-duration PT1H --execute
  pagewire groups delete billing";

const COMPLETIONS_HELP: &str = "\
bash:  pagewire completions bash > ~/.local/share/bash-completion/completions/pagewire
zsh:   pagewire completions zsh > ~/.zfunc/_pagewire      with ~/.zfunc in $fpath, before compinit
fish:  pagewire completions fish > ~/.config/fish/completions/pagewire.fish

A shell that is started afterwards completes commands, flags and their values.";

const SETTINGS_HELP: &str = "Every flag of `serve` but --show-settings may also stand in the environment (PAGEWIRE_DATA_DIR for --data-dir, \
     PAGEWIRE_SET_NUM_PARTITIONS for --set num.partitions) and, but for --config itself, in the file of --config (data-dir = \"/data\"; \
     settings of --set in a table [set]). Flags win over the environment, the environment over the file.";

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    // First of all: memory that was touched before stays as it is. Where it cannot be said, huge pages cost memory, and nothing else.
    let _ = process_limits::refuse_huge_pages();
    let outcome = match CommandLine::parse().command {
        Command::Serve(flags) => serve(&flags),
        Command::Topics { flags, command } => topics(&flags, &command),
        Command::Configs { flags, command } => configs(&flags, &command),
        Command::Groups { flags, command } => groups(&flags, &command),
        Command::Inspect { path, batches, json } => inspect(&path, batches, json),
        Command::Doctor { flags, json } => doctor(&flags, json),
        Command::Completions { shell } => {
            print!("{}", completions(shell, CommandLine::command()));
            Ok(())
        }
        Command::Compatibility => {
            print!("{}", pagewire::api::compatibility::page());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop { code, message }) => {
            eprintln!("pagewire: {message}");
            ExitCode::from(code)
        }
    }
}

/// Why the program ends before its work is done.
struct Stop {
    code: u8,
    message: String,
}

fn failed(reason: impl Display) -> Stop {
    Stop { code: FAILED, message: reason.to_string() }
}

fn wrong_usage(reason: impl Display) -> Stop {
    Stop { code: WRONG_USAGE, message: reason.to_string() }
}

fn settings(flags: &ServeFlags) -> Result<Settings, Stop> {
    let file = match &flags.config {
        Some(path) => {
            let read = directory::read_to_string(path);
            Some(read.map_err(|error| wrong_usage(format!("cannot read the settings file {}: {error}", path.display())))?)
        }
        None => None,
    };
    let environment: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    Settings::resolve(flags, &environment, file.as_deref(), &preflight::host_facts()).map_err(wrong_usage)
}

fn serve(flags: &ServeFlags) -> Result<(), Stop> {
    let settings = settings(flags)?;
    if flags.show_settings {
        print!("{}", settings.show_text());
        return Ok(());
    }
    let filter = tracing_subscriber::EnvFilter::new(&settings.log_level);
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let report = preflight::look(&settings);
    if report.level() == Level::Failure {
        return Err(failed(format!("this machine cannot run the broker as it is:\n{}", report.text().trim_end())));
    }
    for finding in report.findings.iter().filter(|finding| finding.level == Level::Warning) {
        tracing::warn!("{}: {}; {}", finding.check, finding.found, finding.remedy.as_deref().unwrap_or_default());
    }
    pagewire::server::run(&settings).map_err(failed)
}

fn topics(flags: &AskFlags, command: &TopicsCommand) -> Result<(), Stop> {
    let outcome = topics::run(&flags.bootstrap, command).map_err(failed)?;
    flags.print(|| outcome.text(), || outcome.json());
    Ok(())
}

fn configs(flags: &AskFlags, command: &ConfigsCommand) -> Result<(), Stop> {
    let outcome = configs::run(&flags.bootstrap, command).map_err(failed)?;
    flags.print(|| outcome.text(), || outcome.json());
    Ok(())
}

fn groups(flags: &AskFlags, command: &GroupsCommand) -> Result<(), Stop> {
    let outcome = groups::run(&flags.bootstrap, command).map_err(failed)?;
    flags.print(|| outcome.text(), || outcome.json());
    Ok(())
}

fn inspect(path: &Path, batches: bool, json: bool) -> Result<(), Stop> {
    let report = inspect::inspect(path, batches).map_err(|error| failed(format!("cannot look into {}: {error}", path.display())))?;
    match json {
        true => println!("{}", report.to_json()),
        false => print!("{report}"),
    }
    match report.damage.is_empty() {
        true => Ok(()),
        false => Err(failed(format!("{} is damaged; what was found stands above", path.display()))),
    }
}

fn doctor(flags: &ServeFlags, json: bool) -> Result<(), Stop> {
    let settings = settings(flags)?;
    let report = preflight::look(&settings);
    match json {
        true => println!("{}", report.json()),
        false => print!("{}", report.text()),
    }
    match report.level() {
        Level::Failure => Err(failed("the broker cannot run here as it is; each line marked FAIL says what mends it")),
        Level::Fine | Level::Warning => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn negative_defaults_and_settings_are_understood() {
        let line = ["pagewire", "topics", "create", "t", "--partitions", "-1", "--set", "retention.ms=-1", "--json"];
        let Command::Topics { flags: AskFlags { json: true, .. }, command: TopicsCommand::Create { partitions, configs, .. } } =
            CommandLine::try_parse_from(line).map_err(|error| error.to_string()).unwrap().command
        else {
            panic!("it is a create command");
        };
        assert_eq!((partitions, configs), (-1, vec![("retention.ms".to_string(), "-1".to_string())]));
    }
}
