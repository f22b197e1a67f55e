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
    let compare = |arguments: &[&str]| {
        let compared = Command::new(env!("CARGO_BIN_EXE_pagewire-compare"))
            .args(["--port", &free_port().to_string(), "--size", "1", "--skip-filling-memory", "--programs"])
            .arg(programs)
            .arg("--output")
            .arg(output.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
        let results: serde_json::Value = serde_json::from_slice(&std::fs::read(output.path().join("results.json")).unwrap()).unwrap();
        results
    };
    compare(&["--repetitions", "1"]);
    // What is there is not measured again, and what is missing is.
    let results = compare(&["--repetitions", "2", "--go-on", "echo"]);
    let runs = results["runs"].as_array().unwrap();
    let rows: std::collections::BTreeSet<&str> = runs.iter().map(|run| run["row"].as_str().unwrap()).collect();
    for run in runs {
        let turns: Vec<u64> = run["runs"].as_array().unwrap().iter().map(|run| run["turn"].as_u64().unwrap()).collect();
        assert_eq!(turns, if run["row"] == "echo" { vec![1, 2] } else { vec![1] }, "{run}");
    }
    // Without Apache Kafka its tools have nothing to run with.
    assert_eq!(rows.len(), 19, "{rows:?}");
    assert!(results["verdicts"].as_array().unwrap().len() > 5, "{}", results["verdicts"]);
    check_page(output.path(), &rows);
}

/// The page and the pictures are well-formed, name every row, say that a reduced run shows nothing, and come out the same from the JSON.
fn check_page(output: &Path, rows: &std::collections::BTreeSet<&str>) {
    let page = std::fs::read_to_string(output.join("results.html")).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let cells: Vec<&str> = document.descendants().filter(|node| node.has_tag_name("th")).filter_map(|node| node.text()).collect();
    assert!(rows.iter().all(|row| cells.contains(row)), "{cells:?}");
    assert!(page.contains("INVALID: a reduced run"));
    let mut pictures = 0;
    for picture in std::fs::read_dir(output.join("plots")).unwrap() {
        roxmltree::Document::parse(&std::fs::read_to_string(picture.unwrap().path()).unwrap()).unwrap();
        pictures += 1;
    }
    assert!(pictures > rows.len(), "{pictures}");
    let copy = tempfile::tempdir().unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_pagewire-compare"))
        .arg("--page-from")
        .arg(output.join("results.json"))
        .arg("--output")
        .arg(copy.path())
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    for file in ["results.html", "results.md"] {
        let read = |directory: &Path| std::fs::read_to_string(directory.join(file)).unwrap();
        assert_eq!(read(copy.path()), read(output), "{file}");
    }
}

/// The first of two ports that nobody listens on, below the range from which the kernel gives them away and where no other suite takes any.
fn free_port() -> u16 {
    let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    (16_000..17_990).step_by(2).find(|port| is_free(*port) && is_free(port + 1)).unwrap()
}
