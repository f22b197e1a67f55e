//! Every state × every event: the answer, and the state that follows.
//!
//! Two members, `a` leading and `b` following, read topic `read`; offsets of `read` and `other` are committed. In
//! PreparingRebalance `a` has rejoined and `b` has not. In Dead the group's tombstones are on their way to the log.
//! A cell is `answer > next state` (by its initial); `-` is "no answer yet", and `+n` counts other requests answered as well.

use super::GroupState;
use super::scenario::{
    Scenario, commit_request, join_request, protocol, rejoin_request, static_request, sync_request, text, topic_partition,
};
use crate::coordinator::MemberId;
use crate::coordinator::effect::Response;
use crate::coordinator::event::{Event, HeartbeatRequest, JoinRequest, LeavingMember};

/// Columns: Empty, PreparingRebalance, CompletingRebalance, Stable, Dead.
#[rustfmt::skip]
const TABLE: &[(&str, [&str; 5])] = &[
    ("join: new, id required", ["MemberIdRequired > E", "MemberIdRequired > P", "MemberIdRequired > C", "MemberIdRequired > S", "CoordinatorNotAvailable > D"]),
    ("join: new, no id required", ["None > C", "- > P", "- > P", "- > P", "CoordinatorNotAvailable > D"]),
    ("join: new and static", ["None > C", "- > P", "- > P", "- > P", "CoordinatorNotAvailable > D"]),
    ("join: stranger", ["UnknownMemberId > E", "UnknownMemberId > P", "UnknownMemberId > C", "UnknownMemberId > S", "CoordinatorNotAvailable > D"]),
    ("join: leader as before", ["UnknownMemberId > E", "- +1 > P", "None > C", "- > P", "CoordinatorNotAvailable > D"]),
    ("join: follower as before", ["UnknownMemberId > E", "None +1 > C", "None > C", "None > S", "CoordinatorNotAvailable > D"]),
    ("join: follower with news", ["UnknownMemberId > E", "None +1 > C", "- > P", "- > P", "CoordinatorNotAvailable > D"]),
    ("join: other type", ["None > C", "InconsistentGroupProtocol > P", "InconsistentGroupProtocol > C", "InconsistentGroupProtocol > S", "CoordinatorNotAvailable > D"]),
    ("join: other protocol", ["None > C", "InconsistentGroupProtocol > P", "InconsistentGroupProtocol > C", "InconsistentGroupProtocol > S", "CoordinatorNotAvailable > D"]),
    ("join: no protocol", ["InconsistentGroupProtocol > E", "InconsistentGroupProtocol > P", "InconsistentGroupProtocol > C", "InconsistentGroupProtocol > S", "CoordinatorNotAvailable > D"]),
    ("sync: leader", ["UnknownMemberId > E", "RebalanceInProgress > P", "None > S", "None > S", "CoordinatorNotAvailable > D"]),
    ("sync: follower", ["UnknownMemberId > E", "RebalanceInProgress > P", "- > C", "None > S", "CoordinatorNotAvailable > D"]),
    ("sync: old generation", ["UnknownMemberId > E", "IllegalGeneration > P", "IllegalGeneration > C", "IllegalGeneration > S", "CoordinatorNotAvailable > D"]),
    ("sync: stranger", ["UnknownMemberId > E", "UnknownMemberId > P", "UnknownMemberId > C", "UnknownMemberId > S", "CoordinatorNotAvailable > D"]),
    ("heartbeat: follower", ["UnknownMemberId > E", "RebalanceInProgress > P", "None > C", "None > S", "CoordinatorNotAvailable > D"]),
    ("heartbeat: old generation", ["UnknownMemberId > E", "IllegalGeneration > P", "IllegalGeneration > C", "IllegalGeneration > S", "CoordinatorNotAvailable > D"]),
    ("heartbeat: stranger", ["UnknownMemberId > E", "UnknownMemberId > P", "UnknownMemberId > C", "UnknownMemberId > S", "CoordinatorNotAvailable > D"]),
    ("leave: follower", ["UnknownMemberId > E", "None +1 > C", "None > P", "None > P", "CoordinatorNotAvailable > D"]),
    ("leave: both", ["UnknownMemberId > E", "None +1 > E", "None > E", "None > E", "CoordinatorNotAvailable > D"]),
    ("leave: stranger", ["UnknownMemberId > E", "UnknownMemberId > P", "UnknownMemberId > C", "UnknownMemberId > S", "CoordinatorNotAvailable > D"]),
    ("commit: member", ["UnknownMemberId > E", "None > P", "RebalanceInProgress > C", "None > S", "CoordinatorNotAvailable > D"]),
    ("commit: old generation", ["UnknownMemberId > E", "IllegalGeneration > P", "IllegalGeneration > C", "IllegalGeneration > S", "CoordinatorNotAvailable > D"]),
    ("commit: stranger", ["UnknownMemberId > E", "UnknownMemberId > P", "UnknownMemberId > C", "UnknownMemberId > S", "CoordinatorNotAvailable > D"]),
    ("commit: simple consumer", ["None > E", "UnknownMemberId > P", "UnknownMemberId > C", "UnknownMemberId > S", "CoordinatorNotAvailable > D"]),
    ("delete offsets: topic that is read", ["None > E", "GroupSubscribedToTopic > P", "GroupSubscribedToTopic > C", "GroupSubscribedToTopic > S", "GroupIdNotFound > D"]),
    ("delete offsets: other topic", ["None > E", "None > P", "None > C", "None > S", "GroupIdNotFound > D"]),
    ("delete group", ["None > D", "NonEmptyGroup > P", "NonEmptyGroup > C", "NonEmptyGroup > S", "GroupIdNotFound > D"]),
    ("topics deleted", ["- > E", "- > P", "- > C", "- > S", "- > D"]),
    ("tick", ["- > E", "- > P", "- > C", "- > S", "- > D"]),
    ("expire offsets", ["- > E", "- > P", "- > C", "- > S", "- > D"]),
    ("unload", ["- > D", "- +1 > D", "- > D", "- > D", "- +1 > D"]),
];

