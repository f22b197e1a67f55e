//! The rules of the protocol, one story each.

use super::record::MemberState;
use super::scenario::{Stage, beating, instance, joining, of_t, owning, text, topic_id};
use crate::base::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};
use crate::coordinator::consumer::assignor::Assignor;
use crate::coordinator::effect::{ConsumerHeartbeatResponse, Response};
use crate::coordinator::event::{
    CommitOffsetsRequest, ConsumerHeartbeatRequest, Event, JoinRequest, OffsetToCommit, Protocol, TopicPartition,
};
use crate::coordinator::{ConsumerGroupConfig, GroupConfig, MemberId, ShortText};

fn id(id: &str) -> MemberId {
    MemberId::new(id).unwrap()
}

fn error(result: Result<ConsumerHeartbeatResponse, crate::coordinator::effect::Refusal>) -> ErrorCode {
    result.expect_err("expected an error").error
}

/// Two members that share `t`: `a` has 0 and 1 or the like, both at the same epoch, which is returned with what each has.
fn pair(stage: &mut Stage) -> (i32, Vec<i32>, Vec<i32>) {
    let a = stage.beat(joining("a")).unwrap();
    assert_eq!(a.assignment, Some(of_t(&[0, 1, 2, 3])));
    let b = stage.beat(joining("b")).unwrap();
    assert_eq!((b.member_epoch, b.assignment.clone()), (2, Some(of_t(&[]))), "everything is still with a");
    let a = stage.beat(beating("a", 1)).unwrap();
    assert_eq!(a.member_epoch, 1, "not before it gave up");
    let kept = partitions(&a);
    let a = stage.beat(owning("a", 1, &kept)).unwrap();
    assert_eq!(a.member_epoch, 2);
    let b = stage.beat(beating("b", 2)).unwrap();
    let gained = partitions(&b);
    assert_eq!((kept.len(), gained.len()), (2, 2));
    assert_eq!(stage.state(), "Stable");
    (2, kept, gained)
}

fn partitions(answer: &ConsumerHeartbeatResponse) -> Vec<i32> {
    let topics = answer.assignment.as_ref().expect("there is news");
    topics.values().flatten().map(|partition| partition.0).collect()
}

#[test]
fn a_member_comes_and_shares_with_the_next() {
    let mut stage = Stage::new();
    let (epoch, ..) = pair(&mut stage);
    assert_eq!(stage.beat(beating("a", epoch)).unwrap().assignment, None, "no news");
    let full = ConsumerHeartbeatRequest { member_epoch: epoch, owned: Some(of_t(&[])), ..joining("a") };
    assert!(stage.beat(full).unwrap().assignment.is_some(), "who says everything is told everything");
}

#[test]
fn states_follow_from_epochs() {
    let mut stage = Stage::new();
    assert_eq!(stage.state(), "-");
    stage.beat(joining("a")).unwrap();
    assert_eq!(stage.state(), "Stable");
    stage.beat(joining("b")).unwrap();
    assert_eq!(stage.state(), "Reconciling");
    stage.beat(beating("b", -1)).unwrap();
    assert_eq!(stage.state(), "Assigning");
    stage.beat(beating("a", 1)).unwrap();
    assert_eq!(stage.state(), "Stable");
    stage.beat(beating("a", -1)).unwrap();
    assert_eq!(stage.state(), "Empty");
    let token = stage.token();
    stage.step(Event::DeleteGroup { token });
    assert_eq!(stage.answers[&token], Response::DeleteGroup(ErrorCode::None));
    assert_eq!(stage.state(), "-");
    assert!(super::scenario::replay(&stage.log).finish().is_empty());
}

