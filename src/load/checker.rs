//! Was every message delivered, once, in order, at its offset? One `StreamChecker` per stream, one `PartitionChecker` per partition.
//!
//! Pure state machines: fed with what was read, judged against what was acknowledged. They live on the consumer's thread.
//! Invariants of a stream: `missing` holds only numbers below `next`; a number is in `missing` or was received, never both.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cluster::Topic;
use super::identity::{PartitionKey, StreamKey};
use super::message::{Message, NotAMessage};
use super::ranges::RangeSet;

#[cfg(test)]
mod tests;

/// What one message was, compared with those before it in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    InOrder,
    /// Came before `skipped` messages that should have come first. They are missing until they come.
    AfterGap {
        skipped: u64,
    },
    /// Came after a later one.
    Late,
    /// Came before.
    Duplicate,
}

/// Follows the sequence numbers of one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamChecker {
    next: u64,
    received: u64,
    missing: RangeSet,
    late: RangeSet,
    duplicated: RangeSet,
    /// Deleted by retention before they could be read.
    excused: RangeSet,
    /// Retention has deleted something since the last message: the next gap is its doing.
    may_skip: bool,
    /// Numbers of which a copy was read at the very offset that the acknowledgement named.
    at_acknowledged_offset: RangeSet,
}

impl StreamChecker {
    pub fn observe(&mut self, sequence: u64) -> Seen {
        self.received += 1;
        let may_skip = std::mem::take(&mut self.may_skip);
        if sequence == self.next {
            self.next += 1;
            return Seen::InOrder;
        }
        if sequence > self.next {
            let skipped = sequence - self.next;
            let unread = if may_skip { &mut self.excused } else { &mut self.missing };
            unread.insert(self.next..sequence);
            self.next = sequence + 1;
            return Seen::AfterGap { skipped };
        }
        if self.missing.remove(sequence) {
            self.late.insert(sequence..sequence + 1);
            return Seen::Late;
        }
        self.duplicated.insert(sequence..sequence + 1);
        Seen::Duplicate
    }

    /// Notes that this copy stands at the offset that was acknowledged for it.
    pub fn confirm_offset(&mut self, sequence: u64) {
        self.at_acknowledged_offset.insert(sequence..sequence + 1);
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    /// Compares what came with what the producer says.
    pub fn judge(&self, produced: &Produced, offsets_known: bool) -> StreamVerdict {
        let (mut absent, mut excused) = (self.missing.clone(), self.excused.clone());
        let rest = if self.may_skip { &mut excused } else { &mut absent };
        rest.insert(self.next..produced.sent.max(self.next));
        let lost = absent.intersection(&produced.acknowledged);
        let displaced = match offsets_known {
            true => {
                let elsewhere = produced.acknowledged_with_offset.difference(&self.at_acknowledged_offset);
                elsewhere.difference(&lost).difference(&excused).count()
            }
            false => 0,
        };
        let retried = |set: &RangeSet| set.intersection(&produced.retried).count();
        StreamVerdict {
            received: self.received,
            acknowledged: produced.acknowledged.count(),
            acknowledged_lost: lost.count(),
            never_acknowledged_missing: absent.difference(&produced.acknowledged).count(),
            duplicates_own_retry: retried(&self.duplicated),
            duplicates: self.duplicated.difference(&produced.retried).count(),
            reordered_own_retry: retried(&self.late),
            reordered: self.late.difference(&produced.retried).count(),
            displaced,
            first_lost: lost.iter().next().map(|range| range.start),
            missing: 0,
        }
    }

    /// The same without word from the producer: only what the messages themselves tell.
    pub fn judge_alone(&self) -> StreamVerdict {
        StreamVerdict {
            received: self.received,
            missing: self.missing.count(),
            duplicates: self.duplicated.count(),
            reordered: self.late.count(),
            ..StreamVerdict::default()
        }
    }
}

/// What a producer knows about one of its streams.
#[derive(Clone, Debug, Default)]
pub struct Produced {
    /// Sequence numbers `0..sent` left the producer at least once.
    pub sent: u64,
    pub acknowledged: RangeSet,
    /// Those whose acknowledgement named an offset.
    pub acknowledged_with_offset: RangeSet,
    /// Sent more than once, because an answer failed to come or asked for it: may stand in the log twice, or late.
    pub retried: RangeSet,
}

/// The sums for one stream, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamVerdict {
    pub received: u64,
    pub acknowledged: u64,
    /// Acknowledged, and not there. The one thing that a broker must never do.
    pub acknowledged_lost: u64,
    /// Sent, not acknowledged, and not there: allowed.
    pub never_acknowledged_missing: u64,
    /// Not there, and nobody here knows whether they were acknowledged (a consumer without its producer).
    pub missing: u64,
    /// There more than once although sent once.
    pub duplicates: u64,
    /// There more than once, and sent more than once.
    pub duplicates_own_retry: u64,
    /// Behind a later message although sent once, in order.
    pub reordered: u64,
    /// Behind a later message, and sent again.
    pub reordered_own_retry: u64,
    /// Acknowledged with an offset at which it does not stand.
    pub displaced: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_lost: Option<u64>,
}

