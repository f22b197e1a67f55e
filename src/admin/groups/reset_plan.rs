//! What a reset commits: from where the group is and where the logs begin and end, to the new offsets. Pure.
//!
//! Invariant: `log_start <= planned offset <= log_end`, but for `--to-current`, which keeps what is committed.

use super::super::cluster::TopicPartition;
use crate::base::Timestamp;

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Earliest,
    Latest,
    Current,
    Offset(i64),
    ShiftBy(i64),
    /// The first record at or after this time.
    Time(Timestamp),
}

/// What is known of a partition; `None` where there is nothing or nobody could say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionFacts {
    pub committed: Option<i64>,
    pub log_start: Option<i64>,
    pub log_end: Option<i64>,
    pub at_time: Option<i64>,
}

/// One offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub partition: TopicPartition,
    pub committed: Option<i64>,
    pub offset: i64,
    /// Why it is not quite what was asked for.
    pub note: Option<&'static str>,
}

/// # Errors
/// A sentence for each partition that cannot be reset; then nothing is.
pub fn plan(target: Target, facts: impl Iterator<Item = (TopicPartition, PartitionFacts)>) -> Result<Vec<Planned>, Vec<String>> {
    let (mut planned, mut refused) = (Vec::new(), Vec::new());
    for (partition, facts) in facts {
        match plan_one(target, &facts) {
            Ok((offset, note)) => planned.push(Planned { partition, committed: facts.committed, offset, note }),
            Err(reason) => refused.push(format!("{partition}: {reason}")),
        }
    }
    if refused.is_empty() { Ok(planned) } else { Err(refused) }
}

fn plan_one(target: Target, facts: &PartitionFacts) -> Result<(i64, Option<&'static str>), &'static str> {
    if let (Target::Current, Some(committed)) = (target, facts.committed) {
        return Ok((committed, None));
    }
    let (Some(start), Some(end)) = (facts.log_start, facts.log_end) else {
        return Err("nobody can say where its log begins and ends; is the topic there, and has the partition a leader?");
    };
    let within = |offset: i64| match offset {
        offset if offset > end => (end, Some("the log ends here")),
        offset if offset < start => (start, Some("the log begins here")),
        offset => (offset, None),
    };
    Ok(match target {
        Target::Earliest => (start, None),
        Target::Latest => (end, None),
        Target::Current => (end, Some("nothing is committed: the end of the log")),
        Target::Offset(offset) => within(offset),
        Target::ShiftBy(records) => within(facts.committed.ok_or("nothing is committed that could be shifted")?.saturating_add(records)),
        Target::Time(_) => facts.at_time.map_or((end, Some("no record is that young: the end of the log")), within),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: PartitionFacts = PartitionFacts { committed: Some(50), log_start: Some(10), log_end: Some(100), at_time: Some(70) };
    const UNCOMMITTED: PartitionFacts = PartitionFacts { committed: None, ..FACTS };

    fn offset(target: Target, facts: PartitionFacts) -> i64 {
        plan_one(target, &facts).unwrap().0
    }

    #[test]
    fn each_target_is_found() {
        let time = Target::Time(Timestamp(1));
        assert_eq!(plan_one(Target::Earliest, &FACTS), Ok((10, None)));
        assert_eq!(plan_one(Target::Latest, &FACTS), Ok((100, None)));
        assert_eq!(plan_one(Target::Current, &FACTS), Ok((50, None)));
        assert_eq!(plan_one(Target::Offset(33), &FACTS), Ok((33, None)));
        assert_eq!(plan_one(Target::ShiftBy(-7), &FACTS), Ok((43, None)));
        assert_eq!(plan_one(time, &FACTS), Ok((70, None)));
        assert_eq!(offset(time, PartitionFacts { at_time: None, ..FACTS }), 100);
    }

    #[test]
    fn what_lies_outside_the_log_becomes_its_edge_and_says_so() {
        for (target, edge) in [
            (Target::Offset(101), 100),
            (Target::Offset(9), 10),
            (Target::Offset(-1), 10),
            (Target::ShiftBy(i64::MAX), 100),
            (Target::ShiftBy(i64::MIN), 10),
        ] {
            let (offset, note) = plan_one(target, &FACTS).unwrap();
            assert_eq!(offset, edge, "{target:?}");
            assert!(note.is_some(), "{target:?}");
        }
        assert_eq!(plan_one(Target::Offset(100), &FACTS), Ok((100, None)));
        assert_eq!(plan_one(Target::Offset(10), &FACTS), Ok((10, None)));
    }

    #[test]
    fn what_is_not_committed_cannot_be_shifted_and_current_is_the_end() {
        assert!(plan_one(Target::ShiftBy(1), &UNCOMMITTED).is_err());
        assert_eq!(offset(Target::Current, UNCOMMITTED), 100);
    }

    #[test]
    fn one_partition_that_cannot_be_reset_stops_all() {
        let partition = |partition| TopicPartition { topic: "t".into(), partition };
        let facts = [(partition(0), FACTS), (partition(1), PartitionFacts { log_end: None, ..FACTS })];
        assert_eq!(plan(Target::Current, facts.clone().into_iter()).unwrap().len(), 2, "that needs no log");
        let refused = plan(Target::Latest, facts.into_iter()).unwrap_err();
        assert!(refused.len() == 1 && refused[0].starts_with("t-1: "), "{refused:?}");
    }
}