#[test]
fn who_does_not_give_up_in_time_is_out() {
    let mut stage = Stage::new();
    stage.beat(joining("a")).unwrap();
    stage.beat(joining("b")).unwrap();
    stage.beat(beating("a", 1)).unwrap();
    assert_eq!(stage.group().memory().current(&id("a")).state, MemberState::UnrevokedPartitions);
    for _ in 0..2 {
        stage.wait(29_000);
        stage.beat(beating("a", 1)).unwrap();
        stage.beat(beating("b", 2)).unwrap();
    }
    stage.wait(2_001);
    assert_eq!(error(stage.beat(beating("a", 1))), ErrorCode::UnknownMemberId);
    assert_eq!(partitions(&stage.beat(beating("b", 2)).unwrap()), [0, 1, 2, 3]);
}

#[test]
fn who_is_silent_is_out_when_its_session_ends() {
    let mut stage = Stage::new();
    pair(&mut stage);
    stage.wait(44_999);
    stage.beat(beating("b", 2)).unwrap();
    stage.wait(1);
    assert_eq!(error(stage.beat(beating("a", 2))), ErrorCode::UnknownMemberId);
    assert_eq!(partitions(&stage.beat(beating("b", 2)).unwrap()).len(), 4);
    stage.wait(45_000);
    assert_eq!(stage.state(), "Empty");
}

#[test]
fn epochs_fence() {
    let mut stage = Stage::new();
    let (epoch, kept, _) = pair(&mut stage);
    assert_eq!(error(stage.beat(beating("a", epoch + 1))), ErrorCode::FencedMemberEpoch);
    assert_eq!(error(stage.beat(beating("a", epoch - 1))), ErrorCode::FencedMemberEpoch, "it does not say what it has");
    assert_eq!(stage.beat(owning("a", epoch - 1, &kept)).unwrap().member_epoch, epoch, "the answer may have been lost");
    assert_eq!(error(stage.beat(owning("a", epoch - 1, &[0, 1, 2, 3]))), ErrorCode::FencedMemberEpoch);
    assert_eq!(error(stage.beat(beating("c", 1))), ErrorCode::UnknownMemberId);
    assert_eq!(stage.beat(joining("a")).unwrap().member_epoch, epoch, "who comes back with nothing is let in");
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut stage = Stage::new();
    stage.beat(instance(joining("a"), "i")).unwrap();
    pair_with_static(&mut stage);
    assert_eq!(error(stage.beat(instance(joining("c"), "i"))), ErrorCode::UnreleasedInstanceId);
    let left = stage.beat(instance(beating("a", -2), "i")).unwrap();
    assert_eq!(left.member_epoch, -2);
    assert_eq!(stage.beat(beating("b", 2)).unwrap().assignment, None, "nobody notices");
    let back = stage.beat(instance(joining("c"), "i")).unwrap();
    assert_eq!((back.member_epoch, partitions(&back).len()), (2, 2));
    assert_eq!(error(stage.beat(instance(beating("a", 2), "i"))), ErrorCode::FencedInstanceId);
    assert_eq!(error(stage.beat(instance(beating("a", -1), "i"))), ErrorCode::FencedInstanceId);
    assert_eq!(error(stage.beat(instance(beating("a", 2), "j"))), ErrorCode::UnknownMemberId);
    stage.beat(instance(beating("c", -2), "i")).unwrap();
    stage.wait(44_000);
    stage.beat(beating("b", 2)).unwrap();
    stage.wait(1_000);
    assert_eq!(partitions(&stage.beat(beating("b", 2)).unwrap()).len(), 4, "it did not come back in time");
}

fn pair_with_static(stage: &mut Stage) {
    stage.beat(joining("b")).unwrap();
    let kept = partitions(&stage.beat(instance(beating("a", 1), "i")).unwrap());
    stage.beat(instance(owning("a", 1, &kept), "i")).unwrap();
    stage.beat(beating("b", 2)).unwrap();
    assert_eq!(stage.state(), "Stable");
}

