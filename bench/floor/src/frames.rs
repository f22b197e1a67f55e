//! Produce version 8 and Fetch version 11 for one partition: the bytes that the light client sends and the floor answers.
//!
//! Both are the last versions before the flexible encoding, and every broker of today serves them. A frame is `size: i32` and that
//! many bytes behind it; a request begins with `api key: i16, version: i16, correlation id: i32, client id: string`.
//!
//! | Produce 8, request body | | Fetch 11, request body | |
//! |---|---|---|---|
//! | transactional id | i16 = -1 | replica id | i32 = -1 |
//! | acks | i16 | max wait, min bytes, max bytes | 3 x i32 |
//! | timeout | i32 | isolation level | i8 |
//! | topics: 1 | i32 | session id, session epoch | 2 x i32 = 0, -1 |
//! | name | string | topics: 1 | i32 |
//! | partitions: 1 | i32 | name | string |
//! | partition | i32 | partitions: 1 | i32 |
//! | records | i32 length, bytes | partition, current leader epoch | 2 x i32 |
//! | | | fetch offset, log start offset | 2 x i64 |
//! | | | partition max bytes | i32 |
//! | | | forgotten topics: 0, rack id: "" | i32, string |
//!
//! Source: the message definitions of Apache Kafka (`ProduceRequest`, `FetchRequest` and their responses).

pub const PRODUCE: i16 = 0;
pub const FETCH: i16 = 1;
const PRODUCE_VERSION: i16 = 8;
const FETCH_VERSION: i16 = 11;
const CLIENT_ID: &str = "light";

/// Where the correlation id stands, counted from the frame's size.
pub const CORRELATION_ID_AT: usize = 8;
/// Behind size, key, version, correlation id and client id: where the body begins.
pub const BODY_AT: usize = 4 + 8 + 2 + CLIENT_ID.len();
/// Where a Fetch frame says how long it may wait, in milliseconds.
pub const FETCH_WAIT_AT: usize = BODY_AT + 4;
/// Bytes of a frame before the batch, but for the topic's name.
const PRODUCE_BEFORE_RECORDS: usize = BODY_AT + 2 + 2 + 4 + 4 + 2 + 4 + 4 + 4;
/// Bytes of a Fetch answer before the records, but for the topic's name, from the frame's size on.
const FETCH_ANSWER_BEFORE_RECORDS: usize = 4 + 4 + 4 + 2 + 4 + 4 + 2 + 4 + 4 + 2 + 8 + 8 + 8 + 4 + 4 + 4;

/// Where the batch begins in a Produce frame for a topic whose name has so many bytes.
pub const fn records_at(topic_bytes: usize) -> usize {
    PRODUCE_BEFORE_RECORDS + topic_bytes
}

/// Where the records begin in the answer to a Fetch.
pub const fn answered_records_at(topic_bytes: usize) -> usize {
    FETCH_ANSWER_BEFORE_RECORDS + topic_bytes
}

/// Where the fetch offset stands in a Fetch frame.
pub const fn fetch_offset_at(topic_bytes: usize) -> usize {
    BODY_AT + 4 + 12 + 1 + 8 + 4 + 2 + topic_bytes + 4 + 4 + 4
}

/// Where the partition's max bytes stand in a Fetch frame.
pub const fn fetch_bytes_at(topic_bytes: usize) -> usize {
    fetch_offset_at(topic_bytes) + 16
}

/// A whole Produce request with one batch.
pub fn produce_request(topic: &str, partition: i32, acks: i16, batch: &[u8]) -> Vec<u8> {
    let mut frame = header(PRODUCE, PRODUCE_VERSION);
    frame.extend((-1i16).to_be_bytes());
    frame.extend(acks.to_be_bytes());
    frame.extend(30_000i32.to_be_bytes());
    frame.extend(1i32.to_be_bytes());
    string(&mut frame, topic);
    frame.extend(1i32.to_be_bytes());
    frame.extend(partition.to_be_bytes());
    frame.extend((batch.len() as i32).to_be_bytes());
    assert_eq!(frame.len(), records_at(topic.len()), "the table of the frame's fields");
    frame.extend(batch);
    sized(frame)
}

