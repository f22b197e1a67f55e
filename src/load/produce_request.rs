//! Produce version 9 by hand: the request around batches that are already built, and what its answer says.
//!
//! Pure. The batches are not copied: the request is a list of pieces, header bytes and batches in turn.
//! Source: Kafka's ProduceRequest.json and ProduceResponse.json; flexible versions, KIP-482.

use std::collections::VecDeque;
use std::rc::Rc;

use super::primitives::{Cursor, Malformed, put_compact_string, put_unsigned_varint};

pub const API_KEY: i16 = 0;
/// Named topics (ids come with 13), flexible; Kafka 2.4 and newer.
pub const VERSION: i16 = 9;

/// One batch of a request.
#[derive(Clone, Debug)]
pub struct PartitionBatch {
    pub topic: Rc<str>,
    pub partition: i32,
    pub batch: Rc<Vec<u8>>,
}

/// A piece of what goes out.
#[derive(Clone, Debug)]
pub enum Piece {
    Bytes(Vec<u8>),
    Batch(Rc<Vec<u8>>),
}

impl Piece {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Bytes(bytes) => bytes,
            Piece::Batch(batch) => batch,
        }
    }
}

/// Appends the whole frame, length first, to `out`. `batches` holds those of one topic side by side.
pub fn encode(correlation_id: i32, client_id: &str, acks: i16, timeout_ms: i32, batches: &[PartitionBatch], out: &mut VecDeque<Piece>) {
    let first = out.len();
    let mut head = Vec::with_capacity(128);
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(&API_KEY.to_be_bytes());
    head.extend_from_slice(&VERSION.to_be_bytes());
    head.extend_from_slice(&correlation_id.to_be_bytes());
    head.extend_from_slice(&(client_id.len() as i16).to_be_bytes());
    head.extend_from_slice(client_id.as_bytes());
    // No tagged fields in the header, no transactional id.
    head.extend_from_slice(&[0, 0]);
    head.extend_from_slice(&acks.to_be_bytes());
    head.extend_from_slice(&timeout_ms.to_be_bytes());
    let same_topic = |a: &PartitionBatch, b: &PartitionBatch| Rc::ptr_eq(&a.topic, &b.topic) || a.topic == b.topic;
    put_unsigned_varint(batches.chunk_by(same_topic).count() as u32 + 1, &mut head);
    for topic in batches.chunk_by(same_topic) {
        put_compact_string(&topic[0].topic, &mut head);
        put_unsigned_varint(topic.len() as u32 + 1, &mut head);
        for batch in topic {
            head.extend_from_slice(&batch.partition.to_be_bytes());
            put_unsigned_varint(batch.batch.len() as u32 + 1, &mut head);
            out.push_back(Piece::Bytes(std::mem::take(&mut head)));
            out.push_back(Piece::Batch(batch.batch.clone()));
            head.push(0);
        }
        head.push(0);
    }
    head.push(0);
    out.push_back(Piece::Bytes(head));
    let length: usize = out.iter().skip(first).map(|piece| piece.bytes().len()).sum();
    if let Piece::Bytes(head) = &mut out[first] {
        head[..4].copy_from_slice(&(length as i32 - 4).to_be_bytes());
    }
}

/// What the broker says about one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionAnswer<'a> {
    pub topic: &'a [u8],
    pub partition: i32,
    pub error_code: i16,
    /// Offset of the first record; −1 with an error.
    pub base_offset: i64,
    pub error_message: Option<&'a [u8]>,
}

/// Walks an answer behind its correlation id.
///
/// # Errors
/// The bytes end early.
pub fn decode<'a>(body: &'a [u8], mut each: impl FnMut(PartitionAnswer<'a>)) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(body);
    cursor.skip_tagged_fields()?;
    for _ in 0..cursor.compact_count()? {
        let topic = cursor.compact_bytes()?.unwrap_or_default();
        for _ in 0..cursor.compact_count()? {
            let partition = cursor.i32()?;
            let error_code = cursor.i16()?;
            let base_offset = cursor.i64()?;
            // Log append time, log start offset.
            cursor.take(16, "two int64")?;
            for _ in 0..cursor.compact_count()? {
                cursor.i32()?;
                cursor.compact_bytes()?;
                cursor.skip_tagged_fields()?;
            }
            let error_message = cursor.compact_bytes()?;
            cursor.skip_tagged_fields()?;
            each(PartitionAnswer { topic, partition, error_code, base_offset, error_message });
        }
        cursor.skip_tagged_fields()?;
    }
    cursor.i32()?;
    cursor.skip_tagged_fields()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
    use kafka_protocol::messages::{ProduceRequest, ProduceResponse, RequestHeader, TopicName};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    #[test]
    fn another_codec_reads_the_request() {
        let (a, b): (Rc<str>, Rc<str>) = ("topic-a".into(), "b".into());
        let of = |topic: &Rc<str>, partition, fill| PartitionBatch { topic: topic.clone(), partition, batch: Rc::new(vec![fill; 300]) };
        let mut pieces = VecDeque::new();
        encode(7, "tester", -1, 30_000, &[of(&a, 0, 1), of(&a, 5, 2), of(&b, 1, 3)], &mut pieces);
        let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes().to_vec()).collect();
        assert_eq!(whole[..4], (whole.len() as i32 - 4).to_be_bytes());
        let mut bytes = Bytes::from(whole).slice(4..);
        let header = RequestHeader::decode(&mut bytes, 2).expect("a header");
        assert_eq!((header.request_api_key, header.request_api_version, header.correlation_id), (0, VERSION, 7));
        assert_eq!(header.client_id.as_deref(), Some("tester"));
        let request = ProduceRequest::decode(&mut bytes, VERSION).expect("a request");
        assert!(bytes.is_empty());
        assert_eq!((request.acks, request.timeout_ms), (-1, 30_000));
        let seen: Vec<(String, i32, u8)> = request
            .topic_data
            .iter()
            .flat_map(|topic| {
                topic.partition_data.iter().map(|p| (topic.name.to_string(), p.index, p.records.as_ref().expect("records")[299]))
            })
            .collect();
        assert_eq!(seen, [("topic-a".to_string(), 0, 1), ("topic-a".to_string(), 5, 2), ("b".to_string(), 1, 3)]);
    }

    #[test]
    fn the_answer_of_another_codec_is_read_and_a_cut_one_refused() {
        let partition = PartitionProduceResponse::default()
            .with_index(5)
            .with_error_code(6)
            .with_base_offset(99)
            .with_error_message(Some(StrBytes::from_static_str("why")));
        let topic =
            TopicProduceResponse::default().with_name(TopicName(StrBytes::from_static_str("t"))).with_partition_responses(vec![partition]);
        let mut body = BytesMut::from(&[0u8][..]);
        ProduceResponse::default().with_responses(vec![topic]).encode(&mut body, VERSION).expect("encodes");
        let mut seen = Vec::new();
        decode(&body, |answer| seen.push(answer)).expect("decodes");
        let expected = PartitionAnswer { topic: b"t", partition: 5, error_code: 6, base_offset: 99, error_message: Some(b"why") };
        assert_eq!(seen, [expected]);
        for cut in 0..body.len() {
            assert!(decode(&body[..cut], |_| ()).is_err(), "cut at {cut}");
        }
    }
}
