//! What readers see around a sync, and what a failed one leaves.

use std::io;

use super::*;
use crate::base::{ProducerId, Timestamp};
use crate::io::glommio::run_here;
use crate::shard::partition::Written;
use crate::shard::test_cores::TestCores;

fn high_watermark(cores: &TestCores) -> i64 {
    cores.checkpoint(0).high_watermark.unwrap().0
}

#[test]
fn nothing_is_readable_before_the_sync_that_the_topic_asks_for() {
    run_here(async {
        let cores = TestCores::new(1, &[("flush.messages", "1")]);
        let written = cores.append(0, &[b"x"]).unwrap();
        assert_eq!(high_watermark(&cores), 0);
        written.durable.expect("it must be synced").await.unwrap();
        assert_eq!((high_watermark(&cores), cores.checkpoint(0).recovery_point.unwrap().0), (1, 1));
    });
}

#[test]
fn the_largest_timestamp_is_looked_for_among_what_readers_see() {
    run_here(async {
        let cores = TestCores::new(1, &[("flush.messages", "2")]);
        let search = || {
            let (shard, partition) = (cores.shard(0), cores.partition(0));
            // Runs up to its first wait: what it looks at is settled then.
            spawn(async move { partition.search_time(&shard, None).await })
        };
        cores.append_at(0, &[b"a"], Timestamp(5)).unwrap();
        let second = cores.append_at(0, &[b"b"], Timestamp(9)).unwrap();
        assert_eq!(high_watermark(&cores), 1);
        let before = search();
        cores.do_offloaded_work();
        let before = before.await.unwrap().expect("one record can be read");
        assert_eq!((before.offset, before.timestamp), (Offset(0), Timestamp(5)));

        second.durable.expect("it must be synced").await.unwrap();
        let after = search();
        cores.do_offloaded_work();
        let after = after.await.unwrap().expect("both can be read");
        assert_eq!((after.offset, after.timestamp), (Offset(1), Timestamp(9)));
    });
}

#[test]
fn a_sync_that_nobody_waits_for_keeps_no_record_from_readers() {
    run_here(async {
        let cores = TestCores::new(1, &[("flush.messages", "3")]);
        let partition = cores.partition(0);
        cores.append(0, &[b"a"]).unwrap();
        // flush.ms has begun a sync of one record.
        let target = partition.state().unwrap().log.end();
        partition.state_mut().unwrap().flush.running = true;
        cores.append(0, &[b"b"]).unwrap();
        assert_eq!(high_watermark(&cores), 2, "two records need no sync");

        // The third does, and the sync under way began too early for it.
        let third = cores.append(0, &[b"c"]).unwrap();
        assert!(third.durable.is_some());
        let round = partition.state_mut().unwrap().flushed(target, &Ok(()));
        assert!(round.again && round.done.is_empty());
        assert_eq!(high_watermark(&cores), 2, "it never falls, and the third waits");
        let all = partition.state().unwrap().log.end();
        let round = partition.state_mut().unwrap().flushed(all, &Ok(()));
        assert_eq!((round.again, round.done.len()), (false, 1));
        assert_eq!(high_watermark(&cores), 3);
    });
}

#[test]
fn a_log_whose_sync_failed_is_never_synced_again() {
    run_here(async {
        let cores = TestCores::new(1, &[("flush.ms", "0")]);
        let (shard, partition) = (cores.shard(0), cores.partition(0));
        cores.append(0, &[b"x"]).unwrap();
        let end = partition.state().unwrap().log.end();
        let round = partition.state_mut().unwrap().flushed(end, &Err(io::Error::other("EIO")));
        assert!(round.failed.is_some() && !round.again);

        partition.tick(&shard);
        crate::io::glommio::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(shard.counters.flushes.get(), 0, "the kernel reports a failure once: the next sync would succeed");
        assert_eq!(cores.checkpoint(0).recovery_point.unwrap().0, 0, "what was lost is not on the disk");
        assert_eq!(cores.append(0, &[b"y"]).err(), Some(ErrorCode::KafkaStorageError));
    });
}

#[test]
fn a_sync_acknowledges_nothing_once_the_log_is_offline() {
    run_here(async {
        let cores = TestCores::new(1, &[("flush.messages", "1")]);
        let partition = cores.partition(0);
        let written = cores.append(0, &[b"x"]).unwrap();
        // Another sync of the same file met the error first.
        let _ = partition.state_mut().unwrap().log.sync_failed(&io::Error::other("EIO"));
        assert_eq!(written.durable.unwrap().await, Err(ErrorCode::KafkaStorageError));
        assert_eq!((high_watermark(&cores), cores.checkpoint(0).recovery_point.unwrap().0), (0, 0));
    });
}

#[test]
fn who_waits_hears_of_a_roll_between_the_append_and_its_sync() {
    run_here(async {
        let cores = TestCores::new(1, &[("flush.messages", "1"), ("segment.bytes", "1048576")]);
        let partition = cores.partition(0);
        let value = vec![0; 600_000];
        let written = [(); 2].map(|()| cores.append(0, &[&value]).unwrap());
        let mut told = Vec::new();
        for _ in written {
            let end = partition.state().unwrap().log.end();
            told.push(partition.state_mut().unwrap().flushed(end, &Ok(())).readable_bytes);
        }
        assert_eq!(told, [u64::MAX, 0], "the end lies in another segment: look again");
    });
}

#[test]
fn a_batch_sent_once_more_waits_as_long_as_the_first_sending() {
    run_here(async {
        let cores = TestCores::new(1, &[("flush.messages", "2")]);
        let partition = cores.partition(0);
        let id = ProducerId(5);
        assert!(cores.append_of(0, id, 0).unwrap().durable.is_none(), "one record needs no sync");
        // A sync that begins too early for the second record.
        let early = partition.state().unwrap().log.end();
        partition.state_mut().unwrap().flush.running = true;
        let second = cores.append_of(0, id, 1).unwrap();
        assert!(second.durable.is_some() && second.left_out.is_empty());

        let again = cores.append_of(0, id, 1).unwrap();
        let first_offset = |written: &Written| written.left_out[0].1.map(|repeated| repeated.first_offset.0);
        assert_eq!((first_offset(&again), partition.state().unwrap().log.log_end_offset().0), (Ok(1), 2));
        assert!(again.durable.is_some(), "what it repeats is not durable yet");

        let round = partition.state_mut().unwrap().flushed(early, &Ok(()));
        assert!(round.again && round.done.is_empty());
        assert!(cores.append_of(0, id, 0).unwrap().durable.is_none(), "the first record is synced by now");
        let all = partition.state().unwrap().log.end();
        let round = partition.state_mut().unwrap().flushed(all, &Ok(()));
        assert_eq!((round.again, round.done.len()), (false, 2));
        assert!(cores.append_of(0, id, 1).unwrap().durable.is_none());
        assert_eq!(cores.append_of(0, id, 9).unwrap().left_out[0].1, Err(ErrorCode::OutOfOrderSequenceNumber));
    });
}
