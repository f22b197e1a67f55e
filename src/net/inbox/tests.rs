//! Tests of `inbox.rs`.

use super::*;
use proptest::prelude::*;

fn frame(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = (len as u32).to_be_bytes().to_vec();
    bytes.extend((0..len).map(|i| seed.wrapping_add(i as u8)));
    bytes
}

/// A peer that sends `stream`, at most `piece` bytes per read.
struct Peer<'a> {
    stream: &'a [u8],
    piece: usize,
}

impl Peer<'_> {
    fn read(&mut self, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.stream.is_empty() {
            return Poll::Pending;
        }
        assert!(!space.is_empty(), "a read without space looks like the end of the stream");
        let len = self.piece.min(self.stream.len()).min(space.len());
        space[..len].copy_from_slice(&self.stream[..len]);
        self.stream = &self.stream[len..];
        Poll::Ready(Ok(len))
    }
}

/// Reads all that `peer` sends, as a connection does.
fn receive(inbox: &mut Inbox, buffers: &Rc<Buffers>, peer: &mut Peer<'_>, frames_max: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while inbox.poll_read(buffers, |space| peer.read(space)).is_ready() {
        while let Some((whole, bytes)) = inbox.whole_frames(frames_max).unwrap() {
            assert!(whole.len() <= frames_max);
            frames.extend(whole.map(<[u8]>::to_vec));
            inbox.consume(bytes);
        }
        inbox.settle(buffers);
    }
    frames
}

#[test]
fn frames_come_whole_however_the_stream_is_cut() {
    let lens = [0, 1, 3, 70_000, 5, 200_000, 256 * 1024, 300_000, 300_000, 299_000, 2, 5_000_000, 10];
    let stream: Vec<u8> = lens.iter().enumerate().flat_map(|(i, &len)| frame(len, i as u8)).collect();
    for piece in [1, 7, 1000, 65_536, usize::MAX] {
        if piece < 7 {
            continue; // byte by byte below, with less of it
        }
        let (buffers, mut inbox) = (Rc::new(Buffers::new()), Inbox::default());
        let frames = receive(&mut inbox, &buffers, &mut Peer { stream: &stream, piece }, 1024);
        assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), lens, "in pieces of {piece}");
        for (i, received) in frames.iter().enumerate() {
            assert!(*received == frame(lens[i], i as u8)[4..], "frame {i} in pieces of {piece}");
        }
        assert_eq!(inbox.held_bytes(), 0, "an idle connection holds no memory");
    }
}

#[test]
fn byte_by_byte() {
    let stream: Vec<u8> = [0, 1, 300, 2].iter().flat_map(|&len| frame(len, 9)).collect();
    let frames = receive(&mut Inbox::default(), &Rc::new(Buffers::new()), &mut Peer { stream: &stream, piece: 1 }, 1);
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 300, 2]);
}

#[test]
fn what_is_announced_costs_nothing_until_it_comes() {
    let buffers = Rc::new(Buffers::new());
    let mut stream = (REQUEST_BYTES_MAX as u32).to_be_bytes().to_vec();
    stream.resize(4096, 1);
    let mut inbox = Inbox::default();
    receive(&mut inbox, &buffers, &mut Peer { stream: &stream, piece: usize::MAX }, 1);
    assert_eq!(inbox.held_bytes(), 4096);
    // Then it comes, 1 MiB at a time, and the memory stays within twice of that.
    let mut sent = 4096;
    while sent < 40 << 20 {
        let piece = vec![2; 1 << 20];
        sent += piece.len();
        receive(&mut inbox, &buffers, &mut Peer { stream: &piece, piece: usize::MAX }, 1);
        assert!(inbox.held_bytes() <= 2 * sent + FRAME_BUFFER_BYTES_MIN, "{} held for {sent}", inbox.held_bytes());
    }
}

#[test]
fn lengths_that_no_client_sends_are_errors() {
    for length in [-1, i32::MIN, REQUEST_BYTES_MAX as i32 + 1, i32::from_be_bytes(*b"GET ")] {
        let (buffers, mut inbox) = (Rc::new(Buffers::new()), Inbox::default());
        let stream = length.to_be_bytes();
        let mut peer = Peer { stream: &stream, piece: usize::MAX };
        assert!(inbox.poll_read(&buffers, |space| peer.read(space)).is_ready());
        assert_eq!(inbox.whole_frames(1).err(), Some(FrameError::Length(length)));
        assert!(!inbox.has_whole_frame());
    }
    assert_eq!(frame_bytes(&(REQUEST_BYTES_MAX as i32).to_be_bytes()), Ok(Some(REQUEST_BYTES_MAX + 4)));
}

#[test]
fn frames_before_a_bad_length_are_still_whole() {
    let mut stream = frame(3, 0);
    stream.extend((-5i32).to_be_bytes());
    let (buffers, mut inbox) = (Rc::new(Buffers::new()), Inbox::default());
    let mut peer = Peer { stream: &stream, piece: usize::MAX };
    assert!(inbox.poll_read(&buffers, |space| peer.read(space)).is_ready());
    let (frames, bytes) = inbox.whole_frames(9).unwrap().unwrap();
    assert_eq!((frames.len(), bytes), (1, 7));
    inbox.consume(bytes);
    assert_eq!(inbox.whole_frames(1).err(), Some(FrameError::Length(-5)));
}

#[test]
fn steady_large_frames_are_read_in_place_into_the_same_memory() {
    let (buffers, mut inbox) = (Rc::new(Buffers::new()), Inbox::default());
    let stream: Vec<u8> = (0..50).flat_map(|i| frame(256 * 1024, i)).collect();
    let mut addresses = std::collections::BTreeSet::new();
    let mut peer = Peer { stream: &stream, piece: usize::MAX };
    let mut frames = 0;
    while inbox.poll_read(&buffers, |space| peer.read(space)).is_ready() {
        if let Some((whole, bytes)) = inbox.whole_frames(8).unwrap() {
            frames += whole.len();
            addresses.insert(whole.clone().next().unwrap().as_ptr() as usize);
            inbox.consume(bytes);
        }
        inbox.settle(&buffers);
    }
    assert_eq!(frames, 50);
    assert!(addresses.len() <= 3, "{} places for 50 frames", addresses.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_cut_of_any_frames(lens in proptest::collection::vec(0usize..400_000, 1..8), piece in 3_000usize..500_000, frames_max in 1usize..4) {
        let stream: Vec<u8> = lens.iter().enumerate().flat_map(|(i, &len)| frame(len, i as u8)).collect();
        let (buffers, mut inbox) = (Rc::new(Buffers::new()), Inbox::default());
        let frames = receive(&mut inbox, &buffers, &mut Peer { stream: &stream, piece }, frames_max);
        prop_assert_eq!(frames.len(), lens.len());
        for (i, received) in frames.iter().enumerate() {
            prop_assert!(*received == frame(lens[i], i as u8)[4..]);
        }
        prop_assert_eq!(inbox.held_bytes(), 0);
    }
}
