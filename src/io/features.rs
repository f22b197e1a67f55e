//! What this kernel can do beyond Linux 5.0: found out at run time, and each with a switch to go without.
//!
//! Any thread. A switch is one relaxed load of a word that is written at start-up only, so cores may read it per request. Invariant: a feature
//! that is off changes speed, never bytes.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

/// Something that is used where the kernel has it, and gone without where not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Feature {
    /// `preadv2` with `RWF_NOWAIT`: read only what is in the page cache (Linux 4.14; some file systems refuse).
    ReadNoWait = 1,
    /// `cachestat`: how many pages of a range are cached (Linux 6.5).
    CacheStat = 2,
    /// `fallocate` with `FALLOC_FL_KEEP_SIZE`: blocks ahead of the data (ext4, XFS, Btrfs, tmpfs).
    Preallocate = 4,
    /// `sync_file_range`: start writing back without waiting.
    StartWriteback = 8,
}

/// Bits of the features that are not used, by wish or because the kernel answered ENOSYS once.
static OFF: AtomicU32 = AtomicU32::new(0);

/// Goes without `feature` from now on, in the whole process.
pub fn switch_off(feature: Feature) {
    OFF.fetch_or(feature as u32, Ordering::Relaxed);
}

/// Whether `feature` may be tried. The call itself may still be refused, by a file system for example.
pub fn is_on(feature: Feature) -> bool {
    #[cfg(test)]
    if testing::OFF_HERE.get() & feature as u32 != 0 {
        return false;
    }
    OFF.load(Ordering::Relaxed) & feature as u32 == 0
}

/// Why no core can be started here.
#[derive(Debug, thiserror::Error)]
pub enum IoUringUnavailable {
    /// io_uring_setup(2) answered EPERM or ENOSYS.
    #[error(
        "the kernel denies io_uring ({0}): inside a container, allow io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile \
         (Docker: --security-opt seccomp=unconfined); on the host, set sysctl kernel.io_uring_disabled=0"
    )]
    Denied(io::Error),
    /// Another error of io_uring_setup(2), ENOMEM for example.
    #[error("a ring cannot be set up: {0}")]
    Setup(io::Error),
    #[error("this kernel's io_uring lacks {0}: Linux 5.8 or newer is needed")]
    TooOld(&'static str),
    #[error(
        "this process may lock {limit} bytes of memory, and a core needs {needed}: raise it (ulimit -l, LimitMEMLOCK= or --ulimit memlock)"
    )]
    Memlock { limit: u64, needed: u64 },
}

/// What glommio 0.9 refuses to start below.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Finds out whether a core's executor can start in this process: sets up the kinds of ring it needs, and takes them down again. To be asked first, because
/// glommio panics or ends the process where this returns an error.
///
/// # Errors
/// What is missing, and what to do about it.
pub fn probe_io_uring() -> Result<(), IoUringUnavailable> {
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => IoUringUnavailable::Denied(error),
        _ => IoUringUnavailable::Setup(error),
    };
    let ring = io_uring::IoUring::new(8).map_err(failed)?;
    let _polled: io_uring::IoUring = io_uring::IoUring::builder().setup_iopoll().build(8).map_err(failed)?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(failed)?;
    // The newest calls on glommio's list: who has these has the others.
    for (code, name) in [
        (io_uring::opcode::OpenAt::CODE, "IORING_OP_OPENAT"),
        (io_uring::opcode::Statx::CODE, "IORING_OP_STATX"),
        (io_uring::opcode::Read::CODE, "IORING_OP_READ"),
        (io_uring::opcode::Write::CODE, "IORING_OP_WRITE"),
        (io_uring::opcode::Send::CODE, "IORING_OP_SEND"),
        (io_uring::opcode::Recv::CODE, "IORING_OP_RECV"),
    ] {
        if !probe.is_supported(code) {
            return Err(IoUringUnavailable::TooOld(name));
        }
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one struct, which `limit` is.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } == 0 && limit.rlim_cur < MEMLOCK_BYTES_MIN {
        return Err(IoUringUnavailable::Memlock { limit: limit.rlim_cur, needed: MEMLOCK_BYTES_MIN });
    }
    Ok(())
}

/// Switches for one thread, so that tests that run side by side do not see each other's.
#[cfg(test)]
pub mod testing {
    use super::Feature;
    use std::cell::Cell;

    thread_local!(pub(super) static OFF_HERE: Cell<u32> = const { Cell::new(0) });

    /// Goes without `feature` on this thread, for as long as it lives.
    pub fn switch_off_here(feature: Feature) {
        OFF_HERE.set(OFF_HERE.get() | feature as u32);
    }

    /// Runs `body` with `features` off on this thread.
    pub fn without<T>(features: &[Feature], body: impl FnOnce() -> T) -> T {
        let before = OFF_HERE.get();
        OFF_HERE.set(features.iter().fold(before, |bits, feature| bits | *feature as u32));
        let result = body();
        OFF_HERE.set(before);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_uring_is_there_or_the_error_says_what_to_do() {
        match probe_io_uring() {
            Ok(()) => {}
            Err(error) => panic!("these tests need io_uring: {error}"),
        }
        let denied = IoUringUnavailable::Denied(io::Error::from_raw_os_error(libc::EPERM)).to_string();
        assert!(denied.contains("seccomp") && denied.contains("io_uring_disabled"), "{denied}");
    }

    #[test]
    fn a_switch_of_a_test_ends_with_the_test() {
        testing::without(&[Feature::CacheStat], || {
            assert!(!is_on(Feature::CacheStat));
            assert!(is_on(Feature::ReadNoWait));
        });
        assert!(is_on(Feature::CacheStat));
    }
}
