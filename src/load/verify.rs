//! `pagewire-load verify`: reads whole logs back and holds them against a journal.
//!
//! Lives on the main thread; the reading is done by the same consumers as in a run.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::sync::{mpsc, watch};

use super::arguments::{Arguments, VerifyArguments};
use super::checker::Verdict;
use super::cluster::{self, LogEnd};
use super::journal;
use super::phase::{Counters, Event, Phase};
use super::progress::{DRAW_EVERY, Progress};
use super::report::Outcome;
use super::run::{RunError, cpu_ns, settings};
use super::schedule::{Pace, Schedule};
use super::shares;
use super::team::Team;
use super::worker::Assignment;
use crate::io::clock::monotonic_ns;

/// Reads from offset 0 to the end of each log.
///
/// # Errors
/// [`RunError`]: no report can be made.
pub async fn verify(arguments: &VerifyArguments, command_line: Vec<String>) -> Result<Outcome, RunError> {
    let cpu_before_ns = cpu_ns();
    let journal = journal::read(&arguments.journal)?;
    let mut bootstrap = cluster::connect_any(&arguments.bootstrap).await?;
    let topics = Arc::new(journal.head.topics.clone());
    let image = cluster::image_with_leaders(&mut bootstrap, &topics).await?;
    let targets = Arc::new(cluster::list_offsets(&image, &topics, LogEnd::Latest).await?);
    // A run of the load generator that only reads, as far as its parts are concerned.
    let mut run = Arguments::parse_from(["pagewire-load", "--mode", "consume"]).run;
    (run.threads, run.consumers) = (arguments.threads, arguments.consumers);
    let never = |lane, lanes, _| Schedule::new(Pace::AsFastAsPossible, lane, lanes, 0);
    let shares = shares::divide(&run, targets.len(), &vec![0; targets.len()], never);
    let (phase, phases) = watch::channel(Phase::Prepare);
    let (event_sender, events) = mpsc::unbounded_channel();
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
    };
    let mut team = Team::start(assignment, shares, events)?;
    team.wait_for(Event::Ready, team.consumers, None).await;
    let start_ns = monotonic_ns();
    phase.send_replace(Phase::Drain { targets, measure_from_ns: start_ns });
    let deadline_ns = start_ns + (arguments.timeout * 1e9) as u64;
    let mut progress = Progress::new(arguments.output.quiet, None);
    while team.count(Event::ConsumerDone) < team.consumers && monotonic_ns() < deadline_ns {
        team.wait_for(Event::ConsumerDone, team.consumers, Some(DRAW_EVERY.min(Duration::from_secs_f64(arguments.timeout)))).await;
        progress.draw(0, &counters);
    }
    let undrained = team.count(Event::ConsumerDone) < team.consumers;
    phase.send_replace(Phase::Stop);
    progress.finish();
    let (statistics, _, partitions) = team.harvest();
    let verdict = Some(Verdict::of(&topics, &partitions, Some(&journal.produced), true));
    if arguments.delete_topics {
        cluster::delete_topics(&mut cluster::connect_any(&arguments.bootstrap).await?, &topics).await?;
    }
    let elapsed_s = (monotonic_ns() - start_ns) as f64 / 1e9;
    let cpu_s = (cpu_ns() - cpu_before_ns) as f64 / 1e9;
    Ok(Outcome { arguments: command_line, measure_from_ns: start_ns, elapsed_s, cpu_s, statistics, verdict, undrained })
}
