//! Assembly: one executor per core, the control thread, and what happens between SIGTERM and the last byte on disk.
//!
//! `run` is called on the main thread, which becomes the control thread. Invariants: requests are accepted only when every core can
//! answer for every partition, or knows that its log is on its way; the clean-shutdown marker is written last, and only if every log was closed cleanly.

mod banner;
mod report;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use thiserror::Error;

use crate::admin::settings::Settings;
use crate::api::Api;
use crate::base::CoreId;
use crate::base::limits::CONNECTIONS_PER_CORE_MAX;
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::controller::NodeDescription;
use crate::cluster::image::{Advertise, DirectoryId, MetadataImage};
use crate::control::checkpoints::Checkpoints;
use crate::control::cores::Cores;
use crate::control::signals::Signals;
use crate::control::start::{self, StartError, StartOptions, Started};
use crate::control::stop;
use crate::control::thread::{self, Control};
use crate::io::glommio::{CoreOptions, CoreThread, Listener, ReservedPort, check_port_is_free, on_stall, spawn, start_core};
use crate::io::{Mesh, MeshEnd, Transfer, clock, entropy, process_limits};
use crate::net::connections::{ConnectionOptions, Connections};
use crate::shard::histograms::Stage;
use crate::shard::message::Message;
use crate::shard::partition::PartitionKey;
use crate::shard::{OpenedPartition, Shard, StoppedCore};

/// How long answers that are under way may take once the broker stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Threads for blocking work beside the cores: file work of logs, searches by time, large batches.
const HELPERS_MAX: usize = 8;
/// Threads that open logs at the start and close them at the end, however few cores there are: each waits for the disk several times, and those that wait
/// together share its flushes.
const LOG_THREADS_MIN: usize = 16;

