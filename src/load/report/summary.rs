//! What a run found, as numbers: `summary.json`, and the one source of every table.
//!
//! Pure. Invariants: rates go by the measured time of their step; percentiles are those of all values together, never averages of
//! percentiles.

use std::collections::BTreeMap;

use pagewire_plot::spread::Spread;
use serde::{Deserialize, Serialize};

use super::latency::{self, LatencySummary};
use crate::load::checker::Verdict;
use crate::load::distribution::{Distribution, NotAHistogram};
use crate::load::outcome::{
    BrokerFacts, Environment, Finding, Flow, Program, Repetition, Role, RunOutcome, Saturation, ScheduleFacts, Severity, Step, Troubles,
    Workload,
};

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    pub program: Program,
    /// Nothing lost, duplicated by the broker, reordered, damaged or given up.
    pub is_clean: bool,
    /// The self-check has nothing against the figures.
    pub is_valid: bool,
    pub environment: Environment,
    pub brokers: Vec<BrokerFacts>,
    pub workload: Workload,
    pub repetitions: Vec<RepetitionSummary>,
    /// Each step over all repetitions.
    pub over_repetitions: Vec<StepSpread>,
}

/// The same steps, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RepetitionSummary {
    pub number: u32,
    pub steps: Vec<StepSummary>,
    /// `None` if nothing was read.
    pub verdict: Option<Verdict>,
    pub is_undrained: bool,
}

/// One rate, held for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepSummary {
    pub number: u32,
    pub schedule: ScheduleFacts,
    /// Seconds.
    pub measured_s: f64,
    pub is_valid: bool,
    pub findings: Vec<Finding>,
    pub saturation: Option<Saturation>,
    pub roles: Vec<RoleSummary>,
    pub troubles: Troubles,
    /// Of the load generator's own threads, seconds.
    pub generator_cpu_s: f64,
    /// What the load generator added of its own.
    pub generator_lateness_us: Option<LatencySummary>,
    pub connects_us: Option<LatencySummary>,
}

/// Everything that connections of one kind did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleSummary {
    pub role: Role,
    pub all: Traffic,
    pub by_broker: BTreeMap<i32, Traffic>,
}

/// Measured traffic, with one broker or with all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Traffic {
    pub messages: u64,
    pub messages_per_s: f64,
    /// 10⁶ bytes of message values.
    pub megabytes_per_s: f64,
    pub message_bytes: u64,
    /// Record batches as they travelled.
    pub wire_bytes: u64,
    pub requests: u64,
    pub overtaken: u64,
    pub missed_offsets: u64,
    pub from_intended_us: Option<LatencySummary>,
    pub from_sent_us: Option<LatencySummary>,
    pub round_trips_us: Option<LatencySummary>,
}

/// A step over all repetitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepSpread {
    pub number: u32,
    pub schedule: ScheduleFacts,
    pub roles: Vec<RoleSpread>,
}

/// One role in a step over all repetitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoleSpread {
    pub role: Role,
    pub messages_per_s: Spread,
    pub megabytes_per_s: Spread,
    /// By the name of the percentile, in microseconds.
    pub from_intended_us: BTreeMap<String, Spread>,
}

impl Summary {
    /// # Errors
    /// The outcome was read from a file and a distribution in it is no histogram.
    pub fn of(outcome: &RunOutcome) -> Result<Summary, NotAHistogram> {
        let repetitions: Vec<RepetitionSummary> = outcome.repetitions.iter().map(repetition).collect::<Result<_, _>>()?;
        let over_repetitions = over_repetitions(&repetitions);
        Ok(Summary {
            program: outcome.program.clone(),
            is_clean: outcome.is_clean(),
            is_valid: outcome.is_valid(),
            environment: outcome.environment.clone(),
            brokers: outcome.brokers.clone(),
            workload: outcome.workload.clone(),
            repetitions,
            over_repetitions,
        })
    }

    /// Every step with where it stands, such as `repetition 2, step 1`; empty if there is only one.
    pub fn steps(&self) -> impl Iterator<Item = (String, &StepSummary)> {
        let has_several = self.repetitions.len() > 1;
        self.repetitions.iter().flat_map(move |repetition| {
            repetition.steps.iter().map(move |step| {
                let place = match (has_several, repetition.steps.len() > 1) {
                    (false, false) => String::new(),
                    (true, false) => format!("repetition {}", repetition.number),
                    (false, true) => format!("step {}", step.number),
                    (true, true) => format!("repetition {}, step {}", repetition.number, step.number),
                };
                (place, step)
            })
        })
    }