struct Stage {
    scenario: Scenario,
    a: MemberId,
    b: MemberId,
    generation_id: i32,
}

fn stage(state: GroupState) -> Stage {
    let mut scenario = Scenario::new();
    let (a, b) = scenario.stable_pair();
    let generation_id = scenario.group().generation_id();
    for topic in ["read", "other"] {
        scenario.commit(&a, generation_id, topic, 1);
    }
    match state {
        GroupState::Stable => {}
        GroupState::PreparingRebalance => {
            scenario.join(rejoin_request("a", &a));
        }
        GroupState::CompletingRebalance => {
            scenario.join(rejoin_request("a", &a));
            scenario.join(rejoin_request("b", &b));
        }
        GroupState::Empty | GroupState::Dead => {
            scenario.leave(&a);
            scenario.leave(&b);
        }
    }
    if state == GroupState::Dead {
        scenario.holds_writes = true;
        let token = scenario.token();
        scenario.step(Event::DeleteGroup { token });
    }
    assert_eq!(scenario.state(), state);
    let generation_id = scenario.group().generation_id();
    Stage { scenario, a, b, generation_id }
}

fn events(stage: &mut Stage) -> Vec<(&'static str, Event)> {
    let token = stage.scenario.token();
    let (a, b, generation_id) = (stage.a.clone(), stage.b.clone(), stage.generation_id);
    let nobody = MemberId::empty();
    let stranger = MemberId::new("stranger").unwrap();
    let join = |request: JoinRequest| Event::Join { token, request };
    let heartbeat = |id: &MemberId, generation_id| Event::Heartbeat {
        token,
        request: HeartbeatRequest { member_id: id.clone(), group_instance_id: None, generation_id },
    };
    let leave = |ids: &[&MemberId]| Event::Leave {
        token,
        members: ids.iter().map(|id| LeavingMember { member_id: (*id).clone(), group_instance_id: None }).collect(),
    };
    let news = |client: &str, id: &MemberId| JoinRequest {
        protocols: vec![protocol("range"), protocol("roundrobin")],
        ..rejoin_request(client, id)
    };
    vec![
        ("join: new, id required", join(JoinRequest { requires_known_member_id: true, ..join_request("c") })),
        ("join: new, no id required", join(join_request("c"))),
        ("join: new and static", join(static_request("c", 1))),
        ("join: stranger", join(rejoin_request("c", &stranger))),
        ("join: leader as before", join(rejoin_request("a", &a))),
        ("join: follower as before", join(rejoin_request("b", &b))),
        ("join: follower with news", join(news("b", &b))),
        ("join: other type", join(JoinRequest { protocol_type: text("connect"), ..join_request("c") })),
        ("join: other protocol", join(JoinRequest { protocols: vec![protocol("sticky")], ..join_request("c") })),
        ("join: no protocol", join(JoinRequest { protocols: Vec::new(), ..join_request("c") })),
        ("sync: leader", Event::Sync { token, request: sync_request(&a, generation_id, &[(&a, "x"), (&b, "y")]) }),
        ("sync: follower", Event::Sync { token, request: sync_request(&b, generation_id, &[]) }),
        ("sync: old generation", Event::Sync { token, request: sync_request(&b, generation_id - 1, &[]) }),
        ("sync: stranger", Event::Sync { token, request: sync_request(&stranger, generation_id, &[]) }),
        ("heartbeat: follower", heartbeat(&b, generation_id)),
        ("heartbeat: old generation", heartbeat(&b, generation_id - 1)),
        ("heartbeat: stranger", heartbeat(&stranger, generation_id)),
        ("leave: follower", leave(&[&b])),
        ("leave: both", leave(&[&a, &b])),
        ("leave: stranger", leave(&[&stranger])),
        ("commit: member", Event::CommitOffsets { token, request: commit_request(&b, generation_id, "read", 5) }),
        ("commit: old generation", Event::CommitOffsets { token, request: commit_request(&b, generation_id - 1, "read", 5) }),
        ("commit: stranger", Event::CommitOffsets { token, request: commit_request(&stranger, generation_id, "read", 5) }),
        ("commit: simple consumer", Event::CommitOffsets { token, request: commit_request(&nobody, -1, "read", 5) }),
        ("delete offsets: topic that is read", Event::DeleteOffsets { token, partitions: vec![topic_partition("read")] }),
        ("delete offsets: other topic", Event::DeleteOffsets { token, partitions: vec![topic_partition("other")] }),
        ("delete group", Event::DeleteGroup { token }),
        ("topics deleted", Event::TopicsDeleted { topics: vec![topic_partition("other").topic] }),
        ("tick", Event::Tick),
        ("expire offsets", Event::ExpireOffsets),
        ("unload", Event::Unload),
    ]
}

