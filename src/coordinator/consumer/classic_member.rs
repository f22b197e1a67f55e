//! Members that still speak the classic protocol: their requests, answered out of this machine.
//!
//! Invariants: a member's generation is its member epoch; it learns by REBALANCE_IN_PROGRESS that it shall rejoin, each time it
//! rejoins it goes one step towards its target, and SyncGroup hands out what is assigned to it now. Nobody leads, and nobody
//! waits for others: a JoinGroup is answered as soon as what it changed is written.
//!
//! Source: KIP-848, "Supporting Online Consumer Group Upgrade", and the behaviour of Apache Kafka 4.3.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::change::Change;
use super::group::ConsumerGroup;
use super::heartbeat::Sender;
use super::migration::Downgrade;
use super::record::{ClassicMembership, ConsumerRecord, MemberState, Subscription, partitions_of};
use crate::base::ErrorCode;
use crate::coordinator::classic::subscription::CONSUMER_PROTOCOL_TYPE;
use crate::coordinator::effect::{JoinResponse, LeaveResponse, LeftMember, Response, SyncResponse, Turn};
use crate::coordinator::embedded_protocol::{EmbeddedSubscription, encode_assignment, identified, read_subscription};
use crate::coordinator::event::{Event, HeartbeatRequest, JoinRequest, LeavingMember, SyncRequest};
use crate::coordinator::ids::{GroupInstanceId, MemberId, RequestToken, ShortText};

impl ConsumerGroup {
    pub(super) fn classic_join(&mut self, token: RequestToken, request: JoinRequest, turn: &mut Turn) {
        let is_new = request.member_id.is_empty();
        let id = if is_new { MemberId::uuid(request.random_bytes) } else { request.member_id.clone() };
        let refuse = |error, id: &MemberId, turn: &mut Turn| turn.respond(token, Response::Join(JoinResponse::error(error, id.clone())));
        let subscription = match self.check_join(&id, &request) {
            Ok(subscription) => subscription,
            Err(error) => return refuse(error, &request.member_id, turn),
        };
        if is_new && request.group_instance_id.is_none() && request.requires_known_member_id {
            return refuse(ErrorCode::MemberIdRequired, &id, turn);
        }
        let sender = match self.identify_joining(&id, &request) {
            Ok(sender) => sender,
            Err(error) => return refuse(error, &request.member_id, turn),
        };
        let mut change = Change::default();
        if let Sender::Successor(former) = &sender {
            if self.begin_downgrade(&BTreeSet::from([former.clone()])) {
                // The last one of the new protocol comes back in the old one, to a group of that.
                let downgrade = self.downgrade.as_mut().expect("begun just now");
                downgrade.then = Some(Event::Join { token, request });
                return;
            }
            self.succeed(former, &id, &mut change);
        }
        let subscription_changed = self.update_classic(&id, &request, &subscription, &mut change);
        self.refresh(subscription_changed || matches!(sender, Sender::New), turn.now_ms, &mut change);
        let owned = identified(&subscription.owned, &*self.topics);
        self.reconcile(&id, Some(&owned), &mut change, turn.now_ms);
        self.start_session(&id, turn.now_ms);
        self.rejoins.remove(&id);
        let sync_by_ms = turn.now_ms.saturating_add(i64::from(request.rebalance_timeout_ms.max(0)));
        self.syncs.insert(id.clone(), sync_by_ms);
        self.wake_by(sync_by_ms);
        let response = JoinResponse {
            error: ErrorCode::None,
            generation_id: self.memory.current(&id).epoch,
            protocol_type: Some(consumer_type()),
            protocol_name: request.protocols.first().map(|protocol| protocol.name.clone()),
            leader: MemberId::empty(),
            skip_assignment: false,
            member_id: id,
            members: Vec::new(),
        };
        self.finish(change, Some((token, Response::Join(response))), turn);
    }

