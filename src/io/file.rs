//! One open file: positioned reads and writes, and reads that do not wait for the disk. `residency`: what of it is in memory.
//!
//! `Send + Sync`, any thread. A call may block for as long as the disk takes, unless its name starts with `try_` or its text says otherwise.
//! Positions and lengths are bytes from the start of the file. There is no file cursor, so any number of readers may share one `File`.

mod residency;

pub use residency::{is_wary, misses_lately};

use std::fs;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::sendfile;
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev};

use super::features::{self, Feature};
use crate::base::limits::{BACKGROUND_CALL_BYTES_MAX, WRITEBACK_CALL_BYTES_MAX};
use residency::Residency;

/// Linux takes at most this many slices in one `pwritev` (`UIO_MAXIOV`).
const SLICES_PER_WRITE_MAX: usize = 1024;

/// What one system call asks the disk for: about 50 µs of work, between two of which the scheduler may take the processor away.
const READ_AHEAD_CALL_BYTES: usize = 256 * 1024;

/// An open file. Dropping it closes it.
#[derive(Debug)]
pub struct File {
    file: fs::File,
    /// The file system answered EOPNOTSUPP to `RWF_NOWAIT` once: not asked again. Written at most once in practice.
    read_no_wait_refused: AtomicBool,
    residency: Residency,
}

/// Bytes of a file that are to be sent or read. Cheap to clone; the file stays open while a range of it lives, even when its name is gone.
#[derive(Clone, Debug)]
pub struct FileRange {
    pub file: Arc<File>,
    pub position: u64,
    pub len: usize,
}

impl FileRange {
    /// Where the range ends, exclusive.
    pub fn end(&self) -> u64 {
        self.position + self.len as u64
    }

    /// The part of this range that starts `skip` bytes in and is at most `len` long.
    pub fn part(&self, skip: usize, len: usize) -> FileRange {
        let skip = skip.min(self.len);
        FileRange { file: self.file.clone(), position: self.position + skip as u64, len: len.min(self.len - skip) }
    }

    /// What a call that moved bytes of this range has moved.
    ///
    /// # Errors
    /// `UnexpectedEof` for none: the file ends before the range does.
    pub fn some_of(&self, bytes: usize) -> io::Result<usize> {
        if bytes > 0 {
            return Ok(bytes);
        }
        let size = self.file.size().unwrap_or(0);
        let (start, end) = (self.position, self.end());
        let what = format!("expected bytes {start}..{end} of a segment, but the file ends at {size}: it was cut while it was being sent");
        Err(io::Error::new(ErrorKind::UnexpectedEof, what))
    }
}

impl File {
    fn new(file: fs::File) -> File {
        File { file, read_no_wait_refused: AtomicBool::new(false), residency: Residency::new() }
    }

    /// Opens an existing file for reading.
    pub fn open_read(path: &Path) -> io::Result<File> {
        open(fs::OpenOptions::new().read(true), path)
    }

    /// Opens an existing file for reading and writing, and leaves its bytes as they are.
    pub fn open_write(path: &Path) -> io::Result<File> {
        open(fs::OpenOptions::new().read(true).write(true), path)
    }

    /// Opens a file for reading and writing; one that is not there yet is created empty, one that is there keeps its bytes.
    pub fn create(path: &Path) -> io::Result<File> {
        open(fs::OpenOptions::new().read(true).write(true).create(true).truncate(false), path)
    }

    /// Creates a file for reading and writing; one that is there already is an error (`AlreadyExists`).
    pub fn create_new(path: &Path) -> io::Result<File> {
        open(fs::OpenOptions::new().read(true).write(true).create_new(true), path)
    }

    /// The file's length. Does not wait for the disk.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Milliseconds since 1970 at which the file's bytes last changed.
    pub fn modified_ms(&self) -> io::Result<i64> {
        use std::os::unix::fs::MetadataExt;
        let metadata = self.file.metadata()?;
        Ok(metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000)
    }

