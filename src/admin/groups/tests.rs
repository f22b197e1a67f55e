//! The command line, foreign assignments, and the tables.

use bytes::Bytes;
use clap::Parser;

use super::coordinator::assigned_partitions;
use super::reset_plan::{Planned, Target};
use super::view::{GroupView, ListedView, MemberView, OffsetView, ResetView, ranges};
use super::{GroupsCommand, Outcome, TopicScope};
use crate::admin::cluster::TopicPartition;
use crate::base::Timestamp;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: GroupsCommand,
}

fn parse(line: &str) -> Result<GroupsCommand, String> {
    Line::try_parse_from(["groups"].into_iter().chain(line.split(' '))).map(|line| line.command).map_err(|error| error.to_string())
}

fn target(flags: &str) -> Target {
    let Ok(GroupsCommand::ResetOffsets(flags)) = parse(&format!("reset-offsets g --all-topics {flags}")) else { panic!("{flags}") };
    flags.target.target(Timestamp(10_000))
}

#[test]
fn a_reset_has_one_target_and_one_scope() {
    assert_eq!(target("--to-earliest"), Target::Earliest);
    assert_eq!(target("--to-latest"), Target::Latest);
    assert_eq!(target("--to-current"), Target::Current);
    assert_eq!(target("--to-offset 5"), Target::Offset(5));
    assert_eq!(target("--shift-by -5"), Target::ShiftBy(-5));
    assert_eq!(target("--to-datetime 1970-01-01T00:00:01Z"), Target::Time(Timestamp(1000)));
    assert_eq!(target("--by-duration 3s"), Target::Time(Timestamp(7000)));
    assert_eq!(target("--by-duration 1d"), Target::Time(Timestamp(0)), "not before 1970");
    for wrong in
        ["", "--to-earliest --to-latest", "--to-offset x", "--to-datetime soon", "--to-latest --topic t", "--to-latest --execute --dry-run"]
    {
        assert!(parse(format!("reset-offsets g --all-topics {wrong}").trim_end()).is_err(), "{wrong}");
    }
    assert!(parse("reset-offsets g --to-latest").is_err(), "no scope");
}

#[test]
fn topics_may_name_partitions() {
    let Ok(GroupsCommand::ResetOffsets(flags)) = parse("reset-offsets g --to-latest --topic a --topic b:0,2") else {
        panic!("it is sound")
    };
    let scope = |topic: &str, partitions| TopicScope { topic: topic.into(), partitions };
    assert_eq!(flags.topics, [scope("a", None), scope("b", Some(vec![0, 2]))]);
    assert!(!flags.execute);
    assert!(parse("reset-offsets g --to-latest --topic b:").is_err());
    assert!(parse("reset-offsets g --to-latest --topic b:-1").is_err());
}

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

#[test]
fn assignments_are_read_and_foreign_ones_are_told_apart() {
    let sound = b"\0\x01\0\0\0\x01\0\x02ab\0\0\0\x02\0\0\0\0\0\0\0\x07\xff\xff\xff\xff";
    assert_eq!(assigned_partitions(Bytes::from_static(sound)), Some(vec![partition("ab", 0), partition("ab", 7)]));
    assert_eq!(assigned_partitions(Bytes::new()), Some(vec![]));
    let mut newer = sound.to_vec();
    newer[1] = 99;
    newer.extend_from_slice(b"what comes later");
    assert_eq!(assigned_partitions(newer.into()).map(|partitions| partitions.len()), Some(2));
    for foreign in [
        &b"\0"[..],
        b"{\"tasks\":[]}",
        b"\0\x01\x7f\xff\xff\xff",
        b"\0\x01\0\0\0\x01\0\x01a\x7f\xff\xff\xff",
        b"\0\0\xff\xff\xff\xff",
        b"\xff\xff\0\0\0\0",
    ] {
        assert_eq!(assigned_partitions(Bytes::from_static(foreign)), None, "{foreign:?}");
    }
    for cut in 1..sound.len() {
        assert_eq!(assigned_partitions(Bytes::copy_from_slice(&sound[..cut])), None, "{cut}");
    }
}

