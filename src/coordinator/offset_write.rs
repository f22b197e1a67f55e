//! Commits of offsets, and their tombstones, on their way to the log: the same in both protocols.
//!
//! Invariant: an offset is visible and acknowledged only once its record is written, and gone only once its tombstone is.

use std::collections::BTreeSet;

use super::config::GroupConfig;
use super::effect::{DeleteOffsetsResponse, Response, Turn};
use super::event::{OffsetToCommit, TopicPartition};
use super::ids::{GroupId, RequestToken};
use super::offsets::{CommittedOffset, Offsets};
use super::record_format::GroupRecord;
use crate::base::{ErrorCode, Timestamp};

/// One write of offsets that has no outcome yet.
#[derive(Clone, Debug)]
pub(super) enum OffsetWrite {
    /// `answer` has one code per requested partition: those without an error are in `offsets`, in order.
    Commit { token: RequestToken, offsets: Vec<(TopicPartition, CommittedOffset)>, answer: Vec<ErrorCode> },
    /// No token if no client asked.
    Tombstones { token: Option<RequestToken>, partitions: BTreeSet<TopicPartition>, answer: Vec<ErrorCode> },
}

impl OffsetWrite {
    /// What a commit writes. `None`: nothing, and the request has been answered.
    pub fn commit(
        group_id: &GroupId,
        config: &GroupConfig,
        token: RequestToken,
        offsets: Vec<OffsetToCommit>,
        retention_ms: Option<i64>,
        turn: &mut Turn,
    ) -> Option<(Vec<GroupRecord>, OffsetWrite)> {
        let expire_timestamp = retention_ms.map(|retention_ms| Timestamp(turn.now_ms.saturating_add(retention_ms)));
        let mut answer = Vec::with_capacity(offsets.len());
        let mut kept: Vec<(TopicPartition, CommittedOffset)> = Vec::with_capacity(offsets.len());
        for offset in offsets {
            if offset.metadata.encode_utf16().count() > config.offset_metadata_units_max {
                answer.push(ErrorCode::OffsetMetadataTooLarge);
            } else {
                answer.push(ErrorCode::None);
                kept.push(committed(offset, turn.now_ms, expire_timestamp));
            }
        }
        if kept.is_empty() {
            turn.respond(token, Response::CommitOffsets(answer));
            return None;
        }
        let record = |(partition, value): &(TopicPartition, CommittedOffset)| GroupRecord::Offset {
            group_id: group_id.clone(),
            partition: partition.clone(),
            value: Some(value.clone()),
        };
        let records = kept.iter().map(record).collect();
        Some((records, OffsetWrite::Commit { token, offsets: kept, answer }))
    }

    /// What OffsetDelete writes. `None`: nothing, and the request has been answered. `known`: the partitions with an offset.
    pub fn delete(
        group_id: &GroupId,
        token: RequestToken,
        partitions: Vec<TopicPartition>,
        known: &BTreeSet<TopicPartition>,
        is_subscribed: impl Fn(&str) -> bool,
        turn: &mut Turn,
    ) -> Option<(Vec<GroupRecord>, OffsetWrite)> {
        let code = |partition: &TopicPartition| match is_subscribed(partition.topic.as_str()) {
            true => ErrorCode::GroupSubscribedToTopic,
            false => ErrorCode::None,
        };
        let answer: Vec<ErrorCode> = partitions.iter().map(code).collect();
        let doomed: BTreeSet<TopicPartition> = partitions
            .into_iter()
            .zip(&answer)
            .filter(|(partition, code)| code.is_none() && known.contains(partition))
            .map(|(partition, _)| partition)
            .collect();
        if doomed.is_empty() {
            turn.respond(token, Response::DeleteOffsets(DeleteOffsetsResponse { error: ErrorCode::None, partitions: answer }));
            return None;
        }
        Some(OffsetWrite::tombstones(group_id, Some(token), doomed, answer))
    }

