//! `partition.metadata`: the topic id of the partition whose directory this is (KIP-516).
//!
//! Blocking; helper threads. 43 bytes, no newline at the end:
//!
//! ```text
//! version: 0
//! topic_id: 8CP79d2VSwWzM2QHhF7bKQ
//! ```

use std::path::{Path, PathBuf};

use super::checkpoint::{self, CheckpointError};
use super::format::PARTITION_METADATA_FILE;
use crate::base::TopicId;
use crate::io::directory;

/// A file that does not name a topic id. Whoever opens the directory decides from the cluster's metadata whose it is.
#[derive(Debug, thiserror::Error)]
pub enum PartitionMetadataError {
    #[error(
        "{path}: expected \"version: 0\" and \"topic_id: <22 characters>\", came {came:?}; set the directory aside, or write the topic's id into it"
    )]
    Damaged { path: PathBuf, came: String },
    #[error(transparent)]
    Unreadable(#[from] CheckpointError),
}

pub fn print(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// `None` if the text is anything else.
pub fn parse(text: &str) -> Option<TopicId> {
    let mut lines = text.lines();
    let version = lines.next()?.strip_prefix("version:")?.trim();
    let topic_id = lines.next()?.strip_prefix("topic_id:")?.trim();
    if version != "0" || lines.any(|line| !line.trim().is_empty()) {
        return None;
    }
    TopicId::parse(topic_id)
}

/// Reads the file in a partition's directory; `None` if it is not there.
///
/// # Errors
/// It is there and cannot be understood.
pub fn read(directory: &Path) -> Result<Option<TopicId>, PartitionMetadataError> {
    let path = directory.join(PARTITION_METADATA_FILE);
    match checkpoint::read_text(&path)? {
        None => Ok(None),
        Some(text) => match parse(&text) {
            Some(topic_id) => Ok(Some(topic_id)),
            None => Err(PartitionMetadataError::Damaged { path, came: text.chars().take(80).collect() }),
        },
    }
}

/// Writes the file. It is durable when the caller has synced it and its directory.
pub fn write(directory: &Path, topic_id: TopicId) -> std::io::Result<()> {
    directory::replace_atomically(&directory.join(PARTITION_METADATA_FILE), print(topic_id).as_bytes(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_text() {
        let text = "version: 0\ntopic_id: 8CP79d2VSwWzM2QHhF7bKQ";
        assert_eq!(text.len(), 43);
        assert_eq!(print(parse(text).unwrap()), text);
    }

    #[test]
    fn other_texts_are_errors_that_name_the_file() {
        for text in ["", "version: 0", "version: 1\ntopic_id: 8CP79d2VSwWzM2QHhF7bKQ", "version: 0\ntopic_id: 8CP", "\0\0\0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let scratch = tempfile::tempdir().unwrap();
        assert!(read(scratch.path()).unwrap().is_none());
        directory::replace_atomically(&scratch.path().join(PARTITION_METADATA_FILE), b"nothing", false).unwrap();
        let message = read(scratch.path()).unwrap_err().to_string();
        assert!(message.contains(PARTITION_METADATA_FILE) && message.contains("nothing"), "{message}");
        write(scratch.path(), TopicId([7; 16])).unwrap();
        assert_eq!(read(scratch.path()).unwrap(), Some(TopicId([7; 16])));
    }
}
