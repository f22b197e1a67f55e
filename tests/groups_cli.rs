//! `pagewire groups` against the built broker: what it shows is what there is, and it changes only what it was told to.

mod broker;

use broker::members::{self, Member};
use broker::{Broker, Connection, ask, command};
use serde_json::Value;

/// Two cores, so that some groups and partitions are elsewhere than the bootstrap address.
const SETTINGS: [&str; 4] = ["--set", "group.initial.rebalance.delay.ms=0", "--set", "offsets.topic.num.partitions=4"];
const RECORDS: i64 = 10;

fn json(broker: &Broker, arguments: &str) -> Value {
    command::json(broker, &format!("groups {arguments}"))
}

fn refusal(broker: &Broker, arguments: &str) -> (i32, String) {
    command::refusal(broker, &format!("groups {arguments}"))
}

/// A broker with a topic "t" of three partitions of ten records each.
fn broker_with_topic() -> (Broker, Connection) {
    let broker = Broker::start(&SETTINGS);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 3, &[]);
    for partition in 0..3 {
        let values: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
        ask::write(&mut connection, "t", partition, &values);
    }
    members::await_coordinator(&mut connection, "any");
    (broker, connection)
}

/// Two members that own partitions 0 and 1, and 2.
fn two_members(broker: &Broker, group: &str) -> Vec<Member> {
    let mut two = members::join_first(vec![broker.connect(0), broker.connect(1)], group);
    members::finish_rebalance(&mut two, group, |number| members::assignment("t", if number == 0 { 0..2 } else { 2..3 }));
    two
}

/// The offsets that `describe` shows of "t", by partition.
fn committed(broker: &Broker, group: &str) -> Vec<Option<i64>> {
    let described = json(broker, &format!("describe {group} --offsets"));
    let mut offsets = vec![None; 3];
    for offset in described[0]["offsets"].as_array().unwrap() {
        offsets[offset["partition"].as_u64().unwrap() as usize] = offset["committed_offset"].as_i64();
    }
    offsets
}

#[test]
fn groups_are_listed_and_described_wherever_they_are_coordinated() {
    let (broker, _connection) = broker_with_topic();
    let names = ["alpha", "beta", "gamma", "delta"];
    for name in names {
        json(&broker, &format!("reset-offsets {name} --topic t:1 --to-offset 4 --execute"));
    }
    let mut busy = two_members(&broker, "busy");
    let listed = json(&broker, "list");
    let listed: Vec<(&str, &str)> =
        listed.as_array().unwrap().iter().map(|group| (group["group"].as_str().unwrap(), group["state"].as_str().unwrap())).collect();
    assert_eq!(listed, [("alpha", "Empty"), ("beta", "Empty"), ("busy", "Stable"), ("delta", "Empty"), ("gamma", "Empty")]);
    assert_eq!(json(&broker, "list --state stable,dead")[0]["group"], "busy");
    assert_eq!(json(&broker, "list --type consumer"), Value::Array(vec![]));

    json_describes_members_and_lag(&broker, &busy);
    let text = command::said(&broker, "groups describe busy alpha");
    assert!(text.contains("busy  Stable  classic, assignor range") && text.contains("t:0-1") && text.contains("no members"), "{text}");
    assert_eq!(refusal(&broker, "describe nobody").0, 1);
    assert!(refusal(&broker, "describe nobody").1.contains("there is no group \"nobody\""));
    assert_eq!(members::heartbeat(&mut busy[0], "busy"), 0, "nobody was disturbed");
}

fn json_describes_members_and_lag(broker: &Broker, busy: &[Member]) {
    let described = &json(broker, "describe busy")[0];
    assert_eq!((described["type"].as_str(), described["protocol_type"].as_str()), (Some("classic"), Some("consumer")));
    let owned = described["members"].as_array().unwrap();
    assert_eq!(owned.len(), 2);
    let first = owned.iter().find(|member| member["member_id"] == busy[0].id.as_str()).unwrap();
    assert_eq!(first["partitions"].as_array().unwrap().len(), 2);
    let offsets = described["offsets"].as_array().unwrap();
    assert_eq!(offsets.len(), 3, "what is owned is shown before anything is committed");
    assert_eq!((&offsets[2]["committed_offset"], &offsets[2]["lag"]), (&Value::Null, &Value::Null));
    assert_eq!((&offsets[2]["log_end_offset"], &offsets[2]["member_id"]), (&RECORDS.into(), &busy[1].id.as_str().into()));
    assert!(json(broker, "describe busy --state")[0].get("members").is_none());
    assert_eq!(json(broker, "describe alpha")[0]["offsets"][0]["lag"], 6);
}