    pub fn tombstones(
        group_id: &GroupId,
        token: Option<RequestToken>,
        partitions: BTreeSet<TopicPartition>,
        answer: Vec<ErrorCode>,
    ) -> (Vec<GroupRecord>, OffsetWrite) {
        (tombstones(group_id, partitions.iter()), OffsetWrite::Tombstones { token, partitions, answer })
    }

    /// It is in the log, or failed.
    pub fn finish(self, outcome: Result<(), ErrorCode>, kept: &mut Offsets, turn: &mut Turn) {
        match self {
            OffsetWrite::Commit { token, offsets, mut answer } => {
                match outcome {
                    Ok(()) => offsets.into_iter().for_each(|(partition, offset)| kept.set(partition, offset)),
                    Err(error) => fail_all(&mut answer, commit_write_error(error)),
                }
                turn.respond(token, Response::CommitOffsets(answer));
            }
            OffsetWrite::Tombstones { token, partitions, mut answer } => {
                match outcome {
                    Ok(()) => partitions.iter().for_each(|partition| kept.remove(partition)),
                    Err(error) => fail_all(&mut answer, commit_write_error(error)),
                }
                if let Some(token) = token {
                    let response = DeleteOffsetsResponse { error: ErrorCode::None, partitions: answer };
                    turn.respond(token, Response::DeleteOffsets(response));
                }
            }
        }
    }

    /// Its outcome is no longer awaited.
    pub fn refuse(self, error: ErrorCode, turn: &mut Turn) {
        match self {
            OffsetWrite::Commit { token, answer, .. } => turn.respond(token, Response::CommitOffsets(vec![error; answer.len()])),
            OffsetWrite::Tombstones { token: Some(token), .. } => {
                turn.respond(token, Response::DeleteOffsets(DeleteOffsetsResponse { error, partitions: Vec::new() }));
            }
            OffsetWrite::Tombstones { token: None, .. } => {}
        }
    }

    /// The partitions that will have an offset once it is written.
    pub fn committing(&self) -> impl Iterator<Item = &TopicPartition> {
        let offsets = match self {
            OffsetWrite::Commit { offsets, .. } => offsets.as_slice(),
            OffsetWrite::Tombstones { .. } => &[],
        };
        offsets.iter().map(|(partition, _)| partition)
    }
}

/// The partitions whose offset is committed, pending in a transaction, or on its way to the log in one of these writes.
pub(super) fn partitions_with_offsets<'a>(kept: &'a Offsets, writes: impl Iterator<Item = &'a OffsetWrite>) -> BTreeSet<TopicPartition> {
    kept.partitions().chain(writes.flat_map(OffsetWrite::committing)).cloned().collect()
}

/// The records that remove these offsets.
pub(super) fn tombstones<'a>(group_id: &GroupId, partitions: impl Iterator<Item = &'a TopicPartition>) -> Vec<GroupRecord> {
    let tombstone =
        |partition: &TopicPartition| GroupRecord::Offset { group_id: group_id.clone(), partition: partition.clone(), value: None };
    partitions.map(tombstone).collect()
}

fn committed(offset: OffsetToCommit, now_ms: i64, expire_timestamp: Option<Timestamp>) -> (TopicPartition, CommittedOffset) {
    let value = CommittedOffset {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: offset.metadata,
        commit_timestamp: Timestamp(now_ms),
        expire_timestamp,
        topic_id: offset.topic_id,
    };
    (offset.partition, value)
}

fn fail_all(answer: &mut [ErrorCode], error: ErrorCode) {
    answer.iter_mut().filter(|code| code.is_none()).for_each(|code| *code = error);
}

/// What a client is told when the group's record could not be written: to look for the coordinator again, where that helps.
pub(super) fn group_write_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => ErrorCode::UnknownServerError,
        other => other,
    }
}

/// The same for a commit, which can be too large of itself.
fn commit_write_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => ErrorCode::InvalidCommitOffsetSize,
        other => group_write_error(other),
    }
}
