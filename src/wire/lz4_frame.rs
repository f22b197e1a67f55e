//! The outer structure of an LZ4 frame, walked block by block without unpacking.
//!
//! Why: `lz4_flex` takes the end of its input for the end of a frame, and reads what Kafka's own clients cannot (dependent
//! blocks, several frames). A batch that only some consumers can read must not be stored.
//!
//! | field | bytes |
//! |---|---|
//! | magic `04 22 4d 18` | 4 |
//! | flags: version (2 bits, 01), independent blocks, block checksums, content size, content checksum, reserved, dictionary | 1 |
//! | block size: 4 to 7 in bits 4 to 6, for 64 KiB to 4 MiB | 1 |
//! | content size, if flagged | 8 |
//! | header checksum | 1 |
//! | blocks: little-endian length, highest bit set if stored, then that many bytes, then a checksum of 4 if flagged | |
//! | a length of 0, then a checksum of the content of 4 if flagged | |
//!
//! Source: LZ4 Frame Format 1.6; what Kafka's clients accept: KIP-57.

use super::compression::DecompressError;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const STORED: u32 = 1 << 31;

/// Checks that `bytes` are exactly one frame, of independent blocks, without a dictionary, none of them too long.
pub(super) fn check(bytes: &[u8]) -> Result<(), DecompressError> {
    let ended = || DecompressError::corrupt("the LZ4 frame ends early");
    let mut rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| DecompressError::corrupt("expected an LZ4 frame's magic number"))?;
    let [flags, block_size] = *rest.split_off(..2).and_then(|two| two.first_chunk()).ok_or_else(ended)?;
    if flags >> 6 != 1 {
        return Err(DecompressError::corrupt("expected version 1 of the LZ4 frame format"));
    }
    if flags & 0b10_0000 == 0 {
        return Err(DecompressError::corrupt("LZ4 blocks depend on each other: expected independent blocks, as Kafka's clients do"));
    }
    if flags & 1 != 0 {
        return Err(DecompressError::corrupt("the LZ4 frame needs a dictionary"));
    }
    let block_bytes_max = match block_size >> 4 & 0b111 {
        size @ 4..=7 => 1u32 << (8 + 2 * size),
        _ => return Err(DecompressError::corrupt("expected an LZ4 block size of 64 KiB to 4 MiB")),
    };
    let block_checksum_bytes = if flags & 0b1_0000 != 0 { 4 } else { 0 };
    let content_size_bytes = if flags & 0b1000 != 0 { 8 } else { 0 };
    let content_checksum_bytes = if flags & 0b100 != 0 { 4 } else { 0 };
    rest.split_off(..content_size_bytes + 1).ok_or_else(ended)?;
    loop {
        let length = u32::from_le_bytes(*rest.split_off(..4).and_then(|four| four.first_chunk()).ok_or_else(ended)?);
        if length == 0 {
            rest.split_off(..content_checksum_bytes).ok_or_else(ended)?;
            break;
        }
        let block_bytes = length & !STORED;
        if block_bytes > block_bytes_max {
            return Err(DecompressError::corrupt("an LZ4 block is longer than its frame allows"));
        }
        rest.split_off(..block_bytes as usize + block_checksum_bytes).ok_or_else(ended)?;
    }
    if rest.is_empty() { Ok(()) } else { Err(DecompressError::corrupt("bytes follow the LZ4 frame")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::compression::{Codec, compress};
    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
    use std::io::Write;

    #[test]
    fn only_whole_single_frames_pass() {
        let good = compress(Codec::Lz4, &[7; 200_000]);
        check(&good).unwrap();
        for cut in 0..good.len() {
            assert!(check(&good[..cut]).is_err(), "{cut}");
        }
        assert!(check(&[&good[..], &[0]].concat()).is_err());
        assert!(check(&[&good[..], &good[..]].concat()).is_err());
    }

    #[test]
    fn checksums_and_content_size_are_stepped_over_and_linked_blocks_refused() {
        let base = FrameInfo::new().block_mode(BlockMode::Independent);
        for (checksums, content, size) in [(false, false, None), (true, false, None), (false, true, Some(300_000)), (true, true, None)] {
            let info = base.clone().block_checksums(checksums).content_checksum(content).content_size(size);
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(&[9; 300_000]).unwrap();
            check(&encoder.finish().unwrap()).unwrap();
        }
        let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().block_mode(BlockMode::Linked), Vec::new());
        encoder.write_all(&[9; 300_000]).unwrap();
        assert!(check(&encoder.finish().unwrap()).unwrap_err().to_string().contains("independent"));
    }
}
