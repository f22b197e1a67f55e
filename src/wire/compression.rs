//! The compression codecs of a record batch, behind one bounded reader.
//!
//! What producers send, and all of it is read: gzip (also several members), snappy as one raw block (librdkafka) or in the xerial
//! framing (Java, Python), one LZ4 frame of independent blocks (with or without checksums), zstd (also several frames).
//!
//! Invariants: a `Decompressor` never yields more than its limit, and before it knows that the bytes are good it holds no more
//! than a window of the codec (at most 128 MiB reserved and only as much touched as was yielded) or one block.

use std::io::{Read, Write};

use flate2::bufread::GzDecoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use thiserror::Error;

use super::lz4_frame;
use super::snappy::SnappyReader;
use super::zstd_frame::ZstdReader;

/// Gzip members or zstd frames in one batch. Producers send one; each costs the reader a new state.
pub const COMPRESSED_FRAMES_MAX: usize = 64;

/// The codec in the low three bits of a batch's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    /// KIP-110.
    Zstd = 4,
}

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec with this number in the attributes.
    ///
    /// # Errors
    /// The number, when Kafka gives it no meaning (5 to 7).
    pub fn from_id(id: u8) -> Result<Codec, u8> {
        Codec::ALL.get(usize::from(id)).copied().ok_or(id)
    }

    /// Kafka's name of the codec, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// The codec of this name, or `None`.
    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// How many bytes of output one byte of input may cost in time, when a peer chose the input to be slow: gzip and zstd can
    /// start a new block, with new tables to build, every few bytes.
    pub(super) fn input_cost(self) -> usize {
        match self {
            Codec::Gzip | Codec::Zstd => 16,
            Codec::None | Codec::Snappy | Codec::Lz4 => 1,
        }
    }
}

/// Why bytes could not be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecompressError {
    #[error("more than {limit} bytes come out")]
    TooLarge { limit: usize },
    #[error("{0}")]
    Corrupt(String),
}

impl DecompressError {
    pub(super) fn corrupt(reason: impl ToString) -> DecompressError {
        DecompressError::Corrupt(reason.to_string())
    }
}

/// Unpacks a batch's records piece by piece.
pub struct Decompressor<'a> {
    state: State<'a>,
    limit: usize,
    produced: usize,
    frames: usize,
}

enum State<'a> {
    Plain(&'a [u8]),
    Gzip(GzDecoder<&'a [u8]>),
    Snappy(SnappyReader<'a>),
    Lz4(FrameDecoder<&'a [u8]>),
    Zstd(ZstdReader<'a>),
    Done,
}

impl<'a> Decompressor<'a> {
    /// Yields at most `limit` bytes of what `bytes` hold; the read that would pass it fails.
    pub fn new(codec: Codec, bytes: &'a [u8], limit: usize) -> Result<Decompressor<'a>, DecompressError> {
        let state = match codec {
            Codec::None => State::Plain(bytes),
            Codec::Gzip => State::Gzip(GzDecoder::new(bytes)),
            Codec::Snappy => State::Snappy(SnappyReader::new(bytes)),
            Codec::Lz4 => {
                lz4_frame::check(bytes)?;
                State::Lz4(FrameDecoder::new(bytes))
            }
            Codec::Zstd => State::Zstd(ZstdReader::new(bytes)?),
        };
        Ok(Decompressor { state, limit, produced: 0, frames: 1 })
    }

    /// Fills some of `buffer`; 0 means that the data ended as it should.
    ///
    /// # Errors
    /// Damaged or incomplete data, and output beyond the limit.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DecompressError> {
        while !buffer.is_empty() {
            let produced = match &mut self.state {
                State::Plain(bytes) => bytes.read(buffer).map_err(DecompressError::corrupt)?,
                State::Gzip(decoder) => decoder.read(buffer).map_err(DecompressError::corrupt)?,
                State::Snappy(decoder) => decoder.read(buffer, self.limit - self.produced)?,
                State::Lz4(decoder) => decoder.read(buffer).map_err(DecompressError::corrupt)?,
                State::Zstd(decoder) => decoder.read(buffer)?,
                State::Done => 0,
            };
            if produced > self.limit - self.produced {
                return Err(DecompressError::TooLarge { limit: self.limit });
            }
            self.produced += produced;
            if produced > 0 {
                return Ok(produced);
            }
            if self.at_end()? {
                return Ok(0);
            }
        }
        Ok(0)
    }

    /// The decoder has reached the end of a frame: goes on to the next one, or says that there is none.
    fn at_end(&mut self) -> Result<bool, DecompressError> {
        let rest = match std::mem::replace(&mut self.state, State::Done) {
            State::Gzip(decoder) => decoder.into_inner(),
            State::Zstd(decoder) => decoder.rest(),
            // lz4_flex also says "end" at an empty block in the middle.
            State::Lz4(decoder) if !decoder.get_ref().is_empty() => {
                return Err(DecompressError::corrupt("an empty block stands before the end of the LZ4 frame"));
            }
            State::Plain(_) | State::Snappy(_) | State::Lz4(_) | State::Done => return Ok(true),
        };
        if rest.is_empty() {
            return Ok(true);
        }
        self.frames += 1;
        if self.frames > COMPRESSED_FRAMES_MAX {
            return Err(DecompressError::Corrupt(format!("more than {COMPRESSED_FRAMES_MAX} compressed frames in one batch")));
        }
        self.state = if rest.starts_with(&GZIP_MAGIC) { State::Gzip(GzDecoder::new(rest)) } else { State::Zstd(ZstdReader::new(rest)?) };
        Ok(false)
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Unpacks all of `bytes`, up to `limit` bytes.
pub fn decompress(codec: Codec, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
    const STEP_BYTES: usize = 64 * 1024;
    let mut decompressor = Decompressor::new(codec, bytes, limit)?;
    let mut unpacked = Vec::new();
    loop {
        let end = unpacked.len();
        unpacked.resize(end + STEP_BYTES, 0);
        let came = decompressor.read(&mut unpacked[end..])?;
        unpacked.truncate(end + came);
        if came == 0 {
            return Ok(unpacked);
        }
    }
}

/// Packs `bytes`, as librdkafka would: snappy as one raw block, LZ4 in independent blocks of 64 KiB, zstd at level 3.
pub fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    const TO_MEMORY: &str = "packing from memory to memory cannot fail";
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).expect(TO_MEMORY);
            encoder.finish().expect(TO_MEMORY)
        }
        Codec::Snappy => snap::raw::Encoder::new().compress_vec(bytes).expect("a batch is far below snappy's 4 GiB"),
        Codec::Lz4 => {
            let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(bytes).expect(TO_MEMORY);
            encoder.finish().expect(TO_MEMORY)
        }
        Codec::Zstd => zstd::stream::encode_all(bytes, 3).expect(TO_MEMORY),
    }
}

#[cfg(test)]
mod tests;
