//! Where recovery puts what it cuts off: nothing that once was a log is deleted.
//!
//! Blocking; helper threads. `<partition>/cut/<first offset cut>-<time>.log`: inside the partition's directory, because Apache Kafka refuses to start on a
//! directory beside the partitions that is not one, and leaves directories inside them alone.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use crate::base::{Offset, Timestamp};
use crate::io::{File, directory};

/// The side folder in a partition's directory.
pub const CUT_DIRECTORY: &str = "cut";

const COPY_BYTES: usize = 1 << 20;

/// The side folder of one partition, at the time of one recovery. Made when the first piece comes.
pub(super) struct Cuttings<'a> {
    pub partition: &'a Path,
    pub now: Timestamp,
}

impl Cuttings<'_> {
    /// Copies the end of a log from `position` on into the side folder, then cuts the log there. Answers the copy's path.
    pub fn move_tail(&self, log: &File, position: u64, end: u64, offset: Offset) -> io::Result<PathBuf> {
        let path = self.path(&offset.to_string(), "log")?;
        let copy = File::create(&path)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = position;
        while at < end {
            let len = buffer.len().min((end - at) as usize);
            log.read_exact_at(&mut buffer[..len], at)?;
            copy.write_all_at(&mut [IoSlice::new(&buffer[..len])], at - position)?;
            at += len as u64;
        }
        copy.data_sync()?;
        log.truncate(position)?;
        Ok(path)
    }

    /// Moves a whole file; answers its new path.
    pub fn move_file(&self, from: &Path, name: &str, extension: &str) -> io::Result<PathBuf> {
        let path = self.path(name, extension)?;
        directory::rename(from, &path)?;
        Ok(path)
    }

    fn path(&self, name: &str, extension: &str) -> io::Result<PathBuf> {
        let folder = self.partition.join(CUT_DIRECTORY);
        directory::create_all(&folder)?;
        // Several pieces of one recovery may start at one offset (an empty segment behind a torn one).
        for number in 0.. {
            let unique = if number == 0 { String::new() } else { format!("-{number}") };
            let path = folder.join(format!("{name}-{}{unique}.{extension}", self.now));
            if !directory::exists(&path)? {
                return Ok(path);
            }
        }
        unreachable!("a folder holds fewer files than there are numbers")
    }
}
