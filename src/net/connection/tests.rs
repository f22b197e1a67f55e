//! Connections over real sockets, with a service that does what its requests say.

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::base::limits::REQUEST_BYTES_MAX;
use crate::io::features::{Feature, testing};
use crate::io::glommio::{CoreOptions, CoreThread, Listener, ReservedPort, sleep, start_core};
use crate::io::{File, FileRange, Transfer};
use crate::net::{ConnectionInfo, ConnectionOptions, Connections, FrameTiming, Frames, Reply, Response, Sent, Service};

/// What the test's thread sees of the service and of the core's counters.
#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    turns: AtomicU64,
    turns_with_frames: AtomicU64,
    sent: AtomicU64,
    connected: AtomicU64,
    disconnected: AtomicU64,
    laters_dropped: AtomicU64,
    /// The service takes no requests.
    is_full: AtomicBool,
    /// The service says so many times more that it takes none.
    is_full_when_asked: AtomicU64,
    stop: AtomicBool,
}

/// The first byte of a request is a command; see `answer`.
struct Toy {
    file: Option<Arc<File>>,
    seen: Arc<Seen>,
    last_sent: Cell<u64>,
}

impl Service for Toy {
    fn turn(&self, _: &ConnectionInfo, frames: Frames<'_>, replies: &mut Vec<Reply>, timing: FrameTiming) {
        self.seen.turns_with_frames.fetch_add(1, Ordering::Relaxed);
        assert!(timing.received_ns > 0);
        for frame in frames {
            self.seen.requests.fetch_add(1, Ordering::Relaxed);
            replies.push(self.answer(frame));
        }
    }

    fn has_room(&self) -> bool {
        let times = &self.seen.is_full_when_asked;
        let is_full_now = times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |times| times.checked_sub(1)).is_ok();
        !is_full_now && !self.seen.is_full.load(Ordering::Relaxed)
    }

    fn end_of_turn(&self) {
        self.seen.turns.fetch_add(1, Ordering::Relaxed);
    }

    fn sent(&self, _: &ConnectionInfo, sent: Sent) {
        assert!(sent.ready_ns <= sent.sent_ns, "{sent:?}");
        assert!(sent.sent_ns >= self.last_sent.replace(sent.sent_ns));
        self.seen.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn connected(&self, _: &ConnectionInfo) {
        self.seen.connected.fetch_add(1, Ordering::Relaxed);
    }

    fn disconnected(&self, _: &ConnectionInfo) {
        self.seen.disconnected.fetch_add(1, Ordering::Relaxed);
    }
}

