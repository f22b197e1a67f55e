//! What is not in memory, read by a thread beside the core.
//!
//! Whoever reads a cold file also looks for memory for its pages, and where memory is full that takes milliseconds. A core that reads through its ring does all of it, and
//! the copy too, in its own calls: the kernel leaves only the wait to others. So each core has a thread that reads for it, with the last claim to a processor and to the disk,
//! and not pinned. It is started by the first cold read.
//!
//! Invariants: at most [`READS_PER_CORE_MAX`] requests of a core are under way, whether somebody still waits for them or not; who wants what somebody else waits for
//! waits with it. What the disk is asked for beyond that comes by itself, a window for each reader at most.
//!
//! Requests go through a channel of the standard library, which has a lock where its receiver sleeps: a cold read is no request of the hot path, and the answers
//! come by the mesh.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::keep_alive::mark_activity;
use super::{Task, spawn};
use crate::io::thread::{Share, take_the_background};
use crate::io::{File, FileRange, Mesh, MeshEnd, host};

/// What one read asks the disk for at most.
pub const READ_AHEAD_BYTES: usize = 1024 * 1024;
/// Requests under way at once, per core. More would let one backfilling reader fill the disk's queue in front of everyone else.
const READS_PER_CORE_MAX: usize = 4;

thread_local! {
    /// Who reads for this core, and the task that hears what was read.
    static READER: RefCell<Option<(Rc<Reader>, Task<()>)>> = const { RefCell::new(None) };
}

/// Brings a range into the page cache, at most [`READ_AHEAD_BYTES`] of it, and returns how far it came. 0 is the end of the file. Waits for a read that is under way
/// there, and for its turn if this core is reading much already. The disk is asked for `window` bytes from the start of the range: nobody waits for those
/// behind it.
///
/// # Errors
/// The host's: EIO above all.
pub async fn read_ahead(range: &FileRange, window: usize) -> io::Result<usize> {
    mark_activity();
    let reader = reader()?;
    let range = range.part(0, READ_AHEAD_BYTES);
    loop {
        let read = poll_fn(|context| reader.poll_read_of(&range, window, context)).await?;
        let end = poll_fn(|context| read.poll_end(context)).await.map_err(io::Error::from_raw_os_error)?;
        // A read that somebody else had begun may have met the end of the file in front of this range.
        if end > range.position || read.range.position == range.position {
            return Ok((end - range.position).min(range.len as u64) as usize);
        }
    }
}

/// Asks the disk for a range, at most [`READ_AHEAD_BYTES`] of it, and waits for nothing. Does nothing if this core is reading much already. Whoever needs the bytes
/// asks again, and is told then what is wrong.
///
/// Returns whether the disk is asked.
pub fn begin_read_ahead(range: &FileRange) -> bool {
    reader().is_ok_and(|reader| reader.has_place() && reader.begin(&range.part(0, 0), range.len).is_ok())
}

/// The core's side of its thread.
struct Reader {
    requests: mpsc::Sender<Request>,
    under_way: RefCell<Vec<Rc<Read>>>,
    next_number: Cell<u64>,
    /// Who waits for a place.
    waiting: RefCell<Vec<Waker>>,
}

/// A read under way.
struct Read {
    number: u64,
    /// What is waited for.
    range: FileRange,
    /// Where it has ended, or the host's error.
    end: Cell<Option<Result<u64, i32>>>,
    waiting: RefCell<Vec<Waker>>,
}

/// Bytes to bring into memory, and how many of them are there.
struct Request {
    number: u64,
    range: FileRange,
    /// What to ask the disk for, from the start of the range.
    window: usize,
    done: usize,
}

struct Done {
    number: u64,
    result: io::Result<usize>,
}

/// This core's reader, which is started if there is none.
fn reader() -> io::Result<Rc<Reader>> {
    if let Some(reader) = READER.with_borrow(|running| running.as_ref().map(|(reader, _)| reader.clone())) {
        return Ok(reader);
    }
    let (requests, received) = mpsc::channel();
    let mut ends: Vec<MeshEnd<Done>> = Mesh::new(2)?;
    let (beside, core) = (ends.pop().expect("one of two"), ends.pop().expect("the other"));
    let name = format!("{}-reads", thread::current().name().unwrap_or("core"));
    thread::Builder::new().name(name).spawn(move || read_for_a_core(&received, &beside))?;
    let reader = Rc::new(Reader { requests, under_way: RefCell::default(), next_number: Cell::new(0), waiting: RefCell::default() });
    READER.set(Some((reader.clone(), spawn(hear(core, reader.clone())))));
    Ok(reader)
}

/// Ends this core's reader, if it has one; its thread ends after what was asked of it. The last thing that an executor does. Detached tasks outlive it, and are not
/// woken any more.
pub(super) async fn end() {
    // Somebody may start another while this waits.
    while let Some((reader, listening)) = READER.take() {
        listening.cancel().await;
        // A task that waits here holds the reader, and the reader would hold that task.
        for read in reader.under_way.take() {
            read.waiting.take();
        }
        reader.waiting.take();
    }
}