#[test]
fn requests_that_make_no_sense_are_refused_with_words() {
    let mut stage = Stage::new();
    let request = joining("a");
    let bad = [
        (ConsumerHeartbeatRequest { member_id: MemberId::empty(), ..request.clone() }, "MemberId can't be empty."),
        (ConsumerHeartbeatRequest { rebalance_timeout_ms: -1, ..request.clone() }, "RebalanceTimeoutMs must be provided in first request."),
        (ConsumerHeartbeatRequest { owned: None, ..request.clone() }, "TopicPartitions must be empty when (re-)joining."),
        (ConsumerHeartbeatRequest { owned: Some(of_t(&[1])), ..request.clone() }, "TopicPartitions must be empty when (re-)joining."),
        (
            ConsumerHeartbeatRequest { topics: None, ..request.clone() },
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (ConsumerHeartbeatRequest { member_epoch: -2, ..request.clone() }, "InstanceId can't be null."),
        (ConsumerHeartbeatRequest { member_epoch: -3, ..request.clone() }, "MemberEpoch is invalid."),
        (instance(request.clone(), " "), "InstanceId can't be empty."),
        (ConsumerHeartbeatRequest { rack_id: Some(text("")), ..request.clone() }, "RackId can't be empty."),
    ];
    stage.beat(joining("b")).unwrap();
    for (request, message) in bad {
        let refusal = stage.beat(request).unwrap_err();
        assert_eq!((refusal.error, refusal.message.as_str()), (ErrorCode::InvalidRequest, message));
    }
    let assignor = ConsumerHeartbeatRequest { assignor: Some(text("sticky")), ..request.clone() };
    let refusal = stage.beat(assignor).unwrap_err();
    assert_eq!(refusal.error, ErrorCode::UnsupportedAssignor);
    assert_eq!(refusal.message, "ServerAssignor sticky is not supported. Supported assignors: uniform, range.");
    for pattern in ["(", "a)(b", "(a{1000}){1000}", &"a".repeat(5_000)] {
        let request = ConsumerHeartbeatRequest { regex: Some(text(pattern)), ..request.clone() };
        assert_eq!(error(stage.beat(request)), ErrorCode::InvalidRegularExpression, "{pattern:.20}");
    }
    assert_eq!(stage.group().memory().members().len(), 1);
}

#[test]
fn version_0_is_given_a_member_id() {
    let mut stage = Stage::new();
    let request = ConsumerHeartbeatRequest { member_id: MemberId::empty(), brings_member_id: false, random_bytes: [3; 16], ..joining("a") };
    assert_eq!(stage.beat(request).unwrap().member_id.as_str().len(), 22);
}

#[test]
fn topics_that_come_grow_and_go_are_noticed() {
    let mut stage = Stage::new();
    let request = ConsumerHeartbeatRequest { topics: Some([text("t"), text("u")].into()), ..joining("a") };
    assert_eq!(partitions(&stage.beat(request).unwrap()), [0, 1, 2, 3]);
    stage.set_topic("other", 9, 1);
    assert_eq!(stage.beat(beating("a", 1)).unwrap().member_epoch, 1, "nobody reads it");
    stage.set_topic("u", 2, 1);
    let grown = stage.beat(beating("a", 1)).unwrap();
    assert_eq!((grown.member_epoch, grown.assignment.unwrap()[&topic_id(2)].len()), (2, 1));
    stage.set_topic("t", 1, 6);
    assert_eq!(stage.beat(beating("a", 2)).unwrap().assignment.unwrap()[&topic_id(1)].len(), 6);
    stage.set_topic("t", 1, 0);
    let told = stage.beat(beating("a", 3)).unwrap();
    assert_eq!((told.member_epoch, told.assignment.unwrap().len()), (3, 1));
    let one = [(topic_id(2), [PartitionIndex(0)].into())].into();
    assert_eq!(stage.beat(ConsumerHeartbeatRequest { owned: Some(one), ..beating("a", 3) }).unwrap().member_epoch, 4);
    stage.set_topic("t", 5, 2);
    assert_eq!(stage.beat(beating("a", 4)).unwrap().assignment.unwrap()[&topic_id(5)].len(), 2, "made anew");
}

#[test]
fn a_regular_expression_means_what_matches_the_whole_name() {
    let mut stage = Stage::new();
    let request = ConsumerHeartbeatRequest { topics: None, regex: Some(text("t|u.*")), ..joining("a") };
    assert_eq!(stage.beat(request).unwrap().assignment, Some(of_t(&[])), "looked up beside the core");
    assert_eq!(partitions(&stage.beat(beating("a", 1)).unwrap()), [0, 1, 2, 3]);
    stage.set_topic("tt", 3, 1);
    stage.set_topic("ux", 2, 1);
    assert_eq!(stage.beat(beating("a", 2)).unwrap().assignment, None, "too soon to look again");
    stage.wait(10_000);
    stage.beat(beating("a", 2)).unwrap();
    assert_eq!(stage.beat(beating("a", 2)).unwrap().assignment.unwrap().keys().copied().collect::<Vec<_>>(), [topic_id(1), topic_id(2)]);
    assert!(stage.group().is_subscribed_to("ux") && !stage.group().is_subscribed_to("tt"));
    let no_more = ConsumerHeartbeatRequest { topics: Some([text("tt")].into()), regex: Some(ShortText::empty()), ..beating("a", 3) };
    stage.beat(no_more).unwrap();
    assert!(stage.group().memory().regexes().is_empty());
}

#[test]
fn most_members_choose_the_assignor() {
    let mut stage = Stage::new();
    let asks = |id: &str, assignor| ConsumerHeartbeatRequest { assignor: Some(text(assignor)), ..joining(id) };
    stage.beat(joining("a")).unwrap();
    assert_eq!(stage.coordinator.describe_consumer(&stage.group_id).unwrap().assignor, "uniform");
    stage.beat(asks("b", "range")).unwrap();
    assert_eq!(stage.coordinator.describe_consumer(&stage.group_id).unwrap().assignor, "range");
    stage.beat(asks("c", "uniform")).unwrap();
    stage.beat(asks("d", "uniform")).unwrap();
    assert_eq!(stage.coordinator.describe_consumer(&stage.group_id).unwrap().assignor, "uniform");
}

#[test]
fn a_full_group_takes_nobody() {
    let mut stage = Stage::new();
    let mut config = GroupConfig::default();
    config.consumer.group_size_max = 1;
    config.consumer = config.consumer.with_assignors([Assignor::Range].into_iter());
    stage.coordinator.set_config(config);
    stage.beat(joining("a")).unwrap();
    assert_eq!(error(stage.beat(joining("b"))), ErrorCode::GroupMaxSizeReached);
    stage.beat(beating("a", 1)).unwrap();
    assert_eq!(stage.coordinator.describe_consumer(&stage.group_id).unwrap().assignor, "range");
    assert_eq!(ConsumerGroupConfig::default().default_assignor(), Assignor::Uniform);
}

fn commit(stage: &mut Stage, member: &str, epoch: i32, partition: i32) -> ErrorCode {
    let token = stage.token();
    let offset = OffsetToCommit {
        partition: TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(partition) },
        topic_id: TopicId::ZERO,
        offset: Offset(7),
        leader_epoch: LeaderEpoch::UNKNOWN,
        metadata: "".into(),
    };
    let request = CommitOffsetsRequest {
        generation_id: epoch,
        member_id: id(member),
        group_instance_id: None,
        knows_group_id_not_found: true,
        retention_ms: None,
        offsets: vec![offset],
    };
    stage.step(Event::CommitOffsets { token, request });
    match &stage.answers[&token] {
        Response::CommitOffsets(codes) => codes[0],
        other => panic!("expected the answer to a commit, came {other:?}"),
    }
}

