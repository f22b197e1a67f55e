//! One member of a group.
//!
//! Invariant: `protocols` has no name twice. A member waits for at most one JoinGroup and one SyncGroup answer.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::coordinator::consumer::migration::MigratingMember;
use crate::coordinator::event::{JoinRequest, Protocol};
use crate::coordinator::ids::{GroupInstanceId, MemberId, RequestToken, ShortText};
use crate::coordinator::record_format::MemberMetadata;

#[derive(Clone, Debug)]
pub struct Member {
    pub(super) id: MemberId,
    pub(super) group_instance_id: Option<GroupInstanceId>,
    pub(super) client_id: ShortText,
    pub(super) client_host: ShortText,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In the member's order of preference.
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// The JoinGroup that waits at the barrier.
    pub(super) waiting_join: Option<RequestToken>,
    /// The SyncGroup that waits for the leader.
    pub(super) waiting_sync: Option<RequestToken>,
    /// Has not completed a rebalance yet: it may be dropped even while it waits at the barrier.
    pub(super) is_new: bool,
    /// When the session ends unless the member is heard of. `None`: it ended while the member waited, which is no fault of its own.
    pub(super) session_deadline_ms: Option<i64>,
}

impl Member {
    /// A member that joins now.
    pub(super) fn joining(id: MemberId, request: &JoinRequest) -> Member {
        Member {
            id,
            group_instance_id: request.group_instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: distinct(&request.protocols),
            assignment: Bytes::new(),
            waiting_join: None,
            waiting_sync: None,
            is_new: true,
            session_deadline_ms: None,
        }
    }

    /// A member as the log has it. It is known to support the protocol that was chosen, no other.
    pub(super) fn stored(metadata: MemberMetadata, protocol_name: &ShortText) -> Member {
        let rebalance_timeout_ms = match metadata.rebalance_timeout_ms {
            -1 => metadata.session_timeout_ms,
            timeout => timeout,
        };
        Member {
            id: metadata.member_id,
            group_instance_id: metadata.group_instance_id,
            client_id: metadata.client_id,
            client_host: metadata.client_host,
            rebalance_timeout_ms,
            session_timeout_ms: metadata.session_timeout_ms,
            protocols: vec![Protocol { name: protocol_name.clone(), metadata: metadata.subscription }],
            assignment: metadata.assignment,
            waiting_join: None,
            waiting_sync: None,
            is_new: false,
            session_deadline_ms: None,
        }
    }

    /// A member that comes back from the consumer protocol's machine. Its assignment follows.
    pub(super) fn returning(member: MigratingMember) -> Member {
        Member {
            id: member.id,
            group_instance_id: member.instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: distinct(&member.protocols),
            assignment: Bytes::new(),
            waiting_join: None,
            waiting_sync: None,
            is_new: false,
            session_deadline_ms: None,
        }
    }

    pub fn is_static(&self) -> bool {
        self.group_instance_id.is_some()
    }

    /// The subscription in that protocol's bytes; empty if the member does not speak it.
    pub fn metadata(&self, protocol: &ShortText) -> Bytes {
        self.protocols.iter().find(|known| known.name == *protocol).map(|known| known.metadata.clone()).unwrap_or_default()
    }

    /// The same protocols in the same order with the same subscriptions: nothing to rebalance for.
    pub(super) fn has_same_protocols(&self, request: &JoinRequest) -> bool {
        self.protocols == distinct(&request.protocols)
    }

    /// A request of the member is parked, so silence is not its fault. Except for a new member, whose client may have given
    /// up on the request: it has no id yet and would join again under another one.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && (self.waiting_join.is_some() || self.waiting_sync.is_some())
    }
}

/// The protocols without repeated names; the first of each counts.
pub(super) fn distinct(protocols: &[Protocol]) -> Vec<Protocol> {
    let mut seen = BTreeSet::new();
    protocols.iter().filter(|protocol| seen.insert(&protocol.name)).cloned().collect()
}
