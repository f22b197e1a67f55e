//! Fetch version 12 by hand: a sessionless request, and a walk over its answer that leaves the records where they are.
//!
//! Pure. Source: Kafka's FetchRequest.json and FetchResponse.json; flexible versions, KIP-482; session id 0 with epoch −1 asks
//! for no session, KIP-227.

use super::primitives::{Cursor, Malformed, put_compact_string, put_unsigned_varint};

pub const API_KEY: i16 = 1;
/// Named topics (ids come with 13), flexible; Kafka 2.7 and newer.
pub const VERSION: i16 = 12;

/// How much an answer may hold and how long it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSizes {
    pub wait_ms_max: i32,
    pub bytes_min: i32,
    pub bytes_max: i32,
    pub partition_bytes_max: i32,
}

/// One partition to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchFrom<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
}

/// Writes the whole frame, length first, into `out`, which is cleared. `from` holds the partitions of one topic side by side.
pub fn encode(correlation_id: i32, client_id: &str, sizes: FetchSizes, from: &[FetchFrom<'_>], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&API_KEY.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&correlation_id.to_be_bytes());
    out.extend_from_slice(&(client_id.len() as i16).to_be_bytes());
    out.extend_from_slice(client_id.as_bytes());
    out.push(0);
    // Replica id: a consumer.
    out.extend_from_slice(&(-1i32).to_be_bytes());
    out.extend_from_slice(&sizes.wait_ms_max.to_be_bytes());
    out.extend_from_slice(&sizes.bytes_min.to_be_bytes());
    out.extend_from_slice(&sizes.bytes_max.to_be_bytes());
    // Isolation level: read uncommitted. Session id 0, session epoch −1.
    out.push(0);
    out.extend_from_slice(&0i32.to_be_bytes());
    out.extend_from_slice(&(-1i32).to_be_bytes());
    let same_topic = |a: &FetchFrom<'_>, b: &FetchFrom<'_>| a.topic == b.topic;
    put_unsigned_varint(from.chunk_by(same_topic).count() as u32 + 1, out);
    for topic in from.chunk_by(same_topic) {
        put_compact_string(topic[0].topic, out);
        put_unsigned_varint(topic.len() as u32 + 1, out);
        for partition in topic {
            out.extend_from_slice(&partition.partition.to_be_bytes());
            // Current leader epoch: not known.
            out.extend_from_slice(&(-1i32).to_be_bytes());
            out.extend_from_slice(&partition.offset.to_be_bytes());
            // Last fetched epoch and log start offset: only followers know them.
            out.extend_from_slice(&(-1i32).to_be_bytes());
            out.extend_from_slice(&(-1i64).to_be_bytes());
            out.extend_from_slice(&sizes.partition_bytes_max.to_be_bytes());
            out.push(0);
        }
        out.push(0);
    }
    // No forgotten topics, an empty rack id, no tagged fields.
    out.extend_from_slice(&[1, 1, 0]);
    let length = out.len() as i32 - 4;
    out[..4].copy_from_slice(&length.to_be_bytes());
}

/// What the broker says about one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRecords<'a> {
    pub topic: &'a [u8],
    pub partition: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    /// Record batches, the last one perhaps cut short.
    pub records: &'a [u8],
}

/// Walks an answer behind its correlation id. Returns the error code of the answer as a whole.
///
/// # Errors
/// The bytes end early.
pub fn decode<'a>(body: &'a [u8], mut each: impl FnMut(PartitionRecords<'a>)) -> Result<i16, Malformed> {
    let mut cursor = Cursor::new(body);
    cursor.skip_tagged_fields()?;
    // Throttle time.
    cursor.i32()?;
    let answer_error_code = cursor.i16()?;
    // Session id.
    cursor.i32()?;
    for _ in 0..cursor.compact_count()? {
        let topic = cursor.compact_bytes()?.unwrap_or_default();
        for _ in 0..cursor.compact_count()? {
            let partition = cursor.i32()?;
            let error_code = cursor.i16()?;
            let high_watermark = cursor.i64()?;
            // Last stable offset.
            cursor.i64()?;
            let log_start_offset = cursor.i64()?;
            for _ in 0..cursor.compact_count()? {
                cursor.take(16, "an aborted transaction")?;
                cursor.skip_tagged_fields()?;
            }
            // Preferred read replica.
            cursor.i32()?;
            let records = cursor.compact_bytes()?.unwrap_or_default();
            cursor.skip_tagged_fields()?;
            each(PartitionRecords { topic, partition, error_code, high_watermark, log_start_offset, records });
        }
        cursor.skip_tagged_fields()?;
    }
    cursor.skip_tagged_fields()?;
    Ok(answer_error_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{FetchRequest, FetchResponse, RequestHeader, TopicName};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    #[test]
    fn another_codec_reads_the_request() {
        let sizes = FetchSizes { wait_ms_max: 500, bytes_min: 1, bytes_max: 1 << 20, partition_bytes_max: 1 << 16 };
        let from = [("a", 0, 10), ("a", 2, 20), ("b", 1, 30)].map(|(topic, partition, offset)| FetchFrom { topic, partition, offset });
        let mut whole = vec![1, 2, 3];
        encode(9, "tester", sizes, &from, &mut whole);
        assert_eq!(whole[..4], (whole.len() as i32 - 4).to_be_bytes());
        let mut bytes = Bytes::from(whole).slice(4..);
        let header = RequestHeader::decode(&mut bytes, 2).expect("a header");
        assert_eq!((header.request_api_key, header.request_api_version, header.correlation_id), (1, VERSION, 9));
        let request = FetchRequest::decode(&mut bytes, VERSION).expect("a request");
        assert!(bytes.is_empty());
        assert_eq!((request.replica_id.0, request.max_wait_ms, request.min_bytes, request.max_bytes), (-1, 500, 1, 1 << 20));
        assert_eq!((request.session_id, request.session_epoch), (0, -1));
        let seen: Vec<(String, i32, i64, i32)> = request
            .topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.topic.to_string(), p.partition, p.fetch_offset, p.partition_max_bytes)))
            .collect();
        assert_eq!(seen, [("a".to_string(), 0, 10, 65536), ("a".to_string(), 2, 20, 65536), ("b".to_string(), 1, 30, 65536)]);
    }

    #[test]
    fn the_answer_of_another_codec_is_read_and_a_cut_one_refused() {
        let partition = PartitionData::default()
            .with_partition_index(4)
            .with_error_code(1)
            .with_high_watermark(77)
            .with_log_start_offset(11)
            .with_aborted_transactions(Some(vec![AbortedTransaction::default()]))
            .with_records(Some(Bytes::from_static(b"records")));
        let topic =
            FetchableTopicResponse::default().with_topic(TopicName(StrBytes::from_static_str("t"))).with_partitions(vec![partition]);
        let mut body = BytesMut::from(&[0u8][..]);
        FetchResponse::default().with_error_code(3).with_responses(vec![topic]).encode(&mut body, VERSION).expect("encodes");
        let mut seen = Vec::new();
        assert_eq!(decode(&body, |answer| seen.push(answer)), Ok(3));
        let expected =
            PartitionRecords { topic: b"t", partition: 4, error_code: 1, high_watermark: 77, log_start_offset: 11, records: b"records" };
        assert_eq!(seen, [expected]);
        for cut in 0..body.len() {
            assert!(decode(&body[..cut], |_| ()).is_err(), "cut at {cut}");
        }
    }
}
