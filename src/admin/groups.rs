//! `pagewire groups`: list, describe and delete consumer groups and reset their offsets, at any broker that speaks Kafka's protocol.
//!
//! Main thread. `coordinator` asks a group's coordinator, `log_offsets` the leaders; `reset_plan` decides what a reset commits;
//! `view` is what is printed. Invariant: nothing is changed without `delete` or `--execute`, and no offset of a group with members.

mod arguments;
mod coordinator;
mod log_offsets;
mod reset_plan;
mod times;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use arguments::{GroupsCommand, ResetFlags, Sections, TargetFlags, TopicScope};
pub use view::Outcome;

use self::log_offsets::{EARLIEST, LATEST, log_offsets};
use self::reset_plan::{PartitionFacts, Target};
use self::view::{GroupView, OffsetView, ResetView};
use super::cluster::{Cluster, TopicPartition};
use super::refusal::{AdminError, done_or_refused};
use crate::io::clock;

/// Runs one command against the cluster of the broker at `bootstrap`.
///
/// # Errors
/// A broker cannot be asked or refuses, or the command would do harm.
pub fn run(bootstrap: &str, command: &GroupsCommand) -> Result<Outcome, AdminError> {
    let mut cluster = Cluster::connect(bootstrap)?;
    match command {
        GroupsCommand::List { states, types } => {
            let mut groups = coordinator::list(&mut cluster)?;
            let passes = |filter: &[String], value: &str| filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(value));
            groups.retain(|group| passes(states, &group.state) && passes(types, &group.group_type));
            Ok(Outcome::List(groups))
        }
        GroupsCommand::Describe { names, sections } => {
            let described = names.iter().map(|name| describe(&mut cluster, name, sections.or_all())).collect::<Result<_, _>>()?;
            Ok(Outcome::Described(described))
        }
        GroupsCommand::Delete { names, if_exists } => delete(&mut cluster, names, *if_exists),
        GroupsCommand::ResetOffsets(flags) => reset(&mut cluster, flags),
    }
}

fn describe(cluster: &mut Cluster, name: &str, sections: Sections) -> Result<GroupView, AdminError> {
    let mut group = coordinator::describe(cluster, name)?.ok_or_else(|| AdminError::Declined(format!("there is no group {name:?}")))?;
    if sections.offsets {
        group.offsets = Some(offsets(cluster, &group)?);
    }
    if !sections.members {
        group.members = None;
    }
    Ok(group)
}

/// What the group committed and what its members own, against the ends of the logs.
fn offsets(cluster: &mut Cluster, group: &GroupView) -> Result<Vec<OffsetView>, AdminError> {
    let committed = coordinator::committed(cluster, &group.group)?;
    let owners: BTreeMap<TopicPartition, &view::MemberView> = group
        .members
        .iter()
        .flatten()
        .flat_map(|member| member.partitions.iter().flatten().map(move |partition| (partition.clone(), member)))
        .collect();
    let partitions: BTreeSet<TopicPartition> = committed.keys().chain(owners.keys()).cloned().collect();
    let ends = log_offsets(cluster, &partitions, LATEST)?;
    Ok(partitions
        .into_iter()
        .map(|partition| {
            OffsetView::new(committed.get(&partition).copied(), ends.get(&partition).copied(), owners.get(&partition), partition)
        })
        .collect())
}

/// Deletes what can be deleted, and then tells what could not.
fn delete(cluster: &mut Cluster, names: &[String], if_exists: bool) -> Result<Outcome, AdminError> {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        match coordinator::delete(cluster, name) {
            Ok(()) => done.push(name.clone()),
            Err(error) if if_exists && error.code() == Some(coordinator::GROUP_ID_NOT_FOUND) => {}
            Err(error) => refused.push(error),
        }
    }
    Ok(Outcome::Done { done: done_or_refused(done, refused)? })
}

fn reset(cluster: &mut Cluster, flags: &ResetFlags) -> Result<Outcome, AdminError> {
    let name = &flags.group;
    // A group that is not there has no members: its first offsets may be set.
    if let Some(group) = coordinator::describe(cluster, name)? {
        let members = group.members.as_ref().map_or(0, Vec::len);
        if members > 0 || !matches!(group.state.as_str(), "Empty" | "Dead") {
            return Err(AdminError::Declined(format!(
                "group {name:?} is in use ({}, {members} of its consumers run): stop them, then reset its offsets",
                group.state
            )));
        }
    }
    let committed = coordinator::committed(cluster, name)?;
    let partitions = partitions_in_scope(cluster, flags, &committed)?;
    let target = flags.target.target(clock::wall_ms());
    let starts = log_offsets(cluster, &partitions, EARLIEST)?;
    let ends = log_offsets(cluster, &partitions, LATEST)?;
    let at_time = match target {
        Target::Time(time) => log_offsets(cluster, &partitions, time.0)?,
        _ => BTreeMap::new(),
    };
    let facts = partitions.into_iter().map(|partition| {
        let facts = PartitionFacts {
            committed: committed.get(&partition).copied(),
            log_start: starts.get(&partition).copied(),
            log_end: ends.get(&partition).copied(),
            at_time: at_time.get(&partition).copied(),
        };
        (partition, facts)
    });
    let plan =
        reset_plan::plan(target, facts).map_err(|reasons| AdminError::Several(reasons.into_iter().map(AdminError::Declined).collect()))?;
    if flags.execute && !plan.is_empty() {
        coordinator::commit(cluster, name, plan.iter().map(|planned| (&planned.partition, planned.offset)))?;
    }
    Ok(Outcome::Reset(ResetView::new(name, flags.execute, plan)))
}

fn partitions_in_scope(
    cluster: &mut Cluster,
    flags: &ResetFlags,
    committed: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeSet<TopicPartition>, AdminError> {
    if flags.all_topics {
        return Ok(committed.keys().cloned().collect());
    }
    let topics: BTreeSet<String> = flags.topics.iter().map(|scope| scope.topic.clone()).collect();
    let known: Vec<TopicPartition> = cluster.leaders(&topics)?.into_keys().collect();
    let mut wanted = BTreeSet::new();
    for scope in &flags.topics {
        let all: BTreeSet<TopicPartition> = known.iter().filter(|partition| partition.topic == scope.topic).cloned().collect();
        if all.is_empty() {
            return Err(AdminError::Declined(format!("there is no topic {:?}", scope.topic)));
        }
        match &scope.partitions {
            None => wanted.extend(all),
            Some(partitions) => {
                for partition in partitions {
                    let partition = TopicPartition { topic: scope.topic.clone(), partition: *partition };
                    if !all.contains(&partition) {
                        let TopicPartition { topic, partition } = partition;
                        return Err(AdminError::Declined(format!(
                            "topic {topic:?} has {} partitions, and none numbered {partition}",
                            all.len()
                        )));
                    }
                    wanted.insert(partition);
                }
            }
        }
    }
    Ok(wanted)
}
