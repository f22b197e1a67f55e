//! The plots of a run.
//!
//! Pure. Distributions of several brokers and repetitions are merged before percentiles are taken.

use std::collections::BTreeSet;

use pagewire_plot::dots::{DotChart, Row};
use pagewire_plot::lines::{Line, LineChart, Mark};
use pagewire_plot::scale::{Axis, Scale};
use pagewire_plot::unit::Unit;

use super::latency::{self, LatencySummary};
use super::summary::{StepSpread, Summary};
use super::text::schedule;
use crate::load::distribution::{Distribution, NotAHistogram};
use crate::load::outcome::{Flow, Interval, Repetition, Role, RunOutcome, Step};
use crate::load::statistics::Latencies;

/// Which latency of a flow.
type Kind = fn(&Flow) -> &Distribution;

/// The role whose latencies stand for the run: producers', where there are any.
pub fn leading_role(outcome: &RunOutcome) -> Option<Role> {
    let roles: BTreeSet<Role> = steps(outcome).flat_map(|step| &step.flows).map(|flow| flow.role).collect();
    roles.into_iter().next()
}

fn steps(outcome: &RunOutcome) -> impl Iterator<Item = &Step> {
    outcome.repetitions.iter().flat_map(|repetition| &repetition.steps)
}

fn latency_axis() -> Axis {
    Axis::new("latency", Unit::Seconds, Scale::Logarithmic)
}

/// What a latency is counted from and to.
fn curve_name(role: Role, is_from_intended: bool) -> String {
    match (role, is_from_intended) {
        (Role::Producer, true) => "intended send to acknowledgement".into(),
        (Role::Producer, false) => "actual send to acknowledgement".into(),
        (Role::TailReader, _) => "end to end: intended send to arrival".into(),
        (role, _) => format!("end to end, {}", role.name().replace('_', " ")),
    }
}

/// Latency by percentile of one step, all repetitions together; a band from the least to the most of single ones.
///
/// # Errors
/// As [`Distribution::unpack`].
pub fn percentiles(outcome: &RunOutcome, step: &StepSpread) -> Result<LineChart, NotAHistogram> {
    let runs: Vec<&Step> = steps(outcome).filter(|run| run.number == step.number).collect();
    let mut lines = Vec::new();
    let kinds: [(bool, Kind); 2] = [(true, |flow| &flow.from_intended), (false, |flow| &flow.from_sent)];
    for (is_from_intended, kind) in kinds {
        for role in &step.roles {
            if !is_from_intended && role.role != Role::Producer {
                continue;
            }
            let of_role = |run: &&Step| Distribution::merged(run.flows.iter().filter(|flow| flow.role == role.role).map(kind));
            let single: Vec<Latencies> = runs.iter().map(of_role).collect::<Result<_, _>>()?;
            let mut all = Latencies::default();
            single.iter().for_each(|latencies| all.add(latencies));
            let points = latency::curve(&all);
            let band = latency::band(&single, &points);
            lines.push(Line { name: curve_name(role.role, is_from_intended), colour: colour(role.role, is_from_intended), points, band });
        }
    }
    lines.sort_by_key(|line| line.colour);
    let several = outcome.repetitions.len() > 1;
    let note = if several { "; bands: least to most of single repetitions" } else { "" };
    let title = format!("Latency by percentile, {}{note}", schedule(&step.schedule));
    let x = Axis::new("percentile", Unit::Fraction, Scale::Percentile);
    Ok(LineChart { title, x, y: latency_axis(), lines, marks: Vec::new() })
}

/// The same line looks the same in every plot.
fn colour(role: Role, is_from_intended: bool) -> usize {
    match (role, is_from_intended) {
        (Role::Producer, true) => 0,
        (Role::Producer, false) => 1,
        (Role::TailReader, _) => 2,
        (Role::BackfillReader, _) => 3,
        (Role::SlowReader, _) => 4,
    }
}

const OVER_TIME: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];

