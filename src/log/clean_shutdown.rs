//! `.kafka_cleanshutdown`: the marker that a clean stop leaves in a data directory, and the next start takes away.
//!
//! Blocking; helper threads. 31 bytes or so of JSON, no newline: `{"version":0,"brokerEpoch":543}`. An empty file counts as well (Kafka before KIP-966).
//!
//! Invariant: the marker is written last, after every log is closed and the checkpoints are on the disk, and removed first, before a log is opened for writing.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::io::directory;

pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// Whether the last stop was a clean one. Leaves the marker: `take` removes it.
pub fn is_clean(data_directory: &Path) -> io::Result<bool> {
    directory::exists(&data_directory.join(CLEAN_SHUTDOWN_FILE))
}

/// Removes the marker, durably, and answers whether it was there.
pub fn take(data_directory: &Path) -> io::Result<bool> {
    match directory::remove_file(&data_directory.join(CLEAN_SHUTDOWN_FILE)) {
        Ok(()) => directory::sync(data_directory).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Leaves the marker, durably. `broker_epoch` is −1 when no controller has given one.
pub fn write(data_directory: &Path, broker_epoch: i64) -> io::Result<()> {
    directory::replace_atomically(&data_directory.join(CLEAN_SHUTDOWN_FILE), print(broker_epoch).as_bytes(), true)
}

fn print(broker_epoch: i64) -> String {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_text_and_one_life() {
        assert_eq!(print(543), "{\"version\":0,\"brokerEpoch\":543}");
        assert_eq!(print(543).len(), 31);
        let scratch = tempfile::tempdir().unwrap();
        assert!(!take(scratch.path()).unwrap());
        write(scratch.path(), 543).unwrap();
        assert!(is_clean(scratch.path()).unwrap());
        assert!(take(scratch.path()).unwrap());
        assert!(!is_clean(scratch.path()).unwrap());
    }
}
