//! Fetch sessions (KIP-227) as clients use them: what incremental answers leave out, what they must not, and how a session ends.

// A client of the process under test: it has a clock, sockets and files of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;

use std::collections::BTreeMap;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{BrokerId, DeleteTopicsRequest, FetchRequest, FetchResponse};
use uuid::Uuid;

use broker::{Broker, Connection, ask};

const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
const FETCH_SESSION_TOPIC_ID_ERROR: i16 = 106;
/// The first version with sessions, and the first that calls topics by their ids.
const SESSIONS: i16 = 7;
const TOPIC_IDS: i16 = 13;
const NEWEST: i16 = 18;

/// A client's side of one session.
struct Session {
    connection: Connection,
    version: i16,
    topic: &'static str,
    topic_id: Uuid,
    id: i32,
    epoch: i32,
}

/// What an answer says of one partition: error, high watermark, log start, values.
type Told = BTreeMap<i32, (i16, i64, i64, Vec<String>)>;

impl Session {
    fn new(broker: &Broker, version: i16, topic: &'static str) -> Session {
        let mut connection = broker.connect(0);
        let topic_id = ask::describe(&mut connection, topic).topic_id;
        Session { connection, version, topic, topic_id, id: 0, epoch: 0 }
    }

    /// The next request of the session: these partitions from these offsets on, and without those that are forgotten.
    fn request(&self, partitions: &[(i32, i64)], forgotten: &[i32]) -> FetchRequest {
        let partition = |(index, offset): &(i32, i64)| {
            FetchPartition::default().with_partition(*index).with_fetch_offset(*offset).with_partition_max_bytes(1 << 20)
        };
        let mut request = FetchRequest::default().with_max_bytes(50 << 20).with_session_id(self.id).with_session_epoch(self.epoch);
        if self.version <= 14 {
            request = request.with_replica_id(BrokerId(-1));
        }
        if !partitions.is_empty() {
            let topic = FetchTopic::default().with_partitions(partitions.iter().map(partition).collect());
            let topic = match self.version >= TOPIC_IDS {
                true => topic.with_topic_id(self.topic_id),
                false => topic.with_topic(ask::topic_name(self.topic)),
            };
            request = request.with_topics(vec![topic]);
        }
        if !forgotten.is_empty() {
            let topic = ForgottenTopic::default().with_partitions(forgotten.to_vec());
            let topic = match self.version >= TOPIC_IDS {
                true => topic.with_topic_id(self.topic_id),
                false => topic.with_topic(ask::topic_name(self.topic)),
            };
            request = request.with_forgotten_topics_data(vec![topic]);
        }
        request
    }

    fn fetch(&mut self, partitions: &[(i32, i64)], forgotten: &[i32]) -> Told {
        let request = self.request(partitions, forgotten);
        let answer = self.connection.ask(self.version, &request);
        self.take(answer)
    }

    fn take(&mut self, answer: FetchResponse) -> Told {
        assert_eq!(answer.error_code, 0, "version {}", self.version);
        self.id = answer.session_id;
        self.epoch += 1;
        let mut told = Told::new();
        for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            let values = ask::records_of(partition.records.as_deref().unwrap_or_default());
            let values = values.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect();
            let said = (partition.error_code, partition.high_watermark, partition.log_start_offset, values);
            assert!(told.insert(partition.partition_index, said).is_none(), "each partition once");
        }
        told
    }

    /// Sends the request as it is and returns error and session id of the answer, which must name no partition.
    fn refused(&mut self, version: i16, request: &FetchRequest) -> (i16, i32) {
        let answer = self.connection.ask(version, request);
        assert_eq!(answer.responses.len(), 0);
        (answer.error_code, answer.session_id)
    }
}

fn broker_with_partitions(partitions: i32) -> (Broker, Connection) {
    let broker = Broker::start(&[]);
    let mut connection = broker.connect(0);
    ask::create_topic(&mut connection, "t", partitions, &[]);
    (broker, connection)
}

fn told(entries: &[(i32, i64, &[&str])]) -> Told {
    entries.iter().map(|(index, end, values)| (*index, (0, *end, 0, values.iter().map(|value| value.to_string()).collect()))).collect()
}

