//! Random histories of groups whose clients come in either protocol, so that the group goes over and back, with a log that is slow
//! or fails, and a broker that restarts. Seeded: a failure names its seed.
//!
//! What must hold: no partition is read by two clients at once, whatever the group is; whoever goes on is brought to rest with
//! every partition read; when all fall silent, nobody is left.

use std::collections::{BTreeMap, BTreeSet};

use super::history_tests::Random;
use super::scenario::{Stage, joining, of_t, text};
use crate::base::ErrorCode;
use crate::coordinator::effect::{JoinResponse, Response};
use crate::coordinator::embedded_protocol::{encode_subscription, read_assignment};
use crate::coordinator::event::{ConsumerHeartbeatRequest, Event, HeartbeatRequest, JoinRequest, LeavingMember, Protocol, SyncRequest};
use crate::coordinator::{MemberId, RequestToken};

const SEEDS: u64 = 150;
const STEPS: usize = 400;
const CLIENTS: usize = 5;
const PARTITIONS: i32 = 6;

#[derive(Default)]
struct Client {
    starts: u32,
    is_running: bool,
    speaks_classic: bool,
    id: MemberId,
    epoch: i32,
    owned: BTreeSet<i32>,
    told: BTreeSet<i32>,
    /// Of the classic protocol: it has an assignment and sends heartbeats.
    is_settled: bool,
    waiting: Option<RequestToken>,
}

impl Client {
    fn forget(&mut self) {
        if self.speaks_classic {
            self.id = MemberId::empty();
        }
        self.give_up();
    }

    fn give_up(&mut self) {
        (self.epoch, self.is_settled, self.waiting) = (0, false, None);
        self.owned.clear();
        self.told.clear();
    }
}

struct History {
    random: Random,
    stage: Stage,
    clients: Vec<Client>,
    went_over: usize,
    came_back: usize,
}

impl History {
    fn new(seed: u64) -> History {
        let mut stage = Stage::new();
        stage.set_topic("t", 1, PARTITIONS);
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        History { random, stage, clients: (0..CLIENTS).map(|_| Client::default()).collect(), went_over: 0, came_back: 0 }
    }

    fn is_consumer(&self) -> Option<bool> {
        let (coordinator, id) = (&self.stage.coordinator, &self.stage.group_id);
        let classic = coordinator.group(id).filter(|group| !group.is_empty()).map(|_| false);
        classic.or_else(|| coordinator.consumer_group(id).filter(|group| !group.memory().members().is_empty()).map(|_| true))
    }

    fn knows(&self, member: &MemberId) -> bool {
        let (coordinator, id) = (&self.stage.coordinator, &self.stage.group_id);
        coordinator.group(id).is_some_and(|group| group.has_member(member))
            || coordinator.consumer_group(id).is_some_and(|group| group.memory().member(member).is_some())
    }