async fn hear(core: MeshEnd<Done>, reader: Rc<Reader>) {
    loop {
        core.wait().await;
        core.drain(|_, done| reader.settle(done));
    }
}

impl Reader {
    fn has_place(&self) -> bool {
        self.under_way.borrow().len() < READS_PER_CORE_MAX
    }

    /// The read that is at the first byte of the range.
    fn read_of(&self, range: &FileRange) -> Option<Rc<Read>> {
        let under_way = self.under_way.borrow();
        let is_there = |read: &&Rc<Read>| {
            let bytes = read.range.position..read.range.end();
            Arc::ptr_eq(&read.range.file, &range.file) && bytes.contains(&range.position)
        };
        under_way.iter().find(is_there).cloned()
    }

    fn begin(&self, range: &FileRange, window: usize) -> io::Result<Rc<Read>> {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        let request = Request { number, range: range.clone(), window: window.clamp(range.len, READ_AHEAD_BYTES), done: 0 };
        self.requests.send(request).map_err(|_| io::Error::other("the thread that reads for this core has ended"))?;
        let read = Rc::new(Read { number, range: range.clone(), end: Cell::new(None), waiting: RefCell::default() });
        self.under_way.borrow_mut().push(read.clone());
        Ok(read)
    }

    /// A read that is at the first byte of the range, or a new one as soon as there is a place for it.
    fn poll_read_of(&self, range: &FileRange, window: usize, context: &mut Context<'_>) -> Poll<io::Result<Rc<Read>>> {
        match self.read_of(range) {
            Some(read) => Poll::Ready(Ok(read)),
            None if self.has_place() => Poll::Ready(self.begin(range, window)),
            None => wait_in(&self.waiting, context),
        }
    }

    fn settle(&self, done: Done) {
        let mut under_way = self.under_way.borrow_mut();
        let at = under_way.iter().position(|read| read.number == done.number).expect("what is read was asked for");
        let read = under_way.swap_remove(at);
        let end = done.result.map(|bytes| read.range.position + bytes as u64);
        read.end.set(Some(end.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))));
        // Whoever is first may have gone away meanwhile: wake all, they queue again. Few wait at a time.
        read.waiting.take().into_iter().chain(self.waiting.take()).for_each(Waker::wake);
    }
}

impl Read {
    fn poll_end(&self, context: &mut Context<'_>) -> Poll<Result<u64, i32>> {
        match self.end.get() {
            Some(end) => Poll::Ready(end),
            None => wait_in(&self.waiting, context),
        }
    }
}

/// Once for each task, however often it is polled: one that is cloned 32,768 times panics.
fn wait_in<T>(waiting: &RefCell<Vec<Waker>>, context: &Context<'_>) -> Poll<T> {
    let mut waiting = waiting.borrow_mut();
    if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
        waiting.push(context.waker().clone());
    }
    Poll::Pending
}

/// The thread beside a core. Ends with it.
fn read_for_a_core(requests: &mpsc::Receiver<Request>, answers: &MeshEnd<Done>) {
    // It was started by a thread that is pinned.
    let _ = host::keep_to_processors_of_the_process();
    take_the_background(Share::Little);
    let null = File::open_write("/dev/null".as_ref()).ok();
    let mut begun: VecDeque<Request> = VecDeque::new();
    loop {
        // The disk is asked for all of them at once.
        let first = if begun.is_empty() { requests.recv().ok() } else { None };
        for request in first.into_iter().chain(requests.try_iter()) {
            request.range.file.begin_read(request.range.position, request.window);
            begun.push_back(request);
        }
        let Some(request) = begun.front_mut() else { return };
        let Some(result) = request.wait_for_piece(null.as_ref()) else { continue };
        let done = Done { number: request.number, result };
        begun.pop_front();
        if answers.send(0, done).is_err() {
            unreachable!("a core has no more than {READS_PER_CORE_MAX} reads under way, which all fit");
        }
    }
}

impl Request {
    /// Waits for the next bytes to be in memory. `Some`: that was the end.
    fn wait_for_piece(&mut self, null: Option<&File>) -> Option<io::Result<usize>> {
        if self.done < self.range.len {
            let position = self.range.position + self.done as u64;
            match self.range.file.wait_for_bytes(null, position, self.range.len - self.done) {
                Err(error) => return Some(Err(error)),
                Ok(0) => return Some(Ok(self.done)),
                Ok(bytes) => self.done += bytes,
            }
        }
        (self.done == self.range.len).then_some(Ok(self.done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::glommio::{CoreOptions, run_here, sleep, start_core};
    use crate::io::host::own_processors;
    use std::io::IoSlice;
    use std::time::Duration;

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
            assert_eq!(read_ahead(&range, 0).await.unwrap(), READ_AHEAD_BYTES);
            assert!(file.resident(4096, READ_AHEAD_BYTES).unwrap());
            if can_be_cold {
                assert!(!file.resident(0, LEN).unwrap(), "it reads no further than it says");
            }
            let end = FileRange { file: file.clone(), position: LEN as u64, len: 10 };
            assert_eq!(read_ahead(&end, 0).await.unwrap(), 0);
        });
    }

