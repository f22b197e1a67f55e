//! How cleaned files take the place of the segments they were made from, so that whatever moment the process or the machine dies in, the next start finds the old segments
//! or the new one, whole.
//!
//! Blocking; helper threads. Kafka's way (LocalLog.replaceSegments), with the directory synced between the phases:
//!
//! | phase | on the disk | a start finds | and |
//! |---|---|---|---|
//! | 0 | old segments, `X.*.cleaned` | `.cleaned` | removes those |
//! | 1, `.cleaned` → `.swap` | old, `X.log.swap` first | perhaps both kinds | with a `.cleaned` beside it removes both |
//! | 2, old → `.deleted` | `X.*.swap`, some old | `.swap` | removes what the swap covers, names it |
//! | 3, `.swap` → live | `X.log` first, indexes `.swap` | `.swap` of indexes | names them |
//!
//! What a start does stands in `startup_files`. The `.deleted` files go after `file.delete.delay.ms`.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::base::Offset;
use crate::io::directory;
use crate::log::format::{FileKind, Marking, SegmentFileName};

/// The files of a cleaned segment, in the order in which they are renamed.
const CLEANED_KINDS: [FileKind; 4] = [FileKind::Log, FileKind::TransactionIndex, FileKind::OffsetIndex, FileKind::TimeIndex];

/// One thing to do; nothing is lost between any two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwapStep {
    /// One that is not there is passed over.
    Rename {
        from: SegmentFileName,
        to: Marking,
    },
    SyncDirectory,
}

/// What is to be done where the cleaned segment of the first of these base offsets replaces them all.
pub(crate) fn steps(old: &[Offset]) -> Vec<SwapStep> {
    let first = *old.first().expect("a cleaned segment was made from one at least");
    let name = |offset, kind, marking| SegmentFileName { offset, kind, marking };
    let renamed = |from, to| CLEANED_KINDS.map(|kind| SwapStep::Rename { from: name(first, kind, from), to });
    let mut steps = renamed(Marking::Cleaned, Marking::Swap).to_vec();
    steps.push(SwapStep::SyncDirectory);
    for offset in old {
        for kind in FileKind::ALL {
            // What producers had written up to the first segment is as true as before.
            if kind != FileKind::ProducerSnapshot || *offset != first {
                steps.push(SwapStep::Rename { from: name(*offset, kind, Marking::Live), to: Marking::Deleted });
            }
        }
    }
    steps.push(SwapStep::SyncDirectory);
    steps.extend(renamed(Marking::Swap, Marking::Live));
    steps.push(SwapStep::SyncDirectory);
    steps
}

/// Does all of it.
///
/// # Errors
/// The host's. The next start settles what was begun.
pub(crate) fn swap(directory: &Path, old: &[Offset]) -> io::Result<()> {
    steps(old).into_iter().try_for_each(|step| step.perform(directory))
}

impl SwapStep {
    pub(crate) fn perform(self, partition: &Path) -> io::Result<()> {
        match self {
            SwapStep::SyncDirectory => directory::sync(partition),
            SwapStep::Rename { from, to } => {
                match directory::rename(&partition.join(from.name()), &partition.join(from.with_marking(to).name())) {
                    Err(error) if error.kind() == ErrorKind::NotFound && from.kind != FileKind::Log => Ok(()),
                    result => result,
                }
            }
        }
    }
}

/// Removes what a cleaning left that did not come to its end. Nothing of it counts for anything.
///
/// # Errors
/// The host's.
pub(crate) fn remove_cleaned(partition: &Path) -> io::Result<()> {
    for entry in directory::list(partition)? {
        if SegmentFileName::parse(&entry.name).is_some_and(|name| name.marking == Marking::Cleaned) {
            directory::remove_file(&partition.join(entry.name))?;
        }
    }
    Ok(())
}
