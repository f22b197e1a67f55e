//! What the broker does with each Kafka request: one file per request.
//!
//! Runs on the core of the connection. Requests of one connection take effect in order, as in Kafka: Produce requests may be
//! under way together; whatever comes behind another request that waits, or whose answer is large, starts when that one has been answered.

mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod authorized_operations;
pub mod compatibility;
mod config_resource;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod describe_user_scram_credentials;
mod distinct;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod message;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;
mod text;
mod turns;
pub mod versions;

use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;

use kafka_protocol::protocol::{Decodable, Encodable};

use crate::cluster::client_quotas::QuotaKind;
use crate::io::clock;
use crate::net::received::Received;
use crate::net::service::{ConnectionInfo, FrameTiming, Frames, Reply, Sent, Service};
use crate::shard::Shard;
use crate::shard::histograms::Stage;
use crate::wire::frame::RequestHeader;
use groups::Caller;
use message::RequestInfo;
use produce::{Next, ProduceTurn, Rounds};
use turns::Turns;

/// Answers above this are made one at a time for each connection.
const LARGE_ANSWER_BYTES: usize = 64 * 1024;

/// Answers the requests of one core's connections.
#[derive(Clone)]
pub struct Api {
    shard: Rc<Shard>,
    turns: Turns,
    rounds: Rc<Rounds>,
}

impl Api {
    pub fn new(shard: Rc<Shard>) -> Api {
        let rounds = Rounds::new(&shard);
        Api { shard, turns: Turns::default(), rounds }
    }

    /// Starts the requests that were handed over together, in order.
    fn start(&self, peer: Peer, frames: Frames<'_>, replies: &mut Vec<Reply>, timing: FrameTiming) {
        let FrameTiming { received_ns, mut now_ns } = timing;
        let memory = frames.memory();
        let may_be_kept = frames.is_passing();
        let count = frames.len();
        let mut produce = ProduceTurn::new(&self.rounds, memory, count, now_ns);
        let mut must_wait = self.turns.is_waiting(peer.connection);
        for (place, frame) in frames.enumerate() {
            if must_wait {
                replies.push(self.hold_back(peer, frame, received_ns));
                continue;
            }
            self.shard.histograms.record(Stage::RequestQueue, now_ns.saturating_sub(received_ns));
            let opened = match open(frame) {
                Ok(opened) => opened,
                Err(refusal) => {
                    replies.push(refusal);
                    if matches!(replies.last(), Some(Reply::Close(_))) {
                        break;
                    }
                    produce.end_group();
                    continue;
                }
            };
            if opened.info.key == versions::PRODUCE {
                let throttle_ms = self.produce_throttle_ms(&opened, frame.len());
                must_wait = produce.add(opened.info, opened.body, throttle_ms, now_ns, replies) == Next::MustWait;
                let started_ns = std::mem::replace(&mut now_ns, clock::monotonic_ns());
                self.shard.histograms.record(Stage::Decode, now_ns - started_ns);
                if must_wait || self.rounds.is_full() {
                    produce.end_round();
                }
            } else {
                produce.end_round();
                let reply = self.call(peer, opened, received_ns);
                must_wait = matches!(reply, Reply::Later { .. }) || is_large(&reply);
                replies.push(reply);
                // The last one's time is taken by whoever sends its answer.
                if place + 1 < count {
                    now_ns = clock::monotonic_ns();
                }
            }
            if matches!(replies.last(), Some(Reply::Close(_))) {
                break;
            }
            if must_wait {
                self.hold_others_back(peer, replies);
            }
        }
        if !may_be_kept {
            produce.end_round();
        }
    }

    /// The reply pushed last holds back the requests behind it until it is there.
    fn hold_others_back(&self, peer: Peer, replies: &mut [Reply]) {
        if let Some(Reply::Later { future, .. }) = replies.last_mut() {
            let waiting = self.turns.begin(peer.connection);
            let answer = std::mem::replace(future, Box::pin(std::future::ready(None)));
            *future = Box::pin(async move {
                let answer = answer.await;
                drop(waiting);
                answer
            });
        }
    }

    /// A request that starts when those before it are answered: answers are awaited in order.
    fn hold_back(&self, peer: Peer, frame: &[u8], received_ns: u64) -> Reply {
        let waiting = self.turns.begin(peer.connection);
        let api = self.clone();
        let frame = Received::copied(frame);
        Reply::later_holding(frame.len(), async move {
            // Nothing before it waits any more.
            let answer = match api.start_one(peer, &frame, received_ns) {
                Reply::Now(response) => Some(response),
                Reply::Later { future, .. } => future.await,
                Reply::Close(reason) => {
                    tracing::info!("closing a connection: {reason}");
                    None
                }
            };
            drop(waiting);
            answer
        })
    }

