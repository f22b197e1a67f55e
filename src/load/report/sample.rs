//! Outcomes with made-up numbers, for the tests of the report.

use std::collections::BTreeMap;

use crate::load::checker::Verdict;
use crate::load::distribution::Distribution;
use crate::load::outcome::{
    ApiRange, BrokerFacts, BrokerProcess, Environment, FORMAT_VERSION, Finding, FindingKind, Flow, Interval, Program, Repetition, Role,
    RunOutcome, Saturation, SaturationCause, ScheduleFacts, Severity, Span, Step, Troubles, Workload,
};
use crate::load::statistics::Latencies;

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Shape {
    pub repetitions: u32,
    pub steps: u32,
}

const SECOND_NS: u64 = 1_000_000_000;
const SECONDS: u64 = 8;

/// A tail as brokers have it: most values near the base, each tenth of the rest several times as long.
fn latencies(base_ns: u64, count: u64, salt: u64) -> Latencies {
    let mut latencies = Latencies::default();
    for number in 0..count {
        let spread = (number * 7919 + salt * 104_729) % 1000;
        let tail = match spread {
            999 => 40,
            990..999 => 9,
            900..990 => 3,
            _ => 1,
        };
        latencies.record(base_ns * tail + spread * base_ns / 1000, 1);
    }
    latencies
}

fn flow(role: Role, broker: i32, base_ns: u64, messages: u64, salt: u64) -> Flow {
    let distribution = |factor: f64| Distribution::of(&latencies((base_ns as f64 * factor) as u64, messages, salt));
    Flow {
        role,
        broker,
        messages,
        message_bytes: messages * 1000,
        wire_bytes: messages * 1010,
        requests: messages / 10,
        from_intended: distribution(1.2),
        from_sent: distribution(1.0),
        round_trips: distribution(0.9),
        overtaken: 0,
        missed_offsets: 0,
    }
}

fn flows(base_ns: u64, messages: u64, salt: u64) -> Vec<Flow> {
    let one = |role, broker, factor: u64| flow(role, broker, base_ns * factor / 10, messages, salt + u64::from(broker.unsigned_abs()));
    vec![one(Role::Producer, 1000, 10), one(Role::Producer, 1001, 11), one(Role::TailReader, 1000, 19), one(Role::TailReader, 1001, 18)]
}

fn step(repetition: u32, number: u32) -> Step {
    let salt = u64::from(repetition * 10 + number);
    let base_ns = 200_000 * (1 + u64::from(number * number)) + salt * 1000;
    let start_ns = salt * 60 * SECOND_NS;
    let interval = |second: u64| Interval {
        start_ns: start_ns + second * SECOND_NS,
        end_ns: start_ns + (second + 1) * SECOND_NS,
        start_wall_ms: 1_700_000_000_000 + i64::from(repetition) * 600_000 + i64::from(number) * 60_000 + second as i64 * 1000,
        is_warmup: second == 0,
        flows: flows(base_ns * (10 + second % 5) / 10, 300, salt + second),
        ..Interval::default()
    };
    Step {
        number,
        schedule: ScheduleFacts::Constant { messages_per_s: f64::from(number) * 600.0 },
        span: Span {
            start_ns,
            measure_from_ns: start_ns + SECOND_NS,
            end_ns: start_ns + SECONDS * SECOND_NS,
            last_ns: start_ns + SECONDS * SECOND_NS,
            start_wall_ms: 1_700_000_000_000,
        },
        flows: flows(base_ns, 2000 * u64::from(number), salt),
        intervals: (0..SECONDS).map(interval).collect(),
        troubles: Troubles { retries: 2, errors: BTreeMap::from([("NotLeaderOrFollower (6)".into(), 3)]), ..Troubles::default() },
        ..Step::default()
    }
}

pub fn finding(severity: Severity) -> Finding {
    Finding { severity, kind: FindingKind::SentLate, sentence: "batches left <late> & not by the broker's fault".into() }
}

pub fn saturation() -> Saturation {
    Saturation { cause: SaturationCause::RateNotReached, sentence: "1,700 of 1,800 messages per second".into() }
}

pub fn outcome(shape: Shape) -> RunOutcome {
    let repetition = |number: u32| Repetition {
        number,
        steps: (1..=shape.steps).map(|step_number| step(number, step_number)).collect(),
        verdict: Some(Verdict::default()),
        is_undrained: false,
    };
    let broker = |broker: i32| BrokerFacts {
        broker,
        address: format!("127.0.0.1:{broker}"),
        apis: vec![ApiRange { api_key: 0, min: 3, max: 12 }],
        features: BTreeMap::from([("metadata.version".into(), 27)]),
        process: Some(BrokerProcess { pid: 7, command: "broker --data '<dir>'".into(), processors: vec![0] }),
    };
    RunOutcome {
        format_version: FORMAT_VERSION,
        program: Program {
            name: "pagewire-load".into(),
            version: "0.1.0".into(),
            arguments: vec!["pagewire-load".into(), "--topic".into(), "a b".into()],
            started_wall_ms: 1_700_000_000_000,
        },
        environment: Environment {
            kernel: "Linux 6.18.5".into(),
            processor_model: Some("Model <X> & Co".into()),
            processors: 4,
            processors_allowed: vec![1, 2, 3],
            memory_bytes: 24_000_000_000,
            load_average: Some([0.5, 0.4, 0.3]),
            ..Environment::default()
        },
        brokers: vec![broker(1000), broker(1001)],
        workload: Workload { mode: "both".into(), topics: 1, partitions: 4, producers: 1, message_bytes: 1000, ..Workload::default() },
        repetitions: (1..=shape.repetitions).map(repetition).collect(),
    }
}
