//! Settings of topics and brokers, changed while the broker serves: in force when the answer leaves, and again after a restart.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::path::Path;

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, BrokerId, CreatePartitionsRequest, DescribeConfigsRequest, FindCoordinatorRequest, IncrementalAlterConfigsRequest,
};

use broker::ask::text;
use broker::{Broker, Connection, ask};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;

type Operation<'a> = (&'a str, i8, Option<&'a str>);

fn resource(kind: i8, name: &str, operations: &[Operation<'_>]) -> IncrementalResource {
    let configs = operations.iter().map(|(name, operation, value)| {
        IncrementalConfig::default().with_name(text(name)).with_config_operation(*operation).with_value(value.map(text))
    });
    IncrementalResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(configs.collect())
}

/// Code and sentence for each resource.
fn alter_all(connection: &mut Connection, resources: Vec<IncrementalResource>, validate_only: bool) -> Vec<(i16, String)> {
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources).with_validate_only(validate_only);
    let answer = connection.ask(1, &request);
    let told =
        answer.responses.into_iter().map(|one| (one.error_code, one.error_message.map_or(String::new(), |message| message.to_string())));
    told.collect()
}

fn alter(connection: &mut Connection, kind: i8, name: &str, operations: &[Operation<'_>]) -> (i16, String) {
    alter_all(connection, vec![resource(kind, name, operations)], false).remove(0)
}

fn set(connection: &mut Connection, kind: i8, name: &str, setting: &str, value: &str) {
    assert_eq!(alter(connection, kind, name, &[(setting, SET, Some(value))]), (0, String::new()), "{setting}={value}");
}

/// Value, source, whether it is read only, and the synonyms of one setting.
fn describe(connection: &mut Connection, kind: i8, name: &str, setting: &str) -> Option<(String, i8, bool, Vec<String>)> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(Some(vec![text(setting)]));
    let request =
        DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true).with_include_documentation(true);
    let answer = connection.ask(4, &request);
    assert_eq!(answer.results[0].error_code, 0, "{:?}", answer.results[0].error_message);
    let found = answer.results[0].configs.first()?;
    assert!(found.documentation.as_ref().is_some_and(|text| text.ends_with('.')));
    let synonyms = found.synonyms.iter().map(|set| format!("{}:{}={}", set.source, set.name, set.value.as_ref().unwrap()));
    Some((found.value.as_ref().unwrap().to_string(), found.config_source, found.read_only, synonyms.collect()))
}

fn value(connection: &mut Connection, kind: i8, name: &str, setting: &str) -> (String, i8) {
    let (value, source, ..) = describe(connection, kind, name, setting).expect("the setting is described");
    (value, source)
}

#[test]
fn topic_settings_reach_open_partitions_at_every_core() {
    let broker = Broker::start(&[]);
    let mut cores = [0, 1].map(|core| broker.connect(core));
    ask::create_topic(&mut cores[0], "t", 2, &[]);
    let large = ask::batch_of(&[vec![b'x'; 3000]]);
    for partition in 0..2 {
        for core in &mut cores {
            assert_eq!(ask::produce(core, "t", partition, &large).error_code, 0);
        }
    }
    set(&mut cores[0], TOPIC, "t", "max.message.bytes", "2000");
    for partition in 0..2 {
        for core in &mut cores {
            assert_eq!(ask::produce(core, "t", partition, &large).error_code, MESSAGE_TOO_LARGE);
        }
    }
    assert_eq!(alter(&mut cores[1], TOPIC, "t", &[("max.message.bytes", DELETE, None)]).0, 0);
    for core in &mut cores {
        assert_eq!(ask::produce(core, "t", 0, &large).error_code, 0);
    }

    // The broker's time replaces the producer's from now on: a record of 1970 is no longer refused for its age.
    set(&mut cores[0], TOPIC, "t", "message.timestamp.type", "LogAppendTime");
    let stamped = ask::produce(&mut cores[1], "t", 0, &large);
    assert!(stamped.log_append_time_ms > 0, "{stamped:?}");
}

/// Files in a partition's directory that end so.
fn files(broker: &Broker, partition: &str, ending: &str) -> usize {
    let listed = std::fs::read_dir(broker.data_dir.join(partition)).expect("the partition has a directory");
    listed.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(ending)).count()
}

