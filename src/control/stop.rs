//! From stopped cores to a data directory that the next start, ours or Apache Kafka's, opens without reading data.
//!
//! Runs after the last core has ended; blocking. Invariant: the clean-shutdown marker is written last, after everything it vouches for.

use std::path::Path;

use super::checkpoints::{self, Unopened};
use crate::io::thread::on_threads;
use crate::log::clean_shutdown;
use crate::shard::{PartitionCheckpoint, StoppedCore, StoppedLog};

/// Kafka writes the epoch its controller gave the broker; an embedded controller gives none.
const NO_BROKER_EPOCH: i64 = -1;

/// What closing all logs came to.
pub struct ClosedLogs {
    pub checkpoints: Vec<PartitionCheckpoint>,
    /// One sentence for each log that was not closed cleanly.
    pub failures: Vec<String>,
}

/// Closes every log, on several threads. One that never opened was not closed cleanly either: the next start must look at it.
pub fn close_all(cores: Vec<StoppedCore>, unopened: Vec<Unopened>, threads: usize) -> ClosedLogs {
    let mut shares: Vec<Vec<StoppedLog>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
    for (position, log) in cores.into_iter().flat_map(|core| core.logs).enumerate() {
        let share = position % shares.len();
        shares[share].push(log);
    }
    let mut result = ClosedLogs { checkpoints: Vec::new(), failures: Vec::new() };
    for (checkpoint, failure) in on_threads(shares, |share| share.into_iter().map(close).collect::<Vec<_>>()).into_iter().flatten() {
        result.checkpoints.push(checkpoint);
        result.failures.extend(failure);
    }
    for Unopened { checkpoint, why, .. } in unopened {
        result.checkpoints.push(checkpoint);
        result.failures.push(why);
    }
    result
}

/// What to write down of a log, and the failure if it was not closed cleanly. Such a log has its lines too: without its start, records that were deleted
/// would be back.
fn close(stopped: StoppedLog) -> (PartitionCheckpoint, Option<String>) {
    let StoppedLog { topic, index, log, has_work_under_way } = stopped;
    let name = format!("{topic}-{index}");
    let offline = log.offline_reason().map(str::to_owned);
    let unclean = PartitionCheckpoint {
        topic,
        index,
        recovery_point: Some(log.recovery_point()),
        // What lies behind is looked at by the next start.
        high_watermark: Some(log.recovery_point()),
        log_start_offset: log.log_start_offset_to_checkpoint(),
        first_dirty_offset: log.first_dirty_offset_to_checkpoint(),
    };
    let closed = match log.close(!has_work_under_way) {
        Ok(closed) => closed,
        Err(error) => return (unclean, Some(format!("{name}: {error}"))),
    };
    if !closed.clean {
        let failure = match offline {
            Some(why) => format!("{name} is offline: {why}"),
            None => format!("{name}: the disk did not finish its work in time"),
        };
        return (unclean, Some(failure));
    }
    let checkpoint = PartitionCheckpoint {
        recovery_point: Some(closed.recovery_point),
        high_watermark: Some(closed.log_end_offset),
        log_start_offset: closed.log_start_offset,
        first_dirty_offset: closed.first_dirty_offset,
        ..unclean
    };
    (checkpoint, None)
}

/// Writes the checkpoints, and behind them the marker if every log was closed cleanly.
///
/// # Errors
/// What was not, as one sentence.
pub fn mark(data_dir: &Path, closed: &ClosedLogs) -> Result<(), String> {
    checkpoints::write(data_dir, &closed.checkpoints).map_err(|error| format!("cannot write the checkpoints: {error}"))?;
    if !closed.failures.is_empty() {
        return Err(closed.failures.join("; "));
    }
    clean_shutdown::write(data_dir, NO_BROKER_EPOCH).map_err(|error| format!("cannot write the clean-shutdown marker: {error}"))
}
