//! What can go wrong with a log, as its owner sees it.
//!
//! Plain values; any thread. The owner maps these to Kafka's error codes at the edge: `Offline` and `Host` are KAFKA_STORAGE_ERROR,
//! `BatchLargerThanSegment` is RECORD_LIST_TOO_LARGE, `Corrupt` is KAFKA_STORAGE_ERROR too.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::read::Corruption;
use crate::base::Offset;

#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// A write, sync or rename of this log failed before. Nothing is tried again: after a failed sync the kernel may have dropped the pages. Other logs go on.
    #[error("{directory} is offline: {why}")]
    Offline { directory: Arc<Path>, why: Arc<str> },
    #[error("{path}: cannot {doing}: {error}; check the disk, its free space and the file's permissions, then restart")]
    Host { path: PathBuf, doing: &'static str, error: Arc<io::Error> },
    #[error("a batch of {came} bytes does not fit a segment: expected at most segment.bytes = {segment_bytes}")]
    BatchLargerThanSegment { came: usize, segment_bytes: u32 },
    /// What was asked for lay in files that the cleaner or retention has replaced since. Ask again.
    #[error("{directory}: segment {segment} was replaced while it was being opened; ask again")]
    Replaced { directory: Arc<Path>, segment: Offset },
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// A follower was given a batch that does not go on where its log ends.
    #[error("{directory}: a batch starts at offset {came}, expected {log_end_offset} or above; truncate to the leader's epoch first")]
    NotInOrder { directory: Arc<Path>, came: i64, log_end_offset: i64 },
}

impl LogError {
    pub(super) fn host(path: &Path, doing: &'static str, error: io::Error) -> LogError {
        LogError::Host { path: path.to_owned(), doing, error: Arc::new(error) }
    }
}

/// `result.doing(path, "read")`: an I/O error with what was tried.
pub(super) trait Doing<T> {
    fn doing(self, path: &Path, doing: &'static str) -> Result<T, LogError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, path: &Path, doing: &'static str) -> Result<T, LogError> {
        self.map_err(|error| LogError::host(path, doing, error))
    }
}
