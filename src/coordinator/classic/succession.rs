//! A group with members goes over to the consumer protocol, or comes back from it.
//!
//! Invariants: only members whose subscriptions and assignments can be read go over, for the other machine must know what each
//! of them has; those that come back have the assignment that they had there until they have rejoined.

use super::group::ClassicGroup;
use super::join;
use super::member::Member;
use super::state::GroupState;
use super::write::PendingWrite;
use crate::base::ErrorCode;
use crate::coordinator::config::GroupConfig;
use crate::coordinator::consumer::migration::MigratingMember;
use crate::coordinator::consumer::topics::Topics;
use crate::coordinator::conversion::{Inheritance, busy};
use crate::coordinator::effect::{Refusal, Response, Turn};
use crate::coordinator::embedded_protocol::{encode_assignment, identified, read_assignment, read_subscription};
use crate::coordinator::ids::{GroupId, RequestToken, ShortText};
use crate::coordinator::record_format::GroupRecord;

impl ClassicGroup {
    /// The group that takes over the id of one of the consumer protocol. `members`: those that stay, at generation `epoch`; they are
    /// told to rejoin. `answer` goes out when all of it is written.
    pub(in crate::coordinator) fn succeed(
        id: GroupId,
        config: GroupConfig,
        inheritance: Inheritance,
        (epoch, members): (i32, Vec<MigratingMember>),
        topics: &dyn Topics,
        answer: Option<(RequestToken, Response)>,
        turn: &mut Turn,
    ) -> ClassicGroup {
        let writes = inheritance.writes.into_iter().map(|(token, write)| (token, PendingWrite::Offsets(write))).collect();
        let new = ClassicGroup::new(id, config, turn.now_ms);
        let mut group = ClassicGroup {
            offsets: inheritance.offsets,
            inherited: inheritance.tombstones,
            writes,
            next_write: inheritance.next_write,
            ..new
        };
        let has_members = !members.is_empty();
        let mut records = Vec::new();
        if has_members {
            group.adopt(epoch, members, topics, turn);
            records.push(group.own_record());
        }
        if has_members || answer.is_some() || !group.inherited.is_empty() {
            group.persist(records, PendingWrite::Inheritance { answer }, turn);
        }
        if has_members {
            group.prepare_rebalance(turn);
        }
        group
    }

    fn adopt(&mut self, epoch: i32, members: Vec<MigratingMember>, topics: &dyn Topics, turn: &Turn) {
        self.state = GroupState::Stable;
        self.generation_id = epoch;
        self.protocol_type = Some(ShortText::new(super::subscription::CONSUMER_PROTOCOL_TYPE).expect("a short name"));
        let mut parts = Vec::new();
        for member in members {
            parts.push((member.id.clone(), member.assigned.clone()));
            self.membership.add(Member::returning(member));
        }
        // Members were let in only if they share a protocol; a log of another broker may say otherwise.
        self.protocol_name = Some(self.membership.vote().unwrap_or_default());
        let protocol = self.protocol_name.clone().unwrap_or_default();
        for (id, part) in parts {
            let metadata = self.membership.get(&id).expect("added above").metadata(&protocol);
            self.membership.set_assignment(&id, encode_assignment(&metadata, &part, topics));
            self.restart_session(&id, turn.now_ms);
        }
        self.refresh_subscribed_topics();
    }

    fn own_record(&self) -> GroupRecord {
        self.record(&self.membership.iter().map(|member| (member.id.clone(), member.assignment.clone())).collect())
    }

    /// The members as the other machine needs them.
    ///
    /// # Errors
    /// `GroupIdNotFound`: they cannot go over. `CoordinatorLoadInProgress`: not now, what each of them has is not known.
    pub(in crate::coordinator) fn migrating_members(&self, topics: &dyn Topics) -> Result<Vec<MigratingMember>, Refusal> {
        let refuse = |reason: &str| Refusal::new(ErrorCode::GroupIdNotFound, format!("Group {} is not a consumer group{reason}.", self.id));
        if !self.has_consumers() {
            return Err(refuse(""));
        }
        let Some(protocol) = &self.protocol_name else { return Err(busy()) };
        let migrating = self.membership.iter().map(|member| {
            let malformed = || refuse(" and cannot become one: the embedded consumer protocol is malformed");
            let subscription = read_subscription(&member.metadata(protocol)).ok_or_else(malformed)?;
            let assigned = match member.assignment.is_empty() {
                true if member.is_new || self.state == GroupState::Stable => Vec::new(),
                true => return Err(busy()),
                false => read_assignment(&member.assignment).ok_or_else(malformed)?,
            };
            Ok(MigratingMember {
                id: member.id.clone(),
                instance_id: member.group_instance_id.clone(),
                rack_id: subscription.rack,
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                session_timeout_ms: member.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: member.protocols.clone(),
                topics: subscription.topics,
                assigned: identified(&assigned, topics),
            })
        });
        migrating.collect()
    }

    /// Whoever waits at the barrier or for an assignment shall rejoin: the group they wait for is no more.
    pub(in crate::coordinator) fn dismiss_waiting(&mut self, turn: &mut Turn) {
        for id in self.membership.ids() {
            if let Some(token) = self.membership.take_join(&id) {
                join::refuse(turn, token, ErrorCode::RebalanceInProgress, id.clone());
            }
            if let Some(token) = self.membership.take_sync(&id) {
                self.refuse_sync(turn, token, ErrorCode::RebalanceInProgress);
            }
        }
    }

    pub(in crate::coordinator) fn has_member(&self, id: &crate::coordinator::ids::MemberId) -> bool {
        self.membership.contains(id)
    }

    /// No member.
    pub(in crate::coordinator) fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// Nothing but offsets is being written, and the group is not on its way out.
    pub(in crate::coordinator) fn is_settled(&self) -> bool {
        self.state != GroupState::Dead && self.writes.iter().all(|(_, write)| matches!(write, PendingWrite::Offsets(_)))
    }

    /// Everything this group is, for the group that takes its id over.
    pub(in crate::coordinator) fn into_inheritance(self) -> Inheritance {
        let mut tombstones = self.inherited;
        if self.is_stored || self.generation_id != 0 {
            tombstones.push(GroupRecord::Group { group_id: self.id, value: None });
        }
        let writes = self.writes.into_iter().map(|(token, write)| match write {
            PendingWrite::Offsets(write) => (token, write),
            _ => unreachable!("a group whose record is being written stays as it is"),
        });
        Inheritance { offsets: self.offsets, tombstones, writes: writes.collect(), next_write: self.next_write }
    }
}