/// Latency in each interval of a repetition, of one role; gaps where nothing ended.
///
/// # Errors
/// As [`Distribution::unpack`].
pub fn over_time(repetition: &Repetition, role: Role) -> Result<LineChart, NotAHistogram> {
    let start_ns = start_ns(repetition);
    let mut lines: Vec<Line> =
        OVER_TIME.iter().enumerate().map(|(colour, (name, _))| Line { name: (*name).into(), colour, ..Line::default() }).collect();
    for interval in repetition.steps.iter().flat_map(|step| &step.intervals) {
        let flows = interval.flows.iter().filter(|flow| flow.role == role).map(|flow| &flow.from_intended);
        let latencies = Distribution::merged(flows)?;
        let at_s = seconds_between(start_ns, interval.start_ns.midpoint(interval.end_ns));
        for (line, (_, quantile)) in lines.iter_mut().zip(OVER_TIME) {
            let is_empty = latencies.0.is_empty();
            line.points.push((at_s, if is_empty { f64::NAN } else { latencies.0.value_at_quantile(quantile) as f64 / 1e9 }));
        }
    }
    let title = format!("Latency over time, {}", curve_name(role, true));
    Ok(LineChart { title, x: time_axis(), y: latency_axis(), lines, marks: step_marks(repetition) })
}

/// Messages per second in each interval of a repetition, a line for each role.
pub fn throughput_over_time(repetition: &Repetition) -> LineChart {
    let start_ns = start_ns(repetition);
    // Behind the end of a step only what is left of it arrives.
    let within = |step: &'_ Step, interval: &Interval| interval.start_ns < step.span.end_ns;
    let intervals = || repetition.steps.iter().flat_map(|step| step.intervals.iter().filter(move |interval| within(step, interval)));
    let roles: BTreeSet<Role> = intervals().flat_map(|interval| &interval.flows).map(|flow| flow.role).collect();
    let line = |role: Role| {
        let point = |interval: &Interval| {
            let messages: u64 = interval.flows.iter().filter(|flow| flow.role == role).map(|flow| flow.messages).sum();
            let seconds = seconds_between(interval.start_ns, interval.end_ns);
            let at_s = seconds_between(start_ns, interval.start_ns.midpoint(interval.end_ns));
            (at_s, if seconds > 0.0 { messages as f64 / seconds } else { f64::NAN })
        };
        Line { name: super::text::role_name(role), colour: colour(role, true), points: intervals().map(point).collect(), band: Vec::new() }
    };
    let y = Axis::new("messages per second", Unit::Of(""), Scale::Linear);
    let lines = roles.into_iter().map(line).collect();
    LineChart { title: "Throughput over time".into(), x: time_axis(), y, lines, marks: step_marks(repetition) }
}

fn time_axis() -> Axis {
    Axis::new("time since the start", Unit::Seconds, Scale::Linear)
}

fn start_ns(repetition: &Repetition) -> u64 {
    repetition.steps.first().map_or(0, |step| step.span.start_ns)
}

fn seconds_between(start_ns: u64, end_ns: u64) -> f64 {
    end_ns.saturating_sub(start_ns) as f64 / 1e9
}

/// Where the measured part begins, and where each further step does.
fn step_marks(repetition: &Repetition) -> Vec<Mark> {
    let start_ns = start_ns(repetition);
    match repetition.steps.as_slice() {
        [step] if step.span.measure_from_ns > step.span.start_ns => {
            vec![Mark { x: seconds_between(start_ns, step.span.measure_from_ns), label: "measured from here".into() }]
        }
        steps => {
            let mark = |step: &Step| Mark { x: seconds_between(start_ns, step.span.start_ns), label: format!("step {}", step.number) };
            steps.iter().skip(1).map(mark).collect()
        }
    }
}

