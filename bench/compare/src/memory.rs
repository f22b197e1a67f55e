//! Memory that is in use.
//!
//! A virtual machine gives free memory back to its host, and a page used anew then costs a fault there, charged to whoever touches it: a growing
//! page cache would make every broker look equally slow. So before each run the page cache is filled with junk: new pages
//! are reclaimed ones then, as on a machine that has been up for a while.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Below this nothing is free any more.
const FREE_BYTES_MAX: u64 = 500 << 20;
const CHUNK_BYTES: usize = 4 << 20;

/// Reads a junk file, made at the first call, until little memory is free.
///
/// # Errors
/// The host's: the file wants as much room on the disk as the machine has memory.
pub fn fill(junk: &Path) -> io::Result<()> {
    let total_bytes = memory_info("MemTotal")?;
    let mut chunk = vec![0x5a; CHUNK_BYTES];
    if std::fs::metadata(junk).map_or(0, |metadata| metadata.len()) < total_bytes {
        let mut file = File::create(junk)?;
        for _ in 0..total_bytes / CHUNK_BYTES as u64 + 1 {
            file.write_all(&chunk)?;
        }
        file.sync_all()?;
    }
    let mut file = File::open(junk)?;
    while memory_info("MemFree")? > FREE_BYTES_MAX {
        if file.read(&mut chunk)? == 0 {
            break;
        }
    }
    Ok(())
}

/// A line of `/proc/meminfo`, in bytes.
fn memory_info(name: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc/meminfo has no {name}")))
}
