//! A whole run, from the first question to a broker to its outcome: prepares topics, divides the work, repeats what was asked for.
//!
//! Lives on the main thread, in a tokio current-thread runtime. Each repetition has workers and connections of its own.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::arguments::{Mode, RunArguments, StartAt};
use super::cluster::{self, Image, LogEnd, Topic, TopicShape};
use super::environment::{self, BrokerThreads};
use super::identity::RunId;
use super::interrupt::Interrupt;
use super::journal::{JournalError, JournalHead, JournalThread};
use super::keys::KEY_BYTES;
use super::lane::LaneRules;
use super::lead::Lead;
use super::options::ns;
use super::outcome::{FORMAT_VERSION, Program, Repetition, RunOutcome, Workload};
use super::peer_error::PeerError;
use super::phase::{Counters, Phase};
use super::producer::ProducerSettings;
use super::shares::{self, Positions};
use super::team::Team;
use super::worker::{Assignment, Settings};
use crate::io::clock::wall_ms;
use crate::io::{host, process_limits};

/// What ends a run before it has an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot start a worker thread: {0}. Are there enough file descriptors (ulimit -n) and threads?")]
    Worker(std::io::Error),
    #[error("--processors: {0}. Are these processors online, and allowed to this process (taskset -p)?")]
    Processors(std::io::Error),
    #[error("--keys {keys}: partition {partition} of topic {topic} gets none of them; use more keys")]
    NoKey { keys: u64, topic: String, partition: usize },
}

const RETRY_BACKOFF_NS: u64 = 100_000_000;