struct CountsDrop(Arc<Seen>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.laters_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Toy {
    fn answer(&self, frame: &[u8]) -> Reply {
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        match frame[0] {
            // The request, back.
            b'e' => Reply::Now(response(frame)),
            // The request, back, after so many milliseconds.
            b'l' => {
                let (wait, frame, guard) = (number(1), frame.to_vec(), CountsDrop(self.seen.clone()));
                Reply::later(async move {
                    let _guard = guard;
                    sleep(Duration::from_millis(u64::from(wait))).await;
                    Some(response(&frame))
                })
            }
            // The request, back, once the service is full.
            b'x' => {
                let (frame, seen) = (frame.to_vec(), self.seen.clone());
                Reply::later(async move {
                    while !seen.is_full.load(Ordering::Relaxed) {
                        sleep(Duration::from_millis(1)).await;
                    }
                    Some(response(&frame))
                })
            }
            b's' => Reply::Now(Response::default()),
            b'c' => Reply::Close("the client asked for it".into()),
            b'n' => Reply::later(async { None }),
            // So many bytes.
            b'b' => Reply::Now(response(&vec![b'b'; number(1) as usize])),
            // A range of the file between two bytes, and then once more.
            b'f' => {
                let range = FileRange { file: self.file.clone().unwrap(), position: u64::from(number(1)), len: number(5) as usize };
                let mut head = ((2 * range.len + 3) as u32).to_be_bytes().to_vec();
                head.push(b'<');
                let mut response = Response::new(head);
                response.push_file(range.clone());
                response.push_bytes(&b"|"[..]);
                response.push_file(range);
                response.push_bytes(&b">"[..]);
                Reply::Now(response)
            }
            command => panic!("no such command: {command}"),
        }
    }
}

fn response(body: &[u8]) -> Response {
    let mut head = (body.len() as u32).to_be_bytes().to_vec();
    head.extend(body);
    Response::new(head)
}

fn request(command: u8, numbers: &[u32], filling: usize) -> Vec<u8> {
    let mut bytes = ((1 + 4 * numbers.len() + filling) as u32).to_be_bytes().to_vec();
    bytes.push(command);
    bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    bytes.resize(bytes.len() + filling, b'.');
    bytes
}

/// A core with connections, until dropped.
struct Broker {
    address: SocketAddr,
    seen: Arc<Seen>,
    core: Option<CoreThread<Vec<(&'static str, u64)>>>,
}

#[derive(Default)]
struct Setup {
    file: Option<Arc<File>>,
    options: ConnectionOptions,
    without: Vec<Feature>,
}

fn start(setup: Setup) -> Broker {
    let seen = Arc::new(Seen::default());
    let (bound, address) = mpsc::channel();
    let toy_seen = seen.clone();
    let core = start_core(CoreOptions::unpinned(0), move || async move {
        for feature in setup.without {
            testing::switch_off_here(feature);
        }
        let toy = Rc::new(Toy { file: setup.file, seen: toy_seen.clone(), last_sent: Cell::new(0) });
        let connections = Connections::new(toy, setup.options);
        let listener = Listener::listen(ReservedPort::bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
        bound.send(listener.local()).unwrap();
        crate::io::glommio::spawn(connections.clone().close_idle()).detach();
        let accepting = {
            let connections = connections.clone();
            crate::io::glommio::spawn(async move { connections.accept_from(listener).await })
        };
        while !toy_seen.stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5)).await;
        }
        connections.shutdown(Duration::from_secs(2)).await;
        accepting.await.unwrap();
        assert_eq!(connections.traffic().open.get(), 0);
        connections.traffic().values()
    })
    .unwrap();
    Broker { address: address.recv().unwrap(), seen, core: Some(core) }
}

impl Broker {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Stops the core, and returns its counters.
    fn stop(mut self) -> impl Fn(&str) -> u64 {
        self.seen.stop.store(true, Ordering::Relaxed);
        let values = self.core.take().unwrap().join().unwrap();
        assert_eq!(self.seen.connected.load(Ordering::Relaxed), self.seen.disconnected.load(Ordering::Relaxed));
        move |name| values.iter().find(|(counter, _)| *counter == name).unwrap_or_else(|| panic!("{name}")).1
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Seen) -> bool) {
        for _ in 0..2000 {
            if is_so(&self.seen) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("not after 10 seconds: {what}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
    }
}

/// The next answer, without its length.
fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

fn is_closed(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 1]) {
            // The probe of io_uring ran on this thread, and its end interrupts a call.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            Ok(count) => return count == 0,
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    let mut all = Vec::new();
    for i in 0..3000 {
        all.extend(request(b'e', &[i], i as usize % 500));
    }
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&all).unwrap());
    for i in 0..3000 {
        assert_eq!(receive(&mut stream), request(b'e', &[i], i as usize % 500)[4..]);
    }
    writing.join().unwrap();
    let turns = broker.seen.turns_with_frames.load(Ordering::Relaxed);
    assert!(turns < 1500, "3000 pipelined requests were handed over in {turns} turns");
    broker.wait_until("every answer was reported", |seen| seen.sent.load(Ordering::Relaxed) == 3000);
    drop(stream);
    let counter = broker.stop();
    assert_eq!((counter("requests"), counter("answers"), counter("accepted"), counter("closed_for_cause")), (3000, 3000, 1, 0));
    assert_eq!(counter("bytes_sent"), counter("bytes_received"), "an echo");
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    for byte in request(b'e', &[1, 2], 100) {
        stream.write_all(&[byte]).unwrap();
        std::thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(receive(&mut stream), request(b'e', &[1, 2], 100)[4..]);
}

#[test]
fn large_requests_come_whole() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    for filling in [256 * 1024, 256 * 1024, 300_000, 10, 5 << 20, 1, 262_135, 262_136, 262_137] {
        let request = request(b'e', &[9], filling);
        let mut writer = stream.try_clone().unwrap();
        let sent = request.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
        assert!(receive(&mut stream) == request[4..], "{filling}");
        writing.join().unwrap();
    }
}

