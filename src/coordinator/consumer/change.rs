//! Changes of a group's memory on their way to the log, and what follows once they are there or failed.
//!
//! Invariants: one change at a time is being written; if it fails, the memory is as it was before it; outcomes come in the order
//! of the writes.

use super::group::ConsumerGroup;
use super::record::ConsumerRecord;
use crate::base::ErrorCode;
use crate::coordinator::effect::{Effect, JoinResponse, LeaveResponse, Refusal, Response, Turn};
use crate::coordinator::ids::{PersistToken, RequestToken};
use crate::coordinator::offset_write::{OffsetWrite, group_write_error};
use crate::coordinator::record_format::GroupRecord;

/// Records of one step, applied to the memory already.
#[derive(Debug, Default)]
pub(super) struct Change {
    records: Vec<ConsumerRecord>,
    /// What takes them back, in the order of the records.
    undo: Vec<ConsumerRecord>,
}

/// What to do when a write is done.
#[derive(Debug)]
pub(super) enum PendingWrite {
    Change {
        undo: Vec<ConsumerRecord>,
        answer: Option<(RequestToken, Response)>,
    },
    Offsets(OffsetWrite),
    /// Tombstones of everything; no token if no client asked.
    Tombstones {
        token: Option<RequestToken>,
    },
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl ConsumerGroup {
    pub(super) fn note(&mut self, record: ConsumerRecord, change: &mut Change) {
        change.undo.push(self.memory.apply(record.clone()));
        change.records.push(record);
    }

    /// Writes the change; the answer goes out when it is in the log, or at once if there is nothing to write.
    pub(super) fn finish(&mut self, change: Change, answer: Option<(RequestToken, Response)>, turn: &mut Turn) {
        if change.is_empty() {
            if let Some((token, response)) = answer {
                turn.respond(token, response);
            }
            return;
        }
        assert!(!self.is_changing(), "one change at a time");
        let mut records = self.inherited.clone();
        records.extend(change.records.into_iter().map(|record| GroupRecord::Consumer { group_id: self.id.clone(), record }));
        self.persist(records, PendingWrite::Change { undo: change.undo, answer }, turn);
    }

    pub(super) fn persist(&mut self, records: Vec<GroupRecord>, write: PendingWrite, turn: &mut Turn) {
        let token = self.next_write;
        self.next_write = PersistToken(token.0 + 1);
        self.writes.push_back((token, write));
        turn.effects.push(Effect::Persist { group_id: self.id.clone(), token, records });
    }

    /// A change or the end of the group is being written.
    pub(super) fn is_changing(&self) -> bool {
        self.downgrade.is_some() || self.writes.iter().any(|(_, write)| !matches!(write, PendingWrite::Offsets(_)))
    }

    pub(super) fn persisted(&mut self, token: PersistToken, outcome: Result<(), ErrorCode>, turn: &mut Turn) {
        let (expected, write) = self.writes.pop_front().expect("only writes that were asked for have an outcome");
        assert_eq!(token, expected, "outcomes come in the order of the writes");
        match write {
            PendingWrite::Change { undo, answer } => {
                match outcome {
                    Ok(()) => self.inherited.clear(),
                    Err(_) => self.take_back(undo, turn.now_ms),
                }
                if let Some((token, response)) = answer {
                    let response = match outcome {
                        Ok(()) => response,
                        Err(error) => failed(response, group_write_error(error)),
                    };
                    turn.respond(token, response);
                }
            }
            PendingWrite::Offsets(write) => write.finish(outcome, &mut self.offsets, turn),
            PendingWrite::Tombstones { token } => self.deleted(token, outcome, turn),
        }
    }

    fn take_back(&mut self, undo: Vec<ConsumerRecord>, now_ms: i64) {
        for record in undo.into_iter().rev() {
            self.memory.apply(record);
        }
        // Whatever was concluded from the cluster's topics has to be concluded again.
        self.checked_version = None;
        self.regex_refresh.forget();
        self.align_timers(now_ms);
    }
}

/// The answer to a request whose change could not be written.
pub(in crate::coordinator) fn failed(response: Response, error: ErrorCode) -> Response {
    match response {
        Response::ConsumerHeartbeat(_) => {
            Response::ConsumerHeartbeat(Err(Refusal::new(error, "The change of the group could not be written.")))
        }
        Response::Join(response) => Response::Join(JoinResponse::error(error, response.member_id)),
        Response::Heartbeat(_) => Response::Heartbeat(error),
        Response::Leave(_) => Response::Leave(LeaveResponse { error, members: Vec::new() }),
        other => other,
    }
}
