//! OffsetDelete, DeleteGroups, expiry, deleted topics, and the end of the coordinator here.
//!
//! Invariant: a group is forgotten only after tombstones for all its records are written, those of commits still on their way
//! to the log included.

use std::collections::BTreeSet;

use super::group::ClassicGroup;
use super::state::GroupState;
use super::write::PendingWrite;
use crate::base::{ErrorCode, TopicName};
use crate::coordinator::consumer::failed;
use crate::coordinator::effect::{DeleteOffsetsResponse, JoinResponse, Response, Turn};
use crate::coordinator::event::TopicPartition;
use crate::coordinator::ids::RequestToken;
use crate::coordinator::offset_expiry::{has_expired, retention_start};
use crate::coordinator::offset_write::{OffsetWrite, group_write_error, partitions_with_offsets, tombstones};
use crate::coordinator::record_format::GroupRecord;

impl ClassicGroup {
    pub(super) fn delete_offsets(&mut self, token: RequestToken, partitions: Vec<TopicPartition>, turn: &mut Turn) {
        let error = match self.state {
            GroupState::Dead => ErrorCode::GroupIdNotFound,
            GroupState::Empty => ErrorCode::None,
            // Only of consumers is it known what they read.
            _ if self.has_consumers() => ErrorCode::None,
            _ => ErrorCode::NonEmptyGroup,
        };
        if !error.is_none() {
            let response = DeleteOffsetsResponse { error, partitions: Vec::new() };
            return turn.respond(token, Response::DeleteOffsets(response));
        }
        let known = self.partitions_with_offsets();
        let write = OffsetWrite::delete(&self.id, token, partitions, &known, |topic| self.is_subscribed_to(topic), turn);
        if let Some((records, write)) = write {
            self.persist(records, PendingWrite::Offsets(write), turn);
        }
    }

    pub(super) fn forget_topics(&mut self, topics: &[TopicName], turn: &mut Turn) {
        let topics: BTreeSet<&TopicName> = topics.iter().collect();
        let mut doomed = self.partitions_with_offsets();
        doomed.retain(|partition| topics.contains(&partition.topic));
        if self.state != GroupState::Dead && !doomed.is_empty() {
            self.bury_offsets(doomed, turn);
        }
    }

    pub(super) fn delete_group(&mut self, token: RequestToken, turn: &mut Turn) {
        match self.state {
            GroupState::Empty => self.bury(Some(token), turn),
            GroupState::Dead => turn.respond(token, Response::DeleteGroup(ErrorCode::GroupIdNotFound)),
            _ => turn.respond(token, Response::DeleteGroup(ErrorCode::NonEmptyGroup)),
        }
    }

    /// Drops what is past its retention; an empty group that keeps nothing goes as a whole.
    pub(super) fn expire_offsets(&mut self, turn: &mut Turn) {
        if self.state == GroupState::Dead || !self.writes.is_empty() {
            // What is being written counts as young; the next round will see it.
            return;
        }
        let start = retention_start(self.protocol_type.is_some(), self.state, self.state_since, self.subscribed_topics.is_some());
        let expired: BTreeSet<TopicPartition> = self
            .offsets
            .iter()
            .filter(|(_, offset)| has_expired(offset, start, turn.now_ms, self.config.offsets_retention_ms))
            .filter(|(partition, _)| !self.is_subscribed_to(partition.topic.as_str()) && !self.offsets.is_pending(partition))
            .map(|(partition, _)| partition.clone())
            .collect();
        let keeps_something = self.offsets.partitions().any(|partition| !expired.contains(partition));
        if self.state == GroupState::Empty && !keeps_something && self.pending_members.is_empty() {
            self.bury(None, turn);
        } else if !expired.is_empty() {
            self.bury_offsets(expired, turn);
        }
    }

    /// The partition goes elsewhere: everybody who waits here shall look for the new coordinator.
    pub(super) fn unload(&mut self, turn: &mut Turn) {
        let error = ErrorCode::NotCoordinator;
        for id in self.membership.ids() {
            let member = self.membership.remove(&id).expect("listed just now");
            if let Some(token) = member.waiting_join {
                turn.respond(token, Response::Join(JoinResponse::error(error, id)));
            }
            if let Some(token) = member.waiting_sync {
                self.refuse_sync(turn, token, error);
            }
        }
        for (_, write) in std::mem::take(&mut self.writes) {
            match write {
                PendingWrite::Offsets(write) => write.refuse(error, turn),
                PendingWrite::Inheritance { answer: Some((token, response)) } => turn.respond(token, failed(response, error)),
                PendingWrite::GroupTombstone { token: Some(token) } => turn.respond(token, Response::DeleteGroup(error)),
                PendingWrite::Assignment { .. }
                | PendingWrite::StaticMember { .. }
                | PendingWrite::EmptyGeneration
                | PendingWrite::Inheritance { answer: None }
                | PendingWrite::GroupTombstone { token: None } => {}
            }
        }
        self.pending_members.clear();
        self.cancel_pending_syncs();
        self.join_timer = None;
        self.wake_at_ms = None;
        if self.state != GroupState::Dead {
            self.transition(GroupState::Dead, turn.now_ms);
        }
    }

    /// The group's tombstones are written, or could not be: then it lives on.
    pub(super) fn deleted(&mut self, token: Option<RequestToken>, outcome: Result<(), ErrorCode>, turn: &mut Turn) {
        let error = match outcome {
            Ok(()) => ErrorCode::None,
            Err(error) => {
                let since = self.state_since;
                self.transition(GroupState::Empty, turn.now_ms);
                self.state_since = since;
                group_write_error(error)
            }
        };
        if let Some(token) = token {
            turn.respond(token, Response::DeleteGroup(error));
        }
    }

    /// The state is Dead and the tombstones are written: the coordinator may forget the group.
    pub fn is_gone(&self) -> bool {
        self.state == GroupState::Dead && self.writes.is_empty()
    }

    fn bury(&mut self, token: Option<RequestToken>, turn: &mut Turn) {
        let since = self.state_since;
        self.transition(GroupState::Dead, turn.now_ms);
        self.state_since = since;
        self.pending_members.clear();
        let mut records = tombstones(&self.id, self.partitions_with_offsets().iter());
        records.push(GroupRecord::Group { group_id: self.id.clone(), value: None });
        self.persist(records, PendingWrite::GroupTombstone { token }, turn);
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