#[test]
fn lengths_that_no_client_sends_close_the_connection_after_the_answers_before() {
    let broker = start(Setup::default());
    for length in [-1, REQUEST_BYTES_MAX as i32 + 1, i32::from_be_bytes(*b"GET ")] {
        let mut stream = broker.connect();
        let mut bytes = request(b'e', &[5], 0);
        bytes.extend(length.to_be_bytes());
        stream.write_all(&bytes).unwrap();
        assert_eq!(receive(&mut stream), request(b'e', &[5], 0)[4..]);
        assert!(is_closed(&mut stream));
    }
    assert_eq!(broker.stop()("closed_for_cause"), 3);
}

#[test]
fn announcing_much_and_sending_little_costs_nothing() {
    let broker = start(Setup::default());
    let before = resident_bytes();
    let streams: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = broker.connect();
            let mut bytes = (REQUEST_BYTES_MAX as u32).to_be_bytes().to_vec();
            bytes.resize(4096, 0);
            stream.write_all(&bytes).unwrap();
            stream
        })
        .collect();
    broker.wait_until("forty connections", |seen| seen.connected.load(Ordering::Relaxed) == 40);
    let mut other = broker.connect();
    other.write_all(&request(b'e', &[], 0)).unwrap();
    receive(&mut other);
    // 4 GB were announced. Other tests run in this process, so the bound is generous.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 800 << 20, "grown by {grown} bytes");
    drop(streams);
}

fn resident_bytes() -> u64 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * crate::io::file::page_bytes()
}

#[test]
fn later_answers_keep_their_place_and_requests_go_on_meanwhile() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    let mut bytes = request(b'e', &[0], 0);
    bytes.extend(request(b'l', &[100], 1));
    bytes.extend(request(b's', &[], 0));
    bytes.extend(request(b'e', &[2], 0));
    bytes.extend(request(b'l', &[0], 3));
    stream.write_all(&bytes).unwrap();
    assert_eq!(receive(&mut stream), request(b'e', &[0], 0)[4..]);
    // While the second waits, another one comes.
    stream.write_all(&request(b'e', &[4], 0)).unwrap();
    broker.wait_until("the last request is taken while an answer waits", |seen| seen.requests.load(Ordering::Relaxed) == 6);
    for expected in [request(b'l', &[100], 1), request(b'e', &[2], 0), request(b'l', &[0], 3), request(b'e', &[4], 0)] {
        assert_eq!(receive(&mut stream), expected[4..]);
    }
}

#[test]
fn a_client_that_goes_away_frees_what_waits_for_it() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    stream.write_all(&request(b'l', &[600_000], 0)).unwrap();
    broker.wait_until("the request is taken", |seen| seen.requests.load(Ordering::Relaxed) == 1);
    drop(stream);
    broker.wait_until("the wait of ten minutes is dropped", |seen| {
        seen.laters_dropped.load(Ordering::Relaxed) == 1 && seen.disconnected.load(Ordering::Relaxed) == 1
    });
    assert_eq!(broker.stop()("closed_for_cause"), 0, "no news");
}

#[test]
fn the_service_may_close() {
    let broker = start(Setup::default());
    for closing in [b'c', b'n'] {
        let mut stream = broker.connect();
        let mut bytes = request(b'e', &[1], 0);
        bytes.extend(request(closing, &[], 0));
        bytes.extend(request(b'e', &[2], 0));
        stream.write_all(&bytes).unwrap();
        assert_eq!(receive(&mut stream), request(b'e', &[1], 0)[4..]);
        assert!(is_closed(&mut stream));
    }
    assert_eq!(broker.stop()("closed_for_cause"), 2);
}

