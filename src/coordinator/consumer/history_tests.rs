//! Random histories: members that follow the protocol but crash, leave, lose answers and change their minds, topics that come, grow
//! and go, a log that is slow or fails, a broker that restarts, and time that passes in leaps. Seeded: a failure names its seed.
//!
//! What must hold at every step, beside what the stage checks: no partition is read by two clients at once. And at the end: those
//! who go on are brought to a stable group in which every partition has its reader; and when all fall silent, all are gone.

use std::collections::{BTreeMap, BTreeSet};

use super::record::TopicPartitions;
use super::scenario::{Beat, Stage, joining, text};
use crate::base::{ErrorCode, PartitionIndex, TopicId};
use crate::coordinator::event::ConsumerHeartbeatRequest;
use crate::coordinator::{GroupInstanceId, MemberId, RequestToken, ShortText};

const SEEDS: u64 = 120;
const STEPS: usize = 400;
const CLIENTS: usize = 6;

pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `bound` (xorshift64*).
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(super) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

struct Client {
    instance: Option<GroupInstanceId>,
    starts: u32,
    is_running: bool,
    id: MemberId,
    epoch: i32,
    topics: BTreeSet<ShortText>,
    regex: Option<ShortText>,
    is_news: bool,
    /// What it reads right now.
    owned: TopicPartitions,
    /// What it was told to read.
    told: TopicPartitions,
    waiting: Option<RequestToken>,
}

impl Client {
    fn forget(&mut self) {
        (self.epoch, self.is_news) = (0, true);
        self.owned.clear();
        self.told.clear();
        self.waiting = None;
    }
}

struct History {
    random: Random,
    stage: Stage,
    clients: Vec<Client>,
}

impl History {
    fn new(seed: u64) -> History {
        let client = |number: usize| Client {
            instance: number.is_multiple_of(3).then(|| GroupInstanceId::new(&format!("instance-{number}")).unwrap()),
            starts: 0,
            is_running: false,
            id: MemberId::empty(),
            epoch: 0,
            topics: [text("t")].into(),
            regex: None,
            is_news: true,
            owned: TopicPartitions::new(),
            told: TopicPartitions::new(),
            waiting: None,
        };
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        History { random, stage: Stage::new(), clients: (0..CLIENTS).map(client).collect() }
    }

    fn step(&mut self) {
        match self.random.below(60) {
            0 => self.stage.holds_writes = true,
            1..=3 => {
                self.stage.holds_writes = false;
                self.stage.finish_writes();
            }
            4 => {
                self.stage.finish_write();
            }
            5 => self.stage.write_outcome = if self.random.one_in(3) { Err(ErrorCode::KafkaStorageError) } else { Ok(()) },
            6..=9 => {
                let longest_ms = [100, 3_000, 50_000][self.random.below(3) as usize];
                let ms = self.random.below(longest_ms) as i64;
                self.pass(ms);
            }
            10 => self.change_topics(),
            11 => self.restart_broker(),
            _ => {
                let number = self.random.below(CLIENTS as u64) as usize;
                self.turn(number);
            }
        }
        self.check();
    }

    /// A client whose session is over, be it that the answer to its join is still on the way, knows by its own clock that it has nothing any more.
    fn pass(&mut self, ms: i64) {
        self.stage.wait(ms);
        let group = self.stage.coordinator.consumer_group(&self.stage.group_id);
        for client in self.clients.iter_mut().filter(|client| client.is_running && (client.epoch > 0 || client.waiting.is_some())) {
            if group.is_none_or(|group| group.memory().member(&client.id).is_none()) {
                client.forget();
            }
        }
    }

    fn change_topics(&mut self) {
        let name = ["t", "u", "v"][self.random.below(3) as usize];
        let (id, count) = self.stage.topics.topics.get(name).copied().unwrap_or((self.random.below(200) as u8 + 10, 0));
        let count = if self.random.one_in(3) { 0 } else { count + 1 + self.random.below(3) as i32 };
        self.stage.set_topic(name, id, count.min(12));
    }

    fn restart_broker(&mut self) {
        self.stage.restart();
        self.clients.iter_mut().for_each(|client| (client.waiting, client.is_news) = (None, true));
    }

    fn turn(&mut self, number: usize) {
        if !self.clients[number].is_running {
            return self.start(number);
        }
        if self.random.one_in(40) {
            let client = &mut self.clients[number];
            client.forget();
            client.is_running = false;
            return;
        }
        if let Some(token) = self.clients[number].waiting {
            if self.random.one_in(20) {
                // The connection is gone, and with it the answer.
                // It says everything again, or it would never be told what it missed.
                let client = &mut self.clients[number];
                (client.waiting, client.is_news) = (None, true);
                return;
            }
            let Some(answer) = self.stage.beaten(token) else { return };
            self.clients[number].waiting = None;
            return self.heed(number, answer);
        }
        match self.random.below(40) {
            0..=1 => self.leave(number),
            2 => self.subscribe(number),
            _ => self.send(number),
        }
    }

