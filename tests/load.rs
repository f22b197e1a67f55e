//! `pagewire-load` against a real broker: every mode in a tiny run, and faults and stalls made on purpose, which it must notice.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;
#[path = "load/tampering.rs"]
mod tampering;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pagewire::load::distribution::Distribution;
use pagewire::load::outcome::{FindingKind, Flow, Repetition, Role, RunOutcome, SaturationCause, ScheduleFacts, Severity, Step};

use broker::load::own_address;
use broker::{Broker, command, fresh_dir, pagewire_load};
use tampering::{Proxy, Tampering};

const CLEAN: i32 = 0;
const FAULTS: i32 = 1;
const CANNOT_RUN: i32 = 3;
const INVALID: i32 = 4;

fn start(address: &str, arguments: &str) -> Child {
    let mut command = Command::new(pagewire_load());
    command.args(["--bootstrap", address, "--quiet", "--json", "-"]).args(arguments.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the load generator was built")
}

/// The exit code and the outcome, or what was said instead of one.
fn end(child: Child) -> (i32, Result<RunOutcome, String>) {
    let output = child.wait_with_output().expect("the child is ours");
    let outcome = serde_json::from_slice(&output.stdout).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned());
    (output.status.code().expect("it was not killed"), outcome)
}

/// Runs, with an exit code that does not depend on how busy this machine is.
fn load(broker: &Broker, arguments: &str) -> RunOutcome {
    let (code, outcome) = end(start(&broker.address(0).to_string(), &format!("--self-check warn {arguments}")));
    let outcome = outcome.unwrap_or_else(|said| panic!("{arguments}: {said}"));
    assert_eq!(code, CLEAN, "{arguments}: {:#?}", outcome.repetitions);
    outcome
}

fn flows(step: &Step, role: Role) -> impl Iterator<Item = &Flow> {
    step.flows.iter().filter(move |flow| flow.role == role)
}

fn messages(step: &Step, role: Role) -> u64 {
    flows(step, role).map(|flow| flow.messages).sum()
}

fn count(distribution: &Distribution) -> u64 {
    distribution.unpack().expect("a histogram").0.len()
}

fn received(repetition: &Repetition) -> u64 {
    repetition.verdict.as_ref().expect("something was read").streams.received
}

#[test]
fn each_schedule_sends_what_is_due_and_every_message_is_in_every_histogram() {
    let broker = Broker::start(&[]);
    for (arguments, expected) in [
        ("--topic constant --rate 500 --duration 1s", Some(500)),
        ("--topic bursts --schedule bursts --burst-messages 50 --burst-period 200ms --duration 1s", Some(250)),
        ("--topic poisson --schedule poisson --seed 7 --rate 500 --duration 1s", None),
        ("--topic unpaced --messages 700", Some(700)),
    ] {
        let outcome = load(&broker, &format!("{arguments} --partitions 3 --interval 100ms"));
        let step = &outcome.repetitions[0].steps[0];
        let produced = messages(step, Role::Producer);
        assert_eq!(expected.unwrap_or(produced), produced, "{arguments}");
        // Five standard deviations of a Poisson process around its mean.
        assert!((388..=612).contains(&produced) || expected.is_some(), "{arguments}: {produced}");
        assert_eq!((messages(step, Role::TailReader), received(&outcome.repetitions[0])), (produced, produced), "{arguments}");
        for role in [Role::Producer, Role::TailReader] {
            for of in [|flow: &Flow| count(&flow.from_intended), |flow: &Flow| count(&flow.from_sent)] {
                assert_eq!(flows(step, role).map(of).sum::<u64>(), produced, "{arguments}: {role:?}");
            }
            assert_eq!(
                flows(step, role).map(|flow| count(&flow.round_trips)).sum::<u64>(),
                flows(step, role).map(|flow| flow.requests).sum::<u64>()
            );
            let in_intervals = step.intervals.iter().flat_map(|interval| &interval.flows).filter(|flow| flow.role == role);
            assert_eq!(in_intervals.map(|flow| count(&flow.from_intended)).sum::<u64>(), produced, "{arguments}: {role:?}");
        }
        assert!(step.intervals.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns), "no hole between intervals");
        let is_paced = !matches!(step.schedule, ScheduleFacts::AsFastAsPossible);
        assert_eq!(count(&step.generator.lateness) > 0, is_paced, "{arguments}");
        assert!(step.generator.threads.len() == 1 && step.generator.threads[0].cpu_ns > 0);
        assert!(!outcome.brokers.is_empty() && outcome.brokers.iter().all(|facts| facts.apis.iter().any(|api| api.api_key == 18)));
        let pids: Vec<u32> = outcome.brokers.iter().filter_map(|facts| facts.process.as_ref()).map(|process| process.pid).collect();
        assert!(pids.iter().all(|pid| *pid == broker.pid()) && pids.len() == outcome.brokers.len(), "it runs here: {pids:?}");
    }
}