#[test]
fn commits_are_of_members_at_their_epoch() {
    let mut stage = Stage::new();
    let (epoch, kept, gained) = pair(&mut stage);
    assert_eq!(commit(&mut stage, "a", epoch, kept[0]), ErrorCode::None);
    assert_eq!(commit(&mut stage, "a", epoch + 1, kept[0]), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(&mut stage, "a", epoch - 1, kept[0]), ErrorCode::None, "it has had it since then (KIP-1251)");
    assert_eq!(commit(&mut stage, "b", epoch - 1, gained[0]), ErrorCode::StaleMemberEpoch);
    assert_eq!(commit(&mut stage, "c", epoch, 0), ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut stage, "", -1, 0), ErrorCode::UnknownMemberId, "not while there are members");
    let fetch = |stage: &Stage, member: Option<&str>, epoch| stage.group().check_fetch(member.map(id).as_ref(), epoch);
    assert_eq!(fetch(&stage, None, -1), Ok(()));
    assert_eq!(fetch(&stage, Some("a"), epoch), Ok(()));
    assert_eq!(fetch(&stage, Some("a"), epoch - 1), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(fetch(&stage, Some("c"), epoch), Err(ErrorCode::UnknownMemberId));
    stage.beat(beating("a", -1)).unwrap();
    stage.beat(beating("b", -1)).unwrap();
    assert_eq!(commit(&mut stage, "", -1, 0), ErrorCode::None);
}

