//! Whether bytes of a file are in the page cache, ready to be sent.
//!
//! Any thread; microseconds, never the disk. Two questions, each gone without where it is refused: `cachestat` (Linux 6.5) finds a hole anywhere but
//! also counts pages whose read is still in flight; a read of one byte with `RWF_NOWAIT` (Linux 4.14, most file systems) answers EAGAIN for those. So both
//! are asked. A page that this thread has read without waiting a moment ago is not asked about again while `cachestat` finds no hole: the kernel does not take
//! such a page away and begin to read it anew within [`SEEN_MS_MAX`]. That spares readers who go on where they ended most of the probes; and such a reader is
//! answered for [`STRETCH_BYTES`] at once, and not asked about again before it has come to their end, or a moment is over.
//!
//! As long as this thread finds nothing missing, nothing is read for it either, and the first sign that something is would be at the end of a range: so
//! only its ends are probed then, and all of it for [`WARY_MS`] after something was missing. What other threads and processes read of the same file at
//! the same moment is not seen so closely.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{File, page_bytes};
use crate::io::clock::coarse_ms;
use crate::io::features::{self, Feature};

/// With a count of the pages, one probe for each window that the kernel reads ahead at least.
const PROBE_EVERY_WITH_COUNT: u64 = 128 * 1024;
/// Without, the probes must find the holes too: one for the smallest step that read-ahead takes.
const PROBE_EVERY_ALONE: u64 = 16 * 1024;

/// For how long a page that was read without waiting counts as ready; by the coarse clock, as all of these, so up to a tick of the kernel longer.
const SEEN_MS_MAX: u64 = 10;
/// What is asked about at once for a reader who goes on where it ended a moment ago: some twenty answers of 64 KiB.
const STRETCH_BYTES: u64 = 1024 * 1024;
/// For how long that counts while the kernel is taking pages away from somebody.
const WARY_STRETCH_MS_MAX: u64 = 1;
/// For how long a thread asks closely after it has found something missing: what was being read then has come.
const WARY_MS: u64 = 100;
/// For how long something that was missing counts as a sign that somebody reads cold data.
const LATELY_MS: u64 = 1000;
/// Such places that a thread remembers: two for each of its readers, and so many that they seldom take each other's.
const SEEN_PAGES_MAX: usize = 1024;

const _: () = assert!(SEEN_PAGES_MAX.is_power_of_two(), "places are chosen by bits");

/// What a file keeps for the questions.
#[derive(Debug)]
pub(super) struct Residency {
    /// EPERM for a file of another owner, EOPNOTSUPP on some file systems.
    cachestat_refused: AtomicBool,
    /// No other file of this process has ever had it.
    id: u64,
    /// The file is at least so long.
    size: AtomicU64,
}

impl Residency {
    pub(super) fn new() -> Residency {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        Residency { cachestat_refused: AtomicBool::new(false), id, size: AtomicU64::new(0) }
    }

    /// The file may be shorter from now on.
    pub(super) fn forget_size(&self) {
        self.size.store(0, Ordering::Relaxed);
    }
}

/// A page that was read without waiting, and those behind it that were found at the same time.
#[derive(Clone, Copy)]
struct Seen {
    /// 0: none.
    file: u64,
    page: u64,
    last_page: u64,
    ms: u64,
}

thread_local! {
    /// When, in milliseconds of the coarse clock, this thread last found something missing. 0: not lately.
    pub(super) static LAST_MISS_MS: Cell<u64> = const { Cell::new(0) };
    static SEEN: [Cell<Seen>; SEEN_PAGES_MAX] = const { [const { Cell::new(Seen { file: 0, page: 0, last_page: 0, ms: 0 }) }; SEEN_PAGES_MAX] };
}

