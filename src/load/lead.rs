//! Leads the workers through one repetition: step after step until the last or the broker has had enough, then the account of it.
//!
//! Lives on the main thread. Invariants: phases go as `phase` says; a step begins only when the slices of the one before are all there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::arguments::{Mode, RunArguments};
use super::checker::{Produced, Verdict};
use super::cluster::{self, Image, LogEnd, Topic};
use super::collector::Collector;
use super::consumer::ReadAccount;
use super::identity::StreamKey;
use super::interrupt::Interrupt;
use super::outcome::{Generator, Repetition, Role, Span, Step};
use super::phase::{Counters, Event, Phase, Slice, StepPlan, Targets};
use super::progress::{DRAW_EVERY, Progress};
use super::run::RunError;
use super::schedule::Pace;
use super::self_check::{self, Seen};
use super::statistics::{self, Flows, Latencies, Statistics};
use super::steps;
use super::team::Team;
use crate::io::clock::{monotonic_ns, wall_ms};
use crate::io::host::ProcessorTicks;

/// Between the moment when all connections stand and the first due message.
const START_DELAY_NS: u64 = 20_000_000;
/// Workers hand over their last slices within this, or are dead.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
pub struct Lead<'a> {
    pub arguments: &'a RunArguments,
    pub topics: Arc<Vec<Topic>>,
    pub image: Image,
    pub number: u32,
    pub team: Team,
    pub phase: watch::Sender<Phase>,
    pub slices: mpsc::UnboundedReceiver<Slice>,
    pub counters: Arc<Counters>,
    pub interrupt: &'a mut Interrupt,
    /// Where a run that reads what is there now ends.
    pub fixed_targets: Option<Arc<Vec<i64>>>,
    targets_given: u32,
}