/// A whole Fetch request, for which one byte is enough.
pub fn fetch_request(topic: &str, partition: i32, offset: i64, bytes_max: i32, wait_ms_max: i32) -> Vec<u8> {
    let mut frame = header(FETCH, FETCH_VERSION);
    frame.extend((-1i32).to_be_bytes());
    frame.extend(wait_ms_max.to_be_bytes());
    frame.extend(1i32.to_be_bytes());
    frame.extend(i32::MAX.to_be_bytes());
    frame.push(0);
    frame.extend(0i32.to_be_bytes());
    frame.extend((-1i32).to_be_bytes());
    frame.extend(1i32.to_be_bytes());
    string(&mut frame, topic);
    frame.extend(1i32.to_be_bytes());
    frame.extend(partition.to_be_bytes());
    frame.extend((-1i32).to_be_bytes());
    assert_eq!(frame.len(), fetch_offset_at(topic.len()), "the table of the frame's fields");
    frame.extend(offset.to_be_bytes());
    frame.extend((-1i64).to_be_bytes());
    frame.extend(bytes_max.to_be_bytes());
    frame.extend(0i32.to_be_bytes());
    string(&mut frame, "");
    sized(frame)
}

/// Appends the answer to a Produce request that gave the records `base_offset`.
pub fn produce_answer(out: &mut Vec<u8>, correlation_id: [u8; 4], topic: &str, partition: [u8; 4], base_offset: i64) {
    let begin = out.len();
    out.extend([0; 4]);
    out.extend(correlation_id);
    out.extend(1i32.to_be_bytes());
    string(out, topic);
    out.extend(1i32.to_be_bytes());
    out.extend(partition);
    out.extend(0i16.to_be_bytes());
    out.extend(base_offset.to_be_bytes());
    out.extend((-1i64).to_be_bytes());
    out.extend(0i64.to_be_bytes());
    out.extend(0i32.to_be_bytes());
    out.extend((-1i16).to_be_bytes());
    out.extend(0i32.to_be_bytes());
    let size = (out.len() - begin - 4) as i32;
    out[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
}

/// Appends the bytes of a Fetch answer that stand before `records_bytes` of records.
pub fn fetch_answer(
    out: &mut Vec<u8>,
    correlation_id: [u8; 4],
    topic: &str,
    partition: [u8; 4],
    high_watermark: i64,
    records_bytes: usize,
) {
    let begin = out.len();
    out.extend([0; 4]);
    out.extend(correlation_id);
    out.extend(0i32.to_be_bytes());
    out.extend(0i16.to_be_bytes());
    out.extend(0i32.to_be_bytes());
    out.extend(1i32.to_be_bytes());
    string(out, topic);
    out.extend(1i32.to_be_bytes());
    out.extend(partition);
    out.extend(0i16.to_be_bytes());
    out.extend(high_watermark.to_be_bytes());
    out.extend(high_watermark.to_be_bytes());
    out.extend(0i64.to_be_bytes());
    out.extend((-1i32).to_be_bytes());
    out.extend((-1i32).to_be_bytes());
    out.extend((records_bytes as i32).to_be_bytes());
    assert_eq!(out.len() - begin, answered_records_at(topic.len()), "the table of the answer's fields");
    let size = (out.len() - begin - 4 + records_bytes) as i32;
    out[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
}

/// The error code in the answer to a Produce request for one partition, from the frame's size on; `None`: too short.
pub fn produce_error(answer: &[u8], topic_bytes: usize) -> Option<i16> {
    let at = 4 + 4 + 4 + 2 + topic_bytes + 4 + 4;
    Some(i16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?))
}

/// The error code and the records' length in a Fetch answer's first bytes.
pub fn fetch_outcome(answer: &[u8], topic_bytes: usize) -> Option<(i16, usize)> {
    let error_at = 4 + 4 + 4 + 2 + 4 + 4 + 2 + topic_bytes + 4 + 4;
    let length_at = answered_records_at(topic_bytes) - 4;
    let error = i16::from_be_bytes(answer.get(error_at..error_at + 2)?.try_into().ok()?);
    let length = i32::from_be_bytes(answer.get(length_at..length_at + 4)?.try_into().ok()?);
    Some((error, length.max(0) as usize))
}

/// The first frame of what was received, if it is whole.
pub fn whole(received: &[u8]) -> Option<&[u8]> {
    let size = i32::from_be_bytes(received.get(..4)?.try_into().ok()?);
    received.get(..4 + size.max(0) as usize)
}

/// Four bytes of a frame as a number.
pub fn i32_at(frame: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes_at(frame, at))
}

/// Eight bytes of a frame as a number.
pub fn i64_at(frame: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes_at(frame, at))
}

pub fn bytes_at<const COUNT: usize>(frame: &[u8], at: usize) -> [u8; COUNT] {
    frame[at..at + COUNT].try_into().expect("a slice of that length")
}

fn header(key: i16, version: i16) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(0i32.to_be_bytes());
    string(&mut frame, CLIENT_ID);
    assert_eq!(frame.len(), BODY_AT, "the header's fields");
    frame
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn sized(mut frame: Vec<u8>) -> Vec<u8> {
    let size = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}