fn producer_settings(arguments: &RunArguments) -> ProducerSettings {
    let key_bytes = if arguments.keys > 0 { KEY_BYTES } else { 0 };
    let rules = LaneRules {
        messages_per_batch: shares::messages_per_batch(arguments.batch_bytes, arguments.message_bytes, key_bytes),
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
    Settings {
        producer: producer_settings(arguments),
        codec: arguments.codec,
        filler: arguments.filler,
        keys: arguments.keys,
        interval_ns: ns(arguments.interval),
    }
}

/// Runs what the arguments ask for.
///
/// # Errors
/// [`RunError`]: there is no outcome.
pub async fn run(arguments: &RunArguments, command_line: Vec<String>) -> Result<RunOutcome, RunError> {
    let program = program(command_line);
    if let Some(processors) = &arguments.processors {
        host::keep_to_processors(&processors.0).map_err(RunError::Processors)?;
    }
    // Each connection is two descriptors. A host that refuses says so when they run out.
    let _ = process_limits::raise_open_files();
    let mut interrupt = Interrupt::listen().map_err(RunError::Worker)?;
    let environment = environment::of_this_machine();
    let mut bootstrap = cluster::connect_any(&arguments.bootstrap).await?;
    let shape = TopicShape {
        partitions: arguments.partitions,
        replication_factor: arguments.replication_factor,
        configs: arguments.topic_config.clone(),
    };
    let may_create = !arguments.no_create && arguments.produces();
    let topics = Arc::new(cluster::ensure_topics(&mut bootstrap, &arguments.topic_names(), may_create.then_some(&shape)).await?);
    check_keys(arguments.keys, &topics)?;
    let image = cluster::image_with_leaders(&mut bootstrap, &topics).await?;
    let mut brokers = environment::brokers(&image).await;
    let broker_threads = BrokerThreads::look(&brokers);
    let mut repetitions: Vec<Repetition> = Vec::new();
    for number in 1..=arguments.repetitions {
        if interrupt.has_come() {
            break;
        }
        repetitions.push(repeat(arguments, number, &topics, &mut interrupt).await?);
    }
    if let Some(finding) = broker_threads.compare(&mut brokers, &environment.processors_allowed)
        && let Some(step) = repetitions.first_mut().and_then(|repetition| repetition.steps.first_mut())
    {
        step.findings.push(finding);
    }
    if arguments.delete_topics {
        let mut connection = cluster::connect_any(&addresses(arguments, &image)).await?;
        cluster::delete_topics(&mut connection, &topics).await?;
    }
    let workload = workload(arguments, &topics);
    Ok(RunOutcome { format_version: FORMAT_VERSION, program, environment, brokers, workload, repetitions })
}

/// This program, started now.
pub fn program(arguments: Vec<String>) -> Program {
    let (name, version) = (super::connection::CLIENT_ID.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Program { name, version, arguments, started_wall_ms: wall_ms().0 }
}

fn check_keys(keys: u64, topics: &[Topic]) -> Result<(), RunError> {
    if keys == 0 {
        return Ok(());
    }
    for topic in topics {
        let of_partition = super::keys::by_partition(keys, topic.partitions);
        if let Some(partition) = of_partition.iter().position(|numbers| numbers.is_empty()) {
            return Err(RunError::NoKey { keys, topic: topic.name.clone(), partition });
        }
    }
    Ok(())
}

async fn repeat(
    arguments: &RunArguments,
    number: u32,
    topics: &Arc<Vec<Topic>>,
    interrupt: &mut Interrupt,
) -> Result<Repetition, RunError> {
    let mut bootstrap = cluster::connect_any(&arguments.bootstrap).await?;
    let image = cluster::image_with_leaders(&mut bootstrap, topics).await?;
    let positions = positions(arguments, &image, topics).await?;
    // Consuming without a limit means: what is there now.
    let is_unlimited = arguments.duration.is_none() && arguments.messages.is_none();
    let fixed_targets = match arguments.mode == Mode::Consume && is_unlimited {
        true => Some(Arc::new(cluster::list_offsets(&image, topics, LogEnd::Latest).await?)),
        false => None,
    };
    let run = RunId(uuid::Uuid::new_v4().as_u128() as u32);
    let head = JournalHead { version: 1, run, topics: topics.to_vec() };
    let journal = arguments.journal.as_ref().map(|path| JournalThread::start(path, &head)).transpose()?;
    let partitions: usize = topics.iter().map(|topic| topic.partitions as usize).sum();
    let shares = shares::divide(arguments, partitions, &positions);
    let (phase, phases) = watch::channel(Phase::Prepare);
    let (event_sender, events) = mpsc::unbounded_channel();
    let (slice_sender, slices) = mpsc::unbounded_channel();
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
        slices: slice_sender,
    };
    let team = Team::start(assignment, shares, events)?;
    let lead = Lead::new(arguments, topics.clone(), image, number, team, phase, slices, counters, interrupt, fixed_targets);
    let mut repetition = lead.repeat().await?;
    if let Some(journal) = journal
        && let Err(error) = journal.finish()
        && let Some(step) = repetition.steps.last_mut()
    {
        step.troubles.remark(error.to_string());
    }
    Ok(repetition)
}

async fn positions(arguments: &RunArguments, image: &Image, topics: &[Topic]) -> Result<Positions, RunError> {
    let mut positions = Positions::default();
    if arguments.consumes() {
        let is_from_start = arguments.mode == Mode::Consume && arguments.from == StartAt::Earliest;
        let from = if is_from_start { LogEnd::Earliest } else { LogEnd::Latest };
        positions.tail = cluster::list_offsets(image, topics, from).await?;
        if arguments.backfill_readers > 0 {
            positions.earliest = cluster::list_offsets(image, topics, LogEnd::Earliest).await?;
        }
    }
    Ok(positions)
}

fn workload(arguments: &RunArguments, topics: &[Topic]) -> Workload {
    Workload {
        bootstrap: arguments.bootstrap.clone(),
        mode: arguments.mode.name().into(),
        topics: topics.len(),
        partitions: topics.iter().map(|topic| topic.partitions as usize).sum(),
        threads: arguments.threads,
        producers: if arguments.produces() { arguments.producers } else { 0 },
        message_bytes: arguments.message_bytes,
        batch_bytes: arguments.batch_bytes,
        linger_ns: ns(arguments.linger),
        codec: arguments.codec.name().into(),
        acks: arguments.acks.code(),
        idempotent: arguments.idempotent,
        in_flight: arguments.in_flight,
        keys: arguments.keys,
        readers: arguments.reader_classes(),
        churn_per_s: arguments.churn,
        warmup_ns: arguments.warmup_ns(),
        duration_ns: arguments.step_duration_ns(arguments.mode == Mode::Consume && arguments.messages.is_none()),
        messages: arguments.messages,
        interval_ns: ns(arguments.interval),
    }
}

/// Where to ask, first those that were given.
pub fn addresses(arguments: &RunArguments, image: &Image) -> Vec<String> {
    arguments.bootstrap.iter().chain(image.brokers.values()).cloned().collect()
}
