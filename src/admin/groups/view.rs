//! What `pagewire groups` prints: one JSON value, or tables.

use serde::{Serialize, Serializer};

use super::reset_plan::Planned;
use crate::admin::cluster::TopicPartition;
use crate::admin::table::{Align, Table};

/// Stands where there is nothing to show.
const NOTHING: &str = "-";

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    List(Vec<ListedView>),
    Described(Vec<GroupView>),
    Done { done: Vec<String> },
    Reset(ResetView),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedView {
    pub group: String,
    /// Empty: the broker is too old to say.
    pub state: String,
    /// `classic` or `consumer` (KIP-848).
    #[serde(rename = "type")]
    pub group_type: String,
    /// `consumer`, `connect`, …; empty: only offsets were ever committed.
    pub protocol_type: String,
    pub coordinator: i32,
    pub coordinator_address: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupView {
    pub group: String,
    pub state: String,
    #[serde(rename = "type")]
    pub group_type: String,
    /// Of a classic group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_type: Option<String>,
    /// The assignor the members agreed on; empty: there are none.
    pub assignor: String,
    pub coordinator: i32,
    pub coordinator_address: String,
    /// Of a group of the new protocol, as is `target_epoch`: the epoch of the assignment its members move to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_epoch: Option<i32>,
    /// `None`: not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<MemberView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Vec<OffsetView>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    /// Of a member of the new protocol, as is `target_partitions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    /// `None`: the assignment is not of the consumer's format.
    #[serde(serialize_with = "by_name")]
    pub partitions: Option<Vec<TopicPartition>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "by_name")]
    pub target_partitions: Option<Vec<TopicPartition>>,
}

