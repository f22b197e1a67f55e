//! What makes shells complete our command lines.
//!
//! Pure.

use clap::Command;
use clap_complete::{Shell, generate};

/// The script for `shell`, which defines how the words of `command` are completed.
pub fn completions(shell: Shell, mut command: Command) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8(script).expect("shells are written in UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_learns_the_commands() {
        let command = Command::new("tool").subcommand(Command::new("frobnicate"));
        for shell in Shell::value_variants() {
            let script = completions(*shell, command.clone());
            assert!(script.contains("tool") && script.contains("frobnicate"), "{shell}");
        }
    }
}
