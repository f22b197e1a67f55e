//! JoinGroup: who may come in, under which id, and whether that starts a rebalance.
//!
//! Invariant: every JoinGroup is answered at once or parked on a member, never both.

use super::group::{ClassicGroup, Turn};
use super::member::Member;
use super::state::GroupState;
use super::write::{FormerMember, PendingWrite};
use crate::base::ErrorCode;
use crate::coordinator::effect::{JoinResponse, JoinedMember, Response};
use crate::coordinator::event::JoinRequest;
use crate::coordinator::ids::{GroupInstanceId, MemberId, RequestToken};

impl ClassicGroup {
    pub(super) fn join(&mut self, token: RequestToken, request: JoinRequest, turn: &mut Turn) {
        if self.state == GroupState::Dead {
            // Deleted or moved a moment ago: the client shall look for the coordinator again.
            refuse(turn, token, ErrorCode::CoordinatorNotAvailable, request.member_id);
        } else if !self.has_room_for(&request.member_id) {
            self.remove_member(&request.member_id, turn);
            self.pending_members.remove(&request.member_id);
            refuse(turn, token, ErrorCode::GroupMaxSizeReached, MemberId::empty());
            self.complete_join_if_all_joined(turn);
        } else if !self.supports(&request) {
            refuse(turn, token, ErrorCode::InconsistentGroupProtocol, request.member_id);
        } else if request.member_id.is_empty() {
            self.join_new(token, request, turn);
        } else {
            self.join_known(token, request, turn);
        }
    }

