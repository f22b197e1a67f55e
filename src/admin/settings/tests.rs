//! Tests of the settings: which of three places wins, and what every wrong value is answered.

use super::*;
use crate::cluster::topic_config::TopicConfig;

fn host() -> HostFacts {
    HostFacts { allowed_cpus: vec![2, 3], hostname: "machine".into() }
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn resolve(flags: &ServeFlags, variables: &[(&str, &str)], file: &str) -> Result<Settings, SettingsErrors> {
    Settings::resolve(flags, &environment(variables), Some(file), &host())
}

#[test]
fn defaults_need_nothing() {
    let settings = Settings::resolve(&ServeFlags::default(), &BTreeMap::new(), None, &host()).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:9092".parse().unwrap());
    assert_eq!(settings.cpus, [2, 3]);
    assert_eq!(settings.advertise, Advertise::PerCore);
    assert_eq!(settings.advertised_host, "127.0.0.1");
    assert_eq!(settings.data_dir, PathBuf::from("./data"));
    assert_eq!(settings.node_id, NodeId(1));
    assert_eq!((settings.rack.clone(), settings.histograms_dir.clone()), (None, None));
    assert_eq!(settings.log_level, "info");
    assert_eq!(settings.listen_of(1).port(), 9093);
    assert!(settings.show().iter().all(|shown| shown.origin == "default"));
}

/// For each setting: a text for the file, the environment and the flag, in rising rank.
const TEXTS: &[(&str, [&str; 3])] = &[
    ("advertise", ["per-core", "per-core", "per-node"]),
    ("advertised-host", ["file.example", "environment.example", "flag.example"]),
    ("advertised-port", ["1001", "1002", "1003"]),
    ("cores", ["0", "0-1", "0-2"]),
    ("data-dir", ["/file", "/environment", "/flag"]),
    ("fetch-transfer", ["copy", "sendfile", "splice"]),
    ("histograms-dir", ["/h/file", "/h/environment", "/h/flag"]),
    ("listen", ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]),
    ("log-level", ["error", "warn", "debug"]),
    ("node-id", ["11", "12", "13"]),
    ("rack", ["file", "environment", "flag"]),
    ("spin-us", ["100", "200", "300"]),
];

fn with_flag(name: &str, value: &str) -> ServeFlags {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        flags: ServeFlags,
    }
    <Command as clap::Parser>::try_parse_from(["serve", &format!("--{name}"), value]).unwrap().flags
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    assert_eq!(TEXTS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), flags::NAMES);
    for (name, [in_file, in_environment, in_flag]) in TEXTS {
        let variable = format!("PAGEWIRE_{}", name.to_uppercase().replace('-', "_"));
        let file = format!("{name} = {in_file:?}");
        let shown = |flags: &ServeFlags, variables: &[(&str, &str)]| {
            let settings = resolve(flags, variables, &file).unwrap_or_else(|error| panic!("{name}: {error}"));
            let shown = settings.show().into_iter().find(|shown| shown.name == *name).unwrap();
            (shown.value, shown.origin)
        };
        let nothing = ServeFlags::default();
        assert_eq!(shown(&nothing, &[]), (in_file.to_string(), format!("{name} in the file")));
        assert_eq!(shown(&nothing, &[(&variable, in_environment)]), (in_environment.to_string(), variable.clone()));
        let all = shown(&with_flag(name, in_flag), &[(&variable, in_environment)]);
        assert_eq!(all, (in_flag.to_string(), format!("--{name}")));
    }
}

#[test]
fn cores_spin_for_a_second_at_most_and_never_two_on_one_cpu() {
    let error = |texts: &[(&str, &str)]| resolve(&with_flag("spin-us", "200"), texts, "").unwrap_err().to_string();
    assert_eq!(resolve(&with_flag("spin-us", "1000000"), &[], "").unwrap().spin, Duration::from_secs(1));
    let expected = "--spin-us: expected a number of microseconds from 0 to 1000000, not \"1000001\"";
    assert_eq!(resolve(&with_flag("spin-us", "1000001"), &[], "").unwrap_err().to_string(), expected);
    let expected = "spin-us: CPU 2 is to run two executors, and one that spins leaves the other no time; name it once";
    assert_eq!(error(&[("PAGEWIRE_CORES", "1,2,2")]), expected);
    assert!(resolve(&with_flag("spin-us", "0"), &[("PAGEWIRE_CORES", "2,2")], "").is_ok());
}

