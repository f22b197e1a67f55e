//! The command line of `pagewire groups`.

use clap::builder::PossibleValuesParser;

use super::reset_plan::Target;
use super::times;
use crate::base::Timestamp;

/// What Kafka's groups can be, of whatever type.
const STATES: [&str; 8] = ["PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "Stable", "Empty", "Dead", "NotReady"];
const TYPES: [&str; 4] = ["classic", "consumer", "share", "streams"];

/// What to do with consumer groups.
#[derive(clap::Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum GroupsCommand {
    /// Every group with its state, type and coordinator
    List {
        /// Only groups in these states, such as Stable,Empty
        #[arg(long = "state", value_name = "STATE", value_delimiter = ',', ignore_case = true, value_parser = PossibleValuesParser::new(STATES))]
        states: Vec<String>,
        /// Only groups of these types
        #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', ignore_case = true, value_parser = PossibleValuesParser::new(TYPES))]
        types: Vec<String>,
    },
    /// Members, what they own, and how far they are behind
    Describe {
        #[arg(required = true, value_name = "GROUP")]
        names: Vec<String>,
        #[command(flatten)]
        sections: Sections,
    },
    /// Delete groups with their offsets
    Delete {
        #[arg(required = true, value_name = "GROUP")]
        names: Vec<String>,
        /// Be content with groups that are not there
        #[arg(long)]
        if_exists: bool,
    },
    /// Say where a group without members shall go on; shows the plan, and does it with --execute
    ResetOffsets(ResetFlags),
}

/// What `describe` shows; all of it if nothing is chosen.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections {
    /// Only the state (and what else is asked for)
    #[arg(long)]
    pub state: bool,
    /// Only the members
    #[arg(long)]
    pub members: bool,
    /// Only the offsets
    #[arg(long)]
    pub offsets: bool,
}

impl Sections {
    pub(super) fn or_all(self) -> Sections {
        match self {
            Sections { state: false, members: false, offsets: false } => Sections { state: true, members: true, offsets: true },
            chosen => chosen,
        }
    }
}

#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct ResetFlags {
    pub group: String,
    #[command(flatten)]
    pub target: TargetFlags,
    /// A topic, or some partitions of it: orders or orders:0,1; may be repeated
    #[arg(long = "topic", value_name = "TOPIC[:N,N]", value_parser = parse_scope, required_unless_present = "all_topics")]
    pub topics: Vec<TopicScope>,
    /// Every partition the group has committed an offset for
    #[arg(long, conflicts_with = "topics")]
    pub all_topics: bool,
    /// Only show the plan (the default)
    #[arg(long, conflicts_with = "execute")]
    pub dry_run: bool,
    /// Commit the new offsets
    #[arg(long)]
    pub execute: bool,
}

/// Where to go: exactly one of these.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq, Eq)]
#[group(required = true, multiple = false)]
pub struct TargetFlags {
    /// The first offset there is
    #[arg(long)]
    pub to_earliest: bool,
    /// The end of the log
    #[arg(long)]
    pub to_latest: bool,
    /// What is committed now (or the end of the log where nothing is)
    #[arg(long)]
    pub to_current: bool,
    /// This offset, or the nearest there is
    #[arg(long, value_name = "OFFSET")]
    pub to_offset: Option<i64>,
    /// Forward from what is committed, or backward if negative
    #[arg(long, value_name = "RECORDS", allow_negative_numbers = true)]
    pub shift_by: Option<i64>,
    /// The first record at or after 2026-01-31T23:59:59.000, in UTC unless it ends in an offset such as +02:00
    #[arg(long, value_name = "DATETIME", value_parser = times::parse_datetime)]
    pub to_datetime: Option<Timestamp>,
    /// The first record at or after now minus a duration such as P7D, PT1H30M or 90m
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration_ms)]
    pub by_duration: Option<i64>,
}

impl TargetFlags {
    pub(super) fn target(&self, now: Timestamp) -> Target {
        let time = self.to_datetime.or(self.by_duration.map(|duration_ms| Timestamp(now.0.saturating_sub(duration_ms).max(0))));
        match (self.to_offset, self.shift_by, time) {
            (Some(offset), _, _) => Target::Offset(offset),
            (_, Some(records), _) => Target::ShiftBy(records),
            (_, _, Some(time)) => Target::Time(time),
            _ if self.to_earliest => Target::Earliest,
            _ if self.to_latest => Target::Latest,
            _ => Target::Current,
        }
    }
}

/// A topic, or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicScope {
    pub topic: String,
    /// `None`: all of them.
    pub partitions: Option<Vec<i32>>,
}

fn parse_scope(text: &str) -> Result<TopicScope, String> {
    let Some((topic, numbers)) = text.split_once(':') else { return Ok(TopicScope { topic: text.into(), partitions: None }) };
    let number = |number: &str| number.trim().parse().ok().filter(|number| *number >= 0);
    let partitions = numbers.split(',').map(number).collect::<Option<Vec<i32>>>();
    let partitions = partitions.ok_or_else(|| format!("expected partition numbers after {topic}: such as {topic}:0,1, not {numbers:?}"))?;
    Ok(TopicScope { topic: topic.into(), partitions: Some(partitions) })
}
