//! A whole run, from the first question to a broker to the report: prepares topics, divides the work, leads the phases, judges.
//!
//! Lives on the main thread, in a tokio current-thread runtime. Invariant: phases go forward only, see `phase`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::arguments::{Mode, RunArguments, StartAt};
use super::checker::Verdict;
use super::cluster::{self, LogEnd, TopicShape};
use super::fetch_request::FetchSizes;
use super::identity::RunId;
use super::journal::{JournalError, JournalHead, JournalThread};
use super::lane::LaneRules;
use super::peer_error::PeerError;
use super::phase::{Counters, Event, Phase};
use super::producer::ProducerSettings;
use super::progress::{DRAW_EVERY, Progress};
use super::report::Outcome;
use super::schedule::{Pace, Rate, Schedule};
use super::shares;
use super::team::Team;
use super::worker::{Assignment, Settings};
use crate::io::clock::monotonic_ns;

/// What ends a run before it has a report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot start a worker thread: {0}. Are there enough file descriptors (ulimit -n) and threads?")]
    Worker(std::io::Error),
}

/// Between the moment when all connections stand and the first due message.
const START_DELAY_NS: u64 = 20_000_000;
const DEFAULT_DURATION_S: f64 = 10.0;
const RETRY_BACKOFF_NS: u64 = 100_000_000;

fn ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn fetch_sizes(arguments: &RunArguments) -> FetchSizes {
    FetchSizes {
        wait_ms_max: (arguments.fetch_wait * 1000.0) as i32,
        bytes_min: arguments.fetch_min_bytes as i32,
        bytes_max: arguments.fetch_max_bytes as i32,
        partition_bytes_max: arguments.fetch_partition_bytes as i32,
    }
}

fn producer_settings(arguments: &RunArguments) -> ProducerSettings {
    let rules = LaneRules {
        messages_per_batch: shares::messages_per_batch(arguments.batch_bytes, arguments.message_bytes),
        linger_ns: ns(arguments.linger),
        delivery_timeout_ns: ns(arguments.delivery_timeout),
        retry_backoff_ns: RETRY_BACKOFF_NS,
    };
    ProducerSettings {
        acks: arguments.acks.code(),
        request_timeout_ms: (arguments.request_timeout * 1000.0) as i32,
        in_flight_max: arguments.in_flight,
        batch_bytes: arguments.batch_bytes.max(arguments.message_bytes),
        request_bytes_max: arguments.request_bytes_max,
        message_bytes: arguments.message_bytes,
        idempotent: arguments.idempotent,
        rules,
        drain_timeout_ns: ns(arguments.drain_timeout),
    }
}

/// How the traffic of a run looks.
pub fn settings(arguments: &RunArguments) -> Settings {
    Settings { producer: producer_settings(arguments), codec: arguments.codec, filler: arguments.filler, fetch: fetch_sizes(arguments) }
}

