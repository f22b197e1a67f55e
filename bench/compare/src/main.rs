//! `pagewire-compare`: the same work by the floor, by Pagewire and by Apache Kafka, in turns, and a verdict for each bar.
//!
//! | file | what it is |
//! |---|---|
//! | `contestant` | who is measured, and how each is started |
//! | `server` | a server under measurement, from its start to its end, on one processor |
//! | `work` | what is measured, row by row |
//! | `memory` | memory that is in use, so that the host is not what is measured |
//! | `sample` | what one run came to; medians and spread of several |
//! | `awake` | processors of the load that do not sleep |
//! | `bars` | what each row must reach |
//! | `report` | tables, page and pictures, and everything as JSON |

mod awake;
mod bars;
mod contestant;
mod memory;
mod report;
mod sample;
mod server;
mod work;

use std::io;
use std::path::PathBuf;

use clap::Parser;

use contestant::Contestant;
use memory::Memory;
use sample::Results;
use server::Host;
use work::{Row, Run};

/// Pagewire beside the floor and Apache Kafka, on one processor each, the load on another
#[derive(Parser)]
struct Arguments {
    /// The folder of the built programs: pagewire, pagewire-floor, pagewire-drive
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// The folder of Apache Kafka's jars; without it Kafka is left out
    #[arg(long)]
    kafka_jars: Option<PathBuf>,
    /// The folder of Apache Iggy's programs, iggy-server and iggy-bench; without it Iggy is left out
    #[arg(long)]
    iggy: Option<PathBuf>,
    /// Where data and results go
    #[arg(long, default_value = "target/compare")]
    output: PathBuf,
    /// The processor of the servers; the load runs on the others
    #[arg(long, default_value_t = 0)]
    processor: usize,
    /// The first of the ports in use
    #[arg(long, default_value_t = 9392)]
    port: u16,
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Repetitions of the rows whose runs take ten minutes each
    #[arg(long, default_value_t = 2)]
    long_repetitions: usize,
    /// Thousandths of each row's size: small runs show that everything works, and nothing about speed
    #[arg(long, default_value_t = 1000)]
    size: u64,
    /// Only these rows; see --list
    rows: Vec<String>,
    /// Name the rows and end
    #[arg(long)]
    list: bool,
    /// Measure nothing: put the rows of these results.json together, into --output, with their tables, page and pictures
    #[arg(long, value_name = "FILE", num_args = 1..)]
    page_from: Vec<PathBuf>,
    /// Measure on memory as it is: nothing is held and nothing filled, and fresh memory costs the host's time
    #[arg(long)]
    skip_filling_memory: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if arguments.list {
        Row::ALL.iter().for_each(|row| println!("{:<19} {}", row.name(), row.title()));
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.output)?;
    if !arguments.page_from.is_empty() {
        return report::write_from(&arguments.page_from, &arguments.output);
    }
    let rows = chosen(&arguments.rows)?;
    let mut host = Host {
        programs: std::fs::canonicalize(&arguments.programs)?,
        kafka_jars: arguments.kafka_jars.as_deref().map(std::fs::canonicalize).transpose()?,
        iggy: arguments.iggy.as_deref().map(std::fs::canonicalize).transpose()?,
        directory: std::fs::canonicalize(&arguments.output)?,
        processor: arguments.processor,
        load_processors: server::keep_off(arguments.processor)?,
        port: arguments.port,
        memory: None,
    };
    if !arguments.skip_filling_memory {
        host.memory = Some(Memory::hold(&host.directory.join("junk"))?);
    }
    let mut results = Results::default();
    let mut failures = Vec::new();
    for turn in rows.chunk_by(|left, right| left.turns_with() == right.turns_with()) {
        // Hours of other rows are not lost with one that fails.
        if let Err(error) = measure(turn, &host, &arguments, &mut results) {
            eprintln!("{}: {error}", turn[0].name());
            failures.push(turn[0].name());
        }
        report::write(&host.directory, &results)?;
    }
    print!("{}", report::table(&results));
    if failures.is_empty() { Ok(()) } else { Err(io::Error::other(format!("rows that failed: {}", failures.join(", ")))) }
}

/// Rows that are held against each other take turns, and in each row the contestants do.
fn measure(rows: &[Row], host: &Host, arguments: &Arguments, results: &mut Results) -> io::Result<()> {
    let contestants = |row: Row| -> Vec<Contestant> {
        row.contestants().iter().copied().filter(|contestant| contestant.is_here(host) && row.has_load_for(*contestant, host)).collect()
    };
    let rate = |row: &Row| {
        let rate = row.rate(&contestants(*row), host, arguments.size)?;
        rate.inspect(|rate| eprintln!("{:<19} {rate:.0} requests a second", row.name()));
        Ok((*row, rate))
    };
    let rates = rows.iter().map(rate).collect::<io::Result<Vec<(Row, Option<f64>)>>>()?;
    let repetitions = if rows.iter().any(|row| row.is_long()) { arguments.long_repetitions } else { arguments.repetitions };
    for repetition in 1..=repetitions {
        for (row, rate) in &rates {
            for contestant in contestants(*row) {
                host.fill_memory()?;
                let sample = row.measure(&Run { contestant, host, size: arguments.size, rate: *rate })?;
                eprintln!("{:<19} {repetition}/{repetitions} {:<13}{sample}", row.name(), contestant.name());
                results.add(*row, contestant, sample);
            }
        }
    }
    Ok(())
}

/// The rows asked for and those that they are held against, in the order of all rows.
fn chosen(names: &[String]) -> io::Result<Vec<Row>> {
    if names.is_empty() {
        return Ok(Row::ALL.to_vec());
    }
    let find = |name: &String| {
        let row = Row::ALL.into_iter().find(|row| row.name() == name);
        row.ok_or_else(|| io::Error::other(format!("there is no row {name:?}; --list names them")))
    };
    let asked = names.iter().map(find).collect::<io::Result<Vec<Row>>>()?;
    let is_chosen = |row: &Row| asked.iter().any(|asked| asked == row || asked.turns_with() == *row);
    Ok(Row::ALL.into_iter().filter(is_chosen).collect())
}