#[test]
fn nothing_is_told_before_it_is_written() {
    let mut stage = Stage::new();
    stage.holds_writes = true;
    let first = stage.send(joining("a"));
    let second = stage.send(joining("b"));
    assert_eq!((stage.beaten(first), stage.beaten(second)), (None, None));
    stage.finish_write();
    assert_eq!(partitions(&stage.beaten(first).unwrap().unwrap()).len(), 4);
    assert_eq!(stage.beaten(second), None, "its turn comes now");
    stage.write_outcome = Err(ErrorCode::KafkaStorageError);
    stage.finish_write();
    assert_eq!(error(stage.beaten(second).unwrap()), ErrorCode::NotCoordinator);
    assert_eq!(stage.group().memory().members().len(), 1, "what could not be written did not happen");
    stage.holds_writes = false;
    assert_eq!(error(stage.beat(beating("a", -1))), ErrorCode::NotCoordinator);
    assert_eq!(stage.group().memory().members().len(), 1);
    stage.write_outcome = Ok(());
    assert_eq!(stage.beat(beating("a", 1)).unwrap().member_epoch, 1);
}

#[test]
fn a_restart_changes_nothing() {
    let mut stage = Stage::new();
    let (epoch, kept, gained) = pair(&mut stage);
    stage.beat(joining("c")).unwrap();
    let told = stage.beat(beating("a", epoch)).unwrap();
    stage.restart();
    assert_eq!(stage.state(), "Reconciling");
    let rest = told.assignment.map_or(kept, |assignment| assignment.values().flatten().map(|partition| partition.0).collect());
    stage.beat(owning("a", epoch, &rest)).unwrap();
    let b = stage.beat(owning("b", epoch, &gained)).unwrap();
    if let Some(assignment) = b.assignment {
        let rest: Vec<i32> = assignment.values().flatten().map(|partition| partition.0).collect();
        stage.beat(owning("b", b.member_epoch, &rest)).unwrap();
    }
    stage.beat(beating("c", 3)).unwrap();
    assert_eq!(stage.state(), "Stable");
}

