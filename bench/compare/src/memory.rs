//! Memory that is in use.
//!
//! A virtual machine gives free memory back to its host, and a page used anew then costs a fault there, charged to whoever touches it: a growing
//! page cache would make every broker look equally slow. So most of the memory is held while anything is measured, and before each run that
//! takes some the rest is filled with junk: new pages are reclaimed ones then, as on a machine that has been up for a while.
//!
//! What is held is anonymous and in huge pages, and the junk is mapped: kernels that give page cache back early (DAMON's reclaim) leave both alone.
//! With memory full of junk that nobody had mapped, runs had stalls of tenths of a second. The junk is a file of holes and takes nothing of
//! the disk. What servers serve in `serve-*` is locked: the same kernels would take that away within a run.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, MmapMut};

/// What is left for the contestants, their page cache and the load.
const LEFT_BYTES: u64 = 7 << 30;
/// Below this nothing is free any more.
const FREE_BYTES_MAX: u64 = 500 << 20;
/// Between two looks at what is free.
const PIECE_BYTES: usize = 64 << 20;
/// The least that a page has.
const PAGE_BYTES: usize = 4096;

/// Memory that this program takes, for as long as this lives.
pub struct Memory {
    _held: MmapMut,
    junk: Mmap,
}

impl Memory {
    /// Takes all but what the contestants need. The junk is the file of this name.
    ///
    /// # Errors
    /// The host's.
    pub fn hold(junk: &Path) -> io::Result<Memory> {
        let held_bytes = memory_info("MemAvailable")?.saturating_sub(LEFT_BYTES);
        let mut held = MmapMut::map_anon(held_bytes.max(1) as usize)?;
        // Without huge pages it is held all the same.
        let _ = held.advise(Advice::HugePage);
        held.chunks_mut(PAGE_BYTES).for_each(|page| page[0] = 1);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(junk)?;
        file.set_len(memory_info("MemTotal")?)?;
        // SAFETY: the file is this program's own, and nobody else writes it or cuts it.
        let junk = unsafe { Mmap::map(&file)? };
        Ok(Memory { _held: held, junk })
    }

    /// Brings junk into memory until little is free.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(&self) -> io::Result<()> {
        for piece in self.junk.chunks(PIECE_BYTES) {
            if memory_info("MemFree")? <= FREE_BYTES_MAX {
                break;
            }
            for page in piece.chunks(PAGE_BYTES) {
                black_box(page[0]);
            }
        }
        Ok(())
    }
}

/// Files that stay in memory for as long as this lives, whatever else the kernel would like to have there.
pub struct Locked {
    _files: Vec<Mmap>,
}

impl Locked {
    /// Brings all files below a directory into memory and locks them there (mlock(2)).
    ///
    /// # Errors
    /// The host's: above all, it does not let this user lock so much.
    pub fn below(directory: &Path) -> io::Result<Locked> {
        let mut files = Vec::new();
        for path in files_below(directory)? {
            let file = match File::open(&path) {
                // A checkpoint, say, that has got its name meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            if file.metadata()?.len() == 0 {
                continue;
            }
            // SAFETY: nobody reads what is mapped. The server may write to the file or cut it meanwhile.
            let mapped = unsafe { Mmap::map(&file)? };
            mapped.lock().map_err(|error| {
                let (path, mib) = (path.display(), mapped.len() >> 20);
                io::Error::new(
                    error.kind(),
                    format!("{path} cannot be locked in memory: {error}; `ulimit -l` has to allow for {mib} MiB and more"),
                )
            })?;
            files.push(mapped);
        }
        Ok(Locked { _files: files })
    }
}

fn files_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

/// A line of `/proc/meminfo`, in bytes.
fn memory_info(name: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc/meminfo has no {name}")))
}
