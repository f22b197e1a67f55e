//! Tests of rounds: what goes down together, and when.

use bytes::BytesMut;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ListOffsetsRequest, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use crate::api::Api;
use crate::base::ErrorCode;
use crate::base::limits::APPEND_ROUND_BYTES_MAX;
use crate::io::clock;
use crate::io::glommio::{run_here, yield_now};
use crate::net::received::Received;
use crate::net::response::Response;
use crate::net::service::{ConnectionInfo, FrameTiming, Frames, Reply, Service};
use crate::shard::test_cores::TestCores;
use crate::wire::{Codec, RecordBatchBuilder};

const VERSION: i16 = 9;
const LIST_OFFSETS_VERSION: i16 = 6;

/// A core, and clients of it.
struct Broker {
    cores: TestCores,
    api: Api,
}

impl Broker {
    fn new() -> Broker {
        let cores = TestCores::new(1, &[]);
        let api = Api::new(cores.shard(0));
        Broker { cores, api }
    }

    /// One turn of a connection.
    fn turn(&self, connection: u64, frames: &[Vec<u8>], is_passing: bool) -> Vec<Reply> {
        let framed = |frame: &Vec<u8>| [&(frame.len() as i32).to_be_bytes()[..], frame].concat();
        let memory = Received::copied(&frames.iter().flat_map(framed).collect::<Vec<u8>>());
        let address = "127.0.0.1:1".parse().unwrap();
        let info = ConnectionInfo { id: connection, peer: address, local: address };
        let mut replies = Vec::new();
        let now_ns = clock::monotonic_ns();
        let timing = FrameTiming { received_ns: now_ns, now_ns };
        self.api.turn(&info, Frames::new(&memory, 0..memory.len(), frames.len(), is_passing), &mut replies, timing);
        replies
    }

    fn appends(&self) -> (u64, u64) {
        let counters = &self.cores.shard(0).counters;
        (counters.appends.get(), counters.batches_appended.get())
    }
}

fn produce(correlation_id: i32, acks: i16, partition: i32, records: &[u8]) -> Vec<u8> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records.to_vec().into()));
    let topic = TopicProduceData::default().with_name(StrBytes::from_static_str("t").into()).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(acks).with_timeout_ms(1000).with_topic_data(vec![topic]);
    let header = RequestHeader::default().with_request_api_key(0).with_request_api_version(VERSION).with_correlation_id(correlation_id);
    let mut frame = BytesMut::new();
    header.encode(&mut frame, 2).unwrap();
    request.encode(&mut frame, VERSION).unwrap();
    frame.to_vec()
}

fn list_offsets() -> Vec<u8> {
    let header = RequestHeader::default().with_request_api_key(2).with_request_api_version(LIST_OFFSETS_VERSION);
    let mut frame = BytesMut::new();
    header.encode(&mut frame, 2).unwrap();
    ListOffsetsRequest::default().encode(&mut frame, LIST_OFFSETS_VERSION).unwrap();
    frame.to_vec()
}

fn batch(value_bytes: usize) -> Vec<u8> {
    RecordBatchBuilder::new(Codec::None).record(clock::wall_ms(), None, Some(&vec![b'v'; value_bytes])).build()
}

async fn response(reply: Reply) -> Option<Response> {
    match reply {
        Reply::Later { future, .. } => future.await,
        Reply::Now(response) => Some(response),
        Reply::Close(_) => panic!("expected an answer"),
    }
}

/// Correlation id, error and base offset of each answer in a piece of memory.
fn answers(mut bytes: &[u8]) -> Vec<(i32, i16, i64)> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (mut answer, rest) = rest.split_at(i32::from_be_bytes(*length) as usize);
        bytes = rest;
        let header = ResponseHeader::decode(&mut answer, 1).unwrap();
        let body = ProduceResponse::decode(&mut answer, VERSION).unwrap();
        let partition = &body.responses[0].partition_responses[0];
        all.push((header.correlation_id, partition.error_code, partition.base_offset));
    }
    all
}