#[test]
fn retention_and_segment_size_change_while_segments_are_there() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[("retention.ms", "-1"), ("file.delete.delay.ms", "0")]);
    let large = vec![b'x'; 100_000];
    for _ in 0..15 {
        ask::write(&mut connection, "t", 0, &[&large]);
    }
    assert_eq!(files(&broker, "t-0", ".log"), 1);
    set(&mut connection, TOPIC, "t", "segment.bytes", "1048576");
    for _ in 0..15 {
        ask::write(&mut connection, "t", 0, &[&large]);
    }
    assert!(files(&broker, "t-0", ".log") > 1, "smaller segments from now on");
    set(&mut connection, TOPIC, "t", "retention.bytes", "1048576");
    broker.wait_until(|broker| ask::list_offset(&mut broker.connect(0), "t", 0, ask::EARLIEST).offset > 0);
}

#[test]
fn group_commit_can_be_turned_on_and_off() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(1);
    ask::create_topic(&mut connection, "t", 2, &[]);
    for flush_messages in ["1", "9223372036854775807", "1"] {
        set(&mut connection, TOPIC, "t", "flush.messages", flush_messages);
        for partition in 0..2 {
            let before = ask::end_offset(&mut connection, "t", partition);
            assert_eq!(ask::write(&mut connection, "t", partition, &["x"]), before);
            assert_eq!(ask::end_offset(&mut connection, "t", partition), before + 1);
        }
    }
}

#[test]
fn lists_grow_and_shrink_and_a_legacy_alter_replaces_everything() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[("flush.ms", "5000")]);
    assert_eq!(alter(&mut connection, TOPIC, "t", &[("cleanup.policy", APPEND, Some("compact"))]).0, 0);
    assert_eq!(value(&mut connection, TOPIC, "t", "cleanup.policy"), ("delete,compact".into(), 1));
    assert_eq!(alter(&mut connection, TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("delete"))]).0, 0);
    assert_eq!(value(&mut connection, TOPIC, "t", "cleanup.policy"), ("compact".into(), 1));
    assert_eq!(value(&mut connection, TOPIC, "t", "flush.ms"), ("5000".into(), 1));

    let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("60000")));
    let resource = AlterConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text("t")).with_configs(vec![config]);
    let answer = connection.ask(2, &AlterConfigsRequest::default().with_resources(vec![resource]));
    assert_eq!(answer.responses[0].error_code, 0);
    assert_eq!(value(&mut connection, TOPIC, "t", "retention.ms"), ("60000".into(), 1));
    assert_eq!(value(&mut connection, TOPIC, "t", "cleanup.policy"), ("delete".into(), 5));
    assert_eq!(value(&mut connection, TOPIC, "t", "flush.ms").1, 5);
}

#[test]
fn what_cannot_be_set_is_refused_by_itself_with_kafkas_code_and_a_sentence() {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    let retention: &[Operation<'_>] = &[("retention.ms", SET, Some("1"))];
    for (kind, name, operations, code, sentence) in [
        (TOPIC, "t", &[("retention.mss", SET, Some("1"))] as &[Operation<'_>], INVALID_CONFIG, "did you mean retention.ms?"),
        (TOPIC, "t", &[("retention.ms", SET, Some("soon"))], INVALID_CONFIG, "a whole number"),
        (TOPIC, "t", &[("retention.ms", SET, None)], INVALID_REQUEST, "no value"),
        (TOPIC, "t", &[("retention.ms", APPEND, Some("1"))], INVALID_CONFIG, "not a list"),
        (TOPIC, "t", &[("retention.ms", 9, Some("1"))], INVALID_REQUEST, "operation 9"),
        (TOPIC, "t", &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)], INVALID_REQUEST, "twice"),
        (TOPIC, "nobody", retention, 3, "there is no topic"),
        (TOPIC, "a b", retention, 17, "only ASCII"),
        (TOPIC, "", retention, INVALID_REQUEST, "no common settings"),
        (BROKER, "1000", &[("num.partitions", SET, Some("3"))], INVALID_REQUEST, "--set num.partitions=3"),
        (BROKER, "", &[("log.retention.hours", SET, Some("3"))], INVALID_REQUEST, "set log.retention.ms instead"),
        (BROKER, "", retention, INVALID_REQUEST, "log.retention.ms"),
        (BROKER, "", &[("log.retention.ms", SET, Some("soon"))], INVALID_REQUEST, "a whole number"),
        (BROKER, "77", &[("log.retention.ms", SET, Some("3"))], INVALID_REQUEST, "broker 77"),
        (BROKER, "one", &[("log.retention.ms", SET, Some("3"))], INVALID_REQUEST, "by its number"),
        (8, "1000", &[("root", SET, Some("DEBUG"))], INVALID_REQUEST, "--log-level"),
        (16, "m", &[("metrics", SET, Some("x"))], INVALID_REQUEST, "metrics"),
        (32, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))], INVALID_REQUEST, "groups"),
        (1, "x", retention, INVALID_REQUEST, "resource type 1"),
    ] {
        let good = resource(TOPIC, "t", &[("flush.ms", SET, Some("7"))]);
        let resources = if (kind, name) == (TOPIC, "t") { vec![] } else { vec![good] };
        let resources = resources.into_iter().chain([resource(kind, name, operations)]).collect();
        let told = alter_all(&mut connection, resources, false);
        assert!(told[..told.len() - 1].iter().all(|(code, _)| *code == 0), "the other resource is not to blame: {told:?}");
        let (came, said) = told.last().unwrap();
        assert!(*came == code && said.contains(sentence), "{operations:?} of {name}: {came} {said}");
    }
    assert_eq!(value(&mut connection, TOPIC, "t", "retention.ms").1, 5, "nothing of what was refused counts");
    let twice = vec![resource(TOPIC, "t", retention), resource(TOPIC, "t", retention)];
    assert_eq!(alter_all(&mut connection, twice, false).iter().map(|told| told.0).collect::<Vec<_>>(), [INVALID_REQUEST; 2]);
    assert_eq!(alter_all(&mut connection, vec![resource(TOPIC, "t", retention)], true), [(0, String::new())]);
    assert_eq!(value(&mut connection, TOPIC, "t", "retention.ms").1, 5, "it was only checked");
}

