//! What a Kafka setting is: name, type, legal values, default, and how far this broker goes along with it.
//!
//! Pure values, any thread. The tables are `topic_config` and `broker_config`; each setting is told there and nowhere else.

use std::fmt;

/// The type of a value and which values are legal, as in Kafka's documentation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Boolean,
    /// A 16-bit integer within bounds, both included.
    Short(i64, i64),
    /// A 32-bit integer within bounds, both included.
    Int(i64, i64),
    /// A 64-bit integer within bounds, both included.
    Long(i64, i64),
    Double(f64, f64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words, separated by commas.
    Choices(&'static [&'static str]),
    /// Free words, separated by commas.
    List,
    Text,
}

/// How far this broker goes along with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what Kafka's documentation says.
    Honoured,
    /// It is checked, kept and shown, and changes nothing yet, for the reason given.
    Stored(&'static str),
    /// Only the default is accepted, for the reason given.
    DefaultOnly(&'static str),
}

/// A broker setting that gives a topic setting its default. The first of several that is set wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    /// What one unit of the broker setting is in units of the topic setting: `log.retention.hours` counts 3,600,000 ms.
    pub multiplier: i64,
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    /// In Kafka's spelling; `None` where Kafka's default is null.
    pub default: Option<&'static str>,
    /// The broker settings behind a topic setting; empty in the broker table.
    pub synonyms: &'static [Synonym],
    pub support: Support,
    /// One sentence for people.
    pub documentation: &'static str,
}

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

/// Why a setting was not accepted. `Display` is a sentence for the person who set it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct SettingError {
    pub name: String,
    pub reason: String,
}

impl SettingError {
    pub fn new(name: &str, reason: impl Into<String>) -> SettingError {
        SettingError { name: name.into(), reason: reason.into() }
    }

    /// Nobody knows that name; the nearest of `known` is offered.
    pub fn unknown(name: &str, what: &str, known: impl Iterator<Item = &'static str>) -> SettingError {
        let hint = match nearest(name, known) {
            Some(near) => format!("; did you mean {near}?"),
            None => String::new(),
        };
        SettingError::new(name, format!("there is no {what} of that name{hint}"))
    }
}

impl Setting {
    /// Reads and checks a value.
    ///
    /// # Errors
    /// What was expected, what came, and, where this broker accepts only the default, why.
    pub fn parse(&self, text: &str) -> Result<Value, SettingError> {
        let value =
            self.kind.parse(text.trim()).ok_or_else(|| SettingError::new(self.name, format!("expected {}, not {text:?}", self.kind)))?;
        match self.support {
            Support::DefaultOnly(reason) if self.default_value().as_ref() != Some(&value) => {
                let default = self.default.unwrap_or("unset");
                Err(SettingError::new(self.name, format!("only {default} is accepted here, not {text:?}: {reason}")))
            }
            _ => Ok(value),
        }
    }

    /// The default as a value; `None` where it is null.
    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|text| self.kind.parse(text).expect("a default in the table is legal, which a test proves"))
    }
}

impl Kind {
    fn parse(&self, text: &str) -> Option<Value> {
        let within = |min: i64, max: i64| text.parse::<i64>().ok().filter(|number| (min..=max).contains(number)).map(Value::Integer);
        match *self {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
            Kind::Boolean => None,
            Kind::Short(min, max) | Kind::Int(min, max) | Kind::Long(min, max) => within(min, max),
            Kind::Double(min, max) => text.parse::<f64>().ok().filter(|number| (min..=max).contains(number)).map(Value::Double),
            Kind::Choice(words) => words.contains(&text).then(|| Value::Text(text.into())),
            Kind::Choices(words) => {
                let list = split(text);
                list.iter().all(|word| words.contains(&word.as_str())).then_some(Value::List(list))
            }
            Kind::List => Some(Value::List(split(text))),
            Kind::Text => Some(Value::Text(text.into())),
        }
    }

