//! `pagewire-compare`: the same work by the floor, by Pagewire and by Apache Kafka, in turns, and a verdict for each bar.
//!
//! | file | what it is |
//! |---|---|
//! | `server` | starting and ending each of the contestants, on one processor |
//! | `work` | what is measured, row by row |
//! | `memory` | memory that is in use, so that the host is not what is measured |
//! | `sample` | what one run came to; medians and spread of several |
//! | `bars` | what each row must reach |
//! | `report` | the table, and everything as JSON |

mod bars;
mod memory;
mod report;
mod sample;
mod server;
mod work;

use std::io;
use std::path::PathBuf;

use clap::Parser;

use sample::Results;
use server::{Contestant, Host};
use work::Row;

/// Pagewire beside the floor and Apache Kafka, on one processor each, the load on another
#[derive(Parser)]
struct Arguments {
    /// The folder of the built programs: pagewire, pagewire-floor
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// The folder of Apache Kafka's jars; without it Kafka is left out
    #[arg(long)]
    kafka_jars: Option<PathBuf>,
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
    /// Thousandths of each row's size: small runs show that everything works, and nothing about speed
    #[arg(long, default_value_t = 1000)]
    size: u64,
    /// Only these rows; see --list
    rows: Vec<String>,
    /// Name the rows and end
    #[arg(long)]
    list: bool,
    /// Measure on memory as it is; fresh memory costs the host's time
    #[arg(long)]
    skip_filling_memory: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if arguments.list {
        Row::ALL.iter().for_each(|row| println!("{:<16} {}", row.name(), row.title()));
        return Ok(());
    }
    let rows = chosen(&arguments.rows)?;
    std::fs::create_dir_all(&arguments.output)?;
    let host = Host {
        programs: std::fs::canonicalize(&arguments.programs)?,
        kafka_jars: arguments.kafka_jars.as_deref().map(std::fs::canonicalize).transpose()?,
        directory: std::fs::canonicalize(&arguments.output)?,
        processor: arguments.processor,
        port: arguments.port,
    };
    server::keep_off(host.processor)?;
    let mut results = Results::default();
    for row in rows {
        for repetition in 0..arguments.repetitions {
            for contestant in row.contestants() {
                if *contestant == Contestant::Kafka && host.kafka_jars.is_none() {
                    continue;
                }
                if !arguments.skip_filling_memory {
                    memory::fill(&host.directory.join("junk"))?;
                }
                let sample = row.measure(*contestant, &host, arguments.size)?;
                eprintln!("{:<16} {}/{} {:<16} {}", row.name(), repetition + 1, arguments.repetitions, contestant.name(), sample);
                results.add(row, *contestant, sample);
            }
        }
    }
    let text = report::table(&results);
    print!("{text}");
    report::write(&host.directory, &results, &text)
}

fn chosen(names: &[String]) -> io::Result<Vec<Row>> {
    if names.is_empty() {
        return Ok(Row::ALL.to_vec());
    }
    let find = |name: &String| {
        let row = Row::ALL.iter().copied().find(|row| row.name() == name);
        row.ok_or_else(|| io::Error::other(format!("there is no row {name:?}; --list names them")))
    };
    names.iter().map(find).collect()
}
