//! Everything that one command line of the load generator found out: raw enough that every table and plot is computed from it.
//!
//! Plain data, made on the main thread, written as JSON and read back. A run is repetitions of the same steps; a step is one rate held
//! for a while; what flowed in it stands by role and broker. Invariants: times named `_ns` are CLOCK_MONOTONIC of the machine that ran
//! the load generator; messages due before `measure_from_ns` of their step are in none of its figures; the distributions of a step are
//! the sums of those of its intervals behind the warm-up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checker::Verdict;
use super::distribution::Distribution;

/// Of this layout. A reader refuses what it does not know.
pub const FORMAT_VERSION: u32 = 1;

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunOutcome {
    pub format_version: u32,
    pub program: Program,
    pub environment: Environment,
    pub brokers: Vec<BrokerFacts>,
    pub workload: Workload,
    pub repetitions: Vec<Repetition>,
}

impl RunOutcome {
    /// Nothing lost, duplicated by the broker, reordered, damaged, given up or answered wrongly.
    pub fn is_clean(&self) -> bool {
        self.repetitions.iter().all(Repetition::is_clean)
    }

    /// No step has a finding that makes its figures worthless.
    pub fn is_valid(&self) -> bool {
        self.repetitions.iter().flat_map(|repetition| &repetition.steps).all(Step::is_valid)
    }
}

/// The load generator itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub name: String,
    pub version: String,
    /// The command line, the program's own name first.
    pub arguments: Vec<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub started_wall_ms: i64,
}

/// The machine that ran the load generator. What the kernel does not tell is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// `uname -sr`, such as `Linux 6.18.5`.
    pub kernel: String,
    pub processor_model: Option<String>,
    /// Online.
    pub processors: usize,
    /// Those that the load generator's threads may run on.
    pub processors_allowed: Vec<usize>,
    /// Of frequency scaling, such as `performance`.
    pub governor: Option<String>,
    pub clock_source: Option<String>,
    pub memory_bytes: u64,
    /// At the start: 1, 5 and 15 minutes.
    pub load_average: Option<[f64; 3]>,
}

/// A broker of the cluster, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerFacts {
    pub broker: i32,
    /// As it advertises itself, `host:port`.
    pub address: String,
    /// From ApiVersions.
    pub apis: Vec<ApiRange>,
    /// From ApiVersions: the highest level of each feature that is in force, such as `metadata.version` (KIP-584).
    pub features: BTreeMap<String, i16>,
    /// `None` if it runs elsewhere, or as a user whose processes are hidden from us.
    pub process: Option<BrokerProcess>,
}

/// The versions of one API that a broker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiRange {
    pub api_key: i16,
    pub min: i16,
    pub max: i16,
}

/// A broker's process on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerProcess {
    pub pid: u32,
    /// The first word of its command line and what follows, cut at 200 bytes.
    pub command: String,
    /// That any of its threads may run on.
    pub processors: Vec<usize>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub bootstrap: Vec<String>,
    /// `both`, `produce` or `consume`.
    pub mode: String,
    pub topics: usize,
    /// Over all topics.
    pub partitions: usize,
    pub threads: usize,
    pub producers: usize,
    pub message_bytes: usize,
    pub batch_bytes: usize,
    pub linger_ns: u64,
    pub codec: String,
    pub acks: i16,
    pub idempotent: bool,
    pub in_flight: usize,
    /// Different record keys; 0: records have none.
    pub keys: u64,
    pub readers: Vec<ReaderClass>,
    /// Connections closed and opened again, per second.
    pub churn_per_s: f64,
    pub warmup_ns: u64,
    /// Of each step, warm-up included; `None` if the number of messages ends it.
    pub duration_ns: Option<u64>,
    pub messages: Option<u64>,
    pub interval_ns: u64,
}

/// Readers of one kind. Each copy reads every partition once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReaderClass {
    pub role: Role,
    pub copies: usize,
    /// That share the partitions of one copy.
    pub consumers: usize,
    /// Bound of what each copy reads.
    pub messages_per_s_max: Option<f64>,
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Producer,
    /// Reads what arrives.
    TailReader,
    /// Reads from the start of the log while others read its end.
    BackfillReader,
    /// Reads what arrives, not faster than it is told to.
    SlowReader,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Producer, Role::TailReader, Role::BackfillReader, Role::SlowReader];

    /// As in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Role::Producer => "producer",
            Role::TailReader => "tail_reader",
            Role::BackfillReader => "backfill_reader",
            Role::SlowReader => "slow_reader",
        }
    }
}

/// The same steps, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Repetition {
    /// From 1.
    pub number: u32,
    pub steps: Vec<Step>,
    /// `None` if nothing was read.
    pub verdict: Option<Verdict>,
    /// Reading ended before the end of the logs.
    pub is_undrained: bool,
}

