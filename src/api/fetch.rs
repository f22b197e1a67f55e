//! Fetch: finds the ranges of files that answer it, waits if there is too little, and names them to the connection, which sends
//! them from the page cache.
//!
//! Runs on the core of the connection. A fetch that can be answered from this core's memory never leaves the turn. Sessions: every
//! fetch is a full one, session id 0 is always answered (KIP-227 allows it, every client takes it).

mod answer;
mod plan;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use crate::api::message::RequestInfo;
use crate::base::limits::FETCH_WAIT_MS_MAX;
use crate::base::{CoreId, ErrorCode, Offset};
use crate::io::clock;
use crate::net::response::Response;
use crate::net::service::Reply;
use crate::shard::histograms::Stage;
use crate::shard::partition::{PartitionKey, ReadAnswer};
use crate::shard::waits::{WaiterId, Watcher};
use crate::shard::{Shard, counters};
use crate::wire::fetch;
use plan::Plan;

/// A session id that we never gave out (KIP-227).
const NO_SESSION: i32 = 0;

/// Answers a fetch now if it can, else later.
pub fn handle(shard: &Rc<Shard>, info: RequestInfo, body: &[u8], received_ns: u64) -> Reply {
    let request = match fetch::decode(info.version, body) {
        Ok(request) => request,
        Err(error) => return Reply::Close(format!("Fetch version {}: {error}", info.version)),
    };
    if request.session_id != NO_SESSION && request.session_epoch > 0 {
        return Reply::Now(answer::refuse(info, ErrorCode::FetchSessionIdNotFound));
    }
    let plan = Plan::new(shard, info, &request);
    match shard.try_read_all(&plan.reads, plan.bytes_max) {
        Some(answers) if plan.is_satisfied_by(&answers) || request.max_wait_ms <= 0 => Reply::Now(answer::encode(&plan, answers)),
        answers => {
            let wait_ms = request.max_wait_ms.clamp(0, FETCH_WAIT_MS_MAX) as u64;
            Reply::later(wait(shard.clone(), plan, answers, received_ns + wait_ms * 1_000_000))
        }
    }
}

/// Waits until there is enough or `deadline_ns` has come. `answers`: what a first look found, if it could look.
async fn wait(shard: Rc<Shard>, mut plan: Plan, answers: Option<Vec<ReadAnswer>>, deadline_ns: u64) -> Option<Response> {
    let started_ns = clock::monotonic_ns();
    let mut answers = match answers {
        Some(answers) => answers,
        None => shard.read_all(&mut plan.reads, plan.bytes_max).await,
    };
    let mut waited = false;
    while !plan.is_satisfied_by(&answers) && !shard.is_stopping() {
        let left_ns = deadline_ns.saturating_sub(clock::monotonic_ns());
        if left_ns == 0 {
            break;
        }
        waited = true;
        wait_for_bytes(&shard, &plan, &answers, Duration::from_nanos(left_ns)).await;
        answers = shard.read_all(&mut plan.reads, plan.bytes_max).await;
    }
    if waited {
        counters::add(&shard.counters.fetches_waited, 1);
        shard.histograms.record(Stage::FetchWait, clock::monotonic_ns() - started_ns);
    }
    Some(answer::encode(&plan, answers))
}

/// Returns when the missing bytes were reported or the time is up.
async fn wait_for_bytes(shard: &Rc<Shard>, plan: &Plan, answers: &[ReadAnswer], left: Duration) {
    let mut wait = shard.waits.start(plan.missing_bytes(answers));
    let _watch = Watch::begin(shard, wait.waiter, plan, answers);
    future::or(wait.enough(), crate::io::glommio::sleep(left)).await;
}

/// The partitions that a waiting fetch watches. Dropping it, also because the client is gone, ends that at every core.
struct Watch {
    shard: Rc<Shard>,
    watcher: Watcher,
    partitions: BTreeMap<CoreId, BTreeMap<PartitionKey, Offset>>,
}

impl Watch {
    /// One message for each core: it watches each of its partitions once, from the end that was seen on.
    fn begin(shard: &Rc<Shard>, waiter: WaiterId, plan: &Plan, answers: &[ReadAnswer]) -> Watch {
        let watcher = Watcher { core: shard.core, waiter };
        let mut partitions: BTreeMap<CoreId, BTreeMap<PartitionKey, Offset>> = BTreeMap::new();
        for (read, answer) in plan.reads.iter().zip(answers) {
            partitions.entry(read.core).or_default().insert(read.request.key, answer.high_watermark);
        }
        for (core, partitions) in partitions.clone() {
            let watch = move |owner: &Rc<Shard>| {
                for (key, seen) in partitions {
                    match owner.partition(key) {
                        Some(partition) => partition.watch(owner, watcher, seen),
                        // Deleted or moved meanwhile: reading again says so.
                        None => owner.tell_watchers([watcher], u64::MAX),
                    }
                }
            };
            shard.submit(core, Box::new(watch));
        }
        Watch { shard: shard.clone(), watcher, partitions }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let watcher = self.watcher;
        for (core, partitions) in std::mem::take(&mut self.partitions) {
            let unwatch = move |owner: &Rc<Shard>| {
                for partition in partitions.into_keys().filter_map(|key| owner.partition(key)) {
                    partition.unwatch(watcher);
                }
            };
            self.shard.submit(core, Box::new(unwatch));
        }
    }
}
