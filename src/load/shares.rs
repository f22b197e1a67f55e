//! Divides a run among worker threads: which producer writes to which partition, which consumer reads it, who sits where.
//!
//! Pure. Invariants: every partition has exactly one consumer; the lanes of a run are numbered 0, 1, 2, … without holes, so that their
//! schedules interleave evenly; the quotas of all lanes add up to `--messages`.

use super::arguments::{RunArguments, Spread};
use super::batch_writer::RECORD_OVERHEAD_BYTES_MAX;
use super::identity::ProducerNumber;
use super::schedule::Schedule;
use super::worker::{LanePlan, ReadingPlan, Share};
use crate::wire::batch::BATCH_HEADER_BYTES;

/// How many messages fit a batch before compression; at least one.
pub fn messages_per_batch(batch_bytes: usize, message_bytes: usize) -> u64 {
    (batch_bytes.saturating_sub(BATCH_HEADER_BYTES) / (message_bytes + RECORD_OVERHEAD_BYTES_MAX)).max(1) as u64
}

/// One share per thread. `positions`: where reading starts, by partition. `schedule(lane, lanes, quota)` makes a lane's schedule.
pub fn divide(arguments: &RunArguments, partitions: usize, positions: &[i64], schedule: impl Fn(u64, u64, u64) -> Schedule) -> Vec<Share> {
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
            plans[producer].push(LanePlan { index, schedule: schedule(lane, lanes, quota) });
        }
        for (producer, plans) in plans.into_iter().enumerate().filter(|(_, plans)| !plans.is_empty()) {
            shares[producer % arguments.threads].producers.push((ProducerNumber(producer as u32), plans));
        }
    }
    if arguments.consumes() {
        let mut readings: Vec<Vec<ReadingPlan>> = vec![Vec::new(); arguments.consumers];
        for (index, position) in positions.iter().enumerate() {
            readings[index % arguments.consumers].push(ReadingPlan { index, position: *position });
        }
        // Consumers fill the threads from the other end, so that few of both do not share one.
        for (consumer, readings) in readings.into_iter().enumerate().filter(|(_, readings)| !readings.is_empty()) {
            shares[arguments.threads - 1 - consumer % arguments.threads].consumers.push(readings);
        }
    }
    shares
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
        let positions: Vec<i64> = (0..partitions as i64).collect();
        divide(&arguments, partitions, &positions, |lane, lanes, quota| Schedule::new(Pace::AsFastAsPossible, lane, lanes, quota))
    }

    fn drained(shares: &mut [Share]) -> u64 {
        let plans = shares.iter_mut().flat_map(|share| &mut share.producers).flat_map(|(_, plans)| plans);
        let taken = plans.map(|plan| {
            plan.schedule.start(0, u64::MAX);
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
        let mut read: Vec<usize> = shares.iter().flat_map(|s| &s.consumers).flatten().map(|reading| reading.index).collect();
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
}
