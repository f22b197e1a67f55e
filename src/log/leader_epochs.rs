//! Which leader epoch wrote which offsets (KIP-101), and its file `leader-epoch-checkpoint`.
//!
//! `LeaderEpochs` is pure; `read` and `write` block, for helper threads.
//!
//! ```text
//! 0                       version
//! 2                       number of entries
//! 0 0                     epoch, first offset of that epoch
//! 6 395
//! ```
//!
//! Invariant: epochs and start offsets ascend strictly from entry to entry.

use std::path::Path;

use super::checkpoint::{self, CheckpointError, Damage};
use super::format::LEADER_EPOCH_CHECKPOINT_FILE;
use crate::base::{LeaderEpoch, Offset};
use crate::io::directory;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    /// The first offset written in that epoch; the log's end offset while nothing has been.
    pub start_offset: Offset,
}

/// The history of one partition's leader epochs, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest epoch, `UNKNOWN` if there is none.
    pub fn latest(&self) -> LeaderEpoch {
        self.entries.last().map_or(LeaderEpoch::UNKNOWN, |entry| entry.epoch)
    }

    /// The epoch that wrote `offset`, as far as is known.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        Some(self.entries[after.checked_sub(1)?].epoch)
    }

    /// Notes that `epoch` starts at `start_offset`: at becoming leader (the end offset), at the first batch of an epoch, and in recovery. An epoch that
    /// is not newer than the latest changes nothing. A newer one takes the place of entries at the same offset or above, in which nothing was
    /// written. Answers whether anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch.0 < 0 || epoch <= self.latest() {
            return false;
        }
        self.truncate_from_end(start_offset);
        self.entries.push(EpochStart { epoch, start_offset });
        true
    }

    /// Forgets what was said about `end_offset` and above; answers whether anything was.
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// Forgets what lies wholly below `log_start_offset` and lifts the first entry that is left to it (retention, DeleteRecords).
    pub fn truncate_from_start(&mut self, log_start_offset: Offset) -> bool {
        let after = self.entries.partition_point(|entry| entry.start_offset <= log_start_offset);
        let Some(first) = after.checked_sub(1) else { return false };
        let changed = first > 0 || self.entries[0].start_offset != log_start_offset;
        self.entries.drain(..first);
        self.entries[0].start_offset = log_start_offset;
        changed
    }

    /// Where `epoch` ended: the largest known epoch not above it, and the offset at which the next one started (or the log's end). `None` if the
    /// epoch is newer than all, or older than all that is known (OffsetForLeaderEpoch, KIP-101 and KIP-279).
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.entries.last()?.epoch;
        if epoch == latest {
            return Some((epoch, log_end_offset));
        }
        if epoch > latest || epoch.0 < 0 {
            return None;
        }
        let next = self.entries.partition_point(|entry| entry.epoch <= epoch);
        match next.checked_sub(1) {
            Some(before) => Some((self.entries[before].epoch, self.entries[next].start_offset)),
            // Kafka: older than all that is known ends where the first known one starts, under its own number.
            None => Some((epoch, self.entries[next].start_offset)),
        }
    }

    /// # Errors
    /// See [`Damage`]; entries that do not ascend are damage.
    pub fn parse(text: &str) -> Result<LeaderEpochs, Damage> {
        const EXPECTED: &str = "a larger epoch and its start offset";
        let mut before = EpochStart { epoch: LeaderEpoch(-1), start_offset: Offset(-1) };
        let entries = checkpoint::parse_lines(text, EXPECTED, |line| {
            let mut words = line.split_ascii_whitespace();
            let epoch = LeaderEpoch(words.next()?.parse().ok()?);
            let start_offset = Offset(words.next()?.parse().ok()?);
            let ascends = epoch > before.epoch && start_offset > before.start_offset;
            before = EpochStart { epoch, start_offset };
            (ascends && words.next().is_none()).then_some(before)
        })?;
        Ok(LeaderEpochs { entries })
    }

    pub fn print(&self) -> String {
        checkpoint::print_lines(self.entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset)))
    }
}

