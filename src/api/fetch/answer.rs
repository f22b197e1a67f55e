//! The answer to a fetch: bytes around ranges of files.

use std::rc::Rc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Asker;
use super::plan::Plan;
use super::session::Session;
use crate::api::message::RequestInfo;
use crate::base::{BrokerId, ErrorCode};
use crate::net::response::Response;
use crate::shard::Shard;
use crate::shard::fetch_session::NO_SESSION;
use crate::shard::partition::ReadAnswer;
use crate::shard::reads::ReadAnswers;
use crate::wire::fetch::{FetchResponse, PartitionResponse, RecordsGaps, encode_response};

pub(super) fn refuse(info: RequestInfo, error_code: ErrorCode) -> Response {
    let mut head = Vec::with_capacity(32);
    let response = FetchResponse { throttle_time_ms: 0, error_code, session_id: NO_SESSION, partitions: &[], node_endpoints: &[] };
    encode_response(info.version, info.correlation_id, &response, &mut head, &mut RecordsGaps::new());
    Response::new(head)
}

/// Writes the answer from what was read; of a session, only what its client does not know.
pub(super) fn encode(shard: &Rc<Shard>, plan: &mut Plan, answers: ReadAnswers, asker: Asker) -> Response {
    let Asker { session, limited } = asker;
    let Some(limited) = limited else { return encode_whole(shard, plan, answers, session) };
    let throttle_ms = limited.would_throttle_ms(answers.iter().map(ReadAnswer::bytes).sum());
    if throttle_ms == 0 {
        let response = encode_whole(shard, plan, answers, session);
        limited.record(shard, response.len());
        return response;
    }
    // KIP-219: nothing is sent now, and the client hears when to ask again. The partitions stay as they are.
    shard.count_throttle(throttle_ms);
    let (error_code, session_id) = session.map_or((ErrorCode::None, NO_SESSION), Session::throttled);
    let mut head = Vec::with_capacity(32);
    let response = FetchResponse { throttle_time_ms: throttle_ms, error_code, session_id, partitions: &[], node_endpoints: &[] };
    encode_response(plan.info.version, plan.info.correlation_id, &response, &mut head, &mut RecordsGaps::new());
    Response { mute_ms: throttle_ms, ..Response::new(head) }
}

fn encode_whole(shard: &Rc<Shard>, plan: &mut Plan, mut answers: ReadAnswers, session: Option<Session>) -> Response {
    let (error_code, session_id) = match session {
        Some(session) => session.settle(shard, plan, &answers),
        None => (ErrorCode::None, NO_SESSION),
    };
    let partitions: SmallVec<[PartitionResponse<'_>; 1]> = plan
        .partitions
        .iter()
        .map(|partition| {
            let topic = plan.topics[partition.topic].reference();
            match partition.read {
                Ok(read) => {
                    let answer = &answers[read];
                    PartitionResponse {
                        high_watermark: answer.high_watermark,
                        // Without transactions everything below the high watermark is stable.
                        last_stable_offset: answer.high_watermark,
                        log_start_offset: answer.log_start_offset,
                        aborted_transactions: plan.read_committed.then_some(&[]),
                        preferred_read_replica: BrokerId(-1),
                        records_bytes: answer.bytes(),
                        ..PartitionResponse::refused(topic, partition.index, answer.error)
                    }
                }
                Err(error) => PartitionResponse::refused(topic, partition.index, error),
            }
        })
        .collect();
    let mut head = Vec::with_capacity(64 + 80 * partitions.len());
    let mut gaps = RecordsGaps::with_capacity(partitions.len());
    let response = FetchResponse { throttle_time_ms: 0, error_code, session_id, partitions: &partitions, node_endpoints: &[] };
    encode_response(plan.info.version, plan.info.correlation_id, &response, &mut head, &mut gaps);

    let mut response = Response::new(head);
    let Some(first) = gaps.first() else { return response };
    for (place, gap) in gaps.iter().enumerate() {
        let read = *plan.partitions[gap.partition].read.as_ref().expect("only partitions that were read have records");
        std::mem::take(&mut answers[read].ranges).into_iter().for_each(|range| response.push_file(range));
        let end = gaps.get(place + 1).map_or(response.head.len(), |next| next.at);
        if end > gap.at {
            response.push_bytes(Bytes::copy_from_slice(&response.head[gap.at..end]));
        }
    }
    response.head.truncate(first.at);
    response
}
