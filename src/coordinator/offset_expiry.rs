//! When a committed offset is past its retention (KIP-211).
//!
//! Pure functions. Invariant: an offset of a topic that a live member reads never expires.

use super::classic::state::GroupState;
use super::offsets::CommittedOffset;
use crate::base::Timestamp;

/// From when on the retention of a group's offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionStart {
    /// Since the group became empty.
    Since(Timestamp),
    /// Since each offset's own commit: simple consumers, old records, and topics that a stable group no longer reads.
    SinceCommit,
    /// Nothing expires now.
    Never,
}

/// The rule for a group as it stands. `knows_subscriptions`: its members are consumers with legible subscriptions.
pub fn retention_start(has_protocol_type: bool, state: GroupState, state_since: Timestamp, knows_subscriptions: bool) -> RetentionStart {
    match state {
        _ if !has_protocol_type => RetentionStart::SinceCommit,
        GroupState::Empty if state_since == Timestamp::NONE => RetentionStart::SinceCommit,
        GroupState::Empty => RetentionStart::Since(state_since),
        GroupState::Stable if knows_subscriptions => RetentionStart::SinceCommit,
        _ => RetentionStart::Never,
    }
}

/// Whether one offset has expired. An expiry that the client asked for itself (OffsetCommit 2–4) goes before the broker's rule.
pub fn has_expired(offset: &CommittedOffset, start: RetentionStart, now_ms: i64, retention_ms: i64) -> bool {
    let since = match (start, offset.expire_timestamp) {
        (RetentionStart::Never, _) => return false,
        (_, Some(expire_timestamp)) => return now_ms >= expire_timestamp.0,
        (RetentionStart::Since(timestamp), None) => timestamp,
        (RetentionStart::SinceCommit, None) => offset.commit_timestamp,
    };
    now_ms.saturating_sub(since.0) >= retention_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LeaderEpoch, Offset, TopicId};

    fn offset(commit_ms: i64, expire_ms: Option<i64>) -> CommittedOffset {
        CommittedOffset {
            offset: Offset(1),
            leader_epoch: LeaderEpoch::UNKNOWN,
            metadata: "".into(),
            commit_timestamp: Timestamp(commit_ms),
            expire_timestamp: expire_ms.map(Timestamp),
            topic_id: TopicId::ZERO,
        }
    }

    #[test]
    fn an_empty_group_keeps_its_offsets_since_it_became_empty() {
        let start = retention_start(true, GroupState::Empty, Timestamp(1000), true);
        assert!(!has_expired(&offset(0, None), start, 1099, 100));
        assert!(has_expired(&offset(0, None), start, 1100, 100));
    }

    #[test]
    fn a_simple_consumers_offsets_count_from_their_commit() {
        let start = retention_start(false, GroupState::Empty, Timestamp(1000), false);
        assert_eq!(start, RetentionStart::SinceCommit);
        assert!(has_expired(&offset(0, None), start, 100, 100));
        assert!(!has_expired(&offset(1, None), start, 100, 100));
    }

    #[test]
    fn nothing_expires_while_a_group_rebalances_or_its_subscriptions_are_unknown() {
        for state in [GroupState::PreparingRebalance, GroupState::CompletingRebalance] {
            assert_eq!(retention_start(true, state, Timestamp(0), true), RetentionStart::Never);
        }
        assert_eq!(retention_start(true, GroupState::Stable, Timestamp(0), false), RetentionStart::Never);
        assert_eq!(retention_start(true, GroupState::Stable, Timestamp(0), true), RetentionStart::SinceCommit);
    }

    #[test]
    fn an_explicit_expiry_goes_first() {
        assert!(has_expired(&offset(0, Some(50)), RetentionStart::SinceCommit, 50, 100));
        assert!(!has_expired(&offset(0, Some(500)), RetentionStart::SinceCommit, 400, 100));
        assert!(!has_expired(&offset(0, Some(50)), RetentionStart::Never, 400, 100));
    }
}
