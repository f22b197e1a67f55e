//! The directories that Apache Kafka 4.3.0 wrote (`tests/fixtures`): every partition opens, and says what Kafka said.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::*;
use crate::base::{LeaderEpoch, Offset, Timestamp};
use crate::log::checkpoint::{self, PartitionOffsets};
use crate::log::format::{FileKind, Marking, SegmentFileName};
use crate::log::producer_state::snapshot;
use crate::log::{
    Log, LogConfig, OpenContext, RecoveryReport, TimestampQuery, clean_shutdown, data_dir, meta_properties, partition_metadata,
};
use crate::wire::compression::{Codec, decompress};
use crate::wire::records::Records;

/// Kafka went on compacting this one before it was asked: only the last value of each key is certain.
const COMPACTED_LATER: &str = "under.load-compacted";

/// An unpacked directory and what Kafka says is in it.
pub struct Fixture {
    data: tempfile::TempDir,
    manifest: Vec<Value>,
    recovery_points: PartitionOffsets,
    log_start_offsets: PartitionOffsets,
    clean: bool,
}

impl Fixture {
    pub fn unpack(name: &str) -> Fixture {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let open = |file: String| flate2::read::GzDecoder::new(fs::File::open(fixtures.join(file)).unwrap());
        let data = tempfile::tempdir().unwrap();
        let mut archive = tar::Archive::new(open(format!("{name}.tar.gz")));
        archive.unpack(data.path()).unwrap();
        let mut manifest = String::new();
        open(format!("{name}.manifest.jsonl.gz")).read_to_string(&mut manifest).unwrap();
        let manifest = manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let recovery_points = checkpoint::read_offsets(&data.path().join(checkpoint::RECOVERY_POINT_FILE)).unwrap();
        let log_start_offsets = checkpoint::read_offsets(&data.path().join(checkpoint::LOG_START_OFFSET_FILE)).unwrap();
        let clean = clean_shutdown::take(data.path()).unwrap();
        Fixture { data, manifest, recovery_points, log_start_offsets, clean }
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.manifest.iter().filter(move |value| value["kind"] == kind)
    }

    /// Topic settings that matter to a log.
    fn config(&self, topic: &str) -> LogConfig {
        let entry = self.of_kind("topic").find(|value| value["topic"] == topic).unwrap();
        let setting = |name: &str| entry["configs"][name].as_str().map(|text| text.parse::<i64>().unwrap());
        let defaults = LogConfig { retention_ms: -1, ..LogConfig::default() };
        LogConfig {
            segment_bytes: setting("internal.segment.bytes").or(setting("segment.bytes")).unwrap_or(1 << 30) as u32,
            index_interval_bytes: setting("index.interval.bytes").unwrap_or(4096) as u32,
            segment_index_bytes: setting("segment.index.bytes").unwrap_or(10 << 20) as u32,
            ..defaults
        }
    }

    pub fn open(&self, topic: &str, partition: i64) -> (Log, RecoveryReport) {
        let folder = self.folder(topic, partition);
        let key = (crate::base::TopicName::new(topic).unwrap(), crate::base::PartitionIndex(partition as i32));
        let context = OpenContext {
            recovery_point: self.recovery_points.get(&key).copied(),
            log_start_offset: self.log_start_offsets.get(&key).copied(),
            clean: self.clean,
            ..OpenContext::default()
        };
        open(&folder, &self.config(topic), context)
    }

    pub fn folder(&self, topic: &str, partition: i64) -> PathBuf {
        self.data.path().join(format!("{topic}-{partition}"))
    }
}

fn answer(value: &Value) -> Option<(i64, i64)> {
    let offset = value["offset"].as_i64().filter(|offset| *offset >= 0)?;
    Some((offset, value["timestamp"].as_i64().unwrap()))
}