#[test]
fn an_incremental_answer_names_only_what_changed_in_every_version() {
    let (broker, mut writer) = broker_with_partitions(4);
    for (end, version) in (0..).zip(SESSIONS..=NEWEST) {
        let mut session = Session::new(&broker, version, "t");
        let all = [(0, end), (1, end), (2, end), (3, end)];
        assert_eq!(
            session.fetch(&all, &[]),
            told(&[(0, end, &[]), (1, end, &[]), (2, end, &[]), (3, end, &[])]),
            "a first answer names all"
        );
        assert!(session.id > 0, "version {version}");
        let id = session.id;
        assert_eq!(session.fetch(&[], &[]), Told::new());

        // One partition of this core, one of the other.
        for partition in [1, 2] {
            assert_eq!(ask::write(&mut writer, "t", partition, &["x"]), end);
        }
        let both = told(&[(1, end + 1, &["x"]), (2, end + 1, &["x"])]);
        session.fetch_until(&both);
        // The client has not said that it has them: they come again.
        assert_eq!(session.fetch(&[], &[]), both);
        assert_eq!(session.fetch(&[(1, end + 1)], &[]), told(&[(2, end + 1, &["x"])]));
        assert_eq!(session.fetch(&[(2, end + 1)], &[]), Told::new());
        assert_eq!(session.fetch(&[(2, end)], &[]), told(&[(2, end + 1, &["x"])]), "back again");

        // What is forgotten is not read; what comes back is told anew.
        assert_eq!(session.fetch(&[], &[2, 3]), Told::new());
        assert_eq!(session.fetch(&[(2, end + 1)], &[]), told(&[(2, end + 1, &[])]));
        assert_eq!(session.id, id);
        for partition in [0, 3] {
            ask::write(&mut writer, "t", partition, &["x"]);
        }
        session.fetch_until(&told(&[(0, end + 1, &["x"])]));
    }
}

impl Session {
    /// News from another core take a moment: asks until the answer has as many partitions as `expected`, and must be that.
    fn fetch_until(&mut self, expected: &Told) {
        let begun = std::time::Instant::now();
        loop {
            let told = self.fetch(&[], &[]);
            if told.len() >= expected.len() {
                return assert_eq!(&told, expected);
            }
            assert!(begun.elapsed() < broker::PATIENCE, "{told:?} instead of {expected:?}");
        }
    }
}

#[test]
fn a_fetch_waits_for_news_of_any_partition_wherever_it_is() {
    let (broker, mut writer) = broker_with_partitions(200);
    let mut session = Session::new(&broker, NEWEST, "t");
    let all: Vec<_> = (0..200).map(|index| (index, 0)).collect();
    assert_eq!(session.fetch(&all, &[]).len(), 200);
    let mut changed = Vec::new();
    for partition in [0, 1, 199, 100, 1, 0] {
        let request = session.request(&changed, &[]).with_max_wait_ms(120_000).with_min_bytes(1);
        session.connection.send(NEWEST, &request);
        let offset = ask::write(&mut writer, "t", partition, &["news"]);
        let answer = session.connection.receive::<FetchRequest>(NEWEST);
        assert_eq!(session.take(answer), told(&[(partition, offset + 1, &["news"])]));
        changed = vec![(partition, offset + 1)];
    }
    // More than one append is needed, in partitions that rest and in one that does not.
    let bytes = ask::batch_of(&["news"]).len() as i32;
    let request = session.request(&changed, &[]).with_max_wait_ms(120_000).with_min_bytes(4 * bytes);
    session.connection.send(NEWEST, &request);
    for partition in [7, 7, 7, 8] {
        ask::write(&mut writer, "t", partition, &["news"]);
    }
    let answer = session.connection.receive::<FetchRequest>(NEWEST);
    assert_eq!(session.take(answer), told(&[(7, 3, &["news", "news", "news"]), (8, 1, &["news"])]));
    // And with no news, the time ends it.
    let request = session.request(&[(7, 3), (8, 1)], &[]).with_max_wait_ms(50).with_min_bytes(1);
    let answer = session.connection.ask(NEWEST, &request);
    assert_eq!(session.take(answer), Told::new());
}