#[test]
fn broker_settings_give_every_topic_its_defaults_and_one_core_may_differ() {
    let mut broker = Broker::start(&["--set", "message.max.bytes=50000"]);
    let large = ask::batch_of(&[vec![b'x'; 3000]]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[]);
    ask::create_topic(&mut connection, "own", 2, &[("max.message.bytes", "5000")]);
    assert_eq!(value(&mut connection, TOPIC, "t", "max.message.bytes"), ("50000".into(), 4));

    set(&mut connection, BROKER, "", "message.max.bytes", "2000");
    for core in 0..2 {
        let mut connection = broker.connect(core);
        assert_eq!(value(&mut connection, TOPIC, "t", "max.message.bytes"), ("2000".into(), 3));
        for partition in 0..2 {
            assert_eq!(ask::produce(&mut connection, "t", partition, &large).error_code, MESSAGE_TOO_LARGE);
            assert_eq!(ask::produce(&mut connection, "own", partition, &large).error_code, 0, "a topic's own setting goes first");
        }
    }

    // One broker is one core: the clients that it serves see its own setting.
    set(&mut connection, BROKER, "1001", "message.max.bytes", "60000");
    assert_eq!(ask::produce(&mut broker.connect(1), "t", 0, &large).error_code, 0);
    assert_eq!(ask::produce(&mut broker.connect(0), "t", 0, &large).error_code, MESSAGE_TOO_LARGE);

    broker.stop();
    broker.start_again(&["--set", "message.max.bytes=50000"]);
    let mut connection = broker.connect(0);
    assert_eq!(ask::produce(&mut connection, "t", 0, &large).error_code, MESSAGE_TOO_LARGE);
    assert_eq!(ask::produce(&mut broker.connect(1), "t", 0, &large).error_code, 0);
    let own = describe(&mut connection, BROKER, "1001", "message.max.bytes").unwrap();
    let synonyms = ["2:message.max.bytes=60000", "3:message.max.bytes=2000", "4:message.max.bytes=50000", "5:message.max.bytes=1048588"];
    assert_eq!(own, ("60000".into(), 2, false, synonyms.map(String::from).to_vec()));
    let common = describe(&mut connection, BROKER, "", "message.max.bytes").unwrap();
    assert_eq!(common, ("2000".into(), 3, false, vec!["3:message.max.bytes=2000".into()]));
    let fixed = describe(&mut connection, BROKER, "1000", "num.partitions").unwrap();
    assert_eq!((fixed.1, fixed.2), (5, true), "read only");

    for name in ["", "1001"] {
        assert_eq!(alter(&mut connection, BROKER, name, &[("message.max.bytes", DELETE, None)]).0, 0);
    }
    assert_eq!(ask::produce(&mut connection, "t", 0, &large).error_code, 0);
    assert_eq!(describe(&mut connection, BROKER, "", "message.max.bytes"), None);
}

