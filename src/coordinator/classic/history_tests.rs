//! Random histories: clients that follow the protocol but crash, restart, leave and stall, a log that is slow or fails, and
//! time that passes in leaps. Seeded: a failure names its seed.
//!
//! What must hold at every step: every token is answered at most once (checked by the stage); generations never fall; a
//! generation has one leader, who is a member of it; a partition has at most one owner per generation; no member is without a
//! timer or a parked request; a silent member is out when its session ends; acknowledged commits are what a fetch finds. And at the end, when everybody falls silent:
//! everything is answered, everybody is gone.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::GroupState;
use super::scenario::{Scenario, commit_request, join_request, protocol};
use crate::base::ErrorCode;
use crate::coordinator::effect::{JoinResponse, Response, SyncResponse};
use crate::coordinator::event::{CommitOffsetsRequest, Event, HeartbeatRequest, JoinRequest, LeavingMember, SyncRequest};
use crate::coordinator::{GroupConfig, GroupInstanceId, MemberId, RequestToken};

const SEEDS: u64 = 400;
const STEPS: usize = 400;
const CLIENTS: u64 = 6;
const PARTITIONS: u8 = 7;

struct Random(u64);

impl Random {
    /// A number below `bound` (xorshift64*).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// What a client does next.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Join,
    Sync(Vec<(MemberId, Bytes)>),
    Live,
}

#[derive(Clone, Debug)]
struct Client {
    number: u64,
    instance: Option<GroupInstanceId>,
    is_running: bool,
    id: MemberId,
    generation_id: i32,
    next: Step,
    waiting: Option<RequestToken>,
    /// This client's view of when its generation's assignment was its own.
    owned: BTreeSet<u8>,
}

