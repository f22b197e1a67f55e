//! Divides a run among worker threads: which producer writes to which partition, which consumer reads it, who sits where.
//!
//! Pure. Invariants: every partition has exactly one consumer in each copy of the readers; the lanes of a run are numbered 0, 1, 2, … without holes, so that their
//! schedules interleave evenly; the quotas of all lanes add up to `--messages`.

use super::arguments::{RunArguments, Spread};
use super::batch_writer::RECORD_OVERHEAD_BYTES_MAX;
use super::consumer::ReaderRules;
use super::identity::ProducerNumber;
use super::outcome::Role;
use super::schedule::Schedule;
use super::worker::{ConsumerPlan, LanePlan, ReadingPlan, Share};
use crate::wire::batch::BATCH_HEADER_BYTES;

/// How many messages fit a batch before compression; at least one. `key_bytes`: 0 if records have no keys.
pub fn messages_per_batch(batch_bytes: usize, message_bytes: usize, key_bytes: usize) -> u64 {
    (batch_bytes.saturating_sub(BATCH_HEADER_BYTES) / (message_bytes + key_bytes + RECORD_OVERHEAD_BYTES_MAX)).max(1) as u64
}

/// Where readers begin, by partition.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// Of readers of what is new, or with `--mode consume` of what was asked for.
    pub tail: Vec<i64>,
    /// Where the logs begin; empty if nobody reads from there.
    pub earliest: Vec<i64>,
}

/// One share per thread.
pub fn divide(arguments: &RunArguments, partitions: usize, positions: &Positions) -> Vec<Share> {
    let mut shares = vec![Share::default(); arguments.threads];
    if arguments.produces() {
        let pairs: Vec<(usize, usize)> = match arguments.spread {
            Spread::Every => (0..partitions).flat_map(|index| (0..arguments.producers).map(move |producer| (producer, index))).collect(),
            Spread::Own => (0..partitions).map(|index| (index % arguments.producers, index)).collect(),
        };
        let lanes = pairs.len() as u64;
        let mut plans: Vec<Vec<LanePlan>> = vec![Vec::new(); arguments.producers];
        for (lane, (producer, index)) in pairs.into_iter().enumerate() {
            let lane = lane as u64;
            let quota = arguments.messages.map_or(u64::MAX, |messages| messages / lanes + u64::from(lane < messages % lanes));
            plans[producer].push(LanePlan { index, schedule: Schedule::new(lane, lanes, quota) });
        }
        for (producer, plans) in plans.into_iter().enumerate().filter(|(_, plans)| !plans.is_empty()) {
            shares[producer % arguments.threads].producers.push((ProducerNumber(producer as u32), plans));
        }
    }
    let consumers = consumers(arguments, positions);
    for (number, plan) in consumers.into_iter().enumerate() {
        // Consumers fill the threads from the other end, so that few of both do not share one.
        shares[arguments.threads - 1 - number % arguments.threads].consumers.push(plan);
    }
    let clients = |share: &Share| share.producers.len() + share.consumers.len();
    let all: usize = shares.iter().map(clients).sum();
    for share in &mut shares {
        share.churn_per_s = arguments.churn * clients(share) as f64 / all.max(1) as f64;
    }
    shares
}

/// The consumers of all copies of all kinds of readers.
fn consumers(arguments: &RunArguments, positions: &Positions) -> Vec<ConsumerPlan> {
    let mut plans = Vec::new();
    for class in arguments.reader_classes() {
        let positions = if class.role == Role::BackfillReader { &positions.earliest } else { &positions.tail };
        for copy in 0..class.copies {
            let rules = ReaderRules {
                role: class.role,
                copy,
                sizes: arguments.fetch_sizes(class.messages_per_s_max),
                messages_per_s_max: class.messages_per_s_max,
            };
            let mut readings: Vec<Vec<ReadingPlan>> = vec![Vec::new(); class.consumers];
            for (index, position) in positions.iter().enumerate() {
                readings[index % class.consumers].push(ReadingPlan { index, position: *position });
            }
            plans.extend(readings.into_iter().filter(|readings| !readings.is_empty()).map(|readings| ConsumerPlan { rules, readings }));
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::arguments::Arguments;
    use crate::load::schedule::Pace;
    use clap::Parser;

    fn divided(line: &str, partitions: usize) -> Vec<Share> {
        let words = std::iter::once("pagewire-load").chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(words).expect("arguments").run;
        let tail: Vec<i64> = (0..partitions as i64).collect();
        divide(&arguments, partitions, &Positions { earliest: vec![0; tail.len()], tail })
    }

    fn drained(shares: &mut [Share]) -> u64 {
        let plans = shares.iter_mut().flat_map(|share| &mut share.producers).flat_map(|(_, plans)| plans);
        let taken = plans.map(|plan| {
            plan.schedule.start(Pace::AsFastAsPossible, 0, u64::MAX);
            std::iter::from_fn(|| plan.schedule.take(1)).count() as u64
        });
        taken.sum()
    }

    #[test]
    fn quotas_add_up() {
        for line in ["--messages 1003 --producers 3", "--messages 1003 --producers 3 --spread own", "--messages 2 --producers 7"] {
            assert_eq!(drained(&mut divided(line, 5)), if line.contains(" 2 ") { 2 } else { 1003 }, "{line}");
        }
    }

    #[test]
    fn every_partition_has_one_reader_and_its_writers() {
        let shares = divided("--threads 2 --producers 3 --consumers 2", 5);
        let mut read: Vec<usize> =
            shares.iter().flat_map(|s| &s.consumers).flat_map(|plan| &plan.readings).map(|reading| reading.index).collect();
        read.sort_unstable();
        assert_eq!(read, [0, 1, 2, 3, 4]);
        let lanes = |share: &Share| share.producers.iter().map(|(_, plans)| plans.len()).collect::<Vec<_>>();
        assert_eq!((lanes(&shares[0]), lanes(&shares[1])), (vec![5, 5], vec![5]));
        let own = divided("--producers 3 --spread own", 5);
        assert_eq!(lanes(&own[0]), [2, 2, 1]);
    }

    #[test]
    fn one_producer_and_one_consumer_take_a_thread_each() {
        let shares = divided("--threads 2", 1);
        assert_eq!((shares[0].producers.len(), shares[0].consumers.len()), (1, 0));
        assert_eq!((shares[1].producers.len(), shares[1].consumers.len()), (0, 1));
    }

    #[test]
    fn every_copy_of_every_kind_reads_every_partition() {
        let line = "--fan-out 2 --consumers 2 --backfill-readers 1 --slow-readers 3 --slow-reader-rate 10 --churn 12";
        let shares = divided(line, 4);
        let plans = &shares[0].consumers;
        let of = |role: Role| plans.iter().filter(|plan| plan.rules.role == role).collect::<Vec<_>>();
        assert_eq!((of(Role::TailReader).len(), of(Role::BackfillReader).len(), of(Role::SlowReader).len()), (4, 1, 3));
        assert!(of(Role::TailReader).iter().all(|plan| plan.readings.len() == 2));
        assert!(of(Role::BackfillReader)[0].readings.iter().all(|reading| reading.position == 0));
        assert_eq!(of(Role::SlowReader)[2].readings.iter().map(|reading| reading.position).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(of(Role::SlowReader)[0].rules.messages_per_s_max == Some(10.0) && shares[0].churn_per_s == 12.0);
    }
}
