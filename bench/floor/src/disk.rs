//! What the disk can do, and how to have it do it again: the rate at which it takes writes, and files that are not in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{Advice, fadvise};

const CHUNK_BYTES: u64 = 1 << 20;
/// Written between two waits for the disk: enough for it to be busy, little beside the memory.
const CHUNKS_PER_SYNC: u64 = 64;

/// Bytes per second that the disk takes, one file written from start to end, everything on the disk at the end. Leaves nothing behind.
///
/// # Errors
/// The host's: the file wants `bytes` of room.
pub fn bytes_per_second(directory: &Path, bytes: u64) -> io::Result<f64> {
    let path = directory.join("write-rate");
    let file = File::options().write(true).create(true).truncate(true).open(&path)?;
    let chunk = vec![0x5a; CHUNK_BYTES as usize];
    let chunks = bytes.div_ceil(CHUNK_BYTES);
    let started = Instant::now();
    for number in 0..chunks {
        file.write_all_at(&chunk, number * CHUNK_BYTES)?;
        if (number + 1) % CHUNKS_PER_SYNC == 0 {
            file.sync_data()?;
        }
    }
    file.sync_data()?;
    let rate = (chunks * CHUNK_BYTES) as f64 / started.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Takes the pages of all files below a directory out of memory, as [`forget`] does.
///
/// # Errors
/// The host's; files that are deleted meanwhile are none.
pub fn forget_below(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let forgotten = if path.is_dir() { forget_below(&path) } else { forget(&path) };
        match forgotten {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Takes a file's pages out of memory, but for those that somebody is using at this moment.
///
/// # Errors
/// The host's.
pub fn forget(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // Pages that are not on the disk stay.
    file.sync_data()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}