fn check_partition(fixture: &Fixture, expected: &Value, log: &mut Log) {
    let topic = expected["topic"].as_str().unwrap();
    let name = format!("{topic}-{}", expected["partition"]);
    assert_eq!(log.log_start_offset().0, expected["begin"].as_i64().unwrap(), "{name}");
    assert_eq!(log.log_end_offset().0, expected["end"].as_i64().unwrap(), "{name}");
    let latest = log.leader_epochs().latest().0;
    assert!(i64::from(latest) <= expected["endLeaderEpoch"].as_i64().unwrap(), "{name}");
    // Of internal topics the manifest tells no timestamps.
    if let Some(times) = expected["times"].as_array() {
        check_timestamps(expected, times, log, &name);
    }
    check_producers(expected, log, &name);
    check_records(fixture, topic, expected["partition"].as_i64().unwrap(), log);
}

/// What Kafka's DescribeProducers said.
fn check_producers(expected: &Value, log: &Log, name: &str) {
    let Some(kafkas) = expected["producers"].as_array() else { return };
    let kafkas: BTreeMap<i64, [i64; 5]> = kafkas
        .iter()
        .map(|producer| {
            let field = |name: &str| producer[name].as_i64().unwrap();
            let state = ["producerEpoch", "lastSequence", "lastTimestamp", "coordinatorEpoch", "transactionStart"].map(field);
            (field("producerId"), state)
        })
        .collect();
    let ours: BTreeMap<i64, [i64; 5]> = log
        .active_producers()
        .iter()
        .map(|producer| {
            let transaction = producer.current_transaction_first_offset.0;
            let state = [
                i64::from(producer.epoch),
                i64::from(producer.last_sequence()),
                producer.last_timestamp.0,
                i64::from(producer.coordinator_epoch),
                transaction,
            ];
            (producer.id.0, state)
        })
        .collect();
    assert_eq!(ours, kafkas, "{name}");
}

fn check_timestamps(expected: &Value, times: &[Value], log: &Log, name: &str) {
    for asked in times {
        let query = TimestampQuery::AtOrAfter(Timestamp(asked["ask"].as_i64().unwrap()));
        let found = log.timestamp_lookup(query, log.end()).unwrap().find().unwrap();
        if expected["topic"] == COMPACTED_LATER {
            assert!(found.is_some_and(|found| found.timestamp.0 >= asked["ask"].as_i64().unwrap()) || asked["answer"].is_null());
            continue;
        }
        assert_eq!(found.map(|found| (found.offset.0, found.timestamp.0)), answer(&asked["answer"]), "{name}: {asked}");
    }
    let largest = log.timestamp_lookup(TimestampQuery::Largest, log.end()).unwrap().find().unwrap();
    let largest = largest.map(|found| (found.offset.0, found.timestamp.0));
    let kafkas = answer(&expected["maxTimestamp"]);
    let is_equal = largest == kafkas || expected["topic"] == COMPACTED_LATER && largest.map(|l| l.1) >= kafkas.map(|k| k.1);
    assert!(is_equal, "{name}: {largest:?} is not {kafkas:?}");
}

/// Every record that Kafka lists is read back: offset, timestamp, epoch, key and value.
fn check_records(fixture: &Fixture, topic: &str, partition: i64, log: &mut Log) {
    let listed = fixture.of_kind("record").filter(|value| value["topic"] == topic && value["partition"] == partition);
    let mut expected: BTreeMap<i64, &Value> = listed.map(|value| (value["offset"].as_i64().unwrap(), value)).collect();
    let mut next = log.log_start_offset();
    while let crate::log::ReadOutcome::Ranges(ranges) = read(log, next, 10_000) {
        for range in ranges {
            let bytes = bytes_of(&range);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let header = crate::wire::batch::check_stored(rest).unwrap();
                let (batch, after) = rest.split_at(header.total_bytes().unwrap());
                rest = after;
                next = header.next_offset();
                let records = match header.attributes.codec().unwrap() {
                    Codec::None => batch[61..].to_vec(),
                    codec => decompress(codec, &batch[61..], 1 << 26).unwrap(),
                };
                for record in Records::new(&records, header.records_count) {
                    let record = record.unwrap();
                    let offset = header.base_offset.0 + i64::from(record.offset_delta);
                    let Some(value) = expected.remove(&offset) else {
                        let may_be_unlisted =
                            header.attributes.is_control() || offset < log.log_start_offset().0 || topic == COMPACTED_LATER;
                        assert!(may_be_unlisted, "{topic}-{partition}: {offset} is not listed");
                        continue;
                    };
                    let timestamp = match header.attributes.is_log_append_time() {
                        true => header.max_timestamp.0,
                        false => header.base_timestamp.0 + record.timestamp_delta,
                    };
                    assert_eq!(value["timestamp"], timestamp);
                    assert_eq!(value["leaderEpoch"], header.partition_leader_epoch.0);
                    assert!(is_text_of(&value["key"], record.key), "{topic}-{partition}: key of {offset}");
                    assert!(is_text_of(&value["value"], record.value), "{topic}-{partition}: value of {offset}");
                }
            }
        }
    }
    assert_eq!(next, log.log_end_offset());
    let lost: Vec<_> = expected.keys().filter(|offset| **offset >= log.log_start_offset().0).collect();
    assert!(lost.is_empty() || topic == COMPACTED_LATER, "{topic}-{partition}: {lost:?}");
}

