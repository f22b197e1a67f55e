//! `inspect`: finds nothing in whole directories, ours and Kafka's, and names each damage.

use std::fs;

use super::kafka_directories::Fixture;
use super::support::*;
use crate::base::Offset;
use crate::log::OpenContext;
use crate::log::format::{FileKind, path};
use crate::log::inspect::inspect;

#[test]
fn kafkas_directories_are_whole() {
    for name in ["clean", "killed"] {
        let fixture = Fixture::unpack(name);
        for expected in fixture.of_kind("partition") {
            let topic = expected["topic"].as_str().unwrap();
            let partition = expected["partition"].as_i64().unwrap();
            let report = inspect(&fixture.folder(topic, partition), true).unwrap();
            assert_eq!(report.damage, Vec::<String>::new(), "{topic}-{partition}");
            let last = report.segments.iter().filter_map(|segment| segment.last_offset).max();
            if name == "clean" && topic != "retention-emptied" {
                assert_eq!(last.map_or(0, |last| last + 1), expected["end"].as_i64().unwrap(), "{topic}-{partition}");
            }
            let again: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
            assert_eq!(again["segments"].as_array().unwrap().len(), report.segments.len());
        }
    }
}

#[test]
fn a_live_log_can_be_inspected() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut log, _) = open(scratch.path(), &small_segments(), OpenContext::default());
    for i in 0..20 {
        append(&mut log, &[batch(2, 100, i)]);
        work(&mut log);
    }
    let report = inspect(scratch.path(), false).unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
    assert_eq!(report.segments.iter().map(|segment| segment.batches).sum::<u64>(), 20);
    let text = report.to_string();
    assert!(text.contains("leader epoch 0 from offset 0") && text.ends_with("no damage found\n"), "{text}");
}

#[test]
fn what_is_no_partition_is_not_called_sound() {
    let data_dir = tempfile::tempdir().unwrap();
    let partition = data_dir.path().join("orders-0");
    fs::create_dir(&partition).unwrap();
    let (mut log, _) = open(&partition, &small_segments(), OpenContext::default());
    append(&mut log, &[batch(1, 100, 0)]);
    log.close(true).unwrap();
    let refusal = |path: &std::path::Path| inspect(path, false).unwrap_err().to_string();
    assert!(refusal(data_dir.path()).contains("name a directory such as data/orders-0"));
    assert!(refusal(&path(&partition, Offset(0), FileKind::OffsetIndex)).contains("neither a partition's directory nor a .log file"));
    assert_eq!(inspect(&partition, false).unwrap().segments.len(), 1);
}

#[test]
fn every_damage_is_named() {
    let whole = tempfile::tempdir().unwrap();
    let (mut log, _) = open(whole.path(), &small_segments(), OpenContext::default());
    (0..20).for_each(|i| _ = append(&mut log, &[batch(2, 100, i)]));
    log.close(true).unwrap();
    let damaged = |kind: FileKind, change: &dyn Fn(&mut Vec<u8>)| {
        let scratch = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(whole.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), scratch.path().join(entry.file_name())).unwrap();
        }
        let file = path(scratch.path(), Offset(12), kind);
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(file, bytes).unwrap();
        inspect(scratch.path(), true).unwrap().damage.join("\n")
    };
    assert_eq!(damaged(FileKind::Log, &|_| {}), "");
    let crc = damaged(FileKind::Log, &|bytes| bytes[161 + 100] ^= 1);
    assert!(crc.contains("segment 12, byte 161") && crc.contains("CRC") && crc.lines().count() == 1, "{crc}");
    let torn = damaged(FileKind::Log, &|bytes| bytes.truncate(900));
    assert!(torn.contains("segment 12, byte 805"), "{torn}");
    let offset = damaged(FileKind::Log, &|bytes| bytes[161 * 2 + 7] = 0);
    assert!(offset.contains("expected 16 or above"), "{offset}");
    let index = damaged(FileKind::OffsetIndex, &|bytes| bytes[7] ^= 1);
    assert!(index.contains("the offset index says"), "{index}");
    let time = damaged(FileKind::TimeIndex, &|bytes| bytes[7] = 0);
    assert!(time.contains("the time index says"), "{time}");
    let empty = damaged(FileKind::TimeIndex, &|bytes| bytes.clear());
    assert!(empty.contains("ends with timestamp -1"), "{empty}");
}