    fn step(&mut self) {
        let before = self.is_consumer();
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
                let longest_ms = [100, 3_000, 40_000][self.random.below(3) as usize];
                let ms = self.random.below(longest_ms) as i64;
                self.pass(ms);
            }
            10 if self.random.one_in(3) => {
                self.stage.restart();
                self.clients.iter_mut().for_each(|client| client.waiting = None);
            }
            _ => {
                let number = self.random.below(CLIENTS as u64) as usize;
                self.turn(number);
            }
        }
        match (before, self.is_consumer()) {
            (Some(false), Some(true)) => self.went_over += 1,
            (Some(true), Some(false)) => self.came_back += 1,
            _ => {}
        }
        self.check();
    }

    /// A client whose session is over knows by its own clock that it has nothing any more.
    fn pass(&mut self, ms: i64) {
        self.stage.wait(ms);
        for number in 0..CLIENTS {
            let client = &self.clients[number];
            if client.is_running && !client.id.is_empty() && !self.knows(&client.id) {
                self.clients[number].forget();
            }
        }
    }

    fn turn(&mut self, number: usize) {
        if !self.clients[number].is_running {
            return self.start(number);
        }
        if self.random.one_in(40) {
            self.clients[number].forget();
            self.clients[number].is_running = false;
        } else if let Some(token) = self.clients[number].waiting {
            if self.random.one_in(20) {
                // The connection is gone, and with it the answer.
                self.clients[number].waiting = None;
            } else if let Some(answer) = self.stage.answers.get(&token).cloned() {
                self.clients[number].waiting = None;
                self.heed(number, answer);
            }
        } else if self.random.one_in(30) {
            self.leave(number);
        } else {
            self.send(number);
        }
    }

    fn start(&mut self, number: usize) {
        // Mostly one protocol at a time, so that the last of one kind does go.
        let speaks_classic = if self.random.one_in(4) { self.random.one_in(2) } else { (self.stage.now_ms / 60_000) % 2 == 0 };
        let client = &mut self.clients[number];
        client.give_up();
        client.starts += 1;
        (client.is_running, client.speaks_classic) = (true, speaks_classic);
        client.id = match speaks_classic {
            true => MemberId::empty(),
            false => MemberId::new(&format!("member-{number}-{}", client.starts)).unwrap(),
        };
    }

    fn leave(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let (id, speaks_classic, is_member) = (client.id.clone(), client.speaks_classic, client.epoch > 0);
        client.forget();
        client.is_running = false;
        let token = self.stage.token();
        if speaks_classic && is_member {
            self.stage.step(Event::Leave { token, members: vec![LeavingMember { member_id: id, group_instance_id: None }] });
        } else if is_member {
            self.stage.send(ConsumerHeartbeatRequest { member_id: id, member_epoch: -1, ..joining("") });
        }
    }

    fn send(&mut self, number: usize) {
        let token = if self.clients[number].speaks_classic { self.send_classic(number) } else { self.beat(number) };
        self.clients[number].waiting = Some(token);
    }

    fn beat(&mut self, number: usize) -> RequestToken {
        let client = &mut self.clients[number];
        client.owned = if client.epoch == 0 { BTreeSet::new() } else { client.told.clone() };
        let owned: Vec<i32> = client.owned.iter().copied().collect();
        let request = ConsumerHeartbeatRequest {
            member_id: client.id.clone(),
            member_epoch: client.epoch,
            rebalance_timeout_ms: 30_000,
            owned: Some(of_t(&owned)),
            ..joining("")
        };
        self.stage.send(request)
    }

    fn send_classic(&mut self, number: usize) -> RequestToken {
        let token = self.stage.token();
        let client = &mut self.clients[number];
        if client.is_settled {
            let request = HeartbeatRequest { member_id: client.id.clone(), group_instance_id: None, generation_id: client.epoch };
            self.stage.step(Event::Heartbeat { token, request });
            return token;
        }
        // It gives up everything before it joins: an eager one.
        let member_id = client.id.clone();
        client.give_up();
        let request = JoinRequest {
            member_id,
            group_instance_id: None,
            client_id: text("classic"),
            client_host: text("/127.0.0.1"),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: text("consumer"),
            protocols: vec![Protocol { name: text("range"), metadata: encode_subscription(1, &["t"], &[]) }],
            requires_known_member_id: false,
            supports_skipping_assignment: false,
            random_bytes: u128::from(token.0).to_be_bytes(),
        };
        self.stage.step(Event::Join { token, request });
        token
    }

    fn heed(&mut self, number: usize, answer: Response) {
        let client = &mut self.clients[number];
        match answer {
            Response::ConsumerHeartbeat(Ok(answer)) => {
                client.epoch = answer.member_epoch;
                if let Some(told) = answer.assignment {
                    client.told = told.values().flatten().map(|partition| partition.0).collect();
                }
            }
            Response::ConsumerHeartbeat(Err(refusal)) => match refusal.error {
                ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress => {}
                ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => client.forget(),
                other => panic!("{other:?} came: {}", refusal.message),
            },
            Response::Join(answer) if answer.error.is_none() => self.sync(number, answer),
            Response::Sync(answer) if answer.error.is_none() => {
                let named = read_assignment(&answer.assignment).unwrap_or_default();
                client.owned = named.into_iter().flat_map(|(_, partitions)| partitions).map(|partition| partition.0).collect();
                client.is_settled = true;
            }
            Response::Heartbeat(ErrorCode::None) => {}
            Response::Join(JoinResponse { error, .. }) | Response::Heartbeat(error) => self.heed_error(number, error),
            Response::Sync(answer) => self.heed_error(number, answer.error),
            other => panic!("{other:?} came"),
        }
    }

    fn heed_error(&mut self, number: usize, error: ErrorCode) {
        let client = &mut self.clients[number];
        match error {
            ErrorCode::UnknownMemberId => client.forget(),
            ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress => client.give_up(),
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable => {}
            other => panic!("{other:?} came"),
        }
    }

    fn sync(&mut self, number: usize, joined: JoinResponse) {
        let client = &mut self.clients[number];
        client.id = joined.member_id.clone();
        client.epoch = joined.generation_id;
        let count = joined.members.len() as i32;
        let assignments = joined.members.iter().zip(0..).map(|(member, place)| {
            let mut bytes = b"\0\x01\0\0\0\x01\0\x01t".to_vec();
            let part: Vec<i32> = (0..PARTITIONS).filter(|partition| partition % count == place).collect();
            bytes.extend((part.len() as i32).to_be_bytes());
            part.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
            bytes.extend((-1i32).to_be_bytes());
            (member.member_id.clone(), bytes.into())
        });
        let request = SyncRequest {
            member_id: joined.member_id.clone(),
            group_instance_id: None,
            generation_id: joined.generation_id,
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments: assignments.collect(),
        };
        let token = self.stage.token();
        self.clients[number].waiting = Some(token);
        self.stage.step(Event::Sync { token, request });
    }

    fn check(&self) {
        let mut readers = BTreeMap::new();
        for (number, client) in self.clients.iter().enumerate() {
            for partition in &client.owned {
                let other = readers.insert(partition, number);
                assert_eq!(other, None, "{partition} is read by {other:?} and {number}");
            }
        }
    }

    /// Everything works again: those who run are brought to rest.
    fn settle(&mut self) {
        self.stage.write_outcome = Ok(());
        self.stage.holds_writes = false;
        self.stage.finish_writes();
        for _ in 0..150 {
            self.pass(1_000);
            for number in 0..CLIENTS {
                if !self.clients[number].is_running {
                    continue;
                }
                for _ in 0..3 {
                    match self.clients[number].waiting {
                        None => self.send(number),
                        Some(token) => {
                            if let Some(answer) = self.stage.answers.get(&token).cloned() {
                                self.clients[number].waiting = None;
                                self.heed(number, answer);
                            }
                        }
                    }
                    self.check();
                }
            }
        }
        if self.clients.iter().any(|client| client.is_running) {
            let read: usize = self.clients.iter().map(|client| client.owned.len()).sum();
            assert_eq!(read, PARTITIONS as usize, "every partition is read");
            assert!(self.clients.iter().all(|client| !client.is_running || self.knows(&client.id)), "nobody is forgotten");
        }
        self.stage.wait(200_000);
        assert_eq!(self.is_consumer(), None, "all are gone");
    }
}

#[test]
fn random_histories_of_both_protocols_keep_the_promises() {
    let (mut went_over, mut came_back) = (0, 0);
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            for _ in 0..STEPS {
                history.step();
            }
            history.settle();
            (history.went_over, history.came_back)
        });
        let Ok((over, back)) = outcome else { panic!("seed {seed}") };
        went_over += over;
        came_back += back;
    }
    assert!(went_over > 50 && came_back > 10, "groups went over {went_over} and came back {came_back} times");
}
