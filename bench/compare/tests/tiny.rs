//! The comparison on a tiny input, with the debug builds of the floor and of the broker: every row runs and every bar gets its verdict. It shows
//! nothing about speed.

use std::path::Path;
use std::process::Command;

#[test]
fn every_row_runs_and_is_judged() {
    let programs = Path::new(env!("CARGO_BIN_EXE_pagewire-compare")).parent().unwrap();
    for program in ["pagewire", "pagewire-floor"] {
        assert!(programs.join(program).exists(), "{program} is not built: cargo build --bins -p pagewire -p pagewire-floor");
    }
    let output = tempfile::tempdir().unwrap();
    let compared = Command::new(env!("CARGO_BIN_EXE_pagewire-compare"))
        .args(["--port", &free_port().to_string()])
        .args(["--repetitions", "1", "--size", "1", "--skip-filling-memory", "--programs"])
        .arg(programs)
        .arg("--output")
        .arg(output.path())
        .output()
        .unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(output.path().join("results.json")).unwrap()).unwrap();
    let rows: std::collections::BTreeSet<&str> =
        results["runs"].as_array().unwrap().iter().map(|run| run["row"].as_str().unwrap()).collect();
    // Without Apache Kafka its tools have nothing to run with.
    assert_eq!(rows.len(), 19, "{rows:?}");
    assert!(results["verdicts"].as_array().unwrap().len() > 5, "{}", results["verdicts"]);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
