//! `pagewire-load`: the load generator. Exit codes: 0 clean, 1 something was lost or damaged, 2 bad arguments, 3 could not run,
//! 4 clean, but the self-check found that the figures are not the broker's.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};
use pagewire::admin::completions::completions;
use pagewire::io::directory::replace_atomically;
use pagewire::load::arguments::{Arguments, Command, OutputArguments, SelfCheck};
use pagewire::load::outcome::RunOutcome;
use pagewire::load::report::{self, summary::Summary};
use pagewire::load::{run, verify};

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
        Some(Command::Report(arguments)) => {
            return match report::read(&arguments.outcome).and_then(|outcome| publish(outcome, &arguments.output)) {
                Ok(_) => ExitCode::SUCCESS,
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
        Ok(outcome) if !outcome.is_clean() => ExitCode::from(1),
        Ok(outcome) if !outcome.is_valid() && arguments.run.self_check == SelfCheck::Fail => ExitCode::from(4),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("pagewire-load: {error}");
    ExitCode::from(3)
}

/// Prints and writes the outcome, and returns it.
fn publish(outcome: RunOutcome, output: &OutputArguments) -> Result<RunOutcome, String> {
    let summary = Summary::of(&outcome).map_err(|error| error.to_string())?;
    if let Some(directory) = &output.histograms_dir {
        let written = report::files::write_all(directory, &outcome);
        written.map_err(|error| format!("--histograms-dir {}: {error}", directory.display()))?;
    }
    if let Some(directory) = &output.output {
        report::write(directory, &outcome, &summary)?;
    }
    let json = || serde_json::to_string_pretty(&outcome).map_err(|error| error.to_string());
    let text = || report::text::text(&summary);
    match &output.json {
        Some(path) if path.as_os_str() == "-" => print(&(json()? + "\n"))?,
        Some(path) => {
            replace_atomically(path, (json()? + "\n").as_bytes(), false).map_err(|error| format!("--json {}: {error}", path.display()))?;
            print(&text())?;
        }
        None => print(&text())?,
    }
    Ok(outcome)
}

/// Prints; a reader that has had enough (`| head`) is no error.
fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
