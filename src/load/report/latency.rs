//! Latencies as the few numbers that tables hold, and as the curve that plots show.
//!
//! Pure. Histograms hold nanoseconds, everything here microseconds or seconds by its name.

use pagewire_plot::spread::Spread;
use serde::{Deserialize, Serialize};

use crate::load::statistics::Latencies;

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Values that were recorded.
    pub count: u64,
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

impl LatencySummary {
    /// `None` if nothing was recorded.
    pub fn of(latencies: &Latencies) -> Option<LatencySummary> {
        let histogram = &latencies.0;
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Some(LatencySummary {
            count: histogram.len(),
            min: histogram.min() as f64 / 1000.0,
            mean: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max() as f64 / 1000.0,
        })
    }

    /// What tables show, by name, in their order.
    pub fn columns(&self) -> [(&'static str, f64); 6] {
        [("p50", self.p50), ("p90", self.p90), ("p99", self.p99), ("p99.9", self.p99_9), ("p99.99", self.p99_99), ("max", self.max)]
    }
}

/// The columns of several runs, each with its spread.
pub fn spreads(runs: &[LatencySummary]) -> Vec<(&'static str, Spread)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let column = |(number, (name, _)): (usize, (&'static str, f64))| {
        let spread = Spread::of(runs.iter().map(|run| run.columns()[number].1))?;
        Some((name, spread))
    };
    first.columns().into_iter().enumerate().filter_map(column).collect()
}

/// Steps per halving of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 10;

/// Fractions and latencies in seconds, rising. The largest value stands at the last fraction that so many values can tell.
pub fn curve(latencies: &Latencies) -> Vec<(f64, f64)> {
    let histogram = &latencies.0;
    if histogram.is_empty() {
        return Vec::new();
    }
    let last = 1.0 - 1.0 / histogram.len() as f64;
    let steps = histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE).filter(|step| step.quantile_iterated_to() < last);
    let point = |quantile: f64, value_ns: u64| (quantile, value_ns as f64 / 1e9);
    let mut curve = vec![point(0.0, histogram.min())];
    curve.extend(steps.map(|step| point(step.quantile_iterated_to(), step.value_iterated_to())).filter(|point| point.0 > 0.0));
    curve.push(point(last, histogram.max()));
    curve
}

/// At each fraction of `at`, the least and the most of several runs, in seconds; nothing of fewer than two.
pub fn band(runs: &[Latencies], at: &[(f64, f64)]) -> Vec<(f64, f64, f64)> {
    let measured: Vec<&Latencies> = runs.iter().filter(|run| !run.0.is_empty()).collect();
    if measured.len() < 2 {
        return Vec::new();
    }
    let values = |quantile: f64| Spread::of(measured.iter().map(|run| run.0.value_at_quantile(quantile) as f64 / 1e9));
    at.iter().filter_map(|point| values(point.0).map(|spread| (point.0, spread.least, spread.most))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(values_ns: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        values_ns.into_iter().for_each(|value| latencies.record(value, 1));
        latencies
    }

    #[test]
    fn a_curve_rises_to_the_largest_value() {
        let curve = curve(&latencies((1..=10_000).map(|value| value * 1000)));
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{curve:?}");
        // Values from 1 µs to 10 ms at even distances: half of the way is half of the values.
        assert!(curve.iter().all(|point| (point.1 - 1e-2 * point.0).abs() < 2e-5), "{curve:?}");
        let (first, last) = (curve[0], curve[curve.len() - 1]);
        assert!(first.0 == 0.0 && (last.0 - 0.9999).abs() < 1e-9 && (last.1 - 1e-2).abs() < 1e-4, "{first:?} {last:?}");
    }

    #[test]
    fn one_value_and_none_have_a_curve() {
        assert_eq!(curve(&Latencies::default()), []);
        let one = curve(&latencies([5_000]));
        assert!(one.iter().all(|point| point.0 == 0.0), "{one:?}");
        assert_eq!(LatencySummary::of(&Latencies::default()), None);
        assert_eq!(LatencySummary::of(&latencies([u64::MAX])).map(|summary| summary.count), Some(1));
    }

    #[test]
    fn a_band_needs_two_runs() {
        let (fast, slow) = (latencies([10_000; 100]), latencies([30_000; 100]));
        assert_eq!(band(&[fast.clone(), Latencies::default()], &[(0.5, 0.0)]), []);
        let both = band(&[fast, slow], &[(0.5, 0.0)]);
        assert!((both[0].1 - 1e-5).abs() < 1e-7 && (both[0].2 - 3e-5).abs() < 1e-7, "{both:?}");
    }
}
