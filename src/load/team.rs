//! The worker threads of a run: started together, counted while they go, harvested at the end.
//!
//! Lives on the main thread. Invariant: `counts` only rise.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;

use super::checker::{PartitionChecker, Produced};
use super::identity::StreamKey;
use super::phase::Event;
use super::run::RunError;
use super::statistics::Statistics;
use super::worker::{self, Assignment, Harvest, Share};

/// See the module.
pub struct Team {
    pub producers: usize,
    pub consumers: usize,
    threads: Vec<std::thread::JoinHandle<std::io::Result<Harvest>>>,
    events: mpsc::UnboundedReceiver<Event>,
    counts: [usize; 3],
}

impl Team {
    /// Starts one thread per share.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(assignment: Assignment, shares: Vec<Share>, events: mpsc::UnboundedReceiver<Event>) -> Result<Team, RunError> {
        let producers = shares.iter().map(|share| share.producers.len()).sum();
        let consumers = shares.iter().map(|share| share.consumers.len()).sum();
        let mut threads = Vec::new();
        for (number, share) in shares.into_iter().enumerate() {
            let assignment = assignment.clone();
            let thread = std::thread::Builder::new().name(format!("load-{number}"));
            threads.push(thread.spawn(move || worker::work(assignment, share)).map_err(RunError::Worker)?);
        }
        Ok(Team { producers, consumers, threads, events, counts: [0; 3] })
    }

    /// How often this has happened.
    pub fn count(&self, event: Event) -> usize {
        self.counts[event as usize]
    }

    /// Waits until `event` has happened `times` times, or `timeout` has passed, or all workers are gone.
    pub async fn wait_for(&mut self, event: Event, times: usize, timeout: Option<Duration>) {
        let deadline = tokio::time::Instant::now() + timeout.unwrap_or(Duration::from_secs(365 * 24 * 3600));
        while self.count(event) < times {
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Some(came)) => self.counts[came as usize] += 1,
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Waits for all workers to end and adds up what they bring.
    pub fn harvest(self) -> (Statistics, BTreeMap<StreamKey, Produced>, Vec<PartitionChecker>) {
        let (mut statistics, mut produced, mut partitions) = (Statistics::default(), BTreeMap::new(), Vec::new());
        for thread in self.threads {
            match thread.join().expect("a worker does not panic") {
                Ok(harvest) => {
                    statistics.add(harvest.statistics);
                    produced.extend(harvest.produced);
                    partitions.extend(harvest.partitions);
                }
                Err(error) => statistics.remark(RunError::Worker(error).to_string()),
            }
        }
        (statistics, produced, partitions)
    }
}