    fn check_join(&self, id: &MemberId, request: &JoinRequest) -> Result<EmbeddedSubscription, ErrorCode> {
        if self.memory.members().is_empty() {
            // They left while this waited: the next try finds a group that may become a classic one.
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        self.check_room(id).map_err(|refusal| refusal.error)?;
        let speakers: Vec<&ClassicMembership> = self.memory.members().values().filter_map(|member| member.classic.as_ref()).collect();
        let speaks = |classic: &ClassicMembership, name: &ShortText| classic.protocols.iter().any(|(known, _)| known == name);
        let is_shared = |name: &ShortText| speakers.iter().all(|classic| speaks(classic, name));
        if request.protocol_type.as_str() != CONSUMER_PROTOCOL_TYPE || !request.protocols.iter().any(|protocol| is_shared(&protocol.name)) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // As in Kafka the first protocol's subscription is the one that counts.
        let subscription = request.protocols.first().and_then(|protocol| read_subscription(&protocol.metadata));
        subscription.ok_or(ErrorCode::InconsistentGroupProtocol)
    }

    fn identify_joining(&self, id: &MemberId, request: &JoinRequest) -> Result<Sender, ErrorCode> {
        let Some(instance) = &request.group_instance_id else {
            return Ok(if self.memory.member(id).is_some() { Sender::Member } else { Sender::New });
        };
        match self.memory.static_member(instance) {
            Some(holder) if request.member_id.is_empty() => Ok(Sender::Successor(holder.clone())),
            None if request.member_id.is_empty() => Ok(Sender::New),
            Some(holder) if holder == id => Ok(Sender::Member),
            Some(_) => Err(ErrorCode::FencedInstanceId),
            None => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// True if the member reads something else from now on.
    fn update_classic(&mut self, id: &MemberId, request: &JoinRequest, said: &EmbeddedSubscription, change: &mut Change) -> bool {
        let before = self.memory.member(id).cloned();
        let former = before.as_deref().cloned().unwrap_or_default();
        let after = Subscription {
            instance_id: request.group_instance_id.clone().or(former.instance_id),
            rack_id: said.rack.clone().or(former.rack_id),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            topics: said.topics.clone(),
            // It finds the topics of a pattern itself. Kafka keeps the empty text where there is none.
            regex: Some(ShortText::empty()),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            assignor: former.assignor,
            classic: Some(ClassicMembership {
                session_timeout_ms: request.session_timeout_ms,
                protocols: request.protocols.iter().map(|protocol| (protocol.name.clone(), protocol.metadata.clone())).collect(),
            }),
        };
        if before.as_deref() == Some(&after) {
            return false;
        }
        self.revocations.remove(id);
        let topics_changed = before.as_ref().is_none_or(|before| before.topics != after.topics || before.regex().is_some());
        self.note(ConsumerRecord::Member(id.clone(), Some(Arc::new(after))), change);
        if topics_changed {
            self.drop_unused_regexes(change);
        }
        topics_changed
    }

    pub(super) fn classic_sync(&mut self, token: RequestToken, request: &SyncRequest, turn: &mut Turn) {
        let id = &request.member_id;
        let checked = self.check_classic(id, request.group_instance_id.as_ref(), request.generation_id);
        let result = checked.and_then(|member| {
            let (name, metadata) = member.protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
            let is_type = request.protocol_type.as_ref().is_none_or(|kind| kind.as_str() == CONSUMER_PROTOCOL_TYPE);
            if !is_type || request.protocol_name.as_ref().is_some_and(|wanted| wanted != name) {
                return Err(ErrorCode::InconsistentGroupProtocol);
            }
            let current = self.memory.current(id);
            // One that gives up partitions has rejoined already: it first has to be told what it keeps.
            if self.memory.epoch() > current.epoch && current.state != MemberState::UnrevokedPartitions {
                return Err(ErrorCode::RebalanceInProgress);
            }
            Ok(encode_assignment(metadata, &partitions_of(&current.assigned), &*self.topics))
        });
        let response = match result {
            Ok(assignment) => {
                self.syncs.remove(id);
                self.start_session(id, turn.now_ms);
                let (protocol_type, protocol_name) = (request.protocol_type.clone(), request.protocol_name.clone());
                SyncResponse { error: ErrorCode::None, protocol_type, protocol_name, assignment }
            }
            Err(error) => {
                if error == ErrorCode::RebalanceInProgress {
                    self.expect_rejoin(id, turn.now_ms);
                }
                SyncResponse::error(error)
            }
        };
        turn.respond(token, Response::Sync(response));
    }

    pub(super) fn classic_heartbeat(&mut self, token: RequestToken, request: &HeartbeatRequest, turn: &mut Turn) {
        let id = &request.member_id;
        if let Err(error) = self.check_classic(id, request.group_instance_id.as_ref(), request.generation_id) {
            return turn.respond(token, Response::Heartbeat(error));
        }
        self.start_session(id, turn.now_ms);
        // There is no leader who would notice that a topic has grown.
        let mut change = Change::default();
        self.refresh(false, turn.now_ms, &mut change);
        let error = match self.must_rejoin(id) {
            true => {
                self.expect_rejoin(id, turn.now_ms);
                ErrorCode::RebalanceInProgress
            }
            false => ErrorCode::None,
        };
        self.finish(change, Some((token, Response::Heartbeat(error))), turn);
    }

    /// The member lags behind, has something to give up, or waited for something that is free now.
    fn must_rejoin(&self, id: &MemberId) -> bool {
        let current = self.memory.current(id);
        let awaits_others = || {
            let target = self.memory.member_target(id);
            let mut wanted = target.iter().flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)));
            wanted.any(|(topic, partition)| self.memory.holder(topic, partition).is_some_and(|holder| holder != id))
        };
        current.epoch < self.memory.epoch()
            || current.state == MemberState::UnrevokedPartitions
            || (current.state == MemberState::UnreleasedPartitions && !awaits_others())
    }