#[test]
fn requests_out_of_order_are_refused() {
    let (broker, _) = broker_with_partitions(2);
    let mut session = Session::new(&broker, NEWEST, "t");
    for (id, epoch) in [(12, 1), (i32::MAX, i32::MAX), (-3, 7), (0, 5), (0, -2), (0, i32::MIN)] {
        let request = session.request(&[(0, 0)], &[]).with_session_id(id).with_session_epoch(epoch);
        assert_eq!(session.refused(NEWEST, &request), (FETCH_SESSION_ID_NOT_FOUND, 0), "session {id} epoch {epoch}");
    }
    session.fetch(&[(0, 0)], &[]);
    for epoch in [2, 3, i32::MAX, -2] {
        let request = session.request(&[], &[]).with_session_epoch(epoch);
        assert_eq!(session.refused(NEWEST, &request).0, INVALID_FETCH_SESSION_EPOCH, "epoch {epoch}");
    }
    let by_name = session.request(&[], &[]).with_replica_id(BrokerId(-1));
    assert_eq!(session.refused(12, &by_name).0, FETCH_SESSION_TOPIC_ID_ERROR);
    assert_eq!(session.fetch(&[], &[]), Told::new(), "none of that has harmed it");
    let repeated = session.request(&[], &[]).with_session_epoch(1);
    assert_eq!(session.refused(NEWEST, &repeated).0, INVALID_FETCH_SESSION_EPOCH);

    // Another connection goes on with the session while this one waits: the older request is told that it came second.
    let waiting = session.request(&[], &[]).with_max_wait_ms(60_000).with_min_bytes(1);
    session.connection.send(NEWEST, &waiting);
    let mut other = broker.connect(0);
    let next = waiting.clone().with_session_epoch(session.epoch + 1).with_max_wait_ms(0);
    let begun = std::time::Instant::now();
    // It may come before the one that waits.
    while other.ask(NEWEST, &next).error_code != 0 {
        assert!(begun.elapsed() < broker::PATIENCE);
    }
    ask::write(&mut broker.connect(0), "t", 0, &["wakes it"]);
    let answer = session.connection.receive::<FetchRequest>(NEWEST);
    assert_eq!((answer.error_code, answer.responses.len()), (INVALID_FETCH_SESSION_EPOCH, 0));
}

#[test]
fn a_session_ends_when_its_client_says_so_or_has_forgotten_everything() {
    let (broker, _) = broker_with_partitions(2);
    let mut session = Session::new(&broker, NEWEST, "t");
    // Without a session: the final epoch, an older version, and a core that keeps none.
    let plain = session.request(&[(0, 0)], &[]).with_session_epoch(-1);
    assert_eq!(session.connection.ask(NEWEST, &plain).session_id, 0);

    session.fetch(&[(0, 0), (1, 0)], &[]);
    let first = session.id;
    // Epoch 0 makes a new one in the place of the old one.
    session.epoch = 0;
    session.fetch(&[(0, 0)], &[]);
    assert!(session.id > 0 && session.id != first);
    let gone = session.request(&[], &[]).with_session_id(first).with_session_epoch(1);
    assert_eq!(session.refused(NEWEST, &gone).0, FETCH_SESSION_ID_NOT_FOUND);

    let second = session.id;
    session.fetch(&[(1, 0)], &[]);
    assert_eq!(session.fetch(&[], &[0, 1]), Told::new());
    assert_eq!(session.id, 0, "an empty session is closed");
    let gone = session.request(&[], &[]).with_session_id(second).with_session_epoch(3);
    assert_eq!(session.refused(NEWEST, &gone).0, FETCH_SESSION_ID_NOT_FOUND);

    (session.id, session.epoch) = (0, 0);
    session.fetch(&[(0, 0)], &[]);
    let closing = session.request(&[(0, 0)], &[]).with_session_epoch(-1);
    let answer = session.connection.ask(NEWEST, &closing);
    assert_eq!((answer.error_code, answer.session_id, answer.responses.len()), (0, 0, 1));
    let gone = session.request(&[], &[]);
    assert_eq!(session.refused(NEWEST, &gone).0, FETCH_SESSION_ID_NOT_FOUND);
}

#[test]
fn a_core_keeps_only_so_many() {
    let broker = Broker::start(&["--set", "max.incremental.fetch.session.cache.slots=2"]);
    ask::create_topic(&mut broker.connect(0), "t", 2, &[]);
    let mut sessions: Vec<_> = (0..3).map(|_| Session::new(&broker, NEWEST, "t")).collect();
    sessions.iter_mut().for_each(|session| assert_eq!(session.fetch(&[(0, 0)], &[]).len(), 1));
    assert_eq!(sessions.iter().map(|session| session.id > 0).collect::<Vec<_>>(), [true, true, false], "all are young");
    let none = Broker::start(&["--set", "max.incremental.fetch.session.cache.slots=0"]);
    ask::create_topic(&mut none.connect(0), "t", 1, &[]);
    let mut session = Session::new(&none, NEWEST, "t");
    session.fetch(&[(0, 0)], &[]);
    assert_eq!(session.id, 0);
}

