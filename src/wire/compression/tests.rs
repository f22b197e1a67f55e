//! Tests of `compression.rs`.

use super::*;
use crate::wire::snappy::compress_xerial;

fn sample() -> Vec<u8> {
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let mut bytes: Vec<u8> = noise.take(70_000).collect();
    bytes.extend_from_slice(&[b'z'; 200_000]);
    bytes
}

fn packed(codec: Codec, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![compress(codec, bytes)];
    match codec {
        Codec::Gzip => forms.push([compress(codec, &bytes[..bytes.len() / 2]), compress(codec, &bytes[bytes.len() / 2..])].concat()),
        Codec::Zstd => {
            forms.push([compress(codec, &bytes[..bytes.len() / 2]), compress(codec, &bytes[bytes.len() / 2..])].concat());
            forms.push(zstd::bulk::compress(bytes, 1).unwrap());
            // The largest window; slow to pack, so only once.
            if bytes.len() == 270_000 {
                forms.push(zstd::stream::encode_all(bytes, 22).unwrap());
            }
        }
        Codec::Snappy => {
            forms.push(compress_xerial(bytes));
            forms.push([compress_xerial(&bytes[..bytes.len() / 2]), compress_xerial(&bytes[bytes.len() / 2..])].concat());
        }
        Codec::Lz4 => {
            for (block_checksums, content_checksum) in [(true, false), (false, true), (true, true)] {
                for block_size in [BlockSize::Max64KB, BlockSize::Max4MB] {
                    let info = FrameInfo::new()
                        .block_mode(BlockMode::Independent)
                        .block_size(block_size)
                        .block_checksums(block_checksums)
                        .content_checksum(content_checksum);
                    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                    encoder.write_all(bytes).unwrap();
                    forms.push(encoder.finish().unwrap());
                }
            }
        }
        Codec::None => {}
    }
    forms
}

#[test]
fn every_codec_gives_back_what_was_packed() {
    for bytes in [sample(), vec![], vec![1], vec![0; 1_000_000]] {
        for codec in Codec::ALL {
            for (form, packed) in packed(codec, &bytes).iter().enumerate() {
                assert!(decompress(codec, packed, bytes.len()).unwrap() == bytes, "{codec:?} form {form}");
            }
        }
    }
}

#[test]
fn no_codec_yields_more_than_its_limit() {
    let bytes = vec![0; 1_000_000];
    for codec in Codec::ALL {
        for packed in packed(codec, &bytes) {
            for limit in [0, 1, 65_536, 999_999] {
                assert!(matches!(decompress(codec, &packed, limit), Err(DecompressError::TooLarge { .. })), "{codec:?} {limit}");
            }
        }
    }
}

#[test]
fn cut_data_is_corrupt_and_never_a_shorter_result() {
    let bytes = sample();
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy] {
        let packed = compress(codec, &bytes);
        for cut in (0..packed.len()).step_by(997).chain(packed.len() - 10..packed.len()) {
            let result = decompress(codec, &packed[..cut], bytes.len());
            // Nothing at all is nothing for snappy: no block. A batch has records, so that is found by counting.
            let empty = cut == 0 && codec == Codec::Snappy;
            assert!(matches!(result, Err(DecompressError::Corrupt(_))) || empty, "{codec:?} cut to {cut}");
        }
    }
}

#[test]
fn bytes_behind_the_end_are_corrupt() {
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let packed = [compress(codec, b"records"), vec![1, 2, 3, 4, 5]].concat();
        assert!(matches!(decompress(codec, &packed, 100), Err(DecompressError::Corrupt(_))), "{codec:?}");
    }
}

#[test]
fn thousands_of_empty_frames_are_refused() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let packed = compress(codec, &[]).repeat(COMPRESSED_FRAMES_MAX + 1);
        assert!(matches!(decompress(codec, &packed, 100), Err(DecompressError::Corrupt(_))), "{codec:?}");
        let packed = compress(codec, &[]).repeat(COMPRESSED_FRAMES_MAX);
        assert_eq!(decompress(codec, &packed, 100), Ok(vec![]), "{codec:?}");
    }
}

#[test]
fn a_snappy_block_that_promises_too_much_gets_no_memory() {
    let promise = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    assert!(matches!(decompress(Codec::Snappy, &promise, usize::MAX), Err(DecompressError::Corrupt(_))));
}