#[test]
fn offsets_are_planned_first_and_reset_only_with_execute() {
    let (broker, mut connection) = broker_with_topic();
    let plan = json(&broker, "reset-offsets g --topic t --to-latest");
    assert_eq!((&plan["executed"], plan["partitions"].as_array().unwrap().len()), (&false.into(), 3));
    assert_eq!(refusal(&broker, "describe g").0, 1, "a plan makes no group");

    let reset = |arguments: &str| {
        let done = json(&broker, &format!("reset-offsets g {arguments} --execute"));
        assert_eq!(done["executed"], true);
        committed(&broker, "g")
    };
    assert_eq!(reset("--topic t:0,2 --to-latest"), [Some(10), None, Some(10)]);
    assert_eq!(reset("--topic t:1 --to-offset 500"), [Some(10), Some(10), Some(10)], "the end is the most");
    assert_eq!(reset("--all-topics --shift-by -3"), [Some(7); 3]);
    assert_eq!(reset("--topic t:2 --to-earliest"), [Some(7), Some(7), Some(0)]);
    assert_eq!(reset("--all-topics --to-current"), [Some(7), Some(7), Some(0)]);
    assert_eq!(reset("--topic t:0 --by-duration PT1H"), [Some(0), Some(7), Some(0)], "all records are younger than an hour");
    assert_eq!(reset("--topic t:0 --to-datetime 2999-01-01T00:00:00Z"), [Some(10), Some(7), Some(0)], "none is that young");
    ask::create_topic(&mut connection, "u", 1, &[]);
    assert_eq!(reset("--topic u --to-earliest"), [Some(0), Some(7), Some(0)], "of u, partition 0 comes last");

    assert!(refusal(&broker, "reset-offsets g --topic nowhere --to-latest").1.contains("there is no topic \"nowhere\""));
    assert!(refusal(&broker, "reset-offsets g --topic t:3 --to-latest").1.contains("3 partitions, and none numbered 3"));
    assert!(refusal(&broker, "reset-offsets fresh --topic t --shift-by 1").1.contains("nothing is committed that could be shifted"));
    assert_eq!(refusal(&broker, "reset-offsets g --topic t").0, 2, "no target is wrong usage");
}

#[test]
fn a_group_with_members_is_neither_reset_nor_deleted() {
    let (broker, _connection) = broker_with_topic();
    json(&broker, "reset-offsets busy --topic t --to-offset 3 --execute");
    json(&broker, "reset-offsets idle --topic t --to-offset 3 --execute");
    let mut two = two_members(&broker, "busy");
    let (code, message) = refusal(&broker, "reset-offsets busy --topic t --to-latest --execute");
    assert_eq!(code, 1);
    assert!(message.contains("in use (Stable, 2 of its consumers run)"), "{message}");
    assert_eq!(committed(&broker, "busy"), [Some(3); 3]);

    let (code, message) = refusal(&broker, "delete busy idle nobody");
    assert_eq!(code, 1);
    assert!(
        message.contains("busy: the group has members")
            && message.contains("nobody: there is no such group")
            && message.contains("done: idle"),
        "{message}"
    );
    two.iter_mut().for_each(|member| members::leave(member, "busy"));
    assert_eq!(json(&broker, "delete busy nobody --if-exists")["done"], serde_json::json!(["busy"]));
    assert_eq!(json(&broker, "list"), Value::Array(vec![]));
    for (wrong, right) in [("list --state stabel", "Stable"), ("list --type clasic", "classic, consumer")] {
        let (code, message) = refusal(&broker, wrong);
        assert!(code == 2 && message.contains(right), "{wrong}: {message}");
    }
    assert_eq!(json(&broker, "list --state empty,STABLE --type Classic"), Value::Array(vec![]));
}

#[test]
fn a_group_of_another_make_is_shown_without_its_assignments() {
    let (broker, _connection) = broker_with_topic();
    let mut members = members::join_first(vec![broker.connect(0)], "strange");
    members::finish_rebalance(&mut members, "strange", |_| b"{\"not\": \"a consumer's\"}"[..].into());
    let described = &json(&broker, "describe strange")[0];
    assert_eq!(described["members"][0]["partitions"], Value::Null);
    let text = command::said(&broker, "groups describe strange");
    assert!(text.contains("not of the consumer's format"));
}
