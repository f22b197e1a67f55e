//! `pagewire-load verify`: reads whole logs back and holds them against a journal.
//!
//! Lives on the main thread; the reading is done by the same consumers as in a run.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::sync::{mpsc, watch};

use super::arguments::{Arguments, VerifyArguments};
use super::checker::{PartitionChecker, Verdict};
use super::cluster::{self, LogEnd};
use super::environment;
use super::journal;
use super::lead::plain_step;
use super::outcome::{FORMAT_VERSION, Repetition, RunOutcome, Workload};
use super::phase::{Counters, Event, Phase, StepPlan, Targets};
use super::progress::{DRAW_EVERY, Progress};
use super::run::{RunError, program, settings};
use super::schedule::Pace;
use super::shares::{self, Positions};
use super::statistics::Statistics;
use super::team::Team;
use super::worker::Assignment;
use crate::io::clock::{monotonic_ns, wall_ms};

/// Reads from offset 0 to the end of each log.
///
/// # Errors
/// [`RunError`]: there is no outcome.
pub async fn verify(arguments: &VerifyArguments, command_line: Vec<String>) -> Result<RunOutcome, RunError> {
    let program = program(command_line);
    let journal = journal::read(&arguments.journal)?;
    let mut bootstrap = cluster::connect_any(&arguments.bootstrap).await?;
    let topics = Arc::new(journal.head.topics.clone());
    let image = cluster::image_with_leaders(&mut bootstrap, &topics).await?;
    let brokers = environment::brokers(&image).await;
    let targets = Arc::new(cluster::list_offsets(&image, &topics, LogEnd::Latest).await?);
    // A run of the load generator that only reads, as far as its parts are concerned.
    let mut run = Arguments::parse_from(["pagewire-load", "--mode", "consume"]).run;
    (run.threads, run.consumers) = (arguments.threads, arguments.consumers);
    let shares = shares::divide(&run, targets.len(), &Positions { tail: vec![0; targets.len()], earliest: Vec::new() });
    let (phase, phases) = watch::channel(Phase::Prepare);
    let (event_sender, events) = mpsc::unbounded_channel();
    let (slice_sender, mut slices) = mpsc::unbounded_channel();
    let counters = Arc::new(Counters::default());
    let assignment = Assignment {
        run: journal.head.run,
        settings: settings(&run),
        topics: topics.clone(),
        image,
        bootstrap: arguments.bootstrap.clone(),
        acknowledged: Some(Arc::new(journal.offsets)),
        journal: None,
        counters: counters.clone(),
        phase: phases,
        events: event_sender,
        slices: slice_sender,
    };
    let mut team = Team::start(assignment, shares, events)?;
    team.wait_for(Event::Ready, team.consumers, None).await;
    let (start_ns, start_wall_ms) = (monotonic_ns(), wall_ms().0);
    let plan = StepPlan { number: 1, pace: Pace::AsFastAsPossible, start_ns, measure_from_ns: start_ns, end_ns: u64::MAX };
    phase.send_replace(Phase::Run { step: plan, targets: Some(Targets { number: 1, offsets: targets }) });
    let deadline_ns = start_ns + (arguments.timeout * 1e9) as u64;
    let mut progress = Progress::new(arguments.output.quiet, None);
    let reached = Event::Reached(1);
    let mut statistics = Statistics::default();
    while team.count(reached) < team.consumers && monotonic_ns() < deadline_ns {
        team.wait_for(reached, team.consumers, Some(DRAW_EVERY.min(Duration::from_secs_f64(arguments.timeout)))).await;
        progress.draw(0, &counters, None);
    }
    let is_undrained = team.count(reached) < team.consumers;
    phase.send_replace(Phase::Stop);
    progress.finish();
    let (left, _, read) = team.harvest();
    while let Ok(slice) = slices.try_recv() {
        statistics.add(&slice.statistics);
    }
    statistics.add(&left);
    let partitions: Vec<PartitionChecker> = read.into_iter().flat_map(|account| account.partitions).collect();
    let verdict = Some(Verdict::of(&topics, &partitions, Some(&journal.produced), true));
    if arguments.delete_topics {
        cluster::delete_topics(&mut cluster::connect_any(&arguments.bootstrap).await?, &topics).await?;
    }
    let workload = Workload { bootstrap: arguments.bootstrap.clone(), mode: "verify".into(), ..Workload::default() };
    let steps = vec![plain_step(&plan, start_wall_ms, &statistics)];
    let repetitions = vec![Repetition { number: 1, steps, verdict, is_undrained }];
    let environment = environment::of_this_machine();
    Ok(RunOutcome { format_version: FORMAT_VERSION, program, environment, brokers, workload, repetitions })
}
