//! Which rates are tried one after the other, how each is paced, and when the broker has had enough.
//!
//! Pure. Invariant: no step follows one that was saturated.

use super::outcome::{Role, Saturation, SaturationCause, ScheduleFacts, Step};
use super::schedule::{Pace, Rate};
use super::statistics::Latencies;

/// The rates of a run, in messages per second.
#[derive(Clone, Debug, PartialEq)]
pub enum Rates {
    /// One step, as fast as possible.
    Unlimited,
    /// One step for each.
    List(Vec<f64>),
    /// Twice the last one each time, until the broker has had enough.
    Doubling { from: f64 },
}

/// Rates beyond this are a slip of the keyboard, and a doubling ends.
pub const RATE_MAX: f64 = 1e12;

impl Rates {
    /// The rate of the step that follows `done`; `None` if there is none. `Some(None)`: as fast as possible.
    pub fn next(&self, done: &[Step]) -> Option<Option<f64>> {
        if done.last().is_some_and(|step| step.saturation.is_some()) {
            return None;
        }
        match self {
            Rates::Unlimited => done.is_empty().then_some(None),
            Rates::List(rates) => rates.get(done.len()).copied().map(Some),
            Rates::Doubling { from } => Some(from * 2f64.powi(done.len() as i32)).filter(|rate| *rate <= RATE_MAX).map(Some),
        }
    }
}

/// How messages are spread over time at a given rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Constant,
    Poisson {
        seed: u64,
    },
    /// The period follows from the rate.
    BurstsOf(u64),
    /// The number of messages follows from the rate.
    BurstsEvery {
        period_ns: u64,
    },
}

impl Shape {
    /// The pace at `messages_per_s`, as the schedules follow it and as it is written down.
    pub fn at(self, messages_per_s: Option<f64>) -> (Pace, ScheduleFacts) {
        let Some(messages_per_s) = messages_per_s else { return (Pace::AsFastAsPossible, ScheduleFacts::AsFastAsPossible) };
        let rate = Rate::per_second(messages_per_s);
        match self {
            Shape::Constant => (Pace::Constant(rate), ScheduleFacts::Constant { messages_per_s }),
            Shape::Poisson { seed } => (Pace::Poisson { rate, seed }, ScheduleFacts::Poisson { messages_per_s, seed }),
            Shape::BurstsOf(messages) => bursts(messages, (messages as f64 * 1e9 / messages_per_s) as u64),
            Shape::BurstsEvery { period_ns } => bursts((messages_per_s * period_ns as f64 / 1e9).round() as u64, period_ns),
        }
    }
}

fn bursts(messages: u64, period_ns: u64) -> (Pace, ScheduleFacts) {
    let (messages, period_ns) = (messages.max(1), period_ns.max(1));
    let messages_per_s = messages as f64 * 1e9 / period_ns as f64;
    (Pace::Bursts { messages, period_ns }, ScheduleFacts::Bursts { messages_per_s, burst_messages: messages, period_ns })
}

/// What a broker must still do at a rate that it can sustain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Of the intended rate, 0 to 1.
    pub achieved_share_min: f64,
    /// Of the 99th percentile from the intended send to the acknowledgement.
    pub p99_ns_max: Option<u64>,
}