    /// What the self-check found, as sentences with their place. `severity`: of these only.
    pub fn findings(&self, severity: Severity) -> Vec<String> {
        let of_step = |(place, step): (String, &StepSummary)| {
            let sentences = step.findings.iter().filter(|finding| finding.severity == severity).map(|finding| finding.sentence.clone());
            let placed = |sentence: String| if place.is_empty() { sentence } else { format!("{place}: {sentence}") };
            sentences.map(placed).collect::<Vec<_>>()
        };
        self.steps().flat_map(of_step).collect()
    }

    /// What makes the run unclean, as sentences.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for repetition in &self.repetitions {
            let place = if self.repetitions.len() > 1 { format!("repetition {}: ", repetition.number) } else { String::new() };
            if let Some(verdict) = &repetition.verdict {
                faults.extend(verdict.faults().iter().map(|(what, count)| format!("{place}{count} {what}")));
            }
            let given_up: u64 = repetition.steps.iter().map(|step| step.troubles.given_up).sum();
            if given_up > 0 {
                faults.push(format!("{place}{given_up} messages were given up: refused, or not acknowledged in time"));
            }
            let wrong_answers: u64 = repetition.steps.iter().map(|step| step.troubles.wrong_answers).sum();
            if wrong_answers > 0 {
                faults.push(format!(
                    "{place}{wrong_answers} answers that no broker may give: out of order, unreadable, or to another question"
                ));
            }
            if repetition.is_undrained {
                let why = "reading ended before the end of the logs: what counts as lost may only be unread; raise --drain-timeout";
                faults.push(format!("{place}{why}"));
            }
        }
        faults
    }

    /// The step that stands for the run: the highest rate that the broker followed; if it followed none, the first.
    pub fn representative(&self) -> Option<&StepSpread> {
        let is_followed = |number: u32| {
            let mut steps = self.steps().filter(|(_, step)| step.number == number);
            steps.all(|(_, step)| step.saturation.is_none())
        };
        self.over_repetitions.iter().rev().find(|step| is_followed(step.number)).or(self.over_repetitions.first())
    }
}

fn repetition(repetition: &Repetition) -> Result<RepetitionSummary, NotAHistogram> {
    Ok(RepetitionSummary {
        number: repetition.number,
        steps: repetition.steps.iter().map(step).collect::<Result<_, _>>()?,
        verdict: repetition.verdict.clone(),
        is_undrained: repetition.is_undrained,
    })
}

fn step(step: &Step) -> Result<StepSummary, NotAHistogram> {
    let measured_s = step.span.measured_s();
    let mut roles = Vec::new();
    for role in Role::ALL {
        let flows: Vec<&Flow> = step.flows.iter().filter(|flow| flow.role == role).collect();
        if flows.is_empty() {
            continue;
        }
        let mut by_broker = BTreeMap::new();
        for broker in flows.iter().map(|flow| flow.broker) {
            let of_broker: Vec<&Flow> = flows.iter().copied().filter(|flow| flow.broker == broker).collect();
            by_broker.insert(broker, traffic(&of_broker, measured_s)?);
        }
        roles.push(RoleSummary { role, all: traffic(&flows, measured_s)?, by_broker });
    }
    Ok(StepSummary {
        number: step.number,
        schedule: step.schedule,
        measured_s,
        is_valid: step.is_valid(),
        findings: step.findings.clone(),
        saturation: step.saturation.clone(),
        roles,
        troubles: step.troubles.clone(),
        generator_cpu_s: step.generator.threads.iter().map(|thread| thread.cpu_ns).sum::<u64>() as f64 / 1e9,
        generator_lateness_us: LatencySummary::of(&step.generator.lateness.unpack()?),
        connects_us: LatencySummary::of(&step.connects.unpack()?),
    })
}

fn traffic(flows: &[&Flow], measured_s: f64) -> Result<Traffic, NotAHistogram> {
    let sum = |count: fn(&Flow) -> u64| flows.iter().map(|flow| count(flow)).sum::<u64>();
    let rate = |amount: f64| if measured_s > 0.0 { amount / measured_s } else { 0.0 };
    let latency = |kind: fn(&Flow) -> &Distribution| {
        Distribution::merged(flows.iter().map(|flow| kind(flow))).map(|latencies| LatencySummary::of(&latencies))
    };
    Ok(Traffic {
        messages: sum(|flow| flow.messages),
        messages_per_s: rate(sum(|flow| flow.messages) as f64),
        megabytes_per_s: rate(sum(|flow| flow.message_bytes) as f64 / 1e6),
        message_bytes: sum(|flow| flow.message_bytes),
        wire_bytes: sum(|flow| flow.wire_bytes),
        requests: sum(|flow| flow.requests),
        overtaken: sum(|flow| flow.overtaken),
        missed_offsets: sum(|flow| flow.missed_offsets),
        from_intended_us: latency(|flow| &flow.from_intended)?,
        from_sent_us: latency(|flow| &flow.from_sent)?,
        round_trips_us: latency(|flow| &flow.round_trips)?,
    })
}

