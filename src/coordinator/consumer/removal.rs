//! OffsetDelete, DeleteGroups, expiry, deleted topics, and the end of the coordinator here.
//!
//! Invariant: a group is forgotten only after tombstones for all its records are written, those of commits still on their way
//! to the log included.

use std::collections::BTreeSet;

use super::change::{PendingWrite, failed};
use super::group::{ConsumerGroup, answer};
use crate::base::{ErrorCode, TopicName};
use crate::coordinator::effect::{Refusal, Response, Turn};
use crate::coordinator::event::TopicPartition;
use crate::coordinator::ids::RequestToken;
use crate::coordinator::offset_expiry::{RetentionStart, has_expired};
use crate::coordinator::offset_write::{OffsetWrite, group_write_error, partitions_with_offsets, tombstones};
use crate::coordinator::record_format::GroupRecord;

impl ConsumerGroup {
    pub(super) fn delete_offsets(&mut self, token: RequestToken, partitions: Vec<TopicPartition>, turn: &mut Turn) {
        let known = self.partitions_with_offsets();
        let write = OffsetWrite::delete(&self.id, token, partitions, &known, |topic| self.is_subscribed_to(topic), turn);
        if let Some((records, write)) = write {
            self.persist(records, PendingWrite::Offsets(write), turn);
        }
    }

    pub(super) fn delete_group(&mut self, token: RequestToken, turn: &mut Turn) {
        if self.memory.members().is_empty() {
            self.bury(Some(token), turn);
        } else {
            turn.respond(token, Response::DeleteGroup(ErrorCode::NonEmptyGroup));
        }
    }

    /// The offsets go at once; that the members' targets lose the partitions is seen at the next heartbeat.
    pub(super) fn forget_topics(&mut self, topics: &[TopicName], turn: &mut Turn) {
        let topics: BTreeSet<&TopicName> = topics.iter().collect();
        let mut doomed = self.partitions_with_offsets();
        doomed.retain(|partition| topics.contains(&partition.topic));
        if !doomed.is_empty() {
            self.bury_offsets(doomed, turn);
        }
    }

    /// Drops what is past its retention; an empty group that keeps nothing goes as a whole.
    pub(super) fn expire_offsets(&mut self, turn: &mut Turn) {
        if !self.writes.is_empty() {
            // What is being written counts as young; the next round will see it.
            return;
        }
        let retention_ms = self.config.offsets_retention_ms;
        let expired: BTreeSet<TopicPartition> = self
            .offsets
            .iter()
            .filter(|(_, offset)| has_expired(offset, RetentionStart::SinceCommit, turn.now_ms, retention_ms))
            .filter(|(partition, _)| !self.is_subscribed_to(partition.topic.as_str()) && !self.offsets.is_pending(partition))
            .map(|(partition, _)| partition.clone())
            .collect();
        let keeps_something = self.offsets.partitions().any(|partition| !expired.contains(partition));
        if self.memory.members().is_empty() && !keeps_something {
            self.bury(None, turn);
        } else if !expired.is_empty() {
            self.bury_offsets(expired, turn);
        }
    }

    /// The group's tombstones are written, or could not be: then it lives on.
    pub(super) fn deleted(&mut self, token: Option<RequestToken>, outcome: Result<(), ErrorCode>, turn: &mut Turn) {
        self.is_dead = outcome.is_ok();
        if let Some(token) = token {
            let error = outcome.err().map_or(ErrorCode::None, group_write_error);
            turn.respond(token, Response::DeleteGroup(error));
        }
    }

    /// The partition goes elsewhere: everybody who waits here shall look for the new coordinator.
    pub(super) fn unload(&mut self, turn: &mut Turn) {
        let error = ErrorCode::NotCoordinator;
        for (_, write) in std::mem::take(&mut self.writes) {
            match write {
                PendingWrite::Change { answer: Some((token, Response::ConsumerHeartbeat(_))), .. } => {
                    let (token, response) = answer(token, Err(Refusal::of(error)));
                    turn.respond(token, response);
                }
                PendingWrite::Change { answer: Some((token, response)), .. } => turn.respond(token, failed(response, error)),
                PendingWrite::Offsets(write) => write.refuse(error, turn),
                PendingWrite::Tombstones { token: Some(token) } => turn.respond(token, Response::DeleteGroup(error)),
                PendingWrite::Change { answer: None, .. } | PendingWrite::Tombstones { token: None } => {}
            }
        }
        for event in std::mem::take(&mut self.parked) {
            if let Some((token, response)) = event.refused(error) {
                turn.respond(token, response);
            }
        }
        self.wake_at_ms = None;
        self.is_dead = true;
    }

    fn bury(&mut self, token: Option<RequestToken>, turn: &mut Turn) {
        let mut records = tombstones(&self.id, self.partitions_with_offsets().iter());
        records.append(&mut self.inherited);
        let own = self.memory.tombstones().into_iter();
        records.extend(own.map(|record| GroupRecord::Consumer { group_id: self.id.clone(), record }));
        self.is_dead = true;
        self.persist(records, PendingWrite::Tombstones { token }, turn);
    }

    fn bury_offsets(&mut self, partitions: BTreeSet<TopicPartition>, turn: &mut Turn) {
        let (records, write) = OffsetWrite::tombstones(&self.id, None, partitions, Vec::new());
        self.persist(records, PendingWrite::Offsets(write), turn);
    }

    fn partitions_with_offsets(&self) -> BTreeSet<TopicPartition> {
        let on_their_way = self.writes.iter().filter_map(|(_, write)| match write {
            PendingWrite::Offsets(write) => Some(write),
            _ => None,
        });
        partitions_with_offsets(&self.offsets, on_their_way)
    }
}
