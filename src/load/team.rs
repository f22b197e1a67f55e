//! The worker threads of a run: started together, counted while they go, harvested at the end.
//!
//! Lives on the main thread. Invariant: `counts` only rise.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;

use super::checker::Produced;
use super::consumer::ReadAccount;
use super::identity::StreamKey;
use super::outcome::Role;
use super::phase::Event;
use super::run::RunError;
use super::statistics::Statistics;
use super::worker::{self, Assignment, Harvest, Share};

/// See the module.
pub struct Team {
    pub producers: usize,
    pub consumers: usize,
    /// Of the consumers, those that catch up with the end of the logs.
    pub tail_readers: usize,
    threads: Vec<std::thread::JoinHandle<std::io::Result<Harvest>>>,
    events: mpsc::UnboundedReceiver<Event>,
    counts: BTreeMap<Event, usize>,
}

impl Team {
    /// Starts one thread per share.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(assignment: Assignment, shares: Vec<Share>, events: mpsc::UnboundedReceiver<Event>) -> Result<Team, RunError> {
        let producers = shares.iter().map(|share| share.producers.len()).sum();
        let consumers = shares.iter().map(|share| share.consumers.len()).sum();
        let plans = shares.iter().flat_map(|share| &share.consumers);
        let tail_readers = plans.filter(|plan| plan.rules.role == Role::TailReader).count();
        let mut threads = Vec::new();
        for (number, share) in shares.into_iter().enumerate() {
            let assignment = assignment.clone();
            let thread = std::thread::Builder::new().name(format!("load-{number}"));
            threads.push(thread.spawn(move || worker::work(number, assignment, share)).map_err(RunError::Worker)?);
        }
        Ok(Team { producers, consumers, tail_readers, threads, events, counts: BTreeMap::new() })
    }

    /// How many threads.
    pub fn workers(&self) -> usize {
        self.threads.len()
    }

    /// How often this has happened.
    pub fn count(&self, event: Event) -> usize {
        self.counts.get(&event).copied().unwrap_or(0)
    }

    /// Waits until `event` has happened `times` times, or `timeout` has passed, or all workers are gone.
    pub async fn wait_for(&mut self, event: Event, times: usize, timeout: Option<Duration>) {
        let deadline = tokio::time::Instant::now() + timeout.unwrap_or(Duration::from_secs(365 * 24 * 3600));
        while self.count(event) < times {
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Some(came)) => *self.counts.entry(came).or_default() += 1,
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Waits for all workers to end and gathers what they bring.
    pub fn harvest(self) -> (Statistics, BTreeMap<StreamKey, Produced>, Vec<ReadAccount>) {
        let (mut statistics, mut produced, mut read) = (Statistics::default(), BTreeMap::new(), Vec::new());
        for thread in self.threads {
            match thread.join().expect("a worker does not panic") {
                Ok(harvest) => {
                    statistics.add(&harvest.statistics);
                    produced.extend(harvest.produced);
                    read.extend(harvest.read);
                }
                Err(error) => statistics.remark(RunError::Worker(error).to_string()),
            }
        }
        (statistics, produced, read)
    }
}
