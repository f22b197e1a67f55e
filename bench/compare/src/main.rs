//! `pagewire-compare`: the same work by the floor, by Pagewire and by Apache Kafka, in turns, and a verdict for each bar.
//!
//! | file | what it is |
//! |---|---|
//! | `contestant` | who is measured, which program that is, and how it is started |
//! | `server` | a server under measurement, from its start to its end, on one processor |
//! | `work` | what is measured, row by row |
//! | `memory` | memory that is in use, so that the host is not what is measured |
//! | `sample` | what one run came to; turns, medians and spread of several |
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

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use clap::Parser;

use contestant::Contestant;
use memory::Memory;
use report::Measured;
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
    /// Turns of each row
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Thousandths of each row's size: small runs show that everything works, and nothing about speed
    #[arg(long, default_value_t = 1000)]
    size: u64,
    /// Only these rows; see --list
    rows: Vec<String>,
    /// Name the rows and end
    #[arg(long)]
    list: bool,
    /// Take only the turns that are missing in the results.json below --output: what was cut off goes on where it was
    #[arg(long)]
    go_on: bool,
    /// Measure nothing: put the turns of these results.json together, into --output, with their tables, page and pictures
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
        return report::write(&arguments.output, &report::read_all(&arguments.page_from)?);
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
    let mut measured = Measured::nothing_yet(arguments.size);
    if arguments.go_on {
        let results_json = report::results_json(&host.directory);
        if results_json.exists() {
            measured = report::read(&results_json)?.join(measured).map_err(io::Error::other)?;
        } else {
            eprintln!("there is no {} to go on from: all turns are missing", results_json.display());
        }
    }
    for (row, contestant, program) in contests(&rows, &host)? {
        measured.results.check(row, contestant, &program).map_err(io::Error::other)?;
    }
    if !arguments.skip_filling_memory {
        host.memory = Some(Memory::hold(&host.directory.join("junk"))?);
    }
    let mut failures = Vec::new();
    for together in rows.chunk_by(|left, right| left.turns_with() == right.turns_with()) {
        // Hours of other rows are not lost with one that fails.
        if let Err(error) = measure(together, &host, &arguments, &mut measured) {
            eprintln!("{}: {error}", together[0].name());
            failures.push(together[0].name());
        }
    }
    report::write(&host.directory, &measured)?;
    print!("{}", report::table(&measured));
    if failures.is_empty() { Ok(()) } else { Err(io::Error::other(format!("rows that failed: {}", failures.join(", ")))) }
}

/// Rows that are held against each other take turns, and in each row the contestants do. Written down after each turn.
fn measure(rows: &[Row], host: &Host, arguments: &Arguments, measured: &mut Measured) -> io::Result<()> {
    let contests = contests(rows, host)?;
    let turns_done = |results: &Results| contests.iter().map(|(row, contestant, _)| results.count(*row, *contestant)).min();
    if turns_done(&measured.results).is_none_or(|done| done >= arguments.repetitions) {
        return Ok(());
    }
    let mut rates = BTreeMap::new();
    for row in rows {
        let contestants: Vec<Contestant> = contests.iter().filter(|contest| contest.0 == *row).map(|contest| contest.1).collect();
        if let Some(rate) = row.rate(&contestants, host, arguments.size)? {
            eprintln!("{:<19} {rate:.0} requests a second", row.name());
            rates.insert(*row, rate);
        }
    }
    while let Some(done) = turns_done(&measured.results).filter(|done| *done < arguments.repetitions) {
        let mut samples = Vec::new();
        for (row, contestant, _) in &contests {
            if row.takes_memory() {
                host.fill_memory()?;
            }
            let run = Run { contestant: *contestant, host, size: arguments.size, rate: rates.get(row).copied() };
            let sample = row.measure(&run)?;
            eprintln!("{:<19} {}/{} {:<13}{sample}", row.name(), done + 1, arguments.repetitions, contestant.name());
            samples.push(sample);
        }
        // A turn counts when everybody has had it.
        let turn = measured.results.last_turn(rows[0]) + 1;
        for ((row, contestant, program), sample) in contests.iter().zip(samples) {
            measured.results.add(*row, *contestant, turn, program, sample).map_err(io::Error::other)?;
        }
        measured.finished_now();
        report::write(&host.directory, measured)?;
    }
    Ok(())
}

/// Who takes part in which row, in the order of a turn, and which program it is.
fn contests(rows: &[Row], host: &Host) -> io::Result<Vec<(Row, Contestant, String)>> {
    let mut contests = Vec::new();
    for row in rows {
        let is_here = |contestant: &Contestant| contestant.is_here(host) && row.has_load_for(*contestant, host);
        for contestant in row.contestants().iter().copied().filter(is_here) {
            contests.push((*row, contestant, contestant.program(host)?));
        }
    }
    Ok(contests)
}

/// The rows asked for and those that they are held against, in the order of all rows.
fn chosen(names: &[String]) -> io::Result<Vec<Row>> {
    if names.is_empty() {
        return Ok(Row::ALL.to_vec());
    }
    let asked = names.iter().map(|name| Row::named(name)).collect::<io::Result<Vec<Row>>>()?;
    let is_chosen = |row: &Row| asked.iter().any(|asked| asked == row || asked.turns_with() == *row);
    Ok(Row::ALL.into_iter().filter(is_chosen).collect())
}