impl Repetition {
    pub fn is_clean(&self) -> bool {
        let troubles = || self.steps.iter().map(|step| &step.troubles);
        let is_untroubled = troubles().all(|troubles| troubles.given_up == 0 && troubles.wrong_answers == 0);
        self.verdict.as_ref().is_none_or(Verdict::is_clean) && is_untroubled && !self.is_undrained
    }

    /// The first step that the broker could not follow.
    pub fn saturated_step(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.saturation.is_some())
    }
}

/// When messages of a step were due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum ScheduleFacts {
    /// Closed loop: due when there was room.
    #[default]
    AsFastAsPossible,
    /// Evenly spaced.
    Constant { messages_per_s: f64 },
    /// At random, at a mean rate: distances are exponential.
    Poisson { messages_per_s: f64, seed: u64 },
    /// `burst_messages` at once, every `period_ns`.
    Bursts { messages_per_s: f64, burst_messages: u64, period_ns: u64 },
}

impl ScheduleFacts {
    /// The mean over all producers; `None` for a closed loop.
    pub fn messages_per_s(&self) -> Option<f64> {
        match *self {
            ScheduleFacts::AsFastAsPossible => None,
            ScheduleFacts::Constant { messages_per_s }
            | ScheduleFacts::Poisson { messages_per_s, .. }
            | ScheduleFacts::Bursts { messages_per_s, .. } => Some(messages_per_s),
        }
    }
}

/// One rate, held for a while.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub number: u32,
    pub schedule: ScheduleFacts,
    pub span: Span,
    /// One for each role and broker that had traffic, in this order.
    pub flows: Vec<Flow>,
    /// From the first packet to the answer of ApiVersions, of connections that were opened while the step was measured.
    pub connects: Distribution,
    pub intervals: Vec<Interval>,
    pub troubles: Troubles,
    pub generator: Generator,
    /// What the self-check found.
    pub findings: Vec<Finding>,
    /// `None` if the broker kept up.
    pub saturation: Option<Saturation>,
}

impl Step {
    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Invalid)
    }

    /// Messages per second of a role over all brokers, in the measured part; for producers, those that were acknowledged.
    pub fn messages_per_s(&self, role: Role) -> f64 {
        let messages: u64 = self.flows.iter().filter(|flow| flow.role == role).map(|flow| flow.messages).sum();
        let seconds = self.span.measured_s();
        if seconds > 0.0 { messages as f64 / seconds } else { 0.0 }
    }
}

/// Where a step lies in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub start_ns: u64,
    /// What was due before is the warm-up.
    pub measure_from_ns: u64,
    /// Nothing was due from here on.
    pub end_ns: u64,
    /// When the last measured message was acknowledged or arrived.
    pub last_ns: u64,
    /// Milliseconds since 1970-01-01 UTC at `start_ns`.
    pub start_wall_ms: i64,
}

impl Span {
    /// From the end of the warm-up to the end of the step or its last message, whichever is later, in seconds: a backlog that is worked
    /// off afterwards does not count as throughput of the step.
    pub fn measured_s(&self) -> f64 {
        self.end_ns.max(self.last_ns).saturating_sub(self.measure_from_ns) as f64 / 1e9
    }
}

/// The measured traffic of one role with one broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub role: Role,
    pub broker: i32,
    /// Acknowledged, or read.
    pub messages: u64,
    /// Of their values, before compression.
    pub message_bytes: u64,
    /// Of record batches as they travelled.
    pub wire_bytes: u64,
    pub requests: u64,
    /// From the time a message was due: to its acknowledgement for producers, to its arrival for readers (end to end, one clock).
    pub from_intended: Distribution,
    /// From the time its batch was really sent, to the same end.
    pub from_sent: Distribution,
    /// From a Produce or Fetch request to its answer, one value for each request; a Fetch may wait for data at the broker.
    pub round_trips: Distribution,
    /// Times at which a reader found its place below the start of the log and went on at the start (retention overtook it).
    pub overtaken: u64,
    /// Offsets that it could not read for that reason. No fault.
    pub missed_offsets: u64,
}

/// A slice of a step, a second long by default. What ended in it counts, whenever it was due.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Interval {
    pub start_ns: u64,
    pub end_ns: u64,
    /// Milliseconds since 1970-01-01 UTC at `start_ns`.
    pub start_wall_ms: i64,
    /// Lies before the end of the warm-up: traffic of it is in no figure of the step.
    pub is_warmup: bool,
    pub flows: Vec<Flow>,
    pub connects: Distribution,
    pub lateness: Distribution,
    pub troubles: Troubles,
}

