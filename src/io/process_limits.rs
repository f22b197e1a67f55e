//! What the kernel lets this process have: getrlimit(2) and setrlimit(2).
//!
//! Main thread, at the start.

use std::io;

/// The soft and the hard limit of open files. `u64::MAX`: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFilesLimit {
    pub soft: u64,
    pub hard: u64,
}

/// The limits as they are.
///
/// # Errors
/// The host's.
pub fn open_files() -> io::Result<OpenFilesLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one struct, which `limit` is.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(OpenFilesLimit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// Raises the soft limit to the hard one, which needs no privilege. Every segment is a few open files and every client one.
///
/// # Errors
/// The host's; the limit is then as it was.
pub fn raise_open_files() -> io::Result<OpenFilesLimit> {
    let OpenFilesLimit { soft, hard } = open_files()?;
    if soft < hard {
        let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: setrlimit reads one struct, which `limit` is.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    open_files()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_rises_to_the_hard_one() {
        let before = open_files().unwrap();
        let after = raise_open_files().unwrap();
        assert_eq!(after, OpenFilesLimit { soft: before.hard, hard: before.hard });
    }
}
