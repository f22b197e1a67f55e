//! Operations on a `File` that go through the core's ring, so that the disk keeps a kernel worker waiting and not the core.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::task::{Poll, Waker};

use glommio::io::BufferedFile;

use super::host_error;
use super::keep_alive::mark_activity;
use crate::io::{File, FileRange};

/// What one read brings into the page cache.
pub const READ_AHEAD_BYTES: usize = 1024 * 1024;
/// Reads under way at once, per core. More would let one backfilling reader fill the disk's queue in front of everyone else.
const READS_PER_CORE_MAX: usize = 4;

/// Brings a range into the page cache, at most [`READ_AHEAD_BYTES`] of it, and returns how far it came. 0 is the end of the file. Waits its turn if this
/// core is reading much already.
///
/// # Errors
/// The host's: EIO above all.
pub async fn read_ahead(range: &FileRange) -> io::Result<usize> {
    mark_activity();
    let _place = take_place().await;
    let file = ring_file(&range.file)?;
    let read = file.read_at(range.position, range.len.min(READ_AHEAD_BYTES)).await.map_err(host_error)?;
    // The bytes themselves are not wanted: what counts is that the kernel has them now.
    Ok(read.len())
}

/// Waits until the file's bytes are on the disk (fdatasync through the ring).
///
/// # Errors
/// The host's. Never retry: see [`File::data_sync`].
pub async fn data_sync(file: &File) -> io::Result<()> {
    mark_activity();
    ring_file(file)?.fdatasync().await.map_err(host_error)
}

/// glommio's view of the file: a descriptor of its own, which it closes through the ring when dropped.
fn ring_file(file: &File) -> io::Result<BufferedFile> {
    let descriptor = file.duplicate()?;
    // SAFETY: `into_raw_fd` gives up the duplicate, so the BufferedFile is its only owner.
    Ok(unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) })
}

#[derive(Default)]
struct Places {
    taken: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
}

thread_local!(static PLACES: Places = Places::default());

/// One of the reads under way. Gives its place to the next when dropped.
struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        PLACES.with(|places| {
            places.taken.set(places.taken.get() - 1);
            // Whoever is first may have gone away meanwhile: wake all, they queue again. Few wait at a time.
            for waker in places.waiting.take() {
                waker.wake();
            }
        });
    }
}

async fn take_place() -> Place {
    poll_fn(|context| {
        PLACES.with(|places| {
            if places.taken.get() < READS_PER_CORE_MAX {
                places.taken.set(places.taken.get() + 1);
                return Poll::Ready(Place);
            }
            places.waiting.borrow_mut().push_back(context.waker().clone());
            Poll::Pending
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::{run_here, spawn};
    use std::io::IoSlice;
    use std::sync::Arc;

    const LEN: usize = 8 * READ_AHEAD_BYTES;

    fn cold_file() -> (tempfile::TempDir, Arc<File>) {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(&directory.path().join("file")).unwrap();
        file.write_all_at(&mut [IoSlice::new(&vec![7; LEN])], 0).unwrap();
        file.data_sync().unwrap();
        file.dont_need(0, LEN as u64).unwrap();
        (directory, Arc::new(file))
    }

    #[test]
    fn a_cold_range_is_in_memory_afterwards() {
        let (_directory, file) = cold_file();
        let can_be_cold = !file.resident(0, LEN).unwrap();
        run_here(async {
            let range = FileRange { file: file.clone(), position: 4096, len: LEN };
            assert_eq!(read_ahead(&range).await.unwrap(), READ_AHEAD_BYTES);
            assert!(file.resident(4096, READ_AHEAD_BYTES).unwrap());
            if can_be_cold {
                assert!(!file.resident(0, LEN).unwrap(), "it reads no further than it says");
            }
            let end = FileRange { file: file.clone(), position: LEN as u64, len: 10 };
            assert_eq!(read_ahead(&end).await.unwrap(), 0);
        });
    }

    #[test]
    fn many_reads_take_turns_and_all_end() {
        let (_directory, file) = cold_file();
        run_here(async {
            let tasks: Vec<_> = (0..32)
                .map(|i| {
                    let range = FileRange { file: file.clone(), position: i * 100_000, len: 100_000 };
                    spawn(async move { read_ahead(&range).await.unwrap() })
                })
                .collect();
            assert_eq!(PLACES.with(|places| places.taken.get()), READS_PER_CORE_MAX);
            for task in tasks {
                assert_eq!(task.await, 100_000);
            }
            assert_eq!(PLACES.with(|places| places.taken.get()), 0);
        });
    }

    #[test]
    fn a_sync_through_the_ring_succeeds_and_reports_errors() {
        let (_directory, file) = cold_file();
        file.write_all_at(&mut [IoSlice::new(b"dirty")], 0).unwrap();
        run_here(async {
            data_sync(&file).await.unwrap();
            // fsync(2): EINVAL for what cannot be synced.
            let pipe = File::open_read("/dev/null".as_ref()).unwrap();
            assert_eq!(data_sync(&pipe).await.unwrap_err().raw_os_error(), Some(libc::EINVAL));
        });
    }
}
