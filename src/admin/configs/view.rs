//! What `pagewire configs` shows.
//!
//! Pure. Invariant: with `--json` it is one JSON value.

use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use serde::{Serialize, Serializer};

use crate::admin::table::{Align, Table};

/// Where an effective value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic,
    /// Set at run time, for one broker.
    Broker,
    /// Set at run time, for all brokers.
    AllBrokers,
    /// Given to the broker when it was started.
    Start,
    Default,
    /// A number that is newer than this program.
    Other(i8),
}

impl Source {
    /// From Kafka's number (`ConfigSource`).
    fn from_code(code: i8) -> Source {
        match code {
            1 => Source::Topic,
            2 => Source::Broker,
            3 => Source::AllBrokers,
            4 => Source::Start,
            5 => Source::Default,
            other => Source::Other(other),
        }
    }

    fn name(self) -> String {
        match self {
            Source::Topic => "topic".into(),
            Source::Broker => "broker".into(),
            Source::AllBrokers => "all brokers".into(),
            Source::Start => "start".into(),
            Source::Default => "default".into(),
            Source::Other(code) => format!("source {code}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// A setting with its effective value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigView {
    pub name: String,
    /// `None` if it has none, or if the broker keeps it to itself.
    pub value: Option<String>,
    pub source: Source,
    /// It cannot be changed without a restart.
    pub read_only: bool,
    pub sensitive: bool,
}

impl From<&DescribeConfigsResourceResult> for ConfigView {
    fn from(config: &DescribeConfigsResourceResult) -> ConfigView {
        ConfigView {
            name: config.name.to_string(),
            value: config.value.as_ref().map(|value| value.to_string()),
            source: Source::from_code(config.config_source),
            read_only: config.read_only,
            sensitive: config.is_sensitive,
        }
    }
}

impl ConfigView {
    /// The value for people.
    pub fn shown(&self) -> &str {
        match &self.value {
            Some(value) if value.is_empty() => "(empty)",
            Some(value) => value,
            None if self.sensitive => "(hidden)",
            None => "(none)",
        }
    }
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    Settings(Vec<ConfigView>),
    Done { done: Vec<String> },
}

impl Outcome {
    /// As tables for people.
    pub fn text(&self) -> String {
        match self {
            Outcome::Settings(settings) if settings.is_empty() => "nobody has set anything; --all shows what there is by default\n".into(),
            Outcome::Settings(settings) => {
                let mut table = Table::new([("SETTING", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)]);
                for config in settings {
                    table.row([config.name.clone(), config.shown().into(), config.source.name()]);
                }
                table.text("")
            }
            Outcome::Done { done } => done.iter().map(|name| format!("{name}\n")).collect(),
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values become JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: Option<&str>, source: Source) -> ConfigView {
        ConfigView { name: name.into(), value: value.map(String::from), source, read_only: false, sensitive: value.is_none() }
    }

    #[test]
    fn settings_stand_in_a_table_with_where_they_come_from() {
        let settings = vec![
            setting("cleanup.policy", Some(""), Source::Topic),
            setting("retention.ms", Some("60000"), Source::AllBrokers),
            setting("secret", None, Source::Other(9)),
        ];
        let outcome = Outcome::Settings(settings);
        assert_eq!(
            outcome.text(),
            "SETTING         VALUE     FROM\n\
             cleanup.policy  (empty)   topic\n\
             retention.ms    60000     all brokers\n\
             secret          (hidden)  source 9\n"
        );
        let json: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
        assert_eq!(
            (&json[1]["source"], &json[1]["value"], &json[2]["value"]),
            (&"all brokers".into(), &"60000".into(), &serde_json::Value::Null)
        );
        let nothing = Outcome::Settings(Vec::new());
        assert!(nothing.text().starts_with("nobody has set anything"));
        assert_eq!(nothing.json(), "[]");
    }
}