/// Reads the file in a partition's directory; one that is not there gives `None`.
///
/// # Errors
/// It is damaged or cannot be read: the epochs are then taken from the batches' headers.
pub fn read(directory: &Path) -> Result<Option<LeaderEpochs>, CheckpointError> {
    let path = directory.join(LEADER_EPOCH_CHECKPOINT_FILE);
    match checkpoint::read_text(&path)? {
        Some(text) => LeaderEpochs::parse(&text).map(Some).map_err(|what| CheckpointError::Damaged { path, what }),
        None => Ok(None),
    }
}

/// Replaces the file in a partition's directory, durably.
pub fn write(directory: &Path, epochs: &LeaderEpochs) -> std::io::Result<()> {
    replace(directory, epochs, true)
}

/// Writes the file into a new directory. It is durable when the caller has synced it and its directory.
pub fn write_new(directory: &Path, epochs: &LeaderEpochs) -> std::io::Result<()> {
    replace(directory, epochs, false)
}

fn replace(directory: &Path, epochs: &LeaderEpochs, durable: bool) -> std::io::Result<()> {
    directory::replace_atomically(&directory.join(LEADER_EPOCH_CHECKPOINT_FILE), epochs.print().as_bytes(), durable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let entries = entries.iter().map(|(e, o)| EpochStart { epoch: LeaderEpoch(*e), start_offset: Offset(*o) });
        LeaderEpochs { entries: entries.collect() }
    }

    #[test]
    fn golden_text() {
        let text = "0\n4\n0 0\n2 18\n4 32\n6 67\n";
        let parsed = LeaderEpochs::parse(text).unwrap();
        assert_eq!(parsed, epochs(&[(0, 0), (2, 18), (4, 32), (6, 67)]));
        assert_eq!(parsed.print(), text);
        assert_eq!(LeaderEpochs::parse("0\n0\n").unwrap().print(), "0\n0\n");
    }

    #[test]
    fn disorder_is_damage() {
        for entries in ["2 0\n1 5", "1 5\n2 5", "1 5\n2 4", "-1 0\n0 1", "0 -1\n1 0", "1 x\n2 5", "1\n2 5"] {
            assert!(LeaderEpochs::parse(&format!("0\n2\n{entries}\n")).is_err(), "{entries}");
        }
    }

    #[test]
    fn a_later_epoch_at_the_same_offset_replaces_the_one_before() {
        let mut history = epochs(&[]);
        assert!(history.assign(LeaderEpoch(0), Offset(0)));
        assert!(history.assign(LeaderEpoch(8), Offset(0)));
        assert_eq!(history, epochs(&[(8, 0)]));
        assert!(!history.assign(LeaderEpoch(8), Offset(3)));
        assert!(!history.assign(LeaderEpoch(7), Offset(3)));
        assert!(history.assign(LeaderEpoch(9), Offset(3)));
        assert_eq!(history, epochs(&[(8, 0), (9, 3)]));
    }

    #[test]
    fn an_epoch_ends_where_the_next_known_one_starts() {
        let history = epochs(&[(2, 10), (4, 32), (6, 67)]);
        let end = |epoch| history.end_offset_for(LeaderEpoch(epoch), Offset(89)).map(|(e, o)| (e.0, o.0));
        assert_eq!(end(6), Some((6, 89)));
        assert_eq!(end(5), Some((4, 67)));
        assert_eq!(end(4), Some((4, 67)));
        assert_eq!(end(3), Some((2, 32)));
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(7), None);
        assert_eq!(end(-1), None);
        assert_eq!(epochs(&[]).end_offset_for(LeaderEpoch(0), Offset(0)), None);
    }

    #[test]
    fn truncation_lifts_the_first_and_drops_the_last() {
        let mut history = epochs(&[(0, 0), (6, 240), (8, 300)]);
        assert_eq!(history.epoch_of(Offset(239)), Some(LeaderEpoch(0)));
        assert_eq!(history.epoch_of(Offset(240)), Some(LeaderEpoch(6)));
        assert!(history.truncate_from_start(Offset(240)));
        assert_eq!(history, epochs(&[(6, 240), (8, 300)]));
        assert!(!history.truncate_from_start(Offset(240)));
        assert!(history.truncate_from_start(Offset(250)));
        assert_eq!(history, epochs(&[(6, 250), (8, 300)]));
        assert!(history.truncate_from_end(Offset(300)));
        assert_eq!(history, epochs(&[(6, 250)]));
        assert_eq!(history.epoch_of(Offset(249)), None);
    }
}