fn classic_join(member: &str) -> JoinRequest {
    let metadata = crate::coordinator::classic::subscription::encode(&["t"]).into();
    JoinRequest {
        member_id: id(member),
        group_instance_id: None,
        client_id: text("classic"),
        client_host: text("/127.0.0.1"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: text("consumer"),
        protocols: vec![Protocol { name: text("range"), metadata }],
        requires_known_member_id: false,
        supports_skipping_assignment: false,
        random_bytes: [1; 16],
    }
}

#[test]
fn an_empty_group_changes_its_protocol_and_keeps_its_offsets() {
    let mut stage = Stage::new();
    stage.beat(joining("a")).unwrap();
    assert_eq!(commit(&mut stage, "a", 1, 2), ErrorCode::None);
    stage.beat(beating("a", -1)).unwrap();

    let token = stage.token();
    stage.step(Event::Join { token, request: classic_join("") });
    let Response::Join(joined) = stage.answers[&token].clone() else { panic!("expected the answer to a JoinGroup") };
    assert_eq!(joined.error, ErrorCode::None);
    assert!(stage.coordinator.group(&stage.group_id).is_some());
    let partition = TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(2) };
    assert_eq!(stage.coordinator.fetch_offset(&stage.group_id, &partition, TopicId::ZERO, false).offset, Offset(7));
    assert_eq!(error(stage.beat(joining("b"))), ErrorCode::CoordinatorLoadInProgress, "its member has no assignment yet");

    let token = stage.token();
    let members = vec![crate::coordinator::event::LeavingMember { member_id: joined.member_id, group_instance_id: None }];
    stage.step(Event::Leave { token, members });
    assert_eq!(stage.beat(joining("b")).unwrap().member_epoch, 1);
    assert_eq!(stage.coordinator.fetch_offset(&stage.group_id, &partition, TopicId::ZERO, false).offset, Offset(7));
    let left = super::scenario::replay(&stage.log).finish();
    assert!(left[&stage.group_id].metadata.is_none() && left[&stage.group_id].is_consumer);
}

#[test]
fn an_answer_of_regular_expressions_to_a_group_that_changed_is_dropped() {
    let mut stage = Stage::new();
    stage.beat(joining("a")).unwrap();
    stage.beat(beating("a", -1)).unwrap();
    let token = stage.token();
    stage.step(Event::Join { token, request: classic_join("") });
    stage.step(Event::RegexesResolved { metadata_version: 1, resolved: Vec::new() });
    assert!(stage.coordinator.group(&stage.group_id).is_some());
}

#[test]
fn offsets_of_topics_that_are_read_stay() {
    let mut stage = Stage::new();
    stage.beat(joining("a")).unwrap();
    assert_eq!(commit(&mut stage, "a", 1, 0), ErrorCode::None);
    let partition = TopicPartition { topic: TopicName::new("t").unwrap(), partition: PartitionIndex(0) };
    let token = stage.token();
    stage.step(Event::DeleteOffsets { token, partitions: vec![partition] });
    assert!(matches!(&stage.answers[&token], Response::DeleteOffsets(answer) if answer.partitions == [ErrorCode::GroupSubscribedToTopic]));
    let token = stage.token();
    stage.step(Event::DeleteGroup { token });
    assert_eq!(stage.answers[&token], Response::DeleteGroup(ErrorCode::NonEmptyGroup));
    stage.now_ms += 8 * 86_400_000;
    let effects = stage.coordinator.expire_offsets(stage.now_ms);
    stage.perform(effects);
    assert!(!stage.group().offsets().is_empty());
    stage.beat(beating("a", -1)).unwrap();
    let effects = stage.coordinator.expire_offsets(stage.now_ms);
    stage.perform(effects);
    assert_eq!(stage.state(), "-");
}

#[test]
fn an_unload_answers_everybody() {
    let mut stage = Stage::new();
    stage.holds_writes = true;
    let tokens = [stage.send(joining("a")), stage.send(joining("b"))];
    let coordinator = std::mem::replace(&mut stage.coordinator, crate::coordinator::GroupCoordinator::new(GroupConfig::default()));
    for effect in coordinator.unload(stage.now_ms) {
        stage.perform(vec![effect]);
    }
    for token in tokens {
        assert_eq!(error(stage.beaten(token).unwrap()), ErrorCode::NotCoordinator);
    }
}
