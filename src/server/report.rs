//! Histograms and counters for people: a table on SIGUSR1 and at the end, `.hgrm` files beside it.

use std::path::PathBuf;

use crate::base::hgrm::percentile_distribution;
use crate::control::thread;
use crate::io::directory;
use crate::shard::CounterValues;
use crate::shard::histograms::{Stage, StageSnapshot, table};

pub(super) struct Reports {
    directory: Option<PathBuf>,
}

impl Reports {
    pub(super) fn new(directory: Option<PathBuf>) -> Reports {
        Reports { directory }
    }

    /// One `core-N-STAGE.hgrm` for every stage that saw anything, replaced each time.
    fn write(&self, directory: &std::path::Path, snapshots: &[StageSnapshot]) -> std::io::Result<()> {
        directory::create_all(directory)?;
        for snapshot in snapshots {
            for (stage, histogram) in Stage::ALL.iter().zip(&snapshot.stages).filter(|(_, histogram)| !histogram.is_empty()) {
                let path = directory.join(format!("core-{}-{}.hgrm", snapshot.core, stage.name()));
                directory::replace_atomically(&path, percentile_distribution(histogram).as_bytes(), false)?;
            }
        }
        Ok(())
    }
}

impl thread::Reports for Reports {
    fn histograms(&self, snapshots: &[StageSnapshot], counters: &[CounterValues]) {
        // A broker that nobody asked anything has nothing to show.
        if snapshots.iter().any(|snapshot| snapshot.stages.iter().any(|stage| !stage.is_empty())) {
            eprint!("{}{}", table(snapshots), counter_table(counters));
        }
        if let Some(directory) = &self.directory
            && let Err(error) = self.write(directory, snapshots)
        {
            tracing::error!("cannot write histograms to {}: {error}", directory.display());
        }
    }
}

/// A row per counter that is not zero everywhere, a column per core.
fn counter_table(cores: &[CounterValues]) -> String {
    let mut text = format!("{:<28}", "counter");
    (0..cores.len()).for_each(|core| text += &format!(" {:>16}", format!("core-{core}")));
    text.push('\n');
    let Some(names) = cores.first() else { return text };
    for (row, (name, _)) in names.iter().enumerate() {
        let values: Vec<u64> = cores.iter().map(|core| core[row].1).collect();
        if values.iter().any(|value| *value > 0) {
            text += &format!("{name:<28}");
            values.iter().for_each(|value| text += &format!(" {value:>16}"));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_in_columns_and_zeros_are_left_out() {
        let text = counter_table(&[vec![("a", 1), ("b", 0)], vec![("a", 2), ("b", 0)]]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).unwrap().split_whitespace().eq(["a", "1", "2"]));
    }
}