/// Runs what the arguments ask for.
///
/// # Errors
/// [`RunError`]: no report can be made.
pub async fn run(arguments: &RunArguments, command_line: Vec<String>) -> Result<Outcome, RunError> {
    let cpu_before_ns = cpu_ns();
    let mut bootstrap = cluster::connect_any(&arguments.bootstrap).await?;
    let shape = TopicShape {
        partitions: arguments.partitions,
        replication_factor: arguments.replication_factor,
        configs: arguments.topic_config.clone(),
    };
    let may_create = !arguments.no_create && arguments.produces();
    let topics = Arc::new(cluster::ensure_topics(&mut bootstrap, &arguments.topic_names(), may_create.then_some(&shape)).await?);
    let image = cluster::image_with_leaders(&mut bootstrap, &topics).await?;
    let from_start = arguments.mode == Mode::Consume && arguments.from == StartAt::Earliest;
    let positions = match (arguments.consumes(), from_start) {
        (false, _) => Vec::new(),
        (true, true) => cluster::list_offsets(&image, &topics, LogEnd::Earliest).await?,
        (true, false) => cluster::list_offsets(&image, &topics, LogEnd::Latest).await?,
    };
    // Consuming without a limit means: what is there now.
    let unlimited = arguments.duration.is_none() && arguments.messages.is_none();
    let fixed_targets = match arguments.mode == Mode::Consume && unlimited {
        true => Some(Arc::new(cluster::list_offsets(&image, &topics, LogEnd::Latest).await?)),
        false => None,
    };
    let run = RunId(uuid::Uuid::new_v4().as_u128() as u32);
    let head = JournalHead { version: 1, run, topics: topics.to_vec() };
    let journal = arguments.journal.as_ref().map(|path| JournalThread::start(path, &head)).transpose()?;
    let pace = arguments.rate.map_or(Pace::AsFastAsPossible, |rate| Pace::Constant(Rate::per_second(rate)));
    let partitions: usize = topics.iter().map(|topic| topic.partitions as usize).sum();
    let schedule = |lane, lanes, quota| Schedule::new(pace, lane, lanes, quota);
    let shares = shares::divide(arguments, partitions, &positions, schedule);
    let (phase, phases) = watch::channel(Phase::Prepare);
    let (event_sender, events) = mpsc::unbounded_channel();
    let counters = Arc::new(Counters::default());
    let assignment = Assignment {
        run,
        topics: topics.clone(),
        image: image.clone(),
        bootstrap: arguments.bootstrap.clone(),
        settings: settings(arguments),
        acknowledged: None,
        journal: journal.as_ref().map(|journal| journal.sender.clone()),
        counters: counters.clone(),
        phase: phases,
        events: event_sender,
    };
    let mut team = Team::start(assignment, shares, events)?;
    team.wait_for(Event::Ready, team.producers + team.consumers, None).await;

    let start_ns = monotonic_ns() + if arguments.produces() { START_DELAY_NS } else { 0 };
    let duration_s = match (arguments.duration, arguments.messages, &fixed_targets) {
        (Some(duration), ..) => Some(duration),
        (None, None, None) => Some(DEFAULT_DURATION_S),
        _ => None,
    };
    let end_ns = duration_s.map_or(u64::MAX, |duration| start_ns + ns(duration));
    let measure_from_ns = start_ns + ns(arguments.warmup);
    phase.send_replace(match &fixed_targets {
        Some(targets) => Phase::Drain { targets: targets.clone(), measure_from_ns },
        None => Phase::Run { start_ns, end_ns, measure_from_ns },
    });
    let mut progress = Progress::new(arguments.output.quiet, duration_s);

    let wanted = match arguments.mode {
        Mode::Consume => (Event::ConsumerDone, team.consumers),
        Mode::Both | Mode::Produce => (Event::ProducerDone, team.producers),
    };
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut stopping_early = false;
    loop {
        let enough = arguments.mode == Mode::Consume
            && (monotonic_ns() >= end_ns
                || arguments.messages.is_some_and(|messages| counters.received.load(Ordering::Relaxed) >= messages));
        if team.count(wanted.0) >= wanted.1 || enough || (stopping_early && arguments.mode == Mode::Consume) {
            break;
        }
        tokio::select! {
            () = team.wait_for(wanted.0, wanted.1, Some(DRAW_EVERY)) => {}
            _ = &mut interrupted, if !stopping_early => {
                stopping_early = true;
                // Nothing is due any more; what is under way is still awaited and read.
                phase.send_replace(Phase::Run { start_ns, end_ns: monotonic_ns().max(start_ns), measure_from_ns });
            }
        }
        progress.draw(monotonic_ns().saturating_sub(start_ns) / 1_000_000, &counters);
    }
    let mut undrained = false;
    if arguments.mode == Mode::Both {
        let image = cluster::image_with_leaders(&mut cluster::connect_any(&addresses(arguments, &image)).await?, &topics).await?;
        let targets = Arc::new(cluster::list_offsets(&image, &topics, LogEnd::Latest).await?);
        phase.send_replace(Phase::Drain { targets, measure_from_ns });
        let timeout = Duration::from_secs_f64(arguments.drain_timeout);
        team.wait_for(Event::ConsumerDone, team.consumers, Some(timeout)).await;
        undrained = team.count(Event::ConsumerDone) < team.consumers;
    }
    let elapsed_s = monotonic_ns().saturating_sub(start_ns) as f64 / 1e9;
    phase.send_replace(Phase::Stop);
    progress.finish();
    let (mut statistics, produced, partitions) = team.harvest();
    if let Some(journal) = journal
        && let Err(error) = journal.finish()
    {
        statistics.remark(error.to_string());
    }
    let verdict = match arguments.mode {
        Mode::Produce => None,
        Mode::Consume => Some(Verdict::of(&topics, &partitions, None, false)),
        Mode::Both => Some(Verdict::of(&topics, &partitions, Some(&produced), false)),
    };
    if arguments.delete_topics {
        let mut connection = cluster::connect_any(&addresses(arguments, &image)).await?;
        cluster::delete_topics(&mut connection, &topics).await?;
    }
    let cpu_s = (cpu_ns() - cpu_before_ns) as f64 / 1e9;
    Ok(Outcome { arguments: command_line, measure_from_ns, elapsed_s, cpu_s, statistics, verdict, undrained })
}

fn addresses(arguments: &RunArguments, image: &cluster::Image) -> Vec<String> {
    arguments.bootstrap.iter().chain(image.brokers.values()).cloned().collect()
}

/// CPU time of this process, all threads, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
