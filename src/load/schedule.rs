//! When each message is due: decided before it is sent and never moved by a slow broker.
//!
//! Pure. A schedule is open loop: what a stalled broker holds up keeps its due time, so the wait counts as latency (no coordinated
//! omission). Invariants: due times of one schedule never go down; `take` hands out only what is due; the lanes of a run together keep
//! the pace, each taking its turns (or, at random, its share of the rate: the sum of Poisson processes is one).

use std::collections::VecDeque;

use super::arrivals::PoissonArrivals;

#[cfg(test)]
mod tests;

/// The rate that all lanes of a run share, in thousandths of a message per second, so that the sums below are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub millimessages_per_s: u64,
}

impl Rate {
    /// From messages per second; at least one message in about a quarter of an hour.
    pub fn per_second(messages: f64) -> Rate {
        Rate { millimessages_per_s: ((messages * 1000.0).round() as u64).max(1) }
    }
}

/// How a run paces its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as acknowledgements allow: a closed loop, every message is due when there is room for it.
    AsFastAsPossible,
    /// Evenly spaced over all lanes together.
    Constant(Rate),
    /// At random moments that know nothing of each other, at a mean rate over all lanes.
    Poisson { rate: Rate, seed: u64 },
    /// `messages` at once over all lanes together, every `period_ns`.
    Bursts { messages: u64, period_ns: u64 },
}

/// The due times of one lane: one of `lanes`, this one being the `lane`-th.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    start_ns: u64,
    end_ns: u64,
    lane: u64,
    lanes: u64,
    taken: u64,
    quota: u64,
    /// Drawn and not yet taken; only a Poisson schedule draws.
    drawn: VecDeque<u64>,
    arrivals: Option<PoissonArrivals>,
    /// The due time of the next message of a paced schedule; `None` if there is none.
    next_ns: Option<u64>,
}

impl Schedule {
    /// `quota`: messages of this lane at most, from each start.
    pub fn new(lane: u64, lanes: u64, quota: u64) -> Schedule {
        assert!(lane < lanes, "a lane is one of the lanes");
        Schedule {
            pace: Pace::AsFastAsPossible,
            start_ns: u64::MAX,
            end_ns: u64::MAX,
            lane,
            lanes,
            taken: 0,
            quota,
            drawn: VecDeque::new(),
            arrivals: None,
            next_ns: None,
        }
    }

    /// Sets the clock running, anew if it ran before: nothing of an earlier pace is due any more. Before the first start nothing is due,
    /// and from `end_ns` on nothing more.
    pub fn start(&mut self, pace: Pace, start_ns: u64, end_ns: u64) {
        (self.pace, self.start_ns, self.end_ns, self.taken) = (pace, start_ns, end_ns, 0);
        self.drawn.clear();
        self.arrivals = match pace {
            Pace::Poisson { rate, seed } => {
                let mean_ns = 1e12 * self.lanes as f64 / rate.millimessages_per_s as f64;
                Some(PoissonArrivals::new(seed, self.lane, mean_ns))
            }
            _ => None,
        };
        self.next_ns = if self.is_paced() { self.upcoming_ns(0) } else { None };
    }

    /// Nothing is due from `end_ns` on, earlier than was said at the start.
    pub fn end_at(&mut self, end_ns: u64) {
        self.end_ns = self.end_ns.min(end_ns);
        self.next_ns = self.next_ns.filter(|next_ns| *next_ns < self.end_ns);
    }

    /// When the `ahead`-th message from here (0: the next) is due; `None` if the schedule ends before it. At
    /// `AsFastAsPossible` it is due at once, that is at the start.
    pub fn upcoming_ns(&mut self, ahead: u64) -> Option<u64> {
        if self.start_ns == u64::MAX || self.taken + ahead >= self.quota {
            return None;
        }
        let turn = u128::from(self.taken + ahead) * u128::from(self.lanes) + u128::from(self.lane);
        let after_ns = match self.pace {
            Pace::AsFastAsPossible => 0,
            Pace::Constant(rate) => turn * 1_000_000_000_000 / u128::from(rate.millimessages_per_s),
            Pace::Bursts { messages, period_ns } => turn / u128::from(messages) * u128::from(period_ns),
            Pace::Poisson { .. } => u128::from(self.drawn_ns(ahead)),
        };
        let due_ns = u64::try_from(u128::from(self.start_ns) + after_ns).ok()?;
        (due_ns < self.end_ns).then_some(due_ns)
    }

    /// Draws as far as needed; the time from the start.
    fn drawn_ns(&mut self, ahead: u64) -> u64 {
        let arrivals = self.arrivals.as_mut().expect("a Poisson schedule draws");
        while self.drawn.len() as u64 <= ahead {
            self.drawn.push_back(arrivals.next_ns());
        }
        self.drawn[ahead as usize]
    }

    /// Takes the next message if it is due at `now_ns`, and says when it was due.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        if !self.is_paced() {
            let is_due = self.start_ns <= now_ns && now_ns < self.end_ns && self.taken < self.quota;
            self.taken += u64::from(is_due);
            return is_due.then_some(now_ns);
        }
        let due_ns = self.next_ns.filter(|due_ns| *due_ns <= now_ns)?;
        self.taken += 1;
        self.drawn.pop_front();
        self.next_ns = self.upcoming_ns(0);
        Some(due_ns)
    }

    /// Whether nothing will be due any more.
    pub fn is_over(&self, now_ns: u64) -> bool {
        match self.is_paced() {
            false => self.taken >= self.quota || now_ns >= self.end_ns,
            true => self.start_ns != u64::MAX && self.next_ns.is_none(),
        }
    }

    /// Cuts the schedule off: nothing more is due until the next start, whatever is left. Returns how many messages were due and not
    /// taken.
    pub fn abandon(&mut self, now_ns: u64) -> u64 {
        let mut owed = 0;
        while self.is_paced() && self.take(now_ns).is_some() {
            owed += 1;
        }
        self.end_ns = self.end_ns.min(now_ns);
        self.next_ns = None;
        owed
    }

    pub fn is_paced(&self) -> bool {
        self.pace != Pace::AsFastAsPossible
    }
}
