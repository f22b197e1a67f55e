//! Each worker's clockwork: takes away what was counted at every edge, and watches how late the thread itself is.
//!
//! Lives on a worker thread, one per worker. Invariants: edges are the same on all workers; the slices of a step follow one another from
//! its start without holes, and the last one carries the thread's use. The worker's producers and consumers hear of a phase from here,
//! so nothing that they count for a step comes before its first slice begins.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::{mpsc, watch};

use super::outcome::ThreadUse;
use super::phase::{Phase, Slice, StepPlan};
use super::precise_timer::PreciseTimer;
use super::statistics::Statistics;
use crate::io::clock::monotonic_ns;
use crate::io::host;

/// Between two looks at how late the thread is: seldom enough to cost nothing, often enough for a thousand values in five seconds.
const HICCUP_EVERY_NS: u64 = 5_000_000;

/// See the module.
pub struct Recorder {
    pub worker: usize,
    pub interval_ns: u64,
    pub statistics: Rc<RefCell<Statistics>>,
    pub slices: mpsc::UnboundedSender<Slice>,
    /// To the worker's producers and consumers.
    pub phases: watch::Sender<Phase>,
}

impl Recorder {
    /// Runs until `Phase::Stop`. Phases are passed on also when nothing can be measured.
    ///
    /// # Errors
    /// No more file descriptors for its timer.
    pub async fn run(self, mut phase: watch::Receiver<Phase>) -> std::io::Result<()> {
        let mut timer = PreciseTimer::new();
        let mut done = 0;
        loop {
            let now = phase.borrow_and_update().clone();
            if let (Phase::Run { step, .. }, Ok(timer)) = (&now, &mut timer)
                && step.number > done
            {
                done = step.number;
                let step = *step;
                self.begin(now);
                self.record(step, &mut phase, timer).await;
                continue;
            }
            let is_over = matches!(now, Phase::Stop);
            self.phases.send_replace(now);
            if is_over || phase.changed().await.is_err() {
                return timer.map(drop);
            }
        }
    }

    /// Tells the clients of a new step. What flowed before belongs to none; what went wrong is not forgotten.
    fn begin(&self, run: Phase) {
        let troubles = self.statistics.take().troubles;
        self.statistics.replace(Statistics { troubles, ..Statistics::default() });
        self.phases.send_replace(run);
    }

    async fn record(&self, mut step: StepPlan, phase: &mut watch::Receiver<Phase>, timer: &mut PreciseTimer) {
        let (mut from, mut used) = (None, None);
        let mut slice_start_ns = step.start_ns;
        let mut edge_ns = next_edge_ns(&step, self.interval_ns, step.start_ns);
        loop {
            let tick_ns = monotonic_ns() + HICCUP_EVERY_NS;
            let wake_ns = tick_ns.min(edge_ns);
            tokio::select! {
                () = timer.wait(wake_ns) => {}
                changed = phase.changed() => {
                    let told = phase.borrow_and_update().clone();
                    match (&told, changed) {
                        (Phase::Run { step: again, .. }, Ok(())) if again.number == step.number => step.end_ns = again.end_ns,
                        _ => break,
                    }
                    self.phases.send_replace(told);
                }
            }
            let now_ns = monotonic_ns();
            if now_ns >= wake_ns && (step.measure_from_ns..step.end_ns).contains(&wake_ns) {
                self.statistics.borrow_mut().hiccups.record_corrected(now_ns - wake_ns, HICCUP_EVERY_NS);
            }
            if from.is_none() && now_ns >= step.measure_from_ns {
                from = Some(host::ThreadClock::now());
            }
            if used.is_none() && now_ns >= step.end_ns {
                used = from.map(|from| host::ThreadClock::now().since(&from));
            }
            if now_ns >= edge_ns {
                // A thread that was very late may have passed several edges: what it counted belongs to all of them.
                let mut end_ns = edge_ns;
                while now_ns >= edge_ns {
                    end_ns = edge_ns;
                    edge_ns = next_edge_ns(&step, self.interval_ns, edge_ns);
                }
                self.send(slice_start_ns, end_ns, None);
                slice_start_ns = end_ns;
            }
        }
        let used = used.or_else(|| from.map(|from| host::ThreadClock::now().since(&from))).unwrap_or_default();
        let last = ThreadUse {
            name: format!("load-{}", self.worker),
            wall_ns: used.wall_ns,
            cpu_ns: used.cpu_ns,
            waiting_ns: used.waiting_ns,
            involuntary_switches: used.involuntary_switches,
        };
        self.send(slice_start_ns, monotonic_ns().max(slice_start_ns), Some(last));
    }

