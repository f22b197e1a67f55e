//! The fuzz targets' checks on a bounded number of inputs, so that they cannot rot: noise, and damaged requests and batches.

#[path = "../fuzz/checks.rs"]
mod checks;

use pagewire::base::{ProducerId, Timestamp};
use pagewire::wire::batch::BATCH_HEADER_BYTES;
use pagewire::wire::compression::{Codec, compress};
use pagewire::wire::{BatchRules, RecordBatchBuilder, UnverifiedBatch, Verified};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// A change to make: where, how, and with what.
fn damage() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec((any::<Index>(), 0..4u8, any::<u8>()), 0..6)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(Index, u8, u8)]) -> Vec<u8> {
    for (index, kind, value) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        match kind {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.truncate(at),
            _ => bytes.insert(at, *value),
        }
    }
    bytes
}

type RecordToBuild = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn record() -> impl Strategy<Value = RecordToBuild> {
    let bytes = || prop::option::of(vec(any::<u8>(), 0..40));
    (0..1i64 << 41, bytes(), bytes(), vec((".{0,8}", bytes()), 0..3))
}

fn builder(codec: Codec, records: &[RecordToBuild]) -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(codec).producer(ProducerId(9), 1, i32::MAX - 2);
    for (timestamp, key, value, headers) in records {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        builder.append(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
    }
    builder
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_no_trouble(data in vec(any::<u8>(), 0..400), api_key in 0..70i16, version in 0..19i16) {
        checks::batch(&data);
        checks::records(&data);
        let mut frame = [api_key.to_be_bytes(), version.to_be_bytes()].concat();
        frame.extend([0, 0, 0, 1, 0xff, 0xff]);
        frame.extend(&data);
        checks::request(&frame);
    }

    #[test]
    fn damaged_batches_are_no_trouble(
        records in vec(record(), 1..8),
        codec in 0..5usize,
        damage in damage(),
        inner in damage(),
    ) {
        let builder = builder(Codec::ALL[codec], &records);
        checks::batch(&damaged(builder.build(), &damage));
        // Damage under the compression, which the CRC and the codec's own checks do not see.
        let mut batch = Vec::new();
        builder.build_around(&compress(Codec::ALL[codec], &damaged(builder.plain_records().to_vec(), &inner)), &mut batch);
        checks::batch(&batch);
        let mut packed = vec![codec as u8];
        packed.extend(&batch[BATCH_HEADER_BYTES..]);
        checks::records(&damaged(packed, &damage));
    }

    #[test]
    fn built_batches_pass_and_read_back(records in vec(record(), 1..20), codec in 0..5usize) {
        let bytes = builder(Codec::ALL[codec], &records).build();
        let Ok(Verified::Batch(batch)) = UnverifiedBatch(&bytes).verify(&BatchRules::default()) else { panic!("refused") };
        prop_assert_eq!(batch.max_timestamp.0, records.iter().map(|record| record.0).max().unwrap());
        prop_assert_eq!(batch.min_timestamp.0, records.iter().map(|record| record.0).min().unwrap());
        prop_assert_eq!(batch.header.max_timestamp, batch.max_timestamp);
        let unpacked = batch.unpack(1 << 20).unwrap();
        let read: Vec<RecordToBuild> = pagewire::wire::Records::new(&unpacked, batch.header.records_count)
            .map(Result::unwrap)
            .map(|record| {
                let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                let headers = record.headers.map(|(key, value)| (String::from_utf8(key.to_vec()).unwrap(), owned(value)));
                (batch.header.base_timestamp.0 + record.timestamp_delta, owned(record.key), owned(record.value), headers.collect())
            })
            .collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn damaged_produce_requests_are_no_trouble(records in vec(record(), 1..4), version in 0..=13i16, damage in damage()) {
        let batch = builder(Codec::None, &records).build();
        let flexible = version >= 9;
        let mut frame = vec![0, 0, 0, version as u8, 0, 0, 0, 1, 0, 1, b'c'];
        let count = |frame: &mut Vec<u8>, count| pagewire::wire::cursor::put_count(frame, flexible, count);
        if flexible {
            frame.extend([0, 0]);
        } else if version >= 3 {
            frame.extend([0xff, 0xff]);
        }
        frame.extend([0xff, 0xff, 0, 0, 1, 0]);
        count(&mut frame, 2);
        for topic in 0..2u8 {
            match version {
                13 => frame.extend([topic; 16]),
                _ => pagewire::wire::cursor::put_string(&mut frame, flexible, "topic"),
            }
            count(&mut frame, 1);
            frame.extend([0, 0, 0, topic]);
            count(&mut frame, batch.len());
            frame.extend(&batch);
            if flexible {
                frame.extend([0, 0]);
            }
        }
        if flexible {
            frame.push(0);
        }
        let header = pagewire::wire::RequestHeader::parse(&frame).unwrap();
        let request = pagewire::wire::produce::decode(version, &frame[header.body_at..]).unwrap();
        let batches: Vec<_> = request.topics().flat_map(|topic| topic.partitions).map(|partition| partition.records).collect();
        prop_assert_eq!(batches, vec![Some(&batch[..]); 2]);
        checks::request(&damaged(frame, &damage));
    }
}
