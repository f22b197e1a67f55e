//! Reads for a fetch, from this core's partitions and from other cores'.
//!
//! Runs on the core of the connection. The common case, partitions of this core with everything in memory, never leaves the
//! turn. Cold bytes are read ahead beside the owner, so that neither core waits for the disk.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::base::{CoreId, ErrorCode};
use crate::io::glommio::read_ahead;
use crate::shard::partition::{Partition, ReadAnswer, ReadRequest, TryRead};
use crate::shard::{Shard, counters};

/// How often one read may find something missing: an index, a header, a closed segment, each a few times.
const ATTEMPTS_MAX: usize = 32;
/// What the disk is asked for where an index or a header is missing: what lies behind it is wanted next.
const LOOKUP_READ_AHEAD_BYTES: usize = 128 * 1024;
/// How often one read may find that its partition has moved meanwhile.
const PLACES_MAX: usize = 8;

/// One partition's part of a fetch and the core that owns it.
#[derive(Clone, Copy, Debug)]
pub struct PlacedRead {
    pub core: CoreId,
    pub request: ReadRequest,
}

/// What was read of each partition. One answer, which is what most reads are, takes no memory of its own.
pub type ReadAnswers = SmallVec<[ReadAnswer; 1]>;

impl Shard {
    /// Reads all partitions without waiting, if all are here and in memory; `None` otherwise.
    pub fn try_read_all(&self, reads: &[PlacedRead], bytes_max: usize) -> Option<ReadAnswers> {
        let mut answers = ReadAnswers::with_capacity(reads.len());
        let mut budget = Budget::new(bytes_max);
        for read in reads {
            if read.core != self.core {
                return None;
            }
            if self.is_on_its_way(read.request.key) {
                return None;
            }
            let Some(partition) = self.partition(read.request.key) else {
                answers.push(ReadAnswer::failed(self.why_missing(read.request.key)));
                continue;
            };
            match partition.try_read(&budget.limit(read.request)) {
                TryRead::Answer(answer) => answers.push(budget.spend(answer)),
                TryRead::NotResident(_) | TryRead::NotOpen(_) => return None,
            }
        }
        Some(answers)
    }

    /// Reads all partitions, wherever they are by now, and waits for what is cold. Answers are in the order of `reads`, which learn where
    /// their partitions were found, and in that order they share `bytes_max`.
    pub async fn read_all(self: &Rc<Self>, reads: &mut [PlacedRead], bytes_max: usize) -> ReadAnswers {
        let has_moved = |answer: &ReadAnswer| answer.error == ErrorCode::NotLeaderOrFollower;
        if let Some(answers) = self.try_read_all(reads, bytes_max)
            && !answers.iter().any(has_moved)
        {
            return answers;
        }
        let mut answers = ReadAnswers::new();
        for _ in 0..PLACES_MAX {
            for read in &mut *reads {
                // One that is gone is asked for where it was, which says so.
                read.core = self.place(read.request.key).await.unwrap_or(read.core);
            }
            answers = self.read_placed(reads, bytes_max).await;
            if self.is_stopping() || !answers.iter().any(has_moved) {
                break;
            }
        }
        answers
    }

    /// Every core is asked as if it had all of `bytes_max`, and what does not fit is left out.
    async fn read_placed(self: &Rc<Self>, reads: &[PlacedRead], bytes_max: usize) -> ReadAnswers {
        let ask = |core: CoreId| {
            let places: Vec<usize> = (0..reads.len()).filter(|&place| reads[place].core == core).collect();
            let requests: Vec<ReadRequest> = places.iter().map(|&place| reads[place].request).collect();
            let answered = self.ask_later(core, move |owner| async move { owner.read_in_turn(requests, bytes_max).await });
            (places, answered)
        };
        let asked: Vec<_> = other_cores(reads, self.core).into_iter().map(ask).collect();
        let mut answers: Vec<Option<ReadAnswer>> = vec![None; reads.len()];
        let mut budget = Budget::new(bytes_max);
        for (slot, read) in answers.iter_mut().zip(reads).filter(|(_, read)| read.core == self.core) {
            *slot = Some(budget.spend(self.read_here(budget.limit(read.request)).await));
        }
        for (places, answered) in asked {
            for (place, answer) in places.into_iter().zip(answered.await) {
                answers[place] = Some(answer);
            }
        }
        let mut budget = Budget::new(bytes_max);
        let answers = answers.into_iter().map(|answer| answer.expect("every core was asked for its partitions"));
        answers.map(|answer| budget.fit(answer)).collect()
    }

    async fn read_in_turn(self: Rc<Self>, requests: Vec<ReadRequest>, bytes_max: usize) -> Vec<ReadAnswer> {
        let mut budget = Budget::new(bytes_max);
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(budget.spend(self.read_here(budget.limit(request)).await));
        }
        answers
    }

    /// Reads a partition of this core.
    pub(super) async fn read_here(self: &Rc<Self>, request: ReadRequest) -> ReadAnswer {
        match self.partition(request.key) {
            Some(partition) => self.read_partition(&partition, &request).await,
            None => ReadAnswer::failed(self.why_missing(request.key)),
        }
    }

    async fn read_partition(self: &Rc<Self>, partition: &Partition, request: &ReadRequest) -> ReadAnswer {
        for _ in 0..ATTEMPTS_MAX {
            match partition.try_read(request) {
                TryRead::Answer(answer) => return answer,
                TryRead::NotResident(range) => {
                    counters::add(&self.counters.cold_lookups, 1);
                    if let Err(error) = read_ahead(&range, LOOKUP_READ_AHEAD_BYTES).await {
                        tracing::error!("{}-{}: {error}", partition.topic, partition.key.index);
                        return ReadAnswer::failed(ErrorCode::KafkaStorageError);
                    }
                }
                TryRead::NotOpen(opening) => {
                    if let Err(error) = partition.open_segment(self, opening).await {
                        return ReadAnswer::failed(error);
                    }
                }
            }
        }
        // The page cache drops pages faster than we read them: the client asks again.
        tracing::warn!("{}-{}: the host evicts pages before they can be sent; it is short of memory", partition.topic, partition.key.index);
        ReadAnswer::failed(ErrorCode::KafkaStorageError)
    }
}

fn other_cores(reads: &[PlacedRead], own: CoreId) -> Vec<CoreId> {
    let mut cores: Vec<CoreId> = reads.iter().map(|read| read.core).filter(|&core| core != own).collect();
    cores.sort_unstable();
    cores.dedup();
    cores
}

/// What is left of a fetch's `max_bytes`. Only the first partition that has data may go beyond it (KIP-74).
struct Budget {
    remaining: usize,
    nothing_yet: bool,
}

impl Budget {
    fn new(bytes_max: usize) -> Budget {
        Budget { remaining: bytes_max, nothing_yet: true }
    }

    fn limit(&self, request: ReadRequest) -> ReadRequest {
        ReadRequest {
            bytes_max: request.bytes_max.min(self.remaining),
            at_least_one_batch: request.at_least_one_batch && self.nothing_yet,
            ..request
        }
    }

    /// What of an answer that knew nothing of those before it still fits: all or nothing, because ranges end behind whole batches.
    fn fit(&mut self, mut answer: ReadAnswer) -> ReadAnswer {
        if !self.nothing_yet && answer.bytes() > self.remaining {
            answer.ranges.clear();
        }
        self.spend(answer)
    }

    fn spend(&mut self, answer: ReadAnswer) -> ReadAnswer {
        self.remaining = self.remaining.saturating_sub(answer.bytes());
        self.nothing_yet &= answer.bytes() == 0;
        answer
    }
}