impl StreamVerdict {
    pub fn add(&mut self, other: &StreamVerdict) {
        self.received += other.received;
        self.acknowledged += other.acknowledged;
        self.acknowledged_lost += other.acknowledged_lost;
        self.never_acknowledged_missing += other.never_acknowledged_missing;
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.duplicates_own_retry += other.duplicates_own_retry;
        self.reordered += other.reordered;
        self.reordered_own_retry += other.reordered_own_retry;
        self.displaced += other.displaced;
        self.first_lost = self.first_lost.or(other.first_lost);
    }

    /// What is wrong, each with its count; empty if nothing is.
    pub fn faults(&self) -> Vec<(&'static str, u64)> {
        present(&[
            ("acknowledged but lost", self.acknowledged_lost),
            ("missing, acknowledgement unknown", self.missing),
            ("duplicated by the broker", self.duplicates),
            ("reordered by the broker", self.reordered),
            ("acknowledged at another offset", self.displaced),
        ])
    }
}

fn present(counts: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
    counts.iter().copied().filter(|(_, count)| *count > 0).collect()
}

/// What is wrong with a partition as such, whoever wrote the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFaults {
    /// Batches whose checksum or layout does not hold, and messages whose own checksum does not.
    pub corrupt: u64,
    /// Offsets that no record had although later ones did.
    pub offset_gaps: u64,
    /// Records whose offset did not rise.
    pub offset_steps_back: u64,
    /// Messages of ours that were sent to another partition.
    pub misplaced: u64,
    /// Times at which the log ended below what had been read from it.
    pub truncations: u64,
    /// Records that are not the load generator's. No fault.
    pub foreign: u64,
}

impl PartitionFaults {
    pub fn add(&mut self, other: &PartitionFaults) {
        self.corrupt += other.corrupt;
        self.offset_gaps += other.offset_gaps;
        self.offset_steps_back += other.offset_steps_back;
        self.misplaced += other.misplaced;
        self.truncations += other.truncations;
        self.foreign += other.foreign;
    }

    /// What is wrong, each with its count; empty if nothing is.
    pub fn faults(&self) -> Vec<(&'static str, u64)> {
        present(&[
            ("corrupt", self.corrupt),
            ("offsets without a record", self.offset_gaps),
            ("offsets that went back", self.offset_steps_back),
            ("in the wrong partition", self.misplaced),
            ("logs that got shorter", self.truncations),
        ])
    }
}

/// Follows one partition: offsets, and every stream in it.
#[derive(Clone, Debug)]
pub struct PartitionChecker {
    partition: PartitionKey,
    next_offset: Option<i64>,
    pub faults: PartitionFaults,
    is_overtaken: bool,
    streams: Vec<(StreamKey, StreamChecker)>,
    latest: usize,
}

impl PartitionChecker {
    /// Expects the first record at `first_offset`, if that is known.
    pub fn new(partition: PartitionKey, first_offset: Option<i64>) -> PartitionChecker {
        PartitionChecker {
            partition,
            next_offset: first_offset,
            faults: PartitionFaults::default(),
            is_overtaken: false,
            streams: Vec::new(),
            latest: 0,
        }
    }

    /// Takes one record. Returns the message if it is one of ours, with how it stands in its stream.
    pub fn observe(&mut self, offset: i64, value: Option<&[u8]>) -> Option<(Message, Seen)> {
        self.observe_offset(offset);
        match Message::read(value.unwrap_or_default()) {
            Err(NotAMessage::Foreign) => self.faults.foreign += 1,
            Err(NotAMessage::Corrupt) => self.faults.corrupt += 1,
            Ok(message) if message.stream.partition.partition != self.partition.partition => self.faults.misplaced += 1,
            Ok(message) => {
                let seen = self.stream_mut(message.stream).observe(message.sequence);
                return Some((message, seen));
            }
        }
        None
    }

    /// Steps over offsets `first..=last` that hold no message, such as a control batch.
    pub fn skip(&mut self, first: i64, last: i64) {
        self.observe_offset(first);
        self.next_offset = Some(last + 1);
    }

    fn observe_offset(&mut self, offset: i64) {
        match self.next_offset {
            Some(expected) if offset > expected => self.faults.offset_gaps += (offset - expected) as u64,
            Some(expected) if offset < expected => self.faults.offset_steps_back += 1,
            _ => {}
        }
        self.next_offset = Some(self.next_offset.unwrap_or(0).max(offset + 1));
    }

    /// Notes that the log now ends at `end`, below what was read: what follows is counted from there.
    pub fn truncated_to(&mut self, end: i64) {
        self.faults.truncations += 1;
        self.next_offset = Some(end);
    }