#[test]
fn requests_are_not_taken_while_answers_are_not_read() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    // 10,000 requests for 1 MB each.
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        for _ in 0..10_000 {
            if writer.write_all(&request(b'b', &[1_000_000], 0)).is_err() {
                return;
            }
        }
    });
    broker.wait_until("the first requests are taken", |seen| seen.requests.load(Ordering::Relaxed) > 0);
    std::thread::sleep(Duration::from_millis(300));
    let taken = broker.seen.requests.load(Ordering::Relaxed);
    assert!(taken <= 3 * super::FRAMES_PER_CALL_MAX as u64, "{taken} requests taken, and no answer read");
    // Other connections are served.
    let mut other = broker.connect();
    other.write_all(&request(b'e', &[3], 0)).unwrap();
    assert_eq!(receive(&mut other), request(b'e', &[3], 0)[4..]);
    // And this one goes on once its client reads.
    for _ in 0..300 {
        assert_eq!(receive(&mut stream).len(), 1_000_000);
    }
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    writing.join().unwrap();
}

#[test]
fn a_slow_reader_gets_every_byte() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    stream.write_all(&[request(b'b', &[20_000_000], 0), request(b'e', &[6], 0)].concat()).unwrap();
    let mut received = 0;
    let mut piece = vec![0; 1_000_000];
    while received < 20_000_004 {
        let len = piece.len().min(20_000_004 - received);
        match stream.read(&mut piece[..len]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            count => received += count.unwrap(),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(receive(&mut stream), request(b'e', &[6], 0)[4..]);
}

#[test]
fn one_connection_too_many_is_closed_at_once() {
    let options = ConnectionOptions { connections_max: 2, ..ConnectionOptions::default() };
    let broker = start(Setup { options, ..Setup::default() });
    let mut streams = [broker.connect(), broker.connect()];
    broker.wait_until("two connections", |seen| seen.connected.load(Ordering::Relaxed) == 2);
    assert!(is_closed(&mut broker.connect()));
    for stream in &mut streams {
        stream.write_all(&request(b'e', &[3], 0)).unwrap();
        assert_eq!(receive(stream), request(b'e', &[3], 0)[4..]);
    }
    drop(streams);
    broker.wait_until("both are closed", |seen| seen.disconnected.load(Ordering::Relaxed) == 2);
    let mut again = broker.connect();
    again.write_all(&request(b'e', &[4], 0)).unwrap();
    receive(&mut again);
    drop(again);
    assert_eq!(broker.stop()("refused"), 1);
}

#[test]
fn a_connection_that_nobody_uses_is_closed_and_one_that_waits_is_not() {
    let options = ConnectionOptions { idle_max: Some(Duration::from_millis(1000)), ..ConnectionOptions::default() };
    let broker = start(Setup { options, ..Setup::default() });
    let (mut silent, mut waiting, mut stuck) = (broker.connect(), broker.connect(), broker.connect());
    waiting.write_all(&request(b'l', &[3000], 0)).unwrap();
    // More than the buffers between us hold, and nobody reads it.
    stuck.write_all(&request(b'b', &[64 << 20], 0)).unwrap();
    silent.write_all(&request(b'e', &[7], 0)).unwrap();
    receive(&mut silent);
    assert!(is_closed(&mut silent));
    assert_eq!(receive(&mut waiting), request(b'l', &[3000], 0)[4..]);
    assert!(is_closed(&mut waiting), "now it is as idle as the first");
    broker.wait_until("the one that reads nothing is closed", |seen| seen.disconnected.load(Ordering::Relaxed) == 3);
    let counter = broker.stop();
    assert_eq!((counter("closed_idle"), counter("closed_for_cause"), counter("answers")), (3, 0, 2));
}

#[test]
fn a_stop_lets_answers_go_out_and_cuts_what_takes_too_long() {
    let broker = start(Setup::default());
    let (mut soon, mut never, mut idle) = (broker.connect(), broker.connect(), broker.connect());
    soon.write_all(&request(b'l', &[300], 0)).unwrap();
    never.write_all(&request(b'l', &[600_000], 0)).unwrap();
    idle.write_all(&request(b'e', &[], 0)).unwrap();
    receive(&mut idle);
    broker.wait_until("the requests are taken", |seen| seen.requests.load(Ordering::Relaxed) == 3);
    broker.seen.stop.store(true, Ordering::Relaxed);
    assert!(is_closed(&mut idle));
    assert_eq!(receive(&mut soon), request(b'l', &[300], 0)[4..]);
    assert!(is_closed(&mut soon));
    assert!(is_closed(&mut never));
    let counter = broker.stop();
    assert_eq!((counter("accepted"), counter("open")), (3, 0));
}

const FILE_BYTES: usize = 9 << 20;

fn file() -> (tempfile::TempDir, Arc<File>, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..FILE_BYTES).map(|i| (i * 31 + i / 4099) as u8).collect();
    let file = File::create(&directory.path().join("segment")).unwrap();
    file.write_all_at(&mut [IoSlice::new(&bytes)], 0).unwrap();
    file.data_sync().unwrap();
    (directory, Arc::new(file), bytes)
}