    fn send(&self, start_ns: u64, end_ns: u64, last: Option<ThreadUse>) {
        // The receiver is gone only when the main thread is.
        let _ = self.slices.send(Slice { worker: self.worker, start_ns, end_ns, statistics: self.statistics.take(), last });
    }
}

/// The edge that follows `after_ns`: every interval, counted from the start in the warm-up and from its end behind it.
fn next_edge_ns(step: &StepPlan, interval_ns: u64, after_ns: u64) -> u64 {
    let next_from = |base_ns: u64| base_ns + (after_ns.saturating_sub(base_ns) / interval_ns + 1) * interval_ns;
    match after_ns < step.measure_from_ns {
        true => next_from(step.start_ns).min(step.measure_from_ns),
        false => next_from(step.measure_from_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::schedule::Pace;

    #[test]
    fn an_edge_lies_between_warm_up_and_measurement() {
        let step = StepPlan { number: 1, pace: Pace::AsFastAsPossible, start_ns: 1000, measure_from_ns: 1250, end_ns: u64::MAX };
        let mut edges = vec![step.start_ns];
        while edges.len() < 6 {
            edges.push(next_edge_ns(&step, 100, *edges.last().unwrap()));
        }
        assert_eq!(edges, [1000, 1100, 1200, 1250, 1350, 1450]);
    }

    #[test]
    fn what_a_client_counts_at_once_is_in_the_step() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        let counted = local.block_on(&runtime, async {
            let (slices, mut received) = mpsc::unbounded_channel();
            let (phase, phases) = watch::channel(Phase::Prepare);
            let statistics = Rc::new(RefCell::new(Statistics::default()));
            let (onward, mut told) = watch::channel(Phase::Prepare);
            let client = tokio::task::spawn_local({
                let statistics = statistics.clone();
                async move {
                    told.wait_for(|phase| matches!(phase, Phase::Run { .. })).await.expect("it is told");
                    statistics.borrow_mut().lateness.record(1, 1);
                }
            });
            let recorder = Recorder { worker: 0, interval_ns: 10_000_000, statistics, slices, phases: onward };
            let recording = tokio::task::spawn_local(recorder.run(phases));
            let start_ns = monotonic_ns();
            let step = StepPlan { number: 1, pace: Pace::AsFastAsPossible, start_ns, measure_from_ns: start_ns, end_ns: u64::MAX };
            phase.send_replace(Phase::Run { step, targets: None });
            client.await.expect("no panic");
            phase.send_replace(Phase::Collect);
            let slice = received.recv().await.expect("a slice");
            phase.send_replace(Phase::Stop);
            recording.await.expect("no panic").expect("a timer");
            slice.statistics.lateness.0.len()
        });
        assert_eq!(counted, 1);
    }

    #[test]
    fn slices_of_a_step_leave_no_hole_and_a_late_thread_is_noticed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        let slices = local.block_on(&runtime, async {
            let (slices, mut received) = mpsc::unbounded_channel();
            let statistics = Rc::new(RefCell::new(Statistics::default()));
            let recorder = Recorder { worker: 3, interval_ns: 10_000_000, statistics, slices, phases: watch::Sender::default() };
            let start_ns = monotonic_ns();
            let (measure_from_ns, end_ns) = (start_ns + 15_000_000, start_ns + 200_000_000);
            let step = StepPlan { number: 1, pace: Pace::AsFastAsPossible, start_ns, measure_from_ns, end_ns };
            let (phase, phases) = watch::channel(Phase::Run { step, targets: None });
            let running = tokio::task::spawn_local(recorder.run(phases));
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
            // The thread is kept from everything else, as by a long computation.
            std::thread::sleep(std::time::Duration::from_millis(50));
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            phase.send_replace(Phase::Collect);
            let mut all: Vec<Slice> = Vec::new();
            while all.last().is_none_or(|slice| slice.last.is_none()) {
                all.push(received.recv().await.expect("the recorder runs"));
            }
            phase.send_replace(Phase::Stop);
            running.await.expect("no panic").expect("a timer");
            assert_eq!(all[0].start_ns, start_ns);
            all
        });
        assert!(slices.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
        let mut sum = Statistics::default();
        slices.iter().for_each(|slice| sum.add(&slice.statistics));
        assert!(sum.hiccups.0.max() >= 40_000_000, "a stall of 50 ms was seen as {} ns", sum.hiccups.0.max());
        // The looks that the stall prevented count as late ones too: about ten of thirty.
        assert!(sum.hiccups.0.value_at_quantile(0.9) >= 10_000_000, "{} ns", sum.hiccups.0.value_at_quantile(0.9));
        let used = slices.last().and_then(|slice| slice.last.as_ref()).expect("the last slice");
        assert!(used.name == "load-3" && used.wall_ns >= 100_000_000 && used.cpu_ns < used.wall_ns, "{used:?}");
    }
}
