//! Names of files: create, rename, remove, list, lock, replace atomically, and what kind of file system they live on.
//!
//! All calls block for as long as the disk takes: for the control thread and helper threads, never for a core. Rule of POSIX that callers rely on: a
//! new, renamed or removed name is durable only once its directory was synced (`sync`).

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// A name that is not UTF-8 has its odd bytes replaced: such a name is nobody's that this broker knows.
    pub name: String,
    pub is_directory: bool,
    /// The file's length; 0 for a directory.
    pub bytes: u64,
}

/// A name in a directory, as [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub name: String,
    pub is_directory: bool,
}

/// Creates the directory and those above it; one that is there already is no error.
pub fn create_all(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Renames; a file of the new name is replaced atomically.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Removes a file; one that is not there is an error (`NotFound`).
pub fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// Removes a directory with all it holds.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// What the directory holds, sorted by name. A name that vanishes meanwhile is left out.
pub fn list(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_directory = metadata.is_dir();
        let bytes = if is_directory { 0 } else { metadata.len() };
        entries.push(Entry { name: name_of(&entry), is_directory, bytes });
    }
    entries.sort();
    Ok(entries)
}

/// The same without the lengths, and so as a rule without a question about each file: the file system tells the kind with the name.
pub fn list_names(path: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    visit_names(path, |name, is_directory| names.push(Name { name: name.to_owned(), is_directory }))?;
    names.sort();
    Ok(names)
}

/// Calls `visit` with each name in the directory, as [`Entry`] has it, and whether it is a directory's; in no order.
pub fn visit_names(path: &Path, mut visit: impl FnMut(&str, bool)) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // Some file systems do not tell the kind, and then the file is asked after all.
        match entry.file_type() {
            Ok(kind) => visit(&entry.file_name().to_string_lossy(), kind.is_dir()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn name_of(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// The length of a file, which need not be open.
pub fn file_bytes(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

/// Whether a file or directory of this name exists. An error other than `NotFound` is reported, not taken for a no.
pub fn exists(path: &Path) -> io::Result<bool> {
    fs::exists(path)
}

/// Reads a whole file.
pub fn read_to_vec(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

/// Reads a whole file of UTF-8 text; other bytes are an error (`InvalidData`).
pub fn read_to_string(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Makes the names in a directory durable (fsync(2) of the directory).
pub fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Replaces a small file: readers, and a restart after a crash of the process, see the old bytes or the new, never a mixture. `durable` makes it hold for a
/// crash of the machine too: syncs the bytes before the rename and the directory after it. The bytes pass through `<path>.tmp`.
pub fn replace_atomically(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) if durable => sync(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }),
        _ => Ok(()),
    }
}

/// A lock on a file, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

/// Takes the lock on `path` (created if need be) and writes this process's id into it. The lock is of the kind that Apache Kafka's `.lock` is (fcntl(2) record
/// locks over the whole file; ours is bound to the open file, F_OFD_SETLK), so that neither broker opens a directory that the other one uses.
///
/// # Errors
/// `WouldBlock` with the id of the process that holds it, as far as that can be known; and the host's.
pub fn lock_exclusive(path: &Path) -> io::Result<Lock> {
    let mut file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut request = whole_file_lock();
    // SAFETY: F_OFD_SETLK reads one `struct flock`, which `request` is; it lives across the call.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &request) } != 0 {
        let error = io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) {
            return Err(error);
        }
        request = whole_file_lock();
        // SAFETY: F_OFD_GETLK reads and writes one `struct flock`, which `request` is, borrowed mutably.
        let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut request) };
        // Kafka's kind of lock names its holder (l_pid > 0); ours is bound to no process, and has left its id in the file.
        let holder = if asked == 0 && request.l_pid > 0 {
            format!("process {}", request.l_pid)
        } else {
            match fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok()) {
                Some(process) => format!("process {process}"),
                None => "another process".to_owned(),
            }
        };
        return Err(io::Error::new(
            ErrorKind::WouldBlock,
            format!("{} is locked by {holder}: stop that one first, or use another directory", path.display()),
        ));
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Lock { _file: file })
}

fn whole_file_lock() -> libc::flock {
    // F_OFD_SETLK demands l_pid = 0; length 0 means "to the end, however far it grows".
    libc::flock { l_type: libc::F_WRLCK as libc::c_short, l_whence: libc::SEEK_SET as libc::c_short, l_start: 0, l_len: 0, l_pid: 0 }
}

