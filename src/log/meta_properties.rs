//! `meta.properties`: which node and cluster a data directory belongs to, and the directory's own id.
//!
//! Blocking; helper threads. A file of Java properties: `#` starts a comment, `key=value`, in any order. Keys that this broker does not know are kept.
//!
//! ```text
//! #
//! #Fri Nov 20 23:19:10 UTC 2026
//! node.id=1
//! directory.id=t-SyGpCnsgCzSQLeZI4RhQ
//! version=1
//! cluster.id=MkU3OEVBNTcwNTJENDM2Qg
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, CheckpointError};
use crate::io::directory;

pub const META_PROPERTIES_FILE: &str = "meta.properties";

/// What the file says. Ids are 22 characters of base64url, as Kafka makes them; older clusters may have named theirs freely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    /// Absent in directories from before KIP-858.
    pub directory_id: Option<String>,
    /// Keys that nobody here knows, kept as they were.
    pub others: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum MetaPropertiesError {
    #[error("{path}: {what}; restore the file from a backup, or write it anew with the node.id and cluster.id this directory belongs to")]
    Damaged { path: PathBuf, what: String },
    #[error(transparent)]
    Unreadable(#[from] CheckpointError),
}

impl MetaProperties {
    /// # Errors
    /// A sentence that says which key is missing or wrong.
    pub fn parse(text: &str) -> Result<MetaProperties, String> {
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = line.split_once(['=', ':']).ok_or_else(|| format!("expected key=value, came {line:?}"))?;
            keys.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        let mut take = |key: &str| keys.remove(key).filter(|value| !value.is_empty());
        match take("version").as_deref() {
            // Version 0 was the file of ZooKeeper's time: the node was called broker.id.
            Some("1" | "0") => {}
            came => return Err(format!("expected version=1, came {came:?}")),
        }
        let node_id = take("node.id").or_else(|| take("broker.id")).ok_or("expected node.id, there is none")?;
        let node_id = node_id.parse().map_err(|_| format!("expected a number for node.id, came {node_id:?}"))?;
        let cluster_id = take("cluster.id").ok_or("expected cluster.id, there is none")?;
        let directory_id = take("directory.id");
        Ok(MetaProperties { cluster_id, node_id, directory_id, others: keys })
    }

    pub fn print(&self) -> String {
        let mut text = format!("#\n#written by pagewire\nnode.id={}\n", self.node_id);
        if let Some(directory_id) = &self.directory_id {
            text.push_str(&format!("directory.id={directory_id}\n"));
        }
        text.push_str(&format!("version=1\ncluster.id={}\n", self.cluster_id));
        for (key, value) in &self.others {
            text.push_str(&format!("{key}={value}\n"));
        }
        text
    }
}

/// Reads the file of a data directory; `None` if it is not there.
///
/// # Errors
/// It cannot be understood. This one does stop a start: without it nobody knows whose data this is.
pub fn read(data_directory: &Path) -> Result<Option<MetaProperties>, MetaPropertiesError> {
    let path = data_directory.join(META_PROPERTIES_FILE);
    match checkpoint::read_text(&path)? {
        None => Ok(None),
        Some(text) => MetaProperties::parse(&text).map(Some).map_err(|what| MetaPropertiesError::Damaged { path, what }),
    }
}

pub fn write(data_directory: &Path, properties: &MetaProperties) -> std::io::Result<()> {
    directory::replace_atomically(&data_directory.join(META_PROPERTIES_FILE), properties.print().as_bytes(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str =
        "#\n#Fri Nov 20 23:19:10 UTC 2026\nnode.id=1\ndirectory.id=t-SyGpCnsgCzSQLeZI4RhQ\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n";

    #[test]
    fn golden_text() {
        let properties = MetaProperties::parse(GOLDEN).unwrap();
        assert_eq!((properties.node_id, properties.cluster_id.as_str()), (1, "MkU3OEVBNTcwNTJENDM2Qg"));
        assert_eq!(properties.directory_id.as_deref(), Some("t-SyGpCnsgCzSQLeZI4RhQ"));
        assert!(properties.others.is_empty());
        assert_eq!(MetaProperties::parse(&properties.print()).unwrap(), properties);
    }

    #[test]
    fn unknown_keys_stay_and_missing_ones_are_named() {
        let properties = MetaProperties::parse(&format!("{GOLDEN}future.key = x=y\n")).unwrap();
        assert_eq!(properties.others["future.key"], "x=y");
        assert!(properties.print().contains("future.key=x=y\n"));
        for (without, named) in
            [("node.id=1\n", "node.id"), ("version=1\n", "version"), ("cluster.id=MkU3OEVBNTcwNTJENDM2Qg\n", "cluster.id")]
        {
            let error = MetaProperties::parse(&GOLDEN.replace(without, "")).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        assert!(MetaProperties::parse("garbage").unwrap_err().contains("key=value"));
    }
}