    /// `group.max.size`. At the barrier only those who wait count: when the limit was lowered, the last to rejoin are turned away.
    fn has_room_for(&self, id: &MemberId) -> bool {
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                self.membership.get(id).is_some_and(|member| member.waiting_join.is_some())
                    || self.membership.waiting_joins() < self.config.group_size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.membership.contains(id) || self.membership.len() < self.config.group_size_max
            }
        }
    }

    /// All members speak one protocol of one type, and shall go on doing so.
    fn supports(&self, request: &JoinRequest) -> bool {
        if self.membership.is_empty() {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(&request.protocol_type) && self.membership.all_speak_one_of(&request.protocols)
    }

    fn join_new(&mut self, token: RequestToken, request: JoinRequest, turn: &mut Turn) {
        let prefix = request.group_instance_id.as_ref().map_or(request.client_id.as_str(), GroupInstanceId::as_str);
        let new_id = MemberId::generate(prefix, request.random_bytes);
        let static_member = request.group_instance_id.as_ref().map(|instance| self.membership.static_member(instance).cloned());
        match static_member {
            Some(Some(old_id)) => self.replace_static(token, request, &old_id, new_id, turn),
            None if request.requires_known_member_id => self.hand_out_id(token, &request, new_id, turn),
            Some(None) | None => self.add_member(token, &request, new_id, turn),
        }
    }

    /// KIP-394: a client that never comes back for its answer leaves no member behind, only an id that lapses.
    fn hand_out_id(&mut self, token: RequestToken, request: &JoinRequest, new_id: MemberId, turn: &mut Turn) {
        if self.pending_members.len() >= self.config.pending_members_max {
            return refuse(turn, token, ErrorCode::GroupMaxSizeReached, MemberId::empty());
        }
        let deadline_ms = turn.now_ms.saturating_add(i64::from(request.session_timeout_ms));
        self.pending_members.insert(new_id.clone(), deadline_ms);
        self.wake_by(deadline_ms);
        refuse(turn, token, ErrorCode::MemberIdRequired, new_id);
    }

    fn join_known(&mut self, token: RequestToken, request: JoinRequest, turn: &mut Turn) {
        let id = request.member_id.clone();
        if self.pending_members.contains_key(&id) && request.group_instance_id.is_none() {
            return self.add_member(token, &request, id, turn);
        }
        if let Err(error) = self.membership.identify(&id, request.group_instance_id.as_ref()) {
            return refuse(turn, token, error, id);
        }
        let member = self.membership.get(&id).expect("identified above");
        let has_news = !member.has_same_protocols(&request);
        match self.state {
            GroupState::PreparingRebalance => self.rejoin(token, &request, turn),
            // The answer to its first JoinGroup may have been lost: the same again is the answer of this generation.
            GroupState::CompletingRebalance if !has_news => self.answer_join(token, &id, turn),
            // The leader rejoins to have the assignment made anew, for example because a topic grew.
            GroupState::Stable if !has_news && !self.membership.is_leader(&id) => self.answer_join(token, &id, turn),
            GroupState::CompletingRebalance | GroupState::Stable => self.rejoin(token, &request, turn),
            GroupState::Empty | GroupState::Dead => refuse(turn, token, ErrorCode::UnknownMemberId, id),
        }
    }

    fn rejoin(&mut self, token: RequestToken, request: &JoinRequest, turn: &mut Turn) {
        self.membership.update(&request.member_id, request);
        self.park_join(&request.member_id, token, turn);
        self.rebalance_or_complete_join(turn);
    }

    fn add_member(&mut self, token: RequestToken, request: &JoinRequest, id: MemberId, turn: &mut Turn) {
        if self.membership.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.pending_members.remove(&id);
        self.membership.add(Member::joining(id.clone(), request));
        self.park_join(&id, token, turn);
        self.extend_initial_delay();
        // The member has no id yet and cannot send heartbeats, so its session does not count; but if its client is gone, it
        // must not hold the barrier for ever.
        self.start_session(&id, turn.now_ms, self.config.new_member_join_timeout_ms);
        self.rebalance_or_complete_join(turn);
    }

    /// KIP-345: the same instance came back without its member id, after a restart.
    fn replace_static(&mut self, token: RequestToken, request: JoinRequest, old_id: &MemberId, new_id: MemberId, turn: &mut Turn) {
        let former_leader = self.membership.leader().cloned();
        let (waiting_join, waiting_sync) = self.membership.replace(old_id, &new_id);
        if let Some(fenced) = waiting_join {
            refuse(turn, fenced, ErrorCode::FencedInstanceId, old_id.clone());
        }
        if let Some(fenced) = waiting_sync {
            self.refuse_sync(turn, fenced, ErrorCode::FencedInstanceId);
        }
        if self.pending_syncs.remove(old_id) {
            self.pending_syncs.insert(new_id.clone());
        }
        let former_terms = self.membership.update(&new_id, &request);
        self.park_join(&new_id, token, turn);
        self.restart_session(&new_id, turn.now_ms);
        match self.state {
            GroupState::Stable if self.protocol_name == self.membership.vote() => {
                // Nobody else needs to know: the new id inherits the assignment.
                let assignments = self.membership.iter().map(|member| (member.id.clone(), member.assignment.clone())).collect();
                let former = FormerMember { id: old_id.clone(), leader: former_leader, terms: former_terms };
                let supports_skipping_assignment = request.supports_skipping_assignment;
                let write = PendingWrite::StaticMember { generation_id: self.generation_id, new_id, former, supports_skipping_assignment };
                self.persist(vec![self.record(&assignments)], write, turn);
            }
            // In CompletingRebalance the leader may already be assigning to the old id, which is gone.
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn),
            GroupState::PreparingRebalance => self.complete_join_unless_initial(turn),
            GroupState::Empty | GroupState::Dead => unreachable!("a group with a static member is neither empty nor dead"),
        }
    }

    fn park_join(&mut self, id: &MemberId, token: RequestToken, turn: &mut Turn) {
        if let Some(former) = self.membership.park_join(id, token) {
            // The client sent it again, over another connection or without waiting: only the last one counts.
            refuse(turn, former, ErrorCode::RebalanceInProgress, id.clone());
        }
    }

    /// Answers with the generation as it stands.
    pub(super) fn answer_join(&self, token: RequestToken, id: &MemberId, turn: &mut Turn) {
        turn.respond(token, Response::Join(self.join_response(id)));
    }

    pub(super) fn join_response(&self, id: &MemberId) -> JoinResponse {
        JoinResponse {
            error: ErrorCode::None,
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.membership.leader().cloned().unwrap_or_default(),
            skip_assignment: false,
            member_id: id.clone(),
            members: if self.membership.is_leader(id) { self.joined_members() } else { Vec::new() },
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol_name.clone().unwrap_or_default();
        let joined = |member: &Member| JoinedMember {
            member_id: member.id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            metadata: member.metadata(&protocol),
        };
        self.membership.iter().map(joined).collect()
    }
}

pub(super) fn refuse(turn: &mut Turn, token: RequestToken, error: ErrorCode, member_id: MemberId) {
    turn.respond(token, Response::Join(JoinResponse::error(error, member_id)));
}
