//! `pagewire-load`: the load generator. Exit codes: 0 clean, 1 something was lost or damaged, 2 bad arguments, 3 could not run.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};
use pagewire::admin::completions::completions;
use pagewire::io::directory::replace_atomically;
use pagewire::load::arguments::{Arguments, Command, OutputArguments};
use pagewire::load::report::{Outcome, Report};
use pagewire::load::{histogram_files, run, verify};

// Batches and answers of megabytes come and go; the system's allocator would map and unmap them each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let to_verify = match &arguments.command {
        Some(Command::Completions { shell }) => {
            return match print(&completions(*shell, Arguments::command())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            };
        }
        Some(Command::Verify(verify)) => Some(verify),
        None => None,
    };
    let checked = to_verify.map_or_else(|| arguments.run.check(), |verify| verify.check());
    if let Err(why) = checked {
        Arguments::command().error(ErrorKind::ValueValidation, why).exit();
    }
    let output = to_verify.map_or(&arguments.run.output, |verify| &verify.output);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let command_line = std::env::args().collect();
    let outcome = runtime.block_on(async {
        match to_verify {
            Some(arguments) => verify::verify(arguments, command_line).await,
            None => run::run(&arguments.run, command_line).await,
        }
    });
    match outcome.map_err(|error| error.to_string()).and_then(|outcome| publish(outcome, output)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("pagewire-load: {error}");
    ExitCode::from(3)
}

/// Prints and writes the report. Returns whether the run was clean.
fn publish(outcome: Outcome, output: &OutputArguments) -> Result<bool, String> {
    if let Some(directory) = &output.histograms_dir {
        let written = histogram_files::write_all(directory, &outcome.statistics);
        written.map_err(|error| format!("--histograms-dir {}: {error}", directory.display()))?;
    }
    let report = Report::new(outcome);
    let json = || serde_json::to_string_pretty(&report).map_err(|error| error.to_string());
    match &output.json {
        Some(path) if path.as_os_str() == "-" => print(&(json()? + "\n"))?,
        Some(path) => {
            replace_atomically(path, (json()? + "\n").as_bytes(), false).map_err(|error| format!("--json {}: {error}", path.display()))?;
            print(&report.to_text())?;
        }
        None => print(&report.to_text())?,
    }
    Ok(report.clean)
}

/// Prints; a reader that has had enough (`| head`) is no error.
fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
