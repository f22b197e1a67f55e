//! What the host can do to a broker: a full disk, a read-only one, a port or a directory that somebody else has.
//!
//! Small file systems are mounted for it, which needs root: a test that cannot mount fails, because it has not shown anything.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, InitProducerIdRequest};
use pagewire::base::Timestamp;
use pagewire::wire::{Codec, RecordBatchBuilder};
use tempfile::TempDir;

use broker::{Broker, Connection, Ended, ask, fresh_dir, serve_and_fail};

const KAFKA_STORAGE_ERROR: i16 = 56;
/// The exit code of a command that was tried and failed.
const FAILED: Option<i32> = Some(1);

/// A small file system in memory.
struct Disk {
    at: TempDir,
}

impl Disk {
    fn mount(mebibytes: usize) -> Disk {
        let disk = Disk { at: fresh_dir() };
        disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "pagewire-test"]);
        disk
    }

    fn path(&self) -> &Path {
        self.at.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).arg(self.path()).output().expect("mount(8) is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}; these tests need root, in a container CAP_SYS_ADMIN");
    }

    /// Takes every byte that is free. Remove the file to give it back.
    fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("room for a name");
        for bytes in [1 << 16, 1 << 12, 1] {
            loop {
                match file.write_all(&vec![1; bytes]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a broker that is being killed may still have files open.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn count(said: &str, what: &str) -> usize {
    said.matches(what).count()
}

#[test]
fn a_log_that_finds_the_disk_full_goes_offline_alone() {
    let disk = Disk::mount(48);
    let mut broker = Broker::start_in(disk.path(), &[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 2, &[("segment.bytes", "1048576")]);
    ask::create_topic(&mut connection, "quiet", 2, &[]);
    let mut written = [0, 0];
    for partition in 0..2 {
        for number in 0..40 {
            ask::write(&mut connection, "t", partition, &[vec![number; 50_000]]);
            written[partition as usize] += 1;
        }
        ask::write(&mut connection, "quiet", partition, &["kept"]);
    }

    let ballast = disk.fill();
    // Some bytes may fit: blocks were allotted ahead.
    let refused = (0..100).find_map(|number| {
        let answer = ask::produce(&mut connection, "t", 0, &ask::batch_of(&[vec![number; 50_000]]));
        written[0] += i64::from(answer.error_code == 0);
        (answer.error_code != 0).then_some(answer)
    });
    let refused = refused.expect("the disk is full");
    assert_eq!((refused.error_code, refused.base_offset), (KAFKA_STORAGE_ERROR, -1), "{:?}", refused.error_message);
    for _ in 0..20 {
        assert_eq!(ask::produce(&mut connection, "t", 0, &ask::batch_of(&["again"])).error_code, KAFKA_STORAGE_ERROR);
    }
    // What it says comes through a pipe, perhaps behind its answers.
    broker.wait_until(|broker| broker.said().contains("No space left on device"));
    let said = broker.said();
    assert!(said.contains("t-0") && said.contains("free space"), "{said}");
    assert!(count(&said, "ERROR") <= 3, "said once, not for every request:\n{said}");

    // Everybody else is read as before; nothing new can be made.
    for core in 0..2 {
        let mut reader = broker.connect(core);
        assert_eq!(ask::fetch(&mut reader, "t", 0, 0).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(ask::read(&mut reader, "t", 1, 0).len() as i64, written[1]);
        for partition in 0..2 {
            assert_eq!(ask::read(&mut reader, "quiet", partition, 0).len(), 1);
        }
    }
    assert_eq!(ask::try_create_topic(&mut connection, "new", 2, &[]), KAFKA_STORAGE_ERROR);
    assert_ne!(ask::describe(&mut connection, "new").error_code, 0, "it did not come to be");

    // Space is free again: others take records, the log that is offline waits for a restart.
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(ask::write(&mut connection, "quiet", 0, &["goes on"]), 1);
    assert_eq!(ask::produce(&mut connection, "t", 0, &ask::batch_of(&["x"])).error_code, KAFKA_STORAGE_ERROR);
    ask::create_topic(&mut connection, "new", 2, &[]);
    assert_eq!(ask::write(&mut connection, "new", 1, &["x"]), 0);
    assert_eq!(connection.ask(4, &InitProducerIdRequest::default().with_transactional_id(None)).error_code, 0);
    broker.terminate();

    broker.start_again(&[]);
    let mut connection = broker.connect(1);
    for partition in 0..2 {
        let read = ask::read(&mut connection, "t", partition, 0);
        assert_eq!(read.len() as i64, written[partition as usize], "every acknowledged record, and no other");
        assert_eq!(ask::write(&mut connection, "t", partition, &["serves again"]), written[partition as usize]);
    }
    assert_eq!(ask::read(&mut connection, "quiet", 0, 0).len(), 2);
    assert_eq!(ask::read(&mut connection, "new", 1, 0).len(), 1);
    broker.stop();
}

/// Deletes the records of partition 0 below `offset` and returns the error code.
fn delete_records(connection: &mut Connection, topic: &str, offset: i64) -> i16 {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(ask::topic_name(topic)).with_partitions(vec![partition]);
    let answer = connection.ask(2, &DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000));
    answer.topics[0].partitions[0].error_code
}

#[test]
fn records_that_were_deleted_stay_deleted_when_their_log_goes_offline() {
    let disk = Disk::mount(24);
    let mut broker = Broker::start_in(disk.path(), &[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[("segment.bytes", "1048576")]);
    ask::write(&mut connection, "t", 0, &["0", "1", "2", "3", "4"]);
    assert_eq!(delete_records(&mut connection, "t", 3), 0);

    let ballast = disk.fill();
    let is_refused =
        |number| ask::produce(&mut connection, "t", 0, &ask::batch_of(&[vec![number; 50_000]])).error_code == KAFKA_STORAGE_ERROR;
    assert!((0..100).any(is_refused), "the disk is full");
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(broker.terminate().status.code(), FAILED, "a log was not closed");
    broker.start_again(&[]);
    assert_eq!(ask::list_offset(&mut broker.connect(0), "t", 0, ask::EARLIEST).offset, 3);
}

#[test]
fn a_full_disk_that_refuses_every_change_is_told_of_once_and_so_is_its_end() {
    let disk = Disk::mount(8);
    let mut broker = Broker::start_in(disk.path(), &[]);
    let mut connection = broker.connect(0);
    for outage in 1..3 {
        let ballast = disk.fill();
        for number in 0..30 {
            assert_eq!(ask::try_create_topic(&mut connection, &format!("t{outage}-{number}"), 1, &[]), KAFKA_STORAGE_ERROR);
        }
        broker.wait_until(|broker| count(&broker.said(), "ERROR") == outage);
        std::fs::remove_file(ballast).unwrap();
        ask::create_topic(&mut connection, &format!("t{outage}"), 1, &[]);
        broker.wait_until(|broker| count(&broker.said(), "again, after 30 that failed") == outage);
    }
    let said = broker.said();
    assert_eq!((count(&said, "ERROR"), count(&said, "No space left on device")), (2, 2), "{said}");
    broker.stop();
}

#[test]
fn a_log_that_cannot_be_opened_stays_offline_alone() {
    let data_dir = fresh_dir();
    let mut broker = Broker::start_in(data_dir.path(), &[]);
    let mut connection = broker.connect(0);
    for topic in ["sick", "sound"] {
        ask::create_topic(&mut connection, topic, 1, &[]);
        ask::write(&mut connection, topic, 0, &["kept"]);
    }
    broker.stop();

    // A file where the folder was: nothing of it can be opened.
    let (folder, aside) = (data_dir.path().join("sick-0"), data_dir.path().join("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "").unwrap();
    broker.start_again(&[]);
    let said = broker.said();
    assert!(said.contains("sick-0 stays offline"), "{said}");
    for core in 0..2 {
        let mut connection = broker.connect(core);
        assert_eq!(ask::produce(&mut connection, "sick", 0, &ask::batch_of(&["x"])).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(ask::fetch(&mut connection, "sick", 0, 0).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(ask::list_offset(&mut connection, "sick", 0, -1).error_code, KAFKA_STORAGE_ERROR);
        assert_eq!(ask::read(&mut connection, "sound", 0, 0).len(), 1);
    }
    let ended = broker.terminate();
    assert!(!ended.status.success() && ended.said.contains("did not stop cleanly"), "{}", ended.said);

    // Mended, it is there again.
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    broker.start_again(&[]);
    assert_eq!(ask::read(&mut broker.connect(0), "sick", 0, 0).len(), 1);
    broker.stop();
}

/// What the checkpoint files say of partition 0 of a topic, by file.
fn checkpoint_lines(data_dir: &Path, topic: &str) -> BTreeMap<String, String> {
    let names = std::fs::read_dir(data_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let line_of = |name: String| {
        let text = std::fs::read_to_string(data_dir.join(&name)).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{topic} 0 ")))?.to_owned();
        Some((name, line))
    };
    names.filter(|name| name.ends_with("-offset-checkpoint")).filter_map(line_of).collect()
}

#[test]
fn records_that_were_deleted_stay_deleted_when_their_log_cannot_be_opened() {
    for was_killed in [false, true] {
        let data_dir = fresh_dir();
        let mut broker = Broker::start_in(data_dir.path(), &[]);
        let mut connection = broker.connect(0);
        for topic in ["sick", "sound", "remade"] {
            ask::create_topic(&mut connection, topic, 1, &[("cleanup.policy", "compact,delete")]);
            let mut batch = RecordBatchBuilder::new(Codec::None);
            for key in [b"0", b"1", b"2", b"3", b"4"] {
                batch.append(Timestamp(ask::now_ms()), Some(key), None, &[]);
            }
            assert_eq!(ask::produce(&mut connection, topic, 0, &batch.build()).error_code, 0);
            assert_eq!(delete_records(&mut connection, topic, 3), 0);
        }
        match was_killed {
            true => broker.kill(),
            false => broker.stop(),
        }
        // As if the cleaner had been there.
        std::fs::write(data_dir.path().join("cleaner-offset-checkpoint"), "0\n1\nsick 0 4\n").unwrap();
        let lines = checkpoint_lines(data_dir.path(), "sick");
        assert_eq!(lines["log-start-offset-checkpoint"], "sick 0 3");
        // A crash comes before the first checkpoint of the others.
        assert_eq!(lines.len(), if was_killed { 2 } else { 4 }, "{lines:?}");

        // A file where the folder was: nothing of it can be opened.
        let folder = |topic: &str| data_dir.path().join(format!("{topic}-0"));
        let aside = data_dir.path().join("aside");
        std::fs::rename(folder("sick"), &aside).unwrap();
        std::fs::remove_dir_all(folder("remade")).unwrap();
        ["sick", "remade"].iter().for_each(|topic| std::fs::write(folder(topic), "").unwrap());
        broker.start_again(&[]);
        let said = broker.said();
        assert!(said.contains("sick-0 stays offline") && said.contains("remade-0 stays offline"), "{said}");
        // Each of these writes checkpoints, and so does the end.
        let mut connection = broker.connect(0);
        assert_eq!(delete_records(&mut connection, "sound", 4), 0);
        assert_eq!(checkpoint_lines(data_dir.path(), "sick"), lines);
        assert_eq!(checkpoint_lines(data_dir.path(), "remade")["log-start-offset-checkpoint"], "remade 0 3");
        ask::delete_topic(&mut connection, "remade");
        assert_eq!(checkpoint_lines(data_dir.path(), "remade"), BTreeMap::new(), "they go with their topic");
        assert_eq!(checkpoint_lines(data_dir.path(), "sick"), lines);
        ask::create_topic(&mut connection, "remade", 1, &[]);
        ask::write(&mut connection, "remade", 0, &["0", "1", "2", "3"]);
        assert_eq!(broker.terminate().status.code(), FAILED, "a log was not closed");
        assert_eq!(checkpoint_lines(data_dir.path(), "sick"), lines);

        std::fs::remove_file(folder("sick")).unwrap();
        std::fs::rename(&aside, folder("sick")).unwrap();
        broker.start_again(&[]);
        let mut connection = broker.connect(0);
        for (topic, start, end) in [("sick", 3, 5), ("sound", 4, 5), ("remade", 0, 4)] {
            assert_eq!(ask::list_offset(&mut connection, topic, 0, ask::EARLIEST).offset, start, "{topic}");
            assert_eq!(ask::end_offset(&mut connection, topic, 0), end, "{topic}");
        }
        broker.stop();
    }
}

#[test]
fn the_folder_of_another_topic_of_that_name_is_set_aside() {
    let data_dir = fresh_dir();
    let mut broker = Broker::start_in(data_dir.path(), &[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    ask::write(&mut connection, "t", 0, &["somebody else's"]);
    broker.stop();
    std::fs::write(data_dir.path().join("t-0/partition.metadata"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ").unwrap();

    broker.start_again(&[]);
    let said = broker.said();
    assert!(said.contains("belongs to a topic with id AAAAAAAAAAAAAAAAAAAAAQ"), "{said}");
    let mut connection = broker.connect(1);
    assert_eq!(ask::end_offset(&mut connection, "t", 0), 0);
    assert_eq!(ask::write(&mut connection, "t", 0, &["its own"]), 0);
    let names = std::fs::read_dir(data_dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strays: Vec<String> = names.filter(|name| name.starts_with("t-0.") && name.ends_with("-stray")).collect();
    assert_eq!(strays.len(), 1, "the records are still there");
    broker.stop();
}

#[test]
fn topics_are_made_whole_or_not_at_all() {
    let disk = Disk::mount(8);
    let mut broker = Broker::start_in(disk.path(), &[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    // Files and directories run out before bytes do.
    disk.run("mount", &["-o", "remount,nr_inodes=60"]);
    assert_eq!(ask::try_create_topic(&mut connection, "wide", 100, &[]), KAFKA_STORAGE_ERROR);
    assert_ne!(ask::describe(&mut connection, "wide").error_code, 0);
    assert_eq!(ask::write(&mut connection, "t", 0, &["x"]), 0);
    disk.run("mount", &["-o", "remount,nr_inodes=10000"]);
    ask::create_topic(&mut connection, "wide", 100, &[]);
    assert_eq!(ask::write(&mut connection, "wide", 99, &["x"]), 0);
    broker.stop();
    broker.start_again(&[]);
    assert_eq!(ask::read(&mut broker.connect(0), "wide", 99, 0).len(), 1);
    broker.stop();
}

#[test]
fn a_start_on_a_full_disk_is_refused() {
    let disk = Disk::mount(4);
    let data_dir = disk.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    disk.fill();
    let Ended { status, said } = serve_and_fail::<&str>(&data_dir, &[]);
    assert_eq!(status.code(), FAILED, "{said}");
    assert!(said.contains("No space left on device") && said.contains(data_dir.to_str().unwrap()), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_read_only_directory_is_refused() {
    let disk = Disk::mount(4);
    let data_dir = disk.path().join("data");
    // Once it is new, and once it has been used.
    for made in [false, true] {
        if made {
            disk.run("mount", &["-o", "remount,rw"]);
            Broker::start_in(&data_dir, &[]).stop();
        }
        disk.run("mount", &["-o", "remount,ro"]);
        let Ended { status, said } = serve_and_fail::<&str>(&data_dir, &[]);
        assert_eq!(status.code(), FAILED, "{said}");
        assert!(said.contains("Read-only file system") && said.contains(disk.path().to_str().unwrap()), "{said}");
        assert!(said.contains("--data-dir") && !said.contains("panicked"), "says what to do: {said}");
    }
}

#[test]
fn a_second_broker_on_one_directory_is_refused_and_told_whose_it_is() {
    let mut broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", 1, &[]);
    for _ in 0..2 {
        let Ended { status, said } = serve_and_fail::<&str>(&broker.data_dir, &[]);
        assert_eq!(status.code(), FAILED, "{said}");
        assert!(said.contains(&format!("process {}", broker.pid())), "{said}");
    }
    assert_eq!(ask::write(&mut connection, "t", 0, &["the first goes on"]), 0);
    // Killed: the lock goes with the process.
    broker.kill();
    broker.start_again(&[]);
    assert_eq!(ask::read(&mut broker.connect(0), "t", 0, 0).len(), 1);
    broker.stop();
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // Also by another broker, and also the port of another core than the first.
    let broker = Broker::start(&[]);
    let of_second_core = format!("127.0.0.1:{}", broker.ports[1] - 1);
    let refused = |arguments: &[&str]| {
        let Ended { status, said } = serve_and_fail(fresh_dir().path(), arguments);
        assert_eq!(status.code(), FAILED, "{said}");
        assert!(said.contains(arguments[1]) && said.contains("--listen"), "{said}");
    };
    // Side by side: each waits a little, in case the port's owner is about to end.
    thread::scope(|scope| {
        scope.spawn(|| refused(&["--listen", &address]));
        scope.spawn(|| refused(&["--listen", &address, "--advertise", "per-node"]));
        scope.spawn(|| refused(&["--listen", &broker.address(0).to_string()]));
        scope.spawn(|| refused(&["--listen", &of_second_core]));
    });
    drop(taken);
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let directory = fresh_dir();
    Broker::start_in(directory.path(), &["--node-id", "7"]).stop();
    let Ended { status, said } = serve_and_fail(directory.path(), &["--node-id", "8"]);
    assert_eq!(status.code(), FAILED, "{said}");
    assert!(said.contains("belongs to node 7") && said.contains("this is node 8") && said.contains("--node-id 7"), "{said}");
    Broker::start_in(directory.path(), &["--node-id", "7"]).stop();
}

#[test]
fn a_stop_right_after_the_start_is_a_clean_one() {
    let directory = fresh_dir();
    for _ in 0..5 {
        let mut broker = Broker::start_in(directory.path(), &[]);
        broker.stop();
        assert!(!broker.said().contains("unclean"), "{}", broker.said());
    }
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let directory = fresh_dir();
    let file = directory.path().join("file");
    std::fs::write(&file, "hello").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/pagewire")] {
        let Ended { status, said } = serve_and_fail::<&str>(&path, &[]);
        assert_eq!(status.code(), FAILED, "{said}");
        assert!(said.contains("--data-dir") && !said.contains("panicked"), "{said}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"hello");
}

#[test]
fn settings_that_make_no_sense_are_refused_as_wrong_usage() {
    let directory = fresh_dir();
    let cases: [(&[&str], &str); 8] = [
        (&["--cores", "0-100000"], "cores"),
        (&["--cores", "x"], "cores"),
        (&["--cores="], "cores"),
        (&["--listen", "nowhere"], "listen"),
        (&["--listen", "127.0.0.1:65535"], "listen"),
        (&["--node-id=-1"], "node-id"),
        (&["--set", "num.partitions=lots"], "num.partitions"),
        (&["--set", "num.partitions"], "num.partitions"),
    ];
    for (arguments, named) in cases {
        let Ended { status, said } = serve_and_fail(directory.path(), arguments);
        assert_eq!(status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named) && !said.contains("panicked"), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was tried");
}
