//! New partitions are whole and durable when they are handed out, whatever an earlier try has left.

use std::fs;

use super::*;
use crate::base::LeaderEpoch;
use crate::cluster::image::MetadataImage;
use crate::log::leader_epochs;
use crate::shard::test_cores::TestCores;
use crate::wire::{Batch, Codec, RecordBatchBuilder};

const CORES: u16 = 3;

/// A topic of three partitions, none of which is on disk here.
fn image() -> Arc<MetadataImage> {
    TestCores::new(CORES, &[]).image
}

fn all(image: &MetadataImage) -> Vec<(Arc<TopicImage>, PartitionIndex)> {
    image.topics().flat_map(|topic| topic.partitions.iter().map(|partition| (topic.clone(), partition.index))).collect()
}

fn open_one(data_dir: &Path, image: &MetadataImage, known: Known) -> Opened {
    let (topic, index) = all(image).remove(0);
    open(data_dir, &BrokerConfig::default(), &topic, topic.partition(index).unwrap(), known).unwrap()
}

#[test]
fn new_partitions_are_whole_and_have_no_work_left() {
    let (scratch, image) = (tempfile::tempdir().unwrap(), image());
    let created = create(scratch.path(), &BrokerConfig::default(), &all(&image)).unwrap();
    assert_eq!(created.len(), usize::from(CORES));
    for (_, OpenedPartition { key, log }) in &created {
        assert_eq!(partition_metadata::read(log.directory()).unwrap(), Some(key.topic_id));
        assert_eq!(leader_epochs::read(log.directory()).unwrap().as_ref(), Some(log.leader_epochs()));
        assert!(log.leader_epochs().latest() > LeaderEpoch::UNKNOWN);
        // Ten thousand of them would keep the helper threads busy for long.
        assert!(!log.has_jobs());
    }
}

#[test]
fn what_a_crash_left_of_a_creation_is_completed_and_synced() {
    let (scratch, image) = (tempfile::tempdir().unwrap(), image());
    let (topic, index) = all(&image).remove(0);
    let path = scratch.path().join(partition_folder(&topic.name, index));
    // The names survived the crash of the machine, the bytes did not.
    fs::create_dir(&path).unwrap();
    fs::write(path.join(PARTITION_METADATA_FILE), b"").unwrap();
    let opened = open_one(scratch.path(), &image, Known::default());
    assert_eq!(partition_metadata::read(&path).unwrap(), Some(topic.id));
    assert_eq!(opened.unsynced, Some(path.clone()));
    drop(opened);
    // The process died before it had synced them: whoever opens the log next does not know.
    let opened = open_one(scratch.path(), &image, Known::default());
    assert_eq!((opened.report.is_new, opened.unsynced), (false, Some(path)));
}

#[test]
fn a_recovered_log_is_synced_before_it_is_used_and_one_that_was_closed_is_not() {
    let (scratch, image) = (tempfile::tempdir().unwrap(), image());
    let mut log = open_one(scratch.path(), &image, Known::default()).partition.log;
    let bytes = RecordBatchBuilder::new(Codec::None).record(clock::wall_ms(), None, Some(b"x")).build();
    log.append(&[Batch::stored(&bytes).unwrap()], LeaderEpoch(0), clock::wall_ms()).unwrap();
    drop(log);
    let opened = open_one(scratch.path(), &image, Known::default());
    assert_eq!(opened.report.segments_checked, 1);
    assert!(opened.unsynced.is_some());
    make_durable(scratch.path(), opened.unsynced.as_slice()).unwrap();
    let closed = opened.partition.log.close(true).unwrap();
    let known = Known { clean: true, recovery_point: Some(closed.recovery_point), ..Known::default() };
    assert_eq!(open_one(scratch.path(), &image, known).unsynced, None);
}

#[test]
fn a_directory_that_cannot_be_synced_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let gone = scratch.path().join("t-0");
    let message = make_durable(scratch.path(), std::slice::from_ref(&gone)).unwrap_err().to_string();
    assert!(message.contains("sync") && message.contains("t-0"), "{message}");
    make_durable(Path::new("/does/not/exist"), &[]).unwrap();
}
