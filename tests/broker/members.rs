//! Members of classic consumer groups over raw connections, many at a time.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use pagewire::base::ErrorCode;

use super::ask::text;
use super::{Connection, ask};

const JOIN: i16 = 9;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;
const LEAVE: i16 = 5;
const TIMEOUT_MS: i32 = 60_000;

/// A member with a connection of its own: a JoinGroup that waits for others holds up what comes after it.
pub struct Member {
    pub connection: Connection,
    pub id: StrBytes,
    pub generation: i32,
    pub is_leader: bool,
}

pub fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

pub fn join_request(group: &str, member_id: &StrBytes) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"\0\x01\0\0\0\0\xff\xff\xff\xff"));
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(member_id.clone())
        .with_protocol_type(text("consumer"))
        .with_session_timeout_ms(TIMEOUT_MS)
        .with_rebalance_timeout_ms(TIMEOUT_MS)
        .with_protocols(vec![protocol])
}

/// What a consumer's leader sends for a member that shall own these partitions of one topic.
pub fn assignment(topic: &str, partitions: impl IntoIterator<Item = i32>) -> Bytes {
    let owned = TopicPartition::default().with_topic(ask::topic_name(topic)).with_partitions(partitions.into_iter().collect());
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    ConsumerProtocolAssignment::default().with_assigned_partitions(vec![owned]).encode(&mut bytes, 1).unwrap();
    bytes.freeze()
}

/// Waits for the coordinator, which makes the topic of groups.
pub fn await_coordinator(connection: &mut Connection, group: &str) {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    let begun = std::time::Instant::now();
    while connection.ask(6, &request).coordinators[0].error_code != 0 {
        assert!(begun.elapsed() < super::PATIENCE, "no coordinator");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// All of them join for the first time; `group.initial.rebalance.delay.ms` must be 0. However slow they are, they meet at one barrier:
/// the first is alone at first, the others get their ids, and a rebalance waits for everybody who has one.
pub fn join_first(connections: Vec<Connection>, group: &str) -> Vec<Member> {
    let newcomer = |connection| Member { connection, id: StrBytes::default(), generation: -1, is_leader: false };
    let mut members: Vec<Member> = connections.into_iter().map(newcomer).collect();
    let (first, others) = members.split_at_mut(1);
    get_ids(first, group);
    if !others.is_empty() {
        send_joins(first, group);
        finish_rebalance(first, group, |_| Bytes::new());
        get_ids(others, group);
    }
    send_joins(&mut members, group);
    members
}

/// KIP-394: a newcomer is told its id first.
fn get_ids(members: &mut [Member], group: &str) {
    for member in members {
        let answer = member.connection.ask(JOIN, &join_request(group, &member.id));
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        member.id = answer.member_id;
    }
}

pub fn send_joins(members: &mut [Member], group: &str) {
    for member in members {
        member.connection.send(JOIN, &join_request(group, &member.id));
    }
}

/// Every member has a join under way: waits for the answers, and takes all through the sync. `share` is the assignment of the nth.
pub fn finish_rebalance(members: &mut [Member], group: &str, share: impl Fn(usize) -> Bytes) {
    let answers: Vec<JoinGroupResponse> = members.iter_mut().map(|member| member.connection.receive::<JoinGroupRequest>(JOIN)).collect();
    let leader = members.iter().position(|member| member.id == answers[0].leader).expect("the leader is one of them");
    assert_eq!(answers[leader].members.len(), members.len(), "the leader knows all");
    for (member, answer) in members.iter_mut().zip(&answers) {
        assert_eq!((answer.error_code, answer.generation_id), (0, answers[0].generation_id));
        member.generation = answer.generation_id;
        member.is_leader = member.id == answer.leader;
    }
    let shares = members
        .iter()
        .enumerate()
        .map(|(number, member)| SyncGroupRequestAssignment::default().with_member_id(member.id.clone()).with_assignment(share(number)));
    let shares: Vec<_> = shares.collect();
    for (number, member) in members.iter_mut().enumerate() {
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(if number == leader { shares.clone() } else { Vec::new() });
        member.connection.send(SYNC, &request);
    }
    for (number, member) in members.iter_mut().enumerate() {
        let answer = member.connection.receive::<SyncGroupRequest>(SYNC);
        assert_eq!((answer.error_code, &answer.assignment), (0, &share(number)));
    }
}

/// The answer to a heartbeat.
pub fn heartbeat(member: &mut Member, group: &str) -> i16 {
    let request = HeartbeatRequest::default().with_group_id(group_id(group)).with_generation_id(member.generation);
    member.connection.ask(HEARTBEAT, &request.with_member_id(member.id.clone())).error_code
}

pub fn leave(member: &mut Member, group: &str) {
    let identity = MemberIdentity::default().with_member_id(member.id.clone());
    let answer = member.connection.ask(LEAVE, &LeaveGroupRequest::default().with_group_id(group_id(group)).with_members(vec![identity]));
    assert_eq!((answer.error_code, answer.members[0].error_code), (0, 0));
}