/// What went wrong without being lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubles {
    /// Connections that broke or could not be made.
    pub disconnects: u64,
    /// Answers that no broker may give: out of order, unreadable, or to another question.
    pub wrong_answers: u64,
    /// Connections that were closed on purpose, see `Workload::churn_per_s`.
    pub churned: u64,
    /// Batches sent again.
    pub retries: u64,
    /// Messages refused for good or not acknowledged in time.
    pub given_up: u64,
    /// Messages due and never sent, because the step ended first.
    pub unsent: u64,
    /// By Kafka's name, whether retried or not.
    pub errors: BTreeMap<String, u64>,
    /// A sentence each, the first few.
    pub remarks: Vec<String>,
}

/// How the load generator itself fared in a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Generator {
    /// From the time a batch was to be sent, or its connection had room for it if that was later, to the time it was: what the generator
    /// adds of its own. What was due while it did not look counts as late, also if the window was full by then. A batch counts once for each
    /// of its messages.
    pub lateness: Distribution,
    /// How late a timer of each worker thread fired that has nothing else to do (what a reader adds of its own).
    pub hiccups: Distribution,
    pub threads: Vec<ThreadUse>,
    /// Share of all processors' time that the hypervisor gave to others, 0 to 1; `None` if the kernel does not tell.
    pub steal_share: Option<f64>,
}

/// One worker thread in a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadUse {
    pub name: String,
    pub wall_ns: u64,
    pub cpu_ns: u64,
    /// Ready to run, and waiting for a processor.
    pub waiting_ns: Option<u64>,
    pub involuntary_switches: Option<u64>,
}

/// What the self-check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    pub kind: FindingKind,
    /// Why, and what to do.
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The figures hold.
    Warning,
    /// The figures tell about the load generator or its machine, not about the broker.
    Invalid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Batches left late although their connection had room.
    SentLate,
    /// A thread that reads was late although it had the answer.
    ReadLate,
    /// A thread of the load generator used its whole processor.
    OutOfProcessor,
    /// A thread of the load generator had to wait for a processor.
    WaitedForProcessor,
    /// The hypervisor took processors away.
    ProcessorStolen,
    /// Broker and load generator may run on the same processors.
    SharedProcessors,
    /// Too few messages for the percentiles that stand in the tables.
    FewSamples,
}

/// Why a step counts as more than the broker can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saturation {
    pub cause: SaturationCause,
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaturationCause {
    /// The achieved rate fell below the asked share of the intended one.
    RateNotReached,
    /// A percentile passed its bound.
    LatencyAboveBound,
    /// Messages were given up.
    GaveUp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> RunOutcome {
        let flow = Flow {
            role: Role::TailReader,
            broker: 1000,
            messages: 3000,
            message_bytes: 3_000_000,
            wire_bytes: 3_100_000,
            requests: 30,
            from_intended: Distribution::default(),
            from_sent: Distribution::default(),
            round_trips: Distribution::default(),
            overtaken: 0,
            missed_offsets: 0,
        };
        let step = Step {
            number: 1,
            schedule: ScheduleFacts::Poisson { messages_per_s: 1000.0, seed: 7 },
            span: Span { start_ns: 0, measure_from_ns: 1_000_000_000, end_ns: 4_000_000_000, last_ns: 3_000_000_000, start_wall_ms: 0 },
            flows: vec![flow.clone(), Flow { broker: 1001, messages: 6000, ..flow }],
            ..Step::default()
        };
        RunOutcome {
            format_version: FORMAT_VERSION,
            program: Program::default(),
            environment: Environment::default(),
            brokers: Vec::new(),
            workload: Workload::default(),
            repetitions: vec![Repetition { number: 1, steps: vec![step], verdict: Some(Verdict::default()), is_undrained: false }],
        }
    }

    #[test]
    fn it_survives_json() {
        let before = serde_json::to_value(outcome()).expect("serializes");
        let read: RunOutcome = serde_json::from_value(before.clone()).expect("reads");
        assert_eq!(serde_json::to_value(&read).expect("serializes"), before);
        assert_eq!(before["repetitions"][0]["steps"][0]["schedule"]["shape"], "poisson");
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).expect("serializes"), role.name());
        }
    }

    #[test]
    fn rates_go_by_role_and_the_measured_time() {
        let outcome = outcome();
        let step = &outcome.repetitions[0].steps[0];
        assert_eq!((step.messages_per_s(Role::TailReader), step.messages_per_s(Role::Producer)), (3000.0, 0.0));
    }

    #[test]
    fn one_invalid_finding_makes_the_run_invalid_and_one_fault_unclean() {
        let mut outcome = outcome();
        assert!(outcome.is_valid() && outcome.is_clean());
        let finding = |severity| Finding { severity, kind: FindingKind::SentLate, sentence: "late".into() };
        outcome.repetitions[0].steps[0].findings.push(finding(Severity::Warning));
        assert!(outcome.is_valid());
        outcome.repetitions[0].steps[0].findings.push(finding(Severity::Invalid));
        assert!(!outcome.is_valid() && outcome.is_clean());
        outcome.repetitions[0].steps[0].troubles.given_up = 1;
        assert!(!outcome.is_clean());
    }
}