#[test]
fn the_warm_up_is_in_no_figure_and_in_its_own_intervals() {
    let broker = Broker::start(&[]);
    let outcome = load(&broker, "--rate 1000 --duration 1s --warmup 400ms --interval 200ms");
    let step = &outcome.repetitions[0].steps[0];
    assert_eq!((messages(step, Role::Producer), received(&outcome.repetitions[0])), (600, 1000));
    assert_eq!(step.span.measure_from_ns - step.span.start_ns, 400_000_000);
    let warm: Vec<_> = step.intervals.iter().filter(|interval| interval.is_warmup).collect();
    assert!(!warm.is_empty() && warm.iter().any(|interval| interval.flows.iter().any(|flow| flow.messages > 0)));
    assert!(warm.iter().all(|interval| interval.end_ns <= step.span.measure_from_ns));
}

#[test]
fn steps_rise_until_the_broker_has_had_enough_and_repetitions_begin_anew() {
    let broker = Broker::start(&[]);
    let outcome = load(&broker, "--steps 200,400 --duration 500ms --repetitions 2 --saturation-share 1");
    for (repetition, number) in outcome.repetitions.iter().zip(1..) {
        let counts: Vec<u64> = repetition.steps.iter().map(|step| messages(step, Role::Producer)).collect();
        assert_eq!((repetition.number, counts, received(repetition)), (number, vec![100, 200], 300));
        assert!(repetition.saturated_step().is_none());
    }
    assert_eq!(outcome.repetitions.len(), 2);
    // No broker answers within no time at all.
    let outcome = load(&broker, "--steps auto --rate 100 --duration 300ms --saturation-p99 0 --saturation-share 1");
    let repetition = &outcome.repetitions[0];
    let saturated = repetition.saturated_step().and_then(|step| step.saturation.as_ref()).expect("it is saturated");
    assert_eq!((repetition.steps.len(), saturated.cause), (1, SaturationCause::LatencyAboveBound));
    let outcome = load(&broker, "--steps auto --rate 100 --duration 200ms --saturation-p99 1h --saturation-share 95 --message-bytes 100K");
    let steps = &outcome.repetitions[0].steps;
    assert!(steps.len() > 1 && steps.last().is_some_and(|step| step.saturation.is_some()), "some rate is too much for any broker");
    assert!(steps.iter().rev().skip(1).all(|step| step.saturation.is_none()));
}

#[test]
fn many_readers_of_each_kind_have_figures_of_their_own() {
    let broker = Broker::start(&[]);
    load(&broker, "--mode produce --partitions 2 --messages 3000 --message-bytes 100");
    let line = "--rate 400 --duration 2s --message-bytes 100 --producers 4 --keys 64 --batch-bytes 2K \
                --fan-out 3 --consumers 2 --backfill-readers 1 --slow-readers 2 --slow-reader-rate 20";
    let outcome = load(&broker, line);
    let step = &outcome.repetitions[0].steps[0];
    let produced = messages(step, Role::Producer);
    assert_eq!((produced, messages(step, Role::TailReader)), (800, 2400));
    assert!(messages(step, Role::BackfillReader) >= 3000, "{}", messages(step, Role::BackfillReader));
    assert!(flows(step, Role::BackfillReader).all(|flow| flow.from_intended.is_empty() && count(&flow.round_trips) > 0));
    let slow = messages(step, Role::SlowReader);
    assert!(slow > 0 && slow < 800, "two readers of 20 messages/s each read {slow} in two seconds");
    let classes: Vec<(Role, usize)> = outcome.workload.readers.iter().map(|class| (class.role, class.copies)).collect();
    assert_eq!(classes, [(Role::TailReader, 3), (Role::BackfillReader, 1), (Role::SlowReader, 2)]);
    let (code, said) = end(start(&broker.address(0).to_string(), "--keys 1"));
    assert!(code == CANNOT_RUN && said.as_ref().is_err_and(|said| said.contains("use more keys")), "{said:?}");
}

#[test]
fn connections_come_and_go_and_nothing_is_lost() {
    let broker = Broker::start(&[]);
    let outcome = load(&broker, "--rate 500 --duration 2s --producers 3 --consumers 2 --partitions 2 --fetch-wait 50ms --churn 40");
    let step = &outcome.repetitions[0].steps[0];
    assert_eq!(received(&outcome.repetitions[0]), 1000);
    assert!(step.troubles.churned > 5 && step.troubles.disconnects == 0, "{:?}", step.troubles);
    assert!(count(&step.connects) >= step.troubles.churned / 2);
}