    /// Makes the file look as if its bytes had last changed at this time.
    pub fn set_modified_ms(&self, modified_ms: i64) -> io::Result<()> {
        self.file.set_modified(UNIX_EPOCH + Duration::from_millis(modified_ms.max(0).unsigned_abs()))
    }

    /// Another descriptor of the same open file, for whoever must own one.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// Writes all `slices`, one after the other, at `position`, with as few `pwritev` as the kernel allows: into the page cache, which is quick unless the
    /// host throttles writers of dirty pages. `slices` is used up.
    ///
    /// # Errors
    /// The host's. Some of the bytes may have been written then.
    pub fn write_all_at(&self, mut slices: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0); // drops leading empty slices
        while !slices.is_empty() {
            let count = slices.len().min(SLICES_PER_WRITE_MAX);
            match pwritev(&self.file, &slices[..count], position) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(0) => return Err(io::Error::new(ErrorKind::WriteZero, "the file system took no bytes")),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
            }
        }
        Ok(())
    }

    /// Reads at `position` into `buffer`; fewer bytes than asked for are no error, 0 is the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, position) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => return result,
            }
        }
    }

    /// Fills `buffer` from `position`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before, and the host's.
    pub fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    /// Reads what the page cache holds at `position`, without waiting for the disk: up to the first page that is not there. 0 is the end of the
    /// file. Where the file system refuses such reads, this is a plain read, which may wait.
    ///
    /// # Errors
    /// `WouldBlock` if not even the first byte is in memory, and the host's.
    pub fn try_read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        if self.has_read_no_wait() {
            match self.read_no_wait(buffer, position) {
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    self.read_no_wait_refused.store(true, Ordering::Relaxed);
                }
                result => {
                    match &result {
                        Ok(1..) => self.note_seen(position),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => residency::be_wary(),
                        _ => {}
                    }
                    return result;
                }
            }
        }
        self.read_at(buffer, position)
    }

    /// Whether this file can be read without waiting (preadv2(2), RWF_NOWAIT), as far as is known yet.
    pub fn has_read_no_wait(&self) -> bool {
        features::is_on(Feature::ReadNoWait) && !self.read_no_wait_refused.load(Ordering::Relaxed)
    }

    /// Cuts the file, or extends it by zeros, to `len` bytes. Also gives back blocks that were preallocated beyond.
    pub fn truncate(&self, len: u64) -> io::Result<()> {
        self.residency.forget_size();
        self.file.set_len(len)
    }

    /// Gives the range blocks ahead of its data; the file's length does not change. A file system that cannot do it is no error.
    ///
    /// # Errors
    /// `StorageFull` above all.
    pub fn preallocate(&self, position: u64, len: u64) -> io::Result<()> {
        if len == 0 || !features::is_on(Feature::Preallocate) {
            return Ok(());
        }
        // SAFETY: plain integers on a descriptor that `self` keeps open.
        let status = unsafe { libc::fallocate(self.file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, position as i64, len as i64) };
        ignore_unsupported(status)
    }

    /// Asks the kernel to begin writing dirty pages of the range to the disk (sync_file_range(2), SYNC_FILE_RANGE_WRITE): bounds the
    /// amount of dirty memory, and makes nothing durable. May block when the disk's queue is full. For helper threads: asks for
    /// [`WRITEBACK_CALL_BYTES_MAX`] at a time, and gives way in between, because the scheduler lets a thread go on for some milliseconds while a core waits.
    pub fn start_writeback(&self, position: u64, len: u64) -> io::Result<()> {
        if !features::is_on(Feature::StartWriteback) {
            return Ok(());
        }
        for done in (0..len).step_by(WRITEBACK_CALL_BYTES_MAX) {
            let call_bytes = (len - done).min(WRITEBACK_CALL_BYTES_MAX as u64);
            let (position, call_bytes) = ((position + done) as i64, call_bytes as i64);
            // SAFETY: plain integers on a descriptor that `self` keeps open.
            let status = unsafe { libc::sync_file_range(self.file.as_raw_fd(), position, call_bytes, libc::SYNC_FILE_RANGE_WRITE) };
            ignore_unsupported(status)?;
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Keeps the kernel from reading ahead by itself when this file is read (posix_fadvise(2), POSIX_FADV_RANDOM): whoever reads a byte would look for memory for the next
    /// megabytes, also in calls that do not wait for the disk. Only where `cachestat` tells what is missing: without it, questions about residency count on
    /// steps of the read-ahead.
    pub fn do_not_read_ahead(&self) {
        if self.count_pages(0, 1).is_some() {
            // A refusal costs time, nothing else.
            let _ = self.advise(0, 0, libc::POSIX_FADV_RANDOM);
        }
    }

    /// Waits until bytes at `position` are in memory, without a copy of them where `null` is open (`/dev/null`, to which sendfile(2) sends them). Returns how many,
    /// `len` at most; 0 is the end of the file. For helper threads.
    ///
    /// # Errors
    /// The host's: EIO above all.
    pub fn wait_for_bytes(&self, null: Option<&File>, position: u64, len: usize) -> io::Result<usize> {
        let len = len.min(BACKGROUND_CALL_BYTES_MAX);
        if let Some(null) = null {
            match sendfile(null, self, Some(&mut position.clone()), len) {
                Ok(sent) => return Ok(sent),
                // A file system without splice, or a signal: by hand.
                Err(Errno::INVAL | Errno::NOSYS | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.read_at(&mut vec![0; len], position)
    }

    /// Asks the disk for a range, and does not wait for it (readahead(2)). Looks for memory for the pages, which can take milliseconds: for helper
    /// threads. What does not come this way comes when it is read.
    pub fn begin_read(&self, position: u64, len: usize) {
        for done in (0..len).step_by(READ_AHEAD_CALL_BYTES) {
            let call_bytes = (len - done).min(READ_AHEAD_CALL_BYTES);
            // SAFETY: plain integers on a descriptor that `self` keeps open.
            unsafe { libc::readahead(self.file.as_raw_fd(), (position + done as u64) as i64, call_bytes) };
        }
    }

    /// Waits until the bytes, and what is needed to find them, are on the disk (fdatasync(2)).
    ///
    /// # Errors
    /// After any, the kernel may have dropped the pages: trying again would report success for bytes that are lost. Never retry.
    pub fn data_sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Drops clean pages of the range from the page cache. Dirty ones stay: `data_sync` first to be rid of all.
    pub fn dont_need(&self, position: u64, len: u64) -> io::Result<()> {
        self.advise(position, len, libc::POSIX_FADV_DONTNEED)
    }

    fn advise(&self, position: u64, len: u64, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: plain integers on a descriptor that `self` keeps open.
        match unsafe { libc::posix_fadvise(self.file.as_raw_fd(), position as i64, len as i64, advice) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    fn read_no_wait(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(preadv2(&self.file, &mut [IoSliceMut::new(buffer)], position, ReadWriteFlags::NOWAIT)?)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Opens a file whose access time stays as it is (O_NOATIME): with `relatime`, a read that follows a write would change the inode, and that waits for the journal.
/// Only a file's owner may have that; others go without.
fn open(options: &mut fs::OpenOptions, path: &Path) -> io::Result<File> {
    let opened = match options.custom_flags(libc::O_NOATIME).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => options.custom_flags(0).open(path),
        result => result,
    };
    opened.map(File::new)
}

fn ignore_unsupported(status: libc::c_int) -> io::Result<()> {
    if status == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::ESPIPE) => Ok(()),
        _ => Err(error),
    }
}

/// The size of a page of memory: 4 KiB on x86-64, up to 64 KiB on arm64.
pub fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests;
