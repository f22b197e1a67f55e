//! What a fetch asks for, copied out of the receive buffer and resolved against the metadata image.

use smallvec::SmallVec;

use crate::api::message::RequestInfo;
use crate::base::limits::FETCH_RESPONSE_BYTES_MAX;
use crate::base::{ErrorCode, Offset, PartitionIndex};
use crate::cluster::image::MetadataImage;
use crate::shard::Shard;
use crate::shard::fetch_session::{Asked, FetchSession, Place, Seen, SessionSlot, SessionTopic};
use crate::shard::partition::{ReadAnswer, ReadRequest, owner};
use crate::shard::reads::PlacedRead;
use crate::wire::fetch::{FetchPartition, FetchRequest};
use crate::wire::frame::TopicReference;

/// Lists of one stand in the plan itself: many fetches ask for one partition.
pub(super) struct Plan {
    pub info: RequestInfo,
    pub topics: SmallVec<[SessionTopic; 1]>,
    /// In the order of the request, or of the session.
    pub partitions: SmallVec<[PlannedPartition; 1]>,
    /// The partitions that exist.
    pub reads: SmallVec<[PlacedRead; 1]>,
    pub bytes_max: usize,
    pub bytes_min: usize,
    /// A read_committed consumer gets a list of aborted transactions, which is always empty here.
    pub read_committed: bool,
    /// It waits even if nothing is to be read: partitions of its session may report news.
    pub is_of_session: bool,
}

pub(super) struct PlannedPartition {
    /// Place in `Plan::topics`.
    pub topic: usize,
    pub index: PartitionIndex,
    /// Place in `Plan::reads`, or why there is none.
    pub read: Result<usize, ErrorCode>,
    /// Its place in the session, if there is one.
    slot: Option<SessionSlot>,
}

/// Where a partition is.
pub(super) fn find(image: &MetadataImage, topic: TopicReference<'_>, index: PartitionIndex) -> Place {
    let topic = match topic {
        TopicReference::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
        TopicReference::Id(id) => image.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId)?,
    };
    owner(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)
}

impl Plan {
    /// A plan that reads nothing yet, and never more than `bytes_max`.
    pub(super) fn new(shard: &Shard, info: RequestInfo, request: &FetchRequest<'_>, bytes_max: usize) -> Plan {
        let bytes_max = bytes_max.min(usize::try_from(request.max_bytes).unwrap_or(0));
        let bytes_max = bytes_max.min(FETCH_RESPONSE_BYTES_MAX).min(shard.broker_config().fetch_bytes_max);
        Plan {
            info,
            topics: SmallVec::new(),
            partitions: SmallVec::new(),
            reads: SmallVec::new(),
            bytes_max,
            // As in Kafka: nobody waits for more than fits into the answer.
            bytes_min: usize::try_from(request.min_bytes).unwrap_or(0).min(bytes_max),
            read_committed: request.isolation_level == 1,
            is_of_session: false,
        }
    }

    /// Plans to read what the request names.
    pub(super) fn read_request(&mut self, shard: &Shard, request: &FetchRequest<'_>) {
        let image = shard.image();
        for topic in request.topics() {
            self.topics.push(SessionTopic::new(topic.topic));
            for partition in topic.partitions {
                let FetchPartition { current_leader_epoch, fetch_offset: offset, partition_max_bytes: bytes_max, .. } = partition;
                let place = find(&image, topic.topic, partition.partition);
                self.add(partition.partition, place, Asked { current_leader_epoch, offset, bytes_max }, None);
            }
        }
    }

    /// Plans to read what may have something new for the session, and nothing else.
    pub(super) fn read_session(&mut self, session: &FetchSession) {
        self.is_of_session = true;
        self.topics.clear();
        self.partitions.clear();
        self.reads.clear();
        let mut topic = None;
        for (slot, partition) in session.to_read() {
            if topic.replace(partition.topic) != Some(partition.topic) {
                self.topics.push(session.topic(partition.topic).clone());
            }
            self.add(partition.index, partition.place, partition.asked, Some(slot));
        }
    }

    fn add(&mut self, index: PartitionIndex, place: Place, asked: Asked, slot: Option<SessionSlot>) {
        let Asked { current_leader_epoch, offset, bytes_max } = asked;
        let read = place.map(|(key, core)| {
            let bytes_max = usize::try_from(bytes_max).unwrap_or(0);
            let request = ReadRequest { key, current_leader_epoch, offset, bytes_max, at_least_one_batch: true };
            self.reads.push(PlacedRead { core, request });
            self.reads.len() - 1
        });
        self.partitions.push(PlannedPartition { topic: self.topics.len() - 1, index, read, slot });
    }

    /// Whether an answer may leave: enough bytes, or an error that the client should hear now.
    pub(super) fn is_satisfied_by(&self, answers: &[ReadAnswer]) -> bool {
        (self.partitions.is_empty() && !self.is_of_session)
            || self.partitions.iter().any(|partition| partition.read.is_err())
            || answers.iter().any(|answer| !answer.error.is_none())
            || bytes(answers) >= self.bytes_min
    }

    pub(super) fn missing_bytes(&self, answers: &[ReadAnswer]) -> u64 {
        (self.bytes_min - bytes(answers).min(self.bytes_min)) as u64
    }

    /// What was seen of each partition of the session.
    pub(super) fn seen(&self, answers: &[ReadAnswer]) -> impl Iterator<Item = (SessionSlot, Seen)> {
        self.partitions.iter().filter_map(|partition| partition.seen(answers))
    }

    /// Leaves out of the answer the partitions of the session of which `is_told` does not hold.
    pub(super) fn retain(&mut self, answers: &[ReadAnswer], mut is_told: impl FnMut(SessionSlot, &Seen) -> bool) {
        self.partitions.retain(|partition| partition.seen(answers).is_none_or(|(slot, seen)| is_told(slot, &seen)));
    }

    /// The partitions that were read and the high watermark that was seen there, without those of which `is_at_rest` holds.
    pub(super) fn watched(
        &self,
        answers: &[ReadAnswer],
        is_at_rest: impl Fn(SessionSlot) -> bool,
    ) -> impl Iterator<Item = (&PlacedRead, Offset)> {
        let read = self.partitions.iter().filter(move |partition| !partition.slot.is_some_and(&is_at_rest));
        read.filter_map(|partition| partition.read.ok()).map(|read| (&self.reads[read], answers[read].high_watermark))
    }
}

impl PlannedPartition {
    fn seen(&self, answers: &[ReadAnswer]) -> Option<(SessionSlot, Seen)> {
        let seen = match self.read {
            Ok(read) => {
                let ReadAnswer { error, high_watermark, log_start_offset, .. } = answers[read];
                Seen { error, high_watermark, log_start_offset, records_bytes: answers[read].bytes() }
            }
            Err(error) => Seen { error, high_watermark: Offset(-1), log_start_offset: Offset(-1), records_bytes: 0 },
        };
        Some((self.slot?, seen))
    }
}

fn bytes(answers: &[ReadAnswer]) -> usize {
    answers.iter().map(ReadAnswer::bytes).sum()
}
