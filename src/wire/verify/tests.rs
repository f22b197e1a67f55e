//! Tests of `verify.rs`.

use super::*;
use crate::base::{ErrorCode, ProducerId};
use crate::wire::batch::Attributes;
use crate::wire::builder::RecordBatchBuilder;
use crate::wire::compression::compress;
use crate::wire::snappy::compress_xerial;

fn three(codec: Codec) -> RecordBatchBuilder {
    let builder = RecordBatchBuilder::new(codec).record(Timestamp(50), Some(b"a"), Some(b"1"));
    builder.record(Timestamp(70), None, Some(&[b'x'; 5000])).record(Timestamp(60), Some(b"c"), None)
}

fn verify(bytes: &[u8]) -> Result<Batch<'_>, BatchError> {
    match UnverifiedBatch(bytes).verify(&BatchRules::default())? {
        Verified::Batch(batch) => Ok(batch),
        Verified::NeedsMoreWork(_) => panic!("a small batch needs no more work"),
    }
}

/// Changes the header of a batch and makes its CRC right again.
fn edit(mut bytes: Vec<u8>, change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::parse(&bytes).unwrap();
    change(&mut header);
    let mut written = [0; BATCH_HEADER_BYTES];
    header.write(&mut written);
    bytes[..BATCH_HEADER_BYTES].copy_from_slice(&written);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn good_batches_pass_and_tell_their_timestamps() {
    for codec in Codec::ALL {
        let bytes = three(codec).build();
        let batch = verify(&bytes).unwrap();
        assert_eq!((batch.min_timestamp, batch.max_timestamp), (Timestamp(50), Timestamp(70)));
        assert_eq!(batch.max_timestamp_offset_delta, Some(1));
        assert_eq!(batch.bytes, bytes);
    }
    let mut xerial = Vec::new();
    let builder = three(Codec::Snappy);
    builder.build_around(&compress_xerial(builder.plain_records()), &mut xerial);
    assert_eq!(verify(&xerial).unwrap().header.records_count, 3);
}

#[test]
fn a_max_timestamp_left_out_by_the_client_is_found() {
    let bytes = edit(three(Codec::None).build(), |header| header.max_timestamp = Timestamp(-1));
    let batch = verify(&bytes).unwrap();
    assert_eq!(batch.header.max_timestamp, Timestamp(-1));
    assert_eq!(batch.max_timestamp, Timestamp(70));
}

#[test]
fn each_rule_has_its_error_code() {
    use ErrorCode::*;
    let good = three(Codec::None).build();
    let with_producer = three(Codec::None).producer(ProducerId(5), 0, 0).build();
    verify(&with_producer).unwrap();
    verify(&edit(with_producer.clone(), |h| h.attributes = Attributes(Attributes::TRANSACTIONAL))).unwrap();
    let flag = |flag| edit(good.clone(), |h| h.attributes = Attributes(flag));
    let cases: Vec<(&str, Vec<u8>, ErrorCode)> = vec![
        ("magic 1", edit(good.clone(), |h| h.magic = 1), UnsupportedForMessageFormat),
        ("magic 0", edit(good.clone(), |h| h.magic = 0), UnsupportedForMessageFormat),
        ("magic 3", edit(good.clone(), |h| h.magic = 3), UnsupportedForMessageFormat),
        ("short length", edit(good.clone(), |h| h.batch_length = 48), CorruptMessage),
        ("length beyond the bytes", edit(good.clone(), |h| h.batch_length += 1), CorruptMessage),
        ("length before the end", edit(good.clone(), |h| h.batch_length -= 1), CorruptMessage),
        ("control", flag(Attributes::CONTROL), InvalidRecord),
        ("delete horizon", flag(Attributes::DELETE_HORIZON), InvalidRecord),
        ("log append time", flag(Attributes::LOG_APPEND_TIME), InvalidTimestamp),
        ("transactional without producer", flag(Attributes::TRANSACTIONAL), InvalidRecord),
        ("codec 5", flag(5), UnsupportedCompressionType),
        ("codec 7", flag(7), UnsupportedCompressionType),
        ("codec without such data", flag(1), CorruptMessage),
        ("sequence", edit(with_producer.clone(), |h| h.base_sequence = -1), InvalidRecord),
        ("epoch", edit(with_producer.clone(), |h| h.producer_epoch = -1), InvalidRecord),
        ("no records", edit(good.clone(), |h| (h.records_count, h.last_offset_delta) = (0, -1)), InvalidRecord),
        ("count -1", edit(good.clone(), |h| h.records_count = -1), InvalidRecord),
        ("count and delta", edit(good.clone(), |h| h.last_offset_delta = 3), InvalidRecord),
        ("largest delta", edit(good.clone(), |h| (h.records_count, h.last_offset_delta) = (i32::MIN, i32::MAX)), InvalidRecord),
        ("one more than there are", edit(good.clone(), |h| (h.records_count, h.last_offset_delta) = (4, 3)), InvalidRecord),
        ("one fewer than there are", edit(good.clone(), |h| (h.records_count, h.last_offset_delta) = (2, 1)), InvalidRecord),
        ("thousands of millions", edit(good.clone(), |h| (h.records_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1)), InvalidRecord),
    ];
    for (name, bytes, code) in cases {
        let error = verify(&bytes).expect_err(name);
        assert_eq!(error.error_code(), code, "{name}: {error}");
    }
    let mut flipped = good.clone();
    flipped[100] ^= 4;
    assert_eq!(verify(&flipped).unwrap_err().error_code(), CorruptMessage);
}

#[test]
fn the_topics_rules_apply() {
    let bytes = three(Codec::Zstd).build();
    let refuse = |rules: BatchRules| UnverifiedBatch(&bytes).verify(&rules).unwrap_err();
    let small = refuse(BatchRules { message_bytes_max: bytes.len() - 1, ..BatchRules::default() });
    assert_eq!(small.error_code(), ErrorCode::MessageTooLarge);
    let keyless = refuse(BatchRules { keys_required: true, ..BatchRules::default() });
    assert_eq!((keyless.error_code(), keyless.record_index()), (ErrorCode::InvalidRecord, Some(1)));
    let old = refuse(BatchRules { zstd_allowed: false, ..BatchRules::default() });
    assert_eq!(old.error_code(), ErrorCode::UnsupportedCompressionType);
    UnverifiedBatch(&bytes).verify(&BatchRules { message_bytes_max: bytes.len(), ..BatchRules::default() }).unwrap();
}

#[test]
fn offsets_that_do_not_rise_by_one_are_refused() {
    let mut first = RecordBatchBuilder::new(Codec::None);
    first.append(Timestamp(0), None, None, &[]);
    let twice = first.plain_records().repeat(2);
    first.append(Timestamp(0), None, None, &[]);
    for codec in Codec::ALL {
        let mut bytes = Vec::new();
        let builder = RecordBatchBuilder::new(codec).record(Timestamp(0), None, None).record(Timestamp(0), None, None);
        builder.build_around(&compress(codec, &twice), &mut bytes);
        assert_eq!(verify(&bytes).unwrap_err(), BatchError::OffsetDelta { index: 1, came: 0 });
    }
}

#[test]
fn a_bomb_is_handed_on_and_then_refused() {
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy] {
        let mut bytes = Vec::new();
        let builder = RecordBatchBuilder::new(codec).record(Timestamp(0), None, Some(&vec![0; 5_000_000]));
        builder.build_into(&mut bytes);
        let rules = BatchRules { decompressed_bytes_max: 6_000_000, ..BatchRules::default() };
        assert!(matches!(UnverifiedBatch(&bytes).verify(&rules), Ok(Verified::NeedsMoreWork(_))), "{codec:?}");
        assert!(matches!(UnverifiedBatch(&bytes).verify(&rules.with_all_the_time()), Ok(Verified::Batch(_))), "{codec:?}");
        let rules = BatchRules { decompressed_bytes_max: 4_000_000, ..rules };
        let error = UnverifiedBatch(&bytes).verify(&rules.with_all_the_time()).unwrap_err();
        assert_eq!(error, BatchError::DecompressedTooLarge { maximum: 4_000_000 }, "{codec:?}");
        assert_eq!(error.error_code(), ErrorCode::MessageTooLarge);
    }
}

