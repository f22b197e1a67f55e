//! From the runs to what is written down of them, and back.

use std::io;

use super::comparison::{Comparison, Figure, Run, Runs, Verdict};
use super::measured::Measured;
use crate::bars;
use crate::contestant::Contestant;
use crate::sample::{Figure as Measure, Results};
use crate::work::Row;

/// Everything that is written down of it.
pub fn comparison(measured: &Measured) -> Comparison {
    let results = &measured.results;
    let mut runs = Vec::new();
    for (row, contestants) in results.rows() {
        let shown = results.figures(row);
        for (contestant, turns) in contestants {
            let figure = |figure: &Measure| {
                let spread = results.figure(row, *contestant, *figure)?;
                Some(Figure { title: figure.title().into(), spread })
            };
            runs.push(Runs {
                row: row.name().into(),
                title: row.title().into(),
                contestant: contestant.name().into(),
                program: turns.program.clone(),
                runs: turns.samples.iter().map(|(turn, sample)| Run { turn: *turn, sample: *sample }).collect(),
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
    Comparison {
        finished_wall_ms: measured.finished_wall_ms,
        arguments: measured.arguments.clone(),
        environment: measured.environment.clone(),
        size: measured.size,
        runs,
        verdicts: judged.collect(),
    }
}

/// What was measured, from what was written down of it: figures and verdicts follow from the runs.
///
/// # Errors
/// It names a row or a contestant that does not exist, one and the same run twice, or a turn 0.
pub fn measured(comparison: Comparison) -> io::Result<Measured> {
    let mut results = Results::default();
    for Runs { row, contestant, program, runs, .. } in comparison.runs {
        let row = Row::named(&row)?;
        let contestant = Contestant::named(&contestant)?;
        for Run { turn, sample } in runs {
            if turn == 0 || results.has(row, contestant, turn) {
                let whose = format!("turn {turn} of {} in row {}", contestant.name(), row.name());
                return Err(io::Error::other(format!("{whose} is there twice, or not counted from 1")));
            }
            results.add(row, contestant, turn, &program, sample).map_err(io::Error::other)?;
        }
    }
    Ok(Measured {
        finished_wall_ms: comparison.finished_wall_ms,
        arguments: comparison.arguments,
        environment: comparison.environment,
        size: comparison.size,
        results,
    })
}
