//! What must hold for any bytes at all. Run without end by cargo-fuzz, and for a bounded time by `tests/wire_fuzz.rs`.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;
use pagewire::base::{LeaderEpoch, Offset, Timestamp};
use pagewire::wire::batch::{BATCH_HEADER_BYTES, check_stored, split};
use pagewire::wire::compression::{Codec, decompress};
use pagewire::wire::records::Records;
use pagewire::wire::{Batch, BatchHeader, BatchRules, RequestHeader, UnverifiedBatch, Verified, fetch, guard, produce};

/// A frame without its length: the header, then the body by hand or through the guard.
pub fn request(data: &[u8]) {
    let Ok(header) = RequestHeader::parse(data) else { return };
    let body = &data[header.body_at..];
    match header.api_key {
        0 => {
            let Ok(request) = produce::decode(header.api_version, body) else { return };
            let mut record_bytes = 0;
            let topics = request.topics();
            assert_eq!(topics.len(), topics.inspect(|topic| assert_eq!(topic.partitions.len(), topic.partitions.count())).count());
            for partition in request.topics().flat_map(|topic| topic.partitions) {
                let records = partition.records.unwrap_or_default();
                record_bytes += records.len();
                let _ = split(records).map(|batches| batches.map(|batch| batch.0.len()).sum::<usize>());
            }
            assert!(record_bytes <= body.len());
        }
        1 => {
            let Ok(request) = fetch::decode(header.api_version, body) else { return };
            let topics = request.topics();
            assert_eq!(topics.len(), topics.inspect(|topic| assert_eq!(topic.partitions.len(), topic.partitions.count())).count());
            let forgotten = request.forgotten_topics();
            assert_eq!(forgotten.len(), forgotten.inspect(|topic| assert!(topic.partitions().count() <= body.len() / 4)).count());
        }
        key if guard::check(key, header.api_version, body).is_ok() => {
            assert!(decode(key, header.api_version, body), "passed the guard and cannot be decoded");
        }
        _ => {}
    }
}

/// Decodes a body that passed the guard.
fn decode(api_key: i16, version: i16, body: &[u8]) -> bool {
    let mut body = Bytes::copy_from_slice(body);
    match api_key {
        2 => ListOffsetsRequest::decode(&mut body, version).is_ok(),
        3 => MetadataRequest::decode(&mut body, version).is_ok(),
        10 => FindCoordinatorRequest::decode(&mut body, version).is_ok(),
        18 => ApiVersionsRequest::decode(&mut body, version).is_ok(),
        19 => CreateTopicsRequest::decode(&mut body, version).is_ok(),
        20 => DeleteTopicsRequest::decode(&mut body, version).is_ok(),
        22 => InitProducerIdRequest::decode(&mut body, version).is_ok(),
        23 => OffsetForLeaderEpochRequest::decode(&mut body, version).is_ok(),
        32 => DescribeConfigsRequest::decode(&mut body, version).is_ok(),
        60 => DescribeClusterRequest::decode(&mut body, version).is_ok(),
        _ => true,
    }
}

/// A batch as it came, and again with its length, magic and CRC made right, so that what lies behind them is reached.
pub fn batch(data: &[u8]) {
    let _ = split(data).map(Iterator::count);
    let _ = check_stored(data);
    verify(data);
    let Some(mut header) = BatchHeader::parse(data) else { return };
    let mut repaired = data.to_vec();
    header.batch_length = (data.len() - 12) as i32;
    header.magic = 2;
    header.attributes.0 &= 0b1_0111;
    header.last_offset_delta = header.records_count.wrapping_sub(1);
    header.crc = 0;
    let mut bytes = [0; BATCH_HEADER_BYTES];
    header.write(&mut bytes);
    header.crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[21..]), &data[BATCH_HEADER_BYTES..]);
    header.write(&mut bytes);
    repaired[..BATCH_HEADER_BYTES].copy_from_slice(&bytes);
    verify(&repaired);
}

fn verify(bytes: &[u8]) {
    const LIMIT: usize = 1 << 20;
    let rules = BatchRules { decompressed_bytes_max: LIMIT, decompress_here_bytes_max: LIMIT / 4, ..BatchRules::default() };
    let here = UnverifiedBatch(bytes).verify(&rules);
    let in_time = UnverifiedBatch(bytes).verify(&rules.with_all_the_time());
    let verified = match (here, in_time) {
        (Ok(Verified::Batch(_)), Ok(Verified::Batch(batch))) | (Ok(Verified::NeedsMoreWork(_)), Ok(Verified::Batch(batch))) => batch,
        (Ok(Verified::NeedsMoreWork(_)), Err(error)) => return drop(error.to_string()),
        (Err(here), Err(in_time)) => return assert_eq!(here, in_time),
        (here, in_time) => panic!("{here:?} with little time, {in_time:?} with all of it"),
    };
    // What was walked reads the same when it is unpacked as a whole.
    let unpacked = verified.unpack(LIMIT).expect("it was unpacked before");
    let count = verified.header.records_count;
    let mut records = 0;
    for record in Records::new(&unpacked, count) {
        let record = record.expect("it was walked before");
        assert_eq!(record.offset_delta, records);
        assert_eq!(record.headers.len(), record.headers.count());
        records += 1;
    }
    assert_eq!(records, count);
    // And what would be stored passes the check of what is stored.
    let placed = verified.placed_header(Offset(7), LeaderEpoch(1), Some(Timestamp(5)));
    let stored = [&placed[..], verified.records()].concat();
    let stored = Batch::stored(&stored).expect("a placed header has a right CRC");
    assert_eq!(stored.header.last_offset(), Offset(6 + i64::from(count)));
}

/// Records, unpacked by each codec: the first byte chooses it.
pub fn records(data: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let Some((choice, data)) = data.split_first() else { return };
    let codec = Codec::ALL[usize::from(*choice) % Codec::ALL.len()];
    let Ok(unpacked) = decompress(codec, data, LIMIT) else { return };
    assert!(unpacked.len() <= LIMIT);
    let mut errors = 0;
    for record in Records::new(&unpacked, i32::from(*choice)) {
        match record {
            Ok(record) => assert_eq!(record.headers.len(), record.headers.count()),
            Err(error) => {
                errors += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(errors <= 1);
}
