//! `pagewire-floor`: serves one topic with the least work there is, until it is ended.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use pagewire_floor::append_file::{AppendFile, Roll};
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
    /// Bytes after which the floor goes on in another file; nothing is served then
    #[arg(long, default_value_t = u64::MAX)]
    file_bytes_max: u64,
    /// How many full files stay
    #[arg(long, default_value_t = 16)]
    full_files_max: usize,
}

fn main() -> std::io::Result<()> {
    let Arguments { listen, file, topic, way, file_bytes_max, full_files_max } = Arguments::parse();
    let log = AppendFile::create(&file, Roll { file_bytes_max, full_files_max })?;
    floor::serve(listen, log, &topic, way)
}