/// Asks for ranges of all sizes, cold and warm, and compares. Returns the counters, and whether the file could be made cold at all.
fn fetch_all_sizes(transfer: Transfer, without: &[Feature], slowly: bool) -> (impl Fn(&str) -> u64 + use<>, bool) {
    let (_directory, file, bytes) = file();
    let options = ConnectionOptions { transfer, ..ConnectionOptions::default() };
    let broker = start(Setup { file: Some(file.clone()), options, without: without.to_vec() });
    let mut stream = broker.connect();
    let mut can_be_cold = false;
    for is_cold in [true, false] {
        let ranges =
            [(0, 0), (0, 1), (4095, 2), (10_000, 4096), (77, 65_535), (3, 65_536), (123_456, 600_000), (5, 1 << 20), (1001, 8_000_000)];
        for (position, len) in ranges {
            if is_cold {
                file.dont_need(0, FILE_BYTES as u64).unwrap();
                can_be_cold |= !file.resident(position as u64, len).unwrap();
            }
            // Two at once: what is gathered of one must not mix with the pages of the other.
            let one = request(b'f', &[position as u32, len as u32], 0);
            stream.write_all(&[one.clone(), request(b'e', &[1], 0), one].concat()).unwrap();
            if slowly {
                std::thread::sleep(Duration::from_millis(20));
            }
            let range = &bytes[position..position + len];
            let expected = [&b"<"[..], range, b"|", range, b">"].concat();
            for is_echo in [false, true, false] {
                let answer = receive(&mut stream);
                if is_echo {
                    assert_eq!(answer, request(b'e', &[1], 0)[4..]);
                } else {
                    assert!(answer == expected, "{len} bytes at {position}, {transfer}, cold {is_cold}, without {without:?}");
                }
            }
        }
    }
    drop(stream);
    (broker.stop(), can_be_cold)
}

#[test]
fn auto_copies_small_ranges_and_sends_pages_of_large_ones() {
    let (counter, can_be_cold) = fetch_all_sizes(Transfer::Auto, &[], true);
    assert!(counter("file_bytes_copied") > 0 && counter("file_bytes_spliced") > 4 * 8_000_000, "copied and spliced");
    assert!(counter("file_bytes_copied") < counter("file_bytes_spliced") / 10);
    assert!(!can_be_cold || counter("cold_reads") > 0);
    assert!(counter("sends_blocked") > 0, "the socket was never full: the test needs more");
}

#[test]
fn sendfile_sends_ranges_of_all_sizes() {
    let (counter, _) = fetch_all_sizes(Transfer::Sendfile, &[], false);
    assert!(counter("file_bytes_spliced") > 0);
}

