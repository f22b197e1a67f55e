//! Turns `schemas/*.fbs` into the Rust files that are checked in, or says which of them is not current.
//!
//! Run it through `scripts/generate-schemas [--check]`. The FlatBuffers compiler comes from the `flatc-fork` crate, built from
//! source in the version that matches the `flatbuffers` crate: a distribution's flatc writes code for another version.
//!
//! Invariant: a generated file is a pure function of its schema and of the compiler, so `--check` compares bytes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Each schema and the file made of it, from the root of the repository.
const SCHEMAS: &[(&str, &str)] = &[("schemas/metadata.fbs", "src/cluster/generated/metadata.rs")];

fn main() -> ExitCode {
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        other => {
            eprintln!("usage: generate-schemas [--check], not {other:?}");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("generate-schemas: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: bool) -> Result<(), String> {
    for (schema, target) in SCHEMAS {
        let wanted = generate(schema)?;
        let path = root().join(target);
        let present = std::fs::read_to_string(&path).unwrap_or_default();
        if wanted == present {
            println!("{target} is current");
        } else if check {
            return Err(format!("{target} is not what {schema} makes; run scripts/generate-schemas and commit the result"));
        } else {
            std::fs::write(&path, wanted).map_err(|error| format!("cannot write {target}: {error}"))?;
            println!("{target} written");
        }
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies two folders down").to_path_buf()
}

/// The Rust file for one schema. Its second line carries a checksum of the schema, which the main crate's tests compare without
/// building a compiler.
fn generate(schema: &str) -> Result<String, String> {
    let source = std::fs::read(root().join(schema)).map_err(|error| format!("cannot read {schema}: {error}"))?;
    let directory = std::env::temp_dir().join(format!("pagewire-schemas-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    let output = Command::new(flatc_fork::flatc())
        .args(["--rust", "--gen-all", "--gen-object-api", "-o"])
        .arg(&directory)
        .arg(root().join(schema))
        .output()
        .map_err(|error| format!("cannot run {}: {error}", flatc_fork::flatc().display()))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        return Err(format!("flatc refused {schema}: {}", String::from_utf8_lossy(&said)));
    }
    let stem = Path::new(schema).file_stem().expect("a schema has a name").to_string_lossy().into_owned();
    let made = std::fs::read_to_string(directory.join(format!("{stem}_generated.rs")));
    std::fs::remove_dir_all(&directory).map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
    let made = made.map_err(|error| format!("flatc left no file for {schema}: {error}"))?;
    // flatc writes for a crate root, where `extern crate alloc` is seen from every module below; this file is a module.
    let made = made.replace("extern crate alloc;\n", "").replace("alloc::", "::std::");
    let checksum = crc32c::crc32c(&source);
    Ok(format!(
        "// Made of {schema} by scripts/generate-schemas; change the schema and run it again.\n// schema crc32c {checksum:08x}\n{made}"
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_files_are_current() {
        super::run(true).unwrap();
    }
}
