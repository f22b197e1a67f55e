//! Operations on a `File` that go through the core's ring, so that the disk keeps a kernel worker waiting and not the core.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};

use glommio::io::BufferedFile;

use super::host_error;
use super::keep_alive::mark_activity;
use crate::io::File;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::run_here;
    use std::io::IoSlice;

    #[test]
    fn a_sync_through_the_ring_succeeds_and_reports_errors() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(&directory.path().join("file")).unwrap();
        file.write_all_at(&mut [IoSlice::new(b"dirty")], 0).unwrap();
        run_here(async {
            data_sync(&file).await.unwrap();
            // fsync(2): EINVAL for what cannot be synced.
            let pipe = File::open_read("/dev/null".as_ref()).unwrap();
            assert_eq!(data_sync(&pipe).await.unwrap_err().raw_os_error(), Some(libc::EINVAL));
        });
    }
}