fn over_repetitions(repetitions: &[RepetitionSummary]) -> Vec<StepSpread> {
    let steps = || repetitions.iter().flat_map(|repetition| &repetition.steps);
    let numbers: BTreeMap<u32, ScheduleFacts> = steps().map(|step| (step.number, step.schedule)).collect();
    let spread = |(number, schedule): (u32, ScheduleFacts)| {
        let of_role = |role: Role| {
            let same = || steps().filter(|step| step.number == number);
            let all: Vec<&Traffic> = same().flat_map(|step| &step.roles).filter(|one| one.role == role).map(|one| &one.all).collect();
            let latencies: Vec<LatencySummary> = all.iter().filter_map(|traffic| traffic.from_intended_us).collect();
            Some(RoleSpread {
                role,
                messages_per_s: Spread::of(all.iter().map(|traffic| traffic.messages_per_s))?,
                megabytes_per_s: Spread::of(all.iter().map(|traffic| traffic.megabytes_per_s))?,
                from_intended_us: latency::spreads(&latencies).into_iter().map(|(name, spread)| (name.to_owned(), spread)).collect(),
            })
        };
        StepSpread { number, schedule, roles: Role::ALL.into_iter().filter_map(of_role).collect() }
    };
    numbers.into_iter().map(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::sample::{self, Shape};

    #[test]
    fn rates_go_by_the_measured_time_and_brokers_stand_apart() {
        let summary = Summary::of(&sample::outcome(Shape { repetitions: 1, steps: 1 })).expect("histograms");
        let step = &summary.repetitions[0].steps[0];
        let produced = step.roles.iter().find(|role| role.role == Role::Producer).expect("traffic");
        assert_eq!((produced.by_broker.len(), produced.all.messages), (2, produced.by_broker.values().map(|one| one.messages).sum()));
        assert_eq!(produced.all.messages_per_s, produced.all.messages as f64 / step.measured_s);
        let counted = produced.all.from_intended_us.expect("latencies").count;
        assert_eq!(counted, produced.by_broker.values().map(|one| one.from_intended_us.expect("latencies").count).sum::<u64>());
    }

    #[test]
    fn repetitions_are_spread_out_and_never_averaged() {
        let summary = Summary::of(&sample::outcome(Shape { repetitions: 3, steps: 2 })).expect("histograms");
        let p99 = |repetition: usize| summary.repetitions[repetition].steps[1].roles[0].all.from_intended_us.expect("latencies").p99;
        let spread = summary.over_repetitions[1].roles[0].from_intended_us["p99"];
        let mut single = [p99(0), p99(1), p99(2)];
        single.sort_by(f64::total_cmp);
        assert_eq!((spread.least, spread.median, spread.most), (single[0], single[1], single[2]));
    }

    #[test]
    fn each_fault_is_named() {
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 1 });
        assert!(Summary::of(&outcome).expect("histograms").faults().is_empty());
        outcome.repetitions[0].verdict.as_mut().expect("read").streams.acknowledged_lost = 7;
        outcome.repetitions[0].steps[0].troubles.given_up = 5;
        outcome.repetitions[0].is_undrained = true;
        let summary = Summary::of(&outcome).expect("histograms");
        let faults = summary.faults().join("\n");
        assert!(!summary.is_clean && faults.contains("7 acknowledged but lost") && faults.contains("5 messages were given up"), "{faults}");
        assert!(faults.contains("--drain-timeout"), "{faults}");
    }

    #[test]
    fn the_step_that_stands_for_the_run_is_the_last_that_was_followed() {
        let mut outcome = sample::outcome(Shape { repetitions: 1, steps: 3 });
        let number = |outcome: &RunOutcome| Summary::of(outcome).expect("histograms").representative().map(|step| step.number);
        assert_eq!(number(&outcome), Some(3));
        outcome.repetitions[0].steps[2].saturation = Some(sample::saturation());
        assert_eq!(number(&outcome), Some(2));
        outcome.repetitions[0].steps.clear();
        assert_eq!(number(&outcome), None);
    }
}