/// The name of the file system that holds `path`, as mount(8) spells it (`ext4`, `xfs`, `tmpfs`, …), or its magic number in hexadecimal.
pub fn filesystem_name(path: &Path) -> io::Result<String> {
    let statistics = statfs(path)?;
    let magic = statistics.f_type as u64 & 0xffff_ffff;
    // statfs(2) and linux/magic.h. ext2, ext3 and ext4 share a number, and one driver serves all three.
    let name = match magic {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794C_7630 => "overlay",
        0x2FC1_2FC1 => "zfs",
        0xF2F5_2010 => "f2fs",
        0xCA45_1A4E => "bcachefs",
        0x6969 => "nfs",
        0xFF53_4D42 => "cifs",
        0xFE53_4D42 => "smb3",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        0x00C3_6400 => "ceph",
        _ => return Ok(format!("{magic:#x}")),
    };
    Ok(name.to_owned())
}

/// How large a file system is, and how much of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    /// What a process without privileges can still write.
    pub available_bytes: u64,
}

/// The room on the file system that holds `path`.
pub fn space(path: &Path) -> io::Result<Space> {
    let statistics = statfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(statistics.f_frsize as u64);
    Ok(Space { total_bytes: bytes(statistics.f_blocks), available_bytes: bytes(statistics.f_bavail) })
}

fn statfs(path: &Path) -> io::Result<libc::statfs> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut statistics = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` is NUL-terminated and `statistics` has room for the struct that the call fills.
    if unsafe { libc::statfs(path.as_ptr(), statistics.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the struct.
    Ok(unsafe { statistics.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_sorted_and_tells_directories_from_files() {
        let directory = tempfile::tempdir().unwrap();
        create_all(&directory.path().join("b/c")).unwrap();
        create_all(&directory.path().join("b")).unwrap();
        fs::write(directory.path().join("a"), b"12345").unwrap();
        let entries = list(directory.path()).unwrap();
        let file = Entry { name: "a".into(), is_directory: false, bytes: 5 };
        let folder = Entry { name: "b".into(), is_directory: true, bytes: 0 };
        assert_eq!(entries, [file, folder]);
        let names = entries.into_iter().map(|Entry { name, is_directory, .. }| Name { name, is_directory }).collect::<Vec<_>>();
        assert_eq!(list_names(directory.path()).unwrap(), names);
        assert_eq!(file_bytes(&directory.path().join("a")).unwrap(), 5);
        rename(&directory.path().join("a"), &directory.path().join("z")).unwrap();
        assert!(exists(&directory.path().join("z")).unwrap());
        assert!(!exists(&directory.path().join("a")).unwrap());
        remove_dir_all(&directory.path().join("b")).unwrap();
        remove_file(&directory.path().join("z")).unwrap();
        assert_eq!(remove_file(&directory.path().join("z")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(list(directory.path()).unwrap(), []);
    }

    #[test]
    fn replacing_leaves_the_new_bytes_and_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("checkpoint");
        for (bytes, durable) in [(&b"first, and longer"[..], true), (b"second", false)] {
            replace_atomically(&path, bytes, durable).unwrap();
            assert_eq!(read_to_vec(&path).unwrap(), bytes);
        }
        assert_eq!(read_to_string(&path).unwrap(), "second");
        assert_eq!(list(directory.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_lock_excludes_a_second_one_and_names_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".lock");
        let lock = lock_exclusive(&path).unwrap();
        let error = lock_exclusive(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let message = error.to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        drop(lock);
        lock_exclusive(&path).unwrap();
    }

    #[test]
    fn the_lock_excludes_a_process_that_locks_as_java_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".lock");
        let lock = lock_exclusive(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let request = whole_file_lock();
        // SAFETY: as above: F_SETLK reads one `struct flock`.
        let status = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &request) };
        assert_eq!(status, -1, "FileChannel.tryLock would have succeeded");
        drop(lock);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &request) }, 0);
        let error = lock_exclusive(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn the_file_system_has_a_name_and_room() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!filesystem_name(directory.path()).unwrap().is_empty());
        assert_eq!(filesystem_name(Path::new("/proc")).unwrap(), "0x9fa0");
        let space = space(directory.path()).unwrap();
        assert!(0 < space.available_bytes && space.available_bytes <= space.total_bytes, "{space:?}");
        assert_eq!(filesystem_name(Path::new("/does/not/exist")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