    #[test]
    fn many_reads_take_turns_and_all_end() {
        let (_directory, file) = cold_file();
        run_here(async {
            let tasks: Vec<_> = (0..32)
                .map(|i| {
                    let range = FileRange { file: file.clone(), position: i * 100_000, len: 100_000 };
                    spawn(async move { read_ahead(&range, 0).await.unwrap() })
                })
                .collect();
            assert_eq!(under_way(), READS_PER_CORE_MAX);
            for task in tasks {
                assert_eq!(task.await, 100_000);
            }
            assert_eq!(under_way(), 0);
        });
    }

    fn under_way() -> usize {
        reader().unwrap().under_way.borrow().len()
    }

    #[test]
    fn what_is_begun_comes_without_anybody_who_waits() {
        let (_directory, file) = cold_file();
        let can_be_cold = !file.resident(0, LEN).unwrap();
        run_here(async {
            for number in 0..8 {
                let position = (number * READ_AHEAD_BYTES) as u64;
                begin_read_ahead(&FileRange { file: file.clone(), position, len: READ_AHEAD_BYTES });
            }
            assert_eq!(under_way(), READS_PER_CORE_MAX, "the others found no place");
            while under_way() > 0 || !file.resident(0, READS_PER_CORE_MAX * READ_AHEAD_BYTES).unwrap() {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(!can_be_cold || !file.resident(0, LEN).unwrap(), "only those");
        });
    }

    #[test]
    fn bytes_that_are_being_read_are_waited_for_and_not_read_again() {
        let (_directory, file) = cold_file();
        run_here(async {
            let range = |position, len| FileRange { file: file.clone(), position, len };
            let reading = |range: FileRange| spawn(async move { read_ahead(&range, 0).await.unwrap() });
            let first = reading(range(0, READ_AHEAD_BYTES));
            let (inside, over_its_end) = (reading(range(4096, 10)), reading(range(READ_AHEAD_BYTES as u64 - 10, 100)));
            assert_eq!((first.await, inside.await, over_its_end.await), (READ_AHEAD_BYTES, 10, 10));
            assert_eq!(reader().unwrap().next_number.get(), 1);
            // The end of the file comes in front of the second one.
            let (before, behind) = (reading(range(LEN as u64 - 10, 1000)), reading(range(LEN as u64 + 10, 10)));
            assert_eq!((before.await, behind.await), (10, 0));
            assert_eq!(reader().unwrap().next_number.get(), 3);
        });
    }

    #[test]
    fn a_task_that_is_polled_often_is_woken_once() {
        let (_directory, file) = cold_file();
        run_here(async {
            let range = FileRange { file: file.clone(), position: 0, len: LEN };
            let mut read = Box::pin(read_ahead(&range, 0));
            poll_fn(|context| {
                assert!((0..100).all(|_| read.as_mut().poll(context).is_pending()), "nobody else has had a turn yet");
                Poll::Ready(())
            })
            .await;
            assert_eq!(reader().unwrap().under_way.borrow()[0].waiting.borrow().len(), 1);
            assert_eq!(read.await.unwrap(), READ_AHEAD_BYTES);
        });
    }

    #[test]
    fn who_goes_away_stops_nothing_and_errors_arrive() {
        let (directory, file) = cold_file();
        run_here(async {
            for position in [0, 1 << 20, 2 << 20] {
                let range = FileRange { file: file.clone(), position, len: LEN };
                drop(spawn(async move { read_ahead(&range, 0).await }));
            }
            let no_file = Arc::new(File::open_read(directory.path()).unwrap());
            let error = read_ahead(&FileRange { file: no_file, position: 0, len: 10 }, 0).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
            assert_eq!(under_way(), 0);
        });
        assert!(READER.with_borrow(Option::is_none), "with the executor its reader ends");
    }

    #[test]
    fn the_thread_is_not_pinned_as_its_core_is() {
        let (_directory, file) = cold_file();
        let cpus = own_processors().unwrap();
        let core = start_core(CoreOptions::pinned(7, cpus[0]), move || async move {
            read_ahead(&FileRange { file, position: 0, len: 1 }, 0).await.unwrap();
            let comm = |id| std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap_or_default();
            let threads = host::threads_of(std::process::id());
            threads.into_iter().find(|thread| comm(thread.id).trim() == "core-7-reads").map(|thread| thread.processors)
        });
        assert_eq!(core.unwrap().join().unwrap(), Some(cpus));
    }
}
