//! The machine that runs the load generator and the brokers that it talks to, as they describe themselves.
//!
//! Main thread, before the first step and after the last. Nothing here can fail a run: what is not told is left out.

use super::cluster::Image;
use super::connection::Connection;
use super::outcome::{ApiRange, BrokerFacts, BrokerProcess, Environment, Finding, FindingKind, Severity};
use crate::io::host::{self, ThreadPlace};

/// This machine.
pub fn of_this_machine() -> Environment {
    Environment {
        kernel: host::kernel(),
        processor_model: host::processor_model(),
        processors: host::processors().len(),
        processors_allowed: host::own_processors().unwrap_or_default(),
        governor: host::governor(),
        clock_source: host::clock_source(),
        memory_bytes: host::memory_bytes(),
        load_average: host::load_average(),
    }
}

/// Asks each broker of the image.
pub async fn brokers(image: &Image) -> Vec<BrokerFacts> {
    let mut facts = Vec::new();
    for (broker, address) in &image.brokers {
        let mut fact = BrokerFacts { broker: broker.0, address: address.clone(), ..BrokerFacts::default() };
        if let Ok(connection) = Connection::open(address).await {
            let range = |(api_key, (min, max)): (&i16, &(i16, i16))| ApiRange { api_key: *api_key, min: *min, max: *max };
            fact.apis = connection.versions().iter().map(range).collect();
            fact.features = connection.features().clone();
            let is_here = connection.stream.peer_addr().is_ok_and(|address| is_this_machine(&connection, address.ip()));
            let port = connection.stream.peer_addr().map(|address| address.port()).ok().filter(|_| is_here);
            fact.process = port.and_then(host::listener_on).map(|pid| BrokerProcess {
                pid,
                command: host::command_of(pid).unwrap_or_default(),
                processors: Vec::new(),
            });
        }
        facts.push(fact);
    }
    facts
}

/// A peer on this machine is reached from its own address, or over loopback.
fn is_this_machine(connection: &Connection, peer: std::net::IpAddr) -> bool {
    peer.is_loopback() || connection.stream.local_addr().is_ok_and(|own| own.ip() == peer)
}

/// How busy the threads of the brokers on this machine are before a run: what they use later is compared with it.
#[derive(Debug, Default)]
pub struct BrokerThreads {
    before: Vec<(u32, Vec<ThreadPlace>)>,
}

/// A thread that used less than this share of its process's time is no part of the load (a control or a housekeeping thread).
const BUSY_SHARE_MIN: f64 = 0.05;

impl BrokerThreads {
    pub fn look(brokers: &[BrokerFacts]) -> BrokerThreads {
        let pids = brokers.iter().filter_map(|broker| broker.process.as_ref()).map(|process| process.pid);
        BrokerThreads { before: pids.map(|pid| (pid, host::threads_of(pid))).collect() }
    }

    /// Fills in on which processors the busy threads of each broker may run, and says so if ours may too.
    pub fn compare(&self, brokers: &mut [BrokerFacts], own: &[usize]) -> Option<Finding> {
        let mut shared: Vec<usize> = Vec::new();
        for process in brokers.iter_mut().filter_map(|broker| broker.process.as_mut()) {
            let before = self.before.iter().find(|(pid, _)| *pid == process.pid).map_or(&[][..], |(_, threads)| threads);
            process.processors = busy_processors(before, &host::threads_of(process.pid));
            shared.extend(process.processors.iter().filter(|processor| own.contains(processor)));
        }
        shared.sort_unstable();
        shared.dedup();
        (!shared.is_empty()).then(|| Finding {
            severity: Severity::Warning,
            kind: FindingKind::SharedProcessors,
            sentence: format!(
                "broker and load generator may run on the same processors ({}): each slows the other down. \
                 Keep the generator off them with --processors, and the broker on its own (taskset, or --cores of Pagewire).",
                shared.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
            ),
        })
    }
}

fn busy_processors(before: &[ThreadPlace], now: &[ThreadPlace]) -> Vec<usize> {
    let used = |thread: &ThreadPlace| {
        let earlier = before.iter().find(|earlier| earlier.id == thread.id).map_or(0, |earlier| earlier.cpu_ticks);
        thread.cpu_ticks.saturating_sub(earlier)
    };
    let total: u64 = now.iter().map(used).sum();
    let is_busy = |thread: &&ThreadPlace| total > 0 && used(thread) as f64 >= BUSY_SHARE_MIN * total as f64;
    let mut processors: Vec<usize> = now.iter().filter(is_busy).flat_map(|thread| thread.processors.iter().copied()).collect();
    processors.sort_unstable();
    processors.dedup();
    processors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_threads_that_work_count() {
        let thread = |id, cpu_ticks, processors: &[usize]| ThreadPlace { id, cpu_ticks, processors: processors.to_vec() };
        let before = [thread(1, 500, &[0, 1]), thread(2, 100, &[0])];
        let now = [thread(1, 501, &[0, 1]), thread(2, 300, &[0]), thread(3, 100, &[3])];
        assert_eq!(busy_processors(&before, &now), [0, 3], "the first has done nothing since");
        assert_eq!(busy_processors(&now, &now), Vec::<usize>::new());
    }

    #[test]
    fn sharing_a_processor_with_a_broker_is_said() {
        let own = std::process::id();
        let mut brokers = [BrokerFacts {
            process: Some(BrokerProcess { pid: own, command: String::new(), processors: Vec::new() }),
            ..BrokerFacts::default()
        }];
        // This very process plays the broker; it has used some time since it began.
        let mut sum = 0u64;
        while host::threads_of(own).iter().map(|thread| thread.cpu_ticks).sum::<u64>() < 3 {
            sum = std::hint::black_box(sum + 1);
        }
        let nothing_before = BrokerThreads::default();
        let all = host::own_processors().unwrap();
        let finding = nothing_before.compare(&mut brokers, &all).expect("it shares all of them");
        assert_eq!((finding.kind, finding.severity), (FindingKind::SharedProcessors, Severity::Warning));
        assert!(nothing_before.compare(&mut brokers, &[9999]).is_none());
    }
}