#[test]
fn tiny_requests_with_large_answers_are_answered_one_at_a_time() {
    const PIPELINED: i32 = 60;
    let (broker, _) = broker_with_partitions(1);
    let mut session = Session::new(&broker, 12, "nobody");
    // Errors are told each time: a megabyte for each request of fifty bytes.
    let all: Vec<_> = (0..20_000).map(|index| (index, 0)).collect();
    assert_eq!(session.fetch(&all, &[]).len(), 20_000);
    let before = broker.peak_bytes();
    let requests = (0..PIPELINED).map(|number| {
        let request = session.request(&[], &[]).with_session_epoch(session.epoch + number);
        broker::connection::frame(number, 12, &request)
    });
    let requests = requests.collect::<Vec<_>>().concat();
    session.connection.send_bytes(&requests).unwrap();
    for number in 0..PIPELINED {
        let frame = session.connection.receive_frame().unwrap();
        assert!(frame.len() > 500_000);
        let (correlation_id, answer) = broker::connection::decode::<FetchRequest>(12, frame);
        assert_eq!((correlation_id, answer.error_code, answer.session_id), (number, 0, session.id));
    }
    // The kernel counts roughly: a peak may look lower later.
    let grown = broker.peak_bytes().saturating_sub(before);
    assert!(grown < 25 << 20, "{} MiB for answers that were not sent yet", grown >> 20);
}

#[test]
fn topics_that_go_and_come_back_are_told_of() {
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    const UNKNOWN_TOPIC_ID: i16 = 100;
    let (broker, mut writer) = broker_with_partitions(2);
    let mut by_name = Session::new(&broker, 12, "t");
    let mut by_id = Session::new(&broker, NEWEST, "t");
    for session in [&mut by_name, &mut by_id] {
        session.fetch(&[(0, 0), (1, 0)], &[]);
        assert_eq!(session.fetch(&[], &[]), Told::new());
        // A wait that the deletion ends.
        let request = session.request(&[], &[]).with_max_wait_ms(120_000).with_min_bytes(1);
        session.connection.send(session.version, &request);
    }
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![ask::topic_name("t")]).with_timeout_ms(10_000);
    assert_eq!(writer.ask(5, &delete).responses[0].error_code, 0);
    for (session, error) in [(&mut by_name, UNKNOWN_TOPIC_OR_PARTITION), (&mut by_id, UNKNOWN_TOPIC_ID)] {
        let answer = session.connection.receive::<FetchRequest>(session.version);
        let gone = (error, -1, -1, Vec::new());
        let expected: Told = [(0, gone.clone()), (1, gone)].into();
        assert_eq!(session.take(answer), expected);
        assert_eq!(session.fetch(&[], &[]), expected, "errors are told each time");
    }
    ask::create_topic(&mut writer, "t", 2, &[]);
    ask::write(&mut writer, "t", 0, &["anew"]);
    assert_eq!(by_name.fetch(&[], &[]), told(&[(0, 1, &["anew"]), (1, 0, &[])]));
    assert!(by_id.fetch(&[], &[]).values().all(|told| told.0 == UNKNOWN_TOPIC_ID), "the old id names nothing");
    // As Java does it: the partitions of the old id are forgotten, those of the new one named.
    let mut request = by_id.request(&[], &[0, 1]);
    by_id.topic_id = ask::describe(&mut writer, "t").topic_id;
    request.topics = by_id.request(&[(0, 0), (1, 0)], &[]).topics;
    let answer = by_id.connection.ask(NEWEST, &request);
    assert_eq!(by_id.take(answer), told(&[(0, 1, &["anew"]), (1, 0, &[])]));
    assert_eq!(by_id.fetch(&[(0, 1)], &[]), Told::new());
}

#[test]
fn with_little_room_every_partition_of_every_core_gets_its_turn() {
    let (broker, mut writer) = broker_with_partitions(10);
    for partition in 0..10 {
        for value in ["1", "2", "3"] {
            ask::write(&mut writer, "t", partition, &[value]);
        }
    }
    let mut session = Session::new(&broker, NEWEST, "t");
    let mut changed: Vec<(i32, i64)> = (0..10).map(|partition| (partition, 0)).collect();
    let mut read: BTreeMap<i32, usize> = BTreeMap::new();
    for round in 1..=3 {
        for _ in 0..10 {
            // Room for one batch at a time.
            let request = session.request(&changed, &[]).with_max_bytes(1);
            let answer = session.connection.ask(NEWEST, &request);
            let told = session.take(answer);
            changed = told.iter().filter(|(_, told)| !told.3.is_empty()).map(|(index, told)| (*index, told.3.len() as i64)).collect();
            assert_eq!(changed.len(), 1, "{told:?}");
            let (index, _) = changed[0];
            *read.entry(index).or_default() += 1;
            changed[0].1 = read[&index] as i64;
        }
        assert!(read.len() == 10 && read.values().all(|batches| *batches == round), "{read:?}");
    }
    assert_eq!(session.fetch(&changed, &[]), Told::new());
}
