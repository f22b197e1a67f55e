//! Snappy as Kafka's clients send it: one raw block, or the framing of the xerial library.
//!
//! | xerial framing | bytes |
//! |---|---|
//! | `82 53 4e 41 50 50 59 00` (`\x82SNAPPY\0`) | 8 |
//! | version i32, oldest compatible version i32, both 1 | 8 |
//! | blocks: length i32 big-endian, then a raw block of that many bytes | |
//!
//! Invariant: a block is unpacked only when its own header promises no more than is still allowed and no more than its bytes can hold.

use super::compression::DecompressError;

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_BYTES: usize = 16;
/// No element of a block yields more for each of its bytes: a copy of 64 bytes takes 3.
const EXPANSION_MAX: usize = 22;

/// Unpacks block by block.
pub(super) struct SnappyReader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    read: usize,
}

impl<'a> SnappyReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> SnappyReader<'a> {
        SnappyReader { rest: bytes, framed: bytes.starts_with(&XERIAL_MAGIC), block: Vec::new(), read: 0 }
    }

    /// Fills some of `buffer`; 0 at the end. `allowed`: how many more bytes may come out at all.
    pub(super) fn read(&mut self, buffer: &mut [u8], allowed: usize) -> Result<usize, DecompressError> {
        while self.read == self.block.len() {
            match self.next_block()? {
                Some(block) => self.unpack(block, allowed)?,
                None => return Ok(0),
            }
        }
        let came = buffer.len().min(self.block.len() - self.read);
        buffer[..came].copy_from_slice(&self.block[self.read..self.read + came]);
        self.read += came;
        Ok(came)
    }

    fn next_block(&mut self) -> Result<Option<&'a [u8]>, DecompressError> {
        if !self.framed {
            let block = std::mem::take(&mut self.rest);
            return Ok((!block.is_empty()).then_some(block));
        }
        // The library writes its header again where streams were concatenated.
        while self.rest.starts_with(&XERIAL_MAGIC) {
            self.rest = self.rest.get(XERIAL_HEADER_BYTES..).ok_or_else(ended)?;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or_else(ended)?;
        let length =
            usize::try_from(i32::from_be_bytes(*length)).map_err(|_| DecompressError::corrupt("a snappy block has a negative length"))?;
        let (block, rest) = rest.split_at_checked(length).ok_or_else(ended)?;
        self.rest = rest;
        Ok(Some(block))
    }

    fn unpack(&mut self, block: &[u8], allowed: usize) -> Result<(), DecompressError> {
        let length = snap::raw::decompress_len(block).map_err(DecompressError::corrupt)?;
        if length / EXPANSION_MAX > block.len() {
            return Err(DecompressError::corrupt("a snappy block promises more than its bytes can hold"));
        }
        if length > allowed {
            return Err(DecompressError::TooLarge { limit: allowed });
        }
        self.block.resize(length, 0);
        self.read = 0;
        snap::raw::Decoder::new().decompress(block, &mut self.block).map_err(DecompressError::corrupt)?;
        Ok(())
    }
}

fn ended() -> DecompressError {
    DecompressError::corrupt("the snappy data ends early")
}

/// Packs in the xerial framing, in blocks of 32 KiB as the Java client does.
pub fn compress_xerial(bytes: &[u8]) -> Vec<u8> {
    const BLOCK_BYTES: usize = 32 * 1024;
    let mut packed = XERIAL_MAGIC.to_vec();
    packed.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    for block in bytes.chunks(BLOCK_BYTES) {
        let block = snap::raw::Encoder::new().compress_vec(block).expect("a block is far below snappy's 4 GiB");
        packed.extend_from_slice(&(block.len() as i32).to_be_bytes());
        packed.extend_from_slice(&block);
    }
    packed
}
