//! SyncGroup: the leader brings the assignment, everybody fetches a part of it.
//!
//! Invariants: nobody gets an assignment before it is written to the log; a SyncGroup is answered with the assignment of its
//! own generation or with an error. Members that never send it are removed after the rebalance timeout (Kafka's pending sync).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::group::{ClassicGroup, Turn};
use super::state::GroupState;
use super::write::PendingWrite;
use crate::base::ErrorCode;
use crate::coordinator::effect::{Response, SyncResponse};
use crate::coordinator::event::SyncRequest;
use crate::coordinator::ids::{MemberId, RequestToken, ShortText};

impl ClassicGroup {
    pub(super) fn sync(&mut self, token: RequestToken, request: SyncRequest, turn: &mut Turn) {
        if let Err(error) = self.check_sync(&request) {
            return self.refuse_sync(turn, token, error);
        }
        match self.state {
            GroupState::PreparingRebalance => self.refuse_sync(turn, token, ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => self.await_assignment(token, request, turn),
            GroupState::Stable => {
                self.sync_arrived(&request.member_id);
                let member = self.membership.get(&request.member_id).expect("checked above");
                let response = self.sync_response(member.assignment.clone());
                turn.respond(token, Response::Sync(response));
            }
            GroupState::Empty | GroupState::Dead => unreachable!("a group with a member is neither empty nor dead"),
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.membership.identify(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        // KIP-559: either side may leave them out.
        let differ = |sent: &Option<ShortText>, ours: &Option<ShortText>| sent.is_some() && ours.is_some() && sent != ours;
        if differ(&request.protocol_type, &self.protocol_type) || differ(&request.protocol_name, &self.protocol_name) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn await_assignment(&mut self, token: RequestToken, request: SyncRequest, turn: &mut Turn) {
        if let Some(former) = self.membership.park_sync(&request.member_id, token) {
            // The client sent it again: only the last one counts.
            self.refuse_sync(turn, former, ErrorCode::RebalanceInProgress);
        }
        self.sync_arrived(&request.member_id);
        if self.membership.is_leader(&request.member_id) {
            let assignments: BTreeMap<MemberId, Bytes> = request.assignments.into_iter().collect();
            let record = self.record(&assignments);
            let write = PendingWrite::Assignment { generation_id: self.generation_id, assignments };
            self.persist(vec![record], write, turn);
        }
    }

    /// The assignment is in the log: hand it out. Members that the leader forgot get an empty one, as in Kafka.
    pub(super) fn hand_out_assignment(&mut self, mut assignments: BTreeMap<MemberId, Bytes>, turn: &mut Turn) {
        for id in self.membership.ids() {
            let assignment = assignments.remove(&id).unwrap_or_default();
            self.membership.set_assignment(&id, assignment.clone());
            if let Some(token) = self.membership.take_sync(&id) {
                turn.respond(token, Response::Sync(self.sync_response(assignment)));
                // Its session was not watched while it waited.
                self.restart_session(&id, turn.now_ms);
            }
        }
        self.transition(GroupState::Stable, turn.now_ms);
    }

    /// No assignment for this generation: everybody who waits for it gets the error.
    pub(super) fn abandon_assignment(&mut self, error: ErrorCode, turn: &mut Turn) {
        for id in self.membership.ids() {
            self.membership.set_assignment(&id, Bytes::new());
            if let Some(token) = self.membership.take_sync(&id) {
                self.refuse_sync(turn, token, error);
                self.restart_session(&id, turn.now_ms);
            }
        }
    }

    pub(super) fn set_sync_deadline(&mut self, now_ms: i64) {
        let deadline_ms = now_ms.saturating_add(i64::from(self.membership.rebalance_timeout_ms()));
        self.sync_deadline_ms = Some(deadline_ms);
        self.wake_by(deadline_ms);
    }

    pub(super) fn cancel_pending_syncs(&mut self) {
        self.pending_syncs.clear();
        self.sync_deadline_ms = None;
    }

    /// Who has not asked for its part by now is out, and the rest shares again.
    pub(super) fn fire_sync_deadline(&mut self, turn: &mut Turn) {
        self.sync_deadline_ms = None;
        let late = std::mem::take(&mut self.pending_syncs);
        if late.is_empty() {
            return;
        }
        for id in &late {
            self.remove_member(id, turn);
        }
        self.prepare_rebalance(turn);
    }

    fn sync_arrived(&mut self, id: &MemberId) {
        self.pending_syncs.remove(id);
        if self.pending_syncs.is_empty() {
            self.sync_deadline_ms = None;
        }
    }

    fn sync_response(&self, assignment: Bytes) -> SyncResponse {
        SyncResponse {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment,
        }
    }

    pub(super) fn refuse_sync(&self, turn: &mut Turn, token: RequestToken, error: ErrorCode) {
        turn.respond(token, Response::Sync(SyncResponse::error(error)));
    }
}