    /// Notes that the log now begins at `start`, above what is to be read next: retention was faster. What is gone is no fault.
    pub fn overtaken(&mut self, start: i64) {
        self.next_offset = Some(start);
        self.is_overtaken = true;
        self.streams.iter_mut().for_each(|(_, stream)| stream.may_skip = true);
    }

    /// The checker of one stream, made when it is first asked for.
    pub fn stream_mut(&mut self, stream: StreamKey) -> &mut StreamChecker {
        if self.streams.get(self.latest).is_none_or(|(key, _)| *key != stream) {
            self.latest = self.streams.iter().position(|(key, _)| *key == stream).unwrap_or(self.streams.len());
            if self.latest == self.streams.len() {
                self.streams.push((stream, StreamChecker { may_skip: self.is_overtaken, ..StreamChecker::default() }));
            }
        }
        &mut self.streams[self.latest].1
    }

    /// Every stream that was seen.
    pub fn streams(&self) -> &[(StreamKey, StreamChecker)] {
        &self.streams
    }
}

/// The whole account of a run: what was read, against what was produced.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    pub streams: StreamVerdict,
    pub partitions: PartitionFaults,
    /// Where something is wrong, a sentence each, the first few.
    pub remarks: Vec<String>,
}

/// At most this many places are named in a verdict.
const REMARKS_MAX: usize = 10;

impl Verdict {
    /// `produced`: by stream, `None` if the producer is not known here at all. Streams of other runs are judged alone only then.
    pub fn of(
        topics: &[Topic],
        partitions: &[PartitionChecker],
        produced: Option<&BTreeMap<StreamKey, Produced>>,
        offsets_known: bool,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let mut seen: BTreeMap<StreamKey, &StreamChecker> = BTreeMap::new();
        for partition in partitions {
            verdict.partitions.add(&partition.faults);
            verdict.remark(place(topics, partition.partition), &partition.faults.faults());
            seen.extend(partition.streams.iter().map(|(key, checker)| (*key, checker)));
        }
        match produced {
            None => {
                for (key, checker) in seen {
                    verdict.add_stream(topics, key, checker.judge_alone());
                }
            }
            Some(produced) => {
                let overtaken: BTreeSet<PartitionKey> =
                    partitions.iter().filter(|partition| partition.is_overtaken).map(|partition| partition.partition).collect();
                for (key, produced) in produced {
                    let never_seen = StreamChecker { may_skip: overtaken.contains(&key.partition), ..StreamChecker::default() };
                    verdict.add_stream(topics, *key, seen.get(key).unwrap_or(&&never_seen).judge(produced, offsets_known));
                }
            }
        }
        verdict
    }

    /// Of a reader that was not meant to see everything: only what contradicts itself counts.
    pub fn of_part(topics: &[Topic], partitions: &[PartitionChecker]) -> Verdict {
        let mut verdict = Verdict::default();
        for partition in partitions {
            verdict.partitions.add(&partition.faults);
            verdict.remark(place(topics, partition.partition), &partition.faults.faults());
            for (key, checker) in &partition.streams {
                verdict.add_stream(topics, *key, StreamVerdict { missing: 0, ..checker.judge_alone() });
            }
        }
        verdict
    }

    /// Takes the account of another reader into this one.
    pub fn add(&mut self, other: Verdict) {
        self.streams.add(&other.streams);
        self.partitions.add(&other.partitions);
        let room = REMARKS_MAX.saturating_sub(self.remarks.len());
        self.remarks.extend(other.remarks.into_iter().take(room));
    }

    fn add_stream(&mut self, topics: &[Topic], key: StreamKey, stream: StreamVerdict) {
        self.streams.add(&stream);
        let from = stream.first_lost.map(|first| format!(", first lost {first}")).unwrap_or_default();
        self.remark(format!("{}, producer {}{from}", place(topics, key.partition), key.producer), &stream.faults());
    }

    fn remark(&mut self, place: String, faults: &[(&'static str, u64)]) {
        if !faults.is_empty() && self.remarks.len() < REMARKS_MAX {
            let faults: Vec<String> = faults.iter().map(|(what, count)| format!("{count} {what}")).collect();
            self.remarks.push(format!("{place}: {}", faults.join(", ")));
        }
    }

    /// Everything that is wrong, each with its count; empty if nothing is.
    pub fn faults(&self) -> Vec<(&'static str, u64)> {
        [self.streams.faults(), self.partitions.faults()].concat()
    }

    /// Nothing lost, duplicated by the broker, reordered or damaged.
    pub fn is_clean(&self) -> bool {
        self.faults().is_empty()
    }
}

/// As Kafka names the directory of a partition: `topic-0`.
fn place(topics: &[Topic], partition: PartitionKey) -> String {
    let topic = topics.get(partition.topic.0 as usize).map_or("?", |topic| topic.name.as_str());
    format!("{topic}-{}", partition.partition)
}