fn by_name<S: Serializer>(partitions: &Option<Vec<TopicPartition>>, serializer: S) -> Result<S::Ok, S::Error> {
    let entry = |partition: &TopicPartition| serde_json::json!({ "topic": partition.topic, "partition": partition.partition });
    partitions.as_ref().map(|partitions| partitions.iter().map(entry).collect::<Vec<_>>()).serialize(serializer)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OffsetView {
    pub topic: String,
    pub partition: i32,
    /// `None`: nothing is committed.
    pub committed_offset: Option<i64>,
    /// `None`: the partition is gone or has no leader.
    pub log_end_offset: Option<i64>,
    pub lag: Option<i64>,
    pub member_id: Option<String>,
    pub client_id: Option<String>,
    pub host: Option<String>,
}

impl OffsetView {
    pub(super) fn new(committed: Option<i64>, end: Option<i64>, owner: Option<&&MemberView>, partition: TopicPartition) -> OffsetView {
        OffsetView {
            topic: partition.topic,
            partition: partition.partition,
            committed_offset: committed,
            log_end_offset: end,
            lag: committed.zip(end).map(|(committed, end)| end - committed),
            member_id: owner.map(|member| member.member_id.clone()),
            client_id: owner.map(|member| member.client_id.clone()),
            host: owner.map(|member| member.host.clone()),
        }
    }
}

/// A reset, planned or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResetView {
    pub group: String,
    pub executed: bool,
    pub partitions: Vec<ResetPartitionView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResetPartitionView {
    pub topic: String,
    pub partition: i32,
    /// Before the reset; `None`: nothing was committed.
    pub committed_offset: Option<i64>,
    pub new_offset: i64,
    pub note: Option<&'static str>,
}

impl ResetView {
    pub(super) fn new(group: &str, executed: bool, plan: Vec<Planned>) -> ResetView {
        let partition = |Planned { partition, committed, offset, note }| {
            let TopicPartition { topic, partition } = partition;
            ResetPartitionView { topic, partition, committed_offset: committed, new_offset: offset, note }
        };
        ResetView { group: group.into(), executed, partitions: plan.into_iter().map(partition).collect() }
    }
}

impl Outcome {
    /// As tables for people.
    pub fn text(&self) -> String {
        match self {
            Outcome::List(groups) => list_text(groups),
            Outcome::Described(groups) => groups.iter().map(group_text).collect::<Vec<_>>().join("\n"),
            Outcome::Done { done } if done.is_empty() => "nothing to do\n".into(),
            Outcome::Done { done } => done.iter().map(|name| format!("{name}\n")).collect(),
            Outcome::Reset(reset) => reset_text(reset),
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values become JSON")
    }
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { NOTHING.into() } else { text.into() }
}

fn number(number: Option<i64>) -> String {
    number.map_or(NOTHING.into(), |number| number.to_string())
}

fn list_text(groups: &[ListedView]) -> String {
    let mut table = Table::new(["GROUP", "STATE", "TYPE", "PROTOCOL", "COORDINATOR"].map(|head| (head, Align::Left)));
    for group in groups {
        let coordinator = format!("{} ({})", group.coordinator, group.coordinator_address);
        table.row([group.group.clone(), or_nothing(&group.state), group.group_type.clone(), or_nothing(&group.protocol_type), coordinator]);
    }
    table.text("")
}

fn group_text(group: &GroupView) -> String {
    let mut text = format!("{}  {}  {}", group.group, group.state, group.group_type);
    if !group.assignor.is_empty() {
        text += &format!(", assignor {}", group.assignor);
    }
    if let (Some(epoch), Some(target)) = (group.epoch, group.target_epoch) {
        text += &format!(", epoch {epoch}, target {target}");
    }
    text += &format!("  coordinator {} ({})\n", group.coordinator, group.coordinator_address);
    if let Some(members) = &group.members {
        text += &members_text(members);
    }
    if let Some(offsets) = &group.offsets {
        text += &offsets_text(offsets);
    }
    text
}

fn members_text(members: &[MemberView]) -> String {
    if members.is_empty() {
        return "  no members\n".into();
    }
    let heads = [
        ("MEMBER", Align::Left),
        ("HOST", Align::Left),
        ("CLIENT", Align::Left),
        ("PARTITIONS", Align::Right),
        ("ASSIGNMENT", Align::Left),
    ];
    let mut table = Table::new(heads);
    for member in members {
        let name = member.instance_id.as_ref().map_or(member.member_id.clone(), |instance| format!("{} ({instance})", member.member_id));
        let (count, assignment) = match &member.partitions {
            Some(partitions) => (partitions.len().to_string(), or_nothing(&ranges(partitions))),
            None => (NOTHING.into(), "not of the consumer's format".into()),
        };
        table.row([name, member.host.clone(), or_nothing(&member.client_id), count, assignment]);
    }
    table.text("  ")
}

/// `orders:0-4,7 payments:0`.
pub(super) fn ranges(partitions: &[TopicPartition]) -> String {
    let mut sorted: Vec<&TopicPartition> = partitions.iter().collect();
    sorted.sort_unstable();
    let topics = sorted.chunk_by(|left, right| left.topic == right.topic).map(|topic| {
        let runs = topic.chunk_by(|left, right| left.partition.checked_add(1) == Some(right.partition));
        let run = |run: &[&TopicPartition]| match run {
            [only] => only.partition.to_string(),
            [first, .., last] => format!("{}-{}", first.partition, last.partition),
            [] => unreachable!("a chunk has an element"),
        };
        format!("{}:{}", topic[0].topic, runs.map(run).collect::<Vec<_>>().join(","))
    });
    topics.collect::<Vec<_>>().join(" ")
}

fn offsets_text(offsets: &[OffsetView]) -> String {
    if offsets.is_empty() {
        return "  no committed offsets\n".into();
    }
    let [left, right] = [Align::Left, Align::Right];
    let mut table = Table::new([
        ("TOPIC", left),
        ("PARTITION", right),
        ("COMMITTED", right),
        ("LOG END", right),
        ("LAG", right),
        ("MEMBER", left),
        ("HOST", left),
    ]);
    for offset in offsets {
        let name = |name: &Option<String>| name.clone().unwrap_or(NOTHING.into());
        table.row([
            offset.topic.clone(),
            offset.partition.to_string(),
            number(offset.committed_offset),
            number(offset.log_end_offset),
            number(offset.lag),
            name(&offset.member_id),
            name(&offset.host),
        ]);
    }
    table.text("  ")
}

fn reset_text(reset: &ResetView) -> String {
    if reset.partitions.is_empty() {
        return "nothing to do\n".into();
    }
    let [left, right] = [Align::Left, Align::Right];
    let mut table = Table::new([("TOPIC", left), ("PARTITION", right), ("COMMITTED", right), ("NEW", right), ("NOTE", left)]);
    for partition in &reset.partitions {
        let ResetPartitionView { topic, partition, committed_offset, new_offset, note } = partition;
        let note = note.unwrap_or_default().to_owned();
        table.row([topic.clone(), partition.to_string(), number(*committed_offset), new_offset.to_string(), note]);
    }
    match reset.executed {
        true => table.text(""),
        false => table.text("") + "This is the plan: nothing was changed. --execute does it.\n",
    }
}
