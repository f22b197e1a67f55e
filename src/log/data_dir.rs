//! What lies in a data directory: which folders are partitions, and which wait to be deleted or looked at.
//!
//! `FolderName` is pure; `scan` blocks, for the control thread and helper threads.
//!
//! ```text
//! orders-0                                        a partition; the topic's name may itself hold '-'
//! orders-0.7dd42af080f94757a8883ad947220429-delete   a deleted topic's partition: removed at the next start
//! orders-0.7dd42af080f94757a8883ad947220429-stray    a partition that the cluster's metadata does not know
//! orders-0.7dd42af080f94757a8883ad947220429-future   a copy on its way from another data directory
//! __cluster_metadata-0                            Kafka's KRaft metadata log: left alone
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::base::{PartitionIndex, TopicName};
use crate::io::directory;

/// The lock that a running broker holds on its data directory; Kafka's name.
pub const LOCK_FILE: &str = ".lock";
/// KRaft's own topic.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Linux's longest file name.
const NAME_BYTES_MAX: usize = 255;

/// Why a folder is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    Delete,
    Stray,
    Future,
}

impl Aside {
    const ALL: [Aside; 3] = [Aside::Delete, Aside::Stray, Aside::Future];

    pub fn suffix(self) -> &'static str {
        match self {
            Aside::Delete => "-delete",
            Aside::Stray => "-stray",
            Aside::Future => "-future",
        }
    }
}

/// A folder's name, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderName {
    Partition(TopicName, PartitionIndex),
    /// KRaft's metadata log.
    ClusterMetadata,
    Aside(Aside),
    /// Nobody's that Kafka or this broker knows (`lost+found`, say).
    Unknown,
}

impl FolderName {
    pub fn parse(name: &str) -> FolderName {
        if let Some(aside) = Aside::ALL.into_iter().find(|aside| is_aside(name, *aside)) {
            return FolderName::Aside(aside);
        }
        match parse_partition(name) {
            Some((topic, _)) if topic.as_str() == CLUSTER_METADATA_TOPIC => FolderName::ClusterMetadata,
            Some((topic, partition)) => FolderName::Partition(topic, partition),
            None => FolderName::Unknown,
        }
    }
}

/// `<topic>-<partition>.<32 hex digits><suffix>`; what stands before the dot may have been shortened.
fn is_aside(name: &str, aside: Aside) -> bool {
    let Some((before, unique)) = name.strip_suffix(aside.suffix()).and_then(|rest| rest.rsplit_once('.')) else { return false };
    !before.is_empty() && unique.len() == 32 && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn parse_partition(name: &str) -> Option<(TopicName, PartitionIndex)> {
    let (topic, digits) = name.rsplit_once('-')?;
    let partition: i32 = digits.parse().ok()?;
    // "-00" or "-+1" would be a second folder for one partition.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    is_plain.then_some(())?;
    Some((TopicName::new(topic).ok()?, PartitionIndex(partition)))
}

/// The folder of a partition.
pub fn partition_folder(topic: &TopicName, partition: PartitionIndex) -> String {
    format!("{topic}-{partition}")
}

/// The name under which a partition's folder is set aside. `unique` is the 32 hexadecimal digits of a fresh UUID; a long topic name is shortened, as Kafka does.
pub fn aside_folder(topic: &TopicName, partition: PartitionIndex, unique: &str, aside: Aside) -> String {
    let rest = format!("-{partition}.{unique}{}", aside.suffix());
    let topic = &topic.as_str()[..topic.as_str().len().min(NAME_BYTES_MAX - rest.len())];
    format!("{topic}{rest}")
}

/// A data directory's folders. Files beside them are not listed: each has its own module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataDirectory {
    pub partitions: Vec<PartitionFolder>,
    /// To be removed, whole.
    pub to_delete: Vec<PathBuf>,
    pub stray: Vec<PathBuf>,
    pub future: Vec<PathBuf>,
    pub unknown: Vec<PathBuf>,
    pub has_cluster_metadata: bool,
}

/// A partition that has a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionFolder {
    pub topic: TopicName,
    pub partition: PartitionIndex,
}

impl PartitionFolder {
    pub fn path(&self, data_directory: &Path) -> PathBuf {
        data_directory.join(partition_folder(&self.topic, self.partition))
    }
}

/// Lists the folders, in no order, and changes nothing.
///
/// # Errors
/// The host's.
pub fn scan(data_directory: &Path) -> io::Result<DataDirectory> {
    let mut found = DataDirectory::default();
    directory::visit_names(data_directory, |name, is_directory| {
        if !is_directory {
            return;
        }
        let path = || data_directory.join(name);
        match FolderName::parse(name) {
            FolderName::Partition(topic, partition) => found.partitions.push(PartitionFolder { topic, partition }),
            FolderName::ClusterMetadata => found.has_cluster_metadata = true,
            FolderName::Aside(Aside::Delete) => found.to_delete.push(path()),
            FolderName::Aside(Aside::Stray) => found.stray.push(path()),
            FolderName::Aside(Aside::Future) => found.future.push(path()),
            FolderName::Unknown => found.unknown.push(path()),
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    const UNIQUE: &str = "7dd42af080f94757a8883ad947220429";

    #[test]
    fn folder_names_are_kafkas() {
        let partition = |name: &str, number| FolderName::Partition(topic(name), PartitionIndex(number));
        assert_eq!(FolderName::parse("orders-0"), partition("orders", 0));
        assert_eq!(FolderName::parse("my-orders.v1-12"), partition("my-orders.v1", 12));
        assert_eq!(FolderName::parse("__cluster_metadata-0"), FolderName::ClusterMetadata);
        assert_eq!(FolderName::parse(&format!("orders-0.{UNIQUE}-delete")), FolderName::Aside(Aside::Delete));
        assert_eq!(FolderName::parse(&format!("orders-0.{UNIQUE}-stray")), FolderName::Aside(Aside::Stray));
        for unknown in [
            "lost+found",
            "orders",
            "orders-",
            "-0",
            "orders-00",
            "orders-+1",
            "orders--1",
            "orders-0.x-delete",
            ".cut",
            "orders-2147483648",
        ] {
            // "orders--1" is the partition 1 of the legal topic "orders-".
            let expected = if unknown == "orders--1" { partition("orders-", 1) } else { FolderName::Unknown };
            assert_eq!(FolderName::parse(unknown), expected, "{unknown}");
        }
    }

    #[test]
    fn names_set_aside_fit_a_file_name() {
        let long = topic(&"x".repeat(249));
        let name = aside_folder(&long, PartitionIndex(17), UNIQUE, Aside::Delete);
        assert_eq!(name.len(), 255);
        assert_eq!(FolderName::parse(&name), FolderName::Aside(Aside::Delete));
        assert_eq!(aside_folder(&topic("a"), PartitionIndex(0), UNIQUE, Aside::Stray), format!("a-0.{UNIQUE}-stray"));
        assert_eq!(partition_folder(&topic("a-b"), PartitionIndex(3)), "a-b-3");
    }
}
