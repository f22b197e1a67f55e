//! Kafka's checkpoint files: text, one line per entry, replaced whole through `NAME.tmp` and a rename.
//!
//! Reading and writing block: for the control thread and helper threads. Parsing and printing are pure.
//!
//! ```text
//! 0                       version
//! 2                       number of entries
//! orders 0 4711           topic, partition, offset; in no order
//! orders 1 12
//! ```
//!
//! `recovery-point-offset-checkpoint`: up to where a log is known to be on the disk; a clean stop leaves the end offset. `replication-offset-checkpoint`: high
//! watermarks; they lag behind after a crash. `log-start-offset-checkpoint`: only partitions whose start lies above their first segment's base
//! (DeleteRecords). `cleaner-offset-checkpoint`: first offset not yet cleaned.
//!
//! Invariant: a damaged file is an error *value*: the caller works without it, and says so. It never keeps the broker from starting.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::{Offset, PartitionIndex, TopicName};
use crate::io::directory;

pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
pub const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
pub const LOG_START_OFFSET_FILE: &str = "log-start-offset-checkpoint";
pub const CLEANER_OFFSET_FILE: &str = "cleaner-offset-checkpoint";

const VERSION: &str = "0";

/// One offset per partition, as all four files hold it.
pub type PartitionOffsets = BTreeMap<(TopicName, PartitionIndex), Offset>;

/// A checkpoint that cannot be used. What it held is derived again from the logs.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{path}: {what}; the file is not used, what it held is worked out from the log again")]
    Damaged { path: PathBuf, what: Damage },
    #[error("{path}: cannot be read: {error}; check the disk and the file's permissions")]
    Unreadable { path: PathBuf, error: std::io::Error },
}

/// What is wrong with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("expected version 0 in the first line, came {0:?}")]
    Version(String),
    #[error("expected the number of entries in the second line, came {0:?}")]
    Count(String),
    #[error("expected {expected} entries, came {came}")]
    Entries { expected: usize, came: usize },
    #[error("expected {expected} in line {number}, came {line:?}")]
    Line { expected: &'static str, number: usize, line: String },
}

/// The lines behind version and count, taken apart by `parse_line`.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn parse_lines<T>(text: &str, expected: &'static str, mut parse_line: impl FnMut(&str) -> Option<T>) -> Result<Vec<T>, Damage> {
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if version.trim() != VERSION {
        return Err(Damage::Version(shortened(version)));
    }
    let count = lines.next().unwrap_or_default();
    let count: usize = count.trim().parse().map_err(|_| Damage::Count(shortened(count)))?;
    let mut entries = Vec::new(); // not sized by the count: it is the disk's word
    for (at, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        entries.push(parse_line(line).ok_or_else(|| Damage::Line { expected, number: at + 3, line: shortened(line) })?);
    }
    if entries.len() != count {
        return Err(Damage::Entries { expected: count, came: entries.len() });
    }
    Ok(entries)
}

/// The text of a checkpoint with these lines.
pub fn print_lines(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// # Errors
/// See [`Damage`]. A name that is no legal topic is damage; of two lines for one partition the last counts.
pub fn parse_offsets(text: &str) -> Result<PartitionOffsets, Damage> {
    // A topic's partitions stand behind one another, as a rule.
    let mut last: Option<TopicName> = None;
    let entries = parse_lines(text, "topic, partition and offset", |line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let topic = match last.take().filter(|last| last.as_str() == name) {
            Some(topic) => topic,
            None => TopicName::new(name).ok()?,
        };
        last = Some(topic.clone());
        let partition: i32 = words.next()?.parse().ok().filter(|p| *p >= 0)?;
        let offset: i64 = words.next()?.parse().ok().filter(|o| *o >= 0)?;
        words.next().is_none().then_some(((topic, PartitionIndex(partition)), Offset(offset)))
    })?;
    Ok(entries.into_iter().collect())
}

pub fn print_offsets(offsets: &PartitionOffsets) -> String {
    print_lines(offsets.iter().map(|((topic, partition), offset)| format!("{topic} {partition} {offset}")))
}

/// Reads one of the four files; one that is not there holds nothing.
///
/// # Errors
/// The file is damaged or cannot be read: go on without it.
pub fn read_offsets(path: &Path) -> Result<PartitionOffsets, CheckpointError> {
    match read_text(path)? {
        Some(text) => parse_offsets(&text).map_err(|what| CheckpointError::Damaged { path: path.to_owned(), what }),
        None => Ok(PartitionOffsets::new()),
    }
}

/// Replaces one of the four files.
pub fn write_offsets(path: &Path, offsets: &PartitionOffsets) -> std::io::Result<()> {
    directory::replace_atomically(path, print_offsets(offsets).as_bytes(), true)
}

/// A file's text, `None` if there is no such file. Bytes that are not UTF-8 are replaced, and then fail to parse.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, CheckpointError> {
    match directory::read_to_vec(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CheckpointError::Unreadable { path: path.to_owned(), error }),
    }
}

fn shortened(line: &str) -> String {
    line.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "0\n3\nrecords-deleted 0 7\nrecords-deleted 1 279\nrecords-deleted 2 217\n";

    #[test]
    fn golden_text() {
        let offsets = parse_offsets(GOLDEN).unwrap();
        assert_eq!(offsets.len(), 3);
        let topic = TopicName::new("records-deleted").unwrap();
        assert_eq!(offsets[&(topic, PartitionIndex(1))], Offset(279));
        assert_eq!(print_offsets(&offsets), GOLDEN);
        assert_eq!(print_offsets(&PartitionOffsets::new()), "0\n0\n");
    }

    #[test]
    fn damage_is_a_value() {
        assert_eq!(parse_offsets(""), Err(Damage::Version("".into())));
        assert_eq!(parse_offsets("1\n0\n"), Err(Damage::Version("1".into())));
        assert_eq!(parse_offsets("0\nx\n"), Err(Damage::Count("x".into())));
        assert_eq!(parse_offsets("0\n2\na 0 1\n"), Err(Damage::Entries { expected: 2, came: 1 }));
        assert_eq!(parse_offsets("0\n99999999999\na 0 1\n"), Err(Damage::Entries { expected: 99_999_999_999, came: 1 }));
        for line in ["a 0", "a 0 1 2", "a -1 1", "a 0 -1", "a/b 0 1", "a 0 9223372036854775808", "\0\0\0"] {
            let text = format!("0\n1\n{line}\n");
            assert!(matches!(parse_offsets(&text), Err(Damage::Line { number: 3, .. })), "{line:?}");
        }
    }

    #[test]
    fn a_missing_file_is_empty_and_a_damaged_one_says_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(RECOVERY_POINT_FILE);
        assert!(read_offsets(&path).unwrap().is_empty());
        let offsets = parse_offsets(GOLDEN).unwrap();
        write_offsets(&path, &offsets).unwrap();
        assert_eq!(read_offsets(&path).unwrap(), offsets);
        directory::replace_atomically(&path, &[0xff, 0, 1], false).unwrap();
        let message = read_offsets(&path).unwrap_err().to_string();
        assert!(message.contains(RECOVERY_POINT_FILE) && message.contains("version 0"), "{message}");
    }
}
