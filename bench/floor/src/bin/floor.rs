//! `pagewire-floor`: serves one topic with the least work there is, until it is ended.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use pagewire_floor::append_file::AppendFile;
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
    /// Bytes after which the file is written over from its start; nothing is served then
    #[arg(long, default_value_t = u64::MAX)]
    file_bytes_max: u64,
}

fn main() -> std::io::Result<()> {
    let Arguments { listen, file, topic, way, file_bytes_max } = Arguments::parse();
    floor::serve(listen, AppendFile::create(&file, file_bytes_max)?, &topic, way)
}