#[test]
fn partitions_are_told_in_ranges() {
    let partitions = [partition("b", 3), partition("a", 2), partition("a", 0), partition("a", 1), partition("a", 7), partition("b", 2)];
    assert_eq!(ranges(&partitions), "a:0-2,7 b:2-3");
    assert_eq!(ranges(&[]), "");
}

fn member() -> MemberView {
    MemberView {
        member_id: "c-1".into(),
        instance_id: Some("static".into()),
        client_id: "c".into(),
        host: "/10.0.0.1".into(),
        epoch: None,
        partitions: Some(vec![partition("orders", 0), partition("orders", 1)]),
        target_partitions: None,
    }
}

fn described() -> GroupView {
    let stranger = MemberView { instance_id: None, partitions: None, ..member() };
    GroupView {
        group: "app".into(),
        state: "Stable".into(),
        group_type: "classic".into(),
        assignor: "range".into(),
        coordinator: 1000,
        coordinator_address: "h:9092".into(),
        offsets: Some(vec![
            OffsetView::new(Some(7), Some(10), Some(&&member()), partition("orders", 0)),
            OffsetView::new(None, None, None, partition("gone", 3)),
        ]),
        members: Some(vec![member(), stranger]),
        ..GroupView::default()
    }
}

#[test]
fn tables_line_up() {
    assert_eq!(
        Outcome::Described(vec![described()]).text(),
        "app  Stable  classic, assignor range  coordinator 1000 (h:9092)\n  \
         MEMBER        HOST       CLIENT  PARTITIONS  ASSIGNMENT\n  \
         c-1 (static)  /10.0.0.1  c                2  orders:0-1\n  \
         c-1           /10.0.0.1  c                -  not of the consumer's format\n  \
         TOPIC   PARTITION  COMMITTED  LOG END  LAG  MEMBER  HOST\n  \
         orders          0          7       10    3  c-1     /10.0.0.1\n  \
         gone            3          -        -    -  -       -\n"
    );
    let listed = ListedView {
        group: "app".into(),
        state: String::new(),
        group_type: "classic".into(),
        protocol_type: "consumer".into(),
        coordinator: 1,
        coordinator_address: "h:9092".into(),
    };
    assert_eq!(
        Outcome::List(vec![listed]).text(),
        "GROUP  STATE  TYPE     PROTOCOL  COORDINATOR\napp    -      classic  consumer  1 (h:9092)\n"
    );
    let plan = vec![Planned { partition: partition("t", 0), committed: None, offset: 5, note: Some("the log ends here") }];
    assert_eq!(
        Outcome::Reset(ResetView::new("app", false, plan)).text(),
        "TOPIC  PARTITION  COMMITTED  NEW  NOTE\nt              0          -    5  the log ends here\n\
         This is the plan: nothing was changed. --execute does it.\n"
    );
}

#[test]
fn json_leaves_out_what_was_not_asked_for() {
    let json: serde_json::Value = serde_json::from_str(&Outcome::Described(vec![described()]).json()).unwrap();
    assert_eq!(json[0]["members"][0]["partitions"][1], serde_json::json!({ "topic": "orders", "partition": 1 }));
    assert_eq!(json[0]["members"][1]["partitions"], serde_json::Value::Null);
    assert_eq!(json[0]["offsets"][0]["lag"], 3);
    assert_eq!(json[0]["type"], "classic");
    assert!(json[0].get("epoch").is_none());
    let state_only = GroupView { members: None, offsets: None, ..described() };
    let json: serde_json::Value = serde_json::from_str(&Outcome::Described(vec![state_only]).json()).unwrap();
    assert!(json[0].get("members").is_none() && json[0].get("offsets").is_none());
}