    fn start(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.forget();
        client.is_running = true;
        client.starts += 1;
        client.id = MemberId::new(&format!("member-{number}-{}", client.starts)).unwrap();
    }

    fn subscribe(&mut self, number: usize) {
        let (choice, with_regex) = (self.random.below(8), self.random.one_in(3));
        let client = &mut self.clients[number];
        let names = ["t", "u", "v"].into_iter().enumerate().filter(|(bit, _)| choice & (1 << bit) != 0);
        client.topics = names.map(|(_, name)| text(name)).collect();
        client.regex = with_regex.then(|| text("[uv]"));
        client.is_news = true;
    }

    fn leave(&mut self, number: usize) {
        let goes_for_good = self.random.one_in(2);
        let client = &mut self.clients[number];
        // It has stopped reading before it says so.
        let (id, instance, epoch) = (client.id.clone(), client.instance.clone(), client.epoch);
        client.forget();
        client.is_running = false;
        if epoch > 0 {
            let member_epoch = if instance.is_some() && !goes_for_good { -2 } else { -1 };
            let request = ConsumerHeartbeatRequest { member_id: id, group_instance_id: instance, member_epoch, ..joining("") };
            self.stage.send(request);
        }
    }

    fn send(&mut self, number: usize) {
        let says_all = self.random.one_in(4);
        let client = &mut self.clients[number];
        // First give up, then take, as the Java client does.
        let told = client.told.clone();
        for (topic, partitions) in &mut client.owned {
            partitions.retain(|partition| told.get(topic).is_some_and(|told| told.contains(partition)));
        }
        client.owned.retain(|_, partitions| !partitions.is_empty());
        client.owned = if client.epoch == 0 { TopicPartitions::new() } else { told };
        let full = client.epoch == 0 || client.is_news || says_all;
        let request = ConsumerHeartbeatRequest {
            member_id: client.id.clone(),
            member_epoch: client.epoch,
            group_instance_id: client.instance.clone(),
            rebalance_timeout_ms: if full { 30_000 } else { -1 },
            topics: full.then(|| client.topics.clone()),
            regex: full.then(|| client.regex.clone().unwrap_or_default()),
            owned: Some(client.owned.clone()),
            ..joining("")
        };
        client.is_news = false;
        let token = self.stage.send(request);
        self.clients[number].waiting = Some(token);
    }

    fn heed(&mut self, number: usize, answer: Beat) {
        let client = &mut self.clients[number];
        match answer {
            Ok(answer) => {
                assert_eq!(answer.member_id, client.id);
                client.epoch = answer.member_epoch;
                client.told = answer.assignment.unwrap_or_else(|| client.told.clone());
            }
            Err(refusal) => match refusal.error {
                ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId | ErrorCode::GroupIdNotFound => {
                    client.forget();
                }
                // It tries again, as it was.
                ErrorCode::NotCoordinator | ErrorCode::UnreleasedInstanceId => client.is_news = true,
                other => panic!("{other:?} came: {}", refusal.message),
            },
        }
    }

    fn check(&self) {
        let mut readers: BTreeMap<(TopicId, PartitionIndex), usize> = BTreeMap::new();
        for (number, client) in self.clients.iter().enumerate() {
            for (topic, partitions) in &client.owned {
                for partition in partitions {
                    let other = readers.insert((*topic, *partition), number);
                    assert_eq!(other, None, "{topic} {partition} is read by {other:?} and {number}");
                }
            }
        }
    }

    /// Everything works again: those who run are brought to rest.
    fn settle(&mut self) {
        self.stage.write_outcome = Ok(());
        self.stage.holds_writes = false;
        self.stage.finish_writes();
        for _ in 0..60 {
            self.pass(2_000);
            for number in 0..CLIENTS {
                if !self.clients[number].is_running {
                    continue;
                }
                if let Some(answer) = self.clients[number].waiting.take().and_then(|token| self.stage.beaten(token)) {
                    self.heed(number, answer);
                }
                self.send(number);
                let answer = self.clients[number].waiting.take().and_then(|token| self.stage.beaten(token)).expect("answered at once");
                self.heed(number, answer);
                self.check();
            }
        }
        if self.clients.iter().any(|client| client.is_running) {
            assert_eq!(self.stage.state(), "Stable");
            let read: usize = self.clients.iter().flat_map(|client| client.owned.values()).map(BTreeSet::len).sum();
            let distinct: BTreeMap<&str, usize> = self
                .clients
                .iter()
                .filter(|client| client.is_running)
                .flat_map(|client| client.topics.iter().map(ShortText::as_str).chain(client.regex.iter().flat_map(|_| ["u", "v"])))
                .filter_map(|name| Some((name, self.stage.topics.topics.get(name)?.1 as usize)))
                .collect();
            assert_eq!(read, distinct.values().sum::<usize>(), "every partition that somebody wants is read");
        }
        self.stage.wait(120_000);
        assert!(matches!(self.stage.state(), "Empty" | "-"), "all are gone");
    }
}

#[test]
fn random_histories_keep_the_promises() {
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            for _ in 0..STEPS {
                history.step();
            }
            history.settle();
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
