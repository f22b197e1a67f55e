//! A latency histogram at rest: the text that stands in a report, an interval log or a message between threads.
//!
//! Pure. Invariants: unpacking gives back every count; distributions are merged by adding counts, and percentiles are never averaged.
//! The text is HdrHistogram's V2 encoding, deflated, in base64: what HistogramLogAnalyzer and the libraries of other languages read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::statistics::Latencies;

/// See the module. Nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Distribution(pub String);

/// A text that is no histogram.
#[derive(Debug, thiserror::Error)]
#[error("expected a histogram (HdrHistogram V2, deflated, base64): {why}")]
pub struct NotAHistogram {
    why: String,
}

impl Distribution {
    /// Empty latencies are an empty text.
    pub fn of(latencies: &Latencies) -> Distribution {
        if latencies.0.is_empty() {
            return Distribution::default();
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&latencies.0, &mut bytes).expect("a histogram of our bounds, into memory");
        Distribution(STANDARD.encode(bytes))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// The text came from elsewhere and is no histogram.
    pub fn unpack(&self) -> Result<Latencies, NotAHistogram> {
        let not_one = |why: String| NotAHistogram { why };
        let mut latencies = Latencies::default();
        if !self.is_empty() {
            let bytes = STANDARD.decode(&self.0).map_err(|error| not_one(error.to_string()))?;
            let read = Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| not_one(error.to_string()))?;
            latencies.0.add(read).map_err(|error| not_one(error.to_string()))?;
        }
        Ok(latencies)
    }

    /// All of them in one.
    ///
    /// # Errors
    /// As [`Distribution::unpack`].
    pub fn merged<'a>(distributions: impl IntoIterator<Item = &'a Distribution>) -> Result<Latencies, NotAHistogram> {
        let mut sum = Latencies::default();
        for distribution in distributions {
            sum.add(&distribution.unpack()?);
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(values: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        values.into_iter().for_each(|value| latencies.record(value, 1));
        latencies
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let before = latencies((1..20_000).map(|value| value * value));
        let packed = Distribution::of(&before);
        assert!(packed.0.starts_with("HIST"), "the cookie that readers of interval logs look for: {:.8}", packed.0);
        assert_eq!(packed.unpack().expect("ours").0, before.0);
        assert_eq!(Distribution::of(&Latencies::default()).unpack().expect("empty").0.len(), 0);
    }

    #[test]
    fn merging_adds_counts() {
        let (fast, slow) = (latencies([1_000; 99]), latencies([1_000_000; 1]));
        let both = Distribution::merged([&Distribution::of(&fast), &Distribution::of(&slow)]).expect("ours");
        assert_eq!(both.0.len(), 100);
        assert!(both.0.equivalent(both.0.value_at_quantile(0.99), 1_000) && both.0.equivalent(both.0.max(), 1_000_000));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["no base64!", "AAAA", "SElTVA=="] {
            assert!(Distribution(text.into()).unpack().is_err(), "{text}");
        }
    }
}
