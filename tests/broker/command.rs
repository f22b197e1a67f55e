//! The built `pagewire` as a command that asks a broker: what it prints, or why it fails.

use std::process::{Command, Output};

use serde_json::Value;

use super::{Broker, pagewire};

/// Runs a command line such as `topics list` against core 0.
fn run(broker: &Broker, arguments: &str) -> Output {
    let line = arguments.split(' ').chain(["--bootstrap"]);
    Command::new(pagewire()).args(line).arg(broker.address(0).to_string()).output().expect("the command was built")
}

/// What a command that must succeed prints.
pub fn said(broker: &Broker, arguments: &str) -> String {
    let output = run(broker, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

/// The same with `--json`.
pub fn json(broker: &Broker, arguments: &str) -> Value {
    serde_json::from_str(&said(broker, &format!("{arguments} --json"))).expect("it is JSON")
}

/// What a command that must fail says, with its exit code.
pub fn refusal(broker: &Broker, arguments: &str) -> (i32, String) {
    let output = run(broker, arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().expect("it was not killed"), String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
