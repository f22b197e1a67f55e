//! `pagewire topics`, `configs` and `completions` against the built broker: what they show is what there is.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::process::Command;

use broker::command::{json, refusal, said};
use broker::{Broker, ask, pagewire, pagewire_load};
use serde_json::Value;

const START: [&str; 2] = ["--set", "log.retention.ms=7200000"];

fn broker_with_topic() -> Broker {
    let broker = Broker::start(&START);
    said(&broker, "topics create orders --partitions 3 --set segment.bytes=1048576");
    broker
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let broker = broker_with_topic();
    let of = |name: &str, value: &str, source: &str| (name.to_string(), value.to_string(), source.to_string());
    let settings = |arguments: &str| -> Vec<(String, String, String)> {
        let shown = json(&broker, arguments);
        let settings = shown.as_array().unwrap().iter();
        let text = |setting: &Value, field: &str| setting[field].as_str().unwrap_or_default().to_owned();
        settings.map(|setting| (text(setting, "name"), text(setting, "value"), text(setting, "source"))).collect()
    };
    let set = [of("retention.ms", "7200000", "start"), of("segment.bytes", "1048576", "topic")];
    assert_eq!(settings("configs get topic orders"), set, "what somebody has set");
    let some = [of("cleanup.policy", "delete", "default"), of("segment.bytes", "1048576", "topic")];
    assert_eq!(settings("configs get topic orders segment.bytes cleanup.policy"), some, "what was asked for");
    let all = settings("configs get topic orders --all");
    assert!(all.len() > 20 && set.iter().all(|setting| all.contains(setting)) && all.contains(&some[0]), "{all:?}");
    // Each broker is asked itself, also the one behind another port.
    for id in ["1000", "1001"] {
        let all = settings(&format!("configs get broker {id} --all"));
        assert!(all.contains(&of("connections.max.idle.ms", "600000", "default")), "{all:?}");
    }
    assert_eq!(settings("configs get broker all"), []);
    assert_eq!(said(&broker, "configs get topic orders segment.bytes"), "SETTING        VALUE    FROM\nsegment.bytes  1048576  topic\n");

    let (code, message) = refusal(&broker, "configs get topic orders retension.ms");
    assert!(code == 1 && message.contains("topic orders has no setting retension.ms"), "{message}");
    let (code, message) = refusal(&broker, "configs get topic nobody");
    assert!(code == 1 && message.contains("(error 3)"), "{message}");
    let (code, message) = refusal(&broker, "configs get broker 77 --all");
    assert!(code == 1 && message.contains("no broker 77"), "{message}");
    assert_eq!(refusal(&broker, "configs get shelf orders").0, 2, "a kind that nobody knows");
}

#[test]
fn settings_of_topics_are_changed_and_taken_back() {
    let broker = broker_with_topic();
    let shown = |name: &str| {
        let shown = json(&broker, &format!("configs get topic orders {name}"));
        [&shown[0]["value"], &shown[0]["source"]].map(|field| field.as_str().unwrap().to_owned())
    };
    assert_eq!(said(&broker, "configs set topic orders retention.ms=60000 cleanup.policy+=compact"), "retention.ms\ncleanup.policy\n");
    assert_eq!(shown("retention.ms"), ["60000", "topic"]);
    assert_eq!(shown("cleanup.policy"), ["delete,compact", "topic"], "a list grows from its default");
    assert_eq!(shown("segment.bytes"), ["1048576", "topic"], "what is not named stays");
    assert_eq!(json(&broker, "configs set topic orders cleanup.policy-=delete"), serde_json::json!({"done": ["cleanup.policy"]}));
    assert_eq!(shown("cleanup.policy"), ["compact", "topic"]);

    assert_eq!(said(&broker, "configs set topic orders retention.ms=1 --validate-only"), "retention.ms\n");
    assert_eq!(shown("retention.ms"), ["60000", "topic"], "it was only asked");
    for (change, why) in [
        ("set topic orders retention.ms=soon segment.bytes=2097152", "(error 40)"),
        ("set topic orders retension.ms=1", "(error 40)"),
        ("set topic nobody retention.ms=1", "(error 3)"),
        ("unset topic nobody retention.ms", "(error 3)"),
    ] {
        let (code, message) = refusal(&broker, &format!("configs {change}"));
        assert!(code == 1 && message.contains(why), "{change}: {message}");
    }
    assert_eq!(refusal(&broker, "configs set topic orders retention.ms").0, 2, "a change without a value");
    assert_eq!(shown("segment.bytes"), ["1048576", "topic"], "a change that is wrong in part changes nothing");

    assert_eq!(said(&broker, "configs unset topic orders retention.ms cleanup.policy --validate-only").lines().count(), 2);
    assert_eq!(shown("retention.ms"), ["60000", "topic"]);
    assert_eq!(said(&broker, "configs unset topic orders retention.ms cleanup.policy"), "retention.ms\ncleanup.policy\n");
    assert_eq!(shown("retention.ms"), ["7200000", "start"]);
    assert_eq!(shown("cleanup.policy"), ["delete", "default"]);
}

