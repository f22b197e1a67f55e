//! Tests of the controller: every command against every kind of image, and each refusal with Kafka's code.

use std::collections::BTreeSet;

use super::super::image::{Advertise, Configs, DirectoryId, NO_LEADER, NodeId, PartitionImage};
use super::*;
use crate::base::limits::PARTITIONS_PER_REQUEST_MAX;
use crate::base::{LeaderEpoch, PartitionEpoch};

fn node(advertise: Advertise, cores: u16) -> NodeDescription {
    let brokers = if advertise == Advertise::PerCore { cores } else { 1 };
    NodeDescription {
        advertise,
        core_count: cores,
        host: "localhost".into(),
        ports: (9092..9092 + brokers).collect(),
        rack: None,
        fresh_directory_ids: (1..=brokers).map(|core| DirectoryId([core as u8; 16])).collect(),
    }
}

fn spec(name: &str, id: u8, partition_count: i32) -> TopicSpec {
    TopicSpec { name: name.into(), id: TopicId([id; 16]), partition_count, replication_factor: -1, ..TopicSpec::default() }
}

fn configs(pairs: &[(&str, &str)]) -> Configs {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn run(image: &MetadataImage, command: Command) -> Applied {
    apply(image, &BrokerConfig::default(), command).unwrap()
}

fn create(topics: Vec<TopicSpec>) -> Command {
    Command::CreateTopics { topics, validate_only: false }
}

/// Node 7 with two cores, no topic.
fn two_cores() -> MetadataImage {
    run(&MetadataImage::empty("cluster", NodeId(7)), Command::BrokersChanged(node(Advertise::PerCore, 2))).image
}

/// The same with `orders`, four partitions, and `payments`, one.
fn with_topics() -> MetadataImage {
    run(&two_cores(), create(vec![spec("orders", 1, 4), spec("payments", 2, 1)])).image
}

fn cores_of(image: &MetadataImage, topic: &str) -> Vec<u16> {
    image.topic(topic).unwrap().partitions.iter().map(|partition| partition.core.0).collect()
}

/// The code of the only topic's refusal.
fn refused(image: &MetadataImage, command: Command) -> i16 {
    let broker = BrokerConfig::default();
    let applied = apply(image, &broker, command).unwrap();
    assert_eq!(applied.image, *image, "a refusal changes nothing");
    assert_eq!(applied.effects, vec![]);
    let refusal = match applied.answer {
        Answer::Topics(topics) | Answer::Adopted(topics) => topics[0].result.clone().unwrap_err(),
        Answer::Deleted(topics) => topics[0].result.clone().unwrap_err(),
        Answer::Configs(resources) => resources[0].1.clone().unwrap_err(),
        other => panic!("{other:?}"),
    };
    assert!(!refusal.message.is_empty());
    refusal.error_code.code()
}

#[test]
fn a_topic_is_spread_over_the_cores_and_led_by_their_brokers() {
    let applied = run(&two_cores(), create(vec![spec("orders", 1, 3)]));
    let topic = applied.image.topic("orders").unwrap().clone();
    let partition = |index: i32, core: u16| PartitionImage {
        index: PartitionIndex(index),
        replicas: [BrokerId(7000 + i32::from(core))].into(),
        isr: [BrokerId(7000 + i32::from(core))].into(),
        leader: BrokerId(7000 + i32::from(core)),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        core: CoreId(core),
    };
    assert_eq!(topic.partitions, [partition(0, 0), partition(1, 1), partition(2, 0)]);
    assert_eq!(applied.image.topic_by_id(TopicId([1; 16])), Some(&topic));
    assert_eq!(applied.image.version, MetadataVersion(2));
    let partitions = (0..3).map(PartitionIndex).collect();
    assert_eq!(applied.effects, [Effect::CreatePartitions { topic: topic.clone(), partitions }]);
    assert_eq!(applied.answer, Answer::Topics(vec![TopicAnswer { name: "orders".into(), result: Ok(topic) }]));
}

#[test]
fn creation_is_refused_with_kafkas_codes() {
    let image = run(&with_topics(), create(vec![spec("a.b", 9, 1)])).image;
    let with = |change: fn(&mut TopicSpec)| {
        let mut topic = spec("new", 8, 1);
        change(&mut topic);
        create(vec![topic])
    };
    let assigned = |assignment: Vec<(i32, Vec<BrokerId>)>| create(vec![TopicSpec { assignment, ..spec("new", 8, -1) }]);
    let (first, second, stranger) = (BrokerId(7000), BrokerId(7001), BrokerId(1));
    for (number, (command, code)) in [
        (with(|topic| topic.name = "orders".into()), 36),
        (with(|topic| topic.name = "a/b".into()), 17),
        (with(|topic| topic.name = String::new()), 17),
        (with(|topic| topic.name = "a_b".into()), 17),
        (with(|topic| topic.name = "__cluster_metadata".into()), 42),
        (with(|topic| topic.partition_count = 0), 37),
        (with(|topic| topic.partition_count = -2), 37),
        (with(|topic| topic.partition_count = PARTITIONS_PER_REQUEST_MAX + 1), 44),
        (with(|topic| topic.replication_factor = 0), 38),
        (with(|topic| topic.replication_factor = 2), 38),
        (with(|topic| topic.configs = configs(&[("retention.mss", "1")])), 40),
        (with(|topic| topic.configs = configs(&[("retention.ms", "soon")])), 40),
        (with(|topic| topic.configs = configs(&[("compression.type", "zstd")])), 40),
        (assigned(vec![(0, vec![first]), (2, vec![first])]), 39),
        (assigned(vec![(0, vec![stranger])]), 39),
        (assigned(vec![(0, vec![])]), 39),
        (assigned(vec![(0, vec![first, second])]), 39),
        (create(vec![TopicSpec { partition_count: 1, assignment: vec![(0, vec![first])], ..spec("new", 8, -1) }]), 42),
        (create(vec![TopicSpec { replication_factor: 1, assignment: vec![(0, vec![first])], ..spec("new", 8, -1) }]), 42),
        (create(vec![spec("twice", 8, 1), spec("twice", 9, 1)]), 42),
        (create(vec![spec("early", 8, 1)]), 38),
    ]
    .into_iter()
    .enumerate()
    {
        let empty = MetadataImage::empty("cluster", NodeId(7));
        let image = if number == 20 { &empty } else { &image };
        assert_eq!(refused(image, command), code, "case {number}");
    }
}

#[test]
fn one_bad_topic_does_not_keep_the_others_from_being_made() {
    let applied = run(&with_topics(), create(vec![spec("orders", 8, 1), spec("new", 9, 1)]));
    assert!(applied.image.topic("new").is_some());
    assert_eq!(applied.effects.len(), 1);
}

#[test]
fn the_partitions_of_one_request_are_counted_together() {
    let half = PARTITIONS_PER_REQUEST_MAX / 2;
    let applied = run(&two_cores(), create(vec![spec("a", 1, half), spec("b", 2, half), spec("c", 3, 1)]));
    assert_eq!(applied.image.topics().len(), 2);
    assert_eq!(applied.image.partition_count(), PARTITIONS_PER_REQUEST_MAX as usize);
}

#[test]
fn only_checking_changes_nothing_and_answers_what_would_be() {
    let image = two_cores();
    let applied = run(&image, Command::CreateTopics { topics: vec![spec("orders", 1, 3)], validate_only: true });
    assert_eq!((&applied.image, applied.effects.len()), (&image, 0));
    let Answer::Topics(topics) = applied.answer else { panic!("topics were asked for") };
    assert_eq!(topics[0].result.as_ref().unwrap().partitions.len(), 3);
}

#[test]
fn defaults_come_from_the_broker_and_assignments_choose_the_core() {
    let broker = BrokerConfig::new(&configs(&[("num.partitions", "6")])).unwrap();
    let applied = apply(&two_cores(), &broker, create(vec![spec("orders", 1, -1)])).unwrap();
    assert_eq!(applied.image.topic("orders").unwrap().partitions.len(), 6);

    let assignment = vec![(1, vec![BrokerId(7000)]), (0, vec![BrokerId(7001)])];
    let chosen = TopicSpec { assignment, ..spec("chosen", 2, -1) };
    assert_eq!(cores_of(&run(&two_cores(), create(vec![chosen.clone()])).image, "chosen"), [1, 0]);

    let per_node = run(&two_cores(), Command::BrokersChanged(node(Advertise::PerNode, 2))).image;
    let assignment = vec![(0, vec![BrokerId(7000)]), (1, vec![BrokerId(7000)])];
    let image = run(&per_node, create(vec![TopicSpec { assignment, ..chosen }])).image;
    assert_eq!(cores_of(&image, "chosen"), [0, 1], "one broker, and still every core has its share");
    assert!(image.topic("chosen").unwrap().partitions.iter().all(|partition| partition.leader == BrokerId(7000)));
}

#[test]
fn partitions_are_added_at_the_end() {
    let add = |name: &str, partition_count: i32, assignment: Vec<Vec<BrokerId>>| Command::CreatePartitions {
        topics: vec![PartitionsSpec { name: name.into(), partition_count, assignment: (!assignment.is_empty()).then_some(assignment) }],
        validate_only: false,
    };
    let image = with_topics();
    let applied = run(&image, add("orders", 6, vec![]));
    assert_eq!(cores_of(&applied.image, "orders"), [0, 1, 0, 1, 1, 0], "payments-0 lies on core 0");
    let Effect::CreatePartitions { partitions, .. } = &applied.effects[0] else { panic!("files are to be made") };
    assert_eq!(partitions[..], [PartitionIndex(4), PartitionIndex(5)]);
    assert_eq!(cores_of(&run(&image, add("payments", 2, vec![vec![BrokerId(7000)]])).image, "payments"), [0, 0]);
    for (command, code) in [
        (add("nothing", 2, vec![]), 3),
        (add("orders", 4, vec![]), 37),
        (add("orders", 6, vec![vec![BrokerId(7000)]]), 39),
        (add("orders", 5, vec![vec![BrokerId(1)]]), 39),
        (add("orders", PARTITIONS_PER_REQUEST_MAX + 5, vec![]), 44),
    ] {
        assert_eq!(refused(&image, command), code);
    }
}

#[test]
fn a_deleted_topic_is_gone_at_once_and_remembered_until_its_files_are() {
    let image = with_topics();
    let id = TopicId([1; 16]);
    let applied = run(&image, Command::DeleteTopics(vec![TopicSelector::Name("orders".into())]));
    assert_eq!(applied.image.topic("orders"), None);
    assert_eq!(applied.image.topic_by_id(id), None);
    let deletion = TopicDeletion { id, name: name("orders"), partition_count: 4 };
    assert_eq!(applied.image.deletions[&id], deletion);
    assert_eq!(applied.effects, [Effect::DeleteTopic { deletion: deletion.clone(), topic: image.topic("orders").cloned() }]);

    // A crash in between: the next start asks for it again.
    let restarted = run(&applied.image, Command::Restarted);
    assert_eq!(restarted.effects, [Effect::DeleteTopic { deletion, topic: None }]);
    // The name is free at once, under another id.
    let again = run(&applied.image, create(vec![spec("orders", 5, 1)])).image;
    assert!(run(&again, Command::DeletionFinished(vec![id])).image.deletions.is_empty());
    assert_eq!(run(&image, Command::DeletionFinished(vec![id])).image, image, "nothing was being deleted");
}

#[test]
fn topics_that_could_not_be_made_are_taken_back_even_where_nobody_may_delete() {
    let image = with_topics();
    let forbidding = BrokerConfig::new(&configs(&[("delete.topic.enable", "false")])).unwrap();
    let new = run(&image, create(vec![spec("new", 3, 2)])).image;
    let applied = apply(&new, &forbidding, Command::TakeBackSince(Box::new(image.clone()))).unwrap();
    assert_eq!((applied.image.topic("new"), applied.image.topic("orders")), (None, image.topic("orders")));
    let deletion = TopicDeletion { id: TopicId([3; 16]), name: name("new"), partition_count: 2 };
    assert_eq!(applied.effects, [Effect::DeleteTopic { deletion, topic: None }]);
}

#[test]
fn partitions_that_could_not_be_made_are_taken_back_and_the_topic_stays() {
    let image = with_topics();
    let spec = PartitionsSpec { name: "orders".into(), partition_count: 6, assignment: None };
    let grown = run(&image, Command::CreatePartitions { topics: vec![spec], validate_only: false }).image;
    let applied = run(&grown, Command::TakeBackSince(Box::new(image.clone())));
    assert_eq!(applied.image.topic("orders"), image.topic("orders"));
    assert_eq!(applied.effects, [Effect::RemovePartitions { topic: grown.topic("orders").unwrap().clone(), from: 4 }]);
    assert!(applied.image.version > grown.version, "a core that has seen more than that has seen something newer");
}

#[test]
fn deletion_is_refused_with_kafkas_codes() {
    let image = with_topics();
    let delete = |selector: TopicSelector| Command::DeleteTopics(vec![selector]);
    assert_eq!(refused(&image, delete(TopicSelector::Name("nothing".into()))), 3);
    assert_eq!(refused(&image, delete(TopicSelector::Name("a/b".into()))), 17);
    assert_eq!(refused(&image, delete(TopicSelector::Id(TopicId([9; 16])))), 100);

    let twice = Command::DeleteTopics(vec![TopicSelector::Name("orders".into()), TopicSelector::Id(TopicId([1; 16]))]);
    let Answer::Deleted(answers) = run(&image, twice).answer else { panic!("topics were deleted") };
    assert_eq!(answers[0].result, Ok((name("orders"), TopicId([1; 16]))));
    assert_eq!(answers[1].result.clone().unwrap_err().error_code, ErrorCode::InvalidRequest);

    let kept = BrokerConfig::new(&configs(&[("delete.topic.enable", "false")])).unwrap();
    let Answer::Deleted(answers) = apply(&image, &kept, delete(TopicSelector::Name("orders".into()))).unwrap().answer else {
        panic!("topics were to be deleted")
    };
    assert_eq!(answers[0].result.clone().unwrap_err().error_code, ErrorCode::TopicDeletionDisabled);
}

fn found(text: &str, id: u8, epochs: &[(i32, i32)]) -> AdoptedTopic {
    let partition = |(index, epoch): &(i32, i32)| AdoptedPartition { index: PartitionIndex(*index), leader_epoch: LeaderEpoch(*epoch) };
    AdoptedTopic {
        name: name(text),
        id: TopicId([id; 16]),
        partitions: epochs.iter().map(partition).collect(),
        configs: configs(&[("retention.ms", "-1")]),
    }
}

#[test]
fn directories_become_topics_with_the_epochs_they_had() {
    let applied = run(&two_cores(), Command::AdoptTopics(vec![found("old", 1, &[(2, 9), (0, -1)])]));
    let topic = applied.image.topic("old").unwrap();
    assert_eq!(topic.configs["retention.ms"], "-1");
    let epochs: Vec<i32> = topic.partitions.iter().map(|partition| partition.leader_epoch.0).collect();
    assert_eq!(epochs, [0, 0, 9], "number 1 is missing and becomes an empty one");
    assert_eq!(run(&applied.image, Command::AdoptTopics(vec![found("old", 1, &[(2, 9), (0, -1)])])).image, applied.image);
    let newer = run(&applied.image, Command::AdoptTopics(vec![found("old", 1, &[(0, 3), (2, 5)])])).image;
    let epochs: Vec<i32> = newer.topic("old").unwrap().partitions.iter().map(|partition| partition.leader_epoch.0).collect();
    assert_eq!(epochs, [3, 0, 9], "epochs never fall");
}

#[test]
fn directories_of_another_topic_or_of_a_deleted_one_are_left_out() {
    let image = with_topics();
    assert_eq!(refused(&image, Command::AdoptTopics(vec![found("orders", 9, &[(0, 0)])])), 103);
    assert_eq!(refused(&image, Command::AdoptTopics(vec![found("other", 1, &[(0, 0)])])), 103);
    let deleted = run(&image, Command::DeleteTopics(vec![TopicSelector::Name("orders".into())])).image;
    let applied = run(&deleted, Command::AdoptTopics(vec![found("orders", 1, &[(0, 0)])]));
    assert_eq!(applied.image, deleted);
    assert!(matches!(applied.effects[..], [Effect::DeleteTopic { .. }]), "what is left is removed");
}

#[test]
fn producer_ids_come_in_blocks_that_never_meet() {
    let mut image = two_cores();
    for block in 0..3 {
        let applied = run(&image, Command::AllocateProducerIds);
        assert_eq!(applied.answer, Answer::ProducerIds { first: ProducerId(block * 1000), count: 1000 });
        image = applied.image;
    }
    image.next_producer_id = ProducerId(i64::MAX - 999);
    assert!(apply(&image, &BrokerConfig::default(), Command::AllocateProducerIds).is_err());
}

#[test]
fn a_restart_raises_every_epoch() {
    let image = with_topics();
    let restarted = run(&image, Command::Restarted).image;
    for (before, after) in image.topics().zip(restarted.topics()) {
        for (before, after) in before.partitions.iter().zip(&after.partitions) {
            assert_eq!(after.leader_epoch.0, before.leader_epoch.0 + 1);
            assert_eq!(after.partition_epoch.0, before.partition_epoch.0 + 1);
            assert_eq!((after.core, after.leader), (before.core, before.leader));
        }
    }
}

#[test]
fn partitions_stay_where_they_are_until_the_cores_change() {
    let image = run(&with_topics(), reassign("orders", 1, &[7000])).image;
    assert_eq!(cores_of(&image, "orders"), [0, 0, 0, 1]);
    let same = run(&image, Command::BrokersChanged(node(Advertise::PerCore, 2)));
    assert_eq!((&same.image, same.effects.len()), (&image, 0));

    let fewer = run(&image, Command::BrokersChanged(node(Advertise::PerCore, 1)));
    assert_eq!(cores_of(&fewer.image, "orders"), [0, 0, 0, 0]);
    let orders = fewer.image.topic("orders").unwrap();
    assert_eq!(orders.partitions[3].leader, BrokerId(7000));
    assert_eq!(orders.partitions[3].leader_epoch, LeaderEpoch(1));
    assert_eq!(orders.partitions[0].leader_epoch, LeaderEpoch(0), "it did not move");
    assert_eq!(fewer.image.brokers.len(), 1);

    let more = run(&fewer.image, Command::BrokersChanged(node(Advertise::PerCore, 4))).image;
    assert_eq!(cores_of(&more, "orders").into_iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(more.broker(BrokerId(7001)).unwrap().directory_id, image.broker(BrokerId(7001)).unwrap().directory_id);
}

#[test]
fn one_broker_for_the_node_changes_leaders_and_no_core() {
    let image = with_topics();
    let per_node = run(&image, Command::BrokersChanged(node(Advertise::PerNode, 2))).image;
    assert_eq!(cores_of(&per_node, "orders"), cores_of(&image, "orders"));
    assert!(per_node.topic("orders").unwrap().partitions.iter().all(|partition| partition.leader == BrokerId(7000)));
    assert_eq!(per_node.brokers.len(), 1);
    assert_eq!((image.controller_id, MetadataImage::empty("c", NodeId(1)).controller_id), (BrokerId(7000), NO_LEADER));
}

#[test]
fn nodes_that_cannot_be_are_refused() {
    let image = with_topics();
    let code = |command: Command| apply(&image, &BrokerConfig::default(), command).unwrap_err().error_code.code();
    let no_cores = node(Advertise::PerNode, 0);
    let no_port = NodeDescription { ports: vec![], ..node(Advertise::PerCore, 2) };
    assert_eq!([no_cores, no_port].map(|node| code(Command::BrokersChanged(node))), [42, 42]);
}

fn reassign(topic: &str, partition: i32, replicas: &[i32]) -> Command {
    let replicas = Some(replicas.iter().copied().map(BrokerId).collect());
    Command::Reassign(vec![Reassignment { topic: topic.into(), partition: PartitionIndex(partition), replicas }])
}

#[test]
fn a_reassignment_moves_a_partition_to_the_core_behind_the_broker() {
    let image = with_topics();
    assert_eq!(cores_of(&image, "orders"), [0, 1, 0, 1]);
    for replica in [7000, -1] {
        let applied = run(&image, reassign("orders", 1, &[replica]));
        let moved = Effect::MovePartition { topic: TopicId([1; 16]), partition: PartitionIndex(1), from: CoreId(1), to: CoreId(0) };
        assert_eq!((applied.effects, applied.answer), (vec![moved], Answer::Reassigned(vec![Ok(())])));
        let partition = &applied.image.topic("orders").unwrap().partitions[1];
        assert_eq!((partition.leader, &partition.isr[..], partition.core), (BrokerId(7000), &[BrokerId(7000)][..], CoreId(0)));
        assert_eq!((partition.leader_epoch, partition.partition_epoch), (LeaderEpoch(1), PartitionEpoch(1)));
    }
    assert_eq!(run(&image, reassign("orders", 1, &[7001])).image, image, "it is there already");

    let per_node = run(&image, Command::BrokersChanged(node(Advertise::PerNode, 2))).image;
    assert_eq!(run(&per_node, reassign("orders", 1, &[7000])).image, per_node, "the one broker stands for every core");
    let moved = run(&per_node, reassign("orders", 1, &[-1])).image;
    assert_eq!((cores_of(&moved, "orders"), moved.topic("orders").unwrap().partitions[1].leader), (vec![0, 0, 0, 1], BrokerId(7000)));
}

#[test]
fn reassignments_are_refused_one_by_one_with_kafkas_codes() {
    let one = |topic: &str, partition: i32, replicas: Option<&[i32]>| Reassignment {
        topic: topic.into(),
        partition: PartitionIndex(partition),
        replicas: replicas.map(|replicas| replicas.iter().copied().map(BrokerId).collect()),
    };
    let asked = vec![
        one("orders", 0, Some(&[7001])),
        one("orders", 1, None),
        one("orders", 2, Some(&[1])),
        one("orders", 3, Some(&[7000, 7001])),
        one("payments", 0, Some(&[])),
        one("payments", 0, Some(&[7001])),
        one("payments", 1, Some(&[7001])),
        one("nothing", 0, Some(&[7001])),
        one("orders", -1, Some(&[-3])),
    ];
    let applied = run(&with_topics(), Command::Reassign(asked));
    let Answer::Reassigned(answers) = applied.answer else { panic!("it is answered with what became of each") };
    let codes: Vec<i16> = answers.iter().map(|answer| answer.as_ref().err().map_or(0, |refusal| refusal.error_code.code())).collect();
    assert_eq!(codes, [0, 85, 39, 39, 39, 42, 3, 3, 3]);
    assert_eq!((cores_of(&applied.image, "orders"), applied.effects.len()), (vec![1, 1, 0, 1], 1));
}

fn alter(resource: ConfigResource, change: ConfigChange) -> Command {
    Command::AlterConfigs { updates: vec![ConfigUpdate { resource, change }], validate_only: false }
}

fn set(name: &str, value: &str) -> ConfigOperation {
    ConfigOperation::Set { name: name.into(), value: value.into() }
}

#[test]
fn settings_of_a_topic_change_one_by_one_or_all_at_once() {
    let orders = || ConfigResource::Topic("orders".into());
    let mut image = with_topics();
    for (change, expected) in [
        (ConfigChange::Incremental(vec![set("retention.ms", "5"), set("flush.ms", "9")]), vec![("retention.ms", "5"), ("flush.ms", "9")]),
        (ConfigChange::Incremental(vec![ConfigOperation::Delete { name: "flush.ms".into() }]), vec![("retention.ms", "5")]),
        (
            ConfigChange::Incremental(vec![ConfigOperation::Append { name: "cleanup.policy".into(), value: "compact".into() }]),
            vec![("retention.ms", "5"), ("cleanup.policy", "delete,compact")],
        ),
        (
            ConfigChange::Incremental(vec![ConfigOperation::Subtract { name: "cleanup.policy".into(), value: "delete".into() }]),
            vec![("retention.ms", "5"), ("cleanup.policy", "compact")],
        ),
        (ConfigChange::Replace(configs(&[("preallocate", "true")])), vec![("preallocate", "true")]),
    ] {
        let applied = run(&image, alter(orders(), change));
        assert_eq!(applied.answer, Answer::Configs(vec![(orders(), Ok(()))]));
        assert_eq!(*applied.image.topic("orders").unwrap().configs, configs(&expected));
        assert!(matches!(applied.effects[..], [Effect::TopicConfigsChanged { .. }]));
        image = applied.image;
    }
    let same = run(&image, alter(orders(), ConfigChange::Replace(configs(&[("preallocate", "true")]))));
    assert_eq!((&same.image, same.effects.len()), (&image, 0));
}

#[test]
fn settings_of_brokers_change_for_all_or_for_one() {
    let image = with_topics();
    let all = run(&image, alter(ConfigResource::Broker(None), ConfigChange::Incremental(vec![set("log.retention.ms", "7")])));
    assert_eq!(all.effects, [Effect::BrokerConfigsChanged]);
    assert_eq!(all.image.broker_configs[&None], configs(&[("log.retention.ms", "7")]));
    let reset = ConfigChange::Incremental(vec![ConfigOperation::Delete { name: "log.retention.ms".into() }]);
    assert!(run(&all.image, alter(ConfigResource::Broker(None), reset)).image.broker_configs.is_empty());
}

#[test]
fn settings_are_refused_with_kafkas_codes() {
    let image = with_topics();
    let orders = |operations: Vec<ConfigOperation>| alter(ConfigResource::Topic("orders".into()), ConfigChange::Incremental(operations));
    let broker = |id: i32, operation| alter(ConfigResource::Broker(Some(BrokerId(id))), ConfigChange::Incremental(vec![operation]));
    for (command, code) in [
        (alter(ConfigResource::Topic("nothing".into()), ConfigChange::Replace(Configs::new())), 3),
        (orders(vec![set("retention.mss", "1")]), 40),
        (orders(vec![set("retention.ms", "1"), set("segment.ms", "never")]), 40),
        (orders(vec![ConfigOperation::Delete { name: "retention.mss".into() }]), 40),
        (orders(vec![ConfigOperation::Append { name: "retention.ms".into(), value: "1".into() }]), 40),
        (orders(vec![set("retention.ms", "1"), set("retention.ms", "2")]), 42),
        (broker(1, set("log.retention.ms", "1")), 42),
        (broker(7001, set("log.retention.ms", "soon")), 42),
        (broker(7001, set("log.retention.hours", "5")), 42),
        (broker(7001, set("retention.ms", "5")), 42),
        (broker(7001, set("num.partitions", "5")), 42),
    ] {
        assert_eq!(refused(&image, command), code);
    }
}

/// Every command against every kind of image: whatever comes out is sound, and the version rises exactly with a change.
#[test]
fn every_command_leaves_every_image_sound() {
    let deleting = run(&with_topics(), Command::DeleteTopics(vec![TopicSelector::Name("orders".into())])).image;
    let per_node = run(&with_topics(), Command::BrokersChanged(node(Advertise::PerNode, 3))).image;
    let images = [MetadataImage::empty("cluster", NodeId(7)), two_cores(), with_topics(), deleting, per_node];
    let commands = [
        create(vec![spec("orders", 3, 5), spec("new", 4, 2)]),
        Command::CreateTopics { topics: vec![spec("new", 4, 2)], validate_only: true },
        Command::CreatePartitions {
            topics: vec![PartitionsSpec { name: "payments".into(), partition_count: 3, assignment: None }],
            validate_only: false,
        },
        Command::DeleteTopics(vec![TopicSelector::Id(TopicId([2; 16]))]),
        Command::DeletionFinished(vec![TopicId([1; 16])]),
        Command::AdoptTopics(vec![found("old", 6, &[(1, 4)]), found("orders", 1, &[(7, 1)])]),
        Command::AllocateProducerIds,
        Command::Restarted,
        Command::BrokersChanged(node(Advertise::PerCore, 5)),
        Command::BrokersChanged(node(Advertise::PerNode, 1)),
        reassign("payments", 0, &[7001]),
        reassign("orders", 1, &[-1]),
        alter(ConfigResource::Topic("payments".into()), ConfigChange::Incremental(vec![set("retention.ms", "1")])),
        alter(ConfigResource::Broker(None), ConfigChange::Replace(configs(&[("log.retention.ms", "1")]))),
    ];
    for before in &images {
        for command in &commands {
            let Ok(applied) = apply(before, &BrokerConfig::default(), command.clone()) else { continue };
            assert_eq!(applied.image.check(), Ok(()), "{command:?}");
            let rose = applied.image.version.0 - before.version.0;
            let changed = MetadataImage { version: before.version, ..applied.image.clone() } != *before;
            assert_eq!(rose, u64::from(changed), "{command:?}");
            for (earlier, later) in before.topics().filter_map(|topic| Some((topic, applied.image.topic_by_id(topic.id)?))) {
                for (earlier, later) in earlier.partitions.iter().zip(&later.partitions) {
                    assert!(later.leader_epoch >= earlier.leader_epoch && later.partition_epoch >= earlier.partition_epoch);
                    assert!(later == earlier || later.partition_epoch > earlier.partition_epoch, "a change has a new epoch");
                }
            }
        }
    }
}
