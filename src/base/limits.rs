//! The bounds of the broker. One that matters to a single file only may be a named constant there.
//!
//! Invariants: the `const` assertions at the end relate the limits to each other.

/// Kafka's longest topic name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;
/// The largest request frame, Kafka's `socket.request.max.bytes` default.
pub const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;
/// What one connection may read from its socket in one turn before others get theirs.
pub const CONNECTION_TURN_BYTES_MAX: usize = 1024 * 1024;
/// What one read takes at most. The buffer goes on to the next connection, unless batches in it wait to be appended.
pub const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;
/// The size at which a private buffer for a frame that does not fit the shared one starts; it doubles as bytes arrive.
pub const FRAME_BUFFER_BYTES_MIN: usize = 64 * 1024;
/// The longest time for which a connection is muted in one go: while it is, nobody notices that its peer is gone.
pub const CONNECTION_MUTED_MS_MAX: i32 = 60_000;
/// Connections one core serves at most; fewer if the process may not open enough files. One more is closed at once.
pub const CONNECTIONS_PER_CORE_MAX: usize = 20_000;
/// Requests of one connection answered together.
pub const PIPELINED_REQUESTS_MAX: usize = 1024;
/// Bytes of requests that one connection may have copied, because they wait for others or for another core. One request may go beyond it.
pub const HELD_REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Batches of all connections that go down together; their bytes still lie in the processor's second cache then.
pub const APPEND_ROUND_BYTES_MAX: usize = 256 * 1024;
pub const APPEND_ROUND_BATCHES_MAX: usize = 512;
/// Turns of connections that are appended together: each keeps the buffer that it was received in.
pub const APPEND_ROUND_TURNS_MAX: usize = 64;
/// Partitions, or topics, that one Produce or Fetch request may name: each costs far more memory than its bytes on the wire.
pub const REQUEST_PARTITIONS_MAX: usize = 100_000;
/// Messages that may wait at a core for one other before its connections stop to take requests.
pub const MESH_BACKLOG_MAX: usize = 16 * 1024;
/// Messages that may wait at a thread for one other. Requests stop long before, at [`MESH_BACKLOG_MAX`]; above that come only the
/// answers to what was taken in, which may all be there at once.
pub const MESH_OVERFLOW_MAX: usize = 1024 * 1024;
/// The longest time a fetch may wait, whatever `max_wait_ms` asks for.
pub const FETCH_WAIT_MS_MAX: i32 = 5 * 60 * 1000;
/// Partitions of all fetch sessions of one core. Each costs about 150 bytes there, and 24 at its own core.
pub const FETCH_SESSION_PARTITIONS_PER_CORE_MAX: usize = 500_000;
/// How often a fetch session looks at partitions that have told nothing: what makes no news (a log start that rose) is found then.
pub const FETCH_SESSION_LOOK_MS: i64 = 5_000;
/// A fetch session that was not used for so long goes first when there are too many, Kafka's built-in value.
pub const FETCH_SESSION_EVICTION_MS: i64 = 120_000;
/// Users and client ids with a quota of their own.
pub const QUOTA_ENTITIES_MAX: usize = 10_000;
/// Limited clients that one core tells apart; beyond that, those that it does not know yet share one account.
pub const QUOTA_CLIENTS_MAX: usize = 10_000;
/// How often a core tells the others what its limited clients have used.
pub const QUOTA_EXCHANGE_MS: u64 = 100;
/// The most a fetch answer carries, Kafka's `fetch.max.bytes` of a broker.
pub const FETCH_RESPONSE_BYTES_MAX: usize = 55 * 1024 * 1024;
/// With `--fetch-transfer auto`, ranges below this are copied and larger ones go as pages.
pub const SENDFILE_BYTES_MIN: usize = 32 * 1024;
/// With `--fetch-transfer auto`, pieces of this size and more go by splice, smaller ones by sendfile. MEASURED: at this size both cost the same.
pub const SPLICE_BYTES_MIN: usize = 256 * 1024;
/// A core sends at most so much of a file in one piece.
pub const PAGES_QUANTUM_BYTES: usize = 512 * 1024;
/// What one compressed batch may grow to when it is checked.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How much of a compressed batch is checked on the core; what needs more is checked beside it.
pub const DECOMPRESS_ON_CORE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Partitions in one CreateTopics request, over all its topics.
pub const PARTITIONS_PER_REQUEST_MAX: i32 = 10_000;
/// Changes of the metadata that may wait for those before them; each is stored before the next begins.
pub const CHANGES_WAITING_MAX: usize = 1000;
/// How often a core looks whether a helper thread is done with a log, where nothing tells it: before a move and before a stop.
pub const JOB_LOOK_MS: u64 = 5;
/// So many times it looks before a stop: a disk that hangs must not keep the broker from ending.
pub const JOB_LOOKS_BEFORE_STOP_MAX: usize = 2000;
/// How often a core looks whether a sync is done for which requests of a partition that moves wait.
pub const SYNC_LOOK_MS: u64 = 1;
/// How often a search by time may find that the cleaner or retention was faster, before it is given up.
pub const TIME_SEARCHES_MAX: usize = 8;
/// The shortest wait between two looks for dirty logs, whatever `log.cleaner.backoff.ms` says.
pub const CLEANER_BACKOFF_MS_MIN: i64 = 10;
/// What one system call of work in the background reads or writes. A kernel built without preemption gives the processor back only between system
/// calls: 64 KiB are about 40 µs, where 1 MiB kept a core waiting for up to 5 ms, whatever the priorities.
pub const BACKGROUND_CALL_BYTES_MAX: usize = 64 * 1024;
/// What one system call hands to the disk for writing back, for the same reason: 4 MiB of small appends took 0.8 ms.
pub const WRITEBACK_CALL_BYTES_MAX: usize = 256 * 1024;
/// Segments that one cleaning makes into one: they are open meanwhile.
pub const CLEANED_TOGETHER_SEGMENTS_MAX: usize = 500;
/// Producers that one partition tells apart; with one more, the one that wrote longest ago is forgotten. About 200 bytes each.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 100_000;
/// Producers of one partition that one tick examines for some that have written nothing for too long.
pub const PRODUCERS_EXAMINED_PER_TICK_MAX: usize = 4096;
/// Passes over the topics of a consumer group whose members subscribe to different ones: chains of overlapping subscriptions level slowly, each pass about
/// halving what is left. Kafka's bound.
pub const ASSIGNOR_PASSES_MAX: usize = 16;
/// The longest regular expression that a consumer may subscribe by.
pub const REGEX_BYTES_MAX: usize = 4096;
/// What a compiled regular expression may take in memory.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 1024 * 1024;
/// The shortest pause before the topics of a group's regular expressions are looked for again. Kafka's constant.
pub const REGEX_REFRESH_MS_MIN: i64 = 10_000;
/// The longest time that a core without work may spin before it sleeps: once in a second it has something to do anyway.
pub const SPIN_US_MAX: u64 = 1_000_000;
/// Cores of one node: broker ids are `node_id * 1000 + core`.
pub const CORES_MAX: usize = 1000;