#[derive(Debug, Error)]
pub enum ServerError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot listen on {address}: {source}; choose another --listen address, or stop what listens there")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start core {core}: {source}; `pagewire doctor` says what the machine lacks")]
    Core { core: u16, source: io::Error },
    #[error("{0}")]
    Host(#[from] io::Error),
    #[error("the broker did not stop cleanly: {0}; the next start will check the logs")]
    Stop(String),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept the broker from starting, or from stopping cleanly.
pub fn run(settings: &Settings) -> Result<(), ServerError> {
    let begun_ns = clock::monotonic_ns();
    let reserved = reserve_ports(settings)?;
    let ports = ports_of(settings, &reserved);
    let Started { lock, image, opened, left, summary } = start::start(&start_options(settings, &ports))?;
    let image = Arc::new(image);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(HELPERS_MAX).build()?;
    // Before anybody is told that the broker is ready: a SIGTERM that comes at once must find somebody who obeys it.
    let signals = runtime.block_on(async { Signals::new() })?;
    let checkpoints = Rc::new(Checkpoints::new(summary.unopened.clone()));
    let (threads, control_end) = start_cores(settings, reserved, &image, opened, &left.keys())?;
    banner::print(settings, &ports, &image, &summary, clock::monotonic_ns() - begun_ns);

    runtime.block_on(async {
        let control = Control {
            cores: Cores::new(control_end),
            data_dir: settings.data_dir.clone(),
            checkpoints: checkpoints.clone(),
            broker_config: settings.broker.clone(),
            image: MetadataImage::clone(&image),
            left,
            signals,
        };
        thread::run(control, report::Reports::new(settings.histograms_dir.clone())).await
    })?;
    // Waits for helper threads: one may still be writing checkpoints, which the last ones must replace.
    drop(runtime);
    let stopped = join(threads)?;
    let closed = stop::close_all(stopped, checkpoints.unopened(), settings.cpus.len().max(LOG_THREADS_MIN));
    let result = stop::mark(&settings.data_dir, &closed).map_err(ServerError::Stop);
    drop(lock);
    result
}

/// A bound socket for each core, on a port of its own or on the one of the node. Nobody else gets them while the logs are opened.
fn reserve_ports(settings: &Settings) -> Result<Vec<ReservedPort>, ServerError> {
    let mut reserved: Vec<ReservedPort> = Vec::new();
    for core in 0..settings.core_count() {
        let address = match (settings.advertise, reserved.first()) {
            (Advertise::PerNode, Some(first)) => first.local(),
            (Advertise::PerNode, None) => settings.listen,
            (Advertise::PerCore, _) => settings.listen_of(core),
        };
        let is_ours = share_port(settings) && core > 0;
        let checked = if address.port() == 0 || is_ours { Ok(()) } else { check_port_is_free(address) };
        let bound = checked.and_then(|()| ReservedPort::bind(address, share_port(settings)));
        reserved.push(bound.map_err(|source| ServerError::Listen { address, source })?);
    }
    Ok(reserved)
}

/// The port of each core, or the one of the node.
fn ports_of(settings: &Settings, reserved: &[ReservedPort]) -> Vec<u16> {
    let count = if settings.advertise == Advertise::PerCore { reserved.len() } else { 1 };
    reserved[..count].iter().map(|port| port.local().port()).collect()
}

fn share_port(settings: &Settings) -> bool {
    settings.advertise == Advertise::PerNode && settings.core_count() > 1
}

fn start_options(settings: &Settings, ports: &[u16]) -> StartOptions {
    let advertised = |(core, port): (usize, &u16)| settings.advertised_port.map_or(*port, |first| first + core as u16);
    StartOptions {
        data_dir: settings.data_dir.clone(),
        node_id: settings.node_id,
        broker_config: settings.broker.clone(),
        node: NodeDescription {
            advertise: settings.advertise,
            core_count: settings.core_count(),
            host: settings.advertised_host.as_str().into(),
            ports: ports.iter().enumerate().map(advertised).collect(),
            rack: settings.rack.as_deref().map(Into::into),
            fresh_directory_ids: ports.iter().map(|_| DirectoryId(entropy::uuid())).collect(),
        },
        threads: settings.cpus.len().max(LOG_THREADS_MIN),
    }
}

type RunningCores = (Vec<CoreThread<StoppedCore>>, MeshEnd<Message>);

/// Starts every core and waits until each listens.
fn start_cores(
    settings: &Settings,
    reserved: Vec<ReservedPort>,
    image: &Arc<MetadataImage>,
    opened: Vec<Vec<OpenedPartition>>,
    unopened: &Arc<[PartitionKey]>,
) -> Result<RunningCores, ServerError> {
    let cores = settings.core_count();
    let mut mesh = Mesh::new::<Message>(usize::from(cores) + 1)?;
    let control_end = mesh.pop().expect("the control thread's end is the last");
    let (listening, is_listening) = mpsc::channel();
    let mut threads = Vec::new();
    for (((mesh, opened), port), core) in mesh.into_iter().zip(opened).zip(reserved).zip(0..cores) {
        let seed = CoreSeed {
            core: CoreId(core),
            mesh,
            opened,
            unopened: unopened.clone(),
            image: image.clone(),
            broker_config: settings.broker.of_broker(&image.broker_configs, image.broker_of_core(CoreId(core))),
            port,
            transfer: settings.fetch_transfer,
            connections_max: connections_max(cores)?,
            listening: listening.clone(),
        };
        let options = CoreOptions { spin: settings.spin, ..CoreOptions::pinned(core, settings.cpus[usize::from(core)]) };
        threads.push(start_core(options, move || serve_core(seed)).map_err(|source| ServerError::Core { core, source })?);
    }
    for _ in 0..cores {
        let (address, listens) = is_listening.recv().expect("every core reports");
        listens.map_err(|source| ServerError::Listen { address, source })?;
    }
    Ok((threads, control_end))
}

/// Connections of one core. Half of the descriptors are the logs': one that cannot open or sync a file because of clients would go offline.
fn connections_max(cores: u16) -> io::Result<usize> {
    let descriptors = usize::try_from(process_limits::open_files()?.soft).unwrap_or(usize::MAX);
    Ok((descriptors / 2 / usize::from(cores)).clamp(1, CONNECTIONS_PER_CORE_MAX))
}

/// What a core is made of; travels to its thread.
struct CoreSeed {
    core: CoreId,
    mesh: MeshEnd<Message>,
    opened: Vec<OpenedPartition>,
    /// Those of the node that are opened later.
    unopened: Arc<[PartitionKey]>,
    image: Arc<MetadataImage>,
    broker_config: BrokerConfig,
    port: ReservedPort,
    transfer: Transfer,
    connections_max: usize,
    listening: mpsc::Sender<(SocketAddr, io::Result<()>)>,
}

/// A core's life, on its own thread.
async fn serve_core(seed: CoreSeed) -> StoppedCore {
    let options = ConnectionOptions {
        transfer: seed.transfer,
        connections_max: seed.connections_max,
        idle_max: seed.broker_config.connections_idle_ms_max.map(|ms| Duration::from_millis(ms as u64)),
    };
    let shard = Shard::new(seed.core, seed.mesh, seed.image, seed.broker_config, seed.opened);
    shard.hold_unopened(&seed.unopened);
    let connections = Connections::new(Rc::new(Api::new(shard.clone())), options);
    let stalled = shard.clone();
    on_stall(move |late_ns| stalled.histograms.record(Stage::ExecutorStall, late_ns));
    let counted = connections.clone();
    shard.count_traffic(move || counted.traffic().values());

    let address = seed.port.local();
    let listener = match Listener::listen(seed.port) {
        Ok(listener) => listener,
        Err(error) => {
            let _ = seed.listening.send((address, Err(error)));
            return shard.give_up_all();
        }
    };
    let _ = seed.listening.send((address, Ok(())));
    shard.start_tasks();
    spawn(connections.clone().close_idle()).detach();
    let accepting = connections.clone();
    let accepting = spawn(async move {
        if let Err(error) = accepting.accept_from(listener).await {
            tracing::error!("no more connections are accepted: {error}; restart the broker");
        }
    });

    shard.stop_begins().await;
    connections.shutdown(STOP_GRACE).await;
    accepting.cancel().await;
    shard.all_connections_closed().await;
    shard.finish_jobs().await;
    let stopped = shard.give_up_all();
    shard.report_stopped();
    stopped
}

fn join(threads: Vec<CoreThread<StoppedCore>>) -> Result<Vec<StoppedCore>, ServerError> {
    let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| ServerError::Stop("a core panicked".into())));
    joined.collect()
}
