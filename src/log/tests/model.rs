//! A log against a model of itself: random appends, rolls, background work at random moments, retention, clean and unclean ends, reads.

use proptest::prelude::*;

use super::support::*;
use crate::base::{LeaderEpoch, Offset};
use crate::log::{LogConfig, OpenContext, ReadOutcome};

#[derive(Clone, Debug)]
enum Deed {
    /// Records and payload of each batch.
    Append(Vec<(i32, usize)>),
    Work,
    Tick,
    NewLeader,
    DeleteRecords(u8),
    TruncateTo(u8),
    CloseCleanly,
    /// The process dies: what was appended is in the page cache, nothing else is certain.
    Die,
    Read(u8, usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => prop::collection::vec((1i32..5, 0usize..300), 1..20).prop_map(Deed::Append),
        4 => Just(Deed::Work),
        1 => Just(Deed::Tick),
        1 => Just(Deed::NewLeader),
        1 => any::<u8>().prop_map(Deed::DeleteRecords),
        1 => any::<u8>().prop_map(Deed::TruncateTo),
        1 => Just(Deed::CloseCleanly),
        1 => Just(Deed::Die),
        4 => (any::<u8>(), 1usize..3000).prop_map(|(at, max_bytes)| Deed::Read(at, max_bytes)),
    ]
}

/// What the log should hold: first and last offset, bytes and epoch of every batch.
#[derive(Default)]
struct Model {
    batches: Vec<(i64, i64, usize, i32)>,
    start: i64,
    end: i64,
    epoch: i32,
}

impl Model {
    fn at(&self, share: u8) -> i64 {
        self.start + (self.end - self.start) * i64::from(share) / 255
    }

    /// The batches that a read may answer.
    fn readable(&self, from: i64) -> impl Iterator<Item = &(i64, i64, usize, i32)> {
        self.batches.iter().filter(move |batch| batch.1 >= from)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_log_does_what_its_model_does(deeds in prop::collection::vec(deed(), 1..60), interval in prop_oneof![Just(0u32), Just(150), Just(5000)]) {
        let scratch = tempfile::tempdir().unwrap();
        let config = LogConfig { index_interval_bytes: interval, segment_bytes: 2000, file_delete_delay_ms: 0, ..small_segments() };
        let (mut log, _) = open(scratch.path(), &config, OpenContext::default());
        let mut model = Model::default();
        for deed in deeds {
            match deed {
                Deed::Append(shapes) => {
                    let batches: Vec<_> = shapes.iter().map(|(records, payload)| batch(*records, *payload, NOW.0)).collect();
                    let parsed: Vec<_> = batches.iter().map(|bytes| crate::wire::Batch::stored(bytes).unwrap()).collect();
                    let appended = log.append(&parsed, LeaderEpoch(model.epoch), NOW).unwrap();
                    prop_assert_eq!(appended.base_offset.0, model.end);
                    for (batch, bytes) in parsed.iter().zip(&batches) {
                        let last = model.end + i64::from(batch.header.last_offset_delta);
                        model.batches.push((model.end, last, bytes.len(), model.epoch));
                        model.end = last + 1;
                    }
                    prop_assert_eq!(appended.last_offset.0, model.end - 1);
                }
                Deed::Work => work(&mut log),
                Deed::Tick => log.tick(NOW, log.log_end_offset()),
                Deed::NewLeader => {
                    model.epoch += 2;
                    log.assign_leader_epoch(LeaderEpoch(model.epoch));
                }
                Deed::DeleteRecords(share) => {
                    let offset = model.at(share);
                    log.advance_log_start_offset(Offset(offset)).unwrap();
                    model.start = offset;
                }
                Deed::TruncateTo(share) => {
                    let offset = model.at(share);
                    work(&mut log);
                    log.truncate_to(Offset(offset)).unwrap();
                    model.batches.retain(|batch| batch.1 < offset);
                    if offset < model.end {
                        // What is cut is a whole batch, so the log may end below the offset that was asked for.
                        model.end = model.batches.last().map_or(log.log_end_offset().0, |batch| batch.1 + 1);
                    }
                    model.start = model.start.min(model.end);
                }
                Deed::CloseCleanly => {
                    work(&mut log);
                    let closed = log.close(true).unwrap();
                    let context = OpenContext { log_start_offset: closed.log_start_offset, ..clean_at(closed.recovery_point) };
                    let (reopened, report) = open(scratch.path(), &config, context);
                    prop_assert_eq!(report.log_bytes_read, 0);
                    prop_assert!(!report.is_noteworthy(), "{}", report);
                    log = reopened;
                }
                Deed::Die => {
                    let context = OpenContext {
                        recovery_point: Some(log.recovery_point()),
                        log_start_offset: log.log_start_offset_to_checkpoint(),
                        ..OpenContext::default()
                    };
                    drop(log);
                    let (reopened, report) = open(scratch.path(), &config, context);
                    prop_assert!(report.cut.is_empty(), "{}", report);
                    log = reopened;
                }
                Deed::Read(share, max_bytes) => {
                    let from = model.at(share);
                    match read(&mut log, Offset(from), max_bytes) {
                        ReadOutcome::AtEnd => prop_assert_eq!(from, model.end),
                        outcome => {
                            let headers = headers_of(outcome);
                            let mut bytes = 0;
                            for (header, expected) in headers.iter().zip(model.readable(from)) {
                                prop_assert_eq!((header.base_offset.0, header.last_offset().0), (expected.0, expected.1));
                                prop_assert_eq!(header.partition_leader_epoch.0, expected.3);
                                bytes += expected.2;
                            }
                            prop_assert!(!headers.is_empty());
                            prop_assert!(bytes <= max_bytes || headers.len() == 1);
                        }
                    }
                }
            }
            prop_assert_eq!(log.log_end_offset().0, model.end);
            prop_assert_eq!(log.log_start_offset().0, model.start);
            prop_assert!(log.recovery_point() <= log.log_end_offset());
        }
        work(&mut log);
        let headers = read_all(&mut log, 700);
        let expected: Vec<i64> = model.readable(model.start).map(|batch| batch.0).collect();
        prop_assert_eq!(headers.iter().map(|header| header.base_offset.0).collect::<Vec<_>>(), expected);
        for batch in &model.batches {
            if batch.0 >= model.start {
                prop_assert_eq!(log.leader_epochs().epoch_of(Offset(batch.0)), Some(LeaderEpoch(batch.3)));
            }
        }
        let damage = crate::log::inspect::inspect(scratch.path(), false).unwrap().damage;
        prop_assert_eq!(damage, Vec::<String>::new());
    }
}