/// Each could go in one call, if the socket were not full.
#[test]
fn a_slow_reader_gets_ranges_that_one_call_could_send() {
    const RANGE_BYTES: usize = 400_000;
    const REQUESTS: usize = 60;
    let (_directory, file, bytes) = file();
    for transfer in [Transfer::Sendfile, Transfer::Splice, Transfer::Auto] {
        let options = ConnectionOptions { transfer, ..ConnectionOptions::default() };
        let broker = start(Setup { file: Some(file.clone()), options, ..Setup::default() });
        let mut stream = broker.connect();
        for number in 0..REQUESTS {
            stream.write_all(&request(b'f', &[number as u32, RANGE_BYTES as u32], 0)).unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        for number in 0..REQUESTS {
            let range = &bytes[number..number + RANGE_BYTES];
            assert!(receive(&mut stream) == [&b"<"[..], range, b"|", range, b">"].concat(), "answer {number}, {transfer}");
        }
        drop(stream);
        assert!(broker.stop()("sends_blocked") > 0, "the socket was never full: the test needs more");
    }
}

#[test]
fn large_pieces_take_turns_while_others_are_served() {
    const RANGE_BYTES: usize = 3_000_000;
    let (_directory, file, bytes) = file();
    for has_others in [false, true] {
        let broker = start(Setup { file: Some(file.clone()), ..Setup::default() });
        let mut other = broker.connect();
        let mut readers: Vec<_> = (0..4).map(|_| broker.connect()).collect();
        for round in 0..5_u32 {
            for reader in &mut readers {
                reader.write_all(&request(b'f', &[round, RANGE_BYTES as u32], 0)).unwrap();
            }
            if has_others {
                let echo = request(b'e', &[round], 0);
                other.write_all(&echo).unwrap();
                assert_eq!(receive(&mut other), echo[4..]);
            }
            let range = &bytes[round as usize..][..RANGE_BYTES];
            let expected = [&b"<"[..], range, b"|", range, b">"].concat();
            for reader in &mut readers {
                assert!(receive(reader) == expected, "round {round}, others: {has_others}");
            }
        }
        drop((readers, other));
        assert_eq!(broker.stop()("pieces_in_turn") > 0, has_others);
    }
}

#[test]
fn splice_sends_ranges_of_all_sizes() {
    let (counter, can_be_cold) = fetch_all_sizes(Transfer::Splice, &[], true);
    assert!(counter("file_bytes_spliced") > 0);
    assert!(!can_be_cold || counter("cold_reads") > 0);
}

#[test]
fn copy_sends_ranges_of_all_sizes() {
    let (counter, can_be_cold) = fetch_all_sizes(Transfer::Copy, &[], true);
    assert_eq!(counter("file_bytes_spliced"), 0);
    assert!(!can_be_cold || counter("cold_reads") > 0);
}

#[test]
fn without_newer_system_calls_the_bytes_are_the_same() {
    for transfer in Transfer::ALL {
        for without in [Feature::CacheStat, Feature::ReadNoWait] {
            let (counter, _) = fetch_all_sizes(transfer, &[without], false);
            assert!(counter("answers") > 0);
        }
        let (counter, _) = fetch_all_sizes(transfer, &[Feature::CacheStat, Feature::ReadNoWait], false);
        assert_eq!(counter("cold_reads"), 0, "nothing is known of the page cache");
    }
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_file_is_no_news() {
    for transfer in Transfer::ALL {
        let (_directory, file, _) = file();
        let options = ConnectionOptions { transfer, ..ConnectionOptions::default() };
        let broker = start(Setup { file: Some(file.clone()), options, ..Setup::default() });
        for is_cold in [true, false] {
            if is_cold {
                file.dont_need(0, FILE_BYTES as u64).unwrap();
            }
            let mut stream = broker.connect();
            stream.write_all(&request(b'f', &[0, 9_000_000], 0)).unwrap();
            stream.read_exact(&mut [0; 1000]).unwrap();
            drop(stream);
        }
        broker.wait_until("both are closed", |seen| seen.disconnected.load(Ordering::Relaxed) == 2);
        assert_eq!(broker.stop()("closed_for_cause"), 0, "{transfer}");
    }
}

#[test]
fn a_file_that_ends_too_early_closes_the_connection_with_a_reason() {
    for transfer in Transfer::ALL {
        let (_directory, file, _) = file();
        let options = ConnectionOptions { transfer, ..ConnectionOptions::default() };
        let broker = start(Setup { file: Some(file), options, ..Setup::default() });
        let mut stream = broker.connect();
        stream.write_all(&request(b'f', &[FILE_BYTES as u32 - 100_000, 200_000], 0)).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        drop(stream);
        assert_eq!(broker.stop()("closed_for_cause"), 1, "{transfer}");
    }
}

#[test]
fn every_turn_ends_with_a_look_at_the_mesh() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    for i in 0..20 {
        stream.write_all(&request(b'e', &[i], 0)).unwrap();
        receive(&mut stream);
    }
    let (turns, with_frames) = (broker.seen.turns.load(Ordering::Relaxed), broker.seen.turns_with_frames.load(Ordering::Relaxed));
    assert_eq!(with_frames, 20);
    assert!(turns >= with_frames, "{turns}");
}

#[test]
fn many_connections_at_once() {
    let broker = start(Setup::default());
    let mut streams: Vec<_> = (0..200).map(|_| broker.connect()).collect();
    for round in 0..5 {
        for (i, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&request(b'e', &[round, i as u32], i)).unwrap();
        }
        for (i, stream) in streams.iter_mut().enumerate() {
            assert_eq!(receive(stream), request(b'e', &[round, i as u32], i)[4..]);
        }
    }
    drop(streams);
    assert_eq!(broker.stop()("requests"), 1000);
}

