//! What the tests of this folder share: batches to append, and a log that does its background work at once.

use std::path::Path;
use std::sync::Arc;

use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::io::FileRange;
use crate::log::{Log, LogConfig, OpenContext, ReadOutcome, RecoveryReport};
use crate::wire::batch::{Attributes, BATCH_CRC_START, BATCH_HEADER_BYTES, Batch, BatchHeader, check_stored};

pub const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A batch as a producer sends it: `records` offsets and `payload` bytes behind the header, which are no real records.
pub fn batch(records: i32, payload: usize, max_timestamp: i64) -> Vec<u8> {
    let mut header = BatchHeader {
        base_offset: Offset(0),
        batch_length: (BATCH_HEADER_BYTES - 12 + payload) as i32,
        partition_leader_epoch: LeaderEpoch(-1),
        magic: 2,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: records - 1,
        base_timestamp: Timestamp(max_timestamp),
        max_timestamp: Timestamp(max_timestamp),
        producer_id: ProducerId(-1),
        producer_epoch: -1,
        base_sequence: -1,
        records_count: records,
    };
    let mut bytes = vec![0; BATCH_HEADER_BYTES + payload];
    bytes[BATCH_HEADER_BYTES..].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i as u8) ^ (max_timestamp as u8));
    header.write(bytes.first_chunk_mut().unwrap());
    header.crc = crc32c::crc32c(&bytes[BATCH_CRC_START..]);
    header.write(bytes.first_chunk_mut().unwrap());
    bytes
}

pub fn append(log: &mut Log, batches: &[Vec<u8>]) -> super::super::Appended {
    let batches: Vec<Batch<'_>> = batches.iter().map(|bytes| Batch::stored(bytes).unwrap()).collect();
    log.append(&batches, LeaderEpoch(0), NOW).unwrap()
}

/// Performs background work until there is none.
pub fn work(log: &mut Log) {
    while log.has_jobs() {
        for job in log.take_jobs() {
            let done = job.perform();
            log.job_done(done);
        }
    }
}

pub fn open(directory: &Path, config: &LogConfig, context: OpenContext) -> (Log, RecoveryReport) {
    Log::open(directory, Arc::new(config.clone()), OpenContext { now: NOW, ..context }).unwrap()
}

pub fn clean_at(recovery_point: Offset) -> OpenContext {
    OpenContext { clean: true, recovery_point: Some(recovery_point), ..OpenContext::default() }
}

pub fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 150, segment_ms: i64::MAX, retention_ms: -1, ..LogConfig::default() }
}

/// Reads, opening segments and reading ahead as a shard would.
pub fn read(log: &mut Log, offset: Offset, max_bytes: usize) -> ReadOutcome {
    let up_to = log.end();
    for _ in 0..20 {
        match log.read(offset, max_bytes, up_to, true).unwrap() {
            ReadOutcome::NotOpen(opening) => log.segment_opened(opening.open()).unwrap(),
            ReadOutcome::NotResident(range) => _ = bytes_of(&range),
            outcome => return outcome,
        }
    }
    panic!("the read never comes to an end");
}

pub fn bytes_of(range: &FileRange) -> Vec<u8> {
    let mut bytes = vec![0; range.len];
    let read = range.file.read_at(&mut bytes, range.position).unwrap();
    bytes.truncate(read);
    bytes
}

/// The headers of the batches that one read answers; panics unless they are whole and their CRC is right.
pub fn headers_of(outcome: ReadOutcome) -> Vec<BatchHeader> {
    let ReadOutcome::Ranges(ranges) = outcome else { panic!("expected ranges, came {outcome:?}") };
    let mut headers = Vec::new();
    for range in ranges {
        let bytes = bytes_of(&range);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let header = check_stored(rest).unwrap();
            rest = &rest[header.total_bytes().unwrap()..];
            headers.push(header);
        }
    }
    headers
}

/// All batches from the start to the end, by sequential reads of at most `max_bytes`.
pub fn read_all(log: &mut Log, max_bytes: usize) -> Vec<BatchHeader> {
    let mut headers: Vec<BatchHeader> = Vec::new();
    let mut next = log.log_start_offset();
    loop {
        match read(log, next, max_bytes) {
            ReadOutcome::AtEnd => return headers,
            outcome => {
                let more = headers_of(outcome);
                assert!(!more.is_empty());
                next = more.last().unwrap().next_offset();
                headers.extend(more);
            }
        }
    }
}
