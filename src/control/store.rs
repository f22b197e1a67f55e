//! The embedded metadata store: one file, `metadata.pagewire` in the data directory, replaced whole with every change.
//!
//! Blocking; helper threads and start-up only. Invariant: the file is always a whole image, the old one or the new one, whatever
//! moment the process or the machine dies in (written beside, synced, renamed, directory synced).

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::Timestamp;
use crate::cluster::image::MetadataImage;
use crate::cluster::store_format;
use crate::io::directory;

/// The store's file, beside the partitions. Apache Kafka ignores it.
pub const FILE_NAME: &str = "metadata.pagewire";

#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot {action} {path}: {source}; make the data directory readable and writable for this user", path = path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path}: {source}", path = path.display())]
    Format { path: PathBuf, source: store_format::StoreError },
}

/// The stored image, or `None` if the directory never had one.
///
/// # Errors
/// The file cannot be read, or holds something else than an image.
pub fn read(data_dir: &Path) -> Result<Option<MetadataImage>, StoreError> {
    let path = data_dir.join(FILE_NAME);
    let bytes = match directory::read_to_vec(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::File { action: "read", path, source }),
    };
    store_format::decode(&bytes).map(Some).map_err(|source| StoreError::Format { path, source })
}

/// Gives a damaged store another name, so that what it holds is not lost. Returns the name.
///
/// # Errors
/// The host's.
pub fn set_aside(data_dir: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let path = data_dir.join(FILE_NAME);
    let to = data_dir.join(format!("{FILE_NAME}.damaged-{now}"));
    let renamed = directory::rename(&path, &to).and_then(|()| directory::sync(data_dir));
    renamed.map(|()| to).map_err(|source| StoreError::File { action: "rename", path, source })
}

/// Replaces the stored image; when this returns, it survives a loss of power.
///
/// # Errors
/// The host's; the old image is still there then.
pub fn write(data_dir: &Path, image: &MetadataImage) -> Result<(), StoreError> {
    let path = data_dir.join(FILE_NAME);
    directory::replace_atomically(&path, &store_format::encode(image), true).map_err(|source| StoreError::File {
        action: "write",
        path,
        source,
    })
}