    fn start_one(&self, peer: Peer, frame: &Rc<Received>, received_ns: u64) -> Reply {
        let now_ns = clock::monotonic_ns();
        match open(frame) {
            Ok(opened) if opened.info.key == versions::PRODUCE => {
                let mut replies = Vec::with_capacity(1);
                let mut produce = ProduceTurn::new(&self.rounds, frame, 1, now_ns);
                let throttle_ms = self.produce_throttle_ms(&opened, frame.len());
                produce.add(opened.info, opened.body, throttle_ms, now_ns, &mut replies);
                produce.end_round();
                replies.pop().expect("each request has a reply")
            }
            Ok(opened) => {
                self.rounds.end();
                self.call(peer, opened, received_ns)
            }
            Err(refusal) => refusal,
        }
    }

    /// Counts a Produce request, as large as it is, if something limits its client.
    fn produce_throttle_ms(&self, opened: &Opened<'_>, frame_bytes: usize) -> i32 {
        let limited = self.shard.quotas.client(QuotaKind::Produce, opened.client_id);
        let Some(client) = limited else { return 0 };
        let throttle_ms = client.record(&self.shard, frame_bytes);
        if throttle_ms > 0 {
            self.shard.count_throttle(throttle_ms);
        }
        throttle_ms
    }

    fn call(&self, peer: Peer, opened: Opened<'_>, received_ns: u64) -> Reply {
        let Opened { info, client_id, body } = opened;
        let shard = self.shard.clone();
        let version = info.version;
        match info.key {
            versions::FETCH => fetch::handle(&shard, info, client_id, body, received_ns),
            versions::LIST_OFFSETS => later(info, body, |request| list_offsets::handle(shard, version, request)),
            versions::METADATA => later(info, body, |request| metadata::handle(shard, version, request)),
            versions::OFFSET_COMMIT => later(info, body, |request| offset_commit::handle(shard, version, request)),
            versions::OFFSET_FETCH => later(info, body, |request| offset_fetch::handle(shard, version, request)),
            versions::FIND_COORDINATOR => later(info, body, |request| find_coordinator::handle(shard, version, request)),
            versions::JOIN_GROUP => {
                let caller = Caller { client_id: client_id.unwrap_or_default().to_owned(), host: format!("/{}", peer.address) };
                later(info, body, |request| join_group::handle(shard, version, caller, request))
            }
            versions::HEARTBEAT => later(info, body, |request| heartbeat::handle(shard, request)),
            versions::LEAVE_GROUP => later(info, body, |request| leave_group::handle(shard, version, request)),
            versions::SYNC_GROUP => later(info, body, |request| sync_group::handle(shard, version, request)),
            versions::DESCRIBE_GROUPS => later(info, body, |request| describe_groups::handle(shard, version, request)),
            versions::LIST_GROUPS => later(info, body, |request| list_groups::handle(shard, version, request)),
            versions::DELETE_GROUPS => later(info, body, |request| delete_groups::handle(shard, request)),
            versions::OFFSET_DELETE => later(info, body, |request| offset_delete::handle(shard, request)),
            versions::API_VERSIONS => Reply::Now(api_versions::answer(info)),
            versions::CREATE_TOPICS => later(info, body, |request| create_topics::handle(shard, version, request)),
            versions::DELETE_TOPICS => later(info, body, |request| delete_topics::handle(shard, version, request)),
            versions::DELETE_RECORDS => later(info, body, |request| delete_records::handle(shard, request)),
            versions::INIT_PRODUCER_ID => later(info, body, |request| init_producer_id::handle(shard, request)),
            versions::OFFSET_FOR_LEADER_EPOCH => later(info, body, |request| offset_for_leader_epoch::handle(shard, request)),
            versions::DESCRIBE_CONFIGS => now(info, body, |request| describe_configs::handle(&shard, version, request)),
            versions::CONSUMER_GROUP_HEARTBEAT => {
                let caller = Caller { client_id: client_id.unwrap_or_default().to_owned(), host: format!("/{}", peer.address) };
                later(info, body, |request| consumer_group_heartbeat::handle(shard, version, caller, request))
            }
            versions::CONSUMER_GROUP_DESCRIBE => later(info, body, |request| consumer_group_describe::handle(shard, version, request)),
            versions::ALTER_CONFIGS => later(info, body, |request| alter_configs::replace(shard, request)),
            versions::CREATE_PARTITIONS => later(info, body, |request| create_partitions::handle(shard, request)),
            versions::INCREMENTAL_ALTER_CONFIGS => later(info, body, |request| alter_configs::incremental(shard, request)),
            versions::ALTER_PARTITION_REASSIGNMENTS => {
                later(info, body, |request| alter_partition_reassignments::handle(shard, version, request))
            }
            versions::LIST_PARTITION_REASSIGNMENTS => now(info, body, list_partition_reassignments::answer),
            versions::DESCRIBE_LOG_DIRS => later(info, body, |request| describe_log_dirs::handle(shard, version, request)),
            versions::DESCRIBE_CLIENT_QUOTAS => now(info, body, |request| describe_client_quotas::handle(&shard.image(), request)),
            versions::ALTER_CLIENT_QUOTAS => later(info, body, |request| alter_client_quotas::handle(shard, request)),
            versions::DESCRIBE_USER_SCRAM_CREDENTIALS => now(info, body, describe_user_scram_credentials::answer),
            versions::DESCRIBE_CLUSTER => now(info, body, |request| describe_cluster::handle(&shard.image(), version, request)),
            versions::DESCRIBE_PRODUCERS => later(info, body, |request| describe_producers::handle(shard, request)),
            versions::DESCRIBE_TOPIC_PARTITIONS => now(info, body, |request| describe_topic_partitions::handle(&shard, request)),
            key => unreachable!("api key {key} stands in the table of versions and has no handler"),
        }
    }
}