/// Whether a step was more than the broker can do. `from_intended`: of its producers, all brokers.
pub fn saturation(step: &Step, from_intended: &Latencies, bounds: &Bounds) -> Option<Saturation> {
    step.schedule.messages_per_s()?;
    let acknowledged: u64 = step.flows.iter().filter(|flow| flow.role == Role::Producer).map(|flow| flow.messages).sum();
    let due = acknowledged + step.troubles.unsent + step.troubles.given_up;
    let window_s = step.span.end_ns.saturating_sub(step.span.measure_from_ns) as f64 / 1e9;
    if due == 0 || window_s <= 0.0 {
        return None;
    }
    let (intended, achieved) = (due as f64 / window_s, step.messages_per_s(Role::Producer));
    let found = |cause, sentence| Some(Saturation { cause, sentence });
    if step.troubles.given_up > 0 {
        let sentence = format!("{} messages were refused or not acknowledged in time", step.troubles.given_up);
        return found(SaturationCause::GaveUp, sentence);
    }
    let share = achieved / intended;
    if share < bounds.achieved_share_min {
        let (percent, bound) = (share * 100.0, bounds.achieved_share_min * 100.0);
        let sentence = format!("{achieved:.0} messages/s of {intended:.0} intended, {percent:.1} %, below the bound of {bound:.0} %");
        return found(SaturationCause::RateNotReached, sentence);
    }
    let p99_ns = from_intended.0.value_at_quantile(0.99);
    match bounds.p99_ns_max {
        Some(bound_ns) if p99_ns > bound_ns => {
            let (p99_ms, bound_ms) = (p99_ns as f64 / 1e6, bound_ns as f64 / 1e6);
            found(
                SaturationCause::LatencyAboveBound,
                format!("p99 from the intended send is {p99_ms:.2} ms, above the bound of {bound_ms} ms"),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::distribution::Distribution;
    use crate::load::outcome::{Flow, Span};

    fn step(messages: u64, last_ns: u64) -> Step {
        let empty = Distribution::default;
        let flow = Flow {
            role: Role::Producer,
            broker: 0,
            messages,
            message_bytes: 0,
            wire_bytes: 0,
            requests: 0,
            from_intended: empty(),
            from_sent: empty(),
            round_trips: empty(),
            overtaken: 0,
            missed_offsets: 0,
        };
        let span = Span { start_ns: 0, measure_from_ns: 0, end_ns: 10_000_000_000, last_ns, start_wall_ms: 0 };
        Step { schedule: ScheduleFacts::Constant { messages_per_s: 100.0 }, span, flows: vec![flow], ..Step::default() }
    }

    const BOUNDS: Bounds = Bounds { achieved_share_min: 0.95, p99_ns_max: Some(1_000_000) };

    fn cause(step: &Step, latency_ns: u64) -> Option<SaturationCause> {
        let mut latencies = Latencies::default();
        latencies.record(latency_ns, 1000);
        saturation(step, &latencies, &BOUNDS).map(|saturation| saturation.cause)
    }

    #[test]
    fn a_backlog_worked_off_late_is_a_rate_not_reached() {
        assert_eq!(cause(&step(1000, 10_100_000_000), 100), None);
        assert_eq!(cause(&step(1000, 12_000_000_000), 100), Some(SaturationCause::RateNotReached));
        let mut unsent = step(900, 10_000_000_000);
        unsent.troubles.unsent = 100;
        assert_eq!(cause(&unsent, 100), Some(SaturationCause::RateNotReached));
        let mut refused = step(999, 10_000_000_000);
        refused.troubles.given_up = 1;
        assert_eq!(cause(&refused, 100), Some(SaturationCause::GaveUp));
    }

    #[test]
    fn the_bound_of_the_percentile_is_one_too() {
        assert_eq!(cause(&step(1000, 0), 1_100_000), Some(SaturationCause::LatencyAboveBound));
        assert_eq!(cause(&step(1000, 0), 900_000), None);
        let closed = Step { schedule: ScheduleFacts::AsFastAsPossible, ..step(1, 99_000_000_000) };
        assert_eq!(cause(&closed, 1_100_000), None, "a closed loop intends no rate");
    }

    #[test]
    fn doubling_goes_on_until_it_is_too_much() {
        let rates = Rates::Doubling { from: 500.0 };
        let mut done = vec![step(1, 0), step(1, 0)];
        assert_eq!(rates.next(&done), Some(Some(2000.0)));
        done[1].saturation = Some(Saturation { cause: SaturationCause::GaveUp, sentence: String::new() });
        assert_eq!(rates.next(&done), None);
        let list = Rates::List(vec![1.0, 5.0]);
        assert_eq!((list.next(&[]), list.next(&done[..1]), list.next(&[step(1, 0), step(1, 0)])), (Some(Some(1.0)), Some(Some(5.0)), None));
        assert_eq!((Rates::Unlimited.next(&[]), Rates::Unlimited.next(&done[..1])), (Some(None), None));
    }

    #[test]
    fn of_rate_size_and_period_of_bursts_the_third_follows() {
        let (pace, facts) = Shape::BurstsOf(50).at(Some(1000.0));
        assert_eq!(pace, Pace::Bursts { messages: 50, period_ns: 50_000_000 });
        assert_eq!(Shape::BurstsEvery { period_ns: 50_000_000 }.at(Some(1000.0)), (pace, facts));
        assert_eq!(facts.messages_per_s(), Some(1000.0));
    }
}
