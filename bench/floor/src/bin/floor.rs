//! `pagewire-floor`: serves one topic with the least work there is, until it is ended.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use pagewire_floor::connection::Way;
use pagewire_floor::floor;

/// The least that the kernel asks for a log broker's work
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:9192")]
    listen: SocketAddr,
    /// Where the topic's bytes go; an existing file is emptied
    #[arg(long)]
    file: PathBuf,
    #[arg(long, default_value = "bench")]
    topic: String,
    /// How stored bytes go to a socket
    #[arg(long, value_enum, default_value = "sendfile")]
    way: Way,
}

fn main() -> std::io::Result<()> {
    let Arguments { listen, file, topic, way } = Arguments::parse();
    floor::serve(listen, &file, &topic, way)
}