fn cell(state: GroupState, index: usize) -> (&'static str, String) {
    let mut stage = stage(state);
    let (name, event) = events(&mut stage).swap_remove(index);
    let scenario = &mut stage.scenario;
    let token = crate::coordinator::RequestToken(scenario.token().0 - 1);
    let answered = scenario.answers.len();
    scenario.step(event);
    let answer = scenario.answers.get(&token).map_or("-".to_owned(), code);
    let others = scenario.answers.len() - answered - usize::from(answer != "-");
    let others = if others == 0 { String::new() } else { format!(" +{others}") };
    (name, format!("{answer}{others} > {}", &scenario.state().name()[..1]))
}

fn code(response: &Response) -> String {
    let error = match response {
        Response::Join(response) => response.error,
        Response::Sync(response) => response.error,
        Response::Heartbeat(error) | Response::DeleteGroup(error) => *error,
        Response::Leave(response) => response.members.iter().map(|member| member.error).find(|e| !e.is_none()).unwrap_or(response.error),
        Response::CommitOffsets(errors) => errors[0],
        Response::DeleteOffsets(response) => response.partitions.first().copied().unwrap_or(response.error),
    };
    format!("{error:?}")
}

#[test]
fn every_state_and_every_event() {
    let count = events(&mut stage(GroupState::Stable)).len();
    let actual: Vec<(&str, Vec<String>)> = (0..count)
        .map(|index| {
            let cells: Vec<(&str, String)> = GroupState::ALL.into_iter().map(|state| cell(state, index)).collect();
            (cells[0].0, cells.into_iter().map(|(_, cell)| cell).collect())
        })
        .collect();
    let printed: Vec<(&str, Vec<String>)> =
        TABLE.iter().map(|(name, cells)| (*name, cells.iter().map(|cell| (*cell).to_owned()).collect())).collect();
    assert_eq!(actual, printed, "\nthe table as it is:\n{}", print(&actual));
}

fn print(table: &[(&str, Vec<String>)]) -> String {
    table.iter().map(|(name, cells)| format!("    ({name:?}, {cells:?}),\n")).collect()
}
