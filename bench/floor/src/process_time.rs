//! What another process has used, from `/proc/<pid>`: processor time (`task/*/schedstat`, nanoseconds), memory, the disk (proc(5)).
//!
//! Threads that have ended are missing: take both readings while the process does nothing but the work in between.

use std::fs;
use std::io;

/// Nanoseconds on a processor of all threads that `pid` has now.
///
/// # Errors
/// There is no such process, or it is not ours to look at.
pub fn of_process_ns(pid: u32) -> io::Result<u64> {
    let mut total_ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the look.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        total_ns += text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(total_ns)
}

/// Resident bytes of a process.
///
/// # Errors
/// As above.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    let kib = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    Ok(kib * 1024)
}

/// Bytes that a process had read from the disk: by itself or ahead of itself, its kernel workers' too.
///
/// # Errors
/// As above.
pub fn disk_read_bytes(pid: u32) -> io::Result<u64> {
    let counts = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = counts.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap_or("0");
    line.trim().parse::<u64>().map_err(io::Error::other)
}
