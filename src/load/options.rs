//! What the options of a run mean together: which cannot be, and what follows from those that can.
//!
//! Pure.

use super::arguments::{Acks, Mode, RunArguments, ScheduleShape, StepRates, address_error, is_address, is_rate};
use super::fetch_request::FetchSizes;
use super::message::MESSAGE_BYTES_MIN;
use super::outcome::{ReaderClass, Role};
use super::steps::{Bounds, Rates, Shape};
use crate::base::TopicName;

const DEFAULT_DURATION_S: f64 = 10.0;
/// Where a doubling begins, in messages per second.
const DOUBLING_FROM: f64 = 1000.0;
const INTERVAL_S_MIN: f64 = 0.01;

/// Whole nanoseconds.
pub fn ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// More threads, connections or requests under way than this are a slip of the keyboard.
const THREADS_MAX: usize = 256;
const CONNECTIONS_MAX: usize = 100_000;
const IN_FLIGHT_MAX: usize = 1000;
/// Kafka's names go up to here.
const TOPICS_MAX: usize = 100_000;

impl RunArguments {
    pub fn produces(&self) -> bool {
        self.mode != Mode::Consume
    }

    pub fn consumes(&self) -> bool {
        self.mode != Mode::Produce
    }

    /// The names of the topics of the run.
    pub fn topic_names(&self) -> Vec<String> {
        match self.topics {
            Some(count) => (0..count).map(|number| format!("{}-{number}", self.topic[0])).collect(),
            None => self.topic.clone(),
        }
    }

