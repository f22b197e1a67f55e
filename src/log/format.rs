//! The names of the files in a partition's directory, as Apache Kafka spells them.
//!
//! Pure; any thread.
//!
//! ```text
//! 00000000000000000167.log            the record batches of a segment; the number is its base offset, 20 digits
//! 00000000000000000167.index          offset index      (offset_index.rs)
//! 00000000000000000167.timeindex      time index        (time_index.rs)
//! 00000000000000000167.txnindex       aborted transactions, only where there was one
//! 00000000000000000203.snapshot       producer state up to that offset
//! 00000000000000000167.log.deleted    waits for file.delete.delay.ms
//! 00000000000000000167.log.cleaned    the cleaner is still writing it
//! 00000000000000000167.log.swap       the cleaner has finished it; it takes the place of the segments it covers
//! next.log.prepared                   ours: the file of the segment after the active one, made ahead of time
//! ```

use std::path::{Path, PathBuf};

use crate::base::Offset;

/// The next segment's file, made ahead of the roll. Kafka ignores the name.
pub const PREPARED_FILE: &str = "next.log.prepared";
pub const LEADER_EPOCH_CHECKPOINT_FILE: &str = "leader-epoch-checkpoint";
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// What a segment's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    ProducerSnapshot,
}

impl FileKind {
    pub const ALL: [FileKind; 5] =
        [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TransactionIndex, FileKind::ProducerSnapshot];

    pub fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => ".log",
            FileKind::OffsetIndex => ".index",
            FileKind::TimeIndex => ".timeindex",
            FileKind::TransactionIndex => ".txnindex",
            FileKind::ProducerSnapshot => ".snapshot",
        }
    }
}

/// What stands behind the suffix: where the file is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Marking {
    Live,
    Deleted,
    Cleaned,
    Swap,
}

impl Marking {
    pub fn suffix(self) -> &'static str {
        match self {
            Marking::Live => "",
            Marking::Deleted => ".deleted",
            Marking::Cleaned => ".cleaned",
            Marking::Swap => ".swap",
        }
    }
}

/// A file name taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentFileName {
    pub offset: Offset,
    pub kind: FileKind,
    pub marking: Marking,
}

impl SegmentFileName {
    /// `None` for every name that does not belong to a segment.
    pub fn parse(name: &str) -> Option<SegmentFileName> {
        let (digits, rest) = name.split_at_checked(20)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let offset = Offset(digits.parse().ok()?);
        let marking = [Marking::Deleted, Marking::Cleaned, Marking::Swap].into_iter().find(|marking| rest.ends_with(marking.suffix()));
        let marking = marking.unwrap_or(Marking::Live);
        let suffix = &rest[..rest.len() - marking.suffix().len()];
        let kind = FileKind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        Some(SegmentFileName { offset, kind, marking })
    }

    pub fn name(self) -> String {
        format!("{:020}{}{}", self.offset.0, self.kind.suffix(), self.marking.suffix())
    }

    pub fn with_marking(self, marking: Marking) -> SegmentFileName {
        SegmentFileName { marking, ..self }
    }
}

/// The path of a live file of the segment with this base offset.
pub fn path(directory: &Path, offset: Offset, kind: FileKind) -> PathBuf {
    directory.join(SegmentFileName { offset, kind, marking: Marking::Live }.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let name = SegmentFileName { offset: Offset(167), kind: FileKind::TimeIndex, marking: Marking::Deleted };
        assert_eq!(name.name(), "00000000000000000167.timeindex.deleted");
        assert_eq!(name.with_marking(Marking::Live).name(), "00000000000000000167.timeindex");
    }

    #[test]
    fn every_name_reads_back() {
        for kind in FileKind::ALL {
            for marking in [Marking::Live, Marking::Deleted, Marking::Cleaned, Marking::Swap] {
                let name = SegmentFileName { offset: Offset(i64::MAX), kind, marking };
                assert_eq!(SegmentFileName::parse(&name.name()), Some(name));
            }
        }
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in [
            "",
            PREPARED_FILE,
            LEADER_EPOCH_CHECKPOINT_FILE,
            "167.log",
            "00000000000000000167",
            "0000000000000000016x.log",
            "00000000000000000167.log.deleted.deleted",
            "00000000000000000167.logs",
            "99999999999999999999.log",
            "+0000000000000000167.log",
            "0000000000000000016é.log",
        ] {
            assert_eq!(SegmentFileName::parse(name), None, "{name}");
        }
    }
}
