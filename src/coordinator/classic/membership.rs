//! Who is in a group, who leads it, and which protocols all of them speak.
//!
//! Invariants: the leader is a member, and there is one unless there is no member; `speakers[p]` is the number of members
//! that speak `p`; `waiting_joins` is the number of members with a parked JoinGroup; each instance id belongs to one member.

use std::collections::BTreeMap;

use super::member::{Member, distinct};
use crate::base::ErrorCode;
use crate::coordinator::event::{JoinRequest, Protocol};
use crate::coordinator::ids::{GroupInstanceId, MemberId, RequestToken, ShortText};

#[derive(Clone, Debug, Default)]
pub struct Membership {
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<GroupInstanceId, MemberId>,
    leader: Option<MemberId>,
    speakers: BTreeMap<ShortText, usize>,
    waiting_joins: usize,
}

/// What a member says of itself each time it joins.
#[derive(Clone, Debug)]
pub struct Terms {
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocols: Vec<Protocol>,
}

impl Membership {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn contains(&self, id: &MemberId) -> bool {
        self.members.contains_key(id)
    }

    pub fn get(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    pub fn is_leader(&self, id: &MemberId) -> bool {
        self.leader.as_ref() == Some(id)
    }

    pub fn static_member(&self, instance: &GroupInstanceId) -> Option<&MemberId> {
        self.static_members.get(instance)
    }

    /// Members with a parked JoinGroup.
    pub fn waiting_joins(&self) -> usize {
        self.waiting_joins
    }

    /// The longest rebalance timeout of all members: how long the barrier waits. Never negative, whatever the clients sent.
    pub fn rebalance_timeout_ms(&self) -> i32 {
        self.iter().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// Whether a request may speak for this member (KIP-345): an instance id whose member id is another one was replaced.
    pub fn identify(&self, id: &MemberId, instance: Option<&GroupInstanceId>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current != id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.contains(id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// One of these protocols is spoken by every member.
    pub fn all_speak_one_of(&self, protocols: &[Protocol]) -> bool {
        protocols.iter().any(|protocol| self.speakers.get(&protocol.name).copied().unwrap_or(0) == self.len())
    }

    /// The protocol with the most votes among those that everybody speaks: each member votes for the first of its own list.
    /// A tie goes to the one the leader likes better, so that the choice is the same every time. `None` without members.
    pub fn vote(&self) -> Option<ShortText> {
        let is_candidate = |protocol: &&Protocol| self.speakers.get(&protocol.name) == Some(&self.len());
        let mut votes: BTreeMap<&ShortText, usize> = BTreeMap::new();
        for member in self.iter() {
            let favourite = member.protocols.iter().find(is_candidate)?;
            *votes.entry(&favourite.name).or_default() += 1;
        }
        let most = votes.values().max()?;
        let leader = self.get(self.leader.as_ref()?)?;
        leader.protocols.iter().map(|protocol| &protocol.name).find(|name| votes.get(name) == Some(most)).cloned()
    }

    pub fn add(&mut self, member: Member) {
        assert!(!self.contains(&member.id), "a member is added once");
        if let Some(instance) = &member.group_instance_id {
            let former = self.static_members.insert(instance.clone(), member.id.clone());
            assert!(former.is_none(), "a static member is replaced, not added again");
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.waiting_joins += usize::from(member.waiting_join.is_some());
        count(&mut self.speakers, &member.protocols);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out; if it led, the next one leads.
    pub fn remove(&mut self, id: &MemberId) -> Option<Member> {
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.group_instance_id {
            self.static_members.remove(instance);
        }
        self.waiting_joins -= usize::from(member.waiting_join.is_some());
        uncount(&mut self.speakers, &member.protocols);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a static member a new id and takes its parked requests away, for the caller to fence (KIP-345).
    pub fn replace(&mut self, old: &MemberId, new: &MemberId) -> (Option<RequestToken>, Option<RequestToken>) {
        let led = self.is_leader(old);
        let mut member = self.remove(old).expect("the instance id names a member");
        let parked = (member.waiting_join.take(), member.waiting_sync.take());
        member.id = new.clone();
        member.is_new = false;
        self.add(member);
        if led {
            self.leader = Some(new.clone());
        }
        parked
    }

    /// Takes over what a rejoining member says of itself; returns what it said before.
    pub fn update(&mut self, id: &MemberId, request: &JoinRequest) -> Terms {
        let terms = Terms {
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: distinct(&request.protocols),
        };
        self.set_terms(id, terms)
    }

    /// Sets a member's terms; returns the former ones.
    pub fn set_terms(&mut self, id: &MemberId, terms: Terms) -> Terms {
        let member = self.members.get_mut(id).expect("only members are updated");
        uncount(&mut self.speakers, &member.protocols);
        count(&mut self.speakers, &terms.protocols);
        Terms {
            rebalance_timeout_ms: std::mem::replace(&mut member.rebalance_timeout_ms, terms.rebalance_timeout_ms),
            session_timeout_ms: std::mem::replace(&mut member.session_timeout_ms, terms.session_timeout_ms),
            protocols: std::mem::replace(&mut member.protocols, terms.protocols),
        }
    }

    /// Parks a JoinGroup at the barrier; returns the one it takes the place of.
    pub fn park_join(&mut self, id: &MemberId, token: RequestToken) -> Option<RequestToken> {
        let former = self.members.get_mut(id).expect("only members join").waiting_join.replace(token);
        self.waiting_joins += usize::from(former.is_none());
        former
    }

    pub fn take_join(&mut self, id: &MemberId) -> Option<RequestToken> {
        let token = self.members.get_mut(id)?.waiting_join.take();
        self.waiting_joins -= usize::from(token.is_some());
        token
    }

    /// Parks a SyncGroup; returns the one it takes the place of.
    pub fn park_sync(&mut self, id: &MemberId, token: RequestToken) -> Option<RequestToken> {
        self.members.get_mut(id).expect("only members sync").waiting_sync.replace(token)
    }

    pub fn take_sync(&mut self, id: &MemberId) -> Option<RequestToken> {
        self.members.get_mut(id)?.waiting_sync.take()
    }

    /// The member's fields that no count here depends on.
    pub fn set_session_deadline(&mut self, id: &MemberId, deadline_ms: Option<i64>) {
        self.members.get_mut(id).expect("only members have sessions").session_deadline_ms = deadline_ms;
    }

    pub fn set_assignment(&mut self, id: &MemberId, assignment: bytes::Bytes) {
        self.members.get_mut(id).expect("only members have assignments").assignment = assignment;
    }

    pub fn set_settled(&mut self, id: &MemberId) {
        self.members.get_mut(id).expect("only members settle").is_new = false;
    }

    pub fn set_leader(&mut self, id: MemberId) {
        assert!(self.contains(&id), "the leader is a member");
        self.leader = Some(id);
    }

    pub fn ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    /// Panics unless the invariants at the top hold. Linear: for tests, and at rebalances.
    pub fn check(&self) {
        assert_eq!(self.leader.is_none(), self.is_empty(), "there is a leader unless there is no member");
        assert!(self.leader.iter().all(|leader| self.contains(leader)), "the leader is a member");
        assert_eq!(self.waiting_joins, self.iter().filter(|member| member.waiting_join.is_some()).count());
        let mut speakers = BTreeMap::new();
        self.iter().for_each(|member| count(&mut speakers, &member.protocols));
        assert_eq!(self.speakers, speakers);
        let static_members: BTreeMap<_, _> =
            self.iter().filter_map(|member| Some((member.group_instance_id.clone()?, member.id.clone()))).collect();
        assert_eq!(self.static_members, static_members);
    }
}

fn count(speakers: &mut BTreeMap<ShortText, usize>, protocols: &[Protocol]) {
    for protocol in protocols {
        *speakers.entry(protocol.name.clone()).or_default() += 1;
    }
}

fn uncount(speakers: &mut BTreeMap<ShortText, usize>, protocols: &[Protocol]) {
    for protocol in protocols {
        let speaking = speakers.get_mut(&protocol.name).expect("every member's protocols are counted");
        *speaking -= 1;
        if *speaking == 0 {
            speakers.remove(&protocol.name);
        }
    }
}
