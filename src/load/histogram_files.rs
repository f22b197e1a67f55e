//! Latency distributions as `.hgrm` files, the text that HdrHistogram's plotters read.
//!
//! Lives on the main thread.

use std::path::Path;

use super::distribution::Distribution;
use super::outcome::{Role, RunOutcome};
use super::statistics::Latencies;
use crate::base::hgrm::percentile_distribution;
use crate::io::directory;

/// Writes `ROLE.hgrm` for each role that had traffic, from the intended send, over all brokers, steps and repetitions.
///
/// # Errors
/// The directory or a file cannot be written.
pub fn write_all(folder: &Path, outcome: &RunOutcome) -> std::io::Result<()> {
    directory::create_all(folder)?;
    let steps = || outcome.repetitions.iter().flat_map(|repetition| &repetition.steps);
    for role in Role::ALL {
        let flows = steps().flat_map(|step| &step.flows).filter(|flow| flow.role == role);
        let latencies = Distribution::merged(flows.map(|flow| &flow.from_intended)).map_err(std::io::Error::other)?;
        if !latencies.0.is_empty() {
            write(&folder.join(format!("{}.hgrm", role.name())), &latencies)?;
        }
    }
    Ok(())
}

fn write(path: &Path, latencies: &Latencies) -> std::io::Result<()> {
    directory::replace_atomically(path, percentile_distribution(&latencies.0).as_bytes(), false)
}