/// The manifest spells out up to 48 bytes; of longer ones the length is compared.
fn is_text_of(expected: &Value, came: Option<&[u8]>) -> bool {
    use base64::Engine;
    match (expected.as_str(), came) {
        (None, None) => true,
        (Some(text), Some(bytes)) => match text.strip_prefix("base64:") {
            Some(text) => base64::engine::general_purpose::STANDARD.decode(text).unwrap() == bytes,
            None => text.rsplit(':').next().unwrap().parse() == Ok(bytes.len()),
        },
        _ => false,
    }
}

#[test]
fn every_partition_of_a_clean_directory_opens_without_reading_its_log() {
    let fixture = Fixture::unpack("clean");
    assert!(fixture.clean);
    let mut opened = 0;
    for expected in fixture.of_kind("partition") {
        let topic = expected["topic"].as_str().unwrap();
        let (mut log, report) = fixture.open(topic, expected["partition"].as_i64().unwrap());
        assert_eq!(report.log_bytes_read, 0, "{report}");
        assert!(!report.is_noteworthy(), "{report}");
        check_partition(&fixture, expected, &mut log);
        opened += 1;
    }
    assert_eq!(opened, 43);
}

#[test]
fn every_partition_of_a_killed_directory_recovers_as_kafka_did() {
    let fixture = Fixture::unpack("killed");
    assert!(!fixture.clean);
    for expected in fixture.of_kind("partition") {
        let topic = expected["topic"].as_str().unwrap();
        let partition = expected["partition"].as_i64().unwrap();
        let (mut log, report) = fixture.open(topic, partition);
        assert!(report.cut.is_empty(), "{report}");
        assert_eq!(report.zero_bytes_cut > 0, topic == "preallocated", "{report}");
        check_partition(&fixture, expected, &mut log);
        let names = fs::read_dir(fixture.folder(topic, partition)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: Vec<_> = names.filter_map(|name| SegmentFileName::parse(&name)).filter(|name| name.marking != Marking::Live).collect();
        assert!(left.is_empty(), "{topic}-{partition}: {left:?}");
    }
}

#[test]
fn producers_are_found_again_without_the_snapshots() {
    let fixture = Fixture::unpack("clean");
    let mut compared = 0;
    for expected in fixture.of_kind("partition") {
        let topic = expected["topic"].as_str().unwrap();
        let partition = expected["partition"].as_i64().unwrap();
        // Where records went, so did what they said.
        if expected["begin"] != 0 || topic.starts_with("compacted") {
            continue;
        }
        let folder = fixture.folder(topic, partition);
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        names
            .filter(|path| path.extension().is_some_and(|extension| extension == "snapshot"))
            .for_each(|path| fs::remove_file(path).unwrap());
        let (log, _) = open(&folder, &fixture.config(topic), OpenContext::default());
        check_producers(expected, &log, &folder.display().to_string());
        compared += log.active_producers().iter().count();
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn producer_snapshots_are_written_byte_for_byte_as_they_were_read() {
    let fixture = Fixture::unpack("killed");
    let mut compared = 0;
    for folder in data_dir::scan(fixture.data.path()).unwrap().partitions {
        for entry in fs::read_dir(folder.path(fixture.data.path())).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "snapshot") {
                let bytes = fs::read(&path).unwrap();
                let state = snapshot::decode(&bytes).unwrap();
                assert_eq!(snapshot::encode(&state.freeze()), bytes, "{}", path.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn rebuilt_indexes_are_byte_for_byte_kafkas() {
    let fixture = Fixture::unpack("clean");
    let mut different = Vec::new();
    let mut compared = 0;
    for expected in fixture.of_kind("partition") {
        let topic = expected["topic"].as_str().unwrap();
        let folder = fixture.folder(topic, expected["partition"].as_i64().unwrap());
        for entry in fs::read_dir(&folder).unwrap() {
            let Some(name) = SegmentFileName::parse(entry.unwrap().file_name().to_str().unwrap()) else { continue };
            if name.kind != FileKind::Log {
                continue;
            }
            let path = |kind| crate::log::format::path(&folder, name.offset, kind);
            let log = crate::io::File::open_read(&path(FileKind::Log)).unwrap();
            let size = log.size().unwrap() as u32;
            let built = crate::log::rebuild::indexes(&log, name.offset, size, fixture.config(topic).index_interval_bytes).unwrap();
            compared += 1;
            if built.offset_index.as_bytes() != fs::read(path(FileKind::OffsetIndex)).unwrap()
                || built.time_index.as_bytes() != fs::read(path(FileKind::TimeIndex)).unwrap()
            {
                different.push(format!("{topic}/{}", name.name()));
            }
        }
    }
    assert!(compared > 80, "{compared}");
    // FORMAT-NOTES: one was written across restarts, which reset Kafka's count of bytes.
    assert!(different.len() <= 1, "{different:?}");
}

#[test]
fn the_small_files_beside_the_partitions_are_understood() {
    let fixture = Fixture::unpack("killed");
    let found = data_dir::scan(fixture.data.path()).unwrap();
    assert_eq!(found.to_delete.len(), 2);
    assert!(found.has_cluster_metadata && found.stray.is_empty() && found.unknown.is_empty());
    assert_eq!(found.partitions.len(), fixture.of_kind("partition").count());
    for folder in &found.partitions {
        let entry = fixture.of_kind("topic").find(|value| value["topic"] == folder.topic.as_str()).unwrap();
        let topic_id = partition_metadata::read(&folder.path(fixture.data.path())).unwrap().unwrap();
        assert_eq!(topic_id.to_string(), entry["topicId"].as_str().unwrap());
    }
    let meta = meta_properties::read(fixture.data.path()).unwrap().unwrap();
    assert_eq!((meta.node_id, meta.cluster_id.as_str()), (1, "MkU3OEVBNTcwNTJENDM2Qg"));
    assert!(checkpoint::read_offsets(&fixture.data.path().join(checkpoint::HIGH_WATERMARK_FILE)).unwrap().len() > 40);
}

#[test]
fn appending_to_kafkas_partition_goes_on_where_it_ended() {
    let fixture = Fixture::unpack("killed");
    let (mut log, _) = fixture.open("leader-epochs", 0);
    let end = log.log_end_offset();
    log.assign_leader_epoch(LeaderEpoch(100));
    let appended = append(&mut log, &[batch(3, 50, 7)]);
    assert_eq!(appended.base_offset, end);
    assert_eq!(log.leader_epochs().end_offset_for(LeaderEpoch(99), log.log_end_offset()).unwrap().1, end);
    let closed = log.close(true).unwrap();
    let (log, report) = open(&fixture.folder("leader-epochs", 0), &fixture.config("leader-epochs"), clean_at(closed.recovery_point));
    assert_eq!(report.log_bytes_read, 0);
    assert_eq!(log.log_end_offset(), end.plus(3));
    assert_eq!(log.leader_epochs().epoch_of(Offset(end.0)), Some(LeaderEpoch(100)));
}
