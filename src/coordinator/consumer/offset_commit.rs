//! OffsetCommit and OffsetFetch: whose epoch lets them.
//!
//! Source: KIP-848; KIP-1251: a commit of an older epoch is good for partitions that the member has had since then.

use super::change::PendingWrite;
use super::group::ConsumerGroup;
use super::record::Current;
use crate::base::ErrorCode;
use crate::coordinator::effect::{Response, Turn};
use crate::coordinator::event::CommitOffsetsRequest;
use crate::coordinator::ids::{MemberId, RequestToken};
use crate::coordinator::offset_write::OffsetWrite;

impl ConsumerGroup {
    pub(super) fn commit_offsets(&mut self, token: RequestToken, request: CommitOffsetsRequest, turn: &mut Turn) {
        if let Err(error) = self.check_commit(&request) {
            return turn.respond(token, Response::CommitOffsets(vec![error; request.offsets.len()]));
        }
        let write = OffsetWrite::commit(&self.id, &self.config, token, request.offsets, request.retention_ms, turn);
        if let Some((records, write)) = write {
            self.persist(records, PendingWrite::Offsets(write), turn);
        }
    }

    fn check_commit(&self, request: &CommitOffsetsRequest) -> Result<(), ErrorCode> {
        if request.generation_id < 0 && self.memory.members().is_empty() {
            // A simple consumer or an admin client: free to commit as long as the group has no members.
            return Ok(());
        }
        let member = self.memory.member(&request.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let current = self.memory.current(&request.member_id);
        if member.classic.is_some() {
            return if request.generation_id == current.epoch { Ok(()) } else { Err(ErrorCode::IllegalGeneration) };
        }
        if !request.knows_group_id_not_found {
            // An older version cannot say what an epoch is, nor be told that it is stale.
            return Err(ErrorCode::UnsupportedVersion);
        }
        match request.generation_id.cmp(&current.epoch) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less if self.has_had_all(&current, request) => Ok(()),
            _ => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    fn has_had_all(&self, current: &Current, request: &CommitOffsetsRequest) -> bool {
        request.offsets.iter().all(|offset| {
            let Some(topic) = self.topics.find(offset.partition.topic.as_str()) else { return false };
            let owned = [&current.assigned, &current.pending_revocation];
            let since = owned.iter().find_map(|owned| owned.get(&topic.id)?.get(&offset.partition.partition));
            since.is_some_and(|since| *since <= request.generation_id)
        })
    }

    /// Whether the sender of an OffsetFetch may have an answer. A negative epoch: it does not say who it is.
    ///
    /// # Errors
    /// `UnknownMemberId`, `StaleMemberEpoch`, or `IllegalGeneration` for a member of the classic protocol.
    pub fn check_fetch(&self, id: Option<&MemberId>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(id) = id.filter(|id| !id.is_empty() || epoch >= 0) else { return Ok(()) };
        let member = self.memory.member(id).ok_or(ErrorCode::UnknownMemberId)?;
        match self.memory.current(id).epoch == epoch {
            true => Ok(()),
            false if member.classic.is_some() => Err(ErrorCode::IllegalGeneration),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}
