//! Random histories of groups whose clients come in either protocol, so that the group goes over and back, with a log that is slow
//! or fails, and a broker that restarts. Some clients are static members; those of the classic protocol are eager or cooperative, in
//! one group: an assignor that hands out nothing that another one still has serves both. Seeded: a failure names its seed.
//!
//! What must hold: no partition is read by two clients at once, whatever the group is; whoever goes on is brought to rest with
//! every partition read; when all fall silent, nobody is left.

use std::collections::{BTreeMap, BTreeSet};

use super::history_tests::Random;
use super::scenario::{Stage, joining, of_t, text};
use crate::base::ErrorCode;
use crate::coordinator::effect::{JoinResponse, Response};
use crate::coordinator::embedded_protocol::{NamedPartitions, encode_subscription, read_assignment, read_subscription};
use crate::coordinator::event::{ConsumerHeartbeatRequest, Event, HeartbeatRequest, JoinRequest, LeavingMember, Protocol, SyncRequest};
use crate::coordinator::{GroupInstanceId, MemberId, RequestToken};

const SEEDS: u64 = 150;
const STEPS: usize = 400;
const CLIENTS: usize = 5;
const PARTITIONS: i32 = 6;

#[derive(Default)]
struct Client {
    instance: Option<GroupInstanceId>,
    starts: u32,
    is_running: bool,
    speaks_classic: bool,
    /// Of the classic protocol: it keeps what it has while it rejoins (KIP-429).
    is_cooperative: bool,
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
        let client = |number: usize| {
            let instance = number.is_multiple_of(3).then(|| GroupInstanceId::new(&format!("instance-{number}")).unwrap());
            Client { instance, ..Client::default() }
        };
        History { random, stage, clients: (0..CLIENTS).map(client).collect(), went_over: 0, came_back: 0 }
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
        let is_cooperative = self.random.one_in(2);
        let client = &mut self.clients[number];
        client.give_up();
        client.starts += 1;
        (client.is_running, client.speaks_classic, client.is_cooperative) = (true, speaks_classic, is_cooperative);
        client.id = match speaks_classic {
            true => MemberId::empty(),
            false => MemberId::new(&format!("member-{number}-{}", client.starts)).unwrap(),
        };
    }

    /// A static member mostly goes for a while only: in the classic protocol without a word.
    fn leave(&mut self, number: usize) {
        let goes_for_good = self.clients[number].instance.is_none() || self.random.one_in(3);
        let client = &mut self.clients[number];
        let (id, instance, speaks_classic, is_member) =
            (client.id.clone(), client.instance.clone(), client.speaks_classic, client.epoch > 0);
        client.forget();
        client.is_running = false;
        let token = self.stage.token();
        if speaks_classic && is_member && goes_for_good {
            self.stage.step(Event::Leave { token, members: vec![LeavingMember { member_id: id, group_instance_id: instance }] });
        } else if !speaks_classic && is_member {
            let member_epoch = if goes_for_good { -1 } else { -2 };
            self.stage.send(ConsumerHeartbeatRequest { member_id: id, group_instance_id: instance, member_epoch, ..joining("") });
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
            group_instance_id: client.instance.clone(),
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
            let (member_id, group_instance_id) = (client.id.clone(), client.instance.clone());
            let request = HeartbeatRequest { member_id, group_instance_id, generation_id: client.epoch };
            self.stage.step(Event::Heartbeat { token, request });
            return token;
        }
        let member_id = client.id.clone();
        if !client.is_cooperative {
            client.give_up();
        }
        let owned: Vec<i32> = client.owned.iter().copied().collect();
        let request = JoinRequest {
            member_id,
            group_instance_id: client.instance.clone(),
            client_id: text("classic"),
            client_host: text("/127.0.0.1"),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: text("consumer"),
            protocols: vec![Protocol { name: text("range"), metadata: encode_subscription(1, &["t"], &[("t", owned)]) }],
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
                // The former life of a static member has yet to be missed.
                ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress | ErrorCode::UnreleasedInstanceId => {}
                ErrorCode::FencedMemberEpoch | ErrorCode::FencedInstanceId | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => {
                    client.forget()
                }
                other => panic!("{other:?} came: {}", refusal.message),
            },
            Response::Join(answer) if answer.error.is_none() => self.sync(number, answer),
            Response::Sync(answer) if answer.error.is_none() => {
                let assigned = numbers(read_assignment(&answer.assignment).unwrap_or_default());
                // Who has given something up says so at once.
                client.is_settled = client.owned.is_subset(&assigned);
                client.owned = assigned;
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
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => client.forget(),
            ErrorCode::RebalanceInProgress if client.is_cooperative => client.is_settled = false,
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
        let owned: BTreeMap<&MemberId, BTreeSet<i32>> = joined
            .members
            .iter()
            .map(|member| (&member.member_id, read_subscription(&member.metadata).map_or_else(BTreeSet::new, |said| numbers(said.owned))))
            .collect();
        let is_anothers = |partition: &i32, id: &MemberId| owned.iter().any(|(other, owned)| *other != id && owned.contains(partition));
        let assignments = owned.keys().zip(0..).map(|(id, place)| {
            let mut bytes = b"\0\x01\0\0\0\x01\0\x01t".to_vec();
            let part: Vec<i32> = (0..PARTITIONS).filter(|one| one % count == place && !is_anothers(one, id)).collect();
            bytes.extend((part.len() as i32).to_be_bytes());
            part.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
            bytes.extend((-1i32).to_be_bytes());
            ((*id).clone(), bytes.into())
        });
        let request = SyncRequest {
            member_id: joined.member_id.clone(),
            group_instance_id: self.clients[number].instance.clone(),
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

fn numbers(named: NamedPartitions) -> BTreeSet<i32> {
    named.into_iter().flat_map(|(_, partitions)| partitions).map(|partition| partition.0).collect()
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