    /// The type as DescribeConfigs numbers it (`DescribeConfigsResponse.ConfigType`).
    pub fn describe_configs_type(&self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::Choice(_) | Kind::Text => 2,
            Kind::Int(..) => 3,
            Kind::Short(..) => 4,
            Kind::Long(..) => 5,
            Kind::Double(..) => 6,
            Kind::Choices(_) | Kind::List => 7,
        }
    }

    pub fn is_list(&self) -> bool {
        matches!(self, Kind::Choices(_) | Kind::List)
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(String::from).collect()
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Kind::Boolean => write!(formatter, "true or false"),
            Kind::Short(min, max) | Kind::Int(min, max) | Kind::Long(min, max) => {
                write!(formatter, "a whole number from {min} to {max}")
            }
            Kind::Double(min, f64::MAX) => write!(formatter, "a number of at least {min}"),
            Kind::Double(min, max) => write!(formatter, "a number from {min} to {max}"),
            Kind::Choice(words) => write!(formatter, "one of {}", words.join(", ")),
            Kind::Choices(words) => write!(formatter, "any of {}, separated by commas", words.join(", ")),
            Kind::List => write!(formatter, "words separated by commas"),
            Kind::Text => write!(formatter, "a text"),
        }
    }
}

/// The known name that looks most like `name`, if any looks alike at all.
pub fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    /// Jaro-Winkler similarity from which two names look alike: typing errors score above .9, unrelated names below .8.
    const ALIKE: f64 = 0.85;
    let scored = known.map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: Setting = Setting {
        name: "segment.bytes",
        kind: Kind::Int(14, 100),
        default: Some("50"),
        synonyms: &[],
        support: Support::Honoured,
        documentation: "",
    };

    #[test]
    fn values_are_read_and_bounds_are_included() {
        for (kind, text, value) in [
            (Kind::Boolean, "TRUE", Some(Value::Boolean(true))),
            (Kind::Boolean, "yes", None),
            (Kind::Int(14, 100), "14", Some(Value::Integer(14))),
            (Kind::Int(14, 100), "100", Some(Value::Integer(100))),
            (Kind::Int(14, 100), "13", None),
            (Kind::Int(14, 100), "101", None),
            (Kind::Int(14, 100), "1e2", None),
            (Kind::Long(0, i64::MAX), "9223372036854775808", None),
            (Kind::Double(0.0, 1.0), "0.5", Some(Value::Double(0.5))),
            (Kind::Double(0.0, 1.0), "NaN", None),
            (Kind::Choice(&["a", "b"]), "b", Some(Value::Text("b".into()))),
            (Kind::Choice(&["a", "b"]), "c", None),
            (Kind::Choices(&["a", "b"]), "b, a", Some(Value::List(vec!["b".into(), "a".into()]))),
            (Kind::Choices(&["a", "b"]), "", Some(Value::List(vec![]))),
            (Kind::Choices(&["a", "b"]), "a,c", None),
        ] {
            assert_eq!(kind.parse(text), value, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn errors_say_what_was_expected_and_what_came() {
        assert_eq!(NUMBER.parse("7").unwrap_err().to_string(), "segment.bytes: expected a whole number from 14 to 100, not \"7\"");
        let fixed = Setting { support: Support::DefaultOnly("it is so"), ..NUMBER };
        assert_eq!(fixed.parse("50"), Ok(Value::Integer(50)));
        assert_eq!(fixed.parse("51").unwrap_err().to_string(), "segment.bytes: only 50 is accepted here, not \"51\": it is so");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_one() {
        let known = || ["retention.ms", "segment.ms", "cleanup.policy"].into_iter();
        assert_eq!(nearest("retension.ms", known()), Some("retention.ms"));
        assert_eq!(nearest("cleanup-policy", known()), Some("cleanup.policy"));
        assert_eq!(nearest("zookeeper.connect", known()), None);
        let error = SettingError::unknown("segmentms", "topic setting", known());
        assert_eq!(error.to_string(), "segmentms: there is no topic setting of that name; did you mean segment.ms?");
    }
}
