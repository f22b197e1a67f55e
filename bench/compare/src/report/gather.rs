//! From the runs to what is written down of them.

use std::time::{SystemTime, UNIX_EPOCH};

use super::comparison::{Comparison, Figure, Runs, Verdict};
use super::machine::Machine;
use crate::bars;
use crate::sample::{Figure as Measured, Results};

/// As of now, on this machine.
pub fn comparison(results: &Results) -> Comparison {
    let mut runs = Vec::new();
    for (row, contestants) in results.rows() {
        let shown = results.figures(row);
        for (contestant, samples) in contestants {
            let figure = |figure: &Measured| {
                let spread = results.figure(row, *contestant, *figure)?;
                Some(Figure { title: figure.title().into(), spread })
            };
            runs.push(Runs {
                row: row.name().into(),
                title: row.title().into(),
                contestant: contestant.name().into(),
                // Numbers under constant names.
                runs: samples.iter().map(|sample| serde_json::to_value(sample).expect("plain data")).collect(),
                figures: shown.iter().filter_map(figure).collect(),
            });
        }
    }
    let judged = bars::verdicts(results).into_iter().map(|verdict| Verdict {
        row: verdict.bar.row.name().into(),
        figure: verdict.bar.figure.title().into(),
        beside: verdict.beside.name().into(),
        ratio_max: verdict.bar.ratio_max,
        ratio: verdict.ratio,
        is_met: verdict.is_met(),
    });
    let finished_wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let arguments = std::env::args().collect();
    Comparison { finished_wall_ms, arguments, environment: Machine::here(), runs, verdicts: judged.collect() }
}
