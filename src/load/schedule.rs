//! When each message is due: decided before it is sent and never moved by a slow broker.
//!
//! Pure. A schedule is open loop: what a stalled broker holds up keeps its due time, so the wait counts as latency (no coordinated
//! omission). Invariants: due times of one schedule never go down; `take` hands out only what is due.

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
}

/// The due times of one lane: one of `lanes` that take turns, this one being the `lane`-th.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    start_ns: u64,
    end_ns: u64,
    lane: u64,
    lanes: u64,
    taken: u64,
    quota: u64,
}

impl Schedule {
    /// `end_ns`: nothing is due from here on. `quota`: messages of this lane at most.
    pub fn new(pace: Pace, lane: u64, lanes: u64, quota: u64) -> Schedule {
        assert!(lane < lanes, "a lane is one of the lanes");
        Schedule { pace, start_ns: u64::MAX, end_ns: u64::MAX, lane, lanes, taken: 0, quota }
    }

    /// Sets the clock running. Before this nothing is due.
    pub fn start(&mut self, start_ns: u64, end_ns: u64) {
        self.start_ns = start_ns;
        self.end_ns = end_ns;
    }

    /// When the `ahead`-th message from here (0: the next) is due; `None` if the schedule ends before it. At
    /// `AsFastAsPossible` it is due at once, that is at the start.
    pub fn upcoming_ns(&self, ahead: u64) -> Option<u64> {
        if self.start_ns == u64::MAX || self.taken + ahead >= self.quota {
            return None;
        }
        let due_ns = match self.pace {
            Pace::AsFastAsPossible => self.start_ns,
            Pace::Constant(rate) => {
                let turn = u128::from(self.taken + ahead) * u128::from(self.lanes) + u128::from(self.lane);
                let after_ns = turn * 1_000_000_000_000 / u128::from(rate.millimessages_per_s);
                u64::try_from(u128::from(self.start_ns) + after_ns).ok()?
            }
        };
        (due_ns < self.end_ns).then_some(due_ns)
    }

    /// Takes the next message if it is due at `now_ns`, and says when it was due.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        let due_ns = self.upcoming_ns(0)?;
        let due_ns = match self.pace {
            _ if now_ns < due_ns => return None,
            Pace::AsFastAsPossible if now_ns >= self.end_ns => return None,
            Pace::AsFastAsPossible => now_ns,
            Pace::Constant(_) => due_ns,
        };
        self.taken += 1;
        Some(due_ns)
    }

    /// Whether nothing will be due any more.
    pub fn is_over(&self, now_ns: u64) -> bool {
        match self.pace {
            Pace::AsFastAsPossible => self.taken >= self.quota || now_ns >= self.end_ns,
            Pace::Constant(_) => self.start_ns != u64::MAX && self.upcoming_ns(0).is_none(),
        }
    }

    /// Cuts the schedule off: nothing more is due, whatever is left. Returns how many messages were due and not taken.
    pub fn abandon(&mut self, now_ns: u64) -> u64 {
        let mut owed = 0;
        if let Pace::Constant(_) = self.pace {
            while self.take(now_ns).is_some() {
                owed += 1;
            }
        }
        self.quota = self.taken;
        owed
    }

    pub fn is_paced(&self) -> bool {
        matches!(self.pace, Pace::Constant(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn constant(messages_per_s: f64, lane: u64, lanes: u64, quota: u64) -> Schedule {
        let mut schedule = Schedule::new(Pace::Constant(Rate::per_second(messages_per_s)), lane, lanes, quota);
        schedule.start(10 * SECOND, 20 * SECOND);
        schedule
    }

    #[test]
    fn lanes_take_turns_at_the_common_rate() {
        let mut due: Vec<u64> = Vec::new();
        for lane in 0..4 {
            let mut schedule = constant(1000.0, lane, 4, u64::MAX);
            while let Some(at) = schedule.take(11 * SECOND - 1) {
                due.push(at);
            }
        }
        due.sort_unstable();
        assert_eq!(due.len(), 1000);
        for (turn, at) in due.iter().enumerate() {
            assert_eq!(*at, 10 * SECOND + turn as u64 * 1_000_000);
        }
    }

    #[test]
    fn a_stall_does_not_move_what_was_due() {
        let mut schedule = constant(1000.0, 0, 1, u64::MAX);
        assert_eq!(schedule.take(10 * SECOND), Some(10 * SECOND));
        // Nobody asked for a second: the next is still due 1 ms after the first, not a second later.
        assert_eq!(schedule.take(11 * SECOND), Some(10 * SECOND + 1_000_000));
    }

    #[test]
    fn nothing_is_due_early_or_after_the_end() {
        let mut schedule = constant(1.0, 0, 1, u64::MAX);
        assert_eq!(schedule.take(10 * SECOND - 1), None);
        assert!(!schedule.is_over(10 * SECOND));
        let taken = std::iter::from_fn(|| schedule.take(100 * SECOND)).count();
        assert_eq!(taken, 10, "one a second from 10 s up to, not including, 20 s");
        assert!(schedule.is_over(100 * SECOND));
    }

    #[test]
    fn the_quota_ends_it() {
        let mut schedule = constant(1000.0, 0, 1, 3);
        assert_eq!(std::iter::from_fn(|| schedule.take(20 * SECOND)).count(), 3);
        assert!(schedule.is_over(0));
    }

    #[test]
    fn an_odd_rate_does_not_drift() {
        let schedule = constant(3.0, 0, 1, u64::MAX);
        assert_eq!(schedule.upcoming_ns(27), Some(19 * SECOND));
    }

    #[test]
    fn as_fast_as_possible_is_due_when_asked() {
        let mut schedule = Schedule::new(Pace::AsFastAsPossible, 0, 1, 2);
        assert_eq!(schedule.take(5), None, "not started");
        schedule.start(10, 20);
        assert_eq!(schedule.take(12), Some(12));
        assert_eq!(schedule.take(20), None, "the end is not part of the run");
        assert!(schedule.is_over(20) && !schedule.is_over(19));
    }

    #[test]
    fn abandoning_counts_what_was_due() {
        let mut schedule = constant(1000.0, 0, 1, u64::MAX);
        assert_eq!(schedule.abandon(10 * SECOND + 4_500_000), 5);
        assert!(schedule.is_over(10 * SECOND));
    }
}
