//! What the kernel lets this process have: getrlimit(2), setrlimit(2), and pages of the ordinary size by prctl(2).
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

/// Has all memory that this process touches from now on come in pages of the ordinary size, also where the machine or the allocator asks for huge ones
/// (prctl(2), PR_SET_THP_DISABLE; inherited by children). A huge page is zeroed whole at the first touch of any byte, 2 MiB at once, and counts as used
/// from then on.
///
/// # Errors
/// The host's: a sandbox, or a kernel before 3.15, that does not know the question.
pub fn refuse_huge_pages() -> io::Result<()> {
    // SAFETY: plain integers.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_in_small_pages() {
        // All threads of the process have it then: none of the other tests is about huge pages.
        refuse_huge_pages().unwrap();
        // SAFETY: plain integers.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) }, 1);
    }

    #[test]
    fn the_soft_limit_rises_to_the_hard_one() {
        let before = open_files().unwrap();
        let after = raise_open_files().unwrap();
        assert_eq!(after, OpenFilesLimit { soft: before.hard, hard: before.hard });
    }
}
