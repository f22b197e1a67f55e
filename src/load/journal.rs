//! What was acknowledged, on disk, so that a later run can hold a broker to it after both have been killed.
//!
//! One JSON object per line. The first names the run and its topics; the others, in any order:
//! `{"acknowledged":{"stream":…,"first":100,"count":50,"offset":1234}}` (offset null if the broker named none),
//! `{"retried":{"stream":…,"first":…,"count":…}}`, `{"sent":{"stream":…,"up_to":…}}`. Written by a thread of its own and flushed
//! every `FLUSH_EVERY`, so a killed load generator loses the end of its memory, never the middle; a last line cut short is ignored.
//! Invariant: a message is in an `acknowledged` line only after its acknowledgement arrived.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::acknowledged_offsets::{AcknowledgedOffsets, AcknowledgedRun};
use super::checker::Produced;
use super::cluster::Topic;
use super::identity::{RunId, StreamKey};
use crate::io::clock::monotonic_ns;
use crate::io::stream;

const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// Of this format: 1.
    pub version: u32,
    pub run: RunId,
    pub topics: Vec<Topic>,
}

/// Every other line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalEntry {
    Acknowledged { stream: StreamKey, first: u64, count: u64, offset: Option<i64> },
    Retried { stream: StreamKey, first: u64, count: u64 },
    Sent { stream: StreamKey, up_to: u64 },
}

/// A journal that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("journal {path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("journal {path}, line {line}: expected {expected}, cannot read it: {why}. Is this a file that --journal wrote?")]
    Line { path: String, line: usize, expected: &'static str, why: String },
    #[error("journal {path} is of version {came}, this program reads version 1")]
    Version { path: String, came: u32 },
}

fn io_error(path: &Path, source: std::io::Error) -> JournalError {
    JournalError::Io { path: path.display().to_string(), source }
}

/// The thread that writes a journal.
#[derive(Debug)]
pub struct JournalThread {
    pub sender: Sender<JournalEntry>,
    thread: std::thread::JoinHandle<Result<(), JournalError>>,
}

impl JournalThread {
    /// Makes the file, writes its first line and starts the thread.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn start(path: &Path, head: &JournalHead) -> Result<JournalThread, JournalError> {
        let mut file = stream::create(path).map_err(|source| io_error(path, source))?;
        write_line(&mut file, head).and_then(|()| file.flush()).map_err(|source| io_error(path, source))?;
        let (sender, entries) = channel();
        let owned = path.to_path_buf();
        let thread = std::thread::Builder::new().name("journal".into());
        let thread = thread.spawn(move || write(&owned, &mut file, &entries)).map_err(|source| io_error(path, source))?;
        Ok(JournalThread { sender, thread })
    }

    /// Waits until everything is written. All other senders must be gone.
    ///
    /// # Errors
    /// The file could not be written to its end.
    pub fn finish(self) -> Result<(), JournalError> {
        drop(self.sender);
        self.thread.join().expect("the journal's thread does not panic")
    }
}

/// Writes entries until the last sender is gone. Runs that follow one another become one line.
fn write<F: Write>(path: &Path, file: &mut F, entries: &Receiver<JournalEntry>) -> Result<(), JournalError> {
    let io = |source| io_error(path, source);
    let mut open: BTreeMap<StreamKey, AcknowledgedRun> = BTreeMap::new();
    let close = |file: &mut F, stream: StreamKey, run: AcknowledgedRun| {
        let offset = (run.offset >= 0).then_some(run.offset);
        write_line(file, &JournalEntry::Acknowledged { stream, first: run.first, count: run.count, offset })
    };
    let mut flush_at_ns = 0;
    loop {
        let entry = entries.recv_timeout(FLUSH_EVERY);
        match entry {
            Ok(JournalEntry::Acknowledged { stream, first, count, offset }) => {
                let run = AcknowledgedRun { first, count, offset: offset.unwrap_or(-1) };
                if let Some(before) = open.insert(stream, run) {
                    let follows =
                        before.first + before.count == first && before.offset >= 0 && before.offset + before.count as i64 == run.offset;
                    if follows {
                        open.insert(stream, AcknowledgedRun { count: before.count + count, ..before });
                    } else {
                        close(file, stream, before).map_err(io)?;
                    }
                }
            }
            Ok(other) => write_line(file, &other).map_err(io)?,
            Err(_) => {}
        }
        let ended = entry == Err(RecvTimeoutError::Disconnected);
        if ended || monotonic_ns() >= flush_at_ns {
            for (stream, run) in std::mem::take(&mut open) {
                close(file, stream, run).map_err(io)?;
            }
            file.flush().map_err(io)?;
            flush_at_ns = monotonic_ns() + FLUSH_EVERY.as_nanos() as u64;
        }
        if ended {
            return Ok(());
        }
    }
}

