//! Was it the broker that was measured, or the load generator and its machine?
//!
//! Pure: judges a step by what the generator recorded about itself. What it finds is a warning if the figures still hold, and makes them
//! invalid if they do not. A bound stands beside each rule; all are generous to the generator where they can hide nothing from the reader.

use super::outcome::{Finding, FindingKind, Role, Severity, Step};
use super::statistics::Latencies;

/// Lateness up to here is never held against anyone: timers of a busy kernel are no better.
const LATENESS_NS_FREE: u64 = 1_000_000;
/// Beyond that, the generator's own 99th percentile may be this share of the one it reports.
const LATENESS_SHARE_MAX: f64 = 0.1;
/// A thread that is busier than this has no room for the next message in time.
const BUSY_SHARE_MAX: f64 = 0.9;
/// Of a thread's time, spent ready to run and waiting.
const WAITING_SHARE_WARNING: f64 = 0.01;
const WAITING_SHARE_MAX: f64 = 0.05;
/// Of all processors' time, taken away by the hypervisor.
const STEAL_SHARE_WARNING: f64 = 0.005;
const STEAL_SHARE_MAX: f64 = 0.02;
/// Below this a 99th percentile is one of ten messages.
const SAMPLES_MIN: u64 = 1000;
/// A part shorter than this says nothing about shares of time.
const WALL_NS_MIN: u64 = 100_000_000;

/// What the histograms of a step say, merged over brokers.
#[derive(Clone, Debug, Default)]
pub struct Seen<'a> {
    pub produced: Option<&'a Latencies>,
    pub consumed: Option<&'a Latencies>,
    pub lateness: Latencies,
    pub hiccups: Latencies,
}

/// Everything that is to be said about a step.
pub fn check(step: &Step, seen: &Seen<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_paced = step.schedule.messages_per_s().is_some();
    if let Some(produced) = seen.produced.filter(|_| is_paced) {
        findings.extend(lateness(
            FindingKind::SentLate,
            "batches left late although their connections had room",
            &seen.lateness,
            produced,
            "Spread the load with --threads, give the generator processors of its own (--processors), or ask for a lower --rate.",
        ));
    }
    if let Some(consumed) = seen.consumed {
        findings.extend(lateness(
            FindingKind::ReadLate,
            "the threads that read were late for other things",
            &seen.hiccups,
            consumed,
            "Spread the readers with --threads, or give the generator processors of its own (--processors).",
        ));
    }
    threads(step, &mut findings);
    steal(step, &mut findings);
    few_samples(step, &mut findings);
    findings
}

fn lateness(kind: FindingKind, what: &str, own: &Latencies, reported: &Latencies, remedy: &str) -> Option<Finding> {
    let (own_p99, reported_p99) = (own.0.value_at_quantile(0.99), reported.0.value_at_quantile(0.99));
    let is_late = own_p99 > LATENESS_NS_FREE && own_p99 as f64 > LATENESS_SHARE_MAX * reported_p99 as f64;
    is_late.then(|| Finding {
        severity: Severity::Invalid,
        kind,
        sentence: format!(
            "{what}: {:.2} ms at the 99th percentile (at most {:.2} ms), more than a tenth of the {:.2} ms that are reported. {remedy}",
            own_p99 as f64 / 1e6,
            own.0.max() as f64 / 1e6,
            reported_p99 as f64 / 1e6
        ),
    })
}

fn threads(step: &Step, findings: &mut Vec<Finding>) {
    let used = || step.generator.threads.iter().filter(|thread| thread.wall_ns >= WALL_NS_MIN);
    let share = |ns: u64, wall_ns: u64| ns as f64 / wall_ns as f64;
    let busiest = used().map(|thread| (share(thread.cpu_ns, thread.wall_ns), thread)).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((busy, thread)) = busiest.filter(|(busy, _)| *busy > BUSY_SHARE_MAX) {
        let sentence = format!(
            "thread {} used {:.0} % of a processor: the figures may be the generator's own limit. \
             Add --threads (and processors), or ask for a lower --rate.",
            thread.name,
            busy * 100.0
        );
        findings.push(Finding { severity: Severity::Invalid, kind: FindingKind::OutOfProcessor, sentence });
    }
    let waited = used().filter_map(|thread| Some((share(thread.waiting_ns?, thread.wall_ns), thread)));
    if let Some((waited, thread)) = waited.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(waited, _)| *waited > WAITING_SHARE_WARNING) {
        let switches = thread.involuntary_switches.map(|count| format!(", with {count} involuntary switches")).unwrap_or_default();
        let sentence = format!(
            "thread {} was ready to run and waited for a processor {:.1} % of the time{switches}: others run on its processors. \
             Stop them, or choose free processors with --processors.",
            thread.name,
            waited * 100.0
        );
        let severity = if waited > WAITING_SHARE_MAX { Severity::Invalid } else { Severity::Warning };
        findings.push(Finding { severity, kind: FindingKind::WaitedForProcessor, sentence });
    }
}

