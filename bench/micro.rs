//! What the hot path's parts cost one by one: decode, check, encode, append; and what the largest groups cost: assign.
//!
//! `cargo bench` measures; `cargo test` runs each once on a tiny input, so that none can rot. One line per part: nanoseconds for one
//! call, the median of several rounds and their spread. Compare two builds side by side, in turns, on an otherwise idle machine.

#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use pagewire::base::{CoreId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};
use pagewire::cluster::image::MetadataVersion;
use pagewire::coordinator::MemberId;
use pagewire::coordinator::consumer::assignor::{AssignmentSpec, Assignor, MemberSpec};
use pagewire::io::clock::monotonic_ns;
use pagewire::log::{Log, LogConfig, OpenContext};
use pagewire::shard::fetch_session::{Asked, FetchSession, Seen, SessionSlot};
use pagewire::shard::partition::PartitionKey;
use pagewire::wire::batch::{BatchRules, UnverifiedBatch, Verified};
use pagewire::wire::builder::RecordBatchBuilder;
use pagewire::wire::compression::Codec;
use pagewire::wire::frame::TopicReference;
use pagewire::wire::{fetch, produce};

/// How much of everything is done.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    calls: usize,
    records: usize,
}

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let effort = match is_measured {
        true => Effort { rounds: 11, calls: 2000, records: 2600 },
        false => Effort { rounds: 1, calls: 2, records: 3 },
    };
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        verify(&effort, codec);
    }
    decode_produce(&effort);
    encode_fetch(&effort);
    fetch_session(&effort);
    append(&effort);
    assign(&effort);
}

/// A batch of records with values of 100 bytes.
fn batch(codec: Codec, records: usize) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(codec);
    for number in 0..records {
        builder.append(Timestamp(1_700_000_000_000 + number as i64), None, Some(&[number as u8; 100]), &[]);
    }
    builder.build()
}

fn verify(effort: &Effort, codec: Codec) {
    let bytes = batch(codec, effort.records);
    let rules = BatchRules { message_bytes_max: usize::MAX, ..BatchRules::default() };
    measure(effort, &format!("verify {codec:?}, {} records of 100 bytes", effort.records), || {
        let verified = UnverifiedBatch(black_box(&bytes)).verify(&rules).expect("the batch is sound");
        assert!(matches!(verified, Verified::Batch(_)));
    });
}

fn decode_produce(effort: &Effort) {
    let records = batch(Codec::None, 1);
    // Produce 7, by hand: no transactional id, acks 1, a timeout, one topic of one partition.
    let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0x75, 0x30, 0, 0, 0, 1, 0, 5];
    body.extend_from_slice(b"bench");
    body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend_from_slice(&(records.len() as i32).to_be_bytes());
    body.extend_from_slice(&records);
    measure(effort, "decode Produce 7, one partition", || {
        let request = produce::decode(7, black_box(&body)).expect("the request is sound");
        let bytes: usize =
            request.topics().flat_map(|topic| topic.partitions).filter_map(|partition| partition.records).map(<[u8]>::len).sum();
        assert_eq!(bytes, records.len());
    });
}

fn encode_fetch(effort: &Effort) {
    let partitions: Vec<_> = (0..10)
        .map(|index| fetch::PartitionResponse {
            high_watermark: Offset(1000),
            records_bytes: 1 << 20,
            ..fetch::PartitionResponse::refused(TopicReference::Name("bench"), PartitionIndex(index), ErrorCode::None)
        })
        .collect();
    let response = fetch::FetchResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        session_id: 0,
        partitions: &partitions,
        node_endpoints: &[],
    };
    let (mut buffer, mut gaps) = (Vec::new(), fetch::RecordsGaps::new());
    measure(effort, "encode Fetch 12, ten partitions around file ranges", || {
        buffer.clear();
        gaps.clear();
        fetch::encode_response(12, 7, black_box(&response), &mut buffer, &mut gaps);
        assert_eq!(gaps.len(), partitions.len());
    });
}

