//! What stands in a message after its fields. How well it compresses decides what a codec test measures.
//!
//! Pure and repeatable: the same sequence number gives the same bytes.

/// What the filler looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FillerKind {
    /// Words drawn at random: compresses to about a third to a half, as logs and JSON do.
    Text,
    /// Compresses not at all.
    Random,
    /// Compresses to nearly nothing.
    Zeros,
}

/// Bytes of filler prepared ahead; messages take windows of it.
const POOL_BYTES: usize = 1 << 20;
/// Windows of consecutive messages start this far apart: an odd number, so that all starts come up.
const WINDOW_STEP: u64 = 4099;

const WORDS: [&str; 24] = [
    "offset",
    "partition",
    "broker",
    "12",
    "user",
    "9071",
    "click",
    "order",
    "paid",
    "eu-west",
    "null",
    "true",
    "latency",
    "0x7f",
    "item",
    "cart",
    "session",
    "3.14",
    "error",
    "retry",
    "warehouse",
    "ship",
    "id=",
    "\",\"",
];

/// A prepared pool of filler for messages of one size; clones share it.
#[derive(Clone, Debug)]
pub struct Filler {
    pool: std::rc::Rc<[u8]>,
    length: usize,
}

impl Filler {
    /// `length`: bytes of filler in each message.
    pub fn new(kind: FillerKind, length: usize) -> Filler {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        // xorshift64*: good enough for bytes that must not compress.
        let mut next = move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d)
        };
        let pool_bytes = POOL_BYTES + length;
        let mut pool = Vec::with_capacity(pool_bytes + 64);
        while pool.len() < pool_bytes {
            match kind {
                FillerKind::Zeros => pool.resize(pool_bytes, 0),
                FillerKind::Random => pool.extend_from_slice(&next().to_le_bytes()),
                FillerKind::Text => {
                    let draw = next();
                    pool.extend_from_slice(WORDS[(draw >> 32) as usize % WORDS.len()].as_bytes());
                    if draw & 3 == 0 {
                        pool.extend_from_slice(format!("{:06}", draw >> 40 & 0xf_ffff).as_bytes());
                    }
                    pool.push(b' ');
                }
            }
        }
        Filler { pool: pool.into(), length }
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// The filler of this message.
    pub fn bytes(&self, sequence: u64) -> &[u8] {
        let start = (sequence.wrapping_mul(WINDOW_STEP) % POOL_BYTES as u64) as usize;
        &self.pool[start..start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed_share(kind: FillerKind) -> f64 {
        let filler = Filler::new(kind, 1000);
        let plain: Vec<u8> = (0..100).flat_map(|sequence| filler.bytes(sequence).to_vec()).collect();
        let packed = zstd::encode_all(&plain[..], 3).expect("compresses");
        packed.len() as f64 / plain.len() as f64
    }

    #[test]
    fn filler_compresses_as_promised() {
        assert!(compressed_share(FillerKind::Zeros) < 0.01);
        assert!(compressed_share(FillerKind::Random) > 0.99);
        let text = compressed_share(FillerKind::Text);
        assert!((0.25..0.55).contains(&text), "{text}");
    }

    #[test]
    fn any_length_is_served_and_repeats() {
        for length in [0, 1, POOL_BYTES, 5 * POOL_BYTES] {
            let filler = Filler::new(FillerKind::Text, length);
            assert_eq!(filler.bytes(u64::MAX).len(), length);
            assert_eq!(filler.bytes(77), Filler::new(FillerKind::Text, length).bytes(77));
        }
    }
}