#[test]
fn settings_of_brokers_are_changed_for_one_and_for_all() {
    let mut broker = broker_with_topic();
    let shown = |broker: &Broker, resource: &str, name: &str| {
        let shown = json(broker, &format!("configs get {resource} {name}"));
        [&shown[0]["value"], &shown[0]["source"]].map(|field| field.as_str().unwrap().to_owned())
    };
    said(&broker, "configs set broker all log.retention.ms=3600000");
    said(&broker, "configs set broker 1001 log.retention.ms=1800000");
    let check = |broker: &Broker| {
        assert_eq!(shown(broker, "broker all", "log.retention.ms"), ["3600000", "all brokers"]);
        assert_eq!(shown(broker, "broker 1000", "log.retention.ms"), ["3600000", "all brokers"]);
        assert_eq!(shown(broker, "broker 1001", "log.retention.ms"), ["1800000", "broker"]);
        assert_eq!(shown(broker, "topic orders", "retention.ms"), ["3600000", "all brokers"], "the broker that is asked has it so");
    };
    check(&broker);
    broker.stop();
    broker.start_again(&START);
    check(&broker);
    for (change, why) in [
        ("set broker 1000 num.partitions=3", "--set num.partitions=3"),
        ("set broker all log.retention.ms=soon", "expected a whole number"),
        ("set broker 77 log.retention.ms=1", "no broker 77"),
        ("unset broker 77 log.retention.ms", "no broker 77"),
    ] {
        let (code, message) = refusal(&broker, &format!("configs {change}"));
        assert!(code == 1 && message.contains(why), "{change}: {message}");
    }
    said(&broker, "configs unset broker 1001 log.retention.ms");
    assert_eq!(shown(&broker, "broker 1001", "log.retention.ms"), ["3600000", "all brokers"]);
    said(&broker, "configs unset broker all log.retention.ms");
    assert_eq!(shown(&broker, "broker 1001", "log.retention.ms"), ["7200000", "start"]);
    assert_eq!(json(&broker, "configs get broker all"), serde_json::json!([]));
}

#[test]
fn topics_get_more_partitions_and_never_fewer() {
    let broker = broker_with_topic();
    said(&broker, "topics create returns --partitions 1");
    let count = |topic: &str| json(&broker, &format!("topics describe {topic}"))[0]["partitions"].as_array().unwrap().len();
    assert_eq!(said(&broker, "topics alter orders returns --partitions 5 --validate-only").lines().count(), 2);
    assert_eq!([count("orders"), count("returns")], [3, 1], "it was only asked");
    assert_eq!(said(&broker, "topics alter orders returns --partitions 5"), "orders\nreturns\n");
    assert_eq!([count("orders"), count("returns")], [5, 5]);
    ask::write(&mut broker.connect(0), "orders", 4, &["a"]);
    assert_eq!(ask::list_offset(&mut broker.connect(1), "orders", 4, ask::LATEST).offset, 1);
    for (arguments, why) in
        [("orders --partitions 4", "(error 37)"), ("orders --partitions 5", "(error 37)"), ("nobody --partitions 5", "(error 3)")]
    {
        let (code, message) = refusal(&broker, &format!("topics alter {arguments}"));
        assert!(code == 1 && message.contains(why), "{arguments}: {message}");
    }
    assert_eq!(count("orders"), 5);
    assert_eq!(refusal(&broker, "topics alter orders").0, 2, "how many it is to have has to be said");
}

#[test]
fn records_are_deleted_where_their_leader_is() {
    let broker = broker_with_topic();
    for partition in 0..3 {
        ask::write(&mut broker.connect(0), "orders", partition, &["a", "b", "c", "d"]);
    }
    let start = |partition| ask::list_offset(&mut broker.connect(1), "orders", partition, ask::EARLIEST).offset;
    let deleted = json(&broker, "topics delete-records orders --partition 1 --partition 2 --before 3");
    assert_eq!(deleted, serde_json::json!([{"partition": 1, "low_watermark": 3}, {"partition": 2, "low_watermark": 3}]));
    assert_eq!([start(0), start(1), start(2)], [0, 3, 3]);
    for (arguments, why) in [
        ("orders --before 2", "orders has 3"),
        ("orders --before 9 --partition 0", "orders-0: the partition ends before that offset (error 1)"),
        ("orders --before end --partition 0 --partition 7", "orders has no partition 7"),
        ("nobody --before end", "there is no such topic"),
    ] {
        let (code, message) = refusal(&broker, &format!("topics delete-records {arguments}"));
        assert!(code == 1 && message.contains(why), "{arguments}: {message}");
    }
    assert_eq!(refusal(&broker, "topics delete-records orders --before -1").0, 2);
    assert_eq!(start(0), 0, "a command that was mistaken in part did nothing");
    assert_eq!(said(&broker, "topics delete-records orders --before end").lines().count(), 4);
    assert_eq!([start(0), start(1), start(2)], [4, 4, 4]);
}

#[test]
fn shells_learn_both_command_lines() {
    for shell in ["bash", "zsh", "fish"] {
        for (program, word) in [(pagewire(), "delete-records"), (pagewire_load(), "verify")] {
            let output = Command::new(&program).args(["completions", shell]).output().expect("the command was built");
            assert!(output.status.success() && output.stderr.is_empty());
            let script = String::from_utf8(output.stdout).unwrap();
            assert!(script.contains(word), "{} {shell}", program.display());
        }
    }
    // The shell at hand reads what it is given, and completes by it.
    let script = "eval \"$(\"$0\" completions bash)\"; COMP_WORDS=(pagewire topics del); COMP_CWORD=2; _pagewire pagewire del topics; echo ${COMPREPLY[*]}";
    let output = Command::new("bash").args(["-c", script]).arg(pagewire()).output().expect("there is a bash");
    assert_eq!((String::from_utf8_lossy(&output.stdout).trim(), output.stderr.as_slice()), ("delete-records delete", &b""[..]));
}