struct History {
    random: Random,
    scenario: Scenario,
    clients: Vec<Client>,
    asked: Vec<RequestToken>,
    commits: BTreeMap<RequestToken, i64>,
    committed: i64,
    next_commit: i64,
    generation_id: i32,
    leaders: BTreeMap<i32, MemberId>,
    owners: BTreeMap<(i32, u8), u64>,
    rebalances: usize,
    /// Dynamic members whose clients crashed with nothing parked, and when.
    silenced: Vec<(MemberId, i64)>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let initial_rebalance_delay_ms = [0, 3_000][random.below(2) as usize];
        let client = |number: u64| Client {
            number,
            instance: number.is_multiple_of(3).then(|| GroupInstanceId::new(&format!("instance-{number}")).unwrap()),
            is_running: false,
            id: MemberId::empty(),
            generation_id: -1,
            next: Step::Join,
            waiting: None,
            owned: BTreeSet::new(),
        };
        History {
            random,
            scenario: Scenario::with(GroupConfig { initial_rebalance_delay_ms, ..GroupConfig::default() }),
            clients: (0..CLIENTS).map(client).collect(),
            asked: Vec::new(),
            commits: BTreeMap::new(),
            committed: -1,
            next_commit: 0,
            generation_id: 0,
            leaders: BTreeMap::new(),
            owners: BTreeMap::new(),
            rebalances: 0,
            silenced: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0 => self.scenario.holds_writes = true,
            1..=3 => {
                self.scenario.holds_writes = false;
                self.scenario.finish_writes();
            }
            4 => {
                self.scenario.finish_write();
            }
            5 => self.scenario.write_outcome = if self.random.one_in(3) { Err(ErrorCode::KafkaStorageError) } else { Ok(()) },
            6..=9 => {
                let longest_ms = [100, 3_000, 20_000][self.random.below(3) as usize];
                let ms = self.random.below(longest_ms) as i64;
                self.scenario.wait(ms);
            }
            _ => {
                let number = self.random.below(CLIENTS) as usize;
                self.client_turn(number);
            }
        }
        self.check();
    }

    fn client_turn(&mut self, number: usize) {
        if !self.clients[number].is_running {
            let client = &mut self.clients[number];
            (client.is_running, client.id, client.next, client.waiting) = (true, MemberId::empty(), Step::Join, None);
            return;
        }
        if self.random.one_in(25) {
            return self.crash(number);
        }
        if let Some(token) = self.clients[number].waiting {
            match self.scenario.answers.get(&token).cloned() {
                Some(answer) => self.heed(number, answer),
                None => return,
            }
        }
        if self.random.one_in(30) && !self.clients[number].id.is_empty() {
            return self.leave(number);
        }
        match self.clients[number].next.clone() {
            Step::Join => self.join(number),
            Step::Sync(assignments) => self.sync(number, assignments),
            Step::Live if self.random.one_in(3) => self.commit(number),
            Step::Live if self.random.one_in(20) => self.clients[number].next = Step::Join,
            Step::Live => self.heartbeat(number),
        }
    }

    fn crash(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.is_running = false;
        let is_parked = client.waiting.is_some_and(|token| !self.scenario.answers.contains_key(&token));
        if client.instance.is_none() && !client.id.is_empty() && !is_parked {
            self.silenced.push((client.id.clone(), self.scenario.now_ms));
        }
    }

    fn ask(&mut self, number: usize, event: impl FnOnce(RequestToken) -> Event) -> RequestToken {
        let token = self.scenario.token();
        self.asked.push(token);
        self.clients[number].waiting = Some(token);
        self.scenario.step(event(token));
        token
    }

    fn join(&mut self, number: usize) {
        let client = &self.clients[number];
        let more = self.random.one_in(4);
        let request = JoinRequest {
            member_id: client.id.clone(),
            group_instance_id: client.instance.clone(),
            rebalance_timeout_ms: 20_000,
            protocols: if more { vec![protocol("range"), protocol("sticky")] } else { vec![protocol("range")] },
            requires_known_member_id: client.number.is_multiple_of(2),
            supports_skipping_assignment: client.number == 0,
            random_bytes: std::array::from_fn(|_| self.random.below(256) as u8),
            ..join_request("c")
        };
        self.ask(number, |token| Event::Join { token, request });
    }

    fn sync(&mut self, number: usize, assignments: Vec<(MemberId, Bytes)>) {
        let client = &self.clients[number];
        let request = SyncRequest {
            member_id: client.id.clone(),
            group_instance_id: client.instance.clone(),
            generation_id: client.generation_id,
            protocol_type: None,
            protocol_name: None,
            assignments,
        };
        self.ask(number, |token| Event::Sync { token, request });
    }

    fn heartbeat(&mut self, number: usize) {
        let client = &self.clients[number];
        let request = HeartbeatRequest {
            member_id: client.id.clone(),
            group_instance_id: client.instance.clone(),
            generation_id: client.generation_id,
        };
        self.ask(number, |token| Event::Heartbeat { token, request });
    }

    fn commit(&mut self, number: usize) {
        let client = &self.clients[number];
        let offset = self.next_commit;
        self.next_commit += 1;
        let request = CommitOffsetsRequest {
            group_instance_id: client.instance.clone(),
            ..commit_request(&client.id, client.generation_id, "read", offset)
        };
        let token = self.scenario.token();
        self.commits.insert(token, offset);
        self.asked.push(token);
        self.clients[number].waiting = Some(token);
        self.scenario.step(Event::CommitOffsets { token, request });
    }

    fn leave(&mut self, number: usize) {
        let client = &self.clients[number];
        let member = LeavingMember { member_id: client.id.clone(), group_instance_id: client.instance.clone() };
        self.ask(number, |token| Event::Leave { token, members: vec![member] });
        self.clients[number].is_running = false;
    }

    /// What a well-behaved client makes of an answer.
    fn heed(&mut self, number: usize, answer: Response) {
        self.clients[number].waiting = None;
        match answer {
            Response::Join(response) if response.error.is_none() => self.joined(number, response),
            Response::Join(response) if response.error == ErrorCode::MemberIdRequired => {
                self.clients[number].id = response.member_id;
            }
            Response::Sync(response) if response.error.is_none() => self.synced(number, response),
            Response::Join(JoinResponse { error, .. }) | Response::Sync(SyncResponse { error, .. }) | Response::Heartbeat(error) => {
                self.refused(number, error);
            }
            Response::CommitOffsets(errors) => self.refused(number, errors[0]),
            Response::Leave(_) | Response::DeleteOffsets(_) | Response::DeleteGroup(_) => {}
        }
    }

    fn refused(&mut self, number: usize, error: ErrorCode) {
        let client = &mut self.clients[number];
        match error {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => client.next = Step::Join,
            // Not written: the next one may be.
            ErrorCode::NotCoordinator => client.next = Step::Join,
            _ => (client.id, client.next) = (MemberId::empty(), Step::Join),
        }
    }

    fn joined(&mut self, number: usize, response: JoinResponse) {
        let leader = self.leaders.entry(response.generation_id).or_insert_with(|| response.leader.clone());
        assert_eq!(seat(leader), seat(&response.leader), "a generation has one leader");
        let is_leader = response.leader == response.member_id;
        assert!(!is_leader || response.members.iter().any(|member| member.member_id == response.leader), "the leader is a member");
        let mut shares: Vec<(MemberId, Vec<u8>)> = response.members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
        for partition in (0..PARTITIONS).filter(|_| is_leader) {
            let owner = usize::from(partition) % shares.len();
            shares[owner].1.push(partition);
        }
        let assignments = match response.skip_assignment {
            true => Vec::new(),
            false => shares.into_iter().map(|(id, share)| (id, share.into())).collect(),
        };
        let client = &mut self.clients[number];
        (client.id, client.generation_id, client.next) = (response.member_id, response.generation_id, Step::Sync(assignments));
        self.rebalances += 1;
    }

    fn synced(&mut self, number: usize, response: SyncResponse) {
        let client = &mut self.clients[number];
        client.next = Step::Live;
        client.owned = response.assignment.iter().copied().collect();
        for partition in &client.owned {
            let owner = *self.owners.entry((client.generation_id, *partition)).or_insert(client.number);
            assert_eq!(owner, client.number, "partition {partition} of generation {} has two owners", client.generation_id);
        }
    }

    fn check(&mut self) {
        let answers = &self.scenario.answers;
        let written = self.commits.iter().filter(|(token, _)| answers.get(token) == Some(&Response::CommitOffsets(vec![ErrorCode::None])));
        self.committed = written.map(|(_, offset)| *offset).max().unwrap_or(-1);
        assert_eq!(self.scenario.offset("read"), self.committed, "what was acknowledged is what is found");
        let Some(group) = self.scenario.coordinator.group(&self.scenario.group_id) else { return };
        assert!(group.generation_id() >= self.generation_id, "generations never fall");
        self.generation_id = group.generation_id();
        let is_timed = |at_ms: i64| group.next_deadline_ms().is_some_and(|next_ms| next_ms <= at_ms);
        for member in group.members() {
            let is_waiting = member.waiting_join.is_some() || member.waiting_sync.is_some();
            assert!(member.session_deadline_ms.is_some() || is_waiting, "{} is forgotten", member.id);
            assert!(member.session_deadline_ms.is_none_or(is_timed), "the session of {} is watched", member.id);
        }
        for (id, since_ms) in &self.silenced {
            let is_over = self.scenario.now_ms >= since_ms + 10_000;
            assert!(!is_over || !group.membership.contains(id), "{id} has been silent for longer than its session");
        }
        assert!(group.join_timer.is_none_or(|timer| is_timed(timer.at_ms())) && group.sync_deadline_ms.is_none_or(is_timed));
        assert_eq!(group.join_timer.is_some(), group.state() == GroupState::PreparingRebalance, "a barrier always has its timer");
        let has_members = group.members().next().is_some();
        match group.state() {
            GroupState::Empty => assert!(!has_members),
            GroupState::CompletingRebalance | GroupState::Stable => assert!(has_members && group.protocol_name.is_some()),
            GroupState::PreparingRebalance | GroupState::Dead => {}
        }
        let is_watched = group.pending_syncs.is_empty() != group.sync_deadline_ms.is_some();
        assert!(is_watched, "who has not fetched its assignment is waited for");
    }

    /// Everybody falls silent, the log works: within the new member's limit and a rebalance nobody is left.
    fn end(&mut self) {
        self.scenario.holds_writes = false;
        self.scenario.write_outcome = Ok(());
        self.scenario.finish_writes();
        self.scenario.wait(300_000 + 4 * 20_000 + 10_000);
        for token in &self.asked {
            assert!(self.scenario.answers.contains_key(token), "{token:?} was never answered");
        }
        assert_eq!(self.scenario.coordinator.next_deadline_ms(), None);
        if let Some(group) = self.scenario.coordinator.group(&self.scenario.group_id) {
            assert_eq!((group.state(), group.members().count()), (GroupState::Empty, 0));
        }
    }
}

/// A static member keeps its seat under each new id.
fn seat(id: &MemberId) -> &str {
    if id.as_str().starts_with("instance-") { &id.as_str()[.."instance-0".len()] } else { id.as_str() }
}

#[test]
fn random_histories_keep_the_promises() {
    let (mut rebalances, mut shares) = (0, 0);
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            (0..STEPS).for_each(|_| history.step());
            history.end();
            (history.rebalances, history.owners.len())
        });
        let (of_rebalances, of_shares) = outcome.unwrap_or_else(|_| panic!("the history of seed {seed} broke a promise"));
        rebalances += of_rebalances;
        shares += of_shares;
    }
    assert!(rebalances > 5_000 && shares > 5_000, "the histories got somewhere: {rebalances} joins, {shares} shares");
}
