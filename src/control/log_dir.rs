//! The data directory as DescribeLogDirs shows it.
//!
//! Blocking: a file system that hangs keeps whoever asks waiting, so only helper threads ask.

use std::io;
use std::path::Path;

use crate::io::directory::{self, Space};
use crate::shard::message::LogDir;

/// # Errors
/// The host's.
pub(super) fn describe(data_dir: &Path) -> io::Result<LogDir> {
    let path = std::path::absolute(data_dir)?.display().to_string();
    let Space { total_bytes, available_bytes } = directory::space(data_dir)?;
    Ok(LogDir { path, total_bytes, usable_bytes: available_bytes })
}