fn steal(step: &Step, findings: &mut Vec<Finding>) {
    if let Some(share) = step.generator.steal_share.filter(|share| *share > STEAL_SHARE_WARNING) {
        let severity = if share > STEAL_SHARE_MAX { Severity::Invalid } else { Severity::Warning };
        let sentence = format!(
            "the hypervisor gave {:.1} % of the processors' time to other guests: what is measured depends on them. \
             Repeat on a machine, or at a time, without neighbours.",
            share * 100.0
        );
        findings.push(Finding { severity, kind: FindingKind::ProcessorStolen, sentence });
    }
}

fn few_samples(step: &Step, findings: &mut Vec<Finding>) {
    let messages = |role: Role| step.flows.iter().filter(|flow| flow.role == role).map(|flow| flow.messages).sum::<u64>();
    let count = messages(Role::Producer);
    if (1..SAMPLES_MIN).contains(&count) {
        let sentence = format!("{count} messages are few for percentiles beyond the 90th. Measure longer.");
        findings.push(Finding { severity: Severity::Warning, kind: FindingKind::FewSamples, sentence });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::{Generator, ScheduleFacts, ThreadUse};

    fn latencies(latency_ns: u64) -> Latencies {
        let mut latencies = Latencies::default();
        latencies.record(latency_ns, 1000);
        latencies
    }

    fn paced() -> Step {
        Step { schedule: ScheduleFacts::Constant { messages_per_s: 1000.0 }, ..Step::default() }
    }

    fn kinds(findings: &[Finding]) -> Vec<(FindingKind, Severity)> {
        findings.iter().map(|finding| (finding.kind, finding.severity)).collect()
    }

    #[test]
    fn lateness_counts_against_what_is_reported() {
        let judged = |late_ns, reported_ns| {
            let produced = latencies(reported_ns);
            let seen = Seen { produced: Some(&produced), lateness: latencies(late_ns), ..Seen::default() };
            kinds(&check(&paced(), &seen))
        };
        assert_eq!(judged(3_000_000, 10_000_000), [(FindingKind::SentLate, Severity::Invalid)]);
        assert_eq!(judged(3_000_000, 50_000_000), [], "hardly to be seen in what is reported");
        assert_eq!(judged(900_000, 1_000_000), [], "below what timers can do");
        let produced = latencies(10_000_000);
        let seen = Seen { produced: Some(&produced), lateness: latencies(3_000_000), ..Seen::default() };
        assert_eq!(kinds(&check(&Step::default(), &seen)), [], "a closed loop has no due times");
        let seen = Seen { consumed: Some(&produced), hiccups: latencies(3_000_000), ..Seen::default() };
        assert_eq!(kinds(&check(&Step::default(), &seen)), [(FindingKind::ReadLate, Severity::Invalid)]);
    }

    #[test]
    fn a_thread_without_room_and_one_that_waits_are_named() {
        let judged = |cpu_ns, waiting_ns| {
            let thread = ThreadUse { name: "load-3".into(), wall_ns: 1_000_000_000, cpu_ns, waiting_ns, involuntary_switches: Some(9) };
            let threads = vec![ThreadUse { wall_ns: 1_000_000_000, ..ThreadUse::default() }, thread];
            let findings = check(&Step { generator: Generator { threads, ..Generator::default() }, ..paced() }, &Seen::default());
            assert!(findings.iter().all(|finding| finding.sentence.contains("load-3")), "{findings:?}");
            kinds(&findings)
        };
        assert_eq!(judged(950_000_000, None), [(FindingKind::OutOfProcessor, Severity::Invalid)]);
        assert_eq!(judged(500_000_000, Some(20_000_000)), [(FindingKind::WaitedForProcessor, Severity::Warning)]);
        assert_eq!(judged(500_000_000, Some(200_000_000)), [(FindingKind::WaitedForProcessor, Severity::Invalid)]);
        assert_eq!(judged(500_000_000, Some(0)), []);
    }

    #[test]
    fn a_greedy_neighbour_is_noticed() {
        let judged = |share| {
            let generator = Generator { steal_share: Some(share), ..Generator::default() };
            kinds(&check(&Step { generator, ..paced() }, &Seen::default()))
        };
        assert_eq!(judged(0.001), []);
        assert_eq!(judged(0.01), [(FindingKind::ProcessorStolen, Severity::Warning)]);
        assert_eq!(judged(0.1), [(FindingKind::ProcessorStolen, Severity::Invalid)]);
    }
}
