//! HdrHistogram's percentile distribution as text (`.hgrm`), which every HdrHistogram plotter reads.
//!
//! Pure. Columns: value, percentile as a fraction, total count up to it, 1/(1 − percentile).
//! Source of the format: `AbstractHistogram.outputPercentileDistribution` of HdrHistogram.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Steps per halving of the distance to 100 %, HdrHistogram's customary resolution.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Renders `histogram`, whose values are nanoseconds, with values in microseconds.
pub fn percentile_distribution(histogram: &Histogram<u64>) -> String {
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        let percentile = step.quantile_iterated_to();
        let value_us = step.value_iterated_to() as f64 / 1000.0;
        count += step.count_since_last_iteration();
        // Writing to a String cannot fail.
        let _ = if percentile < 1.0 {
            writeln!(text, "{value_us:12.3} {percentile:2.12} {count:10} {:14.2}", 1.0 / (1.0 - percentile))
        } else {
            writeln!(text, "{value_us:12.3} {percentile:2.12} {count:10}")
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12.3}, Total count    = {:12}]\n#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.mean() / 1000.0,
        histogram.stdev() / 1000.0,
        histogram.max() as f64 / 1000.0,
        histogram.len(),
        histogram.buckets(),
        2 * 10u64.pow(u32::from(histogram.sigfig())).next_power_of_two(),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_holds_every_value() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for value_us in 1..=1000u64 {
            histogram.record(value_us * 1000).unwrap();
        }
        let text = percentile_distribution(&histogram);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|l| !l.starts_with('#'))
            .map(|l| l.split_whitespace().map(|f| f.parse().unwrap()).collect())
            .collect();
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2]), (1.0, 1000.0));
        assert!(rows.windows(2).all(|w| w[0][0] <= w[1][0] && w[0][2] <= w[1][2]), "values and counts rise");
        let median = rows.iter().find(|r| r[1] >= 0.5).unwrap();
        assert!((median[0] - 500.0).abs() < 5.0, "{median:?}");
        assert!(text.contains("Total count    =         1000"));
    }
}
