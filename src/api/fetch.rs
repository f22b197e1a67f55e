//! Fetch: finds the ranges of files that answer it, waits if there is too little, and names them to the connection, which sends
//! them from the page cache.
//!
//! Runs on the core of the connection. A fetch that can be answered from this core's memory never leaves the turn. A fetch of a session
//! (KIP-227) reads only the partitions that may have something new; session id 0, "none", is answered where a session was not asked for or there is no
//! room for one.

mod answer;
mod plan;
mod session;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use crate::api::message::RequestInfo;
use crate::base::limits::FETCH_WAIT_MS_MAX;
use crate::base::{CoreId, Offset};
use crate::cluster::client_quotas::QuotaKind;
use crate::io::clock;
use crate::net::response::Response;
use crate::net::service::Reply;
use crate::shard::histograms::Stage;
use crate::shard::partition::{PartitionKey, ReadAnswer};
use crate::shard::quotas::LimitedClient;
use crate::shard::reads::{PlacedRead, ReadAnswers};
use crate::shard::waits::{Listener, WaiterId, Watcher};
use crate::shard::{Shard, counters};
use crate::wire::fetch;
use plan::Plan;
use session::Session;

/// What the answer depends on besides the partitions.
struct Asker {
    session: Option<Session>,
    /// If a quota limits the client.
    limited: Option<LimitedClient>,
}

/// Answers a fetch now if it can, else later.
pub fn handle(shard: &Rc<Shard>, info: RequestInfo, client_id: Option<&str>, body: &[u8], received_ns: u64) -> Reply {
    let request = match fetch::decode(info.version, body) {
        Ok(request) => request,
        Err(error) => return Reply::Close(format!("Fetch version {}: {error}", info.version)),
    };
    let session = match session::open(shard, info.version, &request) {
        Ok(session) => session,
        Err(error) => return Reply::Now(answer::refuse(info, error)),
    };
    let asker = Asker { session, limited: shard.quotas.client(QuotaKind::Fetch, client_id) };
    let bytes_max = asker.limited.as_ref().map_or(usize::MAX, LimitedClient::bytes_max);
    let mut plan = Plan::new(shard, info, &request, bytes_max);
    match &asker.session {
        Some(session) => session.plan(shard, &mut plan),
        None => plan.read_request(shard, &request),
    }
    match shard.try_read_all(&plan.reads, plan.bytes_max) {
        Some(answers) if plan.is_satisfied_by(&answers) || request.max_wait_ms <= 0 => {
            Reply::Now(answer::encode(shard, &mut plan, answers, asker))
        }
        answers => {
            let wait_ms = request.max_wait_ms.clamp(0, FETCH_WAIT_MS_MAX) as u64;
            Reply::later(wait(shard.clone(), plan, asker, answers, received_ns + wait_ms * 1_000_000))
        }
    }
}

/// Waits until there is enough or `deadline_ns` has come. `answers`: what a first look found, if it could look.
async fn wait(shard: Rc<Shard>, mut plan: Plan, asker: Asker, answers: Option<ReadAnswers>, deadline_ns: u64) -> Option<Response> {
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
        wait_for_bytes(&shard, &plan, asker.session.as_ref(), &answers, Duration::from_nanos(left_ns)).await;
        if let Some(session) = &asker.session {
            session.plan(&shard, &mut plan);
        }
        answers = shard.read_all(&mut plan.reads, plan.bytes_max).await;
    }
    if waited {
        counters::add(&shard.counters.fetches_waited, 1);
        shard.histograms.record(Stage::FetchWait, clock::monotonic_ns() - started_ns);
    }
    Some(answer::encode(&shard, &mut plan, answers, asker))
}

/// Returns when the missing bytes were reported or the time is up.
async fn wait_for_bytes(shard: &Rc<Shard>, plan: &Plan, session: Option<&Session>, answers: &[ReadAnswer], left: Duration) {
    let mut wait = shard.waits.start(plan.missing_bytes(answers));
    if let Some(session) = session {
        session.rest(shard, plan, answers);
        if session.listen(wait.waiter) {
            return;
        }
    }
    let is_at_rest = |slot| session.is_some_and(|session| session.is_at_rest(slot));
    let _watch = Watch::begin(shard, wait.waiter, plan.watched(answers, is_at_rest));
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
    fn begin<'a>(shard: &Rc<Shard>, waiter: WaiterId, watched: impl Iterator<Item = (&'a PlacedRead, Offset)>) -> Watch {
        let watcher = Watcher { core: shard.core, listener: Listener::Fetch(waiter) };
        let mut partitions: BTreeMap<CoreId, BTreeMap<PartitionKey, Offset>> = BTreeMap::new();
        for (read, seen) in watched {
            partitions.entry(read.core).or_default().insert(read.request.key, seen);
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