#[test]
fn a_count_that_cannot_fit_is_refused_before_unpacking() {
    let bytes = edit(three(Codec::Zstd).build(), |h| (h.records_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1));
    assert!(matches!(verify(&bytes), Err(BatchError::DecompressedTooLarge { .. })));
}

#[test]
fn records_larger_than_the_window_are_walked() {
    for codec in Codec::ALL {
        let mut builder = RecordBatchBuilder::new(codec);
        for size in [WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, 3 * WINDOW_BYTES, 1, 0] {
            builder.append(Timestamp(9), Some(&vec![1; size]), Some(&vec![2; size]), &[("h", Some(&vec![3; size]))]);
        }
        assert_eq!(verify(&builder.build()).unwrap().header.records_count, 6, "{codec:?}");
    }
}

#[test]
fn batches_of_kafka_protocol_pass() {
    use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
    let records: Vec<Record> = (0..20)
        .map(|index| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: 4,
            producer_epoch: 1,
            timestamp_type: TimestampType::Creation,
            offset: index,
            sequence: 10 + index as i32,
            timestamp: 1000 + index,
            key: (index % 2 == 0).then(|| "key".into()),
            value: Some(vec![b'v'; index as usize * 10].into()),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = bytes::BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    let batch = verify(&bytes).unwrap();
    assert_eq!((batch.header.base_sequence, batch.header.last_sequence()), (10, 29));
    assert_eq!((batch.max_timestamp, batch.max_timestamp_offset_delta), (Timestamp(1019), Some(19)));
}

/// Batches of three records as Apache Kafka 4.3.0 stored what its Java producer sent, codecs 0 to 4.
const WRITTEN_BY_KAFKA: [&str; 5] = [
    "00000000000000000000007800000000026b2c0011000000000002000001c848b2c46d000001c848b4366a0000000000000023000000000000000000032a0000\
     00001e6176647920393366642039656b3820000e00cb11020100005000fac70b040a6b65792d3536626c6b7220657275762039756939207a6966203671753520\
     6c657100",
    "00000000000001e2000000980000000002236b0565000100000002000001c848b5f62c000001c848b61760000000000000000b0000000001e2000000031f8b08\
     000000000000ff53606060e0c94eadd43537e3c8492dcc62b06178d1c2c8c4071232343293abca4b5230cd284d53302e352f50c8600860e8ef6765e181489ba4\
     98e61a299899e66529a4e615582858589818292457981529a43300006116607c59000000",
    "00000000000004780000009800000000022338c908000200000002000001c848b82fbf000001c848b82fbf000000000000000c0000000004780000000382534e\
     41505059000000000100000001000000537f98ba0100000001ac013671753520686b6f65206a357164203366316a2039776777203964656d20364e1e00623300\
     191980001e00ade302020e6b65792d31333500001e00fdbf0704010e66716d3720666e00",
    "00000000000000ba000000a600000000029ad7321a000300000002000001c848b2d6d8000001c848b3881300000000000000260006000000150000000304224d\
     1860408266000000f01e4a0000000c6b65792d393032776476206371676820626c6b722066686a762038306f6e2035004e00faed03020e2800d331353401060a\
     616761696e0230080013310800f010323a00f6c40504002a6531776520657a356f2067357671203262303220630000000000",
    "00000000000000ae0000009f00000000021158e48d000400000002000001c848b3b7e1000001c848b4083f00000000000000180000000000000000000328b52f\
     fd005814030054057a000000012e686b7031206166693020626d69656d3432080a616761696e02303132333000bcc102020120363673622035687566206a346f\
     792033003000bbb205040e6b65792d313331126a333061203964656d000400200bc87725271d0a13010000",
];

#[test]
fn batches_written_by_kafka_pass_in_every_codec() {
    for (codec, hex) in Codec::ALL.into_iter().zip(WRITTEN_BY_KAFKA) {
        let digits: Vec<u8> = hex.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let batch = verify(&bytes).unwrap();
        assert_eq!(batch.header.attributes.codec(), Ok(codec));
        assert_eq!((batch.header.records_count, batch.max_timestamp), (3, batch.header.max_timestamp), "{codec:?}");
        let unpacked = batch.unpack(1000).unwrap();
        assert!(crate::wire::Records::new(&unpacked, 3).all(|record| record.is_ok()));
    }
}
