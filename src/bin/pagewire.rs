//! `pagewire`: the broker and its admin commands. Reads the command line, hands over, and turns the outcome into an exit code.
//!
//! Exit codes: 0 done; 1 it was tried and failed; 2 the command line or the settings are wrong, and nothing was tried.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pagewire::admin::groups::{self, GroupsCommand};
use pagewire::admin::preflight::{self, Level};
use pagewire::admin::settings::{ServeFlags, Settings};
use pagewire::admin::topics::{self, TopicsCommand};
use pagewire::io::directory;
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
    /// List, create, describe and delete topics of any broker that speaks Kafka's protocol
    Topics {
        /// A broker to ask
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", env = "PAGEWIRE_BOOTSTRAP", global = true)]
        bootstrap: String,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// List, describe and delete consumer groups and reset their offsets, at any broker that speaks Kafka's protocol
    Groups {
        /// A broker to ask
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", env = "PAGEWIRE_BOOTSTRAP", global = true)]
        bootstrap: String,
        /// Print JSON
        #[arg(long, global = true)]
        json: bool,
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
    /// Print docs/compatibility.md
    #[command(hide = true)]
    Compatibility,
}

const SETTINGS_HELP: &str = "Every flag may also stand in the environment (PAGEWIRE_DATA_DIR for --data-dir, PAGEWIRE_SET_NUM_PARTITIONS for \
     --set num.partitions) and in the file of --config (data-dir = \"/data\"; settings of --set in a table [set]). Flags win over the \
     environment, the environment over the file.";

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Serve(flags) => serve(&flags),
        Command::Topics { bootstrap, json, command } => topics(&bootstrap, json, &command),
        Command::Groups { bootstrap, json, command } => groups(&bootstrap, json, &command),
        Command::Inspect { path, batches, json } => inspect(&path, batches, json),
        Command::Doctor { flags, json } => doctor(&flags, json),
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

fn topics(bootstrap: &str, json: bool, command: &TopicsCommand) -> Result<(), Stop> {
    let outcome = topics::run(bootstrap, command).map_err(failed)?;
    match json {
        true => println!("{}", outcome.json()),
        false => print!("{}", outcome.text()),
    }
    Ok(())
}

fn groups(bootstrap: &str, json: bool, command: &GroupsCommand) -> Result<(), Stop> {
    let outcome = groups::run(bootstrap, command).map_err(failed)?;
    match json {
        true => println!("{}", outcome.json()),
        false => print!("{}", outcome.text()),
    }
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
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn negative_defaults_and_settings_are_understood() {
        let line = ["pagewire", "topics", "create", "t", "--partitions", "-1", "--set", "retention.ms=-1", "--json"];
        let Command::Topics { json: true, command: TopicsCommand::Create { partitions, configs, .. }, .. } =
            CommandLine::try_parse_from(line).map_err(|error| error.to_string()).unwrap().command
        else {
            panic!("it is a create command");
        };
        assert_eq!((partitions, configs), (-1, vec![("retention.ms".to_string(), "-1".to_string())]));
    }
}