impl File {
    /// Whether all of a range is in the page cache and ready to be read. Where nothing can be asked the answer is `true`: nothing better is known, and the read
    /// will wait for the disk.
    ///
    /// # Errors
    /// The host's.
    pub fn resident(&self, position: u64, len: usize) -> io::Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        let now_ms = coarse_ms();
        if let Some(seen) = self.seen(position, now_ms) {
            let last_page = (position + len as u64 - 1) / page_bytes();
            let stretch_ms_max = if last_miss_within(WARY_MS, || now_ms) { WARY_STRETCH_MS_MAX } else { SEEN_MS_MAX };
            let is_stretch = seen.last_page > seen.page && now_ms <= seen.ms + stretch_ms_max;
            if is_stretch && last_page <= seen.last_page {
                remember(Seen { page: last_page, ..seen });
                return Ok(true);
            }
            let stretch = self.stretch(position)?;
            if stretch > len && self.look(position, stretch)? {
                remember(Seen { page: last_page, last_page: (position + stretch as u64 - 1) / page_bytes(), ms: now_ms, ..seen });
                return Ok(true);
            }
        }
        self.look(position, len)
    }

    /// Whether all of a range is in memory, or being read by somebody; `None` if the kernel does not tell.
    pub fn is_there_or_coming(&self, position: u64, len: usize) -> Option<bool> {
        self.count_pages(position, len).map(|counts| counts.cached >= pages_touched(position, len))
    }

    /// Says that all of a range was there a moment ago. If `cachestat` counts nothing of it, it does not see the pages of this file (those of overlayfs belong to another
    /// inode), and is not asked again.
    pub fn was_brought(&self, position: u64, len: usize) {
        // The disk may have been slow, and what was asked for together with it may still be on its way.
        be_wary();
        if len > 0 && self.count_pages(position, len).is_some_and(|counts| counts.cached == 0) {
            self.residency.cachestat_refused.store(true, Ordering::Relaxed);
        }
    }

    /// How much to ask about at once, for a reader who goes on here. 0: no more than it wants.
    fn stretch(&self, position: u64) -> io::Result<usize> {
        if !self.has_cachestat() {
            return Ok(0);
        }
        let end = position + STRETCH_BYTES;
        if self.residency.size.load(Ordering::Relaxed) < end {
            self.residency.size.store(self.size()?, Ordering::Relaxed);
        }
        Ok(self.residency.size.load(Ordering::Relaxed).min(end).saturating_sub(position) as usize)
    }

    fn look(&self, position: u64, len: usize) -> io::Result<bool> {
        let counted = self.count_pages(position, len).map(|counts| counts.cached);
        if counted.is_some_and(|cached| cached < pages_touched(position, len)) {
            be_wary();
            return Ok(false);
        }
        if !self.has_read_no_wait() {
            return Ok(true);
        }
        let step = match counted {
            None => PROBE_EVERY_ALONE,
            Some(_) if is_wary() => PROBE_EVERY_WITH_COUNT,
            Some(_) => len as u64,
        };
        let last = position + len as u64 - 1;
        let mut at = position;
        loop {
            if counted.is_none() || !self.was_seen(at) {
                match self.try_read_at(&mut [0], at) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if at == last {
                return Ok(true);
            }
            at = (at + step).min(last);
        }
    }

    /// Remembers that the page at `position` was read without waiting.
    pub(super) fn note_seen(&self, position: u64) {
        let (page, now_ms) = (position / page_bytes(), coarse_ms());
        // What is known of the pages behind it is not forgotten for that.
        if self.seen(position, now_ms).is_none_or(|seen| seen.last_page == page) {
            remember(Seen { file: self.residency.id, page, last_page: page, ms: now_ms });
        }
    }

    pub(super) fn was_seen(&self, position: u64) -> bool {
        self.seen(position, coarse_ms()).is_some()
    }

    /// What was found a moment ago from this page on.
    fn seen(&self, position: u64, now_ms: u64) -> Option<Seen> {
        let page = position / page_bytes();
        let seen = SEEN.with(|places| places[slot(self.residency.id, page)].get());
        ((seen.file, seen.page) == (self.residency.id, page) && now_ms <= seen.ms + SEEN_MS_MAX).then_some(seen)
    }

    fn has_cachestat(&self) -> bool {
        features::is_on(Feature::CacheStat) && !self.residency.cachestat_refused.load(Ordering::Relaxed)
    }

    /// The pages of the range in the cache, read or still being read; `None` if the kernel does not tell.
    pub(super) fn count_pages(&self, position: u64, len: usize) -> Option<CacheStat> {
        if !self.has_cachestat() {
            return None;
        }
        let range = CacheStatRange { offset: position, len: len as u64 };
        let mut counts = CacheStat::default();
        // SAFETY: cachestat(2): both pointers are to live structs of the kernel's layout; it writes only `counts`.
        let status = unsafe { libc::syscall(SYS_CACHESTAT, self.file.as_raw_fd(), &range, &mut counts, 0) };
        if status == 0 {
            return Some(counts);
        }
        if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
            features::switch_off(Feature::CacheStat);
        } else {
            self.residency.cachestat_refused.store(true, Ordering::Relaxed);
        }
        None
    }
}

/// Whether this thread asks closely, because something was missing a moment ago.
pub fn is_wary() -> bool {
    last_miss_within(WARY_MS, coarse_ms)
}

/// Whether this thread has found something missing within the last second.
pub fn misses_lately() -> bool {
    last_miss_within(LATELY_MS, coarse_ms)
}

/// Looks at the clock only where something was missing.
fn last_miss_within(ms: u64, now_ms: impl FnOnce() -> u64) -> bool {
    let last_ms = LAST_MISS_MS.get();
    if last_ms == 0 {
        return false;
    }
    let now_ms = now_ms();
    if now_ms >= last_ms + LATELY_MS {
        LAST_MISS_MS.set(0);
    }
    now_ms < last_ms + ms
}

fn remember(seen: Seen) {
    SEEN.with(|places| places[slot(seen.file, seen.page)].set(seen));
}

pub(super) fn slot(file: u64, page: u64) -> usize {
    // Readers may be evenly apart, in one file as in several: their places must not be. The upper bits of such a product (Fibonacci hashing) scatter them.
    let scattered = (page ^ file.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (scattered >> (u64::BITS - SEEN_PAGES_MAX.ilog2())) as usize
}

/// Something was missing.
pub(super) fn be_wary() {
    LAST_MISS_MS.set(coarse_ms());
}

pub(super) fn pages_touched(position: u64, len: usize) -> u64 {
    let page_bytes = page_bytes();
    (position + len as u64 - 1) / page_bytes - position / page_bytes + 1
}

/// The number of cachestat(2), the same on every architecture (asm-generic/unistd.h).
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range` of linux/mman.h.
#[repr(C)]
struct CacheStatRange {
    offset: u64,
    len: u64,
}

/// `struct cachestat` of linux/mman.h: all counts are pages.
#[repr(C)]
#[derive(Default)]
pub(super) struct CacheStat {
    cached: u64,
    pub(super) dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}
