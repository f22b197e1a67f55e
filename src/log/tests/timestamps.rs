//! Searches by time against a plain list of records, wherever the high watermark stands.

use proptest::prelude::*;

use super::support::*;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::log::{Log, OffsetAndPosition, OpenContext, TimestampLookup, TimestampQuery};
use crate::wire::batch::Batch;
use crate::wire::{Codec, RecordBatchBuilder};

/// Appends a batch of records with these timestamps; answers the log's end behind it.
fn append_at(log: &mut Log, timestamps: &[i64]) -> OffsetAndPosition {
    let mut builder = RecordBatchBuilder::new(Codec::None);
    timestamps.iter().for_each(|timestamp| builder.append(Timestamp(*timestamp), None, Some(&[b'x'; 20]), &[]));
    let bytes = builder.build();
    log.append(&[Batch::stored(&bytes).unwrap()], LeaderEpoch(0), NOW).unwrap().end
}

fn find(lookup: TimestampLookup) -> Option<(i64, i64)> {
    lookup.find().unwrap().map(|found| (found.offset.0, found.timestamp.0))
}

/// Offset and timestamp of the first record at or after a time.
fn first_from(readable: &[i64], least: i64) -> Option<(i64, i64)> {
    (0..).zip(readable.iter().copied()).find(|(_, timestamp)| *timestamp >= least)
}

/// The first record that has the largest timestamp.
fn largest(readable: &[i64]) -> Option<(i64, i64)> {
    first_from(readable, *readable.iter().max()?)
}

#[test]
fn the_largest_timestamp_is_that_of_what_may_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    let start = log.end();
    let ends = [append_at(&mut log, &[5, 9, 9]), append_at(&mut log, &[7]), append_at(&mut log, &[8, 10])];
    let at = |end| find(log.timestamp_lookup(TimestampQuery::Largest, end).unwrap());
    assert_eq!([at(start), at(ends[0]), at(ends[1]), at(ends[2])], [None, Some((1, 9)), Some((1, 9)), Some((5, 10))]);
    // The first record that is late enough cannot be read yet, so none before it is late enough.
    let from_ten = |end| find(log.timestamp_lookup(TimestampQuery::AtOrAfter(Timestamp(10)), end).unwrap());
    assert_eq!([from_ten(ends[1]), from_ten(ends[2])], [None, Some((5, 10))]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_search_finds_what_a_plain_list_says(
        batches in prop::collection::vec(prop::collection::vec(0..50_i64, 1..4), 1..60),
        drift in prop_oneof![Just(0), Just(3)],
        finish_every in 1..20_usize,
        asked in prop::collection::vec(0..250_i64, 5),
    ) {
        let scratch = tempfile::tempdir().unwrap();
        let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
        let (mut ends, mut timestamps) = (vec![log.end()], Vec::new());
        for (number, batch) in batches.iter().enumerate() {
            let batch: Vec<i64> = batch.iter().map(|timestamp| timestamp + number as i64 * drift).collect();
            ends.push(append_at(&mut log, &batch));
            timestamps.extend(batch);
            if number % finish_every == 0 {
                work(&mut log);
            }
        }
        let lookups = |log: &Log, end: OffsetAndPosition| {
            let queries = asked.iter().map(|least| TimestampQuery::AtOrAfter(Timestamp(*least))).chain([TimestampQuery::Largest]);
            queries.map(|query| (query, log.timestamp_lookup(query, end).unwrap())).collect::<Vec<_>>()
        };
        // Some segments are sealed whose files are not finished; a search is behind the jobs that were there before it.
        let prepared: Vec<_> = ends.iter().map(|end| (*end, lookups(&log, *end))).collect();
        work(&mut log);
        let again = ends.iter().map(|end| (*end, lookups(&log, *end)));
        for (end, lookups) in prepared.into_iter().chain(again) {
            let readable = &timestamps[..end.offset.0 as usize];
            for (query, lookup) in lookups {
                let expected = match query {
                    TimestampQuery::Largest => largest(readable),
                    TimestampQuery::AtOrAfter(least) => first_from(readable, least.0),
                };
                prop_assert_eq!(find(lookup), expected, "{:?} below {}", query, end.offset);
            }
        }
        prop_assert_eq!(log.log_start_offset(), Offset::ZERO);
    }
}
