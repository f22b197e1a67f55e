//! Writes of a group to its partition, and what follows once they are in the log or failed.
//!
//! Invariants: outcomes come in the order of the writes; nothing that a write promises (an answer, an assignment, a committed
//! offset) is visible before its outcome.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::group::ClassicGroup;
use super::membership::Terms;
use super::state::GroupState;
use crate::base::ErrorCode;
use crate::coordinator::consumer::failed;
use crate::coordinator::effect::{Effect, JoinResponse, Response, Turn};
use crate::coordinator::ids::{MemberId, PersistToken, RequestToken};
use crate::coordinator::offset_write::{OffsetWrite, group_write_error};
use crate::coordinator::record_format::GroupRecord;

/// What to do when a write is done.
#[derive(Clone, Debug)]
pub(super) enum PendingWrite {
    /// The leader's assignment of a generation.
    Assignment {
        generation_id: i32,
        assignments: BTreeMap<MemberId, Bytes>,
    },
    /// A static member under its new id.
    StaticMember {
        generation_id: i32,
        new_id: MemberId,
        former: FormerMember,
        supports_skipping_assignment: bool,
    },
    /// The last member left.
    EmptyGeneration,
    /// Tombstones of the group of the other protocol that had this id, and the group that came of it.
    Inheritance {
        answer: Option<(RequestToken, Response)>,
    },
    Offsets(OffsetWrite),
    /// Tombstones of everything; no token if no client asked.
    GroupTombstone {
        token: Option<RequestToken>,
    },
}

/// A static member before its replacement, to be put back if the write fails.
#[derive(Clone, Debug)]
pub(super) struct FormerMember {
    pub(super) id: MemberId,
    pub(super) leader: Option<MemberId>,
    pub(super) terms: Terms,
}

impl ClassicGroup {
    pub(super) fn persist(&mut self, records: Vec<GroupRecord>, write: PendingWrite, turn: &mut Turn) {
        let token = self.next_write;
        self.next_write = PersistToken(token.0 + 1);
        let carries = !self.inherited.is_empty() && !matches!(write, PendingWrite::Offsets(_));
        let inherited = if carries { self.inherited.clone() } else { Vec::new() };
        let records = inherited.into_iter().chain(records).collect();
        self.writes.push_back((token, write));
        turn.effects.push(Effect::Persist { group_id: self.id.clone(), token, records });
    }

    pub(super) fn persisted(&mut self, token: PersistToken, outcome: Result<(), ErrorCode>, turn: &mut Turn) {
        let (expected, write) = self.writes.pop_front().expect("only writes that were asked for have an outcome");
        assert_eq!(token, expected, "outcomes come in the order of the writes");
        if outcome.is_ok() && !matches!(write, PendingWrite::Offsets(_)) {
            self.inherited.clear();
        }
        match write {
            PendingWrite::Assignment { generation_id, assignments } => {
                // Somebody may have joined or left meanwhile: then this generation is over and its waiters have been told.
                if self.state == GroupState::CompletingRebalance && self.generation_id == generation_id {
                    match outcome {
                        Ok(()) => self.hand_out_assignment(assignments, turn),
                        Err(error) => {
                            self.abandon_assignment(group_write_error(error), turn);
                            self.prepare_rebalance(turn);
                        }
                    }
                }
            }
            PendingWrite::StaticMember { generation_id, new_id, former, supports_skipping_assignment } => {
                // If a rebalance began meanwhile, the new member waits at its barrier like everybody else.
                if self.state == GroupState::Stable && self.generation_id == generation_id && self.membership.contains(&new_id) {
                    match outcome {
                        Ok(()) => self.welcome_static(&new_id, former, supports_skipping_assignment, turn),
                        Err(error) => self.put_back_static(&new_id, former, group_write_error(error), turn),
                    }
                }
            }
            // Nobody waits for it; without it the former generation comes back at the next load, and its sessions end.
            PendingWrite::EmptyGeneration => {}
            // Without it the other group comes back at the next load, unless a later write of this one was done: that carries it again.
            PendingWrite::Inheritance { answer: Some((token, response)) } => {
                let response = match outcome {
                    Ok(()) => response,
                    Err(error) => failed(response, group_write_error(error)),
                };
                turn.respond(token, response);
            }
            PendingWrite::Inheritance { answer: None } => {}
            PendingWrite::Offsets(write) => write.finish(outcome, &mut self.offsets, turn),
            PendingWrite::GroupTombstone { token } => self.deleted(token, outcome, turn),
        }
    }

    /// KIP-345: the replaced member goes on with the assignment of the old one, without a rebalance.
    fn welcome_static(&mut self, id: &MemberId, former: FormerMember, supports_skipping_assignment: bool, turn: &mut Turn) {
        let Some(token) = self.membership.take_join(id) else { return };
        let is_leader = self.membership.is_leader(id);
        let response = if supports_skipping_assignment {
            // KIP-814: the leader gets the members, to watch their topics, but leaves the assignment alone.
            JoinResponse { skip_assignment: is_leader, ..self.join_response(id) }
        } else {
            // An older client must not believe that it leads, or it would assign: it is told of the former leader's id.
            JoinResponse { leader: former.leader.unwrap_or_default(), members: Vec::new(), ..self.join_response(id) }
        };
        turn.respond(token, Response::Join(response));
        self.restart_session(id, turn.now_ms);
    }

    fn put_back_static(&mut self, id: &MemberId, former: FormerMember, error: ErrorCode, turn: &mut Turn) {
        let token = self.membership.take_join(id);
        self.membership.set_terms(id, former.terms);
        self.membership.replace(id, &former.id);
        if self.pending_syncs.remove(id) {
            self.pending_syncs.insert(former.id.clone());
        }
        self.restart_session(&former.id, turn.now_ms);
        if let Some(token) = token {
            turn.respond(token, Response::Join(JoinResponse::error(error, MemberId::empty())));
        }
    }
}
