//! Connection churn: at a steady rate, one client after the other closes its connections and opens them again.
//!
//! Lives on a worker thread; each worker churns its own clients at its share of the rate.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use super::phase::Phase;
use crate::io::clock::monotonic_ns;

/// Who can be told to close its connections, when what is under way on them is answered, and to open them again.
pub trait Reconnect {
    fn reconnect(&self);
}

/// What waits at most before the end of a step is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Churns while steps run. Never returns.
pub async fn churn(clients: Vec<Rc<dyn Reconnect>>, connections_per_s: f64, mut phase: watch::Receiver<Phase>) {
    let distance_ns = 1e9 / connections_per_s;
    let (mut turn, mut done, mut begun_ns) = (0, 0u64, 0);
    loop {
        let running = match &*phase.borrow_and_update() {
            Phase::Run { step, .. } => Some((step.start_ns, step.end_ns)),
            _ => None,
        };
        let Some((start_ns, end_ns)) = running.filter(|(_, end_ns)| monotonic_ns() < *end_ns) else {
            if phase.changed().await.is_err() {
                return;
            }
            continue;
        };
        if std::mem::replace(&mut begun_ns, start_ns) != start_ns {
            done = 0;
        }
        loop {
            let now_ns = monotonic_ns();
            let due = (now_ns.saturating_sub(start_ns) as f64 / distance_ns) as u64;
            // One client is told once however late it is: it has but one connection to each broker.
            for _ in done..due.min(done + clients.len() as u64) {
                clients[turn % clients.len()].reconnect();
                turn += 1;
            }
            done = due;
            if now_ns >= end_ns {
                break;
            }
            let next = Duration::from_nanos((start_ns + ((due + 1) as f64 * distance_ns) as u64).saturating_sub(now_ns));
            tokio::select! {
                changed = phase.changed() => if changed.is_err() { return } else { break },
                () = tokio::time::sleep(next.min(LOOK_EVERY)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::phase::StepPlan;
    use crate::load::schedule::Pace;
    use std::cell::Cell;

    struct Counted(Cell<u64>);

    impl Reconnect for Counted {
        fn reconnect(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn clients_take_turns_and_rest_when_the_step_is_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let counted: Vec<Rc<Counted>> = (0..4).map(|_| Rc::new(Counted(Cell::new(0)))).collect();
        let clients = counted.iter().map(|client| client.clone() as Rc<dyn Reconnect>).collect();
        runtime.block_on(async {
            let start_ns = monotonic_ns();
            let step =
                StepPlan { number: 1, pace: Pace::AsFastAsPossible, start_ns, measure_from_ns: start_ns, end_ns: start_ns + 100_000_000 };
            let (_phase, phases) = watch::channel(Phase::Run { step, targets: None });
            let _ = tokio::time::timeout(Duration::from_millis(300), churn(clients, 400.0, phases)).await;
        });
        let counts: Vec<u64> = counted.iter().map(|client| client.0.get()).collect();
        let sum: u64 = counts.iter().sum();
        // 40 are due in 100 ms; a late look at the end adds those that came due meanwhile.
        assert!(sum >= 4 && counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }
}