fn write_line(file: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

/// A journal read back.
#[derive(Clone, Debug)]
pub struct Journal {
    pub head: JournalHead,
    pub produced: BTreeMap<StreamKey, Produced>,
    pub offsets: AcknowledgedOffsets,
}

/// Reads a whole journal.
///
/// # Errors
/// The file cannot be read, or a line other than the last is not a journal's.
pub fn read(path: &Path) -> Result<Journal, JournalError> {
    let name = path.display().to_string();
    let io = |source| io_error(path, source);
    let mut lines = stream::open(path).map_err(io)?.lines().enumerate().peekable();
    let unread = |line: usize, expected, error: serde_json::Error| JournalError::Line {
        path: name.clone(),
        line: line + 1,
        expected,
        why: error.to_string(),
    };
    let first = lines.next().map_or(Ok(String::new()), |(_, line)| line).map_err(io)?;
    let head: JournalHead = serde_json::from_str(&first).map_err(|error| unread(0, "the run and its topics", error))?;
    if head.version != 1 {
        return Err(JournalError::Version { path: name, came: head.version });
    }
    let mut journal = Journal { head, produced: BTreeMap::new(), offsets: AcknowledgedOffsets::default() };
    while let Some((number, line)) = lines.next() {
        match serde_json::from_str(&line.map_err(io)?) {
            Ok(entry) => journal.take(entry),
            // Cut off by the end of the process that wrote it.
            Err(_) if lines.peek().is_none() => {}
            Err(error) => return Err(unread(number, "acknowledged, retried or sent", error)),
        }
    }
    journal.offsets.sort();
    Ok(journal)
}

impl Journal {
    fn take(&mut self, entry: JournalEntry) {
        match entry {
            JournalEntry::Acknowledged { stream, first, count, offset } => {
                let produced = self.produced.entry(stream).or_default();
                produced.acknowledged.insert(first..first + count);
                produced.sent = produced.sent.max(first + count);
                if let Some(offset) = offset {
                    produced.acknowledged_with_offset.insert(first..first + count);
                    self.offsets.add(stream, AcknowledgedRun { first, count, offset });
                }
            }
            JournalEntry::Retried { stream, first, count } => {
                self.produced.entry(stream).or_default().retried.insert(first..first + count);
            }
            JournalEntry::Sent { stream, up_to } => {
                let produced = self.produced.entry(stream).or_default();
                produced.sent = produced.sent.max(up_to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> JournalHead {
        let topics = vec![Topic { name: "t".into(), partitions: 2 }];
        JournalHead { version: 1, run: RunId(7), topics }
    }

    fn written(entries: &[JournalEntry]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let journal = JournalThread::start(file.path(), &head()).expect("starts");
        entries.iter().for_each(|entry| journal.sender.send(*entry).expect("the thread lives"));
        journal.finish().expect("writes");
        file
    }

    fn acknowledged(first: u64, count: u64, offset: Option<i64>) -> JournalEntry {
        JournalEntry::Acknowledged { stream: StreamKey::default(), first, count, offset }
    }

    #[test]
    fn what_was_written_is_read() {
        let stream = StreamKey::default();
        let file = written(&[
            acknowledged(0, 10, Some(100)),
            acknowledged(10, 10, Some(110)),
            acknowledged(20, 10, Some(500)),
            acknowledged(30, 5, None),
            JournalEntry::Retried { stream, first: 20, count: 10 },
            JournalEntry::Sent { stream, up_to: 40 },
        ]);
        let journal = read(file.path()).expect("reads");
        assert_eq!(journal.head, head());
        let produced = &journal.produced[&stream];
        assert_eq!((produced.sent, produced.acknowledged.count(), produced.acknowledged_with_offset.count()), (40, 35, 30));
        assert_eq!(produced.retried.iter().collect::<Vec<_>>(), [20..30]);
        assert!(journal.offsets.confirms(stream, 15, 115) && journal.offsets.confirms(stream, 20, 500));
        assert!(!journal.offsets.confirms(stream, 20, 120));
    }

    #[test]
    fn a_cut_last_line_is_ignored_and_a_broken_one_before_it_is_not() {
        let file = written(&[acknowledged(0, 10, Some(0))]);
        let whole = std::fs::read_to_string(file.path()).expect("text");
        std::fs::write(file.path(), format!("{whole}{{\"acknowl")).expect("writes");
        assert_eq!(read(file.path()).expect("reads").produced[&StreamKey::default()].acknowledged.count(), 10);
        std::fs::write(file.path(), format!("{whole}garbage\n{{}}\n")).expect("writes");
        let error = read(file.path()).expect_err("line 3 is garbage").to_string();
        assert!(error.contains("line 3"), "{error}");
    }
}
