//! One zstd frame, unpacked step by step with a context that the thread keeps.
//!
//! Why not the crate's own reader: a new context costs 10 µs, which for a batch of a few records is all of its cost.
//!
//! Invariant: between batches a thread keeps one context of at most `KEPT_CONTEXT_BYTES_MAX`.

use std::cell::Cell;

use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::compression::DecompressError;

/// A frame with a window of 128 MiB (zstd's own bound for decoders, and the Java client's; RFC 8878, 3.1.1.1.2) grows the context
/// that reads it; one of level 3 stays below this.
const KEPT_CONTEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

thread_local! {
    static KEPT_CONTEXT: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

/// Reads the frame at the start of some bytes.
pub(super) struct ZstdReader<'a> {
    /// `Some` until it is dropped.
    context: Option<DCtx<'static>>,
    rest: &'a [u8],
    ended: bool,
}

impl<'a> ZstdReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<ZstdReader<'a>, DecompressError> {
        let kept = KEPT_CONTEXT.take();
        let context = kept.or_else(DCtx::try_create).ok_or_else(|| DecompressError::corrupt("no memory to unpack zstd"))?;
        Ok(ZstdReader { context: Some(context), rest: bytes, ended: false })
    }

    /// Fills some of `buffer`, which is not empty; 0 at the end of the frame.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DecompressError> {
        let Some(context) = &mut self.context else { return Ok(0) };
        while !self.ended {
            let mut input = InBuffer::around(self.rest);
            let mut output = OutBuffer::around(&mut *buffer);
            let hint = context.decompress_stream(&mut output, &mut input);
            let hint = hint.map_err(|code| DecompressError::corrupt(get_error_name(code)))?;
            let (consumed, produced) = (input.pos(), output.pos());
            self.rest = &self.rest[consumed..];
            self.ended = hint == 0;
            if produced > 0 {
                return Ok(produced);
            }
            if consumed == 0 && !self.ended {
                return Err(DecompressError::corrupt("the zstd frame ends early"));
            }
        }
        Ok(0)
    }

    /// What follows the frame.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl Drop for ZstdReader<'_> {
    fn drop(&mut self) {
        if let Some(mut context) = self.context.take()
            && context.sizeof() <= KEPT_CONTEXT_BYTES_MAX
            && context.reset(ResetDirective::SessionAndParameters).is_ok()
        {
            KEPT_CONTEXT.set(Some(context));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::compression::{Codec, compress, decompress};
    use std::io::Write;
    use zstd::zstd_safe::CParameter;

    #[test]
    fn a_context_is_clean_after_a_broken_frame_and_dropped_after_a_large_one() {
        let good = compress(Codec::Zstd, b"records");
        for _ in 0..3 {
            assert!(decompress(Codec::Zstd, &good[..good.len() - 1], 100).is_err());
            assert!(decompress(Codec::Zstd, &[0xff; 50], 100).is_err());
            assert_eq!(decompress(Codec::Zstd, &good, 100).unwrap(), b"records");
        }
        let noise: Vec<u8> = (0..3_000_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_parameter(CParameter::WindowLog(24)).unwrap();
        encoder.write_all(&noise).unwrap();
        let large = encoder.finish().unwrap();
        assert_eq!(decompress(Codec::Zstd, &large, noise.len()).unwrap().len(), noise.len());
        assert!(KEPT_CONTEXT.take().is_none(), "a context with a window of 16 MiB was kept");
        assert_eq!(decompress(Codec::Zstd, &good, 100).unwrap(), b"records");
        assert!(KEPT_CONTEXT.take().is_some());
    }
}