    fn expect_rejoin(&mut self, id: &MemberId, now_ms: i64) {
        let timeout_ms = self.memory.member(id).map_or(0, |member| member.rebalance_timeout_ms.max(0));
        let at_ms = *self.rejoins.entry(id.clone()).or_insert(now_ms.saturating_add(i64::from(timeout_ms)));
        self.wake_by(at_ms);
    }

    fn check_classic(
        &self,
        id: &MemberId,
        instance: Option<&GroupInstanceId>,
        generation_id: i32,
    ) -> Result<&ClassicMembership, ErrorCode> {
        if let Some(instance) = instance {
            match self.memory.static_member(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(holder) if holder != id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        let classic = self.memory.member(id).and_then(|member| member.classic.as_ref()).ok_or(ErrorCode::UnknownMemberId)?;
        if self.memory.current(id).epoch == generation_id { Ok(classic) } else { Err(ErrorCode::IllegalGeneration) }
    }

    pub(super) fn classic_leave(&mut self, token: RequestToken, members: Vec<LeavingMember>, turn: &mut Turn) {
        let (mut left, mut gone) = (Vec::new(), BTreeSet::new());
        for member in members {
            let found = self.find_leaving(&member);
            let error = found.as_ref().err().copied().unwrap_or(ErrorCode::None);
            let member_id = found.clone().unwrap_or(member.member_id);
            left.push(LeftMember { member_id, group_instance_id: member.group_instance_id, error });
            gone.extend(found);
        }
        let mut change = Change::default();
        if !gone.is_empty() {
            self.remove(&gone, &mut change);
        }
        let response = LeaveResponse { error: ErrorCode::None, members: left };
        self.finish(change, Some((token, Response::Leave(response))), turn);
    }

    /// An administrator may name a static member by its instance alone (KIP-345).
    fn find_leaving(&self, leaving: &LeavingMember) -> Result<MemberId, ErrorCode> {
        let id = match &leaving.group_instance_id {
            None => &leaving.member_id,
            Some(instance) => {
                let holder = self.memory.static_member(instance).ok_or(ErrorCode::UnknownMemberId)?;
                if !leaving.member_id.is_empty() && *holder != leaving.member_id {
                    return Err(ErrorCode::FencedInstanceId);
                }
                holder
            }
        };
        let speaks_classic = self.memory.member(id).is_some_and(|member| member.classic.is_some());
        if speaks_classic { Ok(id.clone()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// The group goes back to the classic protocol if these members are the last that speak the consumer protocol.
    pub(super) fn downgrade_without(&mut self, leaving: &BTreeSet<MemberId>) -> bool {
        self.memory.members().keys().any(|id| !leaving.contains(id)) && self.begin_downgrade(leaving)
    }

    fn begin_downgrade(&mut self, leaving: &BTreeSet<MemberId>) -> bool {
        let speaks_classic = |id: &MemberId| self.memory.member(id).is_some_and(|member| member.classic.is_some());
        let mut rest = self.memory.members().keys().filter(|id| !leaving.contains(*id));
        let is_due = self.config.consumer.migration.allows_downgrade()
            && !leaving.iter().all(speaks_classic)
            && rest.all(speaks_classic)
            && self.memory.members().len() - leaving.len() <= self.config.group_size_max;
        if is_due {
            self.downgrade = Some(Downgrade { leaving: leaving.clone(), answer: None, then: None });
        }
        is_due
    }
}

fn consumer_type() -> ShortText {
    ShortText::new(CONSUMER_PROTOCOL_TYPE).expect("a short name")
}