#[test]
fn an_adopted_topic_is_kept_until_somebody_says_how_long() {
    let directory = broker::fresh_dir();
    {
        let mut broker = Broker::start_in(directory.path(), &[]);
        let mut connection = broker.connect(0);
        ask::create_topic(&mut connection, "t", 1, &[("segment.bytes", "1048576"), ("file.delete.delay.ms", "0")]);
        for _ in 0..40 {
            ask::write(&mut connection, "t", 0, &[vec![b'x'; 100_000]]);
        }
        broker.stop();
    }
    // As a directory of Apache Kafka looks: logs, and nothing that tells their settings.
    std::fs::remove_file(Path::new(directory.path()).join("metadata.pagewire")).unwrap();
    let mut broker = Broker::start_in(directory.path(), &[]);
    let mut connection = broker.connect(0);
    assert_eq!(value(&mut connection, TOPIC, "t", "retention.ms"), ("-1".into(), 1));
    let changes = [("retention.bytes", SET, Some("1048576")), ("retention.ms", DELETE, None)];
    assert_eq!(alter(&mut connection, TOPIC, "t", &changes).0, 0);
    assert_eq!(value(&mut connection, TOPIC, "t", "retention.ms"), ("604800000".into(), 5));
    broker.wait_until(|broker| ask::list_offset(&mut broker.connect(0), "t", 0, ask::EARLIEST).offset > 0);
}

/// Kafka compacts the topic of groups, whatever else it was told: what goes by age there are offsets of groups that only read seldom.
#[test]
fn an_adopted_topic_of_groups_is_compacted_and_nothing_else() {
    let directory = broker::fresh_dir();
    {
        let mut broker = Broker::start_in(directory.path(), &["--set", "offsets.topic.num.partitions=1"]);
        let mut connection = broker.connect(0);
        connection.ask(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]));
        broker.stop();
    }
    std::fs::remove_file(Path::new(directory.path()).join("metadata.pagewire")).unwrap();
    let broker = Broker::start_in(directory.path(), &["--set", "log.retention.ms=60000"]);
    let mut connection = broker.connect(0);
    assert_eq!(value(&mut connection, TOPIC, "__consumer_offsets", "cleanup.policy"), ("compact".into(), 1));
    assert_eq!(value(&mut connection, TOPIC, "__consumer_offsets", "segment.bytes"), ("104857600".into(), 1));
}

fn grow(connection: &mut Connection, name: &str, count: i32, assignment: Option<Vec<Vec<i32>>>) -> (i16, String) {
    let assignment = assignment.map(|partitions| {
        let replicas = |ids: Vec<i32>| CreatePartitionsAssignment::default().with_broker_ids(ids.into_iter().map(BrokerId).collect());
        partitions.into_iter().map(replicas).collect()
    });
    let topic = CreatePartitionsTopic::default().with_name(ask::topic_name(name)).with_count(count).with_assignments(assignment);
    let answer = connection.ask(3, &CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000));
    let result = &answer.results[0];
    (result.error_code, result.error_message.as_ref().map_or(String::new(), |message| message.to_string()))
}

#[test]
fn partitions_are_added_where_they_are_wanted_and_stay_after_a_restart() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    ask::write(&mut connection, "t", 0, &["kept"]);
    assert_eq!(grow(&mut connection, "t", 4, None).0, 0);
    assert_eq!(grow(&mut connection, "t", 6, Some(vec![vec![1001], vec![1001]])).0, 0);
    assert_eq!([4, 5].map(|partition| ask::owner(&mut connection, "t", partition)), [1, 1]);
    for (count, assignment, code) in [
        (6, None, 37),
        (3, None, 37),
        (8, Some(vec![vec![1000]]), 39),
        (7, Some(vec![vec![5]]), 39),
        (7, Some(vec![vec![1000, 1001]]), 39),
        (7, Some(vec![vec![]]), 39),
        (20_000, None, POLICY_VIOLATION),
    ] {
        let (came, said) = grow(&mut connection, "t", count, assignment.clone());
        assert!(came == code && !said.is_empty(), "{count} {assignment:?}: {came} {said}");
    }
    for partition in 1..6 {
        assert_eq!(ask::write(&mut broker.connect(1), "t", partition, &["ready at once"]), 0);
    }
    broker.kill();
    broker.start_again(&[]);
    let mut connection = broker.connect(0);
    assert_eq!(ask::describe(&mut connection, "t").partitions.len(), 6);
    assert_eq!([4, 5].map(|partition| ask::owner(&mut connection, "t", partition)), [1, 1]);
    for partition in 0..6 {
        assert_eq!(ask::read(&mut connection, "t", partition, 0).len(), 1);
    }
}

#[test]
fn the_topic_of_groups_is_not_grown() {
    let broker = Broker::start(&["--set", "offsets.topic.num.partitions=3"]);
    let mut connection = broker.connect(0);
    connection.ask(4, &FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]));
    let (code, said) = grow(&mut connection, "__consumer_offsets", 6, None);
    assert!(code == POLICY_VIOLATION && said.contains("offsets.topic.num.partitions"), "{code} {said}");
    assert_eq!(ask::describe(&mut connection, "__consumer_offsets").partitions.len(), 3);
}
