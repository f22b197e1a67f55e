//! Latency distributions as `.hgrm` files, the text that HdrHistogram's plotters read.
//!
//! Lives on the main thread.

use std::path::Path;

use super::statistics::{Latencies, Statistics};
use crate::base::hgrm::percentile_distribution;
use crate::io::directory;

/// Writes `produce.hgrm` and `consume.hgrm`, and one of each per broker.
///
/// # Errors
/// The directory or a file cannot be written.
pub fn write_all(folder: &Path, statistics: &Statistics) -> std::io::Result<()> {
    directory::create_all(folder)?;
    for (name, by_broker) in [("produce", &statistics.produced), ("consume", &statistics.consumed)] {
        let mut all = Latencies::default();
        for (broker, traffic) in by_broker {
            all.add(&traffic.latencies);
            write(&folder.join(format!("{name}-{broker}.hgrm")), &traffic.latencies)?;
        }
        if !by_broker.is_empty() {
            write(&folder.join(format!("{name}.hgrm")), &all)?;
        }
    }
    Ok(())
}

fn write(path: &Path, latencies: &Latencies) -> std::io::Result<()> {
    directory::replace_atomically(path, percentile_distribution(&latencies.0).as_bytes(), false)
}