    /// What cannot be, as the sentence to print.
    ///
    /// # Errors
    /// That sentence.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, max: usize| match value {
            0 => Err(format!("--{name} 0: at least 1 is needed")),
            _ if value > max => Err(format!("--{name} {value}: at most {max} are supported")),
            _ => Ok(()),
        };
        within("threads", self.threads, THREADS_MAX)?;
        within("producers", self.producers, CONNECTIONS_MAX)?;
        within("consumers", self.consumers, CONNECTIONS_MAX)?;
        within("in-flight", self.in_flight, IN_FLIGHT_MAX)?;
        within("partitions", self.partitions.max(0) as usize, 1_000_000)?;
        if let Some(topics) = self.topics {
            within("topics", topics, TOPICS_MAX)?;
            if self.topic.len() > 1 {
                return Err("--topics N makes N names from one --topic; give either several --topic or one with --topics".into());
            }
        }
        let names = self.topic_names();
        for name in &names {
            TopicName::new(name).map_err(|why| format!("--topic {name}: {why}"))?;
        }
        if names.iter().collect::<std::collections::HashSet<_>>().len() < names.len() {
            return Err("the same --topic stands there twice; name each once".into());
        }
        if let Some(address) = self.bootstrap.iter().find(|address| !is_address(address)) {
            return Err(address_error(address));
        }
        if self.message_bytes < MESSAGE_BYTES_MIN {
            return Err(format!(
                "--message-bytes {}: number, due time and checksum of a message take {MESSAGE_BYTES_MIN} bytes; use at least that",
                self.message_bytes
            ));
        }
        self.check_pace()?;
        self.check_readers()?;
        if self.duration.is_some_and(|duration| self.warmup >= duration) {
            return Err("--warmup takes up the whole --duration; nothing would be measured".into());
        }
        if self.idempotent && self.acks != Acks::All {
            return Err("--idempotent needs --acks all (KIP-98)".into());
        }
        if self.journal.is_some() && (!self.produces() || self.acks == Acks::None) {
            return Err("--journal writes what was acknowledged: it needs a mode that produces, and --acks 1 or all".into());
        }
        if self.repetitions == 0 {
            return Err("--repetitions 0: at least 1 is needed".into());
        }
        if self.journal.is_some() && self.repetitions > 1 {
            return Err("--journal is the memory of one run; leave --repetitions out".into());
        }
        if self.keys > 0 && !self.produces() {
            return Err("--keys is about producers; --mode consume has none".into());
        }
        if !(self.churn.is_finite() && (0.0..=1e6).contains(&self.churn)) {
            return Err("--churn: expected connections per second, from 0 to a million".into());
        }
        if self.interval < INTERVAL_S_MIN {
            return Err("--interval: at least 10ms; shorter ones would be measured themselves".into());
        }
        if self.fetch_wait * 1000.0 > f64::from(i32::MAX) || self.request_timeout * 1000.0 > f64::from(i32::MAX) {
            return Err("--fetch-wait and --request-timeout: at most 24 days".into());
        }
        Ok(())
    }

    fn check_pace(&self) -> Result<(), String> {
        if self.rate.is_some_and(|rate| !is_rate(rate)) {
            return Err("--rate: expected messages per second, 0.001 or more; leave it out for as fast as possible".into());
        }
        let is_list = matches!(self.steps, Some(StepRates::List(_)));
        if self.steps.is_some() && !self.produces() {
            return Err("--steps are rates of producers; --mode consume has none".into());
        }
        if is_list && self.rate.is_some() {
            return Err("--steps lists the rates itself; leave --rate out (with --steps auto, --rate is the first one)".into());
        }
        if self.steps.is_some() && self.messages.is_some() {
            return Err("--steps lasts --duration at each rate; leave --messages out".into());
        }
        if !(self.saturation_share > 0.0 && self.saturation_share <= 100.0) {
            return Err("--saturation-share: expected percent, above 0 and at most 100".into());
        }
        let is_bursts = self.schedule == ScheduleShape::Bursts;
        let burst_parts = usize::from(self.burst_messages.is_some()) + usize::from(self.burst_period.is_some());
        if burst_parts > 0 && !is_bursts {
            return Err("--burst-messages and --burst-period describe --schedule bursts; add it".into());
        }
        if self.burst_messages == Some(0) || self.burst_period.is_some_and(|period| period <= 0.0) {
            return Err("--burst-messages and --burst-period: more than nothing is needed".into());
        }
        let has_rate = self.rate.is_some() || self.steps.is_some();
        match self.schedule {
            _ if !self.produces() && self.schedule != ScheduleShape::Constant => {
                Err("--schedule is about producers; --mode consume has none".into())
            }
            ScheduleShape::Poisson if !has_rate => Err("--schedule poisson needs --rate or --steps".into()),
            ScheduleShape::Bursts if burst_parts + usize::from(has_rate) != 2 => {
                Err("--schedule bursts needs two of --rate (or --steps), --burst-messages and --burst-period; the third follows".into())
            }
            _ => Ok(()),
        }
    }

    fn check_readers(&self) -> Result<(), String> {
        if self.fan_out == 0 || self.fan_out > CONNECTIONS_MAX {
            return Err(format!("--fan-out {}: expected 1 to {CONNECTIONS_MAX} copies of the consumers", self.fan_out));
        }
        let extra = self.backfill_readers + self.slow_readers;
        if extra > CONNECTIONS_MAX {
            return Err(format!("--backfill-readers and --slow-readers: at most {CONNECTIONS_MAX} are supported"));
        }
        if !self.consumes() && (extra > 0 || self.fan_out > 1) {
            return Err("--fan-out, --backfill-readers and --slow-readers read; --mode produce does not".into());
        }
        if (self.slow_readers > 0) != self.slow_reader_rate.is_some() {
            return Err("--slow-readers and --slow-reader-rate belong together".into());
        }
        match self.slow_reader_rate {
            Some(rate) if !is_rate(rate) => Err("--slow-reader-rate: expected messages per second, 0.001 or more".into()),
            _ => Ok(()),
        }
    }

    /// The rates of the steps.
    pub fn rates(&self) -> Rates {
        match (&self.steps, self.rate) {
            _ if !self.produces() => Rates::Unlimited,
            (Some(StepRates::List(rates)), _) => Rates::List(rates.clone()),
            (Some(StepRates::Doubling), rate) => Rates::Doubling { from: rate.unwrap_or(DOUBLING_FROM) },
            (None, Some(rate)) => Rates::List(vec![rate]),
            (None, None) => match (self.burst_messages, self.burst_period) {
                (Some(messages), Some(period)) => Rates::List(vec![messages as f64 / period]),
                _ => Rates::Unlimited,
            },
        }
    }

    /// How messages of a step are spread over time.
    pub fn shape(&self) -> Shape {
        match (self.schedule, self.burst_messages, self.burst_period) {
            (ScheduleShape::Constant, ..) => Shape::Constant,
            (ScheduleShape::Poisson, ..) => Shape::Poisson { seed: self.seed },
            (ScheduleShape::Bursts, Some(messages), _) => Shape::BurstsOf(messages),
            (ScheduleShape::Bursts, None, period) => Shape::BurstsEvery { period_ns: ns(period.unwrap_or(1.0)) },
        }
    }

    /// When a step is more than the broker can do.
    pub fn bounds(&self) -> Bounds {
        Bounds { achieved_share_min: self.saturation_share / 100.0, p99_ns_max: self.saturation_p99.map(ns) }
    }

    pub fn warmup_ns(&self) -> u64 {
        ns(self.warmup)
    }

    /// How long a step lasts; `None` if something else ends it. `has_targets`: reading ends where the logs do.
    pub fn step_duration_ns(&self, has_targets: bool) -> Option<u64> {
        match (self.duration, self.messages) {
            (Some(duration), _) => Some(ns(duration)),
            (None, None) if !has_targets => Some(ns(DEFAULT_DURATION_S)),
            _ => None,
        }
    }

    /// The kinds of readers and how many there are of each.
    pub fn reader_classes(&self) -> Vec<ReaderClass> {
        let class = |role, copies, consumers, messages_per_s_max| ReaderClass { role, copies, consumers, messages_per_s_max };
        let classes = [
            class(Role::TailReader, self.fan_out, self.consumers, None),
            class(Role::BackfillReader, self.backfill_readers, 1, None),
            class(Role::SlowReader, self.slow_readers, 1, self.slow_reader_rate),
        ];
        classes.into_iter().filter(|class| self.consumes() && class.copies > 0).collect()
    }

    /// What a reader asks for at once. One that is slow asks for no more than it reads in a quarter of a second.
    pub fn fetch_sizes(&self, messages_per_s_max: Option<f64>) -> FetchSizes {
        let at_once = messages_per_s_max.map_or(usize::MAX, |rate| ((rate * self.message_bytes as f64 / 4.0) as usize).max(1));
        FetchSizes {
            wait_ms_max: (self.fetch_wait * 1000.0) as i32,
            bytes_min: self.fetch_min_bytes as i32,
            bytes_max: self.fetch_max_bytes.min(at_once) as i32,
            partition_bytes_max: self.fetch_partition_bytes.min(at_once) as i32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::arguments::Arguments;
    use crate::wire::Codec;
    use clap::{CommandFactory, Parser};

    fn parsed(line: &str) -> Result<RunArguments, String> {
        let words = std::iter::once("pagewire-load").chain(line.split_whitespace());
        let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
        arguments.run.check().map(|()| arguments.run)
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
        assert!(parsed("").is_ok());
    }

    #[test]
    fn units_are_understood() {
        let arguments = parsed("--batch-bytes 1M --message-bytes 2K --duration 2m --linger 5ms --codec zstd --acks 1").expect("fine");
        assert_eq!((arguments.batch_bytes, arguments.message_bytes), (1 << 20, 2048));
        assert_eq!((arguments.duration, arguments.linger), (Some(120.0), 0.005));
        assert_eq!((arguments.codec, arguments.acks.code()), (Codec::Zstd, 1));
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        for (line, reason) in [
            ("--message-bytes 47", "at least that"),
            ("--batch-bytes 16Q", "16K"),
            ("--codec brotli", "none, gzip, snappy, lz4, zstd"),
            ("--bootstrap nowhere", "HOST:PORT"),
            ("--topic a/b", "only ASCII letters"),
            ("--topic a --topic a", "twice"),
            ("--topic a --topic b --topics 3", "either"),
            ("--rate 0", "as fast as possible"),
            ("--idempotent --acks 1", "--acks all"),
            ("--journal j --acks 0", "acknowledged"),
            ("--duration 1s --warmup 1s", "measured"),
            ("--threads 0", "at least 1"),
            ("--duration soon", "10s"),
            ("--steps 1000,500", "rising"),
            ("--steps fast", "auto"),
            ("--steps 1000,2000 --rate 5", "leave --rate out"),
            ("--steps auto --messages 5", "leave --messages out"),
            ("--steps auto --mode consume", "producers"),
            ("--schedule poisson", "needs --rate"),
            ("--schedule poisson --rate 5 --mode consume", "producers"),
            ("--burst-messages 5 --rate 5", "--schedule bursts"),
            ("--schedule bursts --rate 5", "two of"),
            ("--schedule bursts --rate 5 --burst-messages 5 --burst-period 1s", "the third follows"),
            ("--saturation-share 0", "percent"),
            ("--repetitions 0", "at least 1"),
            ("--repetitions 2 --journal j", "one run"),
            ("--slow-readers 1", "belong together"),
            ("--backfill-readers 1 --mode produce", "does not"),
            ("--keys 5 --mode consume", "none"),
            ("--processors 3-1", "0,2-5"),
            ("--interval 1ms", "10ms"),
            ("--churn -1", "unexpected"),
            ("--churn=-1", "from 0"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn many_topics_have_numbered_names() {
        assert_eq!(parsed("--topic t --topics 2").expect("fine").topic_names(), ["t-0", "t-1"]);
    }

    #[test]
    fn words_of_other_tools_are_understood() {
        let arguments = parsed("--num-records 5 --record-size 100 --throughput 7").expect("fine");
        assert_eq!((arguments.messages, arguments.message_bytes, arguments.rate), (Some(5), 100, Some(7.0)));
    }

    #[test]
    fn rates_and_shapes_follow_from_what_was_given() {
        let rates = |line: &str| parsed(line).expect(line).rates();
        assert_eq!(rates(""), Rates::Unlimited);
        assert_eq!(rates("--rate 5 --schedule poisson"), Rates::List(vec![5.0]));
        assert_eq!(rates("--steps 1,2.5"), Rates::List(vec![1.0, 2.5]));
        assert_eq!(rates("--steps auto --rate 5"), Rates::Doubling { from: 5.0 });
        assert_eq!(rates("--schedule bursts --burst-messages 50 --burst-period 100ms"), Rates::List(vec![500.0]));
        let shape = |line: &str| parsed(line).expect(line).shape();
        assert_eq!(shape("--schedule bursts --rate 5 --burst-period 1s"), Shape::BurstsEvery { period_ns: 1_000_000_000 });
        assert_eq!(shape("--schedule bursts --steps auto --burst-messages 9"), Shape::BurstsOf(9));
    }

    #[test]
    fn a_slow_reader_asks_for_little_at_once() {
        let arguments = parsed("--slow-readers 1 --slow-reader-rate 100 --message-bytes 1000").expect("fine");
        assert_eq!(arguments.fetch_sizes(None).partition_bytes_max, 1 << 20);
        assert_eq!(arguments.fetch_sizes(Some(100.0)).partition_bytes_max, 25_000);
    }
}