#[test]
fn an_idle_connection_is_small() {
    // What each of 20,000 connections costs besides its socket.
    fn size_of_future<S: Service>(core: &Connections<S>, socket: crate::io::glommio::Socket, info: &ConnectionInfo) -> usize {
        let control = Default::default();
        size_of_val(&super::serve(core, socket, info, &control))
    }
    crate::io::glommio::run_here(async {
        let listener = Listener::listen(ReservedPort::bind("127.0.0.1:0".parse().unwrap(), false).unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local()).unwrap();
        let socket = listener.accept(|_| ()).await.unwrap();
        let info = ConnectionInfo { id: 0, peer: socket.peer(), local: socket.local() };
        let toy = Rc::new(Toy { file: None, seen: Arc::default(), last_sent: Cell::new(0) });
        let size = size_of_future(&Connections::new(toy, ConnectionOptions::default()), socket, &info);
        assert!(size < 3000, "{size} bytes");
        println!("{size} bytes");
    });
}

#[test]
fn answers_go_out_while_the_service_takes_no_requests() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    stream.write_all(&request(b'x', &[], 1)).unwrap();
    broker.wait_until("the request was taken", |seen| seen.requests.load(Ordering::Relaxed) == 1);
    broker.seen.is_full.store(true, Ordering::Relaxed);
    stream.write_all(&request(b'e', &[], 2)).unwrap();
    assert_eq!(receive(&mut stream), b"x.");

    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(broker.seen.requests.load(Ordering::Relaxed), 1, "the second one waits");
    broker.seen.is_full.store(false, Ordering::Relaxed);
    assert_eq!(receive(&mut stream), b"e..");
    let count = broker.stop();
    assert_eq!((count("requests"), count("answers")), (2, 2));
}

#[test]
fn the_service_may_have_room_again_at_any_moment() {
    let broker = start(Setup::default());
    let mut stream = broker.connect();
    for times in 0..20 {
        // The first one is answered only when the second one has come.
        let (first, second) = (request(b'x', &[], 1), request(b'e', &[times], 2));
        broker.seen.is_full.store(false, Ordering::Relaxed);
        stream.write_all(&first).unwrap();
        broker.wait_until("the first was taken", |seen| seen.requests.load(Ordering::Relaxed) == 2 * u64::from(times) + 1);
        broker.seen.is_full.store(true, Ordering::Relaxed);
        stream.write_all(&second).unwrap();
        assert_eq!(receive(&mut stream), first[4..]);
        broker.seen.is_full_when_asked.store(u64::from(times), Ordering::Relaxed);
        broker.seen.is_full.store(false, Ordering::Relaxed);
        assert_eq!(receive(&mut stream), second[4..]);
    }
}

/// The requests of a busy peer are there before the ring has told of them. Timers and other connections, which only the ring tells of, wait no longer for that.
#[test]
fn a_busy_core_reads_past_its_ring_and_still_looks_at_it() {
    let broker = start(Setup::default());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut stream = broker.connect();
            let is_over = &is_over;
            scope.spawn(move || {
                // More than one read takes.
                let burst = request(b'e', &[], 1000).repeat(200);
                while !is_over.load(Ordering::Relaxed) {
                    stream.write_all(&burst).unwrap();
                    (0..200).for_each(|_| drop(receive(&mut stream)));
                }
            });
        }
        let late: Vec<_> = (0..20)
            .map(|_| {
                let mut stream = broker.connect();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.write_all(&request(b'l', &[5], 0)).and_then(|()| stream.read_exact(&mut [0; 9]))
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(late.iter().all(Result::is_ok), "{late:?}");
    });
    assert!(broker.stop()("reads_past_ring") > 0);
}