#[test]
fn kafkas_settings_are_ranked_one_by_one() {
    let flags = ServeFlags { set: vec!["num.partitions=7".into()], ..ServeFlags::default() };
    let variables = [("PAGEWIRE_SET_NUM_PARTITIONS", "6"), ("PAGEWIRE_SET_LOG_RETENTION_MS", "1000")];
    let file = "[set]\n\"num.partitions\" = 5\nlog.retention.ms = 2000\n\"segment.bytes\" = \"1048576\"\n";
    let settings = resolve(&flags, &variables, file).unwrap();
    assert_eq!(settings.broker.partitions_default, 7);
    let topic = TopicConfig::resolve(&settings.broker, &Configs::new());
    assert_eq!((topic.retention_ms, topic.segment_bytes), (Some(1000), 1 << 20));
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let flags = ServeFlags {
        listen: Some("nowhere".into()),
        cores: Some("3-1".into()),
        set: vec!["num.partitons=1".into(), "lonely".into(), "log.dirs=/x".into()],
        ..ServeFlags::default()
    };
    let variables = [("PAGEWIRE_NODE_ID", "-1"), ("PAGEWIRE_LOG_LEVEL", "=")];
    let file = "data-dri = \"/x\"\nadvertise = [1]\nretention.ms = 5\nadvertised-host = \"0.0.0.0\"";
    let errors = resolve(&flags, &variables, file).unwrap_err().0;
    for expected in [
        "--listen: expected an address and a port such as 127.0.0.1:9092, [::1]:9092 or 0.0.0.0:9092, not \"nowhere\"",
        "--cores: the range 3-1 runs backwards; write it from the lower CPU to the higher, not \"3-1\"",
        "--set num.partitons: there is no broker or topic setting of that name; did you mean num.partitions?",
        "--set lonely: expected NAME=VALUE",
        "--set log.dirs: this is not a --set setting here: use --data-dir",
        "PAGEWIRE_NODE_ID: expected a number from 0 to 2147482, not \"-1\"",
        "data-dri in the file: there is no setting of that name; did you mean data-dir?",
        "advertise in the file: expected a text or a number, not [1]",
        "advertised-host in the file: expected the name or address under which clients reach this machine, without a port, not \"0.0.0.0\"",
    ] {
        assert!(errors.iter().any(|error| error == expected), "{expected}\nis not among\n{}", errors.join("\n"));
    }
    assert!(errors.iter().any(|error| error.starts_with("PAGEWIRE_LOG_LEVEL: expected error")));
    assert!(resolve(&ServeFlags::default(), &[], "= 5").unwrap_err().0[0].starts_with("the settings file is not TOML"));
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let variables = [("PAGEWIRE_BOOTSTRAP", "a:9092"), ("PAGEWIRE_PORT", "tcp://10.0.0.1:9092"), ("PAGEWIRE_DATADIR", "/x")];
    let settings = resolve(&ServeFlags::default(), &variables, "").unwrap();
    assert_eq!(settings.warnings.len(), 2);
    assert!(settings.warnings[0].contains("did you mean data-dir?"), "{:?}", settings.warnings);
}

#[test]
fn listening_everywhere_advertises_the_machines_name() {
    for text in ["0.0.0.0:9092", ":9092", "*:9092", "[::]:9092"] {
        assert_eq!(resolve(&with_flag("listen", text), &[], "").unwrap().advertised_host, "machine", "{text}");
    }
    assert_eq!(resolve(&with_flag("listen", "localhost:0"), &[], "").unwrap().listen_of(1).port(), 0);
}

#[test]
fn ports_of_all_cores_must_exist() {
    let error = resolve(&with_flag("listen", "127.0.0.1:65535"), &[], "").unwrap_err().to_string();
    assert_eq!(
        error,
        "listen: 2 executors need the ports 65535 to 65536, and 65535 is the last; choose a lower port or --advertise per-node"
    );
    let one_port = resolve(&with_flag("listen", "127.0.0.1:65535"), &[("PAGEWIRE_ADVERTISE", "per-node")], "").unwrap();
    assert_eq!(one_port.listen_of(1).port(), 65535);
}