#[test]
fn a_reader_that_retention_overtakes_goes_on_and_says_what_it_missed() {
    let broker = Broker::start(&["--cores", "0"]);
    let line = "--self-check warn --topic short --rate 1000 --duration 4s --message-bytes 100 --slow-readers 1 --slow-reader-rate 20";
    let child = start(&broker.address(0).to_string(), line);
    let is_there = || command::json(&broker, "topics list").to_string().contains("\"short\"");
    while !is_there() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(1500));
    command::said(&broker, "topics delete-records short --partition 0 --before 900");
    let (code, outcome) = end(child);
    let outcome = outcome.expect("an outcome");
    let step = &outcome.repetitions[0].steps[0];
    let slow: Vec<&Flow> = flows(step, Role::SlowReader).collect();
    assert_eq!((code, received(&outcome.repetitions[0]) > 4000), (CLEAN, true), "{:?}", outcome.repetitions[0].verdict);
    assert!(slow[0].overtaken == 1 && (1..900).contains(&slow[0].missed_offsets), "{slow:?}");
}

#[test]
fn answers_that_no_broker_may_give_are_noticed() {
    for (tampering, expected) in [
        (Tampering::FlipABitOfFetchedRecords, "corrupt"),
        (Tampering::AnswerAnotherProduceRequest, "where"),
        (Tampering::SayLessThanProduceAnswers, "cannot be read"),
    ] {
        let own = own_address(1);
        let proxy_port = own_address(1).rsplit_once(':').expect("a port").1.parse::<u16>().expect("a number");
        let directory = fresh_dir();
        let port = proxy_port.to_string();
        let arguments = ["--cores", "0", "--listen", &own, "--advertise", "per-node", "--advertised-port", &port];
        let _broker = Broker::start_in(directory.path(), &arguments);
        let proxy = Proxy::start(proxy_port, &own, tampering);
        let line = "--self-check warn --rate 500 --duration 1s --drain-timeout 5s";
        let (code, outcome) = end(start(&proxy.address(), line));
        let outcome = outcome.expect("an outcome");
        let said = serde_json::to_string(&outcome.repetitions).expect("it serializes");
        assert!(code == FAULTS && said.contains(expected), "{tampering:?}: exit {code}\n{said}");
        assert!(proxy.has_tampered());
        let repetition = &outcome.repetitions[0];
        match tampering {
            Tampering::FlipABitOfFetchedRecords => {
                assert!(repetition.verdict.as_ref().is_some_and(|verdict| verdict.partitions.corrupt > 0), "{said}");
            }
            _ => assert!(repetition.steps[0].troubles.wrong_answers > 0, "{said}"),
        }
    }
}

#[test]
fn a_generator_that_was_late_itself_says_so_and_does_not_pass() {
    let broker = Broker::start(&[]);
    let child = start(&broker.address(0).to_string(), "--topic late --rate 1000 --duration 3s");
    std::thread::sleep(Duration::from_millis(1500));
    let signal = |name: &str| {
        let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        assert!(status.expect("kill is there").success(), "the run is still under way");
    };
    // Half a second in which the broker is idle and the generator does not get to send.
    signal("STOP");
    std::thread::sleep(Duration::from_millis(500));
    signal("CONT");
    let (code, outcome) = end(child);
    let outcome = outcome.expect("an outcome");
    let findings = &outcome.repetitions[0].steps[0].findings;
    let late = findings.iter().find(|finding| finding.kind == FindingKind::SentLate).expect("it noticed");
    assert_eq!((code, late.severity), (INVALID, Severity::Invalid), "{findings:?}");
    assert!(late.sentence.contains("--threads"), "it says what to do: {}", late.sentence);
    assert!(outcome.is_clean() && !outcome.is_valid());
}

#[test]
fn it_keeps_to_the_processors_it_is_given() {
    let broker = Broker::start(&[]);
    let outcome = load(&broker, "--messages 10 --processors 0");
    assert_eq!(outcome.environment.processors_allowed, [0]);
    let (code, said) = end(start(&broker.address(0).to_string(), "--processors 8000"));
    assert!(code == CANNOT_RUN && said.as_ref().is_err_and(|said| said.contains("--processors")), "{said:?}");
}

#[test]
fn producing_and_consuming_stand_alone() {
    let broker = Broker::start(&[]);
    let produced = load(&broker, "--mode produce --messages 500 --acks 0 --partitions 2 --codec zstd");
    assert!(produced.repetitions[0].verdict.is_none());
    let consumed = load(&broker, "--mode consume");
    assert_eq!((received(&consumed.repetitions[0]), messages(&consumed.repetitions[0].steps[0], Role::TailReader)), (500, 500));
    let some = load(&broker, "--mode consume --messages 100");
    assert!(received(&some.repetitions[0]) >= 100);
}

#[test]
fn an_interrupt_ends_what_is_due_and_counts_what_was() {
    let broker = Broker::start(&[]);
    let child = start(&broker.address(0).to_string(), "--self-check warn --rate 200 --duration 10m --partitions 2");
    std::thread::sleep(Duration::from_millis(1500));
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(status.expect("kill is there").success());
    let (code, outcome) = end(child);
    let repetition = &outcome.expect("an outcome").repetitions[0];
    let produced = messages(&repetition.steps[0], Role::Producer);
    assert_eq!((code, received(repetition)), (CLEAN, produced));
    assert!(produced > 0 && repetition.steps[0].span.end_ns - repetition.steps[0].span.start_ns < 600_000_000_000);
}