impl Service for Api {
    fn turn(&self, connection: &ConnectionInfo, frames: Frames<'_>, replies: &mut Vec<Reply>, timing: FrameTiming) {
        let peer = Peer { connection: connection.id, address: connection.peer.ip() };
        self.start(peer, frames, replies, timing);
    }

    fn has_room(&self) -> bool {
        self.shard.has_room()
    }

    fn end_of_turn(&self) {
        self.shard.drain_mesh();
    }

    fn sent(&self, _connection: &ConnectionInfo, sent: Sent) {
        self.shard.histograms.record_n(Stage::Send, sent.sent_ns.saturating_sub(sent.ready_ns), sent.answers as u64);
    }
}

/// Whether the answer takes so much memory that it should be sent before there is another: the requests of a fetch session are tiny, whatever their
/// answers are.
fn is_large(reply: &Reply) -> bool {
    matches!(reply, Reply::Now(response) if response.bytes_held() > LARGE_ANSWER_BYTES)
}

/// Whose requests they are.
#[derive(Clone, Copy)]
struct Peer {
    connection: u64,
    address: IpAddr,
}

/// A request whose header was read.
struct Opened<'a> {
    info: RequestInfo,
    client_id: Option<&'a str>,
    body: &'a [u8],
}

/// Reads a request's header and checks that we serve it, or says what to reply.
fn open(frame: &[u8]) -> Result<Opened<'_>, Reply> {
    let Some((key, version, correlation_id)) = RequestHeader::peek(frame) else {
        return Err(Reply::Close(format!("expected a request header of at least 8 bytes, {} came", frame.len())));
    };
    let info = RequestInfo { key, version, correlation_id };
    let Some(row) = versions::find(key) else {
        return Err(Reply::Close(format!("api key {key} is not served; ApiVersions lists what is")));
    };
    if version < row.advertised_min || version > row.max {
        return Err(match key {
            versions::API_VERSIONS => Reply::Now(api_versions::answer_unsupported(info)),
            _ => Reply::Close(format!("{} version {version} is not served, {} to {} are", row.name, row.min, row.max)),
        });
    }
    match RequestHeader::parse(frame) {
        Ok(header) => Ok(Opened { info, client_id: header.client_id, body: &frame[header.body_at..] }),
        Err(error) => Err(Reply::Close(format!("the header of a {} request: {error}", row.name))),
    }
}

/// Decodes a request and answers it at once.
fn now<Request: Decodable, Answer: Encodable>(info: RequestInfo, body: &[u8], handle: impl FnOnce(Request) -> Answer) -> Reply {
    match message::decode(info, body) {
        Ok(request) => Reply::Now(message::encode(info, &handle(request))),
        Err(error) => Reply::Close(undecodable(info, &error)),
    }
}

/// Decodes a request and answers it when its handler is done.
fn later<Request, Answer, Work>(info: RequestInfo, body: &[u8], handle: impl FnOnce(Request) -> Work) -> Reply
where
    Request: Decodable,
    Answer: Encodable,
    Work: Future<Output = Answer> + 'static,
{
    match message::decode(info, body) {
        Ok(request) => {
            let work = handle(request);
            Reply::later(async move { Some(message::encode(info, &work.await)) })
        }
        Err(error) => Reply::Close(undecodable(info, &error)),
    }
}

fn undecodable(info: RequestInfo, error: &str) -> String {
    let name = versions::find(info.key).map_or("unknown", |row| row.name);
    format!("the body of {name} version {} cannot be read: {error}", info.version)
}