/// A consumer of a thousand partitions hears of one: the request that names it, the answer, and the rest until it has news again.
fn fetch_session(effort: &Effort) {
    let topic = TopicReference::Id(TopicId([7; 16]));
    let place = |index| Ok((PartitionKey { topic_id: TopicId([7; 16]), index }, CoreId(0)));
    let asked = Asked { current_leader_epoch: LeaderEpoch(0), offset: Offset(5), bytes_max: 1 << 20 };
    let seen = Seen { error: ErrorCode::None, high_watermark: Offset(5), log_start_offset: Offset(0), records_bytes: 0 };
    let mut session = FetchSession::new(true, MetadataVersion(1), 0);
    let slots: Vec<SessionSlot> = (0..1000).map(SessionSlot).collect();
    for (index, slot) in (0..1000).map(PartitionIndex).zip(&slots) {
        session.put(topic, index, asked, || place(index));
        session.answered(*slot, &seen);
        session.rest(*slot, &seen);
    }
    measure(effort, "a round of a fetch session of 1000 partitions, news in one", || {
        session.heard(black_box(SessionSlot(77)));
        session.put(topic, PartitionIndex(77), asked, || unreachable!("it is known"));
        session.take_news();
        assert_eq!(session.to_read().len(), 1);
        assert!(!session.answered(SessionSlot(77), &seen));
        assert!(session.rest(SessionSlot(77), &seen).is_some());
    });
}

fn append(effort: &Effort) {
    let directory = std::env::temp_dir().join(format!("pagewire-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the log");
    let context = OpenContext { clean: true, now: Timestamp(0), ..OpenContext::default() };
    let (mut log, _) = Log::open(&directory, Arc::new(LogConfig::default()), context).expect("an empty log opens");
    for records in [1, 160] {
        let bytes = batch(Codec::None, records);
        let Verified::Batch(batch) = UnverifiedBatch(&bytes).verify(&BatchRules::default()).expect("the batch is sound") else {
            unreachable!("an uncompressed batch needs no more work")
        };
        measure(effort, &format!("append a batch of {} bytes", bytes.len()), || {
            log.append(&[batch], LeaderEpoch(0), Timestamp(1_700_000_000_000)).expect("the disk has room");
        });
    }
    drop(log);
    std::fs::remove_dir_all(&directory).expect("the directory is ours");
}

/// One member joins a group that shares ten partitions per member, in 100 topics: what a rebalance costs the coordinator's core.
fn assign(effort: &Effort) {
    const TOPICS: usize = 100;
    let members_max = effort.records.min(1000);
    let effort = Effort { calls: effort.calls.div_ceil(1000), ..*effort };
    let topics: Vec<TopicId> = (0..TOPICS).map(|number| TopicId([number as u8; 16])).collect();
    let partitions_of: BTreeMap<TopicId, i32> = topics.iter().map(|topic| (*topic, (members_max / 10) as i32)).collect();
    let cases = [(Assignor::Range, TOPICS, "alike"), (Assignor::Uniform, TOPICS, "alike"), (Assignor::Uniform, TOPICS / 2, "by halves")];
    for (assignor, subscribed, how) in cases {
        let member = |number: usize| {
            let id = MemberId::new(&format!("consumer-{number:08}")).expect("the id is short");
            let first = number % (TOPICS - subscribed + 1);
            (id, MemberSpec { subscribed: topics[first..first + subscribed].iter().copied().collect(), ..MemberSpec::default() })
        };
        let mut members: BTreeMap<MemberId, MemberSpec> = (1..members_max).map(member).collect();
        let mut before = assignor.assign(&AssignmentSpec { members: &members, partitions_of: &partitions_of });
        for (id, member) in &mut members {
            member.owned = before.remove(id).unwrap_or_default();
        }
        members.extend([member(0)]);
        let spec = AssignmentSpec { members: &members, partitions_of: &partitions_of };
        measure(&effort, &format!("assign {}, {} members subscribed {how}", assignor.name(), members.len()), || {
            assert_eq!(assignor.assign(black_box(&spec)).len(), members.len());
        });
    }
}

fn measure(effort: &Effort, what: &str, mut act: impl FnMut()) {
    let mut rounds: Vec<f64> = (0..effort.rounds)
        .map(|_| {
            let started_ns = monotonic_ns();
            (0..effort.calls).for_each(|_| act());
            (monotonic_ns() - started_ns) as f64 / effort.calls as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let (least, median, most) = (rounds[0], rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
    println!("{what:<52} {median:>12.1} ns  ({least:.1} to {most:.1})");
}