const _: () = assert!(FRAME_BUFFER_BYTES_MIN <= RECEIVE_BUFFER_BYTES);
const _: () = assert!(RECEIVE_BUFFER_BYTES <= CONNECTION_TURN_BYTES_MAX);
const _: () = assert!(CONNECTION_TURN_BYTES_MAX <= REQUEST_BYTES_MAX);
const _: () = assert!(PIPELINED_REQUESTS_MAX < MESH_BACKLOG_MAX && MESH_BACKLOG_MAX < MESH_OVERFLOW_MAX);
const _: () = assert!(DECOMPRESS_ON_CORE_BYTES_MAX <= DECOMPRESSED_BATCH_BYTES_MAX);
const _: () = assert!(PRODUCERS_EXAMINED_PER_TICK_MAX <= PRODUCERS_PER_PARTITION_MAX);
const _: () = assert!(BACKGROUND_CALL_BYTES_MAX <= WRITEBACK_CALL_BYTES_MAX);
const _: () = assert!(SENDFILE_BYTES_MIN <= SPLICE_BYTES_MIN && SPLICE_BYTES_MIN <= PAGES_QUANTUM_BYTES);
const _: () = assert!(REQUEST_PARTITIONS_MAX <= FETCH_SESSION_PARTITIONS_PER_CORE_MAX);
