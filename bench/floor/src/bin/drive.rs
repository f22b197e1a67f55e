//! `pagewire-drive`: drives a broker, or the floor, and says what it cost the other side's processor. Prints one JSON object.

use std::io;
use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use pagewire_floor::batches::Batch;
use pagewire_floor::light_client::{Load, Outcome, Work, run};
use pagewire_floor::{frames, process_time};

/// A light Kafka client: one thread, many connections, requests encoded before the run
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:9192")]
    address: SocketAddr,
    #[arg(long, default_value = "bench")]
    topic: String,
    /// The process whose processor time counts
    #[arg(long)]
    pid: u32,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Bytes of a batch, about
    #[arg(long, default_value_t = 16 << 10)]
    batch_bytes: usize,
    /// Bytes of a record's value; 0: one record fills the batch
    #[arg(long, default_value_t = 0)]
    value_bytes: usize,
    /// Answers before the counted ones
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    /// Answers that count
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// Do not sleep while waiting for answers
    #[arg(long)]
    spin: bool,
    #[command(subcommand)]
    work: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Produce, acks=1
    Ingest {
        /// Requests under way on each connection
        #[arg(long, default_value_t = 5)]
        pipeline: usize,
        /// Partitions to spread the connections over
        #[arg(long, default_value_t = 1)]
        partitions: usize,
    },
    /// Fetch what `ingest` stored with the same batch and value sizes
    Serve {
        #[arg(long, default_value_t = 1 << 20)]
        range_bytes: i32,
        /// How many batches there are
        #[arg(long)]
        batches: i64,
    },
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let Batch { bytes: batch, records: records_per_batch } = Batch::of(arguments.batch_bytes, arguments.value_bytes);
    let (work, pipeline) = match arguments.work {
        Command::Ingest { pipeline, partitions } => {
            let frames = (0..partitions as i32).map(|partition| frames::produce_request(&arguments.topic, partition, 1, &batch)).collect();
            (Work::Produce { frames, topic_bytes: arguments.topic.len() }, pipeline)
        }
        Command::Serve { range_bytes, batches } => {
            let (topic, batch_bytes) = (arguments.topic.clone(), batch.len() as u64);
            (Work::Fetch { topic, range_bytes, batch_bytes, records_per_batch, end_offset: batches * records_per_batch }, 1)
        }
    };
    let load = Load {
        address: arguments.address,
        connections: arguments.connections,
        pipeline,
        requests: arguments.warm_up,
        work,
        is_spinning: arguments.spin,
    };
    if arguments.warm_up > 0 {
        run(&load)?;
    }
    let used_ns = process_time::of_process_ns(arguments.pid)?;
    let outcome = run(&Load { requests: arguments.requests, ..load })?;
    let used_ns = process_time::of_process_ns(arguments.pid)? - used_ns;
    let resident_bytes = process_time::resident_bytes(arguments.pid)?;
    println!("{}", report(&outcome, used_ns, resident_bytes, records_per_batch));
    Ok(())
}

fn report(outcome: &Outcome, used_ns: u64, resident_bytes: u64, records_per_batch: i64) -> serde_json::Value {
    let seconds = outcome.elapsed.as_secs_f64();
    let quantile_us = |quantile| outcome.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
    serde_json::json!({
        "requests": outcome.requests,
        "bytes": outcome.bytes,
        "seconds": seconds,
        "records_per_batch": records_per_batch,
        "server_cpu_seconds": used_ns as f64 / 1e9,
        "server_cpu_share": used_ns as f64 / 1e9 / seconds,
        "server_cpu_us_per_request": used_ns as f64 / 1e3 / outcome.requests as f64,
        "server_cpu_seconds_per_gb": used_ns as f64 / outcome.bytes as f64,
        "megabytes_per_second": outcome.bytes as f64 / 1e6 / seconds,
        "latency_us": {
            "p50": quantile_us(0.5), "p90": quantile_us(0.9), "p99": quantile_us(0.99), "p99.9": quantile_us(0.999), "max": quantile_us(1.0),
        },
        "server_resident_bytes": resident_bytes,
    })
}
