//! Tests of `records.rs`.

use super::*;
use crate::base::Timestamp;
use crate::wire::batch::Batch;
use crate::wire::builder::RecordBatchBuilder;
use crate::wire::compression::Codec;

const LIMIT: usize = 1 << 20;

#[test]
fn built_records_read_back_in_every_codec() {
    for codec in Codec::ALL {
        let mut builder = RecordBatchBuilder::new(codec);
        builder.append(Timestamp(1000), Some(b"k"), Some(b"value"), &[]);
        builder.append(Timestamp(900), None, None, &[("h", Some(b"x")), ("", None), ("h", Some(b""))]);
        builder.append(Timestamp(i64::MAX), Some(b""), Some(&[7; 100_000]), &[]);
        let bytes = builder.build();
        let batch = Batch::stored(&bytes).unwrap();
        let unpacked = batch.unpack(LIMIT).unwrap();
        let records: Vec<_> = Records::new(&unpacked, batch.header.records_count).map(Result::unwrap).collect();
        assert_eq!(records.len(), 3);
        assert_eq!((records[0].key, records[0].value, records[0].headers.len()), (Some(&b"k"[..]), Some(&b"value"[..]), 0));
        assert_eq!((records[1].offset_delta, records[1].timestamp_delta, records[1].key, records[1].value), (1, -100, None, None));
        let headers: Vec<_> = records[1].headers.collect();
        assert_eq!(headers, [(&b"h"[..], Some(&b"x"[..])), (b"", None), (b"h", Some(b""))]);
        assert_eq!((records[2].key, records[2].value.unwrap().len()), (Some(&b""[..]), 100_000));
        assert_eq!(records[2].timestamp_delta, i64::MAX - 1000);
    }
}

#[test]
fn too_few_too_many_and_cut_records_are_told_apart() {
    let builder = RecordBatchBuilder::new(Codec::None).record(Timestamp(1), Some(b"key"), Some(b"value"));
    let bytes = builder.plain_records();
    let last = |bytes: &[u8], count| Records::new(bytes, count).last().unwrap().map(drop);
    assert_eq!(last(bytes, 1), Ok(()));
    assert_eq!(last(bytes, 2), Err(BatchError::TooFewRecords { expected: 2, came: 1 }));
    assert_eq!(last(bytes, 0), Err(BatchError::TooManyRecords { expected: 0 }));
    for cut in 1..bytes.len() {
        assert!(matches!(last(&bytes[..cut], 1), Err(BatchError::Record { index: 0, .. })), "{cut}");
    }
    assert_eq!(Records::new(&[0xff; 40], 3).count(), 1, "the first error ends it");
}

#[test]
fn a_length_that_does_not_fit_the_parts_is_damage() {
    // attributes, timestamp delta, offset delta, null key, null value, no headers
    let record = |length: u8| [length, 0, 0, 0, 1, 1, 0, 0, 0, 0];
    assert!(Records::new(&record(12)[..7], 1).all(|record| record.is_ok()));
    for length in [0, 2, 10, 11, 13, 14, 16, 18] {
        assert!(Records::new(&record(length), 1).next().unwrap().is_err(), "{length}");
    }
}
