//! Tests of `records.rs`.

use proptest::prelude::*;

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
    let walked = |bytes: &[u8]| walk(&mut Bytes { rest: bytes, is_narrow: false }, 1, false);
    assert!(Records::new(&record(12)[..7], 1).all(|record| record.is_ok()) && walked(&record(12)[..7]).is_ok());
    for length in [0, 2, 10, 11, 13, 14, 16, 18] {
        assert!(Records::new(&record(length), 1).next().unwrap().is_err(), "{length}");
        for bytes in [&record(length)[..], &record(length)[..7]] {
            assert!(walked(bytes).is_err(), "{length}");
        }
    }
}

/// Bytes of which a walk sees everything at once, or no more than it asks for.
struct Bytes<'a> {
    rest: &'a [u8],
    is_narrow: bool,
}

#[derive(Debug, PartialEq)]
struct Wrong(BatchError);

impl From<BatchError> for Wrong {
    fn from(error: BatchError) -> Wrong {
        Wrong(error)
    }
}

impl RecordSource for Bytes<'_> {
    type Stop = Wrong;

    fn window(&mut self, wanted: usize) -> Result<&[u8], Wrong> {
        Ok(if self.is_narrow { &self.rest[..wanted.min(self.rest.len())] } else { self.rest })
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn skip(&mut self, bytes: usize) -> Result<bool, Wrong> {
        let rest = self.rest.get(bytes..);
        self.rest = rest.unwrap_or_default();
        Ok(rest.is_some())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Records that are seen whole are stepped over by the short way, others by the long one.
    #[test]
    fn the_short_way_finds_what_the_long_way_finds(
        records in prop::collection::vec(
            (
                prop_oneof![-3_i64..300_000, 1_048_570..1_048_580_i64],
                prop::option::of(0_usize..40),
                prop::option::of(prop_oneof![0_usize..4, 24..9000_usize]),
                0_usize..12,
            ),
            1..8,
        ),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..10, any::<u8>()), 0..3),
        counted in -1_i32..2,
        keys_required in any::<bool>(),
    ) {
        // The first record's time is what the others' are told from.
        let mut builder = RecordBatchBuilder::new(Codec::None);
        let mut places = Vec::new();
        for (time, key, value, headers) in &records {
            let start = builder.plain_records().len();
            let (key, value) = (key.map(|len| vec![7; len]), value.map(|len| vec![9; len]));
            // Few records have any.
            let headers: &[(&str, Option<&[u8]>)] = if *headers == 0 { &[("h", Some(b"x"))] } else { &[] };
            builder.append(Timestamp(1_000_000 + time), key.as_deref(), value.as_deref(), headers);
            places.push((start, builder.plain_records().len()));
        }
        let mut bytes = builder.plain_records().to_vec();
        for (record, at, byte) in changes {
            // The first bytes of a record say where everything is, and the last whether there are headers.
            let (start, end) = *record.get(&places);
            let at = if at < 8 { start + at } else { end - 1 };
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
        }
        let count = records.len() as i32 + counted;
        let by = |is_narrow| walk(&mut Bytes { rest: &bytes, is_narrow }, count, keys_required);
        let walked = by(false);
        prop_assert_eq!(&walked, &by(true));
        // A short record is whole in the narrow window too: these never take the short way.
        let long = Records::new(&bytes, count).collect::<Result<Vec<_>, _>>();
        let is_sound = long.is_ok_and(|records| {
            records.iter().zip(0..).all(|(record, index)| record.offset_delta == index && (record.key.is_some() || !keys_required))
        });
        prop_assert_eq!(walked.is_ok(), is_sound);
    }
}