/// Latency by throughput over the steps: medians of the repetitions, bands from the least to the most.
pub fn by_throughput(summary: &Summary, role: Role) -> LineChart {
    let of_step = |step: &StepSpread| step.roles.iter().find(|one| one.role == role).cloned();
    let line = |(colour, name): (usize, &str)| {
        let mut line = Line { name: name.into(), colour, ..Line::default() };
        for one in summary.over_repetitions.iter().filter_map(of_step) {
            let Some(spread) = one.from_intended_us.get(name).map(|spread| spread.times(1e-6)) else { continue };
            line.points.push((one.messages_per_s.median, spread.median));
            if summary.repetitions.len() > 1 {
                line.band.push((one.messages_per_s.median, spread.least, spread.most));
            }
        }
        line.band.sort_by(|left, right| left.0.total_cmp(&right.0));
        line
    };
    let is_saturated = |number: u32| summary.steps().any(|(_, step)| step.number == number && step.saturation.is_some());
    let saturated = summary.over_repetitions.iter().find(|step| is_saturated(step.number)).and_then(of_step);
    let marks = saturated.map(|one| Mark { x: one.messages_per_s.median, label: "saturated".into() });
    let x = Axis::new("messages per second, achieved", Unit::Of(""), Scale::Linear);
    let lines = ["p50", "p99", "p99.9", "max"].into_iter().enumerate().map(line).collect();
    let title = format!("Latency by throughput, {}", curve_name(role, true));
    LineChart { title, x, y: latency_axis(), lines, marks: marks.into_iter().collect() }
}

/// The percentiles of each repetition of a step beside each other.
pub fn repetitions(summary: &Summary, step: &StepSpread, role: Role) -> DotChart {
    let mut runs: Vec<LatencySummary> = Vec::new();
    for (_, run) in summary.steps().filter(|(_, run)| run.number == step.number) {
        runs.extend(run.roles.iter().find(|one| one.role == role).and_then(|one| one.all.from_intended_us));
    }
    let row = |(number, (name, spread)): (usize, (&'static str, pagewire_plot::spread::Spread))| Row {
        name: name.into(),
        colour: colour(role, true),
        spread: spread.times(1e-6),
        runs: runs.iter().map(|run| run.columns()[number].1 * 1e-6).collect(),
        note: Unit::Seconds.show(spread.median * 1e-6),
        is_missed: false,
    };
    let rows = latency::spreads(&runs).into_iter().enumerate().map(row).collect();
    let axis = Axis::new("latency: each repetition, and the median of all", Unit::Seconds, Scale::Logarithmic);
    DotChart { title: format!("Repetitions, {}", curve_name(role, true)), axis, limit: None, rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample::{self, Shape};

    #[test]
    fn curves_are_those_of_all_repetitions_together() {
        let outcome = sample::outcome(Shape { repetitions: 3, steps: 2 });
        let summary = Summary::of(&outcome).expect("histograms");
        let chart = percentiles(&outcome, &summary.over_repetitions[1]).expect("histograms");
        let names: Vec<&str> = chart.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        for line in &chart.lines {
            assert_eq!(line.band.len(), line.points.len());
            assert!(line.band.iter().all(|band| band.1 <= band.2));
        }
        let counts = summary.repetitions.iter().map(|one| one.steps[1].roles[0].all.messages).sum::<u64>();
        let last = chart.lines[0].points.last().expect("points").0;
        assert!((last - (1.0 - 1.0 / counts as f64)).abs() < 1e-12, "{last}");
    }

    #[test]
    fn intervals_without_messages_are_gaps() {
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 2 });
        outcome.repetitions[0].steps[0].intervals[3].flows.clear();
        let chart = over_time(&outcome.repetitions[0], Role::TailReader).expect("histograms");
        assert_eq!(chart.lines[0].points.len(), 16);
        assert!(chart.lines[0].points[3].1.is_nan() && chart.lines[0].points[4].1 > 0.0);
        assert_eq!(chart.marks.len(), 1, "the second step");
    }

    #[test]
    fn throughput_and_latency_stand_together_by_step() {
        let mut outcome = sample::outcome(Shape { repetitions: 2, steps: 4 });
        outcome.repetitions[0].steps[3].saturation = Some(sample::saturation());
        let summary = Summary::of(&outcome).expect("histograms");
        let chart = by_throughput(&summary, Role::Producer);
        assert!(chart.lines.iter().all(|line| line.points.len() == 4 && line.band.len() == 4));
        assert_eq!(chart.marks.len(), 1);
        assert_eq!(repetitions(&summary, &summary.over_repetitions[0], Role::Producer).rows[2].runs.len(), 2);
    }
}
