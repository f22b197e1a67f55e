//! Where a log begins, and how much it holds: what DeleteRecords moves and DescribeLogDirs shows.
//!
//! Lives on the partition's core. Invariant: `log_start_offset <= high_watermark`.

use std::rc::Rc;

use super::{Partition, error_code};
use crate::base::{ErrorCode, Offset};
use crate::shard::Shard;

/// A partition's log, as DescribeLogDirs counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogExtent {
    pub size_bytes: u64,
    /// By how many records the log is behind the high watermark.
    pub offset_lag: i64,
}

impl Partition {
    /// Deletes the records below `before`, or, with `None`, all below the high watermark (KIP-107). Answers where the log starts now, which is above
    /// `before` if more is gone already. The segments wholly below go with the next tick; the caller has the new start written down.
    ///
    /// # Errors
    /// `PolicyViolation` for a topic that is compacted and not to lose records otherwise, `OffsetOutOfRange` for an offset that is negative or above the
    /// high watermark, `KafkaStorageError` if the log is offline.
    pub fn delete_records(self: &Rc<Self>, shard: &Rc<Shard>, before: Option<Offset>) -> Result<Offset, ErrorCode> {
        let log_start_offset = {
            let mut state = self.state_mut()?;
            let policy = state.config.cleanup_policy;
            if policy.compact && !policy.delete {
                return Err(ErrorCode::PolicyViolation);
            }
            let high_watermark = state.high_watermark.offset;
            let before = before.unwrap_or(high_watermark);
            if before < Offset::ZERO || before > high_watermark {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            state.log.advance_log_start_offset(before).map_err(|error| error_code(&error))?;
            state.log.log_start_offset()
        };
        self.start_jobs(shard);
        Ok(log_start_offset)
    }

    /// How much the log holds.
    ///
    /// # Errors
    /// `NotLeaderOrFollower` if the partition was given up.
    pub fn extent(&self) -> Result<LogExtent, ErrorCode> {
        let state = self.state()?;
        let offset_lag = (state.high_watermark.offset.0 - state.log.log_end_offset().0).max(0);
        Ok(LogExtent { size_bytes: state.log.size_bytes(), offset_lag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::run_here;
    use crate::shard::test_cores::TestCores;

    /// A partition with offsets 0 to 2, all readable.
    fn delete(configs: &[(&str, &str)], before: &[Option<i64>]) -> Vec<Result<Offset, ErrorCode>> {
        let (configs, before) = (configs.to_vec(), before.to_vec());
        let cores = TestCores::new(1, &configs);
        run_here(async move {
            cores.append(0, &[b"a", b"b", b"c"]).unwrap();
            before.iter().map(|before| cores.partition(0).delete_records(&cores.shard(0), before.map(Offset))).collect()
        })
    }

    #[test]
    fn the_start_rises_up_to_the_high_watermark_and_never_falls() {
        let (out_of_range, at) = (Err(ErrorCode::OffsetOutOfRange), |offset| Ok(Offset(offset)));
        let asked = [Some(0), Some(2), Some(1), Some(4), Some(-2), Some(i64::MIN), None, Some(3), Some(0)];
        let answers = [at(0), at(2), at(2), out_of_range, out_of_range, out_of_range, at(3), at(3), at(3)];
        assert_eq!(delete(&[], &asked), answers);
    }

    #[test]
    fn what_is_only_compacted_keeps_its_records() {
        assert_eq!(delete(&[("cleanup.policy", "compact")], &[None]), [Err(ErrorCode::PolicyViolation)]);
        for policy in ["delete", "compact,delete", ""] {
            assert_eq!(delete(&[("cleanup.policy", policy)], &[Some(1)]), [Ok(Offset(1))], "{policy:?}");
        }
    }
}