#[test]
fn what_several_connections_bring_goes_down_in_one_write() {
    run_here(async {
        let broker = Broker::new();
        let batch = batch(100);
        let mut first = broker.turn(1, &[produce(1, 1, 0, &batch), produce(2, -1, 0, &batch), produce(3, -1, 0, &batch)], true);
        let mut second = broker.turn(2, &[produce(4, -1, 0, &batch)], true);
        assert_eq!(broker.appends(), (0, 0), "nothing is written before all had their turn");
        assert_eq!((first.len(), first[0].requests(), second.len()), (1, 3, 1), "requests of one turn are answered together");
        yield_now().await;
        yield_now().await;
        // The acks of the first differ from those of the rest, which must not overtake it.
        assert_eq!(broker.appends(), (2, 4));
        let first = response(first.remove(0)).await.unwrap();
        assert_eq!(answers(&first.head), [(1, 0, 0), (2, 0, 1), (3, 0, 2)]);
        assert_eq!((first.answers, first.rest.len()), (3, 0));
        assert_eq!(answers(&response(second.remove(0)).await.unwrap().head), [(4, 0, 3)]);
    });
}

#[test]
fn a_round_waits_for_nothing_that_would_cost() {
    run_here(async {
        let broker = Broker::new();
        let small = batch(100);
        broker.turn(1, &[produce(1, 1, 0, &small), list_offsets()], true);
        assert_eq!(broker.appends(), (1, 1), "a request behind it finds the batch");
        broker.turn(1, &[produce(2, 1, 0, &small)], true);
        broker.turn(2, &[list_offsets()], true);
        assert_eq!(broker.appends(), (2, 2), "one of another connection does too");
        broker.turn(1, &[produce(3, 1, 0, &small)], false);
        assert_eq!(broker.appends(), (3, 3), "memory that the connection goes on using is not kept");
        let large = batch(APPEND_ROUND_BYTES_MAX / 2);
        broker.turn(1, &[produce(4, 1, 0, &large)], true);
        assert_eq!(broker.appends(), (3, 3));
        broker.turn(2, &[produce(5, 1, 0, &large)], true);
        assert_eq!(broker.appends(), (4, 5), "a full round goes down");
    });
}

#[test]
fn what_is_refused_is_answered_in_its_place() {
    run_here(async {
        let broker = Broker::new();
        let good = batch(10);
        let mut damaged = batch(10);
        *damaged.last_mut().unwrap() ^= 1;
        let frames = [produce(1, 1, 0, &good), produce(2, 1, 0, &damaged), produce(3, 1, 7, &good), produce(4, 1, 0, &good)];
        let mut replies = broker.turn(1, &frames, true);
        let together = response(replies.remove(0)).await.unwrap();
        let (corrupt, unknown) = (ErrorCode::CorruptMessage.code(), ErrorCode::UnknownTopicOrPartition.code());
        assert_eq!(answers(&together.head), [(1, 0, 0), (2, corrupt, -1), (3, unknown, -1), (4, 0, 1)]);
        assert_eq!(together.answers, 4);
    });
}

#[test]
fn acks_0_has_no_answer_and_a_refusal_closes() {
    run_here(async {
        let broker = Broker::new();
        let good = batch(10);
        let mut replies = broker.turn(1, &[produce(1, 1, 0, &good), produce(2, 0, 0, &good), produce(3, 0, 7, &good)], true);
        assert_eq!(replies.iter().map(Reply::requests).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(answers(&response(replies.remove(0)).await.unwrap().head), [(1, 0, 0)]);
        let silence = response(replies.remove(0)).await.unwrap();
        assert_eq!((silence.answers, silence.len()), (0, 0));
        assert!(response(replies.remove(0)).await.is_none());
        assert_eq!(broker.appends().1, 2);
    });
}

#[test]
fn who_goes_away_leaves_the_others_their_round() {
    run_here(async {
        let broker = Broker::new();
        let batch = batch(10);
        drop(broker.turn(1, &[produce(1, 1, 0, &batch)], true));
        let mut replies = broker.turn(2, &[produce(2, 1, 0, &batch)], true);
        assert_eq!(answers(&response(replies.remove(0)).await.unwrap().head), [(2, 0, 1)], "what was sent is stored");
    });
}

#[test]
fn a_partition_does_not_leave_before_the_round_that_has_its_batches() {
    run_here(async {
        let broker = Broker::new();
        let (shard, key) = (broker.cores.shard(0), broker.cores.partition(0).key);
        shard.clone().rest(vec![key]).await;
        let mut replies = broker.turn(1, &[produce(1, -1, 0, &batch(10))], true);
        shard.clone().hold(vec![key], vec![shard.core]).await;
        let mut parted = shard.part_with(vec![key]).await;
        assert_eq!(parted.remove(0).log.log_end_offset().0, 1);
        assert_eq!(answers(&response(replies.remove(0)).await.unwrap().head), [(1, 0, 0)]);
    });
}