impl<'a> Lead<'a> {
    #[expect(clippy::too_many_arguments, reason = "made in one place, and every part is different")]
    pub fn new(
        arguments: &'a RunArguments,
        topics: Arc<Vec<Topic>>,
        image: Image,
        number: u32,
        team: Team,
        phase: watch::Sender<Phase>,
        slices: mpsc::UnboundedReceiver<Slice>,
        counters: Arc<Counters>,
        interrupt: &'a mut Interrupt,
        fixed_targets: Option<Arc<Vec<i64>>>,
    ) -> Lead<'a> {
        Lead { arguments, topics, image, number, team, phase, slices, counters, interrupt, fixed_targets, targets_given: 0 }
    }

    /// The whole repetition. Workers are gone at its end.
    ///
    /// # Errors
    /// No broker tells where the logs end.
    pub async fn repeat(mut self) -> Result<Repetition, RunError> {
        self.team.wait_for(Event::Ready, self.team.producers + self.team.consumers, None).await;
        let rates = self.arguments.rates();
        let mut done: Vec<Step> = Vec::new();
        let mut is_undrained = false;
        while let Some(rate) = rates.next(&done)
            && !self.interrupt.has_come()
        {
            let (step, is_drained) = self.step(done.len() as u32 + 1, rate).await?;
            is_undrained = !is_drained;
            done.push(step);
        }
        let last_wishes = self.arguments.produces() && self.arguments.acks.code() == 0 && self.arguments.consumes();
        self.phase.send_replace(Phase::Finish { targets: None });
        self.team.wait_for(Event::ProducerDone, self.team.producers, Some(self.drain_timeout())).await;
        if last_wishes {
            // Without acknowledgements only the producers' end says that everything has arrived.
            let targets = self.targets().await?;
            let number = targets.number;
            self.phase.send_replace(Phase::Finish { targets: Some(targets) });
            is_undrained = !self.drained(number).await;
        }
        self.phase.send_replace(Phase::Stop);
        let (left, produced, read) = self.team.harvest();
        if let Some(step) = done.last_mut() {
            step.troubles.add(&left.troubles);
        }
        let verdict = verdict(self.arguments.mode, &self.topics, &read, &produced);
        Ok(Repetition { number: self.number, steps: done, verdict, is_undrained })
    }

    fn drain_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.arguments.drain_timeout)
    }

    /// One step. Also says whether tail readers have read all of it.
    async fn step(&mut self, number: u32, rate: Option<f64>) -> Result<(Step, bool), RunError> {
        let arguments = self.arguments;
        let start_ns = monotonic_ns() + if arguments.produces() { START_DELAY_NS } else { 0 };
        let start_wall_ms = wall_ms().0;
        let duration_ns = arguments.step_duration_ns(self.fixed_targets.is_some());
        let (pace, schedule) = match arguments.produces() {
            true => arguments.shape().at(rate),
            false => (Pace::AsFastAsPossible, Default::default()),
        };
        let mut plan = StepPlan {
            number,
            pace,
            start_ns,
            measure_from_ns: start_ns + arguments.warmup_ns(),
            end_ns: duration_ns.map_or(u64::MAX, |duration_ns| start_ns + duration_ns),
        };
        let mut collector = Collector::new(plan, start_wall_ms, self.team.workers());
        let fixed_targets = self.fixed_targets.clone().map(|offsets| self.numbered(offsets));
        let reached = fixed_targets.as_ref().map(|targets| Event::Reached(targets.number));
        self.phase.send_replace(Phase::Run { step: plan, targets: fixed_targets });

        let mut progress = Progress::new(arguments.output.quiet, duration_ns.map(|duration_ns| duration_ns as f64 / 1e9));
        let (mut ticks, mut steal_share) = (None, None);
        loop {
            let (event, times) = match arguments.mode {
                Mode::Consume => (reached.unwrap_or(Event::Reached(0)), self.team.tail_readers.max(1)),
                Mode::Both | Mode::Produce => (Event::StepDone(number), self.team.producers),
            };
            let now_ns = monotonic_ns();
            if ticks.is_none() && now_ns >= plan.measure_from_ns {
                ticks = ProcessorTicks::now();
            }
            if steal_share.is_none() && now_ns >= plan.end_ns {
                steal_share = steal_since(ticks);
            }
            let received = self.counters.received.load(Ordering::Relaxed);
            let is_enough = arguments.mode == Mode::Consume
                && (now_ns >= plan.end_ns || arguments.messages.is_some_and(|messages| received >= messages));
            if self.team.count(event) >= times || is_enough {
                break;
            }
            tokio::select! {
                () = self.team.wait_for(event, times, Some(DRAW_EVERY)) => {}
                () = self.interrupt.comes(), if !self.interrupt.has_come() => {
                    if arguments.mode == Mode::Consume {
                        break;
                    }
                    // Nothing is due any more; what is under way is still awaited and read.
                    plan.end_ns = plan.end_ns.min(monotonic_ns().max(plan.start_ns));
                    self.phase.send_replace(Phase::Run { step: plan, targets: None });
                }
            }
            self.take_slices(&mut collector);
            progress.draw(monotonic_ns().saturating_sub(start_ns) / 1_000_000, &self.counters, collector.intervals.last());
        }
        let ended_ns = monotonic_ns();
        let steal_share = steal_share.or_else(|| steal_since(ticks));
        let is_drained = arguments.mode != Mode::Both || self.drain(&plan).await?;
        progress.finish();
        self.collect(&mut collector).await;
        let plan = StepPlan { end_ns: plan.end_ns.min(ended_ns.max(plan.start_ns)), ..plan };
        let step = Step { number, schedule, ..summed_up(&plan, start_wall_ms, collector, steal_share) };
        Ok((judged(step, arguments), is_drained))
    }

    fn take_slices(&mut self, collector: &mut Collector) {
        while let Ok(slice) = self.slices.try_recv() {
            self.take_slice(collector, slice);
        }
    }

    fn take_slice(&mut self, collector: &mut Collector, slice: Slice) {
        collector.take(slice);
    }

    /// Asks for what is left of the step and waits until all of it is here.
    async fn collect(&mut self, collector: &mut Collector) {
        self.phase.send_replace(Phase::Collect);
        let deadline = tokio::time::Instant::now() + COLLECT_TIMEOUT;
        while !collector.is_complete() {
            match tokio::time::timeout_at(deadline, self.slices.recv()).await {
                Ok(Some(slice)) => self.take_slice(collector, slice),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn numbered(&mut self, offsets: Arc<Vec<i64>>) -> Targets {
        self.targets_given += 1;
        Targets { number: self.targets_given, offsets }
    }

    /// Where the logs end now.
    async fn targets(&mut self) -> Result<Targets, RunError> {
        let addresses = super::run::addresses(self.arguments, &self.image);
        let image = cluster::image_with_leaders(&mut cluster::connect_any(&addresses).await?, &self.topics).await?;
        let offsets = Arc::new(cluster::list_offsets(&image, &self.topics, LogEnd::Latest).await?);
        Ok(self.numbered(offsets))
    }

    /// Lets tail readers catch up with the step. Returns whether they did.
    async fn drain(&mut self, plan: &StepPlan) -> Result<bool, RunError> {
        let targets = self.targets().await?;
        let number = targets.number;
        self.phase.send_replace(Phase::Run { step: *plan, targets: Some(targets) });
        Ok(self.drained(number).await)
    }

    async fn drained(&mut self, number: u32) -> bool {
        let (event, readers) = (Event::Reached(number), self.team.tail_readers);
        self.team.wait_for(event, readers, Some(self.drain_timeout())).await;
        self.team.count(event) >= readers
    }
}

fn steal_since(ticks: Option<ProcessorTicks>) -> Option<f64> {
    Some(ProcessorTicks::now()?.steal_share_since(&ticks?))
}

/// All that was counted in a step, as it is written down.
fn summed_up(plan: &StepPlan, start_wall_ms: i64, collector: Collector, steal_share: Option<f64>) -> Step {
    let total = collector.total;
    let last_ns = total.measured.values().map(|traffic| traffic.last_ns).max().unwrap_or(0);
    let producers = total.measured.iter().filter(|((role, _), _)| *role == Role::Producer);
    // Readers that go on behind the end do not make the step longer for the producers.
    let last_produced_ns = producers.map(|(_, traffic)| traffic.last_ns).max();
    Step {
        span: Span {
            start_ns: plan.start_ns,
            measure_from_ns: plan.measure_from_ns,
            end_ns: plan.end_ns,
            last_ns: last_produced_ns.unwrap_or(last_ns),
            start_wall_ms,
        },
        flows: statistics::flows(&total.measured),
        connects: super::distribution::Distribution::of(&total.connects),
        intervals: collector.intervals,
        generator: Generator {
            lateness: super::distribution::Distribution::of(&total.lateness),
            hiccups: super::distribution::Distribution::of(&total.hiccups),
            threads: collector.threads,
            steal_share,
        },
        troubles: total.troubles,
        ..Step::default()
    }
}

/// With the findings of the self-check, and whether the broker kept up.
fn judged(mut step: Step, arguments: &RunArguments) -> Step {
    let merged = |role: Role| {
        let flows = step.flows.iter().filter(|flow| flow.role == role);
        super::distribution::Distribution::merged(flows.map(|flow| &flow.from_intended)).expect("packed here")
    };
    let (produced, consumed) = (merged(Role::Producer), merged(Role::TailReader));
    let some = |latencies: &'_ Latencies| !latencies.0.is_empty();
    let seen = Seen {
        produced: Some(&produced).filter(|latencies| some(latencies)),
        consumed: Some(&consumed).filter(|latencies| some(latencies)),
        lateness: step.generator.lateness.unpack().expect("packed here"),
        hiccups: step.generator.hiccups.unpack().expect("packed here"),
    };
    step.findings = self_check::check(&step, &seen);
    step.saturation = steps::saturation(&step, &produced, &arguments.bounds());
    step
}

/// Tail readers answer for everything, each copy for itself; the others for what they saw.
fn verdict(mode: Mode, topics: &[Topic], read: &[ReadAccount], produced: &BTreeMap<StreamKey, Produced>) -> Option<Verdict> {
    if mode == Mode::Produce {
        return None;
    }
    let mut sum = Verdict::default();
    let mut copies: BTreeMap<usize, Vec<super::checker::PartitionChecker>> = BTreeMap::new();
    for account in read {
        sum.add(account.passed.clone());
        match account.role {
            Role::TailReader => copies.entry(account.copy).or_default().extend(account.partitions.iter().cloned()),
            _ => sum.add(Verdict::of_part(topics, &account.partitions)),
        }
    }
    for partitions in copies.values() {
        sum.add(Verdict::of(topics, partitions, (mode == Mode::Both).then_some(produced), false));
    }
    Some(sum)
}

/// What a run without steps of its own counted, such as a verification.
pub fn plain_step(plan: &StepPlan, start_wall_ms: i64, statistics: &Statistics) -> Step {
    let mut step = Step { number: plan.number, ..Step::default() };
    let last_ns = statistics.measured.values().map(|traffic| traffic.last_ns).max().unwrap_or(plan.start_ns);
    step.span =
        Span { start_ns: plan.start_ns, measure_from_ns: plan.measure_from_ns, end_ns: last_ns.max(plan.start_ns), last_ns, start_wall_ms };
    let measured: &Flows = &statistics.measured;
    step.flows = statistics::flows(measured);
    step.troubles = statistics.troubles.clone();
    step
}
