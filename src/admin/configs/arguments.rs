//! The command line of `pagewire configs`.
//!
//! Pure.

use std::fmt;

use clap::{Args, Subcommand, ValueEnum};

use crate::admin::refusal::AdminError;

/// For the defaults of all brokers.
const ALL_BROKERS: &str = "all";

/// What to do with settings.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum ConfigsCommand {
    /// Show settings and where each value comes from
    Get {
        #[command(flatten)]
        resource: ResourceArguments,
        /// Only these settings [default: those that somebody has set]
        #[arg(value_name = "SETTING")]
        settings: Vec<String>,
        /// Every setting, also those that have their default
        #[arg(long, conflicts_with = "settings")]
        all: bool,
    },
    /// Change settings at once, without a restart; what is not named stays as it is
    Set {
        #[command(flatten)]
        resource: ResourceArguments,
        /// SETTING=VALUE; SETTING+=VALUE and SETTING-=VALUE add to a list and take away from it
        #[arg(value_name = "SETTING=VALUE", required = true, value_parser = parse_change)]
        changes: Vec<Change>,
        /// Only ask whether it would work
        #[arg(long)]
        validate_only: bool,
    },
    /// Take settings back to what they are when nobody sets them
    Unset {
        #[command(flatten)]
        resource: ResourceArguments,
        #[arg(value_name = "SETTING", required = true)]
        settings: Vec<String>,
        /// Only ask whether it would work
        #[arg(long)]
        validate_only: bool,
    },
}

/// Whose settings they are.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ResourceArguments {
    /// What has the settings
    #[arg(value_enum, value_name = "KIND")]
    pub kind: ResourceKind,
    /// The topic's name, or the broker's id; "all" for the defaults of all brokers
    pub name: String,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    Topic,
    Broker,
}

impl ResourceKind {
    /// Kafka's number (`ConfigResource.Type`).
    pub(super) fn code(self) -> i8 {
        match self {
            ResourceKind::Topic => 2,
            ResourceKind::Broker => 4,
        }
    }
}

impl ResourceArguments {
    pub fn topic(name: &str) -> ResourceArguments {
        ResourceArguments { kind: ResourceKind::Topic, name: name.into() }
    }

    /// The one broker that is meant; `None` for topics, and for all brokers.
    ///
    /// # Errors
    /// A broker's name is neither a number nor `all`.
    pub(super) fn broker(&self) -> Result<Option<i32>, AdminError> {
        if self.kind != ResourceKind::Broker || self.name == ALL_BROKERS {
            return Ok(None);
        }
        let declined = || AdminError::Declined(format!("expected the id of a broker or \"{ALL_BROKERS}\", not {:?}", self.name));
        self.name.parse().map(Some).map_err(|_| declined())
    }

    /// Kafka gives the defaults of all brokers an empty name.
    pub(super) fn wire_name(&self) -> &str {
        if self.kind == ResourceKind::Broker && self.name == ALL_BROKERS { "" } else { &self.name }
    }
}

impl fmt::Display for ResourceArguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ResourceKind::Topic => write!(formatter, "topic {}", self.name),
            ResourceKind::Broker if self.name == ALL_BROKERS => write!(formatter, "all brokers"),
            ResourceKind::Broker => write!(formatter, "broker {}", self.name),
        }
    }
}

/// One setting's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    pub operation: Operation,
    pub value: Option<String>,
}

/// Kafka's numbers (`AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Operation {
    Set = 0,
    Delete = 1,
    Append = 2,
    Subtract = 3,
}

fn parse_change(text: &str) -> Result<Change, String> {
    let (name, value) = text.split_once('=').ok_or("expected SETTING=VALUE, SETTING+=VALUE or SETTING-=VALUE")?;
    let (name, operation) = match (name.strip_suffix('+'), name.strip_suffix('-')) {
        (Some(name), _) => (name, Operation::Append),
        (_, Some(name)) => (name, Operation::Subtract),
        _ => (name, Operation::Set),
    };
    match name.trim() {
        "" => Err("expected the name of a setting in front of the =".into()),
        name => Ok(Change { name: name.into(), operation, value: Some(value.trim().into()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() {
        let change = |name: &str, operation, value: &str| Ok(Change { name: name.into(), operation, value: Some(value.into()) });
        assert_eq!(parse_change("retention.ms=-1"), change("retention.ms", Operation::Set, "-1"));
        assert_eq!(parse_change("cleanup.policy+=compact"), change("cleanup.policy", Operation::Append, "compact"));
        assert_eq!(parse_change("cleanup.policy-=compact,delete"), change("cleanup.policy", Operation::Subtract, "compact,delete"));
        assert_eq!(parse_change("a=b=c"), change("a", Operation::Set, "b=c"));
        assert_eq!(parse_change("cleanup.policy="), change("cleanup.policy", Operation::Set, ""), "empty is a value");
        assert!(parse_change("retention.ms").is_err() && parse_change("=5").is_err() && parse_change("+=5").is_err());
    }

    #[test]
    fn all_brokers_have_an_empty_name_on_the_wire() {
        let broker = |name: &str| ResourceArguments { kind: ResourceKind::Broker, name: name.into() };
        assert_eq!((broker("all").wire_name(), broker("all").broker().unwrap()), ("", None));
        assert_eq!((broker("7").wire_name(), broker("7").broker().unwrap()), ("7", Some(7)));
        assert_eq!(broker("one").broker().unwrap_err().to_string(), "expected the id of a broker or \"all\", not \"one\"");
        let topic = ResourceArguments::topic("all");
        assert_eq!((topic.wire_name(), topic.broker().unwrap()), ("all", None), "a topic may be called so");
    }
}
